//! Keys with which the gateway signs: assertions of its own, proofs of possession, and who it is toward a token endpoint.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::inbound::sha256;

/// A private key.
pub struct SigningKey {
    pair: Pair,
    /// The public key.
    jwk: Value,
    /// Its thumbprint (RFC 7638).
    kid: String,
}

enum Pair {
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A key that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PKCS #8.
    #[error(
        "is no PEM file with a `PRIVATE KEY` (PKCS #8); `openssl pkcs8 -topk8 -nocrypt -in KEY` makes one of others"
    )]
    Format,
    /// Of no kind that is known here.
    #[error("is neither P-256, nor RSA of 2048 bits or more, nor Ed25519")]
    Kind,
}

impl SigningKey {
    /// A fresh key (P-256).
    pub fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self::new(Pair::P256(pair.expect("the operating system has randomness")))
    }

    /// Reads a key in PEM.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(pem: &str) -> Result<Self, KeyError> {
        let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----").ok_or(KeyError::Format)?;
        let (body, _) = rest.split_once("-----END PRIVATE KEY-----").ok_or(KeyError::Format)?;
        let body: String = body.split_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| KeyError::Format)?;
        Self::from_pkcs8(&der).ok_or(KeyError::Kind)
    }

    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let pair = if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            Pair::P256(pair)
        } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            Pair::Ed25519(pair)
        } else {
            Pair::Rsa(RsaKeyPair::from_pkcs8(der).ok().filter(|pair| pair.public_modulus_len() >= 256)?)
        };
        Some(Self::new(pair))
    }

    /// The key to be kept, sealed; for keys that were made here.
    pub(super) fn to_pkcs8(&self) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::P256(pair) => Some(pair.to_pkcs8v1().ok()?.as_ref().to_vec()),
            Pair::Rsa(_) | Pair::Ed25519(_) => None,
        }
    }

    fn new(pair: Pair) -> Self {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        // The required members in the order of their names, as thumbprints have them.
        let jwk = match &pair {
            Pair::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"crv": "P-256", "kty": "EC", "x": encode(x), "y": encode(y)})
            }
            Pair::Rsa(pair) => {
                let (n, e) = rsa_parts(pair.public_key().as_ref());
                json!({"e": encode(e), "kty": "RSA", "n": encode(n)})
            }
            Pair::Ed25519(pair) => {
                json!({"crv": "Ed25519", "kty": "OKP", "x": encode(pair.public_key().as_ref())})
            }
        };
        let kid = encode(&sha256(jwk.to_string().as_bytes()));
        Self { pair, jwk, kid }
    }

    /// The name of its signatures' algorithm.
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::P256(_) => "ES256",
            Pair::Rsa(_) => "RS256",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    /// The public key as a member of a key set.
    pub fn public(&self) -> Value {
        let mut jwk = self.jwk.clone();
        jwk["kid"] = self.kid.as_str().into();
        jwk["use"] = "sig".into();
        jwk["alg"] = self.algorithm().into();
        jwk
    }

    pub(super) fn thumbprint(&self) -> &str {
        &self.kid
    }

    /// Signs claims, as a token of this type.
    pub(super) fn sign(&self, typ: &str, claims: &Value) -> String {
        self.sign_with(&json!({"alg": self.algorithm(), "typ": typ, "kid": self.kid}), claims)
    }

    /// Signs claims for somebody who is shown the public key along with them.
    pub(super) fn sign_showing(&self, typ: &str, claims: &Value) -> String {
        self.sign_with(&json!({"alg": self.algorithm(), "typ": typ, "jwk": self.jwk}), claims)
    }

    fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::P256(pair) => {
                let signature = pair.sign(&random, signed.as_bytes());
                signature.expect("a P-256 key signs anything").as_ref().to_vec()
            }
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                let done = pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut out);
                done.expect("an RSA key of 2048 bits signs SHA-256");
                out
            }
            Pair::Ed25519(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.kid == other.kid
    }
}

impl Eq for SigningKey {}

/// Modulus and exponent of an `RSAPublicKey` in DER: a sequence of two integers.
fn rsa_parts(der: &[u8]) -> (&[u8], &[u8]) {
    fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
        let (_, rest) = der.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = if *first < 0x80 {
            (usize::from(*first), rest)
        } else {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        };
        rest.split_at_checked(length)
    }
    let parts = element(der).and_then(|(sequence, _)| {
        let (n, rest) = element(sequence)?;
        let (e, _) = element(rest)?;
        Some((n, e))
    });
    let (n, e) = parts.expect("the library writes its own keys in DER");
    // An integer that would look negative begins with a zero.
    (n.strip_prefix(&[0]).unwrap_or(n), e.strip_prefix(&[0]).unwrap_or(e))
}

/// So many random bytes in base64url: 16 or more cannot be guessed.
pub(super) fn random(bytes: usize) -> String {
    let mut out = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut out).expect("the operating system has randomness");
    URL_SAFE_NO_PAD.encode(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{Algorithm, Compact, Jwk};

    fn rsa_pem() -> String {
        use aws_lc_rs::encoding::AsDer as _;
        let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
    }

    #[test]
    fn what_is_signed_is_verified_with_the_public_key_alone() {
        for key in [SigningKey::generate(), SigningKey::read(&rsa_pem()).unwrap()] {
            let token = key.sign("JWT", &json!({"sub": "x"}));
            let compact = Compact::parse(&token).unwrap();
            let public = key.public();
            let jwk = Jwk::read(public.as_object().unwrap()).unwrap();
            let algorithm = Algorithm::parse(key.algorithm()).unwrap();
            assert!(jwk.verifies(algorithm, compact.signed, &compact.signature));
            assert_eq!(jwk.thumbprint(), key.thumbprint());
            assert!(public.get("d").is_none());
        }
    }

    #[test]
    fn keys_that_were_made_here_are_kept_and_come_back() {
        let key = SigningKey::generate();
        assert_eq!(SigningKey::from_pkcs8(&key.to_pkcs8().unwrap()), Some(key));
        assert_eq!(SigningKey::read("nonsense"), Err(KeyError::Format));
        let other = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
        assert_eq!(SigningKey::read(other), Err(KeyError::Kind));
    }
}
