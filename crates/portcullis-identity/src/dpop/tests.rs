//! Every way in which a proof can be wrong.

use serde_json::json;

use super::*;
use crate::fixture::{Signer, encode};

const TARGET: &str = "https://mcp.example.com/mcp";
const NOW: u64 = 1_000_000;

/// Of the header and the claims.
type Change = fn(&mut Value, &mut Value);

struct Scene {
    key: Signer,
    thumbprint: String,
    token: [u8; 32],
    replays: Replays,
}

impl Scene {
    fn new() -> Self {
        let key = Signer::p256();
        let jwk = key.jwk("k");
        let thumbprint = Jwk::read(jwk.as_object().unwrap()).unwrap().thumbprint();
        Self { key, thumbprint, token: sha256(b"token"), replays: Replays::default() }
    }

    fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": self.key.jwk("k")})
    }

    fn claims(&self, id: &str) -> Value {
        json!({"jti": id, "htm": "POST", "htu": TARGET, "iat": NOW, "ath": encode(self.token)})
    }

    fn check(&self, proof: Option<&str>, nonces: Option<&Nonces>) -> Result<(), Refused> {
        let (token, thumbprint) = (self.token, self.thumbprint.as_str());
        let request = Request { method: "POST", target: TARGET, token, thumbprint, holder: "ada" };
        check(proof, &request, nonces, &self.replays, NOW)
    }
}

#[test]
fn refuses_a_proof_for_anything_that_is_not_as_it_must_be() {
    let scene = Scene::new();
    let table: [(&str, Change, Reason); 17] = [
        ("typ", |header, _| header["typ"] = json!("JWT"), Reason::Type),
        ("alg none", |header, _| header["alg"] = json!("none"), Reason::Algorithm),
        ("alg HS256", |header, _| header["alg"] = json!("HS256"), Reason::Algorithm),
        ("alg of another key", |header, _| header["alg"] = json!("RS256"), Reason::ProofKey),
        ("no key", |header, _| drop(header.as_object_mut().unwrap().remove("jwk")), Reason::ProofKey),
        ("a private key", |header, _| header["jwk"]["d"] = json!("AA"), Reason::ProofKey),
        ("a symmetric key", |header, _| header["jwk"] = json!({"kty": "oct", "k": "AA"}), Reason::ProofKey),
        ("another method", |_, claims| claims["htm"] = json!("GET"), Reason::ProofTarget),
        (
            "another path",
            |_, claims| claims["htu"] = json!("https://mcp.example.com/mcp/s/x"),
            Reason::ProofTarget,
        ),
        (
            "another host",
            |_, claims| claims["htu"] = json!("https://evil.example.com/mcp"),
            Reason::ProofTarget,
        ),
        (
            "another scheme",
            |_, claims| claims["htu"] = json!("http://mcp.example.com/mcp"),
            Reason::ProofTarget,
        ),
        ("no ath", |_, claims| drop(claims.as_object_mut().unwrap().remove("ath")), Reason::ProofToken),
        ("another token", |_, claims| claims["ath"] = json!(encode(sha256(b"other"))), Reason::ProofToken),
        ("too old", |_, claims| claims["iat"] = json!(NOW - WINDOW - 1), Reason::ProofTime),
        ("from the future", |_, claims| claims["iat"] = json!(NOW + LEEWAY + 1), Reason::ProofTime),
        ("iat as text", |_, claims| claims["iat"] = json!("1000000"), Reason::ProofTime),
        ("no jti", |_, claims| claims["jti"] = json!(""), Reason::Unreadable),
    ];
    for (what, change, reason) in table {
        let (mut header, mut claims) = (scene.header(), scene.claims(what));
        change(&mut header, &mut claims);
        let proof = scene.key.sign(&header, &claims);
        assert_eq!(scene.check(Some(&proof), None), Err(Refused::Proof(reason)), "{what}");
    }
    let good = scene.key.sign(&scene.header(), &scene.claims("good"));
    assert_eq!(scene.check(Some(&good), None), Ok(()));
    assert_eq!(scene.check(Some(&good), None), Err(Refused::Proof(Reason::Replayed)));
    assert_eq!(scene.check(Some(""), None), Err(Refused::Proof(Reason::NoProof)));
}

#[test]
fn another_key_proves_nothing_even_for_its_own_proofs() {
    let scene = Scene::new();
    let other = Signer::p256();
    let mut header = scene.header();
    header["jwk"] = other.jwk("k");
    let proof = other.sign(&header, &scene.claims("1"));
    assert_eq!(scene.check(Some(&proof), None), Err(Refused::Proof(Reason::ProofThumbprint)));
    let proof = other.sign(&scene.header(), &scene.claims("2"));
    assert_eq!(scene.check(Some(&proof), None), Err(Refused::Proof(Reason::Signature)));
}

#[test]
fn where_nonces_are_asked_for_a_proof_needs_one_of_ours() {
    let scene = Scene::new();
    let nonces = Nonces::new();
    let proof = |id: &str, nonce: Option<String>| {
        let mut claims = scene.claims(id);
        claims["nonce"] = json!(nonce);
        scene.key.sign(&scene.header(), &claims)
    };
    assert_eq!(scene.check(Some(&proof("1", None)), Some(&nonces)), Err(Refused::Nonce));
    assert_eq!(scene.check(Some(&proof("2", Some("made up".into()))), Some(&nonces)), Err(Refused::Nonce));
    assert_eq!(scene.check(Some(&proof("3", Some(nonces.give(NOW)))), Some(&nonces)), Ok(()));
}

#[test]
fn urls_are_the_same_in_another_spelling_of_scheme_host_and_port() {
    for (one, same) in [
        ("https://mcp.example.com/mcp", true),
        ("HTTPS://MCP.Example.com:443/mcp", true),
        ("https://mcp.example.com/MCP", false),
        ("https://mcp.example.com:444/mcp", false),
        ("https://mcp.example.com/mcp/", false),
        ("mcp", false),
    ] {
        assert_eq!(is_same_url(one, TARGET), same, "{one}");
    }
    assert_eq!(without_query("https://a/b?c#d"), "https://a/b");
}

#[test]
fn the_thumbprint_is_that_of_the_specification() {
    // RFC 7638 section 3.1.
    let jwk = json!({
        "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    });
    let jwk = Jwk::read(jwk.as_object().unwrap()).unwrap();
    assert_eq!(jwk.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}
