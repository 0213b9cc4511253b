//! Data keys: what payloads are sealed with, one for each person, class of retention and month.
//!
//! A data key lies beside the log, wrapped by the keyring's own key; destroying it makes unreadable all that it sealed, and
//! nothing else. A new key is handed to the thread that writes the log, which puts it on the disk before the first record that
//! names it. Whoever erases a person from outside raises a number beside the log; a running gateway sees that and forgets all
//! keys that it holds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use portcullis_model::{Journal, Unavailable};

use crate::content::Keyring;
use crate::hex;

/// Where data keys lie.
pub(crate) const KIND: &str = "data-key";
/// Where the number of erasures lies.
const STATE: &str = "state";
const ERASURES: &str = "erasures";
const NONCE: usize = 12;

/// A data key as it is kept.
pub(crate) struct WrappedKey {
    pub(crate) id: String,
    pub(crate) wrapped: Vec<u8>,
}

/// A data key as it is used.
pub(crate) struct DataKey {
    pub(crate) id: String,
    key: RandomizedNonceKey,
}

/// Whose, which class, which month since 1970.
type Bucket = (String, String, u64);

/// The data keys in use.
pub(crate) struct DataKeys {
    keyring: Keyring,
    known: Mutex<HashMap<Bucket, Arc<DataKey>>>,
    /// Not on the disk yet.
    fresh: Mutex<Vec<WrappedKey>>,
    erasures: Mutex<Vec<u8>>,
}

impl DataKeys {
    pub(crate) fn new(keyring: Keyring) -> Self {
        Self { keyring, known: Mutex::default(), fresh: Mutex::default(), erasures: Mutex::default() }
    }

    /// The key for what is sealed now.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub(crate) fn current(&self, person: &str, class: &str) -> Result<Arc<DataKey>, Unspecified> {
        let bucket = (person.to_owned(), class.to_owned(), month());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known.get(&bucket) {
            return Ok(key.clone());
        }
        let (key, wrapped) = DataKey::generate(&self.keyring, &bucket)?;
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).push(wrapped);
        let key = Arc::new(key);
        known.insert(bucket, key.clone());
        Ok(key)
    }

    /// Puts new keys on the disk.
    pub(crate) fn keep(&self, journal: &dyn Journal) -> Result<(), Unavailable> {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(key) = fresh.last() {
            journal.put(KIND, &key.id, &key.wrapped)?;
            fresh.pop();
        }
        Ok(())
    }

    /// Forgets all keys when somebody was erased since it was asked last, and what is of the months before.
    pub(crate) fn refresh(&self, journal: &dyn Journal) -> Result<(), Unavailable> {
        let now = journal.get(STATE, ERASURES)?.unwrap_or_default();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = self.erasures.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            known.retain(|(_, _, used), _| *used == month());
        } else {
            known.clear();
            *seen = now;
        }
        Ok(())
    }
}

/// Destroys the data keys of a person; how many those were.
///
/// # Errors
/// Some may be left.
pub(crate) fn destroy(journal: &dyn Journal, person: &str) -> Result<usize, Unavailable> {
    let keys = journal.list(KIND, &format!("{person}."))?;
    for (id, _) in &keys {
        journal.remove(KIND, id)?;
    }
    let before = journal.get(STATE, ERASURES)?.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
    journal.put(STATE, ERASURES, (before.unwrap_or(0_u64) + 1).to_string().as_bytes())?;
    Ok(keys.len())
}

impl DataKey {
    fn generate(
        keyring: &Keyring,
        (person, class, month): &Bucket,
    ) -> Result<(Self, WrappedKey), Unspecified> {
        let (mut secret, mut salt) = ([0; 32], [0; 8]);
        aws_lc_rs::rand::fill(&mut secret)?;
        aws_lc_rs::rand::fill(&mut salt)?;
        let id = format!("{person}.{class}.{month}.{}", hex(&salt));
        let wrapped = seal(&RandomizedNonceKey::new(&AES_256_GCM, &keyring.wrapping)?, &id, &secret)?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &secret)?;
        Ok((Self { id: id.clone(), key }, WrappedKey { id, wrapped }))
    }

    pub(crate) fn unwrap(keyring: &Keyring, id: &str, wrapped: &[u8]) -> Result<Self, Unspecified> {
        let secret = open(&RandomizedNonceKey::new(&AES_256_GCM, &keyring.wrapping)?, id, wrapped)?;
        Ok(Self { id: id.to_owned(), key: RandomizedNonceKey::new(&AES_256_GCM, &secret)? })
    }

    /// Seals something for one place.
    pub(crate) fn seal(&self, place: &str, bytes: &[u8]) -> Result<Vec<u8>, Unspecified> {
        seal(&self.key, place, bytes)
    }

    /// Opens what was sealed for one place.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
        open(&self.key, place, sealed)
    }
}

fn seal(key: &RandomizedNonceKey, place: &str, bytes: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let mut sealed = bytes.to_vec();
    let nonce = key.seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut sealed)?;
    Ok([nonce.as_ref().as_slice(), &sealed].concat())
}

fn open(key: &RandomizedNonceKey, place: &str, sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
    let (nonce, rest) = sealed.split_at_checked(NONCE).ok_or(Unspecified)?;
    let mut rest = rest.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce)?;
    let length = key.open_in_place(nonce, Aad::from(place.as_bytes()), &mut rest)?.len();
    rest.truncate(length);
    Ok(rest)
}

/// Whose a key is, of which class, and of which month.
pub(crate) fn parts(id: &str) -> Option<(&str, &str, u64)> {
    let (rest, _) = id.rsplit_once('.')?;
    let (rest, month) = rest.rsplit_once('.')?;
    let (person, class) = rest.split_once('.')?;
    Some((person, class, month.parse().ok()?))
}

/// Months of 30 days: where one ends does not matter, only that it does.
fn month() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs() / (30 * 24 * 3600)
}
