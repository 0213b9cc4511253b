//! What was found, and whether everything could be looked at.
//!
//! A finding names a place and never holds the value: findings are logged.

use crate::Entity;

/// One thing that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What it is.
    pub entity: Entity,
    /// Which kind: a country, an issuer of cards, the kind of a secret; empty when there are no kinds.
    pub detail: &'static str,
    /// The first byte, in the text or document that was handed in.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
    /// How sure it is, from 0 to 1.
    pub score: f32,
    /// In JSON, where it is: `$.records[0].email`; `#` leads into a document inside a string, and `…` stands for what is too
    /// long to be kept with every finding. Empty in text.
    pub path: String,
}

/// What a scan gives.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Scan {
    /// In order of their places; they do not overlap.
    pub findings: Vec<Finding>,
    /// Set when not everything was looked at: what was found is then not all there is.
    pub exceeded: Option<Limit>,
}

/// A limit of the engine. Whoever must not let anything slip treats one that is exceeded as a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// Longer than [`crate::Limits::bytes`].
    #[error("longer than {0} bytes")]
    Bytes(usize),
    /// Nested deeper than [`crate::Limits::depth`], documents inside strings counted.
    #[error("nested deeper than {0} levels")]
    Depth(usize),
    /// More than [`crate::Limits::findings`].
    #[error("more than {0} findings")]
    Findings(usize),
    /// More encoded text than [`crate::Limits::decoded`] allows for a document of this length.
    #[error("more encoded text than is decoded ({0} bytes)")]
    Decoded(usize),
    /// A text that somebody else should have looked at, and has not ([`crate::Told`]).
    #[error("not read by the recogniser")]
    Unread,
    /// Not JSON as this gateway takes it.
    #[error("not JSON")]
    NotJson,
}
