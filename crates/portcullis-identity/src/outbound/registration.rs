//! Who the gateway is toward an authorization server (MCP 2026-07-28, client registration): as the operator says, else by
//! a document about it, else by registering.
//!
//! What was got by registering is bound to the issuer that gave it, and presented to no other.

use std::time::{Duration, SystemTime};

use portcullis_model::Expected;
use serde_json::{Value, json};

use super::account::{Account, digest};
use super::discovery::{Authority, Reach};
use super::needed::Needed;
use super::office::client_metadata;
use super::settings::{Client, ClientAuth, Hidden, Oauth};
use super::source::Source;
use crate::clock::now;
use crate::fetch::{Form, Wanted};

const KIND: &str = "registration";
const LARGEST: usize = 64 * 1024;
const LONGEST: usize = 4 * 1024;
/// A secret is not used for so long before it ends, in seconds.
const EARLY: u64 = 60;

/// A registration that is younger is not doubted, in seconds.
const YOUNG: u64 = 600;
/// A secret that is said to last for longer does not matter any more, in seconds.
const LONG: u64 = 10 * 365 * 24 * 3600;

impl Source {
    /// Who the gateway is there, and whether it is that by registering. What was `doubtful` before is registered anew, where
    /// that was not done a moment ago.
    pub(super) async fn client_at(
        &self,
        oauth: &Oauth,
        authority: &Authority,
        reach: &Reach,
        doubtful: bool,
    ) -> Result<(Client, bool), Needed> {
        let issuer = &authority.issuer;
        if let Some(client) = &oauth.client {
            if oauth.issuer.as_ref() != Some(issuer) {
                return Err(
                    self.denied(&format!("the configured `client_id` is not for the issuer {issuer}"))
                );
            }
            return Ok((client.clone(), false));
        }
        let own = self.office.document_url(issuer);
        let document =
            oauth.client_metadata_url.clone().or_else(|| own.starts_with("https://").then_some(own));
        if let Some(id) = document.filter(|_| authority.reads_clients) {
            return Ok((Client { id, auth: ClientAuth::Public }, false));
        }
        match &authority.registration_endpoint {
            Some(endpoint) => {
                self.registered(authority, endpoint, reach, doubtful).await.map(|client| (client, true))
            }
            None => Err(self.denied(&format!(
                "the authorization server {issuer} takes no client that it does not know; register the gateway there with \
                 the redirect URI {} and set `client_id` and `issuer` in its `credentials`",
                self.office.redirect_uri(issuer)
            ))),
        }
    }

    async fn registered(
        &self,
        authority: &Authority,
        endpoint: &str,
        reach: &Reach,
        doubtful: bool,
    ) -> Result<Client, Needed> {
        let redirect_uri = self.office.redirect_uri(&authority.issuer);
        let key = key(&authority.issuer, &redirect_uri);
        let known = self.office.vault.get(KIND, &key).await?;
        let known = known.and_then(|opened| Some((read(&opened.value)?, opened.value["since"].as_u64()?)));
        match known {
            Some((client, since)) if !doubtful || now() < since.saturating_add(YOUNG) => Ok(client),
            // One that may have been forgotten is better than none.
            Some((client, _)) => {
                Ok(self.register(authority, endpoint, reach, (&key, &redirect_uri)).await.unwrap_or(client))
            }
            None => self.register(authority, endpoint, reach, (&key, &redirect_uri)).await,
        }
    }

    async fn register(
        &self,
        authority: &Authority,
        endpoint: &str,
        reach: &Reach,
        (key, redirect_uri): (&str, &str),
    ) -> Result<Client, Needed> {
        let mut metadata = client_metadata(redirect_uri);
        let method = preferred(authority.auth_methods.as_deref());
        let is_local = ["http://127.0.0.1", "http://localhost", "http://[::1]"]
            .iter()
            .any(|start| redirect_uri.starts_with(start));
        metadata["token_endpoint_auth_method"] = method.into();
        metadata["application_type"] = if is_local { "native" } else { "web" }.into();
        let form = Form { body: metadata.to_string(), json: true, ..Form::default() };
        let wanted =
            Wanted { any_status: true, ..Wanted::post(endpoint, reach.trust(endpoint), form, LARGEST) };
        let failed = |why: String| Needed::Unavailable(format!("registering at {endpoint}: {why}"));
        let fetched = self.fetch.fetch(wanted).await.map_err(|error| failed(error.to_string()))?;
        if !matches!(fetched.status, 200 | 201) {
            return Err(self.denied(&format!(
                "the authorization server refused to register the gateway ({})",
                fetched.status
            )));
        }
        let answer: Value = serde_json::from_slice(&fetched.body).unwrap_or_default();
        let kept = json!({
            "client_id": answer["client_id"],
            "client_secret": answer["client_secret"],
            "method": answer["token_endpoint_auth_method"].as_str().unwrap_or(method),
            "since": now(),
        });
        let client = read(&kept).ok_or_else(|| {
            self.denied("the authorization server registered the gateway without saying as whom")
        })?;
        // Zero is no end (RFC 7591 section 3.2.1).
        let left = answer["client_secret_expires_at"].as_u64().filter(|end| *end > 0);
        let left = left.map(|end| end.saturating_sub(now()).saturating_sub(EARLY).min(LONG));
        if left != Some(0) {
            let end = left.map(|left| SystemTime::now() + Duration::from_secs(left));
            self.office.vault.put(KIND, key, &kept, end, Expected::Any).await?;
        }
        Ok(client)
    }

    /// The authorization server does not know the gateway any more as whom it was registered: it is registered anew when it
    /// is next needed, unless it was already.
    pub(super) async fn forget_registration(&self, account: &Account) -> Result<(), Needed> {
        let key = key(&account.issuer, &self.office.redirect_uri(&account.issuer));
        let vault = &self.office.vault;
        let known = vault.get(KIND, &key).await?.and_then(|opened| read(&opened.value));
        if known.is_some_and(|known| account.client.as_ref().is_some_and(|client| client.id == known.id)) {
            tracing::info!(server.id = self.settings.server, "the gateway's registration was forgotten");
            vault.take(KIND, &key).await?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) async fn age_registration(&self, issuer: &str, age: Duration) {
        let key = key(issuer, &self.office.redirect_uri(issuer));
        let mut kept = self.office.vault.get(KIND, &key).await.unwrap().expect("it is registered").value;
        kept["since"] = (now() - age.as_secs()).into();
        self.office.vault.put(KIND, &key, &kept, None, Expected::Any).await.unwrap();
    }
}

fn key(issuer: &str, redirect_uri: &str) -> String {
    format!("{}/{}", digest(issuer), digest(redirect_uri))
}

/// How the gateway would rather show who it is, of what an authorization server takes.
fn preferred(methods: Option<&[String]>) -> &'static str {
    // RFC 8414: what is not said is `client_secret_basic`.
    let Some(methods) = methods else { return "client_secret_basic" };
    let all = ["client_secret_basic", "client_secret_post", "none"];
    all.into_iter().find(|method| methods.iter().any(|it| it == method)).unwrap_or("client_secret_basic")
}

fn read(kept: &Value) -> Option<Client> {
    let text = |name: &str| kept[name].as_str().filter(|text| (1..=LONGEST).contains(&text.len()));
    let id = text("client_id")?.to_owned();
    let secret = text("client_secret").map(Hidden::new);
    let auth = match (kept["method"].as_str(), secret) {
        (Some("none"), _) | (_, None) => ClientAuth::Public,
        (Some("client_secret_post"), Some(secret)) => ClientAuth::Post(secret),
        (_, Some(secret)) => ClientAuth::Basic(secret),
    };
    Some(Client { id, auth })
}
