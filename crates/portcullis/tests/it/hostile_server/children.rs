//! Children: noise, floods, deaths, questions.

use std::time::Instant;

use serde_json::{Value, json};

use super::{ENOUGH, beside_good, fails, good_is_unaffected};
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, until};

#[tokio::test]
async fn a_child_that_writes_without_newlines_is_stopped_before_it_costs_memory() {
    let child = Child::new(
        r#"
def flood(request):
    while True:
        raw("x" * (1 << 20))
handlers["tools/call"] = flood
"#,
    )
    .await;
    let (gateway, _good) = beside_good(&child.config(), json!({"response_bytes": "1MiB"})).await;
    good_is_unaffected(&gateway).await;
    let before = gateway.memory();
    let said = fails(&gateway).await;
    assert!(said.contains("broke the protocol"), "{said}");
    child.started().await.exited().await;
    assert!(gateway.memory().peak < before.now + ENOUGH, "{before:?} {:?}", gateway.memory());
    good_is_unaffected(&gateway).await;
    until("a fresh start", || async {
        Modern::at("/mcp/s/x").request(&gateway, "tools/list", json!({})).await.json().get("result").is_some()
    })
    .await;
}

#[tokio::test]
async fn a_child_that_floods_notifications_is_read_and_answered() {
    let child = Child::new(
        r#"
def flood(request):
    for number in range(20000):
        raw('{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}\n'
            '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"x"}}\n')
    text(request, "done")
handlers["tools/call"] = flood
"#,
    )
    .await;
    let (gateway, _good) = beside_good(&child.config(), json!({})).await;
    good_is_unaffected(&gateway).await;
    let before = gateway.memory();
    let client = Modern::new();
    let (result, ()) =
        tokio::join!(client.call(&gateway, "x__echo", json!({})), good_is_unaffected(&gateway));
    assert_eq!(text_of(&result), "done");
    assert!(gateway.memory().peak < before.now + ENOUGH);
}

#[tokio::test]
async fn a_child_that_floods_its_stderr_is_read_and_answered() {
    let child = Child::new(
        r#"
def flood(request):
    for number in range(16):
        sys.stderr.write("x" * (1 << 20))
    sys.stderr.write("\n" * 100000)
    sys.stderr.flush()
    text(request, "done")
handlers["tools/call"] = flood
"#,
    )
    .await;
    let (gateway, _good) = beside_good(&child.config(), json!({})).await;
    good_is_unaffected(&gateway).await;
    let before = gateway.memory();
    assert_eq!(text_of(&Modern::new().call(&gateway, "x__echo", json!({})).await), "done");
    assert!(gateway.memory().peak < before.now + ENOUGH);
}

#[tokio::test]
async fn noise_on_stdout_is_passed_over() {
    let child = Child::new(
        r#"
print("Server starting on stdio...", flush=True)
raw('\n\n{"half": \n[1,2]\n"text"\nnull\n{"jsonrpc":"2.0"}\n')
def call(request):
    raw("debug: here\n")
    send({"id": 4711, "result": {"content": [{"type": "text", "text": "not yours"}]}})
    send({"id": "x", "result": {}})
    send({"id": None, "error": {"code": -1, "message": "?"}})
    text(request, request["params"]["arguments"]["say"])
    text(request, "twice")
handlers["tools/call"] = call
"#,
    )
    .await;
    let gateway = Gateway::before(&child.config());
    let client = Modern::new();
    for say in ["one", "two", "three"] {
        let result = client.call(&gateway, "x__echo", json!({"say": say})).await;
        assert_eq!(text_of(&result), say, "each call gets its own answer");
    }
}

#[tokio::test]
async fn a_child_that_dies_takes_its_own_calls_along_and_is_started_again() {
    let child = Child::new(
        r#"
def call(request):
    if request["params"]["arguments"].get("die"):
        order()
        sys.stderr.write("out of luck\n")
        sys.stderr.flush()
        os._exit(7)
    if request["params"]["arguments"].get("wait"):
        return
    text(request, "alive")
handlers["tools/call"] = call
"#,
    )
    .await;
    let (gateway, _good) = beside_good(&child.config(), json!({})).await;
    let client = Modern::new();
    let both = async {
        tokio::join!(client.call(&gateway, "x__echo", json!({"wait": true})), async {
            let mut process = child.started().await;
            process.message("tools/call").await;
            let dies = client.call(&gateway, "x__echo", json!({"die": true}));
            let (dies, ()) = tokio::join!(dies, async {
                process.message("tools/call").await;
                good_is_unaffected(&gateway).await;
                process.tell(json!({})).await;
                process.exited().await;
            });
            dies
        })
    };
    let (waited, died) = both.await;
    for result in [waited, died] {
        assert_eq!(result["isError"], true);
        let said = text_of(&result).to_owned();
        assert!(said.contains('7') && said.contains("out of luck"), "{said}");
    }
    assert_eq!(text_of(&client.call(&gateway, "x__echo", json!({})).await), "alive", "after a short backoff");
    child.started().await;
}

#[tokio::test]
async fn a_child_that_cannot_start_is_tried_ever_more_rarely_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("starts");
    let script = format!("echo start >> {}; echo 'no such licence' >&2; exit 3", count.display());
    let server = json!({"command": "sh", "args": ["-c", script]});
    let (gateway, _good) = beside_good(&server, json!({})).await;
    let begin = Instant::now();
    let mut calls = 0;
    until("the backoff to be told", || {
        calls += 1;
        let gateway = &gateway;
        async move {
            let said = fails(gateway).await;
            assert!(said.contains("no such licence"), "{said}");
            said.contains("next attempt in")
        }
    })
    .await;
    for _ in 0..50 {
        fails(&gateway).await;
    }
    let starts = std::fs::read_to_string(&count).unwrap().lines().count();
    assert!(starts <= 12, "{starts} starts in {:?} for {calls} + 50 calls", begin.elapsed());
    let ready = gateway.ready().await;
    assert_eq!(ready["status"], "degraded");
    assert!(ready["servers"]["x"]["reason"].as_str().unwrap().contains("no such licence"), "{ready}");
    good_is_unaffected(&gateway).await;
}

#[tokio::test]
async fn what_a_child_asks_is_answered_or_refused() {
    let child = Child::new(
        r#"
def call(request):
    send({"id": "p", "method": "ping"})
    send({"id": 7, "method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}})
    send({"id": 8, "method": "roots/list"})
    waiting.append(request)
waiting = []
answers = []
def answered(message):
    answers.append(message)
    if len(answers) == 3:
        text(waiting[0], json.dumps(answers))
handlers["tools/call"] = call
handlers[None] = answered
"#,
    )
    .await;
    let gateway = Gateway::before(&child.config());
    // A modern client would not get to see them: its call fails.
    let result = Legacy::open(&gateway).await.call(&gateway, "x__echo", json!({})).await;
    let answers: Value = serde_json::from_str(text_of(&result)).unwrap();
    assert_eq!(answers[0], json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
    for (answer, id) in [(&answers[1], 7), (&answers[2], 8)] {
        assert_eq!((answer["id"].clone(), answer["error"]["code"].clone()), (json!(id), json!(-32601)));
    }
}

#[tokio::test]
async fn what_an_http_server_asks_is_answered_or_refused() {
    let upstream = Fake::legacy()
        .on("tools/call", |_, mut answer| async move {
            answer.open_stream().await;
            answer.event(&json!({"jsonrpc": "2.0", "id": "p", "method": "ping"})).await;
            answer
                .event(&json!({"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {}}))
                .await;
            answer.result_event(text("done")).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open(&gateway).await;
    assert_eq!(text_of(&session.call(&gateway, "x__echo", json!({})).await), "done");
    let mut answers = [upstream.nth("POST", 1).await.rpc, upstream.nth("POST", 2).await.rpc];
    answers.sort_by_key(|answer| answer["id"].is_string());
    assert_eq!((answers[0]["id"].clone(), answers[0]["error"]["code"].clone()), (json!(7), json!(-32601)));
    assert_eq!(answers[1], json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
}

#[tokio::test]
async fn a_child_that_does_not_read_times_its_own_calls_out() {
    let child = Child::new(
        r#"
def call(request):
    order()
handlers["tools/call"] = call
"#,
    )
    .await;
    let mut server = child.config();
    server["call_timeout"] = json!("1500ms");
    let (gateway, _good) = beside_good(&server, json!({})).await;
    let big = json!({"big": "x".repeat(300_000)});
    let client = Modern::new();
    let listed = client.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(listed["tools"].as_array().unwrap().len(), 2, "its first call is the one that it chokes on");
    let (first, second, third, ()) = tokio::join!(
        client.call(&gateway, "x__echo", big.clone()),
        client.call(&gateway, "x__echo", big.clone()),
        client.call(&gateway, "x__echo", big.clone()),
        good_is_unaffected(&gateway),
    );
    for result in [first, second, third] {
        assert_eq!(result["isError"], true);
    }
}
