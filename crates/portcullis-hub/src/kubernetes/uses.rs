//! Who uses a Deployment, so that of several gateways with one instance none stops what another uses.
//!
//! A gateway notes in an annotation of its own, once a minute while it uses a Deployment, that it did. Another's note counts for
//! a while. Clocks that are apart by more than a minute make it count for less.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the annotation of a gateway begins with; its id follows.
pub(super) const USED_BY: &str = "used-by.portcullis.io/";
/// How often a use is noted.
pub(super) const NOTED: Duration = Duration::from_mins(1);
/// How long a note counts.
const COUNTS: Duration = Duration::from_secs(150);

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Whether another gateway than this one uses it.
pub(super) fn by_others(uses: &BTreeMap<String, u64>, own: &str, now: u64) -> bool {
    uses.iter().any(|(by, at)| by != own && at.saturating_add(COUNTS.as_secs()) > now)
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
        assert!(by_others(&[("c".to_owned(), u64::MAX)].into(), "a", 5));
    }
}
