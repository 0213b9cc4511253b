//! A view is found and read from every endpoint, in every cell, and nobody touches its bytes.

use serde_json::{Value, json};

use super::{VIEW, clock, host, modern};
use crate::harness::client::LEGACY;
use crate::harness::http::Response;
use crate::harness::{Fake, Gateway, Legacy, Upstream};

async fn servers() -> (Upstream, Upstream, Gateway) {
    let (old, new) = (clock(Fake::legacy(), false).await, clock(Fake::modern(), true).await);
    let gateway = Gateway::start(&json!({"servers": {"old": old.config(), "new": new.config()}}));
    (old, new, gateway)
}

fn tool<'a>(list: &'a Value, name: &str) -> &'a Value {
    list["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == name).expect("the tool")
}

/// The content item as the client got it, cut out of the answer.
fn item(response: &Response) -> String {
    let text = response.text();
    let start = text.find(r#""contents":["#).unwrap_or_else(|| panic!("no contents: {text}")) + 12;
    let end = start + text[start..].find(r#""x":1.0}}"#).expect("the end of the item") + 9;
    text[start..end].to_owned()
}

#[tokio::test]
async fn views_are_read_without_a_listing_and_byte_for_byte() {
    for slug in ["old", "new"] {
        // A gateway that nobody has asked for a list yet.
        let (_old, _new, gateway) = servers().await;
        let exposed = format!("ui://{slug}+clock/view.html");
        let own = "ui://clock/view.html".to_owned();
        for (path, uri) in [("/mcp".to_owned(), &exposed), (format!("/mcp/s/{slug}"), &own)] {
            let session = Legacy::open_with(&gateway, &path, LEGACY, host()).await;
            let params = json!({"uri": uri});
            let read = [
                modern(&path).request(&gateway, "resources/read", params.clone()).await,
                session.request(&gateway, "resources/read", params).await,
            ];
            for response in read {
                let expected = VIEW.replace("\"ui://clock/view.html\"", &format!("\"{uri}\""));
                assert_eq!(item(&response), expected);
            }
        }
    }
}

#[tokio::test]
async fn tools_name_their_views_as_they_are_read() {
    let (_old, _new, gateway) = servers().await;
    let session = Legacy::open_with(&gateway, "/mcp", LEGACY, host()).await;
    let lists = [
        modern("/mcp").result(&gateway, "tools/list", json!({})).await,
        session.result(&gateway, "tools/list", json!({})).await,
    ];
    for list in lists {
        for slug in ["old", "new"] {
            let uri = format!("ui://{slug}+clock/view.html");
            let linked = tool(&list, &format!("{slug}__get-time"));
            assert_eq!(linked["_meta"], json!({"ui": {"resourceUri": uri}, "ui/resourceUri": uri}));
            let hidden = tool(&list, &format!("{slug}__tick"));
            assert_eq!(hidden["_meta"], json!({"ui": {"visibility": ["app"]}}));
            let both = tool(&list, &format!("{slug}__wind"));
            assert_eq!(both["_meta"]["ui"], json!({"resourceUri": uri, "visibility": ["model"]}));
        }
    }
    for slug in ["old", "new"] {
        let path = format!("/mcp/s/{slug}");
        let session = Legacy::open_with(&gateway, &path, LEGACY, host()).await;
        let lists = [
            modern(&path).result(&gateway, "tools/list", json!({})).await,
            session.result(&gateway, "tools/list", json!({})).await,
        ];
        for list in lists {
            let uri = "ui://clock/view.html";
            assert_eq!(
                tool(&list, "get-time")["_meta"],
                json!({"ui": {"resourceUri": uri}, "ui/resourceUri": uri})
            );
        }
    }
}

#[tokio::test]
async fn servers_learn_that_the_client_shows_apps_and_may_list_otherwise_then() {
    let declares = |params: &Value| {
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"]["extensions"]["io.modelcontextprotocol/ui"]
            .clone()
    };
    let server = Fake::modern()
        .on("tools/list", move |seen, answer| {
            let name = if declares(&seen.rpc["params"]).is_null() { "as_text" } else { "as_app" };
            answer.result(json!({
                "tools": [{"name": name, "inputSchema": {"type": "object"}}],
                "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public",
            }))
        })
        .start()
        .await;
    let gateway = Gateway::start(&json!({"servers": {"x": server.config()}}));
    let name = |list: &Value| list["tools"][0]["name"].as_str().unwrap().to_owned();
    let legacy_host = Legacy::open_with(&gateway, "/mcp", LEGACY, host()).await;
    let legacy_plain = Legacy::open(&gateway).await;
    let plain = crate::harness::Modern::new();
    for _ in 0..2 {
        assert_eq!(name(&modern("/mcp").result(&gateway, "tools/list", json!({})).await), "x__as_app");
        assert_eq!(name(&plain.result(&gateway, "tools/list", json!({})).await), "x__as_text");
        assert_eq!(name(&legacy_host.result(&gateway, "tools/list", json!({})).await), "x__as_app");
        assert_eq!(name(&legacy_plain.result(&gateway, "tools/list", json!({})).await), "x__as_text");
    }
    legacy_host.call(&gateway, "x__as_app", json!({})).await;
    let called = server.nth("tools/call", 1).await;
    assert_eq!(
        called.rpc["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"],
        host(),
        "the call says it as well"
    );
}

#[tokio::test]
async fn every_endpoint_says_that_it_has_apps() {
    let (_old, _new, gateway) = servers().await;
    let plain = Fake::modern().start().await;
    let without = Gateway::before(&plain.config());
    let ui = |welcome: &Value| welcome["capabilities"]["extensions"]["io.modelcontextprotocol/ui"].clone();
    for path in ["/mcp", "/mcp/s/old", "/mcp/s/new"] {
        let found = modern(path).result(&gateway, "server/discover", json!({})).await;
        assert_eq!(ui(&found), json!({}), "{path}");
        let session = Legacy::open_with(&gateway, path, LEGACY, host()).await;
        assert_eq!(ui(&session.welcome), json!({}), "{path}");
    }
    let found = modern("/mcp").result(&without, "server/discover", json!({})).await;
    assert_eq!(ui(&found), json!(null));
}
