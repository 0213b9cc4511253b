//! Which servers there are, in which versions, and how far each has come from being proposed to being retired.
//!
//! A version is described by a `server.json`, the registry's published format ([`Document`]), which stays as it came. Beside
//! it stand how the gateway reaches it, and its life: who did what, when and why ([`Entry`]). Versions are kept as records,
//! one for each, so gateways that share a store share the registry. Nothing is reached that was not approved: [`running`]
//! says which version of each server is.
//!
//! It starts nothing and asks nobody; what a scan found is handed in.

mod admission;
mod advisory;
mod document;
mod entry;
mod launch;
mod package;
mod python;
mod rollout;
mod shelf;
mod version;

pub use admission::Admission;
pub(crate) use advisory::normal;
pub use advisory::{Advisory, Unread, Watched};
pub use document::{Document, Flaw};
pub use entry::{Change, Entry, Finding, LockedTo, Move, Offer, Refused, Scan, Stage, running};
pub use launch::{Inputs, launch};
pub(crate) use package::is_name;
pub use package::{Package, Start, Untold, is_exact};
pub use rollout::{InUse, NoShare, NotRolled, Share, Word, in_use, place};
pub use shelf::{Listed, Page, Question, REGISTRY, Registry, Shelved, listed};
pub use version::newest;

#[cfg(test)]
mod tests;
