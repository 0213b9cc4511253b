//! Signed notes (C2SP signed-note): a text, and lines under it that say who signed it.
//!
//! Two kinds of Ed25519 signatures are known: that of a log over the text (0x01), and that of a witness over a time and the
//! text (0x04, C2SP tlog-cosignature). ML-DSA is left out until the cryptography library has it outside of its unstable part.
//! Keys are written as Go's tools write them (`vkey`, `PRIVATE+KEY+…`), so that those can read them.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A note longer than this is none of ours.
const LONGEST: usize = 256 * 1024;

/// Nor is one with more signatures: each costs whoever checks it some time.
const SIGNATURES: usize = 100;

/// What a signature says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Signed by a log.
    Ed25519 = 1,
    /// Cosigned by a witness, at a time.
    Cosignature = 4,
}

/// A key that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key: {0}")]
pub struct InvalidKey(pub &'static str);

/// A note that cannot be read, or that nobody trusted has signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNote {
    /// It is no note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// A signature bears the name of a key that did not make it.
    #[error("the signature of {0} is not by its key")]
    BadSignature(String),
    /// No known key has signed.
    #[error("not signed by {0}")]
    Unsigned(String),
}

/// Checks signatures: a name and a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    algorithm: Algorithm,
    public: [u8; 32],
}

impl VerifierKey {
    pub(crate) fn new(name: &str, algorithm: Algorithm, public: [u8; 32]) -> Self {
        Self { name: name.to_owned(), algorithm, public }
    }

    /// Reads `name+id+key` (C2SP signed-note, verifier keys).
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidKey("it has to read name+id+key"));
        };
        check_name(name)?;
        let key = BASE64.decode(key).map_err(|_| InvalidKey("the key is not base64"))?;
        let (algorithm, public) = match key.split_first() {
            Some((1, rest)) => (Algorithm::Ed25519, rest),
            Some((4, rest)) => (Algorithm::Cosignature, rest),
            _ => return Err(InvalidKey("its algorithm is not known here")),
        };
        let public = public.try_into().map_err(|_| InvalidKey("the key has the wrong length"))?;
        let parsed = Self::new(name, algorithm, public);
        if crate::hex(&parsed.id()) == id {
            Ok(parsed)
        } else {
            Err(InvalidKey("the id is not that of the key"))
        }
    }

    /// The name: of a log its origin, of a witness its own.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a witness's.
    #[must_use]
    pub fn is_witness(&self) -> bool {
        self.algorithm == Algorithm::Cosignature
    }

    pub(crate) fn id(&self) -> [u8; 4] {
        let message = [self.name.as_bytes(), b"\n", &[self.algorithm as u8], &self.public].concat();
        let hash = digest(&SHA256, &message);
        let mut id = [0; 4];
        id.copy_from_slice(&hash.as_ref()[..4]);
        id
    }

    /// When a signature by this key was made, 0 if it does not say so; `None` if it is not by this key.
    fn check(&self, text: &str, signature: &[u8]) -> Option<u64> {
        let key = UnparsedPublicKey::new(&ED25519, &self.public);
        match self.algorithm {
            Algorithm::Ed25519 => key.verify(text.as_bytes(), signature).ok().map(|()| 0),
            Algorithm::Cosignature => {
                let (time, signature) = signature.split_at_checked(8)?;
                let time = u64::from_be_bytes(time.try_into().ok()?);
                key.verify(cosigned(time, text).as_bytes(), signature).ok().map(|()| time)
            }
        }
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = BASE64.encode([&[self.algorithm as u8], self.public.as_slice()].concat());
        write!(f, "{}+{}+{key}", self.name, crate::hex(&self.id()))
    }
}

/// What a witness signs.
fn cosigned(time: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

fn check_name(name: &str) -> Result<(), InvalidKey> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.contains(bad) {
        Err(InvalidKey("the name is empty or has spaces or a +"))
    } else {
        Ok(())
    }
}

/// Signs: a name and a private key.
pub struct Signer {
    name: String,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.name)
    }
}

impl Signer {
    /// A new key under a name, which has no spaces and no `+`: best a URL without its scheme.
    ///
    /// # Errors
    /// The name is none, or the system has no randomness.
    pub fn generate(name: &str) -> Result<Self, InvalidKey> {
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| InvalidKey("the system gives no random bytes"))?;
        Self::from_seed(name, seed)
    }

    fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, InvalidKey> {
        check_name(name)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| InvalidKey("the seed is none"))?;
        Ok(Self { name: name.to_owned(), seed, pair })
    }

    /// Reads `PRIVATE+KEY+name+id+key`.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let rest = text
            .trim()
            .strip_prefix("PRIVATE+KEY+")
            .ok_or(InvalidKey("it has to begin with PRIVATE+KEY+"))?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidKey("it has to read PRIVATE+KEY+name+id+key"));
        };
        let key = BASE64.decode(key).map_err(|_| InvalidKey("the key is not base64"))?;
        let Some((1 | 4, seed)) = key.split_first() else {
            return Err(InvalidKey("its algorithm is not known here"));
        };
        let seed = seed.try_into().map_err(|_| InvalidKey("the key has the wrong length"))?;
        let signer = Self::from_seed(name, seed)?;
        let known = [signer.log_key(), signer.witness_key()].iter().any(|key| crate::hex(&key.id()) == id);
        if known { Ok(signer) } else { Err(InvalidKey("the id is not that of the key")) }
    }

    /// As it is kept in a file. It is a secret.
    #[must_use]
    pub fn to_secret(&self) -> String {
        let key = BASE64.encode([&[Algorithm::Ed25519 as u8], self.seed.as_slice()].concat());
        format!("PRIVATE+KEY+{}+{}+{key}", self.name, crate::hex(&self.log_key().id()))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        public
    }

    /// What checks its signatures as a log's.
    #[must_use]
    pub fn log_key(&self) -> VerifierKey {
        VerifierKey::new(&self.name, Algorithm::Ed25519, self.public())
    }

    /// What checks its signatures as a witness's.
    #[must_use]
    pub fn witness_key(&self) -> VerifierKey {
        VerifierKey::new(&self.name, Algorithm::Cosignature, self.public())
    }

    /// The line of a log under a text.
    pub(crate) fn sign(&self, text: &str) -> String {
        line(&self.log_key(), self.pair.sign(text.as_bytes()).as_ref())
    }

    /// The line of a witness under a text, at a time in seconds since 1970.
    pub(crate) fn cosign(&self, text: &str, time: u64) -> String {
        let signature = self.pair.sign(cosigned(time, text).as_bytes());
        line(&self.witness_key(), &[&time.to_be_bytes(), signature.as_ref()].concat())
    }
}

fn line(key: &VerifierKey, signature: &[u8]) -> String {
    format!("— {} {}\n", key.name, BASE64.encode([key.id().as_slice(), signature].concat()))
}

/// A signature that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked<'a> {
    /// Whose, as a place among the keys that were given.
    pub(crate) key: usize,
    /// When it was made, in seconds since 1970, if it is a witness's; else 0.
    pub(crate) time: u64,
    /// As it stands under the note, without its newline.
    pub(crate) line: &'a str,
}

/// A signature as it stands under a note.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line<'a> {
    text: &'a str,
    name: &'a str,
    /// Of the key that it says it is by.
    id: [u8; 4],
    signature: Vec<u8>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
        let mut signature = BASE64.decode(signature).ok()?;
        let id = *signature.first_chunk()?;
        signature.drain(..id.len());
        (check_name(name).is_ok() && !signature.is_empty()).then_some(Self {
            text: line,
            name,
            id,
            signature,
        })
    }
}

/// A note, divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note<'a> {
    /// With its last newline.
    pub(crate) text: &'a str,
    /// The lines under it.
    lines: Vec<Line<'a>>,
}

impl<'a> Note<'a> {
    pub(crate) fn parse(note: &'a str) -> Result<Self, InvalidNote> {
        let malformed = InvalidNote::Malformed;
        if note.len() > LONGEST || note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(malformed("it is too long, or has control characters"));
        }
        let at = note.rfind("\n\n").ok_or(malformed("it has no blank line"))?;
        let (text, lines) = (&note[..=at], &note[at + 2..]);
        if lines.is_empty() || !lines.ends_with('\n') {
            return Err(malformed("its signatures do not end with a newline"));
        }
        if lines.lines().count() > SIGNATURES {
            return Err(malformed("it has too many signatures"));
        }
        let lines = lines.lines().map(Line::parse).collect::<Option<Vec<_>>>();
        Ok(Self { text, lines: lines.ok_or(malformed("a line is no signature"))? })
    }

    /// The signatures by keys that are known, of each key the first.
    ///
    /// # Errors
    /// One bears the name and the id of a known key, and is not by it.
    pub(crate) fn check(&self, keys: &[VerifierKey]) -> Result<Vec<Checked<'a>>, InvalidNote> {
        let mut checked: Vec<Checked<'_>> = Vec::new();
        for Line { text, name, id, signature } in &self.lines {
            let Some(key) = keys.iter().position(|key| key.name == *name && key.id() == *id) else {
                continue;
            };
            let time = keys[key].check(self.text, signature);
            let time = time.ok_or_else(|| InvalidNote::BadSignature((*name).to_owned()))?;
            if checked.iter().all(|known| known.key != key) {
                checked.push(Checked { key, time, line: text });
            }
        }
        Ok(checked)
    }
}

/// A note with the lines of another one, too, which is over the same text; of each key it has one line, the first that there
/// was. `None` if the other is over another text, or if what comes out would be none that can be read.
pub(crate) fn merged(note: &str, other: &str) -> Option<String> {
    let (kept, other) = (Note::parse(note).ok()?, Note::parse(other).ok()?);
    if kept.text != other.text {
        return None;
    }
    let (mut lines, mut whole) = (kept.lines, note.to_owned());
    for new in other.lines {
        if lines.iter().all(|known| (known.name, known.id) != (new.name, new.id)) {
            whole.extend([new.text, "\n"]);
            lines.push(new);
        }
    }
    Note::parse(&whole).is_ok().then_some(whole)
}

#[cfg(test)]
mod tests;
