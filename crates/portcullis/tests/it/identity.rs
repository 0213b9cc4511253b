//! Who calls: tokens of an identity provider, API keys, proofs of possession, client certificates.

use serde_json::{Value, json};

use crate::harness::client::initialize;
use crate::harness::gateway::JSON;
use crate::harness::http::Response;
use crate::harness::idp::Idp;
use crate::harness::{Fake, Gateway, Modern, Upstream};

mod attacks;
mod certificates;
mod doctor;
mod exchange;
mod facade;
mod keys;
mod lasting;
mod login;
mod owners;
mod proofs;
mod shares;
mod streams;
mod suite;

/// A gateway that takes the tokens of a provider, before one server.
struct Scene {
    idp: Idp,
    gateway: Gateway,
    upstream: Upstream,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Value)) -> Self {
        let (idp, upstream) = (Idp::start().await, Fake::modern().start().await);
        let mut config = idp.config(&upstream.config());
        change(&mut config);
        let gateway = Gateway::start(&config);
        Self { idp, gateway, upstream }
    }

    /// A call of a modern client that shows this.
    async fn call(&self, authorization: &str) -> Response {
        self.call_with(&[("authorization", authorization)]).await
    }

    async fn call_with(&self, headers: &[(&str, &str)]) -> Response {
        let arguments = json!({"name": "x__echo", "arguments": {"n": 1}});
        Modern::new().request_with(&self.gateway, "tools/call", arguments, headers).await
    }

    /// How often the server was called.
    fn calls(&self) -> usize {
        self.upstream.count("tools/call")
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Opens a session of an older client with a token.
async fn open_session(gateway: &Gateway, token: &str) -> String {
    let authorization = bearer(token);
    let mut headers = JSON.to_vec();
    headers.push(("authorization", &authorization));
    let body = initialize("2025-11-25").to_string();
    let response = gateway.send("POST", "/mcp", &headers, body.as_bytes()).await;
    assert_eq!(response.status(), 200, "{response:?}");
    response.header("mcp-session-id").expect("a session id").to_owned()
}

/// Uses a session.
async fn ping(gateway: &Gateway, session: &str, token: Option<&str>) -> Response {
    let authorization = token.map(bearer);
    let mut headers = JSON.to_vec();
    headers.push(("mcp-session-id", session));
    headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "ping"}).to_string();
    gateway.send("POST", "/mcp", &headers, body.as_bytes()).await
}
