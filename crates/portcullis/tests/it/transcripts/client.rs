//! The client's side of a transcript, over each transport.

use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::ends::{End, Transport};
use super::setting::Pass;
use super::wire::{Heard, Where, Wire};
use crate::harness::client::initialize;
use crate::harness::gateway::JSON;
use crate::harness::http::{Connection, Events};
use crate::harness::{Gateway, Legacy, Modern, SseClient, within};

/// A client that has said hello, where its era does.
pub(super) struct Client {
    end: End,
    address: SocketAddr,
    path: String,
    /// How it shows its token.
    authorization: Option<String>,
    kind: Kind,
    inbox: mpsc::UnboundedReceiver<Heard>,
    heard: mpsc::UnboundedSender<Heard>,
    /// What reads; with the id of the request, where it is that of one.
    tasks: Vec<(Value, JoinHandle<()>)>,
}

enum Kind {
    Http(Option<Legacy>),
    Sse,
    Stdio { _process: Child, input: Option<ChildStdin> },
}

impl Client {
    /// The path of a server's own endpoint for such a client.
    pub(super) fn path(end: End, server: &str) -> String {
        match end.transport {
            Transport::Sse => format!("/s/{server}/sse"),
            Transport::Http | Transport::Stdio => format!("/mcp/s/{server}"),
        }
    }

    /// Connects to a server's own endpoint.
    pub(super) async fn open(
        gateway: &Gateway,
        end: End,
        server: &str,
        declares: &Value,
        pass: Option<&Pass>,
    ) -> Self {
        let (heard, inbox) = mpsc::unbounded_channel();
        let mut path = Self::path(end, server);
        let authorization = pass.map(|pass| format!("Bearer {}", pass.token));
        let shown = authorization.as_deref();
        let mut tasks = Vec::new();
        let kind = match end.transport {
            Transport::Http if end.is_modern() => Kind::Http(None),
            Transport::Http => {
                let session = Legacy::open_as(gateway, &path, end.revision, declares.clone(), shown).await;
                let events = session.listen(gateway, None).await;
                tasks.push((Value::Null, tokio::spawn(stream(events, None, heard.clone()))));
                Kind::Http(Some(session))
            }
            Transport::Sse => {
                let client = SseClient::open_as(gateway, &path, end.revision, declares, shown).await;
                path.clone_from(&client.address);
                tasks.push((Value::Null, tokio::spawn(stream(client.events, None, heard.clone()))));
                Kind::Sse
            }
            Transport::Stdio => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
                command.args(["connect", &format!("http://{}{path}", gateway.address)]);
                if let Some(pass) = pass {
                    command.args(["--token-env", "TOKEN"]).env("TOKEN", &pass.token);
                }
                let mut process =
                    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
                let (input, output) = (process.stdin.take(), process.stdout.take().unwrap());
                let sink = heard.clone();
                let reading = tokio::spawn(async move {
                    let mut lines = BufReader::new(output).lines();
                    while let Ok(Some(line)) = lines.next_line().await {
                        let message = serde_json::from_str(&line).unwrap();
                        tell(&sink, message, None);
                    }
                });
                tasks.push((Value::Null, reading));
                Kind::Stdio { _process: process, input }
            }
        };
        let address = gateway.address;
        let mut client = Self { end, address, path, authorization, kind, inbox, heard, tasks };
        client.greet(declares).await;
        client
    }

    /// Over stdio the session is still to be opened.
    async fn greet(&mut self, declares: &Value) {
        if !matches!(self.kind, Kind::Stdio { .. }) || self.end.is_modern() {
            return;
        }
        let mut hello = initialize(self.end.revision);
        hello["params"]["capabilities"] = declares.clone();
        self.say(hello, Where::Aside, &[]).await;
        let answer = within("the answer to initialize", self.inbox.recv()).await;
        let Some(Heard::Message { message, .. }) = answer else { panic!("no answer to initialize") };
        assert_eq!(message["result"]["protocolVersion"], self.end.revision, "{message}");
        self.say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}), Where::Aside, &[]).await;
    }

    fn headers(&self, message: &Value, notes: &[(String, String)]) -> Vec<(String, String)> {
        let mut headers = match &self.kind {
            Kind::Http(None) => Modern::headers(message),
            Kind::Http(Some(session)) => owned(&session.headers()),
            _ => owned(&JSON),
        };
        if let Some(authorization) = &self.authorization {
            headers.retain(|(known, _)| known != "authorization");
            headers.push(("authorization".to_owned(), authorization.clone()));
        }
        for (name, value) in notes.iter().filter(|(name, _)| name != "id") {
            headers.retain(|(known, _)| known != name);
            match value.strip_prefix('*').and_then(|times| times.parse().ok()) {
                Some(times) => headers.push((name.clone(), "a".repeat(times))),
                None if value == "absent" => {}
                None => headers.push((name.clone(), value.clone())),
            }
        }
        headers
    }
}

impl Wire for Client {
    async fn say(&mut self, message: Value, _place: Where, notes: &[(String, String)]) {
        if let Kind::Stdio { input, .. } = &mut self.kind {
            if let Some(input) = input {
                let _ = input.write_all(format!("{message}\n").as_bytes()).await;
                let _ = input.flush().await;
            }
            return;
        }
        let headers = self.headers(&message, notes);
        let (address, path, heard) = (self.address, self.path.clone(), self.heard.clone());
        let id = if message.get("method").is_some() { message["id"].clone() } else { Value::Null };
        let request = id.clone();
        let is_batch = message.is_array();
        let posting = tokio::spawn(async move {
            let mut connection = Connection::open(address).await;
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            connection.request("POST", &path, &headers, message.to_string().as_bytes()).await;
            let Some(answer) = connection.head().await else { return };
            let status = answer.status;
            if answer.is_stream() {
                return stream(connection.into_events(&answer), Some(status), heard).await;
            }
            let body = connection.body(&answer).await;
            match serde_json::from_slice(&body) {
                Ok(Value::Array(all)) if is_batch => {
                    for message in all {
                        tell(&heard, message, Some(status));
                    }
                }
                // A refusal that names no request, or has no body, is an answer as well.
                Ok(mut message) => {
                    if status >= 400 && message.get("id").is_none_or(Value::is_null) {
                        message["id"] = request;
                    }
                    tell(&heard, message, Some(status));
                }
                Err(_) if status >= 400 => {
                    tell(&heard, json!({"id": request, "error": {"status": status}}), Some(status));
                }
                Err(_) => {}
            }
        });
        // Messages keep their order, unless they are requests: those may take a while.
        if id.is_null() && !is_batch {
            let _ = posting.await;
        } else {
            self.tasks.push((id, posting));
        }
    }

    async fn cancel(&mut self, id: &Value) {
        if self.end.is_modern() && self.end.transport == Transport::Http {
            self.tasks.retain(|(known, task)| {
                let is_it = known == id;
                if is_it {
                    task.abort();
                }
                !is_it
            });
            return;
        }
        let params = json!({"requestId": id});
        let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        self.say(cancelled, Where::Aside, &[]).await;
    }

    async fn hear(&mut self) -> Heard {
        self.inbox.recv().await.expect("the client has a sender itself")
    }

    fn heard(&mut self) -> Option<Heard> {
        self.inbox.try_recv().ok()
    }

    fn always(&mut self, method: &str, _result: Value) {
        panic!("a client answers {method} when it is asked");
    }

    async fn leave(&mut self) {
        for (_, task) in self.tasks.drain(..) {
            task.abort();
            let _ = task.await;
        }
        self.kind = Kind::Sse;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|(_, task)| task.abort());
    }
}

async fn stream(mut events: Events, status: Option<u16>, heard: mpsc::UnboundedSender<Heard>) {
    while let Some(message) = events.message().await {
        tell(&heard, message, status);
    }
    if status.is_none() {
        let _ = heard.send(Heard::Ended);
    }
}

fn tell(heard: &mpsc::UnboundedSender<Heard>, message: Value, status: Option<u16>) {
    let _ = heard.send(Heard::Message { message, status, headers: Vec::new(), way: None });
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
