//! What a hostile, broken or merely old client can send, and what it gets for it.

mod connection;
mod http;
mod json;
mod limits;
mod memory;
mod modern;
mod sessions;

use serde_json::{Value, json};

use crate::harness::{Fake, Gateway, Upstream};

/// A gateway with one decent server behind it and these limits.
async fn gateway_with(limits: Value) -> (Gateway, Upstream) {
    let upstream = Fake::modern().start().await;
    let config = json!({"servers": {"x": upstream.config()}, "limits": limits});
    (Gateway::start(&config), upstream)
}

async fn gateway() -> (Gateway, Upstream) {
    gateway_with(json!({})).await
}

/// The headers of `initialize` and of every modern call are the business of other tests.
fn ping(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)
}
