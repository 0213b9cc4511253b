//! What a decent server of this transport gets to see, and what becomes of what it says.

use serde_json::{Value, json};

use super::{CALL, call};
use crate::harness::client::text_of;
use crate::harness::fake::tool;
use crate::harness::pki::Authority;
use crate::harness::secure::Front;
use crate::harness::sse_server::Running;
use crate::harness::{Fake, Gateway, Legacy, Modern, SseClient, SseServer, until, within};

#[tokio::test]
async fn is_found_by_its_refusal_of_a_post_by_its_name_and_by_the_configuration() {
    for (path, transport, asked_before) in [
        // Its URL says nothing: Streamable HTTP of both eras is tried first.
        ("/mcp", "auto", vec!["server/discover", "initialize", "GET"]),
        // Its URL says it, and so it is looked for first; a stream that was only looked at is left again.
        ("/sse", "auto", vec!["GET", "GET"]),
        ("/sse", "sse", vec!["GET"]),
        ("/mcp", "sse", vec!["GET"]),
    ] {
        let server = SseServer::new().start().await;
        let url = server.upstream.url.replace("/mcp", path);
        let gateway = Gateway::before(&json!({"url": url, "transport": transport}));
        let result = Modern::new().call(&gateway, "x__echo", json!({"a": 1})).await;
        assert_eq!(text_of(&result), r#"{"a":1}"#);
        let mut asked: Vec<_> = server.upstream.seen().iter().map(|seen| seen.method().to_owned()).collect();
        let handshake = asked.split_off(asked_before.len());
        assert_eq!(asked, asked_before, "{path} {transport}");
        assert_eq!(handshake[..2], ["initialize", "notifications/initialized"], "{handshake:?}");
        assert_eq!(server.open(), 1);
        let ready = gateway.ready().await;
        assert_eq!(ready["servers"]["x"], json!({"state": "up", "revision": "2024-11-05"}));
    }
}

#[tokio::test]
async fn streamable_http_under_a_misleading_name_is_still_found() {
    for fake in [Fake::legacy(), Fake::modern()] {
        let upstream = fake.start().await;
        let gateway = Gateway::before(&json!({"url": upstream.url.replace("/mcp", "/sse")}));
        let result = Modern::new().call(&gateway, "x__echo", json!({"a": 1})).await;
        assert_eq!(text_of(&result), r#"{"a":1}"#);
    }
    // And one that must be, is not looked for elsewhere.
    let server = SseServer::new().start().await;
    let gateway = Gateway::before(&json!({"url": server.url(), "transport": "streamable-http"}));
    let result = Modern::at("/mcp/s/x").request(&gateway, "tools/list", json!({})).await;
    assert!(result.json()["error"]["message"].as_str().unwrap().contains("405"), "{result:?}");
    assert_eq!(server.upstream.count("GET"), 0);
}

#[tokio::test]
async fn messages_carry_the_configured_headers_and_the_clients_of_files_say_sse() {
    let server = SseServer::new().start().await;
    let entry =
        json!({"type": "sse", "url": server.url(), "headers": {"Authorization": "Bearer of the server"}});
    let gateway = Gateway::start(&json!({"mcpServers": {"x": entry}}));
    Modern::new().call(&gateway, "x__echo", json!({})).await;
    for seen in server.upstream.seen() {
        assert_eq!(seen.header("authorization"), Some("Bearer of the server"), "{seen:?}");
        match seen.verb.as_str() {
            "GET" => assert_eq!(seen.header("accept"), Some("text/event-stream")),
            _ => assert_eq!(seen.header("content-type"), Some("application/json")),
        }
    }
}

#[tokio::test]
async fn is_reached_over_tls_with_an_authority_of_its_own() {
    let ca = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let server = SseServer::new().start().await;
    let front = Front::before(&server.upstream, ca.issue("localhost").server()).await;
    let url = front.url("localhost").replace("/mcp", "/sse");
    let tls = json!({"ca": ca.write(folder.path(), "ca.pem")});
    let gateway = Gateway::before(&json!({"url": url, "tls": tls}));
    let result = Modern::new().call(&gateway, "x__echo", json!({"a": 1})).await;
    assert_eq!(text_of(&result), r#"{"a":1}"#);
    let untrusting = Gateway::before(&json!({"url": url, "transport": "sse"}));
    let failed = Modern::at("/mcp/s/x").call(&untrusting, "echo", json!({})).await;
    assert!(text_of(&failed).contains("set `tls.ca`"), "{failed}");
}

/// A server whose calls are left open; the test answers them.
async fn open_calls() -> Running {
    SseServer::new().on(CALL, |_, _| {}).start().await
}

fn result(seen: &Value, words: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": seen["id"], "result": {"content": [{"type": "text", "text": words}]}})
}

#[tokio::test]
async fn progress_finds_its_call_and_answers_may_come_in_any_order() {
    let server = open_calls().await;
    let gateway = Gateway::before(&server.config());
    let mut client = SseClient::open(&gateway, "2025-11-25").await;
    for id in [1, 2] {
        let mut message = call(id, "x__echo", &json!({}));
        message["params"]["_meta"] = json!({"progressToken": format!("token {id}")});
        client.post(&gateway, &message).await;
        server.upstream.nth(CALL, usize::try_from(id).unwrap()).await;
    }
    let (one, two) = (server.upstream.nth(CALL, 1).await.rpc, server.upstream.nth(CALL, 2).await.rpc);
    let session = server.session();
    for (seen, progress) in [(&two, 1), (&one, 2), (&one, 3)] {
        let params = json!({"progressToken": seen["params"]["_meta"]["progressToken"], "progress": progress});
        session.say(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
    }
    session.say(&result(&two, "two"));
    session.say(&result(&one, "one"));
    let mut told = Vec::new();
    for _ in 0..5 {
        let message = client.next().await.unwrap();
        let progress = &message["params"];
        told.push(match message["id"].as_i64() {
            Some(id) => (id, text_of(&message["result"]).to_owned()),
            None => (
                progress["progress"].as_i64().unwrap() * 10,
                progress["progressToken"].as_str().unwrap().to_owned(),
            ),
        });
    }
    let of = |id: i64, token: &str, steps: &[i64]| {
        let mine: Vec<_> =
            told.iter().filter(|(n, text)| *n == id || text == token).map(|(n, _)| *n).collect();
        let expected: Vec<_> = steps.iter().map(|step| step * 10).chain([id]).collect();
        assert_eq!(mine, expected, "{told:?}");
    };
    of(1, "token 1", &[2, 3]);
    of(2, "token 2", &[1]);
}

#[tokio::test]
async fn a_client_that_leaves_cancels_at_the_server() {
    let server = open_calls().await;
    let gateway = Gateway::before(&server.config());
    let client = Modern::new();
    let mut connection = gateway.connect().await;
    client.write(&mut connection, &client.body(CALL, json!({"name": "x__echo"})), &[]).await;
    let seen = server.upstream.nth(CALL, 1).await;
    drop(connection);
    let cancelled = server.upstream.nth("notifications/cancelled", 1).await;
    assert_eq!(cancelled.rpc["params"]["requestId"], seen.rpc["id"]);
    // An answer that comes all the same is nobody's.
    server.session().say(&result(&seen.rpc, "late"));
    assert_eq!(Legacy::open(&gateway).await.request(&gateway, "ping", json!({})).await.status(), 200);
}

#[tokio::test]
async fn what_the_server_asks_is_answered_by_a_post() {
    let server = open_calls().await;
    let gateway = Gateway::before(&server.config());
    let _session = Legacy::open(&gateway).await;
    let session = server.session();
    session.say(&json!({"jsonrpc": "2.0", "id": "a", "method": "ping"}));
    session.say(&json!({"jsonrpc": "2.0", "id": "b", "method": "roots/list"}));
    until("both answers", async || {
        let seen = server.upstream.seen();
        let answer = |id: &str| seen.iter().find(|seen| seen.rpc["id"] == id && seen.rpc["method"].is_null());
        match (answer("a"), answer("b")) {
            (Some(ping), Some(roots)) => {
                assert_eq!(ping.rpc["result"], json!({}));
                assert_eq!(roots.rpc["error"]["code"], -32601);
                true
            }
            _ => false,
        }
    })
    .await;
}

#[tokio::test]
async fn a_changed_list_is_listed_again() {
    let server = SseServer::new().start().await;
    let gateway = Gateway::before(&server.config());
    let mut client = SseClient::open(&gateway, "2024-11-05").await;
    client.result(&gateway, "tools/list", json!({})).await;
    server.tools.lock().unwrap().push(tool("new"));
    server.session().say(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    assert_eq!(client.next().await.unwrap()["method"], "notifications/tools/list_changed");
    let tools = client.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(tools["tools"][1]["name"], "x__new", "{tools}");
}

#[tokio::test]
async fn a_lost_stream_fails_the_calls_on_it_and_the_next_opens_another() {
    let server = SseServer::new()
        .on(CALL, |message, session| match message["params"]["arguments"]["end"].as_bool() {
            Some(true) => session.end(),
            _ => session.say(&result(&message, "well")),
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let client = Modern::new();
    let failed = client.call(&gateway, "x__echo", json!({"end": true})).await;
    assert_eq!(failed["isError"], true);
    assert!(text_of(&failed).contains("the server closed its event stream"), "{failed}");
    assert_eq!(text_of(&client.call(&gateway, "x__echo", json!({})).await), "well");
    assert_eq!(server.upstream.count(CALL), 2, "a call that may have been carried out is not sent again");
    assert_eq!(server.open(), 1);
    let metrics = gateway.get("/metrics").await.text();
    assert!(!metrics.contains("portcullis_child_restarts_total{"), "{metrics}");
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_opened_again_and_the_call_sent_once_more() {
    let server = SseServer::new().start().await;
    let gateway = Gateway::before(&server.config());
    let client = Modern::new();
    client.call(&gateway, "x__echo", json!({"n": 1})).await;
    // The server forgets the session but keeps the stream open.
    server.forget();
    let result = within("an answer", client.call(&gateway, "x__echo", json!({"n": 2}))).await;
    assert_eq!(text_of(&result), r#"{"n":2}"#);
    assert_eq!(server.upstream.count(CALL), 3, "the second was refused, so it was not carried out");
}

#[tokio::test]
async fn each_session_has_a_stream_of_its_own_where_it_is_configured_so() {
    let server = SseServer::new().start().await;
    let mut config = server.config();
    config["sharing"] = json!("session");
    config["transport"] = json!("sse");
    let gateway = Gateway::before(&config);
    let ann = Legacy::open(&gateway).await;
    let mut bob = SseClient::open(&gateway, "2024-11-05").await;
    // One for what the gateway itself asks.
    ann.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(server.open(), 1);
    ann.call(&gateway, "x__echo", json!({})).await;
    bob.call(&gateway, "x__echo", json!({})).await;
    assert_eq!(server.open(), 3);
    ann.delete(&gateway).await;
    until("the end of the first", async || server.open() == 2).await;
    drop(bob);
    until("the end of the second", async || server.open() == 1).await;
}
