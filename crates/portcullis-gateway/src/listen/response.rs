//! Writing HTTP answers.

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use portcullis_mcp::message::{Id, Malformed, write_error};
use portcullis_mcp::revision::Era;
use portcullis_mcp::sse;
use portcullis_model::{ErrorKind, Principal};

use super::body::Body;
use super::fields::Fields;
use crate::answer::{self, Reply};
use crate::call::{Challenge, Refusal};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Which media types the client takes (RFC 9110 section 12.5.1, without weights: nobody sends them).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepts {
    pub(crate) json: bool,
    pub(crate) stream: bool,
}

impl Accepts {
    /// A request without `Accept` takes anything.
    pub(crate) fn of(fields: &Fields) -> Self {
        if fields.get(&ACCEPT) == Some(b"application/json, text/event-stream") {
            // What nearly every client sends.
            return Self { json: true, stream: true };
        }
        let mut accepts = Self { json: false, stream: false };
        let mut any = false;
        for value in fields.all(&ACCEPT) {
            any = true;
            for range in value.split(|byte| *byte == b',') {
                let essence = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                accepts.json |= [&b"application/json"[..], b"*/*", b"application/*"]
                    .iter()
                    .any(|known| essence.eq_ignore_ascii_case(known));
                accepts.stream |= [&b"text/event-stream"[..], b"*/*", b"text/*"]
                    .iter()
                    .any(|known| essence.eq_ignore_ascii_case(known));
            }
        }
        if any { accepts } else { Self { json: true, stream: true } }
    }
}

/// An answer to a request, as JSON or, for a client that takes nothing else, as a stream of one event.
pub(crate) fn one(reply: &Reply, id: &Id, accepts: Accepts) -> Response<Body> {
    let mut message = Vec::new();
    reply.write(&mut message, id);
    let mut response = if accepts.json || !accepts.stream {
        json(reply.status, message)
    } else {
        let mut text = Vec::with_capacity(message.len() + 16);
        sse::event(&mut text, None, None, None, &message);
        let mut response = stream(Body::whole(text));
        *response.status_mut() = reply.status;
        response
    };
    if let Some(seconds) = reply.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(challenge) = &reply.challenge {
        response.extensions_mut().insert(Needs(challenge.clone()));
    }
    response
}

/// Marks an answer that would be another for another token. Where it leaves, it is told which in a header.
#[derive(Clone, Debug)]
pub(crate) struct Needs(pub(crate) Challenge);

/// Marks the answer to a request that was refused before it was a call, and is on no record yet.
#[derive(Clone, Debug)]
pub(crate) struct Unrecorded {
    pub(crate) kind: ErrorKind,
    /// By whom, where that was known.
    pub(crate) principal: Option<Principal>,
    /// What was wrong with the credential, in words of ours, where it was that.
    pub(crate) credential: Option<String>,
}

/// A refusal at the edge. It is put on record where the answer leaves.
pub(crate) fn refusal(era: Era, id: Option<&Id>, refusal: &Refusal) -> Response<Body> {
    let mut message = Vec::new();
    write_error(&mut message, id, &answer::error(era, refusal));
    let mut response = json(answer::status(era, refusal.kind), message);
    response.extensions_mut().insert(Unrecorded { kind: refusal.kind, principal: None, credential: None });
    if let Some(challenge) = &refusal.challenge {
        response.extensions_mut().insert(Needs(challenge.clone()));
    }
    if let Some(seconds) = answer::retry_after(refusal) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Says by whom a request was made that is refused, for the record.
pub(crate) fn by(answer: &mut Response<Body>, principal: &Principal) {
    if let Some(unrecorded) = answer.extensions_mut().get_mut::<Unrecorded>() {
        unrecorded.principal = Some(principal.clone());
    }
}

/// Says what was wrong with a credential, for the record.
pub(crate) fn of_credential(answer: &mut Response<Body>, why: String) {
    if let Some(unrecorded) = answer.extensions_mut().get_mut::<Unrecorded>() {
        unrecorded.credential = Some(why);
    }
}

/// A refusal of a body that is no message.
pub(crate) fn malformed(era: Era, error: Malformed) -> Response<Body> {
    let (id, why) = no_message(error);
    refusal(era, id.as_ref(), &why)
}

/// The error for one part of a batch that is no message (JSON-RPC 2.0 section 6).
pub(crate) fn malformed_part(error: Malformed) -> Vec<u8> {
    let (id, why) = no_message(error);
    let mut message = Vec::new();
    write_error(&mut message, id.as_ref(), &answer::error(Era::Legacy, &why));
    message
}

fn no_message(error: Malformed) -> (Option<Id>, Refusal) {
    match error {
        Malformed::Json(error) => (None, Refusal::new(ErrorKind::Unparsable, format!("the body is {error}"))),
        Malformed::Envelope { id, why } => {
            let why = format!("not a JSON-RPC 2.0 message: {why}");
            (id, Refusal::new(ErrorKind::InvalidRequest, why))
        }
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::Json(body.into()));
    *response.status_mut() = status;
    response
}

/// An event stream; proxies are asked not to buffer it.
pub(crate) fn stream(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENT_STREAM);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
