//! How the evidence log is, for those who run the gateway: metrics, and a word in the log when events were lost. That it cannot
//! be written, and can again, it says itself.

use std::sync::Arc;
use std::time::Duration;

use portcullis_telemetry::Metrics;

use super::Evidence;

/// How often the log is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Sets the metrics of the log to how it is now.
pub(crate) fn show(evidence: &Evidence, metrics: &Metrics) {
    let health = evidence.log().health();
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let delay = i64::try_from(health.delay.as_micros()).unwrap_or(i64::MAX);
    for (name, help, value) in [
        (
            "portcullis_audit_events",
            "Events in the evidence log that are on the disk.",
            number(health.durable),
        ),
        ("portcullis_audit_lost", "Events that could not be recorded since the start.", number(health.lost)),
        (
            "portcullis_audit_delay_microseconds",
            "How long the oldest event of the last batch waited for the disk.",
            delay,
        ),
        (
            "portcullis_audit_checkpoint",
            "Events under the last signed checkpoint.",
            number(health.checkpoint),
        ),
        (
            "portcullis_audit_trouble",
            "1 while the evidence log cannot be written.",
            i64::from(health.trouble.is_some()),
        ),
    ] {
        metrics.gauge(name, help, &[]).set(value);
    }
    evidence.anchors().show(metrics);
}

/// Looks after the log for as long as it is awaited.
pub(crate) async fn look_after(evidence: Arc<Evidence>) {
    let mut lost = 0;
    loop {
        evidence.tell_counted();
        let now = evidence.log().health().lost;
        if now > lost {
            tracing::error!(lost = now - lost, "events could not be recorded");
        }
        lost = now;
        tokio::time::sleep(LOOK).await;
    }
}
