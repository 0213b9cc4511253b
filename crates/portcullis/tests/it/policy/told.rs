//! Subscriptions and tasks of what is denied.

use serde_json::{Value, json};

use super::write;
use crate::harness::client::initialize;
use crate::harness::gateway::JSON;
use crate::harness::idp::Idp;
use crate::harness::teller::Kind;
use crate::harness::{Gateway, Legacy, Modern, Teller, signal, until};
use crate::tasks::{Course, create, declaring, modern_server};
use rustix::process::Signal;

const LISTEN: &str = "subscriptions/listen";

fn policies(forbidden: &str) -> String {
    let forbid = if forbidden.is_empty() {
        String::new()
    } else {
        format!("forbid (principal, action, {forbidden});")
    };
    format!("permit (principal, action, resource); {forbid}")
}

fn started(teller: &Teller, forbidden: &str) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &policies(forbidden));
    let config = json!({"servers": {"x": teller.config()}, "policy": {"files": ["policies"]}});
    Gateway::start_in(folder, &config, &[])
}

async fn change(gateway: &Gateway, forbidden: &str) {
    let told = "took up the policies";
    let before = gateway.log().matches(told).count();
    write(gateway.folder(), &policies(forbidden));
    signal(gateway.pid(), Signal::HUP);
    until(told, async || gateway.log().matches(told).count() > before).await;
}

#[tokio::test]
async fn what_may_not_be_read_is_not_subscribed_to() {
    let mut teller = Teller::start(Kind::HttpModern).await;
    let gateway = started(&teller, r#"resource == Resource::"x/db://b""#);
    let client = Modern::new();
    let wish = json!({"resourceSubscriptions": ["mcp+x+db://a", "mcp+x+db://b"], "toolsListChanged": true});
    let (_, mut events) = client.stream(&gateway, LISTEN, json!({"notifications": wish})).await;
    let accepted = events.message().await.unwrap();
    assert_eq!(accepted["params"]["notifications"]["resourceSubscriptions"], json!(["mcp+x+db://a"]));
    teller.update("db://a").await;
    let told = events.message().await.unwrap();
    assert_eq!(told["params"]["uri"], "mcp+x+db://a");
    let session = Legacy::open(&gateway).await;
    let denied = session.request(&gateway, "resources/subscribe", json!({"uri": "mcp+x+db://b"})).await;
    let unknown = session.request(&gateway, "resources/subscribe", json!({"uri": "mcp+none+db://b"})).await;
    assert_eq!(denied.text().replace("mcp+x+", "mcp+none+"), unknown.text());
    // A stream that tells of what is not there any more ends in order, and its client opens another.
    change(&gateway, r#"resource is Resource in Server::"x""#).await;
    loop {
        let message = events.message().await.expect("an end in order");
        if message.get("result").is_some() {
            break;
        }
        assert_ne!(message["method"], "notifications/resources/updated");
    }
    let (_, mut events) = client.stream(&gateway, LISTEN, json!({"notifications": wish})).await;
    let accepted = events.message().await.unwrap();
    let accepted = &accepted["params"]["notifications"];
    assert!(accepted.get("resourceSubscriptions").is_none_or(|uris| *uris == json!([])), "{accepted}");
}

#[tokio::test]
async fn a_session_is_told_by_what_is_vouched_for_now_and_not_when_it_was_opened() {
    let (teller, idp) = (Teller::start(Kind::HttpModern).await, Idp::start().await);
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        r#"permit (principal, action, resource == Resource::"x/db://a");
           permit (principal in Group::"ops", action, resource in Server::"x");"#,
    );
    let mut config = idp.config(&teller.config());
    config["policy"] = json!({"files": ["policies"]});
    let gateway = Gateway::start_in(folder, &config, &[]);
    let ops = format!("Bearer {}", idp.token_with("ada", &json!({"groups": ["ops"]})));
    let none = format!("Bearer {}", idp.token_with("ada", &json!({"groups": []})));
    let post = async |authorization: &str, session: Option<&str>, message: Value| {
        let mut headers = JSON.to_vec();
        headers.push(("authorization", authorization));
        headers.extend(session.map(|id| ("mcp-session-id", id)));
        gateway.send("POST", "/mcp", &headers, message.to_string().as_bytes()).await
    };
    let opened = post(&ops, None, initialize("2025-11-25")).await;
    let session = opened.header("mcp-session-id").unwrap().to_owned();
    let subscribe = async |authorization: &str, uri: &str| {
        let params = json!({"uri": uri});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": params});
        post(authorization, Some(&session), message).await.text().contains("\"result\"")
    };
    assert!(subscribe(&ops, "mcp+x+db://b").await);
    assert!(!subscribe(&none, "mcp+x+db://b").await, "what was held is gone, and it is not there any more");
    assert!(subscribe(&none, "mcp+x+db://a").await);
    assert!(subscribe(&ops, "mcp+x+db://b").await, "and is again");
}

#[tokio::test]
async fn a_task_of_what_is_denied_by_now_is_no_task() {
    let server = modern_server(&Course::new()).await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &policies(""));
    let config = json!({"servers": {"x": server.config()}, "policy": {"files": ["policies"]}});
    let gateway = Gateway::start_in(folder, &config, &[]);
    let client = declaring("/mcp");
    let id = create(&client, &gateway, "x__slow").await;
    assert_eq!(client.result(&gateway, "tasks/get", json!({"taskId": id})).await["status"], "working");
    change(&gateway, r#"resource == Tool::"x/slow""#).await;
    let asked = server.count("tasks/get");
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let ask = async |id: &str| {
            let params = json!({"taskId": id, "inputResponses": {}});
            let answer = client.request(&gateway, method, params).await;
            (answer.status(), answer.text())
        };
        assert_eq!(ask(&id).await, ask("none").await, "{method}");
    }
    let wish = json!({"taskIds": [id], "toolsListChanged": true});
    let (_, mut events) = client.stream(&gateway, LISTEN, json!({"notifications": wish})).await;
    let accepted = events.message().await.unwrap();
    assert!(!accepted.to_string().contains(&id), "{accepted}");
    assert_eq!((server.count("tasks/get"), server.count("tasks/cancel")), (asked, 0));
}

#[tokio::test]
async fn new_policies_are_told_as_changed_lists() {
    let teller = Teller::start(Kind::HttpModern).await;
    let gateway = started(&teller, "");
    let session = Legacy::open(&gateway).await;
    let mut stream = session.listen(&gateway, None).await;
    change(&gateway, r#"resource in Server::"x""#).await;
    loop {
        let message = stream.message().await.expect("the stream is open");
        if message["method"] == "notifications/tools/list_changed" {
            break;
        }
    }
    let list = session.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(list["tools"], json!([]));
}
