//! A server of HTTP+SSE (2024-11-05) that a test steers: what it says on its streams, and what it makes of a POST.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::fake::{text, tool};
use super::upstream::{Answer, Seen, Upstream};

type Handler = Arc<dyn Fn(Value, Session) + Send + Sync>;

/// A server to be started.
pub(crate) struct SseServer {
    handlers: HashMap<&'static str, Handler>,
    refused: Option<(&'static str, u16)>,
    /// What the first event names, with `{}` for the session's number.
    endpoint: String,
    tools: Arc<Mutex<Vec<Value>>>,
}

/// One running.
pub(crate) struct Running {
    pub(crate) upstream: Upstream,
    sessions: Arc<Sessions>,
    forgotten: Mutex<Vec<Session>>,
    pub(crate) tools: Arc<Mutex<Vec<Value>>>,
}

#[derive(Default)]
struct Sessions {
    open: Mutex<Vec<Option<Session>>>,
}

/// A stream to write on.
#[derive(Clone)]
pub(crate) struct Session(mpsc::UnboundedSender<Option<String>>);

impl Session {
    /// Says something.
    pub(crate) fn say(&self, message: &Value) {
        self.raw(&format!("event: message\ndata: {message}\n\n"));
    }

    /// The result of a request.
    pub(crate) fn result(&self, request: &Value, result: &Value) {
        self.say(&json!({"jsonrpc": "2.0", "id": request["id"], "result": result}));
    }

    /// Bytes as they are.
    pub(crate) fn raw(&self, text: &str) {
        let _ = self.0.send(Some(text.to_owned()));
    }

    /// Closes the stream.
    pub(crate) fn end(&self) {
        let _ = self.0.send(None);
    }
}

impl SseServer {
    pub(crate) fn new() -> Self {
        let tools = Arc::new(Mutex::new(vec![tool("echo")]));
        Self { handlers: HashMap::new(), refused: None, endpoint: "/messages?session={}".to_owned(), tools }
    }

    /// Answers a method otherwise than a decent server.
    pub(crate) fn on(
        mut self,
        method: &'static str,
        handle: impl Fn(Value, Session) + Send + Sync + 'static,
    ) -> Self {
        self.handlers.insert(method, Arc::new(handle));
        self
    }

    /// Does not take a method's POST; with 0 it takes it, but never says so.
    pub(crate) fn refuse(mut self, method: &'static str, status: u16) -> Self {
        self.refused = Some((method, status));
        self
    }

    /// Names another address in its first event.
    pub(crate) fn endpoint(mut self, endpoint: &str) -> Self {
        endpoint.clone_into(&mut self.endpoint);
        self
    }

    /// Starts it.
    pub(crate) async fn start(self) -> Running {
        let sessions = Arc::new(Sessions::default());
        let (server, all) = (Arc::new(self), sessions.clone());
        let tools = server.tools.clone();
        let upstream = Upstream::start(move |seen, answer| {
            let (server, all) = (server.clone(), all.clone());
            async move {
                match (seen.verb.as_str(), seen.path.split('?').next()) {
                    ("GET", Some("/sse" | "/mcp")) => server.stream(&all, answer).await,
                    ("POST", Some("/messages")) => server.post(&all, &seen, answer).await,
                    // What such a server says to a POST on its stream, and to everything else.
                    ("POST", Some("/sse" | "/mcp")) => answer.send(405, &[], b"Method Not Allowed").await,
                    _ => answer.send(404, &[], b"Not Found").await,
                }
            }
        })
        .await;
        Running { upstream, sessions, forgotten: Mutex::default(), tools }
    }

    async fn stream(&self, all: &Sessions, mut answer: Answer) {
        let (session, mut messages) = mpsc::unbounded_channel();
        let number = {
            let mut open = all.lock();
            open.push(Some(Session(session)));
            open.len()
        };
        answer.open_stream().await;
        let endpoint = self.endpoint.replace("{}", &number.to_string());
        let _ = answer.write(format!(": hello\n\nevent: endpoint\ndata: {endpoint}\n\n").as_bytes()).await;
        loop {
            let message = tokio::select! {
                message = messages.recv() => message,
                () = answer.closed() => None,
            };
            let Some(Some(message)) = message else { break };
            if answer.write(message.as_bytes()).await.is_err() {
                break;
            }
        }
        all.lock()[number - 1] = None;
    }

    async fn post(&self, all: &Sessions, seen: &Seen, answer: Answer) {
        let number = seen.path.rsplit('=').next().and_then(|number| number.parse::<usize>().ok());
        let session = number.and_then(|number| all.lock().get(number - 1).cloned().flatten());
        let Some(session) = session else { return answer.send(404, &[], b"no such session").await };
        match self.refused.filter(|(method, _)| *method == seen.method()) {
            Some((_, 0)) => {
                self.handle(seen, session);
                let mut held = answer;
                held.closed().await;
            }
            Some((_, status)) => answer.send(status, &[], b"not like this").await,
            None => {
                answer.send(202, &[], b"Accepted").await;
                self.handle(seen, session);
            }
        }
    }

    fn handle(&self, seen: &Seen, session: Session) {
        match self.handlers.get(seen.method()) {
            Some(handle) => handle(seen.rpc.clone(), session),
            None => self.serve(&seen.rpc, &session),
        }
    }

    fn serve(&self, message: &Value, session: &Session) {
        let info = json!({"name": "old", "version": "1"});
        match message["method"].as_str().unwrap_or_default() {
            "initialize" => session.result(
                message,
                &json!({
                    "protocolVersion": "2024-11-05", "serverInfo": info,
                    "capabilities": {"tools": {"listChanged": true}, "logging": {}},
                }),
            ),
            "ping" | "logging/setLevel" => session.result(message, &json!({})),
            "tools/list" => {
                let tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner).clone();
                session.result(message, &json!({"tools": tools}));
            }
            "tools/call" => {
                let mut result = text(&message["params"]["arguments"].to_string());
                result.as_object_mut().unwrap().remove("resultType");
                session.result(message, &result);
            }
            _ if message.get("id").is_some() && message.get("method").is_some() => {
                let error = json!({"code": -32601, "message": "Method not found"});
                session.say(&json!({"jsonrpc": "2.0", "id": message["id"], "error": error}));
            }
            _ => {}
        }
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Vec<Option<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Its URL; that it is a stream shows in the path.
    pub(crate) fn url(&self) -> String {
        self.upstream.url.replace("/mcp", "/sse")
    }

    /// Its entry in the configuration.
    pub(crate) fn config(&self) -> Value {
        json!({"url": self.url()})
    }

    /// The stream that was opened last and is still open.
    pub(crate) fn session(&self) -> Session {
        self.sessions.lock().iter().rev().flatten().next().cloned().expect("an open stream")
    }

    /// Knows none of its sessions any more; their streams stay open.
    pub(crate) fn forget(&self) {
        let mut open = self.sessions.lock();
        let kept: Vec<_> = open.iter_mut().map(Option::take).collect();
        // Whoever drops a session ends its stream.
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).extend(kept.into_iter().flatten());
    }

    /// How many streams are open.
    pub(crate) fn open(&self) -> usize {
        self.sessions.lock().iter().flatten().count()
    }
}
