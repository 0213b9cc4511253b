//! What is denied for want of scopes alone, and to whom that is said.

use super::*;
use crate::step_up::StepUp;

/// Each policy asks for a scope in a way of its own.
const POLICIES: &str = r#"
    permit (principal, action, resource == Tool::"files/read");
    permit (principal, action, resource == Tool::"files/write")
    when { context has scopes && context.scopes.contains("write") };
    permit (principal, action, resource == Tool::"files/delete")
    when { context has scopes && context.scopes.containsAll(["write", "delete"]) };
    permit (principal, action, resource == Tool::"files/touch")
    when { context has scopes && context.scopes.containsAny(["admin", "write"]) };
    permit (principal, action == Action::"tools/call", resource == Tool::"files/put")
    when { context has scopes && context.scopes.contains("write") && context.args has path && context.args.path like "/data/*" };
    permit (principal in Group::"staff", action, resource == Tool::"files/staff")
    when { context has scopes && context.scopes.contains("write") };
    permit (principal, action, resource in Server::"ledger")
    when { context has scopes && context.scopes.contains("admin") };
    permit (principal, action, resource in Server::"crm");
    forbid (principal, action == Action::"tools/call", resource == Tool::"crm/merge")
    unless { context has scopes && context.scopes.contains("write") };
    forbid (principal, action, resource == Tool::"crm/trap")
    when { context has scopes && context.scopes.contains("write") };
    forbid (principal, action, resource == Tool::"crm/odd") unless { context has scopes && context.scopes.contains("never") };
    permit (principal, action == Action::"toolsets/use", resource == Toolset::"desk")
    when { context has scopes && context.scopes.contains("delete") };
"#;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn options_with(scopes: &[&str]) -> Options {
    let step_up = StepUp {
        required: texts(&["mcp"]),
        scopes: texts(scopes),
        except: ["https://stern".to_owned()].into(),
    };
    Options { step_up, strict: false, ..options() }
}

fn user(issuer: &str, scopes: &[&str]) -> Principal {
    let (issuer, subject) = (issuer.to_owned(), "eve".to_owned());
    Principal::user(User { issuer, subject, scopes: texts(scopes), ..User::default() })
}

/// The scopes that are lacking, `None` where it is allowed and `Some("")` where nothing would help. Asked twice, and explained.
fn lacks(
    policies: &Policies,
    who: &Principal,
    action: &str,
    thing: &str,
    arguments: Option<&str>,
) -> Option<String> {
    let (what, action) = (what(thing), Action::named(action).unwrap());
    let arguments = arguments.map(|text| Raw::trusted(text.to_owned()));
    let subject = policies.subject(who);
    let decide = || {
        let decision = policies.decide(&subject, action, what, &at(0), arguments.as_ref());
        assert!(!decision.allowed || decision.lacks.is_none());
        (!decision.allowed).then(|| decision.lacks.map_or_else(String::new, |lacks| lacks.join(" ")))
    };
    let found = decide();
    assert_eq!(decide(), found, "remembered otherwise: {thing}");
    let verdict = policies.explain(who, action, what, &at(0), arguments.as_ref());
    let explained = (!verdict.allowed).then(|| verdict.lacks.join(" "));
    assert_eq!(explained, found, "explained otherwise: {thing}");
    found
}

#[test]
fn the_fewest_scopes_that_would_do_are_named() {
    let policies = load_with(POLICIES, &options_with(&["write", "delete", "admin"]));
    let eve = user("https://idp", &["mcp", "profile"]);
    for (action, thing, arguments, expected) in [
        ("tools/call", "tool files/read", None, None),
        ("tools/call", "tool files/write", None, Some("write")),
        ("tools/list", "tool files/write", None, Some("write")),
        ("tools/call", "tool files/delete", None, Some("write delete")),
        // Of two that would do, what stands first in the configuration.
        ("tools/call", "tool files/touch", None, Some("write")),
        ("tools/call", "tool files/put", Some(r#"{"path":"/data/a"}"#), Some("write")),
        // What no scope cures is no step-up.
        ("tools/call", "tool files/put", Some(r#"{"path":"/etc/a"}"#), Some("")),
        ("tools/call", "tool files/put", Some(r#"{"path":["/data/a"]}"#), Some("")),
        ("tools/call", "tool files/staff", None, Some("")),
        ("tools/call", "tool files/nobody", None, Some("")),
        // Behind a door that opens with a scope.
        ("server/discover", "server ledger", None, Some("admin")),
        ("tools/call", "tool ledger/book", None, Some("admin")),
        ("resources/read", "resource ledger/a:b", None, Some("admin")),
        ("resources/read", "resource ledger/a:%2e", None, Some("")),
        // What is forbidden to whoever lacks a scope.
        ("tools/call", "tool crm/merge", None, Some("write")),
        ("tools/call", "tool crm/odd", None, Some("")),
        ("toolsets/use", "toolset desk", None, Some("delete")),
        ("toolsets/use", "toolset files", None, Some("")),
    ] {
        let found = lacks(&policies, &eve, action, thing, arguments);
        assert_eq!(found.as_deref(), expected, "{action} {thing} {arguments:?}");
    }
    // What the token has is not asked for again.
    let writes = user("https://idp", &["mcp", "write"]);
    assert_eq!(lacks(&policies, &writes, "tools/call", "tool files/write", None), None);
    assert_eq!(lacks(&policies, &writes, "tools/call", "tool files/delete", None).as_deref(), Some("delete"));
    // A scope that takes away is none to ask for.
    assert_eq!(lacks(&policies, &eve, "tools/call", "tool crm/trap", None), None);
    assert_eq!(lacks(&policies, &writes, "tools/call", "tool crm/trap", None).as_deref(), Some(""));
}

#[test]
fn only_whoever_can_get_a_scope_is_told_of_it() {
    let policies = load_with(POLICIES, &options_with(&["write"]));
    let key = Principal::key(Key { id: "ci".into(), ..Key::default() });
    let workload = Principal::Workload { spiffe_id: "spiffe://a/b".into() };
    for who in [&user("https://stern", &["mcp"]), &key, &workload, &Principal::Anonymous] {
        let found = lacks(&policies, who, "tools/call", "tool files/write", None);
        assert_eq!(found.as_deref(), Some(""), "{who}");
        assert!(!policies.sees(&policies.subject(who), "ledger", &at(0)), "{who}");
    }
    let eve = user("https://idp", &["mcp"]);
    // Scopes that clients are not told to ask for are none to be had.
    assert_eq!(lacks(&policies, &eve, "tools/call", "tool files/delete", None).as_deref(), Some(""));
    assert!(!policies.sees(&policies.subject(&eve), "ledger", &at(0)));
    let without = load_with(POLICIES, &options_with(&[]));
    assert_eq!(lacks(&without, &eve, "tools/call", "tool files/write", None).as_deref(), Some(""));
}

#[test]
fn a_list_shows_what_a_scope_would_permit_and_nothing_else() {
    let policies = load_with(POLICIES, &options_with(&["write", "admin"]));
    let names = ["read", "write", "delete", "staff", "put", "nobody"];
    let things = || names.iter().map(|&name| what_tool("files", name));
    let shown = |who: &Principal, list| {
        let subject = policies.subject(who);
        let ask = || policies.shown(&subject, Action::ToolsList, ("files", list), things(), &at(0));
        let first = ask();
        assert_eq!((first.things.clone(), false), (ask().things, ask().fresh));
        let shown = names.iter().zip(first.things.iter()).filter(|(_, shown)| **shown);
        shown.map(|(name, _)| *name).collect::<Vec<_>>()
    };
    assert_eq!(shown(&user("https://idp", &["mcp"]), 1), ["read", "write", "put"]);
    assert_eq!(shown(&user("https://stern", &["mcp"]), 1), ["read"]);
    assert_eq!(shown(&user("https://stern", &["write"]), 1), ["read", "write", "put"]);
    let eve = policies.subject(&user("https://idp", &["mcp"]));
    let book = [what_tool("ledger", "book")];
    let list = policies.shown(&eve, Action::ToolsList, ("ledger", 2), book.into_iter(), &at(0));
    assert_eq!(*list.things, [true]);
}

fn what_tool(server: &'static str, name: &'static str) -> Thing<'static> {
    Thing { server, kind: ThingKind::Tool(Annotations::default()), name }
}

#[test]
fn a_door_that_opens_and_shuts_with_the_time_is_not_remembered_open() {
    let text = r#"
        permit (principal, action, resource in Server::"files")
        when { context has scopes && context.scopes.contains("write") };
        forbid (principal, action == Action::"server/discover", resource == Server::"files")
        when { context.weekday == 4 && !(context has scopes && context.scopes.contains("admin")) };
    "#;
    let policies = load_with(text, &options_with(&["write", "admin"]));
    let subject = policies.subject(&user("https://idp", &["write"]));
    let tool = what("tool files/read");
    let decide = |day: u64| policies.decide(&subject, Action::ToolsCall, tool, &at(day * 86_400), None);
    // 1970 began on a Thursday.
    for day in [0, 1, 0, 1, 7] {
        let decision = decide(day);
        assert_eq!(decision.allowed, day == 1, "day {day}");
        let lacks = decision.lacks.map(|lacks| lacks.join(" "));
        assert_eq!(lacks.as_deref(), (day != 1).then_some("admin"), "day {day}");
    }
}

#[test]
fn what_is_lacking_is_found_out_once_behind_a_shut_door_too() {
    let policies = load_with(POLICIES, &options_with(&["write", "delete", "admin"]));
    let eve = policies.subject(&user("https://idp", &["mcp"]));
    let lacks = |thing| {
        let decision = policies.decide(&eve, Action::ToolsCall, what(thing), &at(0), None);
        decision.lacks.expect("a scope is lacking")
    };
    for thing in ["tool files/write", "tool ledger/book", "tool ledger/close"] {
        assert!(Arc::ptr_eq(&lacks(thing), &lacks(thing)), "{thing} was found out anew");
    }
}

#[test]
fn what_is_lacking_behind_a_shut_door_is_remembered_no_longer_than_it_stands() {
    let text = r#"
        permit (principal, action, resource in Server::"ledger")
        when { context has scopes && context.scopes.contains("write") };
        forbid (principal, action == Action::"tools/call", resource == Tool::"ledger/book")
        when { context.weekday == 4 && !(context has scopes && context.scopes.contains("admin")) };
        forbid (principal, action == Action::"tools/call", resource == Tool::"ledger/put")
        unless { context.args has path && context.args.path like "/data/*" };
    "#;
    let policies = load_with(text, &options_with(&["write", "admin"]));
    let eve = user("https://idp", &["mcp"]);
    let subject = policies.subject(&eve);
    // 1970 began on a Thursday.
    for day in [0, 1, 0, 1, 7] {
        let now = at(day * 86_400);
        let decision = policies.decide(&subject, Action::ToolsCall, what("tool ledger/book"), &now, None);
        let expected = if day == 1 { "write" } else { "write admin" };
        assert_eq!(decision.lacks.map(|lacks| lacks.join(" ")).as_deref(), Some(expected), "day {day}");
    }
    for (path, expected) in [("/data/a", "write"), ("/etc/a", ""), ("/data/b", "write")] {
        let arguments = format!(r#"{{"path":"{path}"}}"#);
        let found = lacks(&policies, &eve, "tools/call", "tool ledger/put", Some(&arguments));
        assert_eq!(found.as_deref(), Some(expected), "{path}");
    }
}

#[test]
fn all_that_the_next_token_needs_is_said_at_once() {
    let step_up = options_with(&["write", "delete", "admin"]).step_up;
    let eve = user("https://idp", &["mcp", "offline_access", "openid", "delete"]);
    assert_eq!(step_up.whole(&eve, &texts(&["write"])), "mcp write delete");
    assert_eq!(step_up.whole(&user("https://idp", &[]), &texts(&["admin"])), "mcp admin");
}

#[test]
fn a_scope_that_no_client_is_told_to_ask_for_is_most_likely_misspelt() {
    let text = r#"permit (principal, action, resource) when { context has scopes && (context.scopes.contains("mcp") ||
        ["write"].containsAll(context.scopes) || context.scopes.containsAny(["wirte", "write"])) && principal.id != "x" };"#;
    let warnings = |options: &Options| {
        let policies = load_with(text, options);
        policies.warnings().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let found = warnings(&options_with(&["write"]));
    assert!(found.len() == 1 && found[0].contains("`wirte`") && found[0].contains(":2:"), "{found:?}");
    // Where nothing is asked for, tokens may have any.
    assert_eq!(warnings(&options_with(&[])), Vec::<String>::new());
}
