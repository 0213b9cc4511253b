//! What one server offers, kept so that calls need not ask.
//!
//! Lists are fetched whole, on first need, once for all who wait, on the control runtime. A list is asked for again
//! when its time is over (the server's `ttlMs`, else the configured age) or when the server announces a change. When
//! that fails, the last good list is served and marked stale: one dead server must not fail the lists of the others.
//! Among many servers, one that gives its lists no time would have all of them wait each time, or be started for it:
//! there a list that is a moment old will do, or one of a server that is not running; and searches wait for none.

mod load;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use foldhash::HashMap;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use portcullis_config::Transport;
use portcullis_mcp::apps::Policy;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::Raw;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_model::ErrorKind;
use portcullis_oversight::Definition;

use self::load::Load;
use super::connecting;
use super::listing::{Item, ListKind, Listing, Origin};
use super::personal::Personal;
use super::versions::Versions;
use crate::call::{Caller, Refusal};
use crate::gateway::ServerReport;
use crate::inspect::{Definitions, Suspect, Unread};
use crate::oversight::{self, Pins};
use crate::upstream::{Change, Connection, Known, Outgoing, Server, ServerState};

/// The longest time that a server's `ttlMs` is believed.
const LONGEST_TTL: Duration = Duration::from_hours(1);
/// After a failure the list is not asked for again for so long.
const PAUSE: Duration = Duration::from_secs(2);
/// Among many a server is not asked more often than this, however short the time is that it gives its lists.
const AMONG_MANY: Duration = Duration::from_secs(1);

/// Which variant of a list: servers may show other things to other eras and capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Variant {
    pub(crate) era: Era,
    pub(crate) caps: ClientCaps,
}

impl Variant {
    /// What `caller` is shown.
    pub(crate) fn of(caller: &Caller) -> Self {
        Self { era: caller.revision.era(), caps: caller.caps.known_in(caller.revision) }
    }
}

/// How new a list has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// Any list that was ever fetched.
    Known,
    /// One whose time is not over; but a good one that is older is taken when the server needs longer than this.
    Fresh(Duration),
    /// The same for a list of many servers: one that was fetched a moment ago will do, and one of a server that is started when
    /// it is needed, and is not running.
    Merged(Duration),
    /// Any, unless a change was announced since: [`Catalogue::renew`] has one asked for again whose time is over.
    Kept(Duration),
    /// The same, but one that was fetched within `age` will do, unless a change was announced since.
    Recent { age: Duration, patience: Duration },
}

impl Need {
    /// How long the fetch may take before an older list is taken instead.
    fn patience(self) -> Option<Duration> {
        match self {
            Self::Known => None,
            Self::Fresh(patience)
            | Self::Merged(patience)
            | Self::Kept(patience)
            | Self::Recent { patience, .. } => Some(patience),
        }
    }
}

/// A list, and whether it is as new as it was needed.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) listing: Arc<Listing>,
    pub(crate) stale: bool,
}

/// The lists of one server.
pub(crate) struct Catalogue {
    pub(crate) server: Arc<Server>,
    /// Somebody's greeting waited for the server in vain; nobody else's has to.
    pub(super) awaited: AtomicBool,
    /// What each of its users has of it, where they are called for with credentials of their own.
    pub(super) personal: Option<Personal>,
    pub(super) versions: Versions,
    cells: Mutex<HashMap<(ListKind, Variant), Arc<Cell>>>,
}

type Fetch = Shared<BoxFuture<'static, Result<Arc<Listing>, Refusal>>>;

#[derive(Default)]
struct Cell {
    current: ArcSwapOption<Listing>,
    /// A change was announced since the list was fetched.
    invalid: AtomicBool,
    /// Counts announcements, so that one that comes during a fetch is not lost.
    changes: AtomicU64,
    /// How many there had been when the server was last asked. What is assumed because it had to be started for that is no
    /// reason to ask it again.
    asked: AtomicU64,
    fetching: Mutex<Option<(Instant, Fetch)>>,
    failed: Mutex<Option<(Instant, Refusal)>>,
}

impl Catalogue {
    pub(crate) fn new(server: Arc<Server>) -> Arc<Self> {
        let personal = server.is_personal().then(Personal::default);
        let (awaited, versions) = (AtomicBool::new(false), Versions::default());
        let catalogue = Arc::new(Self { server, awaited, personal, versions, cells: Mutex::default() });
        let weak = Arc::downgrade(&catalogue);
        catalogue.server.before_rest(move |connection| {
            let catalogue = weak.upgrade();
            let ask = async move {
                match catalogue {
                    Some(catalogue) => catalogue.ask_again(&connection).await,
                    None => false,
                }
            };
            ask.boxed()
        });
        catalogue
    }

    /// The list, if it is there and new enough: the fast path, without waiting.
    pub(crate) fn peek(&self, kind: ListKind, variant: Variant, need: Need) -> Option<Arc<Listing>> {
        let cell = self.cell(kind, variant);
        let listing = cell.current.load_full()?;
        let will_do = match need {
            Need::Known => true,
            Need::Fresh(_) => cell.is_fresh(&listing),
            Need::Merged(_) => cell.is_fresh(&listing) || self.will_do_among_many(&cell, &listing),
            Need::Kept(_) => cell.is_valid(),
            Need::Recent { age, .. } => cell.is_recent(&listing, age) || cell.is_fresh(&listing),
        };
        will_do.then_some(listing)
    }

    /// Whether a list whose time is over need not be asked for again to be shown among others.
    fn will_do_among_many(&self, cell: &Cell, listing: &Listing) -> bool {
        let freshness = listing.freshness();
        let age = freshness.fetched.elapsed();
        // What the operator says counts as it is.
        let lately = freshness.hinted && age < AMONG_MANY;
        cell.is_valid() && (lately || (age < LONGEST_TTL && self.server.is_at_rest()))
    }

    /// Has a list whose time is over asked for again, with nobody waiting for it.
    pub(crate) fn renew(self: &Arc<Self>, kind: ListKind, variant: Variant) {
        if self.peek(kind, variant, Need::Merged(Duration::ZERO)).is_none() {
            // Whoever needs the list is told why there is none.
            drop(self.fetch(&self.cell(kind, variant), kind, variant));
        }
    }

    /// The list, fetched if need be.
    pub(crate) async fn list(
        self: &Arc<Self>,
        kind: ListKind,
        variant: Variant,
        need: Need,
    ) -> Result<Found, Refusal> {
        if let Some(listing) = self.peek(kind, variant, need) {
            return Ok(Found { listing, stale: false });
        }
        let cell = self.cell(kind, variant);
        let old = cell.current.load_full();
        let fetched = match (self.fetch(&cell, kind, variant), need.patience()) {
            (Err(refusal), _) => Err(refusal),
            (Ok((_, fetch)), None) => fetch.await,
            // Counted from the start of the fetch: a server that hangs holds up whoever asks first, not everybody.
            (Ok((began, fetch)), Some(patience)) => tokio::time::timeout_at((began + patience).into(), fetch)
                .await
                .unwrap_or_else(|_| Err(self.too_slow(kind))),
        };
        match (fetched, old) {
            (Ok(listing), _) => Ok(Found { listing, stale: false }),
            (Err(_), Some(listing)) => Ok(Found { listing, stale: true }),
            // What the server last showed to others is better than nothing.
            (Err(refusal), None) => {
                self.any(kind).map(|listing| Found { listing, stale: true }).ok_or(refusal)
            }
        }
    }

    /// The list as `variant` was last shown it, else as anybody was.
    pub(crate) fn last(&self, kind: ListKind, variant: Variant) -> Option<Arc<Listing>> {
        self.peek(kind, variant, Need::Known).or_else(|| self.any(kind))
    }

    /// The list as anybody was ever shown it.
    fn any(&self, kind: ListKind) -> Option<Arc<Listing>> {
        self.lock().iter().filter(|((of, _), _)| *of == kind).find_map(|(_, cell)| cell.current.load_full())
    }

    /// The list as it is on the server now, whatever is kept.
    pub(crate) async fn refetch(
        self: &Arc<Self>,
        kind: ListKind,
        variant: Variant,
    ) -> Result<Arc<Listing>, Refusal> {
        let cell = self.cell(kind, variant);
        cell.invalidate();
        let (_, fetch) = self.fetch(&cell, kind, variant)?;
        fetch.await
    }

    /// A change was announced: the lists that it is about are asked for again when they are next needed.
    pub(crate) fn invalidate(&self, method: &Method) {
        self.under().iter().for_each(|other| other.invalidate_own(method));
        self.invalidate_own(method);
    }

    fn invalidate_own(&self, method: &Method) {
        self.lock()
            .iter()
            .filter(|((kind, _), _)| kind.is_changed_by(method))
            .for_each(|(_, cell)| cell.invalidate());
    }

    /// What this connection would be asked for is asked for again where a change was announced since, or may have been missed: it is
    /// about to be ended, and a list of many does not wait for it to be started again. Many children change their lists once they
    /// know their client. Says whether there was anything to ask for.
    async fn ask_again(self: &Arc<Self>, connection: &Arc<Connection>) -> bool {
        let cells: Vec<_> = self.lock().iter().map(|(of, cell)| (*of, cell.clone())).collect();
        let mut asked = false;
        for ((kind, variant), cell) in cells {
            let is_kept = cell.current.load().is_some();
            let Variant { era, caps } = variant;
            if is_kept
                && !cell.is_valid()
                && self.server.asks_on(connection, &conversation(), era, caps)
                && let Ok((_, fetch)) = self.fetch(&cell, kind, variant)
            {
                asked = true;
                // Whoever needs the list is told why there is none.
                drop(fetch.await);
            }
        }
        asked
    }

    /// What may be shown of the lists has changed: those that are kept are not shown any more.
    pub(crate) fn forget(&self) {
        self.under().iter().for_each(|other| other.forget_own());
        self.forget_own();
    }

    fn forget_own(&self) {
        for cell in self.lock().values() {
            cell.invalidate();
            cell.current.store(None);
        }
    }

    /// A change may have been missed: the lists that it would be about are asked for again when they are next needed, or
    /// now, if `somebody` wants to be told in case they have changed.
    pub(crate) fn doubt(self: &Arc<Self>, method: &Method, somebody: bool) {
        self.under().iter().for_each(|other| other.doubt_own(method, somebody));
        self.doubt_own(method, somebody);
    }

    fn doubt_own(self: &Arc<Self>, method: &Method, somebody: bool) {
        for ((kind, variant), cell) in self.lock().iter() {
            let old = cell.current.load_full();
            if !kind.is_changed_by(method) || (old.is_none() && !cell.is_fetching()) {
                continue;
            }
            cell.invalidate();
            if let (true, Some(old)) = (somebody, old) {
                self.compare(*kind, *variant, old, method.clone());
            }
        }
    }

    fn compare(self: &Arc<Self>, kind: ListKind, variant: Variant, old: Arc<Listing>, method: Method) {
        let catalogue = self.clone();
        self.server.env().control.spawn(async move {
            let need = Need::Fresh(catalogue.server.settings().call_timeout);
            let found = catalogue.list(kind, variant, need).await;
            if found.is_ok_and(|found| !found.stale && !found.listing.lists_as(&old)) {
                catalogue.tell(method, Known::Seen);
            }
        });
    }

    fn tell(&self, method: Method, known: Known) {
        let (server, owner) = (self.server.id().clone(), self.server.owner().cloned());
        self.server.env().announce(Change { server, owner, method, known });
    }

    /// Somebody wants to be told of changes of the lists. A server that is not reached now has nothing to tell.
    pub(crate) fn follow(&self, era: Era) {
        if let Some(feed) = self.server.open_feed(era, &conversation()) {
            feed.want_lists();
        }
    }

    /// The server as the operator sees it.
    pub(crate) fn report(&self) -> ServerReport {
        let cells = self.lock();
        let count = |kind: ListKind| {
            let lists = cells.iter().filter(|((of, _), _)| *of == kind);
            lists.filter_map(|(_, cell)| Some(cell.current.load().as_ref()?.items.len())).max()
        };
        // A server that is there but does not list is as good as down to those who look for its tools.
        let state = match (self.server.state(), cells.values().find_map(|cell| cell.trouble())) {
            (ServerState::Up, Some(why)) => ServerState::Down { why },
            (state, _) => state,
        };
        ServerReport {
            id: self.server.id().clone(),
            state,
            revision: self.server.about().map(|peer| peer.revision.as_str()),
            offers: ListKind::ALL.map(count),
        }
    }

    fn too_slow(&self, kind: ListKind) -> Refusal {
        self.server.too_slow(&kind.method())
    }

    fn cell(&self, kind: ListKind, variant: Variant) -> Arc<Cell> {
        self.lock().entry((kind, variant)).or_default().clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(ListKind, Variant), Arc<Cell>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the fetch under way, or starts one; also says when it began.
    fn fetch(
        self: &Arc<Self>,
        cell: &Arc<Cell>,
        kind: ListKind,
        variant: Variant,
    ) -> Result<(Instant, Fetch), Refusal> {
        if let Some(refusal) = cell.recent_failure() {
            return Err(refusal);
        }
        let mut fetching = cell.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(fetching.get_or_insert_with(|| (Instant::now(), self.start_fetch(cell, kind, variant))).clone())
    }

    fn start_fetch(self: &Arc<Self>, cell: &Arc<Cell>, kind: ListKind, variant: Variant) -> Fetch {
        let (catalogue, cell) = (self.clone(), cell.clone());
        let task = self.server.env().control.spawn(async move {
            let is_first = cell.current.load().is_none();
            cell.note_asked();
            let limit = catalogue.server.settings().call_timeout;
            let fetched = tokio::time::timeout(limit, catalogue.load(&cell, kind, variant)).await;
            let fetched = fetched.unwrap_or_else(|_| Err(catalogue.too_slow(kind)));
            let fetched = cell.take(fetched);
            if is_first && fetched.is_ok() {
                kind.lists().methods().for_each(|method| catalogue.tell(method, Known::First));
            }
            fetched
        });
        let stopping = || Err(Refusal::new(ErrorKind::Overloaded, "the gateway is stopping"));
        task.map(move |joined| joined.unwrap_or_else(|_| stopping())).boxed().shared()
    }

    /// The list as the server has it; of one that nothing can be asked of before an account is connected, a way to do so.
    async fn load(
        self: &Arc<Self>,
        cell: &Cell,
        kind: ListKind,
        variant: Variant,
    ) -> Result<Listing, Refusal> {
        // Nobody in particular waits for this one, and whoever listens is told when the list is there.
        self.server.install(self.server.settings().call_timeout / 2).await?;
        match Box::pin(self.load_from_server(cell, kind, variant)).await {
            Err(refusal) if connecting::is_for_the_user(&refusal) => {
                Ok(connecting::listing(kind, &self.server))
            }
            loaded => loaded,
        }
    }

    async fn load_from_server(
        self: &Arc<Self>,
        cell: &Cell,
        kind: ListKind,
        variant: Variant,
    ) -> Result<Listing, Refusal> {
        let conversation = conversation();
        let connection = self.server.connection_with(variant.era, &conversation, variant.caps).await?;
        cell.note_asked();
        if let Some(feed) = connection.feed() {
            feed.want_lists();
        }
        let era = connection.era();
        let mut load = Load::new(kind, era, self.server.settings().list_ttl);
        if connection.peer().capabilities.find(kind.capability()).is_some() {
            let env = self.server.env();
            while let Some(params) = load.next_params()? {
                let mut out = Outgoing::internal(env.control_worker(), kind.method(), params);
                out.caps = variant.caps;
                let exchange = self.server.call(variant.era, &conversation, &out).await;
                let outcome = match exchange {
                    Ok(exchange) => {
                        load.streamed |= exchange.is_streamed();
                        exchange.outcome().await
                    }
                    Err(outcome) => outcome,
                };
                load.take(self.server.id(), outcome, env.limits().response_bytes)?;
            }
        }
        let origin = match self.server.settings().transport {
            Transport::Http(_) => Origin::Http,
            Transport::Stdio(_) => Origin::Stdio,
        };
        let streamed = load.streamed;
        let (raws, extra, mut freshness) = load.finish();
        // What was got with somebody's credential is theirs, whatever the server says.
        freshness.public &= self.server.source().is_none();
        let (id, metrics) = (self.server.id().clone(), self.server.env().metrics.clone());
        let scope = self.server.scope().clone();
        // Reading many schemas takes its time, and this thread has connections to accept.
        let apps = self.server.apps().cloned();
        let searched = kind == ListKind::Tools && self.server.env().searched.load(Ordering::Relaxed);
        let definitions = self.server.env().definitions(&id);
        let read = move || {
            // What was approved is what the server says; what clients read is what the guard leaves of it.
            let mut pinned = oversight::definitions(&id, kind, raws.to_be_judged());
            let (items, extra) = fit(&definitions, kind, raws, &extra);
            let (raws, suspects) = apart(kind, items);
            let raws = tightened(raws, apps.as_deref());
            let mut listing = Listing::new(kind, &id, origin, raws, extra, freshness, &metrics);
            if searched {
                // Or the first search would.
                listing.words();
            }
            let of = |item: &Item| {
                let definition = pinned.remove(&item.key)?;
                Some(Definition { suspect: suspects.contains(&item.key), ..definition })
            };
            let pinned: Vec<_> = listing.items.iter().filter_map(of).collect();
            let pins = pinned.iter().map(|one| (one.pin, Suspect(one.suspect))).collect();
            listing.pins = Pins::of(&scope, pins);
            (listing, pinned)
        };
        let turn = self.server.env().reading.acquire().await;
        let built = tokio::task::spawn_blocking(read).await;
        drop(turn);
        let built = built.map_err(|_| Refusal::new(ErrorKind::Internal, "a list could not be read"))?;
        let (mut listing, definitions) = built;
        let env = self.server.env();
        let kind = oversight::definition_kind(kind);
        env.oversight.screen(env, self.server.scope(), kind, definitions).await;
        listing.number = self.server.env().number();
        listing.streamed = streamed;
        listing.tasks = era == Era::Modern && connection.peer().has_tasks;
        Ok(listing)
    }
}

/// What the gateway asks for everybody belongs to a conversation of its own.
pub(super) fn conversation() -> Arc<str> {
    Arc::from("catalogue")
}

impl Cell {
    fn is_fetching(&self) -> bool {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// No change was announced since the list was fetched.
    fn is_valid(&self) -> bool {
        !self.invalid.load(Ordering::Acquire)
    }

    fn is_fresh(&self, listing: &Listing) -> bool {
        self.is_valid() && listing.freshness().expires > Instant::now()
    }

    fn is_recent(&self, listing: &Listing, age: Duration) -> bool {
        self.is_valid() && (age == Duration::MAX || listing.freshness().fetched.elapsed() < age)
    }

    fn invalidate(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.invalid.store(true, Ordering::Release);
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn recent_failure(&self) -> Option<Refusal> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().filter(|(at, _)| at.elapsed() < PAUSE).map(|(_, refusal)| refusal.clone())
    }

    /// Why the last fetch failed, if it did.
    fn trouble(&self) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().map(|(_, refusal)| refusal.message.clone())
    }

    /// The server is asked now: what was announced before is in the answer.
    fn note_asked(&self) {
        self.asked.store(self.changes.load(Ordering::Acquire), Ordering::Release);
    }

    /// Takes the outcome of a fetch. A list that says what the one before
    /// it says takes over nothing but its time: what was made of the old one, words and pages, is as good as new.
    fn take(&self, fetched: Result<Listing, Refusal>) -> Result<Arc<Listing>, Refusal> {
        let taken = match fetched {
            Ok(listing) => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let old = self.current.load_full().filter(|old| old.is_same(&listing));
                let current = match old {
                    Some(old) => {
                        old.renew(listing.freshness());
                        old
                    }
                    None => Arc::new(listing),
                };
                self.current.store(Some(current.clone()));
                if self.changes.load(Ordering::Acquire) == self.asked.load(Ordering::Acquire) {
                    self.invalid.store(false, Ordering::Release);
                }
                Ok(current)
            }
            Err(refusal) => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((Instant::now(), refusal.clone()));
                Err(refusal)
            }
        };
        *self.fetching.lock().unwrap_or_else(PoisonError::into_inner) = None;
        taken
    }
}

/// The items as the operator lets views ask for things.
fn tightened(raws: Vec<Raw>, apps: Option<&Policy>) -> Vec<Raw> {
    let Some(apps) = apps else { return raws };
    raws.into_iter().map(|raw| apps.tighten_item(&raw).unwrap_or(raw)).collect()
}

/// The items, and what else stood in the result, as models may read them.
fn fit(
    definitions: &Definitions,
    kind: ListKind,
    items: Unread<Vec<Raw>>,
    extra: &Unread<Raw>,
) -> (Vec<(Raw, Suspect)>, Raw) {
    let items = definitions.items(kind.key(), kind == ListKind::Tools, items);
    (items, definitions.value(extra).unwrap_or_else(|| Raw::from_static("{}")))
}

/// The items, and the names of those that somebody has to look at.
fn apart(kind: ListKind, items: Vec<(Raw, Suspect)>) -> (Vec<Raw>, HashSet<String>) {
    let suspect = |(raw, Suspect(suspect)): &(Raw, Suspect)| raw.find_string(kind.key()).filter(|_| *suspect);
    let suspects = items.iter().filter_map(suspect).collect();
    (items.into_iter().map(|(raw, _)| raw).collect(), suspects)
}
