//! What a server tells outside of answers: its lists have changed, a resource has.
//!
//! A server has one feed for each conversation that it keeps, however many clients listen: a shared server has one, or one
//! for each of its two eras. The feed follows its conversation from connection to connection. A modern server is asked
//! with `subscriptions/listen` (`modern.rs`, `listening.rs`), a legacy one with its standalone stream
//! (`standalone.rs`) and `resources/subscribe` (`legacy.rs`); `interests.rs` counts who wants what. What a server tells that nobody asked for
//! ends here, and nothing that it sends piles up: everything told is looked up, handed on and forgotten.
//!
//! Lists are followed once they are kept or somebody listens for their changes, on a connection that is there anyway. A
//! resource that somebody watches keeps its server reached.

mod feeds;
mod interests;
mod legacy;
mod listening;
mod modern;
mod sibling;
mod siblings;
mod standalone;
mod throttle;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use portcullis_hub::{Backoff, Next};
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::message::Notification;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::subscription::Lists;
use portcullis_model::{ErrorKind, Principal, ServerId};
use portcullis_telemetry::metrics::Held;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Link};
use super::server::Server;
use super::surroundings::{Change, Known, Surroundings, Within};
use crate::call::Refusal;
use crate::seal::random_unit;
use interests::{Interests, Status};
use siblings::Siblings;
pub(super) use standalone::take;

pub(super) use feeds::Feeds;
pub(super) use listening::Ear;
pub(super) use sibling::follow_sibling;

/// Called with the URI of a resource that has changed, as the server wrote it.
pub(crate) type Watcher = Arc<dyn Fn(&str) + Send + Sync>;

/// Longest URI that can be subscribed to or is taken from an update, in bytes.
const LONGEST_URI: usize = 4096;
/// A feed that carried for so long and then broke is opened again at once.
const STEADY: Duration = Duration::from_secs(5);
/// A server that has no feed is asked again after so long, or when somebody subscribes.
const USELESS: Duration = Duration::from_mins(5);
/// A child that was started so short a time ago is still making itself ready.
const SETTLING: Duration = Duration::from_secs(5);
/// Most updates that are held back while one stream takes over from another.
const MOST_HELD: usize = 1024;

/// The feed of one conversation with a server.
pub(crate) struct Feed {
    owner: Weak<Server>,
    server: ServerId,
    /// Whose the server is, where it is one user's.
    user: Option<Principal>,
    env: Arc<Surroundings>,
    era: Era,
    conversation: Arc<str>,
    state: Mutex<State>,
    /// There is something to do: other interests, another connection.
    wake: Notify,
    /// The server has answered for a URI.
    settled: Notify,
    ended: CancellationToken,
    next: AtomicU64,
}

#[derive(Default)]
struct State {
    interests: Interests<Watcher, Refusal>,
    siblings: Siblings<Connection>,
    /// Changes of lists matter to somebody.
    lists: bool,
    connection: Weak<Connection>,
    /// There was a connection before this one.
    reopened: bool,
    running: bool,
    overlap: Option<Overlap>,
}

/// What two streams tell while one takes over from the other: each thing once.
#[derive(Default)]
struct Overlap {
    lists: HashSet<Method>,
    uris: HashSet<String>,
}

/// Where a notification was heard.
pub(super) struct Heard {
    era: Era,
    /// The conversation with a child, and when it began.
    settling: Option<(Within, Instant)>,
}

impl Heard {
    /// What a child says when it has just been started is of this process: many change their lists once they know their client.
    /// Later it may be of something that all of its processes share.
    fn within(&self) -> Option<Within> {
        let settling = self.settling.as_ref().filter(|(_, began)| began.elapsed() < SETTLING);
        settling.map(|(within, _)| within.clone())
    }
}

/// Why a feed does not carry any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its connection is gone, or is another one now.
    Over,
    /// The server has forgotten the session.
    Gone,
    /// It broke off: to be opened again.
    Broken,
    /// The server has none.
    Useless,
    /// Nobody wants to be told anything.
    Idle,
}

/// One URI of a feed, watched until this is dropped.
pub(crate) struct Subscription {
    feed: Arc<Feed>,
    uri: Arc<str>,
    /// What its client can be asked: its calls run in conversations with these.
    caps: ClientCaps,
    id: u64,
    _counted: Held,
}

impl Feed {
    fn new(owner: &Arc<Server>, era: Era, conversation: Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            owner: Arc::downgrade(owner),
            server: owner.id().clone(),
            user: owner.owner().cloned(),
            env: owner.env().clone(),
            era,
            conversation,
            state: Mutex::default(),
            wake: Notify::new(),
            settled: Notify::new(),
            ended: CancellationToken::new(),
            next: AtomicU64::new(0),
        })
    }

    /// Watches a resource. Whether the server will tell about it, [`Subscription::settled`] says.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        uri: &str,
        caps: ClientCaps,
        watcher: Watcher,
    ) -> Result<Subscription, Refusal> {
        if uri.len() > LONGEST_URI {
            let message = format!("a URI to subscribe to may have {LONGEST_URI} bytes");
            return Err(Refusal::new(ErrorKind::InvalidParams, message));
        }
        let (uri, id) = (Arc::from(uri), self.next.fetch_add(1, Ordering::Relaxed));
        let added = self.lock().interests.add(&uri, id, watcher, Instant::now());
        added.map_err(|_| {
            let message = format!("as many resources of `{}` are subscribed to as may be", self.server);
            Refusal::new(ErrorKind::TooManyRequests, message)
        })?;
        let counted = self.env.metrics.gauge(
            "portcullis_subscriptions",
            "Resources that clients are subscribed to.",
            &[("server_id", self.server.as_str())],
        );
        self.want_shared(caps, &uri);
        self.start();
        Ok(Subscription { feed: self.clone(), uri, caps, id, _counted: counted.hold() })
    }

    /// Whether somebody watches a resource.
    fn is_watched(&self) -> bool {
        self.lock().interests.is_watched()
    }

    fn is_idle(&self) -> bool {
        let state = self.lock();
        !state.lists && state.interests.wanted().next().is_none()
    }

    /// From now on the changes of lists matter.
    pub(crate) fn want_lists(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.lock().lists, true) {
            self.start();
        }
    }

    /// Whether somebody watches a resource on this connection, so that it must not be let go.
    pub(super) fn needs(&self, connection: &Connection) -> bool {
        let state = self.lock();
        state.interests.is_watched() && std::ptr::eq(state.connection.as_ptr(), connection)
    }

    /// Takes up a connection of this feed's conversation, unless there is one already.
    fn attach(self: &Arc<Self>, connection: &Arc<Connection>) {
        let mut state = self.lock();
        if state.connection.upgrade().is_some_and(|current| current.is_open()) {
            return;
        }
        let reopened = std::mem::replace(&mut state.reopened, true);
        state.connection = Arc::downgrade(connection);
        drop(state);
        if reopened {
            self.doubt(
                Lists::declared(&connection.peer.capabilities),
                self.within(connection, ClientCaps::NONE).as_ref(),
            );
        }
        self.wake.notify_one();
    }

    /// A connection is closed or given up.
    pub(super) fn detach(&self, connection: &Connection) {
        let mut state = self.lock();
        if std::ptr::eq(state.connection.as_ptr(), connection) {
            state.connection = Weak::new();
        }
        state.siblings.leave(connection);
        drop(state);
        self.wake.notify_one();
    }

    /// The conversation on this connection, where what it tells is of its lists alone: a child's other processes have theirs.
    fn within(&self, connection: &Connection, declared: ClientCaps) -> Option<Within> {
        let is_child = matches!(&connection.link, Link::Channel(channel) if channel.is_child());
        is_child.then(|| Within { conversation: self.conversation.clone(), declared })
    }

    /// Takes a notification that came on no stream of its own. Modern servers tell about resources on such a stream alone.
    pub(super) fn take(&self, heard: &Heard, notification: &Notification) {
        match &notification.method {
            Method::ResourceUpdated if heard.era == Era::Legacy => {
                let uri = notification.params.as_ref().and_then(|params| params.find_string("uri"));
                if let Some(uri) = uri {
                    self.updated(uri);
                }
            }
            method => self.env.notice(&self.server, self.user.as_ref(), method, heard.within()),
        }
    }

    fn list_changed(&self, method: &Method) {
        if let Some(overlap) = &mut self.lock().overlap {
            overlap.lists.insert(method.clone());
            return;
        }
        self.env.notice(&self.server, self.user.as_ref(), method, None);
    }

    fn updated(&self, uri: String) {
        if uri.len() > LONGEST_URI {
            return;
        }
        let mut state = self.lock();
        if let Some(overlap) = &mut state.overlap
            && overlap.uris.len() < MOST_HELD
        {
            overlap.uris.insert(uri);
            return;
        }
        state.interests.tell(&uri, |watcher| watcher(&uri));
    }

    fn begin_overlap(&self) {
        self.lock().overlap.get_or_insert_default();
    }

    fn end_overlap(&self) {
        let Some(overlap) = self.lock().overlap.take() else { return };
        overlap.lists.iter().for_each(|method| self.list_changed(method));
        overlap.uris.into_iter().for_each(|uri| self.updated(uri));
    }

    /// Changes of lists may have been missed.
    fn doubt(&self, lists: Lists, within: Option<&Within>) {
        for method in lists.methods() {
            let (server, owner) = (self.server.clone(), self.user.clone());
            let within = within.cloned();
            self.env.announce(Change { server, owner, method, known: Known::Assumed, within });
        }
    }

    /// The server has answered for a URI.
    fn settle(&self, uri: &str, status: Status<Refusal>) {
        self.lock().interests.settle(uri, status, Instant::now(), |watcher| watcher(uri));
        self.settled.notify_waiters();
    }

    /// Accepts the URIs that still wait for an answer although the server tells about them already.
    fn confirm(&self, uris: &[Arc<str>], is_carried: impl Fn(&Arc<str>) -> bool) {
        for uri in uris.iter().filter(|uri| is_carried(uri)) {
            let asked = matches!(self.lock().interests.status(uri), Some(Status::Asked));
            if asked {
                self.settle(uri, Status::Carried);
            }
        }
    }

    /// Refuses the URIs that still wait for an answer.
    fn refuse(&self, uris: &[Arc<str>], refusal: &Refusal) {
        for uri in uris {
            let asked = matches!(self.lock().interests.status(uri), Some(Status::Asked));
            if asked {
                self.settle(uri, Status::Refused(refusal.clone()));
            }
        }
    }

    /// The URIs that the server is to tell about, and when there may be fewer.
    fn wanted(&self) -> (Vec<Arc<str>>, Option<Instant>) {
        let mut state = self.lock();
        let fewer = state.interests.sweep(Instant::now());
        (state.interests.wanted().cloned().collect(), fewer)
    }

    /// Whether a connection is the one that this feed follows.
    fn follows(&self, connection: &Arc<Connection>) -> bool {
        std::ptr::eq(self.lock().connection.as_ptr(), Arc::as_ptr(connection)) && connection.is_open()
    }

    fn start(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.lock().running, true) {
            let feed = self.clone();
            self.env.control.spawn(async move {
                tokio::select! {
                    () = feed.ended.cancelled() => {}
                    () = feed.run() => {}
                }
            });
        }
        self.wake.notify_one();
    }

    async fn run(self: &Arc<Self>) {
        let mut backoff = Backoff::new(u32::MAX);
        loop {
            let connection = match self.connection().await {
                Ok(Some(connection)) => connection,
                Ok(None) => return,
                Err(_) => {
                    self.pause(&mut backoff, None).await;
                    continue;
                }
            };
            let began = Instant::now();
            // What there was to wake for is looked at now.
            let _ = self.wake.notified().now_or_never();
            let end = match connection.era() {
                Era::Modern => modern::carry(self, &connection).await,
                Era::Legacy => legacy::carry(self, &connection).await,
            };
            tracing::debug!(server.id = %self.server, ?end, "a feed ended");
            self.lose();
            if began.elapsed() >= STEADY {
                backoff = Backoff::new(u32::MAX);
            }
            match end {
                End::Over => self.detach(&connection),
                End::Gone => {
                    self.detach(&connection);
                    if let Some(server) = self.owner.upgrade() {
                        server.forget(&connection);
                    }
                    self.pause(&mut backoff, Some(&connection)).await;
                }
                End::Broken => self.pause(&mut backoff, Some(&connection)).await,
                End::Idle => self.wake.notified().await,
                End::Useless => {
                    let _ = tokio::time::timeout(USELESS, self.wake.notified()).await;
                }
            }
        }
    }

    /// Lets a failure's pause pass, which grows from one to the next and is never the same for all. It ends early when
    /// there is a connection that is not the one that failed.
    async fn pause(&self, backoff: &mut Backoff, failed: Option<&Arc<Connection>>) {
        let Next::Wait(wait) = backoff.failed(Instant::now(), "", random_unit()) else { return };
        let wait = wait.max(Duration::from_millis(250).mul_f64(random_unit()));
        let is_new =
            |connection: Arc<Connection>| failed.is_none_or(|failed| !Arc::ptr_eq(failed, &connection));
        let _ = tokio::time::timeout(wait, async {
            loop {
                self.wake.notified().await;
                let current = self.lock().connection.upgrade();
                if current.is_some_and(is_new) {
                    return;
                }
            }
        })
        .await;
    }

    /// Nothing is carried any more.
    fn lose(&self) {
        let mut state = self.lock();
        state.overlap = None;
        state.interests.lose(Instant::now());
    }

    /// The connection to carry on: the one that is there, or, for a watched resource, one that is opened for it. `None`
    /// when the server is out of service.
    async fn connection(&self) -> Result<Option<Arc<Connection>>, Refusal> {
        loop {
            let (current, watched) = {
                let state = self.lock();
                (state.connection.upgrade(), state.interests.is_watched())
            };
            if let Some(connection) = current.filter(|current| current.is_open()) {
                return Ok(Some(connection));
            }
            let Some(server) = self.owner.upgrade() else { return Ok(None) };
            if !watched {
                drop(server);
                self.wake.notified().await;
                continue;
            }
            let connection = server.connection(self.era, &self.conversation).await?;
            // One that was there already and that this feed had left.
            if self.lock().connection.upgrade().is_none()
                && let Some(feed) = connection.feed()
            {
                feed.attach(&connection);
            }
            return Ok(Some(connection));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// The feed of its conversation.
    pub(crate) fn feed(&self) -> Option<&Arc<Feed>> {
        self.feed.get()
    }

    /// Takes a notification that belongs to no call.
    pub(super) fn notice(&self, notification: &Notification) {
        match self.feed() {
            Some(feed) => feed.take(&Heard { era: self.era(), settling: None }, notification),
            None => self.env.notice(&self.server, self.owner.as_ref(), &notification.method, None),
        }
    }

    /// Whether the server lets single resources be subscribed to.
    pub(crate) fn can_subscribe(&self) -> bool {
        let declared = self.peer.capabilities.find_path(&["resources", "subscribe"]);
        declared.and_then(|declared| declared.bool()) == Some(true)
    }

    /// Waits until its channel has broken; for ever where there is none.
    async fn over(&self) {
        match &self.link {
            Link::Channel(channel) => channel.over().await,
            Link::Http { .. } | Link::OpenApi { .. } => std::future::pending().await,
        }
    }
}

impl Subscription {
    /// Waits until the server has accepted the subscription.
    ///
    /// # Errors
    /// Why it has not.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn settled(&self) -> Result<(), Refusal> {
        loop {
            let settled = self.feed.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            match self.feed.lock().interests.status(&self.uri) {
                Some(Status::Carried) => return Ok(()),
                Some(Status::Refused(refusal)) => return Err(refusal.clone()),
                Some(Status::Asked) => {}
                None => return Err(Refusal::new(ErrorKind::Cancelled, "the subscription has ended")),
            }
            settled.await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.feed.lock().interests.remove(&self.uri, self.id, Instant::now());
        self.feed.unwant_shared(self.caps, &self.uri);
        self.feed.wake.notify_one();
    }
}
