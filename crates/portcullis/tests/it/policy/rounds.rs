//! What was permitted when it began is asked about again: rounds, cursors, and policies that change meanwhile.

use serde_json::{Value, json};

use super::{Setting, names, write};
use crate::harness::fake::{text, tool};
use crate::harness::http::Response;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, signal};
use rustix::process::Signal;

const ALL: &str = "permit (principal, action, resource);";
const NO_CALLS: &str = r#"
    permit (principal, action, resource);
    forbid (principal, action == Action::"tools/call", resource == Tool::"x/echo");
"#;

fn without(tool: &str) -> String {
    format!("{ALL} forbid (principal, action, resource == Tool::\"{tool}\");")
}

fn form() -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": "who?", "requestedSchema": schema}})
}

fn asking() -> Modern {
    let caps = json!({"elicitation": {"form": {}}});
    Modern::new().with_meta("io.modelcontextprotocol/clientCapabilities", caps)
}

/// A modern server that asks once.
async fn relayed() -> crate::harness::Upstream {
    let fake = Fake::modern().on("tools/call", |seen, answer| async move {
        if seen.rpc["params"].get("requestState").is_some() {
            return answer.result(text("done")).await;
        }
        answer
            .result(
                json!({"resultType": "input_required", "requestState": "s", "inputRequests": {"k": form()}}),
            )
            .await;
    });
    fake.start().await
}

/// A legacy server that asks in the middle.
async fn parked() -> crate::harness::Upstream {
    let fake = Fake::legacy().on("tools/call", |_, mut answer| async move {
        answer.open_stream().await;
        let mut question = form();
        question["jsonrpc"] = json!("2.0");
        question["id"] = json!("q");
        answer.event(&question).await;
        std::future::pending::<()>().await;
    });
    fake.start().await
}

#[tokio::test]
async fn every_attempt_is_asked_about_anew() {
    for is_parked in [false, true] {
        let server = if is_parked { parked().await } else { relayed().await };
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), ALL);
        let config = json!({"servers": {"x": server.config()}, "policy": {"files": ["policies"]}});
        let gateway = Gateway::start_in(folder, &config, &[]);
        let client = asking();
        let mut params = json!({"name": "x__echo", "arguments": {}});
        let round = client.result(&gateway, "tools/call", params.clone()).await;
        assert_eq!(round["resultType"], "input_required", "{round}");
        write(gateway.folder(), NO_CALLS);
        signal(gateway.pid(), Signal::HUP);
        gateway.logged("took up the policies").await;
        let key = round["inputRequests"].as_object().unwrap().keys().next().unwrap();
        params["requestState"] = round["requestState"].clone();
        params["inputResponses"] = json!({key: {"action": "accept", "content": {"name": "Ann"}}});
        let denied = client.request(&gateway, "tools/call", params.clone()).await;
        assert_eq!(denied.json()["error"]["message"], "there is no tool `x__echo` here", "{is_parked}");
        assert_eq!(server.count("tools/call"), 1, "{is_parked}");
    }
}

/// A list's page, as this client gets it: of 2026-07-28, or in a session.
async fn page(gateway: &Gateway, path: &str, session: Option<&Legacy>, cursor: &Value) -> Response {
    let params = if cursor.is_null() { json!({}) } else { json!({"cursor": cursor}) };
    match session {
        Some(session) => session.request(gateway, "tools/list", params).await,
        None => Modern::at(path).request(gateway, "tools/list", params).await,
    }
}

#[tokio::test]
async fn a_cursor_into_what_is_shown_no_more_has_expired() {
    let tools: Vec<_> = (0..150).map(|number| tool(&format!("t{number}"))).collect();
    let (old, new) = (Fake::legacy().tools(tools.clone()), Fake::modern().tools(tools));
    let (old, new) = (old.start().await, new.start().await);
    let child = Child::new("tools = [dict(tools[0], name='t%d' % number) for number in range(150)]").await;
    let hidden =
        |tool: &str| ["old", "new", "child"].map(|server| without(&format!("{server}/{tool}"))).join("\n");
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &hidden("t7"));
    let servers = json!({"old": old.config(), "new": new.config(), "child": child.config()});
    let config = json!({"servers": servers, "policy": {"files": ["policies"]}, "limits": {"list_page": 100}});
    let gateway = Gateway::start_in(folder, &config, &[]);
    let mut walks = Vec::new();
    for path in ["/mcp", "/mcp/s/old", "/mcp/s/new", "/mcp/s/child"] {
        let mut clients = vec![None];
        for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
            clients.push(Some(Legacy::open_at(&gateway, path, revision).await));
        }
        for session in clients {
            let first = page(&gateway, path, session.as_ref(), &Value::Null).await.json()["result"].take();
            let mut cursor = first["nextCursor"].clone();
            let mut all = names(&first).len();
            let kept = cursor.clone();
            while !cursor.is_null() {
                let next = page(&gateway, path, session.as_ref(), &cursor).await.json()["result"].take();
                all += names(&next).len();
                cursor = next["nextCursor"].clone();
            }
            assert_eq!(all, if path == "/mcp" { 3 * 149 } else { 149 }, "{path}");
            walks.push((path, session, kept));
        }
    }
    write(gateway.folder(), &hidden("t140"));
    signal(gateway.pid(), Signal::HUP);
    gateway.logged("took up the policies").await;
    for (path, session, cursor) in &walks {
        let expired = page(&gateway, path, session.as_ref(), cursor).await;
        assert!(expired.text().contains("the cursor has expired"), "{path}: {expired:?}");
        let first = page(&gateway, path, session.as_ref(), &Value::Null).await.json()["result"].take();
        let shown = if *path == "/mcp" { "child__t7" } else { "t7" };
        assert!(names(&first).contains(&shown), "{path}");
    }
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_a_new_one_is_taken_up() {
    let only_look = r#"permit (principal, action, resource == Tool::"open/look");"#;
    let setting = Setting::new(true, only_look, json!({})).await;
    let (gateway, client) = (&setting.gateway, Modern::new());
    let session = Legacy::open(gateway).await;
    let list = async || {
        let list = client.result(gateway, "tools/list", json!({})).await;
        let names = names(&list).join(" ");
        assert_eq!(super::names(&session.result(gateway, "tools/list", json!({})).await).join(" "), names);
        names
    };
    assert_eq!(list().await, "open__look");
    write(gateway.folder(), "permit (principal, action, resource);\npermit (principle, action, resource);");
    signal(gateway.pid(), Signal::HUP);
    let told = gateway.logged("all.cedar:2:").await;
    assert!(told.contains("error"), "{told}");
    gateway.logged("the old one stays in force").await;
    assert_eq!(list().await, "open__look");
    setting.change(r#"permit (principal, action, resource in Server::"shut");"#).await;
    assert_eq!(list().await, "shut__look shut__change");
    // Another file in the folder is noticed without being asked.
    std::fs::write(gateway.folder().join("policies/more.cedar"), only_look).unwrap();
    let both = async || {
        let list = client.result(gateway, "tools/list", json!({})).await;
        names(&list) == ["open__look", "shut__look", "shut__change"]
    };
    crate::harness::until("the other file", both).await;
}
