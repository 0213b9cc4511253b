//! Times as databases keep them: milliseconds since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time as it is kept. One before 1970 has passed either way.
pub(crate) fn kept(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(crate) fn read(kept: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(kept).unwrap_or(0))
}

pub(crate) fn now() -> i64 {
    kept(SystemTime::now())
}
