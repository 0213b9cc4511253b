//! Moments as RFC 3339 writes them, in UTC. They are written here, and read nowhere: that is what other clocks' are for.

use std::time::Duration;

/// Date and time of day of a moment after 1970, to the second and without the zone: what follows is the caller's. The days
/// become a date by counting in years that begin in March, so that a leap day is the last one of its year.
pub fn date_time(since: Duration) -> String {
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    let (year, hour, minute) = (era * 400 + year, second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_251_200, "2024-03-01T00:00:00"),
            (1_795_824_000, "2026-11-28T00:00:00"),
            (1_795_851_045, "2026-11-28T07:30:45"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(date_time(Duration::from_secs(seconds)), text);
        }
    }
}
