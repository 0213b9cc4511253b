//! Proof of possession (RFC 9449): a stolen token is worthless without the key it is bound to.
//!
//! [`check`] is for proofs that go with a token, [`read`] for those that ask for one (`facade/possession.rs`).
//! `replay.rs` sees that a proof is used once, `nonce.rs` gives nonces without remembering them.

mod nonce;
mod replay;

use serde_json::Value;

use crate::claims::LEEWAY;
use crate::inbound::sha256;
use crate::jose::{Compact, Jwk};
use crate::refused::{Reason, Refused};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub(crate) use nonce::Nonces;
pub(crate) use replay::Replays;

/// How old a proof may be, in seconds, when it holds no nonce that says when it was made.
pub(crate) const WINDOW: u64 = 300;
/// Longest proof, in bytes.
const LONGEST: usize = 8 * 1024;
/// Longest `jti`, in bytes.
const LONGEST_ID: usize = 256;

/// What a proof is about.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// The URL under which the client knows the endpoint, without query and fragment.
    pub(crate) target: &'a str,
    /// SHA-256 over the access token.
    pub(crate) token: [u8; 32],
    /// The thumbprint that the token is bound to.
    pub(crate) thumbprint: &'a str,
    /// Whose token it is.
    pub(crate) holder: &'a str,
}

/// A proof that is good for a method and a URL. Whether it was used before is not known yet.
pub(crate) struct Possession {
    /// The thumbprint of the key that made it.
    pub(crate) thumbprint: String,
    id: String,
    /// SHA-256 over the access token that it goes with, as text.
    token: Option<String>,
}

impl Possession {
    /// What no second proof has.
    pub(crate) fn name(&self) -> String {
        format!("{}\0{}", self.thumbprint, self.id)
    }
}

/// Checks a proof that goes with an access token (RFC 9449 section 4.3).
pub(crate) fn check(
    proof: Option<&str>,
    request: &Request<'_>,
    nonces: Option<&Nonces>,
    replays: &Replays,
    now: u64,
) -> Result<(), Refused> {
    let refuse = |reason| Err(Refused::Proof(reason));
    let proof = read(proof, request.method, request.target, nonces, now)?;
    if proof.token != Some(URL_SAFE_NO_PAD.encode(request.token)) {
        return refuse(Reason::ProofToken);
    }
    if proof.thumbprint != request.thumbprint {
        return refuse(Reason::ProofThumbprint);
    }
    replays.see(short(&proof.name()), short(request.holder), now).map_err(Refused::Proof)
}

/// Reads a proof and checks all of it that is not about a token.
pub(crate) fn read(
    proof: Option<&str>,
    method: &str,
    target: &str,
    nonces: Option<&Nonces>,
    now: u64,
) -> Result<Possession, Refused> {
    let proof = proof.filter(|proof| !proof.is_empty()).ok_or(Refused::Proof(Reason::NoProof))?;
    let refuse = |reason| Err(Refused::Proof(reason));
    if proof.len() > LONGEST {
        return refuse(Reason::TooLarge);
    }
    let compact = Compact::parse(proof).map_err(Refused::Proof)?;
    if compact.header.typ.as_deref() != Some("dpop+jwt") {
        return refuse(Reason::Type);
    }
    let Some(algorithm) = compact.header.algorithm else { return refuse(Reason::Algorithm) };
    let key = compact.header.jwk.as_ref().filter(|jwk| !jwk.contains_key("d")).and_then(Jwk::read);
    let Some(key) = key.filter(|key| key.fits(algorithm)) else { return refuse(Reason::ProofKey) };
    if !key.verifies(algorithm, compact.signed, &compact.signature) {
        return refuse(Reason::Signature);
    }
    let claims = &compact.claims;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let url = text("htu").map(without_query);
    if text("htm") != Some(method) || !url.is_some_and(|htu| is_same_url(htu, target)) {
        return refuse(Reason::ProofTarget);
    }
    let made = claims.get("iat").and_then(Value::as_u64);
    let Some(made) = made else { return refuse(Reason::ProofTime) };
    if made > now + LEEWAY || made.saturating_add(WINDOW) < now {
        return refuse(Reason::ProofTime);
    }
    if let Some(nonces) = nonces
        && !text("nonce").is_some_and(|nonce| nonces.knows(nonce, now))
    {
        return Err(Refused::Nonce);
    }
    let id = text("jti").filter(|id| !id.is_empty() && id.len() <= LONGEST_ID);
    let Some(id) = id else { return refuse(Reason::Unreadable) };
    Ok(Possession { thumbprint: key.thumbprint(), id: id.to_owned(), token: text("ath").map(str::to_owned) })
}

fn short(text: &str) -> replay::Digest {
    let digest = sha256(text.as_bytes());
    *digest.first_chunk().expect("a SHA-256 is longer")
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// Scheme and host in whatever case, the default port written or not, the path as it is (RFC 9449 section 4.3).
fn is_same_url(one: &str, other: &str) -> bool {
    let parts = |url: &str| {
        let (scheme, rest) = url.split_once("://")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let scheme = scheme.to_ascii_lowercase();
        let host = host.to_ascii_lowercase();
        let default = if scheme == "https" { ":443" } else { ":80" };
        let host = host.strip_suffix(default).map(str::to_owned).unwrap_or(host);
        Some((scheme, host, if path.is_empty() { "/".to_owned() } else { path.to_owned() }))
    };
    parts(one).is_some() && parts(one) == parts(other)
}

#[cfg(test)]
mod tests;
