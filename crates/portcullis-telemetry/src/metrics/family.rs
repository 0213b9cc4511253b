//! Counters and gauges by name and labels, for everything that is not the life of a call.
//!
//! Looking one up takes a lock; holding one does not. Both kinds are one shared integer, so a handle may
//! outlive the table.
//!
//! Deliberately without floats and without histograms: nothing here has needed them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use super::{OTHER, exposition::Text};

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds `n`. Wraps after 2⁶⁴.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// What it stands at.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes both ways.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Adds `n`, which may be negative.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Sets it to `n`.
    pub fn set(&self, n: i64) {
        self.0.store(n, Relaxed);
    }

    /// What it stands at.
    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }

    /// Adds one until the guard is dropped: for counting what is open, whichever way it closes.
    #[must_use = "the gauge goes back down when the guard is dropped"]
    pub fn hold(&self) -> Held {
        self.add(1);
        Held(self.clone())
    }
}

/// One unit of a [`Gauge`], given back on drop.
#[derive(Debug)]
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

type Labels = Vec<(&'static str, Box<str>)>;

enum Family {
    Counters { help: &'static str, series: BTreeMap<Labels, Counter> },
    Gauges { help: &'static str, series: BTreeMap<Labels, Gauge> },
}

/// All families of one [`Metrics`](super::Metrics), in the order of their names.
pub(super) struct Families {
    max_series: usize,
    by_name: RwLock<BTreeMap<&'static str, Family>>,
}

impl Families {
    pub(super) fn new(max_series: usize) -> Self {
        Self { max_series, by_name: RwLock::default() }
    }

    /// The counter; a detached one when the name is already a gauge's, which is a mistake in our own code.
    pub(super) fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let family =
            by_name.entry(name).or_insert_with(|| Family::Counters { help, series: BTreeMap::new() });
        match family {
            Family::Counters { series, .. } => find_or_add(series, labels, self.max_series),
            Family::Gauges { .. } => {
                debug_assert!(false, "{name} is a gauge");
                Counter::default()
            }
        }
    }

    /// The gauge; a detached one when the name is already a counter's, which is a mistake in our own code.
    pub(super) fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Gauge {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let family = by_name.entry(name).or_insert_with(|| Family::Gauges { help, series: BTreeMap::new() });
        match family {
            Family::Gauges { series, .. } => find_or_add(series, labels, self.max_series),
            Family::Counters { .. } => {
                debug_assert!(false, "{name} is a counter");
                Gauge::default()
            }
        }
    }

    /// Drops every series that carries this label value.
    pub(super) fn remove(&self, label: &str, value: &str) {
        let keep = |labels: &Labels| !labels.iter().any(|(name, text)| *name == label && &**text == value);
        for family in self.by_name.write().unwrap_or_else(PoisonError::into_inner).values_mut() {
            match family {
                Family::Counters { series, .. } => series.retain(|labels, _| keep(labels)),
                Family::Gauges { series, .. } => series.retain(|labels, _| keep(labels)),
            }
        }
    }

    pub(super) fn render(&self, text: &mut Text) {
        for (name, family) in &*self.by_name.read().unwrap_or_else(PoisonError::into_inner) {
            match family {
                Family::Counters { help, series } => {
                    text.family(name, "counter", help);
                    for (labels, counter) in series {
                        text.sample(name, labels, counter.value());
                    }
                }
                Family::Gauges { help, series } => {
                    text.family(name, "gauge", help);
                    for (labels, gauge) in series {
                        text.sample(name, labels, gauge.value());
                    }
                }
            }
        }
    }
}

/// Past the limit every label value of a new series is [`OTHER`].
fn find_or_add<M: Clone + Default>(
    series: &mut BTreeMap<Labels, M>,
    labels: &[(&'static str, &str)],
    max_series: usize,
) -> M {
    let key: Labels = labels.iter().map(|&(name, value)| (name, value.into())).collect();
    if let Some(metric) = series.get(&key) {
        return metric.clone();
    }
    let full = series.len() >= max_series && !labels.is_empty();
    let key = if full { labels.iter().map(|&(name, _)| (name, OTHER.into())).collect() } else { key };
    series.entry(key).or_default().clone()
}
