//! What one server offers, kept so that calls need not ask.
//!
//! Lists are fetched whole, on first need, once for all who wait, on the control runtime. A list is asked for again
//! when its time is over (the server's `ttlMs`, else the configured age) or when the server announces a change. When
//! that fails, the last good list is served and marked stale: one dead server must not fail the lists of the others.
//! Among many servers, one that gives its lists no time would have all of them wait each time, or be started for it:
//! there a list that is a moment old will do, or one of a server that is not running; and searches wait for none.

mod cell;
mod load;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::HashMap;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use portcullis_config::Transport;
use portcullis_mcp::apps::Policy;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::Raw;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_model::ErrorKind;
use portcullis_oversight::Definition;

use self::cell::{Cell, Fetch};
use self::load::Load;
use super::connecting;
use super::listing::{Item, ListKind, Listing, Origin};
use super::personal::Personal;
use super::versions::Versions;
use crate::call::{Caller, Refusal};
use crate::gateway::ServerReport;
use crate::inspect::{Definitions, Suspect, Unread};
use crate::oversight::{self, Pins};
use crate::upstream::{Change, Connection, Known, Outgoing, Server, ServerState, Within};

/// The longest time that a server's `ttlMs` is believed.
const LONGEST_TTL: Duration = Duration::from_hours(1);
/// Clients make up sets of capabilities: so many lists of one server are kept, those that were asked for last.
const MOST_CELLS: usize = 128;
/// Before its child is stopped a server is asked so often at most, with a pause for what it may announce then, and for no longer
/// than this in all.
const MOST_ASKED: usize = 3;
const MOMENT: Duration = Duration::from_millis(100);
const LAST_WORD: Duration = Duration::from_secs(10);
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
        let listing = cell.current()?;
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
        match (self.fetched(&cell, kind, variant, need.patience()).await, cell.current()) {
            (Ok(listing), _) => Ok(Found { listing, stale: false }),
            (Err(_), Some(listing)) => Ok(Found { listing, stale: true }),
            // What the server last showed to others is better than nothing.
            (Err(refusal), None) => {
                self.any(kind).map(|listing| Found { listing, stale: true }).ok_or(refusal)
            }
        }
    }

    /// The list with all that was announced by now in it, or what can be had of it in time. A fetch under way may have asked
    /// before that: then the server is asked once more.
    async fn fetched(
        self: &Arc<Self>,
        cell: &Arc<Cell>,
        kind: ListKind,
        variant: Variant,
        patience: Option<Duration>,
    ) -> Result<Arc<Listing>, Refusal> {
        let changes = cell.changes();
        let (began, fetch) = self.fetch(cell, kind, variant)?;
        // Counted from the start of the fetch: a server that hangs holds up whoever asks first, not everybody.
        let until = patience.map(|patience| began + patience);
        let listing = self.in_time(fetch, kind, until).await?;
        if cell.has_known(changes) {
            return Ok(listing);
        }
        let (_, fetch) = self.fetch(cell, kind, variant)?;
        self.in_time(fetch, kind, until).await
    }

    async fn in_time(
        &self,
        fetch: Fetch,
        kind: ListKind,
        until: Option<Instant>,
    ) -> Result<Arc<Listing>, Refusal> {
        match until {
            None => fetch.await,
            Some(until) => {
                let fetched = tokio::time::timeout_at(until.into(), fetch).await;
                fetched.unwrap_or_else(|_| Err(self.too_slow(kind)))
            }
        }
    }

    /// The list as `variant` was last shown it, else as anybody was.
    pub(crate) fn last(&self, kind: ListKind, variant: Variant) -> Option<Arc<Listing>> {
        self.peek(kind, variant, Need::Known).or_else(|| self.any(kind))
    }

    /// The list as anybody was ever shown it.
    fn any(&self, kind: ListKind) -> Option<Arc<Listing>> {
        self.lock().iter().filter(|((of, _), _)| *of == kind).find_map(|(_, cell)| cell.current())
    }

    /// The list as it is on the server now, whatever is kept.
    pub(crate) async fn refetch(
        self: &Arc<Self>,
        kind: ListKind,
        variant: Variant,
    ) -> Result<Arc<Listing>, Refusal> {
        let cell = self.cell(kind, variant);
        cell.invalidate();
        self.fetched(&cell, kind, variant, None).await
    }

    /// A change was announced: the lists that it is about are asked for again when they are next needed.
    pub(crate) fn invalidate(&self, method: &Method, within: Option<&Within>) {
        self.under().iter().for_each(|other| other.invalidate_own(method, within));
        self.invalidate_own(method, within);
    }

    fn invalidate_own(&self, method: &Method, within: Option<&Within>) {
        for ((kind, variant), cell) in self.lock().iter() {
            if kind.is_changed_by(method) && self.is_within(within, *variant) {
                cell.invalidate();
            }
        }
    }

    /// Whether a change that was heard within one conversation, or in any, is of what this variant is shown.
    fn is_within(&self, within: Option<&Within>, Variant { era, caps }: Variant) -> bool {
        within.is_none_or(|within| self.server.is_within(within, &conversation(), era, caps))
    }

    /// This connection is about to be ended: what would be asked for on it is asked for again where a change was announced since,
    /// or may have been missed, since a list of many does not wait for it to be started again. Many children change their lists once
    /// they know their client; one that does so whenever it is asked has nothing new to say after a while. Says whether there was
    /// anything to ask for.
    async fn ask_again(self: &Arc<Self>, connection: &Arc<Connection>) -> bool {
        let (mut doubted, mut restless) = (self.doubted_on(connection), Vec::new());
        if doubted.is_empty() {
            return false;
        }
        let asked = async {
            for _ in 0..MOST_ASKED {
                let fetches = doubted.iter().map(|((kind, variant), cell)| self.fetch(cell, *kind, *variant));
                // Whoever needs the list is told why there is none.
                join_all(fetches.filter_map(Result::ok).map(|(_, fetch)| fetch)).await;
                tokio::time::sleep(MOMENT).await;
                let asked = std::mem::replace(&mut doubted, self.doubted_on(connection));
                if doubted.is_empty() {
                    return;
                }
                // What is in doubt for the first time was not asked for.
                restless = doubted
                    .iter()
                    .filter(|(of, _)| asked.iter().any(|(other, _)| other == of))
                    .cloned()
                    .collect();
            }
            for (_, cell) in restless {
                if cell.trouble().is_none() {
                    cell.settle();
                }
            }
        };
        let _ = tokio::time::timeout(LAST_WORD, asked).await;
        true
    }

    /// The lists that are kept, may be out of date, and would be asked for on this connection.
    fn doubted_on(&self, connection: &Arc<Connection>) -> Vec<((ListKind, Variant), Arc<Cell>)> {
        let cells = self.lock();
        let doubted = cells.iter().filter(|((_, Variant { era, caps }), cell)| {
            let in_doubt = !cell.is_valid() && cell.current().is_some();
            in_doubt && self.server.asks_on(connection, &conversation(), *era, *caps)
        });
        doubted.map(|(of, cell)| (*of, cell.clone())).collect()
    }

    /// What may be shown of the lists has changed: those that are kept are not shown any more.
    pub(crate) fn forget(&self) {
        self.under().iter().for_each(|other| other.forget_own());
        self.forget_own();
    }

    fn forget_own(&self) {
        self.lock().values().for_each(|cell| cell.forget());
    }

    /// A change may have been missed: the lists that it would be about are asked for again when they are next needed, or
    /// now, if `somebody` wants to be told in case they have changed.
    pub(crate) fn doubt(self: &Arc<Self>, method: &Method, within: Option<&Within>, somebody: bool) {
        self.under().iter().for_each(|other| other.doubt_own(method, within, somebody));
        self.doubt_own(method, within, somebody);
    }

    fn doubt_own(self: &Arc<Self>, method: &Method, within: Option<&Within>, somebody: bool) {
        for ((kind, variant), cell) in self.lock().iter() {
            let old = cell.current();
            let is_asked_for = old.is_some() || cell.is_fetching();
            if !kind.is_changed_by(method) || !is_asked_for || !self.is_within(within, *variant) {
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
        self.server.env().announce(Change { server, owner, method, known, within: None });
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
            lists.filter_map(|(_, cell)| Some(cell.current()?.items.len())).max()
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
        let mut cells = self.lock();
        if let Some(cell) = cells.get(&(kind, variant)) {
            cell.touch();
            return cell.clone();
        }
        if cells.len() >= MOST_CELLS {
            let longest = cells.iter().max_by_key(|(_, cell)| cell.unused()).map(|(of, _)| *of);
            longest.map(|of| cells.remove(&of));
        }
        cells.entry((kind, variant)).or_default().clone()
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
        cell.fetch(|| self.start_fetch(cell, kind, variant))
    }

    fn start_fetch(self: &Arc<Self>, cell: &Arc<Cell>, kind: ListKind, variant: Variant) -> Fetch {
        let (catalogue, cell) = (self.clone(), cell.clone());
        let task = self.server.env().control.spawn(async move {
            let (is_first, forgotten) = (cell.current().is_none(), cell.forgotten());
            cell.note_asked();
            let limit = catalogue.server.settings().call_timeout;
            let fetched = tokio::time::timeout(limit, catalogue.load(&cell, kind, variant)).await;
            let fetched = fetched.unwrap_or_else(|_| Err(catalogue.too_slow(kind)));
            let fetched = cell.take(fetched, forgotten);
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
