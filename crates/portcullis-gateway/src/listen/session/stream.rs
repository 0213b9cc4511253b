//! An answer stream that outlives its connection (2025-03-26 to 2025-11-25, resumability).
//!
//! The call writes, at most one connection reads; a second reader sends the first away. Events keep their ids, so that
//! a client that comes back reads on where it left. What is kept is bounded: the oldest events go first, the answer
//! itself stays. Finished streams of all sessions share a budget: see `replay.rs`. Whoever has not had all of a stream is
//! expected back for a while, and a gateway that is about to stop waits for them: see `is_awaited`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use portcullis_mcp::sse;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::replay::{Replay, Turn};
use super::wire::Wire;
use crate::budget::Share;

/// Bytes of events that an answer's stream keeps besides the last one, and a standalone stream.
const KEPT_BYTES: usize = 1 << 20;
const STANDALONE_BYTES: usize = 64 << 10;
/// How soon a client whose stream broke, or was closed for it, may come back, unless it is told something else.
pub(crate) const RETRY: Duration = Duration::from_millis(500);
/// How much later than that a client is still expected.
const LATE: Duration = Duration::from_secs(5);

/// A place in a stream, as event ids name it: `<stream>-<event>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) stream: u64,
    pub(crate) event: u64,
}

impl Place {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (stream, event) = text.split_once('-')?;
        Some(Self { stream: stream.parse().ok()?, event: event.parse().ok()? })
    }

    fn text(self) -> String {
        format!("{}-{}", self.stream, self.event)
    }
}

/// The stream.
pub(crate) struct Stream {
    number: u64,
    /// On HTTP+SSE everything goes to the connection's one stream, and nothing is kept here.
    wire: Option<Arc<Wire>>,
    /// Where it is noted when it is finished, and itself, to be noted.
    kept: Option<(Arc<Replay>, Weak<Self>)>,
    /// Bytes of events that are kept besides the last one.
    room: usize,
    state: Mutex<State>,
    /// Something was written, or the reader has to go.
    written: Notify,
}

#[derive(Default)]
struct State {
    events: VecDeque<(u64, Bytes)>,
    bytes: usize,
    /// The next event's number; the first is 0, so that a reader after 0 has seen one.
    next: u64,
    over: Option<Instant>,
    /// The connection that reads is to be closed, and its client to come back after so long.
    leave: Option<Duration>,
    /// Which reader may read.
    reader: u64,
    /// That one is still there.
    is_read: bool,
    /// From this event on, no connection has had any.
    taken: u64,
    /// Until when its client is expected, once it has left.
    expected: Option<Instant>,
    /// Of the budget for finished streams.
    share: Option<Share>,
    /// Its number among them.
    number: Option<u64>,
    /// Whether its events are needed still.
    kept: Kept,
}

/// Why events are kept, or are not.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kept {
    /// Somebody may not have had them.
    #[default]
    Unread,
    /// A connection has had all of them, to the end.
    Read,
    /// They had to go.
    Forgotten,
}

/// What a reader gets.
pub(crate) enum Read {
    /// Events, encoded.
    Events(Bytes),
    /// There is no more for now: the client is to leave, and to come back after so long.
    Pause(Duration),
    /// There is no more, or not on this connection.
    End,
}

impl Stream {
    /// A stream that its client can leave and come back to.
    pub(super) fn new(number: u64, replay: &Arc<Replay>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self { kept: Some((replay.clone(), me.clone())), ..Self::bare(number) })
    }

    /// A stream whose messages go to the client's one stream.
    pub(super) fn on(wire: Arc<Wire>) -> Arc<Self> {
        Arc::new(Self { wire: Some(wire), ..Self::bare(0) })
    }

    /// The stream of a session that is never finished.
    pub(super) fn standalone(number: u64) -> Arc<Self> {
        Arc::new(Self { room: STANDALONE_BYTES, ..Self::bare(number) })
    }

    fn bare(number: u64) -> Self {
        Self {
            number,
            wire: None,
            kept: None,
            room: KEPT_BYTES,
            state: Mutex::default(),
            written: Notify::new(),
        }
    }

    /// Whether the client can leave it and come back.
    pub(crate) fn is_resumable(&self) -> bool {
        self.wire.is_none()
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Writes the first event: an id and nothing else, which tells the client that it may come back (2025-11-25).
    pub(crate) fn prime(&self) {
        self.write(|out, id| sse::event(out, Some(id), None, Some(RETRY), b""));
    }

    /// Writes a message, and waits for room where the stream has a bound that is the client's to keep.
    pub(crate) async fn send(&self, message: &[u8]) {
        match &self.wire {
            Some(wire) => wire.send(message).await,
            None => self.push(message),
        }
    }

    /// Writes a message.
    pub(crate) fn push(&self, message: &[u8]) {
        match &self.wire {
            Some(wire) => wire.push(message),
            None => self.write(|out, id| sse::event(out, Some(id), None, None, message)),
        }
    }

    /// Sends the connection that reads away, if there is one: its client is to come back after `retry`.
    pub(crate) fn pause(&self, retry: Duration) {
        let mut state = self.state();
        state.leave = state.is_read.then_some(retry);
        drop(state);
        self.written.notify_waiters();
    }

    /// The last event was written.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        state.over = Some(Instant::now());
        if let Some((replay, _)) = &self.kept {
            state.share = Some(replay.share(state.bytes));
        }
        drop(state);
        self.written.notify_waiters();
        if let Some((replay, me)) = &self.kept {
            let number = replay.add(me);
            self.state().number = Some(number);
            // Its reader may have come or gone meanwhile.
            replay.moved(number, me);
        }
    }

    /// When it has to let something go, once it is finished; `None` when it has nothing.
    pub(super) fn turn(&self) -> Option<Turn> {
        self.state().turn()
    }

    /// Lets go of a finished stream what it has to when it is its turn: what a connection has had, or everything.
    pub(super) fn forget(&self, turn: Turn) {
        let mut state = self.state();
        // Whose reader has just come or gone is not what it was.
        if state.turn() != Some(turn) {
            return;
        }
        if turn == Turn::Had && state.kept == Kept::Unread {
            let taken = state.taken;
            state.events.retain(|(event, _)| *event >= taken);
            state.bytes = state.events.iter().map(|(_, text)| text.len()).sum();
            state.share = self.kept.as_ref().map(|(replay, _)| replay.share(state.bytes));
            return;
        }
        state.events = VecDeque::new();
        (state.bytes, state.share, state.kept) = (0, None, Kept::Forgotten);
    }

    /// A reader came or left: that decides when a finished stream has to let something go.
    fn moved(&self, number: Option<u64>) {
        if let (Some(number), Some((replay, me))) = (number, &self.kept) {
            replay.moved(number, me);
        }
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.state().kept == Kept::Forgotten
    }

    /// Whether a connection reads it.
    pub(super) fn is_read(&self) -> bool {
        self.state().is_read
    }

    /// Whether nobody waits for it any more: a connection has had all of it, to the end.
    pub(super) fn was_read(&self) -> bool {
        self.state().kept != Kept::Unread
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state().over.is_some() || self.wire.as_ref().is_some_and(|wire| wire.closed.is_cancelled())
    }

    pub(super) fn over_for(&self) -> Option<Duration> {
        self.state().over.map(|over| over.elapsed())
    }

    /// Whether a connection is getting what it holds, or its client is expected back for what it has not had.
    pub(super) fn is_awaited(&self) -> bool {
        let state = self.state();
        let is_expected = state.expected.is_some_and(|until| Instant::now() < until);
        state.is_read || (state.kept == Kept::Unread && is_expected)
    }

    /// Reads from the beginning, or on from a place.
    pub(crate) fn reader(self: &Arc<Self>, after: Option<u64>) -> Reader {
        let mut state = self.state();
        state.reader += 1;
        state.is_read = true;
        state.leave = None;
        let reader = Reader {
            stream: self.clone(),
            ticket: state.reader,
            next: after.map_or(0, |after| after.saturating_add(1)),
            retry: RETRY,
        };
        let number = state.number;
        drop(state);
        self.written.notify_waiters();
        self.moved(number);
        reader
    }

    /// Reads on from a place, or what comes from now on.
    pub(crate) fn reader_on(self: &Arc<Self>, after: Option<u64>) -> Reader {
        let mut reader = self.reader(after);
        if after.is_none() {
            reader.next = self.state().next;
        }
        reader
    }

    fn write(&self, encode: impl FnOnce(&mut Vec<u8>, &str)) {
        let mut state = self.state();
        let event = state.next;
        state.next += 1;
        let mut text = Vec::new();
        encode(&mut text, &Place { stream: self.number, event }.text());
        state.bytes += text.len();
        state.events.push_back((event, text.into()));
        while state.bytes > self.room && state.events.len() > 1 {
            if let Some((_, gone)) = state.events.pop_front() {
                state.bytes -= gone.len();
            }
        }
        drop(state);
        self.written.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn turn(&self) -> Option<Turn> {
        let has_had = self.events.front().is_some_and(|(event, _)| *event < self.taken);
        match self.kept {
            Kept::Forgotten => None,
            _ if self.is_read => Some(Turn::Reading),
            Kept::Read => Some(Turn::Had),
            Kept::Unread if has_had => Some(Turn::Had),
            Kept::Unread => Some(Turn::Unread),
        }
    }
}

/// One connection's view of a stream.
pub(crate) struct Reader {
    stream: Arc<Stream>,
    ticket: u64,
    next: u64,
    /// When its client has been told to come back.
    retry: Duration,
}

impl Reader {
    /// What is there to be sent, as soon as there is something.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn read(&mut self) -> Read {
        let stream = self.stream.clone();
        loop {
            let written = stream.written.notified();
            tokio::pin!(written);
            // Before looking: what is written between the look and the wait must not be missed.
            written.as_mut().enable();
            if let Some(read) = self.look() {
                return read;
            }
            written.await;
        }
    }

    fn look(&mut self) -> Option<Read> {
        let mut state = self.stream.state();
        if state.reader != self.ticket {
            return Some(Read::End);
        }
        // What is returned now is all that there will be.
        if state.over.is_some() && state.kept == Kept::Unread {
            state.kept = Kept::Read;
        }
        let mut found = Vec::new();
        for (event, text) in state.events.iter().filter(|(event, _)| *event >= self.next) {
            found.push((*event, text.clone()));
        }
        if let Some((last, _)) = found.last() {
            self.next = last + 1;
            state.taken = state.taken.max(self.next);
            let events = match found.as_slice() {
                [(_, only)] => only.clone(),
                many => many.iter().flat_map(|(_, text)| text.iter().copied()).collect(),
            };
            return Some(Read::Events(events));
        }
        if state.over.is_some() {
            return Some(Read::End);
        }
        let retry = state.leave.take()?;
        self.retry = retry;
        Some(Read::Pause(retry))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.stream.state();
        if state.reader == self.ticket {
            state.is_read = false;
            state.expected = Some(Instant::now() + self.retry + LATE);
            let number = state.number;
            drop(state);
            self.stream.moved(number);
        }
    }
}
