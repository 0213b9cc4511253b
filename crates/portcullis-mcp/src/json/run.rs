//! How far a string goes on plainly: the innermost loop of everything here.
//!
//! Eight bytes at a time in ordinary registers for what is short, as keys are; a vector search for what is long, as
//! texts are. Both are several times faster than a look at every byte.

const ONES: u64 = u64::MAX / 0xff;
const HIGHS: u64 = ONES << 7;
/// Beyond this many bytes a vector search pays for its start.
const SHORT: usize = 64;

/// The number of bytes before the first quote, backslash or control character; all of them when there is none.
#[inline]
pub fn plain_run(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().take(SHORT / 8).enumerate() {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    if words.len() > SHORT / 8 {
        return SHORT + long_run(&text[SHORT..]);
    }
    let end = rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len());
    words.len() * 8 + end
}

fn long_run(text: &[u8]) -> usize {
    let end = memchr::memchr2(b'"', b'\\', text).unwrap_or(text.len());
    let has_control = text[..end].iter().fold(0, |found, byte| found | u8::from(*byte < 0x20)) != 0;
    if has_control { text.iter().position(|byte| is_special(*byte)).unwrap_or(end) } else { end }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// The high bits of the bytes of `word` that are special. Borrows may mark bytes above the first special one wrongly, so
/// only the lowest mark counts.
fn special(word: u64) -> u64 {
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ (ONES * 0x22));
    let backslash = zero(word ^ (ONES * 0x5c));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn is_the_first_special_byte(text in prop::collection::vec(
            prop_oneof![20 => 0x20u8..=0xff, 1 => Just(b'"'), 1 => Just(b'\\'), 1 => 0u8..0x20], 0..200)
        ) {
            let expected = text.iter().position(|byte| is_special(*byte)).unwrap_or(text.len());
            prop_assert_eq!(plain_run(&text), expected);
        }

        #[test]
        fn finds_a_lone_special_byte_anywhere(length in 0usize..200, at in 0usize..200, byte in prop::sample::select(vec![b'"', b'\\', 0, 0x1f, b'\n'])) {
            let mut text = vec![0x80u8; length];
            if at < length {
                text[at] = byte;
            }
            prop_assert_eq!(plain_run(&text), at.min(length));
        }
    }
}
