//! As whom a server is called: its settings in the words of `portcullis-identity`, and what becomes of a call for which
//! something is needed first.
//!
//! A server whose users have credentials of their own is a [`super::Server`] for each of them, with conversations, lists and
//! feeds of its own (`route/personal.rs`): nobody's session is used for anybody else.

use std::sync::Arc;

use portcullis_config::{
    self as config, CredentialKind, HttpUpstream, OauthClient, OauthClientAuth, SecretSource, VaultSecret,
};
use portcullis_identity::Fetch;
use portcullis_identity::outbound::{
    Assertion, Client, ClientAuth, Exchange, Flavor, Grant, Hidden, IdJag, Kind, LogIn, Needed, Oauth,
    Office, Place, SecretRef, ServerCredentials, SigningKey, Source, Workload,
};
use portcullis_mcp::json::{Change, Raw};
use portcullis_model::{ErrorKind, Principal, ServerId};

use super::TlsError;
use crate::call::{Challenge, Refusal};
use crate::identity;

/// What sources of one server's credentials are made with.
pub(crate) struct Credentials {
    settings: Arc<ServerCredentials>,
    fetch: Arc<dyn Fetch>,
}

impl Credentials {
    /// `None` for a server that is called without.
    ///
    /// # Errors
    /// A key or a certificate cannot be read.
    pub(super) fn of(id: &ServerId, http: &HttpUpstream) -> Result<Option<Self>, TlsError> {
        let Some(credentials) = &http.credentials else { return Ok(None) };
        let settings = ServerCredentials {
            server: id.as_str().to_owned(),
            url: http.url.expose().to_string(),
            nowhere: http.image.is_some(),
            kind: kind(credentials)?,
            dpop: credentials.dpop,
            private_network: credentials.private_network,
        };
        let fetch = identity::outside(credentials.ca.as_deref())?;
        Ok(Some(Self { settings: Arc::new(settings), fetch }))
    }

    pub(super) fn is_personal(&self) -> bool {
        self.settings.kind.is_personal()
    }

    pub(super) fn takes_subjects(&self) -> bool {
        self.settings.kind.takes_subject()
    }

    pub(super) fn is_account(&self) -> bool {
        matches!(self.settings.kind, Kind::Oauth(_))
    }

    pub(super) fn source(&self, office: &Arc<Office>, owner: Option<Principal>) -> Arc<Source> {
        Source::new(office, &self.settings, &self.fetch, owner)
    }

    /// The key with which assertions for this server are signed, where it has one of its own.
    pub(super) fn key(&self) -> Option<Arc<SigningKey>> {
        match &self.settings.kind {
            Kind::Assertion(assertion) => assertion.key.clone(),
            _ => None,
        }
    }
}

fn kind(credentials: &config::Credentials) -> Result<Kind, TlsError> {
    let place = || Place { issuer: credentials.issuer.clone(), token_url: credentials.token_url.clone() };
    let known = || credentials.client.as_ref().map(client).transpose();
    let grant = || -> Result<Grant, TlsError> {
        let public = Client { id: String::new(), auth: ClientAuth::Public };
        Ok(Grant {
            place: place(),
            client: known()?.unwrap_or(public),
            scopes: credentials.scopes.clone(),
            resource: credentials.resource.clone(),
            audience: credentials.audience.clone(),
        })
    };
    Ok(match &credentials.kind {
        CredentialKind::Static { header, value, bearer } => {
            let start = if *bearer { "Bearer " } else { "" };
            Kind::Static { header: header.clone(), start, value: hidden(value) }
        }
        CredentialKind::ClientCredentials => Kind::ClientCredentials(grant()?),
        CredentialKind::TokenExchange { entra, delegation, actor } => Kind::TokenExchange(Exchange {
            grant: grant()?,
            flavor: if *entra { Flavor::EntraObo } else { Flavor::Standard },
            delegation: *delegation,
            actor: actor.as_ref().map(hidden),
        }),
        CredentialKind::IdJag { idp_issuer, idp_token_url, idp_client, subject, id_token } => {
            let subject_type = if *id_token { "id_token" } else { "access_token" };
            Kind::IdJag(IdJag {
                idp: Place { issuer: idp_issuer.clone(), token_url: idp_token_url.clone() },
                idp_client: client(idp_client)?,
                grant: grant()?,
                subject: subject.as_ref().map(hidden),
                subject_type: format!("urn:ietf:params:oauth:token-type:{subject_type}"),
            })
        }
        CredentialKind::WorkloadIdentity { file } => Kind::Workload(Workload {
            place: place(),
            client_id: credentials.client.as_ref().map(|client| client.id.clone()),
            file: file.clone(),
            scopes: credentials.scopes.clone(),
            resource: credentials.resource.clone(),
        }),
        CredentialKind::Oauth { client_metadata_url } => Kind::Oauth(Oauth {
            issuer: credentials.issuer.clone(),
            client: known()?,
            client_metadata_url: client_metadata_url.clone(),
            scopes: credentials.scopes.clone(),
            resource: credentials.resource.clone(),
        }),
        CredentialKind::Assertion { lifetime, key, header } => Kind::Assertion(Assertion {
            audience: credentials.audience.clone(),
            lifetime: *lifetime,
            key: key.as_ref().map(signing_key).transpose()?,
            header: header.clone(),
        }),
    })
}

pub(crate) fn client(client: &OauthClient) -> Result<Client, TlsError> {
    let auth = match &client.auth {
        OauthClientAuth::Public => ClientAuth::Public,
        OauthClientAuth::Basic(secret) => ClientAuth::Basic(hidden(secret)),
        OauthClientAuth::Post(secret) => ClientAuth::Post(hidden(secret)),
        OauthClientAuth::PrivateKey(key) if matches!(key.source(), SecretSource::Vault(_)) => {
            ClientAuth::KeptKey(hidden(key))
        }
        OauthClientAuth::PrivateKey(key) => ClientAuth::PrivateKey(signing_key(key)?),
    };
    Ok(Client { id: client.id.clone(), auth })
}

/// A secret of the configuration: as it stands there, or where it is kept.
pub(crate) fn hidden(secret: &config::Secret) -> Hidden {
    match secret.source() {
        SecretSource::Vault(at) => {
            let VaultSecret { path, versioned, field } = at.clone();
            Hidden::kept(SecretRef { path, versioned, field })
        }
        _ => Hidden::new(secret.expose()),
    }
}

fn signing_key(key: &config::Secret) -> Result<Arc<SigningKey>, TlsError> {
    let read = SigningKey::read(key.expose());
    let read = read.map_err(|error| TlsError::Key(format!("the private key ({}) {error}", key.source())));
    read.map(Arc::new)
}

/// What is told to whoever made a call for which something is needed first.
pub(crate) fn refusal(server: &ServerId, needed: &Needed) -> Refusal {
    match needed {
        Needed::Connect(connect) => {
            let what = if connect.more {
                "needs you to agree to more with the account that you connected"
            } else {
                "needs you to connect an account"
            };
            let url = &connect.url;
            let message = format!("server `{server}` {what}: open {url} in your browser, then call again");
            let url = Raw::from_text(url);
            let data = Raw::from_static("{}").with(&[("url", Change::Set(url.as_bytes()))]);
            Refusal::new(ErrorKind::ConnectionRequired, message).with_data(data)
        }
        Needed::LogIn(LogIn { code, claims }) => {
            let message = format!(
                "server `{server}` is called for you, and your identity provider wants you to log in again before it allows that \
                 ({code}): log in again, then call again"
            );
            let data = claims.as_deref().map(|claims| {
                let claims = Raw::from_text(claims);
                Raw::from_static("{}").with(&[("claims", Change::Set(claims.as_bytes()))])
            });
            let challenge = Some(Challenge::Login(claims.as_deref().map(Into::into)));
            Refusal { data, challenge, ..Refusal::new(ErrorKind::LoginRequired, message) }
        }
        Needed::Denied(why) => Refusal::new(ErrorKind::UpstreamDenied, prefixed(server, why)),
        Needed::Unavailable(why) => Refusal::new(ErrorKind::UpstreamUnavailable, prefixed(server, why)),
    }
}

fn prefixed(server: &ServerId, why: &str) -> String {
    let start = format!("server `{server}`");
    if why.starts_with(&start) { why.to_owned() } else { format!("{start}: {why}") }
}
