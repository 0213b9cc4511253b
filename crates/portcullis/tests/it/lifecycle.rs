//! Servers that are looked after: asked whether they answer, refused while they do not, and left alone while they are needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, until};

/// Says which process it is, and answers nothing any more once it was told to hang.
const HANGS: &str = r#"
hung = []
def call(r):
    if r["params"]["arguments"].get("hang"):
        hung.append(True)
    text(r, str(os.getpid()))
handlers["tools/call"] = call
handlers["ping"] = lambda r: None if hung else answer(r, {})
"#;

#[tokio::test]
async fn a_child_that_does_not_answer_is_replaced() {
    let child = Child::new(HANGS).await;
    let mut config = child.config();
    config["probe"] = json!("500ms");
    let gateway = Gateway::before(&config);
    let client = Modern::new();
    let first = text_of(&client.call(&gateway, "x__echo", json!({})).await).to_owned();
    let mut process = child.started().await;
    for _ in 0..3 {
        process.message("ping").await;
    }
    assert!(!gateway.log().contains("server is down"), "{}", gateway.log());
    client.call(&gateway, "x__echo", json!({"hang": true})).await;
    process.exited().await;
    gateway.logged("did not answer `ping` within 500ms").await;
    let second = text_of(&client.call(&gateway, "x__echo", json!({})).await).to_owned();
    assert_ne!(first, second);
}

#[tokio::test]
async fn to_be_asked_is_no_use_of_a_child() {
    let child = Child::new(HANGS).await;
    let mut config = child.config();
    config["probe"] = json!("100ms");
    config["idle_stop"] = json!("1s");
    let gateway = Gateway::before(&config);
    Modern::new().call(&gateway, "x__echo", json!({})).await;
    let mut process = child.started().await;
    process.message("ping").await;
    process.exited().await;
    assert!(!gateway.log().contains("did not answer"), "{}", gateway.log());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_refused_at_once_until_it_is_tried_again() {
    let alive = Arc::new(AtomicBool::new(true));
    let asked = alive.clone();
    let upstream = Fake::modern().on("server/discover", move |_, answer| {
        let alive = asked.load(Ordering::Relaxed);
        async move {
            if !alive {
                return answer.send(503, &[], b"").await;
            }
            let hello = json!({
                "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
                "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            });
            answer.result(hello).await;
        }
    });
    let upstream = upstream.start().await;
    let mut config = upstream.config();
    config["probe"] = json!("200ms");
    let gateway = Gateway::before(&config);
    let client = Modern::at("/mcp/s/x");
    client.call(&gateway, "echo", json!({})).await;
    alive.store(false, Ordering::Relaxed);
    gateway.logged("server is down").await;
    // Whoever tries makes an attempt, until the pauses are long enough to refuse at once.
    let call = json!({"name": "echo", "arguments": {}});
    let refused = || async { client.request(&gateway, "tools/call", call.clone()).await.text() };
    until("an open circuit", async || refused().await.contains("failures in a row; next attempt in")).await;
    let attempts = upstream.count("server/discover");
    let prompt = client.request(&gateway, "prompts/get", json!({"name": "p"})).await;
    let wait = prompt.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    assert!(wait.is_some_and(|seconds| (1..=30).contains(&seconds)), "{prompt:?}");
    assert_eq!(upstream.count("server/discover"), attempts, "it is left in peace");
    assert_eq!(upstream.count("tools/call"), 1);
    alive.store(true, Ordering::Relaxed);
    until("another attempt", async || !refused().await.contains("isError")).await;
    until("its return", async || gateway.log().matches("server is up").count() == 2).await;
}

#[tokio::test]
async fn an_outage_that_many_conversations_meet_is_one_failure() {
    let alive = Arc::new(AtomicBool::new(true));
    let (greets, calls) = (alive.clone(), alive.clone());
    let upstream = Fake::legacy()
        .on("initialize", move |_, answer| {
            let alive = greets.load(Ordering::Relaxed);
            async move {
                if !alive {
                    return answer.send(503, &[], b"").await;
                }
                let hello = json!({"jsonrpc": "2.0", "id": answer.id, "result": {
                    "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                    "serverInfo": {"name": "one", "version": "1"},
                }});
                let headers = [("content-type", "application/json"), ("mcp-session-id", "session-1")];
                answer.send(200, &headers, hello.to_string().as_bytes()).await;
            }
        })
        .on("tools/call", move |_, answer| {
            let alive = calls.load(Ordering::Relaxed);
            async move {
                if !alive {
                    // Its sessions ended with it.
                    return answer.send(404, &[], b"").await;
                }
                answer.result(text("ok")).await;
            }
        })
        .start()
        .await;
    let mut config = upstream.config();
    config["sharing"] = json!("session");
    let gateway = Gateway::before(&config);
    let open = || Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25");
    let clients = [open().await, open().await, open().await, open().await];
    let all_call = || async {
        let [first, second, third, fourth] =
            clients.each_ref().map(|client| client.call(&gateway, "echo", json!({})));
        <[_; 4]>::from(tokio::join!(first, second, third, fourth))
    };
    for outage in 1..=4 {
        alive.store(true, Ordering::Relaxed);
        let back = Instant::now();
        until("all to be served", async || all_call().await.iter().all(|said| text_of(said) == "ok")).await;
        // If each conversation's failure and those of earlier outages counted, this would be half a minute by now.
        assert!(back.elapsed() < Duration::from_secs(5), "outage {outage}: {:?}", back.elapsed());
        alive.store(false, Ordering::Relaxed);
        // The first calls find that their sessions have ended, the others that no new ones are opened.
        for said in [all_call().await, all_call().await].as_flattened() {
            assert_eq!(said["isError"], json!(true), "outage {outage}: {said}");
        }
    }
}

/// Makes a task of every call that may become one.
const MAKES_TASKS: &str = r#"
capabilities["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
tools = [{"name": "slow", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "optional"}}]
def call(r):
    if "task" not in r["params"]:
        return text(r, "at once")
    answer(r, {"task": {"taskId": "t", "status": "working", "createdAt": "2026-11-28T10:00:00Z",
                        "lastUpdatedAt": "2026-11-28T10:00:00Z", "ttl": 2000}})
handlers["tools/call"] = call
"#;

#[tokio::test]
async fn a_child_is_not_stopped_while_it_keeps_a_task() {
    let child = Child::new(MAKES_TASKS).await;
    let mut config = child.config();
    config["idle_stop"] = json!("200ms");
    let gateway = Gateway::before(&config);
    let session = Legacy::open(&gateway).await;
    session.call(&gateway, "x__slow", json!({})).await;
    let mut process = child.started().await;
    process.exited().await;
    // Before it is asked: the child keeps the task from later on.
    let made = Instant::now();
    let call = json!({"name": "x__slow", "arguments": {}, "task": {"ttl": 2000}});
    let task = session.result(&gateway, "tools/call", call).await;
    assert_eq!(task["task"]["status"], "working", "{task}");
    let mut process = child.started().await;
    process.exited().await;
    assert!(made.elapsed() >= Duration::from_secs(2), "{:?}", made.elapsed());
}

/// Of both eras, and goes by what it was asked last. One that is slow has started only when both questions are there.
const OF_BOTH_ERAS: &str = r#"
slow, modern = order(), []
def discover(r):
    modern[:] = [True]
    if slow:
        late = json.loads(sys.stdin.readline())
        report(late)
    answer(r, {"resultType": "complete", "supportedVersions": ["2026-07-28", "2025-11-25"],
        "capabilities": capabilities, "ttlMs": 0, "cacheScope": "private"})
    if slow:
        initialize(late)
legacy = handlers["initialize"]
def initialize(r):
    modern.clear()
    legacy(r)
handlers["initialize"] = initialize
handlers["server/discover"] = discover
handlers["tools/list"] = lambda r: answer(r, dict({"tools": tools},
    **({"resultType": "complete", "ttlMs": 0, "cacheScope": "private"} if modern else {})))
handlers["tools/call"] = lambda r: text(r, "modern" if modern else "legacy",
    **({"resultType": "complete"} if modern else {}))
"#;

#[tokio::test]
async fn a_child_of_both_eras_that_starts_slowly_is_asked_again_and_spoken_to_in_one() {
    let child = Child::new(OF_BOTH_ERAS).await;
    let mut config = child.config();
    config["era"] = json!("auto");
    let gateway = Gateway::before(&config);
    let client = Modern::new();
    let call = async { client.call(&gateway, "x__echo", json!({})).await };
    let starts = async {
        let mut first = child.started().await;
        first.tell(json!(true)).await;
        first.message("initialize").await;
        first.exited().await;
        let mut second = child.started().await;
        second.tell(json!(false)).await;
        second.message("server/discover").await;
        second
    };
    let (result, mut second) = tokio::join!(call, starts);
    assert_eq!((text_of(&result), &result["resultType"]), ("modern", &json!("complete")), "{result}");
    let next = second.event().await.expect("it lives");
    assert_ne!(next["method"], "initialize", "it is asked one thing only");
}
