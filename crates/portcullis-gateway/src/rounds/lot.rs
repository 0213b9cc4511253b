//! The parking lot: calls of modern clients to legacy servers that wait for the client to come back with answers.
//!
//! A parked call goes on at the server, which waits. How many may wait is bounded, in all and for each principal, and so is
//! the time: a call whose client does not come back is cancelled, and its questions are answered as cancelled. Each round
//! can be claimed once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_model::Principal;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::habits::Habits;
use crate::call::{Exchange, Question};
use crate::record::Entry;
use crate::seal::random_bytes;

/// A call that waits.
pub(super) struct Parked {
    /// What the client is asked, by key. Before the call, so that it is answered before the call is cancelled.
    pub(super) asked: Vec<(String, Question)>,
    pub(super) exchange: Exchange,
    /// How many keys were given.
    pub(super) keys: u32,
    /// The client was asked one thing in the last round.
    pub(super) alone: bool,
    /// The entry of the last request about it.
    pub(super) record: Entry,
}

/// Where a call is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) id: [u8; 16],
    /// Counts the rounds; each is claimed once.
    pub(super) round: u32,
}

impl Place {
    /// A place for a call that was not parked yet.
    pub(super) fn new() -> Self {
        Self { id: random_bytes(), round: 0 }
    }

    /// For the next round.
    pub(super) fn next(self) -> Self {
        Self { round: self.round.saturating_add(1), ..self }
    }
}

/// How much may be parked, and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) all: usize,
    pub(super) each: usize,
    pub(super) patience: Duration,
}

/// As much is parked as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// By everybody.
    All,
    /// By this caller.
    Caller,
}

/// The lot.
#[derive(Default)]
pub(crate) struct Lot {
    pub(super) habits: Habits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    parked: HashMap<[u8; 16], Held>,
    by_owner: HashMap<Principal, usize>,
}

struct Held {
    round: u32,
    owner: Principal,
    parked: Parked,
    expiry: AbortHandle,
}

impl Lot {
    /// Parks a call until it is claimed, for as long as `bounds` says. The timer runs on `runtime`.
    ///
    /// # Errors
    /// [`Full`]; the call is dropped, and so cancelled.
    pub(super) fn park(
        self: &Arc<Self>,
        place: Place,
        owner: &Principal,
        parked: Parked,
        bounds: Bounds,
        runtime: &Handle,
    ) -> Result<(), Full> {
        let lot = Arc::downgrade(self);
        let mut state = self.state();
        let full = match state.by_owner.get(owner) {
            _ if state.parked.len() >= bounds.all => Some(Full::All),
            Some(own) if *own >= bounds.each => Some(Full::Caller),
            _ => None,
        };
        if let Some(full) = full {
            drop(state);
            drop(parked);
            return Err(full);
        }
        let expiry = runtime.spawn(async move {
            tokio::time::sleep(bounds.patience).await;
            if let Some(lot) = lot.upgrade() {
                drop(lot.take(place));
            }
        });
        let expiry = expiry.abort_handle();
        *state.by_owner.entry(owner.clone()).or_default() += 1;
        state.parked.insert(place.id, Held { round: place.round, owner: owner.clone(), parked, expiry });
        Ok(())
    }

    /// Takes a parked call; `None` when that round was claimed already, has expired, or never was.
    pub(super) fn claim(&self, place: Place) -> Option<Parked> {
        let entry = self.take(place)?;
        entry.expiry.abort();
        Some(entry.parked)
    }

    /// Gives up everything that is parked: nobody can come back any more.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut *self.state());
        for entry in all.parked.values() {
            entry.expiry.abort();
        }
        // The calls are dropped without the lock: dropping cancels.
        drop(all);
    }

    fn take(&self, place: Place) -> Option<Held> {
        let mut state = self.state();
        state.parked.get(&place.id).filter(|entry| entry.round == place.round)?;
        let entry = state.parked.remove(&place.id)?;
        if let Some(own) = state.by_owner.get_mut(&entry.owner) {
            *own -= 1;
            if *own == 0 {
                state.by_owner.remove(&entry.owner);
            }
        }
        Some(entry)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
