//! One shared channel to a server: many calls, and messages in both directions without any order between them.
//!
//! What it runs over (a child's stdin and stdout, the event stream and the POSTs of HTTP+SSE) is the transport's: it
//! takes messages from the channel's queue and hands in what the server says. Answers find their call by id, progress
//! by token, log messages only when there is a single call that they can belong to: on a shared channel nothing else
//! says whose they are. What the server sends beyond that is dropped, never guessed at. A server that floods, breaks
//! the framing or goes away ends this channel and the calls on it, and nothing else.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use portcullis_hub::ChildHandle;
use portcullis_mcp::json::{Limits as JsonLimits, Raw};
use portcullis_mcp::message::{Id, Message, Notification, Request, Response, RpcError, code};
use portcullis_mcp::message::{write_error, write_notification, write_result};
use portcullis_mcp::method::Method;
use portcullis_model::ServerId;
use tokio::sync::{mpsc, oneshot};

/// Messages that wait for the server to read them; a call that finds the queue full waits within its time limit.
const QUEUE: usize = 256;
/// Notifications of one call that wait for its client; beyond that they are dropped, the answer never is.
const NOTES: usize = 256;
/// Cancelled calls that are remembered one by one.
const MOST_ABANDONED: usize = 1024;
/// How long a child may take to leave after its stdin was closed, and again after SIGTERM.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// Told about notifications that belong to no call.
pub(super) type OnNotice = Box<dyn Fn(&Method) + Send + Sync>;

/// An open channel.
pub(crate) struct Channel {
    shared: Arc<Shared>,
    /// `None` once the channel was closed: the transport's queue ends, and with it what it writes to.
    queue: Mutex<Option<mpsc::Sender<Raw>>>,
    carrier: Carrier,
}

/// What the channel runs over, to be ended with it.
pub(super) enum Carrier {
    /// A child process.
    Child(ChildHandle),
}

struct Shared {
    server: ServerId,
    calls: Mutex<HashMap<u64, Waiting>>,
    /// Calls that were cancelled and not answered since: the server may still be at work on them, and say so.
    abandoned: Mutex<HashSet<u64>>,
    broken: OnceLock<String>,
}

struct Waiting {
    done: oneshot::Sender<Response>,
    notes: Option<mpsc::Sender<Notification>>,
    wants_logs: bool,
}

/// A call under way on the channel. Dropping it before the answer tells the server that it was cancelled.
pub(super) struct Ticket {
    channel: Arc<Channel>,
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

impl Channel {
    /// A channel over `carrier`, with the messages that the transport has to carry and the place for those that it
    /// brings.
    pub(super) fn new(
        server: ServerId,
        carrier: Carrier,
        depth: usize,
        on_notice: OnNotice,
    ) -> (Arc<Self>, mpsc::Receiver<Raw>, Inbox) {
        let (queue, messages) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            server,
            calls: Mutex::default(),
            abandoned: Mutex::default(),
            broken: OnceLock::new(),
        });
        let inbox = Inbox { shared: shared.clone(), queue: queue.downgrade(), depth, on_notice };
        let channel = Arc::new(Self { shared, queue: Mutex::new(Some(queue)), carrier });
        (channel, messages, inbox)
    }

    /// Why the channel can carry no more calls; `None` while it can.
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
    /// Why the channel is broken; nothing was sent then.
    pub(super) async fn begin(
        self: &Arc<Self>,
        id: u64,
        message: Raw,
        wants: Wants,
    ) -> Result<Ticket, String> {
        let (done, answer) = oneshot::channel();
        let (notes_in, notes) =
            if wants.progress || wants.logs { Some(mpsc::channel(NOTES)).unzip() } else { (None, None) };
        self.shared.calls().insert(id, Waiting { done, notes: notes_in, wants_logs: wants.logs });
        let ticket = Ticket { channel: self.clone(), id, notes, done: answer, answered: false };
        if let Some(why) = self.broken() {
            return Err(why.to_owned());
        }
        self.send(message).await?;
        Ok(ticket)
    }

    /// Sends a notification; it is lost when the server does not read.
    pub(super) fn notify(&self, method: &Method, params: Option<&Raw>) {
        let mut message = Vec::new();
        write_notification(&mut message, method, params);
        if let Some(queue) = self.sender() {
            let _ = queue.try_send(Raw::trusted(message));
        }
    }

    /// Ends the channel and sees the server off.
    pub(super) async fn close(&self) {
        self.shared.break_with("the server was stopped");
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        match &self.carrier {
            Carrier::Child(child) => child.stop(GRACE).await,
        }
    }

    async fn send(&self, message: Raw) -> Result<(), String> {
        let closed = || self.broken().unwrap_or("the server has closed its input").to_owned();
        self.sender().ok_or_else(closed)?.send(message).await.map_err(|_| closed())
    }

    fn sender(&self) -> Option<mpsc::Sender<Raw>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Ticket {
    /// Waits for the answer.
    ///
    /// # Errors
    /// Why the channel broke before it came.
    pub(super) async fn answer(&mut self) -> Result<Response, String> {
        let answer = (&mut self.done).await;
        self.answered = true;
        answer.map_err(|_| self.channel.broken().unwrap_or("the server broke off").to_owned())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let waiting = self.channel.shared.calls().remove(&self.id).is_some();
        if waiting && !self.answered {
            self.channel.shared.abandon(self.id);
            let params =
                Raw::trusted(format!("{{\"requestId\":{},\"reason\":\"the client cancelled\"}}", self.id));
            self.channel.notify(&Method::Cancelled, Some(&params));
        }
    }
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a call that the server may still be at work on. One that never answers what was cancelled would make this
    /// grow with every cancelled call: at the limit one mark, which no answer takes away, stands for all others.
    fn abandon(&self, id: u64) {
        let mut abandoned = self.abandoned();
        let full = abandoned.len() >= MOST_ABANDONED;
        abandoned.insert(if full { u64::MAX } else { id });
    }

    fn abandoned(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing can be asked, and whoever waits is told.
    fn break_with(&self, why: &str) {
        let _ = self.broken.set(why.to_owned());
        self.calls().clear();
    }
}

/// Where a transport hands in what the server says.
pub(super) struct Inbox {
    shared: Arc<Shared>,
    /// Weak, so that closing the channel ends the transport's queue even while somebody still reads.
    queue: mpsc::WeakSender<Raw>,
    depth: usize,
    on_notice: OnNotice,
}

impl Inbox {
    /// The server will say no more: the channel is broken, and this is why.
    pub(super) fn end(&self, why: &str) {
        self.shared.break_with(why);
    }

    /// Takes one message.
    pub(super) fn take(&self, message: Bytes) {
        let size = message.len();
        match Message::parse(message, JsonLimits { depth: self.depth }) {
            Ok(Message::Response(response)) => self.take_response(response),
            Ok(Message::Notification(notification)) => self.take_notification(notification),
            Ok(Message::Request(request)) => self.refuse(&request),
            Err(error) => {
                tracing::debug!(server.id = %self.shared.server, bytes = size, %error, "what the server sent is no MCP message");
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
        if let Some(queue) = self.queue.upgrade() {
            let _ = queue.try_send(Raw::trusted(message));
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
