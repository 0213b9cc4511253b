//! What people decide about tools: pinned definitions, flows, approvals and the kill switch, before hostile servers.

mod definitions;
mod first_sight;
mod flows;
mod halts;
mod held;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::fake::tool;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream};

/// A server whose lists a test changes while it runs. They are asked for each time.
struct Evolving {
    upstream: Upstream,
    lists: Arc<Mutex<Value>>,
}

impl Evolving {
    async fn start(modern: bool, lists: Value) -> Self {
        let mut fake = if modern { Fake::modern() } else { Fake::legacy() };
        fake.capabilities["completions"] = json!({});
        for (member, capability) in [("prompts", "prompts"), ("resources", "resources")] {
            if lists.get(member).is_some() {
                fake.capabilities[capability] = json!({"listChanged": true});
            }
        }
        let lists = Arc::new(Mutex::new(lists));
        for (method, member) in [
            ("tools/list", "tools"),
            ("prompts/list", "prompts"),
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
        ] {
            let lists = lists.clone();
            fake = fake.on(method, move |_, answer| {
                let items = lists.lock().unwrap().get(member).cloned().unwrap_or_else(|| json!([]));
                answer.result(json!({
                    member: items, "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
                }))
            });
        }
        let upstream = fake
            .on("prompts/get", |_, answer| answer.result(json!({"messages": [], "resultType": "complete"})))
            .on("resources/read", |seen, answer| async move {
                let contents = json!([{"uri": seen.rpc["params"]["uri"], "text": "read"}]);
                let hints = json!({"ttlMs": 0, "cacheScope": "private", "resultType": "complete"});
                let mut result = json!({"contents": contents});
                result.as_object_mut().unwrap().extend(hints.as_object().unwrap().clone());
                answer.result(result).await;
            })
            .on("completion/complete", |_, answer| {
                answer.result(json!({"completion": {"values": ["v"]}, "resultType": "complete"}))
            })
            .start()
            .await;
        Self { upstream, lists }
    }

    /// A server that has tools alone.
    async fn with_tools(modern: bool, tools: Value) -> Self {
        Self::start(modern, json!({"tools": tools})).await
    }

    fn set(&self, member: &str, items: Value) {
        self.lists.lock().unwrap()[member] = items;
    }

    fn config(&self) -> Value {
        let mut config = self.upstream.config();
        config["list_ttl"] = json!("0s");
        config
    }
}

/// A gateway whose store a second process can reach.
pub(crate) fn start(mut config: Value) -> Gateway {
    config["store"] = json!({"kind": "sqlite"});
    Gateway::start(&config)
}

/// Runs the program beside a gateway.
pub(crate) fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .current_dir(folder)
        .env_remove("PORTCULLIS_CONFIG")
        .env_remove("PORTCULLIS_LOG")
        .env("USER", "ops");
    command.args(args).args(["--config", "portcullis.json"]).output().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The same, where it has to go well.
pub(crate) fn done(folder: &Path, args: &[&str]) -> String {
    let output = run(folder, args);
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The names in a list, in its order.
fn names(result: &Value, member: &str, key: &str) -> String {
    let items = result[member].as_array().unwrap().iter();
    items.map(|item| item[key].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// The names of all tools, as clients of both eras see them, which is the same.
async fn tools(gateway: &Gateway) -> String {
    // Who asks a server alone is told what it says now; among many, what it said a moment ago.
    for server in gateway.ready().await["servers"].as_object().unwrap().keys() {
        let path = format!("/mcp/s/{server}");
        Modern::at(&path).request(gateway, "tools/list", json!({})).await;
        let session = Legacy::open_at(gateway, &path, "2025-11-25").await;
        session.request(gateway, "tools/list", json!({})).await;
    }
    let modern = Modern::new().result(gateway, "tools/list", json!({})).await;
    let legacy = Legacy::open(gateway).await.result(gateway, "tools/list", json!({})).await;
    assert_eq!(names(&modern, "tools", "name"), names(&legacy, "tools", "name"));
    names(&modern, "tools", "name")
}

/// The names of all tools, while they may change any moment.
async fn listed(gateway: &Gateway) -> String {
    names(&Modern::new().result(gateway, "tools/list", json!({})).await, "tools", "name")
}

/// The message and the reason of an error.
fn error(answer: &Value) -> (String, String) {
    let error = answer.get("error").unwrap_or_else(|| panic!("no error: {answer}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&error["data"]["reason"]), text(&error["message"]))
}

/// Why a tool is not called, for clients of both eras.
async fn refused(gateway: &Gateway, name: &str) -> (String, String) {
    let params = json!({"name": name, "arguments": {}});
    let modern = Modern::new().request(gateway, "tools/call", params.clone()).await.json();
    let legacy = Legacy::open(gateway).await.request(gateway, "tools/call", params).await.json();
    assert_eq!(error(&modern), error(&legacy));
    error(&modern)
}

/// A tool that says this of itself.
fn saying(name: &str, description: &str) -> Value {
    let mut tool = tool(name);
    tool["description"] = json!(description);
    tool
}
