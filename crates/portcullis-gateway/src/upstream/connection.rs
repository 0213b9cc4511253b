//! One conversation with a server: a link, and what was agreed on it.
//!
//! [`Connection::exchange`] is where a call leaves the waist: the outgoing request gets this hop's envelope and
//! metadata, the answer becomes an [`Exchange`]. Whatever shows that the agreement no longer holds (a session that
//! ended, another era) comes back as [`Sent::Stale`]: the request provably was not carried out, and the owner may open
//! a new connection and send it again.

use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::HeaderValue;
use portcullis_mcp::caps::ServerCaps;
use portcullis_mcp::json::{Change, Kind, Raw};
use portcullis_mcp::message::{Id, Request, write_request};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, Revision};
use portcullis_mcp::translate::{key, legacy_params, modern_params};
use portcullis_model::{Principal, ServerId};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Surroundings;
use super::channel::Channel;
use super::cluster::Running;
use super::feed::Feed;
use super::http::{Head, SharedLink};
use super::openapi::Api;
use super::outgoing::Outgoing;
use super::questions::{Questions, Respond, Taken, Turn};
use crate::call::{Exchange, LogLevel, Outcome, Worker};
use crate::inspect::Unread;
use crate::moment::LastUse;

/// What the server said about itself when the connection was opened.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The revision in use.
    pub(crate) revision: Revision,
    /// `ServerCapabilities`.
    pub(crate) capabilities: Raw,
    /// Its `Implementation`.
    pub(crate) server_info: Option<Unread<Raw>>,
    /// Its version, by the same: for the record of each call.
    pub(crate) version: Option<Arc<str>>,
    /// Meant for the model.
    pub(crate) instructions: Option<Unread<String>>,
    /// It makes tasks of tool calls.
    pub(crate) has_tasks: bool,
    /// It sends log messages.
    has_logging: bool,
}

impl Peer {
    /// Reads a `DiscoverResult` or an `InitializeResult`.
    pub(super) fn read(revision: Revision, hello: &Raw) -> Self {
        let capabilities = hello.find("capabilities").unwrap_or_else(|| Raw::from_static("{}"));
        // A member of the legacy result, in `_meta` of the modern one.
        let server_info = hello.find("serverInfo").or_else(|| hello.find_path(&["_meta", key::SERVER_INFO]));
        let server_info = server_info.filter(|info| info.kind() == Kind::Object);
        Self {
            revision,
            has_tasks: ServerCaps::read(&capabilities).tasks,
            has_logging: capabilities.find("logging").is_some(),
            capabilities,
            version: server_info.as_ref().and_then(|info| info.find_string("version")).map(Arc::from),
            server_info: server_info.map(Unread::new),
            instructions: hello.find_string("instructions").map(Unread::new),
        }
    }
}

pub(crate) enum Link {
    Http {
        link: SharedLink,
        session: Option<HeaderValue>,
    },
    Channel(Arc<Channel>),
    /// An API, and where the configuration has it.
    OpenApi {
        api: Arc<Api>,
        link: SharedLink,
    },
}

/// An open conversation.
pub(crate) struct Connection {
    pub(super) server: ServerId,
    /// Whose it is, where it is one user's.
    pub(super) owner: Option<Principal>,
    pub(super) peer: Peer,
    pub(super) link: Link,
    pub(super) env: Arc<Surroundings>,
    ids: AtomicU64,
    /// What the server asks of its client.
    pub(super) questions: Arc<Questions>,
    /// Who is told what belongs to no call; set by the owner of the connection.
    pub(super) feed: OnceLock<Arc<Feed>>,
    /// Fires when the server has answered for the standalone stream of a conversation that carries no feed.
    pub(super) listens: CancellationToken,
    /// What it is with, where a cluster runs that.
    pub(super) running: OnceLock<Arc<Running>>,
    /// Places for messages that nobody waits for.
    pub(super) asides: Arc<Semaphore>,
    /// The log level that a legacy server was set to, as an index; [`UNSET`] before.
    level: AtomicU8,
    used: LastUse,
    /// When it was opened.
    pub(super) opened: Instant,
}

const UNSET: u8 = u8::MAX;

/// What became of a request.
pub(crate) enum Sent {
    /// It is being answered.
    Answered(Exchange),
    /// It was not carried out, because what this connection assumes is over.
    Stale(Stale),
}

/// Why a connection is of no use any more.
#[derive(Clone, Debug)]
pub(crate) enum Stale {
    /// The session or the child is gone.
    Gone(String),
    /// The server speaks another era or revision than it did.
    Era(String),
    /// The server found that the mirrored headers do not fit its schema (-32020).
    Headers(Outcome),
}

impl Connection {
    pub(super) fn new(
        server: ServerId,
        owner: Option<Principal>,
        peer: Peer,
        link: Link,
        questions: Arc<Questions>,
        env: Arc<Surroundings>,
    ) -> Self {
        questions.agreed(peer.revision);
        Self {
            server,
            owner,
            peer,
            link,
            env,
            questions,
            // Ids below are taken by the handshake.
            ids: AtomicU64::new(16),
            feed: OnceLock::new(),
            listens: CancellationToken::new(),
            running: OnceLock::new(),
            asides: Arc::new(Semaphore::new(16)),
            level: AtomicU8::new(UNSET),
            used: LastUse::now(),
            opened: Instant::now(),
        }
    }

    /// The era of the agreed revision.
    pub(crate) fn era(&self) -> Era {
        self.peer.revision.era()
    }

    /// What the server said about itself.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether calls can still be sent.
    pub(crate) fn is_open(&self) -> bool {
        self.broken().is_none()
    }

    /// Why no more calls can be sent.
    pub(super) fn broken(&self) -> Option<&str> {
        match &self.link {
            // A server in a cluster is there as long as that runs it.
            Link::Http { .. } => self.running.get().and_then(|running| running.ended()),
            Link::OpenApi { .. } => None,
            Link::Channel(channel) => channel.broken(),
        }
    }

    /// How long nobody has used it; zero while a call is under way or a resource is watched.
    pub(super) fn idle(&self) -> Duration {
        if self.is_unused() { self.used.elapsed() } else { Duration::ZERO }
    }

    /// Whether nothing is under way on it.
    pub(super) fn is_unused(&self) -> bool {
        let is_quiet = match &self.link {
            Link::Channel(channel) => channel.is_idle(),
            Link::Http { .. } | Link::OpenApi { .. } => true,
        };
        is_quiet && !self.questions.is_busy() && !self.feed().is_some_and(|feed| feed.needs(self))
    }

    pub(super) fn touch(&self) {
        self.used.touch();
    }

    /// Ends the conversation: stops a child, deletes a session.
    pub(crate) async fn close(&self) {
        if let Some(feed) = self.feed() {
            feed.detach(self);
        }
        match &self.link {
            Link::Channel(channel) => channel.close().await,
            Link::Http { link, session: session @ Some(_) } => {
                let head =
                    Head { revision: Some(self.peer.revision), session: session.as_ref(), ..Head::default() };
                let delete = link.delete(self.env.control_worker(), head);
                let _ = tokio::time::timeout(Duration::from_secs(2), delete).await;
            }
            Link::Http { .. } | Link::OpenApi { .. } => {}
        }
    }

    /// Sends a request.
    pub(crate) async fn exchange(self: &Arc<Self>, out: &Outgoing) -> Sent {
        self.exchange_in_turn(out, None).await
    }

    /// Sends a request whose turn it is.
    pub(super) async fn exchange_in_turn(self: &Arc<Self>, out: &Outgoing, turn: Option<Turn>) -> Sent {
        self.touch();
        if self.era() == Era::Legacy
            && let Some(level) = self.log_level(out)
        {
            self.raise_log_level(level, out.worker).await;
        }
        let id = self.next_id();
        match self.questions.enter(id, out, turn) {
            Some(floor) => self.exchange_asked(id, out, floor).await,
            None => pin!(self.send(id, out)).await,
        }
    }

    /// Sends a request over whatever link there is.
    pub(super) async fn send(self: &Arc<Self>, id: u64, out: &Outgoing) -> Sent {
        match &self.link {
            Link::Http { link, session } => pin!(self.exchange_http(link, session.as_ref(), id, out)).await,
            Link::Channel(channel) => self.exchange_channel(channel, id, out).await,
            // Boxed, for few servers need it and every call would carry the room for it.
            Link::OpenApi { api, link } => Box::pin(self.exchange_openapi(api, link, out)).await,
        }
    }

    /// The server asks something on the stream of a call.
    pub(super) fn asked(self: &Arc<Self>, request: Request) -> Taken {
        self.questions.take_own(request, &self.respond())
    }

    /// How a server behind a URL gets the answers to what it asks: by a POST for each.
    pub(super) fn respond(self: &Arc<Self>) -> Respond {
        let connection = Arc::downgrade(self);
        Arc::new(move |message, place| match (connection.upgrade(), place) {
            (Some(connection), Some(place)) => connection.post_answer(message, place),
            (Some(connection), None) => connection.post_aside(message.as_bytes().to_vec()),
            (None, _) => {}
        })
    }

    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// The log level that a call wants and the server can heed.
    pub(super) fn log_level(&self, out: &Outgoing) -> Option<LogLevel> {
        out.log_level.filter(|_| self.peer.has_logging)
    }

    pub(super) fn params(&self, id: u64, out: &Outgoing) -> Option<Raw> {
        out.with_hop(self.peer.revision, id, &self.env.client_info, |hop| match self.era() {
            Era::Modern => Some(modern_params(out.content.params(), hop)),
            Era::Legacy => match (legacy_params(out.content.params(), hop), &out.task) {
                (Some(params), Some(task)) if self.peer.has_tasks => {
                    Some(params.with(&[("task", Change::Set(task.as_bytes()))]))
                }
                (params, _) => params,
            },
        })
    }

    /// A legacy server has one level for all its callers: it is set to the most verbose one that any call wanted, and
    /// each call sees only what it asked for. 2025-11-25, logging.
    async fn raise_log_level(self: &Arc<Self>, level: LogLevel, worker: Worker) {
        let wanted = level as u8;
        if self.level.load(Ordering::Relaxed) <= wanted
            || self.level.fetch_min(wanted, Ordering::Relaxed) <= wanted
        {
            return;
        }
        let params = Raw::trusted(format!("{{\"level\":\"{}\"}}", level.as_str()));
        let out = Outgoing::internal(worker, Method::SetLevel, Some(params));
        if let Sent::Answered(exchange) = Box::pin(self.exchange(&out)).await {
            let _ = exchange.outcome().await;
        }
    }
}

/// A request with this connection's envelope.
pub(super) fn encode(id: u64, method: &Method, params: Option<&Raw>) -> Raw {
    let mut message = Vec::with_capacity(params.map_or(0, |params| params.as_bytes().len()) + 96);
    write_request(&mut message, &Id::number(id), method, params);
    Raw::trusted(message)
}
