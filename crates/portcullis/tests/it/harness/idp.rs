//! An identity provider: its metadata, its keys, its tokens, and what it says about those that nobody can read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Answer, Upstream};

/// The URL under which clients know the gateway of these tests.
pub(crate) const PUBLIC: &str = "https://mcp.example.com";

/// A running provider.
pub(crate) struct Idp {
    /// What it was asked.
    pub(crate) server: Upstream,
    pub(crate) issuer: String,
    key: Arc<Signer>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    keys: Vec<Value>,
    introspection: Value,
}

impl Idp {
    /// One with a key called `k1`.
    pub(crate) async fn start() -> Self {
        let key = Signer::new();
        let state = Arc::new(Mutex::new(State { keys: vec![key.jwk("k1")], introspection: Value::Null }));
        let sink = state.clone();
        let key = Arc::new(key);
        let signer = key.clone();
        let server = Upstream::start(move |seen, answer: Answer| {
            let (state, sink_key) = (sink.clone(), signer.clone());
            async move {
                let issuer = format!("http://{}", seen.header("host").unwrap());
                let (status, document) = {
                    let state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    match seen.path.as_str() {
                        "/.well-known/openid-configuration" => {
                            let at = |path: &str| format!("{issuer}/{path}");
                            let metadata = json!({
                                "issuer": issuer, "jwks_uri": at("jwks"), "authorization_endpoint": at("auth"),
                                "token_endpoint": at("token"),
                            });
                            (200, metadata)
                        }
                        "/token" => (200, id_token(&sink_key, &issuer, &seen.body)),
                        "/jwks" if state.keys.is_empty() => (500, Value::Null),
                        "/jwks" => (200, json!({"keys": state.keys})),
                        "/introspect" => (200, state.introspection.clone()),
                        _ => (404, Value::Null),
                    }
                };
                if seen.body.starts_with(b"grant_type=refresh_token") {
                    // Long enough for others to come meanwhile.
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                answer.json(status, &document).await;
            }
        })
        .await;
        let issuer = server.url.trim_end_matches("/mcp").to_owned();
        Self { server, issuer, key, state }
    }

    /// A configuration before one server, `x`, that takes this provider's tokens.
    pub(crate) fn config(&self, server: &Value) -> Value {
        json!({
            "public_url": PUBLIC, "servers": {"x": server}, "identity": {"issuers": [{"issuer": self.issuer}]},
        })
    }

    /// A token of somebody for `/mcp`.
    pub(crate) fn token(&self, subject: &str) -> String {
        self.token_with(subject, &json!({}))
    }

    /// The same with other or further claims; `null` takes one away.
    pub(crate) fn token_with(&self, subject: &str, changes: &Value) -> String {
        let mut claims = json!({
            "iss": self.issuer, "aud": format!("{PUBLIC}/mcp"), "sub": subject, "client_id": "test",
            "iat": now(), "exp": now() + 300, "jti": format!("jti-of-{subject}"), "scope": "mcp",
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.key.sign(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}), &claims)
    }

    /// Signs whatever a test wants.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.key.sign(header, claims)
    }

    /// The public half of its key.
    pub(crate) fn public_key(&self) -> Value {
        self.key.jwk("k1")
    }

    /// The keys that it publishes; none is a failure.
    pub(crate) fn publish(&self, there: bool) {
        let keys = if there { vec![self.key.jwk("k1")] } else { Vec::new() };
        self.state.lock().unwrap_or_else(PoisonError::into_inner).keys = keys;
    }

    /// What it says about every token that it is asked about.
    pub(crate) fn say(&self, introspection: Value) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).introspection = introspection;
    }

    /// How often an address was asked.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.server.seen().iter().filter(|seen| seen.path == path).count()
    }
}

/// What a code of a test is worth, which is the name of whoever logged in, `~`, and the nonce of the login; with an access
/// token for the resource, where one is named.
fn id_token(key: &Signer, issuer: &str, form: &[u8]) -> Value {
    let form = String::from_utf8_lossy(form);
    let field = |name: &str| super::authority::field(&form, name).unwrap_or_default();
    let claims_of = |who: &str| {
        json!({
            "iss": issuer, "aud": "gateway", "sub": who, "iat": now(), "exp": now() + 300, "groups": [format!("group-of-{who}")],
        })
    };
    let signed = |claims: &Value| key.sign(&json!({"alg": "ES256", "typ": "JWT", "kid": "k1"}), claims);
    if field("grant_type") == "refresh_token" {
        let who = field("refresh_token").trim_start_matches("rt~");
        // Of one it says that they are somebody else.
        let claims = claims_of(if who == "moved" { "eve" } else { who });
        return json!({"id_token": signed(&claims), "access_token": "x", "token_type": "Bearer"});
    }
    if field("grant_type").ends_with("token-exchange") {
        return id_jag(key, issuer, field("subject_token"), field("audience"));
    }
    let code = form.split('&').find_map(|pair| pair.strip_prefix("code=")).unwrap_or_default();
    let (subject, nonce) = code.split_once('~').unwrap_or_default();
    let mut claims = claims_of(subject);
    claims["nonce"] = json!(nonce);
    if matches!(subject, "brief" | "moved") {
        claims["exp"] = json!(now());
    }
    let token = signed(&claims);
    let resource = form.split('&').find_map(|pair| pair.strip_prefix("resource="));
    let access = resource.map_or_else(
        || "x".to_owned(),
        |resource| {
            let claims = json!({
                "iss": issuer, "aud": resource.replace("%3A", ":").replace("%2F", "/"), "sub": subject,
                "client_id": "gateway", "iat": now(), "exp": now() + 300, "jti": "of-a-login",
            });
            key.sign(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}), &claims)
        },
    );
    json!({
        "id_token": token, "access_token": access, "token_type": "Bearer", "refresh_token": format!("rt~{subject}"),
    })
}

/// An identity assertion for the person of an ID token.
fn id_jag(key: &Signer, issuer: &str, subject: &str, audience: &str) -> Value {
    let claims =
        subject.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&claims).unwrap_or_default();
    let assertion = json!({
        "iss": issuer, "sub": claims["sub"], "aud": audience.replace("%3A", ":").replace("%2F", "/"),
        "client_id": "gw", "iat": now(), "exp": now() + 120, "jti": encode(sha256(subject.as_bytes())),
    });
    let token = key.sign(&json!({"alg": "ES256", "typ": "oauth-id-jag+jwt", "kid": "k1"}), &assertion);
    json!({
        "access_token": token, "issued_token_type": "urn:ietf:params:oauth:token-type:id-jag", "token_type": "N_A",
        "expires_in": 120,
    })
}

/// A P-256 key.
pub(crate) struct Signer(EcdsaKeyPair);

impl Signer {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// The public key.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
        json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": encode(x), "y": encode(y)})
    }

    /// Its thumbprint (RFC 7638).
    pub(crate) fn thumbprint(&self) -> String {
        let jwk = self.jwk("");
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, jwk["x"], jwk["y"]);
        encode(sha256(text.as_bytes()))
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encode(signature))
    }

    /// A proof of possession for a request (RFC 9449).
    pub(crate) fn proof(&self, token: &str, target: &str, more: &Value) -> String {
        let id = encode(sha256(format!("{:?}", std::time::Instant::now()).as_bytes()));
        let mut claims = json!({
            "jti": id, "htm": "POST", "htu": target, "iat": now(), "ath": encode(sha256(token.as_bytes())),
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.sign(&json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": self.jwk("")}), &claims)
    }
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
