//! The open HTTP+SSE connections, found by the id that their `endpoint` event names.
//!
//! A connection belongs to the principal and the endpoint that opened it; to everybody else it does not exist. It is
//! there before its session is: the client opens the stream first and says `initialize` on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_identity::Verified;
use portcullis_model::Principal;

use crate::admit::Place;
use crate::call::Endpoint;
use crate::gateway::Gateway;
use crate::listen::legacy;
use crate::listen::session::{Session, Wire};

/// One client's stream, and its session once there is one.
pub(crate) struct Connection {
    pub(super) id: Arc<str>,
    pub(super) principal: Principal,
    pub(super) endpoint: Endpoint,
    pub(super) wire: Arc<Wire>,
    stage: Mutex<Stage>,
    /// What the client last proved itself with, if that ends.
    credential: Mutex<Option<Arc<Verified>>>,
}

enum Stage {
    /// Nobody has said `initialize`.
    Fresh,
    /// Somebody has, and is about to be answered.
    Opening,
    Open(Arc<Session>),
    /// The stream is gone.
    Closed,
}

impl Connection {
    pub(super) fn new(id: Arc<str>, principal: Principal, endpoint: Endpoint, wire: Arc<Wire>) -> Self {
        Self { id, principal, endpoint, wire, stage: Mutex::new(Stage::Fresh), credential: Mutex::default() }
    }

    /// The client has presented this; it counts from now on when it lasts longer.
    pub(super) fn renew(&self, verified: Option<&Arc<Verified>>) {
        let Some(verified) = verified else { return };
        let mut credential = self.credential.lock().unwrap_or_else(PoisonError::into_inner);
        if credential.as_ref().is_none_or(|old| verified.lasts_longer_than(old)) {
            *credential = Some(verified.clone());
        }
    }

    /// What the client last proved itself with.
    pub(super) fn credential(&self) -> Option<Arc<Verified>> {
        self.credential.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn session(&self) -> Option<Arc<Session>> {
        match &*self.stage() {
            Stage::Open(session) => Some(session.clone()),
            _ => None,
        }
    }

    /// Whether nothing keeps the connection: no session, and none under way.
    pub(super) fn is_fresh(&self) -> bool {
        matches!(*self.stage(), Stage::Fresh)
    }

    /// Takes the one chance to open a session; `false` when somebody else has it.
    pub(super) fn begin_opening(&self) -> bool {
        let mut stage = self.stage();
        let fresh = matches!(*stage, Stage::Fresh);
        if fresh {
            *stage = Stage::Opening;
        }
        fresh
    }

    /// No session came of it; the client may try again.
    pub(super) fn failed_opening(&self) {
        let mut stage = self.stage();
        if matches!(*stage, Stage::Opening) {
            *stage = Stage::Fresh;
        }
    }

    /// There is a session; `false` when the stream has gone meanwhile.
    pub(super) fn opened(&self, session: Arc<Session>) -> bool {
        let mut stage = self.stage();
        let there = matches!(*stage, Stage::Opening);
        if there {
            *stage = Stage::Open(session);
        }
        there
    }

    /// Ends everything of the client, once.
    pub(super) fn end(&self, gateway: &Gateway) {
        gateway.connections.lock().remove(&self.id);
        self.wire.closed.cancel();
        let last = std::mem::replace(&mut *self.stage(), Stage::Closed);
        if let Stage::Open(session) = last {
            legacy::delete(gateway, &session);
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All connections of this process.
#[derive(Default)]
pub(crate) struct Connections(Mutex<HashMap<Arc<str>, Arc<Connection>>>);

impl Connections {
    /// Keeps a connection; `false` when there are `limit` already.
    pub(super) fn add(&self, connection: Arc<Connection>, limit: usize) -> bool {
        let mut all = self.lock();
        if all.len() >= limit {
            return false;
        }
        all.insert(connection.id.clone(), connection);
        true
    }

    /// The connection with this id, for the principal and the endpoint that it belongs to.
    pub(super) fn find(
        &self,
        id: &str,
        principal: &Principal,
        endpoint: &Endpoint,
    ) -> Option<Arc<Connection>> {
        let connection = self.lock().get(id).cloned()?;
        (connection.principal == *principal && connection.endpoint == *endpoint).then_some(connection)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Connection>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection for as long as its stream is read.
pub(super) struct Held {
    pub(super) gateway: Arc<Gateway>,
    pub(super) connection: Arc<Connection>,
    /// Its place among the sessions of its principal.
    _place: Option<Place>,
}

impl Held {
    /// The stream may end from either side: the client drops it, or it is closed while its last bytes are stuck on their
    /// way to a client that does not read. The session does not wait for those.
    pub(super) fn new(gateway: Arc<Gateway>, connection: Arc<Connection>, place: Option<Place>) -> Self {
        let held = Self { gateway: gateway.clone(), connection: connection.clone(), _place: place };
        tokio::spawn(async move {
            connection.wire.closed.cancelled().await;
            connection.end(&gateway);
        });
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.connection.end(&self.gateway);
    }
}

#[cfg(test)]
mod tests;
