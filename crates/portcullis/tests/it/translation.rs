//! What has to survive between two eras: cancelling, progress, log levels, errors, streams and batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::client::text_of;
use crate::harness::fake::{text, tool};
use crate::harness::gateway::JSON;
use crate::harness::{Answer, Child, Connection, Fake, Gateway, Legacy, Modern, Upstream, within};

const CALL: &str = "tools/call";

fn call(id: Value, name: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": CALL, "params": {"name": name, "arguments": {}}})
}

/// A server whose calls never end; `closed` tells when the other side hangs up.
async fn endless(fake: Fake, closed: Arc<Notify>) -> Upstream {
    fake.on(CALL, move |_, mut answer: Answer| {
        let closed = closed.clone();
        async move {
            answer.closed().await;
            closed.notify_one();
        }
    })
    .start()
    .await
}

/// A child whose calls never end.
async fn endless_child() -> Child {
    Child::new("handlers['tools/call'] = lambda r: None").await
}

fn cancel(id: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id, "reason": "changed my mind"}})
}

// ---- cancelling ----

#[tokio::test]
async fn a_legacy_client_cancels_by_message() {
    let (hung_up, unused) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let modern = endless(Fake::modern(), hung_up.clone()).await;
    let legacy = endless(Fake::legacy(), unused).await;
    let child = endless_child().await;
    let config = json!({"servers": {"modern": modern.config(), "legacy": legacy.config(), "child": child.config()}});
    let gateway = Gateway::start(&config);
    let session = Legacy::open(&gateway).await;
    let mut process = child.started().await;
    for (name, id) in [("modern", json!("a")), ("legacy", json!(1)), ("child", json!("1"))] {
        let mut connection = gateway.connect().await;
        session.write(&mut connection, &call(id.clone(), &format!("{name}__echo"))).await;
        let sent = match name {
            "modern" => modern.nth(CALL, 1).await.rpc,
            "legacy" => legacy.nth(CALL, 1).await.rpc,
            _ => process.message(CALL).await,
        };
        assert_eq!(session.send(&gateway, &cancel(json!("unknown"))).await.status(), 202);
        assert_eq!(session.send(&gateway, &cancel(id)).await.status(), 202);
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
    let config = json!({"servers": {"modern": modern.config(), "legacy": legacy.config(), "child": child.config()}});
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
    let mut message = call(json!(5), "x__echo");
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

// ---- progress and logs ----

/// Reports progress and logs at several levels, then answers with what it was told.
async fn chatty(answer: Answer, seen: crate::harness::upstream::Seen) {
    let mut answer = answer;
    answer.open_stream().await;
    let meta = &seen.rpc["params"]["_meta"];
    let mut notify = async |method: &str, params: Value| {
        answer.event(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    };
    if !meta["progressToken"].is_null() {
        let params = json!({"progressToken": meta["progressToken"], "progress": 0.5, "total": 2, "message": "half", "x": [1]});
        notify("notifications/progress", params).await;
    }
    for level in ["debug", "info", "warning", "error"] {
        notify("notifications/message", json!({"level": level, "logger": "l", "data": {"any": level}})).await;
    }
    answer.result_event(text(&meta.to_string())).await;
}

fn chatty_fake(fake: Fake) -> Fake {
    let mut fake = fake;
    fake.capabilities["logging"] = json!({});
    fake.on(CALL, |seen, answer| chatty(answer, seen))
}

const CHATTY_CHILD: &str = r#"
capabilities["logging"] = {}
def call(request):
    meta = request["params"].get("_meta", {})
    if "progressToken" in meta:
        send({"method": "notifications/progress", "params": {
            "progressToken": meta["progressToken"], "progress": 0.5, "total": 2, "message": "half", "x": [1]}})
    for level in ["debug", "info", "warning", "error"]:
        send({"method": "notifications/message", "params": {"level": level, "logger": "l", "data": {"any": level}}})
    text(request, json.dumps(meta))
handlers["tools/call"] = call
"#;

/// The levels of the log messages among these.
fn levels(messages: &[Value]) -> Vec<String> {
    let logs = messages.iter().filter(|message| message["method"] == "notifications/message");
    logs.map(|log| log["params"]["level"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn progress_comes_back_under_the_clients_own_token() {
    let (modern, legacy) = (chatty_fake(Fake::modern()).start().await, chatty_fake(Fake::legacy()).start().await);
    let child = Child::new(CHATTY_CHILD).await;
    let config = json!({"servers": {"modern": modern.config(), "legacy": legacy.config(), "child": child.config()}});
    let gateway = Gateway::start(&config);
    let session = Legacy::open(&gateway).await;
    for name in ["modern__echo", "legacy__echo", "child__echo"] {
        for token in [json!("a"), json!(7), json!("7"), json!(""), json!(-1)] {
            let client = Modern::new().with_meta("progressToken", token.clone());
            let params = json!({"name": name, "_meta": {"progressToken": token}});
            let answers = [
                client.request(&gateway, CALL, json!({"name": name})).await,
                session.request(&gateway, CALL, params).await,
            ];
            for answer in answers {
                assert!(answer.head.is_stream(), "{name}: {answer:?}");
                let messages = answer.messages();
                let expected = json!({"progressToken": token, "progress": 0.5, "total": 2, "message": "half", "x": [1]});
                assert_eq!(messages[0]["params"], expected, "{name}");
                let seen: Value = serde_json::from_str(text_of(&messages.last().unwrap()["result"])).unwrap();
                assert_ne!(seen["progressToken"], token, "the server sees the gateway's own");
            }
        }
        for bad in [json!(1.5), json!(null), json!({})] {
            let client = Modern::new().with_meta("progressToken", bad);
            assert_eq!(client.request(&gateway, CALL, json!({"name": name})).await.error_code(), -32602);
        }
    }
}

#[tokio::test]
async fn log_levels_are_heeded_for_each_call_and_each_session() {
    let (modern, legacy) = (chatty_fake(Fake::modern()).start().await, chatty_fake(Fake::legacy()).start().await);
    let child = Child::new(CHATTY_CHILD).await;
    let config = json!({"servers": {"modern": modern.config(), "legacy": legacy.config(), "child": child.config()}});
    let gateway = Gateway::start(&config);
    for server in ["modern", "legacy", "child"] {
        let params = json!({"name": format!("{server}__echo")});
        for (level, expected) in [("warning", &["warning", "error"][..]), ("emergency", &[]), ("debug", &["debug", "info", "warning", "error"])] {
            let client = Modern::new().with_meta("io.modelcontextprotocol/logLevel", json!(level));
            let answer = client.request(&gateway, CALL, params.clone()).await;
            let messages = if answer.head.is_stream() { answer.messages() } else { vec![] };
            assert_eq!(levels(&messages), expected, "{server} at {level}");
        }
        let silent = Modern::new().request(&gateway, CALL, params.clone()).await;
        assert!(!silent.text().contains("notifications/message"), "{server}: none without asking");

        let session = Legacy::open(&gateway).await;
        session.result(&gateway, "logging/setLevel", json!({"level": "error"})).await;
        let answer = session.request(&gateway, CALL, params).await;
        assert_eq!(levels(&answer.messages()), ["error"], "{server}");
    }
    let sent = modern.seen().into_iter().rev().find(|seen| seen.method() == CALL).unwrap();
    assert_eq!(sent.rpc["params"]["_meta"]["io.modelcontextprotocol/logLevel"], "error");
    let set: Vec<_> = legacy.seen().into_iter().filter(|seen| seen.method() == "logging/setLevel").collect();
    let set: Vec<_> = set.iter().map(|seen| seen.rpc["params"]["level"].as_str().unwrap()).collect();
    // Clients of each era have an upstream session of their own; a level only ever becomes more verbose.
    assert_eq!(set, ["warning", "debug", "error"], "set when it has to be, not with each call");
    let wrong = Modern::new().with_meta("io.modelcontextprotocol/logLevel", json!("loud"));
    assert_eq!(wrong.request(&gateway, "tools/list", json!({})).await.error_code(), -32602);
    let session = Legacy::open(&gateway).await;
    assert_eq!(session.request(&gateway, "logging/setLevel", json!({"level": "loud"})).await.error_code(), -32602);
}

// ---- errors ----

/// One row: what a server of an era says, and what clients of both eras read: status, code.
struct Row {
    server: &'static str,
    method: &'static str,
    http: u16,
    error: Value,
    modern: (u16, i64),
    legacy: (u16, i64),
}

#[tokio::test]
async fn errors_are_what_each_era_calls_them() {
    let rows = [
        Row { server: "old", method: "resources/read", http: 200, error: json!({"code": -32002, "message": "gone", "data": {"uri": "db://a"}}), modern: (200, -32602), legacy: (200, -32002) },
        Row { server: "new", method: "resources/read", http: 200, error: json!({"code": -32602, "message": "gone", "data": {"uri": "db://a"}}), modern: (200, -32602), legacy: (200, -32002) },
        Row { server: "old", method: CALL, http: 200, error: json!({"code": -32022, "message": "odd"}), modern: (200, -32603), legacy: (200, -32022) },
        Row { server: "old", method: CALL, http: 200, error: json!({"code": -32000, "message": "odd"}), modern: (200, -32603), legacy: (200, -32000) },
        Row { server: "old", method: CALL, http: 200, error: json!({"code": -32001, "message": "odd"}), modern: (200, -32603), legacy: (200, -32001) },
        Row { server: "old", method: CALL, http: 200, error: json!({"code": -32601, "message": "no"}), modern: (404, -32601), legacy: (200, -32601) },
        Row { server: "new", method: CALL, http: 404, error: json!({"code": -32601, "message": "no"}), modern: (404, -32601), legacy: (200, -32601) },
        Row { server: "new", method: CALL, http: 400, error: json!({"code": -32602, "message": "bad"}), modern: (200, -32602), legacy: (200, -32602) },
        Row { server: "new", method: CALL, http: 200, error: json!({"code": -32603, "message": "oops", "data": [1]}), modern: (200, -32603), legacy: (200, -32603) },
        Row { server: "old", method: CALL, http: 200, error: json!({"code": 42, "message": "mine", "data": {"a": null}}), modern: (200, 42), legacy: (200, 42) },
        Row { server: "new", method: CALL, http: 200, error: json!({"code": 42, "message": "mine", "data": {"a": null}}), modern: (200, 42), legacy: (200, 42) },
    ];
    let current = Arc::new(std::sync::Mutex::new((200, json!(null))));
    let server = async |fake: Fake| {
        let (tools, reads) = (current.clone(), current.clone());
        let fail = |current: &Arc<std::sync::Mutex<(u16, Value)>>, answer: Answer| {
            let (status, error) = current.lock().unwrap().clone();
            answer.error(status, error)
        };
        fake.list("resources", vec![json!({"uri": "db://a", "name": "a"})])
            .on(CALL, move |_, answer| fail(&tools, answer))
            .on("resources/read", move |_, answer| fail(&reads, answer))
            .start()
            .await
    };
    let (old, new) = (server(Fake::legacy()).await, server(Fake::modern()).await);
    let gateway = Gateway::start(&json!({"servers": {"old": old.config(), "new": new.config()}}));
    for row in rows {
        *current.lock().unwrap() = (row.http, row.error.clone());
        let path = format!("/mcp/s/{}", row.server);
        let params = if row.method == CALL { json!({"name": "echo"}) } else { json!({"uri": "db://a"}) };
        let session = Legacy::open_at(&gateway, &path, "2025-11-25").await;
        let answers = [
            (Modern::at(&path).request(&gateway, row.method, params.clone()).await, row.modern),
            (session.request(&gateway, row.method, params.clone()).await, row.legacy),
        ];
        for (answer, expected) in answers {
            assert_eq!((answer.status(), answer.error_code()), expected, "{} {}: {}", row.server, row.method, row.error);
            let error = &answer.json()["error"];
            if row.method == "resources/read" {
                assert_eq!(error["data"]["uri"], "db://a");
            }
            if expected.1 == row.error["code"] {
                assert_eq!(*error, row.error, "an error that needs no translation is not touched");
            }
        }
    }
}

#[tokio::test]
async fn a_missing_capability_is_told_to_those_who_can_add_it() {
    let upstream = Fake::modern()
        .on(CALL, |_, answer| {
            answer.error(400, json!({"code": -32021, "message": "elicitation needed", "data": {"requiredCapabilities": {"elicitation": {}}}}))
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let answer = Modern::new().request(&gateway, CALL, json!({"name": "x__echo"})).await;
    assert_eq!((answer.status(), answer.error_code()), (400, -32021));
    assert_eq!(answer.json()["error"]["data"]["requiredCapabilities"], json!({"elicitation": {}}));
    let session = Legacy::open(&gateway).await;
    let answer = session.request(&gateway, CALL, json!({"name": "x__echo"})).await;
    assert_eq!((answer.status(), answer.error_code()), (200, -32603), "an older client does not know the code");
}

#[tokio::test]
async fn refused_headers_make_the_schema_be_fetched_again_once() {
    let lists = Arc::new(AtomicUsize::new(0));
    let counter = lists.clone();
    let upstream = Fake::modern()
        .on("tools/list", move |_, answer| {
            let mut echo = tool("echo");
            if counter.fetch_add(1, Ordering::SeqCst) > 0 {
                echo["inputSchema"] = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
            }
            answer.result(json!({"resultType": "complete", "tools": [echo], "ttlMs": 600_000, "cacheScope": "public"}))
        })
        .on(CALL, |seen, answer| async move {
            let region = seen.rpc["params"]["arguments"]["region"].as_str().unwrap().to_owned();
            if region == "never" || seen.header("mcp-param-region") != Some(&region) {
                let error = json!({"code": -32020, "message": "Mcp-Param-Region does not match"});
                return answer.error(400, error).await;
            }
            answer.result(text("ok")).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open(&gateway).await;
    let result = session.call(&gateway, "x__echo", json!({"region": "eu"})).await;
    assert_eq!(text_of(&result), "ok");
    assert_eq!((upstream.count(CALL), lists.load(Ordering::SeqCst)), (2, 2));
    let again = session.call(&gateway, "x__echo", json!({"region": "us"})).await;
    assert_eq!((text_of(&again), upstream.count(CALL)), ("ok", 3), "the new schema is known now");

    let refused = session.request(&gateway, CALL, json!({"name": "x__echo", "arguments": {"region": "never"}})).await;
    assert_eq!((refused.status(), refused.error_code()), (200, -32603), "{}", refused.text());
    assert_eq!(upstream.count(CALL), 5, "one retry and no more");
    let client = Modern::new();
    let params = json!({"name": "x__echo", "arguments": {"region": "never"}});
    let refused = client.request_with(&gateway, CALL, params, &[("mcp-param-region", "never")]).await;
    assert_eq!((refused.status(), refused.error_code()), (200, -32603), "the client's own headers were right");
}

// ---- answers ----

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
        session.stream(&gateway, &call(json!(1), "x__echo")).await,
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
    let with = |id: Value, kind: &str| {
        json!({"jsonrpc": "2.0", "id": id, "method": CALL, "params": {"name": "x__echo", "arguments": {"kind": kind}}})
    };
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
