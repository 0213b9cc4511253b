//! How the evidence log is, for those who run the gateway: metrics, and a word in the log when it cannot be written, when it can
//! be again, and when events were lost.

use std::sync::Arc;
use std::time::Duration;

use portcullis_audit::Health;
use portcullis_telemetry::Metrics;
use portcullis_telemetry::metrics::Gauge;

use super::Evidence;

/// How often the log is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What is shown.
struct Gauges {
    events: Gauge,
    lost: Gauge,
    delay: Gauge,
    checkpoint: Gauge,
    trouble: Gauge,
}

impl Gauges {
    fn new(metrics: &Metrics) -> Self {
        let gauge = |name, help| metrics.gauge(name, help, &[]);
        Self {
            events: gauge("portcullis_audit_events", "Events in the evidence log that are on the disk."),
            lost: gauge("portcullis_audit_lost", "Events that could not be recorded since the start."),
            delay: gauge(
                "portcullis_audit_delay_microseconds",
                "How long the oldest event of the last batch waited for the disk.",
            ),
            checkpoint: gauge("portcullis_audit_checkpoint", "Events under the last signed checkpoint."),
            trouble: gauge("portcullis_audit_trouble", "1 while the evidence log cannot be written."),
        }
    }

    fn show(&self, health: &Health) {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.events.set(number(health.durable));
        self.lost.set(number(health.lost));
        self.delay.set(i64::try_from(health.delay.as_micros()).unwrap_or(i64::MAX));
        self.checkpoint.set(number(health.checkpoint));
        self.trouble.set(i64::from(health.trouble.is_some()));
    }
}

/// Looks after the log for as long as it is awaited.
pub(crate) async fn look_after(evidence: Arc<Evidence>, metrics: Metrics) {
    let gauges = Gauges::new(&metrics);
    let mut before = Health::default();
    loop {
        evidence.tell_counted();
        let health = evidence.log().health();
        gauges.show(&health);
        match (&before.trouble, &health.trouble) {
            (None, Some(why)) => tracing::error!(why, "the evidence log cannot be written"),
            (Some(_), None) => tracing::info!("the evidence log can be written again"),
            _ => {}
        }
        if health.lost > before.lost {
            tracing::error!(lost = health.lost - before.lost, "events could not be recorded");
        }
        before = health;
        tokio::time::sleep(LOOK).await;
    }
}
