//! A credential that has been verified: who it is, and what has still to fit at each use.

use std::sync::Arc;

use portcullis_model::Principal;

/// Who was verified. Holds nothing that could be presented again.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Who.
    pub principal: Principal,
    /// The principal's id, ready to be shared.
    pub id: Arc<str>,
    /// Until when, in seconds since 1970.
    pub(crate) expires: u64,
    /// Since when, where it says so.
    pub(crate) issued: Option<u64>,
    /// Until when it needs not be verified again, by the same clock: what its issuer takes back counts then at the latest.
    pub(crate) fresh_until: u64,
    /// What it was issued for. Empty for API keys, which are the gateway's own.
    pub(crate) audiences: Vec<String>,
    /// What else the caller must show.
    pub(crate) binding: Binding,
    /// `jti`, for revocation.
    pub(crate) token_id: Option<String>,
    /// `sid`: the login that it came of, which may end before it.
    pub(crate) session: Option<String>,
    pub(crate) kind: Kind,
}

/// To what a token is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    /// Whoever has it may use it.
    None,
    /// A key, by its thumbprint (`cnf.jkt`, RFC 9449 section 6.1).
    Key(String),
    /// A client certificate, by its SHA-256 in base64url (`cnf.x5t#S256`, RFC 8705 section 3.1).
    Certificate(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Token,
    /// With the digest of the key, which is how it is found again.
    ApiKey([u8; 32]),
}

impl Verified {
    /// Whether it ends after another one.
    pub fn lasts_longer_than(&self, other: &Self) -> bool {
        self.expires > other.expires
    }

    pub(crate) fn issuer(&self) -> Option<&str> {
        match &self.principal {
            Principal::User(user) => Some(&user.issuer),
            _ => None,
        }
    }
}
