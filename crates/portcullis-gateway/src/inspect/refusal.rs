//! What somebody is told whose message did not pass: which rule said so and what to do, never the value.

use std::collections::BTreeMap;

use portcullis_config::Direction;
use portcullis_guard::{Action, Report};
use portcullis_mcp::json::{Change, Raw};
use portcullis_model::ErrorKind;

use super::decision::Decision;
use super::guard::Guard;
use crate::call::Refusal;

/// Why a message was stopped.
pub(super) fn stopped(
    guard: &Guard,
    decision: &Decision,
    direction: Direction,
    server: &str,
    report: &Report,
) -> Refusal {
    let what = match direction {
        Direction::ToClient => format!("what server `{server}` said"),
        Direction::ToServer => format!("what was to be sent to server `{server}`"),
    };
    if let Some(limit) = &report.exceeded {
        let message = format!("the guard blocks {what}, which cannot be inspected in full: {limit}");
        return Refusal::new(ErrorKind::ContentBlocked, message);
    }
    let (by, list) = found(guard, decision, report);
    let advice = match direction {
        Direction::ToClient => "ask for less, or ask whoever runs the gateway for an exception",
        Direction::ToServer => "leave it out, or ask whoever runs the gateway for an exception",
    };
    let message = format!("the guard's {by} blocks {what}: {list}; {advice}");
    let rule = Raw::from_text(&by);
    let data = Raw::from_static("{}").with(&[("guard", Change::Set(rule.as_bytes()))]);
    Refusal::new(ErrorKind::ContentBlocked, message).with_data(data)
}

/// The rule that stops a message, and what of it.
fn found(guard: &Guard, decision: &Decision, report: &Report) -> (String, String) {
    let stops = |action: Action| matches!(action, Action::Block | Action::Hold);
    let found: Vec<_> = report.applied.iter().filter(|applied| stops(applied.action)).collect();
    let by = match found.first() {
        Some(applied) => {
            guard.name_of(decision.by(applied.finding.entity).or_else(|| decision.about_fields()))
        }
        None => guard.name_of(decision.about_fields()),
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for applied in &found {
        let (entity, detail) = (applied.finding.entity, applied.finding.detail);
        let name = if detail.is_empty() { entity.name().to_owned() } else { format!("{entity} ({detail})") };
        *counts.entry(name).or_default() += 1;
    }
    let list: Vec<_> = counts.iter().map(|(name, count)| format!("{count} × {name}")).collect();
    let list = if list.is_empty() { "a field that may not pass".to_owned() } else { list.join(", ") };
    (by, list)
}

/// Why a message waits for somebody's approval.
pub(super) fn held(guard: &Guard, decision: &Decision, report: &Report) -> String {
    let (by, list) = found(guard, decision, report);
    format!("the guard's {by} holds it: {list}")
}

/// A message that can only pass as it is, and must not.
pub(super) fn unchangeable(guard: &Guard, decision: &Decision, report: &Report, member: &str) -> Refusal {
    let found = report.applied.iter().find(|applied| applied.action != Action::Allow);
    let by = guard.name_of(found.and_then(|applied| decision.by(applied.finding.entity)));
    let message = format!(
        "the guard's {by} would change `{member}`, and the server would be asked for something else; \
         leave it out, or ask whoever runs the gateway for an exception"
    );
    Refusal::new(ErrorKind::ContentBlocked, message)
}

/// A structured result that cannot be made to fit both the rules and its schema.
pub(super) fn unfit(guard: &Guard, decision: &Decision, report: &Report, server: &str) -> Refusal {
    let found = report.applied.iter().find(|applied| applied.action != Action::Allow);
    let by = match found {
        Some(applied) => decision.by(applied.finding.entity).or_else(|| decision.about_fields()),
        None => decision.about_fields(),
    };
    let by = guard.name_of(by);
    let message = format!(
        "the guard's {by} changes what server `{server}` said, and the rest does not fit the tool's output schema; \
         ask whoever runs the gateway for another action"
    );
    Refusal::new(ErrorKind::ContentBlocked, message)
}
