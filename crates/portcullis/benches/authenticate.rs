//! What a credential costs a call: `cargo bench -p portcullis --bench authenticate`.
//!
//! Each line is the median of several rounds, on one thread, in nanoseconds. Signatures are those of a token that was not
//! seen before; with remembered tokens they are not checked again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_identity::{
    Algorithm, ApiKey, Circumstances, Fetch, Fetched, Fetching, Identity, IssuerSettings, KeyHash, Presented,
    Settings, Wanted,
};
use serde_json::{Value, json};
use tokio::runtime::{Handle, Runtime};

const ISSUER: &str = "https://idp.example.com";
const BASE: &str = "https://mcp.example.com";
const KEY: &str = "pcl_0123456789012345678901234567890123456789";
const ROUNDS: usize = 15;

/// Publishes one key.
struct Published(String);

impl Fetch for Published {
    fn fetch(&self, _: Wanted) -> Fetching {
        let body = self.0.clone().into_bytes();
        Box::pin(async move { Ok(Fetched { body, ..Fetched::default() }) })
    }
}

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "k1", "x": encode(x), "y": encode(y)});
    let identity = Identity::new(Handle::current());
    let client: Arc<dyn Fetch> = Arc::new(Published(json!({"keys": [jwk]}).to_string()));
    identity.reload(settings(), move |_| client.clone());

    let claims = |number: usize, more: Value| {
        let mut claims = json!({
            "iss": ISSUER, "aud": format!("{BASE}/mcp"), "sub": "ada", "client_id": "app", "iat": now(),
            "exp": now() + 300, "jti": format!("jti-{number}"), "scope": "mcp", "groups": ["engineering", "admins"],
            "name": "Ada", "email": "ada@example.com", "tid": "0b9a2f4e-7c1d-4e55-9a1e-3f6f3f1f2a10",
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims
    };
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"});
    let token = sign(&key, &header, &claims(0, json!({})));
    authenticate(&identity, &format!("Bearer {token}"), None).await;

    println!("token of {} bytes", token.len());
    let bearer = format!("Bearer {token}");
    measure("a token that is remembered", 20_000, |_| (bearer.clone(), None), &identity).await;
    let machine = format!("Bearer {KEY}");
    measure("an API key", 20_000, |_| (machine.clone(), None), &identity).await;
    let fresh: Vec<String> = (1..=ROUNDS * 200)
        .map(|n| format!("Bearer {}", sign(&key, &header, &claims(n, json!({})))))
        .collect();
    measure("a token that is new (ES256)", 200, |n| (fresh[n].clone(), None), &identity).await;

    let thumbprint =
        sha256(format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y)).as_bytes());
    let bound = sign(&key, &header, &claims(0, json!({"cnf": {"jkt": encode(thumbprint)}})));
    let proof_header = json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": jwk});
    let proofs: Vec<String> = (0..ROUNDS * 200)
        .map(|n| {
            let claims = json!({
                "jti": format!("proof-{n}"), "htm": "POST", "htu": format!("{BASE}/mcp"), "iat": now(),
                "ath": encode(sha256(bound.as_bytes())),
            });
            sign(&key, &proof_header, &claims)
        })
        .collect();
    let dpop = format!("DPoP {bound}");
    measure(
        "a remembered token and its proof (ES256)",
        200,
        |n| (dpop.clone(), Some(proofs[n].clone())),
        &identity,
    )
    .await;
}

/// Prints what one of `calls` takes.
async fn measure(
    what: &str,
    calls: usize,
    credential: impl Fn(usize) -> (String, Option<String>),
    identity: &Identity,
) {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let credentials: Vec<_> = (0..calls).map(|n| credential(round * calls + n)).collect();
        let begun = Instant::now();
        for (authorization, proof) in &credentials {
            authenticate(identity, authorization, proof.as_deref()).await;
        }
        rounds.push(begun.elapsed().as_nanos() / calls as u128);
    }
    rounds.sort_unstable();
    println!("{what:45} {:>8} ns", rounds[ROUNDS / 2]);
}

async fn authenticate(identity: &Identity, authorization: &str, proof: Option<&str>) {
    let identifiers = [format!("{BASE}/mcp"), format!("{BASE}/sse")];
    let around = Circumstances {
        identifiers: &identifiers,
        base: BASE,
        method: "POST",
        path: "/mcp",
        proof,
        certificate: None,
        source: None,
    };
    let presented = Presented::read(authorization.as_bytes()).expect("a credential");
    identity.authenticate(&presented, &around).await.expect("it is good");
}

fn settings() -> Settings {
    let issuer = IssuerSettings {
        issuer: ISSUER.into(),
        audience: None,
        groups_claim: "groups".into(),
        groups_prefix: String::new(),
        algorithms: Algorithm::USUAL.to_vec(),
        jwks_url: Some(format!("{ISSUER}/keys")),
        introspection: None,
        tenants: None,
        untyped: false,
        max_lifetime: Duration::from_hours(24),
    };
    let hash = KeyHash { sha256: sha256(KEY.as_bytes()), expires: None };
    let bot = ApiKey { hashes: vec![hash], ..ApiKey::default() };
    Settings {
        issuers: vec![issuer],
        keys: BTreeMap::from([("bot".to_owned(), bot)]),
        scopes: vec!["mcp".into()],
        ..Settings::default()
    }
}

fn sign(key: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", encode(signature))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("32 bytes")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
