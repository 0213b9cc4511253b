//! The stdio link: one child, one shared channel, many calls.
//!
//! A writer task owns the child's stdin, a reader task its stdout. Answers find their call by id, progress by token,
//! log messages only when there is a single call that they can belong to: on a shared channel nothing else says
//! whose they are. What the child sends beyond that is dropped, never guessed at. A child that floods, breaks the
//! framing or dies ends this link and the calls on it, and nothing else.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use portcullis_hub::{Child, ChildHandle};
use portcullis_mcp::json::Limits as JsonLimits;
use portcullis_mcp::json::Raw;
use portcullis_mcp::line;
use portcullis_mcp::message::{Id, Message, Notification, Request, Response, RpcError, code};
use portcullis_mcp::message::{write_error, write_notification, write_result};
use portcullis_mcp::method::Method;
use portcullis_model::ServerId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};

/// Messages that wait for the child to read its stdin; a call that finds the queue full waits within its time limit.
const WRITE_QUEUE: usize = 256;
/// Notifications of one call that wait for its client; beyond that they are dropped, the answer never is.
const NOTES: usize = 256;
/// Cancelled calls that are remembered one by one.
const MOST_ABANDONED: usize = 1024;
/// How long a child may take to leave after its stdin was closed, and again after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// Told about notifications that belong to no call.
pub(super) type OnNotice = Box<dyn Fn(&Method) + Send + Sync>;

/// A running child that speaks MCP.
pub(crate) struct StdioLink {
    shared: Arc<Shared>,
    /// `None` once the link was closed: the writer ends and with it the child's stdin.
    lines: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
    handle: ChildHandle,
}

struct Shared {
    server: ServerId,
    calls: Mutex<HashMap<u64, Waiting>>,
    /// Calls that were cancelled and not answered since: the child may still be at work on them, and say so.
    abandoned: Mutex<HashSet<u64>>,
    broken: OnceLock<String>,
}

struct Waiting {
    done: oneshot::Sender<Response>,
    notes: Option<mpsc::Sender<Notification>>,
    wants_logs: bool,
}

/// A call under way on the link. Dropping it before the answer tells the child that it was cancelled.
pub(super) struct Ticket {
    link: Arc<StdioLink>,
    id: u64,
    /// Progress and log messages.
    pub(super) notes: Option<mpsc::Receiver<Notification>>,
    done: oneshot::Receiver<Response>,
    answered: bool,
}

/// What a call wants besides its answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wants {
    pub(super) progress: bool,
    pub(super) logs: bool,
}

impl StdioLink {
    /// Takes over a child. Must run on the runtime that is to do its I/O.
    pub(super) fn start(
        server: ServerId,
        child: Child,
        limit: usize,
        depth: usize,
        on_notice: OnNotice,
    ) -> Arc<Self> {
        let (lines, queue) = mpsc::channel(WRITE_QUEUE);
        let shared = Arc::new(Shared {
            server,
            calls: Mutex::default(),
            abandoned: Mutex::default(),
            broken: OnceLock::new(),
        });
        let link = Arc::new(Self {
            shared: shared.clone(),
            lines: Mutex::new(Some(lines.clone())),
            handle: child.handle.clone(),
        });
        tokio::spawn(write(child.stdin, queue));
        let reader =
            Reader { shared, lines: lines.downgrade(), handle: child.handle, limit, depth, on_notice };
        tokio::spawn(reader.run(child.stdout));
        link
    }

    /// Why the link can carry no more calls; `None` while it can.
    pub(super) fn broken(&self) -> Option<&str> {
        self.shared.broken.get().map(String::as_str)
    }

    /// Whether no call is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.shared.calls().is_empty()
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Why the link is broken; nothing was sent then.
    pub(super) async fn begin(
        self: &Arc<Self>,
        id: u64,
        message: &Raw,
        wants: Wants,
    ) -> Result<Ticket, String> {
        let (done, answer) = oneshot::channel();
        let (notes_in, notes) =
            if wants.progress || wants.logs { Some(mpsc::channel(NOTES)).unzip() } else { (None, None) };
        self.shared.calls().insert(id, Waiting { done, notes: notes_in, wants_logs: wants.logs });
        let ticket = Ticket { link: self.clone(), id, notes, done: answer, answered: false };
        if let Some(why) = self.broken() {
            return Err(why.to_owned());
        }
        let mut text = Vec::new();
        line::encode(&mut text, message);
        self.send(text).await?;
        Ok(ticket)
    }

    /// Sends a notification; it is lost when the child does not read.
    pub(super) fn notify(&self, method: &Method, params: Option<&Raw>) {
        let mut message = Vec::new();
        write_notification(&mut message, method, params);
        message.push(b'\n');
        if let Some(lines) = self.sender() {
            let _ = lines.try_send(message);
        }
    }

    /// Closes the child's stdin and sees it off.
    pub(super) async fn close(&self) {
        self.shared.break_with("the server was stopped");
        drop(self.lines.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.handle.stop(GRACE).await;
    }

    async fn send(&self, line: Vec<u8>) -> Result<(), String> {
        let closed = || self.broken().unwrap_or("the server has closed its input").to_owned();
        self.sender().ok_or_else(closed)?.send(line).await.map_err(|_| closed())
    }

    fn sender(&self) -> Option<mpsc::Sender<Vec<u8>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Ticket {
    /// Waits for the answer.
    ///
    /// # Errors
    /// Why the link broke before it came.
    pub(super) async fn answer(&mut self) -> Result<Response, String> {
        let answer = (&mut self.done).await;
        self.answered = true;
        answer.map_err(|_| self.link.broken().unwrap_or("the server broke off").to_owned())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let waiting = self.link.shared.calls().remove(&self.id).is_some();
        if waiting && !self.answered {
            self.link.shared.abandon(self.id);
            let params =
                Raw::trusted(format!("{{\"requestId\":{},\"reason\":\"the client cancelled\"}}", self.id));
            self.link.notify(&Method::Cancelled, Some(&params));
        }
    }
}

impl Shared {
    fn calls(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Waiting>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call that the child may still be at work on. A child that never answers what was cancelled would make this
    /// grow with every cancelled call: at the limit one mark, which no answer takes away, stands for all others.
    fn abandon(&self, id: u64) {
        let mut abandoned = self.abandoned();
        let full = abandoned.len() >= MOST_ABANDONED;
        abandoned.insert(if full { u64::MAX } else { id });
    }

    fn abandoned(&self) -> std::sync::MutexGuard<'_, HashSet<u64>> {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing can be asked, and whoever waits is told.
    fn break_with(&self, why: &str) {
        let _ = self.broken.set(why.to_owned());
        self.calls().clear();
    }
}

async fn write(mut stdin: ChildStdin, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = queue.recv().await {
        if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
            // The reader sees the exit and says why.
            return;
        }
    }
}

struct Reader {
    shared: Arc<Shared>,
    /// Weak, so that closing the link closes the child's stdin even while the reader lives.
    lines: mpsc::WeakSender<Vec<u8>>,
    handle: ChildHandle,
    limit: usize,
    depth: usize,
    on_notice: OnNotice,
}

impl Reader {
    async fn run(self, mut stdout: ChildStdout) {
        let why = self.read(&mut stdout).await;
        drop(stdout);
        self.shared.break_with(&why);
        // Whatever is left of it: a child that closed its stdout is of no use.
        self.handle.stop(GRACE).await;
    }

    /// Reads until the link is over; says why it is.
    async fn read(&self, stdout: &mut ChildStdout) -> String {
        let mut decoder = line::Decoder::new(self.limit);
        let mut buffer = BytesMut::with_capacity(16 * 1024);
        loop {
            buffer.clear();
            match stdout.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return self.last_words().await,
                Ok(_) => decoder.push(&buffer),
            }
            while let Some(line) = decoder.next() {
                match line {
                    Ok(line) => self.take(line),
                    Err(error) => return format!("the server broke the protocol: {error}"),
                }
            }
        }
    }

    async fn last_words(&self) -> String {
        match tokio::time::timeout(GRACE, self.handle.exited()).await {
            Ok(exit) => format!("the server exited: {exit}"),
            Err(_) => "the server closed its output".to_owned(),
        }
    }

    fn take(&self, line: Bytes) {
        let size = line.len();
        match Message::parse(line, JsonLimits { depth: self.depth }) {
            Ok(Message::Response(response)) => self.take_response(response),
            Ok(Message::Notification(notification)) => self.take_notification(notification),
            Ok(Message::Request(request)) => self.refuse(&request),
            Err(error) => {
                tracing::debug!(server.id = %self.shared.server, bytes = size, %error, "a line on stdout is no MCP message");
            }
        }
    }

    fn take_response(&self, response: Response) {
        let id = response.id.as_ref().and_then(Id::as_number);
        match id.and_then(|id| self.shared.calls().remove(&id)) {
            Some(waiting) => drop(waiting.done.send(response)),
            None if id.is_some_and(|id| id != u64::MAX && self.shared.abandoned().remove(&id)) => {}
            None => {
                tracing::debug!(server.id = %self.shared.server, "an answer to no open request was dropped");
            }
        }
    }

    fn take_notification(&self, notification: Notification) {
        match notification.method {
            Method::Progress => {
                let token =
                    notification.params.as_ref().and_then(|params| params.find("progressToken")?.u64());
                let calls = self.shared.calls();
                let notes = token.and_then(|token| calls.get(&token)?.notes.clone());
                drop(calls);
                if let Some(notes) = notes {
                    let _ = notes.try_send(notification);
                }
            }
            Method::LogMessage => {
                if let Some(notes) = self.only_listener() {
                    let _ = notes.try_send(notification);
                }
            }
            ref method => (self.on_notice)(method),
        }
    }

    /// The notes of the one call under way, if it is the only one and wants log messages.
    fn only_listener(&self) -> Option<mpsc::Sender<Notification>> {
        if !self.shared.abandoned().is_empty() {
            return None;
        }
        let calls = self.shared.calls();
        let mut all = calls.values();
        match (all.next(), all.next()) {
            (Some(only), None) if only.wants_logs => only.notes.clone(),
            _ => None,
        }
    }

    /// Answers a request of the server: `ping`, and nothing else, for there is nobody to hand it to yet.
    fn refuse(&self, request: &Request) {
        let mut message = Vec::new();
        write_answer(&mut message, request);
        message.push(b'\n');
        if let Some(lines) = self.lines.upgrade() {
            let _ = lines.try_send(message);
        }
    }
}

/// The gateway's answer to a server's own request: `ping` is answered, the rest is not offered, so a server that asks
/// is told that the method does not exist.
pub(super) fn write_answer(out: &mut Vec<u8>, request: &Request) {
    if request.method == Method::Ping {
        write_result(out, &request.id, &Raw::from_static("{}"));
    } else {
        let error =
            RpcError::new(code::METHOD_NOT_FOUND, "this client did not declare that capability", None);
        write_error(out, Some(&request.id), &error);
    }
}
