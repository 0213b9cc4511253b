//! From what the client named to the server that has it, and from many servers' lists to one.
//!
//! `catalogue` keeps what each server offers, `view` merges it for an endpoint, `resolve` finds the server of a call,
//! `hello` says what an endpoint is. On `/mcp/s/{server}` names are the server's own; on `/mcp` they carry its slug. On
//! `/mcp/v/{toolset}` they are what the operator calls them: `toolset` says what is in one, `select` makes its lists.
//! Where a server has several versions, `versions` says which a caller has, and `trial` when one is taken back.

mod catalogue;
mod connecting;
mod hello;
mod listing;
mod owner;
mod personal;
mod resolve;
mod select;
mod servers;
mod shown;
mod sight;
mod toolset;
mod trial;
mod versions;
mod view;

pub(crate) use catalogue::{Catalogue, Variant};
pub(crate) use hello::{discover, initialize_result, offered};
pub(crate) use listing::{ListKind, Listed, Listing};
pub(crate) use owner::{server_of_uri, unknown_resource};
pub(crate) use resolve::{Route, held, not_there, resolve};
pub(crate) use servers::{Servers, list_for_others, unknown_endpoint, warm_up};
pub(crate) use sight::{Sight, Sights, freshen, may_hide, sights};
pub(crate) use toolset::Toolsets;
pub(crate) use trial::Tally;
pub(crate) use versions::{HeldTo, Rollout, Transition, in_id};
pub(crate) use view::{Tools, Views, list};
