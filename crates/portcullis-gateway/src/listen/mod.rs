//! The edge toward clients: accept, secure, classify, and make calls of requests.
//!
//! `router.rs` is the list of routes; `modern.rs` and `legacy.rs` are the two eras, `sse/` is the oldest transport;
//! `batch.rs` is what one revision alone has; `worker.rs` is the threads, `http1.rs` and `http2.rs` read requests from
//! connections. `authentication.rs` is who makes a request. One acceptor hands connections to workers with a single-threaded runtime each, so that a call never crosses threads
//! between its client and an HTTP server behind.

mod accept;
mod asked;
mod asking;
mod audit;
mod authentication;
mod batch;
mod body;
mod connect;
mod context;
mod facade;
mod fields;
mod guard;
mod http1;
mod http2;
mod keeping;
mod legacy;
mod listening;
mod metadata;
mod modern;
mod openapi;
mod ops;
mod processors;
mod readers;
mod reading;
mod registry;
mod request;
mod response;
mod rollout;
mod router;
mod servers;
mod session;
mod shown;
mod sse;
mod standalone;
mod tls;
mod until_done;
mod witness;
mod worker;

pub use accept::{BindError, Listener};
pub(crate) use registry::Published;
pub use router::PATHS;
pub use tls::{Certificates, ListenerTls, load as load_tls};
pub use worker::Workers;

pub(crate) use asking::page_done;
pub(crate) use legacy::ended as session_ended;
pub(crate) use session::Sessions;
pub(crate) use sse::Connections;
