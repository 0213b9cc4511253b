//! As whom servers are called, checked.

use std::path::PathBuf;
use std::time::Duration;

use crate::Secret;

/// The credentials of one server. What a kind does not have is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// How they are come by.
    pub kind: CredentialKind,
    /// The authorization server's identifier.
    pub issuer: Option<String>,
    /// Its token endpoint.
    pub token_url: Option<String>,
    /// Who the gateway is there.
    pub client: Option<OauthClient>,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// For whom.
    pub audience: Option<String>,
    /// For which resource; `Some("")` for none.
    pub resource: Option<String>,
    /// Tokens are bound to a key.
    pub dpop: bool,
    /// What the server's documents name may be inside.
    pub private_network: bool,
    /// The authorities to trust instead of those of the system.
    pub ca: Option<PathBuf>,
}

/// How credentials are come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// A header that does not change; its name is in lower case.
    Static {
        /// Its name.
        header: String,
        /// Its value, or with `bearer` the token in it.
        value: Secret,
        /// The value is a token.
        bearer: bool,
    },
    /// The gateway as itself.
    ClientCredentials,
    /// In exchange for the caller's token.
    TokenExchange {
        /// Entra's on-behalf-of flow in place of RFC 8693.
        entra: bool,
        /// The gateway is named as actor.
        delegation: bool,
        /// Its own token.
        actor: Option<Secret>,
    },
    /// By an identity assertion.
    IdJag {
        /// Who gives it, by its identifier.
        idp_issuer: Option<String>,
        /// Its token endpoint.
        idp_token_url: Option<String>,
        /// Who the gateway is there.
        idp_client: OauthClient,
        /// What is exchanged in place of the caller's token.
        subject: Option<Secret>,
        /// What is exchanged is an ID token.
        id_token: bool,
    },
    /// By an assertion of the platform.
    WorkloadIdentity {
        /// The file that holds it.
        file: PathBuf,
    },
    /// The user's own account.
    Oauth {
        /// The document that describes the gateway as a client.
        client_metadata_url: Option<String>,
    },
    /// The gateway's own word.
    Assertion {
        /// How long it counts.
        lifetime: Duration,
        /// The key that signs it, PEM.
        key: Option<Secret>,
        /// The header that it is sent in.
        header: Option<String>,
    },
}

impl CredentialKind {
    /// Its name in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Static { .. } => "static",
            Self::ClientCredentials => "client-credentials",
            Self::TokenExchange { .. } => "token-exchange",
            Self::IdJag { .. } => "id-jag",
            Self::WorkloadIdentity { .. } => "workload-identity",
            Self::Oauth { .. } => "oauth",
            Self::Assertion { .. } => "assertion",
        }
    }

    /// Whether callers' tokens are needed for it.
    pub fn takes_subject(&self) -> bool {
        matches!(self, Self::TokenExchange { .. } | Self::IdJag { subject: None, .. })
    }
}

/// Who the gateway is toward an authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OauthClient {
    /// Its id.
    pub id: String,
    /// How it shows that.
    pub auth: OauthClientAuth,
}

/// How a client shows who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OauthClientAuth {
    /// Not at all.
    Public,
    /// By a secret in `Authorization`.
    Basic(Secret),
    /// By a secret in the form.
    Post(Secret),
    /// By a signature; the key is PEM.
    PrivateKey(Secret),
}
