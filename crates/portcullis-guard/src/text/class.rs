//! What a byte is, for the sweep: a table, so that the loop over all text does one look-up for each byte.

use wide::u8x16;

pub(crate) const LOWER: u8 = 1;
pub(crate) const UPPER: u8 = 2;
pub(crate) const DIGIT: u8 = 4;
/// A byte at which something may begin or end that no word announces: `@`, `:`, `=`, `>`, `,`, `~`.
pub(crate) const SIGN: u8 = 8;
/// Part of a character beyond ASCII.
pub(crate) const WIDE: u8 = 16;
/// A control character other than white space.
pub(crate) const CONTROL: u8 = 32;
/// Goes on in base64 and its kin: `+`, `/`, `-`, `_`.
pub(crate) const LINK: u8 = 64;

/// What a credential or a hash may go on with after its first letters, besides these: `.`, `=`, `~`, `:`.
pub(crate) const JOINT: u8 = 128;

/// What makes a word.
pub(crate) const WORD: u8 = LOWER | UPPER | DIGIT;

/// The class of every byte.
pub(crate) const CLASS: [u8; 256] = classes();

#[allow(clippy::cast_possible_truncation, reason = "256 bytes")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'a'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            b'0'..=b'9' => DIGIT,
            b'=' | b'~' | b':' => SIGN | JOINT,
            b'@' | b'>' | b',' => SIGN,
            b'.' => JOINT,
            b'+' | b'/' | b'-' | b'_' => LINK,
            b'\t' | b'\n' | b'\r' => 0,
            0..0x20 | 0x7f => CONTROL,
            0x80.. => WIDE,
            _ => 0,
        };
        byte += 1;
    }
    table
}

/// The first byte from `from` on that is no plain ASCII: a part of a wider character, or a control character other than white
/// space. Nothing can be hidden in a text without any.
pub(crate) fn next_odd(text: &[u8], from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let (blocks, _) = rest.as_chunks::<64>();
    for (index, block) in blocks.iter().enumerate() {
        if !are_printed(block)
            && let Some(odd) = odd(block)
        {
            return Some(from + index * 64 + odd);
        }
    }
    let at = blocks.len() * 64;
    odd(&rest[at..]).map(|odd| from + at + odd)
}

/// Whether all bytes are between a space and a tilde.
#[inline]
fn are_printed(bytes: &[u8; 64]) -> bool {
    let beyond = |bytes: &[u8; 16]| u8x16::new(*bytes) - u8x16::splat(b' ');
    let [first, second, third, fourth] = bytes.as_chunks().0 else { return false };
    let most = beyond(first).max(beyond(second)).max(beyond(third).max(beyond(fourth)));
    most.saturating_add(u8x16::splat(0x80 - (b'~' - b' ' + 1))).to_bitmask() == 0
}

/// The first odd one of a few bytes. Of those that are not printed, most are ends of lines.
#[inline(never)]
fn odd(bytes: &[u8]) -> Option<usize> {
    let all = u8x16::splat;
    let (quarters, last) = bytes.as_chunks();
    for (index, quarter) in quarters.iter().enumerate() {
        let bytes = u8x16::new(*quarter);
        let beyond = bytes - all(b' ');
        let printed = beyond.min(all(b'~' - b' ')).simd_eq(beyond);
        let white = bytes.simd_eq(all(b'\t')) | bytes.simd_eq(all(b'\n')) | bytes.simd_eq(all(b'\r'));
        let odd = !(printed | white).to_bitmask() & 0xffff;
        if odd != 0 {
            return Some(index * 16 + odd.trailing_zeros() as usize);
        }
    }
    let is_odd = |byte: &u8| CLASS[usize::from(*byte)] & (WIDE | CONTROL) != 0;
    last.iter().position(is_odd).map(|odd| quarters.len() * 16 + odd)
}

pub(crate) fn is_word(byte: u8) -> bool {
    CLASS[byte as usize] & WORD != 0
}

pub(crate) fn is_letter(byte: u8) -> bool {
    CLASS[byte as usize] & (LOWER | UPPER) != 0
}

/// The byte before `at`, a space when there is none.
pub(crate) fn before(text: &[u8], at: usize) -> u8 {
    if at == 0 { b' ' } else { text[at - 1] }
}

/// The byte at `at`, a space when there is none.
pub(crate) fn at(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_odd_is_found_in_every_place() {
        for byte in 0..=u8::MAX {
            let odd = CLASS[usize::from(byte)] & (WIDE | CONTROL) != 0;
            for place in 0..140 {
                let mut text = [b'a'; 140];
                text[place] = byte;
                assert_eq!(next_odd(&text, 0), odd.then_some(place), "{byte:#x} at {place}");
                assert_eq!(next_odd(&text, place), odd.then_some(place), "{byte:#x} from {place}");
                assert_eq!(next_odd(&text, place + 1), None);
            }
        }
    }
}
