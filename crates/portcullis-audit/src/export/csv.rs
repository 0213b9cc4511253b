//! Comma-separated values (RFC 4180): what people put into a table, a column for each.

use crate::record::Record;
use crate::time::rfc3339;

const COLUMNS: [&str; 20] = [
    "seq",
    "id",
    "time",
    "duration_us",
    "kind",
    "node",
    "person",
    "client",
    "groups",
    "method",
    "server",
    "tool",
    "decision",
    "reasons",
    "policies",
    "findings",
    "status",
    "error",
    "input_bytes",
    "output_bytes",
];

/// The names of the columns.
pub(super) fn header() -> String {
    format!("{}\n", COLUMNS.join(","))
}

/// One event without its newline.
pub(super) fn write(record: &Record) -> String {
    let event = &record.event;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let size =
        |content: &Option<crate::Content>| content.as_ref().map(|it| it.size.to_string()).unwrap_or_default();
    let findings: Vec<String> =
        event.guard.findings.iter().map(|it| format!("{}:{}:{}", it.rule, it.action, it.count)).collect();
    let values: [String; COLUMNS.len()] = [
        record.chain.seq.to_string(),
        event.id.to_string(),
        rfc3339(event.time.end_us),
        event.time.end_us.saturating_sub(event.time.start_us).to_string(),
        event.kind.as_str().to_owned(),
        event.node.name.clone(),
        text(&event.who.person),
        text(&event.who.client),
        event.who.groups.join(" "),
        text(&event.request.method),
        text(&event.server.id),
        text(&event.tool.name),
        text(&event.decision.verdict),
        event.decision.reasons.join(" "),
        event.decision.policies.join(" "),
        findings.join(" "),
        text(&event.result.status),
        text(&event.result.error),
        size(&event.input),
        size(&event.output),
    ];
    values.map(|value| quoted(&value)).join(",")
}

/// Quoted where it has to be; what a table would take for a formula gets an apostrophe.
fn quoted(value: &str) -> String {
    let value = if value.starts_with(['=', '+', '-', '@']) { format!("'{value}") } else { value.to_owned() };
    if value.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
}
