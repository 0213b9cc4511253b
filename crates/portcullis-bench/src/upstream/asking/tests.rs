//! The tool that asks, as clients of either era meet it.

use serde_json::{Value, json};

use super::TOOL;
use crate::echo::{Arguments, TEXT_BYTES};
use crate::upstream::catalogue::Catalogue;
use crate::upstream::rpc::{Headers, Reply, Server};

const MODERN: Headers<'_> =
    Headers { version: Some("2026-07-28"), method: Some("tools/call"), name: Some(TOOL), session: None };

fn server() -> Server {
    Server::new("bench", Catalogue::new(1, true), true)
}

fn send(server: &Server, headers: &Headers<'_>, message: &Value) -> (Reply, Value) {
    let reply = server.answer(headers, message.to_string().as_bytes());
    let body = if reply.body.is_empty() { Value::Null } else { serde_json::from_str(&reply.body).unwrap() };
    (reply, body)
}

fn modern(capabilities: Value, more: &Value) -> Value {
    let mut call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": TOOL, "arguments": { "serial": 7, "note": "n" },
        "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28" } } });
    call["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    for (key, value) in more.as_object().unwrap() {
        call["params"][key] = value.clone();
    }
    call
}

fn arguments() -> Arguments {
    Arguments { serial: 7, note: "n".into(), bytes: TEXT_BYTES }
}

fn text(word: &str) -> String {
    let mut text = String::new();
    arguments().with_word(word).answer_into(&mut text);
    text
}

fn open_session(server: &Server, capabilities: &Value) -> String {
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": { "protocolVersion": "2025-11-25", "capabilities": capabilities } });
    send(server, &Headers::default(), &hello).0.session.unwrap()
}

fn call_in(server: &Server, session: &str) -> (Reply, Value) {
    let call = json!({ "jsonrpc": "2.0", "id": "c", "method": "tools/call",
        "params": { "name": TOOL, "arguments": { "serial": 7, "note": "n" } } });
    send(server, &Headers { session: Some(session), ..Headers::default() }, &call)
}

fn answer_in(server: &Server, session: &str, id: &Value, outcome: &Value) -> u16 {
    let mut answer = json!({ "jsonrpc": "2.0", "id": id });
    answer.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
    let headers = Headers { session: Some(session), ..Headers::default() };
    send(server, &headers, &answer).0.status.as_u16()
}

#[test]
fn a_modern_call_is_told_what_is_wanted_and_answers_with_it() {
    let server = server();
    let (_, asked) = send(&server, &MODERN, &modern(json!({ "elicitation": {} }), &json!({})));
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required");
    assert_eq!(result["inputRequests"]["word"]["params"]["message"], arguments().question());
    let word = json!({ "action": "accept", "content": { "word": "w" } });
    let again = json!({ "inputResponses": { "word": word }, "requestState": result["requestState"].clone() });
    let (_, answer) = send(&server, &MODERN, &modern(json!({ "elicitation": {} }), &again));
    assert_eq!(answer["result"]["resultType"], "complete");
    assert_eq!(answer["result"]["content"][0]["text"], text("w"));
}

#[test]
fn a_modern_call_needs_its_own_state_and_a_word() {
    let refused = |more: Value| {
        let (reply, body) = send(&server(), &MODERN, &modern(json!({ "elicitation": {} }), &more));
        (reply.status.as_u16(), body["error"]["code"].as_i64())
    };
    let word = json!({ "word": { "action": "accept", "content": { "word": "w" } } });
    assert_eq!(refused(json!({ "inputResponses": word, "requestState": "call-8" })), (400, Some(-32602)));
    assert_eq!(refused(json!({ "inputResponses": word })), (400, Some(-32602)));
    let declined = json!({ "word": { "action": "decline" } });
    assert_eq!(refused(json!({ "inputResponses": declined, "requestState": "call-7" })), (400, Some(-32602)));
}

#[test]
fn who_cannot_be_asked_is_refused() {
    let (reply, body) = send(&server(), &MODERN, &modern(json!({}), &json!({})));
    assert_eq!((reply.status.as_u16(), body["error"]["code"].as_i64()), (400, Some(-32021)));
    let server = server();
    let (reply, body) = call_in(&server, &open_session(&server, &json!({})));
    assert_eq!((reply.status.as_u16(), body["error"]["code"].as_i64()), (200, Some(-32021)));
}

#[test]
fn a_legacy_call_is_asked_on_its_stream_and_answered_there() {
    let server = server();
    let session = open_session(&server, &json!({ "elicitation": {} }));
    let (reply, question) = call_in(&server, &session);
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], arguments().question());
    let word = json!({ "result": { "action": "accept", "content": { "word": "w" } } });
    assert_eq!(answer_in(&server, &session, &question["id"], &word), 202);
    let answer: Value = serde_json::from_str(&reply.then.unwrap().try_recv().unwrap()).unwrap();
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!("c"), &json!(text("w"))));
}

#[test]
fn a_word_from_another_session_answers_nothing() {
    let server = server();
    let [mine, other] = [(); 2].map(|()| open_session(&server, &json!({ "elicitation": {} })));
    let (reply, question) = call_in(&server, &mine);
    let mut then = reply.then.unwrap();
    let word = json!({ "result": { "action": "accept", "content": { "word": "w" } } });
    assert_eq!(answer_in(&server, &other, &question["id"], &word), 202);
    then.try_recv().unwrap_err();
    let refused = json!({ "error": { "code": -32603, "message": "no" } });
    assert_eq!(answer_in(&server, &mine, &question["id"], &refused), 202);
    let answer: Value = serde_json::from_str(&then.try_recv().unwrap()).unwrap();
    assert_eq!(answer["error"]["code"], -32602);
}
