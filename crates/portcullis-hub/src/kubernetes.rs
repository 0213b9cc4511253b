//! Servers that run in a Kubernetes cluster: what a description of one becomes there, and the life of that.
//!
//! A server is a Deployment and three objects that it owns ([`Workload`] writes them): a Service, by which it is reached, a Secret
//! with its variables, and a `NetworkPolicy`. Each version of a description has a name of its own, so two of them run side by
//! side. They are written by server-side apply, never by force: what somebody else has set is theirs, and an error says whose it
//! is. Only the Deployments are listed and watched ([`Cluster`]), by their labels; deleting one takes with it what it owns.
//!
//! This is no general client of the API (see `docs/decisions/0019-own-kubernetes-client.md`): it has the requests that are needed,
//! and asks through a [`Wire`] that somebody else lays. There is no MCP in it, either: that a Deployment is ready is the
//! kubelet's word, and whether the server in it answers, its caller's to find out.

mod api;
mod cluster;
mod deployment;
mod failure;
mod objects;
mod pods;
mod uses;
mod watch;
mod workload;

pub use api::{Answer, Chunks, Coming, Request, Sending, Wire};
pub use cluster::{Claim, Cluster, Running, Settings};
pub use failure::Failure;
pub use pods::PodLog;
pub use workload::{Ingress, Workload};
