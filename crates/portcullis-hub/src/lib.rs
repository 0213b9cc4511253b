//! The hub: which servers there are, and, for those that run as child processes, their lives.
//!
//! It holds the [`registry`] of versions of servers and how far each has come, the [`packages`] that they are started from, the [`search`] for tools among those of many
//! servers, and the [`supervisor`], which starts a stdio server with a scrubbed environment, hands its pipes to
//! whoever speaks MCP over them, reads its stderr, and sees to it that nothing the server started outlives
//! it, or the gateway. It knows no protocol: bytes on the pipes are the gateway's business.
//! With the feature `kubernetes` it also has the lives of servers that run as Deployments of a cluster.

mod hex;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod packages;
pub mod registry;
pub mod search;
pub mod supervisor;

pub use supervisor::{
    Backoff, Child, ChildHandle, Command, Ended, Exit, Host, Lack, Limits, LockedPackages, Log, Network,
    Next, Sandbox, SpawnError, Supervisor, keeper_main, sandbox_main,
};
