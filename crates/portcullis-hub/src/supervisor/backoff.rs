//! When to start a server again that keeps failing: pure arithmetic, the clock and the dice are handed in.
//!
//! The first failure is answered at once, for a server that crashes once a week should not be missed. Then
//! 250 ms, doubling up to 30 s. After a limit of failures in a row the circuit opens: starting it yet again
//! helps nobody, and an operator should read the reason instead.

use std::time::{Duration, Instant};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const HEALTHY_AFTER: Duration = Duration::from_mins(1);

/// The restart policy of one server.
#[derive(Clone, Debug)]
pub struct Backoff {
    limit: u32,
    failures: u32,
    started: Option<Instant>,
    open: Option<String>,
}

/// What to do after a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start it again after this long.
    Wait(Duration),
    /// Do not start it again until [`Backoff::reset`].
    Open {
        /// How many failures in a row it took.
        failures: u32,
        /// Why the last one failed, as [`Backoff::failed`] was told.
        reason: String,
    },
}

impl Backoff {
    /// A policy that gives up at the `limit`-th failure in a row (`u32::MAX`: practically never).
    pub fn new(limit: u32) -> Self {
        Self { limit, failures: 0, started: None, open: None }
    }

    /// Notes that the server was started at `now`. If it then lives for 60 s, earlier failures are forgotten.
    pub fn started(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// Notes a failure, to start or later, and says what to do next.
    ///
    /// `dice` is a random number from 0 to 1 (others are clamped). It takes up to a quarter off the wait, so
    /// that many servers that fell together do not rise together.
    pub fn failed(&mut self, now: Instant, reason: &str, dice: f64) -> Next {
        let lived = self.started.take().map(|started| now.saturating_duration_since(started));
        if lived.is_some_and(|lived| lived >= HEALTHY_AFTER) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.limit {
            self.open = Some(reason.to_owned());
            return Next::Open { failures: self.failures, reason: reason.to_owned() };
        }
        Next::Wait(wait(self.failures).mul_f64(1.0 - dice.clamp(0.0, 1.0) / 4.0))
    }

    /// Why the circuit is open; `None` while it is closed.
    pub fn open(&self) -> Option<&str> {
        self.open.as_deref()
    }

    /// How many failures in a row there were.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Forgets everything: an operator asked for a restart, or changed the server's configuration.
    pub fn reset(&mut self) {
        *self = Self::new(self.limit);
    }
}

/// The full wait after the n-th failure in a row: 0, 250 ms, 500 ms, 1 s … 30 s.
fn wait(failures: u32) -> Duration {
    match failures {
        0 | 1 => Duration::ZERO,
        n => 2u32
            .checked_pow(n - 2)
            .map_or(LONGEST_WAIT, |times| FIRST_WAIT.saturating_mul(times).min(LONGEST_WAIT)),
    }
}

#[cfg(test)]
mod tests;
