//! What waits to be written.
//!
//! Whoever has an event puts it here and goes on; the thread that writes takes all of it at once. It is woken only when it
//! waits for something to do: not for each event, which would cost more than writing it. In normal mode it lets events
//! gather for a while, and sleeps meanwhile.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::item::{Events, Item};
use super::{Ask, Refused};

/// Bytes that are not left to gather any longer: they are numbered and hashed while they are still in the processor's cache, and in
/// turns so short that nobody notices who answers calls on the same processor.
const ENOUGH: usize = 128 << 10;

/// What was put here since it was last taken.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) events: Events,
    pub(super) asks: Vec<Ask>,
    /// When the first of the events came.
    pub(super) since: Option<Instant>,
    /// Bytes of payloads.
    payloads: usize,
    asleep: Asleep,
    closed: bool,
}

/// What the thread that writes sleeps for.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Asleep {
    /// It is awake.
    #[default]
    No,
    /// Something to do.
    Idle,
    /// The end of a while in which events gather.
    Gathering,
}

impl Waiting {
    fn is_enough(&self) -> bool {
        self.events.bodies.len() + self.payloads >= ENOUGH
    }
}

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// For the thread that writes.
    wanted: Condvar,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an event here.
    ///
    /// # Errors
    /// Nobody writes any more.
    pub(super) fn put(&self, item: Item, body: &[u8]) -> Result<(), Refused> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(Refused::Closed);
        }
        waiting.since.get_or_insert_with(Instant::now);
        waiting.payloads += item.payload.as_ref().map_or(0, Vec::len);
        waiting.events.bodies.extend_from_slice(body);
        waiting.events.items.push(item);
        let wake = match waiting.asleep {
            Asleep::No => false,
            Asleep::Idle => true,
            Asleep::Gathering => waiting.is_enough(),
        };
        self.wake(waiting, wake);
        Ok(())
    }

    /// Asks for something, once all is written that was put here before.
    pub(super) fn ask(&self, ask: Ask) {
        let mut waiting = self.waiting();
        if waiting.closed {
            return;
        }
        waiting.asks.push(ask);
        self.wake(waiting, true);
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>, wake: bool) {
        if wake && std::mem::take(&mut waiting.asleep) != Asleep::No {
            drop(waiting);
            self.wanted.notify_one();
        }
    }

    fn sleep<'a>(
        &self,
        mut waiting: MutexGuard<'a, Waiting>,
        how: Asleep,
        long: Duration,
    ) -> MutexGuard<'a, Waiting> {
        waiting.asleep = how;
        let mut waiting = self.wanted.wait_timeout(waiting, long).unwrap_or_else(PoisonError::into_inner).0;
        waiting.asleep = Asleep::No;
        waiting
    }

    /// Nothing is taken from now on.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
    }

    /// Waits for something; whether there was anything before this time.
    pub(super) fn wait(&self, until: Instant) -> bool {
        let mut waiting = self.waiting();
        while waiting.events.items.is_empty() && waiting.asks.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            waiting = self.sleep(waiting, Asleep::Idle, left);
        }
        true
    }

    /// Lets events gather until a time, or until there are enough or something is asked for, and takes what there is. `room` is
    /// empty, and was filled before.
    pub(super) fn take(&self, until: Instant, room: Events) -> Waiting {
        let mut waiting = self.waiting();
        while waiting.asks.is_empty() && !waiting.is_enough() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            waiting = self.sleep(waiting, Asleep::Gathering, left);
        }
        let taken = Waiting { closed: waiting.closed, events: room, ..Waiting::default() };
        std::mem::replace(&mut *waiting, taken)
    }
}
