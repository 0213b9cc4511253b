//! Asking a token endpoint, and what may be believed of its answers.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::challenge::scopes;
use super::form::{Fields, encode};
use super::needed::{LogIn, Needed};
use super::settings::{Client, ClientAuth};
use super::sign::{SigningKey, random};
use crate::clock::now;
use crate::fetch::{Fetch, FetchError, Form, Trust, Wanted};
use crate::issuer::origin;

/// Largest answer, in bytes.
const LARGEST: usize = 64 * 1024;
/// Longest token, in bytes.
const LONGEST: usize = 16 * 1024;
/// Longest text with the claims that a next login has to ask for.
const LONGEST_CLAIMS: usize = 4 * 1024;
/// What only the user can do something about (OpenID Connect Core section 3.1.2.6, and Entra).
const ASKS_USER: [&str; 3] = ["interaction_required", "login_required", "consent_required"];
/// How long a client's assertion counts, in seconds.
const ASSERTED: u64 = 60;
/// A token that lives longer is asked for again after so long, in seconds.
const LONGEST_LIFE: u64 = 24 * 3600;

/// A token endpoint.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) trust: Trust,
    /// The authorization server's identifier, where it is known.
    pub(super) issuer: Option<String>,
}

/// What a token endpoint gave.
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) kind: TokenType,
    /// In seconds since 1970.
    pub(super) expires: Option<u64>,
    pub(super) refresh: Option<String>,
    /// Where the answer says that they are others than were asked for.
    pub(super) scopes: Option<Vec<String>>,
    pub(super) issued: Option<String>,
}

/// How a token is used (`token_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenType {
    Bearer,
    Dpop,
    /// Not at all: it is an assertion.
    None,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    /// The endpoint said no, and this is its code for why.
    Refused(String),
    /// It is for the user to do something first.
    Interaction(LogIn),
    Malformed(&'static str),
    Unavailable(String),
}

impl TokenError {
    /// For those who cannot do anything about it themselves.
    pub(super) fn into_needed(self, endpoint: &Endpoint) -> Needed {
        let url = &endpoint.url;
        match self {
            Self::Refused(code) | Self::Interaction(LogIn { code, .. }) => {
                Needed::Denied(format!("the token endpoint {url} refused: {code}"))
            }
            Self::Malformed(why) => {
                Needed::Denied(format!("the token endpoint {url} gave what cannot be used: {why}"))
            }
            Self::Unavailable(why) => Needed::Unavailable(format!("the token endpoint {url}: {why}")),
        }
    }
}

/// A key that tokens are bound to, and the nonces that proofs must hold, by the origin that wants them (RFC 9449 sections 8
/// and 9: those of authorization servers and of servers are different ones).
#[derive(Debug)]
pub(super) struct Prover {
    pub(super) key: Arc<SigningKey>,
    nonces: Mutex<Vec<(String, String)>>,
}

/// Longest nonce that is put into proofs.
const LONGEST_NONCE: usize = 1024;
/// A server, its authorization server, and room for one that moves.
const MOST_NONCES: usize = 4;

impl Prover {
    pub(super) fn new(key: Arc<SigningKey>) -> Self {
        Self { key, nonces: Mutex::default() }
    }

    /// Takes up a nonce for the origin of this address; whether there was one that can be.
    pub(super) fn take_nonce(&self, url: &str, nonce: Option<&str>) -> bool {
        let Some(nonce) = nonce.filter(|nonce| (1..=LONGEST_NONCE).contains(&nonce.len())) else {
            return false;
        };
        let mut all = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let place = origin(url);
        if let Some((_, known)) = all.iter_mut().find(|(of, _)| of == place) {
            nonce.clone_into(known);
            return true;
        }
        if all.len() >= MOST_NONCES {
            all.remove(0);
        }
        all.push((place.to_owned(), nonce.to_owned()));
        true
    }

    fn nonce(&self, url: &str) -> Option<String> {
        let all = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|(of, _)| of == origin(url)).map(|(_, nonce)| nonce.clone())
    }

    /// A proof for one request (RFC 9449 section 4.2), with a token if there is one already.
    pub(super) fn prove(&self, method: &str, url: &str, token: Option<&str>) -> String {
        let target = url.split(['?', '#']).next().unwrap_or(url);
        let mut claims = json!({"jti": random(16), "htm": method, "htu": target, "iat": now()});
        if let Some(token) = token {
            let digest = crate::inbound::sha256(token.as_bytes());
            claims["ath"] = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest).into();
        }
        if let Some(nonce) = self.nonce(url) {
            claims["nonce"] = nonce.into();
        }
        self.key.sign_showing("dpop+jwt", &claims)
    }
}

/// Asks for tokens, as `client`.
pub(super) async fn ask(
    fetch: &dyn Fetch,
    endpoint: &Endpoint,
    client: Option<&Client>,
    fields: &Fields,
    prover: Option<&Prover>,
) -> Result<Tokens, TokenError> {
    let mut again = prover.is_some();
    loop {
        let proof = prover.map(|prover| prover.prove("POST", &endpoint.url, None));
        let form = form(endpoint, client, fields.clone(), proof);
        let wanted =
            Wanted { any_status: true, ..Wanted::post(&endpoint.url, endpoint.trust, form, LARGEST) };
        let fetched = fetch.fetch(wanted).await.map_err(|error| match error {
            FetchError::Forbidden(why) => TokenError::Unavailable(format!("is not asked: {why}")),
            error => TokenError::Unavailable(error.to_string()),
        })?;
        let has_nonce = prover.is_some_and(|it| it.take_nonce(&endpoint.url, fetched.nonce.as_deref()));
        let answer: Value = serde_json::from_slice(&fetched.body).unwrap_or_default();
        if fetched.status == 200 {
            return read(&answer);
        }
        let code = answer["error"].as_str().filter(|code| is_code(code));
        if code == Some("use_dpop_nonce") && has_nonce && std::mem::take(&mut again) {
            continue;
        }
        return Err(match (code, fetched.status) {
            (_, 429 | 500..) | (None, _) => TokenError::Unavailable(format!("answered {}", fetched.status)),
            (Some(code), _) if ASKS_USER.contains(&code) => {
                TokenError::Interaction(LogIn { code: code.to_owned(), claims: claims_of(&answer) })
            }
            (Some(code), _) => TokenError::Refused(code.to_owned()),
        });
    }
}

/// What the next login has to ask for: an object, and no text that somebody else wrote.
fn claims_of(answer: &Value) -> Option<String> {
    let text = answer["claims"].as_str().filter(|text| text.len() <= LONGEST_CLAIMS)?;
    let claims: Value = serde_json::from_str(text).ok()?;
    claims.is_object().then(|| claims.to_string())
}

/// What is shown of an error: a code, never a text that somebody else wrote.
pub(super) fn is_code(code: &str) -> bool {
    (1..=64).contains(&code.len())
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

pub(super) fn form(
    endpoint: &Endpoint,
    client: Option<&Client>,
    mut fields: Fields,
    proof: Option<String>,
) -> Form {
    let mut authorization = String::new();
    if let Some(client) = client {
        match &client.auth {
            // What is kept elsewhere has been revealed by now.
            ClientAuth::Public | ClientAuth::KeptKey(_) => drop(fields.add("client_id", &client.id)),
            ClientAuth::Basic(secret) => {
                let pair = format!("{}:{}", encode(&client.id), encode(secret.expose()));
                authorization = format!("Basic {}", STANDARD.encode(pair));
            }
            ClientAuth::Post(secret) => {
                fields.add("client_id", &client.id).add("client_secret", secret.expose());
            }
            ClientAuth::PrivateKey(key) => {
                let audience = endpoint.issuer.as_deref().unwrap_or(&endpoint.url);
                let (id, now) = (client.id.as_str(), now());
                let claims = json!({
                    "iss": id, "sub": id, "aud": audience, "jti": random(16), "iat": now, "exp": now + ASSERTED,
                });
                fields
                    .add("client_id", id)
                    .add("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
                    .add("client_assertion", &key.sign("JWT", &claims));
            }
        }
    }
    Form { body: fields.into_text(), json: false, authorization, proof }
}

fn read(answer: &Value) -> Result<Tokens, TokenError> {
    let access = answer["access_token"].as_str().filter(|token| is_token(token));
    let access = access.ok_or(TokenError::Malformed("no `access_token` that can be sent"))?.to_owned();
    let kind = match answer["token_type"].as_str() {
        Some(kind) if kind.eq_ignore_ascii_case("bearer") => TokenType::Bearer,
        Some(kind) if kind.eq_ignore_ascii_case("dpop") => TokenType::Dpop,
        Some(kind) if kind.eq_ignore_ascii_case("n_a") => TokenType::None,
        _ => return Err(TokenError::Malformed("a `token_type` that is not known")),
    };
    // Some write it as a text.
    let lifetime = &answer["expires_in"];
    let lifetime = lifetime.as_u64().or_else(|| lifetime.as_str()?.parse().ok());
    let refresh =
        answer["refresh_token"].as_str().filter(|token| token.len() <= LONGEST && !token.is_empty());
    Ok(Tokens {
        access,
        kind,
        expires: lifetime.map(|lifetime| now() + lifetime.min(LONGEST_LIFE)),
        refresh: refresh.map(str::to_owned),
        scopes: answer["scope"].as_str().map(scopes),
        issued: answer["issued_token_type"].as_str().map(str::to_owned),
    })
}

/// Whether a text can stand in `Authorization` (RFC 6750 section 2.1).
pub(super) fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(fits)
}
