//! What becomes of the guard when the configuration changes.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{guarded, is_clean, planted, secret};
use crate::harness::fake::{text, tool};
use crate::harness::{Fake, Gateway, Legacy, Modern, signal, until};

async fn reload(gateway: &Gateway, config: &Value) {
    let told = "took up the guard";
    let before = gateway.log().matches(told).count();
    let path = gateway.folder().join("portcullis.json");
    let mut whole: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    whole["guard"] = config.clone();
    std::fs::write(path.with_extension("draft"), whole.to_string()).unwrap();
    std::fs::rename(path.with_extension("draft"), &path).unwrap();
    signal(gateway.pid(), Signal::HUP);
    until(told, async || gateway.log().matches(told).count() > before).await;
}

#[tokio::test]
async fn a_guard_is_taken_up_without_dropping_a_session_and_lists_are_read_anew() {
    let mut described = tool("say");
    described["description"] = json!(planted());
    let server = Fake::legacy()
        .tools(vec![described])
        .on("tools/call", |_, answer| answer.result(text(&planted())))
        .start()
        .await;
    let gateway = guarded(&server.config(), &json!({"profile": "none"}));
    let session = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
    let client = Modern::at("/mcp/s/x");
    let said = async || {
        let list = client.request(&gateway, "tools/list", json!({})).await.text();
        let call =
            session.request(&gateway, "tools/call", json!({"name": "say", "arguments": {}})).await.text();
        (list, call)
    };
    let (list, call) = said().await;
    assert!(list.contains(&secret()) && call.contains(&secret()), "nothing is asked for: {list} {call}");
    let mut events = session.listen(&gateway, None).await;
    reload(&gateway, &json!({"profile": "baseline"})).await;
    assert_eq!(events.message().await.unwrap()["method"], "notifications/tools/list_changed");
    let (list, call) = said().await;
    is_clean(&list, "the list, of which an older reading was kept");
    is_clean(&call, "a call of a session that was open");
    // A configuration with an error changes nothing.
    let broken =
        json!({"profile": "baseline", "rules": [{"name": "r", "entities": ["EMAIL"], "action": "hide"}]});
    let path = gateway.folder().join("portcullis.json");
    let mut whole: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    whole["guard"] = broken;
    std::fs::write(&path, whole.to_string()).unwrap();
    signal(gateway.pid(), Signal::HUP);
    gateway.logged("guard.rules[0].action").await;
    is_clean(&said().await.1, "after a broken file");
}
