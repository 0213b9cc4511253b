//! Servers whose images a Kubernetes cluster runs: what of them is the gateway's matter.
//!
//! The hub knows what a Deployment is and when it is ready (`portcullis_hub::kubernetes`). Here is the way to its API server
//! (`wire.rs`), and what joins such a server to the life of any other (`deployed.rs`): it is started by who needs it, reached at
//! the address of its Service, and stopped when nobody uses it.
//!
//! Without the feature `kubernetes` there is `no_cluster.rs` in the place of this, with the same face.

mod access;
mod deployed;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config as config;
use portcullis_hub::Network;
use portcullis_hub::kubernetes::{Cluster as Namespace, Ingress, Settings, Workload};
use portcullis_model::ServerId;

pub(crate) use self::deployed::Deployed;
use self::wire::ApiServer;
use super::tls::TlsError;
use crate::record::hex;
use crate::seal::random_bytes;

pub(crate) use portcullis_hub::kubernetes::{PodLog, Running};

/// What is left of an earlier life may be wanted yet, by a server of the registry.
const GRACE: Duration = Duration::from_secs(30);

/// The cluster of the configuration.
pub(crate) struct Cluster(Arc<Namespace>);

impl Cluster {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// What its API server is to be reached with cannot be used.
    pub(crate) fn new(settings: &config::Kubernetes, limits: &config::Limits) -> Result<Self, TlsError> {
        let wire = Arc::new(ApiServer::new(&settings.access)?);
        let id = hex(&random_bytes()[..4]);
        let gateway = Ingress {
            labels: settings.gateway.labels.clone(),
            namespace: settings.gateway.namespace.clone(),
            cidrs: settings.gateway.cidrs.clone(),
        };
        let settings = Settings {
            namespace: settings.namespace.clone(),
            instance: settings.instance.clone(),
            gateway,
            pull_secrets: settings.image_pull_secrets.clone(),
            start_timeout: settings.start_timeout,
            drain: limits.drain,
            grace: if settings.is_for_a_look { Duration::ZERO } else { GRACE },
            scans: (!settings.is_for_a_look).then(|| settings.instance_of_scans()),
            is_local: settings.access.is_local(),
        };
        Ok(Self(Namespace::new(wire, settings, &id)))
    }

    /// Watches it, and removes what no server has any more; runs for as long as the gateway serves.
    pub(crate) async fn look_after(&self) {
        self.0.look_after().await;
    }

    /// What runs is left to the next life of the gateway.
    pub(crate) fn leave(&self) {
        self.0.leave();
    }
}

/// A server as the hub has it run.
fn workload(server: &ServerId, version: Option<&str>, image: &config::Image) -> Workload {
    let env: BTreeMap<_, _> =
        image.env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
    // What stands in the configuration in plain text is no secret to whoever reads the log.
    let secrets = image.env.values().filter(|value| *value.source() != config::SecretSource::Literal);
    Workload {
        server: server.clone(),
        version: version.map(str::to_owned),
        image: image.reference.clone(),
        command: image.command.clone(),
        args: image.args.clone(),
        env,
        secrets: secrets.map(|value| value.expose().to_owned()).collect(),
        port: image.port,
        cpu: image.cpu.clone(),
        memory: image.memory,
        tmp: image.tmp,
        user: image.user,
        network: match &image.network {
            config::SandboxNetwork::None => Network::None,
            config::SandboxNetwork::Ports(ports) => Network::Ports(ports.clone()),
            config::SandboxNetwork::Any => Network::Any,
        },
        cidrs: image.cidrs.clone(),
    }
}
