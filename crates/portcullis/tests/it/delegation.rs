//! As whom servers are called: as the gateway, for each user, with the accounts that users connect.

use serde_json::{Value, json};

use crate::harness::authority::Authority;
use crate::harness::client::result_of;
use crate::harness::fake::tool;
use crate::harness::http::Response;
use crate::harness::idp::Idp;
use crate::harness::{Fake, Gateway, Modern, Upstream};

mod accounts;
mod obo;
mod users;

/// A server that takes the tokens of [`Authority`] alone, and lists for each of them something else.
fn guarded(fake: Fake) -> Fake {
    fake.guarded("Bearer", |shown| shown.starts_with("Bearer at-")).on(
        "tools/list",
        |seen, answer| async move {
            let shown = seen.header("authorization").unwrap().replace("Bearer ", "of-");
            let mut result = json!({"tools": [tool("echo"), tool(&shown)]});
            if seen.header("mcp-protocol-version") == Some("2026-07-28") {
                result["resultType"] = json!("complete");
                result["ttlMs"] = json!(60_000);
                result["cacheScope"] = json!("public");
            }
            answer.result(result).await;
        },
    )
}

/// The tokens that the server was shown.
fn shown(server: &Upstream) -> Vec<String> {
    let mut all: Vec<_> =
        server.seen().iter().filter_map(|seen| seen.header("authorization").map(str::to_owned)).collect();
    all.sort();
    all.dedup();
    all
}

fn names(listed: &Response) -> Vec<String> {
    let listed = result_of(listed);
    listed["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}
