//! Structured results that are changed, and what their tools say that they look like.

use serde_json::{Value, json};

use super::guarded;
use crate::harness::fake::tool;
use crate::harness::{Fake, Gateway, Modern, Upstream};

/// A tool whose results have an address where the schema wants one, and whose schema needs, or does not need, it.
async fn contacts(required: &[&str]) -> Upstream {
    let mut contact = tool("contact");
    contact["outputSchema"] = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "mail": {"type": "string", "pattern": "^[^@]+@[^@]+$"},
        },
        "required": required,
        "additionalProperties": false,
    });
    Fake::modern()
        .tools(vec![contact])
        .on("tools/call", |_, answer| {
            let data = json!({"name": "Ada", "mail": "ada@lovelace.org"});
            let content = json!([{"type": "text", "text": data.to_string()}]);
            answer.result(json!({"content": content, "structuredContent": data, "resultType": "complete"}))
        })
        .start()
        .await
}

fn redact() -> Value {
    json!({"rules": [{"name": "mail", "entities": ["EMAIL"], "direction": "to-client", "action": "redact"}]})
}

async fn call(gateway: &Gateway) -> Value {
    // The tool has to be known before its schema is.
    let client = Modern::at("/mcp/s/x");
    client.result(gateway, "tools/list", json!({})).await;
    client.request(gateway, "tools/call", json!({"name": "contact", "arguments": {}})).await.json()
}

#[tokio::test]
async fn what_would_break_the_schema_goes_where_it_may() {
    let server = contacts(&["name"]).await;
    let gateway = guarded(&server.config(), &redact());
    let answer = call(&gateway).await;
    assert_eq!(answer["result"]["structuredContent"], json!({"name": "Ada"}), "{answer}");
    assert!(!answer.to_string().contains("lovelace"), "{answer}");
}

#[tokio::test]
async fn what_can_neither_stay_nor_go_blocks_the_result() {
    let server = contacts(&["name", "mail"]).await;
    let gateway = guarded(&server.config(), &redact());
    let answer = call(&gateway).await;
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let message = crate::harness::client::text_of(&answer["result"]);
    assert!(message.contains("rule `mail`") && message.contains("output schema"), "{message}");
    assert!(!answer.to_string().contains("lovelace"), "{answer}");
}

#[tokio::test]
async fn what_still_fits_stays() {
    let server = contacts(&["name", "mail"]).await;
    let mut guard = redact();
    guard["rules"][0]["action"] = json!("partial");
    let gateway = guarded(&server.config(), &guard);
    let answer = call(&gateway).await;
    let mail = answer["result"]["structuredContent"]["mail"].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert!(mail.contains('@') && !mail.contains("ada"), "{mail}");
}
