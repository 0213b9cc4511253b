//! How a version does while it is rolled out, and when it is taken back.
//!
//! The rule is small, so that whoever is taken back by it sees why. Of the last minute, calls are counted that the server itself
//! made fail: it could not be reached, did not answer in time or not as the protocol says, answered with an error of
//! its own (`-32603`, `-32000` to `-32099`), or gave a result that says `isError`. What a caller did wrong is nobody's failure; but
//! a result does not say whose fault it is, and one caller may send what fails as often as they like. So it is
//! callers that are counted, not calls: a version lets a caller down when a fifth or more of their calls failed. It is taken back
//!
//! - when, of at least ten of its calls, it let down three callers or more, which are a fifth or more of them, and more than twice the
//!   part that the other version let down; or
//! - when it could not be started or reached, or did not answer its probes, three times in a row.
//!
//! A caller is whoever showed a credential. All who show none are one, for anybody can be any number of those.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_model::{ErrorKind, Fault, Principal};

use crate::call::Outcome;

/// So far back calls count, in parts of which the oldest goes at once.
const PARTS: usize = 6;
const PART: Duration = Duration::from_secs(10);
/// Callers who are counted in each part, the first ones that come: of more, they say enough.
const MOST_CALLERS: usize = 256;
/// Fewer calls say nothing.
const LEAST_CALLS: u32 = 10;
/// Nor do fewer callers: one or two could bring it about.
const LEAST_CALLERS: u32 = 3;
/// One call of a caller, and one caller, in so many may fare badly.
const ONE_IN: u32 = 5;
/// Failures to start or to answer in a row.
const MOST_DOWN: u32 = 3;

/// How calls of a version ended lately.
#[derive(Default)]
pub(crate) struct Tally {
    counts: AtomicBool,
    /// Callers are told apart by it, and nobody can choose to be taken for another one.
    hasher: RandomState,
    lately: Mutex<Lately>,
}

#[derive(Default)]
struct Lately {
    began: Option<Instant>,
    parts: [Part; PARTS],
}

/// The calls of one part of the time, by caller.
#[derive(Default)]
struct Part {
    number: u64,
    callers: HashMap<u64, Calls>,
}

#[derive(Clone, Copy, Default)]
struct Calls {
    made: u32,
    failed: u32,
}

/// How many calls there were and how many failed; of how many callers, and how many of them were let down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) calls: u32,
    pub(crate) failed: u32,
    pub(crate) callers: u32,
    pub(crate) let_down: u32,
}

impl Tally {
    /// Counts from now on, or no more.
    pub(crate) fn count(&self, counts: bool) {
        if self.counts.swap(counts, Ordering::Relaxed) != counts {
            *self.lately() = Lately::default();
        }
    }

    /// A call has ended.
    pub(crate) fn note(&self, caller: &Principal, outcome: &Outcome) {
        if !self.counts.load(Ordering::Relaxed) {
            return;
        }
        if let Some(failed) = is_failure(outcome) {
            let caller = self.hasher.hash_one(caller);
            self.lately().note(caller, failed, Instant::now());
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

    fn note(&mut self, caller: u64, failed: bool, now: Instant) {
        let number = self.part(now);
        let place = usize::try_from(number % PARTS as u64).unwrap_or(0);
        let part = &mut self.parts[place];
        if part.number != number {
            *part = Part { number, ..Part::default() };
        }
        if part.callers.len() < MOST_CALLERS || part.callers.contains_key(&caller) {
            part.callers.entry(caller).or_default().add(Calls { made: 1, failed: u32::from(failed) });
        }
    }

    fn sum(&mut self, now: Instant) -> Count {
        let number = self.part(now);
        let mut callers: HashMap<u64, Calls> = HashMap::new();
        let recent = self.parts.iter().filter(|it| it.number + PARTS as u64 > number && it.number <= number);
        for (caller, calls) in recent.flat_map(|part| &part.callers) {
            callers.entry(*caller).or_default().add(*calls);
        }
        callers.values().fold(Count::default(), |sum, calls| Count {
            calls: sum.calls + calls.made,
            failed: sum.failed + calls.failed,
            callers: sum.callers + 1,
            let_down: sum.let_down + u32::from(calls.failed * ONE_IN >= calls.made),
        })
    }
}

impl Calls {
    fn add(&mut self, more: Self) {
        self.made += more.made;
        self.failed += more.failed;
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
    let is_bad =
        next.calls >= LEAST_CALLS && next.let_down >= LEAST_CALLERS && next.let_down * ONE_IN >= next.callers;
    // Of little use of the other version nothing is known; then it counts as one that let nobody down.
    let is_known = other.calls >= LEAST_CALLS && other.callers >= LEAST_CALLERS;
    let usual = if is_known { other } else { Count { callers: 1, ..Count::default() } };
    let is_worse = u64::from(next.let_down) * u64::from(usual.callers)
        > 2 * u64::from(usual.let_down) * u64::from(next.callers);
    (is_bad && is_worse).then(|| {
        format!(
            "its calls failed for {} of {} callers in the last minute ({} of {} calls), and for {} of {} of the version before",
            next.let_down, next.callers, next.failed, next.calls, other.let_down, other.callers
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

    fn count(calls: u32, callers: u32, let_down: u32) -> Count {
        Count { calls, failed: 0, callers, let_down }
    }

    #[test]
    fn a_version_is_taken_back_when_it_does_worse_than_the_other() {
        for (next, other, bad) in [
            (count(9, 9, 9), count(100, 100, 0), false),
            (count(10, 9, 2), count(100, 100, 0), false),
            (count(10, 3, 3), count(100, 100, 0), true),
            (count(100, 15, 3), count(100, 100, 0), true),
            (count(100, 16, 3), count(100, 100, 0), false),
            (count(100, 100, 40), count(100, 100, 20), false),
            (count(100, 100, 41), count(100, 100, 20), true),
            // Nothing is known of the other.
            (count(10, 10, 3), count(9, 9, 9), true),
            (count(10, 10, 3), count(100, 2, 2), true),
            // However often they call.
            (count(1_000_000, 2, 2), count(100, 100, 0), false),
            (count(0, 0, 0), count(0, 0, 0), false),
        ] {
            assert_eq!(verdict(next, other, None).is_some(), bad, "{next:?} {other:?}");
        }
        let (none, down) = (count(0, 0, 0), |times| Some(("it exited".to_owned(), times)));
        assert_eq!(verdict(none, none, down(2).as_ref()), None);
        let why = verdict(none, none, down(3).as_ref()).expect("taken back");
        assert!(why.contains("3 times in a row") && why.contains("it exited"), "{why}");
    }

    #[test]
    fn one_caller_takes_no_version_back_however_often_they_fail() {
        let (next, other) = (Tally::default(), Tally::default());
        next.count(true);
        other.count(true);
        let failed = Outcome::Refused(Refusal::new(ErrorKind::UpstreamTimeout, "x"));
        let done = Outcome::Task(Raw::from_static("{}"));
        let user = |name: &str| Principal::of("https://idp", name);
        let judge = || verdict(next.lately_counted(), other.lately_counted(), None);
        for _ in 0..1_000 {
            next.note(&user("eve"), &failed);
            // Whoever shows nothing is nobody in particular, on however many connections.
            next.note(&Principal::Anonymous, &failed);
        }
        assert_eq!(judge(), None);
        // Now and then a call fails for anybody.
        for name in ["ann", "bob", "joe"] {
            next.note(&user(name), &failed);
            for _ in 0..5 {
                next.note(&user(name), &done);
            }
        }
        assert_eq!(next.lately_counted(), Count { calls: 2_018, failed: 2_003, callers: 5, let_down: 2 });
        assert_eq!(judge(), None);
        next.note(&user("bob"), &failed);
        assert!(judge().is_some_and(|why| why.contains("for 3 of 5 callers")), "{:?}", judge());
    }

    #[test]
    fn many_callers_are_not_all_counted() {
        let (mut lately, now) = (Lately::default(), Instant::now());
        for caller in 0..10_000 {
            lately.note(caller, true, now);
        }
        lately.note(0, false, now);
        let most = u32::try_from(MOST_CALLERS).unwrap();
        assert_eq!(lately.sum(now), Count { calls: most + 1, failed: most, callers: most, let_down: most });
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
        let counted = |calls, failed| Count { calls, failed, callers: 1, let_down: 1 };
        lately.note(7, true, at(0));
        lately.note(7, true, at(15));
        lately.note(7, false, at(15));
        assert_eq!(lately.sum(at(59)), counted(3, 2));
        assert_eq!(lately.sum(at(60)), counted(2, 1));
        lately.note(7, true, at(61));
        assert_eq!(lately.sum(at(61)), counted(3, 2));
        assert_eq!(lately.sum(at(500)), Count::default());
    }

    #[test]
    fn nothing_is_counted_while_nobody_asks() {
        let tally = Tally::default();
        let failed = Outcome::Refused(Refusal::new(ErrorKind::UpstreamTimeout, "x"));
        tally.note(&Principal::Anonymous, &failed);
        assert_eq!(tally.lately_counted(), Count::default());
        tally.count(true);
        tally.note(&Principal::Anonymous, &failed);
        assert_eq!(tally.lately_counted(), Count { calls: 1, failed: 1, callers: 1, let_down: 1 });
        tally.count(false);
        tally.count(true);
        assert_eq!(tally.lately_counted(), Count::default(), "it begins anew");
    }
}
