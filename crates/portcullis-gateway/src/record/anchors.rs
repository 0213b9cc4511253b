//! How far those hold the log who are not its writer: witnesses, time stamps, a second folder.
//!
//! Whoever asks them tells here what came of it; metrics show it, by names of the configuration.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use portcullis_telemetry::Metrics;

/// One of them.
#[derive(Clone, Debug, Default)]
struct Anchor {
    /// How many events it holds.
    covered: u64,
    /// Since when it has been asked for more in vain.
    behind: Option<Instant>,
}

/// All of them, by name.
#[derive(Debug, Default)]
pub struct Anchors(Mutex<BTreeMap<String, Anchor>>);

impl Anchors {
    fn with(&self, name: &str, change: impl FnOnce(&mut Anchor)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(name.to_owned()).or_default());
    }

    /// It is asked to hold more.
    pub fn asked(&self, name: &str) {
        self.with(name, |anchor| {
            anchor.behind.get_or_insert_with(Instant::now);
        });
    }

    /// It holds the log up to so many events, which is all that it was asked for.
    pub fn holds(&self, name: &str, covered: u64) {
        self.with(name, |anchor| (anchor.covered, anchor.behind) = (covered, None));
    }

    /// For how long it has been asked in vain, in seconds.
    fn seconds(anchor: &Anchor) -> i64 {
        anchor.behind.map_or(0, |since| i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX))
    }

    pub(super) fn show(&self, metrics: &Metrics) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, anchor) in &*all {
            let labels = [("anchor", name.as_str())];
            let help = "Events that a witness, a time stamp or the second folder holds.";
            let covered = i64::try_from(anchor.covered).unwrap_or(i64::MAX);
            metrics.gauge("portcullis_audit_anchored", help, &labels).set(covered);
            let help = "Seconds since a witness, a time stamp or the second folder was asked in vain; 0 when it is not behind.";
            metrics.gauge("portcullis_audit_anchor_behind_seconds", help, &labels).set(Self::seconds(anchor));
        }
    }
}
