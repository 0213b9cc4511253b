//! `servers.<name>.credentials`, and the vault that keeps users' accounts.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, Secret};

/// As whom a server behind a URL is called. A caller's own token is never passed on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// How they are come by: `none`; `static`, a header that does not change; `client-credentials`, the gateway as itself;
    /// `token-exchange`, in exchange for the caller's token (RFC 8693); `id-jag`, by an identity assertion of the identity
    /// provider's (Enterprise-Managed Authorization); `workload-identity`, by an assertion of the platform; `oauth`, the
    /// account that each user connects; `assertion`, a signed word of the gateway's own for servers that trust it.
    pub(crate) kind: Kind,
    /// A bearer token. Only with `static`.
    #[serde(default)]
    pub(crate) token: Option<Secret>,
    /// The header that a credential is sent in, in place of `Authorization`. Only with `static`, together with `value`, and
    /// with `assertion`.
    #[serde(default)]
    pub(crate) header: Option<String>,
    /// The value of `header`. Only with `static`.
    #[serde(default)]
    pub(crate) value: Option<Secret>,
    /// The authorization server that gives the tokens, by its identifier. With `oauth` and `workload-identity` the server
    /// says which when it is not given; a `client_id` of `oauth` needs it, and so does an `image`.
    #[serde(default)]
    pub(crate) issuer: Option<String>,
    /// Its token endpoint, where its metadata does not say.
    #[serde(default)]
    pub(crate) token_url: Option<String>,
    /// Who the gateway is there.
    #[serde(default)]
    pub(crate) client_id: Option<String>,
    /// The secret that goes with it.
    #[serde(default)]
    pub(crate) client_secret: Option<Secret>,
    /// A private key in PEM (PKCS #8; P-256, RSA or Ed25519) in place of the secret. With `assertion` the key that signs,
    /// in place of one that is made at every start.
    #[serde(default)]
    pub(crate) private_key: Option<Secret>,
    /// How the client shows who it is: `basic`, `post` or `private-key-jwt`. By what is given when it is not.
    #[serde(default)]
    pub(crate) client_auth: Option<ClientAuth>,
    /// What is asked for. With none, what the server says that it wants; with some, a server cannot widen it, except that
    /// the user of an `oauth` account may agree to more.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// For whom a token is asked for (`audience`), or an assertion made: the server's URL when not given, which an `image` does
    /// not have.
    #[serde(default)]
    pub(crate) audience: Option<String>,
    /// For which resource a token is asked for (RFC 8707); the server's URL when not given. An empty text leaves it out. With
    /// `oauth`: the resource that the server is part of, where its document (RFC 9728) is about that; it is the beginning of
    /// the server's URL. An `image` has none, so it needs this.
    #[serde(default)]
    pub(crate) resource: Option<String>,
    /// How the token endpoint exchanges tokens: `standard`, or `entra-obo` for Entra's on-behalf-of flow. Only with
    /// `token-exchange`.
    #[serde(default)]
    #[schemars(extend("default" = "standard"))]
    pub(crate) flavor: Option<Flavor>,
    /// `delegation`: tokens name the user and, as actor, the gateway. `impersonation`: the user alone. Only with
    /// `token-exchange`.
    #[serde(default)]
    #[schemars(extend("default" = "delegation"))]
    pub(crate) mode: Option<Mode>,
    /// The gateway's own token, to be named as actor; asked for by client credentials when not given. Only with
    /// `token-exchange`.
    #[serde(default)]
    pub(crate) actor_token: Option<Secret>,
    /// What is exchanged in place of the caller's token: then all callers are the same somebody. Only with `id-jag`.
    #[serde(default)]
    pub(crate) subject_token: Option<Secret>,
    /// What is exchanged: `access-token` or `id-token`. Only with `id-jag`.
    #[serde(default)]
    #[schemars(extend("default" = "access-token"))]
    pub(crate) subject_token_type: Option<SubjectType>,
    /// The identity provider that gives identity assertions. Only with `id-jag`.
    #[serde(default)]
    pub(crate) idp: Option<IdentityProvider>,
    /// The file in which the platform keeps the gateway's own assertion fresh. Only with `workload-identity`.
    #[serde(default)]
    pub(crate) token_file: Option<String>,
    /// The address of a document that describes the gateway as a client, where it is not the gateway's own
    /// (`/oauth/client/….json`). Only with `oauth`.
    #[serde(default)]
    pub(crate) client_metadata_url: Option<String>,
    /// Has tokens bound to a key of the gateway (RFC 9449), where the authorization server can do that. Only with `oauth` and
    /// `client-credentials`.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) dpop: Option<bool>,
    /// How long an assertion counts. Only with `assertion`.
    #[serde(default)]
    #[schemars(extend("default" = "60s"))]
    pub(crate) lifetime: Option<Duration>,
    /// Lets the server's documents name authorization servers inside: private addresses, plain `http`, unusual ports. What
    /// the operator writes down here may always be inside.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) private_network: Option<bool>,
    /// PEM file with the authorities to trust instead of those of the system when tokens are asked for.
    #[serde(default)]
    pub(crate) ca: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    None,
    Static,
    ClientCredentials,
    TokenExchange,
    IdJag,
    WorkloadIdentity,
    Oauth,
    Assertion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClientAuth {
    Basic,
    Post,
    PrivateKeyJwt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Flavor {
    Standard,
    EntraObo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Delegation,
    Impersonation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SubjectType {
    AccessToken,
    IdToken,
}

/// The identity provider that gives identity assertions (ID-JAG).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityProvider {
    /// Its identifier.
    #[serde(default)]
    pub(crate) issuer: Option<String>,
    /// Its token endpoint, where its metadata does not say.
    #[serde(default)]
    pub(crate) token_url: Option<String>,
    /// Who the gateway is there.
    pub(crate) client_id: String,
    /// The secret that goes with it.
    #[serde(default)]
    pub(crate) client_secret: Option<Secret>,
    /// A private key in PEM in place of the secret.
    #[serde(default)]
    pub(crate) private_key: Option<Secret>,
    /// How the client shows who it is. By what is given when it is not.
    #[serde(default)]
    pub(crate) client_auth: Option<ClientAuth>,
}

/// How the accounts are sealed that users connect. They are kept in the `store`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Vault {
    /// The key that seals them: 32 bytes in base64 or hex. When it is not given, one is made: once, in a file beside the store
    /// (`portcullis.db.key`), where that is SQLite; otherwise at every start, and the accounts are gone with the process. A
    /// change needs a restart.
    pub(crate) key: Option<Secret>,
}
