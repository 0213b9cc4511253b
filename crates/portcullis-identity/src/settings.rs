//! What the crate needs to be told. The configuration's own types stay in the configuration's crate.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::api_key::ApiKey;
use crate::jose::{Algorithm, Object};
use crate::proof::ClientProof;
use crate::revoked::Revoked;

/// Who is let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Identity providers, and the gateway itself when it logs people in.
    pub issuers: Vec<IssuerSettings>,
    /// Where clients are told to log in; all issuers when not given.
    pub authorization_server: Option<String>,
    /// API keys by id.
    pub keys: BTreeMap<String, ApiKey>,
    /// Scopes that a user's token must have, and clients are told to ask for.
    pub scopes: Vec<String>,
    /// Only tokens that are bound to a key by DPoP are accepted.
    pub dpop_required: bool,
    /// Proofs must hold a nonce that this process gave.
    pub dpop_nonce: bool,
    /// What is not accepted any more.
    pub revoked: Revoked,
}

/// One identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerSettings {
    /// Its identifier, compared as text.
    pub issuer: String,
    /// An audience of tokens for this gateway, beside the addresses of its endpoints.
    pub audience: Option<String>,
    /// The claim that lists a user's groups: a name, or a path with dots. Empty: nobody's groups are read.
    pub groups_claim: String,
    /// Stands before the name of each group that it vouches for, so that it is not taken for another issuer's.
    pub groups_prefix: String,
    /// Signature algorithms that are accepted of it.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are; found through its metadata when not given.
    pub jwks_url: Option<String>,
    /// How tokens that cannot be read are asked about.
    pub introspection: Option<Introspection>,
    /// Tenants whose tokens are accepted; all when not given.
    pub tenants: Option<Tenants>,
    /// Its access tokens do not say `typ: at+jwt`.
    pub untyped: bool,
    /// Tokens that live longer are refused.
    pub max_lifetime: Duration,
}

/// RFC 7662.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspection {
    /// The endpoint.
    pub url: String,
    /// Who asks.
    pub client_id: String,
    /// What proves it.
    pub proof: ClientProof,
}

/// Which tenants of an issuer are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenants {
    /// The claim that names the tenant, such as `tid`, `hd` or `org_id`.
    pub claim: String,
    /// Those that are let in.
    pub allowed: Vec<String>,
}

impl Tenants {
    /// Whether whoever these claims are about is of a tenant that is let in.
    pub(crate) fn let_in(&self, claims: &Object) -> bool {
        let tenant = claims.get(&self.claim).and_then(Value::as_str);
        tenant.is_some_and(|tenant| self.allowed.iter().any(|it| it == tenant))
    }
}
