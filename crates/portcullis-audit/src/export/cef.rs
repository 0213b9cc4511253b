//! Common Event Format, version 0: a header of seven fields, then `key=value`.

use super::{severity, title};
use crate::event::Event;
use crate::record::Record;

/// One event without its newline.
pub(super) fn write(record: &Record) -> String {
    let event = &record.event;
    let head = ["Portcullis", "portcullis", &event.node.build, event.kind.as_str(), &title(record)];
    let mut line = String::from("CEF:0");
    for field in head {
        line.push('|');
        line.push_str(&escaped(field, '|'));
    }
    line.push('|');
    line.push_str(&severity(record).to_string());
    line.push('|');
    let millis = |micros: i64| Some(micros.div_euclid(1000).to_string());
    let fields = [
        ("externalId", Some(event.id.to_string())),
        ("start", millis(event.time.start_us)),
        ("end", millis(event.time.end_us)),
        ("dvchost", Some(event.node.name.clone())),
        ("suid", event.who.person.clone()),
        ("sourceServiceName", event.who.client.clone()),
        ("destinationServiceName", event.server.id.clone()),
        ("requestMethod", event.request.method.clone()),
        ("act", event.decision.verdict.clone()),
        ("outcome", event.result.status.clone()),
        ("reason", (!event.decision.reasons.is_empty()).then(|| event.decision.reasons.join(","))),
        ("in", event.input.as_ref().map(|input| input.size.to_string())),
        ("out", event.output.as_ref().map(|output| output.size.to_string())),
        ("cn1Label", Some("seq".to_owned())),
        ("cn1", Some(record.chain.seq.to_string())),
    ];
    // The six that the format has for whoever needs more.
    let own = [
        ("cs1", "log", Some(record.chain.log.clone())),
        ("cs2", "tool", event.tool.name.clone()),
        ("cs3", "findings", findings(event)),
        ("cs4", "approval", approval(event)),
        ("cs5", "policies", (!event.decision.policies.is_empty()).then(|| event.decision.policies.join(","))),
        ("cs6", "system", event.system.id.clone()),
    ];
    let own = own.into_iter().flat_map(|(name, label, value)| {
        let labelled = value.is_some().then(|| (format!("{name}Label"), Some(label.to_owned())));
        labelled.into_iter().chain([(name.to_owned(), value)])
    });
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(own);
    let fields = fields.filter_map(|(name, value)| Some(format!("{name}={}", escaped(&value?, '='))));
    line.push_str(&fields.collect::<Vec<_>>().join(" "));
    line
}

/// `IBAN:mask:2` for each.
fn findings(event: &Event) -> Option<String> {
    let each = event.guard.findings.iter().map(|it| format!("{}:{}:{}", it.rule, it.action, it.count));
    Some(each.collect::<Vec<_>>().join(",")).filter(|all| !all.is_empty())
}

/// What people decided, which of them, and after how many milliseconds: `approved p-1 p-2 4000`.
fn approval(event: &Event) -> Option<String> {
    let human = &event.human;
    let decision = human.decision.clone()?;
    let by = human.approver.as_deref().unwrap_or("nobody");
    Some(format!("{decision} {by} {}", human.waited_ms))
}

/// Backslashes, the separator of the place, and ends of lines.
fn escaped(text: &str, separator: char) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            c => {
                if c == '\\' || c == separator {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
        }
    }
    escaped
}
