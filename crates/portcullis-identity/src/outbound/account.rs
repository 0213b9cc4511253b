//! What is kept of a connected account, and how it is written.
//!
//! A record holds either an account or, for a while, that it has ended: whoever was late to write what it got for a refresh
//! token can tell an account that ended because that token was used (its own doing) from one that was given up.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::credential::{Credential, What};
use super::settings::{Client, ClientAuth, Hidden};
use super::sign::SigningKey;
use super::tokens::Prover;
use crate::inbound::sha256;

/// Of any text as many characters, fit for keys.
pub(super) fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(text.as_bytes()))
}

/// Whether a text can be one.
pub(super) fn is_digest(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// What is needed to ask for tokens of one user's account.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) issuer: String,
    pub(super) token_endpoint: String,
    pub(super) revocation_endpoint: Option<String>,
    pub(super) resource: String,
    /// `None` where the operator says as whom.
    pub(super) client: Option<Client>,
    /// It was got by registering, and the authorization server may forget it.
    pub(super) registered: bool,
    pub(super) prover: Option<Arc<Prover>>,
}

impl Account {
    pub(super) fn write(&self) -> Value {
        let client = self.client.as_ref().map(|client| {
            let (method, secret) = match &client.auth {
                ClientAuth::Basic(secret) => ("basic", Some(secret.expose())),
                ClientAuth::Post(secret) => ("post", Some(secret.expose())),
                ClientAuth::Public | ClientAuth::PrivateKey(_) | ClientAuth::KeptKey(_) => ("none", None),
            };
            json!({"id": client.id, "method": method, "secret": secret})
        });
        let key = self.prover.as_ref().and_then(|prover| prover.key.to_pkcs8());
        json!({
            "issuer": self.issuer,
            "token_endpoint": self.token_endpoint,
            "revocation_endpoint": self.revocation_endpoint,
            "resource": self.resource,
            "client": client,
            "registered": self.registered,
            "key": key.map(|key| STANDARD.encode(key)),
        })
    }

    pub(super) fn read(kept: &Value) -> Option<Self> {
        let text = |name: &str| kept[name].as_str().map(str::to_owned);
        let client = &kept["client"];
        let secret = client["secret"].as_str().map(Hidden::new);
        let client = client["id"].as_str().map(|id| Client {
            id: id.to_owned(),
            auth: match (client["method"].as_str(), secret) {
                (Some("basic"), Some(secret)) => ClientAuth::Basic(secret),
                (Some("post"), Some(secret)) => ClientAuth::Post(secret),
                _ => ClientAuth::Public,
            },
        });
        let key = match kept["key"].as_str() {
            Some(key) => Some(SigningKey::from_pkcs8(&STANDARD.decode(key).ok()?)?),
            None => None,
        };
        Some(Self {
            issuer: text("issuer")?,
            token_endpoint: text("token_endpoint")?,
            revocation_endpoint: text("revocation_endpoint"),
            resource: text("resource")?,
            client,
            registered: kept["registered"].as_bool().unwrap_or(false),
            prover: key.map(|key| Arc::new(Prover::new(Arc::new(key)))),
        })
    }
}

/// A record of the vault.
pub(super) struct Kept {
    pub(super) account: Account,
    pub(super) access: String,
    pub(super) dpop: bool,
    /// In seconds since 1970.
    pub(super) expires: u64,
    /// From when on it is to be renewed: whoever reads the record later cannot tell how long it was good for.
    pub(super) renew: u64,
    pub(super) refresh: Option<String>,
    pub(super) scopes: Vec<String>,
    /// When it was connected, in seconds since 1970.
    pub(super) since: u64,
    /// Another one each time that an account is connected; a refresh leaves it as it is.
    pub(super) login: String,
}

impl Kept {
    pub(super) fn write(&self) -> Value {
        json!({
            "account": self.account.write(), "access": self.access, "dpop": self.dpop, "expires": self.expires,
            "renew": self.renew, "refresh": self.refresh, "scopes": self.scopes, "since": self.since,
            "login": self.login,
        })
    }

    pub(super) fn read(kept: &Value) -> Option<Self> {
        let scopes = kept["scopes"].as_array()?.iter().filter_map(Value::as_str);
        let expires = kept["expires"].as_u64()?;
        Some(Self {
            account: Account::read(&kept["account"])?,
            access: kept["access"].as_str()?.to_owned(),
            dpop: kept["dpop"].as_bool()?,
            expires,
            renew: kept["renew"].as_u64().unwrap_or(expires),
            refresh: kept["refresh"].as_str().map(str::to_owned),
            scopes: scopes.map(str::to_owned).collect(),
            since: kept["since"].as_u64()?,
            login: kept["login"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// What is kept in the place of an account whose refresh token was refused.
    pub(super) fn ended(&self) -> Value {
        json!({"ended": self.login})
    }

    /// Whether a record says that this very account has ended, by the refusal of its refresh token.
    pub(super) fn has_ended_as(&self, kept: &Value) -> bool {
        kept["ended"].as_str() == Some(self.login.as_str())
    }

    pub(super) fn credential(&self) -> Credential {
        let (expires, scopes) = (Some(self.expires), self.scopes.clone());
        let credential = match self.account.prover.clone().filter(|_| self.dpop) {
            Some(prover) => {
                let (value, token) = (format!("DPoP {}", self.access), self.access.clone());
                Credential::new(What::Dpop { token, value, prover }, expires, scopes)
            }
            None => Credential::bearer(&self.access, expires, scopes),
        };
        credential.until(self.renew)
    }
}
