//! Numbers as they are read: whichever way a whole one is written, it is the same to whoever parses it.
//!
//! What it leaves out: fractions, which identify nobody, and numbers whose exponent makes digits that are not written, as those
//! of measurements do.

use std::borrow::Cow;

/// The digits of a number of JSON, if it is whole: `4111111111111111.0`, `4.111111111111111e15`.
pub(super) fn whole(text: &str) -> Option<Cow<'_, str>> {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else {
        // Whole numbers that went through a column of fractions end in `.0`.
        return match text.split_once('.') {
            Some((number, fraction)) => is_zero(fraction).then_some(Cow::Borrowed(number)),
            None => Some(Cow::Borrowed(text)),
        };
    };
    let exponent: isize = exponent.parse().ok()?;
    let (number, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let point = number.len().checked_add_signed(exponent)?;
    let digits = [number, fraction].concat();
    let rest = digits.get(point..)?;
    is_zero(rest).then(|| Cow::Owned(digits[..point].to_owned()))
}

fn is_zero(digits: &str) -> bool {
    digits.bytes().all(|digit| digit == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exponent_moves_the_point_over_digits_that_are_there() {
        for (text, number) in [
            ("4111", Some("4111")),
            ("4111.00", Some("4111")),
            ("4111.5", None),
            ("-41.110E+2", Some("-4111")),
            ("41.11e3", None),
            ("411100e-2", Some("4111")),
            ("4111e-1", None),
            ("4111e-9", None),
            ("1e99999999999999999999", None),
            ("1e9223372036854775807", None),
        ] {
            assert_eq!(whole(text).as_deref(), number, "{text}");
        }
    }
}
