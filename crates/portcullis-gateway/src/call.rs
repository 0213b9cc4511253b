//! The waist: a self-contained request, and the exchange that answers it.
//!
//! Everything on the way in becomes a [`Call`], everything on the way out an [`Exchange`]: notifications, then exactly
//! one [`Outcome`]. Both are the modern protocol's shape; a legacy peer is an adapter at its own edge. There is no
//! session here, and nothing here knows a transport.

mod endpoint;
#[cfg(test)]
pub(crate) mod fixture;
mod question;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures_util::Stream;
use futures_util::{FutureExt as _, StreamExt as _};
use portcullis_identity::outbound::SubjectToken;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Object, Raw};
use portcullis_mcp::message::{Notification, RpcError};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, Revision};
use portcullis_mcp::translate::Payload;
use portcullis_model::{ErrorKind, Principal};
use portcullis_telemetry::trace::TraceContext;

pub use endpoint::Endpoint;
pub(crate) use question::{OpenQuestions, Question};

use crate::admit::Recognised;
use crate::record::Entry;
use crate::route::HeldTo;

/// Who calls, and what that side of the conversation can carry.
#[derive(Clone, Debug)]
pub struct Caller {
    /// For whom.
    pub principal: Principal,
    /// Its token, where a server wants one in exchange.
    pub subject: Option<Arc<SubjectToken>>,
    /// The address that it connects from.
    pub peer: Option<IpAddr>,
    /// Which revision the client speaks.
    pub revision: Revision,
    /// What the client can be asked.
    pub caps: ClientCaps,
    /// What the client says that it is: an `Implementation`, and its own word.
    pub client: Option<Raw>,
    /// Names the conversation where servers are not shared: a legacy session, or the principal.
    pub conversation: Arc<str>,
    /// How many calls this client has under way: per session, or per connection where there are none.
    pub under_way: Arc<AtomicUsize>,
    /// Whom the policies take it for.
    pub(crate) recognised: Arc<Recognised>,
    /// Which connection it came on: a number that is given once.
    pub(crate) connection: u64,
    /// The version of a server that this goes on with.
    pub(crate) held_to: Option<Arc<HeldTo>>,
}

/// Which worker thread serves the call: connections to servers are pooled per worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker(pub usize);

/// One request.
#[derive(Clone)]
pub struct Call {
    /// Where it came in.
    pub endpoint: Endpoint,
    /// From whom.
    pub caller: Arc<Caller>,
    /// On which thread.
    pub worker: Worker,
    /// What is asked.
    pub method: Method,
    /// As they came.
    pub params: Option<Object>,
    /// The tool's or prompt's name or the resource's URI in `params`, for methods that have one.
    pub subject: Option<String>,
    /// Log messages wanted from this level up.
    pub log_level: Option<LogLevel>,
    /// The client's progress token.
    pub progress_token: Option<Raw>,
    /// Where the call stands in a trace.
    pub trace: Option<TraceContext>,
    /// The `Mcp-Param-*` headers of a modern HTTP request, to be held against the tool's schema.
    pub mirrored: Option<http::HeaderMap>,
    /// An attempt of it has been let through to its server already; this is the next one, with what the server asked for.
    pub let_through: bool,
    /// For logs: the client's id for this request, or a made-up one.
    pub request_id: Arc<str>,
    /// What is noted of it for the evidence log.
    pub(crate) record: Entry,
}

/// Severity of a log message (RFC 5424's names), least severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl LogLevel {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Debug, "debug"),
        (Self::Info, "info"),
        (Self::Notice, "notice"),
        (Self::Warning, "warning"),
        (Self::Error, "error"),
        (Self::Critical, "critical"),
        (Self::Alert, "alert"),
        (Self::Emergency, "emergency"),
    ];

    /// Reads a level.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(level, _)| *level)
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// The level with this place in the order; the most severe one beyond the end.
    pub fn from_index(index: u8) -> Self {
        Self::ALL[usize::from(index).min(Self::ALL.len() - 1)].0
    }
}

/// Why the gateway itself does not carry a call out. A value, not an exception: it says who is at fault and what to do.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Which kind.
    pub kind: ErrorKind,
    /// For the caller: what happened, and what to do next. No secrets, no internals.
    pub message: String,
    /// `error.data`.
    pub data: Option<Raw>,
    /// When the caller may try again, where that is known.
    pub retry_after: Option<Duration>,
    /// With which token it would be carried out.
    pub challenge: Option<Challenge>,
}

/// What the caller's next token has to be, for what this one is not good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// It has to be for all of these scopes.
    Scope(Box<str>),
    /// It has to come of a new login, with these claims asked for where the identity provider says which.
    Login(Option<Box<str>>),
}

impl Refusal {
    /// A refusal without data.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), data: None, retry_after: None, challenge: None }
    }

    /// The same with `error.data`.
    #[must_use]
    pub fn with_data(self, data: Raw) -> Self {
        Self { data: Some(data), ..self }
    }
}

/// How a call ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A complete result.
    Complete(Payload),
    /// The server needs answers from the client first (2026-07-28, multi round-trip requests). Modern form.
    InputRequired(Raw),
    /// The server made a task of it (Tasks extension). Modern form.
    Task(Raw),
    /// The server answered with an error.
    Failed {
        /// As the server wrote it.
        error: RpcError,
        /// In which era.
        era: Era,
    },
    /// The gateway did not carry it out.
    Refused(Refusal),
}

impl Outcome {
    /// Whether the caller is told to come back with another token.
    pub fn is_challenge(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.challenge.is_some())
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What an exchange yields.
#[derive(Debug)]
pub enum Event {
    /// Belongs to this request: progress or a log message.
    Notification(Notification),
    /// A server with sessions asks the client something before it goes on (sampling, elicitation, roots). Whoever drops
    /// the question has cancelled it.
    Asked(Question),
    /// The server closed its stream and says on it that it will have the rest later (2025-11-25, SSE polling). The exchange
    /// fetches it when the time has come.
    Paused {
        /// So much later.
        retry: Duration,
    },
    /// The end.
    Done(Outcome),
}

/// The answer to one call, as it arrives. Dropping it cancels the call at the server.
pub struct Exchange {
    events: Events,
    /// The server chose to stream its answer.
    streamed: bool,
    /// The call was refused before it was sent, with what looks like an answer of the server.
    unsent: bool,
}

enum Events {
    Ready(Option<Outcome>),
    Live(Pin<Box<dyn Stream<Item = Event> + Send>>),
}

impl Exchange {
    /// An answer that is there already.
    pub fn done(outcome: impl Into<Outcome>) -> Self {
        Self { events: Events::Ready(Some(outcome.into())), streamed: false, unsent: false }
    }

    /// An answer that is there already and came on a stream.
    pub fn done_on_stream(outcome: Outcome) -> Self {
        Self { events: Events::Ready(Some(outcome)), streamed: true, unsent: false }
    }

    /// An answer under way. The stream must yield [`Event::Done`] once; what comes after it is not asked for.
    pub fn live(events: impl Stream<Item = Event> + Send + 'static, streamed: bool) -> Self {
        Self { events: Events::Live(Box::pin(events)), streamed, unsent: false }
    }

    /// An answer that is still to be asked for, which happens when the first event is.
    pub(crate) fn later(opening: impl Future<Output = Self> + Send + 'static) -> Self {
        let opening = Box::pin(opening).into_stream();
        let events = opening.flat_map(|exchange: Self| match exchange.events {
            Events::Ready(outcome) => futures_util::stream::iter(outcome.map(Event::Done)).boxed(),
            Events::Live(events) => events,
        });
        Self::live(events, false)
    }

    /// The same, where the call was refused before it was sent: what looks like an answer is none of the server's.
    #[must_use]
    pub(crate) fn with_unsent(self, unsent: bool) -> Self {
        Self { unsent, ..self }
    }

    /// Whether it is none of the server's.
    pub(crate) fn is_unsent(&self) -> bool {
        self.unsent
    }

    /// Whether the server answered with an event stream, so that a client which can should see one too.
    pub fn is_streamed(&self) -> bool {
        self.streamed
    }

    /// The outcome, if it is already there.
    pub fn ready(&self) -> Option<&Outcome> {
        match &self.events {
            Events::Ready(outcome) => outcome.as_ref(),
            Events::Live(_) => None,
        }
    }

    /// Whether the outcome is already there.
    pub fn is_ready(&self) -> bool {
        matches!(self.events, Events::Ready(_))
    }

    /// The outcome, if it is already there.
    ///
    /// # Errors
    /// The exchange goes on.
    pub fn into_ready(self) -> Result<Outcome, Self> {
        match self.events {
            Events::Ready(Some(outcome)) => Ok(outcome),
            events => Err(Self { events, ..self }),
        }
    }

    /// The next event; `None` after the outcome.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        match &mut self.events {
            Events::Ready(outcome) => outcome.take().map(Event::Done),
            Events::Live(events) => {
                let event = events.next().await;
                if matches!(event, Some(Event::Done(_)) | None) {
                    self.events = Events::Ready(None);
                }
                event
            }
        }
    }

    /// Waits for the outcome and drops the notifications.
    pub async fn outcome(mut self) -> Outcome {
        loop {
            match self.next().await {
                Some(Event::Done(outcome)) => return outcome,
                Some(_) => {}
                None => {
                    return Refusal::new(ErrorKind::UpstreamClosed, "the server broke off its answer").into();
                }
            }
        }
    }
}
