//! Reading the head of a request (RFC 9112 sections 2 to 5).
//!
//! What could be read two ways is refused: two hosts, two different lengths, a length beside chunks.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::header::{CONNECTION, EXPECT, HOST};
use http::{Method, StatusCode, Uri};
use httparse::{Header, ParserConfig, Request, Status};

use crate::framing::{Framing, Lengths};
use crate::listen::fields::Fields;
use crate::listen::request::Head;

/// So many fields are taken.
const FIELDS: usize = 100;

/// A request without its body.
pub(super) struct Parsed {
    pub(super) head: Head,
    pub(super) framing: Framing,
    /// The client wants to send more requests.
    pub(super) keep: bool,
    /// It speaks HTTP/1.0.
    pub(super) old: bool,
    /// It sends the body only when it is told to (RFC 9110 section 10.1.1).
    pub(super) expects: bool,
}

/// A head that is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) status: StatusCode,
    pub(super) why: &'static str,
}

const fn bad(why: &'static str) -> Rejected {
    Rejected { status: StatusCode::BAD_REQUEST, why }
}

const TOO_LARGE: Rejected = Rejected {
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    why: "the head of the request is too large (limits.header_bytes)",
};

/// Line ends without end.
pub(super) const BLANK: Rejected = bad("too many empty lines stand before the request");

/// The client did not get to the end of a head.
pub(super) const TOO_SLOW: Rejected = Rejected {
    status: StatusCode::REQUEST_TIMEOUT,
    why: "the head of the request did not arrive in time (limits.header_read)",
};

/// Takes a head of up to `limit` bytes from `buffer`; `None` when it is not complete. `looked` is how much of the buffer
/// earlier looks have seen: a head that comes byte by byte is not read from its beginning each time.
pub(super) fn parse(
    buffer: &mut BytesMut,
    limit: usize,
    looked: &mut usize,
) -> Result<Option<Parsed>, Rejected> {
    if *looked > 0 && !may_end(&buffer[looked.saturating_sub(3)..]) {
        *looked = buffer.len();
        return if buffer.len() > limit { Err(TOO_LARGE) } else { Ok(None) };
    }
    let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; FIELDS];
    let mut request = Request::new(&mut []);
    let parsed = ParserConfig::default().parse_request_with_uninit_headers(&mut request, buffer, &mut fields);
    let length = match parsed {
        Ok(Status::Complete(length)) if length <= limit => length,
        Ok(Status::Partial) if buffer.len() <= limit => {
            *looked = buffer.len();
            return Ok(None);
        }
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        Err(httparse::Error::Version) => return Err(bad("the gateway speaks HTTP/1.1, HTTP/1.0 and HTTP/2")),
        Err(_) => return Err(bad("the head of the request is not HTTP/1.1")),
    };
    *looked = 0;
    let read = read(&request, buffer)?;
    let text = buffer.split_to(length).freeze();
    Ok(Some(read.finish(text)))
}

/// Whether a head could end here: an empty line follows a line.
fn may_end(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', text).any(|at| matches!(text[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

/// A head whose fields are still places in the buffer.
struct Unbound {
    parsed: Parsed,
    places: Vec<[(usize, usize); 2]>,
}

impl Unbound {
    fn finish(self, text: bytes::Bytes) -> Parsed {
        let mut parsed = self.parsed;
        parsed.head.fields = Fields::new(text, self.places.into_iter());
        parsed
    }
}

fn read(request: &Request<'_, '_>, buffer: &[u8]) -> Result<Unbound, Rejected> {
    let method = request.method.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
    let method = method.ok_or(bad("the method of the request cannot be read"))?;
    let (path, query, authority) = target(request.path.unwrap_or_default())?;
    let old = request.version == Some(0);
    let mut lengths = Lengths::default();
    let (mut stays, mut leaves, mut expects, mut hosts) = (!old, false, false, 0);
    let mut places = Vec::with_capacity(request.headers.len());
    let place = |part: &[u8]| {
        let start = part.as_ptr() as usize - buffer.as_ptr() as usize;
        (start, start + part.len())
    };
    for field in request.headers.iter() {
        let is = |name: &http::HeaderName| field.name.eq_ignore_ascii_case(name.as_str());
        match field.name.len() {
            // Most names are none of these, and their length says so.
            4 if is(&HOST) => hosts += 1,
            6 if is(&EXPECT) => expects = field.value.eq_ignore_ascii_case(b"100-continue"),
            10 if is(&CONNECTION) => {
                leaves |= has_option(field.value, b"close");
                stays |= has_option(field.value, b"keep-alive");
            }
            14 | 17 => drop(lengths.take(field.name, field.value).map_err(bad_length)?),
            _ => {}
        }
        places.push([place(field.name.as_bytes()), place(field.value)]);
    }
    if hosts > 1 {
        return Err(bad("the request names two hosts"));
    }
    let framing = lengths.framing().map_err(bad_length)?.unwrap_or(Framing::Length(0));
    if old && matches!(framing, Framing::Chunked(_)) {
        return Err(bad("HTTP/1.0 has no chunks"));
    }
    let head = Head { method, path, query, authority, fields: Fields::default() };
    let (keep, expects) = (stays && !leaves, expects && !old);
    Ok(Unbound { parsed: Parsed { head, framing, keep, old, expects }, places })
}

fn bad_length(why: &'static str) -> Rejected {
    match why {
        "two lengths" => bad("the body of the request has two lengths"),
        "both a length and chunks" => bad("the body of the request has both a length and chunks"),
        "an unknown transfer coding" => bad("the transfer coding of the request is not known; `chunked` is"),
        _ => bad("the length of the request's body cannot be read"),
    }
}

/// Whether a `Connection` field has an option.
fn has_option(value: &[u8], option: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|other| other.trim_ascii().eq_ignore_ascii_case(option))
}

/// Path, query and host of a request target: `/path?query`, `http://host/path?query`, or `*`.
fn target(text: &str) -> Result<(String, Option<String>, Option<String>), Rejected> {
    if text.starts_with('/') || text == "*" {
        return Ok(match text.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned()), None),
            None => (text.to_owned(), None, None),
        });
    }
    let uri = Uri::try_from(text).ok().filter(|uri| uri.scheme().is_some());
    let uri = uri.ok_or(bad("the target of the request cannot be read"))?;
    let query = uri.query().map(str::to_owned);
    Ok((uri.path().to_owned(), query, uri.authority().map(ToString::to_string)))
}

#[cfg(test)]
mod tests;
