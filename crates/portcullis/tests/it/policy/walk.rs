//! Every method of MCP, for a caller in no group, in the wrong one, and in the right one.

use serde_json::{Value, json};

use super::{Setting, names};
use crate::harness::http::Response;
use crate::harness::{Legacy, Modern};

const POLICIES: &str = r#"
    permit (principal in Group::"right", action, resource in Server::"open");
    permit (principal in Group::"wrong", action, resource in Server::"shut");
"#;

/// Each method, on the aggregate and on the server's own endpoint: a name for the table, and the params.
fn methods(own: bool) -> Vec<(&'static str, Value)> {
    let name = |name: &str| if own { name.to_owned() } else { format!("open__{name}") };
    let uri = if own { "db://a" } else { "mcp+open+db://a" };
    vec![
        ("server/discover", json!({})),
        ("tools/list", json!({})),
        ("tools/call", json!({"name": name("change"), "arguments": {}})),
        ("prompts/list", json!({})),
        ("prompts/get", json!({"name": name("ask")})),
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": uri})),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": name("ask")}, "argument": {"name": "a", "value": "v"}}),
        ),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": uri}, "argument": {"name": "a", "value": "v"}}),
        ),
        ("resources/subscribe", json!({"uri": uri})),
    ]
}

/// Requests whose callers are told apart elsewhere, each with the test that does.
const ELSEWHERE: &[(&str, &str)] = &[
    ("skills/list", "skills_and_folders_are_held_to_the_uri_that_they_are_of"),
    ("skills/get", "skills_and_folders_are_held_to_the_uri_that_they_are_of"),
    ("resources/directory/read", "skills_and_folders_are_held_to_the_uri_that_they_are_of"),
    ("subscriptions/listen", "what_may_not_be_read_is_not_subscribed_to"),
    ("tasks/get", "a_task_is_unknown_to_anybody_else"),
    ("tasks/update", "a_task_is_unknown_to_anybody_else"),
    ("tasks/cancel", "a_task_is_unknown_to_anybody_else"),
    ("tasks/result", "a_task_is_unknown_to_anybody_else"),
    ("tasks/list", "a_task_is_unknown_to_anybody_else"),
];
/// Requests that say nothing of any server: whoever is let in may send them, and who is, is in `surface`.
const OF_NO_SERVER: &[&str] = &["initialize", "ping", "logging/setLevel", "resources/unsubscribe"];
/// What servers ask clients.
const OF_SERVERS: &[&str] = &["sampling/createMessage", "elicitation/create", "roots/list"];

/// A method that is added to the code and to none of the tables is one that nobody has thought about.
#[test]
fn every_method_that_the_code_knows_has_a_row() {
    let rows = methods(true);
    for name in portcullis_mcp::method::Method::NAMES {
        let has_row = rows.iter().any(|(method, _)| method == name)
            || ELSEWHERE.iter().any(|(method, _)| method == name)
            || OF_NO_SERVER.contains(name)
            || OF_SERVERS.contains(name)
            || name.starts_with("notifications/");
        assert!(has_row, "{name} has no row");
    }
    for (method, test) in ELSEWHERE {
        let found = concat!(
            include_str!("exact.rs"),
            include_str!("told.rs"),
            include_str!("../interactive/principals.rs")
        );
        assert!(found.contains(&format!("fn {test}()")), "{method}: there is no test {test}");
    }
}

/// What an answer gives away of `open`: nothing (`-`), or something (`Y`).
fn gives(method: &str, answer: &Response) -> char {
    let body = answer.json();
    let Some(result) = body.get("result") else { return '-' };
    let told = match method {
        "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" => {
            let names = names(result);
            names.iter().any(|name| name.contains("open") || !name.contains("shut"))
        }
        "server/discover" => result["capabilities"]["tools"].is_object(),
        _ => true,
    };
    if told { 'Y' } else { '-' }
}

#[tokio::test]
async fn every_method_serves_those_who_may_and_nobody_else() {
    for modern in [true, false] {
        let mut table = Vec::new();
        for group in ["none", "wrong", "right"] {
            let groups = json!({group: ["anonymous"]});
            let setting = Setting::new(modern, POLICIES, json!({"groups": groups})).await;
            let gateway = &setting.gateway;
            for own in [false, true] {
                let path = if own { "/mcp/s/open" } else { "/mcp" };
                let client = Modern::at(path);
                let refused = own && group != "right";
                let session =
                    if refused { None } else { Some(Legacy::open_at(gateway, path, "2025-11-25").await) };
                for (method, params) in methods(own) {
                    if method != "resources/subscribe" {
                        let answer = client.request(gateway, method, params.clone()).await;
                        table.push((format!("{method} modern {own}"), group, gives(method, &answer)));
                    }
                    if method == "server/discover" {
                        continue;
                    }
                    let found = match &session {
                        Some(session) => gives(method, &session.request(gateway, method, params).await),
                        None => '-',
                    };
                    table.push((format!("{method} legacy {own}"), group, found));
                }
            }
            if group != "right" {
                assert_eq!(setting.open.count("tools/call"), 0);
                assert_eq!(setting.open.count("resources/read"), 0);
                assert_eq!(setting.open.count("prompts/get"), 0);
                assert_eq!(setting.open.count("completion/complete"), 0);
                assert_eq!(setting.open.count("resources/subscribe"), 0);
            }
        }
        for (row, group, found) in table {
            // The aggregate of whoever sees another server has tools, and they are not these.
            if row.starts_with("resources/subscribe") && group == "right" {
                // These servers tell nobody; who may is seen in `told`.
                continue;
            }
            let expected = match (row.as_str(), group) {
                ("server/discover modern false", "wrong") | (_, "right") => 'Y',
                _ => '-',
            };
            assert_eq!(found, expected, "{row} {group} (server of {modern})");
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_for_somebody_is_one_that_is_not_there() {
    let setting = Setting::new(true, POLICIES, json!({"groups": {"right": ["anonymous"]}})).await;
    let gateway = &setting.gateway;
    for (method, params) in methods(true) {
        if method == "resources/subscribe" {
            continue;
        }
        let ask = async |server: &str| {
            let client = Modern::at(&format!("/mcp/s/{server}"));
            let answer = client.request(gateway, method, params.clone()).await;
            (answer.status(), answer.text().replace(server, "…"))
        };
        assert_eq!(ask("shut").await, ask("none").await, "{method}");
    }
    let open = async |server: &str| {
        let hello = crate::harness::client::initialize("2025-11-25").to_string();
        let answer = gateway.post(&format!("/mcp/s/{server}"), hello).await;
        (answer.status(), answer.text().replace(server, "…"))
    };
    assert_eq!(open("shut").await, open("none").await);
}
