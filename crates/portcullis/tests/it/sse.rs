//! HTTP+SSE, the transport of 2024-11-05: clients that speak no other, servers that speak no other, and both of them
//! beside everything else.

mod clients;
mod crossings;
mod hostile_clients;
mod hostile_servers;
mod servers;

use serde_json::{Value, json};

use crate::harness::Gateway;

const CALL: &str = "tools/call";

fn call(id: i64, name: &str, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": CALL, "params": {"name": name, "arguments": arguments}})
}

/// The sessions that the gateway counts.
async fn sessions(gateway: &Gateway) -> u64 {
    let metrics = gateway.get("/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("portcullis_sessions ")).unwrap();
    line.parse().unwrap()
}
