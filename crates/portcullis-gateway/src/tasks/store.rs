//! What is remembered of tasks: which there are, how they stood last, and the work of those that the gateway hosts.
//!
//! A record is no credential and no truth: a task at a server is asked for there each time, by the id inside its seal.
//! Records are for lists, for what has been cancelled, and for what is carried on here. They expire with their tasks, and
//! are bounded for each owner and in all, in number and in bytes: the oldest that nothing is carried on for goes first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_mcp::json::Raw;
use portcullis_mcp::translate::task;
use portcullis_model::Principal;

use super::handle::{Handle, Place};
use super::work::Work;
use crate::call::{Caller, Endpoint};
use crate::seal::LONGEST_TASK;

/// Records of one owner and of all.
const MOST_OF_ONE: usize = 256;
const MOST: usize = 10_000;
/// Bytes of results of one owner and of all; the newest result is kept whatever its size.
const BYTES_OF_ONE: usize = 32 << 20;
const BYTES: usize = 256 << 20;
/// How long the gateway keeps a task that nobody said a time for, and at the most, in milliseconds.
const USUAL: u64 = 60 * 60 * 1000;
/// How long a task is remembered beyond its time.
const AFTER: Duration = Duration::from_mins(1);

/// How long the gateway keeps a task for which a client asked for so many milliseconds.
pub(super) fn kept_for(asked: Option<u64>) -> u64 {
    asked.unwrap_or(USUAL).clamp(1, USUAL)
}

/// Whose tasks they are: the principal's, or the session's where the principal is anybody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner(Principal, Option<Arc<str>>);

impl Owner {
    pub(super) fn of(caller: &Caller) -> Self {
        let conversation = (caller.principal == Principal::Anonymous).then(|| caller.conversation.clone());
        Self(caller.principal.clone(), conversation)
    }
}

/// One task.
pub(super) struct Record {
    pub(super) number: u64,
    /// The id that the client has.
    pub(super) id: Arc<str>,
    pub(super) handle: Handle,
    owner: Owner,
    /// When the task may be forgotten.
    expires: Instant,
    state: Mutex<State>,
}

struct State {
    /// As it stood last, in the words of 2025-11-25, under the client's id.
    task: Raw,
    cancelled: bool,
    work: Option<Arc<Work>>,
}

/// A task to be remembered.
pub(super) struct New {
    pub(super) id: Arc<str>,
    pub(super) owner: Owner,
    pub(super) handle: Handle,
    pub(super) task: Raw,
    /// In milliseconds.
    pub(super) ttl: Option<u64>,
    pub(super) work: Option<Arc<Work>>,
}

impl Record {
    /// As it stood last.
    pub(super) fn task(&self) -> Raw {
        self.state().task.clone()
    }

    /// It stands so now, unless it was cancelled.
    pub(super) fn note(&self, task: &Raw) {
        let mut state = self.state();
        if !state.cancelled {
            state.task = task::brief(task);
        }
    }

    /// It was cancelled and stays so, whatever its server makes of that.
    pub(super) fn cancel(&self, task: &Raw) {
        let mut state = self.state();
        state.task = task::brief(task);
        state.cancelled = true;
    }

    /// Whether it was cancelled.
    pub(super) fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    /// What is carried on for it.
    pub(super) fn work(&self) -> Option<Arc<Work>> {
        self.state().work.clone()
    }

    /// What is carried on for it, made if there is nothing that is of use; says whether it was made.
    pub(super) fn attach(&self) -> (Arc<Work>, bool) {
        let mut state = self.state();
        match &state.work {
            Some(work) if !work.is_over() => (work.clone(), false),
            _ => {
                let work = Work::new();
                state.work = Some(work.clone());
                (work, true)
            }
        }
    }

    fn is_running(&self) -> bool {
        self.state().work.as_ref().is_some_and(|work| work.is_running())
    }

    fn weight(&self) -> usize {
        self.state().work.as_ref().map_or(0, |work| work.weight())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All records.
#[derive(Default)]
pub(crate) struct Tasks {
    next: AtomicU64,
    records: Mutex<Records>,
}

#[derive(Default)]
struct Records {
    all: BTreeMap<u64, Arc<Record>>,
    by_id: HashMap<Arc<str>, u64>,
    by_owner: HashMap<Owner, BTreeSet<u64>>,
}

impl Tasks {
    /// A number that no other task has.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Remembers a task; `None` when there are too many that something is carried on for.
    pub(super) fn add(&self, new: New) -> Option<Arc<Record>> {
        let ttl = new.ttl.map_or(LONGEST_TASK, Duration::from_millis).min(LONGEST_TASK);
        self.add_until(new, Instant::now() + ttl + AFTER)
    }

    fn add_until(&self, new: New, expires: Instant) -> Option<Arc<Record>> {
        let number = match new.handle.place {
            Place::Here(number) => number,
            Place::There { .. } => self.number(),
        };
        let record = Arc::new(Record {
            number,
            id: new.id,
            handle: new.handle,
            owner: new.owner,
            expires,
            state: Mutex::new(State { task: task::brief(&new.task), cancelled: false, work: new.work }),
        });
        let mut records = self.lock();
        if !records.make_room(&record.owner) {
            return None;
        }
        records.by_id.insert(record.id.clone(), number);
        records.by_owner.entry(record.owner.clone()).or_default().insert(number);
        records.all.insert(number, record.clone());
        let gone = records.lighten(&record.owner);
        drop(records);
        stop(&gone);
        Some(record)
    }

    /// The task that a client knows by this id.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Record>> {
        let records = self.lock();
        let record = records.all.get(records.by_id.get(id)?)?;
        (record.expires > Instant::now()).then(|| record.clone())
    }

    /// An owner's tasks on an endpoint after one of them, oldest first, and at most so many.
    pub(super) fn of(
        &self,
        owner: &Owner,
        endpoint: &Endpoint,
        after: Option<u64>,
        most: usize,
    ) -> Vec<Arc<Record>> {
        let records = self.lock();
        let numbers = records.by_owner.get(owner).into_iter().flatten();
        let numbers = numbers.filter(|number| after.is_none_or(|after| **number > after));
        let all = numbers.filter_map(|number| records.all.get(number));
        let live =
            all.filter(|record| record.handle.endpoint == *endpoint && record.expires > Instant::now());
        live.take(most).cloned().collect()
    }

    /// Forgets what has expired, and what has grown too heavy.
    pub(crate) fn sweep(&self) {
        let mut records = self.lock();
        let now = Instant::now();
        let expired: Vec<u64> =
            records.all.values().filter(|record| record.expires <= now).map(|record| record.number).collect();
        let mut gone: Vec<_> = expired.iter().filter_map(|number| records.remove(*number)).collect();
        let owners: Vec<_> = records.by_owner.keys().cloned().collect();
        for owner in owners {
            gone.extend(records.lighten(&owner));
        }
        let all: Vec<u64> = records.all.keys().copied().collect();
        gone.extend(records.lighten_to(&all, BYTES));
        drop(records);
        stop(&gone);
    }

    /// Its server knows it no more.
    pub(super) fn forget(&self, number: u64) {
        let gone = self.lock().remove(number);
        stop(gone.as_slice());
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.lock().all.len()
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing goes on for what was forgotten.
fn stop(gone: &[Arc<Record>]) {
    for record in gone {
        record.work().inspect(|work| work.cancel());
    }
}

impl Records {
    fn remove(&mut self, number: u64) -> Option<Arc<Record>> {
        let record = self.all.remove(&number)?;
        self.by_id.remove(&record.id);
        if let Some(of) = self.by_owner.get_mut(&record.owner) {
            of.remove(&number);
            if of.is_empty() {
                self.by_owner.remove(&record.owner);
            }
        }
        Some(record)
    }

    /// Makes room for one more record of an owner; `false` when there is none to be made. Where all are too many, who has
    /// most makes room first: many tasks of one client push out nobody's few.
    fn make_room(&mut self, owner: &Owner) -> bool {
        let own = self.by_owner.get(owner);
        let oldest = if own.is_some_and(|own| own.len() >= MOST_OF_ONE) {
            own.into_iter().flatten().copied().find(|number| self.is_idle(*number))
        } else if self.all.len() >= MOST {
            let most = self.by_owner.values().max_by_key(|of| of.len());
            let numbers = most.into_iter().flatten().chain(self.all.keys()).copied();
            { numbers }.find(|number| self.is_idle(*number))
        } else {
            return true;
        };
        oldest.and_then(|number| self.remove(number)).is_some()
    }

    fn is_idle(&self, number: u64) -> bool {
        self.all.get(&number).is_none_or(|record| !record.is_running())
    }

    /// Forgets an owner's oldest results until what is kept for it is light enough; not the newest.
    fn lighten(&mut self, owner: &Owner) -> Vec<Arc<Record>> {
        let own: Vec<u64> = self.by_owner.get(owner).into_iter().flatten().copied().collect();
        self.lighten_to(&own, BYTES_OF_ONE)
    }

    fn lighten_to(&mut self, oldest_first: &[u64], most: usize) -> Vec<Arc<Record>> {
        let weigh = |number: &u64| self.all.get(number).map_or(0, |record| record.weight());
        let weights: Vec<(u64, usize)> = oldest_first.iter().map(|number| (*number, weigh(number))).collect();
        let mut sum: usize = weights.iter().map(|(_, weight)| weight).sum();
        let mut gone = Vec::new();
        for (number, weight) in weights {
            if sum <= most || Some(&number) == oldest_first.last() {
                break;
            }
            if weight > 0 {
                gone.extend(self.remove(number));
                sum -= weight;
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests;
