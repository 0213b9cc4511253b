//! All sessions, found by id.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;
use foldhash::fast::RandomState;
use portcullis_model::Principal;

use super::{Replay, Session};
use crate::call::Endpoint;

const SHARDS: usize = 16;

/// The sessions of this process.
pub(crate) struct Sessions {
    shards: [Mutex<HashMap<Arc<str>, Arc<Session>>>; SHARDS],
    hasher: RandomState,
    count: AtomicUsize,
    replay: Arc<Replay>,
}

/// As many sessions are open as are allowed.
pub(crate) struct Full;

impl Default for Sessions {
    fn default() -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::default(),
            count: AtomicUsize::new(0),
            replay: Arc::default(),
        }
    }
}

impl Sessions {
    /// Keeps a new session.
    ///
    /// # Errors
    /// [`Full`] when there are `limit` already.
    pub(crate) fn add(&self, session: Arc<Session>, limit: usize) -> Result<(), Full> {
        if self.count.fetch_add(1, Ordering::Relaxed) >= limit {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(Full);
        }
        self.shard(&session.id).insert(session.id.clone(), session);
        Ok(())
    }

    /// The session with this id, for the principal and the endpoint that it belongs to.
    pub(crate) fn find(&self, id: &str, principal: &Principal, endpoint: &Endpoint) -> Option<Arc<Session>> {
        let session = self.shard(id).get(id).cloned()?;
        (session.caller.principal == *principal && session.endpoint == *endpoint).then_some(session)
    }

    /// The session with this id, for the gateway's own use: what is said in it reaches nobody but its client.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.shard(id).get(id).cloned()
    }

    /// The ids of all of them.
    pub(crate) fn ids(&self) -> Vec<Arc<str>> {
        let of = |shard: &Mutex<HashMap<Arc<str>, Arc<Session>>>| {
            shard.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(of).collect()
    }

    /// The finished streams of all of them.
    pub(crate) fn replay(&self) -> &Arc<Replay> {
        &self.replay
    }

    /// Ends a session: its calls are cancelled, its streams close.
    pub(crate) fn end(&self, session: &Session) {
        if self.shard(&session.id).remove(&session.id).is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        session.end();
    }

    /// Whether a client is getting an answer, or is expected back for one.
    pub(crate) fn are_awaited(&self) -> bool {
        self.shards.iter().any(|shard| {
            let sessions = shard.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.values().any(|session| session.is_awaited())
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Ends the sessions that nobody has used for `idle`, and tidies up in the others. Returns the ended ones.
    pub(crate) fn sweep(&self, idle: Duration) -> Vec<Arc<Session>> {
        let mut over = Vec::new();
        for shard in &self.shards {
            let sessions: Vec<_> =
                shard.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
            for session in sessions {
                session.forget_old_streams();
                if session.idle().is_some_and(|unused| unused >= idle) {
                    over.push(session);
                }
            }
        }
        for session in &over {
            self.end(session);
        }
        over
    }

    fn shard(&self, id: &str) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Session>>> {
        let hash = usize::try_from(self.hasher.hash_one(id) % SHARDS as u64).unwrap_or(0);
        self.shards[hash].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
