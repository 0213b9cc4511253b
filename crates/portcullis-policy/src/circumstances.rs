//! When and from where.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cedar_policy::RestrictedExpression;

/// What is the same for everything that one request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// Now.
    pub now: SystemTime,
    /// The address that the caller connects from.
    pub ip: Option<IpAddr>,
}

const DAY: u64 = 86_400;

impl Circumstances {
    /// A moment written as `2026-11-28T20:00:00Z`.
    pub fn moment(text: &str) -> Option<SystemTime> {
        let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
        let numbers = |text: &str, between| -> Option<[u64; 3]> {
            let parts: Option<Vec<u64>> = text.split(between).map(|part| part.parse().ok()).collect();
            parts?.try_into().ok()
        };
        let ([year, month, day], [hour, minute, second]) = (numbers(day, '-')?, numbers(time, ':')?);
        let real = (1970..10_000).contains(&year) && hour < 24 && minute < 60 && second < 60;
        let first = year.checked_sub(1970)? * 365;
        // A year has at most 366 days, so the day is found within so many from the first guess.
        let days = real.then(|| (first..first + 2_600).find(|days| date(*days) == (year, month, day)))??;
        UNIX_EPOCH.checked_add(Duration::from_secs(days * DAY + hour * 3600 + minute * 60 + second))
    }

    /// Seconds since 1970: policies know no shorter time.
    pub(crate) fn second(&self) -> u64 {
        self.now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
    }

    /// `context.now`.
    pub(crate) fn datetime(&self) -> RestrictedExpression {
        let second = self.second();
        let (year, month, day) = date(second / DAY);
        let time = second % DAY;
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        RestrictedExpression::new_datetime(format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        ))
    }

    /// `context.weekday`: 1 is Monday, 7 is Sunday, in UTC.
    pub(crate) fn weekday(&self) -> i64 {
        // 1970 began on a Thursday.
        i64::try_from((self.second() / DAY + 3) % 7 + 1).unwrap_or(1)
    }

    /// `context.ip`.
    pub(crate) fn address(&self) -> Option<RestrictedExpression> {
        self.ip.map(|ip| RestrictedExpression::new_ip(ip.to_canonical().to_string()))
    }
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Days are counted from the first of March of the
/// year 0, so that the leap day is a year's last, and 400 years are a whole number of days.
fn date(days: u64) -> (u64, u64, u64) {
    const TO_1970: u64 = 719_468;
    const ERA: u64 = 146_097;
    let days = days + TO_1970;
    let (era, in_era) = (days / ERA, days % ERA);
    let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates_and_weekdays() {
        for (second, expected, weekday) in [
            (0, (1970, 1, 1), 4),
            (951_782_400, (2000, 2, 29), 2),
            (951_868_800, (2000, 3, 1), 3),
            (1_709_164_800, (2024, 2, 29), 4),
            (1_735_603_200, (2024, 12, 31), 2),
            (4_107_542_400, (2100, 3, 1), 1),
            (1_795_898_096, (2026, 11, 28), 6),
        ] {
            assert_eq!(date(second / DAY), expected);
            let (year, month, day) = expected;
            let text = format!("{year}-{month:02}-{day:02}T00:00:05Z");
            let start = second - second % DAY;
            assert_eq!(Circumstances::moment(&text), Some(UNIX_EPOCH + Duration::from_secs(start + 5)));
            let now = Circumstances { now: UNIX_EPOCH + Duration::from_secs(second), ip: None };
            assert_eq!(now.weekday(), weekday, "{second}");
        }
        for text in
            ["", "2026-02-30T00:00:00Z", "2026-11-28T24:00:00Z", "2026-11-28T20:00:00", "1-1-1T1:1:1Z"]
        {
            assert_eq!(Circumstances::moment(text), None, "{text}");
        }
    }
}
