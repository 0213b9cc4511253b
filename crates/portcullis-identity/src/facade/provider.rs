//! The identity provider, seen from one of its clients: where to send people, and what it says about those who come back
//! (OpenID Connect Core 1.0, code flow with PKCE and nonce).
//!
//! What the provider says is believed only as far as a signature or its own metadata carries it. Its access token is used
//! for one thing, to ask for groups that the ID token lacks; nothing of its tokens is kept.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::assertion::subject_of;
use super::kept::secret;
use super::profile::Profile;
use super::refusal::Refusal;
use super::settings::{ClientProof, IdpSettings};
use super::wire::{form, with_params};
use crate::claims::LEEWAY;
use crate::fetch::{Fetch, FetchError, Form, Trust, Wanted};
use crate::inbound::sha256;
use crate::issuer::{Keys, form_encode, trust_in};
use crate::jose::{Algorithm, Compact, Object, SigningKey};
use crate::refused::Reason;

/// Largest answer, in bytes.
const LARGEST: usize = 256 * 1024;
/// How long metadata is kept.
const KEPT: Duration = Duration::from_hours(1);
/// How soon after a failure it is asked for again.
const PAUSE: Duration = Duration::from_secs(5);
/// Groups that fit into a token of ours.
pub(super) const MOST_GROUPS: usize = 200;
/// All of them together, in bytes.
const MOST_OF_GROUPS: usize = 6 * 1024;
/// Further claims that fit, in bytes.
const MOST_OF_CLAIMS: usize = 2 * 1024;

const AWAY: Refusal = Refusal::unavailable("the identity provider cannot be asked");
const NO_TOKEN: Refusal = Refusal::new(502, "server_error", "the identity provider did not take the code");

/// Who logged in, as the provider says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Person {
    pub(super) subject: String,
    pub(super) groups: Vec<String>,
    /// What else is said about them.
    pub(super) claims: Object,
    pub(super) auth_time: Option<u64>,
    pub(super) acr: Option<String>,
}

/// The provider.
pub(super) struct Provider {
    settings: IdpSettings,
    client: Arc<dyn Fetch>,
    runtime: Handle,
    found: Mutex<Known>,
}

/// What is known of the metadata, and when it was last asked for in vain.
#[derive(Default)]
struct Known {
    found: Option<(Instant, Arc<Found>)>,
    failed: Option<Instant>,
}

/// What its metadata says (OpenID Connect Discovery 1.0).
struct Found {
    /// The issuer as it names itself; of Entra for all tenants, a template.
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    /// It takes a secret in the form alone.
    secret_in_form: bool,
    /// Its answers say who they are from (RFC 9207).
    names_itself: bool,
    jwks_uri: String,
    keys: Arc<Keys>,
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
    pub(super) fn new(settings: IdpSettings, client: Arc<dyn Fetch>, runtime: Handle) -> Self {
        Self { settings, client, runtime, found: Mutex::default() }
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
    ) -> Result<Person, Refusal> {
        let found = self.found().await?;
        let tokens = self.tokens(&found, code, callback, &expected.verifier, now).await?;
        let Some(id_token) = tokens["id_token"].as_str() else {
            return Err(Refusal::new(502, "server_error", "the identity provider gave no ID token"));
        };
        let claims = self.verify(&found, id_token, &expected.nonce, now).await?;
        let subject = self.settings.profile.subject(&claims).map_err(|reason| {
            tracing::info!(%reason, "refused an ID token");
            Refusal::new(502, "server_error", "the ID token names nobody")
        })?;
        let groups = self.groups(&found, &claims, tokens["access_token"].as_str()).await?;
        Ok(Person {
            subject: subject_of(&self.settings.issuer, &subject, &self.settings.issuer),
            groups,
            auth_time: claims.get("auth_time").and_then(Value::as_u64),
            acr: claims.get("acr").and_then(Value::as_str).map(str::to_owned),
            claims: told(&claims),
        })
    }

    async fn tokens(
        &self,
        found: &Found,
        code: &str,
        callback: &str,
        verifier: &str,
        now: u64,
    ) -> Result<Value, Refusal> {
        let client_id = self.settings.client_id.as_str();
        let mut params = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", callback),
            ("code_verifier", verifier),
        ];
        let mut authorization = String::new();
        let assertion;
        match &self.settings.proof {
            ClientProof::None => params.push(("client_id", client_id)),
            ClientProof::Secret(secret) if found.secret_in_form => {
                params.extend([("client_id", client_id), ("client_secret", secret.as_str())]);
            }
            ClientProof::Secret(secret) => {
                // Both parts are form-encoded first (RFC 6749 section 2.3.1).
                let mut credentials = String::new();
                form_encode(&mut credentials, client_id);
                credentials.push(':');
                form_encode(&mut credentials, secret);
                authorization = format!("Basic {}", STANDARD.encode(credentials));
            }
            ClientProof::Key { pem, kid } => {
                let claims = json!({
                    "iss": client_id, "sub": client_id, "aud": found.token_endpoint, "jti": secret(),
                    "iat": now, "exp": now + 60,
                });
                let key = SigningKey::from_pem(pem);
                let signed = key.and_then(|key| key.sign("JWT", kid.as_deref(), &claims));
                assertion =
                    signed.ok_or(Refusal::new(500, "server_error", "the key of the gateway cannot sign"))?;
                params.extend([
                    ("client_id", client_id),
                    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                    ("client_assertion", assertion.as_str()),
                ]);
            }
        }
        let body = form(&params);
        let answer = self.ask(&found.token_endpoint, Form { body, authorization }).await;
        answer.map_err(|error| {
            tracing::warn!(idp = self.settings.issuer, %error, "the identity provider did not take a code");
            if matches!(error, FetchError::Status(400..500)) { NO_TOKEN } else { AWAY }
        })
    }

    /// Checks an ID token (OpenID Connect Core section 3.1.3.7).
    async fn verify(&self, found: &Found, token: &str, nonce: &str, now: u64) -> Result<Object, Refusal> {
        self.verified(found, token, nonce, now).await.map_err(|reason| {
            tracing::warn!(idp = self.settings.issuer, %reason, "refused an ID token");
            Refusal::new(
                502,
                "server_error",
                match reason {
                    Reason::Tenant => "people of that tenant are not let in here",
                    Reason::Issuer => "the ID token is of another issuer",
                    Reason::Audience => "the ID token is for another client",
                    Reason::Algorithm => "the ID token is signed in a way that is not allowed",
                    Reason::Signature | Reason::UnknownKey => {
                        "the ID token is not signed by the identity provider"
                    }
                    Reason::Replayed => "the ID token is of another login",
                    Reason::Expired | Reason::NotYet | Reason::Time => "the ID token is of another time",
                    Reason::Type => "what came is no ID token",
                    _ => "the ID token cannot be read",
                },
            )
        })
    }

    async fn verified(&self, found: &Found, token: &str, nonce: &str, now: u64) -> Result<Object, Reason> {
        let profile = self.settings.profile;
        let compact = Compact::parse(token)?;
        let algorithm = compact.header.algorithm.ok_or(Reason::Algorithm)?;
        if !Algorithm::USUAL.contains(&algorithm) {
            return Err(Reason::Algorithm);
        }
        if compact.header.typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(Reason::Type);
        }
        let mut checked = found.keys.current().map(|set| set.check_signature(&compact, algorithm));
        if matches!(checked, None | Some(Err(Reason::UnknownKey))) {
            let newer = found.keys.newer().await.map(|set| set.check_signature(&compact, algorithm));
            checked = newer.or(checked);
        }
        checked.ok_or(Reason::UnknownKey)??;
        let claims = compact.claims;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if !profile.is_token_issuer(&found.issuer, &claims) {
            return Err(Reason::Issuer);
        }
        profile.check_kind(&claims)?;
        let client_id = self.settings.client_id.as_str();
        let alone = match claims.get("aud") {
            Some(Value::String(audience)) if audience == client_id => true,
            Some(Value::Array(audiences)) if audiences.iter().any(|it| it == client_id) => {
                audiences.len() == 1
            }
            _ => return Err(Reason::Audience),
        };
        if text("azp").map_or(!alone, |azp| azp != client_id) {
            return Err(Reason::Audience);
        }
        let time = |name: &str| claims.get(name).and_then(Value::as_u64);
        let expires = time("exp").ok_or(Reason::Time)?;
        if expires.saturating_add(LEEWAY) <= now {
            return Err(Reason::Expired);
        }
        if time("iat").ok_or(Reason::Time)? > now + LEEWAY || time("nbf").is_some_and(|it| it > now + LEEWAY)
        {
            return Err(Reason::NotYet);
        }
        if text("nonce") != Some(nonce) {
            return Err(Reason::Replayed);
        }
        if let Some(tenants) = &self.settings.tenants
            && !text(&tenants.claim).is_some_and(|tenant| tenants.allowed.iter().any(|it| it == tenant))
        {
            return Err(Reason::Tenant);
        }
        Ok(claims)
    }

    /// The groups of a person. Those that the provider withholds must not look like none: rules that forbid by group would
    /// let everybody through.
    async fn groups(
        &self,
        found: &Found,
        claims: &Object,
        access: Option<&str>,
    ) -> Result<Vec<String>, Refusal> {
        let profile = self.settings.profile;
        let configured = self.settings.groups_claim.as_deref();
        let Some(name) = configured.or(profile.groups_claim()) else { return Ok(Vec::new()) };
        if Profile::has_overage(claims, name) {
            return Err(Refusal::forbidden(
                "the identity provider left the groups out, for they are too many: have it send only those that are \
                 assigned to this application",
            ));
        }
        let mut groups = crate::claims::groups(claims, name);
        if groups.is_none()
            && profile.asks_userinfo()
            && let (Some(url), Some(access)) = (&found.userinfo_endpoint, access)
        {
            let form = Form { authorization: format!("Bearer {access}"), ..Form::default() };
            let told = self.ask(url, form).await.map_err(|error| {
                tracing::warn!(idp = self.settings.issuer, %error, "cannot ask for groups");
                AWAY
            })?;
            // Of somebody else's answer nothing may be used (OpenID Connect Core section 5.3.4).
            if told.get("sub").is_none() || told.get("sub") != claims.get("sub") {
                return Err(Refusal::new(502, "server_error", "the identity provider told of somebody else"));
            }
            groups = told.as_object().and_then(|told| crate::claims::groups(told, name));
        }
        let groups = groups.unwrap_or_default();
        let length: usize = groups.iter().map(String::len).sum();
        if groups.len() > MOST_GROUPS || length > MOST_OF_GROUPS {
            return Err(Refusal::forbidden("the groups are too many to fit into a token"));
        }
        Ok(groups)
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

    /// The metadata, fetched once for all who wait; the last good one stays while the provider is away.
    async fn found(&self) -> Result<Arc<Found>, Refusal> {
        let mut known = self.found.lock().await;
        if let Some((at, found)) = &known.found
            && at.elapsed() < KEPT
        {
            return Ok(found.clone());
        }
        let before = known.found.as_ref().map(|(_, found)| found.clone());
        if known.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            // Whoever waits behind a provider that does not answer would wait for each of those before them.
            return before.ok_or(AWAY);
        }
        match self.discover(before.clone()).await {
            Ok(new) => {
                let new = Arc::new(new);
                *known = Known { found: Some((Instant::now(), new.clone())), failed: None };
                Ok(new)
            }
            Err(error) => {
                known.failed = Some(Instant::now());
                tracing::warn!(
                    idp = self.settings.issuer,
                    error,
                    "cannot read the identity provider's metadata"
                );
                before.ok_or(AWAY)
            }
        }
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
            Arc::new(Keys::at(issuer, place, self.client.clone(), self.runtime.clone()))
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

/// What is said of a person beside their groups, as far as it fits into a token.
pub(super) fn told(claims: &Object) -> Object {
    let mut left = MOST_OF_CLAIMS;
    let mut out = Object::new();
    for (name, value) in claims.iter().filter(|(name, _)| !is_taken(name)) {
        let length = name.len() + value.to_string().len();
        if length <= left {
            left -= length;
            out.insert(name.clone(), value.clone());
        }
    }
    out
}

/// Claims that mean something else in a token of ours, or nothing.
fn is_taken(name: &str) -> bool {
    crate::claims::MECHANICS.contains(&name)
        || matches!(
            name,
            "groups"
                | "cognito:groups"
                | "act"
                | "may_act"
                | "typ"
                | "sid"
                | "auth_time"
                | "acr"
                | "token_use"
                | "session_state"
        )
}
