//! What went in and came out, without saying what it was: a keyed digest, and perhaps the thing itself, sealed.
//!
//! A plain hash of a name or of a card number is as good as the thing: whoever has a list tries it. So digests are keyed
//! (HMAC-SHA-256), and say only to whoever has the key that two things are the same. A payload is sealed with a data key of the
//! person, the class of retention and the month ([`crate::keys`]); the record holds the hash of what was sealed, and proofs
//! verify as well when the key is destroyed.

use std::str::FromStr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Deserializer, Serialize};

use crate::event::Canonical;
use crate::{labelled, read_hex, write_hex};

/// With a key: what it begins with is computed once, and copied for each digest. That is why this is not from the library that
/// does the rest of the cryptography, which allocates for each such copy.
type Keyed = Hmac<sha2::Sha256>;

/// A digest and a size, and where the thing itself is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Content {
    /// Its digest with the log's key.
    pub digest: Digest,
    /// The data key that the payload is sealed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where in the entry's payload it lies: offset and length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<(u64, u64)>,
    /// `sha256:` and the hash of what was sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// How many bytes it has.
    pub size: u64,
    /// What was sealed, until it is written beside the record.
    #[serde(skip)]
    pub(crate) bytes: Option<Vec<u8>>,
}

/// An HMAC-SHA-256, written as [`Digest::LABEL`] and 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Digest([u8; 32]);

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no digest: {0:?}")]
pub struct InvalidDigest(String);

impl Digest {
    /// What a digest begins with.
    pub const LABEL: &str = "hmac-sha256:";
}

impl Canonical for Digest {
    fn write(&self, into: &mut Vec<u8>) {
        let mut digits = [0; 64];
        write_hex(&self.0, &mut digits);
        into.push(b'"');
        into.extend_from_slice(Self::LABEL.as_bytes());
        into.extend_from_slice(&digits);
        into.push(b'"');
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        labelled(Digest::LABEL, &digest.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::deserialize_text(deserializer)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(Self::LABEL).filter(|digits| digits.len() == 64);
        let mut digest = Self::default();
        match digits.and_then(|digits| read_hex(digits.as_bytes(), &mut digest.0)) {
            Some(()) => Ok(digest),
            None => Err(InvalidDigest(text.to_owned())),
        }
    }
}

/// The keys that digests and pseudonyms are made with, all derived from one secret.
#[derive(Clone)]
pub struct Keyring {
    digest: Keyed,
    person: Keyed,
    pub(crate) wrapping: [u8; 32],
}

fn keyed(secret: &[u8]) -> Keyed {
    Keyed::new_from_slice(secret).expect("HMAC takes keys of any length")
}

fn sign(keyed: &Keyed, parts: &[&[u8]]) -> [u8; 32] {
    let mut signing = keyed.clone();
    for part in parts {
        signing.update(part);
    }
    signing.finalize().into_bytes().into()
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    /// Derives all keys from a secret of at least 16 bytes, best 32 random ones.
    #[must_use]
    pub fn derive(secret: &[u8]) -> Self {
        let root = keyed(secret);
        let derived = |purpose: &str| sign(&root, &[purpose.as_bytes()]);
        Self {
            digest: keyed(&derived("portcullis audit: digests of contents, 1")),
            person: keyed(&derived("portcullis audit: pseudonyms of persons, 1")),
            wrapping: derived("portcullis audit: wrapping of data keys, 1"),
        }
    }

    /// The pseudonym of a person: the same for the same issuer and subject.
    #[must_use]
    pub fn pseudonym(&self, issuer: &str, subject: &str) -> String {
        // The length keeps apart what would otherwise read the same.
        let length = (issuer.len() as u64).to_be_bytes();
        labelled("p-", &sign(&self.person, &[&length, issuer.as_bytes(), subject.as_bytes()])[..16])
    }

    /// What somebody is called: a pseudonym is one already, `ISSUER#SUBJECT` becomes one; `None` for anything else.
    #[must_use]
    pub fn person(&self, text: &str) -> Option<String> {
        match text.rsplit_once('#') {
            Some((issuer, subject)) if !issuer.is_empty() && !subject.is_empty() => {
                Some(self.pseudonym(issuer, subject))
            }
            Some(_) => None,
            None => {
                let digits = text.strip_prefix("p-")?;
                let good = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                good.then(|| text.to_owned())
            }
        }
    }

    /// The digest of a content.
    #[must_use]
    pub fn digest(&self, content: &[u8]) -> Content {
        let digest = Digest(sign(&self.digest, &[content]));
        Content { digest, size: content.len() as u64, ..Content::default() }
    }

    /// The digest of a small value that has to be found again, such as a token's id.
    #[must_use]
    pub fn fingerprint(&self, value: &str) -> String {
        labelled("h-", &sign(&self.digest, &[value.as_bytes()])[..16])
    }
}
