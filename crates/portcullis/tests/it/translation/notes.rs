//! Progress and log messages: whose they are and who wanted them.

use serde_json::{Value, json};

use super::CALL;
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::{Answer, Child, Fake, Gateway, Legacy, Modern};

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
    let (modern, legacy) =
        (chatty_fake(Fake::modern()).start().await, chatty_fake(Fake::legacy()).start().await);
    let child = Child::new(CHATTY_CHILD).await;
    let config =
        json!({"servers": {"modern": modern.config(), "legacy": legacy.config(), "child": child.config()}});
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
                let expected =
                    json!({"progressToken": token, "progress": 0.5, "total": 2, "message": "half", "x": [1]});
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
    let (modern, legacy) =
        (chatty_fake(Fake::modern()).start().await, chatty_fake(Fake::legacy()).start().await);
    let child = Child::new(CHATTY_CHILD).await;
    let config =
        json!({"servers": {"modern": modern.config(), "legacy": legacy.config(), "child": child.config()}});
    let gateway = Gateway::start(&config);
    for server in ["modern", "legacy", "child"] {
        let params = json!({"name": format!("{server}__echo")});
        for (level, expected) in [
            ("warning", &["warning", "error"][..]),
            ("emergency", &[]),
            ("debug", &["debug", "info", "warning", "error"]),
        ] {
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
    let calls: Vec<_> =
        legacy.seen().into_iter().filter(|seen| seen.method() == "logging/setLevel").collect();
    let wanted: Vec<_> = calls.iter().map(|seen| seen.rpc["params"]["level"].as_str().unwrap()).collect();
    // Clients of both eras share one upstream session; its level only ever becomes more verbose.
    assert_eq!(wanted, ["warning", "debug"], "set when it has to be, not with each call");
    let wrong = Modern::new().with_meta("io.modelcontextprotocol/logLevel", json!("loud"));
    assert_eq!(wrong.request(&gateway, "tools/list", json!({})).await.error_code(), -32602);
    let session = Legacy::open(&gateway).await;
    assert_eq!(
        session.request(&gateway, "logging/setLevel", json!({"level": "loud"})).await.error_code(),
        -32602
    );
}

#[tokio::test]
async fn what_a_child_logs_of_an_abandoned_call_is_told_to_nobody_else() {
    let child = Child::new(
        r#"
capabilities["logging"] = {}
left = []
def log(words):
    send({"method": "notifications/message", "params": {"level": "error", "data": words}})
def call(request):
    step = request["params"]["arguments"]["step"]
    if step == "leave":
        left.append(request)
        return
    if step == "answer":
        text(left.pop(), "too late")
    log(step)
    text(request, step)
handlers["tools/call"] = call
"#,
    )
    .await;
    let gateway = Gateway::before(&child.config());
    let client = Modern::new().with_meta("io.modelcontextprotocol/logLevel", json!("debug"));
    let params = |step: &str| json!({"name": "x__echo", "arguments": {"step": step}});
    let mut leaving = gateway.connect().await;
    client.write(&mut leaving, &client.body(CALL, params("leave")), &[]).await;
    let mut process = child.started().await;
    process.message(CALL).await;
    drop(leaving);
    process.message("notifications/cancelled").await;
    // As long as the child may still be at work on it, nobody knows whose its words are.
    let answer = client.request(&gateway, CALL, params("log")).await;
    assert_eq!(text_of(&answer.json()["result"]), "log");
    assert!(!answer.text().contains("notifications/message"), "{answer:?}");
    // Once it has answered, they can only be the other's.
    let answer = client.request(&gateway, CALL, params("answer")).await;
    assert_eq!(levels(&answer.messages()), ["error"], "{answer:?}");
    assert_eq!(answer.messages()[0]["params"]["data"], "answer");
}
