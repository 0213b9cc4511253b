//! What a decision costs: 500 policies, 20 servers with 1,000 tools, callers in a few groups.
//!
//! `cargo bench -p portcullis-policy`; with `-- --test` each runs once.

#![allow(clippy::format_push_string, reason = "policies are written once, before anything is measured")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression,
};
use divan::{Bencher, black_box};
use portcullis_mcp::json::Raw;
use portcullis_model::{Principal, User};
use portcullis_policy::{
    Action, Annotations, Circumstances, Kind, Options, Policies, Source, Thing, ThingKind,
};

const SERVERS: usize = 20;
const TOOLS: usize = 1_000;
const GROUPS: usize = 25;

fn main() {
    divan::main();
}

/// 425 permits of a group on a server, some with conditions on attributes, 50 on arguments, 25 forbids.
fn sources() -> [Source; 1] {
    let mut text = String::new();
    for number in 0..425 {
        let (group, server) = (number % GROUPS, number * 7 % SERVERS);
        let condition = match number % 5 {
            0 => " when { resource.annotations.readOnlyHint }",
            1 => " when { principal.claims has level && principal.claims.level > 2 }",
            2 => " unless { resource.name like \"*_delete\" }",
            _ => "",
        };
        text += &format!(
            "permit (principal in Group::\"g{group}\", action in Action::\"use\", resource in Server::\"s{server}\"){};\n",
            if condition.contains("resource.") { "" } else { condition }
        );
        if condition.contains("resource.") {
            text.truncate(text.rfind("permit").unwrap());
            text += &format!(
                "permit (principal in Group::\"g{group}\", action == Action::\"tools/call\", resource in \
                 Server::\"s{server}\"){condition};\n"
            );
        }
    }
    for number in 0..50 {
        text += &format!(
            "permit (principal in Group::\"g{}\", action == Action::\"tools/call\", resource == Tool::\"s{}/tool_{number}\") \
             when {{ context.args has amount && context.args.amount < {number} }};\n",
            number % GROUPS,
            number % SERVERS
        );
    }
    for number in 0..25 {
        text += &format!(
            "forbid (principal in Group::\"g{number}\", action == Action::\"tools/call\", resource in \
             Server::\"s{}\") when {{ resource.name like \"*_{number}7\" }};\n",
            number % SERVERS
        );
    }
    [Source { file: "bench.cedar".into(), text }]
}

fn policies() -> Policies {
    let options = Options {
        servers: (0..SERVERS).map(|number| format!("s{number}")).collect(),
        claims: BTreeMap::from([("level".to_owned(), Kind::Integer)]),
        arguments: BTreeMap::from([("amount".to_owned(), Kind::Integer)]),
        strict: true,
        ..Options::default()
    };
    let policies = Policies::load(&sources(), &options).unwrap_or_else(|problems| panic!("{}", problems[0]));
    assert_eq!(policies.len(), 500);
    policies
}

fn caller(number: usize) -> Principal {
    let groups = [0, 5, 11].map(|step| format!("g{}", (number + step) % GROUPS));
    Principal::user(User {
        issuer: "https://idp.example.com".into(),
        subject: format!("user-{number}"),
        groups: groups.into(),
        scopes: vec!["mcp".into()],
        ..User::default()
    })
}

fn names() -> Vec<Vec<String>> {
    (0..SERVERS).map(|_| (0..TOOLS / SERVERS).map(|number| format!("tool_{number}")).collect()).collect()
}

fn tool<'a>(server: &'a str, name: &'a str) -> Thing<'a> {
    let hints = Annotations { read_only: name.len().is_multiple_of(2), ..Annotations::default() };
    Thing { server, kind: ThingKind::Tool(hints), name }
}

fn now() -> Circumstances {
    Circumstances { now: UNIX_EPOCH, ip: None }
}

/// The decision of [`decision_cold`] by Cedar itself, told all that there is about the caller and the tool and given the policies of
/// the server and the caller's groups alone. The bounds come from a machine on which this takes 20.5 µs, and are scaled by it where
/// it takes longer (`tests/steps`).
#[divan::bench]
fn reference(bencher: Bencher<'_, '_>) {
    bencher.bench(cedar());
}

/// A hundred of them, for what takes as long as that: whoever runs for milliseconds is held up by what else a machine does.
#[divan::bench]
fn reference_hundred(bencher: Bencher<'_, '_>) {
    let decide = cedar();
    bencher.bench(|| (0..100).for_each(|_| decide()));
}

fn cedar() -> impl Fn() {
    let [Source { text, .. }] = sources();
    let groups = ["g3", "g8", "g14"];
    let concerns = |line: &&str| {
        line.contains("Server::\"s3\"")
            && groups.iter().any(|group| line.contains(&format!("Group::\"{group}\"")))
    };
    let set: PolicySet = text.lines().filter(concerns).collect::<String>().parse().unwrap();
    let uid = |kind: &str, id: &str| {
        let kind: EntityTypeName = kind.parse().unwrap();
        EntityUid::from_type_name_and_id(kind, EntityId::new(id))
    };
    let (user, server, tool) = (uid("User", "user-3"), uid("Server", "s3"), uid("Tool", "s3/tool_7"));
    let (action, any_use) = (uid("Action", "tools/call"), uid("Action", "use"));
    let groups = groups.map(|group| uid("Group", group));
    let entity = |uid: &EntityUid, attributes: Vec<(&str, RestrictedExpression)>, parents: &[EntityUid]| {
        let attributes: HashMap<_, _> =
            attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Entity::new(uid.clone(), attributes, parents.iter().cloned().collect()).unwrap()
    };
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let authorizer = Authorizer::new();
    move || {
        let mut entities: Vec<_> =
            groups.iter().map(|group| Entity::new_no_attrs(group.clone(), HashSet::new())).collect();
        entities.push(entity(&user, vec![("id", text("user-3"))], &groups));
        entities.push(entity(&server, vec![("name", text("s3"))], &[]));
        let named = vec![("server", text("s3")), ("name", text("tool_7"))];
        entities.push(entity(&tool, named, std::slice::from_ref(&server)));
        entities.push(entity(&action, Vec::new(), std::slice::from_ref(&any_use)));
        let entities = Entities::from_entities(entities, None).unwrap();
        let request = Request::new(user.clone(), action.clone(), tool.clone(), Context::empty(), None);
        let response = authorizer.is_authorized(&request.unwrap(), &set, &entities);
        assert_eq!(response.decision(), Decision::Allow);
    }
}

/// A call of a tool that somebody has called before.
#[divan::bench]
fn decision_steady(bencher: Bencher<'_, '_>) {
    let (policies, caller, now) = (policies(), caller(3), now());
    bencher.bench(|| {
        let subject = policies.subject(black_box(&caller));
        policies.allows(&subject, Action::ToolsCall, tool("s3", "tool_7"), &now, None)
    });
}

/// The first decision about a tool, by somebody whose groups were met before.
#[divan::bench]
fn decision_cold(bencher: Bencher<'_, '_>) {
    let (policies, now) = (policies(), now());
    let warm = |number: usize| {
        let subject = policies.subject(&caller(number));
        assert!(policies.sees(&subject, "s3", &now));
        policies.allows(&subject, Action::ToolsCall, tool("s3", "other"), &now, None);
        subject
    };
    let number = AtomicUsize::new(3);
    bencher.with_inputs(|| warm(number.fetch_add(GROUPS, Ordering::Relaxed))).bench_values(|subject| {
        policies.allows(&subject, Action::ToolsCall, tool("s3", "tool_7"), &now, None)
    });
}

/// A decision that depends on arguments, which is made each time.
#[divan::bench]
fn decision_on_arguments(bencher: Bencher<'_, '_>) {
    let (policies, caller, now) = (policies(), caller(3), now());
    let arguments = Raw::from_static(r#"{"amount":2,"more":"text"}"#);
    let subject = policies.subject(&caller);
    bencher.bench(|| {
        policies.allows(&subject, Action::ToolsCall, tool("s3", "tool_3"), &now, Some(black_box(&arguments)))
    });
}

fn list(
    policies: &Policies,
    subject: &portcullis_policy::Subject,
    names: &[Vec<String>],
    round: u64,
) -> usize {
    let now = now();
    let mut shown = 0;
    for (server, names) in names.iter().enumerate() {
        let server = format!("s{server}");
        let things = names.iter().map(|name| tool(&server, name));
        let list = round * SERVERS as u64 + server[1..].parse::<u64>().unwrap();
        let kept = policies.shown(subject, Action::ToolsList, (&server, list), things, &now);
        shown += kept.things.iter().filter(|kept| **kept).count();
    }
    shown
}

/// The tools of all servers, for somebody who has listed them before.
#[divan::bench]
fn list_steady(bencher: Bencher<'_, '_>) {
    let (policies, caller, names) = (policies(), caller(3), names());
    bencher.bench(|| {
        let subject = policies.subject(black_box(&caller));
        list(&policies, &subject, &names, 0)
    });
}

/// The tools of all servers, for somebody who has never listed them.
#[divan::bench]
fn list_cold(bencher: Bencher<'_, '_>) {
    let (policies, names) = (policies(), names());
    let number = AtomicUsize::new(0);
    bencher
        .with_inputs(|| policies.subject(&caller(number.fetch_add(1, Ordering::Relaxed))))
        .bench_values(|subject| list(&policies, &subject, &names, 0));
}

/// Reading and checking all policies.
#[divan::bench(sample_count = 10)]
fn load(bencher: Bencher<'_, '_>) {
    bencher.bench(policies);
}
