//! The server's side of a transcript, over each transport.
//!
//! What is in no script it answers like any decent server: greetings, lists, pings.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::ends::{End, Transport};
use super::lines::{Step, What};
use super::text::Transcript;
use super::wire::{Heard, Out, Way, Where, Wire};
use crate::harness::relay::Relayed;
use crate::harness::upstream::Seen;
use crate::harness::{Answer, Relay, Upstream, until};

/// A running server.
pub(super) struct Server {
    /// Its entry in the configuration.
    pub(super) config: Value,
    desk: Arc<Desk>,
    inbox: mpsc::UnboundedReceiver<Heard>,
    running: Running,
}

enum Running {
    Http(#[expect(dead_code, reason = "it ends when it is dropped")] Upstream),
    Child(JoinHandle<()>),
}

/// What takes messages, wherever they come in.
struct Desk {
    end: End,
    offers: Value,
    lists: Value,
    /// Methods that the script answers.
    scripted: HashSet<String>,
    /// Results that the script has fixed.
    standing: Mutex<HashMap<String, Value>>,
    heard: mpsc::UnboundedSender<Heard>,
    /// Channels, and standalone streams: where that goes which belongs to no request.
    asides: Mutex<Vec<(String, Way)>>,
    /// How many sessions were opened over HTTP.
    sessions: AtomicUsize,
    /// Streams of requests, which break off with the server.
    streams: Mutex<Vec<Way>>,
}

impl Server {
    pub(super) async fn start(end: End, row: &Transcript, steps: &[Step]) -> Self {
        let (heard, inbox) = mpsc::unbounded_channel();
        let scripted = steps.iter().filter_map(|step| match step {
            Step::Hear { line, .. } => match &line.what {
                What::Method(method) => Some(method.clone()),
                What::Cancel(_) => Some("notifications/cancelled".to_owned()),
                _ => None,
            },
            _ => None,
        });
        let scripted = scripted.collect();
        let (offers, lists) = row.serves(end);
        let (standing, asides, sessions, streams) = Default::default();
        let desk = Desk { end, offers, lists, scripted, standing, heard, asides, sessions, streams };
        let desk = Arc::new(desk);
        let (config, running) = match end.transport {
            Transport::Stdio => {
                let relay = Relay::new().await;
                let config = relay.config();
                (config, Running::Child(tokio::spawn(desk.clone().processes(relay))))
            }
            _ => {
                let taking = desk.clone();
                let upstream =
                    Upstream::start(move |seen, answer| taking.clone().request(seen, answer)).await;
                let path = if end.transport == Transport::Sse { "/sse" } else { "/mcp" };
                (json!({"url": upstream.url.replace("/mcp", path)}), Running::Http(upstream))
            }
        };
        Self { config, desk, inbox, running }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Running::Child(task) = &self.running {
            task.abort();
        }
    }
}

impl Wire for Server {
    async fn say(&mut self, message: Value, place: Where, _notes: &[(String, String)]) {
        let is_answer = message.get("method").is_none();
        let fits = |session: &str| match &place {
            Where::On(_) => false,
            Where::Beside(beside) => beside == session,
            Where::Aside => true,
        };
        if let Where::On(way) = &place {
            let _ = way.send(if is_answer { Out::Answer(message) } else { Out::Event(message) });
            return;
        }
        // There may be nobody yet who could be told.
        let there = async || self.desk.asides.lock().unwrap().iter().any(|(session, _)| fits(session));
        until("a standalone stream", there).await;
        for (_, aside) in self.desk.asides.lock().unwrap().iter().filter(|(session, _)| fits(session)) {
            let _ = aside.send(Out::Event(message.clone()));
        }
    }

    async fn cancel(&mut self, id: &Value) {
        let params = json!({"requestId": id});
        let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        self.say(cancelled, Where::Aside, &[]).await;
    }

    async fn hear(&mut self) -> Heard {
        self.inbox.recv().await.expect("the desk has a sender")
    }

    fn heard(&mut self) -> Option<Heard> {
        self.inbox.try_recv().ok()
    }

    fn always(&mut self, method: &str, result: Value) {
        self.desk.standing.lock().unwrap().insert(method.to_owned(), result);
    }

    /// Breaks off every stream, and ends every process.
    async fn leave(&mut self) {
        let asides = self.desk.asides.lock().unwrap().drain(..).map(|(_, way)| way).collect::<Vec<_>>();
        for way in asides.into_iter().chain(self.desk.streams.lock().unwrap().drain(..)) {
            let _ = way.send(Out::End);
        }
    }
}

impl Desk {
    /// Takes a message: gives it to the player, or answers it.
    fn take(&self, message: Value, headers: Vec<(String, String)>, way: &Way) {
        let method = message["method"].as_str();
        let is_request = method.is_some() && message.get("id").is_some();
        if method.is_none_or(|method| self.scripted.contains(method)) {
            let way = is_request.then(|| way.clone());
            let _ = self.heard.send(Heard::Message { message, status: None, headers, way });
        } else if is_request {
            let mut answer = self.decent(method.unwrap_or_default());
            answer["jsonrpc"] = json!("2.0");
            answer["id"] = message["id"].clone();
            let _ = way.send(Out::Answer(answer));
        }
    }

    /// What any decent server answers.
    fn decent(&self, method: &str) -> Value {
        let modern = self.end.is_modern();
        let info = json!({"name": "player", "version": "1"});
        if let Some(result) = self.standing.lock().unwrap().get(method) {
            return json!({"result": result});
        }
        let result = match method {
            "server/discover" if modern => json!({
                "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public", "capabilities": self.offers,
                "supportedVersions": [self.end.revision], "_meta": {"io.modelcontextprotocol/serverInfo": info},
            }),
            "initialize" if !modern => json!({
                "protocolVersion": self.end.revision, "capabilities": self.offers, "serverInfo": info,
            }),
            "ping" | "logging/setLevel" if !modern => json!({}),
            "tools/list" => self.list("tools"),
            "prompts/list" => self.list("prompts"),
            "resources/list" => self.list("resources"),
            "resources/templates/list" => self.list("resourceTemplates"),
            _ => return json!({"error": {"code": -32601, "message": "Method not found"}}),
        };
        json!({"result": result})
    }

    fn list(&self, member: &str) -> Value {
        let items = self.lists.get(member).cloned().unwrap_or_else(|| json!([]));
        if self.end.is_modern() {
            return json!({"resultType": "complete", "ttlMs": 60_000, "cacheScope": "public", member: items});
        }
        json!({member: items})
    }

    /// A request of HTTP.
    async fn request(self: Arc<Self>, seen: Seen, answer: Answer) {
        let is_sse = self.end.transport == Transport::Sse;
        match seen.verb.as_str() {
            "GET" if is_sse => self.sse(answer).await,
            "POST" if is_sse => self.sse_post(seen, answer).await,
            "GET" if self.end.sessions && !self.end.is_modern() => {
                let (way, outs) = mpsc::unbounded_channel();
                let session = seen.header("mcp-session-id").unwrap_or_default().to_owned();
                self.asides.lock().unwrap().push((session, way));
                self.stream(&Value::Null, answer, outs, true).await;
            }
            "POST" if seen.rpc.get("method").is_some() && seen.rpc.get("id").is_some() => {
                self.post(seen, answer).await;
            }
            "POST" => {
                answer.accepted().await;
                let (nowhere, _) = mpsc::unbounded_channel();
                self.take(seen.rpc, seen.headers, &nowhere);
            }
            "DELETE" => answer.send(200, &[], b"").await,
            _ => answer.send(405, &[], b"").await,
        }
    }

    async fn post(&self, seen: Seen, answer: Answer) {
        if seen.method() == "initialize" && self.end.sessions && !self.end.is_modern() {
            let mut message = self.decent("initialize");
            message["jsonrpc"] = json!("2.0");
            message["id"] = seen.rpc["id"].clone();
            let session = format!("session-{}", self.sessions.fetch_add(1, Ordering::SeqCst));
            let headers = [("content-type", "application/json"), ("mcp-session-id", session.as_str())];
            return answer.send(200, &headers, message.to_string().as_bytes()).await;
        }
        let (way, outs) = mpsc::unbounded_channel();
        let id = seen.rpc["id"].clone();
        self.streams.lock().unwrap().push(way.clone());
        self.take(seen.rpc, seen.headers, &way);
        self.stream(&id, answer, outs, false).await;
    }

    /// The answer to a request: plain where nothing comes before it.
    async fn stream(
        &self,
        id: &Value,
        mut answer: Answer,
        mut outs: mpsc::UnboundedReceiver<Out>,
        mut open: bool,
    ) {
        if open {
            answer.open_stream().await;
        }
        loop {
            let out = tokio::select! {
                out = outs.recv() => out,
                () = answer.closed() => {
                    if self.end.is_modern() {
                        let _ = self.heard.send(Heard::Left { id: id.clone() });
                    }
                    return;
                }
            };
            match out {
                Some(Out::Event(message)) => {
                    if !open {
                        answer.open_stream().await;
                        open = true;
                    }
                    answer.event(&message).await;
                }
                Some(Out::Answer(message)) if open => {
                    answer.event(&message).await;
                    return;
                }
                Some(Out::Answer(message)) => {
                    let status = self.status(&message);
                    return answer.json(status, &message).await;
                }
                Some(Out::End) | None => return,
            }
        }
    }

    fn status(&self, message: &Value) -> u16 {
        match message["error"]["code"].as_i64() {
            Some(-32601) if self.end.is_modern() => 404,
            Some(-32099..=-32020) if self.end.is_modern() => 400,
            _ => 200,
        }
    }

    async fn sse(&self, mut answer: Answer) {
        let (way, mut outs) = mpsc::unbounded_channel();
        let number = {
            let mut asides = self.asides.lock().unwrap();
            asides.push((String::new(), way));
            asides.len()
        };
        answer.open_stream().await;
        let _ = answer.write(format!("event: endpoint\ndata: /messages?{number}\n\n").as_bytes()).await;
        loop {
            tokio::select! {
                out = outs.recv() => match out {
                    Some(Out::Event(message) | Out::Answer(message)) => {
                        let _ = answer.write(format!("event: message\ndata: {message}\n\n").as_bytes()).await;
                    }
                    Some(Out::End) | None => return,
                },
                () = answer.closed() => return,
            }
        }
    }

    async fn sse_post(&self, seen: Seen, answer: Answer) {
        let number = seen.path.strip_prefix("/messages?").and_then(|number| number.parse::<usize>().ok());
        let way = number.and_then(|number| self.asides.lock().unwrap().get(number - 1).cloned());
        let Some((_, way)) = way else { return answer.send(405, &[], b"").await };
        answer.accepted().await;
        self.take(seen.rpc, Vec::new(), &way);
    }

    /// Plays every process that the gateway starts.
    async fn processes(self: Arc<Self>, relay: Relay) {
        let mut processes = JoinSet::new();
        loop {
            processes.spawn(self.clone().process(relay.started().await));
        }
    }

    async fn process(self: Arc<Self>, mut process: Relayed) {
        let (way, mut outs) = mpsc::unbounded_channel();
        self.asides.lock().unwrap().push((String::new(), way.clone()));
        loop {
            tokio::select! {
                message = process.read.next() => match message {
                    Some(message) => self.take(message, Vec::new(), &way),
                    None => return,
                },
                out = outs.recv() => match out {
                    Some(Out::Event(message) | Out::Answer(message)) => process.write.say(&message).await,
                    Some(Out::End) | None => return,
                },
            }
        }
    }
}
