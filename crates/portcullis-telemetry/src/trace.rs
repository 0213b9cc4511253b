//! Traces: whose call this is part of, and what the gateway's part of it took.
//!
//! [`TraceContext`] is the caller's word and works without any tracer: it is read, passed on, and written to
//! logs and audit events. A [`Tracer`] that exports adds spans of its own in between. Names and attributes
//! follow the OpenTelemetry conventions for MCP; [`attribute`] is the one place that spells them.
//!
//! No global provider, no ambient current span, no bridge from `tracing`: a span's parent is an argument.
//! Payloads (`gen_ai.tool.call.arguments` and `.result`) are deliberately not among the attributes.

pub mod attribute;
mod context;
mod current;
mod export;
mod otlp;
mod span;
mod tracer;

pub use context::{ParseTraceparentError, SpanId, TraceContext, TraceId};
pub use current::CurrentTracer;
pub use otlp::{OtlpError, OtlpProtocol, OtlpSettings};
pub use span::{Span, SpanKind, SpanName, Value};
pub use tracer::Tracer;
