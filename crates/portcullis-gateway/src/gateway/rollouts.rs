//! Versions that are rolled out, looked after while the gateway serves.
//!
//! Whoever has another version from now on is told that the lists have changed, and nobody else. A version that does badly is
//! taken back at once here, and in the registry as soon as the store takes it, so that every gateway does; a version to
//! which nobody is led any more is let go when its time is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_audit::Kind;
use portcullis_hub::registry::{NotRolled, Registry, Word};
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::revision::Era;
use portcullis_model::ServerId;
use tokio::task::JoinHandle;

use super::Gateway;
use crate::route::{Catalogue, Transition};
use crate::subscribe::Moving;
use crate::upstream::ServerState;

/// How often it is looked how versions do.
const LOOK: Duration = Duration::from_millis(250);
/// How long it is waited before a take-back is written down once more, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Whoever chose a version before it was let go has begun their call by then.
const BEGUN: Duration = Duration::from_millis(250);
/// What calls that are under way when a version is let go may still take: a session has it until the last moment, and what it
/// called just then is not broken off.
const UNDER_WAY: Duration = Duration::from_secs(5);
/// What the gateway does by itself is done by this name.
const BY: &str = "gateway";

/// That a version was taken back, as long as it is still rolled out here.
struct Unwritten {
    /// When it is written down, or looked whether it was.
    again: Instant,
    /// How often in a row the store did not take it.
    failures: u32,
}

/// How long it is waited after so many failures.
fn pause(failures: u32) -> Duration {
    LONGEST_PAUSE.min(PAUSE * 2_u32.saturating_pow(failures.min(16)))
}

impl Gateway {
    /// Looks after versions that are rolled out or leave; runs for as long as the gateway serves.
    pub async fn look_after_versions(self: Arc<Self>) {
        let mut unwritten = HashMap::new();
        // One attempt at a time for each.
        let mut attempts: HashMap<Arc<str>, JoinHandle<()>> = HashMap::new();
        while !self.draining.is_cancelled() {
            tokio::time::sleep(LOOK).await;
            let servers = self.servers.load_full();
            for catalogue in servers.iter().filter(|it| it.has_others()) {
                if let Some((next, why)) = catalogue.next_verdict() {
                    self.take_back(&next, &why).await;
                } else if let Some(next) = catalogue.next_version() {
                    let scope = next.server.scope().clone();
                    if attempts.get(&scope).is_none_or(JoinHandle::is_finished) {
                        attempts.extend(self.attempt(next).map(|attempt| (scope, attempt)));
                    }
                }
                if catalogue.overdue(Instant::now()) {
                    self.let_go(catalogue);
                }
            }
            let next = servers.iter().filter_map(|it| it.next_version());
            let taken_back: Vec<_> = next.filter(|it| it.server.is_tripped()).collect();
            self.write_down_all(&taken_back, &mut unwritten).await;
            attempts.retain(|_, attempt| !attempt.is_finished());
        }
    }

    /// One that was not reached yet, or cannot be, is tried until that is certain: no caller has to find it out.
    fn attempt(&self, next: Arc<Catalogue>) -> Option<JoinHandle<()>> {
        let is_up = next.server.state() == ServerState::Up;
        if is_up || next.server.is_tripped() || next.server.is_personal() {
            return None;
        }
        let conversation: Arc<str> = Arc::from("catalogue");
        Some(self.env.control.spawn(async move {
            let _ = next.server.connection_with(Era::Modern, &conversation, ClientCaps::NONE).await;
        }))
    }

    async fn take_back(self: &Arc<Self>, next: &Arc<Catalogue>, why: &str) {
        let (id, version) = (next.server.id(), next.server.version().map_or("", |version| &**version));
        let listening = self.subscribers.before(self, [id]);
        if !next.server.trip(why) {
            return;
        }
        tracing::warn!(server.id = %id, version, why, "a version that was rolled out does badly: it is taken back");
        let help = "Versions that were taken back because they did badly, by server.";
        self.metrics()
            .counter("portcullis_versions_taken_back_total", help, &[("server", id.as_str())])
            .add(1);
        self.after_transitions(listening);
        if let Some(evidence) = &self.evidence {
            let detail = [
                ("what", "version taken back".to_owned()),
                ("server", id.to_string()),
                ("version", version.to_owned()),
                ("why", why.to_owned()),
            ];
            let _ = evidence.changed(Kind::Catalogue, &detail).await;
        }
    }

    /// Writes down which were taken back, each when its time has come, and says once of each that it cannot be.
    async fn write_down_all(
        &self,
        taken_back: &[Arc<Catalogue>],
        unwritten: &mut HashMap<Arc<str>, Unwritten>,
    ) {
        unwritten.retain(|scope, _| taken_back.iter().any(|it| it.server.scope() == scope));
        for next in taken_back {
            let scope = next.server.scope().clone();
            let it =
                unwritten.entry(scope).or_insert_with(|| Unwritten { again: Instant::now(), failures: 0 });
            if it.again > Instant::now() {
                continue;
            }
            match self.write_down(next).await {
                Ok(()) => it.failures = 0,
                Err(error) => {
                    if it.failures == 0 {
                        tracing::warn!(%error, server.id = %next.server.id(), "cannot write down that a version was taken back");
                    }
                    it.failures = it.failures.saturating_add(1);
                }
            }
            it.again = Instant::now() + pause(it.failures);
        }
    }

    /// So that all gateways do the same, and this one after a restart.
    async fn write_down(&self, next: &Arc<Catalogue>) -> Result<(), NotRolled> {
        let (id, version) = (next.server.id(), next.server.version().map_or("", |version| &**version));
        let note = next.server.tripped().map(str::to_owned);
        let word = Word { by: BY, at: now_ms(), note };
        let registry = Registry::new(self.records.clone());
        registry.step_back(id.as_str(), version, word).await.map(drop)
    }

    fn let_go(self: &Arc<Self>, catalogue: &Arc<Catalogue>) {
        let listening = self.subscribers.before(self, [catalogue.server.id()]);
        let gone = catalogue.let_go(Instant::now());
        self.after_transitions(listening);
        for server in gone {
            let version = server.version().map(|version| &**version);
            tracing::info!(server.id = %server.id(), version, "a version is let go");
            self.env.control.spawn(async move {
                tokio::time::sleep(BEGUN).await;
                server.retire(UNDER_WAY).await;
            });
        }
    }

    /// Which versions those have who listen, before that changes.
    pub(super) fn before_transitions(self: &Arc<Self>, transitions: &[Transition]) -> Moving {
        self.subscribers.before(self, transitions.iter().map(Transition::server))
    }

    /// Tells those of them who have others now.
    pub(super) fn after_transitions(self: &Arc<Self>, listening: Moving) {
        self.subscribers.clone().after(self, listening);
    }

    /// A server's versions in force, by its name; `None` where there is no such server.
    pub(crate) fn rollout_of(&self, server: &ServerId) -> Option<crate::route::Rollout> {
        self.servers.load().find(server.as_str()).map(|catalogue| catalogue.rollout())
    }
}

/// The time, as records have it.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
