//! Durations and sizes as people write them.

use std::time::Duration;

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

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}
