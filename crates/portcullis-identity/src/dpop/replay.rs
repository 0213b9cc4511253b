//! Which proofs have been seen: for as long as they could be used again, and no more of them than fit.
//!
//! Two generations of digests, each as long as a proof is good: what is older than both cannot be presented any more.
//! When there is no room, proofs are refused rather than forgotten; one user takes no more than a quarter, so that nobody
//! can shut the others out alone.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::WINDOW;
use crate::claims::LEEWAY;
use crate::refused::Reason;

/// How many are remembered of one generation.
const MOST: usize = 1 << 20;

/// Half of a SHA-256 is enough to tell proofs apart, and half as much to keep.
pub(crate) type Digest = [u8; 16];

/// The proofs that have been seen.
pub(crate) struct Replays {
    most: usize,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// When the young generation began.
    since: u64,
    young: HashSet<Digest>,
    old: HashSet<Digest>,
    /// How many of the young are of each user.
    of_holder: HashMap<Digest, usize>,
}

impl Default for Replays {
    fn default() -> Self {
        Self::new(MOST)
    }
}

impl Replays {
    fn new(most: usize) -> Self {
        Self { most, seen: Mutex::default() }
    }

    /// Notes a proof of a user.
    ///
    /// # Errors
    /// It was seen before, or there is no room to remember it.
    pub(crate) fn see(&self, proof: Digest, holder: Digest, now: u64) -> Result<(), Reason> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // A proof may be made a little in the future and so be good for that much longer.
        let lifetime = WINDOW + LEEWAY;
        if now >= seen.since + lifetime {
            let both_over = now >= seen.since + 2 * lifetime;
            let young = std::mem::take(&mut seen.young);
            seen.old = if both_over { HashSet::new() } else { young };
            seen.of_holder = HashMap::new();
            seen.since = now;
        }
        if seen.young.contains(&proof) || seen.old.contains(&proof) {
            return Err(Reason::Replayed);
        }
        let of_holder = seen.of_holder.get(&holder).copied().unwrap_or_default();
        if seen.young.len() >= self.most || of_holder >= self.most / 4 {
            return Err(Reason::TooManyProofs);
        }
        seen.of_holder.insert(holder, of_holder + 1);
        seen.young.insert(proof);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_once_for_as_long_as_it_is_good_at_all() {
        let replays = Replays::default();
        let (proof, key) = ([1; 16], [2; 16]);
        assert_eq!(replays.see(proof, key, 1000), Ok(()));
        for later in [1000, 1100, 1300, 1330] {
            assert_eq!(replays.see(proof, key, later), Err(Reason::Replayed), "{later}");
        }
    }

    #[test]
    fn no_more_is_remembered_than_fits_and_one_user_does_not_take_it_all() {
        let replays = Replays::new(8);
        let see = |proof: u8, key: u8, now| replays.see([proof; 16], [key; 16], now);
        assert_eq!((see(1, 1, 0), see(2, 1, 0)), (Ok(()), Ok(())));
        assert_eq!(see(3, 1, 0), Err(Reason::TooManyProofs));
        for proof in 4..10 {
            assert_eq!(see(proof, proof, 0), Ok(()));
        }
        assert_eq!(see(20, 20, 0), Err(Reason::TooManyProofs));
        assert_eq!(see(20, 20, WINDOW + LEEWAY), Ok(()));
    }
}
