//! How far a string goes on plainly: the innermost loop of everything here.
//!
//! Sixteen bytes at a time for what is short, as keys are; a vector search for what is long, as texts are. Both are several
//! times faster than a look at every byte.

use wide::u8x16;

/// Beyond this many bytes a vector search pays for its start.
const SHORT: usize = 64;

/// The number of bytes before the first quote, backslash or control character; all of them when there is none.
#[inline]
pub fn plain_run(text: &[u8]) -> usize {
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    for (index, block) in blocks.iter().take(SHORT / BLOCK).enumerate() {
        if let Some(at) = first_special(*block) {
            return index * BLOCK + at;
        }
    }
    if blocks.len() > SHORT / BLOCK {
        return SHORT + long_run(&text[SHORT..]);
    }
    let end = rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len());
    blocks.len() * BLOCK + end
}

fn long_run(text: &[u8]) -> usize {
    let end = memchr::memchr2(b'"', b'\\', text).unwrap_or(text.len());
    let has_control = text[..end].iter().fold(0, |found, byte| found | u8::from(*byte < 0x20)) != 0;
    if has_control { text.iter().position(|byte| is_special(*byte)).unwrap_or(end) } else { end }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

/// So many bytes are looked at together.
const BLOCK: usize = 16;

/// Where the first special byte of a block is.
#[inline]
fn first_special(block: [u8; BLOCK]) -> Option<usize> {
    let bytes = u8x16::from(block);
    let control = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    let special = bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')) | control;
    let found = special.to_bitmask();
    (found != 0).then(|| found.trailing_zeros() as usize)
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
