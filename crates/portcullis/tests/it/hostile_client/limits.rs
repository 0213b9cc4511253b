//! What one client may take: calls under way, memory, cursors, names.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Notify;

use super::gateway;
use crate::harness::{Answer, Fake, Gateway, Legacy, Modern, until, within};

/// Keeps a call until its client goes away.
async fn never(mut answer: Answer) {
    answer.closed().await;
}

#[tokio::test]
async fn calls_under_way_are_limited_in_all_and_for_each_client() {
    let upstream = Fake::modern().on("tools/call", |_, answer| never(answer)).start().await;
    let limits = json!({"concurrent_calls": 3, "concurrent_per_client": 2});
    let gateway = Gateway::start(&json!({"servers": {"x": upstream.config()}, "limits": limits}));
    let session = Legacy::open(&gateway).await;
    let call =
        |id: i32| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "x__echo"}});
    let mut waiting = Vec::new();
    for id in 1..=2 {
        let mut connection = gateway.connect().await;
        session.write(&mut connection, &call(id)).await;
        waiting.push(connection);
        upstream.nth("tools/call", usize::try_from(id).unwrap()).await;
    }
    let refused = session.send(&gateway, &call(3)).await;
    assert_eq!((refused.status(), refused.header("retry-after")), (429, Some("1")));
    assert_eq!(refused.json()["id"], 3);
    assert_eq!(
        session.send(&gateway, &call(1)).await.error_code(),
        -32600,
        "an id under way is not taken twice"
    );

    let client = Modern::new();
    let mut third = gateway.connect().await;
    client.write(&mut third, &client.body("tools/call", json!({"name": "x__echo"})), &[]).await;
    upstream.nth("tools/call", 3).await;
    let refused = client.request(&gateway, "tools/list", json!({})).await;
    assert_eq!((refused.status(), refused.header("retry-after")), (503, Some("1")));
    drop(third);
    until("the place of a client that left", || async {
        client.request(&gateway, "tools/list", json!({})).await.status() == 200
    })
    .await;
}

#[tokio::test]
async fn as_many_calls_wait_for_a_busy_server_as_may_run() {
    let go_on = Arc::new(Notify::new());
    let waits = go_on.clone();
    let upstream = Fake::modern().on("tools/call", move |_, answer| {
        let waits = waits.clone();
        async move {
            waits.notified().await;
            answer.result(crate::harness::fake::text("done")).await;
        }
    });
    let upstream = upstream.start().await;
    let mut server = upstream.config();
    server["max_concurrent"] = json!(1);
    let gateway = Arc::new(Gateway::before(&server));
    let call = || {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            Modern::new().request(&gateway, "tools/call", json!({"name": "x__echo"})).await
        })
    };
    // Twice: the places of those who waited are given back.
    for round in 0..2 {
        let running = call();
        upstream.nth("tools/call", 2 * round + 1).await;
        let (mut one, mut two) = (call(), call());
        let (refused, waiting) = within("a call too many", async {
            tokio::select! { refused = &mut one => (refused, two), refused = &mut two => (refused, one) }
        })
        .await;
        let refused = refused.unwrap();
        assert_eq!((refused.status(), refused.header("retry-after")), (503, Some("1")));
        assert!(refused.text().contains("server `x` is busy"), "{refused:?}");
        assert_eq!(upstream.count("tools/call"), 2 * round + 1, "the other waits");
        go_on.notify_one();
        assert_eq!(running.await.unwrap().status(), 200);
        upstream.nth("tools/call", 2 * round + 2).await;
        go_on.notify_one();
        assert_eq!(waiting.await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_no_memory() {
    let written = Arc::new(Notify::new());
    let done = written.clone();
    let upstream = Fake::modern()
        .on("tools/call", move |seen, mut answer| {
            let done = done.clone();
            async move {
                let token = seen.rpc["params"]["_meta"]["progressToken"].clone();
                let params = json!({"progressToken": token, "progress": 1, "message": "x".repeat(64 << 10)});
                let event = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
                answer.open_stream().await;
                for _ in 0..1200 {
                    answer.event(&event).await;
                }
                answer.result_event(crate::harness::fake::text("the end")).await;
                done.notify_one();
            }
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open(&gateway).await;
    let before = gateway.memory();
    let mut message =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x__echo"}});
    message["params"]["_meta"] = json!({"progressToken": 1});
    let (_, mut unread) = session.stream(&gateway, &message).await;
    within("the end of the server's answer", written.notified()).await;
    // A legacy call goes on whether anybody reads or not, and keeps the end of its stream.
    let mut last = None;
    while let Some(message) = unread.message().await {
        last = Some(message);
    }
    assert_eq!(last.unwrap()["result"]["content"][0]["text"], "the end");

    // A modern one waits for its client.
    let client = Modern::new().with_meta("progressToken", json!(1));
    let unread = client.stream(&gateway, "tools/call", json!({"name": "x__echo"})).await;
    let all = tokio::time::timeout(Duration::from_millis(700), written.notified()).await;
    assert!(all.is_err(), "78 MB were read from the server for a client that reads nothing");
    drop(unread);
    let held = gateway.memory().peak.saturating_sub(before.now);
    assert!(held < 32 << 20, "{held} bytes of twice 78 MB");
}

#[tokio::test]
async fn cursors_of_others_are_refused() {
    let many = |kind: &'static str| {
        (0..1500)
            .map(move |number| json!({"name": format!("{kind}{number}"), "inputSchema": {"type": "object"}}))
    };
    let upstream =
        Fake::modern().tools(many("t").collect()).list("prompts", many("p").collect()).start().await;
    let config = json!({"servers": {"x": upstream.config()}});
    let (gateway, other) = (Gateway::start(&config), Gateway::start(&config));
    let client = Modern::new();
    let cursor =
        client.result(&gateway, "tools/list", json!({})).await["nextCursor"].as_str().unwrap().to_owned();
    let foreign =
        client.result(&other, "tools/list", json!({})).await["nextCursor"].as_str().unwrap().to_owned();
    let mut flipped = cursor.clone().into_bytes();
    let middle = flipped.len() / 2;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let truncated = &cursor[..cursor.len() - 3];
    let long = "A".repeat(100_000);
    for bad in [flipped.as_str(), foreign.as_str(), truncated, "", "AQ", "page2", "💥", long.as_str()] {
        let answer = client.request(&gateway, "tools/list", json!({"cursor": bad})).await;
        assert_eq!((answer.status(), answer.error_code()), (200, -32602), "{bad:.40}");
    }
    for bad in [json!(7), json!(null), json!({})] {
        let answer = client.request(&gateway, "tools/list", json!({"cursor": bad})).await;
        assert_eq!(answer.error_code(), -32602, "{bad}");
    }
    for method in ["prompts/list", "resources/list"] {
        let answer = client.request(&gateway, method, json!({"cursor": cursor})).await;
        assert_eq!(answer.error_code(), -32602, "a cursor of another list");
    }
    let answer = Modern::at("/mcp/s/x").request(&gateway, "tools/list", json!({"cursor": cursor})).await;
    assert_eq!(answer.error_code(), -32602, "a cursor of another endpoint");
    let honest = client.result(&gateway, "tools/list", json!({"cursor": cursor})).await;
    assert_eq!(honest["tools"].as_array().unwrap().len(), 500);
}

#[tokio::test]
async fn made_up_names_cost_no_listing_and_leave_no_label() {
    // A server that promises nothing about its lists: each of them may be another a moment later.
    let mut fake = Fake::modern();
    fake.hints = (0, "private");
    let upstream = fake.start().await;
    let gateway = Gateway::before(&upstream.config());
    let begin = Instant::now();
    for number in 0..20 {
        for client in [Modern::new(), Modern::at("/mcp/s/x")] {
            let name = format!("x__made_up_{number}");
            let answer = client.request(&gateway, "tools/call", json!({"name": name})).await;
            assert!(matches!(answer.status(), 200), "{answer:?}");
        }
        let nobody =
            Modern::new().request(&gateway, "tools/call", json!({"name": format!("nobody__{number}")})).await;
        assert_eq!(nobody.error_code(), -32602);
    }
    let lists = upstream.count("tools/list");
    assert!(lists <= 2 + usize::try_from(begin.elapsed().as_secs()).unwrap(), "{lists} lists for 20 names");
    let metrics = gateway.get("/metrics").await.text();
    assert!(
        metrics.contains("server_id=\"x\"") && !metrics.contains("made_up") && !metrics.contains("nobody"),
        "{metrics}"
    );
}

#[tokio::test]
async fn garbage_before_http_harms_nobody() {
    let (gateway, _upstream) = gateway().await;
    let noise: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\0\0\0\0\0\0",
        b"GET\r\n\r\n",
        b"POST /mcp HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxx",
    ];
    for bytes in noise {
        let mut connection = gateway.connect().await;
        let _ = connection.write(bytes).await;
        drop(connection);
    }
    // Smuggling: two ideas of where the body ends.
    let mut connection = gateway.connect().await;
    let head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    connection.write(head.as_bytes()).await.unwrap();
    assert_eq!(connection.response().await.status(), 400);
    assert_eq!(gateway.get("/healthz").await.status(), 200);
    tokio::time::timeout(Duration::from_secs(5), Modern::new().result(&gateway, "tools/list", json!({})))
        .await
        .unwrap();
}
