//! One `subscriptions/listen` at a server (2026-07-28, subscriptions), over HTTP or on a child's channel.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_mcp::json::{Limits as JsonLimits, Raw};
use portcullis_mcp::message::{Id, Message, Notification, Response};
use portcullis_mcp::method::Method;
use portcullis_mcp::subscription::{Filter, Lists, subscription_id};
use portcullis_model::ErrorKind;
use portcullis_telemetry::metrics::Held;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Feed;
use super::throttle::Throttle;
use crate::call::Refusal;
use crate::upstream::channel::Listener;
use crate::upstream::connection::{Connection, Link, encode};
use crate::upstream::event_stream::EventStream;
use crate::upstream::http::{Head, read_body};
use crate::upstream::outgoing::Outgoing;
use crate::upstream::over_http::parse_response;

/// How long the server may take to acknowledge.
const ACKNOWLEDGE: Duration = Duration::from_secs(10);

/// What a stream is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) lists: Lists,
    pub(super) uris: Vec<Arc<str>>,
}

impl Asked {
    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.uris.is_empty()
    }
}

/// An acknowledged stream; it ends at the server when this is dropped.
pub(super) struct Listening {
    pub(super) lists: Lists,
    /// The URIs that the server accepted.
    pub(super) uris: HashSet<Arc<str>>,
    pub(super) opened: Instant,
    /// Fires when the server has ended it.
    pub(super) over: CancellationToken,
    _line: Line,
    _counted: Held,
}

#[allow(dead_code, reason = "held for what dropping them does")]
enum Line {
    Http(AbortOnDrop),
    Channel(Listener),
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why there is no stream.
pub(super) enum Unheard {
    /// The server said no.
    Refused(Refusal),
    /// It broke off, or was not reached.
    Broken,
}

/// Listens to one stream.
pub(in crate::upstream) struct Ear {
    feed: Arc<Feed>,
    id: u64,
    lists: Lists,
    /// Another stream is open, which this one takes over from.
    takes_over: bool,
    acknowledge: Mutex<Option<oneshot::Sender<Result<Filter, Refusal>>>>,
    acknowledged: AtomicBool,
    over: CancellationToken,
}

impl Listening {
    /// Opens a stream and waits for its acknowledgement.
    pub(super) async fn open(
        feed: &Arc<Feed>,
        connection: &Arc<Connection>,
        asked: &Asked,
        takes_over: bool,
    ) -> Result<Self, Unheard> {
        let id = connection.next_id();
        let filter = Filter {
            lists: asked.lists,
            uris: asked.uris.iter().map(ToString::to_string).collect(),
            tasks: Vec::new(),
        };
        let worker = connection.env.control_worker();
        let out = Outgoing::internal(worker, Method::Listen, Some(filter.params()));
        let message = encode(id, &Method::Listen, connection.params(id, &out).as_ref());
        let (acknowledge, acknowledged) = oneshot::channel();
        let over = CancellationToken::new();
        let ear = Arc::new(Ear {
            feed: feed.clone(),
            id,
            lists: asked.lists,
            takes_over,
            acknowledge: Mutex::new(Some(acknowledge)),
            acknowledged: AtomicBool::new(false),
            over: over.clone(),
        });
        let line = match &connection.link {
            Link::Http { .. } => {
                let reading = read(connection.clone(), message, ear);
                Line::Http(AbortOnDrop(tokio::spawn(reading)))
            }
            Link::OpenApi { .. } => return Err(Unheard::Broken),
            Link::Channel(channel) => {
                Line::Channel(channel.listen(id, message, ear).await.map_err(|_| Unheard::Broken)?)
            }
        };
        match tokio::time::timeout(ACKNOWLEDGE, acknowledged).await {
            Ok(Ok(Ok(accepted))) => {
                let accepted: HashSet<&str> = accepted.uris.iter().map(String::as_str).collect();
                let uris = asked.uris.iter().filter(|uri| accepted.contains(&***uri)).cloned().collect();
                let (opened, counted) = (Instant::now(), feed.count_open());
                Ok(Self { lists: asked.lists, uris, opened, over, _line: line, _counted: counted })
            }
            Ok(Ok(Err(refusal))) => Err(Unheard::Refused(refusal)),
            Ok(Err(_)) => Err(Unheard::Broken),
            Err(_) => {
                let message = format!("server `{}` does not acknowledge subscriptions", feed.server);
                Err(Unheard::Refused(Refusal::new(ErrorKind::UpstreamTimeout, message)))
            }
        }
    }
}

impl Ear {
    /// Takes a message of the stream. What came before the acknowledgement, was not asked for or belongs to another
    /// stream is dropped.
    pub(in crate::upstream) fn hear(&self, message: Message) {
        match message {
            Message::Notification(notification) => self.hear_notification(&notification),
            Message::Response(response) if response.id == Some(Id::number(self.id)) => self.end(response),
            Message::Response(_) | Message::Request(_) => {}
        }
    }

    fn hear_notification(&self, notification: &Notification) {
        let params = notification.params.as_ref();
        if subscription_id(params).is_some_and(|named| named.u64() != Some(self.id)) {
            return;
        }
        match &notification.method {
            Method::SubscriptionsAcknowledged => {
                let Some(acknowledge) = self.take_acknowledge() else { return };
                self.acknowledged.store(true, Ordering::Release);
                if self.takes_over {
                    self.feed.begin_overlap();
                }
                let _ = acknowledge.send(Ok(Filter::read(params).unwrap_or_default()));
            }
            _ if !self.acknowledged.load(Ordering::Acquire) => {}
            Method::ResourceUpdated => {
                if let Some(uri) = params.and_then(|params| params.find_string("uri")) {
                    self.feed.updated(uri);
                }
            }
            method => {
                if Lists::of(method).is_some_and(|list| self.lists.has(list)) {
                    self.feed.list_changed(method);
                }
            }
        }
    }

    fn end(&self, response: Response) {
        if let Some(acknowledge) = self.take_acknowledge() {
            let why = match response.answer {
                Ok(_) => "ends subscriptions at once".to_owned(),
                Err(error) => format!("refused the subscription: {:.200}", error.message()),
            };
            let message = format!("server `{}` {why}", self.feed.server);
            let _ = acknowledge.send(Err(Refusal::new(ErrorKind::InvalidParams, message)));
        }
        self.over.cancel();
    }

    fn take_acknowledge(&self) -> Option<oneshot::Sender<Result<Filter, Refusal>>> {
        self.acknowledge.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Ear {
    /// Nobody speaks into it any more.
    fn drop(&mut self) {
        self.over.cancel();
    }
}

/// Sends the request over HTTP and reads its answer to the end.
async fn read(connection: Arc<Connection>, message: Raw, ear: Arc<Ear>) {
    let Link::Http { link, .. } = &connection.link else { return };
    let head =
        Head { revision: connection.version_header(), method: Some(&Method::Listen), ..Head::default() };
    let post = link.post(connection.env.control_worker(), head, message.bytes().clone());
    let Ok(reply) = post.await else { return };
    let (limits, status) = (connection.env.limits_to_keep(), reply.status());
    if !reply.is_stream() {
        let body = read_body(reply.into_body(), limits.response_bytes).await.unwrap_or_default();
        let is_busy = status == 429 || status.is_server_error();
        match parse_response(body, limits.json_depth) {
            Some(response) if response.id == Some(Id::number(ear.id)) => ear.end(response),
            _ if is_busy => {}
            _ => ear.refuse(&format!("answered {status} to subscriptions/listen")),
        }
        return;
    }
    let mut events = EventStream::new(reply.into_body(), limits.response_bytes);
    let mut throttle = Throttle::new(Instant::now());
    let depth = JsonLimits { depth: limits.json_depth };
    while let Ok(event) = events.next().await {
        if let Ok(message) = Message::parse(event.data, depth) {
            ear.hear(message);
        }
        if ear.over.is_cancelled() {
            return;
        }
        if let Some(wait) = throttle.note(Instant::now()) {
            tokio::time::sleep(wait).await;
        }
    }
}

impl Ear {
    fn refuse(&self, why: &str) {
        if let Some(acknowledge) = self.take_acknowledge() {
            let message = format!("server `{}` {why}", self.feed.server);
            let _ = acknowledge.send(Err(Refusal::new(ErrorKind::UpstreamProtocol, message)));
        }
    }
}
