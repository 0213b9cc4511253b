//! The one event stream of an HTTP+SSE client (2024-11-05): whatever the client is told, it is told here.
//!
//! What is written waits until the client's connection takes it. How much waits is bounded: a call's answer waits for
//! its room in its own task, what nobody waits for (a changed list, say) is put behind what is there. A client that
//! takes nothing for a while, or lets too much of the second kind pile up, has its connection closed, and with that
//! its session. Nothing is kept for later: this transport resumes nothing.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use portcullis_mcp::sse;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Bytes that may wait, besides one message of any size.
const ROOM: usize = 1 << 20;
/// Messages that may wait.
const MOST: usize = 1024;

/// The stream.
pub(crate) struct Wire {
    queue: Mutex<Queue>,
    /// Something was written.
    written: Notify,
    /// Something was taken.
    taken: Notify,
    /// The connection is gone, or has to go.
    pub(crate) closed: CancellationToken,
    /// How long the client may take nothing while something waits.
    patience: Duration,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Bytes>,
    bytes: usize,
}

impl Queue {
    /// Whether `more` bytes find room. A message that is larger than all the room has it to itself.
    fn has_room(&self, more: usize) -> bool {
        self.events.is_empty() || (self.bytes + more <= ROOM && self.events.len() < MOST)
    }

    fn put(&mut self, event: Bytes) {
        self.bytes += event.len();
        self.events.push_back(event);
    }
}

impl Wire {
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            queue: Mutex::default(),
            written: Notify::new(),
            taken: Notify::new(),
            closed: CancellationToken::new(),
            patience,
        }
    }

    /// Writes a message, as soon as there is room for it.
    pub(crate) async fn send(&self, message: &[u8]) {
        loop {
            let taken = self.taken.notified();
            tokio::pin!(taken);
            // Before looking: what is taken between the look and the wait must not be missed.
            taken.as_mut().enable();
            if self.put(message) {
                return;
            }
            tokio::select! {
                taken = tokio::time::timeout(self.patience, taken) => if taken.is_err() {
                    return self.give_up();
                },
                () = self.closed.cancelled() => return,
            }
        }
    }

    /// Puts a message behind the others, if there is room for it.
    fn put(&self, message: &[u8]) -> bool {
        let mut queue = self.queue();
        let fits = queue.has_room(message.len());
        if fits {
            queue.put(encode(message));
            drop(queue);
            self.written.notify_one();
        }
        fits
    }

    /// Writes a message that nobody can wait with.
    pub(crate) fn push(&self, message: &[u8]) {
        let mut queue = self.queue();
        if queue.events.len() >= MOST {
            drop(queue);
            return self.give_up();
        }
        queue.put(encode(message));
        drop(queue);
        self.written.notify_one();
    }

    /// Whether the client has to read before it may ask for more.
    pub(crate) fn is_behind(&self) -> bool {
        !self.queue().has_room(0)
    }

    /// Whether everything that was written was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue().events.is_empty()
    }

    /// Takes what waits, as soon as something does.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped. There must be one reader only.
    pub(crate) async fn take(&self) -> Bytes {
        loop {
            let Queue { mut events, bytes } = std::mem::take(&mut *self.queue());
            if events.is_empty() {
                self.written.notified().await;
                continue;
            }
            self.taken.notify_waiters();
            if events.len() == 1
                && let Some(only) = events.pop_front()
            {
                return only;
            }
            let mut all = Vec::with_capacity(bytes);
            for event in &events {
                all.extend_from_slice(event);
            }
            return all.into();
        }
    }

    fn give_up(&self) {
        tracing::debug!("closed an event stream whose client does not read it");
        self.closed.cancel();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode(message: &[u8]) -> Bytes {
    let mut text = Vec::with_capacity(message.len() + 32);
    sse::event(&mut text, None, Some("message"), None, message);
    text.into()
}
