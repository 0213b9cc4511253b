//! What is not JSON, not JSON-RPC, or too much of it.

use serde_json::{Value, json};

use super::{gateway, gateway_with, ping};
use crate::harness::client::initialize;
use crate::harness::{Legacy, Modern};

#[tokio::test]
async fn what_is_not_json_or_not_json_rpc_is_refused() {
    let (gateway, _upstream) = gateway().await;
    let parse: [&[u8]; 12] = [
        b"",
        b"{",
        b"nonsense",
        b"{\"a\":1,}",
        b"{'a':1}",
        b"[1,2",
        b"\xff\xfe{}",
        b"{\"a\":\"\xc3\x28\"}",
        b"{\"a\":01}",
        b"{} {}",
        b"{\"a\":\"\x01\"}",
        b"NaN",
    ];
    for body in parse {
        let answer = gateway.post("/mcp", body).await;
        assert_eq!(
            (answer.status(), answer.error_code()),
            (400, -32700),
            "{}",
            String::from_utf8_lossy(body)
        );
    }
    let envelope = [
        "1",
        "\"x\"",
        "null",
        "true",
        "{}",
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
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

#[tokio::test]
async fn batches_are_for_one_revision_only() {
    let (gateway, _upstream) = gateway_with(json!({"batch": 3})).await;
    let pings = |count: i32| {
        (0..count).map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "ping"})).collect::<Value>()
    };
    let without = gateway.post("/mcp", pings(2).to_string()).await;
    assert_eq!((without.status(), without.error_code()), (400, -32600));
    for version in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let session = Legacy::open_at(&gateway, "/mcp", version).await;
        let answer = session.send(&gateway, &pings(2)).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32600), "{version}");
    }
    let session = Legacy::open_at(&gateway, "/mcp", "2025-03-26").await;
    for bad in [pings(4), pings(0), json!([initialize("2025-03-26")])] {
        let answer = session.send(&gateway, &bad).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32600), "{bad}");
    }
    let silent = json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]);
    assert_eq!(session.send(&gateway, &silent).await.status(), 202);
    let answer = session.send(&gateway, &pings(3)).await;
    let expected: Value = (0..3).map(|id| json!({"jsonrpc": "2.0", "id": id, "result": {}})).collect();
    assert_eq!((answer.status(), answer.json()), (200, expected));
}

#[tokio::test]
async fn what_is_no_message_in_a_batch_is_told_so_in_its_place() {
    let (gateway, _upstream) = gateway().await;
    let session = Legacy::open_at(&gateway, "/mcp", "2025-03-26").await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        1,
        {"jsonrpc": "1.0", "id": 2, "method": "ping"},
        [],
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 3, "method": "ping"},
    ]);
    let answer = session.send(&gateway, &batch).await;
    assert_eq!(answer.status(), 200);
    let answers = answer.json();
    let answers = answers.as_array().unwrap();
    let ids: Vec<_> = answers.iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(null), json!(2), json!(null), json!(3)]);
    for (nth, answer) in answers.iter().enumerate() {
        let code = answer["error"]["code"].as_i64();
        assert_eq!(code, [1, 2, 3].contains(&nth).then_some(-32600), "{answer}");
    }
    // Even when nothing else is in it.
    let answer = session.send(&gateway, &json!([1])).await;
    assert_eq!((answer.status(), answer.json()[0]["error"]["code"].clone()), (200, json!(-32600)));
    // Nothing of a batch that is refused as a whole is carried out.
    let opening = json!([{"jsonrpc": "2.0", "id": 4, "method": "ping"}, initialize("2025-03-26")]);
    assert_eq!(session.send(&gateway, &opening).await.status(), 400);
}
