//! What is not wanted any more goes: Deployments that nobody claims, and those of scans that were cut off.
//!
//! Whoever uses a Deployment notes that in it before anything else, and whoever deletes one names the version in which it saw no
//! such note. So of two gateways neither deletes what the other has just begun to use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::super::api::Kind;
use super::super::deployment::State;
use super::super::failure::Failure;
use super::super::uses;
use super::super::watch;
use super::{Cluster, locked};

/// How often what nobody claims is looked for in any case, and how soon again where something was in the way.
const SWEEP: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(1);
/// How often what scans left behind is looked for, and how long nobody has noted a use of that then.
const LEFT_BEHIND: Duration = Duration::from_mins(5);
const ABANDONED: Duration = Duration::from_mins(10);

/// What the notes in a Deployment were, and since when.
type Seen = BTreeMap<String, (BTreeMap<String, u64>, Instant)>;

impl Cluster {
    pub(super) async fn sweep(&self) {
        let mut table = self.table.subscribe();
        // A table that is whole stays so.
        if table.wait_for(|table| table.is_whole).await.is_err() {
            return;
        }
        let began = Instant::now();
        loop {
            let grace = self.settings.grace;
            let early = began.elapsed() < grace;
            let all = self.remove_unclaimed(early).await;
            let next = match (early, all) {
                (_, false) => SOON,
                (true, true) => grace.saturating_sub(began.elapsed()),
                (false, true) => SWEEP,
            };
            let _ = tokio::time::timeout(next, self.released.notified()).await;
        }
    }

    /// Whether none of them was touched by somebody meanwhile.
    async fn remove_unclaimed(&self, early: bool) -> bool {
        let is_claimed = |name: &str| {
            let places = locked(&self.places);
            // Before there was time to claim it, what nobody had is left to itself.
            places.get(name).map_or(early, |place| place.claims.load(Ordering::Relaxed) > 0)
        };
        let known = self.table.borrow().deployments.clone();
        let mut all = true;
        for (name, state) in known.iter().filter(|(name, state)| !state.deleting && !is_claimed(name)) {
            let used = uses::by_others(&state.uses, &self.id, uses::now());
            if !used && !self.leaving.load(Ordering::Relaxed) {
                all &= self.remove(name, state).await;
            }
        }
        locked(&self.places)
            .retain(|name, place| place.claims.load(Ordering::Relaxed) > 0 || known.contains_key(name));
        all
    }

    /// Deletes a Deployment as it was seen; `false` where it is another by now.
    async fn remove(&self, name: &str, state: &State) -> bool {
        match self.api.delete(Kind::Deployment, name, &state.uid, state.version.as_deref()).await {
            Ok(true) => tracing::info!(deployment = name, "removed a Deployment that no server has any more"),
            Ok(false) => return false,
            Err(failure) => tracing::warn!(deployment = name, %failure, "cannot remove a Deployment"),
        }
        true
    }

    /// Removes what scans left behind, which note its use as any gateway does.
    pub(super) async fn sweep_scans(&self) {
        let Some(instance) = &self.settings.scans else { return };
        let mut seen = Seen::new();
        loop {
            tokio::time::sleep(LEFT_BEHIND).await;
            if let Err(failure) = self.remove_abandoned(instance, &mut seen).await {
                tracing::debug!(%failure, "cannot look for what scans left behind");
            }
        }
    }

    async fn remove_abandoned(&self, instance: &str, seen: &mut Seen) -> Result<(), Failure> {
        let (there, _) = watch::list(&self.api, instance).await?;
        let uids: BTreeSet<_> = there.values().map(|state| &state.uid).collect();
        seen.retain(|uid, _| uids.contains(uid));
        for (name, state) in &there {
            // What changes is told by what it was before, so no clock is believed.
            let entry = seen.entry(state.uid.clone()).or_insert_with(|| (state.uses.clone(), Instant::now()));
            if entry.0 != state.uses {
                *entry = (state.uses.clone(), Instant::now());
            }
            if entry.1.elapsed() >= ABANDONED && !state.deleting {
                self.remove(name, state).await;
            }
        }
        Ok(())
    }
}
