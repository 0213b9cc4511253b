//! How fast a feed is read: a server that tells without end waits in its own connection, not in our thread's time.

use std::time::{Duration, Instant};

/// Events that are read at once, and how long they have to last.
const EVENTS: u32 = 1000;
const PERIOD: Duration = Duration::from_secs(1);

/// Counts what is read. The clock is handed in.
pub(super) struct Throttle {
    since: Instant,
    events: u32,
}

impl Throttle {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, events: 0 }
    }

    /// Notes an event; says how long to wait before the next one is read.
    pub(super) fn note(&mut self, now: Instant) -> Option<Duration> {
        self.events += 1;
        if self.events < EVENTS {
            return None;
        }
        let wait = PERIOD.checked_sub(now.saturating_duration_since(self.since));
        *self = Self::new(now + wait.unwrap_or_default());
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_events_at_once_have_to_wait_and_few_never() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        assert!((1..EVENTS).all(|_| throttle.note(start).is_none()));
        assert_eq!(throttle.note(start + PERIOD / 4), Some(PERIOD * 3 / 4));
        assert!((1..EVENTS).all(|_| throttle.note(start + PERIOD).is_none()), "the next second begins anew");
        let mut slow = Throttle::new(start);
        assert!((0..10 * EVENTS).all(|n| slow.note(start + PERIOD * n / 100).is_none()));
    }
}
