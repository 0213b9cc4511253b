//! OpenTelemetry logs in OTLP/JSON. Attributes have the names of the MCP conventions where there are some, as the spans have them
//! (`portcullis-telemetry`); all others are `portcullis.` and the name of the field. No field is left out.

use serde_json::{Map, Value, json};

use super::{severity, title};
use crate::record::Record;

/// What the conventions name. Source: `semantic-conventions-genai`, `docs/gen-ai/mcp.md` (status *Development*, read in November
/// 2026).
const CONVENTIONS: [(&str, &str); 6] = [
    ("request.id", "jsonrpc.request.id"),
    ("request.method", "mcp.method.name"),
    ("request.protocol", "mcp.protocol.version"),
    ("result.error", "error.type"),
    ("result.error_code", "rpc.response.status_code"),
    ("tool.name", "gen_ai.tool.name"),
];
/// What has a place of its own in a log record, its resource or its scope.
const ELSEWHERE: [&str; 7] =
    ["kind", "node.build", "node.name", "time.end_us", "trace.span_id", "trace.trace_id", "v"];

/// A request with one event.
pub(super) fn write(record: &Record) -> Value {
    let event = &record.event;
    let mut attributes =
        vec![attribute("event.name", json!(format!("portcullis.audit.{}", event.kind.as_str())))];
    for (group, value) in [("chain", json!(record.chain)), ("", json!(event))] {
        fields(group, value, &mut attributes);
    }
    let (number, text) = match severity(record) {
        0..=3 => (9, "INFO"),
        4..=6 => (13, "WARN"),
        _ => (17, "ERROR"),
    };
    let nanos = |micros: i64| micros.saturating_mul(1000).to_string();
    let mut log = json!({
        "timeUnixNano": nanos(event.time.end_us),
        "observedTimeUnixNano": nanos(event.time.end_us),
        "severityNumber": number,
        "severityText": text,
        "body": { "stringValue": title(record) },
        "attributes": attributes,
    });
    if let (Some(trace), Some(span)) = (&event.trace.trace_id, &event.trace.span_id) {
        log["traceId"] = json!(trace);
        log["spanId"] = json!(span);
    }
    let resource = [
        ("service.name", "portcullis"),
        ("service.version", &event.node.build),
        ("service.instance.id", &event.node.name),
    ];
    json!({ "resourceLogs": [{
        "resource": { "attributes": resource.map(|(key, value)| attribute(key, json!(value))) },
        "scopeLogs": [{ "scope": { "name": "portcullis.audit", "version": event.v.to_string() }, "logRecords": [log] }],
    }] })
}

/// The fields of a group, and of the groups in it.
fn fields(path: &str, value: Value, into: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                fields(&path, member, into);
            }
        }
        _ if ELSEWHERE.contains(&path) => {}
        value => {
            let known = CONVENTIONS.iter().find(|(field, _)| *field == path);
            let key = known.map_or_else(|| format!("portcullis.{path}"), |(_, name)| (*name).to_owned());
            into.push(attribute(&key, value));
        }
    }
}

fn attribute(key: &str, value: Value) -> Value {
    json!({ "key": key, "value": any(value) })
}

/// An `AnyValue`. In JSON its integers are texts (Protocol Buffers, "JSON mapping").
fn any(value: Value) -> Value {
    match value {
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::Number(value) => json!({ "intValue": value.to_string() }),
        Value::String(value) => json!({ "stringValue": value }),
        Value::Array(items) => {
            json!({ "arrayValue": { "values": items.into_iter().map(any).collect::<Vec<_>>() } })
        }
        Value::Object(members) => json!({ "kvlistValue": { "values": list(members) } }),
        Value::Null => json!({}),
    }
}

fn list(members: Map<String, Value>) -> Vec<Value> {
    members.into_iter().map(|(name, value)| attribute(&name, value)).collect()
}
