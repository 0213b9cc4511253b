//! Views call tools by the names that they were written with.

use serde_json::{Value, json};

use super::{app_tool, clock, modern};
use crate::harness::client::LEGACY;
use crate::harness::{Fake, Gateway, Legacy};

async fn code(gateway: &Gateway, name: &str) -> i64 {
    let client = modern("/mcp");
    client.request(gateway, "tools/call", json!({"name": name, "arguments": {}})).await.error_code()
}

#[tokio::test]
async fn a_view_calls_tools_by_their_own_names_when_those_are_unique() {
    let clock = clock(Fake::legacy(), false).await;
    let other = Fake::modern()
        .tools(vec![
            json!({"name": "get-time", "inputSchema": {"type": "object"}}),
            json!({"name": "plain", "inputSchema": {"type": "object"}}),
        ])
        .start()
        .await;
    let gateway = Gateway::start(&json!({"servers": {"clock": clock.config(), "a-other": other.config()}}));
    // A host shows a view after it has seen the tools.
    modern("/mcp").result(&gateway, "tools/list", json!({})).await;
    let session = Legacy::open_with(&gateway, "/mcp", LEGACY, super::host()).await;
    session.result(&gateway, "tools/list", json!({})).await;
    let arguments = json!({"zone": "UTC"});
    for name in ["get-time", "tick"] {
        let results: [Value; 2] = [
            modern("/mcp").call(&gateway, name, arguments.clone()).await,
            session.call(&gateway, name, arguments.clone()).await,
        ];
        for result in results {
            assert_eq!(result["content"][0]["text"], arguments.to_string());
        }
        let called = clock.seen().into_iter().rev().find(|seen| seen.method() == "tools/call").unwrap();
        assert_eq!(called.rpc["params"]["name"], name);
    }
    assert_eq!(clock.count("tools/call"), 4);
    // Not for views, not of an app, and nobody's.
    for name in ["wind", "plain", "nobody", "clock__nobody"] {
        assert_eq!(code(&gateway, name).await, -32602, "{name}");
    }
    assert_eq!(clock.count("tools/call") + other.count("tools/call"), 4);
}

#[tokio::test]
async fn a_name_that_two_apps_have_is_nobodys() {
    let one =
        Fake::modern().tools(vec![app_tool("refresh", &json!({"resourceUri": "ui://v"}))]).start().await;
    let two =
        Fake::legacy().tools(vec![app_tool("refresh", &json!({"resourceUri": "ui://v"}))]).start().await;
    let gateway = Gateway::start(&json!({"servers": {"one": one.config(), "two": two.config()}}));
    modern("/mcp").result(&gateway, "tools/list", json!({})).await;
    assert_eq!(code(&gateway, "refresh").await, -32602);
    assert_eq!(one.count("tools/call") + two.count("tools/call"), 0);
    modern("/mcp").call(&gateway, "two__refresh", json!({})).await;
    assert_eq!(two.count("tools/call"), 1);
    // The same for what they load.
    let read = modern("/mcp").request(&gateway, "resources/read", json!({"uri": "ui://v"})).await;
    assert_eq!((read.error_code(), one.count("resources/read") + two.count("resources/read")), (-32602, 0));
}

#[tokio::test]
async fn a_view_loads_another_by_its_own_uri() {
    let clock = clock(Fake::modern(), true).await;
    let plain = Fake::modern().start().await;
    let gateway = Gateway::start(&json!({"servers": {"a": plain.config(), "clock": clock.config()}}));
    modern("/mcp").result(&gateway, "tools/list", json!({})).await;
    let read =
        modern("/mcp").result(&gateway, "resources/read", json!({"uri": "ui://clock/view.html"})).await;
    assert_eq!(read["contents"][0]["uri"], "ui://clock+clock/view.html");
    assert_eq!(clock.count("resources/read"), 1);
}
