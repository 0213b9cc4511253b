//! Whether a word may be one of those that matter: one bit for each, found by its first eight letters and its length.
//!
//! Nearly all words of a text are of no concern, and this says so without hashing or folding them. It may say yes to a word
//! that does not matter, one in a hundred or so, and never no to one that does.

/// Words of a list, letter case aside.
pub(crate) struct Filter(Box<[u64; 1 << (BITS - 6)]>);

const BITS: u32 = 16;

impl Filter {
    pub(crate) fn new() -> Self {
        Self(Box::new([0; 1 << (BITS - 6)]))
    }

    /// Adds a word of ASCII.
    pub(crate) fn add(&mut self, word: &str) {
        let bit = place(eight(word.as_bytes(), 0), word.len());
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
        let bit = place(eight, length);
        self.0[bit / 64] >> (bit % 64) & 1 != 0
    }
}

/// What is looked for begins with, letter case counted: the first two or three bytes.
pub(crate) struct Heads(Box<[u64; 1 << (BITS - 6)]>);

impl Heads {
    pub(crate) fn new() -> Self {
        Self(Box::new([0; 1 << (BITS - 6)]))
    }

    /// Adds what something begins with, two bytes or more.
    pub(crate) fn add(&mut self, head: &str) {
        let head = head.as_bytes();
        let thirds = head.get(2).map_or(0..=u8::MAX, |third| *third..=*third);
        for third in thirds {
            let bit = hash(u64::from_le_bytes([head[0], head[1], third, 0, 0, 0, 0, 0]));
            self.0[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Whether what is at `start` may begin so.
    #[inline]
    pub(crate) fn may_have(&self, text: &[u8], start: usize) -> bool {
        let bit = hash(eight(text, start) & 0xff_ffff);
        self.0[bit / 64] >> (bit % 64) & 1 != 0
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
const OWN: [u64; 8] = {
    let mut own = [u64::MAX; 8];
    let mut length = 0;
    while length < 8 {
        own[length] = (1 << (8 * length)) - 1;
        length += 1;
    }
    own
};

/// The bit of a word: that of its first letters and its length.
#[inline]
fn place(eight: u64, length: usize) -> usize {
    let own = OWN.get(length).copied().unwrap_or(u64::MAX);
    hash(((eight | 0x2020_2020_2020_2020) & own) ^ (length as u64) << 59)
}

#[inline]
#[allow(clippy::cast_possible_truncation, reason = "a few bits")]
fn hash(word: u64) -> usize {
    (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_what_was_added_in_any_case_and_little_else() {
        let mut filter = Filter::new();
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
