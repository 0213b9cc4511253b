//! The words that every room shares: who calls, which server, what kind of thing went wrong, what is kept.
//!
//! No I/O, no async, no JSON: everything may depend on this crate, so it depends on nothing. A type belongs here
//! only when two rooms that must not know each other both say it.

mod error_kind;
mod forwarding;
mod journal;
mod moment;
mod pattern;
mod principal;
mod records;
mod server_id;
mod toolset_id;

pub use error_kind::{ErrorKind, Fault};
pub use forwarding::FORWARDING;
pub use journal::{Added, Batch, Entry, Extent, Hashes, Journal, Marks, Search, bounded};
pub use moment::date_time;
pub use pattern::matches_pattern;
pub use principal::{Claim, Key, Principal, User};
pub use records::{Expected, Keeping, Put, Record, Records, Unavailable};
pub use server_id::{InvalidServerId, ServerId};
pub use toolset_id::{InvalidToolsetId, ToolsetId};
