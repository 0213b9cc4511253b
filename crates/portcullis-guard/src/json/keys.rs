//! What keys say, remembered: the same few stand in all documents.
//!
//! The first key that comes to a place keeps it, so that nothing is ever locked or thrown out, and the memory is bounded. What
//! finds its place taken is judged anew each time, which is slower and gives the same answer. Kept are names of fields alone:
//! a key with a digit, an `@` or a space may be somebody's data, and there is no end of those.

use std::sync::OnceLock;

use crate::context::{Topics, Words};
use crate::recognise::assigned::{self, Announced};
use crate::text::class;

const PLACES: usize = 1024;
/// Longer ones are not kept.
const LONGEST: usize = 64;

/// The keys that were seen.
pub(crate) struct Keys {
    places: Box<[OnceLock<Known>]>,
}

type Known = (Box<str>, Meant);

/// What a key says of its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Meant {
    pub(crate) topics: Topics,
    pub(crate) announced: Announced,
}

impl Meant {
    fn by(words: &Words, key: &str) -> Self {
        Self { topics: words.of(key), announced: assigned::announced(words, key) }
    }
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self { places: (0..PLACES).map(|_| OnceLock::new()).collect() }
    }

    /// What `key` says, when it is one that is kept: a name, and nobody's data.
    pub(crate) fn kept(&self, key: &str) -> Option<Meant> {
        let (known, meant) = self.places[Self::place(key)].get()?;
        (**known == *key).then_some(*meant)
    }

    /// By the length of a key and its ends: two that have these in common cost time, and nothing else.
    #[allow(clippy::cast_possible_truncation, reason = "a few bits")]
    fn place(key: &str) -> usize {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let key = key.as_bytes();
        let ends = if let (Some(first), Some(last)) = (key.first_chunk::<8>(), key.last_chunk()) {
            u64::from_le_bytes(*first).wrapping_mul(FACTOR) ^ u64::from_le_bytes(*last)
        } else if let (Some(first), Some(last)) = (key.first_chunk::<4>(), key.last_chunk()) {
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
        } else {
            key.iter().fold(0, |all, byte| all << 8 | u64::from(*byte))
        };
        ((ends ^ key.len() as u64).wrapping_mul(FACTOR) >> (64 - PLACES.ilog2())) as usize
    }

    /// What `key` says.
    pub(crate) fn of(&self, words: &Words, key: &str) -> Meant {
        if key.len() > LONGEST
            || !key.bytes().all(|byte| class::is_letter(byte) || matches!(byte, b'_' | b'-' | b'.' | b'/'))
        {
            return Meant::by(words, key);
        }
        let (known, meant) =
            self.places[Self::place(key)].get_or_init(|| (key.into(), Meant::by(words, key)));
        if **known == *key { *meant } else { Meant::by(words, key) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_of_any_number_of_keys_what_their_words_say() {
        let (keys, words) = (Keys::new(), Words::new());
        let letter = |number: usize| char::from(b"abcdefghijklmnopqrstuvwxyz"[number % 26]);
        let all: Vec<String> = (0..5 * PLACES)
            .map(|number| {
                let name = ["phone", "password", "note", "api_key"][number % 4];
                format!("{name}_{}{}{}", letter(number), letter(number / 26), letter(number / 676))
            })
            .collect();
        for _ in 0..2 {
            for key in &all {
                assert_eq!(keys.of(&words, key), Meant::by(&words, key), "{key}");
            }
        }
        assert!(keys.places.iter().filter(|place| place.get().is_some()).count() > PLACES / 2);
    }

    #[test]
    fn keeps_no_key_that_may_be_data() {
        let (keys, words) = (Keys::new(), Words::new());
        for key in ["jane@example.org", "4111111111111111", "Jane Doe", "Zoë", "phone_1"] {
            assert_eq!(keys.of(&words, key), Meant::by(&words, key), "{key}");
        }
        assert!(keys.places.iter().all(|place| place.get().is_none()));
    }
}
