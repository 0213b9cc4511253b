//! OpenTelemetry logs in OTLP/JSON. Attributes have the names of the MCP conventions where there are some; all
//! others are `portcullis.` and the name of the field.

use serde_json::{Value, json};

use super::{severity, title};
use crate::record::Record;

/// A request with one event.
pub(super) fn write(record: &Record) -> Value {
    let event = &record.event;
    let attributes = [
        ("event.name", Some(format!("portcullis.audit.{}", event.kind.as_str()))),
        ("portcullis.audit.id", Some(event.id.0.clone())),
        ("portcullis.audit.log", Some(record.chain.log.clone())),
        ("portcullis.audit.seq", Some(record.chain.seq.to_string())),
        ("mcp.method.name", event.request.method.clone()),
        ("mcp.protocol.version", event.request.protocol.clone()),
        ("jsonrpc.request.id", event.request.id.clone()),
        ("gen_ai.tool.name", event.tool.name.clone()),
        ("portcullis.server.id", event.server.id.clone()),
        ("portcullis.principal.id", event.who.person.clone()),
        ("portcullis.client", event.who.client.clone()),
        ("portcullis.decision", event.decision.verdict.clone()),
        ("portcullis.policy.revision", event.decision.revision.clone()),
        ("portcullis.status", event.result.status.clone()),
        ("error.type", event.result.error.clone()),
    ];
    let attributes: Vec<Value> =
        attributes.into_iter().filter_map(|(key, value)| Some(attribute(key, &value?))).collect();
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
        "resource": { "attributes": resource.map(|(key, value)| attribute(key, value)) },
        "scopeLogs": [{ "scope": { "name": "portcullis.audit", "version": event.v.to_string() }, "logRecords": [log] }],
    }] })
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}
