//! What all clients together can make the gateway hold.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::gateway_with;
use crate::harness::fake::text;
use crate::harness::gateway::JSON;
use crate::harness::http::Head;
use crate::harness::{Fake, Gateway, Legacy, Modern, until, within};

const MIB: usize = 1 << 20;

/// How a large call is answered. A client that is refused while it still sends may find its connection closed before it
/// has read why; then it asks again.
async fn answered(gateway: &Gateway, params: &Value) -> Head {
    let client = Modern::new();
    let body = client.body("tools/call", params.clone());
    within("an answer", async {
        loop {
            let mut connection = gateway.connect().await;
            client.write(&mut connection, &body, &[]).await;
            if let Some(head) = connection.head().await {
                return head;
            }
        }
    })
    .await
}

#[tokio::test]
async fn uploads_that_stall_are_bounded_together() {
    let limits = json!({"bodies_bytes": "16MiB", "body_read": "60s"});
    let (gateway, _upstream) = gateway_with(limits).await;
    let client = Modern::new();
    let before = client.call(&gateway, "x__echo", json!({})).await;
    let memory = gateway.memory();
    let length = (4 * MIB).to_string();
    let chunk = vec![b'x'; 3 * MIB];
    let mut headers = JSON.to_vec();
    headers.push(("content-length", &length));
    let stall = async || {
        let mut connection = gateway.connect().await;
        connection.write_head("POST", "/mcp", &headers).await;
        // Those that are refused are told while they still send.
        let _ = connection.write(&chunk).await;
        connection
    };
    let mut stalled = Vec::new();
    for _ in 0..60 {
        stalled.push(stall().await);
    }
    let large = json!({"name": "x__echo", "arguments": {"large": "x".repeat(3 * MIB)}});
    let refused = within("a body too many", async {
        loop {
            let head = answered(&gateway, &large).await;
            if head.status == 503 {
                return head;
            }
            // Those that were refused at the same time left room.
            stalled.push(stall().await);
        }
    })
    .await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(client.call(&gateway, "x__echo", json!({})).await, before, "what is small goes through");
    let held = gateway.memory().peak.saturating_sub(memory.now);
    assert!(held < 100 * MIB, "{held} bytes for 180 MiB of uploads");
    drop(stalled);
    until("room again", async || answered(&gateway, &large).await.status == 200).await;
}

#[tokio::test]
async fn a_body_counts_until_its_call_has_ended() {
    let go_on = Arc::new(Notify::new());
    let waits = go_on.clone();
    let upstream = Fake::modern().on("tools/call", move |seen, answer| {
        let waits = waits.clone();
        async move {
            if seen.rpc["params"]["arguments"]["wait"] == true {
                waits.notified().await;
            }
            answer.result(text("done")).await;
        }
    });
    let upstream = upstream.start().await;
    let limits = json!({"body_bytes": "1MiB", "bodies_bytes": "1MiB"});
    let gateway = Gateway::start(&json!({"servers": {"x": upstream.config()}, "limits": limits}));
    let large = |wait: bool| json!({"name": "x__echo", "arguments": {"wait": wait, "large": "x".repeat(MIB * 2 / 3)}});
    // A call of a session goes on when its connection is gone, and so does what it holds.
    let session = Legacy::open(&gateway).await;
    let mut calling = gateway.connect().await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": large(true)});
    session.write(&mut calling, &call).await;
    upstream.nth("tools/call", 1).await;
    drop(calling);
    assert_eq!(answered(&gateway, &large(false)).await.status, 503);
    go_on.notify_one();
    until("the end of the call", async || answered(&gateway, &large(false)).await.status == 200).await;
}

#[tokio::test]
async fn finished_streams_are_kept_within_the_budget() {
    let upstream = Fake::legacy().on("tools/call", |seen, mut answer| async move {
        let token = seen.rpc["params"]["_meta"]["progressToken"].clone();
        let params = json!({"progressToken": token, "progress": 1});
        answer.open_stream().await;
        answer.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})).await;
        answer.result_event(text(&"x".repeat(1500))).await;
    });
    let upstream = upstream.start().await;
    let config = json!({"servers": {"x": upstream.config()}, "limits": {"replay_bytes": "2KiB"}});
    let gateway = Gateway::start(&config);
    let (ann, bob) = (Legacy::open(&gateway).await, Legacy::open(&gateway).await);
    let call = |id: u32| {
        let params = json!({"name": "x__echo", "_meta": {"progressToken": id}});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    let (_, mut events) = ann.stream(&gateway, &call(1)).await;
    let first = events.next().await.unwrap().id.unwrap();
    while events.message().await.is_some() {}
    let mut again = ann.listen(&gateway, Some(&first)).await;
    assert_eq!(again.message().await.unwrap()["method"], "notifications/progress");
    while again.message().await.is_some() {}
    // The next one takes its place, whosever it is.
    let (_, mut events) = bob.stream(&gateway, &call(2)).await;
    while events.message().await.is_some() {}
    until("the first to be forgotten", async || {
        let mut headers = ann.headers();
        headers.push(("last-event-id", &first));
        gateway.send("GET", "/mcp", &headers, b"").await.status() == 400
    })
    .await;
}
