//! The checked settings of who may call: identity providers, and what the two files beside the configuration hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::Secret;

/// An identity provider whose access tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its identifier, as its tokens have it.
    pub issuer: String,
    /// What its tokens for this gateway name as audience, beside the endpoint.
    pub audience: Option<String>,
    /// The claim that lists groups: a name, or a path with dots.
    pub groups_claim: String,
    /// Stands before the names of its groups.
    pub groups_prefix: String,
    /// Accepted signature algorithms, by the names of RFC 7518; empty means the usual ones.
    pub algorithms: Vec<&'static str>,
    /// Where its keys are; `None` means that its metadata says.
    pub jwks_url: Option<String>,
    /// How it is asked about tokens that are no JWT.
    pub introspection: Option<Introspection>,
    /// The tenants that are let in; `None` means all.
    pub tenants: Option<Tenants>,
    /// Its access tokens do not say that they are some.
    pub untyped: bool,
    /// Tokens that live longer are refused.
    pub max_lifetime: Duration,
    /// It gives the scopes of `step_up`.
    pub step_up: bool,
    /// Authorities trusted instead of those of the system, PEM.
    pub ca: Option<PathBuf>,
}

/// How an identity provider is asked about tokens (RFC 7662).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspection {
    /// The endpoint.
    pub url: String,
    /// The client id of the gateway there.
    pub client_id: String,
    /// The secret that goes with it.
    pub client_secret: Option<Secret>,
    /// The key that the gateway signs with instead, PEM.
    pub client_key: Option<Secret>,
    /// The name of that key.
    pub client_key_id: Option<String>,
}

/// The tenants of an identity provider that are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenants {
    /// The claim that names a user's tenant.
    pub claim: String,
    /// Those that are let in; at least one.
    pub allowed: Vec<String>,
}

/// API keys for machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeys {
    /// The file that they stand in.
    pub file: PathBuf,
    /// The machines by name.
    pub keys: BTreeMap<String, ApiKey>,
}

/// A machine that may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKey {
    /// One or two keys.
    pub hashes: Vec<KeyHash>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its scopes.
    pub scopes: Vec<String>,
}

/// A key as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash {
    /// SHA-256 over the key.
    pub sha256: [u8; 32],
    /// When it ends, in seconds since 1970.
    pub expires: Option<u64>,
}

/// Access tokens that are bound to a key of the client (RFC 9449).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dpop {
    /// No others are accepted.
    pub required: bool,
    /// Proofs must hold a nonce.
    pub nonce: bool,
}

/// What is not accepted any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    /// The file that it stands in.
    pub file: PathBuf,
    /// Access tokens by `jti`.
    pub tokens: BTreeSet<String>,
    /// Callers by id.
    pub principals: BTreeSet<String>,
}
