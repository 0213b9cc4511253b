//! Sixty-four bytes at a time: which of them are what, one bit for each byte.
//!
//! What decides whether a text needs a closer look is found in these few words, without a look at every byte. They say what
//! the table of [`super::class`] says.

use wide::u8x16;

/// Bytes in a block.
pub(crate) const SIZE: usize = 64;

/// What the bytes of a block are, the first one in the lowest bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) letter: u64,
    pub(crate) digit: u64,
    /// Where something may begin that no word announces.
    pub(crate) sign: u64,
}

impl Block {
    /// The block of `text` that begins at `start`; spaces stand beyond the end.
    pub(crate) fn at(text: &[u8], start: usize) -> Self {
        let rest = &text[start.min(text.len())..];
        match rest.first_chunk() {
            Some(chunk) => Self::of(chunk),
            None => {
                let mut chunk = [b' '; SIZE];
                chunk[..rest.len()].copy_from_slice(rest);
                Self::of(&chunk)
            }
        }
    }

    /// Letters and digits.
    pub(crate) fn word(&self) -> u64 {
        self.letter | self.digit
    }

    /// The first byte of each word.
    pub(crate) fn starts(&self) -> u64 {
        self.word() & !(self.word() << 1)
    }

    fn of(bytes: &[u8; SIZE]) -> Self {
        let mut block = Self::default();
        for (index, quarter) in bytes.as_chunks().0.iter().enumerate() {
            let shift = index * 16;
            let [letter, digit, sign] = classes(u8x16::new(*quarter)).map(|bits| u64::from(bits) << shift);
            block.letter |= letter;
            block.digit |= digit;
            block.sign |= sign;
        }
        block
    }
}

/// Letters, digits and signs among sixteen bytes.
#[inline]
fn classes(bytes: u8x16) -> [u32; 3] {
    let all = u8x16::splat;
    let is = |bytes: u8x16, byte: u8| bytes.simd_eq(all(byte));
    let is_in = |bytes: u8x16, first: u8, last: u8| {
        let from = bytes - all(first);
        from.min(all(last - first)).simd_eq(from)
    };
    let digit = is_in(bytes, b'0', b'9');
    // Letter case is one bit, and no other byte becomes a letter by it.
    let letter = is_in(bytes | all(0x20), b'a', b'z');
    // `>` and `~` are one bit apart.
    let sign =
        is(bytes & all(!0x40), b'>') | is(bytes, b'@') | is(bytes, b':') | is(bytes, b'=') | is(bytes, b',');
    [letter, digit, sign].map(u8x16::to_bitmask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::class::{CLASS, DIGIT, LOWER, SIGN, UPPER};

    fn by_table(bytes: &[u8; SIZE]) -> Block {
        let mut block = Block::default();
        for (index, byte) in bytes.iter().enumerate() {
            let bit = |classes| u64::from(CLASS[usize::from(*byte)] & classes != 0) << index;
            block.letter |= bit(LOWER | UPPER);
            block.digit |= bit(DIGIT);
            block.sign |= bit(SIGN);
        }
        block
    }

    #[test]
    fn every_byte_is_in_every_place_what_the_table_says() {
        for byte in 0..=u8::MAX {
            for place in 0..SIZE {
                let mut bytes = [b' '; SIZE];
                bytes[place] = byte;
                assert_eq!(Block::of(&bytes), by_table(&bytes), "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn what_is_beyond_the_end_is_nothing() {
        let block = Block::at(b"xx a1-@", 2);
        assert_eq!((block.letter, block.digit, block.sign), (0b10, 0b100, 0b1_0000));
        assert_eq!(block.starts(), 0b10);
        assert_eq!(Block::at(b"abc", 3), Block::default());
    }
}
