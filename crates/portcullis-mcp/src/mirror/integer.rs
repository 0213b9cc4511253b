//! Exact reading of decimal texts as integers that every JSON reader agrees on.

/// 2^53 − 1, the largest magnitude that a double holds without a neighbour that rounds to it.
const MAX: i64 = 9_007_199_254_740_991;

/// The value of a decimal number (`42`, `42.0`, `4.2e1`), if it is an integer within ±(2^53 − 1). Exact: nothing is
/// rounded on the way. Leading zeros are allowed, a leading plus is not.
pub(super) fn safe(text: &str) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (mantissa, ""),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if whole.is_empty()
        || exponent_digits.is_empty()
        || ![whole, fraction, exponent_digits].into_iter().all(all_digits)
    {
        return None;
    }
    let digits = [whole, fraction].concat();
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // value = significant × 10^scale
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    let scale = exponent
        .parse::<i64>()
        .ok()?
        .checked_add(i64::try_from(trailing).ok()?)?
        .checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let power = 10_i64.checked_pow(u32::try_from(scale).ok()?)?;
    let value = significant.parse::<i64>().ok()?.checked_mul(power)?;
    (value <= MAX).then_some(if negative { -value } else { value })
}
