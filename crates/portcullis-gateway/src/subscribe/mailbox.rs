//! What waits to be told to one subscriber.
//!
//! A change that is told twice says no more than one that is told once, so a mailbox is a set: a client that reads slowly
//! finds each change once, and what a server sends without end fills nothing. The clock is handed in.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_mcp::json::Raw;
use portcullis_mcp::message::Id;
use portcullis_mcp::subscription::{Lists, write_list_changed, write_task_status, write_updated};
use tokio::sync::Notify;

/// The least time between two batches.
const PAUSE: Duration = Duration::from_millis(100);
/// Sub-resources that wait one by one; of more, only that the subscribed resource has changed is told.
const MOST_PARTS: usize = 256;
/// Tasks that wait; whoever reads so slowly can ask.
const MOST_TASKS: usize = 64;
/// URIs in one batch.
const BATCH: usize = 64;

/// What is told at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    lists: Lists,
    uris: Vec<Arc<str>>,
    /// How tasks of a session stand.
    tasks: Vec<Raw>,
}

impl Batch {
    /// The messages, each a JSON-RPC notification; `id` is the request that opened the stream, where there was one.
    pub(crate) fn messages<'a>(&'a self, id: Option<&'a Id>) -> impl Iterator<Item = Vec<u8>> + 'a {
        let lists = self.lists.methods().map(move |method| {
            let mut message = Vec::new();
            write_list_changed(&mut message, &method, id);
            message
        });
        let uris = self.uris.iter().map(move |uri| {
            let mut message = Vec::new();
            write_updated(&mut message, uri, id);
            message
        });
        let tasks = self.tasks.iter().map(|task| {
            let mut message = Vec::new();
            write_task_status(&mut message, task);
            message
        });
        lists.chain(uris).chain(tasks)
    }
}

/// Pure bookkeeping.
#[derive(Default)]
struct Pending {
    lists: Lists,
    uris: Vec<Arc<str>>,
    known: HashSet<Arc<str>>,
    /// By the client's id, as each stands now.
    tasks: BTreeMap<Arc<str>, Raw>,
    /// Nothing is told before.
    not_before: Option<Instant>,
}

/// What is there to be told.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Later(Instant),
    Now(Batch),
}

impl Pending {
    fn put_uri(&mut self, updated: &str, subscribed: &Arc<str>) {
        let uri = if self.known.contains(updated) {
            return;
        } else if self.uris.len() < MOST_PARTS && updated != &**subscribed {
            Arc::from(updated)
        } else {
            subscribed.clone()
        };
        if self.known.insert(uri.clone()) {
            self.uris.push(uri);
        }
    }

    fn take(&mut self, now: Instant) -> Due {
        if self.lists.is_empty() && self.uris.is_empty() && self.tasks.is_empty() {
            return Due::Nothing;
        }
        if let Some(at) = self.not_before.filter(|at| *at > now) {
            return Due::Later(at);
        }
        self.not_before = Some(now + PAUSE);
        let uris: Vec<_> = self.uris.drain(..self.uris.len().min(BATCH)).collect();
        for uri in &uris {
            self.known.remove(uri);
        }
        if self.uris.is_empty() {
            (self.uris, self.known) = Default::default();
        }
        let tasks = std::mem::take(&mut self.tasks).into_values().collect();
        Due::Now(Batch { lists: std::mem::take(&mut self.lists), uris, tasks })
    }
}

/// The mailbox of one subscriber.
pub(crate) struct Mailbox {
    wanted: Mutex<Lists>,
    pending: Mutex<Pending>,
    filled: Notify,
}

impl Mailbox {
    /// One that takes changes of these lists.
    pub(super) fn new(wanted: Lists) -> Self {
        Self { wanted: Mutex::new(wanted), pending: Mutex::default(), filled: Notify::new() }
    }

    /// Takes changes of these lists from now on.
    pub(super) fn want(&self, lists: Lists) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = lists;
    }

    /// Those of these lists whose changes it takes.
    pub(super) fn wanted_of(&self, lists: Lists) -> Lists {
        lists & *self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists have changed.
    pub(super) fn put_lists(&self, lists: Lists) {
        let lists = self.wanted_of(lists);
        if !lists.is_empty() {
            self.lock().lists |= lists;
            self.filled.notify_waiters();
        }
    }

    /// A resource has changed: the subscribed one or a part of it.
    pub(super) fn put_uri(&self, updated: &str, subscribed: &Arc<str>) {
        self.lock().put_uri(updated, subscribed);
        self.filled.notify_waiters();
    }

    /// A task stands so now; what waits about it is out of date.
    pub(crate) fn put_task(&self, id: &Arc<str>, task: Raw) {
        let mut pending = self.lock();
        if pending.tasks.len() >= MOST_TASKS && !pending.tasks.contains_key(id) {
            return;
        }
        pending.tasks.insert(id.clone(), task);
        drop(pending);
        self.filled.notify_waiters();
    }

    /// What is to be told next, as soon as there is something.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn next(&self) -> Batch {
        loop {
            let filled = self.filled.notified();
            tokio::pin!(filled);
            filled.as_mut().enable();
            let due = self.lock().take(Instant::now());
            match due {
                Due::Now(batch) => return batch,
                Due::Later(at) => tokio::time::sleep_until(at.into()).await,
                Due::Nothing => filled.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
