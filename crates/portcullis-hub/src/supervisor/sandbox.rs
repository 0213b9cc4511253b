//! What a child may reach of the machine that it runs on, and how much of it it may take.
//!
//! A sandboxed child is started through our own executable (`enter`), which takes rights and limits upon itself and then
//! becomes the server's program, so that nothing runs between `fork` and `exec` of a process with many threads. Everything
//! it starts inherits what it may not. Each wall is the kernel's, and works without privileges:
//!
//! - **Landlock** for files, TCP ports, signals and abstract sockets (`files`),
//! - **seccomp** for system calls that no server needs, and for sockets (`calls`),
//! - **resource limits**, and a **user namespace** in which the processes of this child alone are counted.
//!
//! What the kernel lacks is found out once, by a process that tries (`Host`), and a child whose sandbox cannot be as it was
//! asked for is not started. No container: the child sees the same tree of files, and the walls are around what it opens.
//! Processor time is not shared out, nor the total size of what it writes; that takes cgroups, which need rights that are
//! not there on a laptop.

mod calls;
mod enter;
mod files;
mod host;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use enter::sandbox_main;
pub(super) use enter::{Errand, VERB};
pub(super) use files::of_program;
pub use host::Host;

/// What a child may do. Whatever is not in here, it may not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Files and folders that it may read and run, beside its own program, the system's libraries and a folder of its own.
    pub read: Vec<PathBuf>,
    /// Files and folders that it may change as well, beside that folder.
    pub write: Vec<PathBuf>,
    /// Where it may connect to.
    pub network: Network,
    /// The user that it runs as; only a gateway that runs as root can choose one.
    pub user: Option<String>,
    /// How much it may take.
    pub limits: Limits,
    /// It is started even where the kernel lacks what this takes.
    pub best_effort: bool,
}

/// Where a child is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Places {
    /// The folder that is its own, and that it works in unless it is told another.
    pub(super) private: PathBuf,
    /// The one that it is told; it may read there.
    pub(super) cwd: Option<PathBuf>,
}

impl Places {
    /// Where it works.
    pub(super) fn work(&self) -> &Path {
        self.cwd.as_deref().unwrap_or(&self.private)
    }
}

/// Where a child may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// Nowhere.
    #[default]
    None,
    /// To these TCP ports, of any host. Port 53 opens UDP as well, to any port: names are resolved over it.
    Ports(Vec<u16>),
    /// Anywhere, over TCP and UDP.
    Any,
}

/// How much a child may take; `None` is without a limit of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of private memory, for each of its processes (`RLIMIT_DATA`). Memory that processes share is not to be had
    /// then.
    pub memory: Option<u64>,
    /// Processes and threads at once (`RLIMIT_NPROC`).
    pub processes: Option<u64>,
    /// Open files, for each of its processes (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Bytes of each file that it writes (`RLIMIT_FSIZE`).
    pub file_size: Option<u64>,
}

/// What a sandbox takes and this machine lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Rules for files: Landlock of Linux 5.19.
    Files,
    /// Rules for TCP ports: Landlock of Linux 6.7.
    Ports,
    /// Walls for signals and abstract sockets: Landlock of Linux 6.12.
    Scopes,
    /// Filters for system calls.
    Calls,
    /// A count of processes that is the child's alone.
    Processes,
    /// The right to run it as another user.
    User,
}

impl fmt::Display for Lack {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Files => "rules for files (Landlock of Linux 5.19 or later, among the `lsm=` of the kernel)",
            Self::Ports => "rules for ports (Landlock of Linux 6.7 or later)",
            Self::Scopes => "walls for signals and abstract sockets (Landlock of Linux 6.12 or later)",
            Self::Calls => "filters for system calls (seccomp)",
            Self::Processes => {
                "a count of its processes (user namespaces for whom the gateway runs as, or, where that is root, a \
                 `user` for the server)"
            }
            Self::User => "the right to run it as another user (the gateway does not run as root)",
        })
    }
}

impl Sandbox {
    /// What `host` cannot give it, in the order of [`Lack`]'s words.
    pub fn lacks(&self, host: &Host) -> Vec<Lack> {
        let counted = self.limits.processes.is_some();
        let uncounted = if host.root { self.user.is_none() } else { !host.namespaces };
        let needs = [
            (Lack::Files, !host.files),
            (Lack::Ports, !host.ports && self.network != Network::Any),
            (Lack::Scopes, !host.scopes),
            (Lack::Calls, !host.calls),
            (Lack::Processes, counted && uncounted),
            (Lack::User, self.user.is_some() && !host.root),
        ];
        needs.into_iter().filter_map(|(lack, is)| is.then_some(lack)).collect()
    }
}

#[cfg(test)]
mod tests;
