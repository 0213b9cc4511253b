//! Characters that a reader does not see and a model does.
//!
//! One finding for each run. Joiners inside scripts and emoji that need them, marks of direction among letters that run
//! from right to left, and one variation selector after a symbol are ordinary. What it leaves out: white text on white,
//! and whatever else only a renderer hides.

use super::Subject;
use crate::Entity;
use crate::text::class;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tags,
    ZeroWidth,
    Joiner,
    Mark,
    Bidi,
    Selector,
    Control,
}

fn kind(character: char) -> Option<Kind> {
    Some(match u32::from(character) {
        0xe0000..=0xe007f => Kind::Tags,
        0x200b
        | 0x2060..=0x2064
        | 0x206a..=0x206f
        | 0xfeff
        | 0x180e
        | 0x34f
        | 0x115f
        | 0x1160
        | 0x3164
        | 0xffa0 => Kind::ZeroWidth,
        0xad | 0x200c | 0x200d => Kind::Joiner,
        0x200e | 0x200f | 0x61c => Kind::Mark,
        0x202a..=0x202e | 0x2066..=0x2069 => Kind::Bidi,
        0xfe00..=0xfe0f | 0xe0100..=0xe01ef => Kind::Selector,
        0..=8 | 0xb | 0xc | 0xe..=0x1f | 0x7f..=0x9f => Kind::Control,
        _ => return None,
    })
}

/// Adds a finding for each run of hidden characters.
pub(crate) fn look(subject: &mut Subject<'_>) {
    let text = subject.text;
    let mut at = 0;
    while let Some(found) = next(text, at) {
        let mut end = found;
        let mut count = 0;
        let mut first = None;
        for character in text[found..].chars() {
            let Some(kind) = kind(character) else { break };
            first.get_or_insert(kind);
            if kind != Kind::Joiner || first == Some(Kind::Joiner) {
                first = first.max_by_weight(kind);
            }
            count += 1;
            end += character.len_utf8();
        }
        let before = text[..found].chars().next_back();
        let after = text[end..].chars().next();
        if let Some(kind) = first
            && let Some((detail, score)) = weigh(kind, count, before, after)
        {
            subject.hit(Entity::HiddenText, detail, found, end, score);
        }
        at = end;
    }
}

trait Heaviest {
    fn max_by_weight(self, kind: Kind) -> Self;
}

impl Heaviest for Option<Kind> {
    fn max_by_weight(self, kind: Kind) -> Self {
        let weight = |kind: Kind| match kind {
            Kind::Tags => 6,
            Kind::Bidi => 5,
            Kind::ZeroWidth => 4,
            Kind::Control => 3,
            Kind::Selector => 2,
            Kind::Mark => 1,
            Kind::Joiner => 0,
        };
        match self {
            Some(known) if weight(known) >= weight(kind) => self,
            _ => Some(kind),
        }
    }
}

fn next(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    loop {
        at = class::next_odd(bytes, at)?;
        let character = text[at..].chars().next()?;
        if kind(character).is_some() {
            return Some(at);
        }
        at += character.len_utf8();
    }
}

fn weigh(kind: Kind, count: usize, before: Option<char>, after: Option<char>) -> Option<(&'static str, f32)> {
    let is_latin = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    Some(match kind {
        Kind::Tags if before == Some('\u{1f3f4}') => return None,
        Kind::Tags => ("tags", 0.95),
        // A byte order mark at the start is an encoding's sign.
        Kind::ZeroWidth if before.is_none() && count == 1 => return None,
        Kind::ZeroWidth => ("zero-width", 0.8),
        Kind::Joiner if count > 1 => ("zero-width", 0.8),
        Kind::Joiner if is_latin(before) && is_latin(after) => ("zero-width", 0.6),
        Kind::Mark if count > 1 || (is_latin(before) && is_latin(after)) => ("direction", 0.6),
        Kind::Bidi => ("direction", 0.9),
        Kind::Selector if count > 1 => ("variation-selectors", 0.9),
        Kind::Selector if is_latin(before) && is_latin(after) => ("variation-selectors", 0.6),
        Kind::Joiner | Kind::Mark | Kind::Selector => return None,
        Kind::Control => ("control", 0.7),
    })
}
