//! The time of day, which tokens speak of: the machine's, but where a test has a clock of its own.
//!
//! That clock goes on as timers do and stands still where they are paused, so that a test can see to the second when a
//! credential counts no more.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What time it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    /// When it began, by the clock and by the timers; the machine's has no beginning.
    began: Option<(Duration, tokio::time::Instant)>,
}

/// The machine's time, in whole seconds since 1970 began.
pub(crate) fn now() -> u64 {
    Clock::default().seconds()
}

impl Clock {
    /// One that goes on from here as timers do.
    #[cfg(test)]
    pub(crate) fn of_timers() -> Self {
        // From a whole second, which is what tokens name.
        let began = Duration::from_secs(now());
        Self { began: Some((began, tokio::time::Instant::now())) }
    }

    /// How long ago 1970 began.
    pub(crate) fn now(&self) -> Duration {
        if let Some((began, at)) = self.began {
            return began + at.elapsed();
        }
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// The same in whole seconds.
    pub(crate) fn seconds(&self) -> u64 {
        self.now().as_secs()
    }
}
