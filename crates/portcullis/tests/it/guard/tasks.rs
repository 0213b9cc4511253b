//! Calls that are answered later: status, results, errors and questions of tasks.

use serde_json::{Value, json};

use super::{guarded, is_clean, planted, redacting, secret};
use crate::harness::client::LEGACY;
use crate::harness::{Legacy, Upstream};
use crate::tasks::{Course, create, create_legacy, declaring, legacy_server, modern_server};

async fn servers() -> Vec<(&'static str, Course, Upstream)> {
    let (old, new) = (Course::new(), Course::new());
    let (legacy, modern) = (legacy_server(&old).await, modern_server(&new).await);
    vec![("legacy", old, legacy), ("modern", new, modern)]
}

/// How the task ends: well, badly, and with an error.
fn endings() -> [(&'static str, Value); 3] {
    let result = |failed: bool| json!({"content": [{"type": "text", "text": planted()}], "structuredContent": {"note": planted()}, "isError": failed});
    [
        ("completed", json!({"status": "completed", "result": result(false)})),
        ("failed", json!({"status": "completed", "result": result(true)})),
        (
            "error",
            json!({"status": "failed", "error": {"code": -5, "message": planted(), "data": {"why": planted()}}}),
        ),
    ]
}

#[tokio::test]
async fn what_comes_of_a_task_is_inspected_in_both_eras() {
    for (era, course, server) in servers().await {
        let gateway = guarded(&server.config(), &json!({}));
        let client = declaring("/mcp/s/x");
        let session = Legacy::open_at(&gateway, "/mcp/s/x", LEGACY).await;
        for (how, ending) in endings() {
            course.set(json!({"status": "working", "statusMessage": planted()}));
            let (ours, theirs) =
                (create(&client, &gateway, "slow").await, create_legacy(&session, &gateway, "slow").await);
            if era == "modern" {
                let said = client.request(&gateway, "tasks/get", json!({"taskId": ours})).await.text();
                is_clean(&said, "a word on how it goes, for a modern client");
                let said = session.request(&gateway, "tasks/get", json!({"taskId": theirs})).await.text();
                is_clean(&said, "a word on how it goes, for a legacy client");
                let said = session.request(&gateway, "tasks/list", json!({})).await.text();
                is_clean(&said, "a list of tasks");
            }
            course.set(ending);
            let what = format!("{how}, of a {era} server");
            let said = client.request(&gateway, "tasks/get", json!({"taskId": ours})).await.text();
            is_clean(&said, &format!("{what}, for a modern client"));
            let said = session.request(&gateway, "tasks/result", json!({"taskId": theirs})).await.text();
            is_clean(&said, &format!("{what}, for a legacy client"));
        }
    }
}

#[tokio::test]
async fn what_is_asked_and_answered_in_a_task_is_inspected() {
    let course = Course::new();
    let server = modern_server(&course).await;
    let gateway = guarded(&server.config(), &redacting());
    let client = declaring("/mcp/s/x").with_meta(
        "io.modelcontextprotocol/clientCapabilities",
        json!({"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {"form": {}}}),
    );
    let id = create(&client, &gateway, "slow").await;
    let schema = json!({"type": "object", "properties": {}});
    let question =
        json!({"method": "elicitation/create", "params": {"message": planted(), "requestedSchema": schema}});
    course.set(json!({"status": "input_required", "inputRequests": {"who": question}}));
    let said = client.request(&gateway, "tasks/get", json!({"taskId": id})).await.text();
    is_clean(&said, "a question in a task");
    let answer = json!({"who": {"action": "accept", "content": {"name": planted()}}});
    client.result(&gateway, "tasks/update", json!({"taskId": id, "inputResponses": answer})).await;
    let seen = server.nth("tasks/update", 1).await.rpc.to_string();
    is_clean(&seen, "an answer in a task");
    assert!(!seen.contains(&secret()), "{seen}");
}
