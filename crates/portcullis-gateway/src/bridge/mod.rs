//! `portcullis connect`: a host that speaks only stdio on this side, an MCP endpoint over HTTP on the other.
//!
//! The bridge is era-blind where it can be: each message says itself which era it belongs to, and is posted with the
//! headers of that era. It keeps what HTTP needs and stdio does not have: the session of a legacy host (opened again
//! when the endpoint has lost it, with what it was subscribed to), its standalone stream, an end for streams of changes, and which arguments a modern tool mirrors into headers.
//! Answers pass through as they come.

mod relay;
mod rest;
mod session;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use portcullis_config::HttpUpstream;
use portcullis_mcp::json::{Limits, Raw};
use portcullis_mcp::line;
use portcullis_mcp::message::{Id, Malformed, Message, Notification, Request, RpcError, code, write_error};
use portcullis_mcp::method::Method;
use portcullis_mcp::mirror::Mirror;
use portcullis_mcp::translate::key;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::upstream::{HttpLink, TlsError};
use session::Session;

/// Largest message in either direction, in bytes.
const MESSAGE: usize = 64 << 20;
/// Deepest nesting of a message: the endpoint has its own, lower limit.
const DEPTH: Limits = Limits { depth: 256 };
/// Messages that wait for the host to read them.
const QUEUE: usize = 64;
/// So long a request waits for the end of a cancelled one that had its id.
const AFTERMATH: Duration = Duration::from_secs(5);

/// Why the bridge broke down. A request that fails is answered with an error instead.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Standard input or output failed.
    #[error("standard input or output: {0}")]
    Io(#[from] std::io::Error),
    /// The host wrote a line that is too long to be a message.
    #[error("the host broke the protocol: {0}")]
    Line(#[from] line::TooLong),
}

/// Carries messages until the host closes its end and all its requests are answered.
///
/// # Errors
/// [`BridgeError`]; what goes wrong with a single request is told to the host in its answer.
pub async fn run(
    endpoint: &HttpUpstream,
    mut input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
) -> Result<(), BridgeError> {
    let (host, messages) = mpsc::channel(QUEUE);
    let writer = tokio::spawn(write(output, messages));
    let bridge = Arc::new(Bridge {
        url: endpoint.url.to_string(),
        link: HttpLink::new(endpoint, 1)?,
        host,
        session: Session::default(),
        running: Mutex::default(),
        mirrors: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    let mut decoder = line::Decoder::new(MESSAGE);
    let mut buffer = BytesMut::with_capacity(16 * 1024);
    loop {
        buffer.clear();
        if input.read_buf(&mut buffer).await? == 0 {
            break;
        }
        decoder.push(&buffer);
        while let Some(line) = decoder.next() {
            bridge.take(line?, &mut tasks);
        }
        while tasks.try_join_next().is_some() {}
    }
    if let Some(line) = decoder.finish() {
        bridge.take(line, &mut tasks);
    }
    bridge.stop_listening();
    while tasks.join_next().await.is_some() {}
    bridge.end_session().await;
    drop(bridge);
    writer.await.map_err(std::io::Error::other)??;
    Ok(())
}

async fn write(
    mut output: impl AsyncWrite + Unpin,
    mut messages: mpsc::Receiver<Raw>,
) -> std::io::Result<()> {
    let mut text = Vec::new();
    while let Some(message) = messages.recv().await {
        text.clear();
        line::encode(&mut text, &message);
        output.write_all(&text).await?;
        output.flush().await?;
    }
    Ok(())
}

struct Bridge {
    /// The endpoint, as people are told of it.
    url: String,
    link: HttpLink,
    /// What the host reads.
    host: mpsc::Sender<Raw>,
    session: Session,
    /// The requests under way.
    running: Mutex<HashMap<Id, Running>>,
    /// Which arguments the tools mirror into headers, as last listed.
    mirrors: Mutex<HashMap<String, Mirror>>,
}

/// A request under way.
struct Running {
    task: AbortHandle,
    is_modern: bool,
    /// It is answered when it ends, which may be never.
    listens: bool,
    mark: Arc<Mark>,
}

/// What is known of one request, whatever other request has its id meanwhile.
#[derive(Default)]
struct Mark {
    cancelled: AtomicBool,
    /// Fires when nothing more comes of it.
    over: CancellationToken,
}

impl Mark {
    /// Whether the host has cancelled it: its stream then ends without an answer, and nobody misses one.
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Bridge {
    /// Takes one line of the host: a message, or several in one where its revision has that (2025-03-26, batching). Those are
    /// carried one by one, and answered so, which it allows.
    fn take(self: &Arc<Self>, line: Bytes, tasks: &mut JoinSet<()>) {
        let is_batch = line.trim_ascii_start().first() == Some(&b'[') && self.session.has_batches();
        let messages = match Raw::parse(line, DEPTH) {
            Ok(batch) if is_batch && batch.elements().next().is_some() => batch.elements().collect(),
            Ok(message) => vec![message],
            Err(error) => return self.refuse(Malformed::Json(error), tasks),
        };
        for raw in messages {
            match Message::from_raw(&raw) {
                Ok(message) => self.take_message(message, raw, tasks),
                Err(error) => self.refuse(error, tasks),
            }
        }
    }

    fn take_message(self: &Arc<Self>, message: Message, raw: Raw, tasks: &mut JoinSet<()>) {
        match message {
            Message::Request(request) => self.begin(request, raw, tasks),
            Message::Notification(notification) if self.cancels_modern(&notification) => {}
            Message::Notification(notification) => {
                let bridge = self.clone();
                tasks.spawn(async move { bridge.notify(&notification.method, &raw).await });
            }
            Message::Response(_) => {
                let bridge = self.clone();
                tasks.spawn(async move { bridge.post_in_session(&raw).await });
            }
        }
    }

    fn refuse(self: &Arc<Self>, error: Malformed, tasks: &mut JoinSet<()>) {
        let bridge = self.clone();
        tasks.spawn(async move { bridge.refuse_line(error).await });
    }

    /// Begins a request. A host may use an id again as soon as it has cancelled what had it; the endpoint knows the
    /// other one by it until that has ended.
    fn begin(self: &Arc<Self>, request: Request, raw: Raw, tasks: &mut JoinSet<()>) {
        let (id, mark) = (request.id.clone(), Arc::<Mark>::default());
        let (is_modern, listens) = (is_modern(&request), request.method == Method::Listen);
        let mut running = self.running();
        let before =
            running.get(&id).map(|before| before.mark.clone()).filter(|before| before.is_cancelled());
        let (bridge, own, over) = (self.clone(), mark.clone(), mark.over.clone().drop_guard());
        let task = tasks.spawn(async move {
            let _over = over;
            if let Some(before) = before {
                let _ = tokio::time::timeout(AFTERMATH, before.over.cancelled()).await;
            }
            // Cancelled before anybody heard of it.
            if !own.is_cancelled() {
                bridge.request(&request, &raw, &own).await;
            }
            bridge.forget(&request.id, &own);
        });
        running.insert(id, Running { task, is_modern, listens, mark });
    }

    /// A modern host cancels by a notification; over HTTP that is said by closing the connection (2026-07-28,
    /// cancellation). A legacy session carries the notification itself.
    fn cancels_modern(&self, notification: &Notification) -> bool {
        if notification.method != Method::Cancelled {
            return false;
        }
        let id = notification.params.as_ref().and_then(|params| params.find("requestId"));
        let Some(id) = id.and_then(|id| Id::from_raw(&id)) else { return !self.session.is_open() };
        let mut running = self.running();
        match running.get(&id) {
            Some(request) if request.is_modern => request.task.abort(),
            Some(request) => {
                request.mark.cancel();
                return !self.session.is_open();
            }
            None => return !self.session.is_open(),
        }
        running.remove(&id);
        true
    }

    /// The host hears nothing more: what would wait for changes for ever ends.
    fn stop_listening(&self) {
        self.running().values().filter(|request| request.listens).for_each(|request| request.task.abort());
    }

    /// A request has ended. Another may have its id by now.
    fn forget(&self, id: &Id, mark: &Arc<Mark>) {
        let mut running = self.running();
        if running.get(id).is_some_and(|request| Arc::ptr_eq(&request.mark, mark)) {
            running.remove(id);
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Id, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn request(self: &Arc<Self>, request: &Request, raw: &Raw, mark: &Mark) {
        let failed = if is_modern(request) {
            self.modern_request(request, raw).await.err()
        } else {
            self.legacy_request(request, raw, mark).await.err()
        };
        if let Some(why) = failed
            && !mark.is_cancelled()
        {
            let why = match why.strip_prefix("cannot connect: ") {
                Some(why) => format!("cannot connect to {}: {why}", self.url),
                None => why,
            };
            self.answer_error(Some(&request.id), code::INTERNAL, &why).await;
        }
    }

    async fn refuse_line(&self, error: Malformed) {
        match error {
            Malformed::Json(error) => self.answer_error(None, code::PARSE_ERROR, &error.to_string()).await,
            Malformed::Envelope { id, why } => {
                self.answer_error(id.as_ref(), code::INVALID_REQUEST, why).await;
            }
        }
    }

    async fn answer_error(&self, id: Option<&Id>, code: i64, why: &str) {
        let mut message = Vec::new();
        write_error(&mut message, id, &RpcError::new(code, why, None));
        self.tell(Raw::trusted(message)).await;
    }

    /// Gives the host a message.
    async fn tell(&self, message: Raw) {
        // An error says that the host has gone; the loop notices by itself.
        let _ = self.host.send(message).await;
    }
}

fn is_modern(request: &Request) -> bool {
    let params = request.params.as_ref();
    params.is_some_and(|params| params.find_path(&["_meta", key::PROTOCOL_VERSION]).is_some())
}

#[cfg(test)]
mod tests;
