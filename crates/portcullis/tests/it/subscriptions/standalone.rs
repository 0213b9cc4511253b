//! The standalone stream of a session: what waits for it, and what can be read again.

use serde_json::json;

use super::{TOOLS, follow, subscribe, updated};
use crate::harness::teller::Kind;
use crate::harness::{Gateway, Legacy, Teller};

#[tokio::test]
async fn what_happens_while_no_stream_is_open_waits_and_is_told_once() {
    let mut server = Teller::start(Kind::StdioLegacy).await;
    let gateway = Gateway::before(&server.config());
    let session = Legacy::open(&gateway).await;
    subscribe(&session, &gateway, "mcp+x+db://a").await;
    subscribe(&session, &gateway, "mcp+x+db://end").await;
    for _ in 0..1000 {
        server.update("db://a").await;
        server.change_tools().await;
    }
    server.update("db://end").await;
    let mut events = follow(&session, &gateway).await;
    let mut told = Vec::new();
    loop {
        let message = events.message().await.unwrap();
        told.push(message["params"]["uri"].as_str().unwrap_or("tools").to_owned());
        if told.contains(&"mcp+x+db://end".to_owned()) && told.contains(&"tools".to_owned()) {
            break;
        }
    }
    // Some of it may still be on its way when the stream opens, but by far not a thousand.
    assert!(told.len() < 20, "{told:?}");
}

#[tokio::test]
async fn a_lost_stream_is_read_on_from_the_last_event() {
    let mut server = Teller::start(Kind::HttpLegacy).await;
    let gateway = Gateway::before(&server.config());
    let (session, other) = (Legacy::open(&gateway).await, Legacy::open(&gateway).await);
    let mut events = follow(&session, &gateway).await;
    let mut ids = Vec::new();
    for uri in ["db://1", "db://2", "db://3"] {
        subscribe(&session, &gateway, &format!("mcp+x+{uri}")).await;
        server.update(uri).await;
        let event = loop {
            let event = events.next().await.unwrap();
            if event.data.is_some() {
                break event;
            }
        };
        assert_eq!(event.json()["params"]["uri"], format!("mcp+x+{uri}"));
        ids.push(event.id.unwrap());
    }
    drop(events);
    let mut again = session.listen(&gateway, Some(&ids[0])).await;
    assert_eq!(updated(&mut again).await, "mcp+x+db://2");
    assert_eq!(updated(&mut again).await, "mcp+x+db://3");
    server.change_tools().await;
    assert_eq!(again.message().await.unwrap()["method"], TOOLS);
    // Who comes without an id hears only what is new.
    let mut fresh = follow(&session, &gateway).await;
    assert_eq!(again.message().await, None, "one stream at a time");
    server.update("db://1").await;
    assert_eq!(updated(&mut fresh).await, "mcp+x+db://1");
    // To another session the event does not exist.
    let mut headers = other.headers();
    headers.push(("last-event-id", &ids[0]));
    let refused = gateway.send("GET", "/mcp", &headers, b"").await;
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn sessions_hear_nothing_of_each_other() {
    let mut server = Teller::start(Kind::HttpLegacy).await;
    let gateway = Gateway::before(&server.config());
    let (ann, bob) = (Legacy::open(&gateway).await, Legacy::open(&gateway).await);
    let mut of_ann = follow(&ann, &gateway).await;
    let mut of_bob = follow(&bob, &gateway).await;
    subscribe(&ann, &gateway, "mcp+x+db://ann").await;
    subscribe(&bob, &gateway, "mcp+x+db://bob").await;
    server.update("db://ann").await;
    server.update("db://bob").await;
    assert_eq!(updated(&mut of_ann).await, "mcp+x+db://ann");
    assert_eq!(updated(&mut of_bob).await, "mcp+x+db://bob");
    server.change_tools().await;
    for events in [&mut of_ann, &mut of_bob] {
        assert_eq!(events.message().await.unwrap(), json!({"jsonrpc": "2.0", "method": TOOLS}));
    }
    assert_eq!(ann.delete(&gateway).await.status(), 204);
    assert_eq!(of_ann.message().await, None);
    let gone = gateway.send("GET", "/mcp", &ann.headers(), b"").await;
    assert_eq!(gone.status(), 404);
}
