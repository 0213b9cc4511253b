//! What is kept of connected accounts, sealed before it leaves this process's memory.
//!
//! AES-256-GCM under the operator's key, with kind and key of the record as associated data: a record cannot be moved to
//! another place in the store. Where no key was configured one is made, which dies with the process; then the records are
//! as good as gone with it, whatever the store keeps.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use portcullis_model::{Expected, Put, Records};
use serde_json::Value;
use tokio::time::Instant;

use super::needed::Needed;
use crate::turn::{Pauses, Turn};

/// The first byte of a sealed record.
const FORMAT: u8 = 1;

/// Keeps sealed records.
pub(super) struct Vault {
    records: Arc<dyn Records>,
    key: RandomizedNonceKey,
}

/// A record that was opened.
pub(super) struct Opened {
    pub(super) value: Value,
    pub(super) version: u64,
}

impl Vault {
    /// With the operator's key, or one of its own.
    pub(super) fn new(records: Arc<dyn Records>, key: Option<[u8; 32]>) -> Self {
        let key = key.unwrap_or_else(|| {
            let mut key = [0; 32];
            rand::fill(&mut key).expect("the operating system has randomness");
            key
        });
        let key = RandomizedNonceKey::new(&AES_256_GCM, &key).expect("32 bytes are an AES-256 key");
        Self { records, key }
    }

    fn seal(&self, kind: &str, key: &str, value: &Value) -> Vec<u8> {
        let mut content = value.to_string().into_bytes();
        let aad = Aad::from(format!("{kind}\0{key}"));
        let nonce = self.key.seal_in_place_append_tag(aad, &mut content);
        let nonce = nonce.expect("a record is far below AES-GCM's length limit");
        let mut out = vec![FORMAT];
        out.extend_from_slice(nonce.as_ref());
        out.append(&mut content);
        out
    }

    /// `None` for what was sealed with another key, for another place, or is damaged.
    fn open(&self, kind: &str, key: &str, sealed: &[u8]) -> Option<Value> {
        let (format, rest) = sealed.split_first()?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok().filter(|_| *format == FORMAT)?;
        let mut sealed = sealed.to_vec();
        let aad = Aad::from(format!("{kind}\0{key}"));
        let content = self.key.open_in_place(nonce, aad, &mut sealed).ok()?;
        serde_json::from_slice(content).ok()
    }

    pub(super) async fn get(&self, kind: &'static str, key: &str) -> Result<Option<Opened>, Needed> {
        let record = self.records.get(kind, key).await.map_err(unavailable)?;
        Ok(record.and_then(|record| {
            let value = self.open(kind, key, &record.value)?;
            Some(Opened { value, version: record.version })
        }))
    }

    /// The version of a record that is there, whether it can be opened or not.
    pub(super) async fn version(&self, kind: &'static str, key: &str) -> Result<Option<u64>, Needed> {
        let record = self.records.get(kind, key).await.map_err(unavailable)?;
        Ok(record.map(|record| record.version))
    }

    /// Keeps a value; its version, or `None` when what was expected was not so.
    pub(super) async fn put(
        &self,
        kind: &'static str,
        key: &str,
        value: &Value,
        expires: Option<SystemTime>,
        expected: Expected,
    ) -> Result<Option<u64>, Needed> {
        let sealed = self.seal(kind, key, value);
        match self.records.put(kind, key, sealed, expires, expected).await.map_err(unavailable)? {
            Put::Kept(version) => Ok(Some(version)),
            Put::Conflict => Ok(None),
        }
    }

    /// Takes a value out: exactly one of those who ask for it gets it.
    pub(super) async fn take(&self, kind: &'static str, key: &str) -> Result<Option<Value>, Needed> {
        let record = self.records.take(kind, key).await.map_err(unavailable)?;
        Ok(record.and_then(|record| self.open(kind, key, &record.value)))
    }

    /// The turn at a record, which is waited for while it is somebody else's, for so long; `None` when it still is then.
    pub(super) async fn turn(
        &self,
        kind: &'static str,
        key: &str,
        patience: Duration,
    ) -> Result<Option<Turn>, Needed> {
        let (waiting, mut pauses) = (Instant::now(), Pauses::default());
        loop {
            let turn = Turn::take(&self.records, (kind, key)).await.map_err(unavailable)?;
            if turn.is_some() || waiting.elapsed() >= patience {
                return Ok(turn);
            }
            pauses.pass().await;
        }
    }

    /// The keys that begin with a prefix, a few of them.
    pub(super) async fn keys(&self, kind: &'static str, prefix: &str) -> Result<Vec<String>, Needed> {
        let found = self.records.list(kind, prefix, "", 16).await.map_err(unavailable)?;
        Ok(found.into_iter().map(|(key, _)| key).collect())
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn unavailable(error: portcullis_model::Unavailable) -> Needed {
    tracing::warn!(%error, "connected accounts cannot be read or kept");
    Needed::Unavailable("connected accounts cannot be read or kept now; try again".to_owned())
}
