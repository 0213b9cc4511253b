//! Sessions of clients up to 2025-11-25.
//!
//! A session belongs to the principal and the endpoint that opened it; to everybody else it does not exist. It holds
//! what the older protocol keeps between requests: the revision, the client's capabilities, the log level, the calls
//! that can be cancelled, what the client has been asked, and the streams that can be resumed. An idle session is a few hundred bytes.

mod id;
mod questions;
mod replay;
mod store;
mod stream;
mod wire;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::{HashMap, HashMapExt as _};
use futures_util::future::{AbortHandle, Abortable, Pending, pending};
use portcullis_mcp::json::Raw;
use portcullis_mcp::message::{Id, RpcError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::admit::Place as Counted;
use crate::call::{Caller, Endpoint, LogLevel};
use crate::moment::LastUse;
use crate::subscribe::Subscriber;

pub(crate) use id::{has_ended, new_id};
pub(crate) use replay::Replay;
pub(crate) use store::Sessions;
pub(crate) use stream::{Place, RETRY, Read, Reader, Stream};
pub(crate) use wire::Wire;

/// Streams that a session keeps at least for clients that come back, once all of a stream was read, and for how long.
/// [`Replay`] bounds their size, and how many there are of which something was not read.
const KEPT_STREAMS: usize = 8;
const KEPT_FOR: Duration = Duration::from_mins(2);
/// The number of the standalone stream; the others count from 1.
const STANDALONE: u64 = 0;
/// Messages that wait for a client to listen.
const MOST_UNHEARD: usize = 32;

/// A session.
pub(crate) struct Session {
    pub(crate) id: Arc<str>,
    pub(crate) endpoint: Endpoint,
    /// Principal, revision and capabilities.
    pub(crate) caller: Arc<Caller>,
    /// Everything of the session ends with it.
    pub(crate) ended: CancellationToken,
    /// On HTTP+SSE, the one stream of the client; the session ends with it.
    wire: Option<Arc<Wire>>,
    replay: Arc<Replay>,
    /// What it is told outside its requests.
    subscriber: Option<Arc<Subscriber>>,
    log_level: AtomicU8,
    used: LastUse,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: HashMap<Id, AbortHandle>,
    streams: VecDeque<Arc<Stream>>,
    /// They are tidied beyond so many, so that no call has to look at all of them.
    tidy_at: usize,
    next_stream: u64,
    /// What the client has been asked.
    asked: HashMap<u64, oneshot::Sender<Result<Raw, RpcError>>>,
    next_question: u64,
    /// The stream for what belongs to no request, once a client has listened on it.
    standalone: Option<Arc<Stream>>,
    /// Connections that read it now.
    listeners: usize,
    /// It is on record that a client listens there; between two connections it still does.
    is_open: bool,
    /// Its place among those of its principal.
    counted: Option<Counted>,
    /// What is to be said on it once somebody listens.
    unheard: VecDeque<Vec<u8>>,
}

/// A call that can be cancelled; forgotten by its session when dropped.
pub(crate) struct Running {
    session: Arc<Session>,
    id: Id,
    /// Ready when the client cancels the call, or its session ends.
    pub(crate) cancelled: Abortable<Pending<()>>,
    /// It is forgotten already.
    over: bool,
}

impl Session {
    /// A session whose finished streams are kept in `replay`.
    pub(crate) fn new(id: Arc<str>, endpoint: Endpoint, caller: Arc<Caller>, replay: Arc<Replay>) -> Self {
        Self {
            id,
            endpoint,
            caller,
            ended: CancellationToken::new(),
            wire: None,
            replay,
            subscriber: None,
            // A client that never says which level it wants gets what is worth reading.
            log_level: AtomicU8::new(LogLevel::Info as u8),
            used: LastUse::now(),
            state: Mutex::default(),
        }
    }

    /// The same, on the client's one stream.
    #[must_use]
    pub(crate) fn on(self, wire: Arc<Wire>) -> Self {
        Self { ended: wire.closed.clone(), wire: Some(wire), ..self }
    }

    /// Tells the client what is part of no call's own stream.
    pub(crate) fn tell(&self, message: &[u8]) {
        if let Some(wire) = &self.wire {
            wire.push(message);
        }
    }

    /// Whether the client has one stream for everything, that of HTTP+SSE.
    pub(crate) fn is_on_one_stream(&self) -> bool {
        self.wire.is_some()
    }

    /// Whether a call is under way.
    pub(crate) fn is_busy(&self) -> bool {
        !self.state().calls.is_empty()
    }

    /// The same, with somebody who is told of changes.
    #[must_use]
    pub(crate) fn told(self, subscriber: Arc<Subscriber>) -> Self {
        Self { subscriber: Some(subscriber), ..self }
    }

    /// The same, counted for its principal until it ends.
    #[must_use]
    pub(crate) fn counted(self, place: Option<Counted>) -> Self {
        self.state().counted = place;
        self
    }

    /// Everything of the session ends.
    fn end(&self) {
        self.ended.cancel();
        drop(self.state().counted.take());
        self.state().calls.values().for_each(AbortHandle::abort);
        if let Some(subscriber) = &self.subscriber {
            subscriber.end();
        }
    }

    /// Who is told of changes for it.
    pub(crate) fn subscriber(&self) -> Option<&Arc<Subscriber>> {
        self.subscriber.as_ref()
    }

    /// The session is in use.
    pub(crate) fn touch(&self) {
        self.used.touch();
    }

    /// How long nobody has used it; `None` while a call runs or a stream is open.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let state = self.state();
        if !state.calls.is_empty() || state.listeners > 0 || self.wire.is_some() {
            return None;
        }
        Some(self.used.elapsed())
    }

    /// The log level in force.
    pub(crate) fn log_level(&self) -> LogLevel {
        LogLevel::from_index(self.log_level.load(Ordering::Relaxed))
    }

    pub(crate) fn set_log_level(&self, level: LogLevel) {
        self.log_level.store(level as u8, Ordering::Relaxed);
    }

    /// Notes a call under way; `None` when one with this id is under way already.
    pub(crate) fn begin(self: &Arc<Self>, id: &Id) -> Option<Running> {
        let mut state = self.state();
        if state.calls.contains_key(id) {
            return None;
        }
        let (cancel, cancelled) = AbortHandle::new_pair();
        if self.ended.is_cancelled() {
            cancel.abort();
        }
        state.calls.insert(id.clone(), cancel);
        drop(state);
        let cancelled = Abortable::new(pending(), cancelled);
        Some(Running { session: self.clone(), id: id.clone(), cancelled, over: false })
    }

    /// Cancels a call; one that is unknown or over is nobody's business.
    pub(crate) fn cancel(&self, id: &Id) {
        if let Some(call) = self.state().calls.get(id) {
            call.abort();
        }
    }

    /// Opens a stream for a call; its client may leave it and come back to it, unless it has one for everything.
    pub(crate) fn open_stream(&self) -> Arc<Stream> {
        if let Some(wire) = &self.wire {
            return Stream::on(wire.clone());
        }
        let mut state = self.state();
        state.next_stream += 1;
        let stream = Stream::new(state.next_stream, &self.replay);
        if state.streams.len() >= state.tidy_at.max(2 * KEPT_STREAMS) {
            state.tidy(self.replay.unread());
        }
        state.streams.push_back(stream.clone());
        stream
    }

    /// Whether a client is getting the answer of a call, or is expected back for it.
    pub(super) fn is_awaited(&self) -> bool {
        self.state().streams.iter().any(|stream| stream.is_awaited())
    }

    /// The stream that an event id belongs to.
    pub(crate) fn find_stream(&self, number: u64) -> Option<Arc<Stream>> {
        let state = self.state();
        let mut kept = state.streams.iter().filter(|stream| !stream.is_forgotten());
        kept.find(|stream| stream.number() == number).cloned()
    }

    /// Forgets finished streams that nobody came back to.
    fn forget_old_streams(&self) {
        let mut state = self.state();
        state.streams.retain(|stream| stream.over_for().is_none_or(|age| age < KEPT_FOR));
        state.tidy_at = 0;
        if state.streams.is_empty() {
            state.streams = VecDeque::new();
        }
    }

    /// The stream for what belongs to no request.
    pub(crate) fn standalone(&self) -> Arc<Stream> {
        let new = || Stream::standalone(STANDALONE);
        self.state().standalone.get_or_insert_with(new).clone()
    }

    /// Whether that is the stream with this number, and something has been sent on it.
    pub(crate) fn is_standalone(&self, number: u64) -> bool {
        number == STANDALONE && self.state().standalone.is_some()
    }

    /// A connection reads the standalone stream from now on: it is told what nobody has heard yet. Says whether the client
    /// begins to listen with it, rather than comes back.
    pub(crate) fn listener_came(&self) -> bool {
        let mut state = self.state();
        state.listeners += 1;
        let begins = !std::mem::replace(&mut state.is_open, true);
        let (stream, unheard) = (state.standalone.clone(), std::mem::take(&mut state.unheard));
        drop(state);
        if let Some(stream) = stream {
            for message in &unheard {
                stream.push(message);
            }
        }
        begins
    }

    /// A client came back to the stream of a call that is under way: it is told what nobody has heard yet, unless it
    /// listens for that elsewhere.
    pub(crate) fn client_is_back(&self, stream: &Stream) {
        let mut state = self.state();
        if state.listeners > 0 || stream.is_over() {
            return;
        }
        let unheard = std::mem::take(&mut state.unheard);
        drop(state);
        for message in &unheard {
            stream.push(message);
        }
    }

    /// Says something that belongs to no request: on the stream for that, or, while nobody listens there, on that of a call
    /// whose client does. Where there is none either, it waits.
    pub(crate) fn say(&self, message: Vec<u8>) {
        if let Some(wire) = &self.wire {
            return wire.push(&message);
        }
        let mut state = self.state();
        let of_a_call =
            || state.streams.iter().rev().find(|stream| stream.is_read() && !stream.is_over()).cloned();
        let stream = if state.listeners > 0 { state.standalone.clone() } else { of_a_call() };
        if let Some(stream) = stream {
            drop(state);
            return stream.push(&message);
        }
        if state.unheard.len() >= MOST_UNHEARD {
            state.unheard.pop_front();
        }
        state.unheard.push_back(message);
    }

    /// Whether anybody hears what belongs to no request.
    pub(crate) fn is_heard(&self) -> bool {
        self.wire.is_some() || self.state().listeners > 0
    }

    /// It reads no more; its client may have been told to come back. Says whether that is the end of listening.
    pub(crate) fn listener_left(&self, comes_back: bool) -> bool {
        let mut state = self.state();
        state.listeners -= 1;
        let ends = !comes_back && state.listeners == 0 && std::mem::take(&mut state.is_open);
        drop(state);
        self.touch();
        ends
    }

    /// Nobody comes back to the standalone stream. Says whether that is the end of listening.
    pub(crate) fn ends_listening(&self) -> bool {
        std::mem::take(&mut self.state().is_open)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Of the finished streams, the oldest go: those that were read to the end, beyond some, and those that were not, beyond
    /// `unread`.
    fn tidy(&mut self, unread: usize) {
        let read = self.streams.iter().filter(|stream| stream.was_read()).count();
        let over = self.streams.iter().filter(|stream| stream.is_over()).count();
        let mut spare_read = read.saturating_sub(KEPT_STREAMS);
        let mut spare_unread = over.saturating_sub(read).saturating_sub(unread);
        self.streams.retain(|stream| {
            let spare = if stream.was_read() {
                &mut spare_read
            } else if stream.is_over() {
                &mut spare_unread
            } else {
                return true;
            };
            let stays = *spare == 0;
            *spare = spare.saturating_sub(1);
            stays
        });
        self.tidy_at = 2 * self.streams.len();
    }
}

impl Running {
    /// The call is about to be answered: a client that has its answer may use the id again at once, and what is dropped
    /// later is not the new call's.
    pub(crate) fn end(&mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let mut state = self.session.state();
        state.calls.remove(&self.id);
        if state.calls.is_empty() && state.calls.capacity() > 64 {
            state.calls = HashMap::new();
        }
        drop(state);
        self.session.touch();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
