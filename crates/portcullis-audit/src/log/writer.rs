//! The thread that writes.
//!
//! It takes what waits, numbers it, hashes it, and asks the journal to put all of it on the disk at once; what comes
//! meanwhile waits for the next turn, so a slow disk makes larger batches, not a longer queue of small ones. A batch that the
//! journal did not take is kept and tried again; those who wait for it are told at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis_model::{Entry, Journal, Unavailable};
use tokio::sync::{oneshot, watch};

use super::recovery::{CHECKPOINT, CLOSED, INTENTS, STATE, leaves, name};
use super::{Health, Item, Job, Mode, Refused, Settings, Shared};
use crate::checkpoint::Checkpoint;
use crate::event::{Event, Kind};
use crate::merkle::{self, Hash, TILE, Tree};
use crate::note::{Signer, merged};
use crate::record;
use crate::retention;

/// What one turn takes at most.
const EVENTS: usize = 4096;
const BYTES: usize = 8 << 20;
/// How long it waits before it tries a batch again.
const REST: Duration = Duration::from_millis(250);
/// How many checkpoints are kept; of those before, one for each hour.
const CHECKPOINTS: usize = 1000;
const HOUR: u64 = 3600;

/// What the thread has.
pub(super) struct Writer {
    settings: Settings,
    /// The origin as JSON.
    log: String,
    signer: Signer,
    journal: Arc<dyn Journal>,
    shared: std::sync::Weak<Shared>,
    tree: Arc<Mutex<Tree>>,
    prev: Option<Hash>,
    next: u64,
    intents: BTreeMap<String, u64>,
    lost: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
    lost_told: u64,
    health: watch::Sender<Health>,
    published: watch::Sender<Option<Arc<str>>>,
    signed: Instant,
    truncations: Vec<Truncation>,
    kept: VecDeque<(u64, u64)>,
    ended: bool,
}

/// Before which event, who wanted it, and who waits for it.
type Truncation = (u64, Box<Event>, oneshot::Sender<Result<(), Refused>>);

/// A turn's events, numbered.
struct Batch {
    entries: Vec<Entry>,
    leaves: Vec<Hash>,
    items: Vec<Item>,
}

impl Writer {
    pub(super) fn new(
        shared: &Arc<Shared>,
        signer: Signer,
        prev: Option<Hash>,
        intents: BTreeMap<String, u64>,
        health: watch::Sender<Health>,
        published: watch::Sender<Option<Arc<str>>>,
    ) -> Self {
        let next = shared.tree.lock().unwrap_or_else(PoisonError::into_inner).size();
        Self {
            settings: shared.settings.clone(),
            log: serde_json::Value::from(signer.name()).to_string(),
            journal: shared.journal.clone(),
            shared: Arc::downgrade(shared),
            tree: shared.tree.clone(),
            lost: shared.lost.clone(),
            closing: shared.closing.clone(),
            lost_told: 0,
            signed: Instant::now(),
            truncations: Vec::new(),
            kept: VecDeque::new(),
            ended: false,
            signer,
            prev,
            next,
            intents,
            health,
            published,
        }
    }

    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        let mut asked = Vec::new();
        while !self.ended {
            let items = self.collect(queue, &mut asked);
            if !items.is_empty() {
                self.write(items);
            }
            self.tell_losses();
            for (before, by, done) in std::mem::take(&mut self.truncations) {
                let _ = done.send(self.truncate(before, *by));
            }
            self.sign_when_due(&mut asked);
        }
        // What came while it ended.
        while let Ok(Job::Event(item)) = queue.try_recv() {
            self.write(vec![*item]);
        }
        self.close();
    }

    /// Waits for something, and takes what else is there.
    fn collect(
        &mut self,
        queue: &Receiver<Job>,
        asked: &mut Vec<oneshot::Sender<Result<Checkpoint, Refused>>>,
    ) -> Vec<Item> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        let mut until = self.signed + self.settings.checkpoint_every;
        let lingering = self.settings.mode == Mode::Normal && !self.settings.linger.is_zero();
        while items.len() < EVENTS && bytes < BYTES {
            let wait = if items.is_empty() || lingering {
                until.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            match queue.recv_timeout(wait) {
                Ok(Job::Event(item)) => {
                    if items.is_empty() {
                        until = Instant::now() + self.settings.linger;
                    }
                    bytes += item.body.len() + item.payload.as_ref().map_or(0, Vec::len);
                    items.push(*item);
                }
                Ok(Job::Checkpoint(done)) => {
                    asked.push(done);
                    break;
                }
                Ok(Job::Truncate { before, by, done }) => {
                    self.truncations.push((before, by, done));
                    break;
                }
                Ok(Job::Cosigned { size, note }) => {
                    if let Err(error) = self.cosigned(size, &note) {
                        self.trouble(&error);
                    }
                }
                Ok(Job::Close) | Err(RecvTimeoutError::Disconnected) => {
                    self.ended = true;
                    break;
                }
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        items
    }

    /// An event about those that found no place.
    fn tell_losses(&mut self) {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost == self.lost_told {
            return;
        }
        let mut event = Event::new(Kind::Loss);
        event.detail.insert("events".to_owned(), (lost - self.lost_told).to_string());
        self.write_own(event);
        self.lost_told = lost;
    }

    /// An event of the log itself.
    fn write_own(&mut self, mut event: Event) {
        event.node.name.clone_from(&self.settings.node);
        event.node.build.clone_from(&self.settings.build);
        let item = Item {
            body: record::body(&event),
            marks: record::marks(&event),
            payload: None,
            opens: None,
            closes: None,
            since: Instant::now(),
            place: None,
            done: None,
        };
        self.write(vec![item]);
    }

    /// First it is recorded and signed, then the roots are kept that the rest grows from, then the events are removed.
    fn truncate(&mut self, before: u64, mut by: Event) -> Result<(), Refused> {
        let refused = |error: &dyn std::fmt::Display| Refused::Unavailable(error.to_string());
        if !before.is_multiple_of(TILE) || before > self.next {
            return Err(refused(&format!("events can be removed before a multiple of {TILE} that is there")));
        }
        let tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let base = tree.frontier_at(before, &mut leaves(&*self.journal)).map_err(|error| refused(&error))?;
        by.kind = Kind::Truncation;
        by.detail.insert("before".to_owned(), before.to_string());
        by.detail.insert("root".to_owned(), crate::hex(&base.root()));
        self.write_own(by);
        self.sign()?;
        let note = Checkpoint { origin: self.signer.name().to_owned(), size: before, root: base.root() };
        let kept = self
            .journal
            .put(CHECKPOINT, &name(before), note.sign(&self.signer).as_bytes())
            .and_then(|()| retention::keep_base(&*self.journal, &base))
            .and_then(|()| self.journal.remove_before(before));
        kept.map_err(|error| refused(&error))
    }

    /// Writes until it is written, or the log is closed while the journal fails.
    fn write(&mut self, items: Vec<Item>) {
        let mut batch = self.number(items);
        let mut closing_since = None;
        loop {
            let failed = match self.put(&batch) {
                Ok(()) => break,
                Err(error) => error,
            };
            self.trouble(&failed);
            for item in &mut batch.items {
                if let Some(done) = item.done.take() {
                    let _ = done.send(Err(Refused::Unavailable(failed.0.clone())));
                }
            }
            let closing = self.closing.load(Ordering::Relaxed) || self.shared.strong_count() == 0;
            let since = closing.then(|| *closing_since.get_or_insert_with(Instant::now));
            if since.is_some_and(|since| since.elapsed() >= self.settings.patience) {
                tracing::error!(
                    events = batch.items.len(),
                    error = failed.0,
                    "events were lost: the evidence log fails at the end"
                );
                self.ended = true;
                return;
            }
            std::thread::sleep(REST);
        }
        self.done(batch);
    }

    fn number(&self, mut items: Vec<Item>) -> Batch {
        let (mut entries, mut leaves) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        let (mut prev, mut seq) = (self.prev, self.next);
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner).loose();
        for item in &mut items {
            let record = record::write(&self.log, seq, prev.as_ref(), &item.body);
            let leaf = merkle::leaf(&record);
            entries.push(Entry {
                seq,
                record,
                payload: item.payload.take(),
                marks: std::mem::take(&mut item.marks),
                tile: tree.push(leaf),
            });
            leaves.push(leaf);
            (prev, seq) = (Some(leaf), seq + 1);
        }
        Batch { entries, leaves, items }
    }

    fn put(&self, batch: &Batch) -> Result<(), Unavailable> {
        if let Some(shared) = self.shared.upgrade() {
            shared.keys.keep(&*self.journal)?;
        }
        let Err(failed) = self.journal.append(&batch.entries) else { return Ok(()) };
        // All of them or none: where it ends now says which.
        let next = self.journal.extent()?.next;
        if next == self.next + batch.entries.len() as u64 { Ok(()) } else { Err(failed) }
    }

    fn done(&mut self, batch: Batch) {
        let mut tree = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        for leaf in &batch.leaves {
            tree.push(*leaf);
        }
        drop(tree);
        let delay = batch.items.iter().map(|item| item.since.elapsed()).max().unwrap_or_default();
        let first = self.next;
        self.next += batch.items.len() as u64;
        self.prev = batch.leaves.last().copied().or(self.prev);
        self.health.send_modify(|health| {
            (health.durable, health.delay) = (self.next, delay);
            if health.trouble.take().is_some() {
                tracing::info!("the evidence log can be written again");
            }
        });
        for (seq, item) in (first..).zip(batch.items) {
            if let Some(opened) = item.opens {
                self.intents.insert(opened, seq);
            } else if let Some(closed) = item.closes {
                self.intents.remove(&closed);
            }
            if let Some(done) = item.done {
                let _ = done.send(Ok(seq));
            }
        }
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
        self.journal.put(STATE, INTENTS, &intents)?;
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
