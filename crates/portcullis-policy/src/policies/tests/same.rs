//! Slices, remembered answers and forms decide as Cedar does with all policies and everything known.

use std::collections::HashSet;

use cedar_policy::{Authorizer, Context, Decision, Entities, PolicySet, Request};
use proptest::prelude::*;

use super::*;

const THINGS: [&str; 8] = [
    "tool files/a",
    "tool files/b",
    "tool! files/a",
    "tool crm/a",
    "tool crm/get_contact",
    "tool! crm/get_contact",
    "tool ledger/a",
    "tool! ledger/b",
];
const CALLERS: [&str; 4] = ["ada", "bob", "anonymous", "ci"];
const ARGUMENTS: [&str; 4] = ["{}", r#"{"amount":1}"#, r#"{"amount":9,"path":"/a"}"#, r#"{"path":"/b"}"#];

fn policy() -> impl Strategy<Value = String> {
    let principal = prop::sample::select(vec![
        "principal",
        "principal in Group::\"staff\"",
        "principal in Group::\"visitors\"",
        "principal in Role::\"reader\"",
        "principal == User::\"user:https://idp#bob\"",
        "principal is Key",
        "principal is User in Group::\"staff\"",
    ]);
    let action =
        prop::sample::select(vec!["action == Action::\"tools/call\"", "action in [Action::\"tools/call\"]"]);
    let resource = prop::sample::select(vec![
        "resource",
        "resource is Tool",
        "resource in Server::\"files\"",
        "resource in Server::\"crm\"",
        "resource == Tool::\"files/a\"",
        "resource in Label::\"pii\"",
        "resource is Tool in Label::\"finance\"",
    ]);
    let atom = prop::sample::select(vec![
        "context.args has amount",
        "(context.args has amount && context.args.amount > 5)",
        "(context.args has path && context.args.path like \"/a*\")",
        "resource.annotations.readOnlyHint",
        "resource.name == \"a\"",
        "resource in Label::\"internal\"",
        "(principal has client)",
        "principal in Group::\"finance\"",
        "principal in [Group::\"visitors\", Group::\"bots\"]",
        "principal == User::\"user:https://idp#bob\"",
        "(principal is User && principal in Group::\"staff\")",
        "resource in Server::\"files\"",
        "resource == Tool::\"crm/a\"",
        "(principal.claims has level && principal.claims.level > 2)",
        "action == Action::\"tools/call\"",
        "action in Action::\"use\"",
    ])
    .prop_map(str::to_owned);
    let condition = atom.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one} && {two})")),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one} || {two})")),
            inner.clone().prop_map(|one| format!("!({one})")),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(one, two, three)| format!("(if {one} then {two} else {three})")),
        ]
    });
    let effect = prop::sample::select(vec!["permit", "permit", "forbid"]);
    let keyword = prop::sample::select(vec!["when", "unless"]);
    (effect, principal, action, resource, prop::option::of((keyword, condition))).prop_map(
        |(effect, principal, action, resource, condition)| {
            let condition = condition
                .map_or(String::new(), |(keyword, condition)| format!("{keyword} {{ {condition} }}"));
            format!("{effect} ({principal}, {action}, {resource}) {condition};")
        },
    )
}

/// What Cedar says to all of them at once, with a context and entities that are written here by hand.
fn unsliced(set: &PolicySet, name: &str, thing: &str, arguments: &str) -> bool {
    let thing = what(thing);
    let client = |name: &str| if matches!(name, "ada" | "bob") { ",\"client\":\"desktop\"" } else { "" };
    let kind = match name {
        "anonymous" => "Anonymous",
        "ci" => "Key",
        _ => "User",
    };
    let id = who(name).id();
    let groups = match name {
        "ada" => r#"{"type":"Group","id":"staff"},{"type":"Group","id":"finance"}"#,
        "anonymous" => r#"{"type":"Group","id":"visitors"}"#,
        "ci" => r#"{"type":"Group","id":"bots"}"#,
        _ => "",
    };
    let level = if name == "ada" { r#""level":3"# } else { "" };
    let own = if thing.name.ends_with("_contact") { r#",{"type":"Label","id":"pii"}"# } else { "" };
    let of_server = match thing.server {
        "crm" => r#"{"type":"Label","id":"internal"}"#,
        "ledger" => r#"{"type":"Label","id":"finance"}"#,
        _ => "",
    };
    let ThingKind::Tool(hints) = thing.kind else { panic!("a tool") };
    let (server, tool, read_only) = (thing.server, thing.name, hints.read_only);
    let entities = format!(
        r#"[{{"uid":{{"type":"Action","id":"tools/call"}},"attrs":{{}},"parents":[{{"type":"Action","id":"use"}}]}},
            {{"uid":{{"type":"{kind}","id":"{id}"}},"attrs":{{"claims":{{{level}}}{}}},"parents":[{groups}]}},
            {{"uid":{{"type":"Group","id":"visitors"}},"attrs":{{}},"parents":[{{"type":"Role","id":"reader"}}]}},
            {{"uid":{{"type":"Server","id":"{server}"}},"attrs":{{}},"parents":[{of_server}]}},
            {{"uid":{{"type":"Tool","id":"{server}/{tool}"}},"attrs":{{"name":"{tool}","annotations":
              {{"readOnlyHint":{read_only}}}}},"parents":[{{"type":"Server","id":"{server}"}}{own}]}}]"#,
        client(name)
    );
    let request = Request::new(
        uid(kind, &id),
        uid("Action", "tools/call"),
        uid("Tool", &format!("{server}/{tool}")),
        Context::from_json_str(&format!(r#"{{"args":{arguments}}}"#), None).unwrap(),
        None,
    );
    let entities = Entities::from_json_str(&entities, None).unwrap();
    let response = Authorizer::new().is_authorized(&request.unwrap(), set, &entities);
    assert!(response.diagnostics().errors().next().is_none());
    response.decision() == Decision::Allow
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn slices_decide_as_all_policies_do_and_lists_show_all_that_can_be_permitted(
        texts in prop::collection::vec(policy(), 1..12)
    ) {
        let text = texts.join("\n");
        let roles = map(&[("reader", &["visitors"])]);
        let options = Options { roles, strict: false, ..options() };
        let policies = load_with(&text, &options);
        let all = format!("{}\n{text}", include_str!("../../roles.cedar"));
        let set: PolicySet = all.parse().unwrap();
        for name in CALLERS {
            let subject = policies.subject(&who(name));
            let things = THINGS.iter().map(|thing| what(thing));
            for (index, thing) in THINGS.iter().enumerate() {
                let mut permitted = HashSet::new();
                for arguments in ARGUMENTS {
                    let expected = unsliced(&set, name, thing, arguments);
                    let found = may(&policies, name, "tools/call", thing, Some(arguments));
                    prop_assert_eq!(found, expected, "{} {} {}\n{}", name, thing, arguments, &text);
                    permitted.insert(expected);
                }
                let listed = may(&policies, name, "tools/list", thing, None);
                prop_assert!(listed || !permitted.contains(&true), "{} {} not listed\n{}", name, thing, &text);
                let server = what(thing).server;
                let list = things.clone().filter(|other| other.server == server);
                let place = list.clone().position(|other| other == what(thing)).unwrap();
                let shown = policies.shown(&subject, Action::ToolsList, (server, index as u64), list, &at(0));
                prop_assert_eq!(shown.things[place], listed, "{} {} in the list\n{}", name, thing, &text);
            }
        }
    }
}
