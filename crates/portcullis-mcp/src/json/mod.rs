//! JSON that stays as it came.
//!
//! A gateway that parses into a tree and prints it again loses what it does not know: key order, `1.0` against `1`,
//! large numbers, unknown members. Here a document is checked once ([`Raw::parse`]), then stays the bytes it was;
//! members are found by position, and an edit ([`Raw::with`]) copies everything it does not name. What is accepted is
//! RFC 8259 exactly, minus duplicate keys at any depth: two readers of `{"a":1,"a":2}` see two documents, and a
//! gateway must not be the one that is fooled.
//!
//! This module never builds a DOM. Where a typed view is worth it, use [`Raw::to`].

mod edit;
mod object;
mod outline;
mod raw;
mod run;
mod scan;
mod writer;

pub use edit::{Change, write_string};
pub use object::Object;
pub use raw::{Elements, Kind, Member, Members, Raw};
pub use run::plain_run;
pub use scan::{JsonError, Limits, verify};
pub use writer::Writer;

#[cfg(test)]
mod tests;
