//! Sentences, as the rules about orders read them: a word at which a rule begins, and the words around it.
//!
//! Most of the words at which rules begin are ordinary ones, and the next two or three tell: words are read as far as a rule
//! asks, and [`may_follow`] says beforehand whether one can be there at all. It does not know languages: a sentence ends at a
//! mark, and no word is brought to its stem.

use std::borrow::Cow;

use crate::text::class;

/// The sentence around an anchor, read word by word as far as a rule asks: most anchors are ordinary words, and the next
/// two or three tell.
pub(super) struct Sentence<'a> {
    text: &'a str,
    /// The word at which a rule begins.
    anchor: (usize, usize),
    pub(super) end: usize,
}

/// A word of a sentence.
pub(super) struct Word<'a> {
    pub(super) lower: Cow<'a, str>,
    /// The byte after it, a space at the end of the sentence.
    pub(super) after: u8,
}

impl<'a> Sentence<'a> {
    const REACH: usize = 240;

    pub(super) fn around(text: &'a str, anchor: (usize, usize)) -> Self {
        let bytes = text.as_bytes();
        let to = crate::context::floor(text, anchor.1 + Self::REACH).max(anchor.1);
        let rest = &bytes[anchor.1..to];
        let rest = &rest[..memchr::memchr3(b'\n', b'!', b'?', rest).unwrap_or(rest.len())];
        let stop = memchr::memchr_iter(b'.', rest).find(|at| is_full_stop(bytes, anchor.1 + at));
        Self { text, anchor, end: anchor.1 + stop.unwrap_or(rest.len()) }
    }

    pub(super) fn start(&self) -> usize {
        let bytes = self.text.as_bytes();
        let anchor = self.anchor.0;
        let from = crate::context::ceil(self.text, anchor.saturating_sub(Self::REACH)).min(anchor);
        let from = memchr::memrchr3(b'\n', b'!', b'?', &bytes[from..anchor]).map_or(from, |at| from + at + 1);
        let stop = memchr::memrchr_iter(b'.', &bytes[from..anchor]).find(|at| is_full_stop(bytes, from + at));
        let start = stop.map_or(from, |at| from + at + 1);
        anchor - self.text[start..anchor].trim_start().len()
    }

    /// Whether something stands in quotes before the anchor.
    pub(super) fn is_quoted_before(&self) -> bool {
        self.text[self.start()..self.anchor.0].contains(['"', '“', '\''])
    }

    /// The words before the anchor.
    pub(super) fn before(&self) -> impl Iterator<Item = Word<'a>> {
        words(&self.text[self.start()..self.anchor.0])
    }

    /// The anchor and what follows.
    pub(super) fn words(&self) -> impl Iterator<Item = Word<'a>> {
        words(&self.text[self.anchor.0..self.end])
    }

    /// The place of the first of `count` words from `from` on that is meant.
    pub(super) fn within(&self, from: usize, count: usize, is_meant: impl Fn(&str) -> bool) -> Option<usize> {
        self.words().skip(from).take(count).position(|word| is_meant(&word.lower)).map(|at| from + at)
    }
}

/// Whether the full stop at `at` ends a sentence: one inside a name, a number or a path goes on, and of several the last ends it.
fn is_full_stop(bytes: &[u8], at: usize) -> bool {
    let next = class::at(bytes, at + 1);
    !class::is_word(next) && !matches!(next, b'.' | b'/')
}

fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let bytes = text.as_bytes();
        while at < bytes.len() && part(text, at) == 0 {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
        let start = at;
        while at < bytes.len() {
            match part(text, at) {
                0 => break,
                length => at += length,
            }
        }
        if start == at {
            return None;
        }
        let word = text[start..at].trim_matches(['\'', '.', '-']);
        let is_lower = word.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        let lower = if is_lower { Cow::Borrowed(word) } else { Cow::Owned(word.to_lowercase()) };
        Some(Word { lower, after: class::at(bytes, at) })
    })
}

/// How many bytes the part of a word at `at` has; none where there is none.
fn part(text: &str, at: usize) -> usize {
    match text.as_bytes()[at] {
        byte @ 0..0x80 => usize::from(PART[usize::from(byte)] & (INNER | EDGE) != 0),
        _ => text[at..].chars().next().filter(|c| c.is_alphanumeric()).map_or(0, char::len_utf8),
    }
}

/// Whether one of the `count` words after the one that ends at `end` is meant, or may be: words beyond ASCII are not looked at
/// here, nor those that are far away.
pub(super) fn may_follow(
    bytes: &[u8],
    end: usize,
    count: usize,
    is_meant: impl Fn(usize, usize) -> bool,
) -> bool {
    let limit = bytes.len().min(end + Sentence::REACH);
    let skip = |from: usize, class: u8| {
        from + bytes[from..limit].iter().take_while(|byte| PART[usize::from(**byte)] & class != 0).count()
    };
    let is_far = |at: usize| at == limit && limit < bytes.len();
    let mut at = skip(end, INNER | EDGE);
    for _ in 0..count {
        let start = skip(at, EDGE | BETWEEN);
        if is_far(start) {
            return true;
        }
        match bytes.get(start) {
            Some(0x80..) => return true,
            None | Some(b'\n' | b'!' | b'?') => return false,
            Some(_) => {}
        }
        at = skip(start, INNER | EDGE);
        if is_far(at) || class::at(bytes, at) >= 0x80 {
            return true;
        }
        // A sentence may end inside of what looks like one word: `code.~/x`.
        let stop =
            memchr::memchr_iter(b'.', &bytes[start..at]).find(|stop| is_full_stop(bytes, start + stop));
        let word = &bytes[start..stop.map_or(at, |stop| start + stop)];
        let edge = word.iter().rev().take_while(|byte| PART[usize::from(**byte)] & EDGE != 0).count();
        if is_meant(start, start + word.len() - edge) {
            return true;
        }
    }
    false
}

/// A part of a word of a sentence.
const INNER: u8 = 1;
/// The same, but not where the word begins or ends.
const EDGE: u8 = 2;
/// What stands between words, but for what ends a sentence.
const BETWEEN: u8 = 4;

/// What every byte of ASCII is to the words of a sentence.
const PART: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x80 {
        table[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'/' | b'~' | b'@' => INNER,
            b'\'' | b'.' | b'-' => EDGE,
            b'\n' | b'!' | b'?' => 0,
            _ => BETWEEN,
        };
        byte += 1;
    }
    table
};
