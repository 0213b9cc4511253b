//! Servers that flood, invent, confuse or keep silent, and clients that do not read.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{ACKNOWLEDGED, LISTEN, follow, listen, metric, subscribe, updated};
use crate::harness::teller::{Kind, SUBSCRIPTION_ID};
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, Teller, until};

fn update(uri: &str, id: &Value) -> Value {
    let params = json!({"uri": uri, "_meta": {SUBSCRIPTION_ID: id}});
    json!({"jsonrpc": "2.0", "method": super::UPDATED, "params": params})
}

fn acknowledge(filter: &Value, id: &Value) -> Value {
    let params = json!({"notifications": filter, "_meta": {SUBSCRIPTION_ID: id}});
    json!({"jsonrpc": "2.0", "method": ACKNOWLEDGED, "params": params})
}

fn subscribable() -> Fake {
    let mut fake = Fake::modern();
    fake.capabilities["resources"] = json!({"subscribe": true});
    fake
}

#[tokio::test]
async fn a_flood_of_updates_costs_nothing_that_grows() {
    let flood = subscribable().on(LISTEN, |seen, mut answer| async move {
        answer.open_stream().await;
        let id = answer.id.clone();
        answer.event(&acknowledge(&seen.rpc["params"]["notifications"], &id)).await;
        let mut n = 0u64;
        loop {
            // The subscribed one, ever new parts of it, what nobody asked for, and lists.
            let mut text = String::new();
            for _ in 0..200 {
                n += 1;
                let part = format!("db://a/{n}/{}", "x".repeat(1000));
                for message in [
                    update("db://a", &id),
                    update(&part, &id),
                    update(&format!("other://{n}"), &id),
                    json!({"jsonrpc": "2.0", "method": super::TOOLS, "params": {"_meta": {SUBSCRIPTION_ID: id}}}),
                ] {
                    let _ = write!(text, "data: {message}\n\n");
                }
            }
            if answer.write(text.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let (flood, mut calm) = (flood.start().await, Teller::start(Kind::HttpModern).await);
    let config = json!({"servers": {"flood": flood.config(), "calm": calm.config()}});
    let gateway = Gateway::start(&config);
    let client = Modern::new();
    // One client that never reads, one that reads, and one that has nothing to do with that server.
    let both = json!({"toolsListChanged": true, "resourceSubscriptions": ["mcp+flood+db://a"]});
    let (_, _deaf) = listen(&client, &gateway, both.clone()).await;
    let (_, mut reading) = listen(&client, &gateway, both).await;
    let session = Legacy::open_at(&gateway, "/mcp/s/calm", "2025-11-25").await;
    let mut old = follow(&session, &gateway).await;
    subscribe(&session, &gateway, "db://b").await;
    for _ in 0..300 {
        let told = reading.message().await.unwrap();
        let uri = told["params"]["uri"].as_str().unwrap_or_default();
        assert!(uri.is_empty() || uri.starts_with("mcp+flood+db://a"), "{uri}");
    }
    calm.update("db://b").await;
    assert_eq!(updated(&mut old).await, "db://b");
    client.call(&gateway, "calm__echo", json!({})).await;
    let memory = gateway.memory();
    assert!(memory.peak < 300 << 20, "{memory:?}");
}

#[tokio::test]
async fn what_was_not_asked_for_or_names_another_stream_is_dropped() {
    let server = subscribable().on(LISTEN, |seen, mut answer| async move {
        answer.open_stream().await;
        let id = answer.id.clone();
        let filter = seen.rpc["params"]["notifications"].clone();
        // Before the acknowledgement nothing counts.
        answer.event(&update("db://a", &id)).await;
        let more = json!({"promptsListChanged": true, "resourceSubscriptions": ["db://a", "db://secret", 7]});
        answer.event(&acknowledge(&more, &json!("foreign"))).await;
        answer.event(&acknowledge(&filter, &id)).await;
        for message in [
            update("db://a/1", &json!(id.as_u64().unwrap() + 1)),
            update("db://a/2", &json!(id.to_string())),
            update("db://secret", &id),
            json!({"jsonrpc": "2.0", "id": 5, "method": "roots/list"}),
            json!({"jsonrpc": "2.0", "id": 99, "result": {"resultType": "complete"}}),
            json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}),
            json!([1, 2, 3]),
            update("db://a/last", &id),
        ] {
            answer.event(&message).await;
        }
        answer.closed().await;
    });
    let server = server.start().await;
    let gateway = Gateway::before(&server.config());
    let (accepted, mut events) =
        listen(&Modern::new(), &gateway, json!({"resourceSubscriptions": ["mcp+x+db://a"]})).await;
    assert_eq!(accepted, json!({"resourceSubscriptions": ["mcp+x+db://a"]}));
    assert_eq!(updated(&mut events).await, "mcp+x+db://a/last");
}

#[tokio::test]
async fn a_server_that_accepts_less_or_never_answers_holds_up_nobody() {
    let less = subscribable().on(LISTEN, |_, mut answer| async move {
        answer.open_stream().await;
        let id = answer.id.clone();
        answer.event(&acknowledge(&json!({"resourceSubscriptions": ["db://a"]}), &id)).await;
        answer.closed().await;
    });
    let silent = subscribable().on(LISTEN, |_, mut answer| async move {
        answer.open_stream().await;
        answer.closed().await;
    });
    let refusing = subscribable();
    let mut legacy = Fake::legacy();
    legacy.capabilities["resources"] = json!({"subscribe": true});
    let [less, silent, refusing, no_stream] =
        [less.start().await, silent.start().await, refusing.start().await, legacy.start().await];
    let config = json!({"servers": {
        "less": less.config(), "silent": silent.config(), "refusing": refusing.config(), "old": no_stream.config(),
    }});
    let gateway = Gateway::start(&config);
    let filter = json!({"toolsListChanged": true, "resourceSubscriptions": [
        "mcp+less+db://a", "mcp+less+db://b", "mcp+silent+db://a", "mcp+refusing+db://a", "mcp+old+db://a",
    ]});
    let (accepted, _events) = listen(&Modern::new(), &gateway, filter).await;
    assert_eq!(accepted, json!({"toolsListChanged": true, "resourceSubscriptions": ["mcp+less+db://a"]}));
    let session = Legacy::open(&gateway).await;
    for uri in ["mcp+less+db://b", "mcp+refusing+db://a", "mcp+old+db://a"] {
        let refused = session.request(&gateway, "resources/subscribe", json!({"uri": uri})).await;
        assert_eq!(refused.error_code(), -32602, "{uri}");
    }
    subscribe(&session, &gateway, "mcp+less+db://a").await;
    assert_eq!(metric(&gateway, "portcullis_subscriptions{server_id=\"silent\"}").await, 0);
}

#[tokio::test]
async fn a_child_that_names_foreign_streams_reaches_nobody() {
    let script = r#"
ID = "io.modelcontextprotocol/subscriptionId"
capabilities["resources"] = {"subscribe": True}
hints = {"resultType": "complete", "ttlMs": 60000, "cacheScope": "public"}
handlers["server/discover"] = lambda r: answer(r, dict(hints, supportedVersions=["2026-07-28"], capabilities=capabilities))
handlers["tools/list"] = lambda r: answer(r, dict(hints, tools=tools))

def updated(uri, **meta):
    send({"method": "notifications/resources/updated", "params": {"uri": uri, "_meta": meta}})

def listen(request):
    id, filter = request["id"], request["params"]["notifications"]
    params = {"_meta": {ID: id}, "notifications": filter}
    send({"method": "notifications/subscriptions/acknowledged", "params": params})
    for wrong in [id + 1, str(id), None, {}, -1]:
        updated("db://a/wrong", **{ID: wrong})
    updated("db://a/unnamed")
    updated("db://a/right", **{ID: id})
handlers["subscriptions/listen"] = listen
"#;
    let child = Child::new(script).await;
    let mut config = child.config();
    config["era"] = json!("modern");
    let gateway = Gateway::before(&config);
    let (_, mut events) =
        listen(&Modern::new(), &gateway, json!({"resourceSubscriptions": ["mcp+x+db://a"]})).await;
    assert_eq!(updated(&mut events).await, "mcp+x+db://a/right");
}

#[tokio::test]
async fn a_watched_child_is_started_again_and_told_what_is_wanted() {
    let script = r#"
capabilities["resources"] = {"subscribe": True}
handlers["resources/subscribe"] = lambda r: answer(r, {})
def call(request):
    os._exit(1)
handlers["tools/call"] = call
"#;
    let (child, other) = (Child::new(script).await, Child::new(script).await);
    let config = |child: &Child| {
        let mut config = child.config();
        config["idle_stop"] = json!("100ms");
        config
    };
    let gateway = Gateway::start(&json!({"servers": {"x": config(&child), "y": config(&other)}}));
    let session = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
    let mut first = child.started().await;
    subscribe(&session, &gateway, "db://a").await;
    assert_eq!(first.message("resources/subscribe").await["params"]["uri"], "db://a");
    let mut events = follow(&session, &gateway).await;
    // Another child is used later than this one and stopped for being idle; this one lives.
    let _later = Legacy::open_at(&gateway, "/mcp/s/y", "2025-11-25").await;
    other.started().await.exited().await;
    session.request(&gateway, "tools/call", json!({"name": "echo"})).await;
    assert_eq!(first.message("tools/call").await["params"]["name"], "echo", "it lives");
    first.exited().await;
    let mut second = child.started().await;
    assert_eq!(second.message("resources/subscribe").await["params"]["uri"], "db://a");
    assert_eq!(updated(&mut events).await, "db://a", "what happened meanwhile is not known");
    // Nobody watches: nobody needs it.
    assert_eq!(session.delete(&gateway).await.status(), 204);
    second.exited().await;
    until("the end of all subscriptions", async || {
        metric(&gateway, "portcullis_subscriptions{server_id=\"x\"}").await == 0
    })
    .await;
}
