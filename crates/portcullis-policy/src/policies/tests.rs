//! `may(policies, who, what)`: what a set of policies decides.

mod decisions;
mod loading;
mod same;
mod step_up;

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use portcullis_mcp::json::Raw;
use portcullis_model::{Claim, Key, Principal, User};

use super::*;
use crate::thing::{Annotations, ThingKind};

pub(super) fn map(pairs: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    pairs.iter().map(|(key, values)| ((*key).to_owned(), texts(values))).collect()
}

/// What most tests say beside their policies.
pub(super) fn options() -> Options {
    Options {
        groups: map(&[("visitors", &["anonymous"]), ("bots", &["key:ci"])]),
        labels: map(&[
            ("pii", &["crm/*_contact"]),
            ("restricted", &["files/format"]),
            ("internal", &["crm"]),
            ("finance", &["led*"]),
        ]),
        servers: ["files", "crm", "ledger"].map(str::to_owned).into(),
        toolsets: ["desk", "files"].map(str::to_owned).into(),
        claims: BTreeMap::from([("department".to_owned(), Kind::Text), ("level".to_owned(), Kind::Integer)]),
        arguments: BTreeMap::from([("path".to_owned(), Kind::Text), ("amount".to_owned(), Kind::Integer)]),
        strict: true,
        ..Options::default()
    }
}

pub(super) fn load_with(text: &str, options: &Options) -> Policies {
    let source = Source { file: "test.cedar".into(), text: text.into() };
    Policies::load(&[source], options).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

pub(super) fn loaded(text: &str) -> Policies {
    load_with(text, &options())
}

/// `ada` is in groups and has claims; `anonymous`; `key:ci`; anything else is a user without anything.
pub(super) fn who(name: &str) -> Principal {
    let user = |groups: &[&str], claims: BTreeMap<String, Claim>| {
        Principal::user(User {
            issuer: "https://idp".into(),
            subject: name.into(),
            client_id: Some("desktop".into()),
            scopes: vec!["mcp".into()],
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            claims,
        })
    };
    match name {
        "ada" => user(
            &["staff", "finance"],
            [("department".into(), Claim::Text("sales".into())), ("level".into(), Claim::Integer(3))].into(),
        ),
        "mallory" => user(&["staff"], [("level".into(), Claim::Text("9".into()))].into()),
        "anonymous" => Principal::Anonymous,
        "ci" => Principal::key(Key { id: "ci".into(), ..Key::default() }),
        _ => user(&[], BTreeMap::new()),
    }
}

pub(super) fn at(second: u64) -> Circumstances {
    Circumstances { now: UNIX_EPOCH + std::time::Duration::from_secs(second), ip: Some([10, 1, 2, 3].into()) }
}

/// `tool files/read_x`, `tool! …` for one that says it only reads, `prompt …`, `resource …`, `template …`, `server …`, `toolset …`.
pub(super) fn what(text: &str) -> Thing<'_> {
    let (kind, name) = text.split_once(' ').unwrap();
    if kind == "toolset" {
        return Thing::toolset(name);
    }
    let (server, name) = name.split_once('/').unwrap_or((name, ""));
    let read_only = Annotations { read_only: true, destructive: false, ..Annotations::default() };
    let kind = match kind {
        "tool" => ThingKind::Tool(Annotations::default()),
        "tool!" => ThingKind::Tool(read_only),
        "prompt" => ThingKind::Prompt,
        "resource" => ThingKind::Resource,
        "template" => ThingKind::Template,
        _ => ThingKind::Server,
    };
    Thing { server, kind, name }
}

/// Decides twice, so that what is remembered is what was decided, and holds the explanation against it.
pub(super) fn may(
    policies: &Policies,
    name: &str,
    action: &str,
    thing: &str,
    arguments: Option<&str>,
) -> bool {
    let (who, what, action) = (who(name), what(thing), Action::named(action).unwrap());
    let arguments = arguments.map(|text| Raw::trusted(text.to_owned()));
    let subject = policies.subject(&who);
    let decide = || {
        let decision = policies.decide(&subject, action, what, &at(0), arguments.as_ref());
        let reasons: Vec<_> = decision.reasons.iter().map(|rule| policies.id(*rule).to_owned()).collect();
        (decision.allowed, reasons)
    };
    let (allowed, reasons) = decide();
    assert_eq!(decide(), (allowed, reasons.clone()), "remembered otherwise: {name} {action:?} {thing}");
    let verdict = policies.explain(&who, action, what, &at(0), arguments.as_ref());
    assert_eq!(verdict.allowed, allowed, "explained otherwise: {name} {action:?} {thing}: {verdict:?}");
    if allowed {
        let explained: Vec<_> = verdict.reasons.iter().map(|reason| reason.id.clone()).collect();
        assert_eq!(reasons, explained, "for other reasons: {name} {action:?} {thing}");
    }
    allowed
}
