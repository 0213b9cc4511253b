//! Dates: those of birth are findings, all others are read past.
//!
//! A date is one of birth when a word says so that stands between it and the last finding. Numeric dates and months
//! by their names in the larger European languages; what it leaves out is reckoning in other calendars.

use super::Subject;
use super::digits::is_date;
use crate::Entity;
use crate::context::Topics;
use crate::text::class;

const MONTHS: [&str; 12] = [
    "jan januar januari janvier enero gennaio janeiro january ene stycznia",
    "feb februar februari février fevrier febrero febbraio fevereiro february lutego",
    "mar märz maart mars marzo março march mrz marca",
    "apr april avril abril aprile avr kwietnia",
    "may mai mei mayo maggio maio maj maja",
    "jun juni juin junio giugno junho june czerwca",
    "jul juli juillet julio luglio julho july lipca",
    "aug august augustus août aout agosto sierpnia",
    "sep sept september septembre septiembre settembre setembro września",
    "oct okt october oktober octobre octubre ottobre outubro października",
    "nov november novembre noviembre novembro listopada",
    "dec dez december dezember décembre decembre diciembre dicembre dezembro grudnia",
];

/// The date that begins at `start`, where a word of digits begins: whatever it is of, where it ends.
pub(crate) fn look(subject: &mut Subject<'_>, start: usize) -> Option<usize> {
    let bytes = subject.bytes;
    let end = numeric(bytes, start).or_else(|| day_and_month(subject.text, start))?;
    report(subject, start, end);
    // What follows is the time of day, and an offset from UTC.
    let time = bytes[end..].iter().take(24);
    let is_time = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'T' | b'Z' | b':' | b'.' | b'+' | b'-');
    Some(if matches!(class::at(bytes, end), b'T') { end + time.take_while(is_time).count() } else { end })
}

/// A date that begins with the name of a month: `March 12, 1985`.
pub(crate) fn named(subject: &mut Subject<'_>, start: usize, word_end: usize) -> Option<usize> {
    let bytes = subject.bytes;
    let at = skip(bytes, word_end, b". ");
    let (day, at) = digits(bytes, at, 1, 2)?;
    let at = skip(bytes, ordinal(bytes, at), b", ");
    let (year, end) = digits(bytes, at, 4, 4)?;
    if !(1..=31).contains(&day) || !is_year(year) || class::is_word(class::at(bytes, end)) {
        return None;
    }
    month(&subject.text[start..word_end])?;
    report(subject, start, end);
    Some(end)
}

fn report(subject: &mut Subject<'_>, start: usize, end: usize) {
    let text = subject.text;
    let from = subject.last_end.max(start.saturating_sub(64));
    let said = subject.words.of(&text[crate::context::ceil(text, from).min(start)..start]);
    let after = subject.words.of(&text[end..crate::context::ceil(text, end + 12)]);
    if said.or(subject.field).has(Topics::BIRTH) {
        subject.hit(Entity::DateOfBirth, "", start, end, 0.9);
    } else if after.has(Topics::BIRTH) && said.without(Topics::NUMBER) == Topics::NONE {
        subject.hit(Entity::DateOfBirth, "", start, end, 0.6);
    }
}

fn is_year(year: u32) -> bool {
    (1880..=2100).contains(&year)
}

/// Up to `most` digits at `at`, and where they end.
fn digits(bytes: &[u8], at: usize, least: usize, most: usize) -> Option<(u32, usize)> {
    let rest = bytes.get(at..)?;
    let length = rest.iter().take(most + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if !(least..=most).contains(&length) {
        return None;
    }
    let number = rest[..length].iter().fold(0, |number, byte| number * 10 + u32::from(byte - b'0'));
    Some((number, at + length))
}

/// `1985-03-12`, `12.03.1985`, `3/12/85`.
fn numeric(bytes: &[u8], start: usize) -> Option<usize> {
    let separator =
        |at: usize| matches!(class::at(bytes, at), b'-' | b'/' | b'.').then(|| class::at(bytes, at));
    let rest = bytes.get(start..)?;
    let length = rest.iter().take(9).take_while(|byte| byte.is_ascii_digit()).count();
    let (first, at) = digits(bytes, start, 1, 4)?;
    if length == 4 {
        let mark = separator(at)?;
        let (month, at) = digits(bytes, at + 1, 1, 2)?;
        if separator(at)? != mark {
            return None;
        }
        let (day, at) = digits(bytes, at + 1, 1, 2)?;
        let ends = matches!(class::at(bytes, at), b'T') || !class::is_word(class::at(bytes, at));
        return (is_year(first) && is_date(first, month, day) && ends).then_some(at);
    }
    if !(1..=2).contains(&length) {
        return None;
    }
    let mark = separator(at)?;
    let (second, at) = digits(bytes, at + 1, 1, 2)?;
    if separator(at)? != mark {
        return None;
    }
    let at = if mark == b'.' && class::at(bytes, at + 1) == b' ' { at + 2 } else { at + 1 };
    let (year, end) = digits(bytes, at, 4, 4).or_else(|| digits(bytes, at, 2, 2))?;
    let year = if year < 100 { 2000 + year } else { year };
    let is_day = is_date(year, second, first) || is_date(year, first, second);
    let ends = !class::is_word(class::at(bytes, end)) && class::at(bytes, end) != mark;
    let ends = ends
        || (mark == b'.' && class::at(bytes, end) == b'.' && !class::at(bytes, end + 1).is_ascii_digit());
    (is_year(year) && is_day && ends).then_some(end)
}

/// `12 March 1985`, `12th of March, 1985`, `12. März 1985`, `12-Mar-1985`.
fn day_and_month(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (day, at) = digits(bytes, start, 1, 2)?;
    let mut at = skip(bytes, ordinal(bytes, at), b". -/");
    if bytes.get(at..at + 3).is_some_and(|word| matches!(word, b"of " | b"de " | b"di ")) {
        at += 3;
    }
    let word = bytes
        .get(at..)?
        .iter()
        .take(16)
        .take_while(|byte| class::is_letter(**byte) || **byte >= 0x80)
        .count();
    let named = (at, at + word);
    let mut at = skip(bytes, at + word, b"., -/");
    if bytes.get(at..at + 3).is_some_and(|word| word == b"de ") {
        at += 3;
    }
    let (year, end) = digits(bytes, at, 4, 4)?;
    // The name comes last: most words after a number are none, and that takes longest to see.
    let fits = (1..=31).contains(&day) && is_year(year) && !class::is_word(class::at(bytes, end));
    (fits && month(text.get(named.0..named.1)?).is_some()).then_some(end)
}

fn ordinal(bytes: &[u8], at: usize) -> usize {
    let is_ordinal = bytes.get(at..at + 2).is_some_and(|word| matches!(word, b"st" | b"nd" | b"rd" | b"th"));
    if is_ordinal { at + 2 } else { at }
}

fn skip(bytes: &[u8], at: usize, any_of: &[u8]) -> usize {
    at + bytes[at.min(bytes.len())..].iter().take(2).take_while(|byte| any_of.contains(byte)).count()
}

fn month(word: &str) -> Option<usize> {
    if word.len() < 3 {
        return None;
    }
    let lower = word.to_lowercase();
    MONTHS.iter().position(|names| names.split(' ').any(|name| name == lower))
}
