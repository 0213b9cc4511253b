//! What people decide about tools, and what follows from it.
//!
//! - [`Definition`]s are what a server says of its tools, prompts, resources and templates. Each has a [`Pin`], the digest of
//!   its canonical form; the [`Register`] knows which pins are trusted, holds back what is not, and says why.
//! - [`flow`] keeps private data, untrusted content and effects on the outside from meeting in one window.
//! - [`Approval`]s let one call through, with exactly the arguments that somebody has seen, or one result; results wait on
//!   a [`Shelf`].
//! - [`Halts`] stop a tool, a server, a caller or everything.
//!
//! All of it is decided here and enforced by the gateway. What is decided is kept in records, so a gateway, its replicas
//! and the command line see the same. Deliberately absent: the texts of results (the guard's), who may do what (the
//! policies'), and any I/O but that of [`portcullis_model::Records`].

mod approval;
mod arguments;
mod canonical;
mod definition;
mod entry;
pub mod flow;
mod halt;
mod hex;
mod hidden;
mod likeness;
mod register;
mod review;
mod scope;
mod sealing;
mod shelf;
mod text;

pub use approval::{APPROVAL, Approval, Digest, Matter, Request, Ruling, Standing, Voted};
pub use canonical::canonical;
pub use definition::{Definition, DefinitionKind, Pin};
pub use entry::{Entry, Held, Reason, Trusted};
pub use halt::{HALT, Halt, Halts, Target, is_principal};
pub use hidden::{has_hidden, visible, visible_line};
pub use register::{DEFINITION, Decided, Mode, Register, Ruled, Screened};
pub use review::Suspicion;
pub use scope::{Offered, scope, server_of, version_of};
pub use shelf::{Found, Shelf, Shelved};
pub use text::difference;

/// Milliseconds since 1970, as everything that is kept says when.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
