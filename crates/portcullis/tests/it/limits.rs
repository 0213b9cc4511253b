//! Rates, places and budgets: what is beyond is refused with the time to come back, in either era, and reaches no server.

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::fake::{text, tool};
use crate::harness::http::Response;
use crate::harness::idp::sha256;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream, hex, signal, until};

const ANN: &str = "pcl_ann-ann-ann-ann-ann-ann-ann-ann-ann-ann-ann";
const BEN: &str = "pcl_ben-ben-ben-ben-ben-ben-ben-ben-ben-ben-ben";

fn keys(folder: &Path) {
    let hash = |key: &str| json!([{"sha256": hex(&sha256(key.as_bytes()))}]);
    let keys = json!({"keys": {
        "ann": {"hashes": hash(ANN), "groups": ["interns"]},
        "ben": {"hashes": hash(BEN), "groups": ["staff"]},
    }});
    std::fs::write(folder.join("keys.json"), keys.to_string()).unwrap();
}

fn config(server: &Value, calls: &Value) -> Value {
    json!({
        "servers": {"x": server}, "identity": {"keys": {"file": "keys.json"}}, "limits": {"calls": calls},
        "policy": {"files": ["all.cedar"]},
        "telemetry": {"log": {"filter": "info"}, "allow": {"groups": ["staff"]}},
    })
}

async fn start(calls: Value) -> (Gateway, Upstream) {
    let server = Fake::modern().tools(vec![tool("look"), tool("change"), tool("hidden")]).start().await;
    let folder = tempfile::tempdir().unwrap();
    keys(folder.path());
    let policies =
        r#"permit (principal, action, resource); forbid (principal, action, resource == Tool::"x/hidden");"#;
    std::fs::write(folder.path().join("all.cedar"), policies).unwrap();
    let gateway = Gateway::start_in(folder, &config(&server.config(), &calls), &[]);
    (gateway, server)
}

async fn call(gateway: &Gateway, key: &str, name: &str) -> Response {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    let params = json!({"name": format!("x__{name}"), "arguments": {}});
    Modern::new().request_with(gateway, "tools/call", params, &headers).await
}

fn retry_after(answer: &Response) -> u64 {
    answer.header("retry-after").expect("Retry-After").parse().expect("whole seconds")
}

#[tokio::test]
async fn a_budget_is_each_callers_and_the_refusal_says_when_it_is_new() {
    let calls = json!([{"name": "daily", "each": ["principal"], "budget": "2/24h"}]);
    let (gateway, server) = start(calls).await;
    let left = || 86_400 - std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() % 86_400;
    if left() < 60 {
        // With the day, all that was spent is given back.
        tokio::time::sleep(std::time::Duration::from_secs(left())).await;
    }
    let before = left();
    for _ in 0..2 {
        assert_eq!(call(&gateway, ANN, "look").await.status(), 200);
    }
    let refused = call(&gateway, ANN, "look").await;
    assert_eq!(refused.status(), 429);
    let error = &refused.json()["error"];
    assert_eq!((&error["code"], &error["data"]["reason"]), (&json!(-32603), &json!("budget_spent")));
    assert_eq!(error["data"]["limit"], "daily");
    let told = retry_after(&refused);
    assert!((left()..=before + 1).contains(&told), "{told} s, and the day had {before}");
    assert_eq!(error["data"]["retryAfterSeconds"], told);
    assert_eq!(call(&gateway, BEN, "look").await.status(), 200, "another has a budget of its own");
    assert_eq!(server.count("tools/call"), 3);
    let reached = "portcullis_limits_reached_total{limit=\"daily\",reason=\"budget_spent\"} 1";
    let reader = format!("Bearer {BEN}");
    let metrics = gateway.send("GET", "/metrics", &[("authorization", &reader)], b"").await.text();
    assert!(metrics.contains(reached) && !metrics.contains("ann"), "{metrics}");
    // Lists cost none of it; what is not there is not there, and not used up.
    let authorization = format!("Bearer {ANN}");
    let headers = [("authorization", authorization.as_str())];
    let list = Modern::new().request_with(&gateway, "tools/list", json!({}), &headers).await;
    assert_eq!(list.status(), 200);
    assert_eq!(call(&gateway, ANN, "hidden").await.error_code(), -32602);
    assert_eq!(call(&gateway, ANN, "nothing").await.error_code(), -32602);
}

#[tokio::test]
async fn whoever_comes_back_when_told_is_served() {
    let calls = json!([{"name": "slowly", "tools": ["x/ch*"], "rate": "1/5s"}]);
    let (gateway, server) = start(calls).await;
    assert_eq!(call(&gateway, ANN, "change").await.status(), 200);
    let refused = call(&gateway, BEN, "change").await;
    assert_eq!((refused.status(), refused.error_code()), (429, -32603));
    assert_eq!(refused.json()["error"]["data"]["reason"], "rate_limited");
    let seconds = retry_after(&refused);
    assert!((1..=5).contains(&seconds), "{seconds}");
    assert_eq!(call(&gateway, BEN, "look").await.status(), 200, "the limit is that tool's");
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
    assert_eq!(call(&gateway, BEN, "change").await.status(), 200);
    assert_eq!(server.count("tools/call"), 3);
}

#[tokio::test]
async fn sessions_are_held_to_the_same_and_read_it_in_their_own_form() {
    let server = Fake::legacy().tools(vec![tool("look")]).start().await;
    let calls = json!([{"name": "all", "budget": "2/24h"}]);
    let gateway = Gateway::start(&json!({"servers": {"x": server.config()}, "limits": {"calls": calls}}));
    let session = Legacy::open(&gateway).await;
    let other = Legacy::open(&gateway).await;
    let params = json!({"name": "x__look", "arguments": {}});
    for session in [&session, &other] {
        assert_eq!(session.request(&gateway, "tools/call", params.clone()).await.status(), 200);
    }
    let refused = other.request(&gateway, "tools/call", params).await;
    let error = &refused.json()["error"];
    assert_eq!((refused.status(), &error["data"]["reason"]), (429, &json!("budget_spent")), "{error}");
    assert!(retry_after(&refused) <= 86_400);
    assert_eq!(server.count("tools/call"), 2);
    assert_eq!(other.request(&gateway, "ping", json!({})).await.status(), 200, "the session goes on");
}

#[tokio::test]
async fn places_are_taken_while_a_call_runs_and_given_back_however_it_ends() {
    let server = Fake::modern()
        .tools(vec![tool("look")])
        .on("tools/call", |seen, answer| async move {
            if seen.rpc["params"]["arguments"]["wait"] == true {
                std::future::pending::<()>().await;
            }
            answer.result(text("done")).await;
        })
        .start()
        .await;
    let calls = json!([{"name": "one", "servers": ["x"], "concurrent": 1}]);
    let gateway = Gateway::start(&json!({"servers": {"x": server.config()}, "limits": {"calls": calls}}));
    let client = Modern::new();
    let mut waiting = gateway.connect().await;
    let wait = client.body("tools/call", json!({"name": "x__look", "arguments": {"wait": true}}));
    client.write(&mut waiting, &wait, &[]).await;
    until("the call under way", async || server.count("tools/call") == 1).await;
    let params = json!({"name": "x__look", "arguments": {}});
    let refused = client.request(&gateway, "tools/call", params.clone()).await;
    assert_eq!((refused.status(), retry_after(&refused)), (429, 1));
    assert_eq!(refused.json()["error"]["data"]["reason"], "too_many_requests");
    drop(waiting);
    let free = async || client.request(&gateway, "tools/call", params.clone()).await.status() == 200;
    until("the place", free).await;
    assert_eq!(client.request(&gateway, "tools/call", params.clone()).await.status(), 200);
}

#[tokio::test]
async fn other_limits_are_taken_up_while_it_runs_and_go_on_counting() {
    let limit = |budget: &str| json!([{"name": "interns", "groups": ["interns"], "each": ["group"], "budget": budget}]);
    let (gateway, server) = start(limit("1/24h")).await;
    assert_eq!(call(&gateway, ANN, "look").await.status(), 200);
    assert_eq!(call(&gateway, ANN, "look").await.status(), 429);
    assert_eq!(call(&gateway, BEN, "look").await.status(), 200, "no intern");
    gateway.rewrite_config(&config(&server.config(), &limit("2/24h")));
    signal(gateway.pid(), Signal::HUP);
    until("the new budget", async || call(&gateway, ANN, "look").await.status() == 200).await;
    assert_eq!(call(&gateway, ANN, "look").await.status(), 429, "what was used is used");
    gateway.rewrite_config(&config(&server.config(), &json!([])));
    signal(gateway.pid(), Signal::HUP);
    until("no limit", async || call(&gateway, ANN, "look").await.status() == 200).await;
}
