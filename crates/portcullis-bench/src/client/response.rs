//! Reads one HTTP/1.1 response out of the bytes received so far.
//!
//! [`parse`] is given everything that arrived since the request went out and says either "not yet" or where
//! the response ends. It starts afresh each time: a bench answer fits into one or two reads, and a parser
//! without state cannot keep stale state. It deliberately refuses a body that ends with the connection: a
//! server under test has to keep its connections alive.

use std::borrow::Cow;

use memchr::memmem;
use thiserror::Error;

/// Headers that a response may have before it is refused.
const HEADERS: usize = 64;

/// A complete response; the body may borrow from the receive buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response<'b> {
    /// HTTP status code.
    pub(crate) status: u16,
    /// The JSON-RPC message: the body, or the data of the last event of an SSE stream.
    pub(crate) message: Cow<'b, [u8]>,
    /// Value of `Mcp-Session-Id`.
    pub(crate) session: Option<&'b str>,
    /// Whether the server closes the connection after this.
    pub(crate) close: bool,
    /// Bytes of the buffer that this response took.
    pub(crate) length: usize,
}

/// Why the received bytes are no response.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum InvalidResponse {
    /// Not HTTP/1.1, or too many headers.
    #[error("unreadable response head: {0}")]
    Head(#[from] httparse::Error),
    /// Neither `Content-Length` nor chunked.
    #[error("a response with status {0} without a length")]
    Unframed(u16),
    /// A bad `Content-Length` or chunk size.
    #[error("unreadable length {0:?}")]
    Length(String),
}

/// What a response's head says.
struct Head<'b> {
    status: u16,
    session: Option<&'b str>,
    close: bool,
    /// Whether the body is an event stream.
    events: bool,
    framing: Framing,
    /// Where the body begins.
    length: usize,
}

/// How the head says that the body is framed.
#[derive(Default)]
struct Framing {
    length: Option<usize>,
    chunked: bool,
}

/// Reads the response at the start of `received`; `None` means that more bytes have to arrive.
pub(crate) fn parse(received: &[u8]) -> Result<Option<Response<'_>>, InvalidResponse> {
    let Some(Head { status, session, close, events, framing, length }) = head(received)? else {
        return Ok(None);
    };
    let Some((body, taken)) = body(&received[length..], status, &framing)? else {
        return Ok(None);
    };
    let message = if events { Cow::Owned(self::events(&body).pop().unwrap_or_default()) } else { body };
    Ok(Some(Response { status, message, session, close, length: length + taken }))
}

/// The data of the events that have arrived whole, of a response that has not ended; none when it is no event stream.
pub(crate) fn events_so_far(received: &[u8]) -> Result<Vec<Vec<u8>>, InvalidResponse> {
    match head(received)? {
        Some(Head { events: true, framing: Framing { chunked: true, .. }, length, .. }) => {
            let (joined, _) = chunks(&received[length..])?;
            Ok(events(&joined))
        }
        _ => Ok(Vec::new()),
    }
}

fn head(received: &[u8]) -> Result<Option<Head<'_>>, InvalidResponse> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS];
    let mut head = httparse::Response::new(&mut slots);
    let httparse::Status::Complete(length) = head.parse(received)? else {
        return Ok(None);
    };
    let status = head.code.expect("a complete head has a status");
    let (mut session, mut close, mut events) = (None, false, false);
    let mut framing = Framing::default();
    for header in head.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        match header.name.len() {
            14 if is(header, "content-length") => framing.length = Some(number(value, 10)?),
            17 if is(header, "transfer-encoding") => framing.chunked = value.eq_ignore_ascii_case("chunked"),
            12 if is(header, "content-type") => events = value.starts_with("text/event-stream"),
            14 if is(header, "mcp-session-id") => session = Some(value),
            10 if is(header, "connection") => close = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    Ok(Some(Head { status, session, close, events, framing, length }))
}

fn is(header: &httparse::Header<'_>, name: &str) -> bool {
    header.name.eq_ignore_ascii_case(name)
}

fn number(text: &str, radix: u32) -> Result<usize, InvalidResponse> {
    usize::from_str_radix(text, radix).map_err(|_| InvalidResponse::Length(text.to_owned()))
}

/// The body and the bytes that it took, once it is complete.
type Body<'b> = Option<(Cow<'b, [u8]>, usize)>;

fn body<'b>(rest: &'b [u8], status: u16, framing: &Framing) -> Result<Body<'b>, InvalidResponse> {
    if framing.chunked {
        let (joined, end) = chunks(rest)?;
        return Ok(end.map(|end| (Cow::Owned(joined), end)));
    }
    let length = match framing.length {
        Some(length) => length,
        None if matches!(status, 100..=199 | 202 | 204 | 304) => 0,
        None => return Err(InvalidResponse::Unframed(status)),
    };
    Ok(rest.get(..length).map(|body| (Cow::Borrowed(body), length)))
}

/// Joins the chunks that have arrived whole, and says where the body ends once it has; trailers are skipped.
fn chunks(rest: &[u8]) -> Result<(Vec<u8>, Option<usize>), InvalidResponse> {
    let mut joined = Vec::with_capacity(rest.len());
    let mut at = 0;
    loop {
        let Some(line) = line(&rest[at..]) else { return Ok((joined, None)) };
        at += line.len() + 2;
        let text = std::str::from_utf8(line).unwrap_or_default();
        let size = number(text.split(';').next().unwrap_or_default().trim(), 16)?;
        if size == 0 {
            break;
        }
        // Room for the chunk and the line end after it.
        let end = at.saturating_add(size);
        let Some(chunk) = rest.get(at..end).filter(|_| rest.len() >= end.saturating_add(2)) else {
            return Ok((joined, None));
        };
        joined.extend_from_slice(chunk);
        at = end + 2;
    }
    loop {
        let Some(trailer) = line(&rest[at..]) else { return Ok((joined, None)) };
        at += trailer.len() + 2;
        if trailer.is_empty() {
            return Ok((joined, Some(at)));
        }
    }
}

/// The bytes before the next CRLF.
fn line(bytes: &[u8]) -> Option<&[u8]> {
    memmem::find(bytes, b"\r\n").map(|end| &bytes[..end])
}

/// The data of the events that have any; the last one is where a server puts the response, after what else it tells.
/// What is not closed by a blank line is not read.
fn events(body: &[u8]) -> Vec<Vec<u8>> {
    let (mut all, mut current) = (Vec::new(), Vec::new());
    let lines = memchr::memrchr(b'\n', body).map_or(&[][..], |end| &body[..end]);
    for line in lines.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        if let Some(data) = line.strip_prefix(b"data:") {
            if !current.is_empty() {
                current.push(b'\n');
            }
            current.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        } else if line.is_empty() && !current.is_empty() {
            all.push(std::mem::take(&mut current));
        }
    }
    all
}

#[cfg(test)]
mod tests;
