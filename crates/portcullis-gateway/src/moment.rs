//! When something was last used, for what is only looked at again after seconds.
//!
//! Reading the exact clock costs more than the bookkeeping that wants it, and a call would read it a dozen times. The
//! kernel's coarse clock is a few milliseconds behind and nearly free. It is not for durations that anybody is shown, nor
//! for timers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coarsetime::Instant;

/// A moment, to some milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Instant);

impl Moment {
    /// This moment.
    pub(crate) fn now() -> Self {
        Self(Instant::now_without_cache_update())
    }

    /// How long ago it was.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    /// How long after `earlier` it is; zero when it is not.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.duration_since(earlier.0).into()
    }
}

/// A moment that is moved on while others look at it.
#[derive(Debug)]
pub(crate) struct LastUse(AtomicU64);

impl LastUse {
    /// Used now.
    pub(crate) fn now() -> Self {
        Self(AtomicU64::new(Moment::now().0.as_ticks()))
    }

    /// Used now again.
    pub(crate) fn touch(&self) {
        self.0.store(Moment::now().0.as_ticks(), Ordering::Relaxed);
    }

    /// How long ago that was.
    pub(crate) fn elapsed(&self) -> Duration {
        Moment(Instant::from_ticks(self.0.load(Ordering::Relaxed))).elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_and_using_starts_it_anew() {
        let (moment, last) = (Moment::now(), LastUse::now());
        std::thread::sleep(Duration::from_millis(40));
        // The clock may be one tick of the kernel behind, which is ten milliseconds at the most.
        assert!(moment.elapsed() >= Duration::from_millis(25), "{:?}", moment.elapsed());
        assert!(last.elapsed() >= Duration::from_millis(25), "{:?}", last.elapsed());
        let before = last.elapsed();
        last.touch();
        assert!(last.elapsed() < before);
        assert_eq!(moment.since(Moment::now()), Duration::ZERO);
    }
}
