//! How often something may be done: by everybody together, and by each peer.
//!
//! Windows are fixed: they cost nothing while nobody comes, and what is remembered of peers goes with its window. Peers of
//! IPv6 count by their network, which is what one of them has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A pace.
pub(super) struct Pace {
    window: Duration,
    of_all: u32,
    of_each: u32,
    counted: Mutex<Counted>,
}

struct Counted {
    since: Instant,
    all: u32,
    each: HashMap<Option<IpAddr>, u32>,
}

impl Pace {
    pub(super) fn new(window: Duration, of_all: u32, of_each: u32) -> Self {
        let counted = Counted { since: Instant::now(), all: 0, each: HashMap::new() };
        Self { window, of_all, of_each, counted: Mutex::new(counted) }
    }

    /// Counts one more, if it may be done now.
    pub(super) fn allows(&self, peer: Option<IpAddr>) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.duration_since(counted.since) >= self.window {
            *counted = Counted { since: now, all: 0, each: HashMap::new() };
        }
        if counted.all >= self.of_all {
            return false;
        }
        // No more entries than `of_all`: each has counted there.
        let each = counted.each.entry(peer.map(network)).or_default();
        if *each >= self.of_each {
            return false;
        }
        *each += 1;
        counted.all += 1;
        true
    }
}

fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_takes_it_all_and_time_gives_it_back() {
        let pace = Pace::new(Duration::from_mins(1), 5, 2);
        let peer = |text: &str| Some(text.parse().unwrap());
        assert!(pace.allows(peer("10.0.0.1")) && pace.allows(peer("::ffff:10.0.0.1")));
        assert!(!pace.allows(peer("10.0.0.1")));
        assert!(pace.allows(peer("2001:db8::1")) && pace.allows(peer("2001:db8::2")));
        assert!(!pace.allows(peer("2001:db8::3")), "one network");
        assert!(pace.allows(peer("10.0.0.2")));
        assert!(!pace.allows(peer("10.0.0.3")), "enough of all");
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(pace.allows(peer("10.0.0.1")));
    }
}
