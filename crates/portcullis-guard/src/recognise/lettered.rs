//! Identifiers of persons that have letters in them.
//!
//! Each takes the bytes of one word (or of what was put together from several) and says whose it is. Those whose letter is
//! one of 23 or of 26 count as proof; the others need to be named.

use super::digits::{is_date, number, weighted};
use super::national::Proof;
use crate::context::Topics;

/// Country, proof, and the check.
type Form = (&'static str, Proof, fn(&[u8]) -> bool);

/// Which identifier a word is: country, how much it proves, the topics that name it. Where two have its form, the one that
/// is named `around` it, which is read only when there is one.
pub(crate) fn find(word: &[u8], around: impl Fn() -> Topics) -> Option<(&'static str, Proof, Topics)> {
    let mut upper = [0; 16];
    let upper = upper.get_mut(..word.len())?;
    upper.copy_from_slice(word);
    upper.make_ascii_uppercase();
    let all: [Form; 13] = [
        ("IT", Proof::Strong, it_codice),
        ("ES", Proof::Strong, es_dni),
        ("ES", Proof::Strong, es_nie),
        ("GB", Proof::Strong, gb_nino),
        ("FI", Proof::Strong, fi_hetu),
        ("IE", Proof::Strong, ie_ppsn),
        ("FR", Proof::Strong, fr_nir),
        ("CY", Proof::Weak, cy_tic),
        ("DE", Proof::Weak, de_card),
        ("DE", Proof::Weak, de_insurance),
        ("PT", Proof::Weak, pt_card),
        ("PL", Proof::Weak, pl_card),
        ("MT", Proof::Weak, mt_id),
    ];
    let valid = || all.iter().filter(|(.., is_valid)| is_valid(upper));
    let first = valid().next()?;
    let around = around();
    let is_named = |(country, ..): &&Form| around.has(Topics::country(country));
    let (country, proof, _) = valid().find(is_named).unwrap_or(first);
    Some((*country, *proof, Topics::country(country)))
}

fn values(word: &[u8]) -> Option<Vec<u8>> {
    word.iter().map(|byte| byte.is_ascii_digit().then(|| byte - b'0')).collect()
}

fn es_letter(number: u64) -> u8 {
    b"TRWAGMYFPDXBNJZSQVHLCKE"[usize::try_from(number % 23).unwrap_or(0)]
}

fn es_dni(word: &[u8]) -> bool {
    word.len() == 9 && values(&word[..8]).is_some_and(|digits| word[8] == es_letter(number(&digits)))
}

fn es_nie(word: &[u8]) -> bool {
    let Some(first) = word.first().and_then(|first| b"XYZ".iter().position(|letter| letter == first)) else {
        return false;
    };
    word.len() == 9
        && values(&word[1..8])
            .is_some_and(|digits| word[8] == es_letter(first as u64 * 10_000_000 + number(&digits)))
}

fn gb_nino(word: &[u8]) -> bool {
    let allowed = |byte: u8, forbidden: &[u8]| byte.is_ascii_uppercase() && !forbidden.contains(&byte);
    word.len() == 9
        && allowed(word[0], b"DFIQUV")
        && allowed(word[1], b"DFIOQUV")
        && !matches!(&word[..2], b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ")
        && values(&word[2..8]).is_some()
        && matches!(word[8], b'A'..=b'D')
}

fn fi_hetu(word: &[u8]) -> bool {
    const MARKS: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    if word.len() != 11 || !b"+-YXWVUABCDEF".contains(&word[6]) {
        return false;
    }
    let (Some(date), Some(serial)) = (values(&word[..6]), values(&word[7..10])) else { return false };
    let rest = (number(&date) * 1000 + number(&serial)) % 31;
    let year = 2000 + super::digits::two(&date, 4);
    is_date(year, super::digits::two(&date, 2), super::digits::two(&date, 0))
        && number(&serial) >= 2
        && usize::try_from(rest).is_ok_and(|rest| MARKS[rest] == word[10])
}

fn ie_ppsn(word: &[u8]) -> bool {
    if !matches!(word.len(), 8 | 9) {
        return false;
    }
    let Some(digits) = values(&word[..7]) else { return false };
    let second = match word.get(8) {
        None | Some(b'T' | b'W' | b'X') => 0,
        Some(letter @ b'A'..=b'I') => u32::from(letter - b'A') + 1,
        Some(_) => return false,
    };
    let rest = (weighted(&digits, &[8, 7, 6, 5, 4, 3, 2]) + 9 * second) % 23;
    word[7] == b"WABCDEFGHIJKLMNOPQRSTUV"[rest as usize]
}

fn it_codice(word: &[u8]) -> bool {
    const ODD: [u8; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let is_number = |byte: &u8| byte.is_ascii_digit() || b"LMNPQRSTUV".contains(byte);
    let has_form = word.len() == 16
        && word[..6].iter().all(u8::is_ascii_uppercase)
        && [6, 7, 9, 10, 12, 13, 14].iter().all(|at| is_number(&word[*at]))
        && b"ABCDEHLMPRST".contains(&word[8])
        && word[11].is_ascii_uppercase();
    if !has_form {
        return false;
    }
    let value = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' };
    let sum: u32 = word[..15]
        .iter()
        .enumerate()
        .map(|(at, byte)| u32::from(if at % 2 == 0 { ODD[usize::from(value(*byte))] } else { value(*byte) }))
        .sum();
    u32::from(word[15]) == u32::from(b'A') + sum % 26
}

/// Corsica has letters where other departments have digits.
fn fr_nir(word: &[u8]) -> bool {
    if word.len() != 15 || word[5] != b'2' || !matches!(word[6], b'A' | b'B') {
        return false;
    }
    let mut plain = [0; 15];
    plain.copy_from_slice(word);
    plain[5] = b'1';
    plain[6] = if word[6] == b'A' { b'9' } else { b'8' };
    values(&plain).is_some_and(|digits| 97 - number(&digits[..13]) % 97 == number(&digits[13..]))
}

fn cy_tic(word: &[u8]) -> bool {
    const ODD: [u32; 10] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21];
    if word.len() != 9
        || word.starts_with(b"12")
        || !matches!(word[0], b'0' | b'1' | b'3' | b'4' | b'5' | b'9')
    {
        return false;
    }
    values(&word[..8]).is_some_and(|digits| {
        let sum: u32 = digits
            .iter()
            .enumerate()
            .map(|(at, digit)| if at % 2 == 0 { ODD[usize::from(*digit)] } else { u32::from(*digit) })
            .sum();
        u32::from(word[8]) == u32::from(b'A') + sum % 26
    })
}

/// Check digits of ICAO 9303: weights 7, 3, 1 over digits and letters.
pub(crate) fn icao(word: &[u8]) -> Option<u32> {
    word.iter().enumerate().try_fold(0, |sum, (at, byte)| {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'<' => 0,
            _ => return None,
        };
        Some((sum + u32::from(value) * [7, 3, 1][at % 3]) % 10)
    })
}

fn de_card(word: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_digit() || b"CFGHJKLMNPRTVWXYZ".contains(byte);
    word.len() == 10
        && b"CFGHJKLMNPRTVWXYZ".contains(&word[0])
        && word[..9].iter().all(is_allowed)
        && word[9].is_ascii_digit()
        && icao(&word[..9]) == Some(u32::from(word[9] - b'0'))
}

/// The number of the pension insurance (VKVV § 2): area, date of birth, first letter of the name at birth, serial, check.
fn de_insurance(word: &[u8]) -> bool {
    const WEIGHTS: [u32; 12] = [2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1];
    if word.len() != 12 || !word[8].is_ascii_uppercase() {
        return false;
    }
    let (Some(head), Some(tail)) = (values(&word[..8]), values(&word[9..])) else { return false };
    let letter = word[8] - b'A' + 1;
    let digits = head.iter().copied().chain([letter / 10, letter % 10]).chain(tail[..2].iter().copied());
    let sum: u32 = digits
        .zip(WEIGHTS)
        .map(|(digit, weight)| u32::from(digit) * weight)
        .map(|sum| sum / 10 + sum % 10)
        .sum();
    let (day, month) = (super::digits::two(&head, 2), super::digits::two(&head, 4));
    // Where a day is used up, 30 or 60 is added to it.
    let is_day = [0, 30, 60].iter().any(|moved| day > *moved && is_date(2000, month, day - moved));
    super::digits::two(&head, 0) >= 2 && is_day && sum % 10 == u32::from(tail[2])
}

fn pt_card(word: &[u8]) -> bool {
    let has_form = word.len() == 12
        && word[..9].iter().all(u8::is_ascii_digit)
        && word[9..11].iter().all(u8::is_ascii_alphanumeric)
        && word[11].is_ascii_digit();
    has_form
        && word
            .iter()
            .rev()
            .enumerate()
            .map(|(at, byte)| {
                let value = u32::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' + 10 });
                let value = if at % 2 == 1 { value * 2 } else { value };
                if at % 2 == 1 && value > 9 { value - 9 } else { value }
            })
            .sum::<u32>()
            % 10
            == 0
}

fn pl_card(word: &[u8]) -> bool {
    if word.len() != 9 || !word[..3].iter().all(u8::is_ascii_uppercase) {
        return false;
    }
    values(&word[3..]).is_some_and(|digits| {
        let letters: u32 = word[..3]
            .iter()
            .zip([7, 3, 1])
            .map(|(letter, weight)| u32::from(letter - b'A' + 10) * weight)
            .sum();
        (letters + weighted(&digits[1..], &[7, 3, 1, 7, 3])) % 10 == u32::from(digits[0])
    })
}

fn mt_id(word: &[u8]) -> bool {
    word.len() == 8 && values(&word[..7]).is_some() && b"MGAPLHBZ".contains(&word[7])
}
