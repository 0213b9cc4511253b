//! What a server of this transport can try: to send its client elsewhere, to say nothing, to say too much.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::CALL;
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::{Answer, Fake, Gateway, Modern, SseServer, Upstream, until, within};

const MOST: usize = 48 << 20;

async fn beside_good(server: &Value, limits: Value) -> (Gateway, Upstream) {
    let good = Fake::modern().start().await;
    let config = json!({"servers": {"x": server, "good": good.config()}, "limits": limits});
    (Gateway::start(&config), good)
}

/// How a call to `x` fails; the other server answers meanwhile, and at once.
async fn fails(gateway: &Gateway) -> String {
    let (client, own) = (Modern::new(), Modern::at("/mcp/s/x"));
    let (good, bad) = tokio::join!(
        tokio::time::timeout(Duration::from_secs(2), client.call(gateway, "good__echo", json!({"a": 1}))),
        own.request(gateway, CALL, json!({"name": "echo"}))
    );
    assert_eq!(text_of(&good.expect("an answer at once")), r#"{"a":1}"#);
    let message = bad.json();
    let result = &message["result"];
    assert_eq!(result["isError"], true, "{message}");
    text_of(result).to_owned()
}

#[tokio::test]
async fn nobody_is_posted_to_but_the_server_itself() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = elsewhere.local_addr().unwrap().port();
    for address in [
        format!("http://127.0.0.1:{port}/messages?session={{}}"),
        format!("//127.0.0.1:{port}/messages?session={{}}"),
        format!("http://localhost:{port}/messages"),
        "file:///messages".to_owned(),
    ] {
        let server = SseServer::new().endpoint(&address).start().await;
        let mut config = server.config();
        config["transport"] = json!("sse");
        config["headers"] = json!({"Authorization": "Bearer of the server"});
        let (gateway, _good) = beside_good(&config, json!({})).await;
        let why = fails(&gateway).await;
        assert!(why.contains("leads to another origin"), "{address}: {why}");
        assert_eq!(server.upstream.count("initialize"), 0);
    }
    let visitor = tokio::time::timeout(Duration::from_millis(50), elsewhere.accept()).await;
    assert!(visitor.is_err(), "somebody came: {visitor:?}");
}

#[tokio::test]
async fn addresses_on_the_server_are_followed_however_they_are_written() {
    for address in ["messages?session={}", "./messages?session={}", "/a/../messages?session={}#top"] {
        let server = SseServer::new().endpoint(address).start().await;
        let gateway = Gateway::before(&server.config());
        let result = Modern::new().call(&gateway, "x__echo", json!({"a": 1})).await;
        assert_eq!(text_of(&result), r#"{"a":1}"#, "{address}");
    }
    let server = SseServer::new();
    let server = server.endpoint("http://127.0.0.1:PORT/messages?session={}").start().await;
    let (gateway, _good) = beside_good(&json!({"url": server.url(), "transport": "sse"}), json!({})).await;
    let why = fails(&gateway).await;
    assert!(why.contains("leads to another origin"), "a port that is none: {why}");
}

#[tokio::test]
async fn a_stream_that_does_not_say_where_to_post_is_none() {
    for (first, expected) in [
        ("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n\n", "`endpoint` event"),
        ("event: endpoint\ndata:\n\n", "holds no URI"),
        ("event: endpoint\ndata: /a b\n\n", "holds no URI"),
        ("event: endpoint\ndata: /messages\r\ndata: evil\n\n", "holds no URI"),
        (": nothing\n\n", "0.5 s"),
        ("", "0.5 s"),
    ] {
        let upstream = Upstream::start(move |seen, mut answer| async move {
            if seen.verb == "GET" {
                answer.open_stream().await;
                let _ = answer.write(first.as_bytes()).await;
            }
            answer.closed().await;
        })
        .await;
        let mut config = upstream.config();
        config["transport"] = json!("sse");
        config["call_timeout"] = json!("500ms");
        let (gateway, _good) = beside_good(&config, json!({})).await;
        let why = fails(&gateway).await;
        // Whether the call or the greeting runs out of time first is nobody's concern.
        let why = why.replace("500ms", "0.5 s");
        assert!(why.contains(expected), "{first:?}: {why}");
        assert_eq!(upstream.count("initialize"), 0);
    }
}

#[tokio::test]
async fn a_server_that_takes_connections_and_nothing_else_is_given_up() {
    let upstream = Upstream::start(|_, mut answer: Answer| async move { answer.closed().await }).await;
    for config in [
        json!({"url": upstream.url.replace("/mcp", "/sse"), "call_timeout": "300ms"}),
        json!({"url": upstream.url, "transport": "sse", "call_timeout": "300ms"}),
    ] {
        let (gateway, _good) = beside_good(&config, json!({})).await;
        let why = fails(&gateway).await;
        assert!(why.contains("within 300ms") || why.contains("for 0.3 s"), "{why}");
    }
}

#[tokio::test]
async fn a_server_that_accepts_messages_and_never_answers_runs_into_the_calls_time() {
    let server = SseServer::new().on(CALL, |_, _| {}).start().await;
    let mut config = server.config();
    config["call_timeout"] = json!("300ms");
    let (gateway, _good) = beside_good(&config, json!({})).await;
    let why = fails(&gateway).await;
    assert!(why.contains("no answer"), "{why}");
    server.upstream.nth("notifications/cancelled", 1).await;
}

#[tokio::test]
async fn an_event_without_end_ends_the_stream_and_costs_no_memory() {
    let server = SseServer::new()
        .on(CALL, |_, session| {
            session.raw("data: {\"a\":\"");
            for _ in 0..600 {
                session.raw(&"x".repeat(64 << 10));
            }
        })
        .start()
        .await;
    let limits = json!({"response_bytes": "1MiB"});
    let (gateway, _good) = beside_good(&server.config(), limits).await;
    Modern::at("/mcp/s/x").result(&gateway, "tools/list", json!({})).await;
    let before = gateway.memory();
    let why = fails(&gateway).await;
    assert!(why.contains("longer than 1048576 bytes"), "{why}");
    let held = gateway.memory().peak.saturating_sub(before.now);
    assert!(held < MOST, "{held} bytes");
}

#[tokio::test]
async fn foreign_answers_and_nonsense_on_the_stream_are_nobodys() {
    let server = SseServer::new()
        .on(CALL, |message, session| {
            session.raw(
                "data: nonsense\n\nevent: endpoint\ndata: http://evil.example/\n\nevent: other\ndata: {}\n\n",
            );
            session.say(&json!({"jsonrpc": "2.0", "id": 999_999, "result": text("foreign")}));
            session.say(&json!({"jsonrpc": "2.0", "id": null, "error": {"code": 1, "message": "x"}}));
            let mut right = text("right");
            right.as_object_mut().unwrap().remove("resultType");
            session.result(&message, &right);
            session.result(&message, &text("twice"));
        })
        .start()
        .await;
    let (gateway, _good) = beside_good(&server.config(), json!({})).await;
    for _ in 0..3 {
        let result = Modern::new().call(&gateway, "x__echo", json!({})).await;
        assert_eq!(text_of(&result), "right");
    }
}

#[tokio::test]
async fn posts_that_are_never_answered_hold_up_neither_answers_nor_the_gateway() {
    // 0: the POST stays without an answer, but what it says is heard.
    let server = SseServer::new().refuse(CALL, 0).start().await;
    let (gateway, _good) = beside_good(&server.config(), json!({})).await;
    let client = Modern::new();
    for n in 0..300 {
        let result = client.call(&gateway, "x__echo", json!({"n": n})).await;
        assert_eq!(text_of(&result), json!({"n": n}).to_string());
    }
    until("the end of the POSTs", async || open_files(&gateway) < 100).await;
}

fn open_files(gateway: &Gateway) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", gateway.pid())).unwrap().count()
}

#[tokio::test]
async fn refused_posts_fail_the_call_that_they_carry_and_no_other() {
    for (status, expected) in
        [(400, "400"), (401, "credentials"), (403, "credentials"), (413, "413"), (500, "500"), (302, "302")]
    {
        let server = SseServer::new().refuse(CALL, status).start().await;
        let (gateway, _good) = beside_good(&server.config(), json!({})).await;
        let why = within("an answer", fails(&gateway)).await;
        assert!(why.contains(expected), "{status}: {why}");
        assert_eq!(server.upstream.count(CALL), 1, "{status}");
        let tools = Modern::at("/mcp/s/x").result(&gateway, "tools/list", json!({})).await;
        assert_eq!(tools["tools"][0]["name"], "echo", "the stream goes on");
        assert_eq!(server.open(), 1);
    }
}
