//! What the facade needs to be told.

use std::fmt;
use std::time::Duration;

use crate::proof::ClientProof;
use crate::settings::Tenants;

use super::profile::Profile;

/// The gateway's own authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct FacadeSettings {
    /// Its identifier: the same text in metadata, tokens, answers, and the metadata of endpoints.
    pub issuer: String,
    /// The URL of the gateway; every endpoint's begins with it.
    pub base: String,
    /// What seals what is kept. `None` makes one up, and what was kept is worth nothing to the next process.
    pub key: Option<SealKey>,
    /// Where people log in.
    pub idp: IdpSettings,
    /// Scopes that it gives.
    pub scopes: Vec<String>,
    /// Scopes that it gives beside, to clients that ask for them.
    pub step_up: Vec<String>,
    /// Clients that the operator registered.
    pub clients: Vec<ConfiguredClient>,
    /// Clients that are known by a document at the URL that is their id.
    pub documents: DocumentSettings,
    /// Clients may register themselves (RFC 7591).
    pub registration: bool,
    /// Identity providers whose ID-JAGs are taken, beside or instead of that where people log in.
    pub id_jag: Vec<String>,
    /// Tokens are given bound to a key alone (RFC 9449).
    pub dpop_required: bool,
    /// Proofs must hold a nonce that the gateway gave.
    pub dpop_nonce: bool,
    /// How long an access token lives.
    pub access_ttl: Duration,
    /// SHA-256 over the authorities that are trusted outside, which the client toward it was made with.
    pub authorities: [Option<[u8; 32]>; 2],
    /// What the identity provider gives is kept, to be exchanged where servers are called for their users.
    pub keeps_id_tokens: bool,
    /// How long somebody stays logged in without going back to the identity provider.
    pub session_ttl: Duration,
}

/// A secret that keys are made of.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey(pub String);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(***)")
    }
}

/// The identity provider, to which the gateway is a client like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdpSettings {
    /// Its identifier, as configured.
    pub issuer: String,
    /// Who the gateway is there.
    pub client_id: String,
    /// What proves it.
    pub proof: ClientProof,
    /// In which ways it differs from the standard.
    pub profile: Profile,
    /// Scopes to ask for; the profile's when empty.
    pub scopes: Vec<String>,
    /// The claim that lists groups; the profile's when not given.
    pub groups_claim: Option<String>,
    /// Tenants whose users are let in; all when not given.
    pub tenants: Option<Tenants>,
}

/// A client that the operator registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredClient {
    /// Its id.
    pub id: String,
    /// What people are shown.
    pub name: String,
    /// Where people may be sent back to; empty for machines.
    pub redirect_uris: Vec<String>,
    /// SHA-256 over its secret; `None` for a public client.
    pub secret: Option<[u8; 32]>,
    /// Public keys that it signs with, as a JWK set.
    pub jwks: Option<String>,
    /// It may call on its own behalf (client credentials), in these groups.
    pub machine: Option<Vec<String>>,
}

/// Client id metadata documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentSettings {
    /// They are taken.
    pub enabled: bool,
    /// Hosts that may have them; any when empty.
    pub hosts: Vec<String>,
    /// Origins (`https://host[:port]`) that may be inside the own network, since the operator says so.
    pub internal: Vec<String>,
}
