//! How streams end: when the client leaves, the gateway stops, or a server is replaced.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{LISTEN, follow, listen, metric, subscribe, updated};
use crate::harness::http::Events;
use crate::harness::teller::{Kind, SUBSCRIPTION_ID};
use crate::harness::{Gateway, Legacy, Modern, Teller, signal, until};

fn filter() -> Value {
    json!({"toolsListChanged": true, "resourceSubscriptions": ["mcp+x+db://a"]})
}

/// The stream ends with the answer to the request that opened it.
async fn ends_politely(events: &mut Events) {
    loop {
        let message = events.message().await.expect("the answer comes before the end");
        if message["id"] == 1 {
            assert_eq!(message["result"]["resultType"], "complete");
            assert_eq!(message["result"]["_meta"][SUBSCRIPTION_ID], 1);
            break;
        }
    }
    assert_eq!(events.next().await, None);
    assert!(events.is_complete());
}

#[tokio::test]
async fn the_gateway_says_goodbye_when_it_stops() {
    let server = Teller::start(Kind::HttpModern).await;
    let mut gateway = Gateway::before(&server.config());
    let (_, mut events) = listen(&Modern::new(), &gateway, filter()).await;
    let session = Legacy::open(&gateway).await;
    let mut old = follow(&session, &gateway).await;
    signal(gateway.pid(), Signal::TERM);
    ends_politely(&mut events).await;
    assert_eq!(old.message().await, None);
    let exit = tokio::task::spawn_blocking(move || gateway.process().wait().unwrap()).await.unwrap();
    assert!(exit.success(), "no stream holds it up: {exit:?}");
}

#[tokio::test]
async fn a_stream_about_a_replaced_server_ends_and_a_session_goes_on() {
    let mut server = Teller::start(Kind::HttpLegacy).await;
    let other = Teller::start(Kind::HttpModern).await;
    let config = |limit: u32| {
        let mut x = server.config();
        x["max_concurrent"] = json!(limit);
        json!({"servers": {"x": x, "y": other.config()}})
    };
    let (before, after) = (config(10), config(11));
    let gateway = Gateway::start(&before);
    let session = Legacy::open(&gateway).await;
    let mut old = follow(&session, &gateway).await;
    subscribe(&session, &gateway, "mcp+x+db://a").await;
    let (_, mut about) = listen(&Modern::new(), &gateway, filter()).await;
    let only_lists = json!({"toolsListChanged": true, "resourceSubscriptions": ["mcp+y+db://a"]});
    let (_, mut elsewhere) = listen(&Modern::new(), &gateway, only_lists).await;
    gateway.rewrite_config(&after);
    signal(gateway.pid(), Signal::HUP);
    ends_politely(&mut about).await;
    assert_eq!(elsewhere.message().await.unwrap()["method"], super::TOOLS, "the others hear of the change");
    until("the new subscription", async || {
        let Teller::Http(http) = &server else { unreachable!() };
        http.upstream.count("resources/subscribe") == 2
    })
    .await;
    server.update("db://a").await;
    loop {
        let message = old.message().await.expect("the session goes on");
        if message["method"] == super::UPDATED {
            assert_eq!(message["params"]["uri"], "mcp+x+db://a");
            break;
        }
    }
}

#[tokio::test]
async fn the_stream_of_a_removed_server_ends() {
    let server = Teller::start(Kind::HttpModern).await;
    let gateway = Gateway::before(&server.config());
    let (_, mut events) = listen(&Modern::at("/mcp/s/x"), &gateway, json!({"toolsListChanged": true})).await;
    gateway.rewrite_config(&json!({"servers": {}}));
    signal(gateway.pid(), Signal::HUP);
    ends_politely(&mut events).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_forgotten() {
    let mut server = Teller::start(Kind::HttpModern).await;
    let config = json!({"servers": {"x": server.config()}, "limits": {"keep_alive_interval": "50ms"}});
    let gateway = Gateway::start(&config);
    let (_, mut stays) = listen(&Modern::new(), &gateway, filter()).await;
    for _ in 0..20 {
        let (_, events) = listen(&Modern::new(), &gateway, filter()).await;
        drop(events);
    }
    until("their streams to be closed", async || metric(&gateway, "portcullis_streams").await == 1).await;
    assert_eq!(metric(&gateway, "portcullis_subscriptions{server_id=\"x\"}").await, 1);
    // The one that stays is given signs of life.
    while stays.next().await.unwrap().comment.as_deref() != Some("keep-alive") {}
    server.update("db://a").await;
    assert_eq!(updated(&mut stays).await, "mcp+x+db://a");
}

#[tokio::test]
async fn refuses_what_is_no_filter_and_clients_that_take_no_streams() {
    let server = Teller::start(Kind::HttpModern).await;
    let gateway = Gateway::before(&server.config());
    let client = Modern::new();
    let many: Vec<_> = (0..513).map(|n| format!("mcp+x+db://{n}")).collect();
    for (params, code) in [
        (json!({}), -32602),
        (json!({"notifications": []}), -32602),
        (json!({"notifications": {"toolsListChanged": "yes"}}), -32602),
        (json!({"notifications": {"resourceSubscriptions": [1]}}), -32602),
        (json!({"notifications": {"resourceSubscriptions": many}}), -32602),
    ] {
        let answer = client.request(&gateway, LISTEN, params.clone()).await;
        assert_eq!(answer.error_code(), code, "{params}");
        assert_eq!(answer.json()["id"], 1);
    }
    let body = client.body(LISTEN, json!({"notifications": {}}));
    let headers = Modern::headers(&body);
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), if name == "accept" { "application/json" } else { value }))
        .collect();
    let answer = gateway.send("POST", "/mcp", &headers, body.to_string().as_bytes()).await;
    assert_eq!(answer.status(), 406);
    let session = Legacy::open(&gateway).await;
    let refused = session.request(&gateway, LISTEN, json!({"notifications": {}})).await;
    assert_eq!((refused.status(), refused.error_code()), (200, -32601));
    let long = format!("mcp+x+db://{}", "x".repeat(5000));
    let refused = session.request(&gateway, "resources/subscribe", json!({"uri": long})).await;
    assert_eq!(refused.error_code(), -32602);
    let refused = session.request(&gateway, "resources/subscribe", json!({})).await;
    assert_eq!(refused.error_code(), -32602);
}
