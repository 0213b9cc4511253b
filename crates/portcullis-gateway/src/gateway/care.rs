//! What runs beside the calls for as long as the gateway serves: sessions, records, logins and evidence are looked after.

use std::sync::Arc;
use std::time::Duration;

use portcullis_config::Settings;
use portcullis_identity::Facade;

use super::Gateway;
use crate::discovery::Embeddings;
use crate::record;

/// How often idle sessions are looked for, at the least.
const SWEEP: Duration = Duration::from_secs(10);

/// How often the store is swept, and how soon again while there was something to sweep.
const SWEEP_RECORDS: Duration = Duration::from_mins(1);
const BETWEEN_SWEEPS: Duration = Duration::from_secs(1);

impl Gateway {
    /// Asks whoever the settings name for vectors. What is known stays known as long as that is the same.
    pub(super) fn put_embeddings(&self, settings: &Settings) {
        let known = self.embeddings.load_full();
        let made = settings.embeddings.as_ref().map(|settings| match known {
            Some(known) if known.is_as(settings) => known,
            _ => Embeddings::of(settings, &self.env.metrics),
        });
        self.embeddings.store(made);
    }

    /// Ends sessions that nobody uses any more, forgets tasks whose time is over, and renews keys; runs for as long as the
    /// gateway serves.
    pub async fn look_after_sessions(self: Arc<Self>) {
        while !self.draining.is_cancelled() {
            // A session that may idle for a moment only is not to stay for much longer, nor a key.
            let pause = SWEEP.min(self.env.limits().session_idle / 2).min(self.sealer.rotation() / 8);
            let pause = pause.max(Duration::from_millis(50));
            tokio::time::sleep(pause).await;
            self.sealer.rotate_in_time();
            self.tasks.sweep();
            let listening = self.subscribers.principals();
            for idle in self.servers.load().iter().flat_map(|catalogue| catalogue.take_idle(&listening)) {
                self.env.control.spawn(idle.retire(Duration::ZERO));
            }
            for catalogue in self.servers.load().iter() {
                catalogue.forget_sessions(|id| self.sessions.get(id).is_some());
            }
            let ended = self.sessions.sweep(self.env.limits().session_idle);
            for session in ended {
                crate::listen::session_ended(&self, &session);
            }
        }
    }

    /// Removes from the store what has ended; runs for as long as the gateway serves.
    pub async fn look_after_records(self: Arc<Self>) {
        while !self.draining.is_cancelled() {
            match self.records.sweep().await {
                // There is more.
                Ok(swept) if swept > 0 => tokio::time::sleep(BETWEEN_SWEEPS).await,
                Ok(_) => tokio::time::sleep(SWEEP_RECORDS).await,
                Err(error) => {
                    tracing::warn!(%error, "cannot remove what has ended");
                    tokio::time::sleep(SWEEP_RECORDS).await;
                }
            }
        }
    }

    /// Watches the cluster in which images run, where there is one; runs for as long as the gateway serves.
    pub async fn look_after_cluster(self: Arc<Self>) {
        if let Some(cluster) = &self.env.cluster {
            cluster.look_after().await;
        }
    }

    /// Deletes what its servers run as in a cluster: for whoever has looked at them and wants nothing of them to stay.
    pub async fn delete_deployments(&self) {
        for catalogue in self.servers.load_full().iter() {
            if let Some(deployed) = catalogue.server.deployed() {
                deployed.delete().await;
            }
        }
    }

    /// Takes up logins that ended in other processes with the same store; runs for as long as the gateway serves.
    pub async fn look_after_logins(self: Arc<Self>) {
        let mut said = None;
        while !self.draining.is_cancelled() {
            if let Some(facade) = self.facade.load_full() {
                let heard = facade.hear_of_ends().await.err();
                if let Some(reason) = heard.filter(|_| heard != said) {
                    tracing::warn!(
                        reason,
                        "cannot hear of logins that ended elsewhere; their tokens last until they expire"
                    );
                }
                said = heard;
            }
            tokio::time::sleep(Facade::BETWEEN_LOOKS).await;
        }
    }

    /// Looks after the evidence log, where there is one; runs for as long as the gateway serves.
    pub async fn look_after_evidence(self: Arc<Self>) {
        if let Some(evidence) = self.evidence.clone() {
            record::look_after(evidence).await;
        }
    }
}
