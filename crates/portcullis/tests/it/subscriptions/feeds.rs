//! What servers see: one feed, however many clients there are, with what they want together.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Notify;

use super::{LISTEN, follow, listen, metric, subscribe, updated};
use crate::harness::fake::tool;
use crate::harness::teller::Kind;
use crate::harness::{Fake, Gateway, Legacy, Modern, Teller, until};

fn http(server: &Teller) -> &crate::harness::teller::Http {
    match server {
        Teller::Http(http) => http,
        Teller::Child { .. } => panic!("a child is not behind a URL"),
    }
}

#[tokio::test]
async fn a_modern_server_has_one_stream_that_grows_with_what_is_wanted() {
    let mut server = Teller::start(Kind::HttpModern).await;
    let gateway = Gateway::before(&server.config());
    Modern::new().result(&gateway, "tools/list", json!({})).await;
    http(&server).upstream.nth(LISTEN, 1).await;
    let all = json!({"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true});
    assert_eq!(http(&server).filters(), std::slice::from_ref(&all), "lists that are kept are followed");
    let one = json!({"resourceSubscriptions": ["mcp+x+db://a"]});
    let two = json!({"resourceSubscriptions": ["mcp+x+db://a", "mcp+x+db://b"]});
    let (_, mut first) = listen(&Modern::new(), &gateway, one.clone()).await;
    let (_, mut again) = listen(&Modern::new(), &gateway, one).await;
    assert_eq!(http(&server).filters().len(), 2, "nobody has to ask twice for the same");
    let session = Legacy::open(&gateway).await;
    let mut old = follow(&session, &gateway).await;
    let (_, mut more) = listen(&Modern::new(), &gateway, two).await;
    subscribe(&session, &gateway, "mcp+x+db://b").await;
    let filters = http(&server).filters();
    let mut last = filters.last().unwrap().clone();
    let mut uris: Vec<_> = last["resourceSubscriptions"].as_array().unwrap().clone();
    uris.sort_by_key(ToString::to_string);
    assert_eq!(uris, ["db://a", "db://b"]);
    last.as_object_mut().unwrap().remove("resourceSubscriptions");
    assert_eq!((filters.len(), last), (3, all), "the enlarged filter has all of the old one");
    until("the older streams to be closed", async || http(&server).open() == 1).await;
    server.update("db://b").await;
    assert_eq!(updated(&mut old).await, "mcp+x+db://b");
    assert_eq!(updated(&mut more).await, "mcp+x+db://b");
    server.update("db://a").await;
    for events in [&mut first, &mut again, &mut more] {
        assert_eq!(updated(events).await, "mcp+x+db://a");
    }
    assert_eq!(metric(&gateway, "portcullis_subscriptions{server_id=\"x\"}").await, 5);
    assert_eq!(metric(&gateway, "portcullis_feeds{server_id=\"x\"}").await, 1);
    assert_eq!(metric(&gateway, "portcullis_streams").await, 4);
}

#[tokio::test]
async fn a_legacy_server_is_subscribed_once_for_all() {
    let mut server = Teller::start(Kind::HttpLegacy).await;
    let gateway = Gateway::before(&server.config());
    let (ann, bob) = (Legacy::open(&gateway).await, Legacy::open(&gateway).await);
    let mut streams = [follow(&ann, &gateway).await, follow(&bob, &gateway).await];
    for session in [&ann, &bob] {
        subscribe(session, &gateway, "mcp+x+db://a").await;
    }
    let filter = json!({"resourceSubscriptions": ["mcp+x+db://a"]});
    let (_, mut modern) = listen(&Modern::new(), &gateway, filter).await;
    assert_eq!(http(&server).upstream.count("resources/subscribe"), 1);
    assert_eq!(http(&server).subscribed(), ["db://a"]);
    assert_eq!(http(&server).open(), 1);
    server.update("db://a").await;
    for events in streams.iter_mut().chain([&mut modern]) {
        assert_eq!(updated(events).await, "mcp+x+db://a");
    }
    // Unsubscribing is lazy: the server hears of it later, the client at once.
    assert_eq!(ann.delete(&gateway).await.status(), 204);
    bob.result(&gateway, "resources/unsubscribe", json!({"uri": "mcp+x+db://a"})).await;
    drop(modern);
    assert_eq!(http(&server).upstream.count("resources/unsubscribe"), 0);
}

/// A modern server whose list grows, and whose streams break off when told.
fn breaking(
    cut: &Arc<Notify>,
    tools: impl Fn(usize) -> Vec<serde_json::Value> + Send + Sync + 'static,
) -> Fake {
    let cut = cut.clone();
    let lists = std::sync::atomic::AtomicUsize::new(0);
    let mut fake = Fake::modern();
    fake.capabilities["resources"] = json!({"subscribe": true});
    fake.on(LISTEN, move |seen, mut answer| {
        let cut = cut.clone();
        async move {
            answer.open_stream().await;
            let params = json!({
                "_meta": {"io.modelcontextprotocol/subscriptionId": answer.id},
                "notifications": seen.rpc["params"]["notifications"],
            });
            let message = json!({"jsonrpc": "2.0", "method": super::ACKNOWLEDGED, "params": params});
            answer.event(&message).await;
            tokio::select! { () = cut.notified() => {}, () = answer.closed() => {} }
        }
    })
    .on("tools/list", move |_, answer| {
        let count = lists.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let hints = json!({"resultType": "complete", "ttlMs": 60_000, "cacheScope": "public"});
        let mut result = hints;
        result["tools"] = json!(tools(count));
        answer.result(result)
    })
}

#[tokio::test]
async fn after_a_break_what_was_missed_is_told_and_everything_is_subscribed_again() {
    let cut = Arc::new(Notify::new());
    let server = breaking(&cut, |nth| vec![tool(if nth < 2 { "before" } else { "after" })]).start().await;
    let gateway = Gateway::before(&server.config());
    let client = Modern::new();
    client.result(&gateway, "tools/list", json!({})).await;
    // The first list may be older than the stream; it is asked for once more.
    server.nth(LISTEN, 1).await;
    until("a list that is surely newer than the stream", async || {
        client.result(&gateway, "tools/list", json!({})).await;
        server.count("tools/list") == 2
    })
    .await;
    let filter = json!({"toolsListChanged": true, "resourceSubscriptions": ["mcp+x+db://a"]});
    let (accepted, mut events) = listen(&client, &gateway, filter.clone()).await;
    assert_eq!(accepted, filter);
    server.nth(LISTEN, 2).await;
    until("one stream to be left", async || metric(&gateway, "portcullis_feeds{server_id=\"x\"}").await == 1)
        .await;
    cut.notify_waiters();
    let again = server.nth(LISTEN, 3).await;
    assert_eq!(again.rpc["params"]["notifications"]["resourceSubscriptions"], json!(["db://a"]));
    let mut told = [events.message().await.unwrap(), events.message().await.unwrap()];
    told.sort_by_key(|message| message["method"].to_string());
    assert_eq!(told[0]["params"]["uri"], "mcp+x+db://a");
    assert_eq!(told[1]["method"], super::TOOLS);
    let listed = client.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(listed["tools"][0]["name"], "x__after");
}

#[tokio::test]
async fn a_break_that_changed_nothing_is_not_told() {
    let cut = Arc::new(Notify::new());
    let server = breaking(&cut, |_| vec![tool("same")]).start().await;
    let gateway = Gateway::before(&server.config());
    let client = Modern::new();
    client.result(&gateway, "tools/list", json!({})).await;
    let (_, mut tools) = listen(&client, &gateway, json!({"toolsListChanged": true})).await;
    server.nth(LISTEN, 1).await;
    let before = server.count("tools/list");
    cut.notify_waiters();
    server.nth(LISTEN, 2).await;
    until("the list to be compared", async || server.count("tools/list") > before).await;
    // Something else that is told afterwards comes first.
    gateway.rewrite_config(&json!({"servers": {}}));
    crate::harness::signal(gateway.pid(), rustix::process::Signal::HUP);
    assert_eq!(tools.message().await.unwrap()["method"], super::TOOLS);
    assert_eq!(client.result(&gateway, "tools/list", json!({})).await["tools"], json!([]));
}

#[tokio::test]
async fn changes_of_a_modern_server_are_seen_before_their_time_is_over() {
    let mut server = Teller::start(Kind::HttpModern).await;
    let gateway = Gateway::before(&server.config());
    let client = Modern::new();
    client.result(&gateway, "tools/list", json!({})).await;
    until("the feed", async || metric(&gateway, "portcullis_feeds{server_id=\"x\"}").await == 1).await;
    client.result(&gateway, "tools/list", json!({})).await;
    let before = http(&server).upstream.count("tools/list");
    client.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(http(&server).upstream.count("tools/list"), before, "it is kept");
    server.change_tools().await;
    until("another list", async || {
        client.result(&gateway, "tools/list", json!({})).await;
        http(&server).upstream.count("tools/list") > before
    })
    .await;
}
