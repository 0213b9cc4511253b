//! Sessions: whose they are, how many there may be, when they end.

use serde_json::json;

use super::{gateway, gateway_with, ping};
use crate::harness::Legacy;
use crate::harness::client::{LEGACY, initialize};
use crate::harness::gateway::JSON;

#[tokio::test]
async fn a_session_is_good_for_its_own_endpoint_until_it_ends() {
    let (gateway, _upstream) = gateway().await;
    let session = Legacy::open(&gateway).await;
    let mut elsewhere = JSON.to_vec();
    elsewhere.push(("mcp-session-id", &session.session));
    for verb in ["POST", "GET", "DELETE"] {
        let answer = gateway.send(verb, "/mcp/s/x", &elsewhere, ping("1").as_bytes()).await;
        assert_eq!(answer.status(), 404, "{verb} with a session of another endpoint");
    }
    let long = "A".repeat(4000);
    for id in ["AAAAAAAAAAAAAAAAAAAAAA", "", "x y", long.as_str(), "../../etc"] {
        let mut headers = JSON.to_vec();
        headers.push(("mcp-session-id", id));
        let answer = gateway.send("POST", "/mcp", &headers, ping("1").as_bytes()).await;
        assert_eq!(answer.status(), 404, "{id:.20}");
    }
    let without = gateway.post("/mcp", ping("1")).await;
    assert_eq!(
        (without.status(), without.json()["error"]["data"]["reason"].clone()),
        (400, json!("session_required"))
    );

    assert_eq!(session.request(&gateway, "ping", json!({})).await.status(), 200);
    let again = session.send(&gateway, &initialize(LEGACY)).await;
    assert_eq!(again.error_code(), -32600, "it is initialized already");
    let mut listening = session.listen(&gateway, None).await;
    assert_eq!(session.delete(&gateway).await.status(), 204);
    while listening.next().await.is_some() {}
    for answer in [session.request(&gateway, "ping", json!({})).await, session.delete(&gateway).await] {
        assert_eq!(answer.status(), 404);
    }
}

#[tokio::test]
async fn sessions_are_limited_and_end_with_their_owner() {
    let (gateway, _upstream) = gateway_with(json!({"sessions": 2})).await;
    let first = Legacy::open(&gateway).await;
    let _second = Legacy::open(&gateway).await;
    let third = gateway.post("/mcp", initialize(LEGACY).to_string()).await;
    assert_eq!((third.status(), third.header("retry-after")), (503, Some("1")), "{third:?}");
    first.delete(&gateway).await;
    Legacy::open(&gateway).await;
}
