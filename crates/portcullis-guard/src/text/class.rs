//! What a byte is, for the sweep: a table, so that the loop over all text does one look-up for each byte.

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
            b'@' | b':' | b'=' | b'>' | b',' | b'~' => SIGN,
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

/// Whether a text is ASCII without control characters other than white space: nothing can be hidden in it.
pub(crate) fn is_plain(text: &[u8]) -> bool {
    const CHUNK: usize = 256;
    let is_odd = |byte: u8| !matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    // Without a way out in the middle, so that many bytes are looked at together.
    text.chunks(CHUNK).all(|chunk| !chunk.iter().fold(false, |odd, byte| odd | is_odd(*byte)))
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
