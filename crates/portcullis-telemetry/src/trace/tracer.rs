//! Starts spans, or does not: the two tracers that there are.
//!
//! [`Tracer::disabled`] hands out spans that only pass the caller's context on. [`Tracer::otlp`] samples with
//! the parent's decision where there is a parent and by ratio where there is none, and gives what was recorded
//! to the export thread.
//!
//! The tracer is not installed globally, so nothing that merely links OpenTelemetry can write to it.

use std::{sync::Arc, time::Duration};

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanKind as OtelKind, TraceContextExt, Tracer as _, TracerProvider as _},
};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use tokio::time::timeout;

use super::{
    attribute,
    context::TraceContext,
    export::ExportThread,
    otlp::{OtlpError, OtlpSettings},
    span::{Span, SpanKind, SpanName, to_otel},
};
use crate::metrics::Metrics;

/// Starts spans. Cloning shares the exporter.
#[derive(Clone, Debug)]
pub struct Tracer {
    exporting: Option<Arc<Exporting>>,
}

#[derive(Debug)]
struct Exporting {
    tracer: SdkTracer,
    thread: Arc<ExportThread>,
}

impl Tracer {
    /// A tracer that records nothing and passes contexts on.
    pub fn disabled() -> Self {
        Self { exporting: None }
    }

    /// A tracer that exports to an OpenTelemetry collector, from a thread of its own that may start under any
    /// runtime or none. Returns before the collector was reached: one that is down costs spans, not the start.
    ///
    /// Spans that did not reach the collector are counted in `portcullis_spans_dropped_total{reason}`, those
    /// that did in `portcullis_spans_exported_total`. Of the environment, `OTEL_RESOURCE_ATTRIBUTES` adds to the
    /// resource and `OTEL_EXPORTER_OTLP_HEADERS` to the headers; the endpoint is always the configured one.
    ///
    /// # Errors
    /// The settings make no sense, trusted certificates cannot be loaded, or the thread cannot be started.
    pub fn otlp(settings: OtlpSettings, metrics: &Metrics) -> Result<Self, OtlpError> {
        settings.check()?;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sample_ratio)));
        let resource = Resource::builder()
            .with_service_name(settings.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let (thread, processor) = ExportThread::start(settings, resource.clone(), metrics)?;
        let provider = SdkTracerProvider::builder()
            .with_sampler(sampler)
            .with_resource(resource)
            .with_span_processor(processor)
            .build();
        let tracer = provider.tracer("portcullis");
        Ok(Self { exporting: Some(Arc::new(Exporting { tracer, thread: Arc::new(thread) })) })
    }

    /// Whether spans may be recorded.
    pub fn enabled(&self) -> bool {
        self.exporting.is_some()
    }

    /// Starts a span below `parent`, or a trace of its own when there is none.
    ///
    /// Sets `mcp.method.name` and, from the target, `gen_ai.tool.name` with `gen_ai.operation.name` or
    /// `gen_ai.prompt.name`.
    pub fn start(&self, name: SpanName<'_>, kind: SpanKind, parent: Option<&TraceContext>) -> Span {
        let Some(exporting) = &self.exporting else { return Span::passing(parent.cloned()) };
        if parent.is_some_and(|parent| !parent.sampled()) {
            return Span::passing(parent.cloned());
        }
        let kind = match kind {
            SpanKind::Server => OtelKind::Server,
            SpanKind::Client => OtelKind::Client,
        };
        let above = match parent {
            Some(parent) => Context::new().with_remote_span_context(to_otel(parent)),
            None => Context::new(),
        };
        let builder =
            exporting.tracer.span_builder(name.text()).with_kind(kind).with_attributes(attributes(name));
        Span::from_sdk(exporting.tracer.build_with_context(builder, &above), parent)
    }

    /// Sends what is still queued and ends the export thread, waiting no longer than `within`. Spans that end
    /// afterwards are dropped. Returns whether all that was queued has been dealt with.
    ///
    /// Dropping the last clone waits for nothing: the thread takes the spans that are still under way, and ends
    /// with the last of them.
    ///
    /// # Cancel safety
    /// The thread goes on when the future is dropped; calling again waits again.
    pub async fn shutdown(&self, within: Duration) -> bool {
        let Some(thread) = self.thread() else { return true };
        thread.close();
        timeout(within, thread.ended()).await.is_ok()
    }

    /// What exports its spans.
    pub(super) fn thread(&self) -> Option<&Arc<ExportThread>> {
        self.exporting.as_ref().map(|exporting| &exporting.thread)
    }
}

fn attributes(name: SpanName<'_>) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new(attribute::MCP_METHOD_NAME, name.method.to_owned())];
    match (name.method, name.target) {
        ("tools/call", tool) => {
            attributes.push(KeyValue::new(attribute::GEN_AI_OPERATION_NAME, "execute_tool"));
            attributes.extend(tool.map(|tool| KeyValue::new(attribute::GEN_AI_TOOL_NAME, tool.to_owned())));
        }
        ("prompts/get", Some(prompt)) => {
            attributes.push(KeyValue::new(attribute::GEN_AI_PROMPT_NAME, prompt.to_owned()));
        }
        _ => {}
    }
    attributes
}
