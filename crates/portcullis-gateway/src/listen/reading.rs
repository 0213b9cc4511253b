//! One connection's way through a stream that may outlive it: what is there, signs of life, and a good time to leave.
//!
//! A client of 2025-11-25 can poll (SEP-1699): with `limits.poll_after` its connection is closed after so long, between two
//! events, and it comes back for the rest. Nothing is lost on that, for what is written meanwhile waits in the stream. Earlier
//! revisions take a stream that ends without its answer for a failure; for them a connection stays to the end. So does every
//! connection once the gateway drains: whoever left then might come back to another gateway, which knows nothing of them.
//!
//! It does not say how a stream is found again; `standalone.rs` does.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream as FutureStream};
use portcullis_mcp::revision::Revision;
use portcullis_mcp::sse;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::session::{RETRY, Read, Reader, Session};

/// How a connection is kept.
#[derive(Clone)]
pub(super) struct Pace {
    /// A connection is silent for so long at most.
    pub(super) pause: Duration,
    /// When its client is sent away to come back; never those who do not know that.
    pub(super) leave: Option<Leave>,
}

/// When a client is sent away, unless the gateway drains by then.
#[derive(Clone)]
pub(super) struct Leave {
    pub(super) at: Instant,
    pub(super) draining: CancellationToken,
}

impl Leave {
    fn is_due(&self) -> bool {
        self.at <= Instant::now() && !self.draining.is_cancelled()
    }

    async fn due(&self) {
        tokio::time::sleep_until(self.at).await;
        if self.draining.is_cancelled() {
            std::future::pending::<()>().await;
        }
    }
}

impl Pace {
    /// That of a connection of this session which begins now.
    pub(super) fn of(context: &Context, session: &Session) -> Self {
        let limits = context.gateway.env.limits();
        let knows = session.caller.revision >= Revision::V2025_11_25 && !session.is_on_one_stream();
        let leave = limits
            .poll_after
            .filter(|_| knows)
            .map(|after| Leave { at: Instant::now() + after, draining: context.gateway.draining.clone() });
        Self { pause: limits.keep_alive_interval, leave }
    }

    /// Whether the client polls: whatever it is told, it is told on a stream that it can come back to.
    pub(super) fn polls(&self) -> bool {
        self.leave.is_some()
    }

    /// Until when there has to be a first sign of life.
    pub(super) fn first(&self) -> Instant {
        let silent = Instant::now() + self.pause;
        self.leave.as_ref().map_or(silent, |leave| leave.at.min(silent))
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

    /// Whether the client has been told to come back.
    pub(super) fn has_left(&self) -> bool {
        self.left
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
        if self.pace.leave.as_ref().is_some_and(Leave::is_due) {
            return self.leave();
        }
        tokio::select! {
            () = due(self.pace.leave.as_ref()) => self.leave(),
            read = self.reader.read() => self.take(read),
            () = tokio::time::sleep(self.pace.pause) => {
                let mut out = Vec::new();
                sse::comment(&mut out, "keep-alive");
                Some(out.into())
            }
        }
    }

    fn take(&mut self, read: Read) -> Option<Bytes> {
        match read {
            Read::Events(bytes) => Some(bytes),
            Read::Pause(retry) => {
                self.left = true;
                let mut out = Vec::new();
                sse::retry(&mut out, retry);
                Some(out.into())
            }
            Read::End => None,
        }
    }

    /// The last bytes of this connection: what is there, and when to come back. Whoever has the answer by then does not.
    fn leave(&mut self) -> Option<Bytes> {
        let mut out = match self.reader.read().now_or_never() {
            Some(read) => self.take(read)?.to_vec(),
            None => Vec::new(),
        };
        if !std::mem::replace(&mut self.left, true) {
            sse::retry(&mut out, RETRY);
        }
        Some(out.into())
    }
}

async fn due(leave: Option<&Leave>) {
    match leave {
        Some(leave) => leave.due().await,
        None => std::future::pending().await,
    }
}
