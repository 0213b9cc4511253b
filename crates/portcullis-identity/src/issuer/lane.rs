//! A lane of questions to an issuer: so many at once, so many in a second, and so many of them for one network.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Questions at once.
const AT_ONCE: usize = 16;
/// Questions in a second.
const IN_A_SECOND: u32 = 100;
/// The same of one network.
const OF_ONE_NETWORK: u32 = 10;
/// Networks that are told apart within a second; all others count as one.
const NETWORKS: usize = 4096;
const SECOND: Duration = Duration::from_secs(1);

/// A lane.
pub(super) struct Lane {
    places: Semaphore,
    turns: Mutex<Turns>,
}

struct Turns {
    second: Instant,
    asked: u32,
    networks: HashMap<Option<IpAddr>, u32>,
}

impl Default for Lane {
    fn default() -> Self {
        let turns = Turns { second: Instant::now(), asked: 0, networks: HashMap::new() };
        Self { places: Semaphore::new(AT_ONCE), turns: Mutex::new(turns) }
    }
}

impl Lane {
    /// Waits for a place among those that ask; `None` never comes while the lane is there.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.acquire().await.ok()
    }

    /// Whether there is a turn left in this second, which is taken.
    pub(super) fn has_turn(&self) -> bool {
        self.with_turns(|turns| {
            turns.asked += 1;
            turns.asked <= IN_A_SECOND
        })
    }

    /// Whether a network has one left, which is taken.
    pub(super) fn has_turn_for(&self, source: Option<IpAddr>) -> bool {
        self.with_turns(|turns| {
            let mut network = source.map(network);
            if turns.networks.len() >= NETWORKS && !turns.networks.contains_key(&network) {
                network = None;
            }
            let asked = turns.networks.entry(network).or_default();
            *asked += 1;
            *asked <= OF_ONE_NETWORK
        })
    }

    fn with_turns<T>(&self, act: impl FnOnce(&mut Turns) -> T) -> T {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.duration_since(turns.second) >= SECOND {
            (turns.second, turns.asked) = (now, 0);
            turns.networks.clear();
        }
        act(&mut turns)
    }
}

/// Whoever has one address of version 6 has all of its 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_network_has_its_share_and_no_more() {
        let lane = Lane::default();
        let one = |text: &str| Some(text.parse().unwrap());
        let turns = |source| (0..50).filter(|_| lane.has_turn_for(source)).count();
        assert_eq!(turns(one("192.0.2.1")), 10);
        assert_eq!(turns(one("192.0.2.2")), 10, "another address of version 4 is somebody else");
        assert_eq!(turns(one("::ffff:192.0.2.1")), 0, "the same, written otherwise");
        assert_eq!(turns(one("2001:db8::1")), 10);
        assert_eq!(turns(one("2001:db8::2:3:4:5")), 0, "one subscriber has them all");
        tokio::time::advance(SECOND).await;
        assert_eq!(turns(one("192.0.2.1")), 10);
        for number in 0..9_000_u32 {
            lane.has_turn_for(Some(IpAddr::V4((0x0a00_0000 + number).into())));
        }
        assert!(lane.turns.lock().unwrap().networks.len() <= NETWORKS + 1);
    }
}
