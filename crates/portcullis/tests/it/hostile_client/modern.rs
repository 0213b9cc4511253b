//! Headers, metadata and versions of 2026-07-28.

use serde_json::json;

use super::{gateway, ping};
use crate::harness::client::{LEGACY, initialize, result_of};
use crate::harness::fake::tool;
use crate::harness::{Fake, Gateway, Legacy, Modern};

#[tokio::test]
async fn headers_that_do_not_fit_the_body_are_refused() {
    let (gateway, upstream) = gateway().await;
    let client = Modern::new();
    let body = client.body("tools/call", json!({"name": "x__echo"}));
    let lies = [
        ("mcp-protocol-version", None),
        ("mcp-protocol-version", Some("2027-01-01")),
        ("mcp-protocol-version", Some("x")),
        ("mcp-method", None),
        ("mcp-method", Some("tools/list")),
        ("mcp-method", Some("Tools/Call")),
        ("mcp-name", None),
        ("mcp-name", Some("x__other")),
        ("mcp-name", Some("")),
        ("mcp-name", Some("=?base64?***?=")),
        ("mcp-name", Some("=?base64?/w==?=")),
        ("mcp-name", Some("=?base64?eF9fb3RoZXI=?=")),
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
    for (name, other) in [("mcp-name", "x__other"), ("mcp-name", "x__echo"), ("mcp-method", "tools/list")] {
        let mut headers = Modern::headers(&body);
        headers.push((name.to_owned(), other.to_owned()));
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let answer = gateway.send("POST", "/mcp", &headers, body.to_string().as_bytes()).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32020), "{name} twice, once as {other}");
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
    for (key, value) in
        [(version, json!(null)), (version, json!(7)), (capabilities, json!(null)), (capabilities, json!([]))]
    {
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
    for method in
        ["initialize", "ping", "logging/setLevel", "resources/subscribe", "tasks/list", "tools/Call", "x", ""]
    {
        let answer = Modern::new().request(&gateway, method, json!({})).await;
        assert_eq!((answer.status(), answer.error_code()), (404, -32601), "{method}");
        assert_eq!(answer.json()["id"], 1);
        let session = Legacy::open(&gateway).await;
        if !matches!(method, "initialize" | "ping" | "logging/setLevel") {
            let answer = session.request(&gateway, method, json!({})).await;
            assert_eq!(
                (answer.status(), answer.error_code()),
                (200, -32601),
                "404 would end the session: {method}"
            );
        }
    }
}
