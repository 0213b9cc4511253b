//! A log that is being written.
//!
//! Whoever has an event calls [`Log::append`], which writes it as JSON, hands it to the one thread that writes, and
//! returns at once with a [`Receipt`]; awaiting that is waiting for the disk. [`Log::tell`] is the same for those who do not
//! want to know. What waits for the thread is bounded by its bytes. [`Log::record`] does what the mode asks: in [`Mode::Strict`] it returns when the event is on the disk, or
//! refuses; in [`Mode::Normal`] it waits for a place at the most, and what finds none in time is counted, told in the
//! health, and recorded as a `loss` as soon as there is room: never silently lost.

mod hand;
mod item;
mod queue;
mod recovery;
mod writer;

pub(crate) use recovery::{CHECKPOINT, STATE, leaves, name as checkpoint_name, tree};

use std::borrow::BorrowMut;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use portcullis_model::{Journal, Unavailable};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot, watch};

use crate::checkpoint::Checkpoint;
use crate::content::Keyring;
use crate::event::{Event, Word};
use crate::keys::DataKeys;
use crate::merkle::{Missing, Tree};
use crate::note::Signer;
use crate::payloads::{self, Keep, Side};
use item::{Here, Item};
use queue::Queue;

/// What an answer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// For a place in the queue.
    #[default]
    Normal,
    /// For the disk.
    Strict,
}

/// How a log is written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the node, as in its events.
    pub node: String,
    /// The version of the program, as in its events.
    pub build: String,
    /// What an answer waits for.
    pub mode: Mode,
    /// Whether payloads are kept.
    pub payloads: Keep,
    /// How often a checkpoint is signed at the least, if there is something new.
    pub checkpoint_every: Duration,
    /// After how many events one is signed in any case.
    pub checkpoint_events: u64,
    /// How many bytes of events may wait for the disk.
    pub queue_bytes: usize,
    /// How long [`Log::record`] waits: for a place in normal mode, for the disk in strict mode.
    pub patience: Duration,
    /// How long events are collected in normal mode before they are written, so that the disk is asked less often.
    pub linger: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node: "portcullis".to_owned(),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            mode: Mode::Normal,
            payloads: Keep::Digest,
            checkpoint_every: Duration::from_secs(10),
            checkpoint_events: 100_000,
            queue_bytes: 64 << 20,
            patience: Duration::from_secs(5),
            linger: Duration::from_millis(50),
        }
    }
}

/// A log that cannot be opened for writing.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal cannot be asked.
    #[error("the evidence log cannot be opened: {0}")]
    Unavailable(#[from] Unavailable),
    /// It is not as it was written. Nothing is added to it: that would cover it up.
    #[error(
        "the evidence log was altered: {0}; keep it as it is, see `portcullis audit verify`, and begin another"
    )]
    Altered(String),
    /// It is another log, or its checkpoints are by another key.
    #[error("the evidence log is not this one: {0}")]
    Foreign(String),
}

/// An event that was not recorded, and so must not be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The journal fails.
    #[error("the evidence log cannot be written: {0}")]
    Unavailable(String),
    /// It took too long.
    #[error("the evidence log did not take the event in time")]
    Late,
    /// There was no place.
    #[error("more events wait for the evidence log than may")]
    Full,
    /// The log was closed.
    #[error("the evidence log is closed")]
    Closed,
}

/// How the log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// How many events are on the disk: the next number.
    pub durable: u64,
    /// How many events were lost since the start, each counted in a `loss` event when there was room.
    pub lost: u64,
    /// How long the oldest event of the last batch waited for the disk.
    pub delay: Duration,
    /// The size of the last checkpoint.
    pub checkpoint: u64,
    /// What is wrong, as long as it is.
    pub trouble: Option<String>,
}

/// Who is told when an event is on the disk.
type Done = oneshot::Sender<Result<u64, Refused>>;

/// What else the thread is asked for.
enum Ask {
    Cosigned { size: u64, note: String },
    Checkpoint(oneshot::Sender<Result<Checkpoint, Refused>>),
    Truncate { before: u64, by: Box<Event>, done: oneshot::Sender<Result<(), Refused>> },
    Close,
}

struct Shared {
    settings: Settings,
    origin: String,
    keyring: Keyring,
    keys: DataKeys,
    journal: Arc<dyn Journal>,
    has_marks: bool,
    queue: Arc<Queue>,
    places: Arc<Semaphore>,
    lost: Arc<AtomicU64>,
    closing: Arc<AtomicBool>,
    health: watch::Receiver<Health>,
    checkpoints: watch::Receiver<Option<Arc<str>>>,
    tree: Arc<Mutex<Tree>>,
    /// Held by whoever does more to the log than to add events.
    acting: tokio::sync::Mutex<()>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue.ask(Ask::Close);
    }
}

/// A log that is being written. Clones are the same log.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

/// Tells when an event is on the disk. Dropping it changes nothing.
#[derive(Debug)]
pub struct Receipt(Result<oneshot::Receiver<Result<u64, Refused>>, Refused>);

impl Receipt {
    /// Waits for the disk; the event's number.
    ///
    /// # Errors
    /// The event is not on the disk. It may get there yet, unless there was no place for it.
    ///
    /// # Cancel safety
    /// What was handed over is written whether somebody waits or not.
    pub async fn durable(self) -> Result<u64, Refused> {
        self.0?.await.unwrap_or(Err(Refused::Closed))
    }
}

/// An event that waits for a place; lost when it is dropped without one.
struct Waiting(Option<Arc<Shared>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An event that is being recorded; see [`Log::record`].
#[must_use = "in strict mode the event is on the disk when this is done"]
pub struct Recording(Recorded);

enum Recorded {
    Now(Option<Result<(), Refused>>),
    /// Boxed: where nobody waits for the disk, no answer carries the room that waiting takes.
    Later(Pin<Box<dyn Future<Output = Result<(), Refused>> + Send>>),
}

impl Recording {
    fn later(recorded: impl Future<Output = Result<(), Refused>> + Send + 'static) -> Self {
        Self(Recorded::Later(Box::pin(recorded)))
    }
}

impl Future for Recording {
    type Output = Result<(), Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Recorded::Now(recorded) => Poll::Ready(recorded.take().unwrap_or(Ok(()))),
            Recorded::Later(recorded) => recorded.as_mut().poll(context),
        }
    }
}

/// Waits for the disk.
async fn durable(
    receipt: oneshot::Receiver<Result<u64, Refused>>,
    patience: Duration,
) -> Result<(), Refused> {
    let durable = Receipt(Ok(receipt)).durable();
    tokio::time::timeout(patience, durable).await.unwrap_or(Err(Refused::Late)).map(drop)
}

impl Shared {
    /// Takes the places that an event needs, if they are free.
    fn places(&self, item: &Item) -> bool {
        // Whoever writes it gives them back.
        self.places.try_acquire_many(item.places).map(SemaphorePermit::forget).is_ok()
    }

    /// Puts what has a place in the queue.
    fn put(&self, item: Item, body: &[u8]) -> Result<(), Refused> {
        self.queue.put(item, body).inspect_err(|_| {
            self.lost.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Puts an event in the queue when there is a place, and waits for the disk if the mode asks for it.
    async fn put_late(&self, mut item: Item, body: &[u8], mut waiting: Waiting) -> Result<(), Refused> {
        let Settings { mode, patience, .. } = self.settings;
        let place = tokio::time::timeout(patience, self.places.acquire_many(item.places)).await;
        let Ok(Ok(place)) = place else {
            return if mode == Mode::Strict { Err(Refused::Full) } else { Ok(()) };
        };
        waiting.0 = None;
        place.forget();
        if mode == Mode::Normal {
            // What came too late is counted.
            let _ = self.put(item, body);
            return Ok(());
        }
        let (done, receipt) = oneshot::channel();
        item.done = Some(done);
        self.put(item, body)?;
        durable(receipt, patience).await
    }
}

impl Log {
    /// Opens a log for writing, on a thread of its own. Reads what it needs to go on (and blocks for it); after a crash it
    /// records the recovery. The signer's name is the log's origin.
    ///
    /// # Errors
    /// The journal cannot be asked, or is not what its checkpoints say.
    pub fn open(
        journal: Arc<dyn Journal>,
        signer: Signer,
        keyring: Keyring,
        settings: Settings,
    ) -> Result<Self, OpenError> {
        let recovered = recovery::recover(&*journal, &signer)?;
        journal.put(STATE, crate::verify::KEY, signer.log_key().to_string().as_bytes())?;
        let origin = signer.name().to_owned();
        let frontier = recovered.tree.frontier().clone();
        let queue = Arc::new(Queue::new(&origin, frontier, recovered.prev));
        let start =
            Health { durable: recovered.tree.size(), checkpoint: recovered.checkpoint, ..Health::default() };
        let (health, watched) = watch::channel(start);
        let (published, checkpoints) = watch::channel(recovered.note.as_deref().map(Arc::from));
        let (tree, lost) = (Arc::new(Mutex::new(recovered.tree)), Arc::new(AtomicU64::new(0)));
        let shared = Arc::new(Shared {
            places: Arc::new(Semaphore::new(item::places(settings.queue_bytes))),
            keys: DataKeys::new(keyring.clone()),
            thread: Mutex::default(),
            acting: tokio::sync::Mutex::default(),
            health: watched,
            closing: Arc::default(),
            lost,
            has_marks: journal.has_marks(),
            settings,
            origin,
            keyring,
            journal,
            queue,
            checkpoints,
            tree,
        });
        let log = Self(shared.clone());
        let writer =
            writer::Writer::new(&shared, signer, recovered.prev, recovered.intents, health, published);
        let thread = std::thread::Builder::new().name("evidence".to_owned());
        let thread = thread.spawn(move || writer.run()).map_err(|error| Unavailable(error.to_string()))?;
        *log.0.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        for event in recovered.events {
            log.tell(event);
        }
        Ok(log)
    }

    /// The pseudonyms and digests of this log.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// The name of this log.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// What an answer waits for.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.0.settings.mode
    }

    /// Adds a content to an event: its keyed digest and size, and the sealed content itself if the settings keep payloads.
    /// The event has to say whose it is (`who.person`, `data.retention`) before.
    pub fn attach<S: Word>(&self, event: &mut Event<S>, side: Side, content: &[u8]) {
        let shared = &*self.0;
        payloads::attach(&shared.keys, &shared.keyring, shared.settings.payloads, event, side, content);
    }

    /// Hands an event over and returns at once.
    pub fn append<'l, S: Word + From<&'l str>>(&'l self, event: impl BorrowMut<Event<S>>) -> Receipt {
        let (done, receipt) = oneshot::channel();
        Receipt(self.hand_over(event, Some(done)).map(|()| receipt))
    }

    /// The same for whoever does not want to know when it is on the disk. In a `Drop` this is what can be called.
    pub fn tell<'l, S: Word + From<&'l str>>(&'l self, event: impl BorrowMut<Event<S>>) {
        // What found no place is counted.
        let _ = self.hand_over(event, None);
    }

    fn hand_over<'l, S: Word + From<&'l str>>(
        &'l self,
        event: impl BorrowMut<Event<S>>,
        done: Option<Done>,
    ) -> Result<(), Refused> {
        self.here().write(event, |item, body| {
            if !self.0.places(&item) {
                self.0.lost.fetch_add(1, Ordering::Relaxed);
                return Err(Refused::Full);
            }
            self.0.put(Item { done, ..item }, body)
        })
    }

    /// Records an event as the mode asks: when what this gives is awaited and gives no error, the event may be answered for. Where
    /// there is a place for it, it is handed over already when this returns.
    ///
    /// # Errors
    /// In strict mode, the event is not on the disk. In normal mode there is none.
    ///
    /// # Cancel safety
    /// Dropping what this gives before there was a place loses the event, which is counted like any that finds none.
    pub fn record<'l, S: Word + From<&'l str>>(&'l self, event: impl BorrowMut<Event<S>>) -> Recording {
        self.here().write(event, |item, body| {
            let shared = &self.0;
            let Settings { mode, patience, .. } = shared.settings;
            if !shared.places(&item) {
                let (shared, body) = (shared.clone(), body.to_vec());
                let waiting = Waiting(Some(shared.clone()));
                return Recording::later(async move { shared.put_late(item, &body, waiting).await });
            }
            if mode == Mode::Normal {
                // What came too late is counted.
                let _ = shared.put(item, body);
                return Recording(Recorded::Now(Some(Ok(()))));
            }
            let (done, receipt) = oneshot::channel();
            match shared.put(Item { done: Some(done), ..item }, body) {
                Ok(()) => Recording::later(durable(receipt, patience)),
                refused => Recording(Recorded::Now(Some(refused))),
            }
        })
    }

    /// What is written into events that do not say it, and how.
    fn here(&self) -> Here<'_> {
        let Settings { node, build, queue_bytes, .. } = &self.0.settings;
        Here { node, build, marked: self.0.has_marks, places: item::places(*queue_bytes) }
    }

    /// How the log is now.
    #[must_use]
    pub fn health(&self) -> Health {
        Health { lost: self.0.lost.load(Ordering::Relaxed), ..self.0.health.borrow().clone() }
    }

    /// Tells when the log's health changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Health> {
        self.0.health.clone()
    }

    /// The newest checkpoint as a signed note, and word of each that follows: for witnesses and whoever else keeps them.
    #[must_use]
    pub fn checkpoints(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.0.checkpoints.clone()
    }

    /// Signs a checkpoint over all that was appended before.
    ///
    /// # Errors
    /// The journal fails, or the log is closed.
    pub async fn checkpoint(&self) -> Result<Checkpoint, Refused> {
        let (done, signed) = oneshot::channel();
        self.0.queue.ask(Ask::Checkpoint(done));
        signed.await.unwrap_or(Err(Refused::Closed))
    }

    /// Proves to a witness that saw the log at an older size that a newer one continues it. Reads up to some hundred entries,
    /// and blocks for it.
    ///
    /// # Errors
    /// What it takes was removed.
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<crate::merkle::Hash>, Missing> {
        let tree = self.0.tree.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tree.consistency(old, new, &mut recovery::leaves(&*self.0.journal))
    }

    /// Keeps what witnesses signed under a checkpoint of this log, beside what others signed under it.
    pub fn cosigned(&self, size: u64, note: String) {
        self.0.queue.ask(Ask::Cosigned { size, note });
    }

    /// Keeps the time stamp of a checkpoint of this log beside it. Blocks for it.
    ///
    /// # Errors
    /// The journal does not take it.
    pub fn stamped(&self, size: u64, token: &[u8]) -> Result<(), Unavailable> {
        self.0.journal.put(crate::timestamp::KIND, &checkpoint_name(size), token)
    }

    /// How many events the last time stamp is over; 0 where there is none.
    ///
    /// # Errors
    /// The journal cannot be asked.
    pub fn last_stamp(&self) -> Result<u64, Unavailable> {
        let last = self.0.journal.list(crate::timestamp::KIND, "")?.pop();
        Ok(last.and_then(|(name, _)| name.parse().ok()).unwrap_or(0))
    }

    /// Removes the events before a number, which is a multiple of 256 and beyond what was removed before, so that what is left
    /// can still be proved. `by` says who wanted it and why; the log completes and records it first.
    ///
    /// # Errors
    /// It was not done, or not wholly; it is completed at the next start if it was recorded.
    pub async fn truncate(&self, before: u64, by: Event) -> Result<(), Refused> {
        let (done, truncated) = oneshot::channel();
        self.0.queue.ask(Ask::Truncate { before, by: Box::new(by), done });
        truncated.await.unwrap_or(Err(Refused::Closed))?;
        let journal = self.journal();
        let removed = tokio::task::spawn_blocking(move || journal.remove_before(before)).await;
        let removed = removed.unwrap_or_else(|error| Err(Unavailable(error.to_string())));
        removed.map_err(|error| Refused::Unavailable(error.0))
    }

    /// Waits until nobody else does more to the log than to add events, and keeps others from it.
    pub(crate) async fn alone(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.acting.lock().await
    }

    /// The journal, for whoever reads.
    #[must_use]
    pub fn journal(&self) -> Arc<dyn Journal> {
        self.0.journal.clone()
    }

    /// Writes what waits, signs a last checkpoint, and ends the thread. Blocks for it. What comes afterwards is refused.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::Relaxed);
        self.0.queue.ask(Ask::Close);
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}
