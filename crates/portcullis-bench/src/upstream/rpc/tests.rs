//! The upstream's wire behaviour: what a client of either era sends and what comes back.

use serde_json::{Value, json};

use super::{Catalogue, Headers, Server};
use crate::echo::{Arguments, TEXT_BYTES};

const MODERN_CALL: Headers<'_> =
    Headers { version: Some("2026-07-28"), method: Some("tools/call"), name: Some("tool_01"), session: None };

fn modern(method: &str, version: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": "a", "method": method, "params": {
        "name": "tool_01", "arguments": { "serial": 5, "note": "n" },
        "_meta": { "io.modelcontextprotocol/protocolVersion": version,
                   "io.modelcontextprotocol/clientCapabilities": {} } } })
}

/// Sends `message` and returns status, session and body.
fn send(server: &Server, headers: &Headers<'_>, message: &Value) -> (u16, Option<String>, Value) {
    let reply = server.answer(headers, message.to_string().as_bytes());
    let body = if reply.body.is_empty() { Value::Null } else { serde_json::from_str(&reply.body).unwrap() };
    (reply.status.as_u16(), reply.session, body)
}

fn server(sessions: bool) -> Server {
    Server::new("bench", Catalogue::new(2, false), sessions)
}

#[test]
fn modern_call_echoes_its_arguments() {
    let (status, _, body) = send(&server(false), &MODERN_CALL, &modern("tools/call", "2026-07-28"));
    let mut expected = String::new();
    Arguments { serial: 5, note: "n".into(), bytes: TEXT_BYTES }.answer_into(&mut expected);
    assert_eq!(status, 200);
    assert_eq!(body["id"], "a");
    assert_eq!(body["result"]["resultType"], "complete");
    assert_eq!(body["result"]["content"][0]["text"], Value::from(expected));
}

#[test]
fn modern_lists_carry_their_caching_hints() {
    for method in ["tools/list", "server/discover"] {
        let headers = Headers { method: Some(method), ..MODERN_CALL };
        let (status, _, body) = send(&server(false), &headers, &modern(method, "2026-07-28"));
        assert_eq!((status, &body["result"]["cacheScope"]), (200, &json!("public")), "{method}");
        assert!(body["result"]["ttlMs"].is_u64(), "{method}");
    }
}

#[test]
fn refuses_modern_requests_by_the_specifications_table() {
    let check = |headers: Headers<'_>, message: Value, status: u16, code: i64| {
        let (got, _, body) = send(&server(false), &headers, &message);
        assert_eq!((got, body["error"]["code"].as_i64()), (status, Some(code)), "{headers:?} {message}");
        assert_eq!(body["id"], "a");
    };
    let call = || modern("tools/call", "2026-07-28");
    check(Headers { version: None, ..MODERN_CALL }, call(), 400, -32020);
    check(Headers { method: None, ..MODERN_CALL }, call(), 400, -32020);
    check(Headers { name: Some("tool_02"), ..MODERN_CALL }, call(), 400, -32020);
    check(
        Headers { version: Some("2027-01-01"), ..MODERN_CALL },
        modern("tools/call", "2027-01-01"),
        400,
        -32022,
    );
    check(
        Headers { method: Some("initialize"), ..MODERN_CALL },
        modern("initialize", "2026-07-28"),
        404,
        -32601,
    );
    let bare = json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/list", "params": {} });
    check(MODERN_CALL, bare, 400, -32602);
}

#[test]
fn legacy_handshake_needs_no_session_by_default() {
    let server = server(false);
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "protocolVersion": "2025-06-18" } });
    let (status, session, body) = send(&server, &Headers::default(), &hello);
    assert_eq!((status, session), (200, None));
    assert_eq!(body["result"]["protocolVersion"], "2025-06-18");
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(send(&server, &Headers::default(), &ready).0, 202);
    let list = json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" });
    let (_, _, body) = send(&server, &Headers::default(), &list);
    assert_eq!(body["result"]["tools"].as_array().map(Vec::len), Some(2));
}

#[test]
fn minted_session_is_required_back() {
    let server = server(true);
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": { "protocolVersion": "2024-01-01" } });
    let (_, session, body) = send(&server, &Headers::default(), &hello);
    assert_eq!(body["result"]["protocolVersion"], "2025-11-25");
    let ping = json!({ "jsonrpc": "2.0", "id": 2, "method": "ping" });
    let with = |session| send(&server, &Headers { session, ..Headers::default() }, &ping).0;
    assert_eq!([with(None), with(Some("bench9")), with(session.as_deref())], [400, 404, 200]);
}
