//! One configured server: its conversations, its health, and the rule by which a call gets one of them.
//!
//! Conversations are opened on first use, once for all who wait, on the control runtime, so that a caller who leaves
//! does not take a half-open one along. A failure is remembered for the time of the backoff: who calls meanwhile is
//! told why and when to come back, and the server is left in peace.

mod about;
mod account;
mod calling;
mod deployed;
mod establish;
mod idle;
mod places;
mod probe;
mod spare;
mod version;
mod waiting;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use portcullis_config::{self as config, Sharing, Transport};
use portcullis_hub::{Backoff, Next};
use portcullis_mcp::apps::Policy;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::revision::Era;
use portcullis_model::{ErrorKind, Principal, ServerId};
use tokio::sync::Semaphore;

use self::idle::{BeforeRest, stop_when_idle};
use self::spare::Spare;
use self::version::Version;
use super::Surroundings;
use super::cluster::Deployed;
use super::connection::{Connection, Link, Peer};
use super::credentials::Credentials;
use super::feed::{self, Feeds};
use super::http::{HttpLink, SharedLink};
use super::lanes::Asks;
use super::openapi::Api;
use super::opening::Verdict;
use super::slots::{Slot, Slots};
use super::tls::{TlsError, fingerprint};
use super::views;
use crate::call::Refusal;
use crate::moment::LastUse;
use crate::seal::random_unit;

/// A caller waits so long for a server that is about to be started again; beyond that he is told to come back.
const SHORT_WAIT: Duration = Duration::from_secs(1);

/// And so long for its packages: most are installed by then. It is never more than half of what a call may take.
const INSTALLED: Duration = Duration::from_secs(5);

/// Conversations with a server behind a URL, besides the one that everybody shares.
const MOST_SESSIONS: usize = 10_000;

/// A conversation in which something was declared is ended after so long without a call.
const DECLARED_IDLE: Duration = Duration::from_mins(10);

/// A configured server.
pub(crate) struct Server {
    id: ServerId,
    version: Arc<Version>,
    settings: config::Server,
    env: Arc<Surroundings>,
    /// What views of its apps may ask for, when the operator restricts that.
    apps: Option<Arc<Policy>>,
    /// Present when it is behind a URL.
    http: Option<SharedLink>,
    /// Present when it is an API that a document describes.
    api: Option<Arc<Api>>,
    /// Present when a cluster runs it.
    deployed: Option<Arc<Deployed>>,
    /// What its credentials are got with.
    credentials: Option<Arc<Credentials>>,
    /// Whose it is, where each user is called for with credentials of their own.
    owner: Option<Principal>,
    /// Which certificates the settings named when they were read.
    certificates: Option<Vec<u8>>,
    /// What probing found behind the URL.
    verdict: ArcSwapOption<Verdict>,
    probing: tokio::sync::Mutex<()>,
    conversations: Slots,
    /// A child that was started before it is needed.
    spare: Spare,
    /// What it tells of changes, for each conversation.
    pub(super) feeds: Feeds,
    /// What is known of what it asks its clients.
    asks: Arc<Asks>,
    /// What it last said about itself.
    about: ArcSwapOption<Peer>,
    /// The same to clients with capabilities, where the server is modern.
    about_to: Mutex<HashMap<ClientCaps, Arc<Peer>>>,
    health: Mutex<Health>,
    /// Until when it keeps tasks that it has made.
    tasks_until: Mutex<Option<Instant>>,
    calls: Arc<Semaphore>,
    /// When a call last took a place.
    called: LastUse,
    /// Calls that wait for a place.
    waiting: Arc<AtomicUsize>,
    retired: AtomicBool,
    /// Asks, while it still runs, for what is kept of it and may have changed.
    before_rest: OnceLock<BeforeRest>,
    /// Its packages are being installed, as far as whoever waited last knows.
    installing: AtomicBool,
    /// Another is to take its place, though nothing is configured differently.
    worn: AtomicBool,
}

/// How a server is reached.
struct Reached {
    http: Option<SharedLink>,
    api: Option<Arc<Api>>,
    deployed: Option<Arc<Deployed>>,
    certificates: Option<Vec<u8>>,
    credentials: Option<Arc<Credentials>>,
}

struct Health {
    backoff: Backoff,
    /// Why it cannot be used, and not before when to try again.
    down: Option<(String, Instant)>,
    up: bool,
}

/// A server as `/readyz` and the start-up banner show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerState {
    /// Nobody has needed it yet.
    Idle,
    /// It was reached.
    Up,
    /// It cannot be used.
    Down {
        /// Why.
        why: String,
    },
}

impl Server {
    /// Whether a server could be made of `settings`.
    ///
    /// # Errors
    /// As [`Server::new`].
    pub(crate) fn check(id: &ServerId, settings: &config::Server) -> Result<(), TlsError> {
        match &settings.transport {
            Transport::Http(http) => {
                Credentials::of(id, http)?;
                Api::of(id, http)?;
                HttpLink::new(http, 0).map(drop)
            }
            Transport::Stdio(_) => Ok(()),
        }
    }

    /// A server that nobody has talked to yet.
    ///
    /// # Errors
    /// When its certificates cannot be loaded.
    pub(crate) fn new(
        (id, version): (ServerId, Option<&str>),
        settings: config::Server,
        env: Arc<Surroundings>,
    ) -> Result<Arc<Self>, TlsError> {
        // Before they are read: what is renewed in between is then found to differ.
        let certificates = certificates(&settings);
        let (http, api, deployed, credentials) = match &settings.transport {
            Transport::Http(http) => {
                let credentials = Credentials::of(&id, http)?;
                let shared = credentials.as_ref().filter(|credentials| !credentials.is_personal());
                let source = shared.map(|credentials| credentials.source(&env.office, None));
                let link = HttpLink::new(http, env.workers + 1)?.called_as(source);
                let api = Api::of(&id, http)?;
                let image = env.cluster.as_ref().zip(http.image.as_deref());
                let deployed = image.map(|(cluster, image)| Deployed::new(cluster, &id, version, image));
                (Some(Arc::new(link)), api, deployed, credentials.map(Arc::new))
            }
            Transport::Stdio(_) => (None, None, None, None),
        };
        let version = Version::new(id, version);
        Ok(Self::with(
            version,
            settings,
            env,
            Reached { http, api, deployed, certificates, credentials },
            None,
        ))
    }

    fn with(
        version: Arc<Version>,
        settings: config::Server,
        env: Arc<Surroundings>,
        reached: Reached,
        owner: Option<Principal>,
    ) -> Arc<Self> {
        let Reached { http, api, deployed, certificates, credentials } = reached;
        let most = match (&settings.transport, settings.sharing) {
            (Transport::Stdio(stdio), Sharing::Session) => stdio.max_instances,
            // The one that everybody shares is one of them.
            (Transport::Stdio(stdio), Sharing::Shared) => stdio.max_instances.saturating_sub(1),
            (Transport::Http(_), _) => MOST_SESSIONS,
        };
        let calls = Arc::new(Semaphore::new(settings.max_concurrent.clamp(1, Semaphore::MAX_PERMITS)));
        let health = Health { backoff: Backoff::new(u32::MAX), down: None, up: false };
        let apps = Some(views::policy(&settings.apps)).filter(|apps| !apps.is_open()).map(Arc::new);
        Arc::new(Self {
            id: version.id.clone(),
            version,
            settings,
            apps,
            env,
            http,
            api,
            deployed,
            credentials,
            owner,
            certificates,
            verdict: ArcSwapOption::empty(),
            probing: tokio::sync::Mutex::default(),
            conversations: Slots::new(most),
            spare: Spare::default(),
            feeds: Feeds::default(),
            asks: Arc::default(),
            about: ArcSwapOption::empty(),
            about_to: Mutex::default(),
            health: Mutex::new(health),
            tasks_until: Mutex::default(),
            calls,
            called: LastUse::now(),
            waiting: Arc::default(),
            retired: AtomicBool::new(false),
            before_rest: OnceLock::new(),
            installing: AtomicBool::new(false),
            worn: AtomicBool::new(false),
        })
    }

    /// Its slug.
    pub(crate) fn id(&self) -> &ServerId {
        &self.id
    }

    /// As configured.
    pub(crate) fn settings(&self) -> &config::Server {
        &self.settings
    }

    /// What views of its apps may ask for; `None` when that is not restricted.
    pub(crate) fn apps(&self) -> Option<&Arc<Policy>> {
        self.apps.as_ref()
    }

    pub(super) fn asks(&self) -> &Asks {
        &self.asks
    }

    pub(crate) fn env(&self) -> &Arc<Surroundings> {
        &self.env
    }

    /// How it is.
    pub(crate) fn state(&self) -> ServerState {
        let health = self.health();
        match &health.down {
            Some((why, _)) => ServerState::Down { why: why.clone() },
            None if health.up => ServerState::Up,
            None => ServerState::Idle,
        }
    }

    /// What it last said about itself: the revision and the `DiscoverResult` or `InitializeResult`.
    pub(crate) fn about(&self) -> Option<Arc<Peer>> {
        self.about.load_full()
    }

    /// Whether it makes tasks of tool calls, as far as is known.
    pub(crate) fn has_tasks(&self) -> bool {
        self.about.load().as_ref().is_some_and(|peer| peer.has_tasks)
    }

    /// The conversation for a client of `era` that cannot be asked anything, opened if there is none.
    pub(crate) async fn connection(
        self: &Arc<Self>,
        era: Era,
        conversation: &Arc<str>,
    ) -> Result<Arc<Connection>, Refusal> {
        self.connection_with(era, conversation, ClientCaps::NONE).await
    }

    /// The conversation for a client of `era` with these capabilities, opened if there is none.
    pub(crate) async fn connection_with(
        self: &Arc<Self>,
        era: Era,
        conversation: &Arc<str>,
        caps: ClientCaps,
    ) -> Result<Arc<Connection>, Refusal> {
        self.connection_in(era, conversation, caps, 0).await
    }

    /// One of several such conversations.
    pub(super) async fn connection_in(
        self: &Arc<Self>,
        era: Era,
        conversation: &Arc<str>,
        caps: ClientCaps,
        lane: u8,
    ) -> Result<Arc<Connection>, Refusal> {
        // No handshake declares the extension.
        let caps = caps.without(ClientCaps::TASKS);
        if let (Some(place), Some(caps)) = (self.place(era), self.declared(era, caps))
            && let Some(connection) = self.slot(place, conversation, caps, lane)?.usable()
        {
            return Ok(connection);
        }
        let (server, conversation) = (self.clone(), conversation.clone());
        let opened = self.env.control.spawn(async move { server.open(era, &conversation, caps, lane).await });
        opened.await.unwrap_or_else(|_| Err(Refusal::new(ErrorKind::Overloaded, "the gateway is stopping")))
    }

    async fn open(
        self: &Arc<Self>,
        era: Era,
        conversation: &Arc<str>,
        caps: ClientCaps,
        lane: u8,
    ) -> Result<Arc<Connection>, Refusal> {
        if let (None, Some(link)) = (self.place(era), &self.http) {
            let link = self.way(link).await?;
            self.verdict(&link).await?;
        }
        let place = self.place(era).unwrap_or(0);
        let declared = if let Some(declared) = self.declared(era, caps) {
            declared
        } else {
            // A child that turns out to be modern is the same for everybody.
            let plain = self.slot(place, conversation, ClientCaps::NONE, 0)?;
            let first = self.open_slot(&plain, era, ClientCaps::NONE).await?;
            self.feeds.attach(self, era, conversation, &first, ClientCaps::NONE);
            if first.era() == Era::Modern {
                return Ok(first);
            }
            caps
        };
        let slot = self.slot(place, conversation, declared, lane)?;
        let connection = self.open_slot(&slot, era, declared).await?;
        self.feeds.attach(self, era, conversation, &connection, declared);
        // Before the first call: what it changes may be told in this conversation alone.
        if let (Some(feed), false) = (connection.feed(), declared == ClientCaps::NONE) {
            feed.join(&connection, declared).await;
        }
        Ok(connection)
    }

    async fn open_slot(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        era: Era,
        caps: ClientCaps,
    ) -> Result<Arc<Connection>, Refusal> {
        self.install(INSTALLED.min(self.settings.call_timeout / 2)).await?;
        let _opening = slot.opening.lock().await;
        if let Some(connection) = slot.usable() {
            return Ok(connection);
        }
        if let Some(lost) = slot.current.swap(None) {
            slot.lost.store(true, Ordering::Relaxed);
            // Others of its processes may be younger; this one counts as having lived for as long as it did.
            self.health().backoff.started(lost.opened);
            self.note_down(lost.broken().unwrap_or("the server exited"), None);
        }
        self.wait_or_refuse().await?;
        match self.establish(era, caps).await {
            Ok(connection) => {
                let connection = Arc::new(connection);
                self.note_up(&connection);
                if slot.lost.swap(false, Ordering::Relaxed) && self.http.is_none() {
                    self.env.metrics.child_restarted(self.id.as_str());
                }
                slot.current.store(Some(connection.clone()));
                self.watch(slot, &connection, caps);
                if !self.conversations.has(slot) {
                    // Its client has left meanwhile.
                    slot.close().await;
                    let message = format!("server `{}`: the session has ended", self.id);
                    return Err(Refusal::new(ErrorKind::Cancelled, message));
                }
                Ok(connection)
            }
            Err(refusal) => {
                self.note_refused(&refusal);
                Err(refusal)
            }
        }
    }

    /// A conversation could not be opened. A server whose user has something to do first is not down, nor is one that we have.
    fn note_refused(&self, refusal: &Refusal) {
        use ErrorKind::{ConnectionRequired, LoginRequired, Overloaded};
        if !matches!(refusal.kind, ConnectionRequired | LoginRequired | Overloaded) {
            self.note_down(&refusal.message, refusal.retry_after);
        }
    }

    /// What has to be looked after while a conversation is open.
    fn watch(self: &Arc<Self>, slot: &Arc<Slot>, connection: &Arc<Connection>, caps: ClientCaps) {
        if let Some(every) = self.settings.probe {
            tokio::spawn(probe::probe(self.clone(), slot.clone(), connection.clone(), every));
        }
        let is_http = matches!(connection.link, Link::Http { .. });
        if is_http && connection.era() == Era::Legacy && caps != ClientCaps::NONE {
            feed::follow_sibling(connection);
        }
        let is_child = matches!(connection.link, Link::Channel(_));
        let idle = match (&self.settings.transport, self.settings.sharing) {
            (Transport::Stdio(config::Stdio { idle_stop: Some(idle), .. }), _) => *idle,
            (_, Sharing::Session) if is_child => self.env.limits().session_idle,
            _ if caps != ClientCaps::NONE => DECLARED_IDLE,
            _ => return,
        };
        tokio::spawn(stop_when_idle(self.clone(), slot.clone(), connection.clone(), idle));
    }

    /// A client's conversation has ended: what belongs to it alone ends too.
    pub(crate) fn end_conversation(self: &Arc<Self>, conversation: &str) {
        if self.settings.sharing == Sharing::Shared {
            return;
        }
        self.feeds.end(conversation);
        let ended = self.conversations.end(conversation);
        for slot in ended {
            self.env.control.spawn(async move { slot.close().await });
        }
    }

    /// Takes the server out of service: calls under way may end within `patience`, then everything is closed.
    pub(crate) async fn retire(self: Arc<Self>, patience: Duration) {
        self.retired.store(true, Ordering::Relaxed);
        self.feeds.end_all();
        self.dismiss_spare();
        let all = u32::try_from(self.settings.max_concurrent.max(1)).unwrap_or(u32::MAX);
        let _ = tokio::time::timeout(patience, self.calls.acquire_many(all)).await;
        for slot in self.conversations.take_all() {
            slot.close().await;
        }
        if let (Some(deployed), None) = (&self.deployed, &self.owner) {
            deployed.release();
        }
    }

    pub(super) fn forget(&self, connection: &Arc<Connection>) {
        self.conversations.forget(connection);
        let connection = connection.clone();
        self.env.control.spawn(async move { connection.close().await });
    }

    /// The server speaks another era than that of a connection. Modern conversations over HTTP have no state, so the others are
    /// opened anew with it rather than refused one by one; a child, and a session of the server's, are left to themselves.
    pub(super) fn forget_era(&self, connection: &Arc<Connection>) {
        if self.http.is_some() && connection.era() == Era::Modern {
            let open = self.conversations.open();
            open.iter().filter(|other| other.era() == Era::Modern).for_each(|other| self.forget(other));
        }
        self.forget(connection);
    }

    /// Lets the backoff pass when it is short, else says how long it is.
    async fn wait_or_refuse(&self) -> Result<(), Refusal> {
        if self.retired.load(Ordering::Relaxed) {
            let message = format!("server `{}` has been taken out of service", self.id);
            return Err(Refusal::new(ErrorKind::UpstreamUnavailable, message));
        }
        let (down, failures) = {
            let health = self.health();
            (health.down.clone(), health.backoff.failures())
        };
        let Some((why, retry)) = down else { return Ok(()) };
        let wait = retry.saturating_duration_since(Instant::now());
        if wait <= SHORT_WAIT {
            tokio::time::sleep(wait).await;
            return Ok(());
        }
        let message =
            format!("{why} ({failures} failures in a row; next attempt in {:.1} s)", wait.as_secs_f32());
        let refusal = Refusal::new(ErrorKind::UpstreamUnavailable, message);
        Err(Refusal { retry_after: Some(wait), ..refusal })
    }

    fn note_up(&self, connection: &Connection) {
        if connection.era() == Era::Modern {
            // One process is enough for whatever clients declare.
            self.dismiss_spare();
        }
        self.about.store(Some(Arc::new(connection.peer.clone())));
        self.about_to.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut health = self.health();
        if self.http.is_some() {
            // It has answered, so it is there; nothing was started that could be started too often.
            health.backoff.reset();
        }
        health.backoff.started(Instant::now());
        health.down = None;
        health.up = true;
        if self.is_counted() {
            self.env.metrics.set_server_up(self.id.as_str(), true);
        }
        tracing::info!(server.id = %self.id, revision = %connection.peer.revision, "server is up");
    }

    /// It failed, and is not tried before `again`. What fails before it is tried again failed with it: an outage that several
    /// conversations meet is one.
    fn note_down(&self, why: &str, again: Option<Duration>) {
        let (mut health, now) = (self.health(), Instant::now());
        if health.down.as_ref().is_some_and(|(_, retry)| now < *retry) {
            return;
        }
        let wait = match health.backoff.failed(now, why, random_unit()) {
            Next::Wait(wait) => wait,
            Next::Open { .. } => Duration::from_secs(30),
        };
        let wait = wait.max(again.unwrap_or_default());
        tracing::warn!(server.id = %self.id, why, retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "server is down");
        health.down = Some((why.to_owned(), now + wait));
        health.up = false;
        if self.is_counted() {
            self.env.metrics.set_server_up(self.id.as_str(), false);
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which certificates the settings name, by what is in their files. An OpenAPI document is none of them: whoever lists the tools
/// reads it, away from this thread and with a bound, and what changes in it goes the way of every definition that changes.
fn certificates(settings: &config::Server) -> Option<Vec<u8>> {
    match &settings.transport {
        Transport::Http(http) => Some(fingerprint(&http.tls)),
        Transport::Stdio(_) => None,
    }
}
