//! OCSF 1.6: every event is an API Activity (class 6003). What that class has no member for is in `unmapped`, as it was recorded.

use serde_json::{Value, json};

use super::{severity, title};
use crate::record::Record;

/// One event.
pub(super) fn write(record: &Record) -> Value {
    let event = &record.event;
    let denied = event.decision.verdict.as_deref() == Some("deny");
    let failed = denied || event.result.error.is_some() || event.result.is_error;
    let activity = if event.tool.read_only == Some(true) { 2 } else { 99 };
    let severity = match severity(record) {
        0..=1 => 1,
        2..=3 => 2,
        4..=5 => 3,
        6..=8 => 4,
        _ => 5,
    };
    let groups: Vec<_> = event.who.groups.iter().map(|name| json!({ "name": name })).collect();
    let user = event.who.person.as_ref().map(|person| json!({ "uid": person, "groups": groups }));
    without_nulls(json!({
        "activity_id": activity,
        "activity_name": title(record),
        "actor": {
            "user": user,
            // Somebody has to be named: what nobody asked for is the gateway's own.
            "app_name": (event.who.person.is_none() && event.who.client.is_none()).then_some("Portcullis"),
            "app_uid": event.who.client,
        },
        "api": {
            "operation": event.request.method.as_deref().unwrap_or(event.kind.as_str()),
            "request": { "uid": event.id },
            "service": { "name": event.server.id.as_deref().unwrap_or("portcullis") },
            "version": event.request.protocol,
        },
        "category_uid": 6,
        "class_uid": 6003,
        "duration": event.time.end_us.saturating_sub(event.time.start_us) / 1000,
        "end_time": event.time.end_us / 1000,
        "metadata": {
            "correlation_uid": event.trace.trace_id,
            "log_name": record.chain.log,
            "product": { "name": "Portcullis", "vendor_name": "Portcullis", "version": event.node.build },
            "sequence": record.chain.seq,
            "uid": event.id,
            "version": "1.6.0",
        },
        "resources": event.tool.name.as_ref().map(|name| vec![json!({ "name": name, "type": "tool" })]).unwrap_or_default(),
        "severity_id": severity,
        "src_endpoint": { "name": event.who.client.as_deref().unwrap_or("unknown") },
        "start_time": event.time.start_us / 1000,
        "status_detail": event.result.error,
        "status_id": if failed { 2 } else { 1 },
        "time": event.time.end_us / 1000,
        "type_uid": 600_300 + activity,
        "unmapped": serde_json::to_value(event).unwrap_or_default(),
    }))
}

/// What is not known is not there: the schema knows no nulls. An object that has nothing left stays, for some are demanded.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, member)| !member.is_null());
            kept.map(|(name, member)| (name, without_nulls(member))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        value => value,
    }
}
