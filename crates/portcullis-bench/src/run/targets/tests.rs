//! Verdicts at their bounds, and what makes a run fail.

use std::time::Duration;

use super::{Verdict, held, judge};
use crate::load::Latencies;
use crate::run::Found;
use crate::run::elicitation::{Elicitations, PAIRS, Tally};
use crate::run::listing::Lists;
use crate::run::matrix::{Matrix, Way, cells};
use crate::run::memory::Memory;
use crate::run::sample::Sample;
use crate::run::scale::Scale;
use crate::run::turns::Turns;
use crate::wire::Era;

/// A matrix in which the gateway has this share of nginx's throughput and this multiple of its p99 of 1 ms.
fn matrix(throughput: f64, p99: f64) -> Matrix {
    let mut matrix = Matrix::default();
    for cell in cells(false).chain(cells(true)) {
        let mut insert = |way, per_second, p99_ms: f64| {
            matrix.samples.insert((cell, way), vec![Sample { per_second, ..Sample::default() }]);
            let latencies = [Duration::from_secs_f64(p99_ms / 1e3)].into_iter().collect();
            matrix.latencies.insert((cell, way), latencies);
        };
        insert(Way::Nginx, 1000.0, 1.0);
        insert(Way::Portcullis, 1000.0 * throughput, p99);
    }
    matrix
}

fn memory(idle: u64, per_session: u64) -> Memory {
    Memory { idle, sessions: 10_000, loaded: idle + per_session * 10_000, opening: Duration::ZERO }
}

fn lists(ms: u64) -> Vec<Lists> {
    let list = |era, guarded| {
        let times: Latencies = [Duration::from_millis(ms)].into_iter().collect();
        Lists { era, guarded, times, pages: 1, bytes: 1 }
    };
    [false, true]
        .into_iter()
        .flat_map(|guarded| [Era::Modern, Era::Legacy].map(|era| list(era, guarded)))
        .collect()
}

/// Calls that ask, the same in all cells.
fn asked(answered: u64, wrong: u64, lost: u64) -> Elicitations {
    let mut elicitations = Elicitations::default();
    elicitations.tallies = PAIRS.map(|pair| (pair, Tally { answered, wrong, lost })).into();
    elicitations
}

/// Ways with these throughputs.
fn turns(throughputs: &[f64]) -> Turns {
    let sample = |per_second: &f64| vec![Sample { per_second: *per_second, ..Sample::default() }];
    Turns { samples: throughputs.iter().map(sample).collect(), wrong: None }
}

/// With everything on, so much of nginx's throughput is left.
fn path(share: f64) -> Turns {
    turns(&[2.0, 1.0, 0.9, 0.9, 0.8, 0.7, share])
}

fn found(matrix: Matrix, memory: Memory, lists: Vec<Lists>) -> Found {
    let (guard, layers, evidence) = (turns(&[1.0, 0.9]), turns(&[1.0, 0.9]), turns(&[1.0, 0.9, 0.5, 0.4]));
    let (path, elicitations) = (path(0.6), asked(1, 0, 0));
    Found { matrix, elicitations, layers, guard, evidence, path, memory: Some(memory), lists }
}

fn words(verdicts: &[Verdict]) -> Vec<&'static str> {
    verdicts.iter().map(Verdict::word).collect()
}

#[test]
fn everything_within_its_bound_passes() {
    let verdicts = judge(&found(matrix(0.9, 2.0), memory(49_999_999, 9_999), lists(4)), &Scale::full());
    assert_eq!(words(&verdicts), ["PASS"; 21]);
    assert!(held(&verdicts, false, true));
}

#[test]
fn everything_beyond_its_bound_misses() {
    let within = found(matrix(0.89, 2.1), memory(50_000_000, 10_000), lists(5));
    let (guard, layers, evidence) =
        (turns(&[1.0, 0.84]), turns(&[1.0, 0.84]), turns(&[1.0, 0.89, 0.49, 0.4]));
    let (path, elicitations) = (path(0.59), asked(9, 0, 1));
    let verdicts = judge(&Found { elicitations, layers, guard, evidence, path, ..within }, &Scale::full());
    assert_eq!(words(&verdicts), ["MISS"; 21]);
    assert!(held(&verdicts, false, false));
    assert!(!held(&verdicts, false, true));
}

#[test]
fn quick_run_forgives_noise_and_not_a_collapse() {
    let quick = Scale::quick();
    let noisy = judge(&found(matrix(0.6, 30.0), memory(60_000_000, 11_000), lists(20)), &quick);
    assert!(held(&noisy, true, false), "{noisy:?}");
    let collapsed = judge(&found(matrix(0.3, 1.0), memory(1, 1), lists(1)), &quick);
    assert!(!held(&collapsed, true, false));
    let stalled = judge(&found(matrix(1.0, 300.0), memory(1, 1), lists(1)), &quick);
    assert!(!held(&stalled, true, false));
}

#[test]
fn one_call_that_is_not_answered_with_what_was_elicited_fails_a_quick_run() {
    let judged = |elicitations| {
        let verdicts = judge(
            &Found { elicitations, ..found(matrix(1.0, 1.0), memory(1, 1), lists(1)) },
            &Scale::quick(),
        );
        held(&verdicts, true, false)
    };
    assert!(judged(asked(100, 0, 0)));
    assert!(!judged(asked(100, 1, 0)));
    assert!(!judged(asked(100, 0, 1)));
    assert!(!judged(asked(0, 0, 0)));
}

#[test]
fn what_was_not_measured_fails_only_a_strict_run() {
    let verdicts = judge(&Found::default(), &Scale::full());
    assert_eq!(words(&verdicts), ["not measured"; 21]);
    assert!(held(&verdicts, true, false));
    assert!(!held(&verdicts, false, true));
}
