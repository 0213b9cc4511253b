//! One connection's way through a stream that may outlive it: what is there, signs of life, and a good time to leave.
//!
//! A client of 2025-11-25 can be polled (SEP-1699): with `limits.poll_after` its connection is closed after so long, between two
//! events, and it comes back for the rest. Nothing is lost on that, for what is written meanwhile waits in the stream. Earlier
//! revisions take a stream that ends without its answer for a failure; for them a connection stays to the end.
//!
//! It does not say how a stream is found again; `standalone.rs` does.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream as FutureStream};
use portcullis_mcp::revision::Revision;
use portcullis_mcp::sse;
use tokio::time::Instant;

use super::context::Context;
use super::session::{Read, Reader, Session};

/// How soon a client whose stream broke, or was closed for it, may come back.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// How a connection is kept.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// A connection is silent for so long at most.
    pub(super) pause: Duration,
    /// When its client is sent away to come back; never for those who do not know that.
    pub(super) leave: Option<Instant>,
}

impl Pace {
    /// That of a connection of this session which begins now.
    pub(super) fn of(context: &Context, session: &Session) -> Self {
        let limits = context.gateway.env.limits();
        let knows = session.caller.revision >= Revision::V2025_11_25 && !session.is_on_one_stream();
        let leave = limits.poll_after.filter(|_| knows).map(|after| Instant::now() + after);
        Self { pause: limits.keep_alive_interval, leave }
    }

    /// Whether the client is polled: whatever it is told, it is told on a stream that it can come back to.
    pub(super) fn is_polled(self) -> bool {
        self.leave.is_some()
    }

    /// Until when there has to be a first sign of life.
    pub(super) fn first(self) -> Instant {
        let silent = Instant::now() + self.pause;
        self.leave.map_or(silent, |leave| leave.min(silent))
    }
}

/// Reads a stream for one connection.
pub(super) fn read(reader: Reader, pace: Pace) -> impl FutureStream<Item = Bytes> + Send {
    futures_util::stream::unfold(Reading::new(reader, pace), |mut reading| async {
        reading.next().await.map(|bytes| (bytes, reading))
    })
}

/// The same, for who reads something else as well.
pub(super) struct Reading {
    reader: Reader,
    pace: Pace,
    left: bool,
}

impl Reading {
    pub(super) fn new(reader: Reader, pace: Pace) -> Self {
        Self { reader, pace, left: false }
    }

    /// What is to be sent next; `None` at the end of the connection.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if self.left {
            return None;
        }
        // Before looking for more: a stream that is never silent is left as well.
        if self.pace.leave.is_some_and(|leave| leave <= Instant::now()) {
            return self.leave();
        }
        tokio::select! {
            () = reached(self.pace.leave) => self.leave(),
            read = self.reader.read() => events(read),
            () = tokio::time::sleep(self.pace.pause) => {
                let mut out = Vec::new();
                sse::comment(&mut out, "keep-alive");
                Some(out.into())
            }
        }
    }

    /// The last bytes of this connection: what is there, and when to come back. Whoever has the answer by then does not.
    fn leave(&mut self) -> Option<Bytes> {
        self.left = true;
        let mut out = match self.reader.read().now_or_never() {
            Some(read) => events(read)?.to_vec(),
            None => Vec::new(),
        };
        sse::retry(&mut out, RETRY);
        Some(out.into())
    }
}

fn events(read: Read) -> Option<Bytes> {
    match read {
        Read::Events(bytes) => Some(bytes),
        Read::End => None,
    }
}

async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
