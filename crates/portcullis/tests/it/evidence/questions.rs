//! What clients are asked in the middle of a call, and what they answer, in all four pairs of eras.

use serde_json::{Value, json};

use super::{start, until};
use crate::harness::fake::text;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, Upstream};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// A child that asks who it is for, and tells what it was told.
const ASKS: &str = r#"
waiting = {}
def ask(request):
    waiting["q"] = request
    send({"id": "q", "method": "elicitation/create",
          "params": {"message": "who?", "requestedSchema": {"type": "object", "properties": {}}}})
handlers["tools/call"] = ask
real = sys.stdin
def lines():
    for line in real:
        message = json.loads(line)
        if message.get("id") == "q" and "method" not in message:
            text(waiting.pop("q"), json.dumps(message.get("result")))
        else:
            yield line
sys.stdin = lines()
"#;

/// A modern server that asks once.
async fn asks_in_rounds() -> Upstream {
    Fake::modern()
        .on("tools/call", |seen, answer| async move {
            let responses = &seen.rpc["params"]["inputResponses"];
            let schema = json!({"type": "object", "properties": {}});
            let question = json!({"method": "elicitation/create", "params": {"message": "who?", "requestedSchema": schema}});
            answer
                .result(if responses.is_null() {
                    json!({"resultType": "input_required", "inputRequests": {"q": question}, "requestState": "s"})
                } else {
                    text(&responses.to_string())
                })
                .await;
        })
        .start()
        .await
}

/// A legacy client's call, whose question is answered by `action`.
async fn asked_in_a_session(gateway: &Gateway, action: &str) {
    let session = Legacy::open_with(gateway, "/mcp/s/x", "2025-11-25", json!({"elicitation": {}})).await;
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "echo", "arguments": {}}});
    let (_, mut events) = session.stream(gateway, &call).await;
    let question = events.message().await.expect("a question");
    assert_eq!(question["method"], "elicitation/create", "{question}");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": action, "content": {}}});
    assert_eq!(session.send(gateway, &answer).await.status(), 202);
    let answer = events.message().await.expect("an answer");
    assert!(answer["result"].is_object(), "{answer}");
}

/// A modern client's call, that comes back with an answer.
async fn asked_by_answers(gateway: &Gateway, action: &str) {
    let client = Modern::at("/mcp/s/x").with_meta(CAPABILITIES, json!({"elicitation": {"form": {}}}));
    let mut params = json!({"name": "echo", "arguments": {}});
    let round = client.result(gateway, "tools/call", params.clone()).await;
    assert_eq!(round["resultType"], "input_required", "{round}");
    params["requestState"] = round["requestState"].clone();
    for key in round["inputRequests"].as_object().unwrap().keys() {
        params["inputResponses"][key] = json!({"action": action, "content": {}});
    }
    let last = client.result(gateway, "tools/call", params).await;
    assert_eq!(last["resultType"], "complete", "{last}");
}

fn is_call(event: &Value) -> bool {
    event["request"]["method"] == "tools/call" && event["kind"] == "exchange"
}

#[tokio::test]
async fn a_question_in_a_session_is_an_event_that_names_its_call() {
    let (child, server) = (Child::new(ASKS).await, asks_in_rounds().await);
    for (config, action) in [(child.config(), "decline"), (server.config(), "accept")] {
        let gateway = start("normal", &json!({"servers": {"x": config}}));
        asked_in_a_session(&gateway, action).await;
        let calls = until(&gateway, "the call", 1, is_call).await;
        let questions = until(&gateway, "the question", 1, |event| event["kind"] == "question").await;
        assert_eq!((calls.len(), questions.len()), (1, 1));
        let question = &questions[0];
        assert_eq!(question["parent"], calls[0]["id"]);
        assert_eq!(question["request"]["method"], "elicitation/create");
        assert_eq!(question["human"]["decision"], action);
        assert_eq!(question["server"]["id"], "x");
        assert!(question["input"]["digest"].is_string() && question["output"]["digest"].is_string());
        assert_eq!(calls[0]["result"]["status"], "completed");
    }
}

#[tokio::test]
async fn each_round_of_a_call_is_an_event_and_later_ones_name_the_first() {
    let (child, server) = (Child::new(ASKS).await, asks_in_rounds().await);
    for (config, parked) in [(child.config(), true), (server.config(), false)] {
        let gateway = start("normal", &json!({"servers": {"x": config}}));
        asked_by_answers(&gateway, "accept").await;
        let rounds = until(&gateway, "both rounds", 2, is_call).await;
        assert_eq!(rounds.len(), 2, "{rounds:?}");
        assert_eq!(rounds[0]["result"]["status"], "parked");
        assert_eq!(rounds[0]["detail"]["asked"], "elicitation/create 1");
        assert_eq!(rounds[1]["result"]["status"], "completed");
        assert_eq!(rounds[1]["detail"]["answered"], "accept 1");
        // A server with rounds of its own is called twice; a parked call is one call.
        assert_eq!(rounds[1]["parent"] == rounds[0]["id"], parked);
        assert!(rounds[1]["result"]["upstream_us"].as_u64().unwrap() > 0);
    }
}

#[tokio::test]
async fn a_parked_call_that_nobody_comes_back_to_is_told_as_cancelled() {
    let child = Child::new(ASKS).await;
    let config = json!({"servers": {"x": child.config()}, "limits": {"ask_timeout": "200ms"}});
    let gateway = start("normal", &config);
    let client = Modern::at("/mcp/s/x").with_meta(CAPABILITIES, json!({"elicitation": {"form": {}}}));
    let round = client.result(&gateway, "tools/call", json!({"name": "echo", "arguments": {}})).await;
    assert_eq!(round["resultType"], "input_required");
    let first = until(&gateway, "the round", 1, is_call).await.remove(0);
    let ended = until(&gateway, "the end", 1, |event| event["parent"] == first["id"]).await.remove(0);
    assert_eq!((&ended["result"]["status"], &ended["server"]["id"]), (&json!("cancelled"), &json!("x")));
}
