//! Schedules and windows, with made-up clocks.

use std::time::{Duration, Instant};

use super::{Pace, Timeline};

const MS: Duration = Duration::from_millis(1);

/// 10 ms of warm-up, 20 ms measured.
fn timeline(pace: Pace) -> (Instant, Timeline) {
    let start = Instant::now();
    (start, Timeline::new(start, 10 * MS, 20 * MS, pace))
}

#[test]
fn open_schedule_does_not_wait_for_answers() {
    let (start, mut timeline) = timeline(Pace::Open(100.0));
    let late = start + 500 * MS;
    let mut due = Vec::new();
    while let Some(next) = timeline.next_due(late) {
        due.push(next - start);
        timeline.take();
    }
    assert_eq!(due, [Duration::ZERO, 10 * MS, 20 * MS]);
}

#[test]
fn open_latency_counts_from_when_the_call_was_due() {
    let (start, timeline) = timeline(Pace::Open(100.0));
    assert_eq!(timeline.measured(start + 9 * MS, start + 15 * MS), None);
    assert_eq!(timeline.measured(start + 10 * MS, start + 500 * MS), Some(490 * MS));
    assert_eq!(timeline.measured(start + 30 * MS, start + 31 * MS), None);
}

#[test]
fn closed_calls_belong_to_the_window_in_which_they_end() {
    let (start, timeline) = timeline(Pace::Closed);
    assert_eq!(timeline.measured(start + 9 * MS, start + 11 * MS), Some(2 * MS));
    assert_eq!(timeline.measured(start + 29 * MS, start + 30 * MS), None);
    assert_eq!(timeline.next_due(start + 29 * MS), Some(start + 29 * MS));
    assert_eq!(timeline.next_due(start + 30 * MS), None);
}
