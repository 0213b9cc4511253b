//! Exact values that must not show, found by fingerprint.
//!
//! A keyed hash of the eight bytes at each place of a text proposes, one of all bytes of the value and then an HMAC confirm:
//! the values themselves are kept nowhere. Costs one multiplication for each byte, however many values are known, and nothing
//! when none is. What it leaves out: values shorter than [`KnownValues::SHORTEST`], which are in every text.

use std::fmt;
use std::hash::BuildHasher as _;

use aws_lc_rs::{hmac, rand};
use foldhash::quality::RandomState;

/// Bits of the hash of a head.
const BITS: u32 = 16;
const HEAD: usize = KnownValues::SHORTEST;

/// Values that are always a secret, whatever they look like. Neither it nor a dump of the memory holds them.
#[derive(Clone)]
pub struct KnownValues {
    key: hmac::Key,
    /// What heads are multiplied with; odd.
    factor: u64,
    state: RandomState,
    /// One bit for the hash of each value's head.
    heads: Vec<u64>,
    /// In the order of their heads.
    values: Vec<Known>,
}

#[derive(Clone)]
struct Known {
    head: u16,
    bytes: usize,
    /// Half of a hash of all bytes.
    print: u32,
    tag: hmac::Tag,
}

impl KnownValues {
    /// Shortest value that is taken.
    pub const SHORTEST: usize = 8;

    /// Adds a value; `false` when it is too short to be looked for.
    pub fn add(&mut self, value: &str) -> bool {
        let value = value.as_bytes();
        let Some(head) = value.first_chunk() else { return false };
        let head = self.head(*head);
        if self.heads.is_empty() {
            self.heads = vec![0; 1 << (BITS - 6)];
        }
        self.heads[usize::from(head) / 64] |= 1 << (head % 64);
        let tag = hmac::sign(&self.key, value);
        if self.of(head).iter().all(|known| known.tag.as_ref() != tag.as_ref()) {
            let place = self.values.partition_point(|known| known.head < head);
            self.values.insert(place, Known { head, bytes: value.len(), print: self.print(value), tag });
        }
        true
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Calls `found` with start and end of every known value.
    pub(crate) fn find(&self, text: &[u8], mut found: impl FnMut(usize, usize)) {
        if self.is_empty() {
            return;
        }
        for (start, head) in text.array_windows::<HEAD>().enumerate() {
            let head = self.head(*head);
            if self.heads[usize::from(head) / 64] >> (head % 64) & 1 == 0 {
                continue;
            }
            for known in self.of(head) {
                let Some(value) = text.get(start..start + known.bytes) else { continue };
                if self.print(value) == known.print
                    && hmac::verify(&self.key, value, known.tag.as_ref()).is_ok()
                {
                    found(start, start + known.bytes);
                }
            }
        }
    }

    /// Whether one of them is in a text.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        let mut is_in = false;
        self.find(text, |_, _| is_in = true);
        is_in
    }

    /// The values whose head has this hash.
    fn of(&self, head: u16) -> &[Known] {
        let from = self.values.partition_point(|known| known.head < head);
        let count = self.values[from..].partition_point(|known| known.head == head);
        &self.values[from..from + count]
    }

    #[allow(clippy::cast_possible_truncation, reason = "sixteen bits")]
    fn head(&self, head: [u8; HEAD]) -> u16 {
        (u64::from_le_bytes(head).wrapping_mul(self.factor) >> (64 - BITS)) as u16
    }

    #[allow(clippy::cast_possible_truncation, reason = "half of it tells less of the value")]
    fn print(&self, value: &[u8]) -> u32 {
        self.state.hash_one(value) as u32
    }
}

impl Default for KnownValues {
    fn default() -> Self {
        let mut random = [0; 40];
        rand::fill(&mut random).expect("the system's randomness is there");
        let (key, factor) = random.split_at(32);
        let factor = factor.iter().fold(0, |factor, byte| factor << 8 | u64::from(*byte)) | 1;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { key, factor, state: RandomState::default(), heads: Vec::new(), values: Vec::new() }
    }
}

impl fmt::Debug for KnownValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownValues").field("values", &self.values.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(known: &KnownValues, text: &str) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        known.find(text.as_bytes(), |start, end| all.push((start, end)));
        all.sort_unstable();
        all
    }

    #[test]
    fn finds_each_value_wherever_it_stands_and_nothing_else() {
        let mut known = KnownValues::default();
        assert_eq!(found(&known, "nothing is known yet"), []);
        for value in ["eight888", "eight888 and more", "another-value-of-ours"] {
            assert!(known.add(value) && known.add(value), "{value}");
        }
        assert!(!known.add("seven77"));
        assert_eq!(format!("{known:?}"), "KnownValues { values: 3, .. }");
        assert_eq!(found(&known, "eight888"), [(0, 8)]);
        assert_eq!(found(&known, "x eight888 and more"), [(2, 10), (2, 19)]);
        assert_eq!(found(&known, "the eight88 and another-value-of-our"), []);
        let text = format!("{}another-value-of-ours", "another-".repeat(1000));
        assert_eq!(found(&known, &text), [(8000, 8021)]);
    }

    /// So many values that some of their heads have one hash.
    #[test]
    fn many_values_are_told_apart() {
        let mut known = KnownValues::default();
        let values: Vec<String> = (0..2000).map(|number| format!("value-{number:04}-{number}")).collect();
        for value in &values {
            assert!(known.add(value), "{value}");
        }
        for value in &values {
            assert_eq!(found(&known, value), [(0, value.len())], "{value}");
            assert_eq!(found(&known, &value[..value.len() - 1]), [], "{value}");
        }
    }
}
