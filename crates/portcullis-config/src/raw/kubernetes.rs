//! `kubernetes`, and what an entry of `servers` says of its container.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, Network, Size};

/// The cluster in which servers with an `image` run. The gateway makes a Deployment of each when it is needed. A change needs a
/// restart.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kubernetes {
    /// A kubeconfig file that says where the API server is and as whom it is asked: by a token, a file with one, or a client
    /// certificate. When not given, the gateway is a pod of the cluster itself and asks with the token of its service account.
    pub(crate) kubeconfig: Option<String>,
    /// Which context of the kubeconfig; its `current-context` when not given.
    pub(crate) context: Option<String>,
    /// The namespace of the Deployments; when not given, that of the context, or of the gateway's own pod.
    pub(crate) namespace: Option<String>,
    /// What tells the Deployments of this gateway from those of others in the namespace. Gateways with the same `instance`
    /// look after the same Deployments, and remove those that their own configuration does not name.
    #[schemars(extend("default" = "portcullis"))]
    pub(crate) instance: Option<String>,
    /// Names of the Secrets with which images are fetched, where their registry asks for that.
    pub(crate) image_pull_secrets: Vec<String>,
    /// From where servers may be reached; from nowhere else.
    pub(crate) gateway: KubernetesGateway,
    /// How long a server may take from its start until it is ready. Its image may have to be fetched.
    #[schemars(extend("default" = "2m"))]
    pub(crate) start_timeout: Option<Duration>,
}

/// Where the gateway is, as network policies say it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KubernetesGateway {
    /// Labels of its pods; `app.kubernetes.io/name: portcullis` when neither they nor `cidrs` are given.
    pub(crate) labels: BTreeMap<String, String>,
    /// The namespace of its pods, where it is another than that of the servers.
    pub(crate) namespace: Option<String>,
    /// Its addresses, where it is no pod: `192.0.2.0/24`.
    pub(crate) cidrs: Vec<String>,
}

/// How a server's image is run. Whatever is said here, the pod runs as nobody privileged: not as root, without capabilities, with
/// the runtime's seccomp profile, a root file system that cannot be written to, and no token for the API server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Container {
    /// What is run in place of the image's entry point.
    pub(crate) command: Vec<String>,
    /// The port on which it serves Streamable HTTP.
    #[schemars(extend("default" = 8080))]
    pub(crate) port: Option<u16>,
    /// The path of its MCP endpoint.
    #[schemars(extend("default" = "/mcp"))]
    pub(crate) path: Option<String>,
    /// Most processor time: cores (`2`), or thousandths of one (`500m`).
    #[schemars(extend("default" = "1"))]
    pub(crate) cpu: Option<String>,
    /// Most memory.
    #[schemars(extend("default" = "512MiB"))]
    pub(crate) memory: Option<Size>,
    /// Room in `/tmp`, the one folder that it may write to.
    #[schemars(extend("default" = "64MiB"))]
    pub(crate) tmp: Option<Size>,
    /// The user that it runs as, by number. When not given, that of the image, which has to be a number and not 0.
    #[schemars(range(min = 1, max = 4_294_967_294_i64))]
    pub(crate) user: Option<u32>,
    /// `any` lets it connect anywhere but to addresses that are of a machine alone (`169.254.0.0/16` and the like), where clouds
    /// tell a machine who it is; `none` to the TCP ports in `ports` only.
    #[schemars(extend("default" = "none"))]
    pub(crate) network: Option<Network>,
    /// TCP ports that it may connect to. 53 opens UDP as well, since names are looked up over it, to pods of the cluster and to
    /// `cidrs`.
    pub(crate) ports: Vec<u16>,
    /// Where these ports may be: `203.0.113.0/24`. When not given, at public addresses: what is inside has to be named.
    pub(crate) cidrs: Vec<String>,
}
