//! The rest of a stream that ended before its answer: where and when it is to be had, and for how long it is asked for.
//!
//! The bounds are those of the gateway toward its servers. An endpoint that closes a stream and says when to come back
//! (2025-11-25, SSE polling) is polled as often as it takes; polls that bring nothing, not even when to come back, are silence,
//! and end after the time that a call may be silent for.

use std::time::Duration;

use tokio::time::Instant;

/// When the rest is asked for, and the least and the most of what an endpoint says instead.
const PAUSE: Duration = Duration::from_secs(1);
const SOONEST: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_mins(1);
/// So often in a row a stream is resumed that ended without a word and without bringing anything.
const RESUMES: u32 = 5;
/// So long an endpoint is polled that brings nothing: the default of `limits.call_timeout`, for there is no configuration.
const SILENCE: Duration = Duration::from_mins(1);

/// Where and when the rest of a stream is to be had.
#[derive(Default)]
pub(super) struct Rest {
    /// After the event with this id; without one nowhere.
    pub(super) last: Option<String>,
    /// After so long, if the endpoint says it.
    pub(super) retry: Option<Duration>,
    /// The endpoint closed the stream in order, and has said when to come back, there or before.
    pub(super) polls: bool,
    /// The last connection brought something: a message, or when to come back.
    pub(super) alive: bool,
}

impl Rest {
    pub(super) fn pause(&self) -> Duration {
        self.retry.unwrap_or(PAUSE).clamp(SOONEST, LATEST)
    }
}

/// How long the rest of one answer is asked for.
#[derive(Default)]
pub(super) struct Patience {
    /// Since when nothing was brought.
    silent: Option<Instant>,
    /// How often since then the stream ended without a word.
    broke: u32,
}

impl Patience {
    /// Takes an end of the stream; says whether to ask for the rest.
    pub(super) fn lasts(&mut self, rest: &Rest) -> bool {
        if rest.alive {
            *self = Self::default();
        } else {
            self.silent.get_or_insert_with(Instant::now);
        }
        self.broke += u32::from(!rest.polls);
        self.broke <= RESUMES && self.silent.is_none_or(|since| since.elapsed() < SILENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long the rest is asked for of a stream that ends like this again and again, up to an hour.
    async fn asked(rest: Rest) -> Duration {
        let (began, mut patience) = (Instant::now(), Patience::default());
        while patience.lasts(&rest) && began.elapsed() < Duration::from_hours(1) {
            tokio::time::sleep(rest.pause()).await;
        }
        began.elapsed()
    }

    fn ends(polls: bool, alive: bool) -> Rest {
        Rest { last: None, retry: Some(Duration::from_secs(2)), polls, alive }
    }

    #[tokio::test(start_paused = true)]
    async fn polls_that_bring_nothing_are_silence() {
        assert!(asked(ends(true, true)).await >= Duration::from_hours(1), "whoever says when is asked");
        assert_eq!(asked(ends(true, false)).await, SILENCE);
        assert_eq!(asked(ends(false, false)).await, Duration::from_secs(2) * RESUMES);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_brought_begins_it_anew() {
        let mut patience = Patience::default();
        for _ in 0..5 {
            for _ in 0..RESUMES {
                assert!(patience.lasts(&ends(false, false)));
                tokio::time::sleep(Duration::from_secs(11)).await;
            }
            assert!(patience.lasts(&ends(true, true)));
        }
    }
}
