//! Servers that say nothing, at any point.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{beside_good, fails, good_is_unaffected, never};
use crate::harness::client::text_of;
use crate::harness::fake::tool;
use crate::harness::{Fake, Gateway, Legacy, Modern, until};

#[tokio::test]
async fn a_call_that_gets_no_answer_times_out_alone() {
    let upstream = Fake::modern()
        .list("prompts", vec![json!({"name": "p"})])
        .on("tools/call", |_, answer| never(answer))
        .on("prompts/get", |_, answer| never(answer))
        .start()
        .await;
    let mut server = upstream.config();
    server["call_timeout"] = json!("400ms");
    let (gateway, _good) = beside_good(&server, json!({})).await;
    let client = Modern::new();
    let (result, prompt, ()) = tokio::join!(
        client.call(&gateway, "x__echo", json!({})),
        client.request(&gateway, "prompts/get", json!({"name": "x__p"})),
        good_is_unaffected(&gateway),
    );
    assert_eq!(result["isError"], true, "{result}");
    assert_eq!((prompt.status(), prompt.error_code()), (200, -32603));
    assert_eq!(prompt.json()["error"]["data"]["reason"], "upstream_timeout");
    let old = Legacy::open(&gateway).await.call(&gateway, "x__echo", json!({})).await;
    assert_eq!((old["isError"].clone(), old.get("resultType")), (json!(true), None));
}

#[tokio::test]
async fn a_stream_that_starts_and_then_says_nothing_times_out() {
    let upstream = Fake::modern()
        .on("tools/call", |_, mut answer| async move {
            answer.open_stream().await;
            answer.closed().await;
        })
        .start()
        .await;
    let mut server = upstream.config();
    server["call_timeout"] = json!("300ms");
    let gateway = Gateway::before(&server);
    assert!(fails(&gateway).await.contains("no answer in time"));
}

#[tokio::test]
async fn a_server_that_hangs_in_the_handshake_is_given_up_and_tried_again() {
    let hangs = Arc::new(AtomicBool::new(true));
    let flag = hangs.clone();
    let fake = Fake::modern().on("server/discover", move |_, answer| {
        let hangs = flag.load(Ordering::SeqCst);
        async move {
            if hangs {
                return never(answer).await;
            }
            let welcome = json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                "ttlMs": 0, "cacheScope": "private",
            });
            answer.result(welcome).await;
        }
    });
    let upstream = fake.start().await;
    let mut server = upstream.config();
    server["call_timeout"] = json!("300ms");
    let (gateway, _good) = beside_good(&server, json!({})).await;
    let said = fails(&gateway).await;
    assert!(said.contains("`x`"), "{said}");
    assert_eq!(gateway.ready().await["servers"]["x"]["state"], "down");
    good_is_unaffected(&gateway).await;
    hangs.store(false, Ordering::SeqCst);
    until("a second attempt", || async {
        Modern::at("/mcp/s/x").call(&gateway, "echo", json!({})).await.get("isError").is_none()
    })
    .await;
    until("its list", || async {
        Modern::new().result(&gateway, "tools/list", json!({})).await["tools"].as_array().unwrap().len() == 2
    })
    .await;
    assert_eq!(gateway.ready().await["status"], "ready");
}

#[tokio::test]
async fn a_slow_list_holds_up_nobody_twice_and_the_last_good_one_is_served() {
    let slow = Arc::new(AtomicBool::new(false));
    let flag = slow.clone();
    let fake = Fake::legacy().on("tools/list", move |_, answer| {
        let slow = flag.load(Ordering::SeqCst);
        async move {
            if slow {
                return never(answer).await;
            }
            answer.result(json!({"tools": [tool("echo")]})).await;
        }
    });
    let upstream = fake.start().await;
    let mut server = upstream.config();
    server["call_timeout"] = json!("2s");
    server["list_ttl"] = json!("0s");
    let (gateway, _good) = beside_good(&server, json!({})).await;
    let client = Modern::new();
    let names = |result: &Value| {
        let tools = result["tools"].as_array().unwrap().clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ["good__echo", "x__echo"];
    assert_eq!(names(&client.result(&gateway, "tools/list", json!({})).await), all);
    slow.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    for _ in 0..5 {
        let listed = client.result(&gateway, "tools/list", json!({})).await;
        assert_eq!(names(&listed), all, "the last good list");
        assert_eq!((listed["ttlMs"].clone(), listed["cacheScope"].clone()), (json!(0), json!("private")));
    }
    assert!(begin.elapsed() < Duration::from_millis(2500), "one wait, not five: {:?}", begin.elapsed());
    until("the list to be given up", || async { gateway.ready().await["status"] == "degraded" }).await;
    assert_eq!(gateway.ready().await["servers"]["good"]["state"], "up");
    slow.store(false, Ordering::SeqCst);
    until("the server to be listed again", || async {
        client.result(&gateway, "tools/list", json!({})).await;
        gateway.ready().await["status"] == "ready"
    })
    .await;
}

#[tokio::test]
async fn a_server_that_hangs_holds_up_one_greeting_at_most() {
    let upstream = Fake::modern().on("server/discover", |_, answer| never(answer)).start().await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    Legacy::open(&gateway).await;
    let begin = Instant::now();
    for _ in 0..5 {
        let session = Legacy::open(&gateway).await;
        assert!(
            session.welcome["capabilities"].get("prompts").is_some(),
            "it may still come to offer anything"
        );
    }
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?} for five sessions", begin.elapsed());
    assert_eq!(upstream.count("server/discover"), 1);
}

#[tokio::test]
async fn a_list_that_hangs_does_not_hold_up_the_calls_of_its_own_endpoint() {
    let upstream = Fake::modern().on("tools/list", |_, answer| never(answer)).start().await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::at("/mcp/s/x");
    let begin = Instant::now();
    for _ in 0..5 {
        assert_eq!(text_of(&client.call(&gateway, "echo", json!({"a": 1})).await), r#"{"a":1}"#);
    }
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?} for five calls", begin.elapsed());
}
