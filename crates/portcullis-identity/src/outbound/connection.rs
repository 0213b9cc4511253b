//! A connected account: what is kept of it, how it is renewed, and how it ends.
//!
//! Kept by user, server and issuer. One of those who wait refreshes it for all; across processes the version of the record
//! tells two refreshes apart, and the one that comes second takes what the first one got.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis_model::Expected;
use serde_json::{Value, json};

use super::credential::{Credential, What};
use super::discovery;
use super::form::Fields;
use super::needed::Needed;
use super::settings::{Client, ClientAuth, Hidden, Oauth};
use super::sign::SigningKey;
use super::source::Source;
use super::tokens::{Endpoint, Prover, TokenError, TokenType, Tokens, ask, now};
use crate::fetch::{Form, Trust, Wanted};
use crate::inbound::sha256;

const KIND: &str = "connection";
/// How long a token counts that names no end, in seconds; it is refreshed sooner when the server refuses it.
const LASTING: u64 = 3600;

/// Of any text as many characters, fit for keys.
pub(super) fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(text.as_bytes()))
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
    pub(super) prover: Option<Arc<Prover>>,
}

impl Account {
    pub(super) fn write(&self) -> Value {
        let client = self.client.as_ref().map(|client| {
            let (method, secret) = match &client.auth {
                ClientAuth::Basic(secret) => ("basic", Some(secret.expose())),
                ClientAuth::Post(secret) => ("post", Some(secret.expose())),
                ClientAuth::Public | ClientAuth::PrivateKey(_) => ("none", None),
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
            prover: key.map(|key| Arc::new(Prover::new(Arc::new(key)))),
        })
    }
}

/// A record of the vault.
struct Kept {
    account: Account,
    access: String,
    dpop: bool,
    expires: u64,
    refresh: Option<String>,
    scopes: Vec<String>,
    since: u64,
}

impl Kept {
    fn write(&self) -> Value {
        json!({
            "account": self.account.write(), "access": self.access, "dpop": self.dpop, "expires": self.expires,
            "refresh": self.refresh, "scopes": self.scopes, "since": self.since,
        })
    }

    fn read(kept: &Value) -> Option<Self> {
        let scopes = kept["scopes"].as_array()?.iter().filter_map(Value::as_str);
        Some(Self {
            account: Account::read(&kept["account"])?,
            access: kept["access"].as_str()?.to_owned(),
            dpop: kept["dpop"].as_bool()?,
            expires: kept["expires"].as_u64()?,
            refresh: kept["refresh"].as_str().map(str::to_owned),
            scopes: scopes.map(str::to_owned).collect(),
            since: kept["since"].as_u64()?,
        })
    }

    fn credential(&self) -> Credential {
        let (expires, scopes) = (Some(self.expires), self.scopes.clone());
        match self.account.prover.clone().filter(|_| self.dpop) {
            Some(prover) => {
                let (value, token) = (format!("DPoP {}", self.access), self.access.clone());
                Credential::new(What::Dpop { token, value, prover }, expires, scopes)
            }
            None => Credential::bearer(&self.access, expires, scopes),
        }
    }
}

impl Source {
    fn owner_id(&self) -> String {
        self.owner.as_ref().map_or_else(|| "gateway".to_owned(), portcullis_model::Principal::id)
    }

    /// Where this user's accounts at this server are kept.
    fn prefix(&self) -> String {
        format!("{}/{}/", digest(&self.owner_id()), digest(&self.settings.url))
    }

    /// The credential of the account that is connected; `None` when there is none.
    pub(super) async fn connected(&self, oauth: &Oauth) -> Result<Option<Credential>, Needed> {
        let Some((key, version, kept)) = self.newest(oauth).await? else { return Ok(None) };
        let refused = self.state().refused == Some(sha256(kept.access.as_bytes()));
        let credential = kept.credential();
        if !refused && credential.is_fresh() {
            return Ok(Some(credential));
        }
        // Lest a server has every call refresh: the user is asked instead.
        if refused && (self.is_young() || self.has_moved(&kept.account).await?) {
            return Ok(None);
        }
        self.refresh(oauth, key, version, kept, refused).await
    }

    async fn newest(&self, oauth: &Oauth) -> Result<Option<(String, u64, Kept)>, Needed> {
        let vault = &self.office.vault;
        let mut newest: Option<(String, u64, Kept)> = None;
        for key in vault.keys(KIND, &self.prefix()).await? {
            let Some(opened) = vault.get(KIND, &key).await? else { continue };
            let Some(kept) = Kept::read(&opened.value) else { continue };
            let is_ours = oauth.issuer.as_ref().is_none_or(|issuer| *issuer == kept.account.issuer);
            if is_ours && newest.as_ref().is_none_or(|(_, _, other)| other.since < kept.since) {
                newest = Some((key, opened.version, kept));
            }
        }
        Ok(newest)
    }

    /// Whether the server names another authorization server than the one that gave the token which it refused.
    async fn has_moved(&self, account: &Account) -> Result<bool, Needed> {
        let named = self.state().challenge.as_ref().and_then(|challenge| challenge.resource_metadata.clone());
        let reach = self.reach(&[]);
        let found = discovery::resource(&*self.fetch, &reach, &self.settings.url, named.as_deref(), None);
        Ok(found.await?.issuer.is_some_and(|issuer| issuer != account.issuer))
    }

    async fn refresh(
        &self,
        oauth: &Oauth,
        key: String,
        version: u64,
        kept: Kept,
        refused: bool,
    ) -> Result<Option<Credential>, Needed> {
        let vault = &self.office.vault;
        let Some(refresh) = &kept.refresh else {
            // Nothing can be done with it any more.
            vault.take(KIND, &key).await?;
            return Ok(None);
        };
        let mut fields = Fields::default();
        fields
            .add("grant_type", "refresh_token")
            .add("refresh_token", refresh)
            .add_some("resource", Some(&kept.account.resource));
        let endpoint = self.endpoint(oauth, &kept.account);
        let client = kept.account.client.as_ref().or(oauth.client.as_ref());
        let answer = ask(&*self.fetch, &endpoint, client, &fields, kept.account.prover.as_deref()).await;
        match answer {
            Ok(tokens) => {
                let renewed =
                    self.keep(kept.account.clone(), tokens, kept.scopes, kept.refresh, kept.since)?;
                if vault.put(KIND, &key, &renewed.write(), None, Expected::Version(version)).await? {
                    return Ok(Some(renewed.credential()));
                }
                // Somebody else was first, or it was disconnected meanwhile.
                let there = vault.get(KIND, &key).await?;
                Ok(there.and_then(|opened| Kept::read(&opened.value)).map(|kept| kept.credential()))
            }
            Err(TokenError::Refused(code)) => {
                tracing::info!(server.id = self.settings.server, code, "a connected account has ended");
                vault.take(KIND, &key).await?;
                Ok(None)
            }
            Err(_) if !refused && kept.expires > now() => Ok(Some(kept.credential())),
            Err(error) => Err(error.into_needed(&endpoint)),
        }
    }

    pub(super) fn endpoint(&self, oauth: &Oauth, account: &Account) -> Endpoint {
        let reach = self.reach(&[oauth.issuer.as_deref()]);
        Endpoint {
            url: account.token_endpoint.clone(),
            trust: reach.trust(&account.token_endpoint),
            issuer: Some(account.issuer.clone()),
        }
    }

    fn keep(
        &self,
        account: Account,
        tokens: Tokens,
        asked: Vec<String>,
        refresh: Option<String>,
        since: u64,
    ) -> Result<Kept, Needed> {
        let dpop = match tokens.kind {
            TokenType::Bearer => false,
            TokenType::Dpop if account.prover.is_some() => true,
            _ => return Err(self.denied("its tokens are of a type that was not asked for (`token_type`)")),
        };
        Ok(Kept {
            account,
            access: tokens.access,
            dpop,
            expires: tokens.expires.unwrap_or_else(|| now() + LASTING),
            refresh: tokens.refresh.or(refresh),
            scopes: tokens.scopes.unwrap_or(asked),
            since,
        })
    }

    /// An account was connected: it takes the place of any other of this user at this server.
    pub(super) async fn connect(
        &self,
        account: Account,
        tokens: Tokens,
        asked: Vec<String>,
    ) -> Result<(), Needed> {
        let kept = self.keep(account, tokens, asked, None, now())?;
        let vault = &self.office.vault;
        let key = format!("{}{}", self.prefix(), digest(&kept.account.issuer));
        let _turn = self.obtaining.lock().await;
        for other in vault.keys(KIND, &self.prefix()).await? {
            if other != key {
                vault.take(KIND, &other).await?;
            }
        }
        vault.put(KIND, &key, &kept.write(), None, Expected::Any).await?;
        self.current.store(Some(Arc::new(kept.credential())));
        self.state().begin_anew();
        Ok(())
    }

    /// Whether an account is connected.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn is_connected(&self) -> Result<bool, Needed> {
        Ok(!self.office.vault.keys(KIND, &self.prefix()).await?.is_empty())
    }

    /// Forgets the account, and asks its authorization server to do so, too (RFC 7009). Whether there was one.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn disconnect(&self) -> Result<bool, Needed> {
        let _turn = self.obtaining.lock().await;
        let vault = &self.office.vault;
        let mut any = false;
        for key in vault.keys(KIND, &self.prefix()).await? {
            let Some(taken) = vault.take(KIND, &key).await? else { continue };
            any = true;
            if let Some(kept) = Kept::read(&taken) {
                self.revoke(&kept).await;
            }
        }
        self.current.store(None);
        self.state().begin_anew();
        self.changed();
        Ok(any)
    }

    async fn revoke(&self, kept: &Kept) {
        let Some(url) = &kept.account.revocation_endpoint else { return };
        let super::settings::Kind::Oauth(oauth) = self.kind() else { return };
        let trust: Trust = self.reach(&[oauth.issuer.as_deref()]).trust(url);
        let endpoint = Endpoint { url: url.clone(), trust, issuer: Some(kept.account.issuer.clone()) };
        let client = kept.account.client.as_ref().or(oauth.client.as_ref());
        let (token, hint) = match &kept.refresh {
            Some(refresh) => (refresh, "refresh_token"),
            None => (&kept.access, "access_token"),
        };
        let mut fields = Fields::default();
        fields.add("token", token).add("token_type_hint", hint);
        let form: Form = super::tokens::form(&endpoint, client, fields, None);
        let wanted = Wanted { any_status: true, ..Wanted::post(url, trust, form, 16 * 1024) };
        match self.fetch.fetch(wanted).await {
            Ok(fetched) if fetched.status == 200 => {}
            other => {
                let status = other.map(|fetched| fetched.status);
                tracing::warn!(
                    server.id = self.settings.server,
                    ?status,
                    "the account's tokens were not revoked"
                );
            }
        }
    }
}
