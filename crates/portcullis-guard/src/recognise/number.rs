//! Numbers: one reading of the digits at hand, then the question what they are.
//!
//! The same digits can be several things. What the words next to them say goes first, then what their form proves; a
//! number that nothing speaks for is nothing.

use super::national::{KINDS, Kind, Proof};
use super::{Subject, card, date, lettered, mrz, network, parts, phone};
use crate::Entity;
use crate::context::Topics;
use crate::text::class;

/// Most groups and digits that are read as one number.
const GROUPS: usize = 12;
const DIGITS: usize = 24;

/// Fewer digits are an address of a machine, a part of a date, or nothing.
const FEWEST: usize = 6;

/// Digits in groups, with what stands between them.
pub(crate) struct Number {
    pub(crate) start: usize,
    digits: [u8; DIGITS],
    /// Start and end of each group.
    groups: [(usize, usize); GROUPS],
    count: usize,
    /// Digits in all groups.
    total: usize,
}

impl Number {
    /// Reads on from a digit. Groups are apart by one separator, or by one and a space.
    fn read(bytes: &[u8], start: usize) -> Self {
        let mut number = Self { start, digits: [0; DIGITS], groups: [(0, 0); GROUPS], count: 0, total: 0 };
        let (mut at, mut digits) = (start, 0);
        while number.count < GROUPS {
            let from = at;
            if number.count > 0 && begins_credential(bytes, from) {
                break;
            }
            while at < bytes.len() && bytes[at].is_ascii_digit() {
                if digits < DIGITS {
                    number.digits[digits] = bytes[at] - b'0';
                }
                digits += 1;
                at += 1;
            }
            if digits > DIGITS && number.count > 0 {
                break;
            }
            number.groups[number.count] = (from, at);
            number.count += 1;
            number.total = digits;
            let gap = bytes[at..].iter().take(3).take_while(|byte| is_separator(**byte)).count();
            let goes_on = matches!(gap, 1 | 2) && class::at(bytes, at + gap).is_ascii_digit();
            if !goes_on || (gap == 2 && bytes[at] == bytes[at + 1] && bytes[at] != b' ') {
                break;
            }
            at += gap;
        }
        number
    }

    fn lengths(&self, from: usize, count: usize) -> [usize; GROUPS] {
        let mut lengths = [0; GROUPS];
        for (length, (start, end)) in lengths.iter_mut().zip(&self.groups[from..from + count]) {
            *length = end - start;
        }
        lengths
    }

    fn end(&self, count: usize) -> usize {
        self.groups[count - 1].1
    }

    /// The digits of the first `count` groups; `None` when they are too many.
    fn digits(&self, count: usize) -> Option<&[u8]> {
        let length: usize = self.groups[..count].iter().map(|(start, end)| end - start).sum();
        self.digits.get(..length)
    }

    /// The bytes between the first `count` groups, the first of each gap.
    fn separators(&self, bytes: &[u8], count: usize) -> [u8; GROUPS] {
        let mut separators = [0; GROUPS];
        for (separator, (_, end)) in separators.iter_mut().zip(&self.groups[..count - 1]) {
            *separator = bytes[*end];
        }
        separators
    }
}

/// Whether the digits at `start` are the beginning of a credential rather than of a number's next group.
fn begins_credential(bytes: &[u8], start: usize) -> bool {
    let length = bytes[start..].iter().take(DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
    parts::is_numbered(bytes, start, start + length)
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')')
}

/// The end of a few digits that no others follow: nothing, or the day of a month.
fn alone(bytes: &[u8], start: usize) -> Option<usize> {
    let end = start + bytes[start..].iter().take(FEWEST).take_while(|byte| byte.is_ascii_digit()).count();
    let next = |further: usize| class::at(bytes, end + further);
    let goes_on = is_separator(next(0))
        && (next(1).is_ascii_digit() || is_separator(next(1)) && next(2).is_ascii_digit());
    (end - start < FEWEST && !goes_on).then_some(end)
}

/// Looks at the number that begins at `start`, where a word of digits begins; says where to go on.
pub(crate) fn look(subject: &mut Subject<'_>, start: usize) -> usize {
    let bytes = subject.bytes;
    if let Some(end) = alone(bytes, start) {
        let day = end - start <= 2 && is_separator(class::at(bytes, end));
        return day.then(|| date::look(subject, start)).flatten().unwrap_or(end);
    }
    let number = Number::read(bytes, start);
    let first_end = number.end(1);
    if class::at(bytes, first_end) == b'<'
        && let Some(end) = mrz::look(subject, start)
    {
        return end;
    }
    if number.total < FEWEST {
        return network::ipv4(subject, start).or_else(|| date::look(subject, start)).unwrap_or(first_end);
    }
    if class::before(bytes, start) == b'+' {
        if let Some(end) = international(subject, &number) {
            return end;
        }
    } else if let Some(end) = international_by_zeros(subject, &number) {
        return end;
    }
    if let Some(end) = network::ipv4(subject, start).or_else(|| date::look(subject, start)) {
        return end;
    }
    if first_end - start == 6
        && let Some(end) = hetu(subject, start)
    {
        return end;
    }
    if is_part_of_other(bytes, start) {
        return first_end;
    }
    let context = Context::of(subject, &number);
    // Some that are named pass a card's check, too.
    let is_named = context.near.any(Topics::IDENTITY) && !context.near.has(Topics::CARD);
    let found = if is_named { national(subject, &number, context) } else { None }
        .or_else(|| card(subject, &number, context))
        .or_else(|| insurance(subject, &number, context))
        .or_else(|| tailed(subject, &number))
        .or_else(|| if context.near.has(Topics::PASSPORT) { passport(subject, &number) } else { None })
        .or_else(|| if context.is_phone() { telephone(subject, &number, context) } else { None })
        .or_else(|| national(subject, &number, context))
        .or_else(|| telephone(subject, &number, context))
        .or_else(|| if context.all.has(Topics::PASSPORT) { passport(subject, &number) } else { None });
    found.unwrap_or(first_end)
}

/// What is said about a number.
#[derive(Clone, Copy)]
struct Context {
    /// By all words around and the key.
    all: Topics,
    /// By the last word before it that names a kind.
    near: Topics,
}

impl Context {
    fn of(subject: &Subject<'_>, number: &Number) -> Self {
        Self {
            all: subject.around(number.start, number.end(number.count)),
            near: subject.nearest(number.start),
        }
    }

    fn is_phone(self) -> bool {
        self.near.has(Topics::PHONE) && !self.near.any(Topics::IDENTITY)
    }

    /// Whether it is said to be a number of something that is of no concern.
    fn is_other(self) -> bool {
        let others = Topics::OTHER.or(Topics::VERSION);
        self.near.any(others) && !self.near.any(Topics::KINDS.without(others))
    }
}

/// Decimal fractions, parts of longer words, and what comes after `#` or `$`.
fn is_part_of_other(bytes: &[u8], start: usize) -> bool {
    let before = class::before(bytes, start);
    let further = |distance: usize| start.checked_sub(distance).map_or(b' ', |at| bytes[at]);
    match before {
        b'_' | b'$' | b'#' | b'%' | b'~' => true,
        b'.' | b',' => further(2).is_ascii_digit(),
        // A segment of a path.
        b'/' => class::is_letter(further(2)) || further(2) == b'/',
        b'-' => class::is_word(further(2)) && !further(2).is_ascii_digit() && class::is_word(further(3)),
        _ => false,
    }
}

/// Whether digits stand before, one separator away: the number is the rest of a longer one.
fn goes_on(bytes: &[u8], start: usize) -> bool {
    start >= 2 && matches!(bytes[start - 1], b' ' | b'-') && bytes[start - 2].is_ascii_digit()
}

fn ends_clean(bytes: &[u8], end: usize) -> bool {
    let next = class::at(bytes, end);
    let after = class::at(bytes, end + 1);
    !class::is_word(next) && next != b'_' && !(matches!(next, b'.' | b',') && after.is_ascii_digit())
}

/// The same, or an extension follows.
fn ends_as_phone(bytes: &[u8], end: usize) -> bool {
    ends_clean(bytes, end) || extension(bytes, end) > end
}

/// `+` and a country code.
fn international(subject: &mut Subject<'_>, number: &Number) -> Option<usize> {
    let end = longest(number, |count| {
        let digits = number.digits(count)?;
        let fits = (7..=15).contains(&digits.len()) && phone::is_international(&without_trunk(number, count));
        (fits && ends_as_phone(subject.bytes, number.end(count))).then(|| number.end(count))
    })?;
    let end = extension(subject.bytes, end);
    // `(+358) 9 …`
    let plus = number.start - 1;
    let bracketed =
        class::before(subject.bytes, plus) == b'(' && class::at(subject.bytes, number.end(1)) == b')';
    subject.hit(Entity::Phone, "", plus - usize::from(bracketed), end, 0.95);
    Some(end)
}

/// The digits without a `(0)` after the country code.
fn without_trunk(number: &Number, count: usize) -> Vec<u8> {
    let mut digits = Vec::with_capacity(DIGITS);
    let mut at = 0;
    for (index, (start, end)) in number.groups[..count].iter().enumerate() {
        let group = &number.digits[at..at + (end - start)];
        at += end - start;
        if !(index == 1 && group == [0]) {
            digits.extend_from_slice(group);
        }
    }
    digits
}

/// `00` and a country code, `001-…`.
fn international_by_zeros(subject: &mut Subject<'_>, number: &Number) -> Option<usize> {
    if !number.digits.starts_with(&[0, 0]) || number.digits[2] == 0 || goes_on(subject.bytes, number.start) {
        return None;
    }
    let end = longest(number, |count| {
        let digits = number.digits(count)?;
        let fits = (10..=17).contains(&digits.len()) && phone::is_international(&digits[2..]);
        (fits && ends_as_phone(subject.bytes, number.end(count))).then(|| number.end(count))
    })?;
    let grouped = number.end(1) < end;
    if !grouped && !subject.around(number.start, end).has(Topics::PHONE) {
        return None;
    }
    let end = extension(subject.bytes, end);
    subject.hit(Entity::Phone, "", number.start, end, 0.8);
    Some(end)
}

/// The answer for the most groups for which there is one.
fn longest<T>(number: &Number, answer: impl Fn(usize) -> Option<T>) -> Option<T> {
    (1..=number.count).rev().find_map(answer)
}

/// The end of a number with the extension after it, if there is one: `x123`, `ext. 45`.
fn extension(bytes: &[u8], end: usize) -> usize {
    let rest = &bytes[end..bytes.len().min(end + 14)];
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let rest = &rest[spaces..];
    let Some(word) = ["ext. ", "ext.", "ext ", "extension ", "x"]
        .iter()
        .find(|word| rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes())))
    else {
        return end;
    };
    let digits = rest[word.len()..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let after = end + spaces + word.len() + digits;
    if (1..=6).contains(&digits) && !class::is_word(class::at(bytes, after)) { after } else { end }
}

fn card(subject: &mut Subject<'_>, number: &Number, context: Context) -> Option<usize> {
    let (issuer, count) = longest(number, |count| {
        let digits = number.digits(count)?;
        let lengths = number.lengths(0, count);
        let separators = number.separators(subject.bytes, count);
        let separators = &separators[..count - 1];
        let even = separators.iter().all(|byte| matches!(byte, b' ' | b'-') && *byte == separators[0]);
        if !even || !card::is_printed(&lengths[..count]) || !ends_clean(subject.bytes, number.end(count)) {
            return None;
        }
        let unknown = context.near.has(Topics::CARD) && card::may_be_card(digits);
        card::issuer(digits).or(unknown.then_some("")).map(|issuer| (issuer, count))
    })?;
    let long = number.digits(count).is_some_and(|digits| digits.len() >= 14);
    let named = context.all.has(Topics::CARD);
    let score = match (named, long || count > 1, context.is_other() || context.near.any(Topics::PHONE)) {
        (true, ..) => 0.99,
        (_, true, false) => 0.9,
        (_, true, true) => 0.6,
        (_, false, false) => 0.55,
        (_, false, true) => return None,
    };
    let end = number.end(count);
    subject.hit(Entity::CreditCard, issuer, number.start, end, score);
    Some(end)
}

fn national(subject: &mut Subject<'_>, number: &Number, context: Context) -> Option<usize> {
    let (kind, count, score) = longest(number, |count| {
        let digits = number.digits(count)?;
        if !ends_clean(subject.bytes, number.end(count)) {
            return None;
        }
        let lengths = number.lengths(0, count);
        let best = KINDS.iter().filter(|kind| kind.length == digits.len()).filter_map(|kind| {
            let shaped = kind.shapes.contains(&&lengths[..count]);
            let score = if count == 1 || shaped { weight(kind, shaped, context) } else { return None };
            (score > 0.0 && (kind.is_valid)(digits)).then_some((kind, score))
        });
        // Of equals the first: the table has those first that prove more.
        let (kind, score) = best.rev().max_by(|left, right| left.1.total_cmp(&right.1))?;
        Some((kind, count, score))
    })?;
    let end = number.end(count);
    subject.hit(Entity::NationalId, kind.country, number.start, end, score);
    Some(end)
}

/// How sure an identifier of this kind is that has passed its check; nothing when context is missing.
fn weight(kind: &Kind, shaped: bool, context: Context) -> f32 {
    let named = context.all.has(kind.topics) && !(context.is_other());
    let spoken_of = context.all.has(Topics::IDENTITY);
    if named {
        return 0.97;
    }
    if context.is_other() || context.near.any(Topics::PHONE) {
        return 0.0;
    }
    match (kind.proof, shaped, spoken_of) {
        (Proof::Strong, _, true) | (Proof::Shaped, true, true) => 0.9,
        (Proof::Weak | Proof::Shaped, _, true) => 0.75,
        (Proof::Strong, true, false) => 0.8,
        (Proof::Strong, false, false) => 0.65,
        (Proof::Shaped, true, false) => 0.7,
        _ => 0.0,
    }
}

/// Digits with a letter at their end that stands apart: `12345678-Z`, `12.345.678-Z`, `AB 12 34 56 C`.
fn tailed(subject: &mut Subject<'_>, number: &Number) -> Option<usize> {
    let bytes = subject.bytes;
    let mut word = Vec::with_capacity(12);
    let mut start = number.start;
    let head: &[u8] = &bytes[start.saturating_sub(4)..start];
    match head {
        [.., before, letter, b'-'] if matches!(letter, b'X'..=b'Z') && !class::is_word(*before) => {
            word.push(*letter);
            start -= 2;
        }
        [before, first, second, b' ' | b'-']
            if first.is_ascii_uppercase() && second.is_ascii_uppercase() && !class::is_word(*before) =>
        {
            word.extend([*first, *second]);
            start -= 3;
        }
        [first, second, b' '] if first.is_ascii_uppercase() && second.is_ascii_uppercase() => {
            word.extend([*first, *second]);
            start -= 3;
        }
        _ => {}
    }
    let digits = number.digits(number.count)?;
    word.extend(digits.iter().map(|digit| digit + b'0'));
    let mut end = number.end(number.count);
    if matches!(class::at(bytes, end), b'-' | b' ') {
        end += 1;
    }
    let letters =
        bytes[end.min(bytes.len())..].iter().take(3).take_while(|byte| byte.is_ascii_uppercase()).count();
    if letters == 0 || letters > 2 || class::is_word(class::at(bytes, end + letters)) {
        return None;
    }
    word.extend(&bytes[end..end + letters]);
    let end = end + letters;
    let around = subject.around(start, end);
    let (country, proof, topics) = lettered::find(&word, || around)?;
    let spaced = word.len() < 3 || !word[0].is_ascii_uppercase();
    if proof != Proof::Strong && !around.any(Topics::IDENTITY)
        || spaced && class::at(bytes, end - letters - 1) == b' ' && !around.has(Topics::IDENTITY)
    {
        return None;
    }
    subject.hit(Entity::NationalId, country, start, end, if around.has(topics) { 0.97 } else { 0.8 });
    Some(end)
}

/// Germany's with the letter in the middle, as it is printed: `15 070649 C 103`.
fn insurance(subject: &mut Subject<'_>, number: &Number, context: Context) -> Option<usize> {
    let end = number.end(number.count.min(2));
    let tail = subject.bytes.get(end..end + 6)?;
    let is_printed = number.lengths(0, number.count)[..number.count] == [2, 6]
        && tail[0] == b' '
        && tail[1].is_ascii_uppercase()
        && tail[2] == b' '
        && tail[3..].iter().all(u8::is_ascii_digit);
    if !is_printed || !ends_clean(subject.bytes, end + 6) || !context.all.has(Topics::IDENTITY) {
        return None;
    }
    let mut word: Vec<u8> = number.digits(2)?.iter().map(|digit| digit + b'0').collect();
    word.push(tail[1]);
    word.extend(&tail[3..]);
    let (country, _, topics) = lettered::find(&word, || context.all)?;
    let score = if context.all.has(topics) { 0.97 } else { 0.8 };
    subject.hit(Entity::NationalId, country, number.start, end + 6, score);
    Some(end + 6)
}

/// Finland's: `131052-308T`.
fn hetu(subject: &mut Subject<'_>, start: usize) -> Option<usize> {
    let word = subject.bytes.get(start..start + 11)?;
    if class::is_word(class::at(subject.bytes, start + 11)) {
        return None;
    }
    let near = subject.nearest(start);
    if near.any(Topics::COUNTRIES) && !near.has(Topics::country("FI")) {
        return None;
    }
    let (country, ..) = lettered::find(word, || Topics::country("FI"))?;
    subject.hit(Entity::NationalId, country, start, start + 11, 0.9);
    Some(start + 11)
}

fn passport(subject: &mut Subject<'_>, number: &Number) -> Option<usize> {
    let digits = number.digits(1)?;
    let end = number.end(1);
    if !(6..=10).contains(&digits.len()) || !ends_clean(subject.bytes, end) {
        return None;
    }
    subject.hit(Entity::Passport, "", number.start, end, 0.75);
    Some(end)
}

/// Codes of places: `NE 93558 …` in the United States, `4490-267 Mealhada` in Portugal.
fn is_postal(bytes: &[u8], start: usize, groups: &[usize], end: usize) -> bool {
    let is_state = |head: &[u8]| {
        matches!(head, [before, first, second, b' ']
            if first.is_ascii_uppercase() && second.is_ascii_uppercase() && !class::is_word(*before))
    };
    match groups {
        [5, ..] => start >= 4 && is_state(&bytes[start - 4..start]),
        [4, 3] => {
            class::at(bytes, end - 4) == b'-'
                && class::at(bytes, end) == b' '
                && class::at(bytes, end + 1).is_ascii_uppercase()
                && class::at(bytes, end + 2).is_ascii_lowercase()
        }
        _ => false,
    }
}

/// What speaks against a telephone number. Accounts stand beside them, and look different.
const OTHERS: Topics = Topics::KINDS.without(Topics::PHONE).without(Topics::BANK);

fn telephone(subject: &mut Subject<'_>, number: &Number, context: Context) -> Option<usize> {
    let bytes = subject.bytes;
    let has_area = class::before(bytes, number.start) == b'(';
    let named = context.is_phone() || context.all.has(Topics::PHONE) && !context.near.any(OTHERS);
    let (count, score) = longest(number, |count| {
        let digits = number.digits(count)?;
        let lengths = number.lengths(0, count);
        let separators = number.separators(bytes, count);
        let shape = phone::shape(digits, &lengths[..count], &separators[..count - 1], has_area);
        if is_postal(bytes, number.start, &lengths[..count], number.end(count)) {
            return None;
        }
        let clean = ends_as_phone(bytes, number.end(count));
        let even = separators[..count - 1].iter().all(|byte| matches!(byte, b' ' | b'-'));
        let score = match shape {
            _ if !clean => return None,
            phone::Shape::Typical if named => 0.95,
            phone::Shape::Typical
                if context.is_other() || context.near.any(OTHERS) || goes_on(bytes, number.start) =>
            {
                return None;
            }
            phone::Shape::Typical => 0.7,
            phone::Shape::Possible if named => 0.75,
            phone::Shape::Possible
                if count >= 3
                    && even
                    && (8..=11).contains(&digits.len())
                    && context.all.has(Topics::REACH)
                    && !context.is_other()
                    && !context.near.any(OTHERS)
                    && !goes_on(bytes, number.start) =>
            {
                0.6
            }
            _ => return None,
        };
        Some((count, score))
    })?;
    let end = extension(bytes, number.end(count));
    let start = if has_area { number.start - 1 } else { number.start };
    subject.hit(Entity::Phone, "", start, end, score);
    Some(end)
}
