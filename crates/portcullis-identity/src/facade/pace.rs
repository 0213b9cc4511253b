//! How often something may be done within a minute: by each address, by its network, and by all strangers together.
//!
//! What is left when half of it is used up is for networks that had little of it, so that a few that take all they can shut
//! nobody out; and who logged in before has a share that strangers cannot touch, by who they are and not by where they
//! come from. Windows are fixed: they cost nothing while nobody comes, and what is remembered goes with its window.
//! Addresses of IPv6 count by what one subscriber has of them.
//!
//! Behind a proxy all strangers come from one address. Who logged in before does not depend on it.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_mins(1);
/// So much is little.
const LITTLE: u32 = 2;

/// A pace.
pub(super) struct Pace {
    of_all: u32,
    of_each: u32,
    counted: Mutex<Counted>,
}

struct Counted {
    since: Instant,
    strangers: u32,
    addresses: HashMap<Option<IpAddr>, u32>,
    networks: HashMap<Option<IpAddr>, u32>,
    /// Of those who logged in before.
    familiar: u32,
    people: HashMap<String, u32>,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            strangers: 0,
            addresses: HashMap::new(),
            networks: HashMap::new(),
            familiar: 0,
            people: HashMap::new(),
        }
    }
}

impl Pace {
    /// So often for all strangers, and so often for each address; a network may do twice that.
    pub(super) fn new(of_all: u32, of_each: u32) -> Self {
        Self { of_all, of_each, counted: Mutex::default() }
    }

    /// Counts one more for somebody who logged in before, or else for a stranger, if it may be done now.
    pub(super) fn allows(&self, peer: Option<IpAddr>, person: Option<&str>) -> bool {
        let mut counted = self.counted();
        if let Some(person) = person
            && counted.familiar < self.of_all
        {
            let own = counted.people.entry(person.to_owned()).or_default();
            if *own >= self.of_each {
                return false;
            }
            *own += 1;
            counted.familiar += 1;
            return true;
        }
        let has_room = self.has_room_in(&counted, peer);
        if has_room {
            counted.count(peer);
        }
        has_room
    }

    /// Whether a stranger may do it now, who is counted once it is known to have cost something.
    pub(super) fn has_room(&self, peer: Option<IpAddr>) -> bool {
        self.has_room_in(&self.counted(), peer)
    }

    /// Counts one more for a stranger.
    pub(super) fn count(&self, peer: Option<IpAddr>) {
        self.counted().count(peer);
    }

    fn has_room_in(&self, counted: &Counted, peer: Option<IpAddr>) -> bool {
        let of_network = if counted.strangers < self.of_all / 2 { 2 * self.of_each } else { LITTLE };
        counted.strangers < self.of_all
            && count_of(&counted.networks, &peer.map(network)) < of_network
            && count_of(&counted.addresses, &peer.map(address)) < self.of_each
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.since.elapsed() >= WINDOW {
            *counted = Counted::default();
        }
        counted
    }
}

impl Counted {
    /// No map has more entries than are counted in all.
    fn count(&mut self, peer: Option<IpAddr>) {
        self.strangers += 1;
        *self.addresses.entry(peer.map(address)).or_default() += 1;
        *self.networks.entry(peer.map(network)).or_default() += 1;
    }
}

fn count_of<K, Q>(counts: &HashMap<K, u32>, key: &Q) -> u32
where
    K: Eq + Hash + std::borrow::Borrow<Q>,
    Q: Eq + Hash + ?Sized,
{
    counts.get(key).copied().unwrap_or_default()
}

fn address(peer: IpAddr) -> IpAddr {
    prefix(peer, 32, 64)
}

fn network(peer: IpAddr) -> IpAddr {
    prefix(peer, 24, 56)
}

/// The first bits of an address.
fn prefix(peer: IpAddr, of_v4: u32, of_v6: u32) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(peer) => Ipv4Addr::from_bits(peer.to_bits() & (u32::MAX << (32 - of_v4))).into(),
        IpAddr::V6(peer) => Ipv6Addr::from_bits(peer.to_bits() & (u128::MAX << (128 - of_v6))).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pace: &Pace, peer: &str, person: Option<&str>) -> bool {
        pace.allows(Some(peer.parse().unwrap()), person)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_and_a_network_have_so_much_and_time_gives_it_back() {
        let pace = Pace::new(1000, 2);
        let takes = |text: &str| (0..10).filter(|_| allows(&pace, text, None)).count();
        assert_eq!(takes("10.0.0.1"), 2);
        assert_eq!(takes("::ffff:10.0.0.1"), 0, "the same, written otherwise");
        assert_eq!((takes("10.0.0.2"), takes("10.0.0.3")), (2, 0), "one network");
        assert_eq!(takes("10.0.1.1"), 2);
        assert_eq!((takes("2001:db8::1"), takes("2001:db8::2")), (2, 0), "one subscriber");
        assert_eq!((takes("2001:db8:0:1::1"), takes("2001:db8:0:2::1")), (2, 0), "one network");
        tokio::time::advance(WINDOW).await;
        assert_eq!(takes("10.0.0.1"), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_take_much_leave_half_of_it_to_those_who_take_little() {
        let pace = Pace::new(100, 10);
        let takes = |text: &str| (0..20).filter(|_| allows(&pace, text, None)).count();
        let greedy: usize = (0..20).map(|it| takes(&format!("10.0.{it}.1"))).sum();
        assert_eq!(greedy, 80, "five had ten each, and fifteen two");
        assert_eq!(takes("192.0.2.1"), 2);
        for network in 0..10 {
            takes(&format!("10.1.{network}.1"));
        }
        assert!(!allows(&pace, "198.51.100.1", None), "all of it is used up");
        assert!(allows(&pace, "198.51.100.1", Some("ada")), "but not what is for those who are known");
        assert_eq!((0..20).filter(|_| allows(&pace, "198.51.100.1", Some("ada"))).count(), 9);
        assert!(allows(&pace, "198.51.100.1", Some("bob")));
    }
}
