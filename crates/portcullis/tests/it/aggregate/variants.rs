//! Many kinds of clients at once: what one of them does or sees takes nothing from another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::fake::tool;
use crate::harness::{Fake, Gateway, Modern, until};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// A client with the capabilities whose bits are set in `number`.
fn client(number: usize) -> Modern {
    let names = ["roots", "sampling"];
    let mut capabilities = json!({});
    for (bit, name) in names.iter().enumerate() {
        if number >> bit & 1 == 1 {
            capabilities[name] = json!({});
        }
    }
    let elicitation = [json!(null), json!({"form": {}}), json!({"url": {}}), json!({"form": {}, "url": {}})];
    if number >> 2 & 3 != 0 {
        capabilities["elicitation"] = elicitation[number >> 2 & 3].clone();
    }
    if number >> 4 & 1 == 1 {
        capabilities["extensions"] = json!({"io.modelcontextprotocol/ui": {"mimeTypes": []}});
    }
    Modern::new().with_meta(CAPABILITIES, capabilities)
}

#[tokio::test]
async fn cursors_of_a_current_list_outlive_what_other_clients_look_at() {
    let tools: Vec<Value> = (0..1500).map(|number| tool(&format!("tool_{number}"))).collect();
    let server = Fake::legacy().tools(tools).start().await;
    let gateway = Gateway::start(&json!({"servers": {"big": server.config()}}));
    let patient = Modern::new();
    let first = patient.result(&gateway, "tools/list", json!({})).await;
    for number in 1..32 {
        for method in ["tools/list", "resources/list", "prompts/list"] {
            client(number).result(&gateway, method, json!({})).await;
        }
    }
    let again = patient.result(&gateway, "tools/list", json!({})).await;
    for page in [first, again] {
        let second = patient.result(&gateway, "tools/list", json!({"cursor": page["nextCursor"]})).await;
        assert_eq!(second["tools"].as_array().unwrap().len(), 500);
        assert_eq!(page["cacheScope"], second["cacheScope"], "one scope for all pages");
    }
}

#[tokio::test]
async fn the_last_good_list_is_served_to_clients_that_were_not_there_then() {
    let dead = Arc::new(AtomicBool::new(false));
    let flag = dead.clone();
    let server = Fake::modern()
        .on("tools/list", move |_, answer| {
            let dead = flag.load(Ordering::SeqCst);
            async move {
                if dead {
                    return answer.send(500, &[], b"").await;
                }
                let result = json!({
                    "tools": [tool("echo")], "resultType": "complete", "ttlMs": 0, "cacheScope": "public",
                });
                answer.result(result).await;
            }
        })
        .start()
        .await;
    let gateway = Gateway::start(&json!({"servers": {"x": server.config()}}));
    let before = client(0).result(&gateway, "tools/list", json!({})).await;
    assert_eq!(before["tools"].as_array().unwrap().len(), 1);
    dead.store(true, Ordering::SeqCst);
    let after = client(1).result(&gateway, "tools/list", json!({})).await;
    assert_eq!(after["tools"], before["tools"]);
    assert_eq!((&after["ttlMs"], &after["cacheScope"]), (&json!(0), &json!("private")));
}

#[tokio::test]
async fn a_server_without_completions_completes_nothing_on_the_aggregate() {
    let without = Fake::legacy()
        .on("initialize", |_, answer| {
            answer.result(json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {"prompts": {}},
                "serverInfo": {"name": "plain", "version": "1"},
            }))
        })
        .list("prompts", vec![json!({"name": "greet"})])
        .start()
        .await;
    let gateway = Gateway::start(&json!({"servers": {"plain": without.config()}}));
    let params = json!({
        "ref": {"type": "ref/prompt", "name": "plain__greet"},
        "argument": {"name": "who", "value": "w"},
    });
    let result = Modern::new().result(&gateway, "completion/complete", params).await;
    assert_eq!(result["completion"], json!({"values": []}));
    assert_eq!(without.count("completion/complete"), 0);
}

#[tokio::test]
async fn a_server_in_trouble_is_not_taken_for_a_legacy_one() {
    let troubled = Arc::new(AtomicBool::new(true));
    let flag = troubled.clone();
    let server = Fake::modern()
        .on("server/discover", move |_, answer| {
            let troubled = flag.load(Ordering::SeqCst);
            async move {
                if troubled {
                    return answer.error(503, json!({"code": -32603, "message": "stopping"})).await;
                }
                let result = json!({
                    "resultType": "complete", "supportedVersions": ["2026-07-28"],
                    "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private",
                });
                answer.result(result).await;
            }
        })
        .start()
        .await;
    let gateway = Gateway::start(&json!({"servers": {"x": server.config()}}));
    let client = Modern::at("/mcp/s/x");
    assert!(client.request(&gateway, "tools/list", json!({})).await.error_code() != 0);
    assert_eq!(server.count("initialize"), 0);
    troubled.store(false, Ordering::SeqCst);
    until("the server is used again", || async {
        let answer = client.request(&gateway, "tools/list", json!({})).await;
        answer.text().contains("\"tools\"")
    })
    .await;
}

/// Clients make up what they can be asked. Each such set may be shown other tools, but not each is kept for ever.
#[tokio::test]
async fn of_the_sets_of_capabilities_that_clients_make_up_the_last_are_kept() {
    let mut fake = Fake::modern();
    fake.hints = (60_000, "public");
    let upstream = fake.start().await;
    let gateway = Gateway::before(&upstream.config());
    let sampling = ["null", "{}", r#"{"tools":{}}"#, r#"{"context":{}}"#, r#"{"tools":{},"context":{}}"#];
    let elicitation = ["null", r#"{"form":{}}"#, r#"{"url":{}}"#, r#"{"form":{},"url":{}}"#];
    let mut sets = Vec::new();
    for (sampling, elicitation) in
        sampling.iter().flat_map(|it| elicitation.iter().map(move |other| (it, other)))
    {
        for roots in ["null", "{}"] {
            for extensions in [
                "{}",
                r#"{"io.modelcontextprotocol/tasks":{}}"#,
                r#"{"io.modelcontextprotocol/ui":{"mimeTypes":[]}}"#,
                r#"{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/ui":{"mimeTypes":[]}}"#,
            ] {
                sets.push(format!(
                    r#"{{"sampling":{sampling},"elicitation":{elicitation},"roots":{roots},"extensions":{extensions}}}"#
                ));
            }
        }
    }
    let list = async |set: &str| {
        let capabilities = serde_json::from_str(set).unwrap();
        let client = Modern::new().with_meta(CAPABILITIES, capabilities);
        client.result(&gateway, "tools/list", json!({})).await;
        upstream.count("tools/list")
    };
    // As many as are kept (`MOST_CELLS`), and one more.
    for (at, set) in sets[..129].iter().enumerate() {
        assert_eq!(list(set).await, at + 1, "{set}");
    }
    assert_eq!(list(&sets[128]).await, 129, "it was asked for last");
    assert_eq!(list(&sets[0]).await, 130, "it was asked for first");
}
