//! Payment cards (ISO/IEC 7812): issuer ranges with their lengths, and Luhn.

use super::digits::{is_uniform, luhn, number};

/// The issuer of a card number; `None` when it is none.
pub(crate) fn issuer(digits: &[u8]) -> Option<&'static str> {
    if !(12..=19).contains(&digits.len()) || is_uniform(digits) || !luhn(digits) {
        return None;
    }
    let length = digits.len();
    let first = |count: usize| number(&digits[..count]);
    let name = match (first(1), first(2), first(4)) {
        (4, ..) if matches!(length, 13 | 16 | 19) => "Visa",
        (_, 51..=55, _) | (_, _, 2221..=2720) if length == 16 => "Mastercard",
        (_, 34 | 37, _) if length == 15 => "American Express",
        (_, 35, _) if length >= 16 => "JCB",
        (_, _, 1800 | 2131) if length == 15 => "JCB",
        (_, 36 | 38 | 39, _) | (_, _, 3000..=3059 | 3095) if length == 14 || length == 16 => "Diners Club",
        (_, _, 6011 | 6440..=6599) if matches!(length, 16 | 19) => "Discover",
        (_, 62 | 81, _) if length >= 16 => "UnionPay",
        (_, _, 2200..=2204) if length >= 16 => "Mir",
        (_, _, 5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 | 6390 | 6799) => "Maestro",
        (_, 50 | 56..=58 | 60 | 61 | 63..=69, _) if length >= 16 => "Maestro",
        _ => return None,
    };
    Some(name)
}

/// Whether this may be a card of an issuer that is not known, given that something says it is a card.
pub(crate) fn may_be_card(digits: &[u8]) -> bool {
    (12..=19).contains(&digits.len()) && !is_uniform(digits) && luhn(digits)
}

/// Whether the groups are ones in which cards are printed.
pub(crate) fn is_printed(groups: &[usize]) -> bool {
    matches!(
        groups,
        [_] | [4, 4, 4, 1 | 4] | [4, 4, 5] | [4, 4, 4, 4, 3] | [4, 6, 4 | 5] | [4, 5, 6] | [6, 13]
    )
}
