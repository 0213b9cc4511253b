//! One list of a server as one variant of clients is shown it: what is kept of it, and whether that is what the server would say
//! now.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use futures_util::future::{BoxFuture, Shared};

use crate::call::Refusal;
use crate::moment::LastUse;
use crate::route::listing::Listing;

/// After a failure the list is not asked for again for so long.
const PAUSE: Duration = Duration::from_secs(2);

/// A list that is being asked for.
pub(super) type Fetch = Shared<BoxFuture<'static, Result<Arc<Listing>, Refusal>>>;

/// The place of a list.
pub(super) struct Cell {
    current: ArcSwapOption<Listing>,
    /// Counts announcements, and what is assumed to have been one.
    changes: AtomicU64,
    /// How many there had been when the server was last asked. What is assumed because it had to be started for that is no
    /// reason to ask it again.
    asked: AtomicU64,
    /// How many there had been when it was asked for what is kept.
    known: AtomicU64,
    /// Counts how often what had been read was not to be shown any more.
    forgotten: AtomicU64,
    fetching: Mutex<Option<(Instant, Fetch)>>,
    failed: Mutex<Option<(Instant, Refusal)>>,
    used: LastUse,
}

impl Default for Cell {
    fn default() -> Self {
        Self {
            current: ArcSwapOption::empty(),
            changes: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            known: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
            fetching: Mutex::default(),
            failed: Mutex::default(),
            used: LastUse::now(),
        }
    }
}

impl Cell {
    /// The list that is kept.
    pub(super) fn current(&self) -> Option<Arc<Listing>> {
        self.current.load_full()
    }

    /// Somebody looks at it.
    pub(super) fn touch(&self) {
        self.used.touch();
    }

    /// How long nobody has looked at it; nothing while it is being asked for.
    pub(super) fn unused(&self) -> Duration {
        if self.is_fetching() { Duration::ZERO } else { self.used.elapsed() }
    }

    /// The fetch under way and when it began, or the one that `start` starts.
    ///
    /// # Errors
    /// Why the last one failed, a moment ago.
    pub(super) fn fetch(&self, start: impl FnOnce() -> Fetch) -> Result<(Instant, Fetch), Refusal> {
        if let Some(refusal) = self.recent_failure() {
            return Err(refusal);
        }
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(fetching.get_or_insert_with(|| (Instant::now(), start())).clone())
    }

    pub(super) fn is_fetching(&self) -> bool {
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// How many changes there were until now.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether the server was asked for what is kept after so many changes.
    pub(super) fn has_known(&self, changes: u64) -> bool {
        self.known.load(Ordering::Acquire) >= changes
    }

    /// No change was announced since the server was asked for what is kept.
    pub(super) fn is_valid(&self) -> bool {
        self.has_known(self.changes())
    }

    pub(super) fn is_fresh(&self, listing: &Listing) -> bool {
        self.is_valid() && listing.freshness().expires > Instant::now()
    }

    pub(super) fn is_recent(&self, listing: &Listing, age: Duration) -> bool {
        self.is_valid() && (age == Duration::MAX || listing.freshness().fetched.elapsed() < age)
    }

    /// A change was announced, or may have been missed.
    pub(super) fn invalidate(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What is kept is taken for what the server would say, whatever was announced.
    pub(super) fn settle(&self) {
        self.known.fetch_max(self.changes(), Ordering::AcqRel);
    }

    /// What is kept is not shown any more, nor what is being asked for now.
    pub(super) fn forget(&self) {
        self.invalidate();
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        self.current.store(None);
    }

    /// How often it was forgotten.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Acquire)
    }

    fn recent_failure(&self) -> Option<Refusal> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().filter(|(at, _)| at.elapsed() < PAUSE).map(|(_, refusal)| refusal.clone())
    }

    /// Why the last fetch failed, if it did.
    pub(super) fn trouble(&self) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().map(|(_, refusal)| refusal.message.clone())
    }

    /// The server is asked now: what was announced before is in the answer.
    pub(super) fn note_asked(&self) {
        self.asked.store(self.changes(), Ordering::Release);
    }

    /// Takes the outcome of a fetch, which began when this had been forgotten so often. A list that says what the one before
    /// it says takes over nothing but its time: what was made of the old one, words and pages, is as good as new.
    pub(super) fn take(
        &self,
        fetched: Result<Listing, Refusal>,
        forgotten: u64,
    ) -> Result<Arc<Listing>, Refusal> {
        let taken = match fetched {
            Ok(listing) => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let old = self.current().filter(|old| old.is_same(&listing));
                let current = match old {
                    Some(old) => {
                        old.renew(listing.freshness());
                        old
                    }
                    None => Arc::new(listing),
                };
                self.current.store(Some(current.clone()));
                self.known.fetch_max(self.asked.load(Ordering::Acquire), Ordering::AcqRel);
                if self.forgotten() != forgotten {
                    // Those who wait for it asked before that.
                    self.current.store(None);
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
