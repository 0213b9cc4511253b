//! Exact values that must not show, found by fingerprint.
//!
//! A rolling hash over each length that is known proposes, a keyed hash confirms: the values themselves are kept nowhere.
//! Costs one pass for each distinct length, and nothing when no value is known. What it leaves out: values shorter than
//! [`KnownValues::SHORTEST`], which are in every text.

use std::fmt;

use aws_lc_rs::{hmac, rand};
use foldhash::{HashMap, HashMapExt};

const BASE: u64 = 0x0100_0000_01b3;

/// Values that are always a secret, whatever they look like. Neither it nor a dump of the memory holds them.
#[derive(Clone)]
pub struct KnownValues {
    key: hmac::Key,
    lengths: Vec<Length>,
}

#[derive(Clone)]
struct Length {
    bytes: usize,
    /// `BASE` to the power of `length`: what the byte that leaves has become.
    leaving: u64,
    tags: HashMap<u64, Vec<hmac::Tag>>,
}

impl KnownValues {
    /// Shortest value that is taken.
    pub const SHORTEST: usize = 8;

    /// Adds a value; `false` when it is too short to be looked for.
    pub fn add(&mut self, value: &str) -> bool {
        let value = value.as_bytes();
        if value.len() < Self::SHORTEST {
            return false;
        }
        let at = self.lengths.iter().position(|set| set.bytes == value.len()).unwrap_or_else(|| {
            let leaving = (0..value.len()).fold(1u64, |power, _| power.wrapping_mul(BASE));
            self.lengths.push(Length { bytes: value.len(), leaving, tags: HashMap::new() });
            self.lengths.len() - 1
        });
        let rolling = value.iter().fold(0, |rolling, byte| enter(rolling, *byte));
        self.lengths[at].tags.entry(rolling).or_default().push(hmac::sign(&self.key, value));
        true
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Calls `found` with start and end of every known value.
    pub(crate) fn find(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        for set in &self.lengths {
            let mut rolling = 0u64;
            for (at, byte) in text.iter().enumerate() {
                rolling = enter(rolling, *byte);
                if at >= set.bytes {
                    let gone = u64::from(text[at - set.bytes]) + 1;
                    rolling = rolling.wrapping_sub(set.leaving.wrapping_mul(gone));
                }
                let end = at + 1;
                if end >= set.bytes
                    && let Some(tags) = set.tags.get(&rolling)
                {
                    let start = end - set.bytes;
                    let seen = hmac::sign(&self.key, &text[start..end]);
                    if tags.iter().any(|tag| tag.as_ref() == seen.as_ref()) {
                        found(start, end);
                    }
                }
            }
        }
    }
}

fn enter(rolling: u64, byte: u8) -> u64 {
    rolling.wrapping_mul(BASE).wrapping_add(u64::from(byte) + 1)
}

impl Default for KnownValues {
    fn default() -> Self {
        let mut key = [0; 32];
        rand::fill(&mut key).expect("the system's randomness is there");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), lengths: Vec::new() }
    }
}

impl fmt::Debug for KnownValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: usize = self.lengths.iter().flat_map(|set| set.tags.values()).map(Vec::len).sum();
        f.debug_struct("KnownValues").field("values", &values).finish_non_exhaustive()
    }
}
