//! Whether a word may be one of those that matter: one bit for each, found by its first eight letters and its length.
//!
//! Nearly all words of a text are of no concern, and this says so without hashing or folding them. It may say yes to a word
//! that does not matter, one in a hundred or so, and never no to one that does.

use super::class;

/// Words of a list, letter case aside, in a power of two times 64 bits: a hundred for each word make few mistakes, and few
/// bits stay in the nearest cache.
pub(crate) struct Filter<const SIZE: usize>(Box<[u64; SIZE]>);

impl<const SIZE: usize> Filter<SIZE> {
    pub(crate) fn new() -> Self {
        const { assert!(SIZE.is_power_of_two()) };
        Self(Box::new([0; SIZE]))
    }

    /// One that has the words of a list.
    pub(crate) fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut filter = Self::new();
        words.into_iter().for_each(|word| filter.add(word));
        filter
    }

    /// Adds a word of ASCII.
    pub(crate) fn add(&mut self, word: &str) {
        let bit = place::<SIZE>(eight(word.as_bytes(), 0), word.len());
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    /// Whether the word of so many bytes at `start` may be one of them.
    #[inline]
    pub(crate) fn may_have(&self, text: &[u8], start: usize, length: usize) -> bool {
        self.may_be(eight(text, start), length)
    }

    /// Whether a word of so many bytes may be one of them; `eight` are its first, and whatever follows it.
    #[inline]
    pub(crate) fn may_be(&self, eight: u64, length: usize) -> bool {
        let bit = place::<SIZE>(eight, length);
        self.0[bit / 64] >> (bit % 64) & 1 != 0
    }
}

/// What is looked for begins with, letter case counted: the first two or three bytes.
pub(crate) struct Heads(Box<[u64; HEADS]>);

const HEADS: usize = 1024;

impl Heads {
    pub(crate) fn new() -> Self {
        Self(Box::new([0; HEADS]))
    }

    /// Adds what something begins with, two bytes or more.
    pub(crate) fn add(&mut self, head: &str) {
        let head = head.as_bytes();
        let thirds = head.get(2).map_or(0..=u8::MAX, |third| *third..=*third);
        for third in thirds {
            let bit = hash::<HEADS>(u64::from_le_bytes([head[0], head[1], third, 0, 0, 0, 0, 0]));
            self.0[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Whether what is at `start` may begin so.
    #[inline]
    pub(crate) fn may_have(&self, text: &[u8], start: usize) -> bool {
        self.may_be(eight(text, start))
    }

    /// Whether what begins with these eight bytes may begin so.
    #[inline]
    pub(crate) fn may_be(&self, eight: u64) -> bool {
        let bit = hash::<HEADS>(eight & 0xff_ffff);
        self.0[bit / 64] >> (bit % 64) & 1 != 0
    }
}

/// What words begin with, letter case aside, by their first and their second two bytes: each word is in one of eight groups, and
/// what may be one of them has two pairs of one group. What follows a word of two or three letters is no letter.
pub(crate) struct Beginnings {
    first: Pairs,
    second: Pairs,
}

/// The groups of each pair of bytes, one bit each. Those of letters are near each other, in two kilobytes of all.
type Pairs = Box<[u8; 1 << 16]>;

impl Beginnings {
    pub(crate) fn new() -> Self {
        let none = || vec![0; 1 << 16].try_into().expect("as many as there are pairs");
        Self { first: none(), second: none() }
    }

    /// Adds a word of two letters or more.
    pub(crate) fn add(&mut self, word: &str) {
        let mut letters = word.bytes();
        let all = || 0..=u8::MAX;
        let mut next = || match letters.next() {
            Some(letter) => vec![letter.to_ascii_lowercase(), letter.to_ascii_uppercase()],
            None => all().filter(|byte| !class::is_letter(*byte)).collect(),
        };
        let [one, two, three, four] = [next(), next(), next(), next()];
        let group = 1 << ((one[0] ^ two[0].rotate_left(1)) % 8);
        for (pairs, one, two) in [
            (&mut self.first, one, two),
            (&mut self.second, three, if word.len() == 2 { all().collect() } else { four }),
        ] {
            for one in one {
                for two in &two {
                    pairs[usize::from(u16::from_le_bytes([one, *two]))] |= group;
                }
            }
        }
    }

    /// Whether a word with these first and second two bytes may be one of them.
    #[inline]
    pub(crate) fn may_be(&self, first: [u8; 2], second: [u8; 2]) -> bool {
        let groups = |pairs: &Pairs, pair| pairs[usize::from(u16::from_le_bytes(pair))];
        groups(&self.first, first) & groups(&self.second, second) != 0
    }
}

/// Eight bytes from `start`, zeros beyond the end.
#[inline]
fn eight(text: &[u8], start: usize) -> u64 {
    let rest = text.get(start..).unwrap_or_default();
    match rest.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => {
            let mut eight = [0; 8];
            eight[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(eight)
        }
    }
}

/// The bits of a word's bytes among eight, by its length.
const OWN: [u64; 16] = {
    let mut own = [u64::MAX; 16];
    let mut length = 0;
    while length < 8 {
        own[length] = (1 << (8 * length)) - 1;
        length += 1;
    }
    own
};

/// The bit of a word: that of its first letters and its length.
#[inline]
fn place<const SIZE: usize>(eight: u64, length: usize) -> usize {
    let own = OWN[length.min(OWN.len() - 1)];
    hash::<SIZE>(((eight | 0x2020_2020_2020_2020) & own) ^ (length as u64) << 59)
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "a few bits")]
fn hash<const SIZE: usize>(word: u64) -> usize {
    let bits = const { (SIZE * 64).ilog2() };
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_what_was_added_in_any_case_and_little_else() {
        let mut filter = Filter::<256>::new();
        let words = ["ignore", "a", "instructions", "instruction", "not"];
        for word in words {
            filter.add(word);
        }
        for word in words {
            for text in [word.to_owned(), word.to_uppercase(), format!("{word} and more of it")] {
                assert!(filter.may_have(text.as_bytes(), 0, word.len()), "{text}");
            }
            assert!(filter.may_have(format!("..{word}").as_bytes(), 2, word.len()), "{word} at the end");
        }
        let others = (0..10_000).filter(|number| {
            let other = format!("w{number}");
            filter.may_have(other.as_bytes(), 0, other.len())
        });
        assert!(others.count() < 100);
    }

    #[test]
    fn has_beginnings_in_any_case_and_little_else() {
        let mut beginnings = Beginnings::new();
        for word in ["not", "ai", "instructions"] {
            beginnings.add(word);
        }
        let may_be = |text: &str| match text.as_bytes().as_chunks().0 {
            [first, second, ..] => beginnings.may_be(*first, *second),
            _ => unreachable!("four bytes"),
        };
        for text in ["not ", "NOT.", "ai x", "ai  ", "AI:a", "instead", "InStr"] {
            assert!(may_be(text), "{text}");
        }
        for text in ["nothing", "air ", "AIRY", "inside", "note", "noT5"] {
            assert_eq!(may_be(text), text == "noT5", "{text}");
        }
        let others = (0..10_000).filter(|number| {
            may_be(&format!("{}{}{}a", letter(*number), letter(number / 26), letter(number / 676)))
        });
        assert!(others.count() < 10);
    }

    fn letter(number: u32) -> char {
        char::from_digit(10 + number % 26, 36).expect("a letter")
    }

    #[test]
    fn has_heads_as_they_are_written() {
        let mut heads = Heads::new();
        heads.add("AKIA");
        heads.add("YC");
        for (text, expected) in
            [("AKIB", true), ("akia", false), ("YCx", true), ("YC", true), ("Y", false), ("", false)]
        {
            assert_eq!(heads.may_have(text.as_bytes(), 0), expected, "{text}");
        }
    }
}
