//! What the provider says of itself (OpenID Connect Discovery 1.0).

use std::sync::Arc;

use serde_json::Value;

use super::{AWAY, LARGEST, Provider};
use crate::facade::refusal::Refusal;
use crate::fetch::{Trust, Wanted};
use crate::issuer::{Keys, trust_in};

/// What its metadata says (OpenID Connect Discovery 1.0).
pub(super) struct Found {
    /// The issuer as it names itself; of Entra for all tenants, a template.
    pub(super) issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) userinfo_endpoint: Option<String>,
    /// It takes a secret in the form alone.
    pub(super) secret_in_form: bool,
    /// Its answers say who they are from (RFC 9207).
    pub(super) names_itself: bool,
    jwks_uri: String,
    pub(super) keys: Arc<Keys>,
}

impl Provider {
    /// The metadata; the last good one stays while the provider is away.
    pub(super) async fn found(&self) -> Result<Arc<Found>, Refusal> {
        let read = async |before| {
            self.discover(before).await.map_err(|error| {
                let idp = &self.settings.issuer;
                tracing::warn!(idp, error, "cannot read the identity provider's metadata");
                AWAY
            })
        };
        self.found.get(read).await
    }

    async fn discover(&self, before: Option<Arc<Found>>) -> Result<Found, String> {
        let issuer = &self.settings.issuer;
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let wanted = Wanted::get(url, Trust::Configured, LARGEST);
        let fetched = self.client.fetch(wanted).await.map_err(|error| error.to_string())?;
        let document: Value = serde_json::from_slice(&fetched.body).map_err(|_| "no JSON".to_owned())?;
        let text = |name: &str| document[name].as_str().map(str::to_owned).ok_or(format!("lacks `{name}`"));
        let named = text("issuer")?;
        if !self.settings.profile.is_issuer(issuer, &named) {
            return Err("the document is of another issuer".to_owned());
        }
        let (authorization_endpoint, keys_at) = (text("authorization_endpoint")?, text("jwks_uri")?);
        if !is_web(&authorization_endpoint) {
            return Err("`authorization_endpoint` is no address that people can be sent to".to_owned());
        }
        // The keys that were fetched stay, unless they are somewhere else now.
        let known = before.filter(|before| before.jwks_uri == keys_at).map(|before| before.keys.clone());
        let keys = known.unwrap_or_else(|| {
            let place = Some((keys_at.clone(), trust_in(&keys_at, issuer)));
            Arc::new(Keys::at(issuer, place, self.client.clone(), self.runtime.clone(), self.watch.clone()))
        });
        let methods = document["token_endpoint_auth_methods_supported"].as_array();
        let takes = |name: &str| methods.is_some_and(|all| all.iter().any(|it| it == name));
        Ok(Found {
            issuer: named,
            authorization_endpoint,
            token_endpoint: text("token_endpoint")?,
            userinfo_endpoint: text("userinfo_endpoint").ok(),
            secret_in_form: takes("client_secret_post") && !takes("client_secret_basic"),
            names_itself: document["authorization_response_iss_parameter_supported"] == true,
            jwks_uri: keys_at,
            keys,
        })
    }
}

/// Whether an address is one that a browser goes to, and nothing that it runs.
fn is_web(url: &str) -> bool {
    let fits = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(&byte));
    fits && (url.starts_with("https://") || url.starts_with("http://"))
}
