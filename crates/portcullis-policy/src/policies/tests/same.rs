//! Slices, remembered answers and forms decide as Cedar does with all policies and everything known.

use std::collections::HashSet;

use cedar_policy::{Authorizer, Context, Decision, Entities, PolicySet, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

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

/// What is used, with the action that uses it.
const USED: [(&str, &str); 10] = [
    ("tools/call", "tool files/a"),
    ("tools/call", "tool! crm/get_contact"),
    ("prompts/get", "prompt files/a"),
    ("prompts/get", "prompt crm/get_contact"),
    ("prompts/get", "prompt ledger/a"),
    ("resources/read", "resource files/file:///a"),
    ("resources/read", "resource crm/db://the_contact"),
    ("resources/read", "resource ledger/db://a"),
    ("toolsets/use", "toolset desk"),
    ("toolsets/use", "toolset files"),
];

/// A policy about any of them. What only some kinds of things have is asked of those.
fn policy_of_all() -> impl Strategy<Value = String> {
    let principal = prop::sample::select(vec![
        "principal",
        "principal",
        "principal in Group::\"staff\"",
        "principal in Role::\"reader\"",
        "principal == User::\"user:https://idp#bob\"",
    ]);
    let action = prop::sample::select(vec![
        "action",
        "action == Action::\"tools/call\"",
        "action == Action::\"prompts/get\"",
        "action == Action::\"resources/read\"",
        "action == Action::\"toolsets/use\"",
        "action == Action::\"server/discover\"",
        "action == Action::\"use\"",
        "action == Action::\"read\"",
        "action == Action::\"list\"",
        "action in Action::\"use\"",
        "action in Action::\"read\"",
        "action in Action::\"list\"",
        "action in [Action::\"tools/call\", Action::\"list\"]",
        "action in [Action::\"prompts/get\", Action::\"resources/read\"]",
    ]);
    let resource = prop::sample::select(vec![
        "resource",
        "resource",
        "resource is Toolset",
        "resource == Toolset::\"desk\"",
        "resource is Prompt",
        "resource == Prompt::\"files/a\"",
        "resource is Resource",
        "resource == Resource::\"ledger/db://a\"",
        "resource is Resource in Server::\"crm\"",
        "resource in Server::\"files\"",
        "resource in Label::\"pii\"",
        "resource is Prompt in Label::\"finance\"",
        "resource == Server::\"crm\"",
    ]);
    let atom = prop::sample::select(vec![
        "action == Action::\"prompts/get\"",
        "action == Action::\"read\"",
        "action in Action::\"read\"",
        "action in [Action::\"list\", Action::\"tools/call\"]",
        "resource is Toolset",
        "(resource is Toolset && resource.name == \"desk\")",
        "(resource is Prompt && resource.name == \"a\")",
        "(resource is Resource && resource.uri like \"db://*\")",
        "(resource is Resource && resource.scheme == \"file\")",
        "resource == Prompt::\"crm/get_contact\"",
        "resource in Label::\"pii\"",
        "resource in Server::\"crm\"",
        "principal in Group::\"finance\"",
        "principal is Key",
    ])
    .prop_map(str::to_owned);
    let condition = atom.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one} && {two})")),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| format!("({one} || {two})")),
            inner.prop_map(|one| format!("!({one})")),
        ]
    });
    let effect = prop::sample::select(vec!["permit", "permit", "forbid"]);
    (effect, principal, action, resource, prop::option::of(condition)).prop_map(
        |(effect, principal, action, resource, condition)| {
            let condition = condition.map_or(String::new(), |condition| format!("when {{ {condition} }}"));
            format!("{effect} ({principal}, {action}, {resource}) {condition};")
        },
    )
}

/// What Cedar says to all of them at once: whether it is permitted, and whether it is forbidden. Which actions are in which is
/// written here again.
fn of_all(set: &PolicySet, name: &str, action: &str, thing: &str) -> (bool, bool) {
    let entity = |kind: &str, id: &str, attributes: Value, parents: Vec<Value>| json!({"uid": {"type": kind, "id": id}, "attrs": attributes, "parents": parents});
    let at = |kind: &str, id: &str| json!({"type": kind, "id": id});
    let group = match action {
        "tools/call" => "use",
        "prompts/get" | "resources/read" => "read",
        _ => "list",
    };
    let caller = match name {
        "anonymous" => "Anonymous",
        "ci" => "Key",
        _ => "User",
    };
    let groups = match name {
        "ada" => vec![at("Group", "staff"), at("Group", "finance")],
        "anonymous" => vec![at("Group", "visitors")],
        "ci" => vec![at("Group", "bots")],
        _ => vec![],
    };
    let thing = what(thing);
    let (server, its) = (thing.server, thing.name);
    let own = if its.ends_with("_contact") { vec![at("Label", "pii")] } else { vec![] };
    let own = own.into_iter().chain([at("Server", server)]).collect();
    let (kind, id, attributes, parents) = match thing.kind {
        ThingKind::Toolset => ("Toolset", its.to_owned(), json!({"name": its}), vec![]),
        ThingKind::Server => ("Server", server.to_owned(), json!({"name": server}), labels_of(server)),
        ThingKind::Prompt => {
            ("Prompt", format!("{server}/{its}"), json!({"server": server, "name": its}), own)
        }
        ThingKind::Tool(_) => {
            ("Tool", format!("{server}/{its}"), json!({"server": server, "name": its}), own)
        }
        ThingKind::Resource | ThingKind::Template => {
            let scheme = its.split(':').next();
            (
                "Resource",
                format!("{server}/{its}"),
                json!({"server": server, "uri": its, "scheme": scheme}),
                own,
            )
        }
    };
    let mut entities = vec![
        entity("Action", action, json!({}), vec![at("Action", group)]),
        entity("Action", "list", json!({}), vec![at("Action", "read")]),
        entity("Action", "read", json!({}), vec![at("Action", "use")]),
        entity(caller, &who(name).id(), json!({}), groups),
        entity("Group", "visitors", json!({}), vec![at("Role", "reader")]),
        entity(kind, &id, attributes, parents),
    ];
    if !matches!(thing.kind, ThingKind::Server | ThingKind::Toolset) {
        entities.push(entity("Server", server, json!({"name": server}), labels_of(server)));
    }
    let entities = Entities::from_json_value(Value::Array(entities), None).unwrap();
    let request = Request::new(
        uid(caller, &who(name).id()),
        uid("Action", action),
        uid(kind, &id),
        Context::empty(),
        None,
    );
    let response = Authorizer::new().is_authorized(&request.unwrap(), set, &entities);
    assert!(response.diagnostics().errors().next().is_none());
    let permitted = response.decision() == Decision::Allow;
    (permitted, !permitted && response.diagnostics().reason().next().is_some())
}

fn labels_of(server: &str) -> Vec<Value> {
    match server {
        "crm" => vec![json!({"type": "Label", "id": "internal"})],
        "ledger" => vec![json!({"type": "Label", "id": "finance"})],
        _ => vec![],
    }
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

    #[test]
    fn whatever_is_used_is_decided_as_cedar_does(texts in prop::collection::vec(policy_of_all(), 1..10)) {
        let text = texts.join("\n");
        let roles = map(&[("reader", &["visitors"])]);
        let options = Options { roles, strict: false, ..options() };
        let policies = load_with(&text, &options);
        // The roles' own policies ask tools for their annotations, and have a test above.
        let set: PolicySet = text.parse().unwrap();
        for name in CALLERS.into_iter().filter(|name| *name != "anonymous") {
            let is_hidden = |server| of_all(&set, name, "server/discover", &format!("server {server}")).1;
            let hidden: Vec<_> = ["files", "crm", "ledger"].into_iter().filter(|it| is_hidden(*it)).collect();
            for (action, thing) in USED {
                let expected = of_all(&set, name, action, thing).0 && !hidden.contains(&what(thing).server);
                let found = may(&policies, name, action, thing, None);
                prop_assert_eq!(found, expected, "{} {} {}\n{}", name, action, thing, &text);
            }
        }
    }
}
