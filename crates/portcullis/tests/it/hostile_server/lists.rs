//! Lists that do not end, repeat themselves or break the rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::harness::client::text_of;
use crate::harness::fake::tool;
use crate::harness::{Child, Fake, Gateway, Modern, until};

#[tokio::test]
async fn lists_without_end_are_given_up_and_the_others_are_listed() {
    let pages = Arc::new(AtomicUsize::new(0));
    let counter = pages.clone();
    let endless = Fake::modern()
        .on("tools/list", move |_, answer| {
            let page = counter.fetch_add(1, Ordering::SeqCst);
            let result = json!({
                "resultType": "complete", "tools": [tool(&format!("t{page}"))], "nextCursor": format!("c{page}"),
                "ttlMs": 0, "cacheScope": "private",
            });
            answer.result(result)
        })
        .start()
        .await;
    let circle = Fake::legacy()
        .on("tools/list", |_, answer| answer.result(json!({"tools": [tool("t")], "nextCursor": "again"})))
        .start()
        .await;
    let good = Fake::modern().start().await;
    let config =
        json!({"servers": {"endless": endless.config(), "circle": circle.config(), "good": good.config()}});
    let gateway = Gateway::start(&config);
    let listed = Modern::new().result(&gateway, "tools/list", json!({})).await;
    assert_eq!(listed["tools"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["tools"][0]["name"], "good__echo");
    assert_eq!(circle.count("tools/list"), 2);
    let own = Modern::at("/mcp/s/circle").request(&gateway, "tools/list", json!({})).await;
    assert_eq!(own.error_code(), -32603);
    assert!(own.json()["error"]["message"].as_str().unwrap().contains("same cursor twice"));
    until("the endless list to be given up", || async {
        gateway.ready().await["servers"]["endless"]["state"] == "down"
    })
    .await;
    assert!(pages.load(Ordering::SeqCst) <= 1_000);
}

/// A server whose list is another one each time must not fill the gateway with old ones.
#[tokio::test]
async fn few_snapshots_of_large_lists_are_kept() {
    let after = async |description: usize, lists: usize| {
        let asked = AtomicUsize::new(0);
        let changing = Fake::modern().on("tools/list", move |_, answer| {
            let (number, words) = (asked.fetch_add(1, Ordering::SeqCst), "w".repeat(description));
            let tools = ["a", "b"].map(|name| {
                let mut tool = tool(name);
                tool["description"] = json!(format!("{number} {words}"));
                tool
            });
            let hints =
                json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": tools});
            answer.result(hints)
        });
        let upstream = changing.start().await;
        let config = json!({
            "servers": {"x": upstream.config()}, "limits": {"list_page": 1}, "definitions": {"mode": "off"},
        });
        let (gateway, client) = (Gateway::start(&config), Modern::at("/mcp/s/x"));
        let first = client.result(&gateway, "tools/list", json!({})).await;
        for _ in 0..lists {
            client.result(&gateway, "tools/list", json!({})).await;
        }
        let cursor = json!({"cursor": first["nextCursor"]});
        client.request(&gateway, "tools/list", cursor).await.json()
    };
    assert_eq!(after(10, 20).await["result"]["tools"][0]["name"], "b");
    assert_eq!(after(2 << 20, 5).await["result"]["tools"][0]["name"], "b");
    let message = after(2 << 20, 20).await["error"]["message"].to_string();
    assert!(message.contains("expired"), "{message}");
}

#[tokio::test]
async fn a_tool_that_is_listed_twice_is_listed_once() {
    let mut second = tool("echo");
    second["description"] = json!("an impostor");
    let upstream = Fake::modern()
        .tools(vec![tool("echo"), second, tool("other"), json!({"no": "name"}), json!(7)])
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    for path in ["/mcp", "/mcp/s/x"] {
        let listed = Modern::at(path).result(&gateway, "tools/list", json!({})).await;
        let tools = listed["tools"].as_array().unwrap();
        assert_eq!(tools.len(), 2, "{listed}");
        assert_eq!(tools[0]["description"], "does echo");
    }
    gateway.logged("lists the same name twice").await;
}

#[tokio::test]
async fn broken_header_annotations_drop_a_tool_of_http_and_are_stripped_from_one_of_stdio() {
    let broken = json!({"name": "broken", "inputSchema": {"type": "object", "properties": {
        "a": {"type": "number", "x-mcp-header": "A"}, "b": {"type": "string", "description": "kept"},
    }}});
    let upstream = Fake::modern().tools(vec![tool("fine"), broken.clone()]).start().await;
    let child = Child::new(&format!("tools = [{broken}]")).await;
    let config = json!({"servers": {"http": upstream.config(), "stdio": child.config()}});
    let gateway = Gateway::start(&config);
    let listed = Modern::new().result(&gateway, "tools/list", json!({})).await;
    let tools = listed["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["http__fine", "stdio__broken"]);
    let properties = &tools[1]["inputSchema"]["properties"];
    assert_eq!(*properties, json!({"a": {"type": "number"}, "b": {"type": "string", "description": "kept"}}));
    let answer = Modern::new().call(&gateway, "stdio__broken", json!({"a": 1})).await;
    assert_eq!(text_of(&answer), r#"{"a": 1}"#, "called without a mirrored header");
}
