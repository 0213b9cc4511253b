//! What all servers share.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use portcullis_config::Limits;
use portcullis_hub::Supervisor;
use portcullis_mcp::method::Method;
use portcullis_model::ServerId;
use portcullis_telemetry::Metrics;
use tokio::runtime::Handle;
use tokio::sync::broadcast;

use crate::call::Worker;

/// A server's list has changed, or may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Whose list.
    pub(crate) server: ServerId,
    /// The list-changed notification that says which.
    pub(crate) method: Method,
}

/// What a server needs of the gateway around it.
pub(crate) struct Surroundings {
    /// The runtime that owns children, background work and whatever must outlive the request that started it.
    pub(crate) control: Handle,
    pub(crate) supervisor: Supervisor,
    /// How many worker threads there are; the control runtime counts as one more.
    pub(crate) workers: usize,
    /// The gateway as a client: an `Implementation` as JSON.
    pub(crate) client_info: String,
    pub(crate) metrics: Metrics,
    limits: ArcSwap<Limits>,
    changes: broadcast::Sender<Change>,
    /// Called before anybody hears of a change, so that who hears of it and asks again gets the new list.
    invalidate: OnceLock<Invalidate>,
}

type Invalidate = Box<dyn Fn(&Change) + Send + Sync>;

/// A listener that falls further behind than this has missed some and has to assume that everything changed.
const CHANGES: usize = 1024;

impl Surroundings {
    pub(crate) fn new(
        control: Handle,
        supervisor: Supervisor,
        workers: usize,
        client_info: String,
        metrics: Metrics,
        limits: Limits,
    ) -> Self {
        let (changes, _) = broadcast::channel(CHANGES);
        Self {
            control,
            supervisor,
            workers,
            client_info,
            metrics,
            limits: ArcSwap::from_pointee(limits),
            changes,
            invalidate: OnceLock::new(),
        }
    }

    /// The limits now in force.
    pub(crate) fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// The place of the control runtime among the workers.
    pub(crate) fn control_worker(&self) -> Worker {
        Worker(self.workers)
    }

    /// Tells whoever listens that a server announced a change of a list; other notifications are nobody's business.
    pub(crate) fn notice(&self, server: &ServerId, method: &Method) {
        if matches!(
            method,
            Method::ToolsListChanged | Method::PromptsListChanged | Method::ResourcesListChanged
        ) {
            self.announce(Change { server: server.clone(), method: method.clone() });
        }
    }

    /// Tells whoever listens that a list has changed.
    pub(crate) fn announce(&self, change: Change) {
        if let Some(invalidate) = self.invalidate.get() {
            invalidate(&change);
        }
        // An error only says that nobody listens.
        let _ = self.changes.send(change);
    }

    /// Sets, once, who forgets what a change makes stale.
    pub(crate) fn on_change(&self, invalidate: impl Fn(&Change) + Send + Sync + 'static) {
        let _ = self.invalidate.set(Box::new(invalidate));
    }

    /// From now on, every change.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }
}
