//! Nothing is taken beyond the limit, and everything is given back.

use super::*;

#[test]
fn takes_up_to_the_limit_and_gives_back() {
    let budget = Arc::new(Budget::default());
    let (mut one, mut two) = (Share::of(&budget), Share::of(&budget));
    assert!(one.grow(60, 100) && two.grow(40, 100));
    assert!(!two.grow(1, 100) && !one.grow(usize::MAX, 100));
    assert_eq!(budget.used(), 100, "what was refused is not counted");
    assert!(two.grow(1, 101), "the limit may change");
    drop(one);
    assert_eq!(budget.used(), 41);
    drop(two);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_share_lasts_as_long_as_the_last_part_of_what_it_is_for() {
    let budget = Arc::new(Budget::default());
    let mut share = Share::of(&budget);
    assert!(share.grow(5, 100));
    let whole = share.hold(Bytes::from_static(b"hello"));
    let part = whole.slice(1..3);
    drop(whole);
    assert_eq!((&*part, budget.used()), (&b"el"[..], 5));
    drop(part);
    assert_eq!(budget.used(), 0);
}
