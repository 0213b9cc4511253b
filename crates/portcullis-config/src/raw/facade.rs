//! The gateway's own authorization server, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, Secret};

/// Logs people in where the identity provider cannot do what MCP clients need: an authorization server of the gateway's own,
/// at `public_url` + `/as`, that is one plain OpenID client to the provider. Clients are then sent here to log in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facade {
    /// The identity provider where people log in. Register the gateway there as a web application with the redirect URI
    /// `public_url` + `/as/callback`.
    pub(crate) idp: FacadeIdp,
    /// A secret of at least 32 characters that seals what is kept: keys, codes, consents, logins. Without it one is made at
    /// each start, and everybody has to log in again. Gateways that share a store must share it.
    #[serde(default)]
    pub(crate) key: Option<Secret>,
    /// Clients that the operator registers, by their ids.
    #[serde(default)]
    pub(crate) clients: BTreeMap<String, FacadeClient>,
    /// Clients that are known by a metadata document at the URL that is their id.
    #[serde(default)]
    pub(crate) documents: FacadeDocuments,
    /// Whether clients may register themselves (RFC 7591), as older ones want to.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) registration: Option<bool>,
    /// Identity providers whose ID-JAGs are taken (Enterprise-Managed Authorization), by their issuers.
    #[serde(default)]
    pub(crate) id_jag: Vec<String>,
    /// How long an access token lives: up to an hour.
    #[serde(default)]
    #[schemars(extend("default" = "10m"))]
    pub(crate) access_ttl: Option<Duration>,
    /// How long somebody stays logged in without going back to the identity provider: up to 30 days. Groups and claims are
    /// those of the login until then.
    #[serde(default)]
    #[schemars(extend("default" = "12h"))]
    pub(crate) session_ttl: Option<Duration>,
}

/// The identity provider behind the gateway's own authorization server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FacadeIdp {
    /// Its identifier: an `https` URL, or `http` on this machine. Its OpenID configuration is below it.
    pub(crate) issuer: String,
    /// The client id of the gateway there.
    pub(crate) client_id: String,
    /// The secret that goes with it.
    #[serde(default)]
    pub(crate) client_secret: Option<Secret>,
    /// Instead of a secret, the key that the gateway signs with there (`private_key_jwt`): PKCS#8 as PEM.
    #[serde(default)]
    pub(crate) client_key: Option<Secret>,
    /// The name (`kid`) under which the provider knows that key.
    #[serde(default)]
    pub(crate) client_key_id: Option<String>,
    /// Which product it is, for the ways in which it differs from the standard.
    #[serde(default)]
    #[schemars(extend("default" = "generic"))]
    pub(crate) profile: Option<IdpProfile>,
    /// Scopes to ask it for; `openid profile email` when not given, and `groups` with `okta`.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// The claim that lists the groups of a user: a name, or a path such as `realm_access.roles`. `groups` when not given,
    /// `cognito:groups` with `cognito`; Google tells of none.
    #[serde(default)]
    pub(crate) groups_claim: Option<String>,
    /// The tenants whose users are let in; all of them when not given. Needed with `google`, and with `entra` for several
    /// tenants, where anybody in the world has an account.
    #[serde(default)]
    pub(crate) tenants: Option<Vec<String>>,
    /// The claim that names a user's tenant; `hd` with `google`.
    #[serde(default)]
    #[schemars(extend("default" = "tid"))]
    pub(crate) tenant_claim: Option<String>,
    /// PEM file with the authorities to trust instead of those of the system when it is asked.
    #[serde(default)]
    pub(crate) ca: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum IdpProfile {
    Generic,
    Entra,
    Okta,
    Google,
    Cognito,
    Keycloak,
}

impl IdpProfile {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::Entra => "entra",
            Self::Okta => "okta",
            Self::Google => "google",
            Self::Cognito => "cognito",
            Self::Keycloak => "keycloak",
        }
    }
}

/// A client of the gateway's own authorization server.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FacadeClient {
    /// What people are shown when they are asked; its id when not given.
    pub(crate) name: Option<String>,
    /// Where people may be sent back to, exactly; on loopback the port may be another. A scheme of the application's own is
    /// fine here.
    pub(crate) redirect_uris: Vec<String>,
    /// Its secret: at least 24 characters. Without it, and without `jwks`, it is a public client.
    pub(crate) secret: Option<Secret>,
    /// File with the public keys that it signs with (`private_key_jwt`): a JWK set.
    pub(crate) jwks: Option<String>,
    /// Whether it may call on its own behalf (client credentials). Needs `secret` or `jwks`.
    #[schemars(extend("default" = false))]
    pub(crate) client_credentials: Option<bool>,
    /// The groups that it is in when it does.
    pub(crate) groups: Vec<String>,
}

/// Clients that are known by a metadata document (client id metadata documents).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FacadeDocuments {
    /// Whether they are taken.
    #[schemars(extend("default" = true))]
    pub(crate) enabled: Option<bool>,
    /// The hosts whose documents are taken; any on the public internet when not given.
    pub(crate) hosts: Vec<String>,
    /// Origins (`https://host[:port]`) of documents that may be inside the own network.
    pub(crate) internal: Vec<String>,
    /// PEM file with the authorities to trust instead of those of the system when documents are fetched.
    pub(crate) ca: Option<String>,
}
