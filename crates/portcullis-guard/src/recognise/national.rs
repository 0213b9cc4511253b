//! Identifiers that states give to people, as digits: their lengths and check digits, each by its country's own rule.
//!
//! How much a check digit proves decides how much context an identifier needs: one of ten random numbers passes a check
//! modulo 10, so a bare number is reported only when a date or a second check is inside it ([`Proof::Strong`]). Those
//! with letters are in `lettered`. Rules after the national registers, compared with `python-stdnum` in the evaluation.

use super::digits::{
    is_date, is_ddmmyy, is_uniform, is_yymmdd, luhn, mod_11_10, number, two, verhoeff, weighted,
};
use crate::context::Topics;

/// How much the form alone proves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Proof {
    /// Enough by itself.
    Strong,
    /// Enough when written with the separators that belong to it.
    Shaped,
    /// Needs a word for identifiers near it.
    Weak,
    /// Needs its own name: the form is that of many numbers.
    Named,
}

/// One kind of identifier.
pub(crate) struct Kind {
    pub(crate) country: &'static str,
    pub(crate) topics: Topics,
    pub(crate) length: usize,
    pub(crate) proof: Proof,
    /// Lengths of the groups in which it is written.
    pub(crate) shapes: &'static [&'static [usize]],
    pub(crate) is_valid: fn(&[u8]) -> bool,
}

const fn kind(
    country: &'static str,
    length: usize,
    proof: Proof,
    shapes: &'static [&'static [usize]],
    is_valid: fn(&[u8]) -> bool,
) -> Kind {
    Kind { country, topics: Topics::country(country), length, proof, shapes, is_valid }
}

use Proof::{Named, Shaped, Strong, Weak};

/// All kinds that are digits only; of one length, the ones that prove more come first.
pub(crate) const KINDS: &[Kind] = &[
    kind("SI", 8, Named, &[], si_tax),
    kind("US", 9, Shaped, &[&[3, 2, 4]], us_ssn),
    kind("NL", 9, Weak, &[&[4, 2, 3], &[3, 3, 3], &[4, 3, 2]], nl_bsn),
    kind("PT", 9, Weak, &[&[3, 3, 3]], pt_nif),
    kind("GR", 9, Weak, &[], gr_afm),
    kind("HU", 9, Weak, &[&[3, 3, 3]], hu_taj),
    kind("CZ", 9, Weak, &[&[6, 3]], cz_old),
    kind("SK", 9, Weak, &[&[6, 3]], cz_old),
    kind("AT", 9, Named, &[&[2, 3, 4]], luhn),
    kind("CZ", 10, Shaped, &[&[6, 4]], cz_rc),
    kind("SK", 10, Shaped, &[&[6, 4]], cz_rc),
    kind("SE", 10, Shaped, &[&[6, 4]], se_personnummer),
    kind("DK", 10, Shaped, &[&[6, 4]], dk_cpr),
    kind("IS", 10, Shaped, &[&[6, 4]], is_kennitala),
    kind("BG", 10, Weak, &[], bg_egn),
    kind("AT", 10, Weak, &[&[4, 6], &[3, 1, 6]], at_svnr),
    kind("GB", 10, Weak, &[&[3, 3, 4]], gb_nhs),
    kind("PL", 10, Weak, &[&[3, 3, 2, 2], &[3, 2, 2, 3]], pl_nip),
    kind("HU", 10, Weak, &[], hu_tax),
    kind("BG", 10, Named, &[], bg_foreigner),
    kind("GB", 10, Named, &[&[5, 5]], gb_utr),
    kind("BE", 11, Strong, &[&[2, 2, 2, 3, 2], &[6, 3, 2]], be_rrn),
    kind("EE", 11, Strong, &[], baltic),
    kind("LT", 11, Strong, &[], baltic),
    kind("NO", 11, Strong, &[&[6, 5]], no_fnr),
    kind("PL", 11, Strong, &[], pl_pesel),
    kind("GR", 11, Strong, &[], gr_amka),
    kind("DE", 11, Strong, &[&[2, 3, 3, 3]], de_idnr),
    kind("LV", 11, Shaped, &[&[6, 5]], lv_pk),
    kind("HR", 11, Weak, &[], mod_11_10),
    kind("SE", 12, Strong, &[&[8, 4]], se_long),
    kind("SI", 13, Strong, &[], si_emso),
    kind("RO", 13, Strong, &[], ro_cnp),
    kind("LU", 13, Strong, &[], lu_matricule),
    kind("CH", 13, Strong, &[&[3, 4, 4, 2]], ch_ahv),
    kind("FR", 13, Weak, &[&[2, 2, 3, 3, 3]], fr_spi),
    kind("FR", 15, Strong, &[&[1, 2, 2, 2, 3, 3, 2], &[13, 2]], fr_nir),
];

fn us_ssn(d: &[u8]) -> bool {
    let (area, group, serial) = (number(&d[..3]), number(&d[3..5]), number(&d[5..]));
    let is_itin = area >= 900 && matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99);
    let is_ssn = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    (is_ssn || is_itin) && !is_uniform(d) && number(d) != 123_456_789 && number(d) != 78_051_120
}

fn nl_bsn(d: &[u8]) -> bool {
    let sum = weighted(&d[..8], &[9, 8, 7, 6, 5, 4, 3, 2]);
    sum >= u32::from(d[8]) && (sum - u32::from(d[8])).is_multiple_of(11) && !is_uniform(d)
}

fn pt_nif(d: &[u8]) -> bool {
    let rest = weighted(&d[..8], &[9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    d[0] != 0 && u32::from(d[8]) == if rest < 2 { 0 } else { 11 - rest }
}

fn gr_afm(d: &[u8]) -> bool {
    weighted(&d[..8], &[256, 128, 64, 32, 16, 8, 4, 2]) % 11 % 10 == u32::from(d[8]) && number(d) != 0
}

fn hu_taj(d: &[u8]) -> bool {
    weighted(&d[..8], &[3, 7, 3, 7, 3, 7, 3, 7]) % 10 == u32::from(d[8]) && number(d) != 0
}

fn hu_tax(d: &[u8]) -> bool {
    d[0] == 8 && weighted(&d[..9], &[1, 2, 3, 4, 5, 6, 7, 8, 9]) % 11 == u32::from(d[9])
}

/// Czech and Slovak months are moved by 20, 50 or 70.
fn cz_date(d: &[u8], year: u32) -> bool {
    let month = match two(d, 2) {
        month @ 71..=82 => month - 70,
        month @ 51..=62 => month - 50,
        month @ 21..=32 => month - 20,
        month => month,
    };
    is_date(year, month, two(d, 4))
}

fn cz_old(d: &[u8]) -> bool {
    two(d, 0) < 54 && cz_date(d, 1900 + two(d, 0)) && number(&d[6..]) != 0
}

fn cz_rc(d: &[u8]) -> bool {
    let rest = number(&d[..9]) % 11 % 10;
    let year = two(d, 0) + if two(d, 0) >= 54 { 1900 } else { 2000 };
    rest == u64::from(d[9]) && cz_date(d, year)
}

fn se_personnummer(d: &[u8]) -> bool {
    let day = two(d, 4);
    luhn(d) && is_date(2000 + two(d, 0), two(d, 2), if day > 60 { day - 60 } else { day })
}

fn se_long(d: &[u8]) -> bool {
    matches!(two(d, 0), 18..=20) && se_personnummer(&d[2..])
}

/// The seventh digit says the century. There has been no check digit since 2007.
fn dk_cpr(d: &[u8]) -> bool {
    let year = two(d, 4);
    let century = match d[6] {
        5..=8 if year >= 58 => 1800,
        0..=3 => 1900,
        4 | 9 if year >= 37 => 1900,
        _ => 2000,
    };
    is_date(century + year, two(d, 2), two(d, 0)) && century + year < LAST && number(&d[6..]) != 0
}

/// Nobody is born later.
const LAST: u32 = 2040;

fn is_kennitala(d: &[u8]) -> bool {
    let sum = weighted(&d[..8], &[3, 2, 7, 6, 5, 4, 3, 2]);
    (11 - sum % 11) % 11 == u32::from(d[8]) && is_ddmmyy(d, 0) && matches!(d[9], 0 | 9)
}

fn bg_egn(d: &[u8]) -> bool {
    let month = match two(d, 2) {
        month @ 41..=52 => month - 40,
        month @ 21..=32 => month - 20,
        month => month,
    };
    weighted(&d[..9], &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10 == u32::from(d[9])
        && is_date(2000 + two(d, 0), month, two(d, 4))
}

/// The number of a foreigner.
fn bg_foreigner(d: &[u8]) -> bool {
    weighted(&d[..9], &[21, 19, 17, 13, 11, 9, 7, 3, 1]) % 10 == u32::from(d[9])
}

fn at_svnr(d: &[u8]) -> bool {
    let sum = weighted(&d[..3], &[3, 7, 9]) + weighted(&d[4..], &[5, 8, 4, 2, 1, 6]);
    d[0] != 0 && sum % 11 == u32::from(d[3]) && (1..=31).contains(&two(d, 4)) && (1..=15).contains(&two(d, 6))
}

fn gb_nhs(d: &[u8]) -> bool {
    let check = 11 - weighted(&d[..9], &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
    check != 10 && check % 11 == u32::from(d[9]) && !is_uniform(d)
}

/// The tax reference, whose first digit is the check.
fn gb_utr(d: &[u8]) -> bool {
    let rest = weighted(&d[1..], &[6, 7, 8, 9, 10, 5, 4, 3, 2]) % 11;
    u32::from(d[0]) == if rest < 2 { 2 - rest } else { 11 - rest }
}

fn pl_nip(d: &[u8]) -> bool {
    weighted(&d[..9], &[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == u32::from(d[9]) && !is_uniform(d)
}

fn be_rrn(d: &[u8]) -> bool {
    let (base, check) = (number(&d[..9]), number(&d[9..]));
    let fits = |base: u64| 97 - base % 97 == check;
    let month = two(d, 2) % 20;
    (fits(base) || fits(base + 2_000_000_000) && 2000 + two(d, 0) < LAST)
        && month <= 12
        && two(d, 4) <= 31
        && (month == 0 || two(d, 4) == 0 || is_date(2000, month, two(d, 4)))
        && two(d, 2) <= 52
}

/// Estonia and Lithuania have the same number.
fn baltic(d: &[u8]) -> bool {
    let first = weighted(&d[..10], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11;
    let second = weighted(&d[..10], &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10;
    let check = if first < 10 { first } else { second };
    (1..=8).contains(&d[0]) && check == u32::from(d[10]) && is_yymmdd(d, 1)
}

fn no_fnr(d: &[u8]) -> bool {
    let day = if d[0] >= 4 { two(d, 0) - 40 } else { two(d, 0) };
    let month = if d[2] >= 4 { two(d, 2) - 40 } else { two(d, 2) };
    is_date(2000, month, day)
        && weighted(&d[..10], &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
        && weighted(d, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

fn pl_pesel(d: &[u8]) -> bool {
    let month = two(d, 2) % 20;
    weighted(d, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10)
        && is_date(2000 + two(d, 0), month, two(d, 4))
}

fn gr_amka(d: &[u8]) -> bool {
    luhn(d) && is_ddmmyy(d, 0)
}

fn de_idnr(d: &[u8]) -> bool {
    let mut counts = [0u8; 10];
    for digit in &d[..10] {
        counts[usize::from(*digit)] += 1;
    }
    let repeated = counts.iter().filter(|count| **count > 1).count();
    let most = counts.iter().max().copied().unwrap_or(0);
    d[0] != 0 && repeated == 1 && most <= 3 && mod_11_10(d)
}

/// Since 2017 they begin with 32 to 39 and hold no date.
fn lv_pk(d: &[u8]) -> bool {
    let sum = weighted(&d[..10], &[10, 5, 8, 4, 2, 1, 6, 3, 7, 9]);
    let undated = d[0] == 3 && d[1] >= 2;
    (1 + sum) % 11 % 10 == u32::from(d[10]) && (undated || is_ddmmyy(d, 0) && d[6] <= 2)
}

fn si_emso(d: &[u8]) -> bool {
    let check = 11 - weighted(&d[..12], &[7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
    let year = u32::from(d[4]) * 100 + two(d, 5);
    check % 11 % 10 == u32::from(d[12])
        && is_date(if year < 800 { 2000 + year } else { 1000 + year }, two(d, 2), two(d, 0))
}

/// The tax number.
fn si_tax(d: &[u8]) -> bool {
    let check = 11 - weighted(&d[..7], &[8, 7, 6, 5, 4, 3, 2]) % 11;
    d[0] != 0 && check != 11 && check % 10 == u32::from(d[7])
}

/// The first digit says the century; 70 and 80 to 82 stand for no county.
fn ro_cnp(d: &[u8]) -> bool {
    let rest = weighted(&d[..12], &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
    let century = match d[0] {
        3 | 4 => 1800,
        5 | 6 => 2000,
        _ => 1900,
    };
    d[0] != 0
        && u32::from(d[12]) == if rest == 10 { 1 } else { rest }
        && is_date(century + two(d, 1), two(d, 3), two(d, 5))
        && matches!(two(d, 7), 1..=48 | 51 | 52 | 70 | 80..=82)
}

fn lu_matricule(d: &[u8]) -> bool {
    let year = two(d, 0) * 100 + two(d, 2);
    let mut second = [0; 12];
    second[..11].copy_from_slice(&d[..11]);
    second[11] = d[12];
    (1850..=2100).contains(&year)
        && is_date(year, two(d, 4), two(d, 6))
        && luhn(&d[..12])
        && verhoeff(&second)
}

fn ch_ahv(d: &[u8]) -> bool {
    d[..3] == [7, 5, 6] && weighted(d, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

fn fr_spi(d: &[u8]) -> bool {
    d[0] <= 3 && number(&d[..10]) % 511 == number(&d[10..])
}

fn fr_nir(d: &[u8]) -> bool {
    let month = two(d, 3);
    matches!(d[0], 1..=4 | 7 | 8)
        && (matches!(month, 1..=12 | 20 | 30..=42) || month >= 50)
        && 97 - number(&d[..13]) % 97 == number(&d[13..])
}
