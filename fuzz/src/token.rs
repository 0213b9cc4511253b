//! What is fuzzed of identity: a credential on its whole way. Apart from `lib.rs`, whose functions need nothing but the
//! protocol; the tests of `portcullis-identity` include this file and replay `corpus/token`.
//!
//! The first byte says what the rest is: the value of `Authorization`, which nobody can make up; claims, which are signed as
//! an issuer would; or a set of keys, which an issuer publishes.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_identity::{
    Algorithm, Circumstances, Fetch, Fetched, Fetching, Identity, IssuerSettings, Presented, Refused,
    Settings, Wanted,
};
use portcullis_model::Principal;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const ISSUER: &str = "https://idp.example.com";
const ENDPOINT: &str = "https://mcp.example.com/mcp";

/// An issuer's key, and what takes its tokens.
struct Scene {
    runtime: Runtime,
    key: EcdsaKeyPair,
    identity: Identity,
}

/// Publishes one document, whatever it is asked.
struct Publishes(Vec<u8>);

impl Fetch for Publishes {
    fn fetch(&self, _: Wanted) -> Fetching {
        let body = self.0.clone();
        Box::pin(async move { Ok(Fetched { body, ..Fetched::default() }) })
    }
}

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": encode(x), "y": encode(y)});
        let identity = identity(&runtime, json!({"keys": [jwk]}).to_string().into_bytes());
        Scene { runtime, key, identity }
    })
}

fn identity(runtime: &Runtime, keys: Vec<u8>) -> Identity {
    let issuer = IssuerSettings {
        issuer: ISSUER.into(),
        audience: None,
        groups_claim: "groups".into(),
        groups_prefix: "idp/".into(),
        algorithms: Algorithm::USUAL.to_vec(),
        jwks_url: Some(format!("{ISSUER}/jwks")),
        introspection: None,
        tenants: None,
        untyped: false,
        max_lifetime: Duration::from_hours(1),
    };
    let identity = Identity::new(runtime.handle().clone());
    let published = Arc::new(Publishes(keys));
    identity.reload(Settings { issuers: vec![issuer], ..Settings::default() }, |_| published.clone());
    identity
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

async fn authenticate(identity: &Identity, authorization: &[u8]) -> Result<Principal, Refused> {
    let presented = Presented::read(authorization)?;
    let identifiers = [ENDPOINT.to_owned()];
    let around = Circumstances {
        identifiers: &identifiers,
        base: "https://mcp.example.com",
        method: "POST",
        path: "/mcp",
        proof: None,
        certificate: None,
        source: None,
    };
    identity.authenticate(&presented, &around).await.map(|verified| verified.principal.clone())
}

fn sign(key: &EcdsaKeyPair, claims: &[u8]) -> String {
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k"}).to_string();
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).expect("a good key signs");
    format!("Bearer {signed}.{}", encode(signature))
}

/// Lets nobody in who was not vouched for, and nobody by another name.
pub fn token(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let scene = scene();
    match kind {
        b'A' => {
            let found = scene.runtime.block_on(authenticate(&scene.identity, data));
            assert!(found.is_err(), "somebody made up {found:?}");
        }
        b'C' => {
            let token = sign(&scene.key, data);
            let found = scene.runtime.block_on(authenticate(&scene.identity, token.as_bytes()));
            if let Ok(principal) = found {
                check(data, &principal);
            }
        }
        b'K' => {
            // Whatever an issuer publishes as its keys, ours is not among them.
            let other = identity(&scene.runtime, data.to_vec());
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let claims = json!({"iss": ISSUER, "aud": ENDPOINT, "sub": "a", "exp": now + 60}).to_string();
            let token = sign(&scene.key, claims.as_bytes());
            let found = scene.runtime.block_on(authenticate(&other, token.as_bytes()));
            assert!(found.is_err(), "another key was taken for ours");
        }
        _ => {}
    }
}

/// What was vouched for is what stands in the claims, once.
fn check(claims: &[u8], principal: &Principal) {
    let claims: Value = serde_json::from_slice(claims).expect("claims that are accepted are JSON");
    let Principal::User(user) = principal else { panic!("a token is a user's") };
    assert_eq!((claims["iss"].as_str(), user.issuer.as_str()), (Some(ISSUER), ISSUER));
    assert_eq!(claims["sub"].as_str(), Some(user.subject.as_str()));
    assert!(!user.subject.is_empty() && claims["exp"].is_number());
    let aud = &claims["aud"];
    let is_for_us =
        *aud == ENDPOINT || aud.as_array().is_some_and(|all| all.iter().any(|one| *one == ENDPOINT));
    assert!(is_for_us, "{aud}");
    let groups: Vec<_> = match &claims["groups"] {
        Value::Null => Vec::new(),
        Value::String(one) => vec![format!("idp/{one}")],
        Value::Array(all) => {
            all.iter().map(|one| format!("idp/{}", one.as_str().expect("a group is a text"))).collect()
        }
        other => panic!("groups were read from {other}"),
    };
    assert_eq!(user.groups, groups);
    assert!(claims.get("cnf").is_none(), "a bound token came without a proof");
}
