//! A modern server and a modern client: the server's state travels sealed and comes back as it was.

use serde_json::{Value, json};

use super::{CALL, CAPABILITIES, accepted, form, got, modern_client};
use crate::harness::fake::text;
use crate::harness::{Fake, Gateway, Modern, Upstream};

const STATE: &str = "é \"quoted\" \u{1f511}";

/// Asks once, with or without a state, and tells what it was told.
async fn asking(with_state: bool) -> Upstream {
    Fake::modern()
        .on(CALL, move |seen, answer| async move {
            let params = &seen.rpc["params"];
            if params.get("inputResponses").is_some() {
                let state = params.get("requestState").cloned();
                assert_eq!(state, with_state.then(|| json!(STATE)));
                return answer.result(text(&params["inputResponses"].to_string())).await;
            }
            let mut result = json!({"resultType": "input_required", "inputRequests": {"who": form("who?")}});
            if with_state {
                result["requestState"] = json!(STATE);
            }
            answer.result(result).await;
        })
        .start()
        .await
}

fn answering(name: &str, round: &Value) -> Value {
    let mut params = json!({"name": name, "arguments": {}, "inputResponses": {"who": accepted("Ann")}});
    if let Some(state) = round.get("requestState") {
        params["requestState"] = state.clone();
    }
    params
}

#[tokio::test]
async fn the_servers_state_comes_back_byte_for_byte() {
    let server = asking(true).await;
    let gateway = Gateway::before(&server.config());
    let client = modern_client();
    let round = client.call(&gateway, "echo", json!({})).await;
    assert_eq!(round["inputRequests"], json!({"who": form("who?")}));
    let state = round["requestState"].as_str().unwrap();
    assert!(state != STATE && !state.contains('é'), "sealed");
    for _ in 0..2 {
        // Whether it may be used twice is the server's matter, which can tell.
        let result = client.result(&gateway, CALL, answering("echo", &round)).await;
        assert_eq!(got(&result), json!({"who": accepted("Ann")}));
    }
    let mut raw = answering("echo", &round);
    raw["requestState"] = json!(STATE);
    assert_eq!(
        client.request(&gateway, CALL, raw).await.error_code(),
        -32602,
        "the server's own is not taken"
    );
    assert_eq!(client.request(&gateway, CALL, answering("other", &round)).await.error_code(), -32602);
    assert_eq!(server.count(CALL), 3);
}

#[tokio::test]
async fn a_server_that_gives_no_state_gets_none() {
    let server = asking(false).await;
    let gateway = Gateway::before(&server.config());
    let client = modern_client();
    let round = client.call(&gateway, "echo", json!({})).await;
    assert!(round.get("requestState").is_none());
    let result = client.result(&gateway, CALL, answering("echo", &round)).await;
    assert_eq!(got(&result), json!({"who": accepted("Ann")}));
}

#[tokio::test]
async fn capabilities_are_those_of_the_request() {
    let server = asking(false).await;
    let gateway = Gateway::before(&server.config());
    let sets = [json!({}), json!({"elicitation": {"form": {}}}), super::everything()];
    for (number, set) in sets.iter().enumerate() {
        let client = Modern::at("/mcp/s/x").with_meta(CAPABILITIES, set.clone());
        client.request(&gateway, CALL, json!({"name": "echo"})).await;
        let sent = server.nth(CALL, number + 1).await.rpc;
        assert_eq!(sent["params"]["_meta"][CAPABILITIES], *set);
    }
}

#[tokio::test]
async fn on_the_aggregate_the_client_reads_which_server_asks() {
    let server = asking(true).await;
    let gateway = Gateway::before(&server.config());
    let client = Modern::new().with_meta(CAPABILITIES, super::everything());
    let round = client.call(&gateway, "x__echo", json!({})).await;
    assert_eq!(round["inputRequests"]["who"]["params"]["message"], "[x] who?");
    let result = client.result(&gateway, CALL, answering("x__echo", &round)).await;
    assert_eq!(got(&result), json!({"who": accepted("Ann")}));
}

#[tokio::test]
async fn a_missing_capability_is_told_to_whoever_misses_it() {
    let server = Fake::modern()
        .on(CALL, |_, answer| {
            let data = json!({"requiredCapabilities": {"sampling": {}}});
            answer.error(400, json!({"code": -32021, "message": "sampling needed", "data": data}))
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let without = Modern::at("/mcp/s/x").request(&gateway, CALL, json!({"name": "echo"})).await;
    assert_eq!((without.status(), without.error_code()), (400, -32021));
    let with = modern_client().request(&gateway, CALL, json!({"name": "echo"})).await;
    assert_eq!((with.status(), with.error_code()), (200, -32603), "it has what is said to be missing");
}
