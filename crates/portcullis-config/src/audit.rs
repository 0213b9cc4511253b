//! What is kept as evidence, checked.

use std::collections::BTreeMap;
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
    /// Who is asked to sign checkpoints as well.
    pub witnesses: Vec<AskedWitness>,
    /// Who stamps checkpoints with the time.
    pub timestamps: Option<TimeStamps>,
    /// Who may read the log over HTTP; `None` leaves it to policies.
    pub allow: Option<Readers>,
    /// Who may erase, hold and remove over HTTP; `None` leaves it to policies.
    pub admins: Option<Readers>,
    /// The AI systems whose events these are.
    pub systems: BTreeMap<String, System>,
}

/// An AI system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// Its servers; any, if there are none.
    pub servers: Vec<String>,
    /// Its clients; any, if there are none.
    pub clients: Vec<String>,
    /// What it is meant for.
    pub purpose: Option<String>,
    /// Its class of risk.
    pub risk: Option<String>,
    /// The model behind it.
    pub model: Option<String>,
    /// Who deploys it.
    pub deployer: Option<String>,
    /// Categories of data.
    pub data: Vec<String>,
    /// The legal basis.
    pub legal_basis: Option<String>,
    /// How long its events are kept, in days; `None` for the same time as all others.
    pub retention_days: Option<u32>,
}

/// A witness that is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedWitness {
    /// Where it is; `/add-checkpoint` is to be added.
    pub url: String,
    /// What checks its signatures.
    pub key: String,
    /// The authorities that its certificate may come from; `None` for the system's.
    pub ca: Option<PathBuf>,
}

/// An authority that stamps checkpoints with the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeStamps {
    /// Where it is asked.
    pub url: String,
    /// How often.
    pub every: Duration,
    /// The authorities that its server's certificate may come from; `None` for the system's.
    pub ca: Option<PathBuf>,
}

/// Being a witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// What it signs with.
    pub key: Secret,
    /// What checks the checkpoints of the logs.
    pub logs: Vec<String>,
}

/// When events are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditMode {
    /// Before their answers leave.
    Strict,
    /// Within moments.
    Normal,
}
