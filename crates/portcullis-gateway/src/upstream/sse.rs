//! A channel over HTTP+SSE (2024-11-05): everything from the server on one event stream, everything to it by POST.
//!
//! The stream is the session: when it ends, so do the channel and the calls on it, and its owner opens another. Where
//! messages are posted, the server says in the stream's first event; it has to be the stream's own origin
//! (`portcullis_mcp::endpoint`). Each message is a POST of its own, several at once, for a server may well take its
//! time to accept one. All of it happens on the control runtime, as with a child.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::uri::PathAndQuery;
use portcullis_mcp::endpoint;
use portcullis_mcp::json::Raw;
use portcullis_model::{ErrorKind, ServerId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::Surroundings;
use super::channel::{Carrier, Channel, Inbox, Lost, Told};
use super::event_stream::EventStream;
use super::http::{Head, HttpError, SharedLink, read_body};
use crate::call::Refusal;

/// A stream that has not said by now where to post is no such stream.
const FIRST_EVENT: Duration = Duration::from_secs(10);
/// How long the server may take to accept a message.
const ACCEPT: Duration = Duration::from_mins(1);
/// Requests at once that the server has not accepted; beyond that calls wait, within their time limit.
const REQUESTS: usize = 256;
/// Messages at once that nobody waits for; beyond that they are dropped.
const ASIDES: usize = 16;
/// So much of the answer to a POST is read, for a word on why it was refused.
const WORDS: usize = 16 * 1024;
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why there is no channel.
#[derive(Debug)]
pub(super) enum NoStream {
    /// The server could not be asked.
    Unreachable(HttpError),
    /// It answered, but not with an event stream.
    Answered(StatusCode),
    /// It opened a stream that is not one of this transport.
    Other(String),
}

/// Opens a stream and reads where to post. Must run on the control runtime.
pub(super) async fn open(
    server: &ServerId,
    link: &SharedLink,
    env: &Arc<Surroundings>,
    told: Told,
) -> Result<Arc<Channel>, NoStream> {
    let opening = tokio::time::timeout(FIRST_EVENT, open_stream(link, env)).await;
    let silent = || NoStream::Other("it opens no event stream, or says nothing on it".to_owned());
    let (stream, path) = opening.map_err(|_| silent())??;
    let posts = Arc::new(Posts {
        server: server.clone(),
        link: link.clone(),
        path,
        env: env.clone(),
        in_flight: Mutex::default(),
        requests: Arc::new(Semaphore::new(REQUESTS)),
        asides: Arc::new(Semaphore::new(ASIDES)),
        closed: CancellationToken::new(),
    });
    let (closed, depth) = (posts.closed.clone(), env.limits().json_depth);
    let (channel, inbox) = Channel::new(server.clone(), Carrier::Posts(posts), depth, told);
    tokio::spawn(read(stream, inbox, closed));
    Ok(channel)
}

async fn open_stream(link: &SharedLink, env: &Surroundings) -> Result<(EventStream, PathAndQuery), NoStream> {
    let reply = link.get(env.control_worker(), Head::default()).await.map_err(NoStream::Unreachable)?;
    if !reply.is_stream() {
        return Err(NoStream::Answered(reply.status()));
    }
    let mut stream = EventStream::new(reply.into_body(), env.limits().response_bytes);
    let first = stream.next().await.map_err(|end| NoStream::Other(end.to_string()))?;
    if first.name() != "endpoint" {
        return Err(NoStream::Other("its event stream does not begin with an `endpoint` event".to_owned()));
    }
    let path = endpoint::resolve(link.url(), &first.data);
    let path = path.map_err(|error| NoStream::Other(error.to_string()))?;
    Ok((stream, path))
}

/// Hands in what the server says until the stream ends or the channel is closed.
async fn read(mut stream: EventStream, inbox: Inbox, closed: CancellationToken) {
    let end = loop {
        let event = tokio::select! {
            event = stream.next() => event,
            () = closed.cancelled() => return,
        };
        match event {
            Ok(event) if event.name() == "message" => inbox.take(event.data),
            // Another endpoint in the middle of a session is not followed; other events mean nothing to us.
            Ok(_) => {}
            Err(end) => break end,
        }
    };
    inbox.end(&end.to_string());
}

/// The way to the server.
pub(super) struct Posts {
    server: ServerId,
    link: SharedLink,
    path: PathAndQuery,
    env: Arc<Surroundings>,
    /// The requests whose POSTs are not accepted yet; the token fires when the call has its answer all the same.
    in_flight: Mutex<HashMap<u64, CancellationToken>>,
    requests: Arc<Semaphore>,
    asides: Arc<Semaphore>,
    /// Fires when the channel is closed: the reader lets the stream go.
    closed: CancellationToken,
}

impl Posts {
    /// Begins to send a request. When it cannot be delivered, the call that waits on `channel` is told.
    pub(super) async fn request(self: &Arc<Self>, channel: &Arc<Channel>, id: u64, message: Raw) {
        let place = self.requests.clone().acquire_owned().await.expect("the semaphore is never closed");
        let answered = CancellationToken::new();
        self.lock_in_flight().insert(id, answered.clone());
        let (posts, channel) = (self.clone(), Arc::downgrade(channel));
        self.env.control.spawn(async move {
            let delivered = tokio::select! {
                delivered = posts.post(message.bytes().clone()) => delivered,
                // It has the message, whatever it says to the POST, or does not say.
                () = async { answered.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => Ok(()),
            };
            posts.lock_in_flight().remove(&id);
            drop(place);
            let Some(channel) = channel.upgrade() else { return };
            match delivered {
                Ok(()) => channel.cancel_if_abandoned(id),
                Err(lost) => channel.lose(id, lost),
            }
        });
    }

    /// Whether a request is still on its way, so that what concerns it has to wait.
    pub(super) fn is_in_flight(&self, id: u64) -> bool {
        self.lock_in_flight().contains_key(&id)
    }

    /// A request has its answer: nobody needs to know any more whether it was accepted.
    pub(super) fn answered(&self, id: u64) {
        if let Some(answered) = self.lock_in_flight().get(&id) {
            answered.cancel();
        }
    }

    /// Sends what nobody waits for.
    pub(super) fn aside(self: &Arc<Self>, message: Raw) {
        let Ok(place) = self.asides.clone().try_acquire_owned() else { return };
        let posts = self.clone();
        self.env.control.spawn(async move {
            let _ = posts.post(message.bytes().clone()).await;
            drop(place);
        });
    }

    /// Sends the answer to a request of the server.
    pub(super) fn respond(self: &Arc<Self>, message: Raw, place: OwnedSemaphorePermit) {
        let posts = self.clone();
        self.env.control.spawn(async move {
            let _ = posts.post(message.bytes().clone()).await;
            drop(place);
        });
    }

    /// Posts a message and waits until it is accepted.
    pub(super) async fn post(&self, message: Bytes) -> Result<(), Lost> {
        let posting = async {
            let reply = self.link.post_to(self.env.control_worker(), &self.path, message).await?;
            let status = reply.status();
            // Read, so that the connection can be used again; a long answer is not worth that.
            let said = tokio::time::timeout(LAST_WORDS, read_body(reply.into_body(), WORDS)).await;
            Ok((status, said.map(Result::unwrap_or_default).unwrap_or_default()))
        };
        let posted = tokio::select! {
            posted = tokio::time::timeout(ACCEPT, posting) => posted,
            () = self.closed.cancelled() => return Err(Lost::Broke("the server was stopped".to_owned())),
        };
        match posted {
            Ok(Ok((status, said))) => self.judge(status, &said),
            Ok(Err(error @ (HttpError::Connect(_) | HttpError::NotSent))) => {
                Err(Lost::Unsent(error.to_string()))
            }
            Ok(Err(error)) => Err(self.refused(ErrorKind::UpstreamClosed, &error.to_string())),
            Err(_) => Err(self.refused(ErrorKind::UpstreamTimeout, "it did not accept the message in time")),
        }
    }

    fn judge(&self, status: StatusCode, said: &Bytes) -> Result<(), Lost> {
        let said = String::from_utf8_lossy(&said[..said.len().min(200)]);
        match status.as_u16() {
            200..300 => Ok(()),
            404 | 410 => Err(Lost::Unsent(format!("its session ended ({status})"))),
            401 | 403 => Err(self.refused(
                ErrorKind::UpstreamDenied,
                &format!("it refused the gateway's credentials ({status}); check `headers` of this server"),
            )),
            429 | 500.. => {
                Err(self.refused(ErrorKind::UpstreamUnavailable, &format!("it answered {status}: {said}")))
            }
            _ => Err(self.refused(ErrorKind::UpstreamProtocol, &format!("it answered {status}: {said}"))),
        }
    }

    fn refused(&self, kind: ErrorKind, why: &str) -> Lost {
        Lost::Refused(Refusal::new(kind, format!("server `{}`: {why}", self.server)))
    }

    /// Lets the stream go.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    fn lock_in_flight(&self) -> MutexGuard<'_, HashMap<u64, CancellationToken>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
