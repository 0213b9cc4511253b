//! What those who run the gateway see of it: health, readiness, metrics, log, traces. And what nobody may see there.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::client::text_of;
use crate::harness::collector::{Collector, attribute, hex};
use crate::harness::fake::tool;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, signal, until};

#[tokio::test]
async fn is_healthy_as_long_as_it_answers() {
    let gateway = Gateway::before(&json!({"command": "./no-such-program"}));
    let health = gateway.get("/healthz").await;
    assert_eq!((health.status(), health.json()), (200, json!({"status": "ok"})));
    let mut connection = gateway.connect().await;
    connection.request("HEAD", "/healthz", &[], b"").await;
    assert_eq!(connection.head().await.unwrap().status, 200);
}

#[tokio::test]
async fn readiness_tells_of_every_server_and_why_one_is_down() {
    let (good, child) = (Fake::modern().start().await, Child::new("").await);
    let config = json!({"servers": {
        "child": child.config(), "good": good.config(), "missing": {"command": "./no-such-program"},
        "off": {"command": "cat", "enabled": false},
        "unused": {"url": "http://127.0.0.1:1/mcp"},
    }});
    let gateway = Gateway::start(&config);
    let ready = gateway.get("/readyz").await;
    assert_eq!((ready.status(), &ready.json()["status"]), (200, &json!("ready")));
    assert_eq!(ready.json()["servers"]["missing"], json!({"state": "idle"}));
    for server in ["good", "child", "missing"] {
        let _ = Modern::at(&format!("/mcp/s/{server}")).request(&gateway, "tools/list", json!({})).await;
    }
    // One server that is down does not take the others' clients away.
    let ready = gateway.get("/readyz").await;
    assert_eq!((ready.status(), &ready.json()["status"]), (200, &json!("degraded")));
    let servers = &ready.json()["servers"];
    assert_eq!(servers["good"], json!({"state": "up", "revision": "2026-07-28"}));
    assert_eq!(servers["child"], json!({"state": "up", "revision": "2025-11-25"}));
    assert_eq!(servers["missing"]["state"], "down");
    assert!(servers["missing"]["reason"].as_str().unwrap().contains("no-such-program"), "{servers}");
    assert_eq!(servers["unused"], json!({"state": "idle"}));
    assert_eq!(servers.get("off"), None);
}

// ---- metrics ----

/// The samples of a page, which is read as a scraper would read it: strictly.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut families) = (BTreeMap::new(), HashSet::new());
    let mut family = (String::new(), String::new());
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned()), "a family twice: {line}");
            family = (name.to_owned(), kind.to_owned());
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let name = series.split('{').next().unwrap();
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
            let stem = match family.1.as_str() {
                "histogram" => name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count"),
                _ => name,
            };
            assert_eq!(stem, family.0, "a sample outside its family: {line}");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(samples.insert(series.to_owned(), value).is_none(), "a series twice: {line}");
        }
    }
    samples
}

async fn scrape(gateway: &Gateway) -> BTreeMap<String, f64> {
    let page = gateway.get("/metrics").await;
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    samples(&page.text())
}

fn calls(tool: &str, outcome: &str) -> String {
    format!(r#"portcullis_calls_total{{server_id="x",method="tools/call",tool_name="{tool}",outcome="{outcome}"}}"#)
}

#[tokio::test]
async fn counts_calls_by_server_tool_and_outcome() {
    let go_on = Arc::new(Notify::new());
    let gate = go_on.clone();
    let upstream = Fake::modern()
        .tools(["ok", "bad", "broken", "slow", "held"].map(tool).to_vec())
        .on("tools/call", move |seen, answer| {
            let gate = gate.clone();
            async move {
                let content = json!([{"type": "text", "text": "x"}]);
                match seen.rpc["params"]["name"].as_str().unwrap() {
                    "bad" => answer.result(json!({"content": content, "isError": true})).await,
                    "broken" => answer.error(200, json!({"code": -32603, "message": "no"})).await,
                    "slow" => std::future::pending().await,
                    "held" => {
                        gate.notified().await;
                        answer.result(json!({"content": content})).await;
                    }
                    _ => answer.result(json!({"content": content})).await,
                }
            }
        })
        .start()
        .await;
    let mut config = upstream.config();
    config["call_timeout"] = json!("300ms");
    let gateway = Arc::new(Gateway::before(&config));
    for tool in ["ok", "ok", "bad", "broken", "slow"] {
        let params = json!({"name": format!("x__{tool}"), "arguments": {}});
        let _ = Modern::new().request(&gateway, "tools/call", params).await;
    }
    let seen = scrape(&gateway).await;
    let outcomes = [("ok", "ok", 2.0), ("bad", "tool_error", 1.0), ("broken", "error", 1.0), ("slow", "timeout", 1.0)];
    for (tool, outcome, count) in outcomes {
        assert_eq!(seen.get(&calls(tool, outcome)), Some(&count), "{tool}: {seen:#?}");
        let labels = format!(r#"{{server_id="x",method="tools/call",tool_name="{tool}"}}"#);
        assert_eq!(seen[&format!("portcullis_call_duration_seconds_count{labels}")], count);
        let all = labels.replace('}', r#",le="+Inf"}"#);
        assert_eq!(seen[&format!("portcullis_call_duration_seconds_bucket{all}")], count);
    }
    assert_eq!(seen[r#"portcullis_calls_in_flight{server_id="x"}"#], 0.0);
    assert_eq!(seen[r#"portcullis_server_up{server_id="x"}"#], 1.0);

    // A call under way is one, and its caller who leaves makes it a cancelled one.
    let mut calling = gateway.connect().await;
    let body = Modern::new().body("tools/call", json!({"name": "x__held", "arguments": {}}));
    Modern::new().write(&mut calling, &body, &[]).await;
    upstream.nth("tools/call", 6).await;
    assert_eq!(scrape(&gateway).await[r#"portcullis_calls_in_flight{server_id="x"}"#], 1.0);
    drop(calling);
    until("the end of the call", async || scrape(&gateway).await.contains_key(&calls("held", "cancelled"))).await;
    assert_eq!(scrape(&gateway).await[r#"portcullis_calls_in_flight{server_id="x"}"#], 0.0);
    go_on.notify_one();
}

#[tokio::test]
async fn counts_sessions_streams_responses_and_restarts() {
    let child = Child::new("handlers['tools/call'] = lambda r: os._exit(3)").await;
    let gateway = Gateway::before(&child.config());
    let session = Legacy::open(&gateway).await;
    let other = Legacy::open(&gateway).await;
    let mut process = child.started().await;
    let mut stream = session.listen(&gateway, None).await;
    assert_eq!(stream.next().await.unwrap().comment.as_deref(), Some("open"));
    let seen = scrape(&gateway).await;
    assert_eq!((seen["portcullis_sessions"], seen["portcullis_streams"]), (2.0, 1.0));
    assert_eq!(other.delete(&gateway).await.status(), 204);
    assert_eq!(gateway.get("/nowhere").await.status(), 404);
    let seen = scrape(&gateway).await;
    assert_eq!(seen["portcullis_sessions"], 1.0);
    assert_eq!(seen[r#"portcullis_http_responses_total{status="404"}"#], 1.0);
    assert_eq!(seen[r#"portcullis_http_responses_total{status="204"}"#], 1.0);
    assert!(seen["process_resident_memory_bytes"] > 1e6);

    let failed = session.request(&gateway, "tools/call", json!({"name": "x__echo", "arguments": {}})).await;
    assert!(failed.text().contains("exited"), "{failed:?}");
    process.exited().await;
    assert!(!scrape(&gateway).await.contains_key(r#"portcullis_child_restarts_total{server_id="x"}"#));
    // What is listed is kept, so only a call brings the server back.
    let params = json!({"name": "x__echo", "arguments": {}});
    let (_, _process) = tokio::join!(session.request(&gateway, "tools/call", params), child.started());
    let seen = scrape(&gateway).await;
    assert_eq!(seen[r#"portcullis_child_restarts_total{server_id="x"}"#], 1.0);
    assert_eq!(seen[&calls("echo", "error")], 2.0);
    drop(stream);
    until("the end of the stream", async || scrape(&gateway).await["portcullis_streams"] == 0.0).await;
}

#[tokio::test]
async fn metrics_can_be_switched_off() {
    let gateway = Gateway::start(&json!({"telemetry": {"metrics": false}}));
    assert_eq!(gateway.get("/metrics").await.status(), 404);
}

// ---- log ----

#[tokio::test]
async fn log_lines_are_json_and_name_the_request() {
    let upstream = Fake::modern().start().await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open(&gateway).await;
    let params = json!({"name": "x__echo", "arguments": {}});
    for (id, shown) in [(json!("request-4711"), r#""\"request-4711\"""#), (json!(4712), r#""4712""#)] {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        assert_eq!(session.send(&gateway, &message).await.status(), 200);
        let line = gateway.logged(&format!(r#""request.id":{shown}"#)).await;
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["message"], "call");
        assert_eq!((&line["server.id"], &line["tool.name"]), (&json!("x"), &json!("echo")));
        assert_eq!((&line["method"], &line["outcome"]), (&json!("tools/call"), &json!("ok")));
        assert_eq!((&line["principal.id"], &line["level"]), (&json!("anonymous"), &json!("DEBUG")));
        assert!(line["duration_ms"].as_f64().unwrap() > 0.0);
    }
    for line in gateway.log().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["ts", "level", "target", "message"] {
            assert!(line[key].is_string(), "{key}: {line}");
        }
    }
}

#[tokio::test]
async fn no_secret_and_no_payload_ever_shows() {
    let child = Child::new(
        "handlers['tools/call'] = lambda r: text(r, 'result-secret ' + os.environ['TOKEN'])",
    )
    .await;
    let upstream = Fake::modern().on("tools/call", |_, answer| async move {
        answer.error(500, json!({"code": -32000, "message": "upstream-secret"})).await;
    });
    let upstream = upstream.start().await;
    let mut with_env = child.config();
    with_env["env"] = json!({"TOKEN": "env-secret"});
    let address = format!("{}?key=query-secret", upstream.url);
    let config = json!({
        "servers": {
            "child": with_env,
            "gone": {"url": "http://127.0.0.1:1/mcp?key=query-secret", "headers": {"X-Key": "header-secret"}},
            "web": {"url": address, "headers": {"Authorization": "Bearer header-secret"}},
        },
        "telemetry": {"log": {"filter": "trace"}},
    });
    let mut gateway = Gateway::start(&config);
    let session = Legacy::open(&gateway).await;
    let mut process = child.started().await;
    let credentials = [("authorization", "Bearer caller-secret"), ("cookie", "sid=cookie-secret")];
    let arguments = json!({"password": "argument-secret"});
    let result = session.call(&gateway, "child__echo", arguments.clone()).await;
    assert_eq!(text_of(&result), "result-secret env-secret", "the child got its secret");
    for tool in ["child__echo", "web__echo", "gone__echo"] {
        let params = json!({"name": tool, "arguments": arguments});
        let _ = Modern::new().request_with(&gateway, "tools/call", params, &credentials).await;
    }
    assert_eq!(upstream.nth("tools/call", 1).await.header("authorization"), Some("Bearer header-secret"));
    let _ = gateway.post("/mcp", r#"{"jsonrpc":"2.0","id":1,"method":"body-secret""#).await;
    let _ = gateway.send("POST", "/mcp?token=path-secret", &credentials, b"{}").await;
    let pages = [gateway.get("/metrics").await.text(), gateway.get("/readyz").await.text()];
    signal(gateway.pid(), Signal::TERM);
    process.exited().await;
    until("the exit", || {
        let exited = gateway.process().try_wait().unwrap().is_some();
        async move { exited }
    })
    .await;
    let log = gateway.log();
    assert!(log.contains(r#""message":"call""#), "the log is talkative");
    for text in pages.iter().chain([&log]) {
        let found = text.lines().find(|line| line.contains("-secret"));
        assert_eq!(found, None, "a secret shows");
    }
}

// ---- traces ----

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
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let in_header = Modern::new();
    let in_meta = Modern::new().with_meta("traceparent", json!(traceparent)).with_meta("tracestate", json!("v=1"));
    // The metadata is the call's own, so it wins over the header.
    let other = format!("00-{}-{PARENT}-01", "a".repeat(32));
    let cases = [(&in_header, &traceparent), (&in_meta, &other)];
    for (index, (client, header)) in cases.into_iter().enumerate() {
        let headers = [("traceparent", header.as_str()), ("tracestate", "v=1")];
        let mut process = None;
        for server in ["web", "old", "child"] {
            let params = json!({"name": format!("{server}__echo"), "arguments": {}});
            let response = client.request_with(&gateway, "tools/call", params, &headers).await;
            assert_eq!(response.status(), 200, "{response:?}");
            if server == "child" && index == 0 {
                process = Some(child.started().await);
            }
        }
        let spans = collector.take(6).await;
        for server in ["web", "old", "child"] {
            let outer = spans.iter().find(|span| attribute(span, "portcullis.server.id").as_deref() == Some(server));
            let outer = outer.unwrap_or_else(|| panic!("no span for {server}: {spans:#?}"));
            let inner = spans.iter().find(|span| span.span_id == outer.parent_span_id).expect("its parent");
            assert_eq!((hex(&inner.trace_id), hex(&inner.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
            assert_eq!(hex(&outer.trace_id), TRACE);
            assert_eq!((inner.kind, outer.kind), (2, 3), "a server's span around a client's");
            assert_eq!((inner.name.as_str(), outer.name.as_str()), ("tools/call echo", "tools/call echo"));
            assert_eq!(attribute(inner, "mcp.protocol.version").as_deref(), Some("2026-07-28"));
            // What the server was told is the span toward it.
            let told = format!("00-{TRACE}-{}-01", hex(&outer.span_id));
            let meta = match server {
                "child" => match &mut process {
                    Some(process) => process.message("tools/call").await["params"]["_meta"].clone(),
                    None => continue,
                },
                _ => {
                    let upstream = if server == "web" { &web } else { &old };
                    let seen = upstream.nth("tools/call", index + 1).await;
                    assert_eq!(seen.header("traceparent"), Some(told.as_str()), "{server}");
                    assert_eq!(seen.header("tracestate"), Some("v=1"), "{server}");
                    seen.rpc["params"]["_meta"].clone()
                }
            };
            assert_eq!((&meta["traceparent"], &meta["tracestate"]), (&json!(told), &json!("v=1")), "{server}");
        }
    }
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
