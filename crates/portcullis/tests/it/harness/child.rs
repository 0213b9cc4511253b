//! A stdio server: a small Python script that a test steers and watches over a socket of its own.
//!
//! Every start of the script is one connection, so starts, messages and exits are events a test can wait for.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::within;

/// What every script begins with. A script adds to `handlers`, and the epilogue serves.
const PROLOGUE: &str = r#"
import json, os, socket, sys, threading, time
control = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
orders = control.makefile("r")
lock = threading.Lock()

def report(event):
    with lock:
        control.sendall((json.dumps(event) + "\n").encode())

def order():
    return json.loads(orders.readline())

def raw(text):
    with lock:
        sys.stdout.write(text)
        sys.stdout.flush()

def send(message):
    raw(json.dumps(dict({"jsonrpc": "2.0"}, **message)) + "\n")

def answer(request, result):
    send({"id": request["id"], "result": result})

def text(request, words, **more):
    answer(request, dict({"content": [{"type": "text", "text": words}]}, **more))

tools = [{"name": "echo", "inputSchema": {"type": "object"}}]
capabilities = {"tools": {"listChanged": True}}
handlers = {
    "initialize": lambda r: answer(r, {
        "protocolVersion": "2025-11-25", "capabilities": capabilities,
        "serverInfo": {"name": "child", "version": "1"}}),
    "ping": lambda r: answer(r, {}),
    "logging/setLevel": lambda r: answer(r, {}),
    "tools/list": lambda r: answer(r, {"tools": tools}),
    "tools/call": lambda r: text(r, json.dumps(r["params"].get("arguments"))),
}
report({"event": "started", "pid": os.getpid()})
"#;

const EPILOGUE: &str = r#"
for line in sys.stdin:
    message = json.loads(line)
    report(message)
    handler = handlers.get(message.get("method"))
    if handler:
        handler(message)
    elif "id" in message and "method" in message:
        send({"id": message["id"], "error": {"code": -32601, "message": "Method not found"}})
"#;

/// A script, and the socket that its processes report to.
pub(crate) struct Child {
    folder: TempDir,
    listener: TcpListener,
}

/// One process that ran the script.
pub(crate) struct Process {
    events: Lines<BufReader<OwnedReadHalf>>,
    orders: OwnedWriteHalf,
}

impl Child {
    /// A server that serves what `script` says: it can change `tools`, `capabilities` and `handlers`, or do things at
    /// once.
    pub(crate) async fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("server.py"), format!("{PROLOGUE}\n{script}\n{EPILOGUE}")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { folder, listener }
    }

    /// Its entry in the configuration.
    pub(crate) fn config(&self) -> Value {
        let script = self.folder.path().join("server.py");
        let port = self.listener.local_addr().unwrap().port().to_string();
        json!({"command": "python3", "args": [script, port], "era": "legacy"})
    }

    /// The next process that starts.
    pub(crate) async fn started(&self) -> Process {
        let (stream, _) = within("a start of the child", self.listener.accept()).await.unwrap();
        let (read, orders) = stream.into_split();
        let mut process = Process { events: BufReader::new(read).lines(), orders };
        let first = process.event().await.expect("a report");
        assert_eq!(first["event"], "started");
        process
    }

    /// Whether a process has started that no [`Child::started`] has taken.
    pub(crate) async fn has_started(&self) -> bool {
        tokio::time::timeout(Duration::ZERO, self.listener.accept()).await.is_ok()
    }
}

impl Process {
    /// The next thing that it reports; `None` when it has exited.
    pub(crate) async fn event(&mut self) -> Option<Value> {
        let line = within("a report of the child", self.events.next_line()).await.ok().flatten()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Waits for a message with this method.
    pub(crate) async fn message(&mut self, method: &str) -> Value {
        self.comes(method).await.unwrap_or_else(|| panic!("the child exited before {method}"))
    }

    /// The next message with this method, unless the child exits before it.
    pub(crate) async fn comes(&mut self, method: &str) -> Option<Value> {
        loop {
            let event = self.event().await?;
            if event["method"] == method {
                return Some(event);
            }
        }
    }

    /// Waits for its exit.
    pub(crate) async fn exited(&mut self) {
        while self.event().await.is_some() {}
    }

    /// What a waiting `order()` returns.
    pub(crate) async fn tell(&mut self, order: Value) {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.unwrap();
    }
}
