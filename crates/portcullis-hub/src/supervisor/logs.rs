//! What children wrote to stderr lately, by server and child: for those who run them.
//!
//! Living children have all that is kept of them; of those that have ended, the last few of each server are remembered, so
//! that what a server said before it went is still to be seen when another runs in its place.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use portcullis_model::ServerId;

use super::{child::Ended, stderr::Tail};

/// Children of a server that are remembered when they have ended.
const ENDED: usize = 2;

/// What one child wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its process id, which may be another's when it has ended.
    pub pid: u32,
    /// When it was started.
    pub started: SystemTime,
    /// When it ended, and how; `None` while it runs.
    pub ended: Option<(SystemTime, Ended)>,
    /// The last lines (at most 200, and 32 KiB), oldest first, each with the time when it came. Control characters are
    /// escaped, and secrets that the child was given are blotted out.
    pub lines: Vec<(SystemTime, String)>,
}

/// One child's.
#[derive(Debug)]
pub(super) struct Written {
    pid: u32,
    started: SystemTime,
    ended: Mutex<Option<(SystemTime, Ended)>>,
    tail: Tail,
}

impl Written {
    /// The child has ended.
    pub(super) fn end(&self, ended: Ended) {
        *locked(&self.ended) = Some((SystemTime::now(), ended));
    }

    fn log(&self) -> Log {
        let ended = *locked(&self.ended);
        Log { pid: self.pid, started: self.started, ended, lines: self.tail.timed() }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Logs(Mutex<HashMap<ServerId, VecDeque<Arc<Written>>>>);

impl Logs {
    /// A child was started, whose lines go to `tail`.
    pub(super) fn begin(&self, server: &ServerId, pid: u32, tail: Tail) -> Arc<Written> {
        let written = Arc::new(Written { pid, started: SystemTime::now(), ended: Mutex::default(), tail });
        let mut all = locked(&self.0);
        let its = all.entry(server.clone()).or_default();
        let mut surplus = its.iter().filter(|it| locked(&it.ended).is_some()).count().saturating_sub(ENDED);
        its.retain(|it| {
            let forgotten = surplus > 0 && locked(&it.ended).is_some();
            surplus -= usize::from(forgotten);
            !forgotten
        });
        its.push_back(written.clone());
        written
    }

    /// Those of a server, the newest child first.
    pub(super) fn of(&self, server: &ServerId) -> Vec<Log> {
        locked(&self.0).get(server).into_iter().flatten().rev().map(|written| written.log()).collect()
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
