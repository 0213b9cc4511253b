//! Logins that ended before their tokens did.
//!
//! An access token of the facade names the login that it came of. When that ends (a code or a refresh token was used twice,
//! somebody logged out), its access tokens end with it: here at once, and on other replicas when they hear of it
//! (`facade/ends.rs`).

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// No access token that names a login lives longer, in seconds.
pub(crate) const LONGEST_TOKEN: u64 = 3600;
/// How many are remembered of one generation.
const MOST: usize = 100_000;

/// That something was taken back, by a reload or by the end of a login: told to who waits, and counted for who looks.
#[derive(Default)]
pub(crate) struct Changes {
    count: AtomicU64,
    told: watch::Sender<()>,
}

impl Changes {
    pub(crate) fn happened(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        self.told.send_replace(());
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.told.subscribe()
    }
}

/// The logins.
pub struct Ended {
    any: AtomicBool,
    seen: Mutex<Seen>,
    changes: Arc<Changes>,
}

#[derive(Default)]
struct Seen {
    since: u64,
    young: HashSet<String>,
    old: HashSet<String>,
}

impl Ended {
    pub(crate) fn new(changes: Arc<Changes>) -> Self {
        Self { any: AtomicBool::new(false), seen: Mutex::default(), changes }
    }

    /// Ends a login; says whether that is news, as it is not when it ended before.
    pub(crate) fn end(&self, session: &str, now: u64) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let lifetime = LONGEST_TOKEN + 60;
        if now >= seen.since + lifetime {
            let young = std::mem::take(&mut seen.young);
            seen.old = if now >= seen.since + 2 * lifetime { HashSet::new() } else { young };
            seen.since = now;
        }
        if seen.young.contains(session) || seen.old.contains(session) {
            return false;
        }
        if seen.young.len() >= MOST {
            tracing::warn!("too many logins ended within an hour to remember all of them");
            return true;
        }
        seen.young.insert(session.to_owned());
        drop(seen);
        self.any.store(true, Ordering::Release);
        self.changes.happened();
        true
    }

    /// Whether a login has ended. Costs nothing while none has.
    pub(crate) fn has(&self, session: &str) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.young.contains(session) || seen.old.contains(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_known_to_have_ended_for_as_long_as_its_tokens_could_live() {
        let ended = Ended::new(Arc::default());
        assert!(!ended.has("a"));
        assert!(ended.end("a", 10_000));
        assert!(!ended.end("a", 10_001));
        ended.end("b", 10_000 + LONGEST_TOKEN + 60);
        assert!(ended.has("a") && ended.has("b") && !ended.has("c"));
        ended.end("c", 10_000 + 3 * (LONGEST_TOKEN + 60));
        assert!(!ended.has("a") && ended.has("c"));
    }
}
