//! A client without tasks calls a tool that needs one: the gateway waits in its place.

use serde_json::json;

use super::{Course, OWN, legacy_server, modern_server};
use crate::harness::client::LEGACY;
use crate::harness::{Gateway, Legacy, Modern};

#[tokio::test]
async fn the_call_stays_open_until_the_task_has_ended() {
    for (slug, tool) in [("old", "must"), ("new", "slow")] {
        for version in ["2025-06-18", LEGACY] {
            let course = Course::new();
            let server =
                if slug == "old" { legacy_server(&course).await } else { modern_server(&course).await };
            let gateway = Gateway::before(&server.config());
            let session = Legacy::open_at(&gateway, "/mcp", version).await;
            let name = format!("x__{tool}");
            let end = async {
                let asked = if slug == "old" { "tasks/result" } else { "tasks/get" };
                server.nth(asked, 1).await;
                course.complete("done", false);
            };
            let (result, ()) = tokio::join!(session.call(&gateway, &name, json!({})), end);
            assert_eq!(result["content"][0]["text"], "done", "{slug} {version}");
            assert_eq!(result["content"][1]["uri"], "mcp+x+db://r");
            assert!(result.get("_meta").is_none_or(|meta| !meta.to_string().contains(OWN)));
            assert_eq!(server.count("tasks/cancel"), 0);
        }
    }
}

#[tokio::test]
async fn a_modern_client_without_the_extension_gets_an_answer_or_is_told_what_it_lacks() {
    let course = Course::new();
    let old = legacy_server(&course).await;
    let gateway = Gateway::before(&old.config());
    let plain = Modern::new();
    let end = async {
        old.nth("tasks/result", 1).await;
        course.complete("done", true);
    };
    let (result, ()) = tokio::join!(plain.call(&gateway, "x__must", json!({})), end);
    assert_eq!((&result["resultType"], &result["isError"]), (&json!("complete"), &json!(true)));
    assert!(!result.to_string().contains(OWN), "{result}");
    assert_eq!(plain.call(&gateway, "x__slow", json!({})).await["content"][0]["text"], "at once");

    let new = modern_server(&course).await;
    let gateway = Gateway::before(&new.config());
    let refused = plain.request(&gateway, "tools/call", json!({"name": "x__slow", "arguments": {}})).await;
    assert_eq!((refused.status(), refused.error_code()), (400, -32021));
}

#[tokio::test]
async fn what_the_server_says_on_the_way_is_progress() {
    let course = Course::new();
    let server = modern_server(&course).await;
    let gateway = Gateway::before(&server.config());
    let session = Legacy::open(&gateway).await;
    course.set(json!({"status": "working", "statusMessage": "half way"}));
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": "x__slow", "arguments": {}, "_meta": {"progressToken": "p"},
    }});
    let (head, mut events) = session.stream(&gateway, &call).await;
    assert!(head.is_stream());
    let progress = events.message().await.unwrap();
    assert_eq!(progress["params"], json!({"progressToken": "p", "progress": 1, "message": "half way"}));
    course.complete("done", false);
    let answer = events.message().await.unwrap();
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(7), &json!("done")));
}

#[tokio::test]
async fn a_client_that_gives_up_cancels_the_task() {
    for (slug, tool) in [("old", "must"), ("new", "slow")] {
        let course = Course::new();
        let server = if slug == "old" { legacy_server(&course).await } else { modern_server(&course).await };
        let gateway = Gateway::before(&server.config());
        let session = Legacy::open(&gateway).await;
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
            "name": format!("x__{tool}"), "arguments": {},
        }});
        let mut connection = gateway.connect().await;
        session.write(&mut connection, &call).await;
        server.nth(if slug == "old" { "tasks/result" } else { "tasks/get" }, 1).await;
        let cancel =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
        session.send(&gateway, &cancel).await;
        assert_eq!(server.nth("tasks/cancel", 1).await.rpc["params"]["taskId"], OWN);
    }
    // A modern client gives up by leaving.
    let server = legacy_server(&Course::new()).await;
    let gateway = Gateway::before(&server.config());
    let client = Modern::new();
    let mut connection = gateway.connect().await;
    client
        .write(&mut connection, &client.body("tools/call", json!({"name": "x__must", "arguments": {}})), &[])
        .await;
    server.nth("tasks/result", 1).await;
    drop(connection);
    server.nth("tasks/cancel", 1).await;
}
