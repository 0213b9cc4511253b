//! What a hostile, broken or slow server can do: to its own calls whatever it likes, to the rest nothing.

mod children;
mod floods;
mod lies;
mod lists;
mod silence;

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::text_of;
use crate::harness::{Answer, Fake, Gateway, Modern, Upstream};

/// No server of these tests may make the gateway hold more than this, in bytes, beyond what it held before.
const ENOUGH: usize = 48 << 20;

/// A gateway before `x`, which is hostile, and `good`, which is not.
async fn beside_good(server: &Value, limits: Value) -> (Gateway, Upstream) {
    let good = Fake::modern().start().await;
    let config = json!({"servers": {"x": server, "good": good.config()}, "limits": limits});
    (Gateway::start(&config), good)
}

/// The other server answers, and at once.
async fn good_is_unaffected(gateway: &Gateway) {
    let client = Modern::new();
    let answer = client.call(gateway, "good__echo", json!({"a": 1}));
    let answer = tokio::time::timeout(Duration::from_secs(2), answer).await.expect("an answer at once");
    assert_eq!(text_of(&answer), r#"{"a":1}"#);
}

/// A tool call that fails because of its server is a result that says so.
async fn fails(gateway: &Gateway) -> String {
    let result = Modern::at("/mcp/s/x").call(gateway, "echo", json!({})).await;
    assert_eq!(result["isError"], true, "{result}");
    assert_eq!(result["resultType"], "complete");
    text_of(&result).to_owned()
}

async fn never(mut answer: Answer) {
    answer.closed().await;
}
