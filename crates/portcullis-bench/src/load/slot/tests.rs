//! Marks lead back to what they mark.

use super::{Leg, mark, marked};

#[test]
fn a_mark_names_one_connection() {
    let all = [(0, Leg::Calls), (0, Leg::Words), (1, Leg::Calls), (31, Leg::Words)];
    assert_eq!(all.map(|(index, leg)| marked(mark(index, leg))), all);
}
