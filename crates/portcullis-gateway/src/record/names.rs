//! What those are called in the log who called a short while ago: they will call again, and need not be named anew each time.
//!
//! A name is an HMAC, which costs as much as writing the rest of an event. How many are remembered is bounded, and whoever has
//! many callers forgets them all at once now and then.

use std::sync::{Mutex, PoisonError};

use foldhash::HashMap;

/// Names that are remembered.
const MOST: usize = 4096;

/// Names, by the two words that they are made of.
#[derive(Default)]
pub(super) struct Names(Mutex<Known>);

#[derive(Default)]
struct Known {
    names: HashMap<Box<str>, HashMap<Box<str>, String>>,
    count: usize,
}

impl Names {
    /// The name that is made of two words, which is made by `make` when it is not remembered.
    pub(super) fn of(&self, first: &str, second: &str, make: impl FnOnce() -> String) -> String {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.names.get(first).and_then(|names| names.get(second)) {
            return name.clone();
        }
        if known.count >= MOST {
            *known = Known::default();
        }
        let name = make();
        known.count += 1;
        known.names.entry(first.into()).or_default().insert(second.into(), name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, Names};

    #[test]
    fn a_name_is_made_once_and_never_taken_for_another() {
        let names = Names::default();
        let of = |first: &str, second: &str| names.of(first, second, || format!("{first}|{second}"));
        assert_eq!(of("a", "bc"), "a|bc");
        assert_eq!(of("ab", "c"), "ab|c");
        assert_eq!(names.of("a", "bc", || unreachable!("it is remembered")), "a|bc");
        for number in 0..2 * MOST {
            let subject = number.to_string();
            assert_eq!(of("many", &subject), format!("many|{subject}"));
        }
        assert!(names.0.lock().unwrap().count <= MOST);
        assert_eq!(of("a", "bc"), "a|bc");
    }
}
