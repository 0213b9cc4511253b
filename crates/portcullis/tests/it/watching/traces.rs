//! Traces, end to end: from what the client says of its own to what the server and the collector are told.

use opentelemetry_proto::tonic::trace::v1::Span;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::collector::{Collector, attribute};
use crate::harness::{Child, Fake, Gateway, Modern, hex, signal};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

#[tokio::test]
async fn traces_go_from_the_client_through_the_gateway_to_the_server() {
    let mut collector = Collector::start().await;
    let (web, old) = (Fake::modern().start().await, Fake::legacy().start().await);
    let child = Child::new("").await;
    let otlp = json!({"endpoint": format!("http://{}", collector.address), "protocol": "http"});
    let config = json!({
        "servers": {"web": web.config(), "old": old.config(), "child": child.config()},
        "telemetry": {"otlp": otlp, "log": {"filter": "info"}},
    });
    let gateway = Gateway::start(&config);
    let _ = Modern::new().request(&gateway, "tools/list", json!({})).await;
    let mut process = child.started().await;
    let listed = collector.take(1).await;
    assert_eq!((listed[0].name.as_str(), listed[0].kind), ("tools/list", 2), "what no server is asked for");
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let in_header = Modern::new();
    let in_meta =
        Modern::new().with_meta("traceparent", json!(traceparent)).with_meta("tracestate", json!("v=1"));
    // The metadata is the call's own, so it wins over the header.
    let other = format!("00-{}-{PARENT}-01", "a".repeat(32));
    for (nth, client, header) in [(1, &in_header, &traceparent), (2, &in_meta, &other)] {
        let headers = [("traceparent", header.as_str()), ("tracestate", "v=1")];
        for server in ["web", "old", "child"] {
            let params = json!({"name": format!("{server}__echo"), "arguments": {}});
            let response = client.request_with(&gateway, "tools/call", params, &headers).await;
            assert_eq!(response.status(), 200, "{response:?}");
        }
        let spans = collector.take(6).await;
        for (server, upstream) in [("web", &web), ("old", &old)] {
            let told = span_toward(server, &spans);
            let seen = upstream.nth("tools/call", nth).await;
            assert_eq!(seen.header("traceparent"), Some(told.as_str()), "{server}");
            assert_eq!(seen.header("tracestate"), Some("v=1"), "{server}");
            let meta = &seen.rpc["params"]["_meta"];
            assert_eq!(
                (&meta["traceparent"], &meta["tracestate"]),
                (&json!(told), &json!("v=1")),
                "{server}"
            );
        }
        let told = span_toward("child", &spans);
        let meta = &process.message("tools/call").await["params"]["_meta"];
        assert_eq!((&meta["traceparent"], &meta["tracestate"]), (&json!(told), &json!("v=1")));
    }
}

/// The span of a call as the server should have been told of it; looks at it and at the one around it on the way.
fn span_toward(server: &str, spans: &[Span]) -> String {
    let outer = spans.iter().find(|span| attribute(span, "portcullis.server.id").as_deref() == Some(server));
    let outer = outer.unwrap_or_else(|| panic!("no span for {server}: {spans:#?}"));
    let inner = spans.iter().find(|span| span.span_id == outer.parent_span_id).expect("its parent");
    assert_eq!((hex(&inner.trace_id), hex(&inner.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!(hex(&outer.trace_id), TRACE);
    assert_eq!((inner.kind, outer.kind), (2, 3), "a server's span around a client's");
    assert_eq!((inner.name.as_str(), outer.name.as_str()), ("tools/call echo", "tools/call echo"));
    assert_eq!(attribute(inner, "mcp.protocol.version").as_deref(), Some("2026-07-28"));
    format!("00-{TRACE}-{}-01", hex(&outer.span_id))
}

#[tokio::test]
async fn a_call_without_a_trace_begins_one_and_a_failure_is_marked() {
    let mut collector = Collector::start().await;
    let upstream = Fake::modern().on("tools/call", |_, answer| async move {
        answer.error(200, json!({"code": -32000, "message": "no"})).await;
    });
    let upstream = upstream.start().await;
    let otlp = json!({"endpoint": format!("http://{}", collector.address), "protocol": "http"});
    let gateway = Gateway::start(&json!({"servers": {"x": upstream.config()}, "telemetry": {"otlp": otlp}}));
    let _ = Modern::new().request(&gateway, "tools/call", json!({"name": "x__echo", "arguments": {}})).await;
    let spans = collector.take(2).await;
    let root = spans.iter().find(|span| span.parent_span_id.is_empty()).expect("a root");
    let outer = spans.iter().find(|span| span.parent_span_id == root.span_id).expect("its child");
    for span in [root, outer] {
        assert_eq!(span.trace_id, root.trace_id);
        assert_eq!(attribute(span, "error.type").as_deref(), Some("-32000"), "{span:#?}");
        assert_eq!(span.status.as_ref().map(|status| status.code), Some(2), "{span:#?}");
    }
}

#[tokio::test]
async fn the_last_spans_leave_before_the_process_does() {
    let mut collector = Collector::start().await;
    let upstream = Fake::modern().start().await;
    let otlp = json!({"endpoint": format!("http://{}", collector.address), "protocol": "http"});
    let gateway = Gateway::start(&json!({"servers": {"x": upstream.config()}, "telemetry": {"otlp": otlp}}));
    let _ = Modern::new().call(&gateway, "x__echo", json!({})).await;
    signal(gateway.pid(), Signal::TERM);
    assert_eq!(collector.take(2).await.len(), 2);
}

#[tokio::test]
async fn without_a_collector_a_trace_is_passed_on_as_it_came() {
    let upstream = Fake::modern().start().await;
    let gateway = Gateway::before(&upstream.config());
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let client = Modern::new().with_meta("traceparent", json!(traceparent));
    let _ = client.call(&gateway, "x__echo", json!({})).await;
    let seen = upstream.nth("tools/call", 1).await;
    assert_eq!(seen.header("traceparent"), Some(traceparent.as_str()));
    assert_eq!(seen.rpc["params"]["_meta"]["traceparent"], json!(traceparent));
}
