//! HTTP/1.1 on one client connection (RFC 9112), from the side of the server.
//!
//! Why not a library's: a call would spend a sixth of the gateway's time there, for generality that nobody asks for (see
//! `docs/decisions/0007-own-http1-server.md`). A connection is one task. It reads a request, answers it, and reads the
//! next; while it answers it watches for the client to leave, which drops the answer and so cancels what has to be
//! cancelled. The grammar of heads is `httparse`'s, where a body ends is in `framing.rs`, how an answer is written in
//! `http1/write.rs` and sent in `http1/send.rs`.
//!
//! One timer serves the whole connection: see `http1/alarm.rs`. Deliberately absent: upgrades, trailers, content codings,
//! and pipelining beyond reading on: requests are answered one after the other, in their order.

mod alarm;
mod body;
mod head;
mod send;
mod write;

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use http::Method;
use portcullis_config::Limits;
use portcullis_mcp::message::{RpcError, code, write_error};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use super::context::Context;
use super::response;
use super::router::{self, Routed};
use crate::framing::Framing;
use alarm::Alarm;
use head::{BLANK, Parsed, Rejected, TOO_SLOW, parse};
use write::{Manner, Writer};

/// How much is read at once.
const READ: usize = 8 * 1024;
/// How much of the next requests is read while one is answered; a client that sends more waits.
const AHEAD: usize = 16 * 1024;
/// So many line ends may stand before a request.
const BLANKS: usize = 64;
/// How long a connection may wait for its next request.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client that has said nothing yet may take to do so when the gateway drains.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(500);
/// What an HTTP/2 client says first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a connection ended.
pub(super) enum Ended<S> {
    /// It is closed.
    Closed,
    /// The client speaks HTTP/2; with what it has said so far.
    Http2(S, Bytes),
}

/// Serves a connection until it ends.
pub(super) async fn serve<S>(stream: S, context: &Arc<Context>) -> Ended<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let draining = context.gateway.draining.clone();
    let mut leave = pin!(draining.cancelled());
    let mut limits = context.gateway.env.limits_to_keep();
    let mut connection = Connection::new(stream, &limits);
    loop {
        refresh(&mut limits, &context.gateway.env.limits());
        match connection.next(&limits, leave.as_mut()).await {
            Next::Request(parsed) => {
                if connection.answer(context, *parsed, &limits).await.is_break() {
                    return Ended::Closed;
                }
            }
            Next::Http2 => return Ended::Http2(connection.stream, connection.buffer.freeze()),
            Next::Rejected(rejected) => {
                connection.reject(context, &rejected).await;
                return Ended::Closed;
            }
            Next::End => return Ended::Closed,
        }
    }
}

/// Takes up other limits. The count of their holders is shared by all workers: it is left alone while they are the same.
fn refresh(limits: &mut Arc<Limits>, now: &Arc<Limits>) {
    if !Arc::ptr_eq(limits, now) {
        *limits = now.clone();
    }
}

struct Connection<S> {
    stream: S,
    /// What was read and not used yet.
    buffer: BytesMut,
    /// How much of it the search for the end of a head has seen.
    looked: usize,
    /// Line ends that stood before the next request.
    blanks: usize,
    /// The buffer has become larger than it is on a quiet connection.
    grown: bool,
    alarm: Alarm,
    /// How long the client may take nothing of what is sent.
    patience: Duration,
    writer: Writer,
    /// At least one request was answered.
    answered: bool,
    /// The gateway drains, and the connection knows.
    leaving: bool,
}

/// What comes next on a connection.
enum Next {
    Request(Box<Parsed>),
    Http2,
    Rejected(Rejected),
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(stream: S, limits: &Limits) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            looked: 0,
            blanks: 0,
            grown: false,
            alarm: Alarm::at(Instant::now() + limits.header_read),
            // A client that takes nothing while two signs of life are due is not there any more.
            patience: limits.keep_alive_interval * 2,
            writer: Writer::default(),
            answered: false,
            leaving: false,
        }
    }

    /// Waits for the next request's head.
    async fn next(&mut self, limits: &Limits, mut leave: Pin<&mut impl Future<Output = ()>>) -> Next {
        // The first bytes of a request were read.
        let mut began = false;
        poll_fn(|task| {
            loop {
                if let Some(next) = self.take_head(limits) {
                    return Poll::Ready(next);
                }
                if std::mem::take(&mut began) {
                    self.alarm.set_no_later(Instant::now() + limits.header_read);
                }
                match self.poll_fill(task) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::End),
                    Poll::Ready(Ok(read)) => began |= read == self.buffer.len() && self.answered,
                    Poll::Pending => return self.poll_patience(task, leave.as_mut()),
                }
            }
        })
        .await
    }

    /// What the buffer holds, if that is enough.
    fn take_head(&mut self, limits: &Limits) -> Option<Next> {
        while let [b'\r' | b'\n', ..] = self.buffer[..] {
            // Some clients end a body with a line end too many (RFC 9112 section 2.2).
            self.buffer.advance(1);
            self.blanks += 1;
            if self.blanks > BLANKS {
                return Some(Next::Rejected(BLANK));
            }
        }
        if self.buffer.is_empty() {
            return None;
        }
        if !self.answered {
            let start = &self.buffer[..self.buffer.len().min(PREFACE.len())];
            if start == PREFACE {
                return Some(Next::Http2);
            }
            if PREFACE.starts_with(start) {
                return None;
            }
        }
        let limit = limits.header_bytes.max(READ);
        match parse(&mut self.buffer, limit, &mut self.looked) {
            Ok(Some(parsed)) => {
                self.blanks = 0;
                Some(Next::Request(Box::new(parsed)))
            }
            Ok(None) => None,
            Err(rejected) => Some(Next::Rejected(rejected)),
        }
    }

    /// How much longer is waited for a head.
    fn poll_patience(
        &mut self,
        task: &mut Task<'_>,
        leave: Pin<&mut impl Future<Output = ()>>,
    ) -> Poll<Next> {
        if !self.leaving && leave.poll(task).is_ready() {
            self.leaving = true;
            if self.answered && self.buffer.is_empty() {
                return Poll::Ready(Next::End);
            }
            // Its request is on its way, and is to be answered.
            self.alarm.set_no_later(Instant::now() + LAST_WORDS);
        }
        let over = |()| if self.buffer.is_empty() { Next::End } else { Next::Rejected(TOO_SLOW) };
        self.alarm.poll(task).map(over)
    }

    fn poll_fill(&mut self, task: &mut Task<'_>) -> Poll<std::io::Result<usize>> {
        // Making room means new memory for as long as somebody holds on to what was read before.
        if self.buffer.capacity() - self.buffer.len() < READ / 4 {
            self.buffer.reserve(READ);
        }
        let read = poll_read_buf(Pin::new(&mut self.stream), task, &mut self.buffer);
        self.grown |= self.buffer.len() > 2 * READ;
        read
    }

    /// Between two requests: a buffer that has grown is given back, and the next head has its time.
    fn rest(&mut self, limits: &Limits) {
        if self.grown && self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.grown = false;
        }
        let patience = if self.buffer.is_empty() { KEEP_ALIVE } else { limits.header_read };
        self.alarm.set(Instant::now() + patience);
    }

    /// Answers a request; breaks off when the connection is of no use any more.
    async fn answer(&mut self, context: &Arc<Context>, parsed: Parsed, limits: &Limits) -> ControlFlow<()> {
        let Parsed { head, mut framing, keep, old, expects } = parsed;
        let response = match router::route(context, &head).await {
            Routed::Answer(response) => response,
            Routed::Post(context, post) => {
                let budget = &context.gateway.bodies;
                let body = self.read_body(&mut framing, expects, &post.limits(limits), budget).await;
                // Pinned where it is made: to move it costs more than most of its steps.
                let work = pin!(router::post(&context, &head, post, body));
                let Some(response) = self.attend(work).await else {
                    return ControlFlow::Break(());
                };
                response
            }
        };
        let unread = !self.skip_body(&framing);
        let close = unread || !keep || context.gateway.draining.is_cancelled() || context.is_over();
        let silent = head.method == Method::HEAD;
        // What the fields hold on to is the buffer, which can be used again once they are gone.
        drop(head);
        let close = close || old && response.body().is_streamed();
        self.patience = limits.keep_alive_interval * 2;
        let sent = self.send(response, Manner { close, silent, old }).await;
        self.answered = true;
        if sent.is_err() {
            return ControlFlow::Break(());
        }
        if close {
            self.close(unread).await;
            return ControlFlow::Break(());
        }
        self.rest(limits);
        ControlFlow::Continue(())
    }

    /// Waits for `work`; `None` when the client leaves before.
    async fn attend<T>(&mut self, mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        poll_fn(|task| match work.as_mut().poll(task) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_gone(task).map(|()| None),
        })
        .await
    }

    /// Ready when the client has left. What it says instead is kept for later.
    fn poll_gone(&mut self, task: &mut Task<'_>) -> Poll<()> {
        while self.buffer.len() < AHEAD {
            match self.poll_fill(task) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    /// Skips a body that nobody read, when it is all there; says whether the next request follows.
    fn skip_body(&mut self, framing: &Framing) -> bool {
        match framing {
            Framing::Length(0) => true,
            Framing::Length(left) => match usize::try_from(*left) {
                Ok(left) if left <= self.buffer.len() => {
                    self.buffer.advance(left);
                    true
                }
                _ => false,
            },
            Framing::Chunked(chunks) => chunks.are_over(),
            Framing::UntilClose => false,
        }
    }

    /// Answers a head that is not taken, and ends the connection.
    async fn reject(&mut self, context: &Context, rejected: &Rejected) {
        let mut message = Vec::new();
        write_error(&mut message, None, &RpcError::new(code::INVALID_REQUEST, rejected.why, None));
        let response = response::json(rejected.status, message);
        context.gateway.metrics().http_response(rejected.status.as_u16());
        if self.send(response, Manner { close: true, silent: false, old: false }).await.is_ok() {
            self.close(true).await;
        }
    }
}

#[cfg(test)]
mod tests;
