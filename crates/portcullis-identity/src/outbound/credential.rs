//! What a server is called with: the only thing in this crate that can be sent to one.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde_json::json;

use super::sign::{SigningKey, random};
use super::tokens::Prover;
use crate::clock::now;

/// A credential for one server.
pub struct Credential {
    pub(super) what: What,
    /// In seconds since 1970: from then on another one is asked for.
    pub(super) renew: Option<u64>,
    /// What it is good for, as far as that is known.
    pub(super) scopes: Vec<String>,
}

pub(super) enum What {
    Header {
        name: String,
        value: String,
    },
    Bearer(String),
    Dpop {
        token: String,
        value: String,
        prover: Arc<Prover>,
    },
    /// Made anew for each request.
    Assertion {
        key: Arc<SigningKey>,
        issuer: String,
        subject: String,
        audience: String,
        lifetime: u64,
        header: Option<String>,
    },
}

/// The headers of one request.
pub struct Headers<'a> {
    /// Name and value of the credential's own.
    pub credential: (&'a str, Cow<'a, str>),
    /// `DPoP`.
    pub proof: Option<String>,
}

/// A credential is renewed so long before it ends, at the most, in seconds.
const EARLY: u64 = 60;

/// When something is to be renewed that was got now and ends then.
pub(super) fn renewal(expires: u64) -> u64 {
    expires - EARLY.min(expires.saturating_sub(now()) / 5)
}

impl Credential {
    pub(super) fn new(what: What, expires: Option<u64>, scopes: Vec<String>) -> Self {
        Self { what, renew: expires.map(renewal), scopes }
    }

    pub(super) fn bearer(token: &str, expires: Option<u64>, scopes: Vec<String>) -> Self {
        Self::new(What::Bearer(format!("Bearer {token}")), expires, scopes)
    }

    /// The same, to be asked for again at this time.
    pub(super) fn until(self, renew: u64) -> Self {
        Self { renew: Some(renew), ..self }
    }

    pub(super) fn is_fresh(&self) -> bool {
        self.renew.is_none_or(|renew| now() < renew)
    }

    pub(super) fn prover(&self) -> Option<&Arc<Prover>> {
        match &self.what {
            What::Dpop { prover, .. } => Some(prover),
            _ => None,
        }
    }

    /// The token, where there is one.
    pub(super) fn token(&self) -> Option<&str> {
        match &self.what {
            What::Bearer(value) => value.strip_prefix("Bearer "),
            What::Dpop { token, .. } => Some(token),
            What::Header { .. } | What::Assertion { .. } => None,
        }
    }

    /// Whether it is bound to a key, so that what is sent depends on the address.
    pub fn is_bound(&self) -> bool {
        matches!(self.what, What::Dpop { .. })
    }

    /// What to send with a request of this method to this address, which only matters for what is bound.
    pub fn headers(&self, method: &str, url: &str) -> Headers<'_> {
        let authorization = |value| Headers { credential: ("authorization", value), proof: None };
        match &self.what {
            What::Header { name, value } => Headers { credential: (name, Cow::Borrowed(value)), proof: None },
            What::Bearer(value) => authorization(Cow::Borrowed(value)),
            What::Dpop { token, value, prover } => Headers {
                proof: Some(prover.prove(method, url, Some(token))),
                ..authorization(Cow::Borrowed(value))
            },
            What::Assertion { key, issuer, subject, audience, lifetime, header } => {
                let now = now();
                let claims = json!({
                    "iss": issuer, "sub": subject, "aud": audience, "iat": now, "exp": now + lifetime,
                    "jti": random(16),
                });
                let token = key.sign("JWT", &claims);
                match header {
                    Some(name) => Headers { credential: (name, Cow::Owned(token)), proof: None },
                    None => authorization(Cow::Owned(format!("Bearer {token}"))),
                }
            }
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(***)")
    }
}
