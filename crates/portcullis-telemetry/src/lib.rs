//! What the gateway says about itself: logs for people, metrics for alerts, traces for one call.
//!
//! The three are apart because they fail apart. [`logs`] goes to standard error and is the last thing to
//! break; [`metrics`] is a table of atomics that `/metrics` prints; [`trace`] reads and writes W3C Trace
//! Context and, when a collector is configured, ships spans to it from a thread of its own.
//!
//! A call pays for metrics with a handful of relaxed atomic additions and for traces with nothing but a copy
//! of the caller's context, unless it is sampled. Nothing here blocks a call, and nothing here is given a
//! payload: arguments, results, tokens and header values have no way in.
//!
//! The only process-wide state is the log subscriber, because `tracing` knows no other. Metrics and tracers
//! are values that the wiring passes on, so two gateways in one process (a test) do not mix.

pub mod logs;
pub mod metrics;
pub mod trace;

pub use logs::{InitError, LogFormat, LogHandle, init_logs};
pub use metrics::{CallSeries, InFlight, Metrics, Outcome};
pub use trace::{
    CurrentTracer, OtlpProtocol, OtlpSettings, Span, SpanKind, SpanName, TraceContext, Tracer, Value,
};
