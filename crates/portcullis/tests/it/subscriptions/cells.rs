//! All cells: clients of both eras before servers of both eras, over HTTP and stdio.

use serde_json::json;

use super::{TOOLS, follow, listen, metric, subscribe, updated};
use crate::harness::teller::{Kind, SUBSCRIPTION_ID};
use crate::harness::{Gateway, Legacy, Modern, Teller, until};

/// The endpoint, and how it names a resource of the server.
const ENDPOINTS: [(&str, &str); 2] = [("/mcp", "mcp+x+"), ("/mcp/s/x", "")];

#[tokio::test]
async fn a_modern_client_is_told_what_it_listens_for_and_nothing_else() {
    for kind in Kind::ALL {
        let mut server = Teller::start(kind).await;
        let gateway = Gateway::before(&server.config());
        for (path, prefix) in ENDPOINTS {
            let client = Modern::at(path);
            client.result(&gateway, "tools/list", json!({})).await;
            let filter = json!({
                "toolsListChanged": true,
                "resourceSubscriptions": [format!("{prefix}db://a"), format!("{prefix}db://b/")],
            });
            let (accepted, mut events) = listen(&client, &gateway, filter.clone()).await;
            assert_eq!(accepted, filter, "{kind:?} {path}");
            server.update("db://a").await;
            assert_eq!(updated(&mut events).await, format!("{prefix}db://a"));
            server.update("db://elsewhere").await;
            server.update("db://ab").await;
            server.tell("notifications/prompts/list_changed", json!({})).await;
            server.update("db://b/part?x").await;
            assert_eq!(updated(&mut events).await, format!("{prefix}db://b/part?x"), "{kind:?}");
            server.change_tools().await;
            let changed = events.message().await.unwrap();
            assert_eq!(changed["method"], TOOLS, "{kind:?}: {changed}");
            assert_eq!(changed["params"], json!({"_meta": {SUBSCRIPTION_ID: 1}}));
            drop(events);
            until("the end of the stream", async || metric(&gateway, "portcullis_streams").await == 0).await;
        }
    }
}

#[tokio::test]
async fn a_session_is_told_what_it_subscribed_to_and_nothing_else() {
    for kind in Kind::ALL {
        let mut server = Teller::start(kind).await;
        let gateway = Gateway::before(&server.config());
        for (path, prefix) in ENDPOINTS {
            let session = Legacy::open_at(&gateway, path, "2025-11-25").await;
            let declared = &session.welcome["capabilities"];
            assert_eq!(declared["resources"], json!({"subscribe": true, "listChanged": true}), "{kind:?}");
            session.result(&gateway, "tools/list", json!({})).await;
            let mut events = follow(&session, &gateway).await;
            let (a, b) = (format!("{prefix}db://a"), format!("{prefix}db://b"));
            subscribe(&session, &gateway, &a).await;
            subscribe(&session, &gateway, &b).await;
            server.update("db://a").await;
            assert_eq!(updated(&mut events).await, a, "{kind:?} {path}");
            let gone = session.result(&gateway, "resources/unsubscribe", json!({"uri": a})).await;
            assert_eq!(gone, json!({}));
            server.update("db://a").await;
            server.update("db://elsewhere").await;
            server.update("db://b").await;
            assert_eq!(updated(&mut events).await, b, "{kind:?} {path}");
            server.change_tools().await;
            let changed = events.message().await.unwrap();
            assert_eq!(changed, json!({"jsonrpc": "2.0", "method": TOOLS}), "{kind:?}");
            assert_eq!(session.delete(&gateway).await.status(), 204);
            assert_eq!(events.message().await, None);
        }
        // Nothing outlives its session.
        let series = "portcullis_subscriptions{server_id=\"x\"}";
        assert_eq!(metric(&gateway, series).await, 0, "{kind:?}");
    }
}

#[tokio::test]
async fn one_acknowledgement_speaks_for_many_servers() {
    let mut servers = [Teller::start(Kind::HttpLegacy).await, Teller::start(Kind::HttpModern).await];
    let mute = crate::harness::Fake::modern().start().await;
    let config = json!({"servers": {
        "one": servers[0].config(), "two": servers[1].config(), "mute": mute.config(),
    }});
    let gateway = Gateway::start(&config);
    let uris = ["mcp+one+db://a", "mcp+two+db://a"];
    let filter = json!({
        "promptsListChanged": true,
        "resourceSubscriptions": [uris[0], "mcp+mute+db://a", "mcp+nobody+db://a", "unheard-of:x", uris[1]],
    });
    let (accepted, mut events) = listen(&Modern::new(), &gateway, filter).await;
    assert_eq!(accepted, json!({"promptsListChanged": true, "resourceSubscriptions": uris}));
    for (server, uri) in servers.iter_mut().zip(uris) {
        server.update("db://a").await;
        assert_eq!(updated(&mut events).await, uri);
    }
    // On its own endpoint a server without resources cannot be subscribed to at all.
    let alone = Modern::at("/mcp/s/mute");
    let hello = alone.result(&gateway, "server/discover", json!({})).await;
    assert_eq!(hello["capabilities"], json!({"tools": {"listChanged": true}}));
    let filter = json!({"resourcesListChanged": true, "resourceSubscriptions": ["db://a"]});
    let (accepted, mut events) = listen(&alone, &gateway, filter).await;
    assert_eq!(accepted, json!({}));
    // There is nothing to wait for: the stream ends in order.
    let end = events.message().await.unwrap();
    assert_eq!((&end["id"], &end["result"]["resultType"]), (&json!(1), &json!("complete")));
    assert_eq!(end["result"]["_meta"][SUBSCRIPTION_ID], 1);
    assert_eq!(events.next().await, None);
    let old = Legacy::open_at(&gateway, "/mcp/s/mute", "2025-06-18").await;
    let refused = old.request(&gateway, "resources/subscribe", json!({"uri": "db://a"})).await;
    assert_eq!((refused.status(), refused.error_code()), (200, -32601));
    let all = Legacy::open(&gateway).await;
    let refused = all.request(&gateway, "resources/subscribe", json!({"uri": "mcp+mute+db://a"})).await;
    assert_eq!((refused.status(), refused.error_code()), (200, -32602));
}

#[tokio::test]
async fn the_id_of_a_stream_keeps_its_type() {
    let mut server = Teller::start(Kind::HttpModern).await;
    let gateway = Gateway::before(&server.config());
    let client = Modern::new();
    for id in [json!("7"), json!(7)] {
        let mut body =
            client.body(super::LISTEN, json!({"notifications": {"resourceSubscriptions": ["mcp+x+db://a"]}}));
        body["id"] = id.clone();
        let mut connection = gateway.connect().await;
        client.write(&mut connection, &body, &[]).await;
        let head = connection.head().await.unwrap();
        let mut events = connection.into_events(&head);
        let acknowledged = events.message().await.unwrap();
        assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION_ID], id);
        server.update("db://a").await;
        assert_eq!(events.message().await.unwrap()["params"]["_meta"][SUBSCRIPTION_ID], id);
    }
}
