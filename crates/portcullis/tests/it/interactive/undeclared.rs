//! Servers that ask what the client of the call did not declare.

use serde_json::{Value, json};

use super::{ASKING_CHILD, CALL, CAPABILITIES, asking_over_http, call, form, got, sampling};
use crate::harness::{Child, Fake, Gateway, Legacy, Modern};

const MISSING: i64 = -32021;

fn echo(arguments: &Value) -> Value {
    json!({"name": "echo", "arguments": arguments})
}

#[tokio::test]
async fn the_call_of_a_modern_client_fails_and_is_cancelled() {
    let cases = [
        (json!({}), form("who?"), json!({"elicitation": {"form": {}}})),
        (json!({"roots": {}}), sampling(), json!({"sampling": {"tools": {}}})),
        (json!({"sampling": {}}), json!({"method": "roots/list"}), json!({"roots": {}})),
    ];
    for (declared, question, needed) in cases {
        let server = asking_over_http(vec![question]).await;
        let gateway = Gateway::before(&server.config());
        let client = Modern::at("/mcp/s/x").with_meta(CAPABILITIES, declared);
        let answer = client.request(&gateway, CALL, echo(&json!({}))).await;
        assert_eq!((answer.status(), answer.error_code()), (400, MISSING), "{}", answer.text());
        assert_eq!(answer.json()["error"]["data"]["requiredCapabilities"], needed);
        let told = server.nth("notifications/cancelled", 1).await;
        assert_eq!(told.rpc["params"]["requestId"], server.nth(CALL, 1).await.rpc["id"]);
        // The question itself was answered, too.
        server.nth("POST", 1).await;
    }
}

#[tokio::test]
async fn a_childs_only_call_fails_and_the_child_goes_on() {
    let child = Child::new(ASKING_CHILD).await;
    let gateway = Gateway::before(&child.config());
    let client = Modern::at("/mcp/s/x");
    let answer = client.request(&gateway, CALL, echo(&json!({"ask": [form("who?")]}))).await;
    assert_eq!((answer.status(), answer.error_code()), (400, MISSING), "{}", answer.text());
    child.started().await.message("notifications/cancelled").await;
    let result = client.result(&gateway, CALL, echo(&json!({"ask": []}))).await;
    assert_eq!(got(&result), json!([]));
}

#[tokio::test]
async fn of_several_calls_on_one_channel_none_is_taken_for_another() {
    // The first call is not answered before the second has asked; whose the question is, nobody can know.
    let script = r#"
first = []
def call(request):
    if request["params"]["arguments"].get("wait"):
        first.append(request)
    else:
        send({"method": "roots/list", "id": "r", "params": {}})
def answered(message):
    text(first.pop(), "the first")
handlers["tools/call"] = call
handlers[None] = answered
"#;
    let child = Child::new(script).await;
    let gateway = Gateway::before(&child.config());
    let client = Modern::at("/mcp/s/x");
    let first = client.result(&gateway, CALL, echo(&json!({"wait": true})));
    let second = async {
        let mut process = child.started().await;
        process.message(CALL).await;
        client.request(&gateway, CALL, echo(&json!({}))).await
    };
    let first = tokio::select! {
        first = first => first,
        second = second => panic!("it has no answer yet: {}", second.text()),
    };
    assert_eq!(first["content"][0]["text"], "the first");
}

#[tokio::test]
async fn a_legacy_client_gets_what_the_server_makes_of_the_refusal() {
    let server = asking_over_http(vec![form("who?")]).await;
    let gateway = Gateway::before(&server.config());
    let session = Legacy::open_with(&gateway, "/mcp/s/x", "2025-11-25", json!({})).await;
    let (_, mut events) = session.stream(&gateway, &call(1, &json!({}))).await;
    assert_eq!(got(&events.message().await.unwrap()["result"]), json!([{"action": "decline"}]));
    let child = Child::new(ASKING_CHILD).await;
    let gateway = Gateway::before(&child.config());
    let session = Legacy::open_with(&gateway, "/mcp/s/x", "2025-11-25", json!({})).await;
    let result = session.result(&gateway, CALL, echo(&json!({"ask": [form("who?")]}))).await;
    assert_eq!(got(&result), json!([{"action": "decline"}]));
}

#[tokio::test]
async fn a_modern_server_is_asked_what_it_is_in_the_name_of_whoever_asks() {
    let server = Fake::modern().start().await;
    let gateway = Gateway::before(&server.config());
    let declared = json!({"roots": {}, "sampling": {}, "elicitation": {"form": {}}});
    let client = Modern::at("/mcp/s/x").with_meta(CAPABILITIES, declared.clone());
    for _ in 0..2 {
        let hello = client.result(&gateway, "server/discover", json!({})).await;
        assert!(hello["capabilities"].get("tools").is_some(), "{hello}");
    }
    let seen = server.seen().into_iter().filter(|seen| seen.method() == "server/discover");
    let seen: Vec<_> = seen.map(|seen| seen.rpc["params"]["_meta"][CAPABILITIES].clone()).collect();
    assert_eq!(seen.iter().filter(|caps| **caps == declared).count(), 1, "once for each set: {seen:?}");
}
