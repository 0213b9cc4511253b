//! What may reach a model, and what may leave: every message between a client and a server is held against the guard.
//!
//! One place on the waist, where it cannot be forgotten. [`Content`] is all that a request to a server can be made of, and
//! only an [`Inspection`] makes it of what a client wrote; `upstream/server/calling.rs` hands whatever the server says to the
//! inspection that came with the request before anybody else sees it. What servers say of themselves is [`Unread`] until
//! [`Definitions`] have read it. `guard` is what is in force, `decision` what it says to one message, `surface` knows the
//! shapes of messages, `holding` sets aside what waits for an approval, `schema` keeps structured results valid, `pseudonyms` seals
//! names, `recogniser` asks another one first.
//!
//! Deliberately absent: finding things (`portcullis-guard`), and asking for approvals (`oversight`).

mod aside;
mod content;
mod decision;
mod definitions;
mod findings;
mod guard;
mod holding;
mod pseudonyms;
mod recogniser;
mod refusal;
mod schema;
mod surface;

pub(crate) use content::{Content, Inspection, Subject};
pub(crate) use definitions::{Definitions, Suspect, Unread};
pub(crate) use findings::Findings;
pub(crate) use guard::Guard;
pub(crate) use holding::{HeldCall, HeldResult};
pub(crate) use schema::fits;

#[cfg(test)]
mod tests;
