//! As whom a server is called: what the crate needs to be told of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::secrets::SecretRef;
use super::sign::SigningKey;

/// The credentials of one server.
#[derive(Clone, Debug)]
pub struct ServerCredentials {
    /// Its slug.
    pub server: String,
    /// Its URL, as configured.
    pub url: String,
    /// That is no more than its name, for where it is changes: nothing is asked there, and all is configured.
    pub nowhere: bool,
    /// How they are come by.
    pub kind: Kind,
    /// Tokens are bound to a key of the gateway where the authorization server can do that.
    pub dpop: bool,
    /// What the server's documents name may be inside.
    pub private_network: bool,
}

/// How credentials are come by.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A header that does not change.
    Static {
        /// Its name.
        header: String,
        /// How its value begins.
        start: &'static str,
        /// What follows.
        value: Hidden,
    },
    /// Of the gateway itself, by client credentials.
    ClientCredentials(Grant),
    /// In exchange for the caller's token.
    TokenExchange(Exchange),
    /// In exchange for an identity assertion of the identity provider's.
    IdJag(IdJag),
    /// By an assertion that the platform gives the gateway.
    Workload(Workload),
    /// The user's own account.
    Oauth(Oauth),
    /// An assertion of the gateway's own.
    Assertion(Assertion),
}

impl Kind {
    /// Whether each user has credentials of their own.
    pub fn is_personal(&self) -> bool {
        match self {
            Self::Static { .. } | Self::ClientCredentials(_) | Self::Workload(_) => false,
            Self::IdJag(it) => it.subject.is_none(),
            Self::TokenExchange(_) | Self::Oauth(_) | Self::Assertion(_) => true,
        }
    }

    /// Whether callers' tokens are needed for it.
    pub fn takes_subject(&self) -> bool {
        match self {
            Self::TokenExchange(_) => true,
            Self::IdJag(it) => it.subject.is_none(),
            _ => false,
        }
    }
}

/// Where tokens are asked for: at an address, or where the metadata of an issuer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The authorization server's identifier.
    pub issuer: Option<String>,
    /// Its token endpoint.
    pub token_url: Option<String>,
}

/// Who the gateway is toward an authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its id there.
    pub id: String,
    /// How it shows that.
    pub auth: ClientAuth,
}

/// How a client shows who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not at all.
    Public,
    /// `client_secret_basic`.
    Basic(Hidden),
    /// `client_secret_post`.
    Post(Hidden),
    /// `private_key_jwt`.
    PrivateKey(Arc<SigningKey>),
    /// The same, by a key in PEM that is kept elsewhere.
    KeptKey(Hidden),
}

impl ClientAuth {
    /// What of it is kept elsewhere.
    pub(super) fn kept(&self) -> Option<&Hidden> {
        match self {
            Self::Basic(hidden) | Self::Post(hidden) | Self::KeptKey(hidden) => {
                hidden.kept_at().is_some().then_some(hidden)
            }
            Self::Public | Self::PrivateKey(_) => None,
        }
    }
}

/// Client credentials (RFC 6749 section 4.4).
#[derive(Clone, Debug)]
pub struct Grant {
    /// Where.
    pub place: Place,
    /// As whom.
    pub client: Client,
    /// For what.
    pub scopes: Vec<String>,
    /// `resource` (RFC 8707), where it is not the server's URL.
    pub resource: Option<String>,
    /// `audience`, for authorization servers that want it.
    pub audience: Option<String>,
}

/// Token exchange (RFC 8693), and what Entra has in its place.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Where, as whom, for what.
    pub grant: Grant,
    /// How the token endpoint speaks.
    pub flavor: Flavor,
    /// `false`: the server is not told that the gateway acts for the user.
    pub delegation: bool,
    /// The gateway's own token; asked for by client credentials when it is not given.
    pub actor: Option<Hidden>,
}

/// How a token endpoint exchanges tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// As RFC 8693 says.
    Standard,
    /// As Entra's on-behalf-of flow.
    EntraObo,
}

/// An identity assertion grant (Enterprise-Managed Authorization).
#[derive(Clone, Debug)]
pub struct IdJag {
    /// The identity provider.
    pub idp: Place,
    /// Who the gateway is there.
    pub idp_client: Client,
    /// The server's authorization server, as whom, for what.
    pub grant: Grant,
    /// What is exchanged in place of the caller's token.
    pub subject: Option<Hidden>,
    /// What is exchanged: an access token or an ID token.
    pub subject_type: String,
}

/// An assertion of the platform (workload identity federation).
#[derive(Clone, Debug)]
pub struct Workload {
    /// Where.
    pub place: Place,
    /// Who the gateway is there, where that matters.
    pub client_id: Option<String>,
    /// The file that the platform keeps fresh.
    pub file: std::path::PathBuf,
    /// For what.
    pub scopes: Vec<String>,
    /// `resource`, where it is not the server's URL.
    pub resource: Option<String>,
}

/// A user's own account (authorization code with PKCE).
#[derive(Clone, Debug, Default)]
pub struct Oauth {
    /// The authorization server; the server says which when it is not given.
    pub issuer: Option<String>,
    /// Who the gateway is there; found out when not given.
    pub client: Option<Client>,
    /// The address of a document that describes the gateway as a client, in place of its own.
    pub client_metadata_url: Option<String>,
    /// What is asked for; the server says when not given.
    pub scopes: Vec<String>,
    /// The resource that the server is part of, where its document is about that and not about its URL.
    pub resource: Option<String>,
}

/// An assertion of the gateway's own, which says for whom it calls.
#[derive(Clone, Debug)]
pub struct Assertion {
    /// For whom it is meant, where that is not the server's URL.
    pub audience: Option<String>,
    /// How long one counts.
    pub lifetime: Duration,
    /// The key, where it is not the gateway's.
    pub key: Option<Arc<SigningKey>>,
    /// The header that it is sent in; `Authorization` with `Bearer` when not given.
    pub header: Option<String>,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(Text);

#[derive(Clone, PartialEq, Eq)]
enum Text {
    Here(String),
    Kept(SecretRef),
}

impl Hidden {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Text::Here(text.into()))
    }

    /// One that is kept elsewhere, and read when it is needed.
    pub fn kept(at: SecretRef) -> Self {
        Self(Text::Kept(at))
    }

    pub(super) fn kept_at(&self) -> Option<&SecretRef> {
        match &self.0 {
            Text::Here(_) => None,
            Text::Kept(at) => Some(at),
        }
    }

    /// The text; of what is kept elsewhere there is none before it is revealed.
    pub(super) fn expose(&self) -> &str {
        match &self.0 {
            Text::Here(text) => text,
            Text::Kept(_) => "",
        }
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(***)")
    }
}
