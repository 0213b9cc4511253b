//! What other programs are given.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Format;
use crate::event::{Event, Finding, Kind};
use crate::record::{self, Record};

fn record() -> Vec<u8> {
    let mut event = Event::new(Kind::Denial);
    event.time = crate::Time { start_us: 1_798_761_599_000_000, end_us: 1_798_761_599_250_000 };
    event.request.method = Some("tools/call".to_owned());
    event.server.id = Some("files".to_owned());
    event.tool.name = Some("a|b=c\n\"d\",e".to_owned());
    event.decision.verdict = Some("deny".to_owned());
    event.who.person = Some("p-1".to_owned());
    event.who.client = Some("=cmd()".to_owned());
    event.trace.trace_id = Some("0af7651916cd43dd8448eb211c80319c".to_owned());
    event.trace.span_id = Some("b7ad6b7169203331".to_owned());
    event.guard.findings.push(Finding {
        rule: "IBAN".to_owned(),
        action: "block".to_owned(),
        count: 1,
        side: None,
    });
    event.decision.reasons = vec!["x".to_owned(), "y".to_owned()];
    event.decision.policies = vec!["p1".to_owned()];
    (event.human.approver, event.human.decision) = (Some("p-7 p-8".to_owned()), Some("approved".to_owned()));
    event.human.waited_ms = 4000;
    event.detail = [("what".to_owned(), "a\\b".to_owned())].into();
    record::of("\"log\"", 7, None, &event)
}

fn text(format: Format) -> String {
    String::from_utf8(format.write(&record()).unwrap()).unwrap()
}

#[test]
fn json_lines_are_the_bytes_that_were_hashed() {
    let record = record();
    assert_eq!(Format::Jsonl.write(&record).unwrap(), [&record[..], b"\n"].concat());
}

/// Reads a line as the format's document says ("ArcSight Common Event Format", version 25, "Character encoding"): in the header
/// `\\|` and `\\\\`, in the extension `\\=`, `\\\\`, `\\n` and `\\r`; a value ends where a space and another key follow.
fn read_cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let unescaped = |text: &str| {
        let (mut out, mut rest) = (String::new(), text.chars());
        while let Some(c) = rest.next() {
            match c {
                '\\' => out.push(match rest.next().unwrap() {
                    'n' => '\n',
                    'r' => '\r',
                    other => other,
                }),
                c => out.push(c),
            }
        }
        out
    };
    let (mut head, mut start, mut escaped) = (Vec::new(), 0, false);
    for (place, c) in line.char_indices() {
        if c == '|' && !escaped {
            head.push(unescaped(&line[start..place]));
            start = place + 1;
        }
        escaped = c == '\\' && !escaped;
        if head.len() == 7 {
            break;
        }
    }
    let mut fields = BTreeMap::<String, String>::new();
    let mut last: Option<String> = None;
    for word in line[start..].split(' ') {
        let place = word.char_indices().find(|(place, c)| *c == '=' && !word[..*place].ends_with('\\'));
        match place {
            Some((place, _)) => {
                let name = word[..place].to_owned();
                assert!(fields.insert(name.clone(), unescaped(&word[place + 1..])).is_none(), "{name} twice");
                last = Some(name);
            }
            None => {
                let value = fields.get_mut(last.as_ref().expect("a key")).unwrap();
                *value = format!("{value} {}", unescaped(word));
            }
        }
    }
    (head, fields)
}

#[test]
fn a_line_of_cef_reads_back_as_what_was_written() {
    let line = text(Format::Cef);
    assert_eq!(line.matches('\n').count(), 1);
    let (head, fields) = read_cef(line.trim_end_matches('\n'));
    let tool = "a|b=c\n\"d\",e";
    let title = format!("tools/call files/{tool}");
    assert_eq!(head, ["CEF:0", "Portcullis", "portcullis", "", "denial", &title, "6"]);
    for (name, value) in [
        ("cn1", "7"),
        ("act", "deny"),
        ("suid", "p-1"),
        ("sourceServiceName", "=cmd()"),
        ("reason", "x,y"),
        ("cs2Label", "tool"),
        ("cs2", tool),
        ("cs3Label", "findings"),
        ("cs3", "IBAN:block:1"),
        ("cs4Label", "approval"),
        ("cs4", "approved p-7 p-8 4000"),
        ("cs5", "p1"),
        ("end", "1798761599250"),
    ] {
        assert_eq!(fields.get(name).map(String::as_str), Some(value), "{name}: {line}");
    }
    assert!(!fields.contains_key("cs6") && !fields.contains_key("cs6Label"), "there is no system");
}

#[test]
fn a_row_of_csv_has_as_many_fields_as_the_header_and_no_formula() {
    let row = text(Format::Csv);
    assert!(row.contains("\"a|b=c\n\"\"d\"\",e\"") && row.contains(",'=cmd(),"), "{row}");
    assert!(row.contains("2026-12-31T23:59:59.250000Z,250000,denial"), "{row}");
    let (mut fields, mut inside) = (1, false);
    for c in row.chars() {
        inside ^= c == '"';
        fields += usize::from(c == ',' && !inside);
    }
    assert_eq!(fields, Format::Csv.header().split(',').count());
}

/// The published schema of the class (`ocsf-json-schema` 1.2.0, class `api_activity` of OCSF 1.6.0, without descriptions).
#[test]
fn ocsf_is_what_its_published_schema_says_of_every_kind_of_event() {
    let schema = include_str!("../../tests/ocsf/api_activity-1.6.0.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let full = serde_json::to_value(Record::parse(&record()).unwrap().event).unwrap();
    let (_, names) = include_str!("../event.rs").split_once("impl Kind {").unwrap();
    let (names, _) = names.split_once("\n}\n").unwrap();
    let names = names.lines().filter_map(|line| line.trim().strip_prefix("Self::"));
    let kinds: Vec<_> = names.filter_map(|line| line.split('"').nth(1)).collect();
    assert!(kinds.len() > 20, "{kinds:?}");
    for kind in kinds {
        for mut event in [full.clone(), serde_json::json!({})] {
            event["kind"] = kind.into();
            let event: Event = serde_json::from_value(event).unwrap();
            let bytes = record::of("\"log\"", 7, None, &event);
            let written: Value = serde_json::from_slice(&Format::Ocsf.write(&bytes).unwrap()).unwrap();
            let wrong: Vec<_> = validator.iter_errors(&written).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{kind}: {wrong:?} {written}");
        }
    }
    assert!(!validator.is_valid(&serde_json::json!({"class_uid": 6003})), "it can fail");
}

#[test]
fn ocsf_has_what_its_class_demands() {
    let event: Value = serde_json::from_str(&text(Format::Ocsf)).unwrap();
    for member in [
        "activity_id",
        "actor",
        "api",
        "category_uid",
        "class_uid",
        "metadata",
        "severity_id",
        "src_endpoint",
        "time",
        "type_uid",
    ] {
        assert!(!event[member].is_null(), "{member}");
    }
    assert_eq!(
        (&event["class_uid"], &event["status_id"], &event["time"]),
        (&6003.into(), &2.into(), &1_798_761_599_250_i64.into())
    );
    assert_eq!(
        event["type_uid"],
        event["class_uid"].as_i64().unwrap() * 100 + event["activity_id"].as_i64().unwrap()
    );
}

/// `AnyValue` of `opentelemetry/proto/common/v1/common.proto` (1.9), in the JSON mapping of Protocol Buffers.
fn read_any(value: &Value) -> Value {
    let members = value.as_object().expect("an AnyValue");
    assert_eq!(members.len(), 1, "one of them: {value}");
    let (kind, value) = members.iter().next().unwrap();
    match kind.as_str() {
        "stringValue" => value.as_str().expect("text").into(),
        "boolValue" => value.as_bool().expect("a flag").into(),
        "intValue" => value.as_str().expect("text").parse::<i64>().expect("a number").into(),
        "arrayValue" => value["values"].as_array().expect("values").iter().map(read_any).collect(),
        "kvlistValue" => Value::Object(read_list(&value["values"])),
        other => panic!("{other} is none"),
    }
}

fn read_list(values: &Value) -> serde_json::Map<String, Value> {
    let mut read = serde_json::Map::new();
    for value in values.as_array().expect("a list") {
        let key = value["key"].as_str().expect("a key").to_owned();
        assert!(!read.contains_key(&key), "{key} is there twice");
        read.insert(key, read_any(&value["value"]));
    }
    read
}

fn leaves(path: &str, value: &Value, into: &mut Vec<(String, Value)>) {
    match value.as_object() {
        Some(members) => {
            for (name, member) in members {
                leaves(&format!("{path}.{name}"), member, into);
            }
        }
        None => into.push((path.to_owned(), value.clone())),
    }
}

#[test]
fn otlp_has_every_field_in_its_own_type_and_the_trace() {
    let record = record();
    let request: Value = serde_json::from_slice(&Format::Otlp.write(&record).unwrap()).unwrap();
    let log = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(log["timeUnixNano"], "1798761599250000000");
    assert_eq!(log["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(log["spanId"], "b7ad6b7169203331");
    let attributes = read_list(&log["attributes"]);
    for (name, value) in [
        ("event.name", Value::from("portcullis.audit.denial")),
        ("mcp.method.name", "tools/call".into()),
        ("gen_ai.tool.name", "a|b=c\n\"d\",e".into()),
        ("portcullis.chain.seq", 7.into()),
        ("portcullis.human.approver", "p-7 p-8".into()),
        ("portcullis.human.waited_ms", 4000.into()),
        ("portcullis.decision.reasons", serde_json::json!(["x", "y"])),
        ("portcullis.guard.findings", serde_json::json!([{"rule": "IBAN", "action": "block", "count": 1}])),
    ] {
        assert_eq!(attributes.get(name), Some(&value), "{name}: {attributes:?}");
    }
    // Nothing of the record is left out.
    let record: Value = serde_json::from_slice(&record).unwrap();
    let mut all = Vec::new();
    leaves("portcullis", &record, &mut all);
    let mut said: Vec<_> = attributes.values().cloned().collect();
    said.extend([&log["traceId"], &log["spanId"]].map(Clone::clone));
    for (name, value) in all {
        let elsewhere = ["portcullis.kind", "portcullis.v", "portcullis.time.end_us"].contains(&&*name);
        assert!(elsewhere || said.contains(&value), "{name} is nowhere");
    }
}
