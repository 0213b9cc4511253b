//! The client side of the bench: a hand-written HTTP/1.1 client and the MCP messages that it sends.
//!
//! It is written by hand so that the generator costs little: on a small machine every microsecond that the
//! client burns is taken from what is measured. It speaks plain HTTP/1.1 with keep-alive, content length and
//! chunked bodies, JSON and SSE answers; no TLS, no redirects, no HTTP/2.

pub(crate) mod answer;
pub(crate) mod blocking;
pub(crate) mod question;
pub(crate) mod request;
pub(crate) mod response;

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::str::FromStr;

use thiserror::Error;

/// Where a server listens: `http://HOST:PORT/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Resolved once, so that a name lookup is never part of a measurement.
    pub(crate) address: SocketAddr,
    /// Value of the `Host` header.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: String,
    /// Value of the `Authorization` header.
    pub(crate) authorization: Option<std::sync::Arc<str>>,
}

/// Why a text is not an endpoint of the bench.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum InvalidEndpoint {
    /// TLS and other schemes are not measured.
    #[error("an endpoint starts with http://")]
    Scheme,
    /// The authority has no port or its host is unknown.
    #[error("cannot resolve {0}: give HOST:PORT")]
    Unresolved(String),
}

impl Endpoint {
    /// The same server under another path.
    pub(crate) fn at(&self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }

    /// Opens a connection with `TCP_NODELAY`.
    pub(crate) fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(url: &str) -> Result<Self, InvalidEndpoint> {
        let rest = url.strip_prefix("http://").ok_or(InvalidEndpoint::Scheme)?;
        let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let unresolved = || InvalidEndpoint::Unresolved(authority.to_owned());
        let address =
            authority.to_socket_addrs().ok().and_then(|mut found| found.next()).ok_or_else(unresolved)?;
        Ok(Self { address, authority: authority.to_owned(), path: path.to_owned(), authorization: None })
    }
}

#[cfg(test)]
mod tests;
