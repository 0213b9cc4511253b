//! Spans as a collector sees them, over both protocols.

use std::{
    thread,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::trace::v1::{
    Span as Sent, Status, span::SpanKind as SentKind, status::StatusCode,
};
use portcullis_telemetry::{
    CurrentTracer, Metrics, OtlpProtocol, OtlpSettings, SpanKind, SpanName, TraceContext, Tracer,
    trace::{OtlpError, attribute},
};
use tokio::sync::Semaphore;

use crate::collector::{Collector, Export, text};

/// Long enough for a machine that has much else to do; a test that works never waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

/// A port that is reserved and that nothing listens on.
const NOBODY: &str = "http://127.0.0.1:1";

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn call() -> SpanName<'static> {
    SpanName::new("tools/call", Some("files__read"))
}

fn remote(flags: &str) -> TraceContext {
    TraceContext::parse(&format!("00-{TRACE}-{SPAN}-{flags}"), Some("vendor=1")).expect("valid")
}

fn settings(collector: &Collector, protocol: OtlpProtocol) -> OtlpSettings {
    let scheme = if collector.ca_pem.is_some() { "https" } else { "http" };
    OtlpSettings {
        endpoint: format!("{scheme}://{}", collector.address),
        protocol,
        headers: vec![("x-token".to_owned(), "s3cret".to_owned())],
        ca_pem: collector.ca_pem.clone(),
        ..OtlpSettings::default()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn find(exports: &[Export], kind: SentKind) -> &Sent {
    let mut spans = exports.iter().flat_map(Export::spans).filter(|span| span.kind == i32::from(kind));
    let span = spans.next().expect("a span of that kind");
    assert!(spans.next().is_none(), "one span of that kind");
    span
}

/// Value of a metric by the start of its line.
fn metric(metrics: &Metrics, start: &str) -> u64 {
    let text = metrics.render();
    let line =
        text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start} in {text}"));
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

/// A server span below a remote one, a client span below that, and all that is known about them.
async fn check_call_arrives(mut collector: Collector, protocol: OtlpProtocol) {
    let metrics = Metrics::new();
    let tracer = Tracer::otlp(settings(&collector, protocol), &metrics).expect("valid settings");
    assert!(tracer.enabled());
    let caller = remote("01");
    let mut server = tracer.start(call(), SpanKind::Server, Some(&caller));
    server.set(attribute::MCP_PROTOCOL_VERSION, "2026-07-28");
    server.set(attribute::SERVER_PORT, 8080_u16);
    server.set(attribute::MCP_RESOURCE_URI, "é".repeat(5000));
    server.link(&TraceContext::parse(&format!("00-{SPAN}{SPAN}-{SPAN}-00"), None).expect("valid"));
    let own = server.context().expect("a recorded span has a place");
    let mut client = tracer.start(SpanName::new("tools/call", Some("read")), SpanKind::Client, Some(&own));
    let upstream = client.context().expect("a recorded span has a place");
    client.fail(attribute::TOOL_ERROR);
    client.fail("only the first failure counts");
    drop(client);
    drop(server);
    assert!(tracer.shutdown(PATIENCE).await);

    assert_eq!((own.trace_id(), upstream.trace_id()), (caller.trace_id(), caller.trace_id()));
    assert!(own.sampled() && upstream.sampled());
    assert_eq!(upstream.tracestate(), Some("vendor=1"));
    let exports = collector.drain();
    let server = find(&exports, SentKind::Server);
    let client = find(&exports, SentKind::Client);
    assert_eq!((hex(&server.trace_id), hex(&client.trace_id)), (TRACE.to_owned(), TRACE.to_owned()));
    assert_eq!(hex(&server.parent_span_id), SPAN);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(
        (hex(&server.span_id), hex(&client.span_id)),
        (own.span_id().to_string(), upstream.span_id().to_string())
    );
    assert_eq!((&*server.trace_state, &*client.trace_state), ("vendor=1", "vendor=1"));
    assert_eq!((&*server.name, &*client.name), ("tools/call files__read", "tools/call read"));
    let of_server = |key| text(&server.attributes, key);
    assert_eq!(of_server("mcp.method.name").as_deref(), Some("tools/call"));
    assert_eq!(of_server("gen_ai.tool.name").as_deref(), Some("files__read"));
    assert_eq!(of_server("gen_ai.operation.name").as_deref(), Some("execute_tool"));
    assert_eq!(of_server("mcp.protocol.version").as_deref(), Some("2026-07-28"));
    assert_eq!(of_server("server.port").as_deref(), Some("8080"));
    assert_eq!(of_server("mcp.resource.uri").map(|uri| uri.len()), Some(1024), "long text is cut");
    assert_eq!(of_server("error.type"), None);
    assert_eq!(hex(&server.links[0].trace_id), format!("{SPAN}{SPAN}"));
    assert_eq!(text(&client.attributes, "error.type").as_deref(), Some("tool_error"));
    assert_eq!(client.status.as_ref().map(Status::code), Some(StatusCode::Error));
    assert!(client.start_time_unix_nano >= server.start_time_unix_nano);
    assert!(client.end_time_unix_nano <= server.end_time_unix_nano);

    assert_eq!(exports[0].resource("service.name").as_deref(), Some("portcullis"));
    assert_eq!(exports[0].headers["x-token"], "s3cret");
    let path = match protocol {
        OtlpProtocol::Grpc => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        OtlpProtocol::HttpProtobuf => "/v1/traces",
    };
    assert_eq!(exports[0].path, path);
    assert_eq!(metric(&metrics, "portcullis_spans_exported_total"), 2);
}

#[tokio::test]
async fn a_call_arrives_over_grpc() {
    check_call_arrives(Collector::plain().await, OtlpProtocol::Grpc).await;
}

#[tokio::test]
async fn a_call_arrives_over_http() {
    check_call_arrives(Collector::plain().await, OtlpProtocol::HttpProtobuf).await;
}

#[tokio::test]
async fn a_call_arrives_over_grpc_with_tls() {
    check_call_arrives(Collector::tls().await, OtlpProtocol::Grpc).await;
}

#[tokio::test]
async fn a_call_arrives_over_http_with_tls() {
    check_call_arrives(Collector::tls().await, OtlpProtocol::HttpProtobuf).await;
}

#[tokio::test]
async fn nothing_is_sent_to_a_collector_that_is_not_trusted() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        let (mut collector, stranger) = (Collector::tls().await, Collector::tls().await);
        let metrics = Metrics::new();
        let settings = OtlpSettings { ca_pem: stranger.ca_pem, ..settings(&collector, protocol) };
        let tracer = Tracer::otlp(settings, &metrics).expect("valid settings");
        drop(tracer.start(call(), SpanKind::Server, None));
        assert!(tracer.shutdown(PATIENCE).await);
        assert!(collector.drain().is_empty(), "{protocol:?}");
        assert_eq!(metric(&metrics, r#"portcullis_spans_dropped_total{reason="export_failed"}"#), 1);
    }
}

#[tokio::test]
async fn spans_travel_without_a_shutdown() {
    let mut collector = Collector::plain().await;
    let tracer = Tracer::otlp(settings(&collector, OtlpProtocol::Grpc), &Metrics::new()).expect("valid");
    drop(tracer.start(SpanName::new("ping", None), SpanKind::Server, None));
    let export = collector.exports.recv().await.expect("the collector runs");
    let span = export.spans().next().expect("a span");
    assert_eq!((&*span.name, span.parent_span_id.len()), ("ping", 0));
    assert_eq!(text(&span.attributes, "gen_ai.operation.name"), None);
}

#[tokio::test]
async fn dropping_the_tracer_sends_what_is_queued() {
    let mut collector = Collector::plain().await;
    let tracer =
        Tracer::otlp(settings(&collector, OtlpProtocol::HttpProtobuf), &Metrics::new()).expect("valid");
    let late = tracer.start(call(), SpanKind::Server, None);
    drop(tracer.start(SpanName::new("prompts/get", Some("greet")), SpanKind::Server, None));
    drop(tracer);
    let export = collector.exports.recv().await.expect("the collector runs");
    assert_eq!(
        text(&export.spans().next().expect("a span").attributes, "gen_ai.prompt.name").as_deref(),
        Some("greet")
    );
    // The thread waits for what is still under way.
    drop(late);
    let export = collector.exports.recv().await.expect("the collector runs");
    assert_eq!(export.spans().next().expect("a span").name, "tools/call files__read");
}

#[tokio::test]
async fn a_replaced_tracer_gets_the_spans_that_it_began_and_ends_with_them() {
    let (mut old, mut new) = (Collector::plain().await, Collector::plain().await);
    let metrics = Metrics::new();
    let otlp =
        |collector| Tracer::otlp(settings(collector, OtlpProtocol::HttpProtobuf), &metrics).expect("valid");
    let tracer = CurrentTracer::new(otlp(&old));
    let before = tracer.load().start(SpanName::new("before", None), SpanKind::Server, None);
    tracer.replace(otlp(&new));
    drop(tracer.load().start(SpanName::new("after", None), SpanKind::Server, None));
    let export = new.exports.recv().await.expect("the collector runs");
    assert_eq!(export.spans().next().expect("a span").name, "after");
    assert!(old.drain().is_empty());
    drop(before);
    let export = old.exports.recv().await.expect("the collector runs");
    assert_eq!(export.spans().next().expect("a span").name, "before");

    // Both ways of tracing nothing any more.
    let held = tracer.load().start(SpanName::new("held", None), SpanKind::Server, None);
    tracer.replace(Tracer::disabled());
    assert!(!tracer.load().enabled());
    assert!(tracer.shutdown(PATIENCE).await, "those that were replaced need not wait for their spans");
    drop(held);
    assert!(new.drain().is_empty());
    assert_eq!(metric(&metrics, r#"portcullis_spans_dropped_total{reason="shut_down"}"#), 1);
    assert_eq!(metric(&metrics, "portcullis_spans_exported_total"), 2);
}

#[test]
fn works_from_threads_without_a_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut collector = runtime.block_on(Collector::plain());
    let tracer = Tracer::otlp(settings(&collector, OtlpProtocol::Grpc), &Metrics::new()).expect("valid");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| drop(tracer.start(call(), SpanKind::Server, None)));
        }
    });
    assert!(runtime.block_on(tracer.shutdown(PATIENCE)));
    assert_eq!(collector.drain().iter().flat_map(Export::spans).count(), 4);
}

#[tokio::test]
async fn the_parent_decides_and_the_ratio_only_for_roots() {
    let mut collector = Collector::plain().await;
    let metrics = Metrics::new();
    let never = OtlpSettings { sample_ratio: 0.0, ..settings(&collector, OtlpProtocol::Grpc) };
    let tracer = Tracer::otlp(never, &metrics).expect("valid settings");
    let root = tracer.start(call(), SpanKind::Server, None);
    assert!(!root.is_recording());
    let context = root.context().expect("those below must learn the decision");
    assert!(!context.sampled());
    let child = tracer.start(call(), SpanKind::Client, Some(&context));
    assert_eq!(child.context(), Some(context));
    let unwanted = remote("02");
    assert_eq!(tracer.start(call(), SpanKind::Server, Some(&unwanted)).context(), Some(unwanted));
    let wanted = tracer.start(call(), SpanKind::Server, Some(&remote("03")));
    assert!(wanted.is_recording());
    let place = wanted.context().expect("a recorded span has a place").to_string();
    assert!(place.ends_with("-03"), "the trace id is as random as it was: {place}");
    drop((root, child, wanted));
    assert!(tracer.shutdown(PATIENCE).await);
    assert_eq!(collector.drain().iter().flat_map(Export::spans).count(), 1);
}

#[tokio::test]
async fn a_disabled_tracer_passes_the_context_on() {
    let tracer = Tracer::disabled();
    assert!(!tracer.enabled());
    assert_eq!(tracer.start(call(), SpanKind::Server, None).context(), None);
    let mut span = tracer.start(call(), SpanKind::Server, Some(&remote("01")));
    span.set("key", "value");
    span.fail("kind");
    assert_eq!(span.context(), Some(remote("01")));
    assert_eq!(span.trace_id().map(|id| id.to_string()).as_deref(), Some(TRACE));
    assert!(tracer.shutdown(Duration::ZERO).await);
}

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_and_not_time() {
    const SPANS: u64 = 20_000;
    let mut collector = Collector::plain().await;
    collector.answers.forget_permits(Semaphore::MAX_PERMITS);
    let metrics = Metrics::new();
    let tracer = Tracer::otlp(settings(&collector, OtlpProtocol::Grpc), &metrics).expect("valid settings");
    // From here the export thread waits for an answer.
    drop(tracer.start(call(), SpanKind::Server, None));
    assert!(collector.exports.recv().await.is_some());
    let begun = Instant::now();
    for _ in 0..SPANS {
        drop(tracer.start(call(), SpanKind::Server, None));
    }
    assert!(begun.elapsed() < Duration::from_secs(9), "less than one export may take");
    let full = metric(&metrics, r#"portcullis_spans_dropped_total{reason="queue_full"}"#);
    assert_eq!(full, SPANS - 8192);
    assert!(!tracer.shutdown(Duration::ZERO).await, "it is still at it");
    drop(tracer.start(call(), SpanKind::Server, None));
    collector.answers.add_permits(1000);
    assert!(tracer.shutdown(PATIENCE).await);
    drop(tracer.start(call(), SpanKind::Server, None));
    let sum = [
        "exported_total",
        "dropped_total{reason=\"queue_full\"",
        "dropped_total{reason=\"shut_down\"",
        "dropped_total{reason=\"export_failed\"",
    ]
    .map(|name| metric(&metrics, &format!("portcullis_spans_{name}")));
    assert_eq!(sum.iter().sum::<u64>(), SPANS + 3, "every span is accounted for: {sum:?}");
    assert_eq!(sum[0], 8193);
}

#[tokio::test]
async fn a_collector_that_is_down_costs_spans_and_not_the_start() {
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        let metrics = Metrics::new();
        let settings = OtlpSettings { endpoint: NOBODY.to_owned(), protocol, ..OtlpSettings::default() };
        let tracer = Tracer::otlp(settings, &metrics).expect("valid settings");
        drop(tracer.start(call(), SpanKind::Server, None));
        assert!(tracer.shutdown(PATIENCE).await);
        assert_eq!(metric(&metrics, r#"portcullis_spans_dropped_total{reason="export_failed"}"#), 1);
    }
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    for endpoint in ["", "collector:4317", "/v1/traces", "ftp://collector", "http://user:pass@collector"] {
        let settings = OtlpSettings { endpoint: endpoint.to_owned(), ..OtlpSettings::default() };
        assert!(matches!(settings_error(settings), OtlpError::Endpoint), "{endpoint:?}");
    }
    for ratio in [-0.1, 1.1, f64::NAN] {
        let settings = OtlpSettings { sample_ratio: ratio, ..OtlpSettings::default() };
        assert!(matches!(settings_error(settings), OtlpError::SampleRatio { .. }), "{ratio}");
    }
    let headers = vec![("x-token".to_owned(), "s3cret\n".to_owned())];
    let header = settings_error(OtlpSettings { headers, ..OtlpSettings::default() });
    assert!(matches!(&header, OtlpError::Header { name } if name == "x-token"));
    assert!(!format!("{header} {header:?}").contains("s3cret"));
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        let settings = OtlpSettings {
            endpoint: "https://collector".to_owned(),
            protocol,
            ca_pem: Some(b"no certificate".to_vec()),
            ..OtlpSettings::default()
        };
        assert!(matches!(settings_error(settings), OtlpError::Ca), "{protocol:?}");
    }
}

fn settings_error(settings: OtlpSettings) -> OtlpError {
    Tracer::otlp(settings, &Metrics::new()).expect_err("refused")
}

#[test]
fn settings_hide_header_values() {
    let headers = vec![("authorization".to_owned(), "s3cret".to_owned())];
    let shown = format!("{:?}", OtlpSettings { headers, ..OtlpSettings::default() });
    assert!(shown.contains("authorization") && !shown.contains("s3cret"), "{shown}");
}
