//! What an operator takes away from views, wherever a server asks for it.

use serde_json::{Value, json};

use super::modern;
use crate::harness::client::LEGACY;
use crate::harness::{Fake, Gateway, Legacy, Upstream};

fn asks() -> Value {
    json!({
        "csp": {
            "connectDomains": ["https://api.good.example", "https://evil.example", "https://good.example; x"],
            "resourceDomains": ["https://cdn.example"],
        },
        "permissions": {"camera": {}, "microphone": {}},
    })
}

/// A view that asks for much in every place.
async fn greedy(fake: Fake) -> Upstream {
    let embedded = json!({"uri": "ui://v", "text": "<p>", "_meta": {"ui": asks()}});
    let (in_tool, in_prompt) = (embedded.clone(), embedded.clone());
    fake.list("resources", vec![json!({"uri": "ui://v", "name": "v", "_meta": {"ui": asks()}})])
        .list("prompts", vec![json!({"name": "ask"})])
        .on("resources/read", move |_, answer| {
            let contents = json!([embedded]);
            answer.result(
                json!({"resultType": "complete", "contents": contents, "ttlMs": 0, "cacheScope": "private"}),
            )
        })
        .on("tools/call", move |_, answer| {
            let block = json!({"type": "resource", "resource": in_tool});
            answer.result(json!({"resultType": "complete", "content": [block]}))
        })
        .on("prompts/get", move |_, answer| {
            let content = json!({"type": "resource", "resource": in_prompt});
            answer
                .result(json!({"resultType": "complete", "messages": [{"role": "user", "content": content}]}))
        })
        .start()
        .await
}

#[tokio::test]
async fn views_get_no_more_than_the_operator_allows() {
    let (old, new, free) =
        (greedy(Fake::legacy()).await, greedy(Fake::modern()).await, greedy(Fake::modern()).await);
    let mut free_config = free.config();
    free_config["apps"] = json!({
        "connect_domains": ["https://*.good.example", "https://evil.example"],
        "permissions": ["camera", "microphone"],
    });
    let gateway = Gateway::start(&json!({
        "servers": {"old": old.config(), "new": new.config(), "free": free_config},
        "apps": {"connect_domains": ["https://*.good.example"], "permissions": ["camera"]},
    }));
    let tight = json!({
        "csp": {"connectDomains": ["https://api.good.example"], "resourceDomains": ["https://cdn.example"]},
        "permissions": {"camera": {}},
    });
    let mut own = asks();
    own["csp"]["connectDomains"].as_array_mut().unwrap().pop();
    for (slug, expected) in [("old", &tight), ("new", &tight), ("free", &own)] {
        for (path, prefix) in [("/mcp".to_owned(), true), (format!("/mcp/s/{slug}"), false)] {
            let session = Legacy::open_with(&gateway, &path, LEGACY, super::host()).await;
            let (uri, tool, prompt) = if prefix {
                (format!("ui://{slug}+v"), format!("{slug}__echo"), format!("{slug}__ask"))
            } else {
                ("ui://v".to_owned(), "echo".to_owned(), "ask".to_owned())
            };
            for (method, params) in [
                ("resources/list", json!({})),
                ("resources/read", json!({"uri": uri})),
                ("tools/call", json!({"name": tool, "arguments": {}})),
                ("prompts/get", json!({"name": prompt})),
            ] {
                let results = [
                    modern(&path).result(&gateway, method, params.clone()).await,
                    session.result(&gateway, method, params).await,
                ];
                for result in results {
                    let ui = match method {
                        "resources/list" => {
                            let all = result["resources"].as_array().unwrap();
                            all.iter().find(|item| item["uri"] == *uri).unwrap()["_meta"]["ui"].clone()
                        }
                        "resources/read" => result["contents"][0]["_meta"]["ui"].clone(),
                        "tools/call" => result["content"][0]["resource"]["_meta"]["ui"].clone(),
                        _ => result["messages"][0]["content"]["resource"]["_meta"]["ui"].clone(),
                    };
                    assert_eq!(&ui, expected, "{method} of {slug} on {path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_tool_is_shown_without_a_view_that_is_not_there_for_the_caller() {
    let (old, new) = (super::clock(Fake::legacy(), false).await, super::clock(Fake::modern(), true).await);
    let folder = tempfile::tempdir().unwrap();
    let denied = r#"permit (principal, action, resource);
        forbid (principal, action == Action::"resources/read", resource) when { resource has uri && resource.uri like "ui://*" };"#;
    std::fs::write(folder.path().join("all.cedar"), denied).unwrap();
    let servers = json!({"old": old.config(), "new": new.config()});
    let config = json!({"servers": servers, "policy": {"files": ["all.cedar"]}});
    let gateway = Gateway::start_in(folder, &config, &[]);
    for slug in ["old", "new"] {
        for (path, prefix, uri) in [
            ("/mcp".to_owned(), format!("{slug}__"), format!("ui://{slug}+clock/view.html")),
            (format!("/mcp/s/{slug}"), String::new(), "ui://clock/view.html".to_owned()),
        ] {
            let session = Legacy::open_with(&gateway, &path, LEGACY, super::host()).await;
            let lists = [
                modern(&path).result(&gateway, "tools/list", json!({})).await,
                session.result(&gateway, "tools/list", json!({})).await,
            ];
            for list in lists {
                let meta = |name: &str| {
                    let name = format!("{prefix}{name}");
                    let tools = list["tools"].as_array().unwrap();
                    tools.iter().find(|tool| tool["name"] == *name).unwrap()["_meta"].clone()
                };
                assert_eq!(meta("get-time"), json!({"ui": {}}));
                assert_eq!(meta("tick"), json!({"ui": {"visibility": ["app"]}}));
                assert_eq!(meta("wind"), json!({"ui": {"visibility": ["model"]}}));
                assert_eq!(meta("plain"), Value::Null);
            }
            let read = modern(&path).request(&gateway, "resources/read", json!({"uri": uri})).await;
            assert_eq!(read.error_code(), -32602, "{read:?}");
        }
    }
    assert_eq!((old.count("resources/read"), new.count("resources/read")), (0, 0));
}
