//! How an engine is set up: what it looks for, what it never reports, how much it takes on.
//!
//! The same for everybody; what happens with findings is in the plan of each call.

use crate::{EntitySet, KnownValues};

/// Settings of an [`crate::Engine`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is looked for.
    pub entities: EntitySet,
    /// Findings below this are not reported.
    pub threshold: f32,
    /// Values that are never reported, letter case aside: a support address, the company's own number.
    pub allow: Vec<String>,
    /// Values that are always a secret, whatever they look like.
    pub known: KnownValues,
    /// How much is taken on.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            entities: EntitySet::ALL,
            threshold: 0.5,
            allow: Vec::new(),
            known: KnownValues::default(),
            limits: Limits::default(),
        }
    }
}

/// Bounds on one text or document. Work is counted in bytes: the same input always gives the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest text or document.
    pub bytes: usize,
    /// Deepest nesting, documents inside strings counted.
    pub depth: usize,
    /// Most findings.
    pub findings: usize,
    /// How many bytes are decoded (base64, percent, documents in strings) for each byte that was handed in.
    pub decoded: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 << 20, depth: 64, findings: 100_000, decoded: 4 }
    }
}

/// Why an engine cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not between 0 and 1.
    #[error("a threshold is between 0 and 1")]
    Threshold,
    /// Deeper than the stack allows.
    #[error("the depth is 1 to 256")]
    Depth,
}
