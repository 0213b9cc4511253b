//! The rows of the error table, from end to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::CALL;
use crate::harness::client::text_of;
use crate::harness::fake::{text, tool};
use crate::harness::{Answer, Fake, Gateway, Legacy, Modern};

const READ: &str = "resources/read";
const OLD: &str = "old";
const NEW: &str = "new";

/// Which server, asked for what; its HTTP status and error; status and code for modern and for legacy clients.
type Row = (&'static str, &'static str, u16, Value, (u16, i64), (u16, i64));

fn rows() -> Vec<Row> {
    vec![
        (
            OLD,
            READ,
            200,
            json!({"code": -32002, "message": "gone", "data": {"uri": "db://a"}}),
            (200, -32602),
            (200, -32002),
        ),
        (
            NEW,
            READ,
            200,
            json!({"code": -32602, "message": "gone", "data": {"uri": "db://a"}}),
            (200, -32602),
            (200, -32002),
        ),
        (OLD, CALL, 200, json!({"code": -32022, "message": "odd"}), (200, -32603), (200, -32022)),
        (OLD, CALL, 200, json!({"code": -32000, "message": "odd"}), (200, -32603), (200, -32000)),
        (OLD, CALL, 200, json!({"code": -32001, "message": "odd"}), (200, -32603), (200, -32001)),
        (OLD, CALL, 200, json!({"code": -32601, "message": "no"}), (404, -32601), (200, -32601)),
        (NEW, CALL, 404, json!({"code": -32601, "message": "no"}), (404, -32601), (200, -32601)),
        (NEW, CALL, 400, json!({"code": -32602, "message": "bad"}), (200, -32602), (200, -32602)),
        (
            NEW,
            CALL,
            200,
            json!({"code": -32603, "message": "oops", "data": [1]}),
            (200, -32603),
            (200, -32603),
        ),
        (OLD, CALL, 200, json!({"code": 42, "message": "mine", "data": {"a": null}}), (200, 42), (200, 42)),
        (NEW, CALL, 200, json!({"code": 42, "message": "mine", "data": {"a": null}}), (200, 42), (200, 42)),
    ]
}

#[tokio::test]
async fn errors_are_what_each_era_calls_them() {
    let current = Arc::new(std::sync::Mutex::new((200, json!(null))));
    let server = async |fake: Fake| {
        let (tools, reads) = (current.clone(), current.clone());
        let fail = |current: &Arc<std::sync::Mutex<(u16, Value)>>, answer: Answer| {
            let (status, error) = current.lock().unwrap().clone();
            answer.error(status, error)
        };
        fake.list("resources", vec![json!({"uri": "db://a", "name": "a"})])
            .on(CALL, move |_, answer| fail(&tools, answer))
            .on(READ, move |_, answer| fail(&reads, answer))
            .start()
            .await
    };
    let (old, new) = (server(Fake::legacy()).await, server(Fake::modern()).await);
    let gateway = Gateway::start(&json!({"servers": {"old": old.config(), "new": new.config()}}));
    for (server, method, status, said, modern, legacy) in rows() {
        *current.lock().unwrap() = (status, said.clone());
        let path = format!("/mcp/s/{server}");
        let params = if method == CALL { json!({"name": "echo"}) } else { json!({"uri": "db://a"}) };
        let session = Legacy::open_at(&gateway, &path, "2025-11-25").await;
        let answers = [
            (Modern::at(&path).request(&gateway, method, params.clone()).await, modern),
            (session.request(&gateway, method, params.clone()).await, legacy),
        ];
        for (answer, expected) in answers {
            assert_eq!((answer.status(), answer.error_code()), expected, "{server} {method}: {said}");
            let error = &answer.json()["error"];
            if method == READ {
                assert_eq!(error["data"]["uri"], "db://a");
            }
            if expected.1 == said["code"] {
                assert_eq!(*error, said, "an error that needs no translation is not touched");
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
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json()["result"]["isError"], true, "an older client does not know the code");
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
    // A definition that changes is held back otherwise.
    let config = json!({"servers": {"x": upstream.config()}, "definitions": {"mode": "off"}});
    let gateway = Gateway::start(&config);
    let session = Legacy::open(&gateway).await;
    let result = session.call(&gateway, "x__echo", json!({"region": "eu"})).await;
    assert_eq!(text_of(&result), "ok");
    assert_eq!((upstream.count(CALL), lists.load(Ordering::SeqCst)), (2, 2));
    let again = session.call(&gateway, "x__echo", json!({"region": "us"})).await;
    assert_eq!((text_of(&again), upstream.count(CALL)), ("ok", 3), "the new schema is known now");

    let refused =
        session.request(&gateway, CALL, json!({"name": "x__echo", "arguments": {"region": "never"}})).await;
    assert_eq!((refused.status(), refused.error_code()), (200, -32603), "{}", refused.text());
    assert_eq!(upstream.count(CALL), 5, "one retry and no more");
    let client = Modern::new();
    let params = json!({"name": "x__echo", "arguments": {"region": "never"}});
    let refused = client.request_with(&gateway, CALL, params, &[("mcp-param-region", "never")]).await;
    assert_eq!(
        (refused.status(), refused.error_code()),
        (200, -32603),
        "the client's own headers were right"
    );
}

#[tokio::test]
async fn a_call_before_the_tools_are_known_is_carried_out_once_and_with_its_headers() {
    let (lists, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (listed, carried) = (lists.clone(), done.clone());
    let upstream = Fake::modern()
        .on("tools/list", move |_, answer| {
            let first = listed.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                if first {
                    return answer.error(200, json!({"code": -32603, "message": "not yet"})).await;
                }
                let mut echo = tool("echo");
                echo["inputSchema"] = json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}});
                answer.result(json!({"resultType": "complete", "tools": [echo], "ttlMs": 600_000, "cacheScope": "public"})).await;
            }
        })
        .on(CALL, move |seen, answer| {
            let fits = seen.header("mcp-param-region") == Some("eu");
            carried.fetch_add(usize::from(fits), Ordering::SeqCst);
            async move {
                if !fits {
                    let error = json!({"code": -32020, "message": "Mcp-Param-Region is missing"});
                    return answer.error(400, error).await;
                }
                answer.result(text("ok")).await;
            }
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::at("/mcp/s/x");
    // What the client mirrors itself says nothing that could be relied on before the schema is known.
    let params = json!({"name": "echo", "arguments": {"region": "eu"}});
    let answer = client.request_with(&gateway, CALL, params, &[("mcp-param-region", "us")]).await;
    assert_eq!(text_of(&answer.json()["result"]), "ok", "{}", answer.text());
    assert_eq!((upstream.count(CALL), lists.load(Ordering::SeqCst), done.load(Ordering::SeqCst)), (2, 2, 1));
    let session = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
    assert_eq!(text_of(&session.call(&gateway, "echo", json!({"region": "eu"})).await), "ok");
    assert_eq!((upstream.count(CALL), done.load(Ordering::SeqCst)), (3, 2), "with its headers at once");
}
