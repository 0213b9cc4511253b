//! Clients that are told of changes: who listens where, for what, and what waits for them.
//!
//! A [`Subscriber`] is a `subscriptions/listen` stream of a 2026-07-28 client or the session of an older one. It has a
//! mailbox of bounded size, into which servers' feeds (`upstream/feed`) and the announcements of changed lists
//! (`announce.rs`) put what its filter lets through; its connection empties the mailbox when it can write. `accept.rs`
//! finds out how much of a filter the servers behind an endpoint can fulfil, `session.rs` answers `resources/subscribe`.
//!
//! Nothing here speaks HTTP; the streams are written by `listen/listening.rs` and `listen/standalone.rs`.

mod accept;
mod announce;
mod mailbox;
mod moving;
mod seen;
mod session;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use portcullis_mcp::revision::Era;
use portcullis_mcp::subscription::Lists;
use portcullis_model::{ErrorKind, Principal, ServerId, ToolsetId};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::admit::{Gate, Pass};
use crate::call::{Caller, Endpoint, Refusal};
use crate::gateway::Gateway;
use crate::route::Toolsets;
use crate::upstream::Subscription;
use announce::Announced;

pub(crate) use accept::{accept, follow};
pub(crate) use mailbox::{Batch, Mailbox};
pub(crate) use moving::Moving;
use seen::{Seen, Shared};
pub(crate) use session::session_request;

/// Most URIs that one stream or session is subscribed to.
pub(crate) const MOST_URIS: usize = 512;
/// Most `subscriptions/listen` streams of one principal. Everybody on loopback is one.
const MOST_STREAMS: usize = 1024;
/// Tasks of one session that it is told about.
const MOST_TASKS: usize = 16;

/// Everybody who listens.
pub(crate) struct Subscribers {
    gate: Arc<Gate>,
    next: AtomicU64,
    all: Mutex<HashMap<Endpoint, HashMap<u64, Weak<Subscriber>>>>,
    /// What says whose changes a toolset's are.
    toolsets: ArcSwap<Toolsets>,
    announced: Mutex<Announced>,
    shared: Shared,
    streams: Mutex<HashMap<Principal, usize>>,
}

/// One stream or session.
pub(crate) struct Subscriber {
    id: u64,
    registry: Arc<Subscribers>,
    pub(crate) endpoint: Endpoint,
    caller: Arc<ArcSwap<Caller>>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// By URI, as the endpoint names it.
    held: Mutex<BTreeMap<String, Held>>,
    seen: Seen,
    /// Fires when the stream has to end, so that its client opens another.
    pub(crate) ended: CancellationToken,
    /// Places for tasks that it is told about.
    pub(crate) tasks: Arc<Semaphore>,
}

struct Held {
    server: ServerId,
    /// The server's own URI.
    own: String,
    _subscription: Subscription,
}

/// A place among the streams of a principal, given back when dropped.
pub(crate) struct StreamPlace {
    registry: Arc<Subscribers>,
    principal: Principal,
}

impl Subscribers {
    pub(crate) fn new(gate: Arc<Gate>) -> Arc<Self> {
        Arc::new(Self {
            gate,
            next: AtomicU64::default(),
            all: Mutex::default(),
            toolsets: ArcSwap::default(),
            announced: Mutex::default(),
            shared: Shared::default(),
            streams: Mutex::default(),
        })
    }

    /// Adds somebody who is told of changes of `lists` behind `endpoint`.
    pub(crate) fn add(
        self: &Arc<Self>,
        gateway: &Gateway,
        endpoint: &Endpoint,
        caller: &Arc<Caller>,
        lists: Lists,
    ) -> Arc<Subscriber> {
        let subscriber = Arc::new(Subscriber {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            registry: self.clone(),
            endpoint: endpoint.clone(),
            caller: Arc::new(ArcSwap::new(caller.clone())),
            mailbox: Arc::new(Mailbox::new(lists)),
            held: Mutex::default(),
            seen: Seen::default(),
            ended: CancellationToken::new(),
            tasks: Arc::new(Semaphore::new(MOST_TASKS)),
        });
        let mut all = self.lock();
        all.entry(endpoint.clone()).or_default().insert(subscriber.id, Arc::downgrade(&subscriber));
        drop(all);
        subscriber.look(gateway);
        subscriber
    }

    /// Takes one of a principal's places for streams.
    ///
    /// # Errors
    /// All are taken.
    pub(crate) fn take_place(self: &Arc<Self>, principal: &Principal) -> Result<StreamPlace, Refusal> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let open = streams.entry(principal.clone()).or_default();
        if *open >= MOST_STREAMS {
            let message = format!("{MOST_STREAMS} subscription streams are open; close one first");
            return Err(Refusal::new(ErrorKind::TooManyRequests, message));
        }
        *open += 1;
        Ok(StreamPlace { registry: self.clone(), principal: principal.clone() })
    }

    /// Whether anybody is told of changes of a server's lists.
    pub(crate) fn listen_to(&self, server: &ServerId) -> bool {
        self.lock().iter().any(|(endpoint, there)| !there.is_empty() && self.shows(endpoint, server))
    }

    /// Whether an endpoint may show something of a server.
    fn shows(&self, endpoint: &Endpoint, server: &ServerId) -> bool {
        match endpoint {
            Endpoint::Aggregate => true,
            Endpoint::Server(id) => id == server,
            Endpoint::Toolset(id) => {
                self.toolsets.load().get(id).is_some_and(|toolset| toolset.draws_on(server.as_str()))
            }
        }
    }

    /// Puts other toolsets in service.
    pub(crate) fn put_toolsets(&self, toolsets: Arc<Toolsets>) {
        self.toolsets.store(toolsets);
    }

    /// Who is told of anything.
    pub(crate) fn principals(&self) -> HashSet<Principal> {
        let all = self.lock();
        let there = all.values().flat_map(HashMap::values).filter_map(Weak::upgrade);
        // Not under the lock: the last of a subscriber takes it.
        let there: Vec<_> = there.collect();
        drop(all);
        there.iter().map(|subscriber| subscriber.caller().principal.clone()).collect()
    }

    /// Servers and toolsets were added, replaced or removed. Streams that were told about resources of one of them end, so that
    /// their clients open others; sessions, which have no such way, are subscribed again. Whoever is at a toolset is told that
    /// its lists have changed.
    pub(crate) fn endpoints_changed(
        &self,
        gateway: &Arc<Gateway>,
        changed: &BTreeSet<ServerId>,
        toolsets: &BTreeSet<ToolsetId>,
    ) {
        let all: Vec<_> = self.lock().values().flat_map(HashMap::values).filter_map(Weak::upgrade).collect();
        let servers = gateway.servers.load();
        for subscriber in all {
            let other = matches!(&subscriber.endpoint, Endpoint::Toolset(id) if toolsets.contains(id));
            let lost = subscriber.release_where(|held| other || changed.contains(&held.server));
            let modern = subscriber.caller().revision.era() == Era::Modern;
            let gone = !servers.have(&subscriber.endpoint);
            if other && !gone {
                accept::follow(gateway, &subscriber);
                subscriber.look(gateway);
                subscriber.mailbox.put_lists(Lists::TOOLS | Lists::PROMPTS | Lists::RESOURCES);
            }
            if modern && (gone || !lost.is_empty()) {
                subscriber.ended.cancel();
            } else if !lost.is_empty() {
                let gateway = gateway.clone();
                gateway.env.control.clone().spawn(async move {
                    for uri in lost {
                        if let Err(refusal) = accept::subscribe(&gateway, &subscriber, &uri).await {
                            tracing::info!(why = refusal.message, "a subscription ended with its server");
                        }
                    }
                });
            }
        }
    }

    /// Everybody's list of tools may be another.
    pub(crate) fn tools_changed(&self, gateway: &Gateway) {
        let all: Vec<_> = self.lock().values().flat_map(HashMap::values).filter_map(Weak::upgrade).collect();
        for subscriber in all {
            subscriber.look(gateway);
            subscriber.mailbox.put_lists(Lists::TOOLS);
        }
    }

    /// Other policies are in force. Whoever is told of what is not there for them any more is told no more: a stream ends, so
    /// that its client opens another, and a session just loses it. What everybody is shown may have changed.
    pub(crate) fn policies_changed(&self, gateway: &Gateway) {
        let all: Vec<_> = self.lock().values().flat_map(HashMap::values).filter_map(Weak::upgrade).collect();
        for subscriber in all {
            let caller = subscriber.caller();
            let lost = subscriber
                .release_where(|held| !accept::may_hear(&self.gate, &caller, &held.server, &held.own));
            let pass = self.gate.pass(&caller);
            let pass = pass.as_ref().and_then(Pass::enforced);
            let gone = pass.is_some_and(|pass| !pass.reaches(&subscriber.endpoint));
            if subscriber.caller().revision.era() == Era::Modern && (gone || !lost.is_empty()) {
                subscriber.ended.cancel();
            }
            subscriber.look(gateway);
            subscriber.mailbox.put_lists(Lists::TOOLS | Lists::PROMPTS | Lists::RESOURCES);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Endpoint, HashMap<u64, Weak<Subscriber>>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber {
    /// Who is told, as they are known now.
    pub(crate) fn caller(&self) -> Arc<Caller> {
        self.caller.load_full()
    }

    /// Somebody uses the session, and this is what is vouched for about them now: what they may not hear of any more, they
    /// are not told.
    pub(crate) fn renew(&self, caller: &Arc<Caller>) {
        let known = self.caller.load();
        if known.peer == caller.peer && known.principal.is_vouched_as(&caller.principal) {
            return;
        }
        self.caller.store(caller.clone());
        let gate = &self.registry.gate;
        self.release_where(|held| !accept::may_hear(gate, caller, &held.server, &held.own));
    }

    /// Keeps a subscription; one that is there already stays.
    ///
    /// # Errors
    /// There are as many as may be.
    fn keep(
        &self,
        uri: &str,
        (server, own): (&ServerId, &str),
        subscription: Subscription,
    ) -> Result<(), Refusal> {
        let mut held = self.held();
        if held.len() >= MOST_URIS && !held.contains_key(uri) {
            return Err(too_many());
        }
        held.entry(uri.to_owned()).or_insert_with(|| Held {
            server: server.clone(),
            own: own.to_owned(),
            _subscription: subscription,
        });
        Ok(())
    }

    fn has(&self, uri: &str) -> bool {
        self.held().contains_key(uri)
    }

    fn is_full(&self) -> bool {
        self.held().len() >= MOST_URIS
    }

    fn unsubscribe(&self, uri: &str) {
        let gone = self.held().remove(uri);
        // Not under the lock: it takes the feed's.
        drop(gone);
    }

    /// Ends some subscriptions; says which URIs they were.
    fn release_where(&self, is: impl Fn(&Held) -> bool) -> Vec<String> {
        let mut held = self.held();
        let released: Vec<_> = held.extract_if(.., |_, held| is(held)).collect();
        drop(held);
        released.into_iter().map(|(uri, _)| uri).collect()
    }

    /// Ends everything that a session was told.
    pub(crate) fn end(&self) {
        self.ended.cancel();
        let all = std::mem::take(&mut *self.held());
        drop(all);
        self.leave();
    }

    fn leave(&self) {
        let mut all = self.registry.lock();
        if let Some(there) = all.get_mut(&self.endpoint) {
            there.remove(&self.id);
            if there.is_empty() {
                all.remove(&self.endpoint);
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many() -> Refusal {
    Refusal::new(ErrorKind::TooManyRequests, format!("at most {MOST_URIS} resources can be subscribed to"))
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut streams = self.registry.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = streams.get_mut(&self.principal) {
            *open -= 1;
            if *open == 0 {
                streams.remove(&self.principal);
            }
        }
    }
}
