//! The checked settings of the gateway's own authorization server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Secret, Tenants};

/// The gateway's own authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facade {
    /// Where people log in.
    pub idp: FacadeIdp,
    /// What seals what is kept; `None` means made up at each start.
    pub key: Option<Secret>,
    /// Clients that the operator registered, by id.
    pub clients: BTreeMap<String, FacadeClient>,
    /// Clients that are known by a document.
    pub documents: FacadeDocuments,
    /// Whether clients may register themselves.
    pub registration: bool,
    /// Issuers whose ID-JAGs are taken.
    pub id_jag: Vec<String>,
    /// How long an access token lives.
    pub access_ttl: Duration,
    /// How long somebody stays logged in.
    pub session_ttl: Duration,
}

/// The identity provider behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacadeIdp {
    /// Its identifier.
    pub issuer: String,
    /// The client id of the gateway there.
    pub client_id: String,
    /// The secret that goes with it.
    pub client_secret: Option<Secret>,
    /// The key that the gateway signs with instead, PEM.
    pub client_key: Option<Secret>,
    /// The name of that key.
    pub client_key_id: Option<String>,
    /// Which product it is.
    pub profile: &'static str,
    /// Scopes to ask for; empty means the usual ones.
    pub scopes: Vec<String>,
    /// The claim that lists groups; `None` means that of the product.
    pub groups_claim: Option<String>,
    /// The tenants that are let in; `None` means all.
    pub tenants: Option<Tenants>,
    /// Authorities trusted instead of those of the system, PEM.
    pub ca: Option<PathBuf>,
}

/// A client that the operator registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacadeClient {
    /// What people are shown.
    pub name: String,
    /// Where people may be sent back to.
    pub redirect_uris: Vec<String>,
    /// Its secret.
    pub secret: Option<Secret>,
    /// Its public keys: the file, and what it holds.
    pub jwks: Option<(PathBuf, String)>,
    /// Whether it may call on its own behalf.
    pub client_credentials: bool,
    /// The groups that it is in then.
    pub groups: Vec<String>,
}

/// Clients that are known by a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacadeDocuments {
    /// Whether they are taken.
    pub enabled: bool,
    /// Whose; any when empty.
    pub hosts: Vec<String>,
    /// Origins that may be inside.
    pub internal: Vec<String>,
    /// Authorities trusted instead of those of the system, PEM.
    pub ca: Option<PathBuf>,
}
