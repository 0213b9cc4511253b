//! Refusals of callers that nobody knows: whoever can reach the listener can cause them, so they must not be able to fill the
//! log. So many in a second are events of their own; the others are counted, and one event says how many of which kind there
//! were.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Events of their own in one second.
const MOST: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Throttle(Mutex<State>);

#[derive(Default)]
struct State {
    began: Option<Instant>,
    taken: u32,
    counted: BTreeMap<&'static str, u64>,
}

impl Throttle {
    /// Whether a refusal is an event of its own; it is counted when it is not.
    pub(super) fn take(&self, reason: &'static str, now: Instant) -> bool {
        let mut state = self.state();
        if state.began.is_none_or(|began| now.saturating_duration_since(began) >= SECOND) {
            state.began = Some(now);
            state.taken = 0;
        }
        state.taken += 1;
        if state.taken <= MOST {
            return true;
        }
        *state.counted.entry(reason).or_default() += 1;
        false
    }

    /// What was only counted since the last time.
    pub(super) fn counted(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.state().counted)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_second_are_told_and_none_is_lost() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let told = (0..MOST * 3).filter(|_| throttle.take("unauthenticated", now)).count();
        assert_eq!(told, MOST as usize);
        assert!(!throttle.take("forbidden_origin", now));
        let counted = BTreeMap::from([("forbidden_origin", 1), ("unauthenticated", u64::from(MOST) * 2)]);
        assert_eq!(throttle.counted(), counted);
        assert_eq!(throttle.counted(), BTreeMap::new());
        assert!(throttle.take("unauthenticated", now + SECOND));
    }
}
