//! Servers that answer what is no answer, or is somebody else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{beside_good, fails, good_is_unaffected};
use crate::harness::client::text_of;
use crate::harness::fake::{text, tool};
use crate::harness::{Fake, Gateway, Legacy, Modern, until};

#[tokio::test]
async fn answers_that_are_none_fail_their_call_only() {
    let turn = Arc::new(AtomicUsize::new(0));
    let counter = turn.clone();
    let bodies: [&[u8]; 8] = [
        b"",
        b"nonsense",
        b"[]",
        b"{}",
        br#"{"jsonrpc":"2.0","id":99999,"result":{"content":[]}}"#,
        br#"{"jsonrpc":"2.0","id":"ID","result":{"content":[]}}"#,
        br#"{"jsonrpc":"2.0","method":"x"}"#,
        b"\xff\xfe",
    ];
    let upstream = Fake::modern()
        .on("tools/call", move |_, answer| {
            let body = bodies[counter.fetch_add(1, Ordering::SeqCst) % bodies.len()];
            async move { answer.send(200, &[("content-type", "application/json")], body).await }
        })
        .start()
        .await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    for _ in 0..bodies.len() {
        fails(&gateway).await;
    }
    good_is_unaffected(&gateway).await;
    assert_eq!(upstream.count("tools/call"), bodies.len(), "none of them is sent twice");
}

#[tokio::test]
async fn results_that_are_none_fail_their_call_only() {
    let bodies = [
        json!({"result": 7}),
        json!({"result": null}),
        json!({"result": []}),
        json!({"result": "x"}),
        json!({}),
        json!({"error": 7}),
        json!({"error": {}}),
        json!({"error": {"code": "x", "message": "x"}}),
        json!({"result": {}, "error": {"code": 1, "message": "x"}}),
        json!({"result": {"resultType": "surprise", "content": []}}),
        json!({"result": {"resultType": 7, "content": []}}),
    ];
    let turn = Arc::new(AtomicUsize::new(0));
    let (counter, answers) = (turn.clone(), bodies.clone());
    let upstream = Fake::modern()
        .on("tools/call", move |_, answer| {
            let mut body = answers[counter.load(Ordering::SeqCst)].clone();
            async move {
                body["jsonrpc"] = json!("2.0");
                body["id"] = answer.id.clone();
                answer.json(200, &body).await;
            }
        })
        .start()
        .await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    let old = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
    for (index, body) in bodies.iter().enumerate() {
        turn.store(index, Ordering::SeqCst);
        let said = fails(&gateway).await;
        assert!(said.contains("server"), "{body}: {said}");
        assert_eq!(old.call(&gateway, "echo", json!({})).await["isError"], true, "{body}");
    }
    good_is_unaffected(&gateway).await;
}

#[tokio::test]
async fn a_greeting_of_nonsense_is_not_passed_on() {
    let hellos = [
        json!({"capabilities": 7, "instructions": 7, "_meta": {"io.modelcontextprotocol/serverInfo": "x"}}),
        json!({"capabilities": {"tools": 7, "prompts": null}, "instructions": {"a": 1}, "_meta": 7}),
        json!({"instructions": "x".repeat(5 << 20)}),
    ];
    for hello in hellos {
        let fake = Fake::modern().on("server/discover", move |_, answer| {
            let mut hello = hello.clone();
            hello["resultType"] = json!("complete");
            hello["supportedVersions"] = json!(["2026-07-28", 7, "x"]);
            answer.result(hello)
        });
        let upstream = fake.start().await;
        let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
        for path in ["/mcp", "/mcp/s/x"] {
            let said = Modern::at(path).result(&gateway, "server/discover", json!({})).await;
            assert!(said["capabilities"].is_object(), "{said:.300}");
            assert!(said["_meta"]["io.modelcontextprotocol/serverInfo"].is_object(), "{said:.300}");
            assert!(said.get("instructions").is_none_or(Value::is_string));
            let old = Legacy::open_at(&gateway, path, "2025-11-25").await.welcome;
            assert!(old["capabilities"].is_object() && old["serverInfo"].is_object(), "{old:.300}");
        }
        let aggregate = Modern::new().result(&gateway, "server/discover", json!({})).await;
        assert!(
            aggregate.to_string().len() < 1 << 20,
            "one server's instructions do not fill everybody's context"
        );
        good_is_unaffected(&gateway).await;
    }
}

#[tokio::test]
async fn names_that_a_server_chose_break_neither_metrics_nor_lists() {
    let names = [
        "a\"} 1\nevil_metric 1",
        "\\",
        "\u{0}\u{1b}[2J",
        "good__echo",
        "",
        "../../x",
        "ünïcödé",
        &"n".repeat(10_000),
    ];
    let upstream = Fake::modern().tools(names.iter().map(|name| tool(name)).collect()).start().await;
    // Whoever looks at definitions would hold back or leave out some of them.
    let good = Fake::modern().start().await;
    let config = json!({
        "servers": {"x": upstream.config(), "good": good.config()}, "definitions": {"mode": "off"},
        "guard": {"profile": "none"},
    });
    let gateway = Gateway::start(&config);
    let listed = Modern::new().result(&gateway, "tools/list", json!({})).await;
    let exposed: Vec<_> =
        listed["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(exposed.len(), names.len() + 1);
    for name in &exposed[1..] {
        assert!(name.starts_with("x__") && name.len() <= 64, "{name}");
        let result = Modern::new().call(&gateway, name, json!({"a": 2})).await;
        assert_eq!(text_of(&result), r#"{"a":2}"#);
    }
    good_is_unaffected(&gateway).await;
    let metrics = gateway.get("/metrics").await.text();
    for line in metrics.lines() {
        let plain = line.starts_with("# ")
            || line.starts_with("portcullis_")
            || line.starts_with("process_")
            || line.is_empty();
        assert!(plain, "{line:?}");
        assert!(line.len() < 2_000, "{} bytes in one line", line.len());
    }
}

#[tokio::test]
async fn on_a_stream_the_first_answer_counts_and_a_foreign_one_ends_it() {
    let upstream = Fake::modern()
        .on("tools/call", |seen, mut answer| async move {
            answer.open_stream().await;
            if seen.rpc["params"]["arguments"]["lie"] == true {
                answer.event(&json!({"jsonrpc": "2.0", "id": 77777, "result": text("not yours")})).await;
            }
            answer.result_event(text("first")).await;
            answer.result_event(text("second")).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new();
    let answer = client.request(&gateway, "tools/call", json!({"name": "x__echo"})).await;
    assert_eq!(text_of(&answer.json()["result"]), "first");
    let lied = client.call(&gateway, "x__echo", json!({"lie": true})).await;
    assert_eq!(lied["isError"], true);
    assert!(!lied.to_string().contains("not yours"));
}

#[tokio::test]
async fn statuses_of_a_server_stay_on_its_side() {
    let status = Arc::new(AtomicUsize::new(0));
    let current = status.clone();
    let upstream = Fake::modern()
        .on("tools/call", move |_, answer| {
            let status = u16::try_from(current.load(Ordering::SeqCst)).unwrap();
            let challenge = [("www-authenticate", "Bearer resource_metadata=\"https://evil.example\"")];
            async move { answer.send(status, &challenge, b"denied by a secret proxy").await }
        })
        .start()
        .await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    for (code, word) in
        [(401, "credentials"), (403, "credentials"), (500, "500"), (502, "502"), (429, "429"), (302, "302")]
    {
        status.store(code, Ordering::SeqCst);
        let client = Modern::at("/mcp/s/x");
        let answer = client.request(&gateway, "tools/call", json!({"name": "echo"})).await;
        assert_eq!((answer.status(), answer.header("www-authenticate")), (200, None), "{code}");
        let said = text_of(&answer.json()["result"]).to_owned();
        assert!(said.contains(word) && !said.contains("secret"), "{code}: {said}");
        let old = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
        assert_eq!(old.call(&gateway, "echo", json!({})).await["isError"], true, "{code}");
    }
    good_is_unaffected(&gateway).await;
}

#[tokio::test]
async fn a_lost_session_is_opened_again_once() {
    let mode = Arc::new(AtomicUsize::new(1));
    let current = mode.clone();
    let upstream =
        Fake::legacy()
            .on("tools/call", move |_, answer| {
                // 1: the session has just ended; 0: all is well; 2: it ends with every call.
                let lost = match current.load(Ordering::SeqCst) {
                    1 => current.swap(0, Ordering::SeqCst) == 1,
                    mode => mode == 2,
                };
                async move {
                    if lost { answer.send(404, &[], b"").await } else { answer.result(text("ok")).await }
                }
            })
            .start()
            .await;
    let gateway = Gateway::before(&upstream.config());
    let result = Modern::new().call(&gateway, "x__echo", json!({})).await;
    assert_eq!(text_of(&result), "ok");
    assert_eq!((upstream.count("initialize"), upstream.count("tools/call")), (2, 2));
    mode.store(2, Ordering::SeqCst);
    let said = fails(&gateway).await;
    assert!(said.contains("session ended"), "{said}");
    assert_eq!(upstream.count("tools/call"), 4, "one retry and no more");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_down_and_left_in_peace() {
    let upstream = Fake::modern().start().await;
    let (gateway, _good) = beside_good(&upstream.config(), json!({})).await;
    let client = Modern::new();
    assert!(client.call(&gateway, "x__echo", json!({})).await.get("isError").is_none());
    drop(upstream);
    until("the failures to be noticed", || async {
        let said = fails(&gateway).await;
        assert!(said.contains("cannot connect"), "{said}");
        said.contains("next attempt in")
    })
    .await;
    let ready = gateway.ready().await;
    assert_eq!(
        (ready["status"].clone(), ready["servers"]["x"]["state"].clone()),
        (json!("degraded"), json!("down"))
    );
    good_is_unaffected(&gateway).await;
}

/// An answer that promises to keep the connection.
fn kept(id: &Value, words: &str) -> Vec<u8> {
    let body = json!({"jsonrpc": "2.0", "id": id, "result": text(words)}).to_string();
    format!(
        "HTTP/1.1 200 -\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[tokio::test]
async fn connections_that_were_to_be_kept_and_are_closed_fail_no_call() {
    let upstream = Fake::modern()
        .on("tools/call", |_, mut answer| async move {
            let bytes = kept(&answer.id, "ok");
            let _ = answer.write(&bytes).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new();
    for _ in 0..50 {
        assert_eq!(text_of(&client.call(&gateway, "x__echo", json!({})).await), "ok");
    }
}

#[tokio::test]
async fn an_answer_nobody_asked_for_is_not_the_next_calls() {
    let upstream = Fake::modern()
        .on("tools/call", |_, mut answer| async move {
            let next = json!(answer.id.as_u64().unwrap() + 1);
            let mut bytes = kept(&answer.id, "asked for");
            bytes.extend(kept(&next, "smuggled"));
            let _ = answer.write(&bytes).await;
            answer.closed().await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new();
    for _ in 0..20 {
        assert_eq!(text_of(&client.call(&gateway, "x__echo", json!({})).await), "asked for");
    }
}
