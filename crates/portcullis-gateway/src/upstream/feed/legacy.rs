//! The feed of a server up to 2025-11-25: `resources/subscribe` for single URIs, and what the server sends by itself, on
//! its one channel or on the standalone stream of its session.
//!
//! The stream is optional for the server (405 means that it has none). Without it nothing can be told: lists are
//! refreshed by age alone, and subscribing is refused.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::subscription::Lists;
use portcullis_model::ErrorKind;
use tokio::sync::watch;

use super::interests::Status;
use super::standalone::{Unopened, hear, open};
use super::throttle::Throttle;
use super::{End, Feed, STEADY};
use crate::call::{Outcome, Refusal};
use crate::seal::random_unit;
use crate::upstream::connection::{Connection, Link, Sent, Stale};
use crate::upstream::outgoing::Outgoing;

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How long the server may take to answer for one URI.
const ANSWER: Duration = Duration::from_secs(10);
/// Some servers say nothing on their stream before there is something to say: they are asked all the same.
pub(super) const HEAD: Duration = Duration::from_secs(2);
/// So many URIs are asked about at once.
pub(super) const AT_ONCE: usize = 8;

/// Whether there is a stream to be told on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Unknown,
    Open,
    None,
}

/// Follows the server for as long as the connection lives.
pub(super) async fn carry(feed: &Arc<Feed>, connection: &Arc<Connection>) -> End {
    match &connection.link {
        Link::Channel(_) => {
            let (_stream, open) = watch::channel(Stream::Open);
            tokio::select! {
                () = connection.over() => End::Over,
                end = subscribe_all(feed, connection, open) => end,
            }
        }
        // An API is of the modern era, and so has another feed.
        Link::Http { .. } | Link::OpenApi { .. } => {
            let (stream, open) = watch::channel(Stream::Unknown);
            tokio::select! {
                end = follow(feed, connection, &stream) => end,
                end = subscribe_all(feed, connection, open) => end,
            }
        }
    }
}

// ---- subscriptions ----

/// Keeps what is subscribed at the server equal to what is wanted.
async fn subscribe_all(
    feed: &Arc<Feed>,
    connection: &Arc<Connection>,
    mut stream: watch::Receiver<Stream>,
) -> End {
    let mut here: HashSet<Arc<str>> = HashSet::new();
    loop {
        let (wanted, fewer) = feed.wanted();
        feed.confirm(&wanted, |uri| here.contains(uri));
        let new: Vec<_> = wanted.iter().filter(|uri| !here.contains(*uri)).cloned().collect();
        if !new.is_empty() {
            let known = stream.wait_for(|stream| *stream != Stream::Unknown);
            let _ = tokio::time::timeout(HEAD, known).await;
        }
        if *stream.borrow() == Stream::None {
            feed.refuse(&new, &unsupported(feed, "has no stream to tell about changes on"));
        } else if !connection.can_subscribe() {
            feed.refuse(&new, &unsupported(feed, "does not let resources be subscribed to"));
        } else {
            let asking = futures_util::stream::iter(new)
                .map(|uri| async { (ask(connection, Method::ResourcesSubscribe, &uri).await, uri) });
            let mut asking = asking.buffer_unordered(AT_ONCE);
            while let Some((answer, uri)) = asking.next().await {
                match answer {
                    Ok(Ok(())) => {
                        feed.settle(&uri, Status::Carried);
                        here.insert(uri);
                    }
                    Ok(Err(refusal)) => feed.settle(&uri, Status::Refused(refusal)),
                    Err(_) => return End::Gone,
                }
            }
        }
        let wanted: HashSet<_> = wanted.into_iter().collect();
        for uri in here.extract_if(|uri| !wanted.contains(uri)).collect::<Vec<_>>() {
            // Whether the server minds is its own matter: nobody is told any more.
            let _ = ask(connection, Method::ResourcesUnsubscribe, &uri).await;
        }
        if here.is_empty() && feed.is_idle() {
            return End::Idle;
        }
        let fewer = fewer.map_or(Duration::from_hours(1), |at| at.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = feed.wake.notified() => {}
            () = tokio::time::sleep(fewer) => {}
        }
        if !feed.follows(connection) {
            return End::Over;
        }
    }
}

fn unsupported(feed: &Feed, why: &str) -> Refusal {
    Refusal::new(ErrorKind::InvalidParams, format!("server `{}` {why}", feed.server))
}

/// Asks for one URI. The outer error says that the connection is of no use.
pub(super) async fn ask(
    connection: &Arc<Connection>,
    method: Method,
    uri: &str,
) -> Result<Result<(), Refusal>, Stale> {
    let params = Raw::from_static("{}").with(&[("uri", Change::Set(Raw::from_text(uri).as_bytes()))]);
    let out = Outgoing::internal(connection.env.control_worker(), method, Some(params));
    let asked = async {
        match connection.exchange(&out).await {
            Sent::Answered(exchange) => Ok(exchange.outcome().await),
            Sent::Stale(stale) => Err(stale),
        }
    };
    let outcome = match tokio::time::timeout(ANSWER, asked).await {
        Ok(outcome) => outcome?,
        Err(_) => Refusal::new(ErrorKind::UpstreamTimeout, "the server gave no answer in time").into(),
    };
    Ok(match outcome {
        Outcome::Complete(_) => Ok(()),
        Outcome::Failed { error, .. } => Err(Refusal::new(
            ErrorKind::InvalidParams,
            format!("server `{}` refused the subscription: {:.200}", connection.server, error.message()),
        )),
        Outcome::Refused(refusal) => Err(refusal),
        Outcome::InputRequired(_) | Outcome::Task(_) => {
            Err(Refusal::new(ErrorKind::UpstreamProtocol, "the server wants input for a subscription"))
        }
    })
}

// ---- the standalone stream ----

/// What became of one attempt to read the stream.
enum Attempt {
    /// There was one, and it ended.
    Read,
    /// There was no answer.
    Failed,
    /// There is none (405), or no such session any more (404).
    Refused { maybe_gone: bool },
}

async fn follow(feed: &Arc<Feed>, connection: &Arc<Connection>, stream: &watch::Sender<Stream>) -> End {
    let mut pause = SHORTEST_PAUSE / 2;
    let mut last_event_id = None;
    loop {
        let began = Instant::now();
        match read(feed, connection, stream, &mut last_event_id).await {
            Attempt::Read if began.elapsed() >= STEADY => pause = SHORTEST_PAUSE,
            Attempt::Read | Attempt::Failed => pause = (pause * 2).min(LONGEST_PAUSE),
            Attempt::Refused { maybe_gone } => {
                if maybe_gone && is_gone(connection).await {
                    return End::Gone;
                }
                stream.send_replace(Stream::None);
                feed.wake.notify_one();
                // The other half of this feed says when the connection is over.
                return std::future::pending().await;
            }
        }
        tokio::time::sleep(pause.mul_f64(0.75 + random_unit() / 2.0)).await;
    }
}

/// Some servers have no stream and say so with 404.
async fn is_gone(connection: &Arc<Connection>) -> bool {
    let out = Outgoing::internal(connection.env.control_worker(), Method::Ping, None);
    let answer = tokio::time::timeout(ANSWER, connection.exchange(&out)).await;
    matches!(answer, Ok(Sent::Stale(Stale::Gone(_))))
}

/// Reads one stream to its end.
async fn read(
    feed: &Arc<Feed>,
    connection: &Arc<Connection>,
    stream: &watch::Sender<Stream>,
    last_event_id: &mut Option<String>,
) -> Attempt {
    let mut events = match open(connection, last_event_id.as_deref()).await {
        Ok(events) => events,
        Err(Unopened::Refused { maybe_gone }) => return Attempt::Refused { maybe_gone },
        Err(Unopened::Failed) => return Attempt::Failed,
    };
    let _open = feed.count_open();
    // A stream that goes on where the last one broke off has missed nothing.
    if last_event_id.is_none() {
        feed.doubt(Lists::declared(&connection.peer.capabilities), None);
        if stream.send_replace(Stream::Open) == Stream::Open {
            feed.missed();
        }
    }
    stream.send_replace(Stream::Open);
    let mut throttle = Throttle::new(Instant::now());
    while let Ok(event) = events.next().await {
        *last_event_id = events.last_event_id().map(str::to_owned);
        hear(connection, event.data);
        if let Some(wait) = throttle.note(Instant::now()) {
            tokio::time::sleep(wait).await;
        }
    }
    Attempt::Read
}

impl Feed {
    /// The stream was closed for a time: what is subscribed to may have changed.
    fn missed(&self) {
        let uris: Vec<_> = self.wanted().0;
        for uri in uris {
            self.updated(uri.to_string());
        }
    }

    /// Counts an open feed until it is dropped.
    pub(super) fn count_open(&self) -> portcullis_telemetry::metrics::Held {
        let help = "Streams from servers that tell of changes.";
        self.env.metrics.gauge("portcullis_feeds", help, &[("server_id", self.server.as_str())]).hold()
    }
}
