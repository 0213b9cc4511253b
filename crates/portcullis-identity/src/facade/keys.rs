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
            let (found, expected) = kept.look::<Stored>(KIND, ALL).await?;
            if found.is_none() && expected != Expected::Absent {
                tracing::warn!(
                    "the signing keys were sealed with another `identity.facade.key`: new ones are made"
                );
            }
            let (stored, changed) = found.unwrap_or_default().renewed(now);
            let ends = now + 4 * PERIOD;
            // Of those who are first at the same time one wins, and the others take what it put.
            if changed && !kept.put(KIND, ALL, &stored, ends, expected).await? {
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
    use portcullis_model::{Keeping, Put, Record, Records};
    use portcullis_store::Memory;
    use tokio::sync::Notify;

    use super::super::settings::SealKey;
    use super::*;

    /// A store that a replica is slow to write to: it says when it begins, and goes on when it is told.
    #[derive(Default)]
    struct Slow {
        store: Arc<Memory>,
        begins: Notify,
        goes_on: Notify,
    }

    impl Records for Slow {
        fn get<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
            self.store.get(kind, key)
        }

        fn put<'a>(
            &'a self,
            kind: &'static str,
            key: &'a str,
            value: Vec<u8>,
            expires: Option<std::time::SystemTime>,
            expected: Expected,
        ) -> Keeping<'a, Put> {
            Box::pin(async move {
                self.begins.notify_one();
                self.goes_on.notified().await;
                self.store.put(kind, key, value, expires, expected).await
            })
        }

        fn take<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
            self.store.take(kind, key)
        }

        fn list<'a>(
            &'a self,
            kind: &'static str,
            prefix: &'a str,
            after: &'a str,
            most: usize,
        ) -> Keeping<'a, Vec<(String, Record)>> {
            self.store.list(kind, prefix, after, most)
        }

        fn sweep(&self) -> Keeping<'_, usize> {
            self.store.sweep()
        }
    }

    #[tokio::test]
    async fn two_that_start_at_once_sign_with_one_key() {
        let now = super::super::now();
        // Nothing is there yet, or what another `key` has sealed.
        for sealed_before in [false, true] {
            let slow = Arc::new(Slow::default());
            let kept = |records: Arc<dyn Records>, key: &str| Kept::new(records, &SealKey(key.to_owned()));
            if sealed_before {
                Keys::default().now(&kept(slow.store.clone(), "old"), now).await.unwrap();
            }
            let (one, other) = (Keys::default(), Keys::default());
            let (own, shared) = (kept(slow.clone(), "new"), kept(slow.store.clone(), "new"));
            let first = async {
                slow.begins.notified().await;
                let set = other.now(&shared, now).await.unwrap();
                slow.goes_on.notify_one();
                set
            };
            let (late, early) = tokio::join!(one.now(&own, now), first);
            let late = late.unwrap();
            assert_eq!((&late.kid, late.public()), (&early.kid, early.public()));
        }
    }

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
