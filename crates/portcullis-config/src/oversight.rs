//! What people decide about tools, checked.

use std::path::PathBuf;
use std::time::Duration;

use crate::Secret;

/// Which definitions reach clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefinitionsMode {
    /// What is seen first is trusted, unless something speaks against it.
    #[default]
    TrustFirstUse,
    /// Nothing is trusted before somebody has approved it.
    Approve,
    /// Nothing is looked at.
    Off,
}

/// What must not meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Gives private data: patterns, `SERVER` or `SERVER/NAME`.
    pub private: Vec<String>,
    /// Gives untrusted content.
    pub untrusted: Vec<String>,
    /// Acts on the outside.
    pub external: Vec<String>,
    /// Regions, by name.
    pub regions: Vec<Region>,
    /// What happens when it would.
    pub mode: FlowMode,
    /// For how long what was read counts.
    pub window: Duration,
    /// Each session of a legacy client is taken by itself.
    pub per_session: bool,
}

/// Data that has to stay with some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// What gives its data.
    pub data: Vec<String>,
    /// What else may be called by whoever holds it.
    pub servers: Vec<String>,
    /// Groups that may have it.
    pub groups: Vec<String>,
    /// Callers who may have it, by id.
    pub principals: Vec<String>,
}

/// What happens to a call that would let meet what must not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlowMode {
    /// It needs an approval.
    #[default]
    Ask,
    /// It is refused.
    Deny,
    /// It is logged.
    Observe,
}

/// Calls that somebody has to approve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvals {
    /// Tools whose every call needs it: patterns.
    pub tools: Vec<String>,
    /// Only somebody else than the caller is asked.
    pub by_operator: bool,
    /// How many have to say yes, each another.
    pub needed: u8,
    /// How long a call waits for it, and can use it.
    pub lifetime: Duration,
    /// Who is told of what waits for an operator.
    pub webhook: Option<Webhook>,
}

/// Who is told of calls that wait, and may decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its URL.
    pub url: String,
    /// The bearer token that goes with it.
    pub token: Option<Secret>,
    /// Authorities trusted instead of those of the system, PEM.
    pub ca: Option<PathBuf>,
}

/// What is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Halt {
    /// Everything.
    pub all: bool,
    /// Servers.
    pub servers: Vec<String>,
    /// Tools, `SERVER/NAME` with `*` in the name.
    pub tools: Vec<String>,
    /// Callers, by id.
    pub principals: Vec<String>,
}
