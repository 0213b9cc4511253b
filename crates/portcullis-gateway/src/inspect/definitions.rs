//! What servers say of themselves: items of lists, instructions, names. It is the same for everybody, and is read once,
//! when it is shown for the first time.
//!
//! Rules about callers say nothing here, for a list is fetched for all. What may not pass is left out: an item is neither
//! listed nor can it be called, and instructions are not given. A name is never changed, for the server would not know it.

use std::sync::Arc;

use portcullis_config::Direction;
use portcullis_guard::{Outcome, Report};
use portcullis_mcp::json::Raw;
use portcullis_model::ServerId;

use super::decision::Form;
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

/// Reads what one server says of itself.
pub(crate) struct Definitions {
    guard: Arc<Guard>,
    server: ServerId,
}

impl Definitions {
    pub(crate) fn new(guard: Arc<Guard>, server: &ServerId) -> Self {
        Self { guard, server: server.clone() }
    }

    /// The items of a list that are shown, each identified by its member `key`.
    pub(crate) fn items(&self, key: &str, of_tools: bool, items: Unread<Vec<Raw>>) -> Vec<Raw> {
        let read = |item: Raw| {
            let name = item.find_string(key);
            let tool = name.as_deref().filter(|_| of_tools);
            let read = self.json(tool, name.as_deref().unwrap_or_default(), &item)?;
            if read.find_string(key) != name {
                self.left_out(name.as_deref().unwrap_or_default(), "its name may not be shown");
                return None;
            }
            Some(read)
        };
        items.0.into_iter().filter_map(read).collect()
    }

    /// A text; `None` when it is not shown.
    pub(crate) fn text(&self, text: &Unread<String>) -> Option<String> {
        let raw = Raw::from_text(&text.0);
        self.json(None, "instructions", &raw)?.string().map(std::borrow::Cow::into_owned)
    }

    /// Something else; `None` when it is not shown.
    pub(crate) fn value(&self, value: &Unread<Raw>) -> Option<Raw> {
        self.json(None, "what it says of itself", &value.0)
    }

    fn json(&self, tool: Option<&str>, name: &str, raw: &Raw) -> Option<Raw> {
        let (direction, form) = (Direction::ToClient, Form::Definition);
        let server = self.server.as_str();
        let decision = self.guard.decide(&About { direction, form, server, tool, caller: None });
        if decision.idle {
            return Some(raw.clone());
        }
        // There is nobody yet for whom a name could be sealed: such a value is redacted.
        let outcome = self.guard.engine.transform(raw, &decision.plan, &mut ());
        if *outcome.report() == Report::default() {
            return Some(raw.clone());
        }
        let shadow = self.guard.is_shadow();
        findings::count(&self.guard.metrics, direction, outcome.report(), shadow);
        match outcome {
            Outcome::Unchanged { .. } => Some(raw.clone()),
            _ if shadow => Some(raw.clone()),
            Outcome::Changed { bytes, .. } => Some(Raw::trusted(bytes)),
            Outcome::Blocked { report } | Outcome::Held { report } => {
                let refusal = super::refusal::stopped(&self.guard, &decision, direction, server, &report);
                self.left_out(name, &refusal.message);
                None
            }
        }
    }

    fn left_out(&self, name: &str, why: &str) {
        tracing::warn!(server.id = %self.server, name = %name.escape_debug(), why, "guard: left out of what the server says of itself");
    }
}
