//! The checked settings: what the rest of the program reads.
//!
//! Everything here has been checked: addresses are parsed, paths are resolved against the folder of the
//! configuration file, secrets have been read, and combinations that would be unsafe have been refused. These
//! types know nothing of serde or of a file format, so that renaming a key in the file never touches a reader.
//! All of them compare with `==`, which is how a reload finds what has changed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_model::{ServerId, ToolsetId};

use crate::{
    ApiKeys, Approvals, Audit, CallLimit, Credentials, DefinitionsMode, Dpop, Embeddings, Facade, Flow,
    Guard, Halt, Image, Issuer, Kubernetes, LockedPackages, OauthClient, OpenApi, Policy, Registered,
    Revoked, Sandbox, Secret, ServerRegistry, Toolset, Witness,
};

/// Everything that one gateway process needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where to accept clients. A change needs a restart.
    pub listen: SocketAddr,
    /// The absolute URL under which clients reach the gateway, without a trailing slash.
    pub public_url: Option<String>,
    /// Serves TLS when present. A change needs a restart.
    pub tls: Option<Tls>,
    /// Where is kept what outlives a call. A change needs a restart.
    pub store: Store,
    /// Who may call.
    pub identity: Identity,
    /// The key that seals the accounts that users connect; one is made when there is none. A change needs a restart.
    pub vault_key: Option<[u8; 32]>,
    /// The Vault that keeps secrets of servers' credentials.
    pub secrets: Option<SecretVault>,
    /// Who may do what; `None` restricts nothing.
    pub policy: Option<Policy>,
    /// Which definitions reach clients.
    pub definitions: DefinitionsMode,
    /// What must not meet; `None` keeps nothing apart.
    pub flow: Option<Flow>,
    /// Calls that somebody has to approve.
    pub approvals: Approvals,
    /// What is stopped.
    pub halt: Halt,
    /// What may reach a model, and what may leave; `None` inspects only what servers say of themselves.
    pub guard: Option<Guard>,
    /// What is kept as evidence; `None` keeps nothing. A change needs a restart, but for who may read and keep it.
    pub audit: Option<Audit>,
    /// Whose evidence logs are witnessed. A change needs a restart.
    pub witness: Option<Witness>,
    /// The upstream MCP servers by id, those with `enabled == false` included.
    pub servers: BTreeMap<ServerId, Server>,
    /// The cluster in which images are run. A change needs a restart.
    pub kubernetes: Option<Kubernetes>,
    /// The versions of those that are of the registry.
    pub registered: BTreeMap<ServerId, Registered>,
    /// Virtual servers, each made of what others have.
    pub toolsets: BTreeMap<ToolsetId, Toolset>,
    /// What comes into the registry of servers.
    pub registry: ServerRegistry,
    /// Whether the aggregate offers tools that find tools.
    pub discovery: Discovery,
    /// To whom something else is offered, there and in toolsets; the first that fits counts.
    pub discovery_rules: Vec<DiscoveryRule>,
    /// Who gives vectors of texts to find tools by; `None` finds them by words.
    pub embeddings: Option<Embeddings>,
    /// What browsers and proxies may send in `Origin` and `Host`.
    pub http: Http,
    /// The bounds on what one client, one call and the whole process may use.
    pub limits: Limits,
    /// Logs, metrics and traces.
    pub telemetry: Telemetry,
    /// Worker threads; `None` means one per available core.
    pub workers: Option<NonZeroUsize>,
}

/// Whether the aggregate offers tools that find tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Discovery {
    /// It lists the servers' tools.
    #[default]
    Off,
    /// It lists both.
    Beside,
    /// It lists those that find tools only.
    Instead,
}

/// What some clients are offered: those that are all of it, where an empty list is anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryRule {
    /// What they call themselves: patterns.
    pub names: Vec<String>,
    /// Groups of the caller.
    pub groups: Vec<String>,
    /// Callers by id.
    pub principals: Vec<String>,
    /// What is offered.
    pub tools: Discovery,
}

/// The certificate of the listener, as PEM files that existed when the settings were checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate chain, leaf first.
    pub cert: PathBuf,
    /// The private key of the leaf.
    pub key: PathBuf,
    /// The authorities whose client certificates are accepted; present turns mutual TLS on.
    pub client_ca: Option<PathBuf>,
}

/// A HashiCorp Vault, or an `OpenBao`, that keeps secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretVault {
    /// Its address, without a slash at the end.
    pub url: String,
    /// The namespace in it.
    pub namespace: Option<String>,
    /// The authorities to trust instead of those of the system.
    pub ca: Option<PathBuf>,
    /// As whom it is asked.
    pub auth: VaultAuth,
    /// How long what was read is used at the most.
    pub max_age: Duration,
}

/// As whom a Vault is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultAuth {
    /// By a token.
    Token(Secret),
    /// By an `AppRole`.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// Which role.
        role_id: String,
        /// What shows it.
        secret_id: Secret,
    },
    /// By a JWT that the platform keeps fresh.
    Jwt {
        /// Where the method is mounted.
        mount: String,
        /// Which role.
        role: String,
        /// The file that holds it.
        file: PathBuf,
    },
}

/// Where is kept what outlives a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Store {
    /// In this process.
    #[default]
    Memory,
    /// In a file.
    Sqlite {
        /// The file; its folder is there.
        path: PathBuf,
    },
    /// In a database.
    Postgres {
        /// Its URL.
        url: Secret,
        /// Authorities trusted instead of those of the system, PEM.
        ca: Option<PathBuf>,
    },
}

/// Who may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whether a caller without credentials is served.
    pub anonymous: Anonymous,
    /// Identity providers, each once.
    pub issuers: Vec<Issuer>,
    /// The gateway's own authorization server.
    pub facade: Option<Facade>,
    /// API keys for machines.
    pub keys: Option<ApiKeys>,
    /// Scopes that an access token must have.
    pub scopes: Vec<String>,
    /// Scopes that an operation may need beside; what gives least comes first.
    pub step_up: Vec<String>,
    /// Access tokens that are bound to a key of the client.
    pub dpop: Dpop,
    /// How browsers log in.
    pub login: Option<Login>,
    /// What is not accepted any more.
    pub revoked: Option<Revoked>,
}

/// How browsers log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// At which issuer.
    pub issuer: String,
    /// Who the gateway is there.
    pub client: OauthClient,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// The authorities to trust instead of those of the system.
    pub ca: Option<PathBuf>,
}

impl Identity {
    /// Whether callers can show who they are by a token or an API key.
    pub fn takes_tokens(&self) -> bool {
        self.logs_in() || self.keys.is_some()
    }

    /// Whether somebody gives out tokens that are taken here, so that callers can log in.
    pub fn logs_in(&self) -> bool {
        !self.issuers.is_empty() || self.facade.is_some()
    }
}

/// Whether a caller without credentials is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Served; only ever the case on a loopback listener.
    Allow,
    /// Refused.
    Deny,
}

/// One upstream MCP server.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// How it is reached.
    pub transport: Transport,
    /// Which protocol era it speaks.
    pub era: EraPin,
    /// Whether clients share one instance of it.
    pub sharing: Sharing,
    /// `false` keeps the entry but neither starts nor lists the server.
    pub enabled: bool,
    /// How long one call may stay without an answer or a sign of progress.
    pub call_timeout: Duration,
    /// How long its lists are kept when it gives no hint of its own.
    pub list_ttl: Duration,
    /// How often it is asked whether it still answers; `None` means never.
    pub probe: Option<Duration>,
    /// Calls in flight to it at once; more wait.
    pub max_concurrent: usize,
    /// What views of its MCP Apps may ask for.
    pub apps: Apps,
    /// What it is for, shown to people.
    pub description: Option<String>,
}

/// What views of MCP Apps may ask for; `None` restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Apps {
    /// Where views may send requests, `scheme://[*.]host[:port]`.
    pub connect_domains: Option<Vec<String>>,
    /// Where views may load from.
    pub resource_domains: Option<Vec<String>>,
    /// What views may embed.
    pub frame_domains: Option<Vec<String>>,
    /// What views may set as the base of their document.
    pub base_uri_domains: Option<Vec<String>>,
    /// What views may use of the device.
    pub permissions: Option<Vec<String>>,
}

/// Which protocol era an upstream speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EraPin {
    /// Found out by asking it.
    #[default]
    Auto,
    /// Revisions with an `initialize` handshake, 2025-11-25 and before.
    Legacy,
    /// Stateless revisions, 2026-07-28 and after.
    Modern,
}

/// Whether clients share one instance of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// One child or upstream session serves every client.
    #[default]
    Shared,
    /// An own one for each client session, or for each principal where clients are stateless.
    Session,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Transport {
    /// A child process that speaks over its standard input and output.
    Stdio(Stdio),
    /// Streamable HTTP, or HTTP+SSE.
    Http(HttpUpstream),
}

/// A child process. It is started without a shell and sees only the environment named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stdio {
    /// The program: a path, or a bare name that is looked up in `PATH`.
    pub command: String,
    /// Its arguments, as they are. Other users of the machine can see them.
    pub args: Vec<String>,
    /// The variables of the gateway's environment that went into its arguments.
    pub told: BTreeMap<String, Secret>,
    /// Variables set for it.
    pub env: BTreeMap<String, Secret>,
    /// Its working directory; `None` means that of the gateway.
    pub cwd: Option<PathBuf>,
    /// Variables handed on from the gateway's own environment, beside the harmless few it always gets.
    pub inherit_env: Vec<String>,
    /// Stopped after so long without a call and started again by the next; `None` means never stopped.
    pub idle_stop: Option<Duration>,
    /// Most processes of it at once, a spare one aside.
    pub max_instances: usize,
    /// One may be started before it is needed.
    pub spare: bool,
    /// What it may reach of the machine; `None` is all that the gateway may itself.
    pub sandbox: Option<Box<Sandbox>>,
    /// The packages that its program is in. Arguments are the program's then, and `command` is what would install it otherwise.
    pub locked: Option<Box<LockedPackages>>,
}

/// What is spoken with a server behind a URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpTransport {
    /// Found out by asking it.
    #[default]
    Auto,
    /// Streamable HTTP, since 2025-03-26.
    Streamable,
    /// HTTP+SSE, of 2024-11-05.
    Sse,
}

/// A server behind a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUpstream {
    /// Its endpoint.
    pub url: UpstreamUrl,
    /// What is spoken with it.
    pub transport: HttpTransport,
    /// Headers sent with each request, names in lower case. Names and values are valid HTTP.
    pub headers: BTreeMap<String, Secret>,
    /// As whom it is called.
    pub credentials: Option<Box<Credentials>>,
    /// How its certificate is checked.
    pub tls: UpstreamTls,
    /// It is no MCP server but an API, which a document describes.
    pub openapi: Option<Box<OpenApi>>,
    /// It is run in the cluster, and `url` leads nowhere: where it is, the cluster says.
    pub image: Option<Box<Image>>,
}

/// How the certificate of an upstream is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Authorities trusted instead of those of the system, PEM.
    pub ca: Option<PathBuf>,
    /// Client certificate chain, PEM; present together with `key`.
    pub cert: Option<PathBuf>,
    /// Key of the client certificate, PEM.
    pub key: Option<PathBuf>,
    /// The name to expect in the certificate instead of the host of the URL.
    pub server_name: Option<String>,
    /// `false` accepts any certificate.
    pub verify: bool,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self { ca: None, cert: None, key: None, server_name: None, verify: true }
    }
}

/// An absolute `http` or `https` URL with a host and without user information or fragment.
///
/// `Debug` and `Display` leave the query out, since some servers are given their key there.
#[derive(Clone, PartialEq, Eq)]
pub struct UpstreamUrl(pub(crate) http::Uri);

impl UpstreamUrl {
    /// The whole URL, query included: for requests, not for logs.
    pub fn expose(&self) -> &http::Uri {
        &self.0
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let authority = self.0.authority().map_or("", http::uri::Authority::as_str);
        let query = if self.0.query().is_some() { "?***" } else { "" };
        write!(f, "{scheme}://{authority}{path}{query}", path = self.0.path())
    }
}

impl fmt::Debug for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// What browsers and proxies may send, besides loopback and the public URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// Origins, `scheme://host[:port]` in lower case.
    pub allowed_origins: Vec<String>,
    /// `Host` values, `host[:port]` in lower case; without a port any port fits.
    pub allowed_hosts: Vec<String>,
}

/// The bounds on what one client, one call and the whole process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request body, in bytes.
    pub body_bytes: usize,
    /// All request bodies together that did not come with their head, in bytes, until their calls have ended.
    pub bodies_bytes: usize,
    /// Largest request head (request line and headers), in bytes.
    pub header_bytes: usize,
    /// Deepest nesting of a JSON message, in levels.
    pub json_depth: usize,
    /// Most messages in one legacy JSON-RPC batch.
    pub batch: usize,
    /// Items on one page of a list.
    pub list_page: usize,
    /// Open client connections.
    pub connections: usize,
    /// The same for one principal.
    pub connections_per_principal: usize,
    /// Calls in flight in the whole process.
    pub concurrent_calls: usize,
    /// Calls in flight for one client.
    pub concurrent_per_client: usize,
    /// Finished answers of all legacy sessions that are kept for clients that come back, in bytes.
    pub replay_bytes: usize,
    /// Legacy sessions held at once.
    pub sessions: usize,
    /// The same for one principal.
    pub sessions_per_principal: usize,
    /// A legacy session is dropped after so long without a request or an open stream.
    pub session_idle: Duration,
    /// A key that seals what clients bring back is replaced after so long.
    pub key_rotation: Duration,
    /// Time to receive a request head.
    pub header_read: Duration,
    /// Time to receive a request body.
    pub body_read: Duration,
    /// How long a call may stay without an answer or a sign of progress, unless its server says otherwise.
    pub call_timeout: Duration,
    /// How long a call may last in all, whatever progress it reports.
    pub call_max: Duration,
    /// How long a client may take to answer what a server asks it; a call that asks may last so much longer.
    pub ask_timeout: Duration,
    /// Calls that wait for a client of 2026-07-28 to come back with answers.
    pub parked_calls: usize,
    /// The same for one principal.
    pub parked_per_client: usize,
    /// Largest message accepted from an upstream, in bytes.
    pub response_bytes: usize,
    /// Pause between keep-alive comments on a stream. Who takes nothing of an answer for two of them is left.
    pub keep_alive_interval: Duration,
    /// A session of 2025-11-25 has the connection of a stream closed after so long, and comes back for the rest; `None` means
    /// that a stream keeps its connection.
    pub poll_after: Option<Duration>,
    /// Time given to calls in flight when the process is asked to stop.
    pub drain: Duration,
    /// Rates, places and budgets.
    pub calls: Vec<CallLimit>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            bodies_bytes: 256 << 20,
            header_bytes: 32 << 10,
            json_depth: 64,
            batch: 50,
            list_page: 1000,
            connections: 10_000,
            connections_per_principal: 1000,
            concurrent_calls: 1024,
            concurrent_per_client: 128,
            replay_bytes: 64 << 20,
            sessions: 20_000,
            sessions_per_principal: 1000,
            session_idle: Duration::from_mins(30),
            key_rotation: Duration::from_hours(24),
            header_read: Duration::from_secs(10),
            body_read: Duration::from_secs(30),
            call_timeout: Duration::from_mins(1),
            call_max: Duration::from_mins(10),
            ask_timeout: Duration::from_mins(10),
            parked_calls: 1024,
            parked_per_client: 64,
            response_bytes: 64 << 20,
            keep_alive_interval: Duration::from_secs(15),
            poll_after: None,
            drain: Duration::from_secs(25),
            calls: Vec::new(),
        }
    }
}

/// Logs, metrics and traces.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// What is logged and how it looks.
    pub log: Log,
    /// Sends traces and metrics to a collector when present.
    pub otlp: Option<Otlp>,
    /// Serves `/metrics`.
    pub metrics: bool,
    /// Who may read what names servers and tools; `None` leaves it to policies and credentials.
    pub allow: Option<Readers>,
}

/// Who may read what names servers and tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readers {
    /// Callers in one of these groups.
    pub groups: Vec<String>,
    /// These callers, by id.
    pub principals: Vec<String>,
}

/// What is logged and how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// `tracing` directives such as `info` or `warn,portcullis_hub=debug`. Not parsed here.
    pub filter: String,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object on each line.
    Json,
    /// For people.
    Pretty,
}

/// An OpenTelemetry collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// Its absolute `http` or `https` URL.
    pub endpoint: String,
    /// Over which protocol.
    pub protocol: OtlpProtocol,
    /// Headers sent with each export.
    pub headers: BTreeMap<String, Secret>,
    /// Share of traces kept when the caller has not decided, 0.0 to 1.0.
    pub sample_ratio: f64,
    /// `service.name` of the resource.
    pub service_name: String,
}

/// The protocol of an OpenTelemetry collector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// OTLP over gRPC, usually port 4317.
    #[default]
    Grpc,
    /// OTLP over HTTP with protobuf bodies, usually port 4318.
    Http,
}
