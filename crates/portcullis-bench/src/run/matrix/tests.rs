//! Ratios and cells.

use super::{Cell, Matrix, Sample, Way, cells};
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
    let ratio = matrix.ratio_to_nginx(CELL, Way::Portcullis, |sample| sample.per_second);
    assert!(ratio.is_some_and(|ratio| (ratio - 0.9).abs() < 1e-9), "{ratio:?}");
    assert_eq!(matrix.ratio_to_nginx(CELL, Way::Direct, |sample| sample.per_second), None);
}

#[test]
fn every_kind_of_loop_covers_both_eras_and_both_widths() {
    assert_eq!(cells(true).count(), 4);
    assert!(cells(false).any(|cell| cell == CELL));
}
