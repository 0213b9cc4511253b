//! One shared channel to a server: many calls, and messages in both directions without any order between them.
//!
//! What it runs over (a child's stdin and stdout, the POSTs and the event stream of HTTP+SSE) is the transport's: a
//! `Carrier` takes the messages, and what the server says is handed in at the `Inbox`. Answers find their call by id, progress
//! by token, log messages only when there is a single call that they can belong to: on a shared channel nothing else
//! says whose they are. What the server sends beyond that is dropped, never guessed at. A server that floods, breaks
//! the framing or goes away ends this channel and the calls on it, and nothing else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use portcullis_hub::ChildHandle;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Limits as JsonLimits, Raw};
use portcullis_mcp::message::{Id, Message, Notification, Response, write_notification};
use portcullis_mcp::method::Method;
use portcullis_mcp::subscription::subscription_id;
use portcullis_model::{ErrorKind, ServerId};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::sync::CancellationToken;

use super::batch;
use super::feed::{Ear, Feed, Heard};
use super::incoming::undeclared;
use super::questions::{AFTERMATH, Questions, Respond};
use super::sse::Posts;
use crate::call::Refusal;

/// Notifications of one call that wait for its client; beyond that they are dropped, the answer never is.
const NOTES: usize = 256;
/// Cancelled calls that are remembered one by one.
const MOST_ABANDONED: usize = 1024;
/// How long a child may take to leave after its stdin was closed, and again after SIGTERM.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// What becomes of what the server says by itself.
pub(super) struct Told {
    /// Takes its requests.
    pub(super) questions: Arc<Questions>,
}

/// An open channel.
pub(crate) struct Channel {
    shared: Arc<Shared>,
    carrier: Arc<Carrier>,
}

/// What carries the channel's messages to the server, and ends with it.
pub(super) enum Carrier {
    /// A queue that is written to a child.
    Child {
        /// `None` once the channel was closed: the writer ends, and with it the child's stdin.
        queue: Mutex<Option<mpsc::Sender<Raw>>>,
        /// The child.
        handle: ChildHandle,
        /// Where its I/O is done.
        runtime: Handle,
    },
    /// A POST for each message.
    Posts(Arc<Posts>),
}

/// Why a call gets no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// The server never got it, and the channel is of no use any more.
    Unsent(String),
    /// The server did not take it, or nobody knows whether it did.
    Refused(Refusal),
    /// The channel broke before the answer.
    Broke(String),
}

impl Lost {
    /// As the caller reads it.
    pub(super) fn into_refusal(self, server: &ServerId) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Unsent(why) => {
                Refusal::new(ErrorKind::UpstreamUnavailable, format!("server `{server}`: {why}"))
            }
            Self::Broke(why) => Refusal::new(ErrorKind::UpstreamClosed, format!("server `{server}`: {why}")),
        }
    }
}

struct Shared {
    server: ServerId,
    calls: Mutex<HashMap<u64, Waiting>>,
    /// Calls that were cancelled and not answered since: the server may still be at work on them, and say so.
    abandoned: Mutex<HashMap<u64, Instant>>,
    /// Open `subscriptions/listen` requests: their messages name them.
    listeners: Mutex<HashMap<u64, Arc<Ear>>>,
    /// Who is told what belongs to no call, and where it was heard.
    feed: OnceLock<(Heard, Arc<Feed>)>,
    broken: OnceLock<String>,
    /// Fires when the channel has broken.
    over: CancellationToken,
}

/// An open `subscriptions/listen`. Dropping it tells the server that it was cancelled.
pub(super) struct Listener {
    channel: Arc<Channel>,
    id: u64,
}

struct Waiting {
    done: oneshot::Sender<Result<Response, Lost>>,
    notes: Option<mpsc::Sender<Notification>>,
    wants_logs: bool,
    strict: bool,
}

/// A call under way on the channel. Dropping it before the answer tells the server that it was cancelled.
pub(super) struct Ticket {
    channel: Arc<Channel>,
    id: u64,
    /// Progress and log messages.
    pub(super) notes: Option<mpsc::Receiver<Notification>>,
    done: oneshot::Receiver<Result<Response, Lost>>,
    answered: bool,
}

/// What a call wants besides its answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wants {
    pub(super) progress: bool,
    pub(super) logs: bool,
    /// It fails when the server asks what its client did not declare.
    pub(super) strict: bool,
}

impl Channel {
    /// A channel over `carrier`, and the place for what the server says.
    pub(super) fn new(server: ServerId, carrier: Carrier, depth: usize, told: Told) -> (Arc<Self>, Inbox) {
        let shared = Arc::new(Shared {
            server,
            calls: Mutex::default(),
            abandoned: Mutex::default(),
            listeners: Mutex::default(),
            feed: OnceLock::new(),
            broken: OnceLock::new(),
            over: CancellationToken::new(),
        });
        let carrier = Arc::new(carrier);
        let to = Arc::downgrade(&carrier);
        let respond: Respond = Arc::new(move |message, place| match (to.upgrade(), place) {
            (Some(carrier), Some(place)) => carrier.respond(message, place),
            (Some(carrier), None) => carrier.aside(message),
            (None, _) => {}
        });
        let carrier_of = Arc::downgrade(&carrier);
        let inbox = Inbox { shared: shared.clone(), carrier: carrier_of, respond, depth, told };
        (Arc::new(Self { shared, carrier }), inbox)
    }

    /// Why the channel can carry no more calls; `None` while it can.
    pub(super) fn broken(&self) -> Option<&str> {
        self.shared.broken.get().map(String::as_str)
    }

    /// Whether no call is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.shared.calls().is_empty()
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Why it was not sent. That it could not be delivered may show later, as the answer.
    pub(super) async fn begin(self: &Arc<Self>, id: u64, message: Raw, wants: Wants) -> Result<Ticket, Lost> {
        let (done, answer) = oneshot::channel();
        let (notes_in, notes) =
            if wants.progress || wants.logs { Some(mpsc::channel(NOTES)).unzip() } else { (None, None) };
        let waiting = Waiting { done, notes: notes_in, wants_logs: wants.logs, strict: wants.strict };
        self.shared.calls().insert(id, waiting);
        let ticket = Ticket { channel: self.clone(), id, notes, done: answer, answered: false };
        if let Some(why) = self.broken() {
            return Err(Lost::Unsent(why.to_owned()));
        }
        self.request(id, message).await?;
        Ok(ticket)
    }

    /// Sends `subscriptions/listen`; what belongs to it is heard by `ear`.
    ///
    /// # Errors
    /// As [`Channel::begin`].
    pub(super) async fn listen(
        self: &Arc<Self>,
        id: u64,
        message: Raw,
        ear: Arc<Ear>,
    ) -> Result<Listener, Lost> {
        self.shared.listeners().insert(id, ear);
        let listener = Listener { channel: self.clone(), id };
        if let Some(why) = self.broken() {
            return Err(Lost::Unsent(why.to_owned()));
        }
        self.request(id, message).await?;
        Ok(listener)
    }

    /// From now on `feed` is told what belongs to no call.
    pub(super) fn feed(&self, heard: Heard, feed: &Arc<Feed>) {
        let _ = self.shared.feed.set((heard, feed.clone()));
    }

    /// Whether it is with a child.
    pub(super) fn is_child(&self) -> bool {
        matches!(*self.carrier, Carrier::Child { .. })
    }

    /// Waits until the channel has broken.
    pub(super) async fn over(&self) {
        self.shared.over.cancelled().await;
    }

    async fn request(self: &Arc<Self>, id: u64, message: Raw) -> Result<(), Lost> {
        match &*self.carrier {
            Carrier::Child { queue, .. } => self.enqueue(queue, message).await,
            Carrier::Posts(posts) => {
                posts.request(self, id, message).await;
                Ok(())
            }
        }
    }

    /// Sends a notification that what follows depends on.
    ///
    /// # Errors
    /// It was not taken.
    pub(super) async fn tell(&self, method: &Method, params: Option<&Raw>) -> Result<(), Lost> {
        let message = notification(method, params);
        match &*self.carrier {
            Carrier::Child { queue, .. } => self.enqueue(queue, message).await,
            Carrier::Posts(posts) => posts.post(message.bytes().clone()).await,
        }
    }

    /// Ends the channel and sees the server off.
    pub(super) async fn close(&self) {
        self.shared.break_with("the server was stopped");
        match &*self.carrier {
            Carrier::Child { queue, handle, .. } => {
                drop(queue.lock().unwrap_or_else(PoisonError::into_inner).take());
                handle.stop(GRACE).await;
            }
            Carrier::Posts(posts) => posts.close(),
        }
    }

    async fn enqueue(&self, queue: &Mutex<Option<mpsc::Sender<Raw>>>, message: Raw) -> Result<(), Lost> {
        let closed = || Lost::Unsent(self.broken().unwrap_or("the server has closed its input").to_owned());
        let queue = queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        queue.ok_or_else(closed)?.send(message).await.map_err(|_| closed())
    }

    /// A request could not be delivered.
    pub(super) fn lose(&self, id: u64, lost: Lost) {
        let waiting = self.shared.calls().remove(&id);
        self.shared.abandoned().remove(&id);
        if let Lost::Unsent(why) = &lost {
            let why = why.clone();
            let _ = waiting.map(|waiting| waiting.done.send(Err(lost)));
            self.shared.break_with(&why);
        } else {
            let _ = waiting.map(|waiting| waiting.done.send(Err(lost)));
        }
    }

    /// A request was delivered whose caller may have left meanwhile.
    pub(super) fn cancel_if_abandoned(&self, id: u64) {
        if self.shared.abandoned().contains_key(&id) {
            self.cancel(id);
        }
    }

    fn cancel(&self, id: u64) {
        self.carrier.aside(cancellation(id));
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        if let Carrier::Posts(posts) = &*self.carrier {
            posts.close();
        }
    }
}

impl Carrier {
    /// Sends what nobody waits for; it is lost when the server does not read.
    fn aside(&self, message: Raw) {
        match self {
            Self::Child { queue, .. } => {
                if let Some(queue) = &*queue.lock().unwrap_or_else(PoisonError::into_inner) {
                    let _ = queue.try_send(message);
                }
            }
            Self::Posts(posts) => posts.aside(message),
        }
    }

    /// A request has its answer.
    fn answered(&self, id: u64) {
        if let Self::Posts(posts) = self {
            posts.answered(id);
        }
    }

    /// Sends the answer to a request of the server, which must not get lost: one that finds no room waits for it.
    fn respond(&self, message: Raw, place: OwnedSemaphorePermit) {
        match self {
            Self::Child { queue, handle: _, runtime } => {
                let queue = queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let Some(queue) = queue else { return };
                if let Err(TrySendError::Full(message)) = queue.try_send(message) {
                    runtime.spawn(async move {
                        let _ = queue.send(message).await;
                        drop(place);
                    });
                }
            }
            Self::Posts(posts) => posts.respond(message, place),
        }
    }

    /// Whether a request is still on its way: what cancels it must not overtake it.
    fn is_sending(&self, id: u64) -> bool {
        matches!(self, Self::Posts(posts) if posts.is_in_flight(id))
    }
}

fn cancellation(id: u64) -> Raw {
    let params = Raw::trusted(format!("{{\"requestId\":{id},\"reason\":\"the client cancelled\"}}"));
    notification(&Method::Cancelled, Some(&params))
}

fn notification(method: &Method, params: Option<&Raw>) -> Raw {
    let mut message = Vec::new();
    write_notification(&mut message, method, params);
    Raw::trusted(message)
}

impl Ticket {
    /// Waits for the answer.
    ///
    /// # Errors
    /// Why it does not come.
    pub(super) async fn answer(&mut self) -> Result<Response, Lost> {
        let answer = (&mut self.done).await;
        self.answered = true;
        answer.unwrap_or_else(|_| {
            Err(Lost::Broke(self.channel.broken().unwrap_or("the server broke off").to_owned()))
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.channel.shared.listeners().remove(&self.id).is_some() {
            self.channel.cancel(self.id);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let waiting = self.channel.shared.calls().remove(&self.id).is_some();
        if waiting && !self.answered {
            self.channel.shared.abandon(self.id);
            if !self.channel.carrier.is_sending(self.id) {
                self.channel.cancel(self.id);
            }
        }
    }
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, HashMap<u64, Arc<Ear>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call that the server may still be at work on. One that never answers what was cancelled would make this
    /// grow with every cancelled call: at the limit one mark, which no answer takes away, stands for all others.
    fn abandon(&self, id: u64) {
        let mut abandoned = self.abandoned();
        let full = abandoned.len() >= MOST_ABANDONED;
        abandoned.insert(if full { u64::MAX } else { id }, Instant::now());
    }

    fn abandoned(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing can be asked, and whoever waits is told.
    fn break_with(&self, why: &str) {
        let _ = self.broken.set(why.to_owned());
        self.calls().clear();
        self.listeners().clear();
        self.over.cancel();
    }
}

/// Where a transport hands in what the server says.
pub(super) struct Inbox {
    shared: Arc<Shared>,
    /// Weak, so that a channel that is dropped lets its server go even while somebody still reads.
    carrier: Weak<Carrier>,
    respond: Respond,
    depth: usize,
    told: Told,
}

impl Inbox {
    /// The server will say no more: the channel is broken, and this is why.
    pub(super) fn end(&self, why: &str) {
        self.shared.break_with(why);
    }

    /// Takes what the server said: a message, or a batch of them.
    pub(super) fn take(&self, said: Bytes) {
        for message in batch::messages(self.told.questions.revision(), said, self.depth) {
            self.take_one(message);
        }
    }

    fn take_one(&self, message: Bytes) {
        let size = message.len();
        match Message::parse(message, JsonLimits { depth: self.depth }) {
            Ok(Message::Response(response)) => self.take_response(response),
            Ok(Message::Notification(notification)) => self.take_notification(notification),
            Ok(Message::Request(request)) => {
                if let Some(needed) = self.told.questions.take(request, &self.respond) {
                    self.fail_undeclared(needed);
                }
            }
            Err(error) => {
                tracing::debug!(server.id = %self.shared.server, bytes = size, %error, "what the server sent is no MCP message");
            }
        }
    }

    fn take_response(&self, response: Response) {
        let id = response.id.as_ref().and_then(Id::as_number);
        match id.and_then(|id| self.shared.calls().remove(&id)) {
            Some(waiting) => {
                drop(waiting.done.send(Ok(response)));
                if let (Some(id), Some(carrier)) = (id, self.carrier.upgrade()) {
                    carrier.answered(id);
                }
            }
            None if id.is_some_and(|id| id != u64::MAX && self.shared.abandoned().remove(&id).is_some()) => {}
            None if let Some(ear) = id.and_then(|id| self.shared.listeners().remove(&id)) => {
                ear.hear(Message::Response(response));
            }
            None => {
                tracing::debug!(server.id = %self.shared.server, "an answer to no open request was dropped");
            }
        }
    }

    fn take_notification(&self, notification: Notification) {
        match notification.method {
            Method::Progress => {
                let token =
                    notification.params.as_ref().and_then(|params| params.find("progressToken")?.u64());
                let calls = self.shared.calls();
                let notes = token.and_then(|token| calls.get(&token)?.notes.clone());
                drop(calls);
                if let Some(notes) = notes {
                    let _ = notes.try_send(notification);
                }
            }
            Method::LogMessage => {
                if let Some(notes) = self.only_listener() {
                    let _ = notes.try_send(notification);
                }
            }
            Method::Cancelled => {
                self.told.questions.withdraw(notification.params.as_ref());
                self.take_cancelled(&notification);
            }
            Method::ElicitationComplete => self.told.questions.page_done(notification.params.as_ref()),
            _ => self.take_notice(notification),
        }
    }

    /// What names a stream goes there or nowhere.
    fn take_notice(&self, notification: Notification) {
        if let Some(named) = subscription_id(notification.params.as_ref()) {
            let ear = named.u64().and_then(|id| self.shared.listeners().get(&id).cloned());
            if let Some(ear) = ear {
                ear.hear(Message::Notification(notification));
            }
        } else if let Some((heard, feed)) = self.shared.feed.get() {
            feed.take(heard, &notification);
        }
    }

    /// A server ends a stream of its own accord (2026-07-28, cancellation).
    fn take_cancelled(&self, notification: &Notification) {
        let id = notification.params.as_ref().and_then(|params| params.find("requestId")?.u64());
        if let Some(id) = id {
            self.shared.listeners().remove(&id);
        }
    }

    /// The server asked what its client did not declare: the only call that this can be about fails, if it is one of those
    /// that do, and is cancelled at the server.
    fn fail_undeclared(&self, needed: ClientCaps) {
        if self.shared.abandoned().values().any(|since| since.elapsed() < AFTERMATH) {
            return;
        }
        let mut calls = self.shared.calls();
        let id = match (calls.len(), calls.iter().next()) {
            (1, Some((id, only))) if only.strict => *id,
            _ => return,
        };
        let waiting = calls.remove(&id);
        drop(calls);
        self.shared.abandon(id);
        if let Some(carrier) = self.carrier.upgrade()
            && !carrier.is_sending(id)
        {
            carrier.aside(cancellation(id));
        }
        let refusal = undeclared(&self.shared.server, needed);
        let _ = waiting.map(|waiting| waiting.done.send(Err(Lost::Refused(refusal))));
    }

    /// The notes of the one call under way, if it is the only one and wants log messages.
    fn only_listener(&self) -> Option<mpsc::Sender<Notification>> {
        if !self.shared.abandoned().is_empty() {
            return None;
        }
        let calls = self.shared.calls();
        let mut all = calls.values();
        match (all.next(), all.next()) {
            (Some(only), None) if only.wants_logs => only.notes.clone(),
            _ => None,
        }
    }
}
