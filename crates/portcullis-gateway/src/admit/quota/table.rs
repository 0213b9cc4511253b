//! All that is counted under one limit, bounded however many callers come.
//!
//! Who is counted is found by a hash with a secret key, so that names cost no memory and nobody can choose to be counted with
//! somebody else. Where there is no place for a newcomer, what counts as nothing makes room; when there is none even so, all
//! newcomers are counted together: memory stays bounded, and the limit holds.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use foldhash::{HashMap, HashMapExt as _};
use portcullis_config::CallLimit;

use super::count::{Count, Now, Short};

const PARTS: usize = 16;
/// Counted in one part: 64 Ki in all, a few MiB.
const MOST: usize = 4096;
/// A full part is not looked through more often than this.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// All those together for whom there is no place.
const OTHERS: u64 = 0;

pub(super) struct Table {
    parts: [Mutex<Part>; PARTS],
    hasher: RandomState,
    began: Instant,
}

#[derive(Default)]
struct Part {
    counts: HashMap<u64, Count>,
    looked: Duration,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            parts: std::array::from_fn(|_| {
                Mutex::new(Part { counts: HashMap::new(), looked: Duration::ZERO })
            }),
            hasher: RandomState::new(),
            began: Instant::now(),
        }
    }

    /// Who is counted.
    pub(super) fn key(&self, who: [Option<&str>; 4]) -> u64 {
        self.hasher.hash_one(who).max(OTHERS + 1)
    }

    /// Counts a call; returns under which key it was counted.
    pub(super) fn take(&self, key: u64, limit: &CallLimit) -> Result<u64, Short> {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.take_at(key, limit, Now { steady: self.began.elapsed(), wall })
    }

    pub(super) fn take_at(&self, key: u64, limit: &CallLimit, now: Now) -> Result<u64, Short> {
        let mut part = self.part(key);
        let key = part.place_for(key, limit, now);
        let count = part.counts.entry(key).or_default();
        count.take(limit, now).map(|()| key)
    }

    /// A call has ended.
    pub(super) fn end(&self, part: u64, key: u64) {
        if let Some(count) = self.part(part).counts.get_mut(&key) {
            count.end();
        }
    }

    /// A call was not carried out.
    pub(super) fn undo(&self, part: u64, key: u64, limit: &CallLimit) {
        if let Some(count) = self.part(part).counts.get_mut(&key) {
            count.undo(limit);
        }
    }

    fn part(&self, key: u64) -> MutexGuard<'_, Part> {
        let part = usize::try_from(key % PARTS as u64).unwrap_or(0);
        self.parts[part].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are counted apart.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().unwrap().counts.len()).sum()
    }
}

impl Part {
    fn place_for(&mut self, key: u64, limit: &CallLimit, now: Now) -> u64 {
        if self.counts.len() < MOST || self.counts.contains_key(&key) {
            return key;
        }
        if now.steady >= self.looked + BETWEEN_LOOKS {
            self.looked = now.steady;
            self.counts.retain(|_, count| !count.is_idle(limit, now));
            if self.counts.len() < MOST {
                return key;
            }
            tracing::warn!(limit = limit.name, "too many to count apart; newcomers are counted together");
        }
        OTHERS
    }
}
