//! What is kept as evidence, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, Readers, Secret};

/// What is kept as evidence of what was asked, decided and answered. Without this section nothing is; see
/// docs/concept/evidence.md for what an event says and what the log proves. The section is read once: a change needs a
/// restart, but for `allow`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Audit {
    /// `normal` answers at once and makes events durable within moments; what cannot be kept raises an alarm. `strict` lets no
    /// answer leave before its event is durable, and refuses calls while events cannot be kept. `off` keeps nothing.
    #[schemars(extend("default" = "normal"))]
    pub(crate) mode: Option<AuditMode>,
    /// The folder of the log, made when missing; no other gateway may write to it.
    #[schemars(extend("default" = "audit"))]
    pub(crate) path: Option<String>,
    /// The name of this gateway in its events and checkpoints: letters, digits, `.` and `-`. The name of the host when not
    /// given.
    pub(crate) node: Option<String>,
    /// The key that signs checkpoints (`PRIVATE+KEY+…`), whose name is the log's. When not given, one is made in the folder of
    /// the log, in a file that its owner alone can read.
    pub(crate) key: Option<Secret>,
    /// What digests, pseudonyms and the keys of payloads are derived from: a random text of 32 characters at least. When not
    /// given, one is made like the key.
    pub(crate) secret: Option<Secret>,
    /// How long events are kept, in days. Systems that fall under the EU AI Act keep theirs for 184 days at least.
    #[schemars(range(min = 1, max = 36_500), extend("default" = 184))]
    pub(crate) retention_days: Option<u32>,
    /// What is kept of arguments and results: `digest`, which is a keyed digest and the size, and nothing that could be read;
    /// or `encrypted`, which keeps them too, sealed with a key of the person that can be destroyed.
    #[schemars(extend("default" = "digest"))]
    pub(crate) payloads: Option<AuditPayloads>,
    /// How often a checkpoint is signed while events come.
    #[schemars(extend("default" = "10s"))]
    pub(crate) checkpoint_interval: Option<Duration>,
    /// A folder to which each checkpoint is written as well, which should be one that this process cannot write anew: a WORM
    /// volume, a mount of another machine.
    pub(crate) checkpoints: Option<String>,
    /// Witnesses that are asked to sign each checkpoint as well (C2SP `tlog-witness`): other gateways, or anybody else's.
    pub(crate) witnesses: Vec<AskedWitness>,
    /// An authority that stamps checkpoints with the time (RFC 3161).
    pub(crate) timestamps: Option<TimeStamps>,
    /// Who may read the log over HTTP. When not given: callers in a group with the role `auditor` of `policy`, and nobody
    /// where there is none.
    pub(crate) allow: Option<Readers>,
    /// Who may erase persons, put holds on and lift them, and remove what was kept long enough, over HTTP. When not given:
    /// callers in a group with the role `admin` of `policy`, and nobody where there is none.
    pub(crate) admins: Option<Readers>,
    /// The AI systems that use this gateway, by a name of letters, digits and `-`: each event of one bears its name, and is kept for
    /// 184 days at the least (EU AI Act, articles 19 and 26).
    pub(crate) systems: BTreeMap<String, System>,
}

/// An AI system. An event is of the first, in the order of names, whose servers and clients it fits.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct System {
    /// Its servers; any when not given.
    pub(crate) servers: Vec<String>,
    /// The ids of its clients (`client_id` of their tokens); any when not given.
    pub(crate) clients: Vec<String>,
    /// What it is meant for: a reference to the deployer's own documents.
    pub(crate) purpose: Option<String>,
    /// Its class of risk, in the deployer's words: `high`, `limited`, `minimal`.
    pub(crate) risk: Option<String>,
    /// The model behind it.
    pub(crate) model: Option<String>,
    /// Who deploys it.
    pub(crate) deployer: Option<String>,
    /// Categories of the data that it works on, in the deployer's words.
    pub(crate) data: Vec<String>,
    /// The legal basis on which it does.
    pub(crate) legal_basis: Option<String>,
    /// How long its events are kept, in days; `audit.retention_days` when not given, and 184 at the least.
    #[schemars(range(min = 184, max = 36_500))]
    pub(crate) retention_days: Option<u32>,
}

/// A witness that is asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskedWitness {
    /// Its URL, to which `/add-checkpoint` is added; a Portcullis is a witness at `https://HOST/witness`.
    pub(crate) url: String,
    /// Its key, as it tells it (`NAME+ID+KEY`; of a Portcullis, what `portcullis audit key --witness` prints). What is signed by
    /// another is not taken.
    pub(crate) key: String,
    /// PEM file with the authorities that its certificate may come from, in place of the system's.
    #[serde(default)]
    pub(crate) ca: Option<String>,
}

/// An authority that stamps checkpoints with the time (RFC 3161): whoever rewrites the log later has no stamp of then.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimeStamps {
    /// Where it is asked.
    pub(crate) url: String,
    /// How often the newest checkpoint is stamped, if there is a new one.
    #[serde(default)]
    #[schemars(extend("default" = "1h"))]
    pub(crate) every: Option<Duration>,
    /// PEM file with the authorities that the certificate of its server may come from, in place of the system's. Which
    /// authorities of time are trusted is said to `portcullis audit verify`.
    #[serde(default)]
    pub(crate) ca: Option<String>,
}

/// Being a witness of others' evidence logs: `POST /witness/add-checkpoint` signs what continues what was signed before (C2SP
/// `tlog-witness`). What was signed last is kept in `store`, which must not be in memory. A change needs a restart.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Witness {
    /// The key that it signs with (`PRIVATE+KEY+…`, as `portcullis audit key NAME --file FILE` makes it), and nothing else does.
    pub(crate) key: Secret,
    /// The logs that are witnessed, by the keys that check their checkpoints (`NAME+ID+KEY`).
    pub(crate) logs: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuditMode {
    Strict,
    Normal,
    Off,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuditPayloads {
    Digest,
    Encrypted,
}
