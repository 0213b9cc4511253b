//! Who may do what: lists, calls, subscriptions and tasks, in both eras, and what is not there for whom.

mod commands;
mod exact;
mod guessing;
mod history;
mod people;
mod rounds;
mod shadow;
mod step_up;
mod told;
mod users;
mod walk;

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::fake::tool;
use crate::harness::{Fake, Gateway, Upstream, signal, until};
use rustix::process::Signal;

/// A tool that says that it only reads.
fn reading(name: &str) -> Value {
    let mut tool = tool(name);
    tool["annotations"] = json!({"readOnlyHint": true});
    tool
}

/// A server with something of every kind. Its tools are `look`, which only reads, and `change`.
fn something(modern: bool) -> Fake {
    let mut fake = if modern { Fake::modern() } else { Fake::legacy() };
    fake.capabilities["completions"] = json!({});
    fake.capabilities["resources"] = json!({"subscribe": true, "listChanged": true});
    fake.tools(vec![reading("look"), tool("change")])
        .list("prompts", vec![json!({"name": "ask"})])
        .list("resources", vec![json!({"uri": "db://a", "name": "a"}), json!({"uri": "db://b", "name": "b"})])
        .list("resourceTemplates", vec![json!({"uriTemplate": "db://{name}", "name": "t"})])
        .on("resources/read", |seen, answer| async move {
            let uri = seen.rpc["params"]["uri"].clone();
            let contents = json!([{"uri": uri, "text": "read"}]);
            let result =
                json!({"contents": contents, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"});
            answer.result(result).await;
        })
        .on("prompts/get", |_, answer| answer.result(json!({"messages": [], "resultType": "complete"})))
        .on("completion/complete", |_, answer| {
            answer.result(json!({"completion": {"values": ["v"]}, "resultType": "complete"}))
        })
}

/// Two servers, `open` and `shut`, and policies in a folder beside the configuration.
struct Setting {
    gateway: Gateway,
    open: Upstream,
    shut: Upstream,
}

impl Setting {
    async fn new(modern: bool, text: &str, policy: Value) -> Self {
        let (open, shut) = (something(modern).start().await, something(modern).start().await);
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), text);
        let config = configuration(&open, &shut, policy);
        Self { gateway: Gateway::start_in(folder, &config, &[]), open, shut }
    }

    /// Writes other policies and waits until they are in force.
    async fn change(&self, text: &str) {
        let told = "took up the policies";
        let before = self.gateway.log().matches(told).count();
        write(self.gateway.folder(), text);
        signal(self.gateway.pid(), Signal::HUP);
        until(told, async || self.gateway.log().matches(told).count() > before).await;
    }
}

fn configuration(open: &Upstream, shut: &Upstream, mut policy: Value) -> Value {
    policy["files"] = json!(["policies"]);
    json!({"servers": {"open": open.config(), "shut": shut.config()}, "policy": policy})
}

fn write(folder: &Path, text: &str) {
    let folder = folder.join("policies");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("draft"), text).unwrap();
    std::fs::rename(folder.join("draft"), folder.join("all.cedar")).unwrap();
}

/// The names, or URIs, in the result of a list.
fn names(list: &Value) -> Vec<&str> {
    let lists = ["tools", "prompts", "resources", "resourceTemplates"];
    let items = lists.iter().find_map(|member| list[member].as_array()).expect("a list");
    let name = |item: &'_ Value| {
        ["uri", "uriTemplate", "name"].iter().find_map(|key| item[key].as_str().map(|_| *key))
    };
    items.iter().map(|item| item[name(item).expect("a name")].as_str().unwrap()).collect()
}
