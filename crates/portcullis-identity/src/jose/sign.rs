//! Keys that sign: those of the gateway's own tokens, and those it proves itself with to an identity provider.
//!
//! A key comes as PKCS#8, in DER or as PEM. What kind it is decides the algorithm, as it does for keys that verify.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::Algorithm;

/// A key that signs.
pub(crate) enum SigningKey {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl SigningKey {
    /// A new P-256 key, as PKCS#8.
    pub(crate) fn generate() -> Vec<u8> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        made.expect("the operating system has randomness").as_ref().to_vec()
    }

    /// Reads a key; `None` when it is of no kind that signs here.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Some(Self::P256(key));
        }
        if let Ok(key) = RsaKeyPair::from_pkcs8(der) {
            return Some(Self::Rsa(key));
        }
        Ed25519KeyPair::from_pkcs8(der).ok().map(Self::Ed25519)
    }

    /// Reads the first `PRIVATE KEY` of a PEM text.
    pub(crate) fn from_pem(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----")?;
        let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
        let body: String = body.split_ascii_whitespace().collect();
        Self::from_pkcs8(&STANDARD.decode(body).ok()?)
    }

    /// What it signs with.
    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::ES256,
            Self::Ed25519(_) => Algorithm::EdDSA,
            Self::Rsa(_) => Algorithm::RS256,
        }
    }

    /// The public half of an elliptic key, for a set of keys. RSA keys are never published here.
    pub(crate) fn jwk(&self, kid: &str) -> Option<Value> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::P256(key) => {
                // An uncompressed point: one byte that says so, and the two coordinates.
                let (x, y) = key.public_key().as_ref().get(1..)?.split_at_checked(32)?;
                Some(json!({
                    "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
                    "x": encode(x), "y": encode(y),
                }))
            }
            Self::Ed25519(key) => Some(json!({
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid,
                "x": encode(key.public_key().as_ref()),
            })),
            Self::Rsa(_) => None,
        }
    }

    /// A signed token in compact form. `None` when the library cannot sign, which it says of broken keys.
    pub(crate) fn sign(&self, typ: &str, kid: Option<&str>, claims: &Value) -> Option<String> {
        let mut header = json!({"alg": self.algorithm().as_str(), "typ": typ});
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed =
            format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let random = SystemRandom::new();
        let signature = match self {
            Self::P256(key) => key.sign(&random, signed.as_bytes()).ok()?.as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut out = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut out).ok()?;
                out
            }
        };
        Some(format!("{signed}.{}", encode(&signature)))
    }
}
