//! The keys that the facade signs with: made by whoever comes first, shared through what is kept, renewed in time.
//!
//! A key is published for a whole period before it signs, so that nobody who keeps a set of keys meets an unknown one, and
//! for as long afterwards.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_model::Expected;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::kept::{Kept, digest};
use super::refusal::Refusal;
use crate::jose::SigningKey;

const KIND: &str = "facade-keys";
const ALL: &str = "all";
/// How long a key signs, in seconds.
const PERIOD: u64 = 30 * 24 * 3600;
/// How long what was read is not read again.
const FRESH: Duration = Duration::from_mins(1);
/// How often somebody else may have been faster.
const TRIES: usize = 4;

const BROKEN: Refusal = Refusal::new(500, "server_error", "there is no key to sign with");

/// The keys.
#[derive(Default)]
pub(super) struct Keys {
    read: Mutex<Option<(Instant, Arc<Set>)>>,
}

/// Those of one moment.
pub(super) struct Set {
    stored: Stored,
    signing: SigningKey,
    kid: String,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Stored {
    /// In the order in which they sign.
    keys: Vec<StoredKey>,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredKey {
    kid: String,
    pkcs8: String,
    /// When it begins to sign.
    from: u64,
}

impl StoredKey {
    fn new(from: u64) -> Self {
        let key = SigningKey::generate();
        let pkcs8 = STANDARD.encode(&key);
        let kid = digest(&pkcs8)[..16].to_owned();
        Self { kid, pkcs8, from }
    }

    fn signing(&self) -> Option<SigningKey> {
        SigningKey::from_pkcs8(&STANDARD.decode(&self.pkcs8).ok()?)
    }
}

impl Stored {
    /// With the keys that there have to be now; says whether that changes something.
    fn renewed(&self, now: u64) -> (Self, bool) {
        let mut keys: Vec<_> = self.keys.iter().filter(|key| key.from + 2 * PERIOD > now).cloned().collect();
        let gone = keys.len() != self.keys.len();
        if !keys.iter().any(|key| key.from <= now && now < key.from + PERIOD) {
            keys.retain(|key| key.from <= now);
            keys.push(StoredKey::new(now));
        }
        let newest = keys.last().map_or(now, |key| key.from);
        let lacks_next = newest <= now;
        if lacks_next {
            keys.push(StoredKey::new(newest + PERIOD));
        }
        (Self { keys }, gone || lacks_next)
    }

    fn current(&self, now: u64) -> Option<&StoredKey> {
        self.keys.iter().rev().find(|key| key.from <= now)
    }
}

impl Keys {
    /// The keys of now.
    pub(super) async fn now(&self, kept: &Kept, now: u64) -> Result<Arc<Set>, Refusal> {
        if let Some((at, set)) = &*self.read.lock().unwrap_or_else(PoisonError::into_inner)
            && at.elapsed() < FRESH
        {
            return Ok(set.clone());
        }
        for _ in 0..TRIES {
            let found = kept.get::<Stored>(KIND, ALL).await?;
            let (stored, expected) = match found {
                Some(found) => (found.value, Expected::Version(found.version)),
                // What was sealed with another key is there and does not open: it is replaced.
                None => (Stored::default(), Expected::Any),
            };
            let (stored, changed) = stored.renewed(now);
            let ends = now + 4 * PERIOD;
            if changed && !kept.put(KIND, ALL, &stored, ends, expected).await? {
                continue;
            }
            if changed && expected == Expected::Any {
                // Two may have been first; the one that is there counts for both.
                continue;
            }
            let current = stored.current(now).ok_or(BROKEN)?;
            let (signing, kid) = (current.signing().ok_or(BROKEN)?, current.kid.clone());
            let set = Arc::new(Set { stored, signing, kid });
            *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), set.clone()));
            return Ok(set);
        }
        Err(BROKEN)
    }
}

impl Set {
    /// Signs claims as an access token (RFC 9068).
    pub(super) fn sign(&self, claims: &Value) -> Result<String, Refusal> {
        self.signing.sign("at+jwt", Some(&self.kid), claims).ok_or(BROKEN)
    }

    /// The public halves (RFC 7517).
    pub(super) fn public(&self) -> Value {
        let keys = self.stored.keys.iter().filter_map(|key| key.signing()?.jwk(&key.kid));
        json!({"keys": keys.collect::<Vec<_>>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_published_before_it_signs_and_after() {
        let (first, made) = Stored::default().renewed(1000);
        assert!(made);
        assert!(!first.renewed(1000 + PERIOD - 1).1);
        let kids = |stored: &Stored| stored.keys.iter().map(|key| key.kid.clone()).collect::<Vec<_>>();
        let (second, made) = first.renewed(1000 + PERIOD);
        assert!(made);
        assert_eq!(kids(&second)[..2], kids(&first)[..]);
        assert_eq!(first.current(1000).unwrap().kid, kids(&first)[0]);
        assert_eq!(second.current(1000 + PERIOD).unwrap().kid, kids(&first)[1]);
        let (third, _) = second.renewed(1000 + 2 * PERIOD);
        assert!(!kids(&third).contains(&kids(&first)[0]));
        // However long nobody looked.
        let (late, _) = first.renewed(1000 + 10 * PERIOD);
        assert_eq!(
            (late.keys.len(), late.current(1000 + 10 * PERIOD).unwrap().from),
            (2, 1000 + 10 * PERIOD)
        );
    }
}
