//! Who may call, and the two files that say it in detail.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, Secret};

/// Who may call.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Identity {
    /// Whether callers without credentials are served: `allow` (only on loopback, and the default there while there are
    /// neither `issuers` nor `facade` nor `keys`) or `deny`.
    pub(crate) anonymous: Option<Anonymous>,
    /// The identity providers whose access tokens are accepted.
    pub(crate) issuers: Vec<Issuer>,
    /// Logs people in where the identity provider cannot do what MCP clients need.
    pub(crate) facade: Option<super::Facade>,
    /// API keys for machines.
    pub(crate) keys: Option<Keys>,
    /// Scopes that an access token must have. Clients are told to ask for them, all at once.
    pub(crate) scopes: Vec<String>,
    /// Scopes that an operation may need beside those, because a policy asks for them (`context.scopes`); what gives least
    /// comes first. Whoever lacks nothing else for what they ask is told to log in again with the fewest that do.
    pub(crate) step_up: Vec<String>,
    /// Access tokens that are bound to a key of the client (RFC 9449).
    pub(crate) dpop: Dpop,
    /// How browsers log in that open the links of the gateway, so that users can connect accounts.
    pub(crate) login: Option<Login>,
    /// What is not accepted any more, although it has not expired.
    pub(crate) revoked: Option<RevokedList>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Anonymous {
    Allow,
    Deny,
}

/// How browsers log in: at one of the issuers, of which the gateway is a client. Its redirect URI there is
/// `<public_url>/oauth/login`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// The issuer. Its tokens for the endpoint `/mcp` say who somebody is.
    pub(crate) issuer: String,
    /// Who the gateway is there.
    pub(crate) client_id: String,
    /// The secret that goes with it.
    #[serde(default)]
    pub(crate) client_secret: Option<Secret>,
    /// What is asked for, as `openid`; with none `identity.scopes`.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// PEM file with the authorities to trust instead of those of the system.
    #[serde(default)]
    pub(crate) ca: Option<String>,
}

/// An identity provider whose access tokens (RFC 9068) are accepted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "`issuer` is what the whole field calls it")]
pub(crate) struct Issuer {
    /// Its identifier, exactly as its tokens and its metadata have it: an `https` URL, or `http` on this machine.
    pub(crate) issuer: String,
    /// What its tokens for this gateway name as audience, beside the URL of the endpoint that is called. A URL below
    /// `public_url` stands for that endpoint alone, anything else for the whole gateway.
    #[serde(default)]
    pub(crate) audience: Option<String>,
    /// The claim that lists the groups of a user: a name, or a path such as `realm_access.roles`.
    #[serde(default)]
    #[schemars(extend("default" = "groups"))]
    pub(crate) groups_claim: Option<String>,
    /// Stands before the name of each group of this issuer where groups are named: with `okta/`, its group `admins` is
    /// `okta/admins` to `policy` and `limits`. With several issuers and a `policy`, each says so, be it with `""`.
    #[serde(default)]
    pub(crate) groups_prefix: Option<String>,
    /// The signature algorithms that are accepted of it. `RS256`, `PS256`, `ES256`, `ES384` and `EdDSA` when not given.
    #[serde(default)]
    pub(crate) algorithms: Vec<Algorithm>,
    /// Where its keys are; found through its metadata when not given.
    #[serde(default)]
    pub(crate) jwks_url: Option<String>,
    /// Asks it about tokens that are no JWT (RFC 7662).
    #[serde(default)]
    pub(crate) introspection: Option<Introspection>,
    /// The tenants whose users are let in; all of them when not given.
    #[serde(default)]
    pub(crate) tenants: Option<Vec<String>>,
    /// The claim that names a user's tenant, such as `tid`, `hd` or `org_id`.
    #[serde(default)]
    #[schemars(extend("default" = "tid"))]
    pub(crate) tenant_claim: Option<String>,
    /// `true` when its access tokens do not say `typ: at+jwt`, as those of Entra. ID tokens are refused all the same.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) untyped: Option<bool>,
    /// Tokens that live longer are refused.
    #[serde(default)]
    #[schemars(extend("default" = "24h"))]
    pub(crate) max_lifetime: Option<Duration>,
    /// `false` when it does not give the scopes of `identity.step_up`: nobody is sent there for them.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub(crate) step_up: Option<bool>,
    /// PEM file with the authorities to trust instead of those of the system when it is asked.
    #[serde(default)]
    pub(crate) ca: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }
}

/// Asks an identity provider about tokens that are no JWT (RFC 7662). One issuer can have it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Introspection {
    /// Its introspection endpoint.
    pub(crate) url: String,
    /// The client id of the gateway there.
    pub(crate) client_id: String,
    /// The secret that goes with it.
    #[serde(default)]
    pub(crate) client_secret: Option<Secret>,
    /// A private key in PEM in place of the secret (`private_key_jwt`): P-256, RSA or Ed25519.
    #[serde(default)]
    pub(crate) client_key: Option<Secret>,
    /// The name under which the identity provider knows that key.
    #[serde(default)]
    pub(crate) client_key_id: Option<String>,
}

/// API keys for machines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keys {
    /// The file that lists them, as hashes. Read again when it changes.
    pub(crate) file: String,
}

/// What is not accepted any more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevokedList {
    /// The file that lists it. Read again when it changes.
    pub(crate) file: String,
}

/// Access tokens that are bound to a key of the client (RFC 9449). They are always accepted, and given by the facade to who
/// shows a key; these make them the rule.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Dpop {
    /// Only bound tokens are accepted.
    #[schemars(extend("default" = false))]
    pub(crate) required: Option<bool>,
    /// Proofs must hold a nonce of the gateway, so that none can be made in advance.
    #[schemars(extend("default" = false))]
    pub(crate) nonce: Option<bool>,
}

/// The file of `identity.keys`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct KeysFile {
    /// The machines by name.
    pub(crate) keys: BTreeMap<String, ApiKey>,
}

/// A machine that may call.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ApiKey {
    /// Its keys, one or, while one takes over from the other, two.
    pub(crate) hashes: Vec<KeyHash>,
    /// Its groups.
    pub(crate) groups: Vec<String>,
    /// Its scopes.
    pub(crate) scopes: Vec<String>,
}

/// A key as it is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyHash {
    /// SHA-256 over the key, in hex.
    pub(crate) sha256: String,
    /// When it ends: a day, which it does not see, or a time in UTC.
    #[serde(default)]
    pub(crate) expires: Option<String>,
}

/// The file of `identity.revoked`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RevokedFile {
    /// Access tokens, by `jti`.
    pub(crate) tokens: Vec<String>,
    /// Callers by id, as logs show them.
    pub(crate) principals: Vec<String>,
}
