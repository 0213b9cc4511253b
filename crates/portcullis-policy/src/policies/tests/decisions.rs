//! Decisions, by table: who, action, thing, arguments, whether.

use super::*;

type Row<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, bool);

fn check(policies: &Policies, rows: &[Row<'_>]) {
    for (name, action, thing, arguments, expected) in rows {
        let found = may(policies, name, action, thing, *arguments);
        assert_eq!(found, *expected, "{name} {action} {thing} {arguments:?}");
    }
}

#[test]
fn nothing_is_permitted_without_a_policy() {
    let policies = loaded("");
    for action in Action::all() {
        for thing in [
            "server files",
            "tool files/x",
            "prompt files/x",
            "resource files/a:b",
            "template files/a:{b}",
            "toolset desk",
        ] {
            assert!(!may(&policies, "ada", action.name(), thing, None), "{} {thing}", action.name());
        }
    }
}

#[test]
fn forbid_wins_whatever_permits() {
    check(
        &loaded(
            r#"forbid (principal in Group::"staff", action == Action::"tools/call", resource == Tool::"files/format");
               permit (principal, action, resource);"#,
        ),
        &[
            ("ada", "tools/call", "tool files/format", None, false),
            ("ada", "tools/list", "tool files/format", None, false),
            ("ada", "tools/call", "tool files/read", None, true),
            ("bob", "tools/call", "tool files/format", None, true),
        ],
    );
}

#[test]
fn groups_come_from_tokens_and_from_the_operator() {
    check(
        &loaded(
            r#"permit (principal in Group::"finance", action, resource in Server::"ledger");
               permit (principal in Group::"visitors", action in Action::"read", resource in Server::"files");
               permit (principal in Group::"bots", action, resource in Label::"internal");
               permit (principal == User::"user:https://idp#bob", action, resource == Tool::"crm/find");"#,
        ),
        &[
            ("ada", "tools/call", "tool ledger/book", None, true),
            ("ada", "tools/call", "tool files/read", None, false),
            ("anonymous", "resources/read", "resource files/file:///a", None, true),
            ("anonymous", "tools/call", "tool files/read", None, false),
            ("anonymous", "tools/call", "tool ledger/book", None, false),
            ("ci", "tools/call", "tool crm/find", None, true),
            ("ci", "tools/call", "tool files/read", None, false),
            ("bob", "tools/call", "tool crm/find", None, true),
            ("bob", "tools/call", "tool crm/delete", None, false),
            ("eve", "tools/call", "tool crm/find", None, false),
        ],
    );
}

#[test]
fn a_server_is_there_for_whoever_may_use_something_of_it() {
    check(
        &loaded(
            r#"permit (principal in Group::"finance", action == Action::"tools/call", resource == Tool::"ledger/book");
               permit (principal in Group::"staff", action == Action::"prompts/get", resource in Label::"pii");
               permit (principal in Group::"bots", action, resource);
               forbid (principal in Group::"bots", action, resource in Server::"files");"#,
        ),
        &[
            ("ada", "server/discover", "server ledger", None, true),
            ("ada", "server/discover", "server crm", None, true),
            ("ada", "server/discover", "server files", None, false),
            ("ada", "tools/list", "server ledger", None, true),
            ("bob", "server/discover", "server ledger", None, false),
            ("ci", "server/discover", "server ledger", None, true),
            ("ci", "server/discover", "server files", None, false),
            ("ci", "tools/call", "tool files/x", None, false),
        ],
    );
}

#[test]
fn what_is_behind_a_hidden_server_is_not_there() {
    check(
        &loaded(
            r#"permit (principal, action, resource);
               forbid (principal, action == Action::"server/discover", resource == Server::"crm");"#,
        ),
        &[
            ("ada", "server/discover", "server crm", None, false),
            ("ada", "tools/call", "tool crm/find", None, false),
            ("ada", "tools/list", "tool crm/find", None, false),
            ("ada", "resources/read", "resource crm/a:b", None, false),
            ("ada", "tools/call", "tool files/find", None, true),
        ],
    );
}

#[test]
fn arguments_decide_at_the_call_and_lists_show_what_could_be_permitted() {
    check(
        &loaded(
            r#"permit (principal in Group::"staff", action == Action::"tools/call", resource in Server::"files")
                 when { context.args has path && context.args.path like "/data/*" };
               permit (principal in Group::"bots", action == Action::"tools/call", resource == Tool::"ledger/book")
                 unless { context.args has amount && context.args.amount > 100 };
               permit (principal, action == Action::"tools/call", resource in Server::"crm")
                 when { principal.claims has level && principal.claims.level > 5 && context.args has path };
               forbid (principal, action == Action::"tools/call", resource)
                 when { context.args has path && context.args.path like "*..*" };"#,
        ),
        &[
            ("ada", "tools/list", "tool files/read", None, true),
            ("ada", "tools/call", "tool files/read", Some(r#"{"path":"/data/x"}"#), true),
            ("ada", "tools/call", "tool files/read", Some(r#"{"path":"/etc/x"}"#), false),
            ("ada", "tools/call", "tool files/read", Some(r#"{"path":"/data/../etc/x"}"#), false),
            ("ada", "tools/call", "tool files/read", Some(r#"{"path":["/data/x"]}"#), false),
            ("ada", "tools/call", "tool files/read", Some("{}"), false),
            ("ada", "tools/call", "tool files/read", None, false),
            ("bob", "tools/list", "tool files/read", None, false),
            ("ada", "tools/list", "tool crm/find", None, false),
            ("ada", "server/discover", "server crm", None, false),
            ("ci", "tools/call", "tool ledger/book", Some(r#"{"amount":100}"#), true),
            ("ci", "tools/call", "tool ledger/book", Some(r#"{"amount":101}"#), false),
            ("ci", "tools/call", "tool ledger/book", Some(r#"{"amount":"1"}"#), false),
            ("ci", "tools/call", "tool ledger/book", Some("{}"), true),
            ("ci", "tools/list", "tool ledger/book", None, true),
        ],
    );
}

#[test]
fn annotations_and_labels_tell_tools_apart() {
    check(
        &loaded(
            r#"permit (principal, action == Action::"tools/call", resource)
                 when { resource.annotations.readOnlyHint } unless { resource in Label::"pii" };"#,
        ),
        &[
            ("ada", "tools/call", "tool! crm/find", None, true),
            ("ada", "tools/call", "tool crm/find", None, false),
            ("ada", "tools/call", "tool! crm/get_contact", None, false),
        ],
    );
}

#[test]
fn labels_tell_prompts_and_resources_apart() {
    let labels = map(&[("pii", &["crm/*_contact", "crm/db://people/*"]), ("finance", &["ledger"])]);
    let text = r#"permit (principal, action, resource);
        forbid (principal, action, resource in Label::"pii");
        forbid (principal, action in Action::"read", resource is Resource in Label::"finance");"#;
    check(
        &load_with(text, &Options { labels, ..options() }),
        &[
            ("ada", "prompts/get", "prompt crm/deal", None, true),
            ("ada", "prompts/get", "prompt crm/get_contact", None, false),
            ("ada", "prompts/list", "prompt crm/get_contact", None, false),
            ("ada", "resources/read", "resource crm/db://deals/1", None, true),
            ("ada", "resources/read", "resource crm/db://people/1", None, false),
            ("ada", "resources/subscribe", "resource crm/db://people/1", None, false),
            ("ada", "completion/complete", "resource crm/db://people/1", None, false),
            // A label of the server is one of all that it has; this rule is about its resources.
            ("ada", "resources/read", "resource ledger/db://a", None, false),
            ("ada", "prompts/get", "prompt ledger/a", None, true),
        ],
    );
}

#[test]
fn resources_by_uri_and_templates_by_what_they_could_make() {
    check(
        &loaded(
            r#"permit (principal in Group::"staff", action == Action::"resources/read", resource in Server::"files")
                 when { resource.uri like "file:///data/*" };
               permit (principal in Group::"bots", action == Action::"resources/read", resource)
                 when { resource.scheme == "https" && principal has client };"#,
        ),
        &[
            ("ada", "resources/read", "resource files/file:///data/a", None, true),
            ("ada", "resources/read", "resource files/file:///etc/a", None, false),
            ("ada", "resources/list", "resource files/file:///data/a", None, true),
            ("ada", "resources/list", "resource files/file:///etc/a", None, false),
            ("ada", "resources/subscribe", "resource files/file:///data/a", None, true),
            ("ada", "resources/subscribe", "resource files/file:///etc/a", None, false),
            ("ada", "resources/templates/list", "template files/file:///{path}", None, true),
            ("ada", "completion/complete", "template files/file:///{path}", None, true),
            ("bob", "resources/templates/list", "template files/file:///{path}", None, false),
            ("ci", "resources/templates/list", "template files/https:///{path}", None, false),
        ],
    );
}

#[test]
fn what_goes_along_with_a_use_can_be_taken_away_and_be_given_alone() {
    check(
        &loaded(
            r#"permit (principal in Group::"staff", action in [Action::"tools/call", Action::"prompts/get"], resource);
               forbid (principal, action == Action::"completion/complete", resource);
               forbid (principal, action == Action::"tools/list", resource == Tool::"files/secret");
               permit (principal in Group::"bots", action in Action::"list", resource);"#,
        ),
        &[
            ("ada", "tools/call", "tool files/secret", None, true),
            ("ada", "tools/list", "tool files/secret", None, false),
            ("ada", "tasks/get", "tool files/secret", None, true),
            ("bob", "tasks/get", "tool files/secret", None, false),
            ("ada", "completion/complete", "prompt files/p", None, false),
            ("ada", "prompts/list", "prompt files/p", None, true),
            ("ci", "tools/list", "tool files/x", None, true),
            ("ci", "tools/call", "tool files/x", None, false),
            ("ci", "tasks/get", "tool files/x", None, false),
        ],
    );
}

#[test]
fn time_network_scopes_and_clients_are_facts() {
    check(
        &loaded(
            r#"permit (principal, action == Action::"tools/call", resource == Tool::"files/now")
                 when { context.now.toTime() < duration("1h") && context.weekday == 4 };
               permit (principal, action == Action::"tools/call", resource == Tool::"files/later")
                 when { context.now.toTime() > duration("1h") };
               permit (principal, action == Action::"tools/call", resource == Tool::"files/near")
                 when { context has ip && context.ip.isInRange(ip("10.0.0.0/8")) };
               permit (principal, action == Action::"tools/call", resource == Tool::"files/far")
                 when { context has ip && context.ip.isInRange(ip("192.168.0.0/16")) };
               permit (principal, action == Action::"tools/call", resource == Tool::"files/scoped")
                 when { context has scopes && context.scopes.contains("mcp") };
               permit (principal, action == Action::"tools/call", resource == Tool::"files/client")
                 when { principal has client && principal.client == "desktop" };"#,
        ),
        &[
            ("bob", "tools/call", "tool files/now", None, true),
            ("bob", "tools/call", "tool files/later", None, false),
            ("bob", "tools/call", "tool files/near", None, true),
            ("bob", "tools/call", "tool files/far", None, false),
            ("bob", "tools/call", "tool files/scoped", None, true),
            ("anonymous", "tools/call", "tool files/scoped", None, false),
            ("bob", "tools/call", "tool files/client", None, true),
            ("ci", "tools/call", "tool files/client", None, false),
        ],
    );
}

#[test]
fn what_depends_on_the_time_or_the_address_is_not_remembered_beyond_them() {
    let policies = loaded(
        r#"permit (principal, action == Action::"tools/call", resource == Tool::"files/a")
             when { context.now.toTime() < duration("1h") };
           permit (principal, action == Action::"tools/call", resource == Tool::"files/b")
             when { context has ip && context.ip.isLoopback() };"#,
    );
    let subject = policies.subject(&who("bob"));
    let allows = |thing, when: &Circumstances| {
        let action = Action::ToolsCall;
        let alone = policies.allows(&subject, action, what(thing), when, None);
        let list = [what(thing)].into_iter();
        let number = if thing == "tool files/a" { 1 } else { 2 };
        let shown = policies.shown(&subject, Action::ToolsList, ("files", number), list, when);
        assert_eq!(shown.things[0], alone);
        alone
    };
    for _ in 0..2 {
        assert!(allows("tool files/a", &at(5)));
        assert!(!allows("tool files/a", &at(4_000)));
        let near = Circumstances { ip: Some([127, 0, 0, 1].into()), ..at(5) };
        assert!(allows("tool files/b", &near));
        assert!(!allows("tool files/b", &at(5)));
        assert!(!allows("tool files/b", &Circumstances { ip: None, ..at(5) }));
    }
}

#[test]
fn a_policy_that_cannot_be_evaluated_denies() {
    let policies = loaded(
        r#"permit (principal, action, resource);
           @id("overflow")
           forbid (principal, action == Action::"tools/call", resource == Tool::"ledger/book")
             when { context.args has amount && context.args.amount * 4611686018427387904 > 5 };"#,
    );
    check(
        &policies,
        &[
            ("ada", "tools/call", "tool ledger/book", Some(r#"{"amount":1}"#), false),
            ("ada", "tools/call", "tool ledger/book", Some(r#"{"amount":4}"#), false),
            ("ada", "tools/call", "tool ledger/book", Some("{}"), true),
        ],
    );
}

#[test]
fn a_claim_of_another_type_is_no_absent_claim() {
    let policies = loaded(
        "permit (principal, action, resource);
           forbid (principal, action, resource) when { principal.claims has level && principal.claims.level > 5 };",
    );
    check(
        &policies,
        &[
            ("ada", "tools/call", "tool files/x", None, true),
            ("bob", "tools/call", "tool files/x", None, true),
            ("mallory", "tools/call", "tool files/x", None, false),
        ],
    );
}

#[test]
fn new_groups_are_another_decision() {
    let policies = loaded(r#"permit (principal in Group::"staff", action, resource);"#);
    let with = |groups: &[&str]| {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Principal::user(User { issuer: "i".into(), subject: "s".into(), groups, ..User::default() })
    };
    let may = |who: &Principal| {
        let subject = policies.subject(who);
        policies.allows(&subject, Action::ToolsCall, what("tool files/x"), &at(0), None)
    };
    assert!(may(&with(&["staff"])));
    assert!(!may(&with(&[])));
    assert!(may(&with(&["staff"])));
}

#[test]
fn the_default_roles_are_what_they_say() {
    let roles = map(&[
        ("reader", &["r"]),
        ("user", &["u"]),
        ("operator", &["o"]),
        ("auditor", &["a"]),
        ("admin", &["m"]),
    ]);
    let policies = load_with("", &Options { roles, ..options() });
    let may = |group: &str, action: &str, thing: &str| {
        let user =
            User { issuer: "i".into(), subject: group.into(), groups: vec![group.into()], ..User::default() };
        let subject = policies.subject(&Principal::user(user));
        policies.allows(&subject, Action::named(action).unwrap(), what(thing), &at(0), None)
    };
    // In the order of r, u, o, a, m, and somebody in none.
    for (action, thing, expected) in [
        ("server/discover", "server files", "YYYYY-"),
        ("tools/list", "tool! files/read", "YYYYY-"),
        ("tools/list", "tool files/write", "-YYYY-"),
        ("tools/call", "tool! files/read", "YYY-Y-"),
        ("tools/call", "tool files/write", "-YY-Y-"),
        ("tools/call", "tool files/format", "--Y-Y-"),
        ("tools/list", "tool files/format", "--YYY-"),
        ("prompts/get", "prompt files/p", "YYY-Y-"),
        ("resources/read", "resource files/a:b", "YYY-Y-"),
        ("resources/list", "resource files/a:b", "YYYYY-"),
        ("resources/subscribe", "resource files/a:b", "YYY-Y-"),
        ("tasks/get", "tool files/write", "-YY-Y-"),
        ("skills/list", "server files", "YYY-Y-"),
    ] {
        let found: String = ["r", "u", "o", "a", "m", "x"]
            .iter()
            .map(|group| if may(group, action, thing) { 'Y' } else { '-' })
            .collect();
        assert_eq!(found, expected, "{action} {thing}");
    }
}

#[test]
fn a_toolset_is_opened_by_whom_policies_let_and_opens_no_server() {
    for permit in [
        r#"permit (principal in Group::"staff", action == Action::"toolsets/use", resource == Toolset::"files");"#,
        r#"permit (principal in Group::"staff", action, resource == Toolset::"files");"#,
        r#"permit (principal in Group::"staff", action, resource is Toolset) when { resource.name == "files" };"#,
        r#"permit (principal in Group::"staff", action == Action::"toolsets/use", resource)
           when { resource.name == "files" };"#,
    ] {
        check(
            &loaded(permit),
            &[
                ("ada", "toolsets/use", "toolset files", None, true),
                ("ada", "toolsets/use", "toolset desk", None, false),
                ("bob", "toolsets/use", "toolset files", None, false),
                ("ada", "server/discover", "server files", None, false),
                ("ada", "tools/list", "tool files/read", None, false),
                ("ada", "tools/call", "tool files/read", None, false),
            ],
        );
    }
    check(
        &loaded(
            r#"permit (principal in Group::"staff", action in Action::"list", resource);
               forbid (principal, action == Action::"toolsets/use", resource == Toolset::"desk")
               unless { principal in Group::"finance" };
               permit (principal, action, resource == Tool::"files/read");"#,
        ),
        &[
            ("ada", "toolsets/use", "toolset desk", None, true),
            ("mallory", "toolsets/use", "toolset files", None, false),
            ("bob", "toolsets/use", "toolset files", None, false),
            ("bob", "tools/call", "tool files/read", None, true),
        ],
    );
}
