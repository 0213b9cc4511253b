//! A client of 2025-11-25 that wants a task gets one, whatever its server makes of the call.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;

use super::{Course, RELATED, create_legacy, legacy_server, modern_server, wish};
use crate::harness::{Fake, Gateway, Legacy};

#[tokio::test]
async fn a_server_that_answers_at_once_makes_a_task_that_has_ended() {
    let server = modern_server(&Course::new()).await;
    let gateway = Gateway::before(&server.config());
    let session = Legacy::open(&gateway).await;
    let made = wish(&session, &gateway, "x__quick").await;
    assert_eq!((&made["task"]["status"], &made["task"]["ttl"]), (&json!("completed"), &json!(30_000)));
    let id = made["task"]["taskId"].as_str().unwrap();
    let result = session.result(&gateway, "tasks/result", json!({"taskId": id})).await;
    assert_eq!(result["content"][0]["text"], "at once");
    assert_eq!(result["_meta"][RELATED]["taskId"], id);
    let task = session.result(&gateway, "tasks/get", json!({"taskId": id})).await;
    assert_eq!(task["status"], "completed");
    assert_eq!(session.result(&gateway, "tasks/list", json!({})).await["tasks"][0]["taskId"], id);
    let refused = session.request(&gateway, "tasks/cancel", json!({"taskId": id})).await;
    assert_eq!(refused.error_code(), -32602);
    // A call that is refused makes none.
    let params = json!({"name": "x__nobody", "arguments": {}, "task": {}});
    assert_eq!(session.request(&gateway, "tools/call", params).await.error_code(), -32602);
}

#[tokio::test]
async fn a_call_that_takes_its_time_goes_on_in_a_task_and_can_be_cancelled() {
    let (release, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (released, gone) = (release.clone(), closed.clone());
    let mut fake = Fake::modern();
    fake.capabilities["extensions"] = json!({"io.modelcontextprotocol/tasks": {}});
    let server = fake
        .on("tools/call", move |_, mut answer| {
            let (released, gone) = (released.clone(), gone.clone());
            async move {
                tokio::select! {
                    () = released.notified() => answer.result(super::text("in the end")).await,
                    () = answer.closed() => gone.notify_one(),
                }
            }
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let session = Legacy::open(&gateway).await;
    let id = create_legacy(&session, &gateway, "x__echo").await;
    let get = async |id: &str| session.result(&gateway, "tasks/get", json!({"taskId": id})).await;
    assert_eq!(get(&id).await["status"], "working");
    let other = create_legacy(&session, &gateway, "x__echo").await;
    let cancelled = session.result(&gateway, "tasks/cancel", json!({"taskId": other})).await;
    assert_eq!(cancelled["status"], "cancelled");
    crate::harness::within("the end of the call at the server", closed.notified()).await;
    assert_eq!(get(&other).await["status"], "cancelled");
    let waiting = session.request(&gateway, "tasks/result", json!({"taskId": other})).await;
    assert_eq!(waiting.error_code(), -32603);

    let (result, ()) = tokio::join!(session.result(&gateway, "tasks/result", json!({"taskId": id})), async {
        release.notify_one();
    });
    assert_eq!(result["content"][0]["text"], "in the end");
    assert_eq!(get(&id).await["status"], "completed");
}

#[tokio::test]
async fn where_no_server_has_tasks_a_wish_for_one_is_ignored() {
    for fake in [Fake::modern(), Fake::legacy()] {
        let server = fake.start().await;
        let gateway = Gateway::before(&server.config());
        let session = Legacy::open(&gateway).await;
        assert!(session.welcome["capabilities"].get("tasks").is_none());
        let result = wish(&session, &gateway, "x__echo").await;
        assert!(result["content"].is_array(), "{result}");
        let called = server.nth("tools/call", 1).await;
        assert!(called.rpc["params"].get("task").is_none());
    }
}

#[tokio::test]
async fn beside_servers_with_tasks_those_without_are_hosted() {
    let with = legacy_server(&Course::new()).await;
    let without = Fake::legacy().start().await;
    let gateway = Gateway::start(&json!({"servers": {"with": with.config(), "without": without.config()}}));
    let session = Legacy::open(&gateway).await;
    let id = create_legacy(&session, &gateway, "without__echo").await;
    let result = session.result(&gateway, "tasks/result", json!({"taskId": id})).await;
    assert_eq!(result["content"][0]["text"], "{}");
    // A server with tasks judges its own tools.
    let params = json!({"name": "with__quick", "arguments": {}, "task": {}});
    assert_eq!(session.request(&gateway, "tools/call", params).await.error_code(), -32601);
    let first = session.result(&gateway, "tasks/list", json!({})).await;
    assert_eq!(first["tasks"].as_array().unwrap().len(), 1);
    for _ in 0..50 {
        create_legacy(&session, &gateway, "without__echo").await;
    }
    let first = session.result(&gateway, "tasks/list", json!({})).await;
    let second = session.result(&gateway, "tasks/list", json!({"cursor": first["nextCursor"]})).await;
    assert_eq!(
        (first["tasks"].as_array().unwrap().len(), second["tasks"].as_array().unwrap().len()),
        (50, 1)
    );
    assert!(second.get("nextCursor").is_none());
    let other = Legacy::open_at(&gateway, "/mcp/s/with", "2025-11-25").await;
    let elsewhere = other.request(&gateway, "tasks/list", json!({"cursor": first["nextCursor"]})).await;
    assert_eq!(elsewhere.error_code(), -32602);
    assert!(elsewhere.text().contains("belongs to another list"), "{}", elsewhere.text());
    let bad = session.request(&gateway, "tasks/list", json!({"cursor": "x"})).await;
    assert_eq!(bad.error_code(), -32602);
}
