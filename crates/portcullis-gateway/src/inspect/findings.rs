//! What the guard found and did in one call, in numbers: for the record, for metrics, and for whoever reads the answer.
//!
//! No value is ever in it, nor a place, which may be named after one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use portcullis_config::Direction;
use portcullis_guard::{Action, Entity, Report};
use portcullis_mcp::json::{Change, Kind, Raw};
use portcullis_telemetry::Metrics;

/// The member of `_meta` that says what was done.
pub(super) const META: &str = "io.portcullis/guard";

/// What was found in one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// How often what was done about what, by the way that it went.
    pub(crate) counts: BTreeMap<(Direction, Entity, Action), usize>,
    /// Fields that were changed or left out, whatever they held.
    pub(crate) fields: usize,
    /// Why something did not pass, when it did not.
    pub(crate) stopped: Option<String>,
    /// What would have been done, and was not.
    pub(crate) shadow: bool,
}

impl Findings {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.fields == 0 && self.stopped.is_none()
    }

    pub(super) fn add(&mut self, direction: Direction, report: &Report) {
        for ((entity, action), count) in report.counts() {
            *self.counts.entry((direction, entity, action)).or_default() += count;
        }
        self.fields += report.fields.len();
    }
}

impl std::fmt::Display for Findings {
    /// `to-client SECRET redact 2, fields 1`: for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<_> = self
            .counts
            .iter()
            .map(|((direction, entity, action), count)| {
                format!("{} {entity} {action} {count}", name(*direction))
            })
            .collect();
        parts.extend((self.fields > 0).then(|| format!("fields {}", self.fields)));
        parts.extend(self.stopped.is_some().then(|| "stopped".to_owned()));
        parts.extend(self.shadow.then(|| "shadow".to_owned()));
        f.write_str(&parts.join(", "))
    }
}

/// Counts what was done.
pub(super) fn count(metrics: &Metrics, direction: Direction, report: &Report, shadow: bool) {
    let direction = name(direction);
    let mode = if shadow { "shadow" } else { "enforce" };
    let add = |entity: &str, action: Action, count: usize| {
        let labels =
            [("entity", entity), ("action", action.name()), ("direction", direction), ("mode", mode)];
        let help = "What the guard found, by what was done about it.";
        let counter = metrics.counter("portcullis_guard_findings_total", help, &labels);
        counter.add(u64::try_from(count).unwrap_or(u64::MAX));
    };
    for ((entity, action), count) in report.counts() {
        add(entity.name(), action, count);
    }
    let mut fields: BTreeMap<Action, usize> = BTreeMap::new();
    for (_, action) in &report.fields {
        *fields.entry(*action).or_default() += 1;
    }
    for (action, count) in fields {
        add("_field", action, count);
    }
    if report.exceeded.is_some() {
        add("_limit", Action::Block, 1);
    }
}

/// The name of a direction.
pub(super) fn name(direction: Direction) -> &'static str {
    match direction {
        Direction::ToClient => "to-client",
        Direction::ToServer => "to-server",
    }
}

/// A message that was changed, saying what was done to it.
pub(super) fn noted(message: &Raw, report: &Report) -> Raw {
    if message.kind() != Kind::Object {
        return message.clone();
    }
    let note = note(report);
    message.map_member("_meta", |meta| {
        let meta = meta.filter(|meta| meta.kind() == Kind::Object);
        let meta = meta.unwrap_or_else(|| Raw::from_static("{}"));
        meta.with(&[(META, Change::Set(note.as_bytes()))])
    })
}

/// `{"SECRET":{"redact":2},"fields":{"drop":1}}`, without what was allowed.
fn note(report: &Report) -> String {
    let mut by_name: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for ((entity, action), count) in report.counts() {
        if action != Action::Allow {
            *by_name.entry(entity.name()).or_default().entry(action.name()).or_default() += count;
        }
    }
    for (_, action) in &report.fields {
        *by_name.entry("fields").or_default().entry(action.name()).or_default() += 1;
    }
    let mut out = String::from("{");
    for (index, (name, actions)) in by_name.iter().enumerate() {
        let _ = write!(out, "{}\"{name}\":{{", if index > 0 { "," } else { "" });
        for (index, (action, count)) in actions.iter().enumerate() {
            let _ = write!(out, "{}\"{action}\":{count}", if index > 0 { "," } else { "" });
        }
        out.push('}');
    }
    out.push('}');
    out
}
