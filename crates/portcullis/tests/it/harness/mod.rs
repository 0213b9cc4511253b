//! What the end-to-end tests share.
//!
//! `gateway.rs` starts the real binary; `http.rs` is a client that can also send what no client should; `client.rs`
//! speaks MCP of both eras with it; `upstream.rs` is an HTTP server whose every answer a test writes; `fake.rs` fills
//! in what a decent server would say; `teller.rs` has servers that tell of changes; `child.rs` is a stdio server that a
//! test steers over a socket of its own, `relay.rs` one that is the test itself; `sse_client.rs` and `sse_server.rs` are the two ends of HTTP+SSE.
//! `secure.rs` has clients for TLS and HTTP/2 and a TLS front for servers, `pki.rs` the certificates for both,
//! `collector.rs` takes traces, `idp.rs` issues tokens.

pub(crate) mod authority;
pub(crate) mod child;
pub(crate) mod client;
pub(crate) mod collector;
pub(crate) mod fake;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod idp;
pub(crate) mod pki;
pub(crate) mod relay;
pub(crate) mod secure;
pub(crate) mod sse_client;
pub(crate) mod sse_server;
pub(crate) mod teller;
pub(crate) mod upstream;

use std::time::Duration;

pub(crate) use child::{Child, Process};
pub(crate) use client::{Legacy, Modern};
pub(crate) use fake::Fake;
pub(crate) use gateway::Gateway;
pub(crate) use http::Connection;
pub(crate) use relay::Relay;
pub(crate) use sse_client::SseClient;
pub(crate) use sse_server::SseServer;
pub(crate) use teller::Teller;
pub(crate) use upstream::{Answer, Upstream};

/// No event takes as long as this unless it never comes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Bytes as `traceparent` writes them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Waits for an event.
pub(crate) async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(DEADLINE, event).await else {
        panic!("{what} did not come within {DEADLINE:?}");
    };
    value
}

/// Asks until the answer is yes, for what announces itself to nobody.
pub(crate) async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
