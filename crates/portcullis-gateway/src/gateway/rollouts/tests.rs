//! Versions that take each other's place.

use super::*;

#[test]
fn a_store_that_is_away_is_asked_less_and_less() {
    let pauses = [0, 1, 2, 5, 6, 100, u32::MAX].map(|failures| pause(failures).as_secs());
    assert_eq!(pauses, [1, 2, 4, 32, 60, 60, 60]);
}
