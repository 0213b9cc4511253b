//! What is kept as evidence, as it is written.

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
    /// The folder of the log and of the keys that are made for it, made when missing; no other gateway may write to it.
    #[schemars(extend("default" = "audit"))]
    pub(crate) path: Option<String>,
    /// What the log is kept in: `{ kind: files }`, in the folder, `{ kind: sqlite }` or `{ kind: postgres, … }`.
    #[schemars(extend("default" = "files"))]
    pub(crate) log: Option<AuditLog>,
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
    /// Who may read the log over HTTP. When not given: callers in a group with the role `auditor` of `policy`, and nobody
    /// where there is none.
    pub(crate) allow: Option<Readers>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuditMode {
    Strict,
    Normal,
    Off,
}

/// What an evidence log is kept in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum AuditLog {
    /// Files that are only appended to, in the folder of the log.
    Files {},
    /// An SQLite file, `log.db` in the folder of the log.
    Sqlite {},
    /// A PostgreSQL database, which logs of several gateways may share. Each is found by the name of the key that signs it,
    /// `portcullis/audit/NODE` when the key is not given.
    Postgres {
        /// The environment variable that holds its URL, such as `postgres://user:password@host/database`. Off this machine
        /// TLS is demanded and the certificate verified, unless the URL says `sslmode=disable`.
        #[serde(default)]
        url_env: Option<String>,
        /// The file that holds its URL, in place of the variable.
        #[serde(default)]
        url_file: Option<String>,
        /// PEM file with the authorities to trust instead of those of the system.
        #[serde(default)]
        ca: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuditPayloads {
    Digest,
    Encrypted,
}
