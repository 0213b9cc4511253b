//! Each era's way to cancel, on both sides.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;

use super::{CALL, call, cancel, endless, endless_child};
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::{Connection, Fake, Gateway, Legacy, Modern, within};

#[tokio::test]
async fn a_legacy_client_cancels_by_message() {
    let (hung_up, unused) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let modern = endless(Fake::modern(), hung_up.clone()).await;
    let legacy = endless(Fake::legacy(), unused).await;
    let child = endless_child().await;
    let config =
        json!({"servers": {"modern": modern.config(), "legacy": legacy.config(), "child": child.config()}});
    let gateway = Gateway::start(&config);
    let session = Legacy::open(&gateway).await;
    let mut process = child.started().await;
    for (name, id) in [("modern", json!("a")), ("legacy", json!(1)), ("child", json!("1"))] {
        let mut connection = gateway.connect().await;
        session.write(&mut connection, &call(&id, &format!("{name}__echo"))).await;
        let sent = match name {
            "modern" => modern.nth(CALL, 1).await.rpc,
            "legacy" => legacy.nth(CALL, 1).await.rpc,
            _ => process.message(CALL).await,
        };
        assert_eq!(session.send(&gateway, &cancel(&json!("unknown"))).await.status(), 202);
        assert_eq!(session.send(&gateway, &cancel(&id)).await.status(), 202);
        let answer = connection.response().await;
        assert_eq!((answer.status(), answer.messages()), (200, vec![]), "no answer to {name}");
        let told = match name {
            "modern" => {
                within("the end of the connection", hung_up.notified()).await;
                continue;
            }
            "legacy" => legacy.nth("notifications/cancelled", 1).await.rpc,
            _ => process.message("notifications/cancelled").await,
        };
        assert_eq!(told["params"]["requestId"], sent["id"], "in the server's own terms");
    }
    assert_eq!(modern.count("notifications/cancelled"), 0, "2026-07-28 has no such notification over HTTP");
}

#[tokio::test]
async fn a_modern_client_cancels_by_leaving() {
    let (hung_up, unused) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let modern = endless(Fake::modern(), hung_up.clone()).await;
    let legacy = endless(Fake::legacy(), unused).await;
    let child = endless_child().await;
    let config =
        json!({"servers": {"modern": modern.config(), "legacy": legacy.config(), "child": child.config()}});
    let gateway = Gateway::start(&config);
    let client = Modern::new();
    let begin = async |name: &str| -> Connection {
        let mut connection = gateway.connect().await;
        let body = client.body(CALL, json!({"name": format!("{name}__echo")}));
        client.write(&mut connection, &body, &[]).await;
        connection
    };
    let connection = begin("modern").await;
    modern.nth(CALL, 1).await;
    drop(connection);
    within("the end of the connection", hung_up.notified()).await;

    let connection = begin("legacy").await;
    let sent = legacy.nth(CALL, 1).await.rpc;
    drop(connection);
    let told = legacy.nth("notifications/cancelled", 1).await;
    assert_eq!(told.rpc["params"]["requestId"], sent["id"]);
    assert_eq!(told.header("mcp-session-id"), Some("session-1"));

    let connection = begin("child").await;
    let mut process = child.started().await;
    let sent = process.message(CALL).await;
    drop(connection);
    let told = process.message("notifications/cancelled").await;
    assert_eq!(told["params"]["requestId"], sent["id"]);
}

#[tokio::test]
async fn a_legacy_client_that_leaves_has_cancelled_nothing() {
    let gate = Arc::new(Notify::new());
    let open = gate.clone();
    let upstream = Fake::modern()
        .on(CALL, move |seen, mut answer| {
            let gate = open.clone();
            async move {
                let token = seen.rpc["params"]["_meta"]["progressToken"].clone();
                answer.open_stream().await;
                answer.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})).await;
                gate.notified().await;
                answer.result_event(text("still here")).await;
            }
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open(&gateway).await;
    let mut message = call(&json!(5), "x__echo");
    message["params"]["_meta"] = json!({"progressToken": 9});
    let (_, mut events) = session.stream(&gateway, &message).await;
    let mut last = None;
    loop {
        let event = events.next().await.expect("an event");
        last = event.id.clone().or(last);
        if event.data.as_deref().is_some_and(|data| !data.is_empty()) {
            assert_eq!(event.json()["params"], json!({"progressToken": 9, "progress": 1}));
            break;
        }
    }
    drop(events);
    assert_eq!(session.request(&gateway, "ping", json!({})).await.status(), 200);
    gate.notify_one();
    let answer = session.listen(&gateway, last.as_deref()).await.message().await.unwrap();
    assert_eq!(answer["id"], 5);
    assert_eq!(text_of(&answer["result"]), "still here");
    assert_eq!(upstream.count(CALL), 1);
}
