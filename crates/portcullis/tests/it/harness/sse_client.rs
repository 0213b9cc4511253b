//! A client of HTTP+SSE (2024-11-05): one stream for all it is told, a POST for each thing it says.

use serde_json::{Value, json};

use super::client::initialize;
use super::gateway::{Gateway, JSON};
use super::http::{Events, Response};

/// An open stream, and where to post.
pub(crate) struct SseClient {
    pub(crate) events: Events,
    /// What the first event said.
    pub(crate) address: String,
    /// How it shows who it is.
    authorization: Option<String>,
    /// What `initialize` answered.
    pub(crate) welcome: Value,
    /// Answers and notifications that came while something else was waited for.
    early: Vec<Value>,
}

impl SseClient {
    /// Opens a stream and nothing else.
    pub(crate) async fn connect(gateway: &Gateway, path: &str) -> Self {
        Self::connect_as(gateway, path, None).await
    }

    async fn connect_as(gateway: &Gateway, path: &str, authorization: Option<&str>) -> Self {
        let mut connection = gateway.connect().await;
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(authorization.map(|shown| ("authorization", shown)));
        connection.request("GET", path, &headers, b"").await;
        let head = connection.head().await.expect("an answer");
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("cache-control"), Some("no-store"));
        let mut events = connection.into_events(&head);
        let first = events.next().await.expect("a first event");
        assert_eq!(first.name.as_deref(), Some("endpoint"), "{first:?}");
        let (address, authorization) = (first.data.unwrap(), authorization.map(str::to_owned));
        Self { events, address, authorization, welcome: Value::Null, early: Vec::new() }
    }

    /// Opens a session on the aggregate.
    pub(crate) async fn open(gateway: &Gateway, version: &str) -> Self {
        Self::open_at(gateway, "/sse", version).await
    }

    /// Opens a session.
    pub(crate) async fn open_at(gateway: &Gateway, path: &str, version: &str) -> Self {
        Self::open_with(gateway, path, version, &json!({})).await
    }

    /// Opens a session of a client with these capabilities.
    pub(crate) async fn open_with(
        gateway: &Gateway,
        path: &str,
        version: &str,
        capabilities: &Value,
    ) -> Self {
        Self::open_as(gateway, path, version, capabilities, None).await
    }

    /// The same of a user, who shows who it is.
    pub(crate) async fn open_as(
        gateway: &Gateway,
        path: &str,
        version: &str,
        capabilities: &Value,
        authorization: Option<&str>,
    ) -> Self {
        let mut client = Self::connect_as(gateway, path, authorization).await;
        let mut hello = initialize(version);
        hello["params"]["capabilities"] = capabilities.clone();
        assert_eq!(client.post(gateway, &hello).await.status(), 202);
        client.welcome = client.answer(&json!(0)).await["result"].clone();
        assert!(client.welcome.is_object(), "initialize was answered with an error");
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(client.post(gateway, &ready).await.status(), 202);
        client
    }

    /// Says something.
    pub(crate) async fn post(&self, gateway: &Gateway, message: &Value) -> Response {
        let mut headers = JSON.to_vec();
        headers.extend(self.authorization.as_deref().map(|shown| ("authorization", shown)));
        gateway.send("POST", &self.address, &headers, message.to_string().as_bytes()).await
    }

    /// The next message, whatever it is; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        if !self.early.is_empty() {
            return Some(self.early.remove(0));
        }
        self.read().await
    }

    async fn read(&mut self) -> Option<Value> {
        loop {
            let event = self.events.next().await?;
            if event.comment.is_none() {
                assert_eq!(event.name.as_deref(), Some("message"), "{event:?}");
                assert_eq!(event.id, None, "nothing of this transport can be resumed");
                return Some(event.json());
            }
        }
    }

    /// Waits for the answer to a request; what comes before it is kept.
    pub(crate) async fn answer(&mut self, id: &Value) -> Value {
        let is_it = |message: &Value| message["id"] == *id && message.get("method").is_none();
        if let Some(at) = self.early.iter().position(is_it) {
            return self.early.remove(at);
        }
        loop {
            let message = self.read().await.unwrap_or_else(|| panic!("the stream ended before {id}"));
            if is_it(&message) {
                return message;
            }
            self.early.push(message);
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn request(&mut self, gateway: &Gateway, id: i64, method: &str, params: Value) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let accepted = self.post(gateway, &message).await;
        assert_eq!((accepted.status(), accepted.body.len()), (202, 0), "{accepted:?}");
        self.answer(&json!(id)).await
    }

    /// The result of a request.
    pub(crate) async fn result(&mut self, gateway: &Gateway, method: &str, params: Value) -> Value {
        let answer = self.request(gateway, 1, method, params).await;
        answer.get("result").unwrap_or_else(|| panic!("no result: {answer}")).clone()
    }

    /// The result of a tool call.
    pub(crate) async fn call(&mut self, gateway: &Gateway, name: &str, arguments: Value) -> Value {
        self.result(gateway, "tools/call", json!({"name": name, "arguments": arguments})).await
    }
}
