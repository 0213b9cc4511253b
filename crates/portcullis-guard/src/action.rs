//! What happens to what was found.
//!
//! From the mildest to the hardest; where two hold for one place, the harder one wins (`Ord`).

use std::fmt;

/// What is done with a finding, or with a whole field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Action {
    /// Passes, and is reported.
    #[default]
    Allow,
    /// Replaced by a sealed name that can be opened again on the way to who may have it.
    Pseudonym,
    /// Most characters become `*`: the last four of a card, the first letter and the domain of an address.
    Partial,
    /// Every letter and digit becomes `*`.
    Mask,
    /// Replaced by a keyed hash: joinable, not reversible.
    Hash,
    /// Replaced by the name of the entity.
    Redact,
    /// The member or element that holds it goes.
    Drop,
    /// The message waits for somebody's approval.
    Hold,
    /// The message does not pass.
    Block,
}

impl Action {
    /// All, mildest first.
    pub const ALL: [Self; 9] = [
        Self::Allow,
        Self::Pseudonym,
        Self::Partial,
        Self::Mask,
        Self::Hash,
        Self::Redact,
        Self::Drop,
        Self::Hold,
        Self::Block,
    ];

    /// The name in configurations and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Pseudonym => "pseudonym",
            Self::Partial => "partial",
            Self::Mask => "mask",
            Self::Hash => "hash",
            Self::Redact => "redact",
            Self::Drop => "drop",
            Self::Hold => "hold",
            Self::Block => "block",
        }
    }

    /// The action with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
