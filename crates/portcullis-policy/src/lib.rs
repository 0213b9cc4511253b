//! May they: rules in, a verdict with its reasons out.
//!
//! Rules are written in Cedar: everything is denied that no policy permits, a `forbid` wins over every `permit`, and the
//! order of policies means nothing. A caller is a principal in groups and roles, what is done is a method of MCP, and what
//! it is done to is a server, or a tool, prompt or resource of one (`schema`).
//!
//! - [`Policies`] are one set of policies, loaded as a whole and never changed: a new set is another one, and with the old
//!   one goes all that was remembered of its decisions.
//! - A policy is made ready once (`rule`), in the forms in which it can be asked when not everything is known yet
//!   (`unknown`): a list is filtered by the same policies that decide on the call.
//! - Cedar looks at every policy that it is given, so it is given few: those whose scopes can match (`shelf`).
//! - What only lacks scopes of the caller's token is denied with which those are (`step_up`).
//! - `judge` asks Cedar, `policies` remembers what it answered, `explain` says why.
//!
//! This crate knows principals and JSON, and neither sockets nor files: texts are handed in, and so is the time.

mod action;
mod arguments;
mod caller;
mod circumstances;
mod explain;
mod judge;
mod load;
mod policies;
mod remember;
mod rule;
mod schema;
mod shelf;
mod source;
mod step_up;
mod thing;
mod unknown;
mod uri;

pub use action::Action;
pub use circumstances::Circumstances;
pub use explain::{Because, Reason, Verdict};
pub use load::Options;
pub use policies::{Decision, Policies, Shown};
pub use remember::Subject;
pub use schema::Kind;
pub use source::{Problem, Source};
pub use step_up::StepUp;
pub use thing::{Annotations, Thing, ThingKind};
pub use uri::is_plain as is_plain_uri;
