//! Calls: how many, how they ended, how long they took, how many are under way.
//!
//! A call's whole cost is five relaxed additions on a [`CallSeries`] that the route already holds, plus the
//! reference count of its guard. Durations are kept as nanoseconds and buckets as plain counts; the sums that
//! Prometheus wants (cumulative buckets, seconds) are made when it asks.
//!
//! Quantiles, rates and windows are the scraper's business.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{OTHER, exposition::Text};

/// How a call ended, as the label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The server answered.
    Ok,
    /// The server answered with a tool result that says `isError`.
    ToolError,
    /// The gateway refused: limits, policy, approval, guard.
    Refused,
    /// The server, or the way to it, failed.
    Error,
    /// The caller cancelled or hung up.
    Cancelled,
    /// No answer in time.
    Timeout,
}

impl Outcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::ToolError, Self::Refused, Self::Error, Self::Cancelled, Self::Timeout];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::Refused => "refused",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Upper bounds of the duration buckets, inclusive; the last bucket has none.
const BUCKETS: [(Duration, &str); 13] = [
    (Duration::from_micros(500), "0.0005"),
    (Duration::from_millis(1), "0.001"),
    (Duration::from_micros(2500), "0.0025"),
    (Duration::from_millis(5), "0.005"),
    (Duration::from_millis(10), "0.01"),
    (Duration::from_millis(25), "0.025"),
    (Duration::from_millis(100), "0.1"),
    (Duration::from_millis(250), "0.25"),
    (Duration::from_secs(1), "1"),
    (Duration::from_millis(2500), "2.5"),
    (Duration::from_secs(10), "10"),
    (Duration::from_secs(30), "30"),
    (Duration::from_mins(1), "60"),
];

/// The calls of one tool of one server. Made by [`Metrics::call_series`](super::Metrics::call_series).
#[derive(Debug)]
pub struct CallSeries {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanoseconds: AtomicU64,
    /// Shared by all series of the server.
    in_flight: Arc<AtomicI64>,
}

impl CallSeries {
    fn new(in_flight: Arc<AtomicI64>) -> Self {
        Self {
            outcomes: Default::default(),
            buckets: Default::default(),
            nanoseconds: AtomicU64::new(0),
            in_flight,
        }
    }

    /// Counts a call as under way until the guard is dropped. It does not count the call's end.
    #[must_use = "the call stops being in flight when the guard is dropped"]
    pub fn start(&self) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight { gauge: Arc::clone(&self.in_flight) }
    }

    /// Counts one call that ended this way after this long.
    pub fn finish(&self, outcome: Outcome, elapsed: Duration) {
        self.outcomes[outcome as usize].fetch_add(1, Relaxed);
        let bucket = BUCKETS.iter().position(|(bound, _)| elapsed <= *bound).unwrap_or(BUCKETS.len());
        self.buckets[bucket].fetch_add(1, Relaxed);
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    /// How many calls ended this way.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Relaxed)
    }

    fn is_used(&self) -> bool {
        self.outcomes.iter().any(|count| count.load(Relaxed) > 0)
    }

    fn render_duration(&self, labels: [(&str, &str); 3], text: &mut Text) {
        let [server, method, tool] = labels;
        let mut total = 0;
        let bounds = BUCKETS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        for (bound, bucket) in bounds.zip(&self.buckets) {
            total += bucket.load(Relaxed);
            let labels = [server, method, tool, ("le", bound)];
            text.sample("portcullis_call_duration_seconds_bucket", &labels, total);
        }
        let sum = Duration::from_nanos(self.nanoseconds.load(Relaxed)).as_secs_f64();
        text.sample("portcullis_call_duration_seconds_sum", &labels, sum);
        text.sample("portcullis_call_duration_seconds_count", &labels, total);
    }
}

/// A call under way. Dropping it says that it no longer is.
#[derive(Debug)]
pub struct InFlight {
    gauge: Arc<AtomicI64>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauge.fetch_sub(1, Relaxed);
    }
}

#[derive(Default)]
struct Server {
    in_flight: Arc<AtomicI64>,
    /// Method, then tool.
    series: BTreeMap<Box<str>, BTreeMap<Box<str>, Arc<CallSeries>>>,
}

#[derive(Default)]
struct Table {
    servers: BTreeMap<Box<str>, Server>,
    size: usize,
}

impl Table {
    fn find(&self, server: &str, method: &str, tool: &str) -> Option<Arc<CallSeries>> {
        self.servers.get(server)?.series.get(method)?.get(tool).cloned()
    }

    fn find_or_add(&mut self, server: &str, method: &str, tool: &str) -> Arc<CallSeries> {
        if let Some(series) = self.find(server, method, tool) {
            return series;
        }
        self.size += 1;
        let server = self.servers.entry(server.into()).or_default();
        let series = Arc::new(CallSeries::new(Arc::clone(&server.in_flight)));
        server.series.entry(method.into()).or_default().insert(tool.into(), Arc::clone(&series));
        series
    }
}

/// Every call series, in the order of its labels.
pub(super) struct Calls {
    max_series: usize,
    table: RwLock<Table>,
}

impl Calls {
    pub(super) fn new(max_series: usize) -> Self {
        Self { max_series, table: RwLock::default() }
    }

    pub(super) fn series(&self, server: &str, method: &str, tool: &str) -> Arc<CallSeries> {
        let found = self.table.read().unwrap_or_else(PoisonError::into_inner).find(server, method, tool);
        if let Some(series) = found {
            return series;
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        match table.size {
            size if size < self.max_series => table.find_or_add(server, method, tool),
            size if size < self.max_series.saturating_mul(2) => table.find_or_add(server, method, OTHER),
            _ => table.find(server, method, OTHER).unwrap_or_else(|| table.find_or_add(OTHER, OTHER, OTHER)),
        }
    }

    pub(super) fn remove_server(&self, server: &str) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(gone) = table.servers.remove(server) {
            table.size -= gone.series.values().map(BTreeMap::len).sum::<usize>();
        }
    }

    /// Series that have seen no call are left out.
    pub(super) fn render(&self, text: &mut Text) {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let used = || {
            table.servers.iter().flat_map(|(server, of_server)| {
                of_server.series.iter().flat_map(move |(method, of_method)| {
                    of_method.iter().filter(|(_, series)| series.is_used()).map(move |(tool, series)| {
                        ([("server_id", &**server), ("method", &**method), ("tool_name", &**tool)], series)
                    })
                })
            })
        };
        text.family("portcullis_calls_total", "counter", "Calls by how they ended.");
        for ([server, method, tool], series) in used() {
            for outcome in Outcome::ALL.into_iter().filter(|outcome| series.count(*outcome) > 0) {
                let labels = [server, method, tool, ("outcome", outcome.as_str())];
                text.sample("portcullis_calls_total", &labels, series.count(outcome));
            }
        }
        let help = "How long calls took, from accepted to answered.";
        text.family("portcullis_call_duration_seconds", "histogram", help);
        for (labels, series) in used() {
            series.render_duration(labels, text);
        }
        text.family("portcullis_calls_in_flight", "gauge", "Calls that are under way.");
        for (server, of_server) in &table.servers {
            let in_flight = of_server.in_flight.load(Relaxed);
            text.sample("portcullis_calls_in_flight", &[("server_id", server)], in_flight);
        }
    }
}
