//! What is kept between two requests, sealed.
//!
//! A value is JSON under AES-256-GCM, with its kind and key as associated data, so that no record can stand in for another.
//! Whoever holds a code or a token presents it; what is kept is found by its SHA-256, so the store never has it.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_model::{Expected, Put, Record, Records};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;
use super::settings::SealKey;
use crate::inbound::sha256;
use crate::turn::Turn;

const STORE: Refusal = Refusal::unavailable("what is kept cannot be reached");

/// How many records are asked for at a time.
const PAGE: usize = 200;

/// The records of the facade.
pub(super) struct Kept {
    records: Arc<dyn Records>,
    cipher: RandomizedNonceKey,
}

/// A value and its version.
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) version: u64,
}

/// A key for a process that was given none.
pub(super) fn made_up_key() -> SealKey {
    SealKey(secret())
}

/// 256 random bits as text.
pub(crate) fn secret() -> String {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the operating system has randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Under which key something is kept that somebody holds.
pub(super) fn digest(held: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(held.as_bytes()))
}

/// The key for one purpose. The operator's secret may have any form and length.
pub(super) fn key_for(purpose: &[u8], key: &SealKey) -> [u8; 32] {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis facade 1");
    let secret = salt.extract(key.0.as_bytes());
    let mut bytes = [0; 32];
    let made = secret.expand(&[purpose], hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut bytes));
    made.expect("HKDF gives as many bytes as its hash has");
    bytes
}

impl Kept {
    pub(super) fn new(records: Arc<dyn Records>, key: &SealKey) -> Self {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &key_for(b"records", key));
        Self { records, cipher: cipher.expect("32 bytes are an AES-256 key") }
    }

    /// The value of a key; one that does not open was sealed with another key, and is as good as none.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        key: &str,
    ) -> Result<Option<Found<T>>, Refusal> {
        let record = self.records.get(kind, key).await.map_err(|_| STORE)?;
        Ok(record.and_then(|record| {
            Some(Found { value: self.open(kind, key, record.value)?, version: record.version })
        }))
    }

    /// The same, and what has to be expected by whoever puts another one in the place of what is there now, be it sealed
    /// with another key.
    pub(super) async fn look<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        key: &str,
    ) -> Result<(Option<T>, Expected), Refusal> {
        let Some(record) = self.records.get(kind, key).await.map_err(|_| STORE)? else {
            return Ok((None, Expected::Absent));
        };
        Ok((self.open(kind, key, record.value), Expected::Version(record.version)))
    }

    /// The first key that begins like this.
    pub(super) async fn key_like(&self, kind: &'static str, begin: &str) -> Result<Option<String>, Refusal> {
        let found = self.records.list(kind, begin, "", 1).await.map_err(|_| STORE)?;
        Ok(found.into_iter().next().map(|(key, _)| key))
    }

    /// What is kept after a key, in the order of keys, of those that begin like this; a value that does not open is left out.
    /// The last key that was looked at, and more after it, where there may be some.
    pub(super) async fn page<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        begin: &str,
        after: &str,
    ) -> Result<(Vec<(String, T)>, Option<String>), Refusal> {
        let found = self.records.list(kind, begin, after, PAGE).await.map_err(|_| STORE)?;
        let last = (found.len() == PAGE).then(|| found.last().map(|(key, _)| key.clone())).flatten();
        let open = |(key, record): (String, Record)| {
            let value = self.open(kind, &key, record.value)?;
            Some((key, value))
        };
        Ok((found.into_iter().filter_map(open).collect(), last))
    }

    /// Keeps a value until `ends`; says whether what was expected is so.
    pub(super) async fn put<T: Serialize>(
        &self,
        kind: &'static str,
        key: &str,
        value: &T,
        ends: u64,
        expected: Expected,
    ) -> Result<bool, Refusal> {
        let sealed = self.seal(kind, key, value);
        let ends = UNIX_EPOCH + Duration::from_secs(ends);
        let put = self.records.put(kind, key, sealed, Some(ends), expected).await.map_err(|_| STORE)?;
        Ok(put != Put::Conflict)
    }

    /// Takes a value away: exactly one of those who try gets it.
    pub(super) async fn take<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        key: &str,
    ) -> Result<Option<T>, Refusal> {
        let record = self.records.take(kind, key).await.map_err(|_| STORE)?;
        Ok(record.and_then(|record| self.open(kind, key, record.value)))
    }

    /// The turn at a record, if it is nobody's.
    pub(super) async fn turn(&self, kind: &'static str, key: &str) -> Result<Option<Turn>, Refusal> {
        Turn::take(&self.records, (kind, key)).await.map_err(|_| STORE)
    }

    /// Seals a value that a browser brings back.
    pub(super) fn hand_out<T: Serialize>(&self, purpose: &'static str, holder: &str, value: &T) -> String {
        URL_SAFE_NO_PAD.encode(self.seal(purpose, holder, value))
    }

    /// Opens what a browser brings back: for this purpose and this holder alone.
    pub(super) fn take_back<T: DeserializeOwned>(
        &self,
        purpose: &'static str,
        holder: &str,
        sealed: &str,
    ) -> Option<T> {
        self.open(purpose, holder, URL_SAFE_NO_PAD.decode(sealed).ok()?)
    }

    fn seal<T: Serialize>(&self, kind: &str, key: &str, value: &T) -> Vec<u8> {
        let mut text = serde_json::to_vec(value).expect("what is kept here is JSON");
        let aad = Aad::from(format!("{kind}\0{key}"));
        let nonce = self.cipher.seal_in_place_append_tag(aad, &mut text).expect("a record is no long text");
        let mut out = nonce.as_ref().to_vec();
        out.append(&mut text);
        out
    }

    fn open<T: DeserializeOwned>(&self, kind: &str, key: &str, mut sealed: Vec<u8>) -> Option<T> {
        if sealed.len() < NONCE_LEN {
            return None;
        }
        let mut text = sealed.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&sealed).ok()?;
        let aad = Aad::from(format!("{kind}\0{key}"));
        let text = self.cipher.open_in_place(nonce, aad, &mut text).ok()?;
        serde_json::from_slice(text).ok()
    }
}
