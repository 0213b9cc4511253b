//! MCP clients of both eras, reduced to what the wire demands.

use serde_json::{Value, json};

use super::gateway::{Gateway, JSON};
use super::http::{Connection, Events, Head, Response};

/// The current revision.
pub(crate) const MODERN: &str = "2026-07-28";
/// The newest one with sessions.
pub(crate) const LEGACY: &str = "2025-11-25";

/// A client of 2026-07-28: a path and what its metadata says.
#[derive(Clone, Debug)]
pub(crate) struct Modern {
    path: String,
    /// `params._meta` of every request.
    pub(crate) meta: Value,
}

impl Modern {
    /// On the aggregate.
    pub(crate) fn new() -> Self {
        Self::at("/mcp")
    }

    /// On another endpoint.
    pub(crate) fn at(path: &str) -> Self {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        Self { path: path.to_owned(), meta }
    }

    /// With one more member of `_meta`.
    pub(crate) fn with_meta(mut self, key: &str, value: Value) -> Self {
        self.meta[key] = value;
        self
    }

    /// The body of a request with id 1.
    pub(crate) fn body(&self, method: &str, mut params: Value) -> Value {
        params["_meta"] = self.meta.clone();
        json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    }

    /// The headers that go with a body.
    pub(crate) fn headers(body: &Value) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> =
            JSON.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut add = |name: &str, value: Option<&str>| {
            headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        };
        add(
            "mcp-protocol-version",
            body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].as_str(),
        );
        add("mcp-method", body["method"].as_str());
        match body["method"].as_str() {
            Some("tools/call" | "prompts/get") => add("mcp-name", body["params"]["name"].as_str()),
            Some("resources/read") => add("mcp-name", body["params"]["uri"].as_str()),
            Some("tasks/get" | "tasks/update" | "tasks/cancel") => {
                add("mcp-name", body["params"]["taskId"].as_str());
            }
            _ => {}
        }
        headers
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn request(&self, gateway: &Gateway, method: &str, params: Value) -> Response {
        self.request_with(gateway, method, params, &[]).await
    }

    /// The same with further headers.
    pub(crate) async fn request_with(
        &self,
        gateway: &Gateway,
        method: &str,
        params: Value,
        more: &[(&str, &str)],
    ) -> Response {
        let body = self.body(method, params);
        self.send_with(gateway, &body, more).await
    }

    /// Sends a body with its headers.
    pub(crate) async fn send_with(&self, gateway: &Gateway, body: &Value, more: &[(&str, &str)]) -> Response {
        let mut connection = gateway.connect().await;
        self.write(&mut connection, body, more).await;
        connection.response().await
    }

    /// Begins a request: the answer's head has been read, its stream is the caller's.
    pub(crate) async fn stream(&self, gateway: &Gateway, method: &str, params: Value) -> (Head, Events) {
        let mut connection = gateway.connect().await;
        self.write(&mut connection, &self.body(method, params), &[]).await;
        let head = connection.head().await.expect("an answer");
        let events = connection.into_events(&head);
        (head, events)
    }

    /// Writes a request on a connection and leaves it there.
    pub(crate) async fn write(&self, connection: &mut Connection, body: &Value, more: &[(&str, &str)]) {
        let headers = Self::headers(body);
        let mut headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        headers.extend_from_slice(more);
        connection.request("POST", &self.path, &headers, body.to_string().as_bytes()).await;
    }

    /// The result of a request.
    pub(crate) async fn result(&self, gateway: &Gateway, method: &str, params: Value) -> Value {
        let response = self.request(gateway, method, params).await;
        result_of(&response)
    }

    /// The result of a tool call.
    pub(crate) async fn call(&self, gateway: &Gateway, name: &str, arguments: Value) -> Value {
        self.result(gateway, "tools/call", json!({"name": name, "arguments": arguments})).await
    }
}

/// A session of an older client.
#[derive(Clone, Debug)]
pub(crate) struct Legacy {
    path: String,
    pub(crate) session: String,
    version: String,
    /// How it shows who it is.
    authorization: Option<String>,
    /// What `initialize` answered.
    pub(crate) welcome: Value,
}

impl Legacy {
    /// Opens a session on the aggregate in the newest revision that has them.
    pub(crate) async fn open(gateway: &Gateway) -> Self {
        Self::open_at(gateway, "/mcp", LEGACY).await
    }

    /// Opens a session.
    pub(crate) async fn open_at(gateway: &Gateway, path: &str, version: &str) -> Self {
        Self::open_with(gateway, path, version, json!({})).await
    }

    /// Opens a session of a client with these capabilities.
    pub(crate) async fn open_with(gateway: &Gateway, path: &str, version: &str, capabilities: Value) -> Self {
        Self::open_as(gateway, path, version, capabilities, None).await
    }

    /// The same of a user, who shows who it is.
    pub(crate) async fn open_as(
        gateway: &Gateway,
        path: &str,
        version: &str,
        capabilities: Value,
        authorization: Option<&str>,
    ) -> Self {
        let mut hello = initialize(version);
        hello["params"]["capabilities"] = capabilities;
        let mut headers = JSON.to_vec();
        headers.extend(authorization.map(|shown| ("authorization", shown)));
        let response = gateway.send("POST", path, &headers, hello.to_string().as_bytes()).await;
        assert_eq!(response.status(), 200, "{response:?}");
        let session = response.header("mcp-session-id").expect("a session id").to_owned();
        let welcome = result_of(&response);
        let (path, version) = (path.to_owned(), version.to_owned());
        let authorization = authorization.map(str::to_owned);
        let opened = Self { path, session, version, authorization, welcome };
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(opened.send(gateway, &ready).await.status(), 202);
        opened
    }

    /// The headers of a session's request.
    pub(crate) fn headers(&self) -> Vec<(&str, &str)> {
        let mut headers = JSON.to_vec();
        headers.push(("mcp-session-id", &self.session));
        if self.version.as_str() >= "2025-06-18" {
            headers.push(("mcp-protocol-version", &self.version));
        }
        headers.extend(self.authorization.as_deref().map(|shown| ("authorization", shown)));
        headers
    }

    /// Sends one message or batch.
    pub(crate) async fn send(&self, gateway: &Gateway, message: &Value) -> Response {
        let mut connection = gateway.connect().await;
        self.write(&mut connection, message).await;
        connection.response().await
    }

    /// Writes a message on a connection and leaves it there.
    pub(crate) async fn write(&self, connection: &mut Connection, message: &Value) {
        connection.request("POST", &self.path, &self.headers(), message.to_string().as_bytes()).await;
    }

    /// Sends a request with id 1 and reads the whole answer.
    pub(crate) async fn request(&self, gateway: &Gateway, method: &str, params: Value) -> Response {
        self.send(gateway, &json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})).await
    }

    /// Begins a request: the answer's head has been read, its stream is the caller's.
    pub(crate) async fn stream(&self, gateway: &Gateway, message: &Value) -> (Head, Events) {
        let mut connection = gateway.connect().await;
        self.write(&mut connection, message).await;
        let head = connection.head().await.expect("an answer");
        let events = connection.into_events(&head);
        (head, events)
    }

    /// Opens the session's own stream, or goes on with another after an event.
    pub(crate) async fn listen(&self, gateway: &Gateway, last_event_id: Option<&str>) -> Events {
        let mut connection = gateway.connect().await;
        let mut headers = self.headers();
        headers.extend(last_event_id.map(|id| ("last-event-id", id)));
        connection.request("GET", &self.path, &headers, b"").await;
        let head = connection.head().await.expect("an answer");
        assert_eq!(head.status, 200, "{head:?}");
        connection.into_events(&head)
    }

    /// Ends the session.
    pub(crate) async fn delete(&self, gateway: &Gateway) -> Response {
        gateway.send("DELETE", &self.path, &self.headers(), b"").await
    }

    /// The result of a request.
    pub(crate) async fn result(&self, gateway: &Gateway, method: &str, params: Value) -> Value {
        result_of(&self.request(gateway, method, params).await)
    }

    /// The result of a tool call.
    pub(crate) async fn call(&self, gateway: &Gateway, name: &str, arguments: Value) -> Value {
        self.result(gateway, "tools/call", json!({"name": name, "arguments": arguments})).await
    }
}

/// An `initialize` request.
pub(crate) fn initialize(version: &str) -> Value {
    let params = json!({
        "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
    });
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
}

/// The result in an answer.
pub(crate) fn result_of(response: &Response) -> Value {
    let message = response.json();
    assert_eq!(response.status(), 200, "{message}");
    message.get("result").unwrap_or_else(|| panic!("no result: {message}")).clone()
}

/// The text of a tool result.
pub(crate) fn text_of(result: &Value) -> &str {
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {result}"))
}
