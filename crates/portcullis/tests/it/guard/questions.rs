//! What servers ask in the middle of a call, and what clients answer: all four pairs of eras.

use serde_json::{Value, json};

use super::{MARK, guarded, is_clean, planted, redacting, secret};
use crate::harness::fake::text;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream};
use crate::interactive::{asking_over_http, everything};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// An elicitation, a sampling request, and one for roots, with the secret wherever there is room for it.
fn questions() -> [Value; 3] {
    let schema =
        json!({"type": "object", "properties": {"name": {"type": "string", "description": planted()}}});
    let block = json!({"type": "text", "text": planted()});
    [
        json!({"method": "elicitation/create", "params": {"message": planted(), "requestedSchema": schema}}),
        json!({"method": "sampling/createMessage", "params": {
            "messages": [{"role": "user", "content": block}], "systemPrompt": planted(), "maxTokens": 10,
        }}),
        json!({"method": "roots/list"}),
    ]
}

fn answer_to(method: &str) -> Value {
    match method {
        "elicitation/create" => json!({"action": "accept", "content": {"name": planted()}}),
        "sampling/createMessage" => json!({
            "role": "assistant", "content": {"type": "text", "text": planted()}, "model": "m",
        }),
        _ => json!({"roots": [{"uri": "file:///home", "name": planted()}]}),
    }
}

/// A server that asks all of them and says what it was told in the last answer, with the secret laid open.
async fn asking(modern: bool) -> Upstream {
    if !modern {
        return asking_over_http(questions().to_vec()).await;
    }
    Fake::modern()
        .on("tools/call", |seen, answer| async move {
            if let Some(told) = seen.rpc["params"].get("inputResponses") {
                return answer.result(text(&told.to_string())).await;
            }
            let requests: serde_json::Map<_, _> =
                questions().into_iter().enumerate().map(|(index, it)| (format!("q{index}"), it)).collect();
            // The state is the server's own: it comes back as it went.
            let state = format!("state {}", secret());
            let result =
                json!({"resultType": "input_required", "inputRequests": requests, "requestState": state});
            answer.result(result).await;
        })
        .start()
        .await
}

/// A modern client that answers whatever it is asked; what it was shown.
async fn modern(gateway: &Gateway) -> String {
    let client = Modern::at("/mcp/s/x").with_meta(CAPABILITIES, everything());
    let (mut shown, mut params) = (String::new(), json!({"name": "echo", "arguments": {}}));
    loop {
        let response = client.request(gateway, "tools/call", params.clone()).await;
        shown += &response.text();
        let answer = response.json();
        let result = answer["result"].clone();
        if result["resultType"] != "input_required" {
            assert_eq!(result["resultType"], "complete", "{answer}");
            return shown;
        }
        let requests = result["inputRequests"].as_object().expect("questions");
        let answers: serde_json::Map<_, _> = requests
            .iter()
            .map(|(key, request)| (key.clone(), answer_to(request["method"].as_str().unwrap())))
            .collect();
        params["inputResponses"] = Value::Object(answers);
        params["requestState"] = result["requestState"].clone();
    }
}

/// The same of a client with a session.
async fn legacy(gateway: &Gateway) -> String {
    let session = Legacy::open_with(gateway, "/mcp/s/x", "2025-11-25", everything()).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}}});
    let (_, mut events) = session.stream(gateway, &call).await;
    let mut shown = String::new();
    loop {
        let message = events.message().await.expect("an answer");
        shown += &message.to_string();
        let Some(method) = message["method"].as_str() else {
            assert!(message["result"]["content"].is_array(), "{message}");
            return shown;
        };
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": answer_to(method)});
        assert_eq!(session.send(gateway, &answer).await.status(), 202);
    }
}

/// Everything that the server was sent.
fn sent(server: &Upstream) -> String {
    server.seen().iter().map(|seen| seen.rpc.to_string()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_is_asked_and_answered_is_inspected_in_all_pairs_of_eras() {
    for modern_server in [true, false] {
        for modern_client in [true, false] {
            let server = asking(modern_server).await;
            let gateway = guarded(&server.config(), &redacting());
            let shown = if modern_client { modern(&gateway).await } else { legacy(&gateway).await };
            let pair = format!("server modern {modern_server}, client modern {modern_client}");
            is_clean(&shown, &format!("asked, {pair}"));
            for method in ["elicitation/create", "sampling/createMessage", "roots/list"] {
                assert!(shown.contains(method), "{pair}: {method} was not asked: {shown}");
            }
            let sent = sent(&server);
            // The server's own state, which comes back as it went, is all that may have it.
            let told = sent.replace(&format!("state {}", secret()), "");
            is_clean(&told, &format!("answered, {pair}"));
            assert_eq!(told.matches(MARK).count(), 3, "{pair}: {told}");
            if modern_server {
                assert!(sent.contains(&format!("state {}", secret())), "{pair}: {sent}");
            }
        }
    }
}

/// A question that may not be asked is refused to the server, and the client is not bothered.
#[tokio::test]
async fn a_question_that_is_blocked_is_not_asked() {
    let server = asking(false).await;
    let block = json!({"rules": [
        {"name": "no-keys", "entities": ["SECRET"], "direction": "to-client", "action": "block"},
    ]});
    let gateway = guarded(&server.config(), &block);
    let session = Legacy::open_with(&gateway, "/mcp/s/x", "2025-11-25", everything()).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}}});
    let (_, mut events) = session.stream(&gateway, &call).await;
    // Roots have no words of the server's in them.
    let question = events.message().await.expect("a question");
    assert_eq!(question["method"], "roots/list", "{question}");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}});
    assert_eq!(session.send(&gateway, &answer).await.status(), 202);
    let end = events.message().await.expect("an answer");
    assert_eq!(end["id"], 1, "{end}");
    let refused = sent(&server);
    assert_eq!(refused.matches("the guard's rule `no-keys` blocks").count(), 2, "{refused}");
}
