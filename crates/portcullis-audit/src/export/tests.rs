//! What other programs are given.

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
    record::write("\"log\"", 7, None, &event.to_canonical())
}

fn text(format: Format) -> String {
    String::from_utf8(format.write(&record()).unwrap()).unwrap()
}

#[test]
fn json_lines_are_the_bytes_that_were_hashed() {
    let record = record();
    assert_eq!(Format::Jsonl.write(&record).unwrap(), [&record[..], b"\n"].concat());
}

#[test]
fn a_line_of_cef_is_one_line_and_nothing_in_it_ends_a_field() {
    let line = text(Format::Cef);
    assert_eq!(line.matches('\n').count(), 1);
    let head: Vec<&str> = line.splitn(8, '|').collect();
    assert_eq!(head[..3], ["CEF:0", "Portcullis", "portcullis"]);
    assert!(line.contains("tools/call files/a\\|b=c\\n") && line.contains("cs2=a|b\\=c\\n\"d\",e"), "{line}");
    assert!(line.contains(" cn1=7 ") && line.contains(" act=deny "), "{line}");
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
            let bytes = record::write("\"log\"", 7, None, &event.to_canonical());
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

#[test]
fn otlp_has_times_as_text_and_the_trace() {
    let request: Value = serde_json::from_str(&text(Format::Otlp)).unwrap();
    let log = &request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(log["timeUnixNano"], "1798761599250000000");
    assert_eq!(log["traceId"], "0af7651916cd43dd8448eb211c80319c");
    let names: Vec<&str> =
        log["attributes"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap()).collect();
    assert!(names.contains(&"mcp.method.name") && names.contains(&"gen_ai.tool.name"), "{names:?}");
}
