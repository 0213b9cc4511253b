//! Below MCP: bodies, heads, time, origins, paths.

use serde_json::{Value, json};

use super::{gateway, gateway_with};
use crate::harness::client::{LEGACY, initialize};
use crate::harness::gateway::JSON;

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
    let evil = [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "[::1].evil",
        "",
    ];
    for host in evil {
        let answer = gateway.send("GET", "/healthz", &[("host", host)], b"").await;
        assert!(matches!(answer.status(), 400 | 403), "Host: {host}: {}", answer.status());
    }
    let good = [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        "localhost".into(),
        format!("[::1]:{port}"),
    ];
    for host in &good {
        assert_eq!(
            gateway.send("GET", "/healthz", &[("host", host)], b"").await.status(),
            200,
            "Host: {host}"
        );
    }
    let mut headers = JSON.to_vec();
    for origin in [
        "https://evil.example",
        "null",
        "http://127.0.0.1.evil.example",
        "file://",
        "http://localhost@evil.example",
    ] {
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
    let fine = gateway
        .send("POST", "/mcp", &[("content-type", "Application/JSON; charset=utf-8")], body.as_bytes())
        .await;
    assert_eq!(fine.status(), 200);
    for path in ["/", "/mcpx", "/mcp/s/", "/mcp/s/nobody", "/mcp/s/x/y", "/mcp/s/..%2f", "/ws", "/api/v1/x"] {
        let answer = gateway.post(path, &body).await;
        assert_eq!((answer.status(), answer.error_code()), (404, -32600), "{path}");
    }
    for verb in ["GET", "DELETE", "PUT", "PATCH"] {
        let answer = gateway.send(verb, "/mcp", &[("accept", "text/event-stream")], b"").await;
        assert_eq!(answer.status(), 405, "{verb}");
        assert!(answer.header("allow").unwrap().contains("POST"));
    }
}

#[tokio::test]
async fn a_body_is_not_asked_for_when_it_will_not_be_taken() {
    let (gateway, _upstream) = gateway_with(json!({"body_bytes": 4096})).await;
    for (length, answered) in [("5000", 413), ("2", 100)] {
        let mut headers = JSON.to_vec();
        headers.extend([("content-length", length), ("expect", "100-continue")]);
        let mut connection = gateway.connect().await;
        connection.write_head("POST", "/mcp", &headers).await;
        assert_eq!(connection.head().await.unwrap().status, answered, "{length} bytes");
    }
}
