//! What a server asks in the middle of a task reaches the client in the form of its era, and the answer the server.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    CAPABILITIES, Course, EXTENSION, OWN, RELATED, create, create_legacy, legacy_tasks, modern_server, text,
};
use crate::harness::client::LEGACY;
use crate::harness::{Gateway, Legacy, Modern, Upstream, until};

fn form(message: &str) -> Value {
    json!({"method": "elicitation/create", "params": {
        "message": message, "requestedSchema": {"type": "object", "properties": {"ok": {"type": "boolean"}}},
    }})
}

fn yes() -> Value {
    json!({"action": "accept", "content": {"ok": true}})
}

async fn legacy_client(gateway: &Gateway) -> Legacy {
    Legacy::open_with(gateway, "/mcp", LEGACY, json!({"elicitation": {}})).await
}

fn modern_client() -> Modern {
    let capabilities = json!({"elicitation": {}, "extensions": {EXTENSION: {}}});
    Modern::new().with_meta(CAPABILITIES, capabilities)
}

/// A server of 2025-11-25 whose tasks ask two things on the stream of `tasks/result`, and end with the answers.
async fn asking(course: &Course) -> Upstream {
    let answers = tokio::sync::broadcast::Sender::new(16);
    let posted = answers.clone();
    let course = course.clone();
    let get = course.clone();
    legacy_tasks(&get)
        .on("POST", move |seen, answer| {
            let _ = posted.send(seen.rpc.clone());
            answer.accepted()
        })
        .on("tasks/result", move |_, mut answer| {
            let (mut posted, course) = (answers.subscribe(), course.clone());
            async move {
                answer.open_stream().await;
                for id in ["a", "b"] {
                    let mut question = form(id);
                    question["jsonrpc"] = json!("2.0");
                    question["id"] = json!(id);
                    question["params"]["_meta"] = json!({RELATED: {"taskId": OWN}});
                    answer.event(&question).await;
                }
                let mut got = json!({});
                while got.as_object().unwrap().len() < 2 {
                    let Ok(message) = posted.recv().await else { return };
                    got[message["id"].as_str().unwrap()] = message["result"]["action"].clone();
                }
                course.complete(&got.to_string(), false);
                // Servers that keep tasks apart from requests know of the end before their streams do.
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                let mut result = course.get()["result"].clone();
                result["_meta"] = json!({RELATED: {"taskId": OWN}});
                answer.result_event(result).await;
            }
        })
        .start()
        .await
}

#[tokio::test]
async fn a_modern_client_finds_the_questions_in_its_task() {
    let course = Course::new();
    let server = asking(&course).await;
    let gateway = Gateway::before(&server.config());
    let client = modern_client();
    let id = create(&client, &gateway, "x__slow").await;
    let get = async || client.result(&gateway, "tasks/get", json!({"taskId": id})).await;
    let update = async |responses: Value| {
        let params = json!({"taskId": id, "inputResponses": responses});
        let ack = client.result(&gateway, "tasks/update", params).await;
        assert_eq!((&ack["resultType"], ack.get("taskId")), (&json!("complete"), None));
    };
    assert_eq!(get().await["status"], "working");
    course.set(json!({"status": "input_required"}));
    let keys = || async { get().await["inputRequests"].as_object().is_some_and(|asked| asked.len() == 2) };
    until("both questions", keys).await;
    let task = get().await;
    assert_eq!(task["status"], "input_required", "{task}");
    let asked = task["inputRequests"].as_object().unwrap().clone();
    for (key, request) in &asked {
        assert_eq!(request["method"], "elicitation/create");
        let message = request["params"]["message"].as_str().unwrap();
        assert!(message.starts_with("[x] "), "{message} does not say who asks");
        assert!(!request.to_string().contains(OWN), "{key} tells the server's own id");
    }
    let [first, second] = [0, 1].map(|nth| asked.keys().nth(nth).unwrap().clone());
    update(json!({first.clone(): yes(), "nobody": yes()})).await;
    let task = get().await;
    assert_eq!(task["status"], "input_required");
    assert_eq!(task["inputRequests"].as_object().unwrap().keys().collect::<Vec<_>>(), [&second]);
    update(json!({first: {"action": "decline"}, second: {"action": "cancel"}})).await;
    let result = crate::harness::within("the end", async {
        loop {
            let task = get().await;
            if task["status"] == "completed" {
                break task["result"].clone();
            }
        }
    })
    .await;
    let said: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    let actions: Vec<_> = said.as_object().unwrap().values().cloned().collect();
    assert!(actions.contains(&json!("accept")) && actions.contains(&json!("cancel")), "{said}");
    assert_eq!(server.count("tasks/result"), 1, "held, not asked again");
}

#[tokio::test]
async fn a_legacy_client_is_asked_while_it_waits_for_the_result() {
    let course = Course::new();
    let server = asking(&course).await;
    let gateway = Gateway::before(&server.config());
    let session = legacy_client(&gateway).await;
    let id = create_legacy(&session, &gateway, "x__slow").await;
    course.set(json!({"status": "input_required"}));
    let said = wait_and_answer(&gateway, &session, &id, 2).await;
    assert_eq!(said, json!({"a": "accept", "b": "accept"}).to_string());
}

/// Waits for the result of a task and answers what is asked with yes; the text of the result.
async fn wait_and_answer(gateway: &Gateway, session: &Legacy, id: &str, questions: usize) -> String {
    let wait = json!({"jsonrpc": "2.0", "id": 5, "method": "tasks/result", "params": {"taskId": id}});
    let (_, mut events) = session.stream(gateway, &wait).await;
    for _ in 0..questions {
        let question = events.message().await.unwrap();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        assert_eq!(question["params"]["_meta"][RELATED]["taskId"], id, "{question}");
        let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": yes()});
        assert_eq!(session.send(gateway, &answer).await.status(), 202);
    }
    let answer = events.message().await.unwrap();
    assert_eq!(answer["id"], 5, "{answer}");
    assert_eq!(answer["result"]["_meta"][RELATED]["taskId"], id);
    answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_a_task_of_the_extension_asks_is_asked_once_and_updated() {
    let course = Course::new();
    let server = modern_server(&course).await;
    let gateway = Gateway::before(&server.config());
    let session = legacy_client(&gateway).await;
    let id = create_legacy(&session, &gateway, "x__slow").await;
    course.set(json!({"status": "input_required", "inputRequests": {"k1": form("sure?")}}));
    let answered = async {
        let update = server.nth("tasks/update", 1).await;
        assert_eq!(update.rpc["params"]["taskId"], OWN);
        assert_eq!(update.rpc["params"]["inputResponses"], json!({"k1": yes()}));
        course.complete("done", false);
    };
    let (said, ()) = tokio::join!(wait_and_answer(&gateway, &session, &id, 1), answered);
    assert_eq!(said, "done");
    assert_eq!(server.count("tasks/update"), 1);

    // The same for a client that is to know of no task.
    course.set(json!({"status": "input_required", "inputRequests": {"k2": form("sure?")}}));
    let call = json!({"jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": {
        "name": "x__slow", "arguments": {},
    }});
    let (_, mut events) = session.stream(&gateway, &call).await;
    let question = events.message().await.unwrap();
    assert!(question["params"].get("_meta").is_none(), "{question}");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}});
    session.send(&gateway, &answer).await;
    let update = server.nth("tasks/update", 2).await;
    assert_eq!(update.rpc["params"]["inputResponses"], json!({"k2": {"action": "decline"}}));
    course.complete("all the same", false);
    let answer = events.message().await.unwrap();
    assert_eq!(answer["result"]["content"][0]["text"], "all the same", "{answer}");
}

#[tokio::test]
async fn a_hosted_task_asks_what_its_call_asks() {
    let late = Arc::new(Notify::new());
    let release = late.clone();
    let mut fake = crate::harness::Fake::modern();
    fake.capabilities["extensions"] = json!({EXTENSION: {}});
    let server = fake
        .on("tools/call", move |seen, answer| {
            let late = late.clone();
            async move {
                let params = &seen.rpc["params"];
                if let Some(responses) = params.get("inputResponses") {
                    assert!(params.get("task").is_none());
                    return answer.result(text(&responses["who"]["action"].to_string())).await;
                }
                late.notified().await;
                let asks = json!({"resultType": "input_required", "inputRequests": {"who": form("who?")}});
                answer.result(asks).await;
            }
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let session = legacy_client(&gateway).await;
    let id = create_legacy(&session, &gateway, "x__echo").await;
    release.notify_one();
    let status = || async {
        session.result(&gateway, "tasks/get", json!({"taskId": id})).await["status"] == "input_required"
    };
    until("the question", status).await;
    assert_eq!(wait_and_answer(&gateway, &session, &id, 1).await, "\"accept\"");
}
