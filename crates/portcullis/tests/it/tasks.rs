//! Tasks between the eras: the core of 2025-11-25 and the extension, in all four cells, and where one side has none.

mod bridge;
mod hosted;
mod ids;
mod inside;
mod questions;
mod told;
mod waits;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const EXTENSION: &str = "io.modelcontextprotocol/tasks";
const RELATED: &str = "io.modelcontextprotocol/related-task";
/// The servers' own id for their task.
const OWN: &str = "task/1 of the server";

/// A modern client that declares the extension.
pub(crate) fn declaring(path: &str) -> Modern {
    Modern::at(path).with_meta(CAPABILITIES, json!({"extensions": {EXTENSION: {}}}))
}

/// How the task of a server goes; the test says.
#[derive(Clone)]
pub(crate) struct Course(Arc<Mutex<Value>>);

impl Course {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(json!({"status": "working"}))))
    }

    pub(crate) fn set(&self, state: Value) {
        *self.0.lock().unwrap() = state;
    }

    fn get(&self) -> Value {
        self.0.lock().unwrap().clone()
    }

    /// It completes with this text; `failed` says that the tool calls it a failure.
    fn complete(&self, text: &str, failed: bool) {
        let result = json!({"content": [{"type": "text", "text": text}, {"type": "resource_link", "uri": "db://r", "name": "r"}], "isError": failed});
        self.set(json!({"status": "completed", "result": result}));
    }

    fn fail(&self) {
        self.set(json!({"status": "failed", "error": {"code": -5, "message": "it broke"}}));
    }
}

fn task(status: &Value) -> Value {
    json!({"taskId": OWN, "status": status, "createdAt": "2026-11-28T10:00:00Z", "lastUpdatedAt": "2026-11-28T10:00:01Z"})
}

/// A server of 2026-07-28 with the extension: `slow` becomes a task for whoever knows tasks, `quick` never does.
pub(crate) async fn modern_server(course: &Course) -> Upstream {
    let mut fake = Fake::modern().tools(vec![tool("slow", None), tool("quick", None)]);
    fake.capabilities["extensions"] = json!({EXTENSION: {}});
    let (get, cancel) = (course.clone(), course.clone());
    fake.on("tools/call", |seen, answer| async move {
        let declared = &seen.rpc["params"]["_meta"][CAPABILITIES]["extensions"][EXTENSION];
        if seen.rpc["params"]["name"] == "quick" {
            return answer.result(text("at once")).await;
        }
        if declared.is_null() {
            let data = json!({"requiredCapabilities": {"extensions": {EXTENSION: {}}}});
            return answer.error(400, json!({"code": -32021, "message": "needs tasks", "data": data})).await;
        }
        let mut task = task(&json!("working"));
        task["resultType"] = json!("task");
        task["ttlMs"] = json!(60_000);
        task["pollIntervalMs"] = json!(50);
        answer.result(task).await;
    })
    .on("tasks/get", move |seen, answer| {
        let state = get.get();
        async move {
            if seen.rpc["params"]["taskId"] != OWN || seen.header("mcp-name") != Some(OWN) {
                return answer.error(200, json!({"code": -32602, "message": "no such task"})).await;
            }
            let mut task = task(&state["status"]);
            task["ttlMs"] = json!(60_000);
            task["pollIntervalMs"] = json!(50);
            task["resultType"] = json!("complete");
            for member in ["result", "error", "inputRequests", "statusMessage"] {
                if let Some(value) = state.get(member) {
                    task[member] = value.clone();
                }
            }
            answer.result(task).await;
        }
    })
    .on("tasks/cancel", move |_, answer| {
        if cancel.get()["status"] == "working" {
            cancel.set(json!({"status": "cancelled"}));
        }
        answer.result(json!({"resultType": "complete"}))
    })
    .on("tasks/update", |_, answer| answer.result(json!({"resultType": "complete"})))
    .start()
    .await
}

/// A server of 2025-11-25 with tasks: `slow` can be one, `must` has to be, `quick` cannot.
pub(crate) async fn legacy_server(course: &Course) -> Upstream {
    legacy_tasks(course).start().await
}

fn legacy_tasks(course: &Course) -> Fake {
    let tools = vec![tool("slow", Some("optional")), tool("must", Some("required")), tool("quick", None)];
    let mut fake = Fake::legacy().tools(tools);
    fake.capabilities["tasks"] = json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}});
    let (get, cancel, result) = (course.clone(), course.clone(), course.clone());
    fake.on("tools/call", |seen, answer| async move {
        let params = &seen.rpc["params"];
        match (params["name"].as_str(), params.get("task")) {
            (Some("must"), None) | (Some("quick"), Some(_)) => {
                answer.error(200, json!({"code": -32601, "message": "task or no task"})).await;
            }
            (_, None) => answer.result(text("at once")).await,
            (_, Some(wish)) => {
                let mut task = task(&json!("working"));
                task["ttl"] = wish["ttl"].clone();
                task["pollInterval"] = json!(50);
                answer.result(json!({"task": task})).await;
            }
        }
    })
    .on("tasks/get", move |seen, answer| {
        let state = get.get();
        async move {
            if seen.rpc["params"]["taskId"] != OWN {
                return answer.error(200, json!({"code": -32602, "message": "no such task"})).await;
            }
            let failed = state["result"]["isError"] == true;
            let mut task = task(if failed { &Value::Null } else { &state["status"] });
            if failed {
                task["status"] = json!("failed");
            }
            task["ttl"] = json!(60_000);
            answer.result(task).await;
        }
    })
    .on("tasks/result", move |_, answer| {
        let course = result.clone();
        async move {
            while course.get()["status"] == "working" {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            let state = course.get();
            match state.get("error") {
                Some(error) => answer.error(200, error.clone()).await,
                None => {
                    let mut result = state["result"].clone();
                    result["_meta"] = json!({RELATED: {"taskId": OWN}});
                    answer.result(result).await;
                }
            }
        }
    })
    .on("tasks/cancel", move |_, answer| {
        let running = cancel.get()["status"] == "working";
        if running {
            cancel.set(json!({"status": "cancelled"}));
        }
        async move {
            if !running {
                return answer.error(200, json!({"code": -32602, "message": "it is over"})).await;
            }
            let mut task = task(&json!("cancelled"));
            task["ttl"] = json!(60_000);
            answer.result(task).await;
        }
    })
}

fn tool(name: &str, support: Option<&str>) -> Value {
    let mut tool = json!({"name": name, "inputSchema": {"type": "object"}});
    if let Some(support) = support {
        tool["execution"] = json!({"taskSupport": support});
    }
    tool
}

fn text(text: &str) -> Value {
    json!({"resultType": "complete", "content": [{"type": "text", "text": text}]})
}

/// A modern client's task; its id.
pub(crate) async fn create(client: &Modern, gateway: &Gateway, name: &str) -> String {
    let made = client.call(gateway, name, json!({})).await;
    assert_eq!(made["resultType"], "task", "{made}");
    assert!(made.get("task").is_none() && made.get("ttl").is_none(), "{made}");
    assert!(made["ttlMs"].is_u64() && made["createdAt"].is_string(), "{made}");
    made["taskId"].as_str().unwrap().to_owned()
}

/// A legacy client's task; its id.
pub(crate) async fn create_legacy(session: &Legacy, gateway: &Gateway, name: &str) -> String {
    let made = wish(session, gateway, name).await;
    assert!(made.get("resultType").is_none() && made["task"].get("ttlMs").is_none(), "{made}");
    assert!(made["task"]["createdAt"].is_string(), "{made}");
    made["task"]["taskId"].as_str().unwrap_or_else(|| panic!("no task: {made}")).to_owned()
}

async fn wish(session: &Legacy, gateway: &Gateway, name: &str) -> Value {
    let params = json!({"name": name, "arguments": {}, "task": {"ttl": 30_000}});
    session.result(gateway, "tools/call", params).await
}
