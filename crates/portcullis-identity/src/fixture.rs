//! For tests: an identity provider that signs, is asked, and says how often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::fetch::{Fetch, FetchError, Fetched, Fetching, Wanted};
use crate::jose::Algorithm;
use crate::settings::IssuerSettings;

pub(crate) const ISSUER: &str = "https://idp.example.com";
pub(crate) const ENDPOINT: &str = "https://mcp.example.com/mcp";

/// The settings of an issuer that is found by its metadata.
pub(crate) fn issuer() -> IssuerSettings {
    IssuerSettings {
        issuer: ISSUER.into(),
        audience: None,
        groups_claim: "groups".into(),
        groups_prefix: String::new(),
        algorithms: Algorithm::USUAL.to_vec(),
        jwks_url: None,
        introspection: None,
        tenants: None,
        untyped: false,
        max_lifetime: Duration::from_hours(24),
    }
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key that signs.
pub(crate) enum Signer {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    /// The public key.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                // RSAPublicKey in DER: with 2048 bits and the usual exponent, everything has its place.
                let der = key.public_key().as_ref();
                let (n, e) = (&der[9..265], &der[267..270]);
                json!({"kty": "RSA", "kid": kid, "n": encode(n), "e": encode(e)})
            }
            Self::P256(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": encode(x), "y": encode(y)})
            }
            Self::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encode(key.public_key())})
            }
        }
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(key) => {
                let scheme: &dyn signature::RsaEncoding = match header["alg"].as_str() {
                    Some("PS256") => &signature::RSA_PSS_SHA256,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut out = vec![0; key.public_modulus_len()];
                key.sign(scheme, &random, signed.as_bytes(), &mut out).unwrap();
                out
            }
            Self::P256(key) => key.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", encode(signature))
    }
}

/// The outside, as a test writes it.
#[derive(Default)]
pub(crate) struct Outside {
    answers: Mutex<HashMap<String, Result<String, FetchError>>>,
    asked: Mutex<Vec<String>>,
    /// What was posted last, and its `Authorization`.
    posted: Mutex<(String, String)>,
}

impl Outside {
    /// An issuer with this key.
    pub(crate) fn with_keys(keys: &[Value]) -> Arc<Self> {
        let outside = Self::default();
        outside.answer(
            "https://idp.example.com/.well-known/openid-configuration",
            &json!({"issuer": ISSUER, "jwks_uri": "https://idp.example.com/jwks"}),
        );
        outside.answer("https://idp.example.com/jwks", &json!({"keys": keys}));
        Arc::new(outside)
    }

    pub(crate) fn answer(&self, url: &str, document: &Value) {
        self.answers.lock().unwrap().insert(url.into(), Ok(document.to_string()));
    }

    pub(crate) fn fail(&self, url: &str) {
        self.answers.lock().unwrap().insert(url.into(), Err(FetchError::Failed("it is away".into())));
    }

    pub(crate) fn posted(&self) -> (String, String) {
        self.posted.lock().unwrap().clone()
    }

    /// How often an address was asked.
    pub(crate) fn asked(&self, url: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == url).count()
    }
}

impl Fetch for Outside {
    fn fetch(&self, wanted: Wanted) -> Fetching {
        self.asked.lock().unwrap().push(wanted.url.clone());
        if let Some(form) = &wanted.form {
            *self.posted.lock().unwrap() = (form.body.clone(), form.authorization.clone());
        }
        let answer = self.answers.lock().unwrap().get(&wanted.url).cloned();
        let answer = answer.unwrap_or(Err(FetchError::Status(404)));
        Box::pin(async move {
            tokio::task::yield_now().await;
            answer.map(|body| Fetched { body: body.into_bytes(), ..Fetched::default() })
        })
    }
}
