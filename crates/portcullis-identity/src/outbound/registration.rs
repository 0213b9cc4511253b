//! Who the gateway is toward an authorization server (MCP 2026-07-28, client registration): as the operator says, else by
//! a document about it, else by registering.
//!
//! What was got by registering is bound to the issuer that gave it, and presented to no other.

use std::time::{Duration, UNIX_EPOCH};

use portcullis_model::Expected;
use serde_json::{Value, json};

use super::connection::digest;
use super::discovery::{Authority, Reach};
use super::needed::Needed;
use super::settings::{Client, ClientAuth, Hidden, Oauth};
use super::source::Source;
use super::tokens::now;
use crate::fetch::{Form, Wanted};

const KIND: &str = "registration";
const LARGEST: usize = 64 * 1024;
const LONGEST: usize = 4 * 1024;

impl Source {
    pub(super) async fn client_at(
        &self,
        oauth: &Oauth,
        authority: &Authority,
        reach: &Reach,
    ) -> Result<Client, Needed> {
        if let Some(client) = &oauth.client {
            // The operator named it for one issuer; discovery has seen to it that this is that one.
            return Ok(client.clone());
        }
        let own = self.office.document_url();
        let document =
            oauth.client_metadata_url.clone().or_else(|| own.starts_with("https://").then_some(own));
        if let Some(id) = document.filter(|_| authority.reads_clients) {
            return Ok(Client { id, auth: ClientAuth::Public });
        }
        match &authority.registration_endpoint {
            Some(endpoint) => self.registered(authority, endpoint, reach).await,
            None => Err(self.denied(&format!(
                "the authorization server {} takes no client that it does not know; register the gateway there with \
                 the redirect URI {} and set `client_id` and `issuer` in its `credentials`",
                authority.issuer,
                self.office.redirect_uri()
            ))),
        }
    }

    async fn registered(
        &self,
        authority: &Authority,
        endpoint: &str,
        reach: &Reach,
    ) -> Result<Client, Needed> {
        let redirect_uri = self.office.redirect_uri();
        let key = format!("{}/{}", digest(&authority.issuer), digest(&redirect_uri));
        let vault = &self.office.vault;
        if let Some(known) = vault.get(KIND, &key).await?.and_then(|opened| read(&opened.value)) {
            return Ok(known);
        }
        let mut metadata = self.office.client_metadata();
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
        });
        let client = read(&kept).ok_or_else(|| {
            self.denied("the authorization server registered the gateway without saying as whom")
        })?;
        let end = answer["client_secret_expires_at"].as_u64().filter(|end| *end > 0);
        if end.is_none_or(|end| end > now() + 60) {
            let end = end.map(|end| UNIX_EPOCH + Duration::from_secs(end - 60));
            vault.put(KIND, &key, &kept, end, Expected::Any).await?;
        }
        Ok(client)
    }
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
