//! Sixty-four bytes at a time: which of them are what, one bit for each byte.
//!
//! What decides whether a text needs a closer look is found in these few words, without a look at every byte. They say what
//! the table of [`super::class`] says.

use wide::{i8x16, u8x16};

/// Bytes in a block.
pub(crate) const SIZE: usize = 64;

/// What the bytes of a block are, the first one in the lowest bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) letter: u64,
    pub(crate) digit: u64,
    /// Where something may begin that no word announces, and what goes on in credentials, hashes and base64: signs, links and
    /// joints, and a few others beside them, which are cheaper to take than to leave out.
    pub(crate) mark: u64,
}

/// The bytes of a block, and as many after it as are needed to see the first eight of each word.
pub(crate) type Window = [u8; SIZE + 8];

impl Block {
    /// The window of `text` that begins at `start`; spaces stand beyond the end, in `end`.
    #[inline]
    pub(crate) fn window<'a>(text: &'a [u8], start: usize, end: &'a mut Window) -> &'a Window {
        let rest = text.get(start..).unwrap_or_default();
        if let Some(window) = rest.first_chunk() {
            return window;
        }
        *end = [b' '; SIZE + 8];
        end[..rest.len()].copy_from_slice(rest);
        end
    }

    /// Letters and digits.
    pub(crate) fn word(&self) -> u64 {
        self.letter | self.digit
    }

    /// The first byte of each word.
    pub(crate) fn starts(&self) -> u64 {
        self.word() & !(self.word() << 1)
    }

    /// Where fifteen letters begin: with a mark behind them they may be base64.
    pub(crate) fn long(&self) -> u64 {
        let two = self.letter & self.letter >> 1;
        let four = two & two >> 2;
        let eight = four & four >> 4;
        eight & eight >> 7
    }

    /// Where letters end and what follows may belong to them: a mark does when something stands behind it.
    pub(crate) fn ends(&self) -> u64 {
        let goes_on = (self.word() | self.mark) >> 1 | 1 << (SIZE - 1);
        self.letter << 1 & (self.mark & goes_on | self.digit)
    }

    /// How many of its bytes are looked at with it: letters that go on beyond it are with the next.
    pub(crate) fn whole(&self) -> usize {
        match (!self.letter).checked_ilog2() {
            Some(last) => last as usize + 1,
            None => SIZE,
        }
    }

    /// The block of a text of so many bytes, when all of them are printed ASCII and none of them begins an escape.
    pub(crate) fn of_plain(window: &Window, length: usize) -> Option<Self> {
        let all = u8x16::splat;
        let (mut block, mut other) = (Self::default(), u8x16::ZERO);
        for (index, quarter) in window[..SIZE].as_chunks().0.iter().take(length.div_ceil(16)).enumerate() {
            let shift = index * 16;
            let bytes = u8x16::new(*quarter);
            let beyond = bytes - all(b' ');
            other |= beyond.max(all(b'~' - b' ' + 1)).simd_eq(beyond)
                | bytes.simd_eq(all(b'%'))
                | bytes.simd_eq(all(b'&'))
                | bytes.simd_eq(all(b'\\'));
            let [letter, digit, mark] = classes(quarter).map(|bits| u64::from(bits) << shift);
            block.letter |= letter;
            block.digit |= digit;
            block.mark |= mark;
        }
        block.mark &= !block.digit;
        (other.to_bitmask() == 0).then_some(block)
    }

    /// The block that a window begins with.
    #[inline]
    pub(crate) fn of(window: &Window) -> Self {
        let [letter, digit, mark] = masks(window, classes);
        Self { letter, digit, mark: mark & !digit }
    }

    /// The same for less: its marks are all that is behind them and no letter, digits and brackets among them.
    #[inline]
    pub(crate) fn roughly_of(window: &Window) -> Self {
        let [letter, high] = masks(window, |bytes| {
            let [letter, ..] = classes(bytes);
            let bytes = i8x16::new(bytes.map(u8::cast_signed));
            [letter, bytes.simd_gt(i8x16::splat(b'*'.cast_signed())).to_bitmask()]
        });
        Self { letter, digit: 0, mark: high & !letter }
    }
}

#[inline]
fn masks<const COUNT: usize>(window: &Window, of: impl Fn(&[u8; 16]) -> [u32; COUNT]) -> [u64; COUNT] {
    let mut all = [0; COUNT];
    for (index, quarter) in window[..SIZE].as_chunks().0.iter().enumerate() {
        for (all, bits) in all.iter_mut().zip(of(quarter)) {
            *all |= u64::from(bits) << (index * 16);
        }
    }
    all
}

/// Letters, digits and what else matters among sixteen bytes, the digits among them.
#[inline]
fn classes(bytes: &[u8; 16]) -> [u32; 3] {
    let bytes = i8x16::new(bytes.map(u8::cast_signed));
    // Those from `first` on are the least of all, so that one comparison tells them.
    let is_in = |bytes: i8x16, first: u8, last: u8| {
        let from = bytes + i8x16::splat(i8::MIN.wrapping_sub(first.cast_signed()));
        from.simd_lt(i8x16::splat(i8::MIN + (last - first + 1).cast_signed()))
    };
    // Letter case is one bit, and no other byte becomes a letter by it.
    let lower = bytes | i8x16::splat(0x20);
    // With it the underscore is behind the tilde, and the circumflex is one.
    let mark = is_in(bytes, b'+', b'@') | is_in(lower, b'~', 0x7f);
    [is_in(lower, b'a', b'z'), is_in(bytes, b'0', b'9'), mark].map(i8x16::to_bitmask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::class::{self, CLASS, DIGIT, JOINT, LINK, LOWER, SIGN, UPPER};

    fn by_table(bytes: &Window) -> Block {
        let mut block = Block::default();
        for (index, byte) in bytes[..SIZE].iter().enumerate() {
            let bit = |classes| u64::from(CLASS[usize::from(*byte)] & classes != 0) << index;
            block.letter |= bit(LOWER | UPPER);
            block.digit |= bit(DIGIT);
            block.mark |= bit(LINK | JOINT | SIGN)
                | u64::from(matches!(byte, b';' | b'<' | b'?' | b'^' | 0x7f)) << index;
        }
        block
    }

    #[test]
    fn every_byte_is_in_every_place_what_the_table_says() {
        for byte in 0..=u8::MAX {
            for place in 0..SIZE {
                let mut bytes = [b' '; SIZE + 8];
                bytes[place] = byte;
                let block = by_table(&bytes);
                assert_eq!(Block::of(&bytes), block, "{byte:#x} at {place}");
                let is_high = matches!(byte, b'+'..0x80) && !class::is_letter(byte);
                let rough = Block { digit: 0, mark: u64::from(is_high) << place, ..block };
                assert_eq!(Block::roughly_of(&bytes), rough, "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn what_is_plain_is_the_same_and_nothing_else_is_plain() {
        for byte in 0..=u8::MAX {
            for place in 0..SIZE {
                let mut bytes = [b' '; SIZE + 8];
                bytes[place] = byte;
                let plain = matches!(byte, b' '..=b'~') && !matches!(byte, b'%' | b'&' | b'\\');
                let expected = plain.then(|| by_table(&bytes));
                assert_eq!(Block::of_plain(&bytes, place + 1), expected, "{byte:#x} at {place}");
            }
        }
        assert_eq!(Block::of_plain(&[b' '; SIZE + 8], 0), Some(Block::default()));
    }

    #[test]
    fn what_is_beyond_the_end_is_nothing() {
        let block = |text: &[u8], start| Block::of(Block::window(text, start, &mut [b'x'; SIZE + 8]));
        let found = block(b"xx a1-@", 2);
        assert_eq!((found.letter, found.digit, found.mark), (0b10, 0b100, 0b1_1000));
        assert_eq!(found.starts(), 0b10);
        assert_eq!(block(b"abc", 3), Block::default());
        assert_eq!(block(&[b'a'; SIZE + 7], 0).letter, u64::MAX);
        assert_eq!(block(&[b'a'; SIZE + 7], 60).letter, 0b111_1111_1111);
    }

    #[test]
    fn letters_at_its_end_are_with_the_next() {
        let of = |text: &str| Block::of(Block::window(text.as_bytes(), 0, &mut [0; SIZE + 8]));
        let spaced = |letters: usize| format!("{:>60}{}", " ", "a".repeat(letters));
        assert_eq!([0, 3, 4, 9].map(|letters| of(&spaced(letters)).whole()), [64, 64, 60, 60]);
        assert_eq!(of(&"a".repeat(80)).whole(), 64);
        assert_eq!([14, 15, 16].map(|letters| of(&"a".repeat(letters)).long()), [0, 1, 3]);
    }
}
