//! Every kind of client before every kind of server, with this transport on one side or on both.

use serde_json::{Value, json};

use super::call;
use crate::harness::client::text_of;
use crate::harness::sse_server::Running;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, SseClient, SseServer, Upstream};

const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// What is behind the gateway; held, for it ends when it is dropped.
struct Behind {
    config: Value,
    _servers: (Upstream, Upstream, Child, Running),
}

async fn behind() -> Behind {
    let modern = Fake::modern().start().await;
    let legacy = Fake::legacy().start().await;
    let child = Child::new("").await;
    let sse = SseServer::new().start().await;
    let config = json!({"servers": {
        "modern": modern.config(), "legacy": legacy.config(), "child": child.config(), "sse": sse.config(),
    }});
    Behind { config, _servers: (modern, legacy, child, sse) }
}

const SERVERS: [&str; 4] = ["modern", "legacy", "child", "sse"];

#[tokio::test]
async fn clients_of_every_revision_reach_every_kind_of_server_over_one_stream() {
    let behind = behind().await;
    let gateway = Gateway::start(&behind.config);
    for revision in REVISIONS {
        let mut client = SseClient::open(&gateway, revision).await;
        assert_eq!(client.welcome["protocolVersion"], revision);
        assert_eq!(client.welcome["serverInfo"]["name"], "portcullis");
        let tools = client.result(&gateway, "tools/list", json!({})).await;
        let names: Vec<_> =
            tools["tools"].as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
        assert_eq!(names, ["child__echo", "legacy__echo", "modern__echo", "sse__echo"]);
        assert!(tools.get("resultType").is_none() && tools.get("ttlMs").is_none(), "{tools}");
        for server in SERVERS {
            let arguments = json!({"of": revision, "to": server});
            let result = client.call(&gateway, &format!("{server}__echo"), arguments.clone()).await;
            let echoed: Value = serde_json::from_str(text_of(&result)).unwrap();
            assert_eq!(echoed, arguments);
            assert!(server != "modern" || result.get("resultType").is_none(), "{result}");
        }
    }
}

#[tokio::test]
async fn each_server_has_a_stream_of_its_own_where_names_are_its_own() {
    let behind = behind().await;
    let gateway = Gateway::start(&behind.config);
    for server in SERVERS {
        let mut client = SseClient::open_at(&gateway, &format!("/s/{server}/sse"), "2024-11-05").await;
        assert!(
            client.address.starts_with(&format!("/s/{server}/messages?sessionId=")),
            "{}",
            client.address
        );
        assert_ne!(client.welcome["serverInfo"]["name"], "portcullis");
        let tools = client.result(&gateway, "tools/list", json!({})).await;
        assert_eq!(tools["tools"][0]["name"], "echo");
        let result = client.call(&gateway, "echo", json!({"a": 1})).await;
        assert_eq!(text_of(&result).replace(' ', ""), r#"{"a":1}"#, "{server}");
    }
}

#[tokio::test]
async fn newer_clients_reach_a_server_that_has_nothing_but_its_stream() {
    let behind = behind().await;
    let gateway = Gateway::start(&behind.config);
    let result = Modern::new().call(&gateway, "sse__echo", json!({"a": 1})).await;
    assert_eq!((text_of(&result), &result["resultType"]), (r#"{"a":1}"#, &json!("complete")));
    for revision in &REVISIONS[1..] {
        let session = Legacy::open_at(&gateway, "/mcp/s/sse", revision).await;
        assert_eq!(session.welcome["serverInfo"]["name"], "old");
        assert_eq!(text_of(&session.call(&gateway, "echo", json!({"a": 1})).await), r#"{"a":1}"#);
    }
}

#[tokio::test]
async fn calls_at_once_each_get_their_own_answer() {
    let behind = behind().await;
    let gateway = Gateway::start(&behind.config);
    let mut client = SseClient::open(&gateway, "2025-06-18").await;
    for id in 0..40 {
        let name = format!("{}__echo", SERVERS[usize::try_from(id).unwrap() % SERVERS.len()]);
        assert_eq!(client.post(&gateway, &call(id + 100, &name, &json!({"n": id}))).await.status(), 202);
    }
    for id in (0..40).rev() {
        let answer = client.answer(&json!(id + 100)).await;
        let echoed: Value = serde_json::from_str(text_of(&answer["result"])).unwrap();
        assert_eq!(echoed, json!({"n": id}));
    }
}

#[tokio::test]
async fn a_gateway_behind_a_gateway_speaks_it_on_both_sides() {
    let child = Child::new("").await;
    let inner = Gateway::before(&child.config());
    let url = format!("http://{}/s/x/sse", inner.address);
    let outer = Gateway::before(&json!({"url": url, "transport": "sse"}));
    let mut client = SseClient::open(&outer, "2025-11-25").await;
    for n in 0..5 {
        let result = client.call(&outer, "x__echo", json!({"n": n})).await;
        assert_eq!(
            text_of(&result),
            json!({"n": n}).to_string().replace(':', ": "),
            "a child in Python wrote it"
        );
    }
}
