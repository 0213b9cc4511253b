//! HTTP/1.1 on one connection (RFC 9112), from the side of the client.
//!
//! A call writes its request and reads its answer itself, where it stands: no task of the connection's own, no channel
//! to it, no wake-up between the two. The grammar of heads is `httparse`'s, where a body ends is in `framing.rs`; what is
//! here is the order of things and their bounds.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use http::header::CONNECTION;
use httparse::Status;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::reply::{HttpReply, Kept};
use crate::framing::{Framing, Lengths, Progress};

/// Longest head of an answer, in bytes.
const HEAD: usize = 64 * 1024;
const HEADERS: usize = 64;
/// A body up to this size is sent in one write with its head.
const SMALL: usize = 16 * 1024;
const READ: usize = 8 * 1024;

/// What HTTP can be spoken on.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open connection on which nothing is under way.
pub(super) struct Line {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The connection was gone before anything was written: the request may be sent elsewhere.
    #[error("the connection was closed")]
    NotSent,
    /// It broke later.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The server closed it without an answer.
    #[error("the server closed the connection without an answer")]
    NoAnswer,
    /// The answer is not HTTP/1.1, or could be read two ways.
    #[error("the answer is not acceptable HTTP: {0}")]
    Malformed(&'static str),
}

impl Line {
    pub(super) fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: BytesMut::new() }
    }

    /// Whether the server has neither closed the connection nor said anything unasked.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Sends a request, whose head ends with its empty line, and reads the head of the answer. Of the answer's headers
    /// those are kept that MCP needs.
    pub(super) async fn exchange(
        mut self,
        mut head: Vec<u8>,
        body: &Bytes,
    ) -> Result<HttpReply<Body>, Failure> {
        let rest = if body.len() <= SMALL {
            head.extend_from_slice(body);
            &[][..]
        } else {
            body
        };
        // An answer to HEAD says how long the body would be, and has none (RFC 9112 section 6.3).
        let is_head = head.starts_with(b"HEAD ");
        let first = self.stream.write(&head).await.unwrap_or(0);
        if first == 0 {
            return Err(Failure::NotSent);
        }
        let written = self.write(&head[first..], rest).await;
        // A server may answer and close before it has read everything.
        match (self.read_head().await, written) {
            (Ok(mut head), _) => {
                if is_head {
                    head.framing = Framing::Length(0);
                }
                Ok(self.into_reply(head))
            }
            (Err(_), Err(error)) => Err(error.into()),
            (Err(failure), Ok(())) => Err(failure),
        }
    }

    /// Room to read into; new memory only when there is little left, for somebody may hold on to what was read before.
    fn make_room(&mut self) {
        if self.buffer.capacity() - self.buffer.len() < READ / 4 {
            self.buffer.reserve(READ);
        }
    }

    async fn write(&mut self, head: &[u8], rest: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(head).await?;
        self.stream.write_all(rest).await?;
        self.stream.flush().await
    }

    async fn read_head(&mut self) -> Result<Head, Failure> {
        loop {
            if let Some((length, head)) = parse_head(&self.buffer)? {
                self.buffer.advance(length);
                // 1xx is not the answer yet (RFC 9110 section 15.2).
                match head.status.as_u16() {
                    101 => return Err(Failure::Malformed("an upgrade that nobody asked for")),
                    100..200 => continue,
                    _ => return Ok(head),
                }
            }
            if self.buffer.len() > HEAD {
                return Err(Failure::Malformed("the head is too large"));
            }
            self.make_room();
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Failure::NoAnswer);
            }
        }
    }

    fn into_reply(self, head: Head) -> HttpReply<Body> {
        let body = Body { line: Some(self), framing: head.framing, keep: head.keep };
        HttpReply::new(head.status, head.fields, body)
    }
}

struct Head {
    status: StatusCode,
    fields: Kept,
    framing: Framing,
    /// The connection may be used again.
    keep: bool,
}

/// Reads a head, and says how long it is; `None` when it is not complete.
fn parse_head(buffer: &[u8]) -> Result<Option<(usize, Head)>, Failure> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let length = match parser.parse_response_with_uninit_headers(&mut response, buffer, &mut headers) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(Failure::Malformed("its head cannot be read")),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Failure::Malformed("its status cannot be read"))?;
    let mut head = Head {
        status,
        fields: Kept::default(),
        framing: Framing::UntilClose,
        keep: response.version == Some(1),
    };
    let mut lengths = Lengths::default();
    for header in response.headers.iter() {
        if !lengths.take(header.name, header.value).map_err(Failure::Malformed)? {
            head.take(header);
        }
    }
    let framing = lengths.framing().map_err(Failure::Malformed)?;
    head.framing = match status.as_u16() {
        100..200 | 204 | 304 => Framing::Length(0),
        _ => framing.unwrap_or(Framing::UntilClose),
    };
    Ok(Some((length, head)))
}

impl Head {
    /// Reads a field that does not say where the body ends.
    fn take(&mut self, header: &httparse::Header<'_>) {
        if header.name.eq_ignore_ascii_case(CONNECTION.as_str()) {
            let text = std::str::from_utf8(header.value).unwrap_or_default();
            self.keep &= !text.split(',').any(|option| option.trim().eq_ignore_ascii_case("close"));
            return;
        }
        self.fields.take(header.name.as_bytes(), header.value);
    }
}

/// The body of an answer, read from its connection as it is asked for.
pub(crate) struct Body {
    /// Gone once the body has ended or failed.
    line: Option<Line>,
    framing: Framing,
    keep: bool,
}

/// What comes of asking for more of a body.
pub(super) enum More {
    Data(Bytes),
    /// The end; with the connection, when it can be used again.
    End(Option<Line>),
}

impl Body {
    /// Whether nothing more has to be read from the connection.
    pub(super) fn is_at_end(&self) -> bool {
        matches!(self.framing, Framing::Length(0))
    }

    /// The connection of a body that is at its end, when it can be used again.
    pub(super) fn take_line(&mut self) -> Option<Line> {
        // Bytes after the end were never asked for.
        self.line.take().filter(|line| self.keep && line.buffer.is_empty())
    }

    pub(super) fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<More, Failure>> {
        loop {
            let Some(line) = &mut self.line else { return Poll::Ready(Ok(More::End(None))) };
            match self.framing.take(&mut line.buffer) {
                Ok(Progress::Data(data)) => return Poll::Ready(Ok(More::Data(data))),
                Ok(Progress::End) => return Poll::Ready(Ok(More::End(self.take_line()))),
                Ok(Progress::NeedsMore) => {}
                Err(why) => {
                    self.line = None;
                    return Poll::Ready(Err(Failure::Malformed(why)));
                }
            }
            match ready!(poll_fill(line, context)) {
                Ok(0) => {
                    self.line = None;
                    let whole = self.framing == Framing::UntilClose;
                    return Poll::Ready(if whole { Ok(More::End(None)) } else { Err(Failure::NoAnswer) });
                }
                Ok(_) => {}
                Err(error) => {
                    self.line = None;
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
    }
}

fn poll_fill(line: &mut Line, context: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
    line.make_room();
    let read = std::pin::pin!(line.stream.read_buf(&mut line.buffer));
    // Cancel safe: what is pending has read nothing, and is made anew on the next call.
    read.poll(context)
}

#[cfg(test)]
mod tests;
