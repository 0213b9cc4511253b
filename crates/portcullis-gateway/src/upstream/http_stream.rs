//! An answer that comes as an event stream.
//!
//! A stream of a 2025 server may break off and be resumed by event id; one of 2026 may not. A server that closes it and
//! says when to come back is polled for as long as the call may last; one whose stream just ends is asked a few times. To say
//! when to come back is a sign of life, as a message is; polls that bring neither are no more than silence, and end when the
//! server has been silent for too long. The decoder's limits bound what a server can make the gateway hold.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use portcullis_mcp::json::{Limits as JsonLimits, Raw};
use portcullis_mcp::message::{Message, Response};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_model::ErrorKind;
use tokio::time::Instant;

use super::batch::{self, Messages};
use super::connection::{Connection, Link};
use super::event_stream::{EventStream, StreamEnd};
use super::http::Answer;
use super::incoming::{outcome, relevant, undeclared};
use super::outgoing::Outgoing;
use super::over_http::CancelOnDrop;
use super::questions::Taken;
use crate::call::{Event, LogLevel, Outcome, Refusal, Worker};

/// So often in a row a stream is resumed that ended without a word and without bringing anything.
const MAX_EMPTY_RESUMES: u32 = 5;
/// When a server is asked again that does not say when.
const RETRY: Duration = Duration::from_millis(500);
/// The least and the most of what a server says.
const SOONEST: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_mins(1);

pub(super) struct HttpStream {
    connection: Arc<Connection>,
    events: EventStream,
    /// What the server said at once, and was not read yet.
    said: Messages,
    stage: Stage,
    cancel: Option<CancelOnDrop>,
    id: u64,
    worker: Worker,
    progress_token: Option<Raw>,
    log_level: Option<LogLevel>,
    /// Somebody is there to be asked.
    asker: bool,
    /// It fails when the server asks what its client did not declare.
    strict: bool,
    depth: usize,
    empty_resumes: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// It broke off, and is to be resumed then.
    Broken(Instant),
    /// The call has its outcome.
    Over,
}

impl HttpStream {
    pub(super) fn new(
        connection: Arc<Connection>,
        body: Answer,
        cancel: CancelOnDrop,
        id: u64,
        out: &Outgoing,
    ) -> Self {
        let limits = connection.env.limits();
        Self {
            events: EventStream::new(body, limits.response_bytes),
            said: batch::none(),
            stage: Stage::Open,
            depth: limits.json_depth,
            connection,
            cancel: Some(cancel),
            id,
            worker: out.worker,
            progress_token: out.progress_token.clone(),
            log_level: out.log_level,
            asker: out.asker.is_some(),
            strict: out.strict,
            empty_resumes: 0,
        }
    }

    pub(super) fn into_events(self) -> impl Stream<Item = Event> + Send {
        futures_util::stream::unfold(self, |mut stream| async {
            stream.next().await.map(|event| (event, stream))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        while self.stage != Stage::Over {
            let event = if let Some(message) = self.said.next() {
                self.read(message)
            } else if let Stage::Broken(then) = self.stage {
                tokio::time::sleep_until(then).await;
                self.resume().await
            } else {
                match self.events.next().await {
                    Ok(event) => {
                        self.said = batch::messages(self.connection.peer.revision, event.data, self.depth);
                        None
                    }
                    Err(StreamEnd::Unreadable(error)) => {
                        Some(self.end(ErrorKind::UpstreamProtocol, &error.to_string()))
                    }
                    Err(StreamEnd::Closed) => self.break_off(true),
                    Err(StreamEnd::Broken(_)) => self.break_off(false),
                }
            };
            if event.is_some() {
                return event;
            }
        }
        None
    }

    /// The stream has ended before the answer: it is resumed after a pause, where that can be. A server that wants to be
    /// polled (2025-11-25, SSE polling) closes it in order, and has said when to come back.
    fn break_off(&mut self, in_order: bool) -> Option<Event> {
        let resumable = self.connection.era() == Era::Legacy && self.events.last_event_id().is_some();
        let polls = in_order && self.events.retry().is_some();
        if resumable && (polls || self.empty_resumes < MAX_EMPTY_RESUMES) {
            self.empty_resumes += u32::from(!polls);
            let retry = self.events.retry().unwrap_or(RETRY).clamp(SOONEST, LATEST);
            self.stage = Stage::Broken(Instant::now() + retry);
            return (in_order && self.events.is_told_when()).then_some(Event::Paused { retry });
        }
        Some(self.end(ErrorKind::UpstreamClosed, "the stream ended before the answer"))
    }

    /// 2025-11-25, "Resumability and redelivery": GET with the last event id replays that stream.
    async fn resume(&mut self) -> Option<Event> {
        let connection = self.connection.clone();
        let Link::Http { link, session } = &connection.link else {
            return Some(self.end(ErrorKind::UpstreamClosed, "the stream broke off"));
        };
        let head = connection.stream_head(session.as_ref(), self.events.last_event_id());
        match link.get(self.worker, head).await {
            Ok(reply) if reply.is_stream() => {
                self.events.resume(reply.into_body());
                self.stage = Stage::Open;
                None
            }
            Ok(reply) => {
                let why = format!("the stream broke off and cannot be resumed ({})", reply.status());
                Some(self.end(ErrorKind::UpstreamClosed, &why))
            }
            Err(error) => Some(self.end(ErrorKind::UpstreamClosed, &error.to_string())),
        }
    }

    fn read(&mut self, data: Bytes) -> Option<Event> {
        if data.is_empty() {
            // A priming event: it only carries an id.
            return None;
        }
        self.empty_resumes = 0;
        match Message::parse(data, JsonLimits { depth: self.depth }) {
            Ok(Message::Response(response)) if response.is_to(self.id) => Some(self.finish(response)),
            Ok(Message::Response(_)) => {
                Some(self.end(ErrorKind::UpstreamProtocol, "an answer with an id that was not asked for"))
            }
            Ok(Message::Notification(notification)) if notification.method == Method::Cancelled => {
                self.connection.questions.withdraw(notification.params.as_ref());
                None
            }
            Ok(Message::Notification(notification)) if notification.method == Method::ElicitationComplete => {
                self.connection.questions.page_done(notification.params.as_ref());
                None
            }
            Ok(Message::Notification(notification)) => {
                self.connection.notice(&notification);
                relevant(notification, self.id, self.progress_token.as_ref(), self.log_level)
                    .map(Event::Notification)
            }
            Ok(Message::Request(request)) => match self.connection.asked(request) {
                // Without anybody to ask it is dropped, and so answered.
                Taken::Question(question) => self.asker.then_some(Event::Asked(question)),
                Taken::Undeclared(needed) if self.strict => {
                    self.stage = Stage::Over;
                    Some(Event::Done(undeclared(&self.connection.server, needed).into()))
                }
                Taken::Undeclared(_) | Taken::Answered => None,
            },
            Err(error) => Some(self.end(ErrorKind::UpstreamProtocol, &error.to_string())),
        }
    }

    fn finish(&mut self, response: Response) -> Event {
        self.stage = Stage::Over;
        if let Some(cancel) = self.cancel.take() {
            cancel.disarm();
        }
        Event::Done(outcome(self.connection.era(), response))
    }

    fn end(&mut self, kind: ErrorKind, why: &str) -> Event {
        self.stage = Stage::Over;
        Event::Done(Outcome::Refused(Refusal::new(
            kind,
            format!("server `{}`: {why}", self.connection.server),
        )))
    }
}
