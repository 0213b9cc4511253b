//! The canonical form, seen by somebody who sorts.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Event, EventId, Finding, Kind};
use crate::record::{self, Record};

/// RFC 8785 for what events have: members sorted, no space, whole numbers.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_by_key(|name| name.encode_utf16().collect::<Vec<_>>());
            let members = names
                .iter()
                .map(|name| format!("{}:{}", Value::from(name.as_str()), canonical(&members[*name])));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

fn full() -> Event {
    let mut event = Event::new(Kind::Exchange);
    let some = || Some("x\u{1}\"\\\u{e9}\u{1f600}".to_owned());
    (event.data.legal_basis, event.data.retention) = (some(), some());
    event.data.categories = vec!["health".to_owned()];
    (event.decision.verdict, event.decision.revision) = (some(), some());
    (event.decision.policies, event.decision.reasons) =
        (vec!["b".to_owned(), "a".to_owned()], vec!["c".to_owned()]);
    (event.decision.obligations, event.decision.taint) = (vec!["o".to_owned()], vec!["t".to_owned()]);
    event.detail = [("b", "1"), ("a", "2")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    event.guard.findings.push(Finding {
        rule: "r".to_owned(),
        action: "a".to_owned(),
        count: 3,
        side: some(),
    });
    (event.human.approval, event.human.approver, event.human.decision) = (some(), some(), some());
    (event.human.reason, event.human.waited_ms) = (some(), 5);
    let content = || {
        let content = crate::Keyring::derive(b"0123456789abcdef").digest(b"x");
        Some(crate::Content { key: some(), place: Some((0, 9)), sealed: some(), ..content })
    };
    (event.input, event.output) = (content(), content());
    (event.node.name, event.node.build) = ("n".to_owned(), "b".to_owned());
    (event.parent, event.phase) = (Some(EventId::new()), Some(super::Phase::Outcome));
    let request = &mut event.request;
    (request.endpoint, request.era, request.id, request.method) = (some(), some(), some(), some());
    (request.protocol, request.session, request.transport) = (some(), some(), some());
    let result = &mut event.result;
    (result.error, result.error_code, result.is_error, result.status) = (some(), Some(-32000), true, some());
    (result.upstream_status, result.upstream_us) = (Some(200), 17);
    (event.server.id, event.server.version, event.server.delegation) = (some(), some(), some());
    let system = &mut event.system;
    (system.deployer, system.id, system.model, system.purpose, system.risk) =
        (some(), some(), some(), some(), some());
    (event.tool.definition, event.tool.name, event.tool.read_only) = (some(), some(), Some(false));
    (event.trace.span_id, event.trace.trace_id) = (some(), some());
    let who = &mut event.who;
    (who.actors, who.groups, who.assurance) =
        (vec!["p".to_owned()], vec!["g".to_owned()], vec!["mfa".to_owned()]);
    (who.client, who.network, who.person, who.proof) = (some(), some(), some(), some());
    event
}

/// The fields of a record, as the dictionary writes them: `who.person`, `guard.findings[].rule`.
fn fields(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        // Words of ours that differ from event to event.
        _ if path == "detail" => drop(into.insert(path.to_owned())),
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                fields(member, &path, into);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                fields(item, &format!("{path}[]"), into);
            }
        }
        _ => drop(into.insert(path.to_owned())),
    }
}

#[test]
fn the_published_dictionary_has_every_field_and_no_other() {
    let bytes = record::of("\"gw.example/audit\"", 3, Some(&[7; 32]), &full());
    let mut written = BTreeSet::new();
    fields(&serde_json::from_slice(&bytes).unwrap(), "", &mut written);
    let document = include_str!("../../../../docs/reference/audit.md");
    let (_, table) = document.split_once("| field |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let cells = table.lines().skip(2).filter_map(|row| row.split('|').nth(1));
    let documented: BTreeSet<String> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    assert_eq!(documented, written);
}

#[test]
fn records_are_in_the_canonical_form_and_come_back() {
    for event in [full(), Event::new(Kind::Gateway)] {
        let bytes = record::of("\"gw.example/audit\"", 3, Some(&[7; 32]), &event);
        assert_eq!(event.to_canonical(), serde_json::to_vec(&event).unwrap());
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), canonical(&value));
        let record = Record::parse(&bytes).unwrap();
        assert_eq!((record.event, record.chain.seq), (event.clone(), 3));
        assert_eq!(record::marks_of(&bytes).unwrap(), record::marks(&event));
    }
}

#[test]
fn every_character_is_written_as_everybody_writes_it() {
    let mut event = Event::new(Kind::Exchange);
    for code in (0..0x300).chain([0x2028, 0x2029, 0xd7ff, 0xfeff, 0xffff, 0x1_f600]) {
        let Some(character) = char::from_u32(code) else { continue };
        event.tool.name = Some(format!("a{character}b"));
        event.detail = [(format!("{character}"), String::new())].into();
        assert_eq!(event.to_canonical(), serde_json::to_vec(&event).unwrap(), "{code:x}");
    }
}

#[test]
fn what_is_escaped_is_found_wherever_it_stands() {
    for length in 0..70 {
        let plain = "x".repeat(length);
        let places = (0..length).flat_map(|at| ["\u{1f}", "\"", "\\"].map(|escaped| (at, escaped)));
        let texts = places.map(|(at, escaped)| [&plain[..at], escaped, &plain[at + 1..]].concat());
        for text in texts.chain([plain.clone(), plain.replace('x', "\u{7f}\u{e9}")]) {
            let mut written = Vec::new();
            super::Canonical::write(text.as_str(), &mut written);
            assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }
}

#[test]
fn ids_are_uuids_of_version_7_in_the_order_of_time() {
    let ids: Vec<EventId> = (0..1000).map(|_| EventId::new()).collect();
    for id in &ids {
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(*id));
        assert_eq!((text.len(), &text[14..15]), (36, "7"), "{text}");
        assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"), "{text}");
    }
    let times: Vec<String> = ids.iter().map(|id| id.to_string()[..13].to_owned()).collect();
    assert!(times.is_sorted());
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 1000);
}
