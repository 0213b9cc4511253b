//! Hosts that speak stdio, through `portcullis connect`.

use serde_json::{Value, json};

use super::{ACKNOWLEDGED, LISTEN, TOOLS, UPDATED, metric};
use crate::connect::Bridge;
use crate::harness::teller::{Kind, SUBSCRIPTION_ID};
use crate::harness::{Gateway, Modern, Teller, signal, until};

fn listening(id: &Value, filter: &Value) -> Value {
    let mut body = Modern::new().body(LISTEN, json!({"notifications": filter}));
    body["id"] = id.clone();
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn several_streams_share_the_channel_and_each_ends_alone() {
    let mut server = Teller::start(Kind::HttpModern).await;
    let mut gateway = Gateway::before(&server.config());
    let mut host = Bridge::start(&gateway, "/mcp");
    let (one, two) = (json!("one"), json!(2));
    for (id, uri) in [(&one, "mcp+x+db://1"), (&two, "mcp+x+db://2")] {
        let filter = json!({"resourceSubscriptions": [uri]});
        host.say(&listening(id, &filter));
        let first = host.hear();
        assert_eq!(first["method"], ACKNOWLEDGED, "{first}");
        assert_eq!(first["params"], json!({"notifications": filter, "_meta": {SUBSCRIPTION_ID: id}}));
    }
    for (id, uri) in [(&two, "db://2"), (&one, "db://1")] {
        server.update(uri).await;
        let told = host.hear();
        assert_eq!(told["method"], UPDATED);
        assert_eq!(told["params"]["_meta"][SUBSCRIPTION_ID], *id);
    }
    host.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "one"}}));
    until("the end of one stream", async || metric(&gateway, "portcullis_streams").await == 1).await;
    server.update("db://1").await;
    server.update("db://2").await;
    assert_eq!(host.hear()["params"]["uri"], "mcp+x+db://2");
    // The gateway stops: the result first, then the notification that ends the stream on this transport.
    signal(gateway.pid(), rustix::process::Signal::TERM);
    let end = host.hear();
    assert_eq!((&end["id"], &end["result"]["_meta"][SUBSCRIPTION_ID]), (&two, &two), "{end}");
    let cancelled = host.hear();
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], two);
    host.leave();
    let _ = gateway.process().wait();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_leaves_takes_its_streams_along() {
    let server = Teller::start(Kind::StdioModern).await;
    let gateway = Gateway::before(&server.config());
    let mut host = Bridge::start(&gateway, "/mcp");
    host.say(&listening(&json!(1), &json!({"toolsListChanged": true})));
    assert_eq!(host.hear()["method"], ACKNOWLEDGED);
    host.leave();
    until("the end of the stream", async || metric(&gateway, "portcullis_streams").await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_host_subscribes_in_its_session() {
    let mut server = Teller::start(Kind::HttpModern).await;
    let gateway = Gateway::before(&server.config());
    let mut host = Bridge::start(&gateway, "/mcp/s/x");
    host.say(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "host", "version": "1"},
    }}));
    let welcome = host.hear();
    assert_eq!(welcome["result"]["capabilities"]["resources"]["subscribe"], true);
    host.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    host.say(
        &json!({"jsonrpc": "2.0", "id": 2, "method": "resources/subscribe", "params": {"uri": "db://a"}}),
    );
    assert_eq!(host.hear(), json!({"jsonrpc": "2.0", "id": 2, "result": {}}));
    server.update("db://a/part").await;
    assert_eq!(host.hear(), json!({"jsonrpc": "2.0", "method": UPDATED, "params": {"uri": "db://a/part"}}));
    server.change_tools().await;
    assert_eq!(host.hear(), json!({"jsonrpc": "2.0", "method": TOOLS}));
    host.leave();
    assert_eq!(metric(&gateway, "portcullis_sessions").await, 0);
}
