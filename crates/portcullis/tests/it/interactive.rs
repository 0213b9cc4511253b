//! What servers ask in the middle of a call, in all four pairs of eras, over HTTP and with children.

mod attribution;
mod bounds;
mod driven;
mod pages;
mod parked;
mod principals;
mod relayed;
mod requests;
mod spare;
mod undeclared;

use serde_json::{Value, json};

use crate::harness::http::Events;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream};

const CALL: &str = "tools/call";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// Everything that a client can be asked.
pub(crate) fn everything() -> Value {
    json!({
        "roots": {}, "sampling": {"tools": {}, "context": {}}, "elicitation": {"form": {}, "url": {}},
    })
}

/// A modern client that can be asked everything, on a server's own endpoint.
fn modern_client() -> Modern {
    Modern::at("/mcp/s/x").with_meta(CAPABILITIES, everything())
}

async fn legacy_client(gateway: &Gateway) -> Legacy {
    Legacy::open_with(gateway, "/mcp/s/x", "2025-11-25", everything()).await
}

fn call(id: u64, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": CALL, "params": {"name": "echo", "arguments": arguments}})
}

pub(crate) fn form(message: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    json!({"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}})
}

pub(crate) fn accepted(name: &str) -> Value {
    json!({"action": "accept", "content": {"name": name}})
}

fn sampling() -> Value {
    let messages = json!([{"role": "user", "content": {"type": "text", "text": "capital?"}}]);
    let tools = json!([{"name": "look_up", "inputSchema": {"type": "object"}}]);
    json!({"method": "sampling/createMessage", "params": {
        "messages": messages, "maxTokens": 10, "tools": tools, "toolChoice": {"mode": "auto"},
    }})
}

fn sampled(text: &str) -> Value {
    let block = json!([{"type": "text", "text": text}]);
    json!({"role": "assistant", "content": block, "model": "m", "stopReason": "endTurn"})
}

fn roots() -> Value {
    json!({"roots": [{"uri": "file:///home", "name": "home"}]})
}

/// A legacy server behind a URL that sends `questions` on the stream of each call, all at once, and answers with what it
/// got, as text in the order of the questions.
async fn asking_over_http(questions: Vec<Value>) -> Upstream {
    let answers = tokio::sync::broadcast::Sender::new(64);
    let posted = answers.clone();
    Fake::legacy()
        .on("POST", move |seen, answer| {
            let posted = posted.clone();
            async move {
                let _ = posted.send(seen.rpc.clone());
                answer.accepted().await;
            }
        })
        .on(CALL, move |seen, mut answer| {
            let (mut posted, questions) = (answers.subscribe(), questions.clone());
            async move {
                answer.open_stream().await;
                let call = seen.rpc["id"].as_u64().unwrap();
                let id = |number: usize| json!(format!("{call}-{number}"));
                for (number, question) in questions.iter().enumerate() {
                    let mut request = question.clone();
                    request["jsonrpc"] = json!("2.0");
                    request["id"] = id(number);
                    answer.event(&request).await;
                }
                let mut got = vec![Value::Null; questions.len()];
                while got.contains(&Value::Null) {
                    let Ok(message) = posted.recv().await else { return };
                    let number = (0..questions.len()).find(|number| message["id"] == id(*number));
                    if let Some(number) = number {
                        let error = json!({"error": message["error"]["code"]});
                        got[number] = message.get("result").cloned().unwrap_or(error);
                    }
                }
                answer
                    .result_event(json!({"content": [{"type": "text", "text": json!(got).to_string()}]}))
                    .await;
            }
        })
        .start()
        .await
}

/// The script of a child that asks `arguments.ask` questions in each call, one after the other, and answers with what it
/// got.
pub(crate) const ASKING_CHILD: &str = r#"
waiting = {}
def call(request):
    ask(request, list(request["params"]["arguments"]["ask"]), [])
def ask(request, questions, got):
    if not questions:
        return text(request, json.dumps(got))
    id = "ask-%s-%d" % (request["id"], len(got))
    waiting[id] = (request, questions[1:], got)
    send(dict(questions[0], id=id))
def answered(message):
    request, questions, got = waiting.pop(message["id"])
    got.append(message["result"] if "result" in message else {"error": message["error"]["code"]})
    ask(request, questions, got)
handlers["tools/call"] = call
handlers[None] = answered
"#;

/// Sends a legacy client's answer.
async fn respond(session: &Legacy, gateway: &Gateway, id: &Value, result: &Value) {
    let response = json!({"jsonrpc": "2.0", "id": id, "result": result});
    assert_eq!(session.send(gateway, &response).await.status(), 202);
}

/// The next message of a stream that is a request with this method.
async fn asked(events: &mut Events, method: &str) -> Value {
    let message = events.message().await.expect("a question");
    assert_eq!(message["method"], method, "{message}");
    assert!(message["id"].is_u64(), "{message}");
    message
}

pub(crate) fn got(result: &Value) -> Value {
    serde_json::from_str(crate::harness::client::text_of(result)).unwrap()
}
