//! JSON-RPC 2.0 messages as MCP narrows them: ids are strings or integers, never null.
//!
//! Only the envelope is read. `params`, `result` and `error` stay the bytes they were; the envelope itself belongs to
//! one hop and is written anew on the next, because its id does.

mod error;

use bytes::Bytes;

use crate::json::{JsonError, Kind, Limits, Member, Object, Raw, write_string};
use crate::method::Method;

pub use error::{RpcError, code};

/// A request id: a JSON string or integer, echoed byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Id(Raw);

impl Id {
    /// Reads an id; `None` for anything that MCP does not allow as one.
    pub fn from_raw(raw: &Raw) -> Option<Self> {
        let allowed = match raw.kind() {
            Kind::String => true,
            Kind::Number => !raw.as_bytes().iter().any(|b| matches!(b, b'.' | b'e' | b'E')),
            _ => false,
        };
        allowed.then(|| Self(raw.clone()))
    }

    /// A gateway's own id.
    pub fn number(number: u64) -> Self {
        Self(Raw::trusted(number.to_string()))
    }

    /// The number, when this is one of [`Id::number`]'s.
    pub fn as_number(&self) -> Option<u64> {
        self.0.u64()
    }

    /// The JSON text.
    pub fn raw(&self) -> &Raw {
        &self.0
    }
}

/// A message that wants an answer.
#[derive(Clone, Debug)]
pub struct Request {
    /// Chosen by the sender.
    pub id: Id,
    /// What is asked.
    pub method: Method,
    /// An object, when present.
    pub params: Option<Object>,
}

/// A message that wants none.
#[derive(Clone, Debug)]
pub struct Notification {
    /// What is told.
    pub method: Method,
    /// An object, when present.
    pub params: Option<Raw>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The id of the request; absent only when the receiver could not read it.
    pub id: Option<Id>,
    /// The result as it came, or the error.
    pub answer: Result<Object, RpcError>,
}

impl Response {
    /// Whether it answers the gateway's own request of this number.
    pub fn is_to(&self, number: u64) -> bool {
        self.id.as_ref().and_then(Id::as_number) == Some(number)
    }
}

/// Any one JSON-RPC message.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each variant is its content's type")]
pub enum Message {
    Request(Request),
    Notification(Notification),
    Response(Response),
}

/// Bytes that are no JSON-RPC message of MCP.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not JSON, or beyond its limits: `-32700`.
    #[error("the message is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// JSON, but not a message: `-32600`.
    #[error("not a JSON-RPC 2.0 message: {why}")]
    Envelope {
        /// The id, when it could be read.
        id: Option<Id>,
        /// What is wrong.
        why: &'static str,
    },
}

impl Message {
    /// Reads one message.
    ///
    /// # Errors
    /// [`Malformed`]; a JSON array (a batch of 2025-03-26) is no message.
    pub fn parse(bytes: Bytes, limits: Limits) -> Result<Self, Malformed> {
        Self::from_object(&Object::parse(bytes, limits)?)
    }

    /// Reads one message from checked JSON.
    ///
    /// # Errors
    /// [`Malformed::Envelope`].
    pub fn from_raw(raw: &Raw) -> Result<Self, Malformed> {
        Self::from_object(&raw.clone().into())
    }

    fn from_object(object: &Object) -> Result<Self, Malformed> {
        if object.kind() != Kind::Object {
            return Err(Malformed::Envelope { id: None, why: "it is no object" });
        }
        let mut parts = Parts::default();
        for member in object.members() {
            parts.take(object, &member);
        }
        let id = parts.id.as_ref().and_then(Id::from_raw);
        parts.into_message(id.clone()).map_err(|why| Malformed::Envelope { id, why })
    }
}

#[derive(Default)]
struct Parts {
    is_version_2: bool,
    id: Option<Raw>,
    method: Option<Raw>,
    params: Option<Object>,
    result: Option<Object>,
    error: Option<Raw>,
}

impl Parts {
    fn take(&mut self, message: &Object, member: &Member<'_>) {
        let decoded;
        let key = match member.plain_key() {
            Some(key) => key,
            None => {
                decoded = member.key();
                decoded.as_bytes()
            }
        };
        match key {
            b"jsonrpc" => self.is_version_2 = member.value_bytes() == b"\"2.0\"",
            b"id" => self.id = Some(member.value()),
            b"method" => self.method = Some(member.value()),
            b"params" => self.params = Some(message.inside(member)),
            b"result" => self.result = Some(message.inside(member)),
            b"error" => self.error = Some(member.value()),
            _ => {}
        }
    }

    fn into_message(self, id: Option<Id>) -> Result<Message, &'static str> {
        if !self.is_version_2 {
            return Err("`jsonrpc` must be \"2.0\"");
        }
        if self.method.is_some() { self.into_call(id) } else { self.into_response(id) }
    }

    fn into_call(self, id: Option<Id>) -> Result<Message, &'static str> {
        if self.result.is_some() || self.error.is_some() {
            return Err("a message has either `method` or `result`/`error`");
        }
        let method = self.method.as_ref().and_then(Raw::string).ok_or("`method` must be a string")?;
        let method = Method::parse(&method);
        if self.params.as_ref().is_some_and(|params| params.kind() != Kind::Object) {
            return Err("`params` must be an object");
        }
        match (self.id, id) {
            (None, _) => {
                let params = self.params.map(Object::into_raw);
                Ok(Message::Notification(Notification { method, params }))
            }
            (Some(_), Some(id)) => Ok(Message::Request(Request { id, method, params: self.params })),
            (Some(_), None) => Err("`id` must be a string or an integer"),
        }
    }

    fn into_response(self, id: Option<Id>) -> Result<Message, &'static str> {
        if self.id.as_ref().is_some_and(|raw| raw.kind() != Kind::Null) && id.is_none() {
            return Err("`id` must be a string or an integer");
        }
        let answer = match (self.result, self.error) {
            (Some(result), None) if id.is_none() || result.kind() != Kind::Object => {
                return Err("a result needs an `id` and must be an object");
            }
            (Some(result), None) => Ok(result),
            (None, Some(error)) => Err(RpcError::from_raw(error)
                .ok_or("`error` must have an integer `code` and a string `message`")?),
            _ => return Err("a message has exactly one of `method`, `result`, `error`"),
        };
        Ok(Message::Response(Response { id, answer }))
    }
}

const HEAD: &[u8] = b"{\"jsonrpc\":\"2.0\"";

/// Writes a request.
pub fn write_request(out: &mut Vec<u8>, id: &Id, method: &Method, params: Option<&Raw>) {
    out.extend_from_slice(HEAD);
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id.raw().as_bytes());
    write_method(out, method, params);
}

/// Writes a notification.
pub fn write_notification(out: &mut Vec<u8>, method: &Method, params: Option<&Raw>) {
    out.extend_from_slice(HEAD);
    write_method(out, method, params);
}

fn write_method(out: &mut Vec<u8>, method: &Method, params: Option<&Raw>) {
    out.extend_from_slice(b",\"method\":");
    write_string(out, method.as_str());
    if let Some(params) = params {
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(params.as_bytes());
    }
    out.push(b'}');
}

/// Writes a result.
pub fn write_result(out: &mut Vec<u8>, id: &Id, result: &Raw) {
    out.reserve(HEAD.len() + result.as_bytes().len() + id.raw().as_bytes().len() + 20);
    out.extend_from_slice(HEAD);
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id.raw().as_bytes());
    out.extend_from_slice(b",\"result\":");
    out.extend_from_slice(result.as_bytes());
    out.push(b'}');
}

/// Writes an error. Without an id the member is `null` (JSON-RPC 2.0 section 5).
pub fn write_error(out: &mut Vec<u8>, id: Option<&Id>, error: &RpcError) {
    out.extend_from_slice(HEAD);
    out.extend_from_slice(b",\"id\":");
    out.extend_from_slice(id.map_or(b"null", |id| id.raw().as_bytes()));
    out.extend_from_slice(b",\"error\":");
    out.extend_from_slice(error.raw().as_bytes());
    out.push(b'}');
}

#[cfg(test)]
mod tests;
