//! The cluster in which servers run, and what is run of an image, checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::check::is_loopback;
use crate::{SandboxNetwork, Secret, UpstreamUrl};

/// The cluster in which servers with an image run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubernetes {
    /// How its API server is reached.
    pub access: ClusterAccess,
    /// Where the Deployments are.
    pub namespace: String,
    /// What tells the objects of this gateway from those of others.
    pub instance: String,
    /// Secrets with which images are fetched.
    pub image_pull_secrets: Vec<String>,
    /// From where servers may be reached.
    pub gateway: GatewayPlace,
    /// From the start of a server until it is ready.
    pub start_timeout: Duration,
    /// Nobody but one look needs what is there of the instance. No file says it: the program does, when it looks at a server.
    pub is_for_a_look: bool,
}

impl Kubernetes {
    /// What tells what is only looked at from what runs for callers.
    pub fn instance_of_scans(&self) -> String {
        format!("{}-scan", self.instance)
    }

    /// The same cluster for one look: beside what runs for callers, and never it.
    #[must_use]
    pub fn for_a_look(self) -> Self {
        Self { instance: self.instance_of_scans(), is_for_a_look: true, ..self }
    }
}

/// Where the gateway is, as network policies say it. Either labels or addresses are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayPlace {
    /// Of its pods.
    pub labels: BTreeMap<String, String>,
    /// Of its pods, where it is not that of the servers.
    pub namespace: Option<String>,
    /// Its addresses.
    pub cidrs: Vec<String>,
}

/// How an API server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterAccess {
    /// Its address; paths of the API are below it.
    pub server: UpstreamUrl,
    /// The authorities that signed its certificate, instead of those of the system.
    pub ca: Option<Pem>,
    /// The name in its certificate, where it is not that of the address.
    pub server_name: Option<String>,
    /// `false` accepts any certificate.
    pub verify: bool,
    /// As whom it is asked.
    pub auth: ClusterAuth,
}

impl ClusterAccess {
    /// Whether the API server is on this machine.
    pub fn is_local(&self) -> bool {
        is_loopback(self.server.expose())
    }
}

/// As whom an API server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterAuth {
    /// As nobody.
    None,
    /// By a token.
    Token(Secret),
    /// By a token that somebody keeps fresh: it is read before each request.
    TokenFile(PathBuf),
    /// By a client certificate.
    Certificate {
        /// The chain.
        cert: Pem,
        /// Its key.
        key: Pem,
    },
}

/// Something in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// In a file.
    File(PathBuf),
    /// In base64, as a kubeconfig has it.
    Base64(Secret),
}

/// An image that is run as a Deployment, and speaks Streamable HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its reference, which ends with its digest.
    pub reference: String,
    /// In place of its entry point.
    pub command: Vec<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables set for it.
    pub env: BTreeMap<String, Secret>,
    /// Stopped after so long without a call; `None` means never.
    pub idle_stop: Option<Duration>,
    /// On which it serves.
    pub port: u16,
    /// Of its endpoint.
    pub path: String,
    /// Processor time, as Kubernetes writes it.
    pub cpu: String,
    /// Bytes.
    pub memory: u64,
    /// Bytes in `/tmp`.
    pub tmp: u64,
    /// The user that it runs as.
    pub user: Option<u32>,
    /// Where it may connect to.
    pub network: SandboxNetwork,
    /// Where the ports of that may be; at public addresses when it is empty.
    pub cidrs: Vec<String>,
}
