//! The identity provider, seen from one of its clients: where to send people, and what it says about those who come back
//! (OpenID Connect Core 1.0, code flow with PKCE and nonce).
//!
//! `metadata.rs` reads what it says of itself, `id_token.rs` checks its tokens, `logout_token.rs` those that
//! end a login, `person.rs` takes from them what is wanted.
//! What the provider says is believed only as far as a signature or its own metadata carries it. Its access token is used
//! for one thing, to ask for groups that the ID token lacks. `brought.rs` keeps its ID token where servers need that.

mod id_token;
mod logout_token;
mod metadata;
mod person;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::Handle;

use super::Outsides;
use super::assertion::subject_of;
use super::brought::Brought;
use super::kept::secret;
use super::refusal::Refusal;
use super::settings::IdpSettings;
use super::wire::{form, with_params};
use crate::fetch::{Fetch, FetchError, Form, Wanted};
use crate::inbound::sha256;
use crate::issuer::trust_in;
use crate::jose::Object;
use crate::lasting::Lasting;
use crate::watch::Watch;
use metadata::Found;

pub(super) use person::{Login, Person};

/// Largest answer, in bytes.
const LARGEST: usize = 256 * 1024;

const AWAY: Refusal = Refusal::unavailable("the identity provider cannot be asked");
const NO_TOKEN: Refusal = Refusal::new(502, "server_error", "the identity provider did not take the code");

/// The provider.
pub(super) struct Provider {
    settings: IdpSettings,
    client: Arc<dyn Fetch>,
    watch: Arc<dyn Watch>,
    runtime: Handle,
    found: Lasting<Found, Refusal>,
    /// That claims were left out.
    said_left_out: AtomicBool,
}

/// One login under way, as the provider's answer needs it.
#[derive(Serialize, Deserialize)]
pub(super) struct Expected {
    pub(super) nonce: String,
    pub(super) verifier: String,
}

impl Expected {
    pub(super) fn new() -> Self {
        Self { nonce: secret(), verifier: secret() }
    }
}

impl Provider {
    pub(super) fn new(settings: IdpSettings, outsides: &Outsides, runtime: Handle) -> Self {
        let (client, watch) = (outsides.idp.clone(), outsides.watch.clone());
        let said_left_out = AtomicBool::new(false);
        Self { settings, client, watch, runtime, found: Lasting::default(), said_left_out }
    }

    /// Whether the metadata can be had, so that nobody is asked for a consent that leads nowhere.
    pub(super) async fn is_there(&self) -> Result<(), Refusal> {
        self.found().await.map(drop)
    }

    /// The host that people log in at, as configured.
    pub(super) fn host(&self) -> &str {
        super::client::host(&self.settings.issuer).unwrap_or(&self.settings.issuer)
    }

    /// Where to send somebody who is to log in.
    pub(super) async fn authorization_url(
        &self,
        callback: &str,
        state: &str,
        expected: &Expected,
    ) -> Result<String, Refusal> {
        let found = self.found().await?;
        let challenge = URL_SAFE_NO_PAD.encode(sha256(expected.verifier.as_bytes()));
        let scopes = if self.settings.scopes.is_empty() {
            self.settings.profile.scopes().join(" ")
        } else {
            self.settings.scopes.join(" ")
        };
        Ok(with_params(
            &found.authorization_endpoint,
            &[
                ("response_type", "code"),
                ("client_id", &self.settings.client_id),
                ("redirect_uri", callback),
                ("scope", &scopes),
                ("state", state),
                ("nonce", &expected.nonce),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ],
        ))
    }

    /// Whether an answer is this provider's (RFC 9207): compared as text, errors included.
    pub(super) async fn check_sender(&self, iss: Option<&str>) -> Result<(), Refusal> {
        let found = self.found().await?;
        let known = |iss: &str| iss == found.issuer || iss == self.settings.issuer;
        match iss {
            // Entra for all tenants cannot name a template; it names nobody so far, and the ID token decides.
            Some(iss) if known(iss) => Ok(()),
            Some(_) => Err(Refusal::bad("the answer is of another identity provider")),
            None if found.names_itself => {
                Err(Refusal::bad("the answer does not say which identity provider it is from"))
            }
            None => Ok(()),
        }
    }

    /// Turns a code into the person it stands for.
    pub(super) async fn redeem(
        &self,
        code: &str,
        callback: &str,
        expected: &Expected,
        now: u64,
    ) -> Result<(Person, Option<Brought>), Refusal> {
        let found = self.found().await?;
        let params = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", callback),
            ("code_verifier", &expected.verifier),
        ];
        let tokens = self.tokens(&found, &params).await?;
        let Some(id_token) = tokens["id_token"].as_str() else {
            return Err(Refusal::new(502, "server_error", "the identity provider gave no ID token"));
        };
        let claims = self.verify(&found, id_token, &expected.nonce, now).await?;
        let subject = self.settings.profile.subject(&claims).map_err(|reason| {
            tracing::info!(%reason, "refused an ID token");
            Refusal::new(502, "server_error", "the ID token names nobody")
        })?;
        let groups = self.groups(&found, &claims, tokens["access_token"].as_str()).await?;
        let brought = brought(&claims, &tokens);
        let person = Person {
            subject: subject_of(&self.settings.issuer, &subject, &self.settings.issuer),
            groups,
            auth_time: claims.get("auth_time").and_then(Value::as_u64),
            acr: claims.get("acr").and_then(Value::as_str).map(str::to_owned),
            claims: self.told(&claims),
            login: Login::of(&claims),
        };
        Ok((person, brought))
    }

    /// The next ID token of the same person (OpenID Connect Core section 12).
    pub(super) async fn renew(&self, refresh: &str, subject: &str, now: u64) -> Result<Brought, Refusal> {
        let found = self.found().await?;
        let params = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
        let mut tokens = self.tokens(&found, &params).await?;
        let none = Refusal::new(502, "server_error", "the identity provider gave no ID token");
        let id_token = tokens["id_token"].as_str().ok_or(none)?;
        let signed = self.signed(&found, id_token, &["JWT"], now).await;
        let kind = |claims: Object| self.settings.profile.check_kind(&claims).map(|()| claims);
        let claims = signed.and_then(kind).map_err(|reason| {
            tracing::warn!(idp = self.settings.issuer, %reason, "refused an ID token that was renewed");
            NO_TOKEN
        })?;
        if claims.get("sub").and_then(Value::as_str) != Some(subject) {
            return Err(Refusal::new(
                502,
                "server_error",
                "the identity provider gave an ID token of somebody else",
            ));
        }
        if tokens["refresh_token"].is_null() {
            tokens["refresh_token"] = Value::from(refresh);
        }
        brought(&claims, &tokens).ok_or(none)
    }

    async fn tokens(&self, found: &Found, params: &[(&str, &str)]) -> Result<Value, Refusal> {
        let mut body = form(params);
        let IdpSettings { client_id, proof, .. } = &self.settings;
        let authorization = proof.show(client_id, &found.token_endpoint, found.secret_in_form, &mut body);
        let authorization =
            authorization.ok_or(Refusal::new(500, "server_error", "the key of the gateway cannot sign"))?;
        let answer = self.ask(&found.token_endpoint, Form { body, authorization, ..Form::default() }).await;
        answer.map_err(|error| {
            tracing::warn!(idp = self.settings.issuer, %error, "the identity provider gave no tokens");
            if matches!(error, FetchError::Status(400..500)) { NO_TOKEN } else { AWAY }
        })
    }

    async fn ask(&self, url: &str, form: Form) -> Result<Value, FetchError> {
        let trust = trust_in(url, &self.settings.issuer);
        let wanted = Wanted::post(url, trust, form, LARGEST);
        let fetched = self.client.fetch(wanted).await?;
        match serde_json::from_slice(&fetched.body) {
            Ok(value @ Value::Object(_)) => Ok(value),
            _ => Err(FetchError::Failed("the answer is no JSON object".to_owned())),
        }
    }
}

/// What is kept of tokens, where an ID token has these claims.
fn brought(claims: &Object, tokens: &Value) -> Option<Brought> {
    let time = |name: &str| claims.get(name).and_then(Value::as_u64);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Brought {
        id_token: text(&tokens["id_token"])?,
        expires: time("exp")?,
        issued: time("iat"),
        refresh: text(&tokens["refresh_token"]).filter(|it| !it.is_empty()),
        subject: text(claims.get("sub")?)?,
        ends: 0,
    })
}
