//! How long it is worth waiting for a second question.
//!
//! A legacy server sends each question as a message of its own, and none says whether another follows. So what a tool
//! asks is collected for a moment, at first. One that has asked a single thing in its last rounds is not waited for any
//! more: what has arrived goes into the round, and what comes later into the next one, so that nothing is lost by a
//! wrong guess but a round trip. A tool that then asks several things at once is waited for again. What is known is
//! bounded, and forgotten as a whole when there is too much of it.

use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use foldhash::fast::RandomState;

use crate::call::Call;

/// What a server asks together often comes in several messages.
const MOMENT: Duration = Duration::from_millis(25);
/// Rounds with one question in a row after which a second one is not waited for.
const SURE: u8 = 2;
/// Tools, prompts and resources that something is known of.
const MOST: usize = 4096;

/// What is known of all tools, prompts and resources that ask.
#[derive(Default)]
pub(super) struct Habits {
    hasher: RandomState,
    /// How many rounds in a row had one question.
    alone: Mutex<HashMap<u64, u8>>,
}

/// Whose habit it is. Two may share one, which costs a moment or a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whose(u64);

impl Habits {
    /// The tool, prompt or resource that a call is about.
    pub(super) fn whose(&self, call: &Call) -> Whose {
        Whose(self.hasher.hash_one((&call.endpoint, call.method.as_str(), &call.subject)))
    }

    /// How long to wait for more after a question.
    pub(super) fn moment(&self, whose: Whose) -> Duration {
        match self.known().get(&whose.0) {
            Some(alone) if *alone >= SURE => Duration::ZERO,
            _ => MOMENT,
        }
    }

    /// A round is over: it had one question, or several.
    pub(super) fn note(&self, whose: Whose, alone: bool) {
        let mut known = self.known();
        if known.len() >= MOST && !known.contains_key(&whose.0) {
            known.clear();
        }
        let rounds = known.entry(whose.0).or_default();
        *rounds = if alone { rounds.saturating_add(1) } else { 0 };
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, u8>> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_one_thing_at_a_time_is_not_waited_for_until_it_asks_more() {
        let (habits, one, other) = (Habits::default(), Whose(1), Whose(2));
        for _ in 0..SURE {
            assert_eq!(habits.moment(one), MOMENT);
            habits.note(one, true);
        }
        assert_eq!((habits.moment(one), habits.moment(other)), (Duration::ZERO, MOMENT));
        habits.note(one, false);
        assert_eq!(habits.moment(one), MOMENT);
    }

    #[test]
    fn so_much_is_known_and_no_more() {
        let habits = Habits::default();
        for number in 0..3 * MOST as u64 {
            habits.note(Whose(number), true);
        }
        assert!(habits.known().len() <= MOST);
    }
}
