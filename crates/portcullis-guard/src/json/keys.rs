//! What keys say, remembered: the same few stand in all documents.
//!
//! The first key that comes to a place keeps it, so that nothing is ever locked or thrown out, and the memory is bounded. What
//! finds its place taken is judged anew each time, which is slower and gives the same answer.

use std::hash::BuildHasher as _;
use std::sync::OnceLock;

use foldhash::fast::RandomState;

use crate::context::{Topics, Words};
use crate::recognise::assigned::{self, Announced};

const PLACES: usize = 1024;
/// Longer ones are not kept.
const LONGEST: usize = 64;

/// The keys that were seen.
pub(crate) struct Keys {
    state: RandomState,
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
        Self { state: RandomState::default(), places: (0..PLACES).map(|_| OnceLock::new()).collect() }
    }

    /// What `key` says.
    pub(crate) fn of(&self, words: &Words, key: &str) -> Meant {
        if key.len() > LONGEST {
            return Meant::by(words, key);
        }
        let place = usize::try_from(self.state.hash_one(key) % PLACES as u64).unwrap_or(0);
        let (known, meant) = self.places[place].get_or_init(|| (key.into(), Meant::by(words, key)));
        if **known == *key { *meant } else { Meant::by(words, key) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_of_any_number_of_keys_what_their_words_say() {
        let (keys, words) = (Keys::new(), Words::new());
        let all: Vec<String> = (0..5 * PLACES)
            .map(|number| format!("{}_{number}", ["phone", "password", "id", "summary"][number % 4]))
            .collect();
        for _ in 0..2 {
            for key in &all {
                assert_eq!(keys.of(&words, key), Meant::by(&words, key), "{key}");
            }
        }
    }
}
