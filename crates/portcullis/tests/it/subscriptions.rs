//! Clients that are told of changes, whichever era they and the servers speak.

use serde_json::{Value, json};

use crate::harness::http::Events;
use crate::harness::teller::SUBSCRIPTION_ID;
use crate::harness::{Gateway, Legacy, Modern};

mod cells;
mod ends;
mod feeds;
mod hostile;
mod own_session;
mod standalone;
mod stdio;
mod visible;

const LISTEN: &str = "subscriptions/listen";
const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
const TOOLS: &str = "notifications/tools/list_changed";
const UPDATED: &str = "notifications/resources/updated";

/// Opens a stream of a modern client; also what was acknowledged.
pub(crate) async fn listen(client: &Modern, gateway: &Gateway, filter: Value) -> (Value, Events) {
    let (head, mut events) = client.stream(gateway, LISTEN, json!({"notifications": filter})).await;
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    let first = events.message().await.expect("an acknowledgement");
    assert_eq!(first["method"], ACKNOWLEDGED, "{first}");
    assert_eq!(first["params"]["_meta"], json!({SUBSCRIPTION_ID: 1}));
    (first["params"]["notifications"].clone(), events)
}

/// Opens the standalone stream of a session.
async fn follow(session: &Legacy, gateway: &Gateway) -> Events {
    let mut events = session.listen(gateway, None).await;
    assert_eq!(events.next().await.unwrap().comment.as_deref(), Some("open"));
    events
}

/// Subscribes a session to a resource.
async fn subscribe(session: &Legacy, gateway: &Gateway, uri: &str) {
    let result = session.result(gateway, "resources/subscribe", json!({"uri": uri})).await;
    assert_eq!(result, json!({}));
}

/// The URI of the next message, which has to be an update.
async fn updated(events: &mut Events) -> String {
    let message = events.message().await.expect("the stream is open");
    assert_eq!(message["method"], UPDATED, "{message}");
    message["params"]["uri"].as_str().unwrap().to_owned()
}

/// One number of `/metrics`; 0 when it is not there.
async fn metric(gateway: &Gateway, series: &str) -> i64 {
    let metrics = gateway.get("/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map_or(0, |number| number.parse().unwrap())
}
