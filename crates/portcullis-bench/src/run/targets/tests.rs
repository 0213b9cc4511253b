//! Verdicts at their bounds, and what makes a run fail.

use std::time::Duration;

use super::{Verdict, held, judge};
use crate::load::Latencies;
use crate::run::listing::Lists;
use crate::run::matrix::{Matrix, Sample, Way, cells};
use crate::run::memory::Memory;
use crate::run::scale::Scale;
use crate::wire::Era;

/// A matrix in which the gateway has this share of nginx's throughput and this multiple of its p99 of 1 ms.
fn matrix(throughput: f64, p99: f64) -> Matrix {
    let mut matrix = Matrix::default();
    for cell in cells(false).chain(cells(true)) {
        let sample = |per_second, p99_ms| vec![Sample { per_second, p99_ms, ..Sample::default() }];
        matrix.samples.insert((cell, Way::Nginx), sample(1000.0, 1.0));
        matrix.samples.insert((cell, Way::Portcullis), sample(1000.0 * throughput, p99));
    }
    matrix
}

fn memory(idle: u64, per_session: u64) -> Memory {
    Memory { idle, sessions: 10_000, loaded: idle + per_session * 10_000, opening: Duration::ZERO }
}

fn lists(ms: u64) -> [Lists; 2] {
    [Era::Modern, Era::Legacy].map(|era| {
        let times: Latencies = [Duration::from_millis(ms)].into_iter().collect();
        Lists { era, times, pages: 1, bytes: 1 }
    })
}

fn words(verdicts: &[Verdict]) -> Vec<&'static str> {
    verdicts.iter().map(Verdict::word).collect()
}

#[test]
fn everything_within_its_bound_passes() {
    let verdicts = judge(&matrix(0.9, 2.0), Some(&memory(49_999_999, 9_999)), &lists(4), &Scale::full());
    assert_eq!(words(&verdicts), ["PASS"; 10]);
    assert!(held(&verdicts, false, true));
}

#[test]
fn everything_beyond_its_bound_misses() {
    let verdicts = judge(&matrix(0.89, 2.1), Some(&memory(50_000_000, 10_000)), &lists(5), &Scale::full());
    assert_eq!(words(&verdicts), ["MISS"; 10]);
    assert!(held(&verdicts, false, false));
    assert!(!held(&verdicts, false, true));
}

#[test]
fn quick_run_forgives_noise_and_not_a_collapse() {
    let quick = Scale::quick();
    let noisy = judge(&matrix(0.6, 30.0), Some(&memory(60_000_000, 11_000)), &lists(20), &quick);
    assert!(held(&noisy, true, false), "{noisy:?}");
    let collapsed = judge(&matrix(0.3, 1.0), Some(&memory(1, 1)), &lists(1), &quick);
    assert!(!held(&collapsed, true, false));
    let stalled = judge(&matrix(1.0, 300.0), Some(&memory(1, 1)), &lists(1), &quick);
    assert!(!held(&stalled, true, false));
}

#[test]
fn what_was_not_measured_fails_only_a_strict_run() {
    let verdicts = judge(&Matrix::default(), None, &[], &Scale::full());
    assert_eq!(words(&verdicts), ["not measured"; 10]);
    assert!(held(&verdicts, true, false));
    assert!(!held(&verdicts, false, true));
}
