//! What the process of a server may reach of the machine: `sandbox` of a server, checked.

use std::path::PathBuf;

/// The walls around a server's process. Whatever is not in here, it may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Files and folders that it may read and run.
    pub read: Vec<PathBuf>,
    /// Files and folders that it may change as well.
    pub write: Vec<PathBuf>,
    /// Where it may connect to.
    pub network: SandboxNetwork,
    /// Bytes of private memory, for each process.
    pub memory: Option<u64>,
    /// Processes and threads at once.
    pub processes: Option<u64>,
    /// Open files, for each process.
    pub open_files: Option<u64>,
    /// Bytes of each file that it writes.
    pub file_size: Option<u64>,
    /// The user that it runs as, by name or number.
    pub user: Option<String>,
    /// It is started even where the machine lacks what this takes.
    pub best_effort: bool,
}

/// Where a process may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SandboxNetwork {
    /// Nowhere.
    None,
    /// To these TCP ports.
    Ports(Vec<u16>),
    /// Anywhere.
    Any,
}
