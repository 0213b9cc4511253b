//! What identity and policy cost, and what the guard does: the same calls through the gateway with and without them.
//!
//! With identity and policy, every call brings an access token (a JWT, signed with ES256) and is held against 500 policies; without them,
//! everybody on loopback may do everything. The guard reads results of 4 KB, and finds nothing. Both gateways run beside each other and take turns, so that the ratio means
//! something on a busy machine.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::gateway::{self, Gateway};
use super::scale::Scale;
use super::turns::{self, Contender, Turns};
use crate::client::Endpoint;
use crate::echo::TEXT_BYTES;

/// Policies that a call is held against.
pub(crate) const POLICIES: usize = 500;
const GROUPS: usize = 25;
const AUDIENCE: &str = "portcullis-bench";

/// Measures both.
pub(crate) fn measure(
    program: &Path,
    scratch: &Path,
    upstream: &Endpoint,
    scale: &Scale,
) -> anyhow::Result<Turns> {
    let issuer = Issuer::start()?;
    let (open, guarded) = (folder(scratch, "open")?, folder(scratch, "guarded")?);
    let policies = guarded.join("policies.cedar");
    std::fs::write(&policies, policies_text())?;
    let servers = gateway::either_era(upstream);
    let (identity, policy) = (issuer.identity(), json!({"files": [policies]}));
    let without = Gateway::start(program, &open, &servers)?;
    let with =
        Gateway::start(program, &guarded, &format!("{servers}identity: {identity}\npolicy: {policy}\n"))?;
    let token: Arc<str> = format!("Bearer {}", issuer.token()).into();
    let ends = [without.server("up"), Endpoint { authorization: Some(token), ..with.server("up") }];
    take_turns("identity and policy", scale, ends, [&without, &with], TEXT_BYTES)
}

/// Length of the results that the guard reads.
pub(crate) const GUARDED_BYTES: usize = 4096;

/// Measures the guard in its baseline against none.
pub(crate) fn measure_guard(
    program: &Path,
    scratch: &Path,
    upstream: &Endpoint,
    scale: &Scale,
) -> anyhow::Result<Turns> {
    let servers = gateway::either_era(upstream);
    let without = Gateway::start(program, &folder(scratch, "unguarded")?, &servers)?;
    let with = Gateway::start(program, &folder(scratch, "read")?, &format!("{servers}guard: {{}}\n"))?;
    let ends = [without.server("up"), with.server("up")];
    take_turns("the guard", scale, ends, [&without, &with], GUARDED_BYTES)
}

/// Each gateway has a folder of its own: one takes up what is written over its configuration.
fn folder(scratch: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = scratch.join(name);
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

/// First without the layer, then with it.
fn take_turns(
    what: &'static str,
    scale: &Scale,
    ends: [Endpoint; 2],
    gateways: [&Gateway; 2],
    bytes: usize,
) -> anyhow::Result<Turns> {
    let contenders: Vec<_> = ends
        .into_iter()
        .zip(gateways)
        .map(|(endpoint, gateway)| Contender::new(endpoint, Some(gateway.pid())))
        .collect();
    turns::take(what, scale, &contenders, bytes)
}

/// Policies of many groups on the one server, with conditions of the usual kinds; one in 25 is the caller's.
pub(crate) fn policies_text() -> String {
    let mut text = String::new();
    for number in 0..POLICIES {
        let group = number % GROUPS;
        let rule = match number % 5 {
            0 => {
                "permit (G, action == Action::\"tools/call\", S) when { resource.annotations.readOnlyHint };"
            }
            1 => "permit (G, action in Action::\"read\", S);",
            2 => {
                "permit (G, action == Action::\"tools/call\", S) unless { resource.name like \"*_delete\" };"
            }
            3 => "permit (G, action in Action::\"list\", S);",
            _ => {
                "forbid (G, action == Action::\"tools/call\", S) when { resource.name like \"*_forbidden\" };"
            }
        };
        let group = format!("principal in Group::\"g{group}\"");
        let rule = rule.replace('G', &group).replace(", S)", ", resource in Server::\"up\")");
        let _ = writeln!(text, "@id(\"p{number}\") {rule}");
    }
    text
}

/// An identity provider with one key.
pub(crate) struct Issuer {
    url: String,
    key: EcdsaKeyPair,
}

impl Issuer {
    /// Its keys are served for as long as the process lives; nothing else is.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("cannot make a key")?;
        let (x, y) = key.public_key().as_ref()[1..].split_at(32);
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "k1", "x": encode(x), "y": encode(y)});
        let keys = json!({"keys": [jwk]}).to_string();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head);
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{keys}",
                    keys.len()
                );
            }
        });
        Ok(Self { url, key })
    }

    /// The section of the configuration that trusts it.
    pub(crate) fn identity(&self) -> Value {
        let Self { url, .. } = self;
        json!({"issuers": [{"issuer": url, "jwks_url": format!("{url}/jwks"), "audience": AUDIENCE}]})
    }

    /// A token for a caller that is in some of the groups.
    pub(crate) fn token(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let claims = json!({
            "iss": self.url, "aud": AUDIENCE, "sub": "somebody", "client_id": "portcullis-bench", "iat": now,
            "exp": now + 4 * 3600, "jti": "bench", "scope": "mcp", "groups": ["g2", "g7", "g12"],
        });
        let part = |value: &Value| encode(value.to_string().as_bytes());
        let signed =
            format!("{}.{}", part(&json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"})), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", encode(signature.expect("a fresh key signs").as_ref()))
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
