//! Credentials that are told by how their parts fit together, where no part has a beginning of its own.
//!
//! The sweep comes upon a word with digits; here it is asked whether what stands beside it makes it one. Lengths and what is
//! between are as the issuers document or show them. What begins with something of its own is in `formats`.

use super::Subject;
use super::formats::of;
use super::secret::{is_jumbled, is_random};
use crate::Entity;
use crate::text::{class, decode};

/// A part: what stands before it, its characters, how many at least and at most.
struct Part(&'static str, u16, usize, usize);

/// The parts of a credential, of which the first is the word, what else the word has to be, and whose it is.
struct Row(&'static [Part], fn(&str) -> bool, &'static str);

const ROWS: &[Row] = &[
    Row(&[Part("", of::ALNUM, 14, 14), Part(".atlasv1.", of::TOKEN | of::EQUALS, 60, 70)], any, "terraform"),
    Row(&[Part("", of::HEX, 32, 32), Part("-us", of::DIGIT, 1, 2)], any, "mailchimp"),
    Row(&[Part("", of::HEX, 32, 32), Part("-", of::HEX, 8, 8), Part("-", of::HEX, 8, 8)], any, "mailgun"),
    Row(&[Part("", of::HEX, 32, 32), Part(".", of::ALNUM, 16, 16)], any, "zhipu"),
    Row(
        &[Part("", of::ALNUM, 15, 18), Part("!", of::TOKEN | of::DOT, 80, 130)],
        is_organisation,
        "salesforce",
    ),
    Row(&[Part("", of::ALNUM, 27, 27), Part("_", of::ALNUM, 20, 22)], is_of_this_age, "ngrok"),
    Row(
        &[Part("", of::ALNUM, 23, 28), Part(".", of::TOKEN, 6, 7), Part(".", of::TOKEN, 27, 38)],
        is_number_inside,
        "discord",
    ),
    Row(&[Part("", of::ALNUM, 40, 40)], |word| word.ends_with("NRAL"), "newrelic"),
    Row(&[Part("", of::ALNUM, 84, 84)], is_annotated, "azure"),
    Row(&[Part("", of::ALNUM, 52, 52)], |word| &word[42..46] == "AzSe", "azure"),
    Row(&[Part("", of::ALNUM, 16, 16), Part("$", of::HEX, 32, 32)], any, "braintree"),
    Row(&[Part("", of::HEX, 24, 24), Part(":", of::HEX, 64, 64)], any, "ghost"),
    Row(&[Part("", of::ALNUM, 22, 22), Part("==:", of::ALNUM, 32, 32)], any, "tableau"),
    Row(
        &[Part("", of::ALNUM, 64, 64), Part("_", of::ALNUM, 4, 4), Part("_", of::HEX | of::HYPHEN, 36, 36)],
        any,
        "webex",
    ),
    Row(&[Part("", of::ALNUM, 42, 42), Part("-NRMA", 0, 0, 0)], any, "newrelic"),
    Row(&[Part("", of::ALNUM, 11, 11), Part(":APA91b", of::TOKEN, 134, 134)], any, "firebase"),
    Row(&[Part("", of::ALNUM, 50, 51)], |word| &word[10..13] == "msh" && word.contains("jsn"), "rapidapi"),
];

/// The shortest first part.
pub(crate) const SHORTEST: usize = {
    let (mut shortest, mut at) = (usize::MAX, 0);
    while at < ROWS.len() {
        let least = ROWS[at].0[0].2;
        if least < shortest {
            shortest = least;
        }
        at += 1;
    }
    shortest
};

/// One bit for each row, by how long the first part is.
const BY_LENGTH: [u32; 128] = {
    let (mut rows, mut at) = ([0; 128], 0);
    while at < ROWS.len() {
        let mut length = ROWS[at].0[0].2;
        while length <= ROWS[at].0[0].3 {
            rows[length] |= 1 << at;
            length += 1;
        }
        at += 1;
    }
    rows
};

fn any(_: &str) -> bool {
    true
}

/// The id of an organisation, which begins a session's.
fn is_organisation(word: &str) -> bool {
    word.starts_with("00D")
}

/// Ids that begin with the time in which they were made.
fn is_of_this_age(word: &str) -> bool {
    word.starts_with(['1', '2', '3'])
}

/// The id of a bot's user, a number in base64.
fn is_number_inside(word: &str) -> bool {
    word.starts_with(['M', 'N', 'O'])
        && decode::run(word.as_bytes()).is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The marks of Azure's keys, and of Azure DevOps'.
fn is_annotated(word: &str) -> bool {
    &word[52..57] == "JQQJ9" || &word[76..80] == "AZDO"
}

/// Looks at what stands after the word from `start` to `end`, which has letters and digits; says where the credential ends.
pub(crate) fn look(subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
    let (word, bytes) = (&subject.text[start..end], subject.bytes);
    let mut rows = *BY_LENGTH.get(word.len())?;
    if rows == 0 || matches!(class::before(bytes, start), b'_' | b'-' | b'.') {
        return None;
    }
    let fits = |Row(parts, check, _): &Row| {
        let (first, after) = parts.split_first()?;
        // What is beside it tells sooner than what is in it.
        let stop = rest(bytes, end, after)?;
        (word.bytes().all(|byte| of::is(byte, first.1)) && check(word)).then_some(stop)
    };
    let (row, stop) = std::iter::from_fn(|| {
        let row = ROWS.get(rows.trailing_zeros() as usize)?;
        rows &= rows - 1;
        Some(row)
    })
    .find_map(|row| fits(row).map(|stop| (row, stop)))?;
    let has = |kind: fn(&u8) -> bool| bytes[end..stop].iter().any(kind);
    let worded = stop > end && !has(u8::is_ascii_digit) && !has(u8::is_ascii_uppercase);
    if worded || !is_random(word.as_bytes()) {
        return None;
    }
    subject.hit(Entity::Secret, row.2, start, stop, 0.95);
    Some(stop)
}

/// Where the parts end that begin at `at`; nothing that they could go on with stands behind.
fn rest(bytes: &[u8], mut at: usize, parts: &[Part]) -> Option<usize> {
    for Part(before, set, least, most) in parts {
        let tail = bytes[at..].strip_prefix(before.as_bytes())?;
        let length = tail.iter().take(most + 1).take_while(|byte| of::is(**byte, *set)).count();
        if !(least..=most).contains(&&length) {
            return None;
        }
        at += before.len() + length;
    }
    let next = class::at(bytes, at);
    (!class::is_word(next) && next != b'_').then_some(at)
}

/// The same for a word of digits.
pub(crate) fn numbered(subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
    let (stop, whose) = of_number(subject.bytes, start, end)?;
    subject.hit(Entity::Secret, whose, start, stop, 0.95);
    Some(stop)
}

/// Whether a credential begins with the digits from `start` to `end`: then they are no part of a number before them.
pub(crate) fn is_numbered(bytes: &[u8], start: usize, end: usize) -> bool {
    let google = &bytes[start..end] == b"1" && bytes[end..].starts_with(b"//0");
    google || of_number(bytes, start, end).is_some()
}

/// Where a credential ends that begins with a number, and whose it is.
fn of_number(bytes: &[u8], start: usize, end: usize) -> Option<(usize, &'static str)> {
    match class::at(bytes, end) {
        b'|' => Some((application(bytes, start, end)?, "facebook")),
        b'/' => Some((asana(bytes, start, end)?, "asana")),
        b'.' => Some((zoho(bytes, start, end)?, "zoho")),
        _ => None,
    }
}

/// Tokens of Facebook's applications: a number of 15 or 16 digits, a bar, 27 to 40 characters.
fn application(bytes: &[u8], start: usize, bar: usize) -> Option<usize> {
    let is_part = |byte: &&u8| of::is(**byte, of::TOKEN);
    let length = bytes[bar + 1..].iter().take(41).take_while(is_part).count();
    (matches!(bar - start, 15 | 16) && (27..=40).contains(&length)).then_some(bar + 1 + length)
}

/// Personal tokens: a version, the user's number, in some versions another, a colon, 32 characters.
fn asana(bytes: &[u8], start: usize, slash: usize) -> Option<usize> {
    let number = |at: usize| bytes[at..].iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    if slash - start != 1 || class::before(bytes, start) == b'/' {
        return None;
    }
    let mut at = slash + 1 + number(slash + 1);
    if class::at(bytes, at) == b'/' {
        at += 1 + number(at + 1);
    }
    rest(bytes, at, &[Part(":", of::HEX, 32, 32)]).filter(|_| at - slash > 10)
}

/// Access and refresh tokens: `1000`, and twice 32 characters.
fn zoho(bytes: &[u8], start: usize, dot: usize) -> Option<usize> {
    const PARTS: [Part; 2] = [Part(".", of::HEX, 32, 32), Part(".", of::HEX, 32, 32)];
    if bytes[start..dot] != *b"1000" {
        return None;
    }
    rest(bytes, dot, &PARTS)
}

/// Bot tokens: a number, a colon, 35 characters of which the first is an A. It stands at `start`, and the
/// colon before it.
pub(crate) fn telegram(subject: &mut Subject<'_>, start: usize) -> Option<usize> {
    let bytes = subject.bytes;
    let digits = bytes[..start - 1].iter().rev().take(17).take_while(|byte| byte.is_ascii_digit()).count();
    let length = bytes[start..].iter().take(36).take_while(|byte| of::is(**byte, of::TOKEN)).count();
    if !(5..=16).contains(&digits) || length != 35 {
        return None;
    }
    // The number of an account stands before a name in `arn:aws:sqs:us-east-1:123456789012:AccountService-…`.
    let token = &bytes[start..start + length];
    if !token.iter().any(u8::is_ascii_digit) && !is_jumbled(token, false) {
        return None;
    }
    subject.hit(Entity::Secret, "telegram", start - 1 - digits, start + length, 0.95);
    Some(start + length)
}

/// License keys of MaxMind: six characters, 29 and `mmk`. The word from `start` to `end` is the second part.
pub(crate) fn maxmind(subject: &mut Subject<'_>, start: usize, end: usize) -> Option<usize> {
    let stop = rest(subject.bytes, end, &[Part("_mmk", 0, 0, 0)]).filter(|_| end - start == 29)?;
    let from = start.checked_sub(7)?;
    let head = subject.bytes[from..start].strip_suffix(b"_")?;
    if !head.iter().all(|byte| class::is_word(*byte)) || class::is_word(class::before(subject.bytes, from)) {
        return None;
    }
    subject.hit(Entity::Secret, "maxmind", from, stop, 0.95);
    Some(stop)
}

/// A client secret of Entra, around the `Q~` in it: three characters and a digit before, 31 to 34 characters after. The word
/// that ends before the `~` ends at `end`.
pub(crate) fn entra(subject: &mut Subject<'_>, end: usize) -> Option<usize> {
    let bytes = subject.bytes;
    let is_part = |byte: u8| of::is(byte, of::TOKEN | of::DOT) || byte == b'~';
    let start = end.checked_sub(5)?;
    let [head @ .., digit, b'Q'] = &bytes[start..end] else { return None };
    let length = bytes[end + 1..].iter().take(35).take_while(|byte| is_part(**byte)).count();
    let before = class::before(bytes, start);
    if !digit.is_ascii_digit()
        || !head.iter().all(|byte| is_part(*byte))
        || class::is_word(before)
        || !(31..=34).contains(&length)
    {
        return None;
    }
    let stop = end + 1 + length;
    subject.hit(Entity::Secret, "azure", start, stop, 0.95);
    Some(stop)
}
