//! One connection and what can be done with it: requests behind each other, bodies that nobody reads, old and odd forms.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;

use super::{gateway, gateway_with};
use crate::harness::client::{LEGACY, initialize, text_of};
use crate::harness::fake::text;
use crate::harness::gateway::JSON;
use crate::harness::secure::Client;
use crate::harness::{Connection, Fake, Gateway, Modern, Upstream, within};

const CALL: &str = "tools/call";

/// A gateway before a server that tells of progress, then answers when it is told to.
async fn waiting(go_on: &Arc<Notify>) -> (Gateway, Upstream) {
    let go_on = go_on.clone();
    let upstream = Fake::modern().on(CALL, move |seen, mut answer| {
        let go_on = go_on.clone();
        async move {
            let token = seen.rpc["params"]["_meta"]["progressToken"].clone();
            answer.open_stream().await;
            if !token.is_null() {
                let params = json!({"progressToken": token, "progress": 1});
                let method = "notifications/progress";
                answer.event(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
            }
            go_on.notified().await;
            answer.result_event(text("done")).await;
        }
    });
    let upstream = upstream.start().await;
    (Gateway::before(&upstream.config()), upstream)
}

async fn call(connection: &mut Connection, client: &Modern) {
    client.write(connection, &client.body(CALL, json!({"name": "x__echo"})), &[]).await;
}

#[tokio::test]
async fn requests_behind_each_other_are_answered_in_their_order() {
    let go_on = Arc::new(Notify::new());
    let (gateway, upstream) = waiting(&go_on).await;
    let mut connection = gateway.connect().await;
    call(&mut connection, &Modern::new()).await;
    connection.request("GET", "/healthz", &[], b"").await;
    connection.request("POST", "/nowhere", &JSON, b"GET /metrics HTTP/1.1\r\n\r\n").await;
    connection.request("POST", "/mcp", &JSON, initialize(LEGACY).to_string().as_bytes()).await;
    upstream.nth(CALL, 1).await;
    go_on.notify_one();
    assert_eq!(text_of(&connection.response().await.json()["result"]), "done");
    assert_eq!(connection.response().await.json()["status"], "ok");
    assert_eq!(connection.response().await.status(), 404, "its body is no request");
    assert_eq!(connection.response().await.json()["id"], 0);
    assert_eq!(connection.send("GET", "/healthz", &[], b"").await.status(), 200);
}

#[tokio::test]
async fn a_body_that_nobody_reads_does_not_cost_the_answer() {
    let (gateway, _upstream) = gateway().await;
    let mut connection = gateway.connect().await;
    connection.request("POST", "/nowhere", &JSON, &vec![b'x'; 1 << 20]).await;
    let answer = connection.response().await;
    assert_eq!((answer.status(), answer.header("connection")), (404, Some("close")));
    assert!(connection.closes().await);

    let mut connection = gateway.connect().await;
    let chunked = [JSON[0], JSON[1], ("transfer-encoding", "chunked")];
    connection.write_head("DELETE", "/mcp", &chunked).await;
    let _ =
        connection.write(b"5\r\nabcde\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(connection.response().await.status(), 405);
    assert!(connection.closes().await, "what follows is not looked at");
}

#[tokio::test]
async fn chunks_end_where_they_end_for_everybody() {
    let (gateway, _upstream) = gateway().await;
    let mut headers = JSON.to_vec();
    headers.push(("transfer-encoding", "chunked"));
    let body = initialize(LEGACY).to_string();
    let (first, second) = body.split_at(20);
    let mut connection = gateway.connect().await;
    for _ in 0..2 {
        connection.write_head("POST", "/mcp", &headers).await;
        let size = second.len();
        let chunks = format!("14;a=b\r\n{first}\r\n{size:X}\r\n{second}\r\n0\r\nDigest: x\r\n\r\n");
        connection.write(chunks.as_bytes()).await.unwrap();
        assert_eq!(connection.response().await.status(), 200);
    }
    let smuggled = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let size = body.len();
    for end in [
        format!("{size:x}\r\n{body}\r\n\r\n\r\n{smuggled}"),
        format!("{size:x};\n{body}\r\n0\r\n\r\n{smuggled}"),
        format!("{size:x}\r\n{body}\r\n0\r\nT: 1\n\n{smuggled}"),
        format!("{size:x}\r\n{body}\r\n0\r\n{smuggled}"),
        format!("{size:x}\r\n{body}x\r\n0\r\n\r\n{smuggled}"),
    ] {
        let mut connection = gateway.connect().await;
        connection.write_head("POST", "/mcp", &headers).await;
        let _ = connection.write(end.as_bytes()).await;
        assert_eq!(connection.response().await.status(), 400, "{end}");
        assert!(connection.closes().await, "{end}");
    }
}

#[tokio::test]
async fn a_body_is_asked_for_when_it_is_wanted() {
    let (gateway, _upstream) = gateway().await;
    let body = initialize(LEGACY).to_string();
    let length = body.len().to_string();
    let mut headers = JSON.to_vec();
    headers.extend([("content-length", length.as_str()), ("expect", "100-continue")]);
    let mut connection = gateway.connect().await;
    for _ in 0..2 {
        connection.write_head("POST", "/mcp", &headers).await;
        assert_eq!(connection.head().await.unwrap().status, 100);
        connection.write(body.as_bytes()).await.unwrap();
        assert_eq!(connection.response().await.status(), 200);
    }
    connection.write_head("POST", "/nowhere", &headers).await;
    assert_eq!(connection.response().await.status(), 404);
    assert!(connection.closes().await, "nobody knows whether the body still comes");
}

#[tokio::test]
async fn http10_is_answered_in_its_way() {
    let go_on = Arc::new(Notify::new());
    let (gateway, upstream) = waiting(&go_on).await;
    let mut connection = gateway.connect().await;
    let get = |more: &str| format!("GET /healthz HTTP/1.0\r\nhost: localhost\r\n{more}\r\n");
    connection.write(get("connection: keep-alive\r\n").as_bytes()).await.unwrap();
    assert_eq!(connection.response().await.header("connection"), Some("keep-alive"));
    connection.write(get("").as_bytes()).await.unwrap();
    assert_eq!(connection.response().await.header("connection"), Some("close"));
    assert!(connection.closes().await);

    let client = Modern::new().with_meta("progressToken", json!(1));
    let body = client.body(CALL, json!({"name": "x__echo"}));
    let fields: String =
        Modern::headers(&body).iter().map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect();
    let body = body.to_string();
    let head = format!(
        "POST /mcp HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\n{fields}content-length: {}\r\n\r\n",
        body.len()
    );
    let mut connection = gateway.connect().await;
    connection.write((head + &body).as_bytes()).await.unwrap();
    upstream.nth(CALL, 1).await;
    go_on.notify_one();
    let answer = connection.response().await;
    assert_eq!((answer.header("transfer-encoding"), answer.header("connection")), (None, Some("close")));
    assert!(answer.head.is_stream());
    assert_eq!(text_of(&answer.json()["result"]), "done");
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let (gateway, _upstream) = gateway().await;
    let mut connection = gateway.connect().await;
    for (path, status) in [("/healthz", 200), ("/readyz", 200), ("/nowhere", 404), ("/mcp", 405)] {
        connection.write_head("HEAD", path, &[]).await;
        let head = connection.head().await.unwrap();
        assert_eq!(head.status, status, "{path}");
        assert!(head.header("content-length").is_some_and(|length| length != "0"), "{head:?}");
    }
    assert_eq!(connection.send("GET", "/healthz", &[], b"").await.json()["status"], "ok");

    let mut two = Client::h2c(gateway.address).await;
    for (path, status) in [("/healthz", 200), ("/nowhere", 404)] {
        let answer = two.send("HEAD", path, &[], String::new()).await.unwrap();
        assert_eq!((answer.status, answer.body), (status, json!(null)), "{path}");
    }
}

#[tokio::test]
async fn the_host_of_the_target_counts_before_the_field() {
    let (gateway, _upstream) = gateway().await;
    for (target, host, status) in [
        ("http://localhost/healthz", "evil.example", 200),
        ("http://LOCALHOST:80/healthz?x", "localhost", 200),
        ("http://evil.example/healthz", "localhost", 403),
        ("http://localhost@evil.example/healthz", "localhost", 403),
        ("http://evil@localhost/healthz", "localhost", 403),
        ("http://localhost", "localhost", 404),
        ("localhost/healthz", "localhost", 400),
        ("localhost:80", "localhost", 400),
        ("*", "localhost", 404),
    ] {
        let answer = gateway.send("GET", target, &[("host", host)], b"").await;
        assert_eq!(answer.status(), status, "{target} {host}");
    }
    let mut connection = gateway.connect().await;
    connection.write(b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(matches!(connection.response().await.status(), 400 | 403), "no host at all");
}

#[tokio::test]
async fn who_says_that_nothing_more_comes_has_left() {
    let (gone, calls) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, called) = (gone.clone(), calls.clone());
    let upstream = Fake::modern().on(CALL, move |_, mut answer| {
        let (gone, called) = (told.clone(), called.clone());
        async move {
            called.notify_one();
            answer.closed().await;
            gone.notify_one();
        }
    });
    let upstream = upstream.start().await;
    let gateway = Gateway::before(&upstream.config());
    let mut connection = gateway.connect().await;
    call(&mut connection, &Modern::new()).await;
    within("the call", calls.notified()).await;
    // What stands before the end does not hide it.
    connection.request("GET", "/healthz", &[], b"").await;
    connection.finish().await;
    within("the end of the call", gone.notified()).await;

    let mut connection = gateway.connect().await;
    connection.request("POST", "/mcp", &JSON, initialize(LEGACY).to_string().as_bytes()).await;
    assert_eq!(connection.response().await.status(), 200);
    connection.request("GET", "/healthz", &[], b"").await;
    connection.finish().await;
    assert_eq!(connection.response().await.status(), 200, "what takes no time is answered all the same");
    assert!(connection.closes().await);
}

#[tokio::test]
async fn who_takes_nothing_of_a_stream_is_left() {
    let gone = Arc::new(Notify::new());
    let told = gone.clone();
    let upstream = Fake::modern().on(CALL, move |seen, mut answer| {
        let gone = told.clone();
        async move {
            let token = seen.rpc["params"]["_meta"]["progressToken"].clone();
            let params = json!({"progressToken": token, "progress": 1, "message": "x".repeat(64 << 10)});
            let event = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
            let event = format!("data: {event}\n\n");
            answer.open_stream().await;
            while answer.write(event.as_bytes()).await.is_ok() {}
            gone.notify_one();
        }
    });
    let upstream = upstream.start().await;
    let limits = json!({"keep_alive_interval": "200ms"});
    let gateway = Gateway::start(&json!({"servers": {"x": upstream.config()}, "limits": limits}));
    let client = Modern::new().with_meta("progressToken", json!(1));
    let _unread = client.stream(&gateway, CALL, json!({"name": "x__echo"})).await;
    within("the end of the call", gone.notified()).await;
}

#[tokio::test]
async fn a_head_behind_a_request_has_no_more_time_than_the_first() {
    let (gateway, _upstream) = gateway_with(json!({"header_read": "300ms"})).await;
    let mut connection = gateway.connect().await;
    let both = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\nGET /healthz HTTP/1.1\r\nhost:";
    connection.write(both.as_bytes()).await.unwrap();
    assert_eq!(connection.response().await.status(), 200);
    assert_eq!(connection.response().await.status(), 408);
}
