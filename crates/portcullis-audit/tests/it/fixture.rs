//! A log with some events in it, and a journal as somebody has it who may change everything.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portcullis_audit::verify::{Demands, Report, verify};
use portcullis_audit::{
    Checkpoint, Event, Finding, Keyring, Kind, Log, Mode, Record, Segments, Settings, Signer,
};
use portcullis_model::{Batch, Entry, Extent, Hashes, Journal, Search, Unavailable};
use portcullis_store::{Access, PostgresJournal, SqliteJournal};

use crate::server::Server;

pub(crate) const ORIGIN: &str = "gw.example/audit/one";
const SEED: &str = "PRIVATE+KEY+gw.example/audit/one";

/// The same key each time, as a gateway has it that is started again.
pub(crate) fn signer(folder: &Path) -> Signer {
    let path = folder.join("test.key");
    if let Ok(secret) = std::fs::read_to_string(&path) {
        assert!(secret.starts_with(SEED));
        return Signer::parse(&secret).unwrap();
    }
    let signer = Signer::generate(ORIGIN).unwrap();
    std::fs::write(&path, signer.to_secret()).unwrap();
    signer
}

pub(crate) fn keyring() -> Keyring {
    Keyring::derive(b"a secret that is only in tests...")
}

pub(crate) fn settings(mode: Mode) -> Settings {
    Settings {
        node: "one".to_owned(),
        mode,
        checkpoint_every: Duration::from_hours(1),
        checkpoint_events: 1_000_000,
        patience: Duration::from_secs(30),
        linger: Duration::ZERO,
        ..Settings::default()
    }
}

pub(crate) fn open(journal: Arc<dyn Journal>, folder: &Path) -> Log {
    Log::open(journal, signer(folder), keyring(), settings(Mode::Strict)).unwrap()
}

pub(crate) fn segments(folder: &Path) -> Arc<dyn Journal> {
    Arc::new(Segments::open(&folder.join("log")).unwrap())
}

/// A journal for a folder, of whatever kind.
pub(crate) type Make<'a> = &'a dyn Fn(&Path) -> Arc<dyn Journal>;

pub(crate) fn sqlite(folder: &Path) -> Arc<dyn Journal> {
    Arc::new(SqliteJournal::open(&folder.join("log.db"), Access::Serve).unwrap())
}

/// Journals in a database: one for each folder.
pub(crate) fn postgres(server: &Server) -> impl Fn(&Path) -> Arc<dyn Journal> + use<> {
    let (url, tls) = (server.url(), server.trusting());
    move |folder| {
        let name = folder.display().to_string();
        Arc::new(PostgresJournal::open(&url, tls.clone(), Some(&name), Access::Serve).unwrap())
    }
}

/// What happens before a journal does what it is asked, by the name of that.
type Before = Box<dyn Fn(&'static str) -> Result<(), Unavailable> + Send + Sync>;

/// A journal with somebody between it and whoever asks.
pub(crate) struct Between {
    inner: Arc<dyn Journal>,
    before: Before,
}

impl Between {
    pub(crate) fn them(
        inner: Arc<dyn Journal>,
        before: impl Fn(&'static str) -> Result<(), Unavailable> + Send + Sync + 'static,
    ) -> Arc<dyn Journal> {
        Arc::new(Self { inner, before: Box::new(before) })
    }
}

impl Journal for Between {
    fn has_marks(&self) -> bool {
        self.inner.has_marks()
    }
    fn extent(&self) -> Result<Extent, Unavailable> {
        (self.before)("extent")?;
        self.inner.extent()
    }
    fn append(&self, batch: &mut Batch) -> Result<(), Unavailable> {
        (self.before)("append")?;
        self.inner.append(batch)
    }
    fn read(&self, from: u64, most: usize) -> Result<Vec<Entry>, Unavailable> {
        (self.before)("read")?;
        self.inner.read(from, most)
    }
    fn find(&self, search: &Search, most: usize) -> Result<Vec<Entry>, Unavailable> {
        (self.before)("find")?;
        self.inner.find(search, most)
    }
    fn tiles(&self) -> Result<Vec<[u8; 32]>, Unavailable> {
        (self.before)("tiles")?;
        self.inner.tiles()
    }
    fn remove_before(&self, seq: u64) -> Result<(), Unavailable> {
        (self.before)("remove_before")?;
        self.inner.remove_before(seq)
    }
    fn put(&self, kind: &'static str, name: &str, value: &[u8]) -> Result<(), Unavailable> {
        (self.before)("put")?;
        self.inner.put(kind, name, value)
    }
    fn get(&self, kind: &'static str, name: &str) -> Result<Option<Vec<u8>>, Unavailable> {
        (self.before)("get")?;
        self.inner.get(kind, name)
    }
    fn list(&self, kind: &'static str, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Unavailable> {
        (self.before)("list")?;
        self.inner.list(kind, prefix)
    }
    fn remove(&self, kind: &'static str, name: &str) -> Result<(), Unavailable> {
        (self.before)("remove")?;
        self.inner.remove(kind, name)
    }
}

/// One of many: which person, tool and decision depends on the number.
pub(crate) fn event(number: u64) -> Event {
    let mut event = Event::new(if number % 7 == 3 { Kind::Denial } else { Kind::Exchange });
    event.request.method = Some("tools/call".to_owned());
    event.server.id = Some("files".to_owned());
    event.tool.name = Some(format!("tool-{}", number % 3));
    event.decision.verdict = Some(if number % 7 == 3 { "deny" } else { "allow" }.to_owned());
    event.who.person = Some(keyring().pseudonym("https://idp.example", &format!("user-{}", number % 5)));
    if number % 4 == 1 {
        let found = Finding { rule: "IBAN".to_owned(), action: "mask".to_owned(), count: 2, side: None };
        event.guard.findings.push(found);
    }
    event
}

/// Writes so many, and signs a checkpoint after each of these sizes.
pub(crate) async fn fill(log: &Log, count: u64, signed: &[u64]) -> Vec<Checkpoint> {
    let mut checkpoints = Vec::new();
    let already = log.health().durable;
    for number in already..already + count {
        let receipt = log.append(event(number));
        if signed.contains(&(number + 1)) {
            receipt.durable().await.unwrap();
            checkpoints.push(log.checkpoint().await.unwrap());
        }
    }
    checkpoints.push(log.checkpoint().await.unwrap());
    checkpoints
}

/// All that is in a journal, to be changed and put into another.
#[derive(Clone, Default)]
pub(crate) struct Copy {
    pub(crate) entries: Vec<Entry>,
    pub(crate) beside: Vec<(&'static str, String, Vec<u8>)>,
}

impl Copy {
    pub(crate) fn of(journal: &dyn Journal) -> Self {
        let mut copy = Self::default();
        let extent = journal.extent().unwrap();
        let mut next = extent.first;
        while next < extent.next {
            let read = journal.read(next, 1000).unwrap();
            next = read.last().unwrap().seq + 1;
            copy.entries.extend(read);
        }
        for kind in ["checkpoint", "state", "data-key", "hold", "handover", "timestamp"] {
            copy.beside
                .extend(journal.list(kind, "").unwrap().into_iter().map(|(name, value)| (kind, name, value)));
        }
        copy
    }

    /// As whoever owns the disk would leave it.
    pub(crate) fn put_into(&self, journal: &dyn Journal) {
        let mut entries = self.entries.clone();
        for (place, entry) in entries.iter_mut().enumerate() {
            entry.seq = place as u64;
        }
        let hashes = |entry: &Entry| Hashes { leaf: Record::leaf(&entry.record), tile: None };
        journal.append(&mut Batch::of(&entries, hashes)).unwrap();
        for (kind, name, value) in &self.beside {
            journal.put(kind, name, value).unwrap();
        }
    }

    pub(crate) fn record(&self, seq: usize) -> String {
        String::from_utf8(self.entries[seq].record.clone()).unwrap()
    }

    pub(crate) fn set_record(&mut self, seq: usize, record: &str) {
        self.entries[seq].record = record.as_bytes().to_vec();
    }

    pub(crate) fn note(&self, size: u64) -> String {
        let name = format!("{size:020}");
        let found = self.beside.iter().find(|(kind, found, _)| *kind == "checkpoint" && *found == name);
        String::from_utf8(found.expect("a checkpoint of this size").2.clone()).unwrap()
    }

    pub(crate) fn remove(&mut self, kind: &str, keep: impl Fn(&str) -> bool) {
        self.beside.retain(|(found, name, _)| *found != kind || keep(name));
    }
}

pub(crate) fn trusting(folder: &Path) -> Demands {
    Demands { keys: vec![signer(folder).log_key()], ..Demands::default() }
}

pub(crate) fn verified(journal: &dyn Journal, demands: &Demands) -> Report {
    verify(journal, demands).unwrap()
}
