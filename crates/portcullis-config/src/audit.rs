//! What is kept as evidence, checked.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Readers, Secret};

/// What is kept as evidence, and where. A change needs a restart, but for `allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// When events are durable.
    pub mode: AuditMode,
    /// The folder of the log; the folder that it is in is there.
    pub path: PathBuf,
    /// What it is kept in.
    pub log: AuditLog,
    /// The name of this gateway in its events and checkpoints.
    pub node: String,
    /// The key that signs checkpoints; one is made when there is none.
    pub key: Option<Secret>,
    /// What digests, pseudonyms and the keys of payloads are derived from; one is made when there is none.
    pub secret: Option<Secret>,
    /// Whether arguments and results are kept, sealed, beside their digests.
    pub keeps_payloads: bool,
    /// How long events are kept, in days.
    pub retention_days: u32,
    /// How often a checkpoint is signed while events come.
    pub checkpoint_interval: Duration,
    /// A second folder for checkpoints.
    pub checkpoints: Option<PathBuf>,
    /// Who may read the log over HTTP; `None` leaves it to policies.
    pub allow: Option<Readers>,
}

/// When events are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditMode {
    /// Before their answers leave.
    Strict,
    /// Within moments.
    Normal,
}

/// What an evidence log is kept in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuditLog {
    /// Files in its folder.
    #[default]
    Files,
    /// An SQLite file in its folder.
    Sqlite,
    /// A PostgreSQL database.
    Postgres {
        /// Its URL.
        url: Secret,
        /// Authorities trusted instead of those of the system, PEM.
        ca: Option<PathBuf>,
    },
}
