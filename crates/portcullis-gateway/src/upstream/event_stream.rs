//! The events of an answer that is an event stream.
//!
//! What a server can make the gateway hold is bounded by the decoder. What an event means is up to who reads.

use std::time::Duration;

use http_body_util::BodyExt as _;
use portcullis_mcp::sse::{Decoder, Event, SseError};

use super::http::{Answer, HttpError};

/// An event stream that is being read.
pub(crate) struct EventStream {
    /// `None` once it has ended.
    body: Option<Answer>,
    decoder: Decoder,
    /// The delay that the server asked for on earlier connections.
    asked_before: Option<Duration>,
}

/// Why there are no more events.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamEnd {
    /// The server closed it.
    #[error("the server closed its event stream")]
    Closed,
    /// The connection broke.
    #[error("its event stream broke: {0}")]
    Broken(HttpError),
    /// It cannot be read on.
    #[error("the server broke the protocol: {0}")]
    Unreadable(SseError),
}

impl EventStream {
    /// Reads `body`; no event may be larger than `limit` bytes.
    pub(crate) fn new(body: Answer, limit: usize) -> Self {
        Self { body: Some(body), decoder: Decoder::new(limit), asked_before: None }
    }

    /// The next event.
    ///
    /// # Errors
    /// There is none. After the first error there is never another event.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Event, StreamEnd> {
        loop {
            if let Some(event) = self.decoder.next() {
                return event.map_err(|error| {
                    self.body = None;
                    StreamEnd::Unreadable(error)
                });
            }
            let body = self.body.as_mut().ok_or(StreamEnd::Closed)?;
            let end = match body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.decoder.push(data);
                    }
                    continue;
                }
                Some(Err(error)) => StreamEnd::Broken(error),
                None => StreamEnd::Closed,
            };
            self.body = None;
            return Err(end);
        }
    }

    /// Goes on with `body`, which begins after [`last_event_id`](Self::last_event_id).
    pub(crate) fn resume(&mut self, body: Answer) {
        self.asked_before = self.retry();
        self.decoder = self.decoder.resumed();
        self.body = Some(body);
    }

    /// The id to resume after, if the server gives any.
    pub(crate) fn last_event_id(&self) -> Option<&str> {
        self.decoder.last_event_id()
    }

    /// The delay that the server asks for before a stream is resumed.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.decoder.retry().or(self.asked_before)
    }

    /// Whether the server has asked for one on this very connection.
    pub(crate) fn is_told_when(&self) -> bool {
        self.decoder.retry().is_some()
    }
}
