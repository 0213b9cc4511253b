//! What servers say of themselves: items of lists, instructions, names. It is the same for everybody, and is read once,
//! when it is shown for the first time.
//!
//! Rules about callers say nothing here, for a list is fetched for all. What may not pass is left out: an item is neither
//! listed nor can it be called, and instructions are not given. A name is never changed, for the server would not know it.
//! What reads like orders to a model is for somebody to look at where definitions are pinned: it is marked [`Suspect`], and
//! passes when it was approved.

use std::sync::Arc;

use portcullis_config::Direction;
use portcullis_guard::{Action, Entity, Finding, Outcome, Plan, Report};
use portcullis_mcp::json::Raw;
use portcullis_model::ServerId;
use portcullis_oversight::{Definition, DefinitionKind};

use super::decision::{Decision, Form};
use super::findings;
use super::guard::{About, Guard};

/// What a server said and nobody has read yet.
#[derive(Clone, Debug)]
pub(crate) struct Unread<T>(T);

impl<T> Unread<T> {
    /// As the server wrote it.
    pub(crate) fn new(written: T) -> Self {
        Self(written)
    }

    /// The same, for those who decide whether clients are shown it at all.
    pub(crate) fn to_be_judged(&self) -> &T {
        &self.0
    }
}

/// Whether something is shown to nobody before somebody has approved of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suspect(pub(crate) bool);

/// Reads what one server says of itself.
pub(crate) struct Definitions {
    guard: Arc<Guard>,
    server: ServerId,
    /// Somebody can look at what is held back, and approve of it.
    pinned: bool,
}

impl Definitions {
    pub(crate) fn new(guard: Arc<Guard>, server: &ServerId, pinned: bool) -> Self {
        Self { guard, server: server.clone(), pinned }
    }

    /// The items of a list that are shown, each identified by its member `key`.
    pub(crate) fn items(&self, key: &str, of_tools: bool, items: Unread<Vec<Raw>>) -> Vec<(Raw, Suspect)> {
        let read = |item: Raw| {
            let name = item.find_string(key);
            let tool = name.as_deref().filter(|_| of_tools);
            let read = self.json(tool, name.as_deref().unwrap_or_default(), &item, self.pinned)?;
            if read.0.find_string(key) != name {
                self.left_out(name.as_deref().unwrap_or_default(), "its name may not be shown");
                return None;
            }
            Some(read)
        };
        items.0.into_iter().filter_map(read).collect()
    }

    /// A text; `None` when it is not shown.
    pub(crate) fn text(&self, text: &Unread<String>) -> Option<(String, Suspect)> {
        let raw = Raw::from_text(&text.0);
        let (read, suspect) = self.json(None, "instructions", &raw, self.pinned)?;
        Some((read.string()?.into_owned(), suspect))
    }

    /// Something else; `None` when it is not shown.
    pub(crate) fn value(&self, value: &Unread<Raw>) -> Option<Raw> {
        self.json(None, "what it says of itself", &value.0, false).map(|(read, _)| read)
    }

    fn json(&self, tool: Option<&str>, name: &str, raw: &Raw, pinned: bool) -> Option<(Raw, Suspect)> {
        let (direction, form) = (Direction::ToClient, Form::Definition);
        let server = self.server.as_str();
        let decision = self.guard.decide(&About { direction, form, server, tool, caller: None, ruled: None });
        let same = |suspect| Some((raw.clone(), Suspect(suspect)));
        if decision.idle {
            return same(false);
        }
        let watched = watched(&decision).filter(|_| pinned);
        let plan = watched.as_ref().unwrap_or(&decision.plan);
        // There is nobody yet for whom a name could be sealed: such a value is redacted.
        let outcome = self.guard.engine.transform(raw, plan, &mut (), None);
        if *outcome.report() == Report::default() {
            return same(false);
        }
        let shadow = self.guard.is_shadow();
        findings::count(&self.guard.metrics, direction, outcome.report(), shadow);
        let ordering = |report: &Report| report.applied.iter().any(|it| is_order(&it.finding));
        let suspect = watched.is_some() && !shadow && ordering(outcome.report());
        match outcome {
            Outcome::Unchanged { .. } => same(suspect),
            _ if shadow => same(false),
            Outcome::Changed { bytes, .. } => Some((Raw::trusted(bytes), Suspect(suspect))),
            Outcome::Blocked { report } | Outcome::Held { report } => {
                let refusal = super::refusal::stopped(&self.guard, &decision, direction, server, &report);
                self.left_out(name, &refusal.message);
                None
            }
        }
    }

    /// What in a definition reads like orders to a model, if somebody has to look at that.
    pub(crate) fn suspicion(&self, definition: &Definition) -> Option<String> {
        let (direction, form, server) = (Direction::ToClient, Form::Definition, self.server.as_str());
        let tool = (definition.kind == DefinitionKind::Tool).then_some(definition.name.as_str());
        let decision = self.guard.decide(&About { direction, form, server, tool, caller: None, ruled: None });
        watched(&decision).filter(|_| !self.guard.is_shadow())?;
        let found = self.guard.engine.scan_json(definition.text.as_bytes()).findings;
        let order = found.into_iter().find(is_order)?;
        let words = definition.text.get(order.start..order.end).unwrap_or_default();
        Some(format!("{words:.80} ({})", if order.detail.is_empty() { "order" } else { order.detail }))
    }

    fn left_out(&self, name: &str, why: &str) {
        tracing::warn!(server.id = %self.server, name = %name.escape_debug(), why, "guard: left out of what the server says of itself");
    }
}

/// Whether somebody has to look at what was found in a definition. That a model is spoken to is what definitions are for (`Note to
/// LLM: use the … tool`); what it is told to do counts.
fn is_order(finding: &Finding) -> bool {
    finding.entity == Entity::Injection && finding.detail != "address"
}

/// The plan where somebody looks at what reads like orders, instead of its being left out. A rule of the operator's that blocks
/// it goes on doing so.
fn watched(decision: &Decision) -> Option<Plan> {
    let action = decision.plan.action(Entity::Injection);
    let watched = match decision.by(Entity::Injection) {
        None => action == Action::Block,
        Some(_) => action == Action::Hold,
    };
    let mut plan = watched.then(|| decision.plan.clone())?;
    plan.actions[Entity::Injection as usize] = Action::Allow;
    Some(plan)
}
