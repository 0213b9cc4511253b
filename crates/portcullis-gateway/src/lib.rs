//! The data plane: the life of one call.
//!
//! The modules are the steps in their order. `listen` accepts bytes and knows the eras of clients; `admit` lets a call
//! in; `inspect` holds what is said against the guard, on the way to a server and back; `route` finds its server and merges what
//! servers list; `upstream` speaks to servers; `answer` holds the one
//! table from kinds of failure to what clients see; `record` keeps what has to be kept; `subscribe` is for those who want
//! to be told of changes, `identity` is who calls, `tasks` are calls that are answered later. `crossing` is the way of a result back to its client.
//! `pipeline` walks them on one
//! screen, `call` is the waist between the edges, and `gateway` is what all calls share. `bridge` is the other end of
//! the wire: stdio on this side, a gateway on the other.
//!
//! Deliberately absent: configuration files (`portcullis-config`), processes (`portcullis-hub`), the wire formats
//! themselves (`portcullis-mcp`), and any session in the waist.

mod admit;
pub mod answer;
mod bounded;
pub mod bridge;
mod budget;
pub mod call;
mod crossing;
mod discovery;
mod framing;
mod gateway;
mod identity;
mod inspect;
pub mod listen;
mod moment;
mod oversight;
mod pipeline;
mod record;
mod rounds;
mod route;
mod seal;
mod subscribe;
mod tasks;
mod upstream;

pub use admit::{are_there as policies_are_there, beside_policies, policies, policy_revision, policy_schema};
pub use gateway::{Gateway, Kept, ServerReport, UpdateError};
pub use identity::{Vault, probe};
pub use oversight::halts;
pub use portcullis_identity::doctor::{Probe, Question};
pub use portcullis_identity::outbound::NotRead;
pub use record::{Anchors, Evidence, retention};
pub use upstream::{ServerState, TlsError, client_tls, openapi_document};
