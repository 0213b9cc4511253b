//! What machines read in passports, cards and visas (ICAO 9303 parts 4 to 7).
//!
//! Two lines of 44 or 36 characters, or three of 30, with check digits over the number, the date of birth and the date of
//! expiry: three digits of ten each, so that nothing else is needed to be sure. It is found by the line that has the check digits;
//! the lines beside it belong to it when they are as long. What it leaves out: a line with the name alone.

use super::Subject;
use super::digits::is_yymmdd;
use super::lettered::icao;
use crate::Entity;

/// Looks at a word of letters and digits with which a line may begin; says where the last line ends.
pub(crate) fn look(subject: &mut Subject<'_>, start: usize) -> Option<usize> {
    let bytes = subject.bytes;
    let line = line(bytes, start)?;
    let (from, to) = match line.len() {
        44 | 36 if is_second_of_two(line) => {
            (before(bytes, start, line.len()).unwrap_or(start), start + line.len())
        }
        30 if is_second_of_three(line) => {
            let from = before(bytes, start, 30).filter(|at| is_checked(&bytes[at + 5..at + 15], 9))?;
            (from, after(bytes, start + 30, 30).unwrap_or(start + 30))
        }
        _ => return None,
    };
    subject.hit(Entity::Passport, "MRZ", from, to, 0.97);
    Some(to)
}

fn is_sign(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'<'
}

/// All that a line may have from `start` on, when nothing of it stands before.
fn line(bytes: &[u8], start: usize) -> Option<&[u8]> {
    if start > 0 && is_sign(bytes[start - 1]) {
        return None;
    }
    let length = bytes[start..].iter().take(45).take_while(|byte| is_sign(**byte)).count();
    Some(&bytes[start..start + length])
}

/// Where the line before `start` begins, when it has `length` characters.
fn before(bytes: &[u8], start: usize, length: usize) -> Option<usize> {
    let gap = bytes[..start].iter().rev().take(2).take_while(|byte| byte.is_ascii_whitespace()).count();
    let from = start.checked_sub(gap + length)?;
    (gap > 0 && line(bytes, from)?.len() == length && bytes[from].is_ascii_uppercase()).then_some(from)
}

/// Where the line after `end` ends, when it has `length` characters.
fn after(bytes: &[u8], end: usize, length: usize) -> Option<usize> {
    let gap = bytes[end..].iter().take(2).take_while(|byte| byte.is_ascii_whitespace()).count();
    (gap > 0 && line(bytes, end + gap)?.len() == length).then_some(end + gap + length)
}

/// Whether the character at `at` is the check digit of all before it.
fn is_checked(field: &[u8], at: usize) -> bool {
    icao(&field[..at]) == Some(u32::from(field[at].wrapping_sub(b'0')))
}

/// Number, nationality, birth, sex, expiry.
fn is_second_of_two(line: &[u8]) -> bool {
    is_checked(&line[..10], 9) && is_nation(&line[10..13]) && is_life(&line[13..28])
}

/// Birth, sex, expiry, nationality.
fn is_second_of_three(line: &[u8]) -> bool {
    is_life(&line[..15]) && is_nation(&line[15..18])
}

fn is_nation(field: &[u8]) -> bool {
    field[0].is_ascii_uppercase() && field.iter().all(|byte| byte.is_ascii_uppercase() || *byte == b'<')
}

/// Birth with its check digit, sex, expiry with its.
fn is_life(field: &[u8]) -> bool {
    let is_day = |field: &[u8]| {
        field.iter().all(u8::is_ascii_digit)
            && is_yymmdd(&field.iter().map(|byte| byte - b'0').collect::<Vec<_>>(), 0)
    };
    is_checked(&field[..7], 6)
        && matches!(field[7], b'M' | b'F' | b'X' | b'<')
        && is_checked(&field[8..15], 6)
        && is_day(&field[8..14])
}
