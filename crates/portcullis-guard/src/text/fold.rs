//! Text without its disguise: invisible characters gone, look-alikes as the ASCII that they look like.
//!
//! Only made when there is something to fold: a text of ordinary letters, of whatever script, is scanned as it is. A
//! look-alike of another script is folded only in a word that also has ASCII letters or digits, so that Russian stays
//! Russian. What it leaves out: spelled-out digits, text in images, splitting over several messages.

use super::class;
use super::offsets::Offsets;

/// What a character is for a reader.
enum Form {
    Plain,
    /// Not seen at all.
    Invisible,
    /// Seen as this ASCII character, whatever stands around it.
    Same(u8),
    /// Looks like this ASCII letter, in the middle of a word of ASCII.
    Alike(u8),
}

/// Whether a reader sees nothing of it.
pub(crate) fn is_invisible(character: char) -> bool {
    matches!(u32::from(character),
        0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180e | 0x200b..=0x200f
        | 0x202a..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xe0000..=0xe01ef)
}

fn form(character: char) -> Form {
    let code = u32::from(character);
    let ascii = |from: u32, to: u8| Form::Same(to + u8::try_from(code - from).unwrap_or(0));
    match code {
        _ if is_invisible(character) => Form::Invisible,
        // White space, and what tells records and fields apart, stays; so does what is beyond ASCII, which is rather another
        // encoding's.
        4..=8 | 0xe..=0x1b | 0x7f => Form::Invisible,
        0xa0 | 0x2000..=0x200a | 0x202f | 0x205f | 0x3000 => Form::Same(b' '),
        0x2010..=0x2015 | 0x2212 | 0xfe58 | 0xfe63 => Form::Same(b'-'),
        0x2024 | 0x3002 | 0xff61 => Form::Same(b'.'),
        0xfe6b => Form::Same(b'@'),
        0xff01..=0xff5e => ascii(0xff01, b'!'),
        0x660..=0x669 => ascii(0x660, b'0'),
        0x6f0..=0x6f9 => ascii(0x6f0, b'0'),
        0x966..=0x96f => ascii(0x966, b'0'),
        0x1d7ce..=0x1d7ff => Form::Same(b'0' + ((code - 0x1d7ce) % 10) as u8),
        0x1d400..=0x1d6a3 => {
            let letter = ((code - 0x1d400) % 52) as u8;
            Form::Same(if letter < 26 { b'A' + letter } else { b'a' + letter - 26 })
        }
        0x2460..=0x2468 => ascii(0x2460, b'1'),
        0x24b6..=0x24cf => ascii(0x24b6, b'A'),
        0x24d0..=0x24e9 => ascii(0x24d0, b'a'),
        0x2070 => Form::Same(b'0'),
        0x2074..=0x2079 => ascii(0x2074, b'4'),
        0x2080..=0x2089 => ascii(0x2080, b'0'),
        _ => alike(character).map_or(Form::Plain, Form::Alike),
    }
}

/// Letters of other scripts that look like ASCII ones (Unicode TR 39, those of one glyph).
fn alike(character: char) -> Option<u8> {
    const PAIRS: &[(&str, &str)] = &[
        ("авеѕіјкӏмнорсԛтухԁһԝьԍ", "abesijklmhopcqtyxdhwbg"),
        ("АВЕЅІЈКМНОРСТУХԌԜҮ", "ABESIJKMHOPCTYXGWY"),
        ("αβικνορτυχγϲј", "abiknoptuxycj"),
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
        ("օսհոցյԼՕՍ", "ouhngjLOU"),
        ("ıɩɑɡʀʏ", "iiagry"),
    ];
    if !matches!(u32::from(character), 0x131 | 0x250..=0x2ff | 0x370..=0x58f) {
        return None;
    }
    PAIRS.iter().find_map(|(from, to)| {
        from.chars().position(|other| other == character).and_then(|at| to.as_bytes().get(at).copied())
    })
}

/// `text` without its disguise; `None` when there is nothing to fold.
pub(crate) fn fold(text: &str) -> Option<(String, Offsets)> {
    let mut out = String::new();
    let mut offsets = Offsets::default();
    let mut copied = 0;
    let mut seen = 0;
    let bytes = text.as_bytes();
    while let Some(at) = class::next_odd(bytes, seen) {
        let Some(character) = text[at..].chars().next() else { break };
        let end = at + character.len_utf8();
        seen = end;
        let becomes = match form(character) {
            Form::Invisible => None,
            Form::Same(byte) => Some(byte),
            Form::Alike(byte) if is_among_ascii(text, at, end) => Some(byte),
            Form::Plain | Form::Alike(_) => continue,
        };
        out.push_str(&text[copied..at]);
        let made = out.len();
        out.extend(becomes.map(char::from));
        offsets.note((at, end), (made, out.len()));
        copied = end;
    }
    if offsets.is_empty() {
        return None;
    }
    out.push_str(&text[copied..]);
    Some((out, offsets))
}

/// Whether the word around a character has ASCII letters or digits.
fn is_among_ascii(text: &str, start: usize, end: usize) -> bool {
    const REACH: usize = 24;
    let goes_on = |c: &char| c.is_alphanumeric() || is_invisible(*c) || matches!(c, '@' | '.' | '-' | '_');
    let ascii = |c: char| c.is_ascii_alphanumeric();
    text[..start].chars().rev().take(REACH).take_while(goes_on).any(ascii)
        || text[end..].chars().take(REACH).take_while(goes_on).any(ascii)
}
