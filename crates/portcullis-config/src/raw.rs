//! The file as it is written: the one description of its keys.
//!
//! The doc comments here are the user's documentation: they become the JSON Schema that editors use and the
//! reference page. Values that need more than a type (addresses, durations, sizes, paths) stay text here and are
//! checked on the way to [`crate::Settings`]. Nothing outside this crate sees these types.

mod audit;
mod calls;
pub(crate) mod credentials;
mod embeddings;
mod facade;
mod guard;
mod identity;
mod kubernetes;
mod openapi;
mod oversight;
mod policy;
mod registry;
mod sandbox;
pub(crate) mod secrets;
mod server;
mod text;
mod toolset;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use audit::{
    AskedWitness, Audit, AuditLog, AuditMode, AuditPayloads, System, TimeStamps, Witness,
};
pub(crate) use calls::{CallLimit, Each};
pub(crate) use embeddings::Embeddings;
pub(crate) use facade::{Facade, FacadeClient, FacadeDocuments, FacadeIdp, IdpProfile};
pub(crate) use guard::{
    Action, Direction, Entity, Guard, GuardMode, GuardRule, OnFailure, Profile, PseudonymScope, Recogniser,
    Roles,
};
pub(crate) use identity::{Anonymous, Identity, Issuer, KeysFile, Login, RevokedFile};
pub(crate) use kubernetes::{Container, Kubernetes, KubernetesGateway};
pub(crate) use openapi::OpenApi;
pub(crate) use oversight::{
    ApprovalBy, Approvals, Definitions, DefinitionsMode, Flow, FlowMode, FlowPer, Halt, Webhook,
};
pub(crate) use policy::{FactKind, Policy, PolicyMode};
pub(crate) use registry::{Import, Packages, Registry};
pub(crate) use sandbox::{Missing, Network, Sandbox};
pub(crate) use server::{Apps, ClientServer, Era, HttpTransport, Server, Sharing, UpstreamTls};
pub(crate) use text::{Duration, Listen, PerTime, Secret, Size};
pub(crate) use toolset::{PromptPick, ToolPick, Toolset};

/// One file in YAML, JSON or TOML. Every key has a default; an empty file is a valid configuration.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Portcullis configuration")]
pub(crate) struct File {
    /// The schema that an editor checks the file against. Not read.
    #[serde(rename = "$schema")]
    #[schemars(with = "Option<String>")]
    pub(crate) _schema: serde::de::IgnoredAny,
    /// Where to accept clients. A bare port (`8080` or `:8080`) means loopback only; any other address must be
    /// written out, as in `0.0.0.0:8080`, and needs `identity.issuers`, `identity.keys` or `tls.client_ca`. A change needs
    /// a restart.
    #[schemars(extend("default" = "127.0.0.1:8080"))]
    pub(crate) listen: Option<Listen>,
    /// The absolute URL under which clients reach the gateway when that is not the listener itself. With `identity.issuers`
    /// off loopback it is required: access tokens name it as their audience.
    pub(crate) public_url: Option<String>,
    /// Serves TLS. A change needs a restart.
    pub(crate) tls: Option<Tls>,
    /// Where is kept what outlives a call; in memory when not given. A change needs a restart.
    pub(crate) store: Option<Store>,
    /// Where state that replicas share is kept. A change needs a restart.
    pub(crate) shared: Option<Shared>,
    /// The upstream MCP servers by name. A name is lower-case letters and digits in groups joined by `-`, at
    /// most 20 characters. Each entry has one of `command`, `url`, `openapi` and `image`.
    pub(crate) servers: BTreeMap<String, Server>,
    /// The `mcpServers` object of an MCP client, unchanged. Joined with `servers`; names that do not fit are
    /// made to fit, with a warning.
    #[serde(rename = "mcpServers")]
    #[schemars(with = "BTreeMap<String, ClientServer>")]
    pub(crate) _mcp_servers: serde::de::IgnoredAny,
    /// The cluster in which servers with an `image` run.
    pub(crate) kubernetes: Option<Kubernetes>,
    /// What views of MCP Apps may ask for, whichever server they come from.
    pub(crate) apps: Apps,
    /// Who may call.
    pub(crate) identity: Identity,
    /// Where the accounts are kept that users connect.
    pub(crate) vault: credentials::Vault,
    /// Where secrets are kept that this file does not hold itself.
    pub(crate) secrets: secrets::Secrets,
    /// Who may do what.
    pub(crate) policy: Option<Policy>,
    /// What is kept as evidence.
    pub(crate) audit: Option<Audit>,
    /// Whose evidence logs are witnessed here.
    pub(crate) witness: Option<Witness>,
    /// Virtual servers by name, each at `/mcp/v/<name>`. A name is lower-case letters and digits in groups joined by `-`, at
    /// most 40 characters.
    pub(crate) toolsets: BTreeMap<String, Toolset>,
    /// What comes into the registry of servers.
    pub(crate) registry: Registry,
    /// How clients find tools on `/mcp`.
    pub(crate) discovery: Discovery,
    /// Which definitions of tools, prompts, resources and templates reach clients.
    pub(crate) definitions: Definitions,
    /// What must not meet in one conversation.
    pub(crate) flow: Option<Flow>,
    /// Calls that somebody has to approve.
    pub(crate) approvals: Approvals,
    /// What is stopped.
    pub(crate) halt: Halt,
    /// What may reach a model, and what may leave.
    pub(crate) guard: Option<Guard>,
    /// What browsers and proxies may send in `Origin` and `Host`.
    pub(crate) http: Http,
    /// The bounds on what one client, one call and the whole process may use.
    pub(crate) limits: Limits,
    /// Logs, metrics and traces.
    pub(crate) telemetry: Telemetry,
    /// Worker threads; one per available core when not given. A change needs a restart.
    pub(crate) workers: Option<NonZeroUsize>,
}

/// How clients find tools among those of all servers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Discovery {
    /// Whether `/mcp` offers `hub__search`, `hub__describe` and `hub__call`: not (`off`), before all other tools (`beside`), or in
    /// their place (`instead`), which spares a model thousands of descriptions. Tools that are not listed can be called all the same.
    pub(crate) tools: Offered,
    /// Clients that are offered something else, on `/mcp` and in toolsets. The first rule that fits counts.
    pub(crate) clients: Vec<DiscoveryRule>,
    /// Who gives vectors of texts, so that tools are found by meaning as well. Without it nothing is sent anywhere, and words decide.
    pub(crate) embeddings: Option<Embeddings>,
}

/// What clients are offered. A rule fits who is all that it names; each list names alternatives, and an empty one anybody.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DiscoveryRule {
    /// What clients call themselves (`clientInfo.name`); `*` stands for any characters. That is a client's own word: it
    /// decides how things are shown, never what is there.
    pub(crate) names: Vec<String>,
    /// Groups of the caller, from its token or key and from `policy.groups`.
    pub(crate) groups: Vec<String>,
    /// Callers by id, as in `policy.groups`.
    pub(crate) principals: Vec<String>,
    /// What they are offered, as in `discovery.tools`.
    pub(crate) tools: Offered,
}

/// Whether tools that find tools are offered.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Offered {
    #[default]
    Off,
    Beside,
    Instead,
}

/// The listener's certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// PEM file with the certificate chain, leaf first.
    pub(crate) cert: String,
    /// PEM file with the private key.
    pub(crate) key: String,
    /// PEM file with the authorities whose client certificates are accepted. Turns on mutual TLS.
    pub(crate) client_ca: Option<String>,
}

/// Where is kept what outlives a call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Store {
    /// In this process: what is kept is gone with it.
    Memory {},
    /// An SQLite file, for a single gateway.
    Sqlite {
        /// The file; created when missing, readable by its owner alone.
        #[serde(default)]
        #[schemars(extend("default" = "portcullis.db"))]
        path: Option<String>,
    },
    /// A PostgreSQL database, for gateways that share what they keep.
    Postgres {
        /// The environment variable that holds its URL, such as `postgres://user:password@host/database`. Off this machine
        /// TLS is demanded and the certificate verified, unless the URL says `sslmode=disable`.
        #[serde(default)]
        url_env: Option<String>,
        /// The file that holds its URL, in place of the variable.
        #[serde(default)]
        url_file: Option<String>,
        /// Where the Vault of `secrets.vault` keeps its URL: `MOUNT/PATH#FIELD`.
        #[serde(default)]
        url_vault: Option<String>,
        /// PEM file with the authorities to trust instead of those of the system.
        #[serde(default)]
        ca: Option<String>,
    },
}

/// Where state that replicas share is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Shared {
    /// In this process: for a single replica.
    Memory {},
}

/// What browsers and proxies may send.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// `Origin` values accepted besides loopback and `public_url`: `scheme://host` or `scheme://host:port`.
    pub(crate) allowed_origins: Vec<String>,
    /// `Host` values accepted besides loopback and `public_url`: `host` or `host:port`.
    pub(crate) allowed_hosts: Vec<String>,
}

/// The bounds on what one client, one call and the whole process may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Largest request body.
    #[schemars(extend("default" = "4MiB"))]
    pub(crate) body_bytes: Option<Size>,
    /// All request bodies together that do not come with their head, until their calls have ended; one beyond it is
    /// refused with 503.
    #[schemars(extend("default" = "256MiB"))]
    pub(crate) bodies_bytes: Option<Size>,
    /// Largest request head: request line and headers together.
    #[schemars(extend("default" = "32KiB"))]
    pub(crate) header_bytes: Option<Size>,
    /// Deepest nesting of a JSON message.
    #[schemars(range(min = 8, max = 120), extend("default" = 64))]
    pub(crate) json_depth: Option<usize>,
    /// Most messages in one JSON-RPC batch of a legacy client.
    #[schemars(range(min = 1, max = 1000), extend("default" = 50))]
    pub(crate) batch: Option<usize>,
    /// Items on one page of a list. Many clients ask for the first page only.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1000))]
    pub(crate) list_page: Option<usize>,
    /// Open client connections.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 10_000))]
    pub(crate) connections: Option<usize>,
    /// The same for one principal. A connection is of whoever made the last request on it; callers without a credential are
    /// not told apart.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1000))]
    pub(crate) connections_per_principal: Option<usize>,
    /// Calls in flight in the whole process.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1024))]
    pub(crate) concurrent_calls: Option<usize>,
    /// Calls in flight for one client: one principal, or, without a credential, one session or connection.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 128))]
    pub(crate) concurrent_per_client: Option<usize>,
    /// Finished answer streams of all legacy sessions together that are kept for clients that come back for them; the
    /// oldest go first.
    #[schemars(extend("default" = "64MiB"))]
    pub(crate) replay_bytes: Option<Size>,
    /// Sessions of legacy clients held at once.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 20_000))]
    pub(crate) sessions: Option<usize>,
    /// The same for one principal; callers without a credential are not told apart.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1000))]
    pub(crate) sessions_per_principal: Option<usize>,
    /// A legacy session is dropped after so long without a request or an open stream.
    #[schemars(extend("default" = "30m"))]
    pub(crate) session_idle: Option<Duration>,
    /// A key that seals what clients bring back (cursors, request states, ids of tasks) is replaced after so long; 24h at most.
    /// What it sealed opens for as long again, so that no rotation takes anything away from a client, and nothing opens for
    /// longer than that but ids of tasks: these open until their tasks are over, for 250 rotations at most.
    #[schemars(extend("default" = "24h"))]
    pub(crate) key_rotation: Option<Duration>,
    /// Time to receive a request head.
    #[schemars(extend("default" = "10s"))]
    pub(crate) header_read: Option<Duration>,
    /// Time to receive a request body.
    #[schemars(extend("default" = "30s"))]
    pub(crate) body_read: Option<Duration>,
    /// How long a call may stay without an answer or a sign of progress. A server may set its own.
    #[schemars(extend("default" = "1m"))]
    pub(crate) call_timeout: Option<Duration>,
    /// How long a call may last in all, whatever progress it reports.
    #[schemars(extend("default" = "10m"))]
    pub(crate) call_max: Option<Duration>,
    /// How long a client may take to answer what a server asks it in the middle of a call. A call that asks may last
    /// so much longer in all than `call_max`.
    #[schemars(extend("default" = "10m"))]
    pub(crate) ask_timeout: Option<Duration>,
    /// Calls that wait for a client of 2026-07-28 to come back with answers.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1024))]
    pub(crate) parked_calls: Option<usize>,
    /// The same for one principal; callers without a credential are not told apart.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 64))]
    pub(crate) parked_per_client: Option<usize>,
    /// Largest message accepted from a server.
    #[schemars(extend("default" = "64MiB"))]
    pub(crate) response_bytes: Option<Size>,
    /// Pause between keep-alive comments on a stream. Who takes nothing of an answer for two of them is left.
    #[schemars(extend("default" = "15s"))]
    pub(crate) keep_alive_interval: Option<Duration>,
    /// For proxies that cut connections after a time: how long an event stream of a session of 2025-11-25 keeps its connection.
    /// Then that is closed, and the client comes back for the rest (`Last-Event-ID`). Every answer to such a session is a stream
    /// then, and can be read on after a break. When not given, a stream keeps its connection to the end. Older sessions
    /// do not know this, and later clients have no streams that can be read on.
    pub(crate) poll_after: Option<Duration>,
    /// Time given to calls in flight when the process is asked to stop. `0s` stops at once.
    #[schemars(extend("default" = "25s"))]
    pub(crate) drain: Option<Duration>,
    /// Rates, places and budgets for callers, groups, servers and tools. Each gateway counts by itself.
    pub(crate) calls: Vec<CallLimit>,
}

/// Logs, metrics and traces.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Telemetry {
    /// The log on standard error.
    pub(crate) log: Log,
    /// An OpenTelemetry collector to send traces and metrics to.
    pub(crate) otlp: Option<Otlp>,
    /// Serves `/metrics` in the Prometheus format.
    #[schemars(extend("default" = true))]
    pub(crate) metrics: Option<bool>,
    /// Who may read what names servers and tools: `/metrics`, and the details of `/readyz`. When not given: callers in a
    /// group with one of the roles `operator`, `auditor` and `admin` where there is a `policy`, else whoever may call, but
    /// without a credential only from this machine itself and not through a proxy.
    pub(crate) allow: Option<Readers>,
}

/// Who may read what names servers and tools.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Readers {
    /// Callers in one of these groups.
    pub(crate) groups: Vec<String>,
    /// These callers, by id: `key:<name>`, `cert:<fingerprint>`, `spiffe://…`, `user:<issuer>#<subject>`, or `anonymous` for
    /// everybody who reaches the listener.
    pub(crate) principals: Vec<String>,
}

/// The log on standard error.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// How a line looks: `json`, `pretty`, or `auto` for pretty on a terminal and JSON elsewhere. The flag
    /// `--log-format` and PORTCULLIS_LOG_FORMAT win over it.
    #[schemars(extend("default" = "auto"))]
    pub(crate) format: Option<LogFormat>,
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels for parts as in
    /// `warn,portcullis_hub=debug`. The flag `--log` and PORTCULLIS_LOG win over it.
    #[schemars(extend("default" = "info"))]
    pub(crate) filter: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Auto,
    Json,
    Pretty,
}

/// An OpenTelemetry collector.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otlp {
    /// Its `http://` or `https://` URL, usually with port 4317 for `grpc` and 4318 for `http`.
    pub(crate) endpoint: String,
    /// `grpc`, or `http` for protobuf over HTTP.
    #[serde(default)]
    #[schemars(extend("default" = "grpc"))]
    pub(crate) protocol: Option<OtlpProtocol>,
    /// Headers sent with each export, such as an API key.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, Secret>,
    /// Share of traces kept when the caller has not decided.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0), extend("default" = 1.0))]
    pub(crate) sample_ratio: Option<f64>,
    /// `service.name` of what is sent.
    #[serde(default)]
    #[schemars(extend("default" = "portcullis"))]
    pub(crate) service_name: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OtlpProtocol {
    Grpc,
    Http,
}
