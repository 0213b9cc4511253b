//! Servers that send more than anybody wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::sync::Semaphore;

use super::{ENOUGH, beside_good, good_is_unaffected};
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::{Fake, Gateway, Modern};

#[tokio::test]
async fn bodies_without_end_are_cut_and_cost_no_memory() {
    let cut = Arc::new(tokio::sync::Notify::new());
    let noticed = cut.clone();
    let upstream = Fake::modern()
        .on("tools/call", move |seen, mut answer| {
            let cut = noticed.clone();
            async move {
                let media = seen.rpc["params"]["arguments"]["media"].as_str().unwrap().to_owned();
                let head =
                    format!("HTTP/1.1 200 -\r\nconnection: close\r\ncontent-type: {media}\r\n\r\ndata: ");
                let _ = answer.write(head.as_bytes()).await;
                let block = vec![b'x'; 1 << 20];
                while answer.write(&block).await.is_ok() {}
                cut.notify_one();
            }
        })
        .start()
        .await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({"response_bytes": "1MiB"})).await;
    good_is_unaffected(&gateway).await;
    let before = gateway.memory();
    let client = Modern::at("/mcp/s/x");
    for media in ["application/json", "text/event-stream"] {
        let result = client.call(&gateway, "echo", json!({"media": media})).await;
        assert_eq!(result["isError"], true, "{media}: {result}");
        crate::harness::within("the end of the flood", cut.notified()).await;
    }
    assert!(gateway.memory().peak < before.now + ENOUGH, "{before:?} {:?}", gateway.memory());
    good_is_unaffected(&gateway).await;
}

#[tokio::test]
async fn bodies_that_break_off_fail_their_call() {
    let upstream = Fake::modern()
        .on("tools/call", |seen, mut answer| async move {
            let plain = "HTTP/1.1 200 -\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"jsonrpc\":";
            let stream = "HTTP/1.1 200 -\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n6\r\n: hi\n\n\r\n";
            let head = if seen.rpc["params"]["arguments"]["stream"] == true { stream } else { plain };
            let _ = answer.write(head.as_bytes()).await;
        })
        .start()
        .await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    for stream in [false, true] {
        let result = Modern::new().call(&gateway, "x__echo", json!({"stream": stream})).await;
        assert_eq!(result["isError"], true, "{result}");
    }
    assert_eq!(upstream.count("tools/call"), 2, "what may have been carried out is not sent again");
    good_is_unaffected(&gateway).await;
}

#[tokio::test]
async fn a_flood_of_notifications_reaches_nobody_whose_it_is_not() {
    let upstream = Fake::modern()
        .on("tools/call", |seen, mut answer| async move {
            answer.open_stream().await;
            let token = seen.rpc["params"]["_meta"]["progressToken"].clone();
            for number in 0..5_000 {
                answer.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": "other", "progress": number}})).await;
                answer.event(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "error", "data": "x"}})).await;
                answer.event(&json!({"jsonrpc": "2.0", "method": "notifications/made/up"})).await;
            }
            answer.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})).await;
            answer.result_event(text("done")).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new().with_meta("progressToken", json!("mine"));
    let answer = client.request(&gateway, "tools/call", json!({"name": "x__echo"})).await;
    let messages = answer.messages();
    assert_eq!(messages.len(), 2, "{:?}", messages.first());
    assert_eq!(messages[0]["params"], json!({"progressToken": "mine", "progress": 1}));
    assert_eq!(text_of(&messages[1]["result"]), "done");
}

#[tokio::test]
async fn a_server_that_asks_without_end_is_answered_on_a_few_connections() {
    const ASIDES: usize = 16;
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let came = Arc::new(Semaphore::new(0));
    let (taken, highest, answers) = (came.clone(), most.clone(), open.clone());
    let upstream = Fake::legacy()
        // What the gateway answers is taken and never acknowledged.
        .on("POST", move |_, mut answer| {
            let (taken, highest, open) = (taken.clone(), highest.clone(), answers.clone());
            async move {
                highest.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                taken.add_permits(1);
                answer.closed().await;
                open.fetch_sub(1, Ordering::SeqCst);
            }
        })
        .on("tools/call", move |seen, mut answer| {
            let came = came.clone();
            async move {
                if seen.rpc["params"]["arguments"]["ask"] == true {
                    answer.open_stream().await;
                    for round in 0..2 {
                        for id in 0..100 {
                            answer
                                .event(&json!({"jsonrpc": "2.0", "id": round * 100 + id, "method": "ping"}))
                                .await;
                        }
                        if round == 0 {
                            came.acquire_many(u32::try_from(ASIDES).unwrap()).await.unwrap().forget();
                        }
                    }
                    return answer.result_event(text("asked")).await;
                }
                answer.result(text("done")).await;
            }
        })
        .start()
        .await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    let client = Modern::new();
    assert_eq!(text_of(&client.call(&gateway, "x__echo", json!({"ask": true})).await), "asked");
    // Neither its own calls nor those of others wait for that.
    assert_eq!(text_of(&client.call(&gateway, "x__echo", json!({})).await), "done");
    good_is_unaffected(&gateway).await;
    assert_eq!(most.load(Ordering::SeqCst), ASIDES);
}
