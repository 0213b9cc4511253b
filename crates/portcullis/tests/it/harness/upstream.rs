//! An HTTP server whose answers a test writes, down to the byte.
//!
//! It is raw TCP, one request per connection, because the interesting servers are the ones that no HTTP library would
//! let one write: bodies that break off, streams without end, answers that never come.

use std::fmt::Write as _;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::within;

/// A running server. It keeps every request that it was sent.
pub(crate) struct Upstream {
    pub(crate) url: String,
    log: Arc<Log>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    added: Notify,
}

/// A request as the server got it; header names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The HTTP method.
    pub(crate) verb: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The body as JSON; null when it is none.
    pub(crate) rpc: Value,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The JSON-RPC method; the HTTP method where the body has none.
    pub(crate) fn method(&self) -> &str {
        self.rpc["method"].as_str().unwrap_or(&self.verb)
    }
}

/// The other end of one request.
pub(crate) struct Answer {
    stream: TcpStream,
    /// The id of the request.
    pub(crate) id: Value,
}

impl Upstream {
    /// Starts a server that hands every request to `handle`.
    pub(crate) async fn start<F, H>(handle: H) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
        H: Fn(Seen, Answer) -> F + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let log = Arc::new(Log::default());
        let (handle, sink) = (Arc::new(handle), log.clone());
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (handle, sink) = (handle.clone(), sink.clone());
                tokio::spawn(async move {
                    let Some(seen) = read(&mut stream).await else { return };
                    sink.add(seen.clone());
                    let id = seen.rpc["id"].clone();
                    handle(seen, Answer { stream, id }).await;
                });
            }
        });
        Self { url, log, task }
    }

    /// Its entry in the configuration.
    pub(crate) fn config(&self) -> Value {
        json!({"url": self.url})
    }

    /// What was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often a method was asked for: JSON-RPC's, or `GET` and `DELETE`.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.seen().iter().filter(|seen| seen.method() == method).count()
    }

    /// Waits for the `nth` request with this method, counted from 1.
    pub(crate) async fn nth(&self, method: &str, nth: usize) -> Seen {
        within(method, async {
            loop {
                let added = self.log.added.notified();
                tokio::pin!(added);
                added.as_mut().enable();
                if let Some(seen) =
                    self.seen().into_iter().filter(|seen| seen.method() == method).nth(nth - 1)
                {
                    return seen;
                }
                added.await;
            }
        })
        .await
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Log {
    fn add(&self, seen: Seen) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        self.added.notify_waiters();
    }
}

impl Answer {
    /// A whole answer.
    pub(crate) async fn send(mut self, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        let mut head =
            format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        // Whoever has gone has gone.
        let _ = self.write(head.as_bytes()).await;
        let _ = self.write(body).await;
        let _ = self.stream.shutdown().await;
    }

    /// A JSON answer.
    pub(crate) async fn json(self, status: u16, body: &Value) {
        self.send(status, &[("content-type", "application/json")], body.to_string().as_bytes()).await;
    }

    /// A result.
    pub(crate) async fn result(self, result: Value) {
        let message = json!({"jsonrpc": "2.0", "id": self.id, "result": result});
        self.json(200, &message).await;
    }

    /// A JSON-RPC error with an HTTP status.
    pub(crate) async fn error(self, status: u16, error: Value) {
        let message = json!({"jsonrpc": "2.0", "id": self.id, "error": error});
        self.json(status, &message).await;
    }

    /// 202 without a body.
    pub(crate) async fn accepted(self) {
        self.send(202, &[], b"").await;
    }

    /// Bytes as they are, head included.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The head of an event stream, which lasts until the connection closes.
    pub(crate) async fn open_stream(&mut self) {
        let head = b"HTTP/1.1 200 -\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n";
        let _ = self.write(head).await;
    }

    /// An event of the stream.
    pub(crate) async fn event(&mut self, message: &Value) {
        let _ = self.write(format!("data: {message}\n\n").as_bytes()).await;
    }

    /// The result, as an event of the stream.
    pub(crate) async fn result_event(&mut self, result: Value) {
        let message = json!({"jsonrpc": "2.0", "id": self.id, "result": result});
        self.event(&message).await;
    }

    /// Waits until the other side closes the connection.
    pub(crate) async fn closed(&mut self) {
        let mut rest = [0; 64];
        while !matches!(self.stream.read(&mut rest).await, Ok(0) | Err(_)) {}
    }
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.split("\r\n");
    let mut start = lines.next()?.split(' ').map(str::to_owned);
    let (verb, path) = (start.next()?, start.next()?);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Some(0), |(_, value)| value.parse().ok())?;
    let mut body = bytes.split_off(end);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    let rpc = serde_json::from_slice(&body).unwrap_or_default();
    Some(Seen { verb, path, headers, body, rpc })
}
