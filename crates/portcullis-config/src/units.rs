//! Durations and sizes as people write them.

use std::time::Duration;

use crate::PerTime;

/// The longest duration that a setting may have: beyond, timers could overflow and nobody means it.
const LONGEST: Duration = Duration::from_hours(24 * 30);

/// A whole number and one of `ms`, `s`, `m`, `h`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected =
        || format!("`{text}` is not a duration; expected a whole number and ms, s, m or h, such as `30s`");
    let (number, unit) = split(text).ok_or_else(expected)?;
    let millis_per_unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(expected()),
    };
    let duration = Duration::from_millis(number.saturating_mul(millis_per_unit));
    if duration > LONGEST {
        return Err(format!("`{text}` is longer than 720h, the longest duration accepted"));
    }
    Ok(duration)
}

/// A whole number, `/`, and a duration or its unit.
pub(crate) fn parse_per_time(text: &str) -> Result<PerTime, String> {
    let expected =
        || format!("`{text}` is not a number in a time; expected one such as `20/s`, `600/m` or `1000/24h`");
    let (count, per) = text.split_once('/').ok_or_else(expected)?;
    let count = count.trim().parse().ok().filter(|count| *count > 0).ok_or_else(expected)?;
    let per = per.trim();
    let with_one = format!("1{per}");
    let per = if per.starts_with(|c: char| c.is_ascii_digit()) { per } else { &with_one };
    let per = parse_duration(per).map_err(|_| expected())?;
    if per.is_zero() { Err(expected()) } else { Ok(PerTime { count, per }) }
}

/// A whole number of bytes, or one with `KiB`, `MiB` or `GiB`.
pub(crate) fn parse_size(text: &str) -> Result<usize, String> {
    let expected = || {
        format!(
            "`{text}` is not a size; expected bytes or a whole number and KiB, MiB or GiB, such as `4MiB`"
        )
    };
    let (number, unit) = split(text).ok_or_else(expected)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(expected()),
    };
    let bytes = number.checked_mul(1 << shift).filter(|bytes| *bytes <= 1 << 40);
    bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| format!("`{text}` is more than 1024GiB"))
}

/// A duration in the largest unit that leaves a whole number.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis > 0 && millis.is_multiple_of(size) {
            return format!("{}{unit}", millis / size);
        }
    }
    format!("{millis}ms")
}

/// A time in UTC as RFC 3339 writes it, or a day, in seconds since 1970.
pub(crate) fn parse_time(text: &str) -> Result<u64, String> {
    let expected = || {
        format!(
            "`{text}` is not a time; expected a day (`2027-01-31`) or `2027-01-31T12:00:00Z`, from 1970 to 9999"
        )
    };
    let (day, time) = match text.split_once('T') {
        Some((day, time)) => (day, time.strip_suffix('Z').ok_or_else(expected)?),
        None => (text, "00:00:00"),
    };
    let numbers = |text: &str, separator: char, widths: [usize; 3]| -> Option<[u64; 3]> {
        let parts: Vec<&str> = text.split(separator).collect();
        let fits = parts.len() == 3 && parts.iter().zip(widths).all(|(part, width)| part.len() == width);
        let digits = parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        if !fits || !digits {
            return None;
        }
        Some([parts[0].parse().ok()?, parts[1].parse().ok()?, parts[2].parse().ok()?])
    };
    let [year, month, day] = numbers(day, '-', [4, 2, 2]).ok_or_else(expected)?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2]).ok_or_else(expected)?;
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = usize::try_from(month).ok().and_then(|month| lengths.get(month.checked_sub(1)?));
    if year < 1970 || length.is_none_or(|length| day == 0 || day > *length) {
        return Err(expected());
    }
    if hour > 23 || minute > 59 || second > 59 {
        return Err(expected());
    }
    let before = |year: u64| year * 365 + year / 4 - year / 100 + year / 400;
    let months = lengths.iter().take(usize::try_from(month - 1).unwrap_or(0)).sum::<u64>();
    let days = before(year - 1) - before(1969) + months + day - 1;
    Ok(days * 86_400 + hour * 3600 + minute * 60 + second)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}
