//! API keys for machines: random, kept as hashes, with an end, two at a time while one takes over from the other.
//!
//! A key begins with `pcl_`, so that secret scanners and this gateway know what it is, and is long enough that nobody
//! guesses it. That is why SHA-256 is enough to keep it: slow hashes protect what people think up.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use portcullis_model::{Key, Principal};

use crate::inbound::InboundToken;
use crate::refused::Reason;
use crate::verified::{Binding, Kind, Verified};

/// What every key begins with.
const PREFIX: &str = "pcl_";
/// How much follows at the least.
const SHORTEST: usize = 32;

/// A machine that may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKey {
    /// The keys that are good, as hashes.
    pub hashes: Vec<KeyHash>,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its scopes.
    pub scopes: Vec<String>,
}

/// A key as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash {
    /// SHA-256 over the whole key.
    pub sha256: [u8; 32],
    /// When it ends, in seconds since 1970.
    pub expires: Option<u64>,
}

/// All keys, found by their hashes.
#[derive(Default)]
pub(crate) struct ApiKeys(HashMap<[u8; 32], Arc<Verified>>);

impl ApiKeys {
    pub(crate) fn new(keys: &BTreeMap<String, ApiKey>) -> Self {
        let mut all = HashMap::new();
        for (id, key) in keys {
            let (groups, scopes) = (key.groups.clone(), key.scopes.clone());
            let principal = Principal::key(Key { id: id.clone(), groups, scopes });
            for hash in &key.hashes {
                let verified = Verified {
                    id: principal.id().into(),
                    principal: principal.clone(),
                    expires: hash.expires.unwrap_or(u64::MAX),
                    issued: None,
                    fresh_until: hash.expires.unwrap_or(u64::MAX),
                    audiences: Vec::new(),
                    binding: Binding::None,
                    token_id: None,
                    session: None,
                    kind: Kind::ApiKey(hash.sha256),
                };
                all.insert(hash.sha256, Arc::new(verified));
            }
        }
        Self(all)
    }

    /// Whether a credential is one of ours, good or not.
    pub(crate) fn looks_like(token: &InboundToken<'_>) -> bool {
        token.expose().starts_with(PREFIX)
    }

    /// Whose key it is. Finding it by its digest takes the same time whatever is right about it.
    pub(crate) fn find(&self, token: &InboundToken<'_>, now: u64) -> Result<Arc<Verified>, Reason> {
        if token.expose().len() < PREFIX.len() + SHORTEST {
            return Err(Reason::UnknownApiKey);
        }
        let verified = self.0.get(&token.digest()).ok_or(Reason::UnknownApiKey)?;
        if verified.expires <= now {
            return Err(Reason::Expired);
        }
        Ok(verified.clone())
    }

    /// Whether a key is still there.
    pub(crate) fn has(&self, sha256: &[u8; 32]) -> bool {
        self.0.contains_key(sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::sha256;

    const OLD: &str = "pcl_0000000000000000000000000000000000000000000";
    const NEW: &str = "pcl_1111111111111111111111111111111111111111111";
    const SHORT: &str = "pcl_2";

    fn hash(key: &str, expires: Option<u64>) -> KeyHash {
        KeyHash { sha256: sha256(key.as_bytes()), expires }
    }

    #[test]
    fn two_keys_of_one_machine_are_good_at_a_time_and_each_has_its_end() {
        let hashes = vec![hash(OLD, Some(100)), hash(NEW, None), hash(SHORT, None)];
        let key = ApiKey { hashes, groups: vec!["ci".into()], ..ApiKey::default() };
        let keys = ApiKeys::new(&BTreeMap::from([("bot".to_owned(), key)]));
        let find = |key: &str, now| keys.find(&InboundToken::new(key), now).map(|it| it.principal.id());
        assert_eq!(find(OLD, 99), Ok("key:bot".into()));
        assert_eq!(find(NEW, 99), Ok("key:bot".into()));
        assert_eq!(find(OLD, 100), Err(Reason::Expired));
        assert_eq!(find(NEW, 100), Ok("key:bot".into()));
        let almost = NEW.replace("pcl_1", "pcl_2");
        assert_eq!(find(&almost, 0), Err(Reason::UnknownApiKey));
        // Somebody hashed a key that can be guessed.
        assert_eq!(find(SHORT, 0), Err(Reason::UnknownApiKey));
    }
}
