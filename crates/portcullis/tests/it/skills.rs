//! The skills extension: asked of one server at its own endpoint, in both eras, and of nobody else.

use serde_json::{Value, json};

use crate::harness::client::MODERN;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream};

const LEGACY_NEWEST: &str = "2025-11-25";
const EXTENSION: &str = "io.modelcontextprotocol/skills";
const URI: &str = "skill://writing/SKILL.md";

#[tokio::test]
async fn skills_are_asked_of_one_server_at_its_own_endpoint() {
    for fake in [Fake::modern(), Fake::legacy()] {
        let upstream = with_skills(fake).await;
        let gateway = Gateway::before(&upstream.config());
        let client = Modern::at("/mcp/s/x");
        let session = Legacy::open_at(&gateway, "/mcp/s/x", LEGACY_NEWEST).await;
        let about = client.result(&gateway, "server/discover", json!({})).await;
        assert_eq!(about["capabilities"]["extensions"], json!({EXTENSION: {"directoryRead": true}}));
        for (method, params) in [
            ("skills/list", json!({})),
            ("skills/get", json!({"uri": URI})),
            ("resources/directory/read", json!({"uri": "skill://writing/"})),
        ] {
            let result = client.result(&gateway, method, params.clone()).await;
            assert_eq!((&result["of"], &result["resultType"]), (&json!(method), &json!("complete")));
            assert!(result["ttlMs"].is_u64() && result["cacheScope"].is_string(), "{result}");
            let result = session.result(&gateway, method, params.clone()).await;
            assert_eq!(result, json!({"of": method}), "no word of the modern era reaches a legacy client");
            let asked = upstream.nth(method, 1).await.rpc["params"].clone();
            assert_eq!(asked["uri"], params["uri"], "the server is asked in its own words");
        }
    }
}

#[tokio::test]
async fn the_aggregate_knows_no_skills() {
    let upstream = with_skills(Fake::modern()).await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new();
    let about = client.result(&gateway, "server/discover", json!({})).await;
    assert_eq!(about["capabilities"].get("extensions"), None);
    let answer = client.request(&gateway, "skills/list", json!({})).await;
    assert_eq!((answer.status(), &answer.json()["error"]["code"]), (404, &json!(-32601)));
    assert_eq!(upstream.count("skills/list"), 0);
}

#[tokio::test]
async fn a_server_without_skills_says_so_itself() {
    let upstream = Fake::modern().start().await;
    let gateway = Gateway::before(&upstream.config());
    let answer = Modern::at("/mcp/s/x").request(&gateway, "skills/list", json!({})).await;
    assert_eq!((answer.status(), &answer.json()["error"]["code"]), (404, &json!(-32601)));
    assert_eq!(upstream.nth("skills/list", 1).await.header("mcp-protocol-version"), Some(MODERN));
}

/// A server with the extension, which answers with the name of what it was asked.
async fn with_skills(mut fake: Fake) -> Upstream {
    fake.capabilities["extensions"] = json!({EXTENSION: {"directoryRead": true}, "com.example/other": {}});
    for method in ["skills/list", "skills/get", "resources/directory/read"] {
        fake = fake.on(method, move |seen, answer| async move {
            let modern = seen.header("mcp-protocol-version") == Some(MODERN);
            answer.result(if modern { in_modern(method) } else { json!({"of": method}) }).await;
        });
    }
    fake.start().await
}

fn in_modern(method: &str) -> Value {
    json!({"of": method, "resultType": "complete", "ttlMs": 5, "cacheScope": "public"})
}
