//! When calls are due, and which of them count. Pure: the time is passed in.

use std::time::{Duration, Instant};

use super::Pace;

/// The schedule of one run: warm-up, measured window, end.
#[derive(Debug)]
pub(crate) struct Timeline {
    start: Instant,
    from: Instant,
    end: Instant,
    pace: Pace,
    /// Open loop: number of the next call.
    next: u32,
}

impl Timeline {
    /// A run that begins at `start`.
    pub(crate) fn new(start: Instant, warmup: Duration, measured: Duration, pace: Pace) -> Self {
        let from = start + warmup;
        Self { start, from, end: from + measured, pace, next: 0 }
    }

    /// The end of the measured window: nothing becomes due from here on.
    pub(crate) fn end(&self) -> Instant {
        self.end
    }

    /// When the next call is due; `None` when there is none before the end. In a closed loop that is `now`.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        let due = match self.pace {
            Pace::Closed => now,
            Pace::Open(rate) => self.start + Duration::from_secs_f64(f64::from(self.next) / rate),
        };
        (due < self.end).then_some(due)
    }

    /// Takes the call that [`next_due`](Self::next_due) named off the schedule.
    pub(crate) fn take(&mut self) {
        self.next += 1;
    }

    /// The latency that counts for a call due at `due` and answered at `done`, if it belongs to the window.
    ///
    /// In a closed loop a call belongs to the window in which it ends, so that calls per second are exact; in
    /// an open loop to the one in which it was due, so that a stall near the end is not cut off.
    pub(crate) fn measured(&self, due: Instant, done: Instant) -> Option<Duration> {
        let mark = if self.pace == Pace::Closed { done } else { due };
        (self.from..self.end).contains(&mark).then(|| done.saturating_duration_since(due))
    }
}

#[cfg(test)]
mod tests;
