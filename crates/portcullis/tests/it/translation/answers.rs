//! JSON or a stream, signs of life, batches.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{CALL, call};
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::gateway::JSON;
use crate::harness::{Fake, Gateway, Legacy, Modern};

#[tokio::test]
async fn what_comes_at_once_is_json_and_what_streams_is_a_stream() {
    let upstream = Fake::modern()
        .on(CALL, |seen, mut answer| async move {
            if seen.rpc["params"]["arguments"]["stream"] == false {
                return answer.result(text("plain")).await;
            }
            let token = seen.rpc["params"]["_meta"]["progressToken"].clone();
            answer.open_stream().await;
            answer.event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})).await;
            answer.result_event(text("streamed")).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new().with_meta("progressToken", json!(1));
    let session = Legacy::open(&gateway).await;
    for stream in [false, true] {
        let arguments = json!({"stream": stream});
        let params = json!({"name": "x__echo", "arguments": arguments, "_meta": {"progressToken": 1}});
        let answers = [
            client.request(&gateway, CALL, json!({"name": "x__echo", "arguments": arguments})).await,
            session.request(&gateway, CALL, params.clone()).await,
        ];
        for answer in answers {
            assert_eq!(answer.head.is_stream(), stream);
            assert_eq!(answer.header("x-accel-buffering"), stream.then_some("no"));
            assert_eq!(text_of(&answer.json()["result"]), if stream { "streamed" } else { "plain" });
        }
        // A client that takes no streams gets the outcome alone.
        let body = json!({"jsonrpc": "2.0", "id": 3, "method": CALL, "params": params}).to_string();
        let mut headers = session.headers();
        headers.retain(|(name, _)| *name != "accept");
        headers.push(("accept", "application/json"));
        let answer = gateway.send("POST", "/mcp", &headers, body.as_bytes()).await;
        assert_eq!(answer.header("content-type"), JSON[0].1.into());
        assert_eq!(text_of(&answer.json()["result"]), if stream { "streamed" } else { "plain" });
    }
}

#[tokio::test]
async fn long_calls_give_signs_of_life() {
    let gate = Arc::new(Notify::new());
    let open = gate.clone();
    let upstream = Fake::modern()
        .on(CALL, move |_, answer| {
            let gate = open.clone();
            async move {
                gate.notified().await;
                answer.result(text("at last")).await;
            }
        })
        .start()
        .await;
    let config = json!({"servers": {"x": upstream.config()}, "limits": {"keep_alive_interval": "50ms"}});
    let gateway = Gateway::start(&config);
    let session = Legacy::open(&gateway).await;
    let streams = [
        Modern::new().stream(&gateway, CALL, json!({"name": "x__echo"})).await,
        session.stream(&gateway, &call(&json!(1), "x__echo")).await,
    ];
    for (head, mut events) in streams {
        assert_eq!(head.status, 200);
        for _ in 0..3 {
            while events.next().await.unwrap().comment.is_none() {}
        }
        gate.notify_one();
        let answer = events.message().await.unwrap();
        assert_eq!(text_of(&answer["result"]), "at last");
        assert_eq!(events.next().await, None);
    }
    let mut own = session.listen(&gateway, None).await;
    for _ in 0..3 {
        assert!(own.next().await.unwrap().comment.is_some());
    }
}

#[tokio::test]
async fn a_batch_is_answered_together_and_in_order() {
    let upstream = Fake::legacy()
        .on(CALL, |seen, answer| async move {
            match seen.rpc["params"]["arguments"]["kind"].as_str() {
                Some("fail") => answer.error(200, json!({"code": 42, "message": "mine"})).await,
                Some("stream") => {
                    let mut answer = answer;
                    answer.open_stream().await;
                    answer.result_event(text("streamed")).await;
                }
                _ => answer.result(text("plain")).await,
            }
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open_at(&gateway, "/mcp", "2025-03-26").await;
    let with = |id: Value, kind: &str| json!({"jsonrpc": "2.0", "id": id, "method": CALL, "params": {"name": "x__echo", "arguments": {"kind": kind}}});
    let batch = json!([
        with(json!("s"), "stream"),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        with(json!(1), "fail"),
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 3, "method": "nothing/such"},
        with(json!(4), "plain"),
        with(json!(4), "plain"),
    ]);
    let answer = session.send(&gateway, &batch).await;
    let answers = answer.json();
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!("s"), json!(1), json!(2), json!(3), json!(4), json!(4)]);
    assert_eq!(text_of(&answers[0]["result"]), "streamed");
    assert_eq!(answers[1]["error"], json!({"code": 42, "message": "mine"}));
    assert_eq!(answers[2]["result"]["tools"][0]["name"], "x__echo");
    assert_eq!(answers[3]["error"]["code"], -32601);
    assert_eq!(text_of(&answers[4]["result"]), "plain");
    assert_eq!(answers[5]["error"]["code"], -32600, "an id is used once at a time");
}

#[tokio::test]
async fn a_batch_that_takes_long_shows_signs_of_life() {
    let go_on = Arc::new(Notify::new());
    let waits = go_on.clone();
    let upstream = Fake::legacy().on(CALL, move |seen, answer| {
        let waits = waits.clone();
        async move {
            if seen.rpc["params"]["arguments"]["slow"] == true {
                waits.notified().await;
            }
            answer.result(text("done")).await;
        }
    });
    let upstream = upstream.start().await;
    let limits = json!({"keep_alive_interval": "100ms"});
    let gateway = Gateway::start(&json!({"servers": {"x": upstream.config()}, "limits": limits}));
    let session = Legacy::open_at(&gateway, "/mcp", "2025-03-26").await;
    let call = |id: u32, slow: bool| json!({"jsonrpc": "2.0", "id": id, "method": CALL, "params": {"name": "x__echo", "arguments": {"slow": slow}}});
    let batch = json!([call(1, true), {"jsonrpc": "2.0", "id": 2, "method": "ping"}, call(3, false), 4]);
    let (_, mut events) = session.stream(&gateway, &batch).await;
    for _ in 0..3 {
        assert_eq!(events.next().await.unwrap().comment.as_deref(), Some("keep-alive"));
    }
    go_on.notify_one();
    let answers = events.message().await.unwrap();
    assert_eq!(text_of(&answers[0]["result"]), "done");
    let ids: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(2), json!(3), json!(null)]);
    assert_eq!(events.next().await, None);

    // Who takes JSON alone waits, and who takes streams alone gets one at once.
    let mut headers = session.headers();
    let body = json!([call(5, true)]).to_string();
    headers.retain(|(name, _)| *name != "accept");
    headers.push(("accept", "application/json"));
    let mut waiting = gateway.connect().await;
    waiting.request("POST", "/mcp", &headers, body.as_bytes()).await;
    upstream.nth(CALL, 3).await;
    go_on.notify_one();
    let answer = waiting.response().await;
    assert_eq!(
        (answer.header("content-type"), answer.json()[0]["id"].clone()),
        (Some("application/json"), json!(5))
    );
    headers.pop();
    headers.push(("accept", "text/event-stream"));
    let answer = gateway.send("POST", "/mcp", &headers, json!([call(6, false)]).to_string().as_bytes()).await;
    assert_eq!(answer.json()[0]["id"], 6, "{answer:?}");
    assert!(answer.head.is_stream());
}

/// Whoever speaks 2025-03-26 takes batches (basic protocol, "Batching"), and nobody else has them.
#[tokio::test]
async fn what_a_server_says_in_a_batch_is_heard_where_there_are_batches() {
    for (revision, are_there) in [("2025-03-26", true), ("2025-06-18", false)] {
        let upstream = Fake::legacy()
            .on("initialize", move |_, answer| async move {
                let server = json!({"name": "old", "version": "1"});
                let result =
                    json!({"protocolVersion": revision, "capabilities": {"tools": {}}, "serverInfo": server});
                answer.result(result).await;
            })
            .on(CALL, |seen, mut answer| async move {
                let params = &seen.rpc["params"];
                let progress = json!({"progressToken": params["_meta"]["progressToken"], "progress": 1});
                let said = json!([
                    {"jsonrpc": "2.0", "id": seen.rpc["id"], "result": text("batched")},
                    {"jsonrpc": "2.0", "method": "notifications/progress", "params": progress},
                ]);
                if params["arguments"]["stream"] == false {
                    return answer.json(200, &said).await;
                }
                answer.open_stream().await;
                answer.event(&said).await;
            })
            .start()
            .await;
        let gateway = Gateway::before(&upstream.config());
        let session = Legacy::open(&gateway).await;
        for stream in [false, true] {
            let params =
                json!({"name": "x__echo", "arguments": {"stream": stream}, "_meta": {"progressToken": "t"}});
            let answer = session.request(&gateway, CALL, params).await;
            if !are_there {
                assert_eq!(answer.json()["result"]["isError"], true, "{}", answer.text());
                continue;
            }
            assert_eq!(text_of(&answer.json()["result"]), "batched");
            if stream {
                assert_eq!(answer.messages()[0]["params"]["progressToken"], "t");
            }
        }
    }
}
