//! The answer to one HTTP request: its head, as far as MCP needs it, and a body that is still to be read.
//!
//! A few header fields are all that anybody asks an answer for, so those are kept: a map of all of them would cost each call
//! more than reading the head does.

use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use portcullis_mcp::header::SESSION_ID;

/// The answer.
#[derive(Debug)]
pub(crate) struct HttpReply<B> {
    status: StatusCode,
    fields: Kept,
    body: B,
}

/// What is kept of the header fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) media: Media,
    /// `Content-Type`, where it is neither of those that MCP has.
    other_media: Option<Box<str>>,
    /// `Mcp-Session-Id`.
    pub(crate) session: Option<HeaderValue>,
    /// What is said with a refusal; few answers have it.
    pub(crate) refusal: Option<Box<Said>>,
}

/// What a server says with a refusal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// `WWW-Authenticate`.
    pub(crate) challenge: Option<String>,
    /// `DPoP-Nonce`.
    pub(crate) nonce: Option<String>,
}

/// What an answer's `Content-Type` says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Media {
    Json,
    EventStream,
    #[default]
    Other,
}

impl Media {
    fn parse(value: &[u8]) -> Self {
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/json") {
            Self::Json
        } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Self::EventStream
        } else {
            Self::Other
        }
    }
}

impl Kept {
    /// Takes note of a field.
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(CONTENT_TYPE.as_str().as_bytes()) {
            self.media = Media::parse(value);
            if self.media == Media::Other {
                self.other_media = std::str::from_utf8(value).ok().map(Into::into);
            }
        } else if name.eq_ignore_ascii_case(SESSION_ID.as_str().as_bytes()) {
            self.session = HeaderValue::from_bytes(value).ok();
        } else if name.eq_ignore_ascii_case(WWW_AUTHENTICATE.as_str().as_bytes()) {
            let said = &mut self.refusal.get_or_insert_default().challenge;
            let text = String::from_utf8_lossy(value);
            // Challenges may stand in one field or in several (RFC 9110 section 11.6.1).
            *said = Some(said.take().map_or_else(|| text.to_string(), |before| format!("{before}, {text}")));
        } else if name.eq_ignore_ascii_case(b"dpop-nonce") {
            self.refusal.get_or_insert_default().nonce = std::str::from_utf8(value).ok().map(str::to_owned);
        }
    }
}

impl From<&HeaderMap> for Kept {
    fn from(headers: &HeaderMap) -> Self {
        let mut kept = Self::default();
        for (name, value) in headers {
            kept.take(name.as_str().as_bytes(), value.as_bytes());
        }
        kept
    }
}

impl<B> HttpReply<B> {
    pub(super) fn new(status: StatusCode, fields: Kept, body: B) -> Self {
        Self { status, fields, body }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn media(&self) -> Media {
        self.fields.media
    }

    /// What its `Content-Type` says; of those that MCP has, without parameters.
    pub(super) fn content_type(&self) -> Option<&str> {
        match self.fields.media {
            Media::Json => Some("application/json"),
            Media::EventStream => Some("text/event-stream"),
            Media::Other => self.fields.other_media.as_deref(),
        }
    }

    pub(crate) fn session(&self) -> Option<&HeaderValue> {
        self.fields.session.as_ref()
    }

    /// What is said with a refusal.
    pub(super) fn said(&self) -> Option<&Said> {
        self.fields.refusal.as_deref()
    }

    /// Whether it carries events.
    pub(crate) fn is_stream(&self) -> bool {
        self.status.is_success() && self.fields.media == Media::EventStream
    }

    #[cfg(test)]
    pub(super) fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }

    pub(crate) fn into_body(self) -> B {
        self.body
    }

    pub(super) fn map<C>(self, map: impl FnOnce(B) -> C) -> HttpReply<C> {
        HttpReply { status: self.status, fields: self.fields, body: map(self.body) }
    }
}
