//! What waits to be written.
//!
//! Whoever has an event puts it here and goes on; the thread that writes takes all of it at once. It is woken only when it
//! waits for something to do: not for each event, which would cost more than writing it. In normal mode it lets events
//! gather for a while, and sleeps meanwhile.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::hand::Hand;
use super::item::Item;
use super::{Ask, Refused};
use crate::merkle::{Frontier, Hash};

/// What was put here since it was last taken.
#[derive(Default)]
struct Waiting {
    /// Those to which no event is added any more, in their order.
    full: Vec<Hand>,
    hand: Hand,
    asks: Vec<Ask>,
    asleep: Asleep,
    closed: bool,
}

/// What is taken at once. What is asked for is asked for after these events.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) hands: Vec<Hand>,
    pub(super) asks: Vec<Ask>,
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
    fn is_empty(&self) -> bool {
        self.full.is_empty() && self.hand.items.is_empty() && self.asks.is_empty()
    }

    /// Whether nothing is left to gather any longer.
    fn is_enough(&self) -> bool {
        !self.full.is_empty() || !self.asks.is_empty()
    }

    fn add(&mut self, log: &str, item: Item, body: &[u8]) {
        if self.hand.is_full() {
            let full = self.next(Hand::default());
            self.full.push(full);
        }
        self.hand.add(log, item, body);
    }

    /// What there is; what comes goes into `hand` from now on.
    fn next(&mut self, mut hand: Hand) -> Hand {
        hand.follow(self.hand.batch.next(), self.hand.frontier.clone(), self.hand.prev);
        std::mem::replace(&mut self.hand, hand)
    }

    fn take(&mut self, spare: &mut Hand) -> Vec<Hand> {
        let mut hands = std::mem::take(&mut self.full);
        if !self.hand.items.is_empty() {
            hands.push(self.next(std::mem::take(spare)));
        }
        hands
    }
}

/// The queue.
pub(super) struct Queue {
    /// The log's origin as JSON.
    log: String,
    waiting: Mutex<Waiting>,
    /// For the thread that writes.
    wanted: Condvar,
}

impl Queue {
    /// A queue of a log that ends like this.
    pub(super) fn new(origin: &str, frontier: Frontier, prev: Option<Hash>) -> Self {
        let queue = Self {
            log: serde_json::Value::from(origin).to_string(),
            waiting: Mutex::default(),
            wanted: Condvar::new(),
        };
        queue.follow(frontier, prev);
        queue
    }

    /// Numbers what comes from where the log ends. What was numbered otherwise and is not on the disk is gone.
    pub(super) fn follow(&self, frontier: Frontier, prev: Option<Hash>) {
        let mut waiting = self.waiting();
        waiting.full.clear();
        waiting.hand.follow(frontier.size(), frontier, prev);
    }

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
        waiting.add(&self.log, item, body);
        let wake = match waiting.asleep {
            Asleep::No => false,
            Asleep::Idle => true,
            Asleep::Gathering => waiting.is_enough(),
        };
        self.wake(waiting, wake);
        Ok(())
    }

    /// Puts an event of the thread that writes here, which takes it itself.
    pub(super) fn put_own(&self, item: Item, body: &[u8]) {
        self.waiting().add(&self.log, item, body);
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

    /// Nothing is put here from now on, and whoever has asked for something is told so.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.asks.clear();
    }

    /// The number that the next event gets.
    pub(super) fn next(&self) -> u64 {
        self.waiting().hand.batch.next()
    }

    /// Waits for something; whether there was anything before this time.
    pub(super) fn wait(&self, until: Instant) -> bool {
        let mut waiting = self.waiting();
        while waiting.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            waiting = self.sleep(waiting, Asleep::Idle, left);
        }
        true
    }

    /// Lets events gather until a time, or until there are enough or something is asked for, and takes what there is. What comes
    /// afterwards goes into `spare`.
    pub(super) fn take(&self, until: Instant, spare: &mut Hand) -> Taken {
        let mut waiting = self.waiting();
        while !waiting.is_enough() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            waiting = self.sleep(waiting, Asleep::Gathering, left);
        }
        Taken { hands: waiting.take(spare), asks: std::mem::take(&mut waiting.asks) }
    }

    /// Takes the events that there are.
    pub(super) fn take_events(&self) -> Vec<Hand> {
        self.waiting().take(&mut Hand::default())
    }
}
