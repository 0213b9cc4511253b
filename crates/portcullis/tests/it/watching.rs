//! What those who run the gateway see of it: health, readiness, metrics, log, traces. And what nobody may see there.

mod traces;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::client::text_of;
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
fn samples(page: &str) -> BTreeMap<String, String> {
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
                "histogram" => {
                    name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count")
                }
                _ => name,
            };
            assert_eq!(stem, family.0, "a sample outside its family: {line}");
            assert!(value.parse::<f64>().is_ok(), "no number: {line}");
            assert!(samples.insert(series.to_owned(), value.to_owned()).is_none(), "a series twice: {line}");
        }
    }
    samples
}

async fn scrape(gateway: &Gateway) -> BTreeMap<String, String> {
    let page = gateway.get("/metrics").await;
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    samples(&page.text())
}

fn calls(tool: &str, outcome: &str) -> String {
    format!(
        r#"portcullis_calls_total{{server_id="x",method="tools/call",tool_name="{tool}",outcome="{outcome}"}}"#
    )
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
    let outcomes =
        [("ok", "ok", "2"), ("bad", "tool_error", "1"), ("broken", "error", "1"), ("slow", "timeout", "1")];
    for (tool, outcome, count) in outcomes {
        assert_eq!(seen.get(&calls(tool, outcome)), Some(&count.to_owned()), "{tool}: {seen:#?}");
        let labels = format!(r#"{{server_id="x",method="tools/call",tool_name="{tool}"}}"#);
        assert_eq!(seen[&format!("portcullis_call_duration_seconds_count{labels}")], count);
        let all = labels.replace('}', r#",le="+Inf"}"#);
        assert_eq!(seen[&format!("portcullis_call_duration_seconds_bucket{all}")], count);
    }
    assert_eq!(seen[r#"portcullis_calls_in_flight{server_id="x"}"#], "0");
    assert_eq!(seen[r#"portcullis_server_up{server_id="x"}"#], "1");

    // A call under way is one, and its caller who leaves makes it a cancelled one.
    let mut calling = gateway.connect().await;
    let body = Modern::new().body("tools/call", json!({"name": "x__held", "arguments": {}}));
    Modern::new().write(&mut calling, &body, &[]).await;
    upstream.nth("tools/call", 6).await;
    assert_eq!(scrape(&gateway).await[r#"portcullis_calls_in_flight{server_id="x"}"#], "1");
    drop(calling);
    until("the end of the call", async || scrape(&gateway).await.contains_key(&calls("held", "cancelled")))
        .await;
    assert_eq!(scrape(&gateway).await[r#"portcullis_calls_in_flight{server_id="x"}"#], "0");
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
    assert_eq!((seen["portcullis_sessions"].as_str(), seen["portcullis_streams"].as_str()), ("2", "1"));
    assert_eq!(other.delete(&gateway).await.status(), 204);
    assert_eq!(gateway.get("/nowhere").await.status(), 404);
    let seen = scrape(&gateway).await;
    assert_eq!(seen["portcullis_sessions"], "1");
    assert_eq!(seen[r#"portcullis_http_responses_total{status="404"}"#], "1");
    assert_eq!(seen[r#"portcullis_http_responses_total{status="204"}"#], "1");
    assert!(seen["process_resident_memory_bytes"].len() > 6, "more than a megabyte");

    let failed = session.request(&gateway, "tools/call", json!({"name": "x__echo", "arguments": {}})).await;
    assert!(failed.text().contains("exited"), "{failed:?}");
    process.exited().await;
    assert!(!scrape(&gateway).await.contains_key(r#"portcullis_child_restarts_total{server_id="x"}"#));
    // What is listed is kept, so only a call brings the server back.
    let params = json!({"name": "x__echo", "arguments": {}});
    let (_, _process) = tokio::join!(session.request(&gateway, "tools/call", params), child.started());
    let seen = scrape(&gateway).await;
    assert_eq!(seen[r#"portcullis_child_restarts_total{server_id="x"}"#], "1");
    assert_eq!(seen[&calls("echo", "error")], "2");
    drop(stream);
    until("the end of the stream", async || scrape(&gateway).await["portcullis_streams"] == "0").await;
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
    let child =
        Child::new("handlers['tools/call'] = lambda r: text(r, 'result-secret ' + os.environ['TOKEN'])")
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

#[tokio::test]
async fn lists_and_refusals_are_counted_under_no_name_that_a_client_made_up() {
    let server = Fake::modern().start().await;
    let gateway = Gateway::start(&json!({"servers": {"x": server.config()}}));
    let client = Modern::new();
    client.result(&gateway, "tools/list", json!({})).await;
    let unknown =
        client.request(&gateway, "tools/call", json!({"name": "x__made_up", "arguments": {}})).await;
    assert_eq!(unknown.error_code(), -32602);
    let response = gateway.get("/metrics").await;
    let metrics = response.text();
    for line in [
        r#"portcullis_calls_total{server_id="_all",method="tools/list",tool_name="",outcome="ok"} 1"#,
        r#"portcullis_calls_total{server_id="_all",method="tools/call",tool_name="",outcome="refused"} 1"#,
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
    assert!(!metrics.contains("made_up"));
}
