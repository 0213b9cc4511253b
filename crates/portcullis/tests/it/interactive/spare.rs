//! Children that are started before they are needed, and how many there may be.

use serde_json::json;

use super::{ASKING_CHILD, CALL, CAPABILITIES, accepted, everything, form, got, modern_client};
use crate::harness::{Child, Gateway, Legacy, Modern, until};

/// A child that tells which process it is.
const TELLS_ITS_PID: &str = r#"
handlers["tools/call"] = lambda request: text(request, str(os.getpid()))
"#;

#[tokio::test]
async fn a_process_is_there_before_a_client_declares_anything() {
    let child = Child::new(ASKING_CHILD).await;
    let gateway = Gateway::before(&child.config());
    let plain = Modern::at("/mcp/s/x");
    plain.result(&gateway, "server/discover", json!({})).await;
    let mut processes = [child.started().await, child.started().await];
    // The one that serves everybody has shaken hands by now, the other one is left alone until it is needed.
    let arguments = json!({"ask": [form("who?")]});
    let client = modern_client();
    let round = client.call(&gateway, "echo", arguments.clone()).await;
    let key = round["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let params = json!({
        "name": "echo", "arguments": arguments, "requestState": round["requestState"],
        "inputResponses": {key: accepted("Ann")},
    });
    assert_eq!(got(&client.result(&gateway, CALL, params).await), json!([accepted("Ann")]));
    let mut declared = Vec::new();
    for process in &mut processes {
        declared.push(process.message("initialize").await["params"]["capabilities"].clone());
    }
    declared.sort_by_key(|caps| caps.to_string().len());
    assert_eq!(declared, [json!({}), everything()], "and no third one was started");
}

#[tokio::test]
async fn one_that_ends_in_the_handshake_is_no_loss() {
    let child = Child::new(
        r#"
welcome = handlers["initialize"]
def when_told(request):
    if request["params"]["capabilities"] and order() == "leave":
        sys.exit(3)
    welcome(request)
handlers["initialize"] = when_told
"#,
    )
    .await;
    let gateway = Gateway::before(&child.config());
    Modern::at("/mcp/s/x").result(&gateway, "server/discover", json!({})).await;
    for mut process in [child.started().await, child.started().await] {
        process.tell(json!("leave")).await;
        tokio::spawn(async move { process.exited().await });
    }
    let client = modern_client();
    let (result, ()) = tokio::join!(client.call(&gateway, "echo", json!({"n": 1})), async {
        let mut third = child.started().await;
        third.tell(json!("stay")).await;
        third.message(CALL).await;
    });
    assert_eq!(got(&result), json!({"n": 1}));
}

#[tokio::test]
async fn one_that_has_ended_is_not_counted_on() {
    let child = Child::new(
        r"
def leave():
    order()
    os._exit(3)
threading.Thread(target=leave, daemon=True).start()
",
    )
    .await;
    let gateway = Gateway::before(&child.config());
    Modern::at("/mcp/s/x").result(&gateway, "server/discover", json!({})).await;
    let (mut one, mut other) = (child.started().await, child.started().await);
    let spare = tokio::select! {
        _ = one.message("initialize") => &mut other,
        _ = other.message("initialize") => &mut one,
    };
    spare.tell(json!("leave")).await;
    spare.exited().await;
    assert_eq!(got(&modern_client().call(&gateway, "echo", json!({"n": 1})).await), json!({"n": 1}));
    child.started().await.message(CALL).await;
}

#[tokio::test]
async fn a_modern_server_needs_none() {
    let child = Child::new(
        r#"
handlers["server/discover"] = lambda request: answer(request, {
    "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
    "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}})
"#,
    )
    .await;
    let mut config = child.config();
    config["era"] = json!("auto");
    let gateway = Gateway::before(&config);
    Modern::at("/mcp/s/x").result(&gateway, "server/discover", json!({})).await;
    let (mut one, mut other) = (child.started().await, child.started().await);
    tokio::select! {
        () = one.exited() => {}
        () = other.exited() => {}
    }
    assert_eq!(got(&modern_client().call(&gateway, "echo", json!({"n": 1})).await), json!({"n": 1}));
}

#[tokio::test]
async fn a_server_that_is_not_to_run_ahead_does_not() {
    let child = Child::new(TELLS_ITS_PID).await;
    let mut config = child.config();
    config["spare"] = json!(false);
    let gateway = Gateway::before(&config);
    for _ in 0..3 {
        Modern::at("/mcp/s/x").result(&gateway, "server/discover", json!({})).await;
    }
    child.started().await;
    let declaring = modern_client();
    declaring.call(&gateway, "echo", json!({})).await;
    let mut second = child.started().await;
    assert_eq!(second.message("initialize").await["params"]["capabilities"], everything());
}

#[tokio::test]
async fn a_server_runs_so_many_times_and_no_more() {
    let child = Child::new(TELLS_ITS_PID).await;
    let mut config = child.config();
    config["sharing"] = json!("session");
    // One of them is the gateway's own, for the lists.
    config["max_instances"] = json!(3);
    let gateway = Gateway::before(&config);
    let open = async || Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
    let sessions = [open().await, open().await, open().await];
    for session in &sessions[..2] {
        session.call(&gateway, "echo", json!({})).await;
    }
    let refused = async || {
        let answer = sessions[2].request(&gateway, CALL, json!({"name": "echo", "arguments": {}})).await;
        answer.json()
    };
    let message = refused().await;
    assert_eq!(message["error"]["data"]["reason"], "overloaded", "{message}");
    assert!(message["error"]["message"].as_str().unwrap().contains("max_instances"), "{message}");
    // Who leaves makes room.
    assert_eq!(sessions[0].delete(&gateway).await.status(), 204);
    until("a place", async || refused().await.get("result").is_some()).await;
}

#[tokio::test]
async fn what_a_client_without_a_session_declares_is_no_reason_to_start_more_than_one() {
    let child = Child::new(TELLS_ITS_PID).await;
    let gateway = Gateway::before(&child.config());
    let client = modern_client();
    for _ in 0..3 {
        client.result(&gateway, "server/discover", json!({})).await;
        client.call(&gateway, "echo", json!({})).await;
    }
    let (mut one, mut other) = (child.started().await, child.started().await);
    let declared = tokio::select! {
        _ = one.message(CALL) => &mut one,
        _ = other.message(CALL) => &mut other,
    };
    for _ in 1..3 {
        declared.message(CALL).await;
    }
    // A client with other capabilities is served by a third process: none was started in between.
    let other = Modern::at("/mcp/s/x").with_meta(CAPABILITIES, json!({"roots": {}}));
    other.call(&gateway, "echo", json!({})).await;
    let mut third = child.started().await;
    assert_eq!(third.message("initialize").await["params"]["capabilities"], json!({"roots": {}}));
}
