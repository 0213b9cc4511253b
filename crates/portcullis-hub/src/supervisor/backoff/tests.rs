//! The table of waits, what resets it, and when the circuit opens.

use std::time::{Duration, Instant};

use super::{Backoff, Next};

fn waits(dice: f64, count: usize) -> Vec<u128> {
    let (mut backoff, now) = (Backoff::new(u32::MAX), Instant::now());
    (0..count)
        .map(|_| match backoff.failed(now, "exit code 1", dice) {
            Next::Wait(wait) => wait.as_millis(),
            Next::Open { .. } => panic!("the circuit opened below its limit"),
        })
        .collect()
}

#[test]
fn waits_double_up_to_thirty_seconds() {
    let table = [0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000];
    assert_eq!(waits(0.0, table.len()), table);
    assert_eq!(waits(0.0, 200).last(), Some(&30_000), "no overflow");
}

#[test]
fn dice_take_off_at_most_a_quarter() {
    assert_eq!(waits(1.0, 9), [0, 187, 375, 750, 1_500, 3_000, 6_000, 12_000, 22_500]);
    assert_eq!(waits(7.0, 9), waits(1.0, 9));
    assert_eq!(waits(-7.0, 9), waits(0.0, 9));
}

#[test]
fn a_minute_of_health_forgets_earlier_failures() {
    let (mut backoff, start) = (Backoff::new(5), Instant::now());
    for _ in 0..3 {
        backoff.failed(start, "exit code 1", 0.0);
    }
    backoff.started(start);
    assert_eq!(
        backoff.failed(start + Duration::from_millis(59_999), "exit code 1", 0.0),
        Next::Wait(Duration::from_secs(1))
    );
    backoff.started(start);
    assert_eq!(
        backoff.failed(start + Duration::from_mins(1), "exit code 1", 0.0),
        Next::Wait(Duration::ZERO)
    );
    assert_eq!(backoff.failures(), 1);
}

#[test]
fn never_having_started_is_no_health() {
    let (mut backoff, start) = (Backoff::new(5), Instant::now());
    backoff.started(start);
    backoff.failed(start, "exit code 1", 0.0);
    let later = start + Duration::from_hours(1);
    assert_eq!(backoff.failed(later, "not found", 0.0), Next::Wait(Duration::from_millis(250)));
}

#[test]
fn circuit_opens_at_the_limit_and_names_the_reason() {
    let (mut backoff, now) = (Backoff::new(2), Instant::now());
    backoff.failed(now, "exit code 1", 0.0);
    assert_eq!(backoff.open(), None);
    let open = Next::Open { failures: 2, reason: "signal 11".into() };
    assert_eq!(backoff.failed(now, "signal 11", 0.0), open);
    assert_eq!(backoff.open(), Some("signal 11"));
    backoff.reset();
    assert_eq!((backoff.open(), backoff.failures()), (None, 0));
    assert_eq!(backoff.failed(now, "signal 11", 0.0), Next::Wait(Duration::ZERO));
}
