//! The public keys of one issuer (RFC 7517 section 5).

use serde_json::Value;

use super::{Algorithm, Compact, Jwk};
use crate::refused::Reason;

/// Keys of one set; more are no key set but a nuisance.
const MOST: usize = 100;
/// Keys that are tried for a token that names none.
const TRIES: usize = 8;

/// The keys.
#[derive(Debug, Default)]
pub(crate) struct KeySet(Vec<Jwk>);

/// A document that is no set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadKeySet {
    #[error("the key set is no JSON object with `keys`")]
    Unreadable,
    #[error("the key set has more than {MOST} keys")]
    TooMany,
}

impl KeySet {
    /// Reads a set; keys that are for something else are left out. A set without keys is one too (RFC 7517 section 5.1): an
    /// issuer that takes all its keys back says so, and is not to be mistaken for one that is away.
    pub(crate) fn read(document: &[u8]) -> Result<Self, BadKeySet> {
        let document: Value = serde_json::from_slice(document).map_err(|_| BadKeySet::Unreadable)?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or(BadKeySet::Unreadable)?;
        if keys.len() > MOST {
            return Err(BadKeySet::TooMany);
        }
        Ok(Self(keys.iter().filter_map(Value::as_object).filter_map(Jwk::read).collect()))
    }

    /// Whether there is none that can be used.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys that a token with this header can have been signed with.
    pub(crate) fn select(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Jwk> {
        let named = move |key: &&Jwk| kid.is_none() || key.kid.as_deref() == kid;
        self.0.iter().filter(named).filter(move |key| key.fits(algorithm)).take(TRIES)
    }

    /// Whether the signature is by one of the keys.
    pub(crate) fn check_signature(&self, compact: &Compact<'_>, algorithm: Algorithm) -> Result<(), Reason> {
        let mut keys = self.select(compact.header.kid.as_deref(), algorithm).peekable();
        if keys.peek().is_none() {
            return Err(Reason::UnknownKey);
        }
        let verified = keys.any(|key| key.verifies(algorithm, compact.signed, &compact.signature));
        if verified { Ok(()) } else { Err(Reason::Signature) }
    }
}
