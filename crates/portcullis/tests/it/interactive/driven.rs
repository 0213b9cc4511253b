//! A modern server and a legacy client: the gateway drives the rounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{CALL, accepted, asked, call, form, got, legacy_client, respond, roots, sampled, sampling};
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::{Fake, Gateway, Upstream};

fn wants(requests: &Value, state: Option<&str>) -> Value {
    let mut result = json!({"resultType": "input_required", "inputRequests": requests});
    if let Some(state) = state {
        result["requestState"] = json!(state);
    }
    result
}

/// A modern server that asks three things, then one more, then tells what it was told.
async fn two_rounds() -> Upstream {
    Fake::modern()
        .on(CALL, |seen, answer| async move {
            let params = &seen.rpc["params"];
            let result = match params["requestState"].as_str() {
                None => {
                    let first = json!({"a": form("who?"), "b": sampling(), "c": {"method": "roots/list"}});
                    wants(&first, Some("first \u{e9}/+="))
                }
                Some("first \u{e9}/+=") => {
                    let kept = json!({"kept": params["inputResponses"]}).to_string();
                    wants(&json!({"d": form("sure?")}), Some(&kept))
                }
                Some(kept) => {
                    let mut told: Value = serde_json::from_str(kept).unwrap();
                    told["last"] = params["inputResponses"].clone();
                    text(&told.to_string())
                }
            };
            answer.result(result).await;
        })
        .start()
        .await
}

#[tokio::test]
async fn rounds_become_requests_and_one_answer() {
    let server = two_rounds().await;
    let gateway = Gateway::before(&server.config());
    let session = legacy_client(&gateway).await;
    let (_, mut events) = session.stream(&gateway, &call(4, &json!({"n": 1}))).await;
    let mut first = Vec::new();
    for _ in 0..3 {
        first.push(events.message().await.unwrap());
    }
    for question in &first {
        let answer = match question["method"].as_str().unwrap() {
            "elicitation/create" => accepted("Ann"),
            "sampling/createMessage" => sampled("Paris"),
            _ => roots(),
        };
        respond(&session, &gateway, &question["id"], &answer).await;
    }
    let last = asked(&mut events, "elicitation/create").await;
    assert_eq!(last["params"]["message"], "sure?");
    respond(&session, &gateway, &last["id"], &json!({"action": "decline"})).await;
    let answer = events.message().await.unwrap();
    let expected = json!({
        "kept": {"a": accepted("Ann"), "b": sampled("Paris"), "c": roots()},
        "last": {"d": {"action": "decline"}},
    });
    assert_eq!((&answer["id"], got(&answer["result"])), (&json!(4), expected));
    let sent: Vec<Value> =
        server.seen().into_iter().filter(|seen| seen.method() == CALL).map(|seen| seen.rpc).collect();
    assert_eq!(sent.len(), 3);
    let ids: std::collections::HashSet<_> = sent.iter().map(|rpc| rpc["id"].to_string()).collect();
    assert_eq!(ids.len(), 3, "each attempt has an id of its own");
    for rpc in &sent {
        assert_eq!(rpc["params"]["arguments"], json!({"n": 1}));
        assert_eq!(rpc["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"], super::everything());
    }
}

#[tokio::test]
async fn an_elicitation_by_url_gets_an_id() {
    let page = json!({"method": "elicitation/create", "params": {"mode": "url", "message": "m", "url": "https://example.com"}});
    let server = Fake::modern()
        .on(CALL, move |seen, answer| {
            let page = page.clone();
            async move {
                let responses = &seen.rpc["params"]["inputResponses"];
                let result = if responses.is_null() {
                    wants(&json!({"p": page}), None)
                } else {
                    assert!(seen.rpc["params"].get("requestState").is_none());
                    text(&responses.to_string())
                };
                answer.result(result).await;
            }
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let session = legacy_client(&gateway).await;
    let (_, mut events) = session.stream(&gateway, &call(1, &json!({}))).await;
    let question = asked(&mut events, "elicitation/create").await;
    assert_eq!(question["params"]["url"], "https://example.com");
    assert!(question["params"]["elicitationId"].as_str().unwrap().len() > 20);
    respond(&session, &gateway, &question["id"], &json!({"action": "accept"})).await;
    assert_eq!(got(&events.message().await.unwrap()["result"]), json!({"p": {"action": "accept"}}));
}

#[tokio::test]
async fn refused_elicitations_are_answers_and_refused_sampling_ends_the_call() {
    let server = two_rounds().await;
    let gateway = Gateway::before(&server.config());
    let session = legacy_client(&gateway).await;
    let (_, mut events) = session.stream(&gateway, &call(4, &json!({}))).await;
    for _ in 0..3 {
        let question = events.message().await.unwrap();
        let error = json!({"code": -1, "message": "User rejected sampling request"});
        if question["method"] == "roots/list" {
            continue;
        }
        let response = json!({"jsonrpc": "2.0", "id": question["id"], "error": error});
        session.send(&gateway, &response).await;
    }
    // The question that nobody answered is taken back.
    let told = events.message().await.unwrap();
    assert_eq!(told["method"], "notifications/cancelled");
    let answer = events.message().await.unwrap();
    assert_eq!(answer["result"]["isError"], true);
    assert!(text_of(&answer["result"]).contains("User rejected sampling request"), "{answer}");
    assert_eq!(server.count(CALL), 1);
}

#[tokio::test]
async fn outside_tools_a_refusal_is_an_error() {
    let server = Fake::modern()
        .list("prompts", vec![json!({"name": "greet"})])
        .on("prompts/get", |_, answer| {
            answer.result(wants(&json!({"r": {"method": "roots/list"}}), Some("s")))
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let session = legacy_client(&gateway).await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": {"name": "greet"}});
    let (_, mut events) = session.stream(&gateway, &message).await;
    let question = asked(&mut events, "roots/list").await;
    let error = json!({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -32601, "message": "none"}});
    session.send(&gateway, &error).await;
    let answer = events.message().await.unwrap();
    assert_eq!(answer["error"]["data"]["reason"], "input_refused", "{answer}");
}

#[tokio::test]
async fn a_server_that_only_wants_to_be_asked_again_is_and_not_for_ever() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counter = tries.clone();
    let server = Fake::modern()
        .on(CALL, move |seen, answer| {
            let counter = counter.clone();
            async move {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let endless = seen.rpc["params"]["arguments"]["endless"] == true;
                if number < 2 || endless {
                    let state = json!({"resultType": "input_required", "requestState": number.to_string()});
                    return answer.result(state).await;
                }
                assert_eq!(seen.rpc["params"]["requestState"], "1");
                answer.result(text("at last")).await;
            }
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let session = legacy_client(&gateway).await;
    let answer = session.send(&gateway, &call(1, &json!({}))).await.json();
    assert_eq!(text_of(&answer["result"]), "at last");
    let answer = session.send(&gateway, &call(2, &json!({"endless": true}))).await.json();
    assert_eq!(answer["result"]["isError"], true);
    assert_eq!(tries.load(Ordering::SeqCst), 3 + 10);
}

#[tokio::test]
async fn progress_of_all_rounds_rises_under_the_clients_token() {
    let server = Fake::modern()
        .on(CALL, |seen, mut answer| async move {
            let params = &seen.rpc["params"];
            let again = !params["inputResponses"].is_null();
            answer.open_stream().await;
            for progress in if again { [1, 2, 3] } else { [1, 2, 2] } {
                let params = json!({"progressToken": params["_meta"]["progressToken"], "progress": progress});
                answer
                    .event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))
                    .await;
            }
            let result = if again { text("done") } else { wants(&json!({"a": form("who?")}), Some("s")) };
            answer.result_event(result).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let session = legacy_client(&gateway).await;
    let mut message = call(1, &json!({}));
    message["params"]["_meta"] = json!({"progressToken": "mine"});
    let (_, mut events) = session.stream(&gateway, &message).await;
    let (mut seen, mut answer) = (Vec::new(), Value::Null);
    while let Some(message) = events.message().await {
        if message["method"] == "notifications/progress" {
            assert_eq!(message["params"]["progressToken"], "mine");
            seen.push(message["params"]["progress"].as_u64().unwrap());
        } else if message["method"] == "elicitation/create" {
            respond(&session, &gateway, &message["id"], &accepted("Ann")).await;
        } else {
            answer = message;
        }
    }
    assert_eq!((seen, text_of(&answer["result"])), (vec![1, 2, 2, 3], "done"));
}

#[tokio::test]
async fn what_the_client_did_not_offer_is_not_asked() {
    let server = two_rounds().await;
    let gateway = Gateway::before(&server.config());
    let capabilities = json!({"elicitation": {}});
    let session = crate::harness::Legacy::open_with(&gateway, "/mcp/s/x", "2025-11-25", capabilities).await;
    let answer = session.send(&gateway, &call(1, &json!({}))).await.json();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
}

#[tokio::test]
async fn a_capability_that_a_modern_server_misses_is_a_failed_tool_to_a_legacy_client() {
    let server = Fake::modern()
        .on(CALL, |_, answer| {
            let data = json!({"requiredCapabilities": {"sampling": {}}});
            answer.error(400, json!({"code": -32021, "message": "sampling needed", "data": data}))
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let session = crate::harness::Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
    let answer = session.send(&gateway, &call(1, &json!({}))).await.json();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(text_of(&answer["result"]).contains("sampling"));
}
