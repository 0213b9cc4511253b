//! A JSON string as what it says, with the way back to how it is written.

use std::borrow::Cow;

use wide::u8x16;

use crate::text::offsets::Offsets;

/// A string as it stands between its quotes.
pub(super) struct Quoted<'d> {
    pub(super) inner: &'d str,
    pub(super) escaped: bool,
}

impl<'d> Quoted<'d> {
    /// What it says.
    pub(super) fn text(&self) -> Cow<'d, str> {
        if self.escaped { unescape(self.inner).0 } else { Cow::Borrowed(self.inner) }
    }

    /// What it says, with the way back.
    pub(super) fn read(&self) -> (Cow<'d, str>, Offsets) {
        if self.escaped { unescape(self.inner) } else { (Cow::Borrowed(self.inner), Offsets::default()) }
    }
}

/// How many bytes of a string come before its end or an escape. Most are short.
pub(super) fn plain(rest: &[u8]) -> usize {
    let Some((head, tail)) = rest.split_first_chunk() else { return plain_far(rest) };
    let head = u8x16::new(*head);
    let ends = head.simd_eq(u8x16::splat(b'"')) | head.simd_eq(u8x16::splat(b'\\'));
    match ends.to_bitmask().trailing_zeros() as usize {
        at @ 0..16 => at,
        _ => 16 + plain_far(tail),
    }
}

fn plain_far(rest: &[u8]) -> usize {
    memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len())
}

/// The inside of a short string without escapes, by what follows its first quote; `None` also where the end of all is near.
pub(super) fn short(rest: &[u8]) -> Option<&[u8]> {
    let ends = |bytes: u8x16| bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\'));
    for (index, bytes) in rest.as_chunks().0.iter().take(4).enumerate() {
        if let at @ 0..16 = ends(u8x16::new(*bytes)).to_bitmask().trailing_zeros() as usize {
            let text = &rest[..index * 16 + at];
            return (bytes[at] == b'"').then_some(text);
        }
    }
    None
}

/// Where the next escape begins. Where there is one, the next is near.
fn backslash(rest: &[u8]) -> Option<usize> {
    let Some((head, tail)) = rest.split_first_chunk() else { return memchr::memchr(b'\\', rest) };
    match u8x16::new(*head).simd_eq(u8x16::splat(b'\\')).to_bitmask().trailing_zeros() as usize {
        at @ 0..16 => Some(at),
        _ => memchr::memchr(b'\\', tail).map(|at| 16 + at),
    }
}

/// What a string says; `None` for any other value.
pub(super) fn text_of(value: &str) -> Option<Cow<'_, str>> {
    value.strip_prefix('"')?.strip_suffix('"').map(|inner| unescape(inner).0)
}

/// What the inside of a checked JSON string says.
pub(crate) fn unescape(inner: &str) -> (Cow<'_, str>, Offsets) {
    let mut offsets = Offsets::default();
    let Some(first) = memchr::memchr(b'\\', inner.as_bytes()) else { return (Cow::Borrowed(inner), offsets) };
    let mut out = String::with_capacity(inner.len());
    let mut at = 0;
    let mut next = Some(first);
    while let Some(escape) = next {
        out.push_str(&inner[at..escape]);
        let (character, length) = one(&inner[escape..]);
        let made = out.len();
        out.push(character);
        offsets.note((escape, escape + length), (made, out.len()));
        at = escape + length;
        next = backslash(&inner.as_bytes()[at..]).map(|found| at + found);
    }
    out.push_str(&inner[at..]);
    (Cow::Owned(out), offsets)
}

/// The character that an escape stands for, and the escape's length. Half a surrogate pair reads as U+FFFD.
fn one(escape: &str) -> (char, usize) {
    let unit = |from: usize| escape.get(from..from + 4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    match escape.as_bytes().get(1) {
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(b'n') => ('\n', 2),
        Some(b'r') => ('\r', 2),
        Some(b't') => ('\t', 2),
        Some(b'u') => {
            let first = unit(2).unwrap_or(0xfffd);
            if (0xd800..0xdc00).contains(&first)
                && escape.get(6..8) == Some("\\u")
                && let Some(second @ 0xdc00..0xe000) = unit(8)
            {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
            }
            (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
        }
        Some(other) => (char::from(*other), 2),
        None => ('\\', 1),
    }
}

/// A quote as it is written one level of escapes deeper.
pub(crate) fn deeper(quote: &str) -> String {
    quote.chars().flat_map(|c| ['\\', c]).collect()
}
