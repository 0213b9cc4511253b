//! What one principal holds of what all share: calls under way, sessions, connections. However many connections, sessions and tokens
//! somebody has, it is counted for the somebody.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};

const PARTS: usize = 16;

/// What is counted for one principal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share {
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) sessions: Arc<AtomicUsize>,
    pub(crate) connections: Arc<AtomicUsize>,
}

impl Share {
    /// Whether nobody but the table holds it: then nothing is under way.
    fn is_idle(&self) -> bool {
        [&self.calls, &self.sessions, &self.connections].into_iter().all(|it| Arc::strong_count(it) == 1)
    }
}

/// The shares of all principals that hold something. Those that hold nothing are forgotten.
#[derive(Default)]
pub(crate) struct Shares {
    parts: [Mutex<Part>; PARTS],
    hasher: RandomState,
}

#[derive(Default)]
struct Part {
    shares: HashMap<Arc<str>, Share>,
    /// At how many it is looked for those that hold nothing.
    full: usize,
}

impl Shares {
    /// The share of the principal with this id.
    pub(crate) fn of(&self, id: &Arc<str>) -> Share {
        let part = usize::try_from(self.hasher.hash_one(id) % PARTS as u64).unwrap_or(0);
        let mut part = self.parts[part].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = part.shares.get(id) {
            return share.clone();
        }
        if part.shares.len() >= part.full {
            part.shares.retain(|_, share| !share.is_idle());
            part.full = (part.shares.len() * 2).max(64);
        }
        part.shares.entry(id.clone()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_share_is_the_principals_and_is_forgotten_when_nothing_is_held() {
        let shares = Shares::default();
        let (ann, ben) = (Arc::from("ann"), Arc::from("ben"));
        let held = shares.of(&ann);
        held.calls.fetch_add(1, Ordering::Relaxed);
        assert_eq!(shares.of(&ann).calls.load(Ordering::Relaxed), 1);
        assert_eq!(shares.of(&ben).calls.load(Ordering::Relaxed), 0);
        for number in 0..10_000 {
            drop(shares.of(&Arc::from(format!("user {number}"))));
        }
        let kept: usize = shares.parts.iter().map(|part| part.lock().unwrap().shares.len()).sum();
        assert!(kept <= PARTS * 65, "{kept}");
        assert_eq!(shares.of(&ann).calls.load(Ordering::Relaxed), 1, "what is held stays");
    }
}
