//! What all servers share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard as Held};
use portcullis_config::Limits;
use portcullis_hub::Supervisor;
use portcullis_identity::outbound::Office;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::method::Method;
use portcullis_model::{Principal, ServerId};
use portcullis_telemetry::Metrics;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::call::Worker;
use crate::inspect::{Definitions, Guard};
use crate::oversight::Oversight;
use crate::upstream::Cluster;

/// How a change is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The server said so, or its settings changed.
    Announced,
    /// Nobody said so, but it may have been missed.
    Assumed,
    /// The new list is there already and differs from the old one.
    Seen,
    /// It has not: the list is there for the first time.
    First,
}

/// A server's list has changed, or may have, or is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Whose list.
    pub(crate) server: ServerId,
    /// The one user of whose list of it that is known; all of them where it is `None`.
    pub(crate) owner: Option<Principal>,
    /// The list-changed notification that says which.
    pub(crate) method: Method,
    /// How that is known.
    pub(crate) known: Known,
    /// The one conversation whose lists it is of; all of the server's where it is `None`.
    pub(crate) within: Option<Within>,
}

/// A conversation with a child, which is with a process of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Within {
    /// Which, where the child is not shared.
    pub(crate) conversation: Arc<str>,
    /// What is declared in it.
    pub(crate) declared: ClientCaps,
}

/// What a server needs of the gateway around it.
pub(crate) struct Surroundings {
    /// The runtime that owns children, background work and whatever must outlive the request that started it.
    pub(crate) control: Handle,
    pub(crate) supervisor: Supervisor,
    /// Where images are run.
    pub(crate) cluster: Option<Cluster>,
    /// How many worker threads there are; the control runtime counts as one more.
    pub(crate) workers: usize,
    /// The gateway as a client: an `Implementation` as JSON.
    pub(crate) client_info: String,
    pub(crate) metrics: Metrics,
    /// What sources of credentials share.
    pub(crate) office: Arc<Office>,
    /// What people decided about tools.
    pub(crate) oversight: Arc<Oversight>,
    limits: ArcSwap<Limits>,
    /// Whether clients search for tools.
    pub(crate) searched: AtomicBool,
    guard: ArcSwap<Guard>,
    /// Lists are read by no more threads than there are to work: each thread keeps memory of its own.
    pub(crate) reading: Semaphore,
    numbers: AtomicU64,
    /// Called with every change.
    on_change: OnceLock<OnChange>,
    /// Called when a user is done with a page.
    on_page_done: OnceLock<OnPageDone>,
}

type OnChange = Box<dyn Fn(Change) + Send + Sync>;
type OnPageDone = Box<dyn Fn(&ServerId, &Arc<str>, &str) + Send + Sync>;

impl Surroundings {
    /// A number that is given once.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    #[allow(clippy::too_many_arguments, reason = "wiring, done once")]
    pub(crate) fn new(
        control: Handle,
        supervisor: Supervisor,
        cluster: Option<Cluster>,
        workers: usize,
        client_info: String,
        metrics: Metrics,
        office: Arc<Office>,
        oversight: Arc<Oversight>,
        limits: Limits,
        guard: Arc<Guard>,
    ) -> Self {
        Self {
            control,
            supervisor,
            cluster,
            workers,
            client_info,
            metrics,
            office,
            oversight,
            limits: ArcSwap::from_pointee(limits),
            searched: AtomicBool::new(false),
            guard: ArcSwap::new(guard),
            reading: Semaphore::new(workers.max(1)),
            numbers: AtomicU64::new(1),
            on_change: OnceLock::new(),
            on_page_done: OnceLock::new(),
        }
    }

    /// The limits now in force, to be looked at here and now: a thread has few such guards to give, and none should wait.
    pub(crate) fn limits(&self) -> Held<Arc<Limits>> {
        self.limits.load()
    }

    /// The limits now in force, to be held on to.
    pub(crate) fn limits_to_keep(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// The guard now in force, to be looked at here and now.
    pub(crate) fn guard(&self) -> Held<Arc<Guard>> {
        self.guard.load()
    }

    /// Puts another guard in force; returns the one that was.
    pub(crate) fn set_guard(&self, guard: Arc<Guard>) -> Arc<Guard> {
        self.guard.swap(guard)
    }

    /// What reads what a server says of itself.
    pub(crate) fn definitions(&self, server: &ServerId) -> Definitions {
        Definitions::new(self.guard.load_full(), server, self.oversight.pins())
    }

    /// The place of the control runtime among the workers.
    pub(crate) fn control_worker(&self) -> Worker {
        Worker(self.workers)
    }

    /// Takes a notification of a server that belongs to nobody's call: a change of a list is announced to those whose list it
    /// is, others are nobody's business.
    pub(crate) fn notice(
        &self,
        server: &ServerId,
        owner: Option<&Principal>,
        method: &Method,
        within: Option<Within>,
    ) {
        if matches!(
            method,
            Method::ToolsListChanged | Method::PromptsListChanged | Method::ResourcesListChanged
        ) {
            let (server, owner) = (server.clone(), owner.cloned());
            self.announce(Change { server, owner, method: method.clone(), known: Known::Announced, within });
        }
    }

    /// A list has changed, or may have.
    pub(crate) fn announce(&self, change: Change) {
        if let Some(on_change) = self.on_change.get() {
            on_change(change);
        }
    }

    /// A server says that the user of a client is done with a page; the id is the server's own.
    pub(super) fn page_done(&self, server: &ServerId, client: &Arc<str>, id: &str) {
        if let Some(on_page_done) = self.on_page_done.get() {
            on_page_done(server, client, id);
        }
    }

    /// Sets, once, who is told of that.
    pub(crate) fn on_page_done(
        &self,
        on_page_done: impl Fn(&ServerId, &Arc<str>, &str) + Send + Sync + 'static,
    ) {
        let _ = self.on_page_done.set(Box::new(on_page_done));
    }

    /// Sets, once, who is told of changes.
    pub(crate) fn on_change(&self, on_change: impl Fn(Change) + Send + Sync + 'static) {
        let _ = self.on_change.set(Box::new(on_change));
    }
}
