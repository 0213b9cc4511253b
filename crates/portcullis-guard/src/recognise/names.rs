//! What names announce, remembered: the same few stand before all signs of a text, of code and of logs.
//!
//! A place holds half of what it knows of a name, a keyed hash of it, and the answer; never the name, which may be somebody's
//! data. The last name that came to a place has it. Two names with the same hash would have one answer: of 2^61 that are
//! equally likely one is, and nobody knows the key.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::quality::RandomState;

use super::assigned::{self, Announced};
use crate::context::Words;

const PLACES: usize = 1024;
/// The bits of the answer, among those of the hash.
const ANSWER: u64 = 7;

/// The names that were judged.
pub(crate) struct Names {
    state: RandomState,
    places: Box<[AtomicU64]>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self { state: RandomState::default(), places: (0..PLACES).map(|_| AtomicU64::new(0)).collect() }
    }

    /// What `name` announces.
    pub(crate) fn announced(&self, words: &Words, name: &str) -> Announced {
        let hash = self.state.hash_one(name);
        let place = &self.places[usize::try_from(hash >> 32).unwrap_or(0) % PLACES];
        let known = place.load(Ordering::Relaxed);
        if known & !ANSWER == hash & !ANSWER
            && let Some(answer) = answer(known & ANSWER)
        {
            return answer;
        }
        let announced = assigned::announced(words, name);
        place.store(hash & !ANSWER | number(announced), Ordering::Relaxed);
        announced
    }
}

/// Nothing is zero, which is what places begin with.
fn number(announced: Announced) -> u64 {
    match announced {
        Announced::Nothing => 1,
        Announced::Password => 2,
        Announced::Secret => 3,
        Announced::Vendor => 4,
        Announced::Vague => 5,
    }
}

fn answer(number: u64) -> Option<Announced> {
    Some(match number {
        1 => Announced::Nothing,
        2 => Announced::Password,
        3 => Announced::Secret,
        4 => Announced::Vendor,
        5 => Announced::Vague,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_of_any_number_of_names_what_their_words_say() {
        let (names, words) = (Names::new(), Words::new());
        let all: Vec<String> = (0..5 * PLACES)
            .map(|number| {
                let name = ["phone", "password", "note", "api_key", "github_key", "access"][number % 6];
                format!("{name}{number}")
            })
            .collect();
        for _ in 0..2 {
            for name in all.iter().flat_map(|name| [name, name]) {
                assert_eq!(names.announced(&words, name), assigned::announced(&words, name), "{name}");
            }
        }
    }

    #[test]
    fn every_answer_is_remembered_as_it_is() {
        use Announced::{Nothing, Password, Secret, Vague, Vendor};
        for announced in [Nothing, Password, Secret, Vendor, Vague] {
            assert_eq!(answer(number(announced)), Some(announced));
        }
        assert_eq!(answer(0), None, "a place without a name has no answer");
    }
}
