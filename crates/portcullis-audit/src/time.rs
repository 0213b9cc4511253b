//! Microseconds since 1970 as people and other programs write them (RFC 3339), and back.

const DAY: i64 = 24 * 3600;

/// `2026-11-29T07:15:00.000123Z`. The days are counted in years that begin in March (Howard Hinnant's `civil_from_days`).
pub(crate) fn rfc3339(micros: i64) -> String {
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, of_day) = (seconds.div_euclid(DAY) + 719_468, seconds.rem_euclid(DAY));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// Reads `2026-11-28T20:00:00Z`, with or without a fraction, or a day, which begins at midnight UTC.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    let (day, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let (whole, fraction) = time.strip_suffix('Z')?.split_once('.').unwrap_or((time.strip_suffix('Z')?, ""));
    let number = |text: &str, digits: usize| -> Option<i64> {
        (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let mut days = day.split('-');
    let (year, month, day) = (number(days.next()?, 4)?, number(days.next()?, 2)?, number(days.next()?, 2)?);
    let mut times = whole.split(':');
    let (hour, minute, second) =
        (number(times.next()?, 2)?, number(times.next()?, 2)?, number(times.next()?, 2)?);
    let fraction = if fraction.is_empty() { 0 } else { number(&format!("{fraction:0<6}"), 6)? };
    let shifted = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (shifted.0.div_euclid(400), shifted.0.rem_euclid(400));
    let of_year = (153 * shifted.1 + 2) / 5 + day - 1;
    let since = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let micros = (since * DAY + hour * 3600 + minute * 60 + second) * 1_000_000 + fraction;
    // What is no day or no time comes back as another one.
    let written = rfc3339(micros);
    let same =
        written.starts_with(&format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}."));
    (days.next().is_none() && times.next().is_none() && same).then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::{parse_time, rfc3339};

    #[test]
    fn times_are_written_as_rfc_3339_has_them() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_798_761_599_999_999, "2026-12-31T23:59:59.999999Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(rfc3339(micros), text);
            assert_eq!(parse_time(text), Some(micros));
        }
        assert_eq!(parse_time("2026-12-31"), Some(1_798_675_200_000_000));
        for bad in [
            "",
            "2026-02-30",
            "2026-13-01",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "26-01-01",
            "2026-01-01-01",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
