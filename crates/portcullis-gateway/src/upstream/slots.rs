//! The conversations with one server: the one that everybody shares, those of single clients, and those in which more was
//! declared.
//!
//! A server with sessions learns once, in the handshake, what its client can be asked. So clients that can be asked
//! different things have conversations of their own, one for each set of capabilities. Clients can make up many sets, and
//! there can be many clients: so many conversations are kept, for each owner and in all, and a new one takes the place of
//! the one that was idle longest. A client's only conversation, which may hold state of its own, is left in peace for
//! longer than one of many.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use portcullis_mcp::caps::ClientCaps;

use super::connection::Connection;

/// Conversations in which something was declared, for each owner.
const MOST_DECLARED: usize = 24;
/// One that was used more recently is not taken from its clients.
const AT_REST: Duration = Duration::from_secs(1);
/// Nor is one that makes room for another owner's.
const LONG_AT_REST: Duration = Duration::from_mins(1);

/// The place of one conversation.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) current: ArcSwapOption<Connection>,
    pub(super) opening: tokio::sync::Mutex<()>,
    /// Its child ended by itself, and no other has taken its place yet.
    pub(super) lost: AtomicBool,
}

/// Which conversation is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    /// The client that it belongs to, where servers are not shared.
    pub(super) owner: Option<Arc<str>>,
    /// 0 for the legacy one, 1 for the modern one; children have one.
    pub(super) place: usize,
    /// What is declared in it.
    pub(super) caps: ClientCaps,
    /// Which of several that are alike.
    pub(super) lane: u8,
}

/// All of them.
pub(super) struct Slots {
    /// Of everybody, with nothing declared.
    shared: [Arc<Slot>; 2],
    others: Mutex<HashMap<Wanted, Arc<Slot>>>,
    /// How many others there may be in all.
    most: usize,
}

/// There are as many conversations as may be, and all of them are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// With different capabilities, of one owner.
    Owner,
    /// In all.
    All,
}

/// A conversation's place, and one that had to make room and is to be closed.
pub(super) struct Found {
    pub(super) slot: Arc<Slot>,
    pub(super) evicted: Option<Arc<Slot>>,
}

impl Slots {
    /// None yet, and never more than `most` besides the one that everybody shares.
    pub(super) fn new(most: usize) -> Self {
        Self { shared: Default::default(), others: Mutex::default(), most }
    }

    /// The place of a conversation, made if there is none.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn find(&self, wanted: &Wanted) -> Result<Found, Full> {
        if let Some(slot) = self.shared_by(wanted) {
            return Ok(Found { slot: slot.clone(), evicted: None });
        }
        let mut others = self.lock();
        if let Some(slot) = others.get(wanted) {
            return Ok(Found { slot: slot.clone(), evicted: None });
        }
        let evicted = make_room(&mut others, wanted, self.most)?;
        let slot = others.entry(wanted.clone()).or_default().clone();
        Ok(Found { slot, evicted })
    }

    /// Whether a connection is the one of a conversation.
    pub(super) fn holds(&self, wanted: &Wanted, connection: &Arc<Connection>) -> bool {
        match self.shared_by(wanted) {
            Some(slot) => slot.holds(connection),
            None => self.lock().get(wanted).is_some_and(|slot| slot.holds(connection)),
        }
    }

    /// The place of a conversation that everybody shares.
    fn shared_by(&self, wanted: &Wanted) -> Option<&Arc<Slot>> {
        (wanted.owner.is_none() && wanted.caps == ClientCaps::NONE).then(|| &self.shared[wanted.place])
    }

    /// Whether there is a conversation in which just this is declared, of whomever.
    pub(super) fn has_open(&self, caps: ClientCaps) -> bool {
        let others = self.lock();
        others.iter().any(|(wanted, slot)| wanted.caps == caps && slot.usable().is_some())
    }

    /// Whether a place is one of these.
    pub(super) fn has(&self, slot: &Arc<Slot>) -> bool {
        self.shared.iter().any(|shared| Arc::ptr_eq(shared, slot))
            || self.lock().values().any(|other| Arc::ptr_eq(other, slot))
    }

    /// Takes out what belongs to one client alone.
    pub(super) fn end(&self, owner: &str) -> Vec<Arc<Slot>> {
        let is_its = |wanted: &Wanted| wanted.owner.as_deref() == Some(owner);
        self.lock().extract_if(|wanted, _| is_its(wanted)).map(|(_, slot)| slot).collect()
    }

    /// All places; those of single clients and sets are forgotten.
    pub(super) fn take_all(&self) -> Vec<Arc<Slot>> {
        let others = std::mem::take(&mut *self.lock());
        others.into_values().chain(self.shared.iter().cloned()).collect()
    }

    /// The connections that are open.
    pub(super) fn open(&self) -> Vec<Arc<Connection>> {
        let others: Vec<_> = self.lock().values().cloned().collect();
        others.iter().chain(&self.shared).filter_map(|slot| slot.usable()).collect()
    }

    /// A connection is of no use any more.
    pub(super) fn forget(&self, connection: &Arc<Connection>) {
        let others: Vec<_> = self.lock().values().cloned().collect();
        for slot in others.iter().chain(&self.shared) {
            slot.forget(connection);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Wanted, Arc<Slot>>> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out the conversation that was idle longest, when there are too many: among the declared ones of the same owner,
/// or among all.
fn make_room(
    others: &mut HashMap<Wanted, Arc<Slot>>,
    wanted: &Wanted,
    most: usize,
) -> Result<Option<Arc<Slot>>, Full> {
    let is_own = |other: &Wanted| other.owner == wanted.owner && other.caps != ClientCaps::NONE;
    let own_full = wanted.caps != ClientCaps::NONE
        && others.len() >= MOST_DECLARED
        && others.keys().filter(|other| is_own(other)).count() >= MOST_DECLARED;
    if !own_full && others.len() < most {
        return Ok(None);
    }
    let idle = others.iter().filter_map(|(other, slot)| {
        let rest = if is_own(other) { AT_REST } else { LONG_AT_REST };
        let counts = is_own(other) || !own_full;
        Some((slot.idle().filter(|idle| counts && *idle >= rest)?, other.clone()))
    });
    let longest = idle.max_by_key(|(idle, _)| *idle);
    let (_, longest) = longest.ok_or(if own_full { Full::Owner } else { Full::All })?;
    Ok(others.remove(&longest))
}

impl Slot {
    pub(super) fn usable(&self) -> Option<Arc<Connection>> {
        self.current.load_full().filter(|connection| connection.is_open())
    }

    /// How long nobody has used it; `None` while it is being opened.
    fn idle(&self) -> Option<Duration> {
        match &*self.current.load() {
            Some(connection) => Some(connection.idle()),
            None => self.opening.try_lock().is_ok().then_some(Duration::MAX),
        }
    }

    pub(super) fn holds(&self, connection: &Arc<Connection>) -> bool {
        self.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, connection))
    }

    pub(super) fn forget(&self, connection: &Arc<Connection>) {
        if self.holds(connection) {
            self.current.store(None);
        }
    }

    pub(super) async fn close(&self) {
        if let Some(connection) = self.current.swap(None) {
            connection.close().await;
        }
    }
}

#[cfg(test)]
mod tests;
