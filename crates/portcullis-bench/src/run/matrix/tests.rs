//! Ratios and cells.

use std::time::Duration;

use super::{Cell, Matrix, Sample, Way, cells};
use crate::load::Latencies;
use crate::wire::Era;

const CELL: Cell = Cell { era: Era::Modern, open: false, connections: 32 };

fn rounds(per_second: &[f64]) -> Vec<Sample> {
    per_second.iter().map(|&per_second| Sample { per_second, ..Sample::default() }).collect()
}

#[test]
fn ratio_compares_within_a_round() {
    let mut matrix = Matrix::default();
    matrix.samples.insert((CELL, Way::Nginx), rounds(&[100.0, 10.0, 1000.0]));
    matrix.samples.insert((CELL, Way::Portcullis), rounds(&[90.0, 9.0, 900.0]));
    let share = matrix.share_of_nginx(CELL, Way::Portcullis);
    assert!(share.is_some_and(|share| (share - 0.9).abs() < 1e-9), "{share:?}");
    assert_eq!(matrix.share_of_nginx(CELL, Way::Direct), None);
}

#[test]
fn the_p99_is_that_of_all_rounds_together() {
    let mut matrix = Matrix::default();
    let mut add = |way, ms: [u64; 2]| {
        for ms in ms {
            let latencies = [Duration::from_millis(ms); 50].into_iter().collect();
            matrix.latencies.entry((CELL, way)).or_insert_with(Latencies::default).merge(&latencies);
        }
    };
    add(Way::Nginx, [2, 1]);
    add(Way::Portcullis, [1, 3]);
    assert_eq!(matrix.p99_ms(CELL, Way::Portcullis), Some(3.0));
    assert_eq!(matrix.p99_to_nginx(CELL, Way::Portcullis), Some(1.5));
    assert_eq!(matrix.p99_to_nginx(CELL, Way::Direct), None);
}

#[test]
fn every_kind_of_loop_covers_both_eras_and_both_widths() {
    assert_eq!(cells(true).count(), 4);
    assert!(cells(false).any(|cell| cell == CELL));
}
