//! Who waits for the result of a task at a child holds up nobody, and is asked what its own task asks.

use serde_json::{Value, json};

use super::{RELATED, create_legacy};
use crate::harness::client::LEGACY;
use crate::harness::http::Events;
use crate::harness::{Child, Gateway, Legacy};

/// Asks in each task once somebody waits for it, and in each call without a task without saying in which.
const CHILD: &str = r#"
RELATED = "io.modelcontextprotocol/related-task"
FORM = {"type": "object", "properties": {}}
capabilities["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
tools = [{"name": "slow", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "optional"}}]
waits, made = {}, []
def call(r):
    if "task" not in r["params"]:
        waits["plain"] = r
        return send({"id": "plain", "method": "elicitation/create",
                     "params": {"message": "plain", "requestedSchema": FORM}})
    made.append("t%d" % len(made))
    answer(r, {"task": {"taskId": made[-1], "status": "working", "createdAt": "2026-11-28T10:00:00Z",
                        "lastUpdatedAt": "2026-11-28T10:00:00Z", "ttl": 60000}})
def result(r):
    task = r["params"]["taskId"]
    waits[task] = r
    send({"id": task, "method": "elicitation/create", "params": {
        "message": task, "requestedSchema": FORM, "_meta": {RELATED: {"taskId": task}}}})
def answered(message):
    text(waits.pop(message["id"]), message["id"] + " " + message["result"]["action"])
handlers["tools/call"] = call
handlers["tasks/result"] = result
handlers[None] = answered
"#;

async fn question(events: &mut Events) -> Value {
    let question = events.message().await.expect("a question");
    assert_eq!(question["method"], "elicitation/create", "{question}");
    question
}

/// Accepts, and reads what comes of it.
async fn accept(gateway: &Gateway, session: &Legacy, question: &Value, events: &mut Events) -> String {
    let answer =
        json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {}}});
    assert_eq!(session.send(gateway, &answer).await.status(), 202);
    let answer = events.message().await.expect("an answer");
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn who_waits_for_a_task_holds_up_neither_other_waits_nor_calls() {
    let child = Child::new(CHILD).await;
    let gateway = Gateway::before(&child.config());
    let open = async || Legacy::open_with(&gateway, "/mcp", LEGACY, json!({"elicitation": {}})).await;
    let (ann, bob, carl) = (open().await, open().await, open().await);
    let wait =
        |id: &str| json!({"jsonrpc": "2.0", "id": 5, "method": "tasks/result", "params": {"taskId": id}});
    let anns = create_legacy(&ann, &gateway, "x__slow").await;
    let bobs = create_legacy(&bob, &gateway, "x__slow").await;

    // Ann is asked, and thinks.
    let (_, mut first) = ann.stream(&gateway, &wait(&anns)).await;
    let anns_question = question(&mut first).await;
    assert_eq!(anns_question["params"]["_meta"][RELATED]["taskId"], anns);
    let (_, mut second) = bob.stream(&gateway, &wait(&bobs)).await;
    let bobs_question = question(&mut second).await;
    assert_eq!(bobs_question["params"]["message"], "[x] t1");
    assert_eq!(accept(&gateway, &bob, &bobs_question, &mut second).await, "t1 accept");
    let request = json!({"jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": {
        "name": "x__slow", "arguments": {},
    }});
    let (_, mut third) = carl.stream(&gateway, &request).await;
    let carls_question = question(&mut third).await;
    assert_eq!(carls_question["params"]["message"], "[x] plain");
    assert_eq!(accept(&gateway, &carl, &carls_question, &mut third).await, "plain accept");
    assert_eq!(accept(&gateway, &ann, &anns_question, &mut first).await, "t0 accept");
}
