//! What has to survive between two eras: cancelling, progress, log levels, errors, streams and batches.

mod answers;
mod cancelling;
mod errors;
mod moving_on;
mod notes;

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::{Answer, Child, Fake, Upstream};

const CALL: &str = "tools/call";

fn call(id: &Value, name: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": CALL, "params": {"name": name, "arguments": {}}})
}

/// A server whose calls never end; `closed` tells when the other side hangs up.
async fn endless(fake: Fake, closed: Arc<Notify>) -> Upstream {
    fake.on(CALL, move |_, mut answer: Answer| {
        let closed = closed.clone();
        async move {
            answer.closed().await;
            closed.notify_one();
        }
    })
    .start()
    .await
}

/// A child whose calls never end.
async fn endless_child() -> Child {
    Child::new("handlers['tools/call'] = lambda r: None").await
}

fn cancel(id: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id, "reason": "changed my mind"}})
}
