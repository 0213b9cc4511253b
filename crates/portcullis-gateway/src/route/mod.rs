//! From what the client named to the server that has it, and from many servers' lists to one.
//!
//! `catalogue` keeps what each server offers, `view` merges it for an endpoint, `resolve` finds the server of a call,
//! `hello` says what an endpoint is. On `/mcp/s/{server}` names are the server's own; on `/mcp` they carry its slug.

mod catalogue;
mod connecting;
mod hello;
mod listing;
mod personal;
mod resolve;
mod servers;
mod shown;
mod view;

pub(crate) use catalogue::{Catalogue, Variant, warm_up};
pub(crate) use hello::{discover, initialize_result, offered};
pub(crate) use listing::{ListKind, Listed, Listing};
pub(crate) use resolve::{Route, held, not_there, resolve, server_of_uri, unknown_resource};
pub(crate) use servers::Servers;
pub(crate) use view::{Tools, Views, list};
