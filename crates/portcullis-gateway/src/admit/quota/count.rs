//! What is counted for one caller, group, server or tool under one limit.
//!
//! The rate is a bucket of tokens, kept as the moment at which the bucket is full again (GCRA): one number, and what is
//! missing until the next token is known to the nanosecond. A budget is counted in windows that begin on the clock (a window
//! of an hour with the hour, one of 24 hours with the day in UTC), so that people and replicas agree on when it ends.

use std::time::Duration;

use portcullis_config::{CallLimit, PerTime};

/// What is counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// When the bucket is full, on the clock of the table.
    full: Duration,
    /// Which window the budget is of, and what was used of it.
    window: u128,
    used: u32,
    running: u32,
}

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// Since the table was made; never goes back.
    pub(super) steady: Duration,
    /// Since 1970.
    pub(super) wall: Duration,
}

/// What there is no more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Short {
    /// Tokens, for so long.
    Rate(Duration),
    /// Places.
    Places,
    /// Calls in this window, which ends in so long.
    Budget(Duration),
}

impl Count {
    /// Counts a call, if it may be.
    pub(super) fn take(&mut self, limit: &CallLimit, now: Now) -> Result<(), Short> {
        if limit.concurrent.is_some_and(|most| self.running >= most) {
            return Err(Short::Places);
        }
        let full = match limit.rate {
            Some(rate) => self.full.max(now.steady) + apart(rate),
            None => self.full,
        };
        if let Some(rate) = limit.rate {
            let held = apart(rate) * limit.burst;
            let early = full.saturating_sub(now.steady + held);
            if !early.is_zero() {
                return Err(Short::Rate(early));
            }
        }
        if let Some(budget) = limit.budget {
            let window = window(budget, now);
            if self.window == window && self.used >= budget.count {
                return Err(Short::Budget(left(budget, now)));
            }
            if self.window != window {
                (self.window, self.used) = (window, 0);
            }
            self.used += 1;
        }
        self.full = full;
        self.running += 1;
        Ok(())
    }

    /// The call has ended.
    pub(super) fn end(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// The call was not carried out after all.
    pub(super) fn undo(&mut self, limit: &CallLimit) {
        self.end();
        if let Some(rate) = limit.rate {
            self.full = self.full.saturating_sub(apart(rate));
        }
        if limit.budget.is_some() {
            self.used = self.used.saturating_sub(1);
        }
    }

    /// Whether it counts as if nothing had ever been counted.
    pub(super) fn is_idle(&self, limit: &CallLimit, now: Now) -> bool {
        let spent = limit.budget.is_some_and(|budget| self.used > 0 && self.window == window(budget, now));
        self.running == 0 && self.full <= now.steady && !spent
    }
}

/// The time from one token to the next.
fn apart(rate: PerTime) -> Duration {
    rate.per / rate.count
}

fn window(budget: PerTime, now: Now) -> u128 {
    now.wall.as_nanos() / budget.per.as_nanos()
}

fn left(budget: PerTime, now: Now) -> Duration {
    let into = now.wall.as_nanos() % budget.per.as_nanos();
    budget.per.saturating_sub(Duration::from_nanos(u64::try_from(into).unwrap_or(u64::MAX)))
}
