//! What was decided about a tool, a call or a caller, and by whom, as a value: for the log, and for whoever keeps evidence.
//!
//! Names of tools and prompts may stand in logs, URIs may not, and arguments never get here.

use portcullis_oversight::{Decided, Pin, visible};

use super::evidence::Evidence;

/// A decision.
pub(crate) struct Decision<'a> {
    /// What was decided, as a few words that never change.
    pub(crate) what: &'static str,
    pub(crate) server: &'a str,
    /// `tool`, `prompt`, `resource`, `template` or `instructions`; empty when it is about none.
    pub(crate) kind: &'a str,
    /// The server's own name or URI for it.
    pub(crate) name: &'a str,
    /// The definition.
    pub(crate) pin: Option<Pin>,
    /// Whose call it is.
    pub(crate) principal: Option<&'a str>,
    /// Who decided; `None` when it follows from what is configured.
    pub(crate) by: Option<&'a str>,
    pub(crate) why: &'a str,
}

/// Puts a decision on record.
pub(crate) fn decided(decision: &Decision<'_>) {
    let Decision { what, server, kind, name, pin, principal, by, why } = decision;
    let name = if matches!(*kind, "tool" | "prompt") { visible(name) } else { String::new() };
    let pin = pin.map(|pin| pin.to_string());
    tracing::warn!(
        server.id = server,
        kind,
        tool.name = name,
        pin,
        principal.id = principal,
        by,
        why,
        "oversight: {what}"
    );
}

/// Puts on record what somebody decided about a definition.
pub(crate) fn ruled(evidence: Option<&Evidence>, ruled: &Decided) {
    let entry = &ruled.entry;
    decided(&Decision {
        what: if ruled.approved { "definition approved" } else { "definition rejected" },
        server: &entry.server,
        kind: entry.kind.as_str(),
        name: &entry.name,
        pin: Some(ruled.pin),
        principal: None,
        by: Some(&ruled.by),
        why: "",
    });
    if let Some(evidence) = evidence {
        evidence.definition_decided(ruled);
    }
}
