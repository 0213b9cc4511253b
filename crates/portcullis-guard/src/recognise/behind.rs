//! Values whose name stands behind them, whatever is between: in tables, calls, markup, and what people write.
//!
//! `assigned` goes from a sign to the value after it. Here it begins with a word that chance has made, and goes back over marks,
//! line ends and a few words that say nothing (`is`, `string`, `default`) to the one that does. What it leaves out: values that
//! are short or have no digits, of which there are too many in every text, and names that say no more than `key`.

use super::Subject;
use super::assigned::Announced;
use super::formats::of;
use super::secret::{entropy, is_jumbled, is_placeholder, is_random, is_uuid, jumps};
use crate::Entity;
use crate::text::class;

/// How long a value is at least and at most.
const LEAST: usize = 16;
const MOST: usize = 512;
/// How long a value is of which less has to be by chance in each place.
const LONG: usize = 24;
/// How much of it stands at most before the word that is looked behind.
const HEAD: usize = 64;
/// How long a word in it is that is looked behind.
pub(crate) const WORD: usize = 8;
/// How long a name is.
const NAME: usize = 60;
/// How many marks stand between two words, how many line ends among them, and how many words say nothing.
const MARKS: usize = 24;
const LINES: usize = 3;
const IDLE: usize = 3;

/// Words in what services begin their credentials with, and how long the rest is then.
const MARKED: [&str; 6] = ["live", "prod", "sk", "secret", "pat", "apikey"];
const PREFIXED: usize = 20;

/// Looks behind the word from `start` to `end`, which has letters and digits; says where the value ends that it found.
pub(crate) fn look(subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
    let bytes = subject.bytes;
    let is_part = |byte: u8| of::is(byte, of::TOKEN | of::SLASH | of::EQUALS | of::DOT) || byte == b'~';
    // Bounded, since each of the words of a value may be looked behind.
    let before = bytes[..start].iter().rev().take(HEAD).take_while(|byte| is_part(**byte)).count();
    if before == HEAD {
        return None;
    }
    // What stands before a sign of assignment is no part of the value behind it.
    let from = start - before;
    let from = from + bytes[from..start].iter().rposition(|byte| *byte == b'=').map_or(0, |at| at + 1);
    if is_prefix(&subject.text[from..start]) && end - start >= PREFIXED && is_drawn(&subject.text[start..end])
    {
        subject.hit(Entity::Secret, "prefixed", from, end, 0.7);
        return Some(end);
    }
    let name = name_behind(subject.text, from)?;
    let entity = match subject.names.announced(subject.words, name) {
        Announced::Secret => Entity::Secret,
        Announced::Password => Entity::Password,
        _ => return None,
    };
    let length = end - from + bytes[end..].iter().take(MOST).take_while(|byte| is_part(**byte)).count();
    let mut stop = from + length;
    while stop > end && matches!(bytes[stop - 1], b'.' | b'-') {
        stop -= 1;
    }
    let value = subject.text.get(from..stop)?;
    if !(LEAST..MOST).contains(&value.len()) || is_uuid(value.as_bytes()) || !is_drawn(value) {
        return None;
    }
    subject.hit(entity, if entity == Entity::Secret { "assigned" } else { "" }, from, stop, 0.7);
    Some(stop)
}

/// Whether it is how services mark their credentials: `acme_live_`, `mj_sk_`.
fn is_prefix(head: &str) -> bool {
    let is_part =
        |part: &str| (1..=10).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_lowercase());
    head.strip_suffix('_').is_some_and(|head| {
        let mut parts = head.split('_');
        parts.clone().all(is_part) && parts.any(|part| MARKED.contains(&part))
    })
}

/// Whether a value is drawn by chance, and neither a path nor a name of code.
fn is_drawn(value: &str) -> bool {
    let bytes = value.as_bytes();
    let is_path = bytes.iter().any(|byte| matches!(byte, b'/' | b'.'))
        && (value.len() < 40 || entropy(bytes) < 4.5 || value.matches(['/', '.']).count() * 12 > value.len());
    let is_chance = if value.len() < LONG {
        is_random(bytes) && is_jumbled(bytes, false) && entropy(bytes) >= 3.0
    } else if bytes.iter().all(u8::is_ascii_hexdigit) {
        let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
        ((4..=bytes.len() - 4).contains(&digits) || is_random(bytes)) && entropy(bytes) >= 2.8
    } else {
        is_long_chance(bytes) && entropy(bytes) >= 3.0
    };
    is_chance && !is_path && !is_placeholder(value)
}

/// The same as random and jumbled of what is long enough that chance makes a few digits in a row, or a few in all.
fn is_long_chance(value: &[u8]) -> bool {
    let count = |kind: fn(&u8) -> bool| value.iter().filter(|byte| kind(byte)).count();
    let (digits, letters) = (count(u8::is_ascii_digit), count(u8::is_ascii_alphabetic));
    let rows = value.array_windows::<2>().filter(|pair| pair.iter().all(u8::is_ascii_digit)).count();
    // From digit to digit there is no jump; what is mostly digits is a number all the same.
    let (jumps, steps) = (jumps(value), value.len() - rows.min(value.len() / 3));
    jumps * 10 >= steps * 3 && (is_random(value) || digits >= 2 && letters >= 2 && jumps * 2 >= steps)
}

/// The name behind `from`, over marks, ends of tags, and words that say nothing.
fn name_behind(text: &str, from: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    let is_name = |byte: u8| class::is_word(byte) || matches!(byte, b'_' | b'-' | b'.' | b':');
    let (mut at, mut lines) = (from, 0);
    for _ in 0..=IDLE {
        let floor = at.saturating_sub(MARKS);
        while at > floor && !class::is_word(bytes[at - 1]) {
            at -= 1;
            lines += usize::from(bytes[at] == b'\n');
            let ends = matches!(bytes[at], b'.' | b'!') && class::at(bytes, at + 1) <= b' ';
            if lines > LINES || ends {
                return None;
            }
        }
        let start = at - bytes[..at].iter().rev().take(NAME).take_while(|byte| is_name(**byte)).count();
        let word = text.get(start..at)?;
        if at == from || word.len() >= NAME {
            return None;
        }
        let bare = word.rsplit(['.', ':']).next().unwrap_or(word);
        let is_tag_end = bytes[..start].ends_with(b"</");
        if !is_tag_end && !is_nothing(bare) {
            return if word.eq_ignore_ascii_case("key") { two_words(text, start, at) } else { Some(word) };
        }
        at = start;
    }
    None
}

/// Whether a word between a name and its value says nothing.
fn is_nothing(word: &str) -> bool {
    let mut lower = [0; "serializeas".len()];
    let Some(lower) = lower.get_mut(..word.len()) else { return false };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    let is_of_text =
        matches!(&*lower, b"string" | b"str" | b"text" | b"value" | b"default" | b"literal" | b"vault");
    let is_of_code = matches!(
        &*lower,
        b"bytes" | b"byte" | b"code" | b"bash" | b"json" | b"set" | b"get" | b"android" | b"serializeas"
    );
    let is_mark = matches!(&*lower, b"b" | b"u" | b"r" | b"f" | b"td" | b"th" | b"gt" | b"quot");
    is_of_text || is_of_code || is_mark || matches!(&*lower, b"is" | b"was" | b"to" | b"as" | b"or")
}

/// `API key`: the word at `start` with the one before it.
fn two_words(text: &str, start: usize, end: usize) -> Option<&str> {
    let head = text[..start].strip_suffix([' ', '-', '_'])?;
    let first = head.len() - head.bytes().rev().take(20).take_while(|byte| class::is_letter(*byte)).count();
    (first < head.len()).then(|| &text[first..end])
}
