//! The time of day as tasks write it (ISO 8601, UTC).

use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_model::date_time;

/// Now, to the millisecond.
pub(super) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:03}Z", date_time(since), since.subsec_millis())
}
