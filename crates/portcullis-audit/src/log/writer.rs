//! The thread that writes.
//!
//! It takes what waits, and asks the journal to put all of it on the disk at once; what comes meanwhile waits for the next turn, so
//! a slow disk makes larger batches, not a longer queue of small ones. A batch that the journal did not take is kept and tried
//! again; those who wait for it are told at once. Should the thread itself fail, the log takes nothing more and says so: nobody is
//! left waiting.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_model::{Journal, Unavailable};
use tokio::sync::{Semaphore, oneshot, watch};

use super::hand::Hand;
use super::item::{Here, Link};
use super::queue::Queue;
use super::recovery::{CHECKPOINT, CLOSED, INTENTS, STATE, leaves, name};
use super::{Ask, Health, Mode, Refused, Settings, Shared};
use crate::checkpoint::Checkpoint;
use crate::event::{Event, EventId, Kind};
use crate::merkle::{Hash, TILE, Tree};
use crate::note::{Signer, merged};
use crate::retention;

/// How long events gather at the most in strict mode.
const COMPANY: Duration = Duration::from_micros(500);
/// How long it waits before it tries a batch again.
const REST: Duration = Duration::from_millis(250);
/// How many checkpoints are kept; of those before, one for each hour.
const CHECKPOINTS: usize = 1000;
const HOUR: u64 = 3600;

/// What the thread has.
pub(super) struct Writer {
    settings: Settings,
    queue: Arc<Queue>,
    signer: Signer,
    journal: Arc<dyn Journal>,
    shared: std::sync::Weak<Shared>,
    places: Arc<Semaphore>,
    tree: Arc<Mutex<Tree>>,
    prev: Option<Hash>,
    next: u64,
    intents: BTreeMap<EventId, u64>,
    /// What of them was kept at the last checkpoint.
    intents_kept: Option<Vec<u8>>,
    lost: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
    lost_told: u64,
    health: watch::Sender<Health>,
    published: watch::Sender<Option<Arc<str>>>,
    signed: Instant,
    /// Since when the journal fails while the log is being closed: it has one patience for all that is left.
    closing_since: Option<Instant>,
    kept: VecDeque<(u64, u64)>,
    ended: bool,
    /// Events were lost because the journal failed while the log was being closed.
    gave_up: bool,
    /// How many events were in the last batch, and how long the disk took for it.
    last: usize,
    took: Duration,
}

impl Writer {
    pub(super) fn new(
        shared: &Arc<Shared>,
        signer: Signer,
        prev: Option<Hash>,
        intents: BTreeMap<EventId, u64>,
        health: watch::Sender<Health>,
        published: watch::Sender<Option<Arc<str>>>,
    ) -> Self {
        let next = shared.tree.lock().unwrap_or_else(PoisonError::into_inner).size();
        Self {
            settings: shared.settings.clone(),
            queue: shared.queue.clone(),
            journal: shared.journal.clone(),
            shared: Arc::downgrade(shared),
            places: shared.places.clone(),
            tree: shared.tree.clone(),
            lost: shared.lost.clone(),
            closing: shared.closing.clone(),
            lost_told: 0,
            intents_kept: None,
            signed: Instant::now(),
            closing_since: None,
            kept: VecDeque::new(),
            ended: false,
            gave_up: false,
            last: 0,
            took: Duration::ZERO,
            signer,
            prev,
            next,
            intents,
            health,
            published,
        }
    }

    /// Writes until the log is closed, or until this fails in a way that nothing was prepared for.
    pub(super) fn run(mut self) {
        let queue = self.queue.clone();
        // What is half changed by then is not looked at again, but for what it says is on the disk.
        if catch_unwind(AssertUnwindSafe(|| self.write_on(&queue))).is_err() {
            queue.close();
            // Whoever waits for any of it, or for a place, waits no longer.
            drop(queue.take_events());
            self.lost.fetch_add(queue.next().saturating_sub(self.next), Ordering::Relaxed);
            self.places.close();
            self.trouble(&Unavailable("the thread that writes it has failed; start again".to_owned()));
        }
    }

    fn write_on(&mut self, queue: &Queue) {
        let (mut spare, mut asked) = (Hand::default(), Vec::new());
        while !self.ended {
            let mut asks = Vec::new();
            if queue.wait(self.signed + self.settings.checkpoint_every) {
                let taken = queue.take(Instant::now() + self.gathering(), &mut spare);
                asks = taken.asks;
                spare = self.write_all(taken.hands, spare);
            }
            if self.gave_up {
                break;
            }
            self.tell_losses();
            for ask in asks {
                self.heed(ask, &mut asked);
            }
            self.sign_when_due(&mut asked);
        }
        queue.close();
        // What came while it ended.
        self.write_all(queue.take_events(), spare);
        if self.gave_up {
            // What is said of the rest follows what is there.
            let frontier = self.tree.lock().unwrap_or_else(PoisonError::into_inner).frontier().clone();
            queue.follow(frontier, self.prev);
            self.gave_up = false;
        }
        self.close();
    }

    /// How long events gather before they are written.
    fn gathering(&self) -> Duration {
        match self.settings.mode {
            Mode::Normal => self.settings.linger,
            // Whoever was answered together comes back together: the disk is asked once for all of them, and not for the quickest
            // first.
            Mode::Strict if self.last > 1 => (self.took / 4).min(COMPANY),
            Mode::Strict => Duration::ZERO,
        }
    }

    /// Gives back one that can be used again.
    fn write_all(&mut self, hands: Vec<Hand>, spare: Hand) -> Hand {
        hands.into_iter().fold(spare, |_, hand| {
            if self.gave_up {
                // It is numbered after what was lost.
                self.lose(&hand);
                return hand;
            }
            self.write(hand)
        })
    }

    fn lose(&self, hand: &Hand) {
        self.lost.fetch_add(hand.items.len() as u64, Ordering::Relaxed);
    }

    fn heed(&mut self, ask: Ask, asked: &mut Vec<oneshot::Sender<Result<Checkpoint, Refused>>>) {
        match ask {
            Ask::Checkpoint(done) => asked.push(done),
            Ask::Truncate { before, by, done } => {
                let _ = done.send(self.truncate(before, *by));
            }
            Ask::Cosigned { size, note } => {
                if let Err(error) = self.cosigned(size, &note) {
                    self.trouble(&error);
                }
            }
            Ask::Close => self.ended = true,
        }
    }

    /// An event about those that found no place.
    fn tell_losses(&mut self) {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost == self.lost_told {
            return;
        }
        let mut event = Event::new(Kind::Loss);
        event.detail.insert("events".to_owned(), (lost - self.lost_told).to_string());
        if self.write_own(event) {
            self.lost_told = lost;
        }
    }

    /// Writes an event of the log itself; whether it is on the disk.
    fn write_own(&mut self, event: Event) -> bool {
        let before = self.next;
        let Settings { node, build, .. } = self.settings.clone();
        let here = Here { node: &node, build: &build, marked: self.journal.has_marks(), places: 0 };
        here.write(event, |item, body| self.queue.put_own(item, body));
        self.write_all(self.queue.take_events(), Hand::default());
        self.next > before
    }

    /// First it is recorded and signed, then the roots are kept that the rest grows from. Then whoever asked can remove the
    /// events, which may take longer than answers can wait.
    fn truncate(&mut self, before: u64, mut by: Event) -> Result<(), Refused> {
        let refused = |error: &dyn std::fmt::Display| Refused::Unavailable(error.to_string());
        if !before.is_multiple_of(TILE) || before > self.next {
            return Err(refused(&format!("events can be removed before a multiple of {TILE} that is there")));
        }
        let removed = retention::base(&*self.journal).map_err(|error| refused(&error))?;
        let removed = removed.map_or(0, |base| base.size());
        if before <= removed {
            // The roots of fewer events would not lead to those that are left.
            return Err(refused(&format!("the events before {removed} are removed already")));
        }
        let tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let base = tree.frontier_at(before, &mut leaves(&*self.journal)).map_err(|error| refused(&error))?;
        by.kind = Kind::Truncation;
        by.detail.insert("before".to_owned(), before.to_string());
        by.detail.insert("root".to_owned(), crate::hex(&base.root()));
        if !self.write_own(by) {
            return Err(Refused::Closed);
        }
        self.sign()?;
        let note = Checkpoint { origin: self.signer.name().to_owned(), size: before, root: base.root() };
        let kept = self
            .journal
            .put(CHECKPOINT, &name(before), note.sign(&self.signer).as_bytes())
            .and_then(|()| retention::keep_base(&*self.journal, &base));
        kept.map_err(|error| refused(&error))
    }

    /// Writes until it is written, or the log is closed while the journal fails. Gives back what can be used again.
    fn write(&mut self, mut hand: Hand) -> Hand {
        loop {
            let began = Instant::now();
            let Err(failed) = self.put(&mut hand) else {
                (self.last, self.took) = (hand.items.len(), began.elapsed());
                return self.done(hand);
            };
            self.trouble(&failed);
            for item in &mut hand.items {
                if let Some(done) = item.done.take() {
                    let _ = done.send(Err(Refused::Unavailable(failed.0.clone())));
                }
            }
            let closing = self.closing.load(Ordering::Relaxed) || self.shared.strong_count() == 0;
            let since = closing.then(|| *self.closing_since.get_or_insert_with(Instant::now));
            if since.is_some_and(|since| since.elapsed() >= self.settings.patience) {
                let events = hand.items.len();
                tracing::error!(
                    events,
                    error = failed.0,
                    "events were lost: the evidence log fails at the end"
                );
                self.lose(&hand);
                (self.ended, self.gave_up) = (true, true);
                return hand;
            }
            std::thread::sleep(REST);
        }
    }

    fn put(&self, hand: &mut Hand) -> Result<(), Unavailable> {
        if let Some(shared) = self.shared.upgrade() {
            shared.keys.keep(&*self.journal)?;
        }
        hand.batch.unhurried = self.settings.mode == Mode::Normal;
        let Err(failed) = self.journal.append(&mut hand.batch) else { return Ok(()) };
        // All of them or none: what it ends with now says which.
        let last = hand.batch.entries().next_back().map(|entry| (entry.seq, entry.record));
        let found = self.journal.read(last.map_or(0, |(seq, _)| seq), 2)?;
        let ours = found.len() == 1 && found.first().map(|entry| (entry.seq, &*entry.record)) == last;
        if ours { Ok(()) } else { Err(failed) }
    }

    /// What was written is told.
    fn done(&mut self, mut hand: Hand) -> Hand {
        let tiles = hand.batch.entries().filter_map(|entry| entry.hashes.tile);
        let frontier = std::mem::take(&mut hand.frontier);
        self.tree.lock().unwrap_or_else(PoisonError::into_inner).grow(frontier, tiles);
        (self.next, self.prev) = (hand.batch.next(), hand.prev);
        let delay = hand.since.map(|since| since.elapsed()).unwrap_or_default();
        self.health.send_modify(|health| {
            (health.durable, health.delay) = (self.next, delay);
            if health.trouble.take().is_some() {
                tracing::info!("the evidence log can be written again");
            }
        });
        let mut places = 0;
        for (seq, item) in (hand.batch.first()..).zip(hand.items.drain(..)) {
            places += item.places as usize;
            match item.link {
                Some(Link::Opens(intent)) => drop(self.intents.insert(intent, seq)),
                Some(Link::Closes(intent)) => drop(self.intents.remove(&intent)),
                None => {}
            }
            if let Some(done) = item.done {
                let _ = done.send(Ok(seq));
            }
        }
        self.places.add_permits(places);
        // Here, and not while others wait for the queue.
        hand.batch.begin(self.next);
        hand
    }

    fn trouble(&self, error: &Unavailable) {
        if self.health.borrow().trouble.is_none() {
            tracing::error!(error = error.0, "the evidence log cannot be written");
        }
        self.health.send_modify(|health| health.trouble = Some(error.0.clone()));
    }

    fn sign_when_due(&mut self, asked: &mut Vec<oneshot::Sender<Result<Checkpoint, Refused>>>) {
        let signed = self.health.borrow().checkpoint;
        let due = self.signed.elapsed() >= self.settings.checkpoint_every
            || self.next - signed >= self.settings.checkpoint_events;
        if asked.is_empty() && !due {
            return;
        }
        self.signed = Instant::now();
        let done = self.sign();
        for asked in asked.drain(..) {
            let _ = asked.send(done.clone());
        }
    }

    /// Signs the tree as it is on the disk, if it was not signed like this.
    fn sign(&mut self) -> Result<Checkpoint, Refused> {
        let tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        let (size, root) = (tree.size(), tree.root());
        drop(tree);
        let checkpoint = Checkpoint { origin: self.signer.name().to_owned(), size, root };
        if size == self.health.borrow().checkpoint {
            return Ok(checkpoint);
        }
        let note = checkpoint.sign(&self.signer);
        let kept = self.keep(size, &note);
        if let Err(error) = kept {
            self.trouble(&error);
            return Err(Refused::Unavailable(error.0));
        }
        self.health.send_modify(|health| health.checkpoint = size);
        self.published.send_replace(Some(note.into()));
        Ok(checkpoint)
    }

    fn keep(&mut self, size: u64, note: &str) -> Result<(), Unavailable> {
        let intents = serde_json::to_vec(&self.intents).map_err(|error| Unavailable(error.to_string()))?;
        if self.intents_kept.as_ref() != Some(&intents) {
            self.journal.put(STATE, INTENTS, &intents)?;
            self.intents_kept = Some(intents);
        }
        self.journal.put(CHECKPOINT, &name(size), note.as_bytes())?;
        if let Some(shared) = self.shared.upgrade() {
            shared.keys.refresh(&*self.journal)?;
        }
        let hour = |(_, at): &(u64, u64)| at / HOUR;
        let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        self.kept.push_back((size, now));
        while self.kept.len() > CHECKPOINTS {
            let old = self.kept.pop_front();
            // The last of an hour stays.
            if let Some(old) = old.filter(|old| self.kept.front().is_some_and(|next| hour(next) == hour(old)))
            {
                self.journal.remove(CHECKPOINT, &name(old.0))?;
            }
        }
        Ok(())
    }

    /// Adds what a witness signed to what is kept; a checkpoint that is not kept any more stays away.
    fn cosigned(&self, size: u64, note: &str) -> Result<(), Unavailable> {
        let Some(kept) = self.journal.get(CHECKPOINT, &name(size))? else { return Ok(()) };
        match merged(&String::from_utf8_lossy(&kept), note) {
            Some(whole) => self.journal.put(CHECKPOINT, &name(size), whole.as_bytes()),
            None => Ok(()),
        }
    }

    fn close(&mut self) {
        self.tell_losses();
        let closed = self.sign().and_then(|_| {
            let size = self.next.to_string();
            self.journal.put(STATE, CLOSED, size.as_bytes()).map_err(|error| Refused::Unavailable(error.0))
        });
        if let Err(error) = closed {
            tracing::error!(error = error.to_string(), "the evidence log could not be closed in order");
        }
    }
}
