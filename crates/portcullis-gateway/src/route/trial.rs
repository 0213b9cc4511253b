//! How a version does while it is rolled out, and when it is taken back.
//!
//! The rule is small, so that whoever is taken back by it sees why. Of the last minute, calls are counted that the server itself
//! made fail: it could not be reached, did not answer in time or not as the protocol says, answered with an error of
//! its own (`-32603`, `-32000` to `-32099`), or gave a result that says `isError`. What a caller did wrong is nobody's failure.
//! A version is taken back
//!
//! - when, of at least ten of its calls, a fifth or more failed, and more than twice the part that failed of the other version's; or
//! - when it could not be started or reached, or did not answer its probes, three times in a row.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_model::{ErrorKind, Fault};

use crate::call::Outcome;

/// So far back calls count, in parts of which the oldest goes at once.
const PARTS: usize = 6;
const PART: Duration = Duration::from_secs(10);
/// Fewer calls say nothing.
const LEAST_CALLS: u32 = 10;
/// One call in so many may fail.
const ONE_IN: u32 = 5;
/// Failures to start or to answer in a row.
const MOST_DOWN: u32 = 3;

/// How calls of a version ended lately.
#[derive(Default)]
pub(crate) struct Tally {
    counts: AtomicBool,
    lately: Mutex<Lately>,
}

#[derive(Default)]
struct Lately {
    began: Option<Instant>,
    parts: [(u64, Count); PARTS],
}

/// How many calls there were, and how many failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) calls: u32,
    pub(crate) failed: u32,
}

impl Tally {
    /// Counts from now on, or no more.
    pub(crate) fn count(&self, counts: bool) {
        if self.counts.swap(counts, Ordering::Relaxed) != counts {
            *self.lately() = Lately::default();
        }
    }

    /// A call has ended.
    pub(crate) fn note(&self, outcome: &Outcome) {
        if !self.counts.load(Ordering::Relaxed) {
            return;
        }
        if let Some(failed) = is_failure(outcome) {
            self.lately().note(failed, Instant::now());
        }
    }

    /// Of the last minute.
    pub(crate) fn lately_counted(&self) -> Count {
        self.lately().sum(Instant::now())
    }

    fn lately(&self) -> std::sync::MutexGuard<'_, Lately> {
        self.lately.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lately {
    fn part(&mut self, now: Instant) -> u64 {
        let began = *self.began.get_or_insert(now);
        now.saturating_duration_since(began).as_secs() / PART.as_secs()
    }

    fn note(&mut self, failed: bool, now: Instant) {
        let part = self.part(now);
        let place = usize::try_from(part % PARTS as u64).unwrap_or(0);
        let (of, count) = &mut self.parts[place];
        if *of != part {
            (*of, *count) = (part, Count::default());
        }
        count.calls += 1;
        count.failed += u32::from(failed);
    }

    fn sum(&mut self, now: Instant) -> Count {
        let part = self.part(now);
        let recent = self.parts.iter().filter(|(of, _)| *of + PARTS as u64 > part && *of <= part);
        recent.fold(Count::default(), |sum, (_, count)| Count {
            calls: sum.calls + count.calls,
            failed: sum.failed + count.failed,
        })
    }
}

/// Whether the server made a call fail; `None` where that is not for the server to answer for.
fn is_failure(outcome: &Outcome) -> Option<bool> {
    match outcome {
        Outcome::Complete(payload) => {
            Some(payload.result.find("isError").is_some_and(|value| value.as_str() == "true"))
        }
        Outcome::InputRequired(_) | Outcome::Task(_) => Some(false),
        Outcome::Failed { error, .. } => {
            Some(error.code() == -32_603 || (-32_099..=-32_000).contains(&error.code()))
        }
        Outcome::Refused(refusal) => {
            let theirs = refusal.kind.fault() == Fault::Upstream && refusal.kind != ErrorKind::Untranslatable;
            theirs.then_some(true)
        }
    }
}

/// Why a version is taken back, if it is: by its calls and the other version's, and by how often in a row it was down.
pub(crate) fn verdict(next: Count, other: Count, down: Option<&(String, u32)>) -> Option<String> {
    if let Some((why, times)) = down.filter(|(_, times)| *times >= MOST_DOWN) {
        return Some(format!("it was down {times} times in a row: {why:.200}"));
    }
    let is_bad = next.calls >= LEAST_CALLS && next.failed * ONE_IN >= next.calls;
    // Of few calls of the other version nothing is known; then it counts as one without failures.
    let usual = if other.calls >= LEAST_CALLS { other } else { Count { calls: 1, failed: 0 } };
    let is_worse =
        u64::from(next.failed) * u64::from(usual.calls) > 2 * u64::from(usual.failed) * u64::from(next.calls);
    (is_bad && is_worse).then(|| {
        format!(
            "{} of {} calls failed in the last minute, and {} of {} of the version before",
            next.failed, next.calls, other.failed, other.calls
        )
    })
}

#[cfg(test)]
mod tests {
    use portcullis_mcp::json::Raw;
    use portcullis_mcp::message::RpcError;
    use portcullis_mcp::revision::Era;
    use portcullis_mcp::translate::Payload;

    use super::*;
    use crate::call::Refusal;

    fn count(calls: u32, failed: u32) -> Count {
        Count { calls, failed }
    }

    #[test]
    fn a_version_is_taken_back_when_it_does_worse_than_the_other() {
        for (next, other, bad) in [
            (count(9, 9), count(100, 0), false),
            (count(10, 1), count(100, 0), false),
            (count(10, 2), count(100, 0), true),
            (count(100, 19), count(100, 0), false),
            (count(100, 40), count(100, 20), false),
            (count(100, 41), count(100, 20), true),
            // Nothing is known of the other.
            (count(10, 2), count(9, 9), true),
            (count(0, 0), count(0, 0), false),
        ] {
            assert_eq!(verdict(next, other, None).is_some(), bad, "{next:?} {other:?}");
        }
        let down = |times| Some(("it exited".to_owned(), times));
        assert_eq!(verdict(count(0, 0), count(0, 0), down(2).as_ref()), None);
        let why = verdict(count(0, 0), count(0, 0), down(3).as_ref()).expect("taken back");
        assert!(why.contains("3 times in a row") && why.contains("it exited"), "{why}");
    }

    #[test]
    fn what_a_caller_did_wrong_is_no_failure_of_the_server() {
        let complete = |text: &'static str| {
            Outcome::Complete(Payload { result: Raw::from_static(text).into(), era: Era::Modern })
        };
        let failed = |code| Outcome::Failed { error: RpcError::new(code, "x", None), era: Era::Modern };
        let refused = |kind| Outcome::Refused(Refusal::new(kind, "x"));
        for (outcome, expected) in [
            (complete(r#"{"content":[]}"#), Some(false)),
            (complete(r#"{"content":[],"isError":false}"#), Some(false)),
            (complete(r#"{"content":[],"isError":true}"#), Some(true)),
            (failed(-32_602), Some(false)),
            (failed(-32_603), Some(true)),
            (failed(-32_050), Some(true)),
            (refused(ErrorKind::UpstreamTimeout), Some(true)),
            (refused(ErrorKind::InvalidParams), None),
            (refused(ErrorKind::Overloaded), None),
        ] {
            assert_eq!(is_failure(&outcome), expected, "{outcome:?}");
        }
    }

    #[test]
    fn only_the_last_minute_counts() {
        let (mut lately, start) = (Lately::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        lately.note(true, at(0));
        lately.note(false, at(15));
        assert_eq!(lately.sum(at(59)), count(2, 1));
        assert_eq!(lately.sum(at(60)), count(1, 0));
        lately.note(true, at(61));
        assert_eq!(lately.sum(at(61)), count(2, 1));
        assert_eq!(lately.sum(at(500)), count(0, 0));
    }

    #[test]
    fn nothing_is_counted_while_nobody_asks() {
        let tally = Tally::default();
        let failed = Outcome::Refused(Refusal::new(ErrorKind::UpstreamTimeout, "x"));
        tally.note(&failed);
        assert_eq!(tally.lately_counted(), count(0, 0));
        tally.count(true);
        tally.note(&failed);
        assert_eq!(tally.lately_counted(), count(1, 1));
        tally.count(false);
        tally.count(true);
        assert_eq!(tally.lately_counted(), count(0, 0), "it begins anew");
    }
}
