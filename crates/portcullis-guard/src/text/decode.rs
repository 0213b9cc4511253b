//! What is written in another alphabet: percent, HTML entities and backslash escapes in place, base64 and hexadecimal as
//! runs.
//!
//! Decoding in place gives a text of about the same length with [`Offsets`] back. A run gives a text of its own; what is
//! found in it stands for the whole run, since half of a base64 run cannot be replaced.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::class::{self, CLASS, LINK, WORD};
use super::offsets::Offsets;

const ANY_PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// Shortest run that is decoded: twelve bytes of text.
pub(crate) const SHORTEST: usize = 16;

/// `text` with percent escapes, HTML entities and backslash escapes decoded; `None` when there are none.
pub(crate) fn in_place(text: &str) -> Option<(String, Offsets)> {
    let bytes = text.as_bytes();
    memchr::memchr3(b'%', b'&', b'\\', bytes)?;
    let mut out: Vec<u8> = Vec::new();
    let mut offsets = Offsets::default();
    let (mut copied, mut seen) = (0, 0);
    while let Some(found) = memchr::memchr3(b'%', b'&', b'\\', &bytes[seen..]) {
        let at = seen + found;
        seen = at + 1;
        let Some((decoded, length)) = escape(&bytes[at..]) else { continue };
        let mut buffer = [0; 4];
        let encoded = decoded.encode_utf8(&mut buffer).as_bytes();
        out.extend_from_slice(&bytes[copied..at]);
        let made = out.len();
        out.extend_from_slice(encoded);
        offsets.note((at, at + length), (made, out.len()));
        seen = at + length;
        copied = seen;
    }
    if offsets.is_empty() {
        return None;
    }
    out.extend_from_slice(&bytes[copied..]);
    String::from_utf8(out).ok().map(|out| (out, offsets))
}

/// The character that an escape at the start of `text` stands for, and its length.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    match text[0] {
        b'%' => percent(text),
        b'&' => entity(text),
        _ => backslash(text),
    }
}

fn hex(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

fn percent(text: &[u8]) -> Option<(char, usize)> {
    let first = u8::try_from(hex(text.get(1..3)?)?).ok()?;
    if first < 0x80 {
        return Some((char::from(first), 3));
    }
    // As many escapes as the first byte of UTF-8 says.
    let length = first.leading_ones() as usize;
    if !(2..=4).contains(&length) {
        return None;
    }
    let mut utf8 = [0; 4];
    for (index, place) in utf8.iter_mut().take(length).enumerate() {
        let escape = text.get(index * 3..index * 3 + 3)?;
        if escape[0] != b'%' {
            return None;
        }
        *place = u8::try_from(hex(&escape[1..])?).ok()?;
    }
    let character = std::str::from_utf8(&utf8[..length]).ok()?.chars().next()?;
    Some((character, length * 3))
}

fn entity(text: &[u8]) -> Option<(char, usize)> {
    const NAMES: [(&str, char); 12] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", ' '),
        ("commat", '@'),
        ("period", '.'),
        ("colon", ':'),
        ("shy", '\u{ad}'),
        ("zwnj", '\u{200c}'),
        ("ZeroWidthSpace", '\u{200b}'),
    ];
    let end = text.iter().take(16).position(|byte| *byte == b';')?;
    let name = std::str::from_utf8(&text[1..end]).ok()?;
    let character = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)?
        }
        None => NAMES.iter().find(|(known, _)| *known == name)?.1,
    };
    Some((character, end + 1))
}

fn backslash(text: &[u8]) -> Option<(char, usize)> {
    match text.get(1)? {
        b'n' => Some(('\n', 2)),
        b't' => Some(('\t', 2)),
        b'r' => Some(('\r', 2)),
        quoted @ (b'"' | b'\\' | b'/') => Some((char::from(*quoted), 2)),
        b'x' => Some((char::from(u8::try_from(hex(text.get(2..4)?)?).ok()?), 4)),
        b'u' => unicode(text),
        _ => None,
    }
}

fn unicode(text: &[u8]) -> Option<(char, usize)> {
    if text.get(2) == Some(&b'{') {
        let end = text.iter().take(10).position(|byte| *byte == b'}')?;
        return Some((char::from_u32(hex(&text[3..end])?)?, end + 1));
    }
    let first = hex(text.get(2..6)?)?;
    if (0xd800..0xdc00).contains(&first) && text.get(6..8) == Some(b"\\u") {
        let second = hex(text.get(8..12)?).filter(|second| (0xdc00..0xe000).contains(second))?;
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return Some((char::from_u32(code)?, 12));
    }
    Some((char::from_u32(first)?, 6))
}

/// Where the run of base64 (or hexadecimal) around a word that begins at `start` ends, padding included.
pub(crate) fn run_end(text: &[u8], start: usize) -> usize {
    let length = text[start..].iter().take_while(|byte| CLASS[**byte as usize] & (WORD | LINK) != 0);
    let mut end = start + length.count();
    while end < text.len() && class::at(text, end) == b'=' && end < start + usize::MAX / 2 {
        end += 1;
        if text[start..end].ends_with(b"===") {
            break;
        }
    }
    end
}

/// Whether a run may be text that [`run`] gives, by its first bytes: most are names, paths and digests.
pub(crate) fn may_be_run(run: &[u8]) -> bool {
    if run.len() < SHORTEST {
        return false;
    }
    if let Some(mut bytes) = digest(run) {
        return bytes.all(|byte| is_telling(byte, run.len()));
    }
    // No padding is among these.
    run[..12].as_chunks().0.iter().all(|four: &[u8; 4]| {
        let bits = four.iter().fold(0, |bits, byte| bits << 6 | u32::from(SEXTET[usize::from(*byte)]));
        bits.to_be_bytes()[1..].iter().all(|byte| is_text(*byte))
    })
}

/// The bits of the characters of base64, of either alphabet.
const SEXTET: [u8; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    let characters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    while at < 64 {
        table[characters[at as usize] as usize] = at;
        at += 1;
    }
    table[b'-' as usize] = 62;
    table[b'_' as usize] = 63;
    table
};

/// The text in a run, if it is one: mostly printable.
pub(crate) fn run(run: &[u8]) -> Option<String> {
    if run.len() < SHORTEST {
        return None;
    }
    if let Some(bytes) = digest(run) {
        return may_be_run(run).then(|| bytes.collect()).and_then(readable);
    }
    let engine = if run.iter().any(|byte| matches!(byte, b'-' | b'_')) { &URL_SAFE } else { &STANDARD };
    // The first bytes tell text from noise; most runs are names and paths, which are not decoded further.
    let mut head = [0; 12];
    let decoded = engine.decode_slice(&run[..SHORTEST], &mut head).ok()?;
    if !head[..decoded].iter().all(|byte| is_text(*byte)) {
        return None;
    }
    // A run that lacks its last character is one that was cut.
    let whole = if run.len() % 4 == 1 { &run[..run.len() - 1] } else { run };
    readable(engine.decode(whole).ok()?)
}

/// The bytes of a run of hexadecimal digits.
fn digest(run: &[u8]) -> Option<impl Iterator<Item = u8>> {
    let is_one = run.len().is_multiple_of(2) && run.iter().all(u8::is_ascii_hexdigit);
    is_one.then(|| run.as_chunks().0.iter().map(|[high, low]| nibble(*high) << 4 | nibble(*low)))
}

/// Whether a byte of so many hexadecimal digits may be of text. Most are digests and ids, and their first bytes tell.
fn is_telling(byte: u8, digits: usize) -> bool {
    is_text(byte) && (byte < 0x80 || digits >= 2 * TELLING)
}

/// The value of a hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..)
}

/// How many bytes tell that text beyond ASCII is text: of so many, hardly a digest is UTF-8 by chance.
pub(crate) const TELLING: usize = 32;

/// The text that bytes are. A few bytes beyond ASCII are rather a number or a digest that happens to be UTF-8.
fn readable(bytes: Vec<u8>) -> Option<String> {
    if !bytes.iter().all(|byte| is_text(*byte)) || (bytes.len() < TELLING && !bytes.is_ascii()) {
        return None;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    fn hexadecimal(text: &[u8]) -> String {
        text.iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn a_run_that_is_text_may_be_one(
            text in prop_oneof![
                "[ -~]{8,40}".prop_map(String::into_bytes),
                "\\PC{3,40}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 8..40),
            ],
            cut in 0usize..3,
        ) {
            let ways = [
                BASE64_STANDARD.encode(&text),
                BASE64_STANDARD_NO_PAD.encode(&text),
                BASE64_URL_SAFE.encode(&text),
                hexadecimal(&text),
                String::from_utf8_lossy(&text).into_owned(),
            ];
            for encoded in ways {
                let encoded = &encoded.as_bytes()[..encoded.len().saturating_sub(cut)];
                prop_assert!(run(encoded).is_none() || may_be_run(encoded), "{}", encoded.escape_ascii());
            }
        }
    }
}
