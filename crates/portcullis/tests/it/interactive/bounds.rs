//! Bounds on what asks, waits and is kept; principals; stdio hosts.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::{ASKING_CHILD, CALL, CAPABILITIES, accepted, asking_over_http, form, modern_client};
use crate::harness::fake::{text, tool};
use crate::harness::{Child, Fake, Gateway, Modern, Relay, until};

#[tokio::test]
async fn so_many_calls_wait_for_a_client_and_no_more() {
    let server = asking_over_http(vec![form("who?")]).await;
    let limits = json!({"parked_per_client": 2, "parked_calls": 3});
    let gateway = Gateway::start(&json!({"servers": {"x": server.config()}, "limits": limits}));
    let client = modern_client();
    let mut rounds = Vec::new();
    for number in 0..2 {
        let arguments = json!({"n": number});
        rounds.push((arguments.clone(), client.call(&gateway, "echo", arguments).await));
    }
    let answer = client.request(&gateway, CALL, json!({"name": "echo", "arguments": {}})).await;
    let error = &answer.json()["error"];
    assert_eq!(error["data"]["reason"], "too_many_requests", "{error}");
    let told = server.nth("notifications/cancelled", 1).await;
    assert_eq!(told.rpc["params"]["requestId"], server.nth(CALL, 3).await.rpc["id"]);
    // Whoever comes back makes room.
    let (arguments, round) = &rounds[0];
    let key = round["inputRequests"].as_object().unwrap().keys().next().unwrap();
    let params = json!({
        "name": "echo", "arguments": arguments, "requestState": round["requestState"],
        "inputResponses": {key: accepted("Ann")},
    });
    client.result(&gateway, CALL, params).await;
    assert_eq!(client.call(&gateway, "echo", json!({})).await["resultType"], "input_required");
}

/// Every set of capabilities that a client can declare.
fn capability_sets() -> Vec<Value> {
    let samplings = [json!(null), json!({}), json!({"tools": {}}), json!({"context": {}})];
    let elicitations = [json!(null), json!({"form": {}}), json!({"url": {}}), json!({"form": {}, "url": {}})];
    let mut sets = Vec::new();
    for sampling in &samplings {
        for elicitation in &elicitations {
            for roots in [json!(null), json!({})] {
                sets.push(json!({"sampling": sampling, "elicitation": elicitation, "roots": roots}));
            }
        }
    }
    assert_eq!(sets.len(), 32);
    sets
}

#[tokio::test]
async fn made_up_capabilities_open_only_so_many_conversations() {
    let server = Fake::legacy().start().await;
    let gateway = Gateway::before(&server.config());
    for set in capability_sets() {
        let client = Modern::at("/mcp/s/x").with_meta(CAPABILITIES, set);
        // Those in use a moment ago are not taken from their clients; the rest waits its turn.
        until("a place", async || {
            let answer = client.request(&gateway, CALL, json!({"name": "echo", "arguments": {}})).await;
            answer.json().get("result").is_some()
        })
        .await;
    }
    // The one without, and 24 with.
    server.nth("DELETE", 32 - 1 - 24).await;
    assert!(server.count("initialize") >= 32);
}

/// A legacy child that answers everything; `running` counts its processes.
async fn answer_all(relay: Relay, running: Arc<Mutex<Running>>) {
    loop {
        let mut process = relay.started().await;
        running.lock().unwrap().begin();
        let running = running.clone();
        tokio::spawn(async move {
            while let Some(message) = process.read.next().await {
                let result = match message["method"].as_str() {
                    Some("initialize") => json!({
                        "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                        "serverInfo": {"name": "many", "version": "1"},
                    }),
                    Some("tools/list") => json!({"tools": [tool("echo")]}),
                    Some("tools/call") => text("done"),
                    _ => continue,
                };
                process.write.say(&json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).await;
            }
            running.lock().unwrap().now -= 1;
        });
    }
}

#[derive(Default)]
struct Running {
    now: usize,
    most: usize,
    all: usize,
}

impl Running {
    fn begin(&mut self) {
        self.now += 1;
        self.all += 1;
        self.most = self.most.max(self.now);
    }
}

#[tokio::test]
async fn made_up_capabilities_start_only_so_many_children() {
    let relay = Relay::new().await;
    let mut config = relay.config();
    config["era"] = json!("legacy");
    let running = Arc::<Mutex<Running>>::default();
    let serving = tokio::spawn(answer_all(relay, running.clone()));
    let gateway = Gateway::before(&config);
    for set in capability_sets() {
        let client = Modern::at("/mcp/s/x").with_meta(CAPABILITIES, set);
        until("a place", async || {
            let answer = client.request(&gateway, CALL, json!({"name": "echo", "arguments": {}})).await;
            answer.json().get("result").is_some()
        })
        .await;
    }
    {
        let running = running.lock().unwrap();
        assert!(running.all >= 32, "each set has its own: {}", running.all);
        // The one without, 24 with, and one that is about to end while the next begins.
        assert!(running.most <= 26, "{} at once", running.most);
    }
    drop(gateway);
    until("the end of all children", async || running.lock().unwrap().now == 0).await;
    serving.abort();
}

#[tokio::test]
async fn a_stopping_gateway_gives_parked_calls_up_and_lets_asked_clients_answer() {
    let child = Child::new(ASKING_CHILD).await;
    let mut gateway = Gateway::before(&child.config());
    let session = super::legacy_client(&gateway).await;
    let message = super::call(3, &json!({"ask": [form("who?")]}));
    let (_, mut events) = session.stream(&gateway, &message).await;
    let question = super::asked(&mut events, "elicitation/create").await;
    crate::harness::signal(gateway.pid(), rustix::process::Signal::TERM);
    until("the gateway drains", || async { gateway.get("/readyz").await.status() == 503 }).await;
    super::respond(&session, &gateway, &question["id"], &accepted("Ann")).await;
    let answer: Value = events.message().await.unwrap();
    assert_eq!(super::got(&answer["result"]), json!([accepted("Ann")]));
    let code = tokio::task::spawn_blocking(move || gateway.process().wait().unwrap()).await.unwrap();
    assert!(code.success(), "{code}");
}
