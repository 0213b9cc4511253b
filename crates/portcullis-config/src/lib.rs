//! File, environment and flags become checked settings.
//!
//! The way of a configuration, in order:
//! a format reader turns the text into one kind of tree that remembers lines; the entries of MCP client files
//! are brought into the gateway's own form; `${NAME}` is filled in; the tree is held against the
//! JSON Schema of the raw structs; the raw structs are checked and become [`Settings`].
//! Every step adds to one list of problems and goes on, so that a user sees all of them in one run.
//!
//! This crate reads the configuration file and the files it names. It does not watch them, connect to
//! anything, or know how the settings are used.

mod audit;
mod calls;
mod cases;
mod check;
mod clients;
mod conform;
mod credentials;
mod effective;
mod embeddings;
mod environment;
mod facade;
mod fill;
mod guard;
mod identity;
mod kubernetes;
mod load;
mod node;
mod openapi;
mod oversight;
mod policy;
mod problem;
mod raw;
mod read;
mod reference;
mod registered;
mod registry;
mod report;
mod sandbox;
mod schema;
mod secret;
mod settings;
mod slug;
mod toolset;
mod units;

pub use audit::{AskedWitness, Audit, AuditLog, AuditMode, System, TimeStamps, Witness};
pub use calls::{CallLimit, Each, PerTime};
pub use cases::{Case, Cases, Expected, Who, cases};
pub use check::read_vault_key as vault_key;
pub use credentials::{CredentialKind, Credentials, OauthClient, OauthClientAuth};
pub use effective::effective;
pub use embeddings::Embeddings;
pub use environment::{Environment, Overrides, ProcessEnvironment};
pub use facade::{Facade, FacadeClient, FacadeDocuments, FacadeIdp};
pub use guard::{Direction, Effect, Guard, GuardRule, GuardScope, Profile, PseudonymScope, Recogniser};
pub use identity::{ApiKey, ApiKeys, Dpop, Introspection, Issuer, KeyHash, Revoked, Tenants};
pub use kubernetes::{ClusterAccess, ClusterAuth, GatewayPlace, Image, Kubernetes, Pem};
pub use load::{Format, Loaded, defaults, entries, import, load, parse};
pub use openapi::{DocumentAt, OpenApi};
pub use oversight::{Approvals, DefinitionsMode, Flow, FlowMode, Halt, Region, Webhook};
pub use policy::{FactKind, Policy, PolicyMode, PolicyText};
pub use problem::{Problem, Problems, Severity};
pub use reference::reference;
pub use registered::{NextVersion, Offered, Offers, Registered};
pub use registry::{LockedPackages, RegistryImport, RegistryPackages, ServerRegistry};
pub use sandbox::{Sandbox, SandboxNetwork};
pub use schema::schema;
pub use secret::{Secret, SecretSource, VaultSecret};
pub use settings::{
    Anonymous, Apps, Discovery, DiscoveryRule, EraPin, Http, HttpTransport, HttpUpstream, Identity, Limits,
    Log, LogFormat, Login, Otlp, OtlpProtocol, Readers, SecretVault, Server, Settings, Sharing, Stdio, Store,
    Telemetry, Tls, Transport, UpstreamTls, UpstreamUrl, VaultAuth,
};
pub use toolset::{Pick, Source, Toolset};
