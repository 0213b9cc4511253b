//! The servers behind the gateway: how they are reached, spoken to and kept.
//!
//! `server.rs` is one configured server with its conversations; `opening.rs` finds its era and shakes hands;
//! `connection.rs` with `over_http.rs`, `over_channel.rs` and `over_openapi.rs` carries a call; `channel.rs` is what calls on a child
//! (`stdio.rs`) or a stream (`sse.rs`) share, `openapi.rs` an API that a document makes a server of, `cluster.rs` a server that a cluster runs, and `incoming.rs` reads what comes back; `feed/` is what servers tell of
//! themselves. Nothing here knows who called or what an aggregate is.

mod asked;
mod batch;
mod channel;
#[cfg(feature = "kubernetes")]
mod cluster;
#[cfg(not(feature = "kubernetes"))]
#[path = "no_cluster.rs"]
mod cluster;
mod connection;
pub(crate) mod credentials;
mod event_stream;
mod feed;
mod h1;
mod http;
mod http_stream;
mod incoming;
mod lanes;
mod openapi;
mod opening;
mod outgoing;
mod over_channel;
mod over_http;
mod over_openapi;
mod pages;
mod pool;
mod probing;
mod questions;
mod reply;
mod server;
mod slots;
mod sse;
mod stdio;
mod surroundings;
pub(crate) mod tls;
mod views;

pub(crate) use cluster::{Cluster, PodLog};
pub(crate) use connection::{Connection, Peer};
pub(crate) use event_stream::{EventStream, StreamEnd};
pub(crate) use feed::{Subscription, Watcher};
pub(crate) use http::{Answer, Head, HttpLink, read_body};
pub use openapi::openapi_document;
pub(crate) use outgoing::{Asker, Outgoing};
pub(crate) use reply::{HttpReply, Media};
pub(crate) use server::Server;
pub use server::ServerState;
pub(crate) use surroundings::{Change, Known, Surroundings, Within};
pub use tls::{TlsError, client_tls};
