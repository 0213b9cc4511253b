//! Who uses a Deployment, so that of several gateways with one instance none stops what another uses.
//!
//! A gateway notes in an annotation of its own, once a minute while it uses a Deployment, that it did. Another's note counts for
//! a while. Clocks that are apart by more than a minute make it count for less, and by more than that while for nothing.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the annotation of a gateway begins with; its id follows.
pub(super) const USED_BY: &str = "used-by.portcullis.io/";
/// How often a use is noted.
pub(super) const NOTED: Duration = Duration::from_mins(1);
/// How long a note counts.
const COUNTS: Duration = Duration::from_secs(150);
/// A note that is so far from now is of a gateway that is gone, whatever its clock said.
const FORGOTTEN: Duration = Duration::from_hours(1);

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Whether another gateway than this one uses it.
pub(super) fn by_others(uses: &BTreeMap<String, u64>, own: &str, now: u64) -> bool {
    uses.iter().any(|(by, at)| by != own && at.abs_diff(now) < COUNTS.as_secs())
}

/// Other gateways whose notes nobody needs any more.
pub(super) fn forgotten(uses: &BTreeMap<String, u64>, own: &str, now: u64) -> Vec<String> {
    let gone = uses.iter().filter(|(by, at)| *by != own && at.abs_diff(now) > FORGOTTEN.as_secs());
    gone.map(|(by, _)| by.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_gateways_use_counts_for_a_while_and_ones_own_does_not() {
        let uses: BTreeMap<_, _> = [("a".to_owned(), 1000), ("b".to_owned(), 1100)].into();
        assert!(by_others(&uses, "a", 1200));
        assert!(!by_others(&uses, "b", 1200));
        assert!(!by_others(&uses, "a", 1250));
        // Nor does one of a time that has not come.
        assert!(by_others(&[("c".to_owned(), 1300)].into(), "a", 1200));
        assert!(!by_others(&[("c".to_owned(), u64::MAX)].into(), "a", 5));
    }

    #[test]
    fn only_notes_that_are_long_gone_are_forgotten() {
        let uses: BTreeMap<_, _> =
            [("a", 1000), ("b", 10_000), ("c", u64::MAX)].map(|(by, at)| (by.to_owned(), at)).into();
        assert_eq!(forgotten(&uses, "a", 10_000), ["c"]);
        assert_eq!(forgotten(&uses, "b", 10_000), ["a", "c"]);
    }
}
