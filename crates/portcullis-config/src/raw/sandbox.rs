//! `sandbox` of a server: what its process may reach of the machine.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Size;

/// What the process may reach of the machine, and how much of it it may take. Given at all, it may read the system's
/// libraries and its own program, has a folder of its own as `HOME` and `TMPDIR` until it ends, and reaches nothing else but
/// what is listed; system calls that no server needs are refused. The kernel does it (Linux: Landlock, seccomp, limits).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sandbox {
    /// Files and folders that it may read and run.
    pub(crate) read: Vec<String>,
    /// Files and folders that it may read, run and change.
    pub(crate) write: Vec<String>,
    /// `any` lets it connect anywhere and listen; `none` to the TCP ports in `ports` only, and then to no socket that is a file
    /// either.
    #[schemars(extend("default" = "none"))]
    pub(crate) network: Option<Network>,
    /// TCP ports that it may connect to, on any host. 53 opens UDP as well, to any port, since names are looked up over it.
    pub(crate) ports: Vec<u16>,
    /// Private memory of each of its processes. It can then share none between them.
    pub(crate) memory: Option<Size>,
    /// Most processes and threads of it at once. A gateway that runs as root needs `user` for it.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) processes: Option<u64>,
    /// Most open files of each of its processes.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub(crate) open_files: Option<u64>,
    /// Most bytes of each file that it writes.
    pub(crate) file_size: Option<Size>,
    /// The user that it runs as, by name or number; only a gateway that runs as root can do that. Its processes are counted
    /// together, so give each server a user of its own.
    pub(crate) user: Option<String>,
    /// Where the machine lacks what this takes, `refuse` does not start the server; `allow` starts it with what there is and
    /// says in the log what is missing.
    #[schemars(extend("default" = "refuse"))]
    pub(crate) missing: Option<Missing>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Network {
    None,
    Any,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Missing {
    Refuse,
    Allow,
}
