//! Servers that tell of a change only in the session whose call caused it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::{UPDATED, follow, listen, subscribe, updated};
use crate::harness::fake::text;
use crate::harness::upstream::Seen;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream, until};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

fn session_of(seen: &Seen) -> String {
    seen.header("mcp-session-id").unwrap_or_default().to_owned()
}

/// A legacy server with sessions. A call of its tool changes `arguments.uri`, and the session of that call is told, if it is
/// subscribed.
async fn start() -> Upstream {
    let (bell, _) = broadcast::channel::<(String, Value)>(64);
    let sessions = Arc::new(AtomicUsize::new(0));
    let subscribed = Arc::<Mutex<HashSet<(String, String)>>>::default();
    let capabilities = json!({"tools": {}, "resources": {"subscribe": true}});
    let mut fake = Fake::legacy();
    fake.capabilities = capabilities.clone();
    let key = |seen: &Seen| (session_of(seen), seen.rpc["params"]["uri"].as_str().unwrap().to_owned());
    let (rings, here, gone, listed) =
        (bell.clone(), subscribed.clone(), subscribed.clone(), subscribed.clone());
    fake.on("initialize", move |_, answer| {
        let session = format!("session-{}", sessions.fetch_add(1, Ordering::Relaxed));
        let result = json!({
            "protocolVersion": "2025-11-25", "capabilities": capabilities,
            "serverInfo": {"name": "own", "version": "1"},
        });
        let message = json!({"jsonrpc": "2.0", "id": answer.id, "result": result}).to_string();
        async move {
            let headers = [("content-type", "application/json"), ("mcp-session-id", session.as_str())];
            answer.send(200, &headers, message.as_bytes()).await;
        }
    })
    .on("GET", move |seen, mut answer| {
        let (mut bell, session) = (bell.subscribe(), session_of(&seen));
        async move {
            answer.open_stream().await;
            loop {
                let (of, message) = tokio::select! {
                    rung = bell.recv() => rung.unwrap(),
                    () = answer.closed() => return,
                };
                if of == session {
                    answer.event(&message).await;
                }
            }
        }
    })
    .on("resources/subscribe", move |seen, answer| {
        here.lock().unwrap().insert(key(&seen));
        answer.result(json!({}))
    })
    .on("resources/unsubscribe", move |seen, answer| {
        gone.lock().unwrap().remove(&key(&seen));
        answer.result(json!({}))
    })
    .on("tools/call", move |seen, answer| {
        let uri = seen.rpc["params"]["arguments"]["uri"].as_str().unwrap().to_owned();
        let session = session_of(&seen);
        if listed.lock().unwrap().contains(&(session.clone(), uri.clone())) {
            let message = json!({"jsonrpc": "2.0", "method": UPDATED, "params": {"uri": uri}});
            let _ = rings.send((session, message));
        }
        answer.result(text("changed"))
    })
    .start()
    .await
}

fn asked() -> Value {
    json!({"elicitation": {"form": {}}})
}

#[tokio::test]
async fn clients_that_can_be_asked_hear_of_what_their_own_calls_change() {
    let server = start().await;
    let gateway = Gateway::before(&server.config());
    let client = Modern::at("/mcp/s/x").with_meta(CAPABILITIES, asked());
    let filter = json!({"resourceSubscriptions": ["db://a"]});
    // Before there is any conversation for its calls, and when there is one.
    for round in 0..2 {
        let (accepted, mut events) = listen(&client, &gateway, filter.clone()).await;
        assert_eq!(accepted, filter);
        client.call(&gateway, "echo", json!({"uri": "db://a"})).await;
        assert_eq!(updated(&mut events).await, "db://a", "round {round}");
    }
    let session = Legacy::open_with(&gateway, "/mcp/s/x", "2025-11-25", asked()).await;
    let mut events = follow(&session, &gateway).await;
    subscribe(&session, &gateway, "db://b").await;
    session.call(&gateway, "echo", json!({"uri": "db://b"})).await;
    assert_eq!(updated(&mut events).await, "db://b");
    // The feed's own subscription lingers, that of these calls' conversation does not.
    session.result(&gateway, "resources/unsubscribe", json!({"uri": "db://b"})).await;
    until("one to be unsubscribed", async || {
        let seen = server.seen();
        let gone = seen.iter().filter(|seen| seen.method() == "resources/unsubscribe");
        gone.filter(|seen| seen.rpc["params"]["uri"] == "db://b").count() == 1
    })
    .await;
}

#[tokio::test]
async fn clients_with_sessions_of_their_own_hear_nothing_of_each_other() {
    let server = start().await;
    let mut config = server.config();
    config["sharing"] = json!("session");
    let gateway = Gateway::before(&config);
    let ann = Legacy::open_with(&gateway, "/mcp/s/x", "2025-11-25", asked()).await;
    let bob = Legacy::open_with(&gateway, "/mcp/s/x", "2025-11-25", asked()).await;
    let (mut of_ann, mut of_bob) = (follow(&ann, &gateway).await, follow(&bob, &gateway).await);
    for session in [&ann, &bob] {
        subscribe(session, &gateway, "db://a").await;
        subscribe(session, &gateway, "db://b").await;
    }
    ann.call(&gateway, "echo", json!({"uri": "db://a"})).await;
    assert_eq!(updated(&mut of_ann).await, "db://a");
    bob.call(&gateway, "echo", json!({"uri": "db://b"})).await;
    assert_eq!(updated(&mut of_bob).await, "db://b", "not what Ann has changed");
}
