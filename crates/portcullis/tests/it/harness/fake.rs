//! What a decent MCP server answers, so that a test only writes what is not decent.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Value, json};

use super::client::{LEGACY, MODERN};
use super::upstream::{Answer, Seen, Upstream};

type Guard = Box<dyn Fn(&str) -> bool + Send + Sync>;
type Handler = Arc<dyn Fn(Seen, Answer) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A server to be started.
pub(crate) struct Fake {
    modern: bool,
    pub(crate) capabilities: Value,
    pub(crate) instructions: Option<String>,
    /// `ttlMs` and `cacheScope` of lists, in the modern era.
    pub(crate) hints: (u64, &'static str),
    lists: HashMap<&'static str, Vec<Value>>,
    /// Who may ask, by `Authorization`, and what the others are told.
    guard: Option<(Guard, String)>,
    handlers: HashMap<&'static str, Handler>,
}

/// A tool without arguments.
pub(crate) fn tool(name: &str) -> Value {
    json!({"name": name, "description": format!("does {name}"), "inputSchema": {"type": "object"}})
}

/// A text result of a tool, for either era.
pub(crate) fn text(text: &str) -> Value {
    json!({"resultType": "complete", "content": [{"type": "text", "text": text}]})
}

impl Fake {
    /// A server of 2026-07-28 alone.
    pub(crate) fn modern() -> Self {
        Self::new(true)
    }

    /// A server of 2025-11-25 alone, with sessions.
    pub(crate) fn legacy() -> Self {
        Self::new(false)
    }

    fn new(modern: bool) -> Self {
        Self {
            modern,
            capabilities: json!({"tools": {"listChanged": true}}),
            instructions: None,
            hints: (60_000, "public"),
            lists: HashMap::from([("tools", vec![tool("echo")])]),
            guard: None,
            handlers: HashMap::new(),
        }
    }

    /// Takes only requests with an `Authorization` that is fit; others get this challenge. Its documents are for everybody.
    pub(crate) fn guarded(
        mut self,
        challenge: &str,
        is_fit: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.guard = Some((Box::new(is_fit), challenge.to_owned()));
        self
    }

    /// Its tools.
    pub(crate) fn tools(self, tools: Vec<Value>) -> Self {
        self.list("tools", tools)
    }

    /// Another of its lists: `resources`, `resourceTemplates` or `prompts`.
    pub(crate) fn list(mut self, member: &'static str, items: Vec<Value>) -> Self {
        let capability = if member == "resourceTemplates" { "resources" } else { member };
        if self.capabilities.get(capability).is_none() {
            self.capabilities[capability] = json!({"listChanged": true});
        }
        self.lists.insert(member, items);
        self
    }

    /// Answers a method (JSON-RPC's, or `GET`, `DELETE`) otherwise than a decent server.
    pub(crate) fn on<F>(
        mut self,
        method: &'static str,
        handle: impl Fn(Seen, Answer) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.handlers.insert(method, Arc::new(move |seen, answer| Box::pin(handle(seen, answer))));
        self
    }

    /// Starts it.
    pub(crate) async fn start(self) -> Upstream {
        let fake = Arc::new(self);
        Upstream::start(move |seen, answer| {
            let fake = fake.clone();
            async move {
                if seen.path.starts_with("/.well-known/") {
                    return match fake.handlers.get("document") {
                        Some(handle) => handle(seen, answer).await,
                        None => answer.send(404, &[], b"").await,
                    };
                }
                if let Some((is_fit, challenge)) = &fake.guard
                    && !seen.header("authorization").is_some_and(is_fit)
                {
                    return answer.send(401, &[("www-authenticate", challenge)], b"").await;
                }
                match fake.handlers.get(seen.method()) {
                    Some(handle) => handle(seen, answer).await,
                    None => fake.answer(&seen, answer).await,
                }
            }
        })
        .await
    }

    async fn answer(&self, seen: &Seen, answer: Answer) {
        let method = seen.method();
        match method {
            "GET" => answer.send(405, &[], b"").await,
            "DELETE" => answer.send(200, &[], b"").await,
            "server/discover" if self.modern => answer.result(self.welcome()).await,
            "initialize" if !self.modern => {
                let message = json!({"jsonrpc": "2.0", "id": answer.id, "result": self.welcome()});
                let headers = [("content-type", "application/json"), ("mcp-session-id", "session-1")];
                answer.send(200, &headers, message.to_string().as_bytes()).await;
            }
            "ping" | "logging/setLevel" if !self.modern => answer.result(json!({})).await,
            "tools/call" => {
                let arguments = seen.rpc["params"]["arguments"].to_string();
                answer.result(text(&arguments)).await;
            }
            _ if method.starts_with("notifications/") || method == "POST" => answer.accepted().await,
            _ => {
                if let Some(member) = member(method) {
                    return answer.result(self.listing(member)).await;
                }
                let status = if self.modern { 404 } else { 200 };
                answer.error(status, json!({"code": -32601, "message": "Method not found"})).await;
            }
        }
    }

    fn welcome(&self) -> Value {
        let info = json!({"name": "fake", "version": "1"});
        let mut result = if self.modern {
            json!({
                "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public",
                "supportedVersions": [MODERN], "capabilities": self.capabilities,
                "_meta": {"io.modelcontextprotocol/serverInfo": info},
            })
        } else {
            json!({"protocolVersion": LEGACY, "capabilities": self.capabilities, "serverInfo": info})
        };
        if let Some(instructions) = &self.instructions {
            result["instructions"] = json!(instructions);
        }
        result
    }

    fn listing(&self, member: &str) -> Value {
        let items = self.lists.get(member).cloned().unwrap_or_default();
        let mut result = json!({});
        result[member] = json!(items);
        if self.modern {
            result["resultType"] = json!("complete");
            result["ttlMs"] = json!(self.hints.0);
            result["cacheScope"] = json!(self.hints.1);
        }
        result
    }
}

fn member(method: &str) -> Option<&'static str> {
    Some(match method {
        "tools/list" => "tools",
        "resources/list" => "resources",
        "resources/templates/list" => "resourceTemplates",
        "prompts/list" => "prompts",
        _ => return None,
    })
}
