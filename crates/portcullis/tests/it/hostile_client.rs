//! What a hostile, broken or merely old client can send, and what it gets for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::client::{LEGACY, initialize, result_of};
use crate::harness::fake::tool;
use crate::harness::gateway::JSON;
use crate::harness::{Answer, Fake, Gateway, Legacy, Modern, Upstream, until, within};

/// A gateway with one decent server behind it and these limits.
async fn gateway_with(limits: Value) -> (Gateway, Upstream) {
    let upstream = Fake::modern().start().await;
    let config = json!({"servers": {"x": upstream.config()}, "limits": limits});
    (Gateway::start(&config), upstream)
}

async fn gateway() -> (Gateway, Upstream) {
    gateway_with(json!({})).await
}

/// The headers of `initialize` and of every modern call are the business of other tests.
fn ping(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)
}

// ---- HTTP ----

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_and_while_it_comes() {
    let (gateway, _upstream) = gateway_with(json!({"body_bytes": 4096})).await;
    let mut declared = gateway.connect().await;
    let mut headers = JSON.to_vec();
    headers.push(("content-length", "4097"));
    declared.write_head("POST", "/mcp", &headers).await;
    let answer = declared.response().await;
    assert_eq!((answer.status(), answer.error_code()), (413, -32600), "nothing of the body was sent");

    let mut chunked = gateway.connect().await;
    let mut headers = JSON.to_vec();
    headers.push(("transfer-encoding", "chunked"));
    chunked.write_head("POST", "/mcp", &headers).await;
    let piece = format!("400\r\n{}\r\n", "x".repeat(1024));
    for _ in 0..5 {
        let _ = chunked.write(piece.as_bytes()).await;
    }
    assert_eq!(chunked.response().await.status(), 413);

    let lying = gateway.send("POST", "/mcp", &[("content-length", "99999999999999999999")], b"").await;
    assert_eq!(lying.status(), 400);
}

#[tokio::test]
async fn a_flood_of_headers_is_refused() {
    let (gateway, _upstream) = gateway_with(json!({"header_bytes": "8KiB"})).await;
    let mut long = gateway.connect().await;
    let value = "v".repeat(20_000);
    long.request("GET", "/healthz", &[("x-flood", &value)], b"").await;
    assert_eq!(long.response().await.status(), 431);

    let mut many = gateway.connect().await;
    let names: Vec<String> = (0..400).map(|number| format!("x-{number}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    many.request("GET", "/healthz", &headers, b"").await;
    assert_eq!(many.response().await.status(), 431);
}

#[tokio::test]
async fn slow_heads_and_slow_bodies_run_into_their_time() {
    let (gateway, _upstream) = gateway_with(json!({"header_read": "300ms", "body_read": "300ms"})).await;
    let mut head = gateway.connect().await;
    head.write(b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow:").await.unwrap();
    match head.head().await {
        None => {}
        Some(answer) => assert_eq!(answer.status, 408),
    }

    let mut body = gateway.connect().await;
    let mut headers = JSON.to_vec();
    headers.push(("content-length", "100"));
    body.write_head("POST", "/mcp", &headers).await;
    body.write(br#"{"jsonrpc""#).await.unwrap();
    let answer = body.response().await;
    assert_eq!(answer.status(), 408);
    assert_eq!(answer.json()["error"]["data"]["reason"], "body_timeout");

    let silent = gateway.connect().await.closes().await;
    assert!(silent, "a connection that never says anything is closed as well");
}

#[tokio::test]
async fn only_known_hosts_and_origins_may_ask() {
    let (gateway, _upstream) = gateway().await;
    let port = gateway.address.port();
    let evil = ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "[::1].evil", ""];
    for host in evil {
        let answer = gateway.send("GET", "/healthz", &[("host", host)], b"").await;
        assert!(matches!(answer.status(), 400 | 403), "Host: {host}: {}", answer.status());
    }
    let good = [format!("127.0.0.1:{port}"), format!("localhost:{port}"), "localhost".into(), format!("[::1]:{port}")];
    for host in &good {
        assert_eq!(gateway.send("GET", "/healthz", &[("host", host)], b"").await.status(), 200, "Host: {host}");
    }
    let mut headers = JSON.to_vec();
    for origin in ["https://evil.example", "null", "http://127.0.0.1.evil.example", "file://", "http://localhost@evil.example"] {
        headers.push(("origin", origin));
        let answer = gateway.send("POST", "/mcp", &headers, initialize(LEGACY).to_string().as_bytes()).await;
        assert_eq!((answer.status(), answer.json()["id"].clone()), (403, Value::Null), "Origin: {origin}");
        headers.pop();
    }
    for origin in ["http://localhost:3000", "http://127.0.0.1", "https://localhost", "http://[::1]:9"] {
        headers.push(("origin", origin));
        let answer = gateway.send("POST", "/mcp", &headers, initialize(LEGACY).to_string().as_bytes()).await;
        assert_eq!(answer.status(), 200, "Origin: {origin}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        headers.pop();
    }
}

#[tokio::test]
async fn wrong_types_paths_and_verbs_are_told_apart() {
    let (gateway, _upstream) = gateway().await;
    let body = initialize(LEGACY).to_string();
    for media in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let answer = gateway.send("POST", "/mcp", &[("content-type", media)], body.as_bytes()).await;
        assert_eq!(answer.status(), 415, "{media}");
    }
    let fine = gateway.send("POST", "/mcp", &[("content-type", "Application/JSON; charset=utf-8")], body.as_bytes()).await;
    assert_eq!(fine.status(), 200);
    for path in ["/", "/mcpx", "/mcp/s/", "/mcp/s/nobody", "/mcp/s/x/y", "/mcp/s/..%2f", "/sse", "/api/v1/x"] {
        let answer = gateway.post(path, &body).await;
        assert_eq!((answer.status(), answer.error_code()), (404, -32600), "{path}");
    }
    for verb in ["GET", "DELETE", "PUT", "PATCH"] {
        let answer = gateway.send(verb, "/mcp", &[("accept", "text/event-stream")], b"").await;
        assert_eq!(answer.status(), 405, "{verb}");
        assert!(answer.header("allow").unwrap().contains("POST"));
    }
}

// ---- JSON ----

#[tokio::test]
async fn what_is_not_json_or_not_json_rpc_is_refused() {
    let (gateway, _upstream) = gateway().await;
    let parse: [&[u8]; 12] = [
        b"", b"{", b"nonsense", b"{\"a\":1,}", b"{'a':1}", b"[1,2", b"\xff\xfe{}", b"{\"a\":\"\xc3\x28\"}", b"{\"a\":01}",
        b"{} {}", b"{\"a\":\"\x01\"}", b"NaN",
    ];
    for body in parse {
        let answer = gateway.post("/mcp", body).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32700), "{}", String::from_utf8_lossy(body));
    }
    let envelope = [
        "1", "\"x\"", "null", "true", "{}", r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#, r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}"#, r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
    ];
    for body in envelope {
        let answer = gateway.post("/mcp", body).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32600), "{body}");
    }
}

#[tokio::test]
async fn duplicate_members_are_refused_at_any_depth() {
    let (gateway, upstream) = gateway().await;
    let client = Modern::new();
    let honest = client.body("tools/call", json!({"name": "x__echo", "arguments": {"a": {"b": [{"c": 1}]}}}));
    let text = honest.to_string();
    let headers = Modern::headers(&honest);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let twice = [
        text.replacen('{', r#"{"method":"ping","#, 1),
        text.replace(r#""name":"x__echo""#, r#""name":"x__echo","name":"x__other""#),
        text.replace(r#"{"c":1}"#, r#"{"c":1,"c":2}"#),
        text.replace(r#"{"c":1}"#, r#"{"c":1,"\u0063":2}"#),
    ];
    for body in &twice {
        let answer = gateway.send("POST", "/mcp", &headers, body.as_bytes()).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32700), "{body}");
    }
    assert_eq!(upstream.count("tools/call"), 0);
    let answer = gateway.send("POST", "/mcp", &headers, text.as_bytes()).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn depth_is_bounded() {
    let (gateway, _upstream) = gateway_with(json!({"json_depth": 32})).await;
    let nested = |depth: usize| {
        let params = format!("{}{}", "{\"a\":".repeat(depth), "1") + &"}".repeat(depth);
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{params}}}"#)
    };
    assert_eq!(gateway.post("/mcp", nested(31)).await.error_code(), -32600, "no session, but JSON");
    assert_eq!(gateway.post("/mcp", nested(32)).await.error_code(), -32700);
    let bomb = "[".repeat(2_000_000);
    assert_eq!(gateway.post("/mcp", bomb).await.error_code(), -32700);
    assert_eq!(gateway.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn ids_are_strings_or_integers() {
    let (gateway, _upstream) = gateway().await;
    let session = Legacy::open(&gateway).await;
    for id in ["null", "1.5", "true", "[1]", "{}", "1e2"] {
        let answer = gateway.send("POST", "/mcp", &session.headers(), ping(id).as_bytes()).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32600), "{id}");
    }
    for id in ["0", "-7", "9007199254740993", r#""""#, r#""ü\n""#, r#""1""#] {
        let answer = gateway.send("POST", "/mcp", &session.headers(), ping(id).as_bytes()).await;
        let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
        assert_eq!(answer.text(), expected, "the id comes back as it was written");
    }
}

// ---- batches ----

#[tokio::test]
async fn batches_are_for_one_revision_only() {
    let (gateway, _upstream) = gateway_with(json!({"batch": 3})).await;
    let pings = |count: i32| {
        Value::from_iter((0..count).map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "ping"})))
    };
    let without = gateway.post("/mcp", pings(2).to_string()).await;
    assert_eq!((without.status(), without.error_code()), (400, -32600));
    for version in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let session = Legacy::open_at(&gateway, "/mcp", version).await;
        let answer = session.send(&gateway, &pings(2)).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32600), "{version}");
    }
    let session = Legacy::open_at(&gateway, "/mcp", "2025-03-26").await;
    for bad in [pings(4), pings(0), json!([initialize("2025-03-26")]), json!([1]), json!([[]])] {
        let answer = session.send(&gateway, &bad).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32600), "{bad}");
    }
    let silent = json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]);
    assert_eq!(session.send(&gateway, &silent).await.status(), 202);
    let answer = session.send(&gateway, &pings(3)).await;
    let expected = Value::from_iter((0..3).map(|id| json!({"jsonrpc": "2.0", "id": id, "result": {}})));
    assert_eq!((answer.status(), answer.json()), (200, expected));
}

// ---- 2026-07-28 headers ----

#[tokio::test]
async fn headers_that_do_not_fit_the_body_are_refused() {
    let (gateway, upstream) = gateway().await;
    let client = Modern::new();
    let body = client.body("tools/call", json!({"name": "x__echo"}));
    let lies = [
        ("mcp-protocol-version", None), ("mcp-protocol-version", Some("2027-01-01")), ("mcp-protocol-version", Some("x")),
        ("mcp-method", None), ("mcp-method", Some("tools/list")), ("mcp-method", Some("Tools/Call")),
        ("mcp-name", None), ("mcp-name", Some("x__other")), ("mcp-name", Some("")),
        ("mcp-name", Some("=?base64?***?=")), ("mcp-name", Some("=?base64?/w==?=")), ("mcp-name", Some("=?base64?eF9fb3RoZXI=?=")),
    ];
    for (name, value) in lies {
        let mut headers = Modern::headers(&body);
        headers.retain(|(known, _)| known != name);
        headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = gateway.send("POST", "/mcp", &headers, body.to_string().as_bytes()).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32020), "{name}: {value:?}");
        assert_eq!(answer.json()["id"], 1, "the id is repeated");
    }
    let mut headers = Modern::headers(&body);
    headers.retain(|(known, _)| known != "mcp-name");
    headers.push(("mcp-name".into(), "=?base64?eF9fZWNobw==?=".into()));
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = gateway.send("POST", "/mcp", &headers, body.to_string().as_bytes()).await;
    assert_eq!(answer.status(), 200, "an honest name in base64");
    assert_eq!(upstream.count("tools/call"), 1);
}

#[tokio::test]
async fn mirrored_arguments_are_held_against_the_schema() {
    let mut echo = tool("echo");
    echo["inputSchema"] = json!({"type": "object", "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "deep": {"type": "object", "properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}},
    }});
    let upstream = Fake::modern().tools(vec![echo]).start().await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new();
    let params = json!({"name": "x__echo", "arguments": {"region": "Ülm", "deep": {"count": 7}}});
    let region = ("mcp-param-region", "=?base64?w5xsbQ==?=");
    let wrong: [&[(&str, &str)]; 5] = [
        &[],
        &[region],
        &[region, ("mcp-param-count", "8")],
        &[("mcp-param-region", "Berlin"), ("mcp-param-count", "7")],
        &[("mcp-param-region", "=?base64?!!?="), ("mcp-param-count", "7")],
    ];
    for headers in wrong {
        let answer = client.request_with(&gateway, "tools/call", params.clone(), headers).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32020), "{headers:?}");
    }
    let right = [region, ("mcp-param-count", "7"), ("mcp-param-unknown", "kept away")];
    let answer = client.request_with(&gateway, "tools/call", params, &right).await;
    assert_eq!(answer.status(), 200);
    let seen = upstream.nth("tools/call", 1).await;
    assert_eq!(seen.header("mcp-param-region"), Some("=?base64?w5xsbQ==?="));
    assert_eq!(seen.header("mcp-param-count"), Some("7"));
    assert_eq!(seen.header("mcp-name"), Some("echo"));
}

#[tokio::test]
async fn metadata_is_required_and_versions_are_told() {
    let (gateway, _upstream) = gateway().await;
    let version = "io.modelcontextprotocol/protocolVersion";
    let capabilities = "io.modelcontextprotocol/clientCapabilities";
    for (key, value) in [(version, json!(null)), (version, json!(7)), (capabilities, json!(null)), (capabilities, json!([]))] {
        let client = Modern::new().with_meta(key, value.clone());
        let body = client.body("tools/list", json!({}));
        let answer = client.send_with(&gateway, &body, &[("mcp-protocol-version", "2026-07-28")]).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32602), "{key}: {value}");
    }
    for asked in ["2027-01-01", "2025-11-25", "latest"] {
        let client = Modern::new().with_meta(version, json!(asked));
        let answer = client.request(&gateway, "tools/list", json!({})).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32022), "{asked}");
        let data = answer.json()["error"]["data"].clone();
        assert_eq!(data["requested"], asked);
        assert_eq!(data["supported"][0], "2026-07-28");
        assert!(data["supported"].as_array().unwrap().contains(&json!("2025-11-25")));
    }
    let old = gateway.post("/mcp", initialize("2099-01-01").to_string()).await;
    assert_eq!(result_of(&old)["protocolVersion"], LEGACY, "the newest that has a handshake");
    let session = Legacy::open(&gateway).await;
    for version in ["1999-01-01", "x"] {
        let mut headers = session.headers();
        headers.retain(|(name, _)| *name != "mcp-protocol-version");
        headers.push(("mcp-protocol-version", version));
        let answer = gateway.send("POST", "/mcp", &headers, ping("1").as_bytes()).await;
        assert_eq!(answer.status(), 400, "{version}");
    }
}

#[tokio::test]
async fn what_2026_took_away_is_unknown() {
    let (gateway, _upstream) = gateway().await;
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "tasks/list", "tools/Call", "x", ""] {
        let answer = Modern::new().request(&gateway, method, json!({})).await;
        assert_eq!((answer.status(), answer.error_code()), (404, -32601), "{method}");
        assert_eq!(answer.json()["id"], 1);
        let session = Legacy::open(&gateway).await;
        if !matches!(method, "initialize" | "ping" | "logging/setLevel") {
            let answer = session.request(&gateway, method, json!({})).await;
            assert_eq!((answer.status(), answer.error_code()), (200, -32601), "404 would end the session: {method}");
        }
    }
}

// ---- sessions ----

#[tokio::test]
async fn a_session_is_good_for_its_own_endpoint_until_it_ends() {
    let (gateway, _upstream) = gateway().await;
    let session = Legacy::open(&gateway).await;
    let mut elsewhere = JSON.to_vec();
    elsewhere.push(("mcp-session-id", &session.session));
    for verb in ["POST", "GET", "DELETE"] {
        let answer = gateway.send(verb, "/mcp/s/x", &elsewhere, ping("1").as_bytes()).await;
        assert_eq!(answer.status(), 404, "{verb} with a session of another endpoint");
    }
    let long = "A".repeat(4000);
    for id in ["AAAAAAAAAAAAAAAAAAAAAA", "", "x y", long.as_str(), "../../etc"] {
        let mut headers = JSON.to_vec();
        headers.push(("mcp-session-id", id));
        let answer = gateway.send("POST", "/mcp", &headers, ping("1").as_bytes()).await;
        assert_eq!(answer.status(), 404, "{id:.20}");
    }
    let without = gateway.post("/mcp", ping("1")).await;
    assert_eq!((without.status(), without.json()["error"]["data"]["reason"].clone()), (400, json!("session_required")));

    assert_eq!(session.request(&gateway, "ping", json!({})).await.status(), 200);
    let again = session.send(&gateway, &initialize(LEGACY)).await;
    assert_eq!(again.error_code(), -32600, "it is initialized already");
    let mut listening = session.listen(&gateway, None).await;
    assert_eq!(session.delete(&gateway).await.status(), 204);
    while listening.next().await.is_some() {}
    for answer in [session.request(&gateway, "ping", json!({})).await, session.delete(&gateway).await] {
        assert_eq!(answer.status(), 404);
    }
}

#[tokio::test]
async fn sessions_are_limited_and_end_with_their_owner() {
    let (gateway, _upstream) = gateway_with(json!({"sessions": 2})).await;
    let first = Legacy::open(&gateway).await;
    let _second = Legacy::open(&gateway).await;
    let third = gateway.post("/mcp", initialize(LEGACY).to_string()).await;
    assert_eq!((third.status(), third.header("retry-after")), (503, Some("1")), "{third:?}");
    first.delete(&gateway).await;
    Legacy::open(&gateway).await;
}

// ---- limits ----

/// Keeps a call until its client goes away.
async fn never(mut answer: Answer) {
    answer.closed().await;
}

#[tokio::test]
async fn calls_under_way_are_limited_in_all_and_for_each_client() {
    let upstream = Fake::modern().on("tools/call", |_, answer| never(answer)).start().await;
    let limits = json!({"concurrent_calls": 3, "concurrent_per_client": 2});
    let gateway = Gateway::start(&json!({"servers": {"x": upstream.config()}, "limits": limits}));
    let session = Legacy::open(&gateway).await;
    let call = |id: i32| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "x__echo"}});
    let mut waiting = Vec::new();
    for id in 1..=2 {
        let mut connection = gateway.connect().await;
        session.write(&mut connection, &call(id)).await;
        waiting.push(connection);
        upstream.nth("tools/call", usize::try_from(id).unwrap()).await;
    }
    let refused = session.send(&gateway, &call(3)).await;
    assert_eq!((refused.status(), refused.header("retry-after")), (429, Some("1")));
    assert_eq!(refused.json()["id"], 3);
    assert_eq!(session.send(&gateway, &call(1)).await.error_code(), -32600, "an id under way is not taken twice");

    let client = Modern::new();
    let mut third = gateway.connect().await;
    client.write(&mut third, &client.body("tools/call", json!({"name": "x__echo"})), &[]).await;
    upstream.nth("tools/call", 3).await;
    let refused = client.request(&gateway, "tools/list", json!({})).await;
    assert_eq!((refused.status(), refused.header("retry-after")), (503, Some("1")));
    drop(third);
    until("the place of a client that left", || async {
        client.request(&gateway, "tools/list", json!({})).await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_no_memory() {
    let written = Arc::new(Notify::new());
    let done = written.clone();
    let upstream = Fake::modern()
        .on("tools/call", move |seen, mut answer| {
            let done = done.clone();
            async move {
                let token = seen.rpc["params"]["_meta"]["progressToken"].clone();
                let params = json!({"progressToken": token, "progress": 1, "message": "x".repeat(64 << 10)});
                let event = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
                answer.open_stream().await;
                for _ in 0..600 {
                    answer.event(&event).await;
                }
                answer.result_event(crate::harness::fake::text("the end")).await;
                done.notify_one();
            }
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open(&gateway).await;
    let before = gateway.memory();
    let mut message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x__echo"}});
    message["params"]["_meta"] = json!({"progressToken": 1});
    let (_, mut unread) = session.stream(&gateway, &message).await;
    within("the end of the server's answer", written.notified()).await;
    // A legacy call goes on whether anybody reads or not, and keeps the end of its stream.
    let mut last = None;
    while let Some(message) = unread.message().await {
        last = Some(message);
    }
    assert_eq!(last.unwrap()["result"]["content"][0]["text"], "the end");

    // A modern one waits for its client.
    let client = Modern::new().with_meta("progressToken", json!(1));
    let unread = client.stream(&gateway, "tools/call", json!({"name": "x__echo"})).await;
    let all = tokio::time::timeout(Duration::from_millis(700), written.notified()).await;
    assert!(all.is_err(), "39 MB were read from the server for a client that reads nothing");
    drop(unread);
    let held = gateway.memory().peak.saturating_sub(before.now);
    assert!(held < 24 << 20, "{held} bytes");
}

// ---- handles and names ----

#[tokio::test]
async fn cursors_of_others_are_refused() {
    let many = |kind: &'static str| (0..1500).map(move |number| json!({"name": format!("{kind}{number}"), "inputSchema": {"type": "object"}}));
    let upstream =
        Fake::modern().tools(many("t").collect()).list("prompts", many("p").collect()).start().await;
    let config = json!({"servers": {"x": upstream.config()}});
    let (gateway, other) = (Gateway::start(&config), Gateway::start(&config));
    let client = Modern::new();
    let cursor = client.result(&gateway, "tools/list", json!({})).await["nextCursor"].as_str().unwrap().to_owned();
    let foreign = client.result(&other, "tools/list", json!({})).await["nextCursor"].as_str().unwrap().to_owned();
    let mut flipped = cursor.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let truncated = &cursor[..cursor.len() - 3];
    let long = "A".repeat(100_000);
    for bad in [flipped.as_str(), foreign.as_str(), truncated, "", "AQ", "page2", "💥", long.as_str()] {
        let answer = client.request(&gateway, "tools/list", json!({"cursor": bad})).await;
        assert_eq!((answer.status(), answer.error_code()), (200, -32602), "{bad:.40}");
    }
    for bad in [json!(7), json!(null), json!({})] {
        let answer = client.request(&gateway, "tools/list", json!({"cursor": bad})).await;
        assert_eq!(answer.error_code(), -32602, "{bad}");
    }
    for method in ["prompts/list", "resources/list"] {
        let answer = client.request(&gateway, method, json!({"cursor": cursor})).await;
        assert_eq!(answer.error_code(), -32602, "a cursor of another list");
    }
    let answer = Modern::at("/mcp/s/x").request(&gateway, "tools/list", json!({"cursor": cursor})).await;
    assert_eq!(answer.error_code(), -32602, "a cursor of another endpoint");
    let honest = client.result(&gateway, "tools/list", json!({"cursor": cursor})).await;
    assert_eq!(honest["tools"].as_array().unwrap().len(), 500);
}

#[tokio::test]
async fn made_up_names_cost_no_listing_and_leave_no_label() {
    // A server that promises nothing about its lists: each of them may be another a moment later.
    let mut fake = Fake::modern();
    fake.hints = (0, "private");
    let upstream = fake.start().await;
    let gateway = Gateway::before(&upstream.config());
    let begin = Instant::now();
    for number in 0..20 {
        for client in [Modern::new(), Modern::at("/mcp/s/x")] {
            let name = format!("x__made_up_{number}");
            let answer = client.request(&gateway, "tools/call", json!({"name": name})).await;
            assert!(matches!(answer.status(), 200), "{answer:?}");
        }
        let nobody = Modern::new().request(&gateway, "tools/call", json!({"name": format!("nobody__{number}")})).await;
        assert_eq!(nobody.error_code(), -32602);
    }
    let lists = upstream.count("tools/list");
    assert!(lists <= 2 + usize::try_from(begin.elapsed().as_secs()).unwrap(), "{lists} lists for 20 names");
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains("x") && !metrics.contains("made_up") && !metrics.contains("nobody"), "{metrics}");
}

#[tokio::test]
async fn garbage_before_http_harms_nobody() {
    let (gateway, _upstream) = gateway().await;
    let noise: [&[u8]; 5] = [b"\x16\x03\x01\x02\x00\x01\x00", b"\0\0\0\0\0\0", b"GET\r\n\r\n", b"POST /mcp HTTP/9.9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxx"];
    for bytes in noise {
        let mut connection = gateway.connect().await;
        let _ = connection.write(bytes).await;
        drop(connection);
    }
    // Smuggling: two ideas of where the body ends.
    let mut connection = gateway.connect().await;
    let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    connection.write(head.as_bytes()).await.unwrap();
    assert_eq!(connection.response().await.status(), 400);
    assert_eq!(gateway.get("/healthz").await.status(), 200);
    tokio::time::timeout(Duration::from_secs(5), Modern::new().result(&gateway, "tools/list", json!({}))).await.unwrap();
}
