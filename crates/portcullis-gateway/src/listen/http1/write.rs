//! Writing the head of an answer, and a body that is all there, in one piece.

use std::time::{Duration, SystemTime};

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::moment::Moment;

/// A body up to this size is written together with its head.
pub(super) const SMALL: usize = 64 * 1024;

/// So much memory for writing is kept between two answers.
const KEPT: usize = 16 * 1024;

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// So many bytes.
    Length(usize),
    /// Chunks, the last of them empty.
    Chunks,
    /// Bytes until the connection closes: all that HTTP/1.0 has for them.
    Rest,
    /// Nothing, by the rules for this status.
    Nothing,
}

/// How a request wants to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// The connection ends with the answer.
    pub(super) close: bool,
    /// Without the body: it was a HEAD.
    pub(super) silent: bool,
    /// The client speaks HTTP/1.0.
    pub(super) old: bool,
}

/// Writes heads; keeps what it writes into.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) out: Vec<u8>,
    /// The time of day, and when it was written.
    date: Option<(Moment, String)>,
}

impl Writer {
    /// Puts a head into `out`, in place of what was there. `media` is the `Content-Type`, where `parts` does not say it.
    pub(super) fn head(
        &mut self,
        parts: &Parts,
        media: Option<&HeaderValue>,
        follows: Follows,
        manner: Manner,
    ) {
        self.out.clear();
        if parts.status == StatusCode::OK {
            self.out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        } else {
            self.out.extend_from_slice(b"HTTP/1.1 ");
            self.out.extend_from_slice(parts.status.as_str().as_bytes());
            self.out.push(b' ');
            self.out.extend_from_slice(parts.status.canonical_reason().unwrap_or_default().as_bytes());
            self.out.extend_from_slice(b"\r\n");
        }
        for (name, value) in &parts.headers {
            self.field(name, value.as_bytes());
        }
        if let Some(media) = media {
            self.field(&CONTENT_TYPE, media.as_bytes());
        }
        match follows {
            Follows::Length(length) => {
                self.field(&CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes());
            }
            Follows::Chunks => self.field(&TRANSFER_ENCODING, b"chunked"),
            Follows::Rest | Follows::Nothing => {}
        }
        if manner.close {
            self.field(&CONNECTION, b"close");
        } else if manner.old {
            self.field(&CONNECTION, b"keep-alive");
        }
        self.date();
        self.out.extend_from_slice(b"\r\n");
    }

    /// Puts a chunk into `out`, in place of what was there; an empty one is the last.
    pub(super) fn chunk(&mut self, data: &[u8]) {
        self.out.clear();
        self.out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
        self.out.extend_from_slice(data);
        self.out.extend_from_slice(b"\r\n");
    }

    /// What was written has been sent; a large piece's memory is given back.
    pub(super) fn sent(&mut self) {
        if self.out.capacity() > KEPT {
            self.out = Vec::new();
        }
    }

    fn field(&mut self, name: &HeaderName, value: &[u8]) {
        self.out.extend_from_slice(name.as_str().as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
    }

    /// RFC 9110 section 6.6.1. Written anew after a second.
    fn date(&mut self) {
        let now = Moment::now();
        let kept = self.date.take().filter(|(written, _)| now.since(*written) < Duration::from_secs(1));
        let (_, date) =
            self.date.insert(kept.unwrap_or_else(|| (now, httpdate::fmt_http_date(SystemTime::now()))));
        self.out.extend_from_slice(DATE.as_str().as_bytes());
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(date.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }
}
