//! The numbers behind `GET /metrics`, in the Prometheus text format.
//!
//! Written here rather than taken from a client library for three reasons: a call must not hash labels, so it
//! works on a [`CallSeries`] that was looked up once; a server that is removed must take its series with it,
//! which handles into a library's registry cannot promise; and series that are all zero are left out, which
//! keeps a scrape of a large catalogue small. What is left over for a library is escaping three characters.
//!
//! Label values come from configuration and from approved catalogues only. Should a caller's text ever get
//! here, memory still stays bounded: past a limit new series are counted under [`OTHER`].
//!
//! There is no registry behind the caller's back: a [`Metrics`] is a value, cheap to clone, and two of them
//! share nothing.

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

mod calls;
mod exposition;
mod family;
mod process;
#[cfg(test)]
mod tests;

pub use calls::{CallSeries, InFlight, Outcome};
pub use family::{Counter, Gauge, Held};

use calls::Calls;
use exposition::Text;
use family::Families;

/// `Content-Type` of what [`Metrics::render`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The label value that stands for everything beyond the limit on the number of series.
pub const OTHER: &str = "_other";

/// How many call series, and how many series of any other metric, are kept unless told otherwise.
pub const DEFAULT_MAX_SERIES: usize = 2000;

/// All metrics of one gateway. Cloning shares them.
#[derive(Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

struct Inner {
    calls: Calls,
    families: Families,
    http: HttpResponses,
    sessions: Gauge,
    streams: Gauge,
    version: &'static str,
    started: f64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// An empty set with the default limit on series. The process start time is taken to be now.
    pub fn new() -> Self {
        Self::with_max_series(DEFAULT_MAX_SERIES)
    }

    /// An empty set that keeps at most `max_series` call series, and as many series of each other metric,
    /// apart from those labelled [`OTHER`].
    pub fn with_max_series(max_series: usize) -> Self {
        let families = Families::new(max_series);
        let sessions = families.gauge("portcullis_sessions", "Legacy sessions that are open.", &[]);
        let streams = families.gauge("portcullis_streams", "Response streams that are open.", &[]);
        let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let inner = Inner {
            calls: Calls::new(max_series),
            families,
            http: HttpResponses::new(),
            sessions,
            streams,
            version: env!("CARGO_PKG_VERSION"),
            started,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The series of one tool (or of one method, with an empty `tool`) of one server.
    ///
    /// Takes a lock and three look-ups: keep the handle beside the route instead of asking per call. `method`
    /// is the MCP method. Beyond the limit the tool becomes [`OTHER`], and beyond twice the limit so do server
    /// and method.
    pub fn call_series(&self, server: &str, method: &str, tool: &str) -> Arc<CallSeries> {
        self.inner.calls.series(server, method, tool)
    }

    /// Counts an HTTP response by its status code. Codes outside 100..=599 are counted as [`OTHER`].
    pub fn http_response(&self, status: u16) {
        self.inner.http.count(status);
    }

    /// Legacy sessions that are open.
    pub fn sessions(&self) -> &Gauge {
        &self.inner.sessions
    }

    /// Response streams (SSE, WebSocket, gRPC) that are open.
    pub fn streams(&self) -> &Gauge {
        &self.inner.streams
    }

    /// Says whether a server can be reached now.
    pub fn set_server_up(&self, server: &str, up: bool) {
        self.gauge("portcullis_server_up", "Whether the server can be reached.", &[("server_id", server)])
            .set(i64::from(up));
    }

    /// Counts one restart of a server's child process.
    pub fn child_restarted(&self, server: &str) {
        let help = "Restarts of the server's child process.";
        self.counter("portcullis_child_restarts_total", help, &[("server_id", server)]).add(1);
    }

    /// Forgets every series of a server that is no longer configured. Handles that are still held go on
    /// counting into the void.
    pub fn remove_server(&self, server: &str) {
        self.inner.calls.remove_server(server);
        self.inner.families.remove("server_id", server);
    }

    /// A counter for whatever this module does not name itself; asked for again, it is the same counter.
    ///
    /// `name` ends in `_total`. The first caller's `help` wins. Label values must not come from a caller.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        self.inner.families.counter(name, help, labels)
    }

    /// A gauge for whatever this module does not name itself; asked for again, it is the same gauge.
    ///
    /// The first caller's `help` wins. Label values must not come from a caller.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.inner.families.gauge(name, help, labels)
    }

    /// Everything in the Prometheus text format 0.0.4, to be sent as [`CONTENT_TYPE`].
    ///
    /// Reads `/proc` for memory and file descriptors; where there is none, those two are left out. The numbers
    /// are not one instant: calls go on while they are read.
    pub fn render(&self) -> String {
        let inner = &*self.inner;
        let mut text = Text::default();
        text.family("portcullis_build_info", "gauge", "The version that is running.");
        text.sample("portcullis_build_info", &[("version", inner.version)], 1);
        inner.calls.render(&mut text);
        inner.http.render(&mut text);
        inner.families.render(&mut text);
        process::render(&mut text, inner.started);
        text.into_string()
    }
}

/// Responses by status code: one slot per code, so that counting is one addition.
struct HttpResponses {
    slots: [Counter; HttpResponses::CODES + 1],
}

impl HttpResponses {
    const FIRST: usize = 100;
    const CODES: usize = 500;

    fn new() -> Self {
        Self { slots: std::array::from_fn(|_| Counter::default()) }
    }

    fn count(&self, status: u16) {
        let slot = usize::from(status).checked_sub(Self::FIRST).unwrap_or(Self::CODES).min(Self::CODES);
        self.slots[slot].add(1);
    }

    fn render(&self, text: &mut Text) {
        let name = "portcullis_http_responses_total";
        text.family(name, "counter", "HTTP responses by status code.");
        for (slot, counter) in self.slots.iter().enumerate().filter(|(_, counter)| counter.value() > 0) {
            let status = (slot + Self::FIRST).to_string();
            let status = if slot == Self::CODES { OTHER } else { &status };
            text.sample(name, &[("status", status)], counter.value());
        }
    }
}
