//! What a decent client of this transport meets.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{CALL, call, sessions};
use crate::harness::client::{initialize, text_of};
use crate::harness::fake::{text, tool};
use crate::harness::{Answer, Child, Fake, Gateway, SseClient, signal, until, within};

/// A server whose calls end when they are told to, or when nobody waits any more; `left` tells of the latter.
async fn patient(go_on: &Arc<Notify>, left: &Arc<Notify>) -> crate::harness::Upstream {
    let (go_on, left) = (go_on.clone(), left.clone());
    let handle = move |seen: crate::harness::upstream::Seen, mut answer: Answer| {
        let (go_on, left) = (go_on.clone(), left.clone());
        async move {
            let token = seen.rpc["params"]["_meta"]["progressToken"].clone();
            answer.open_stream().await;
            if !token.is_null() {
                let params = json!({"progressToken": token, "progress": 1});
                answer
                    .event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))
                    .await;
            }
            tokio::select! {
                () = go_on.notified() => answer.result_event(text("done")).await,
                () = answer.closed() => left.notify_one(),
            }
        }
    };
    Fake::modern().on(CALL, handle).start().await
}

#[tokio::test]
async fn progress_comes_before_the_answer_and_under_the_clients_own_token() {
    let (go_on, left) = (Arc::default(), Arc::default());
    let upstream = patient(&go_on, &left).await;
    let gateway = Gateway::before(&upstream.config());
    let mut client = SseClient::open(&gateway, "2024-11-05").await;
    let mut message = call(7, "x__echo", &json!({}));
    message["params"]["_meta"] = json!({"progressToken": "mine"});
    assert_eq!(client.post(&gateway, &message).await.status(), 202);
    let first = client.next().await.unwrap();
    assert_eq!(first["method"], "notifications/progress");
    assert_eq!(first["params"], json!({"progressToken": "mine", "progress": 1}));
    // The stream is everybody's meanwhile.
    assert_eq!(client.request(&gateway, 8, "ping", json!({})).await["result"], json!({}));
    go_on.notify_one();
    assert_eq!(text_of(&client.answer(&json!(7)).await["result"]), "done");
}

#[tokio::test]
async fn a_cancelled_call_ends_at_the_server_and_gets_no_answer() {
    let (go_on, left): (Arc<Notify>, Arc<Notify>) = Default::default();
    let upstream = patient(&go_on, &left).await;
    let gateway = Gateway::before(&upstream.config());
    let mut client = SseClient::open(&gateway, "2025-03-26").await;
    for id in [1, 2] {
        client.post(&gateway, &call(id, "x__echo", &json!({}))).await;
        upstream.nth(CALL, usize::try_from(id).unwrap()).await;
    }
    let params = json!({"requestId": 1, "reason": "changed my mind"});
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
    assert_eq!(client.post(&gateway, &cancel).await.status(), 202);
    within("the end of the call", left.notified()).await;
    // The other one goes on, and its answer is the next thing that comes.
    go_on.notify_one();
    assert_eq!(client.next().await.unwrap()["id"], 2);
    // The id is free again.
    client.post(&gateway, &call(1, "x__echo", &json!({}))).await;
    upstream.nth(CALL, 3).await;
    go_on.notify_one();
    assert_eq!(text_of(&client.answer(&json!(1)).await["result"]), "done");
}

#[tokio::test]
async fn the_stream_is_the_session_and_its_end_is_the_end_of_everything() {
    let (go_on, left) = (Arc::default(), Arc::<Notify>::default());
    let upstream = patient(&go_on, &left).await;
    let child = Child::new("handlers['tools/call'] = lambda r: None").await;
    let mut config = child.config();
    config["sharing"] = json!("session");
    let gateway = Gateway::start(&json!({"servers": {"x": upstream.config(), "own": config}}));
    let mut client = SseClient::open(&gateway, "2024-11-05").await;
    client.result(&gateway, "tools/list", json!({})).await;
    let _catalogue = child.started().await;
    assert_eq!(sessions(&gateway).await, 1);
    client.post(&gateway, &call(1, "x__echo", &json!({}))).await;
    upstream.nth(CALL, 1).await;
    client.post(&gateway, &call(2, "own__echo", &json!({}))).await;
    let mut own = child.started().await;
    own.message(CALL).await;

    let address = client.address.clone();
    drop(client);
    within("the end of the call", left.notified()).await;
    own.exited().await;
    until("the end of the session", async || sessions(&gateway).await == 0).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let late = gateway.post(&address, ping).await;
    assert_eq!((late.status(), &late.json()["error"]["data"]["reason"]), (404, &json!("unknown_session")));
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains("portcullis_streams 0\n"), "{metrics}");
}

#[tokio::test]
async fn a_session_begins_with_initialize_and_once() {
    let upstream = Fake::legacy().start().await;
    let gateway = Gateway::before(&upstream.config());
    let mut client = SseClient::connect(&gateway, "/sse").await;
    assert_eq!(client.request(&gateway, 1, "ping", json!({})).await["result"], json!({}));
    // What a client of both eras asks first.
    let discover = client.request(&gateway, 2, "server/discover", json!({})).await;
    assert_eq!(discover["error"]["code"], -32601);
    let early = client.request(&gateway, 3, "tools/list", json!({})).await;
    assert_eq!(early["error"]["code"], -32600);
    assert!(early["error"]["message"].as_str().unwrap().contains("initialize"), "{early}");
    let wrong = client.request(&gateway, 4, "initialize", json!({"protocolVersion": 7})).await;
    assert_eq!(wrong["error"]["code"], -32602);
    assert_eq!(client.post(&gateway, &initialize("2024-11-05")).await.status(), 202);
    assert_eq!(client.answer(&json!(0)).await["result"]["protocolVersion"], "2024-11-05");
    assert_eq!(client.post(&gateway, &initialize("2024-11-05")).await.status(), 202);
    assert_eq!(client.answer(&json!(0)).await["error"]["code"], -32600);
    assert_eq!(client.request(&gateway, 5, "no/such", json!({})).await["error"]["code"], -32601);
    let unknown = SseClient::open(&gateway, "2031-01-01").await;
    assert_eq!(unknown.welcome["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn batches_belong_to_one_revision() {
    let upstream = Fake::legacy().start().await;
    let gateway = Gateway::before(&upstream.config());
    let batch = json!([
        call(1, "x__echo", &json!({"n": 1})),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        call(2, "x__echo", &json!({"n": 2})),
    ]);
    let mut client = SseClient::open(&gateway, "2025-03-26").await;
    assert_eq!(client.post(&gateway, &batch).await.status(), 202);
    for id in [2, 1] {
        let answer = client.answer(&json!(id)).await;
        assert_eq!(text_of(&answer["result"]), json!({"n": id}).to_string());
    }
    for bad in [json!([]), json!([initialize("2025-03-26")]), json!(vec![batch[0].clone(); 51])] {
        let answer = client.post(&gateway, &bad).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32600), "{bad:.60}");
    }
    let parts = json!([7, call(3, "x__echo", &json!({"n": 3}))]);
    assert_eq!(client.post(&gateway, &parts).await.status(), 202);
    assert_eq!(client.answer(&json!(null)).await["error"]["code"], -32600, "a part that is no message");
    assert_eq!(text_of(&client.answer(&json!(3)).await["result"]), json!({"n": 3}).to_string());
    for revision in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let client = SseClient::open(&gateway, revision).await;
        let answer = client.post(&gateway, &batch).await;
        assert_eq!((answer.status(), answer.error_code()), (400, -32600), "{revision}");
    }
}

#[tokio::test]
async fn log_messages_come_from_the_level_that_was_set() {
    let fake = Fake::legacy().on(CALL, |_, mut answer: Answer| async move {
        answer.open_stream().await;
        for level in ["debug", "info", "error"] {
            let params = json!({"level": level, "data": level});
            answer
                .event(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params}))
                .await;
        }
        answer.result_event(json!({"content": []})).await;
    });
    let mut fake = fake;
    fake.capabilities["logging"] = json!({});
    let upstream = fake.start().await;
    let gateway = Gateway::before(&upstream.config());
    let mut client = SseClient::open(&gateway, "2024-11-05").await;
    for (level, expected) in [("error", vec!["error"]), ("debug", vec!["debug", "info", "error"])] {
        assert_eq!(client.result(&gateway, "logging/setLevel", json!({"level": level})).await, json!({}));
        client.post(&gateway, &call(9, "x__echo", &json!({}))).await;
        let mut seen = Vec::new();
        loop {
            let message = client.next().await.unwrap();
            if message["id"] == 9 {
                break;
            }
            seen.push(message["params"]["level"].as_str().unwrap().to_owned());
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn changed_lists_are_told_on_the_stream() {
    const CHANGES: &str = "
def change():
    while True:
        tools.append(dict(order(), inputSchema={'type': 'object'}))
        send({'method': 'notifications/tools/list_changed'})
threading.Thread(target=change, daemon=True).start()
";
    let child = Child::new(CHANGES).await;
    let gateway = Gateway::before(&child.config());
    let mut client = SseClient::open(&gateway, "2024-11-05").await;
    let mut process = child.started().await;
    client.result(&gateway, "tools/list", json!({})).await;
    process.tell(json!({"name": "new"})).await;
    let told = client.next().await.unwrap();
    assert_eq!(told, json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    let tools = client.result(&gateway, "tools/list", json!({})).await;
    assert!(tools["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "x__new"), "{tools}");
}

#[tokio::test]
async fn a_quiet_stream_shows_signs_of_life() {
    let upstream = Fake::legacy().start().await;
    let limits = json!({"keep_alive_interval": "50ms"});
    let gateway = Gateway::start(&json!({"servers": {"x": upstream.config()}, "limits": limits}));
    let mut client = SseClient::open(&gateway, "2024-11-05").await;
    for _ in 0..3 {
        assert_eq!(client.events.next().await.unwrap().comment.as_deref(), Some("keep-alive"));
    }
    assert_eq!(client.request(&gateway, 1, "ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn a_stopping_gateway_answers_what_is_under_way_and_ends_the_stream() {
    let (go_on, left) = (Arc::<Notify>::default(), Arc::default());
    let upstream = patient(&go_on, &left).await;
    let mut gateway = Gateway::before(&upstream.config());
    let mut idle = SseClient::open(&gateway, "2024-11-05").await;
    let mut busy = SseClient::open(&gateway, "2024-11-05").await;
    busy.post(&gateway, &call(1, "x__echo", &json!({}))).await;
    upstream.nth(CALL, 1).await;
    signal(gateway.pid(), rustix::process::Signal::TERM);
    gateway.logged("stopping").await;
    assert_eq!(idle.next().await, None);
    assert!(idle.events.is_complete(), "the stream ends in order");
    let refused = busy.post(&gateway, &call(2, "x__echo", &json!({}))).await;
    assert_eq!((refused.status(), refused.header("retry-after")), (503, Some("1")), "{refused:?}");
    assert_eq!(gateway.send("GET", "/sse", &[], b"").await.status(), 503);
    go_on.notify_one();
    assert_eq!(text_of(&busy.answer(&json!(1)).await["result"]), "done");
    assert_eq!(busy.next().await, None);
    let exit = within("the end of the process", async {
        loop {
            if let Some(exit) = gateway.process().try_wait().unwrap() {
                return exit;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    assert_eq!(exit.await.code(), Some(0));
}

#[tokio::test]
async fn what_an_old_revision_cannot_read_is_said_in_words_it_can() {
    let blocks = json!([
        {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"},
        {"type": "resource_link", "uri": "demo://a", "name": "a"},
    ]);
    let answered: Value = json!({"resultType": "complete", "content": blocks, "structuredContent": [1, 2]});
    let upstream = Fake::modern()
        .tools(vec![tool("echo")])
        .on(CALL, move |_, answer: Answer| answer.result(answered.clone()))
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let mut client = SseClient::open(&gateway, "2024-11-05").await;
    let result = client.call(&gateway, "x__echo", json!({})).await;
    let kinds: Vec<_> =
        result["content"].as_array().unwrap().iter().map(|block| block["type"].clone()).collect();
    assert_eq!(kinds, ["text", "text"], "{result}");
    assert!(result.get("structuredContent").is_none() && result.get("resultType").is_none(), "{result}");
}
