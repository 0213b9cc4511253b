//! What is read before a log is written on: where it ends, whether that is where its last checkpoint says, and what was under
//! way when it ended.

use std::collections::BTreeMap;

use portcullis_model::{Journal, Unavailable};

use super::OpenError;
use crate::checkpoint::Checkpoint;
use crate::event::{Event, EventId, Kind, Phase};
use crate::handover;
use crate::merkle::{self, Hash, Missing, TILE, Tree};
use crate::note::Signer;
use crate::record::Record;
use crate::retention;

/// Where checkpoints lie, by size.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// Where the log's own notes to itself lie.
pub(crate) const STATE: &str = "state";
/// The intents that had no outcome at the last checkpoint.
pub(crate) const INTENTS: &str = "intents";
/// How many events there were when the log was closed in order.
pub(crate) const CLOSED: &str = "closed";
const AT_ONCE: usize = 4096;

/// What a log goes on from.
pub(super) struct Recovered {
    pub(super) tree: Tree,
    /// The leaf hash of the last event.
    pub(super) prev: Option<Hash>,
    pub(super) checkpoint: u64,
    pub(super) note: Option<String>,
    pub(super) intents: BTreeMap<EventId, u64>,
    /// What has to be recorded first.
    pub(super) events: Vec<Event>,
}

/// The name of a checkpoint: they are in order.
pub(crate) fn name(size: u64) -> String {
    format!("{size:020}")
}

/// The leaf hashes of entries.
pub(crate) fn leaves(journal: &dyn Journal) -> impl FnMut(u64, u64) -> Result<Vec<Hash>, Missing> + '_ {
    move |from, to| {
        let mut hashes = Vec::new();
        let mut next = from;
        while next < to {
            let most = usize::try_from(to - next).unwrap_or(AT_ONCE).min(AT_ONCE);
            let entries = journal.read(next, most).map_err(|error| Missing::Unreadable(error.to_string()))?;
            if entries.first().is_none_or(|entry| entry.seq != next) {
                return Err(Missing::Removed(next));
            }
            next += entries.len() as u64;
            hashes.extend(entries.iter().map(|entry| merkle::leaf(&entry.record)));
        }
        Ok(hashes)
    }
}

/// The tree of what a journal has. It believes the hashes over 256 events that are kept there, if all of those are among the
/// first `trusting`: what comes after them can be held against nothing that was signed.
pub(crate) fn tree(journal: &dyn Journal, trusting: u64) -> Result<Tree, Unavailable> {
    let extent = journal.extent()?;
    let base = retention::base(journal)?.unwrap_or_default();
    let base_tiles = base.size() / TILE;
    let mut tree = Tree::from_base(base);
    if trusting > 0 {
        let removed = base_tiles.saturating_sub(extent.first / TILE);
        for tile in journal.tiles()?.into_iter().skip(usize::try_from(removed).unwrap_or(usize::MAX)) {
            if tree.size() + TILE <= extent.next.min(trusting) {
                tree.push_tile(tile);
            }
        }
    }
    while tree.size() < extent.next {
        let entries = journal.read(tree.size(), AT_ONCE)?;
        if entries.first().is_none_or(|entry| entry.seq != tree.size()) {
            return Err(Unavailable(format!("event {} is missing", tree.size())));
        }
        for entry in entries {
            tree.push(merkle::leaf(&entry.record));
        }
    }
    Ok(tree)
}

pub(super) fn recover(journal: &dyn Journal, signer: &Signer) -> Result<Recovered, OpenError> {
    if let Some(base) = retention::base(journal)? {
        // What was to be removed when the program ended.
        journal.remove_before(base.size())?;
    }
    let extent = journal.extent()?;
    let last = journal.list(CHECKPOINT, "")?.pop();
    let note = last.map(|(_, note)| String::from_utf8_lossy(&note).into_owned());
    let checkpoint = match &note {
        Some(note) => Checkpoint::verify(note, &handover::former(journal, &signer.log_key())?)
            .map_err(|error| OpenError::Foreign(format!("its last checkpoint is {error}")))?,
        None => Checkpoint { origin: signer.name().to_owned(), size: 0, root: merkle::empty() },
    };
    if checkpoint.size > extent.next {
        let message =
            format!("its last checkpoint has {} events, and there are {}", checkpoint.size, extent.next);
        return Err(OpenError::Altered(message));
    }
    let tree = checked_tree(journal, &checkpoint)?;
    let (mut intents, mut prev) = (intents(journal)?, None);
    let mut next = checkpoint.size.min(extent.next.saturating_sub(1)).max(extent.first);
    while next < extent.next {
        let entries = journal.read(next, AT_ONCE)?;
        if entries.is_empty() {
            return Err(OpenError::Altered(format!("event {next} is missing")));
        }
        for entry in entries {
            follow(&mut intents, &entry.record, entry.seq, signer.name())?;
            prev = Some(merkle::leaf(&entry.record));
            next = entry.seq + 1;
        }
    }
    let mut events = events(journal, extent.next, &checkpoint, &intents)?;
    events.extend(new_key(journal, signer)?);
    Ok(Recovered { tree, prev, checkpoint: checkpoint.size, note, intents, events })
}

/// The tree, which has to be what the last checkpoint says: first by what is kept, then by the events themselves.
fn checked_tree(journal: &dyn Journal, checkpoint: &Checkpoint) -> Result<Tree, OpenError> {
    for trusting in [checkpoint.size, 0] {
        let tree = tree(journal, trusting)?;
        let root = tree.root_at(checkpoint.size, &mut leaves(journal));
        if root.is_ok_and(|root| root == checkpoint.root) {
            return Ok(tree);
        }
    }
    Err(OpenError::Altered(format!("its events are not those of its checkpoint over {}", checkpoint.size)))
}

fn intents(journal: &dyn Journal) -> Result<BTreeMap<EventId, u64>, Unavailable> {
    let kept = journal.get(STATE, INTENTS)?.unwrap_or_default();
    Ok(serde_json::from_slice(&kept).unwrap_or_default())
}

fn follow(
    intents: &mut BTreeMap<EventId, u64>,
    bytes: &[u8],
    seq: u64,
    origin: &str,
) -> Result<(), OpenError> {
    let record = Record::parse(bytes).map_err(|error| OpenError::Altered(format!("event {seq}: {error}")))?;
    if record.chain.log != origin {
        return Err(OpenError::Foreign(format!("it is the log {}", record.chain.log)));
    }
    if record.event.phase == Some(Phase::Intent) {
        intents.insert(record.event.id, seq);
    } else if let Some(intent) = record.event.parent.filter(|_| record.event.phase == Some(Phase::Outcome)) {
        intents.remove(&intent);
    }
    Ok(())
}

/// What is said when another key signs from now on.
fn new_key(journal: &dyn Journal, signer: &Signer) -> Result<Option<Event>, Unavailable> {
    let (before, now) = (journal.get(STATE, crate::verify::KEY)?, signer.log_key().to_string());
    let Some(before) = before.filter(|before| before != now.as_bytes()) else { return Ok(None) };
    let mut event = Event::new(Kind::Key);
    let before = String::from_utf8_lossy(&before).into_owned();
    let said = [("what", "the key that signs this log changed".to_owned()), ("before", before), ("now", now)];
    event.detail = said.map(|(name, value)| (name.to_owned(), value)).into();
    Ok(Some(event))
}

/// What a log that was not closed in order begins with.
fn events(
    journal: &dyn Journal,
    next: u64,
    checkpoint: &Checkpoint,
    intents: &BTreeMap<EventId, u64>,
) -> Result<Vec<Event>, Unavailable> {
    let closed =
        journal.get(STATE, CLOSED)?.and_then(|text| String::from_utf8(text).ok()?.parse::<u64>().ok());
    if next == 0 || closed == Some(next) && intents.is_empty() {
        return Ok(Vec::new());
    }
    let mut recovery = Event::new(Kind::Recovery);
    let detail = [
        ("events", next),
        ("checkpoint", checkpoint.size),
        ("intents_without_outcome", intents.len() as u64),
    ];
    recovery.detail = detail.map(|(name, number)| (name.to_owned(), number.to_string())).into();
    let mut events = vec![recovery];
    for id in intents.keys() {
        let mut unknown = Event::new(Kind::Exchange);
        unknown.parent = Some(*id);
        unknown.phase = Some(Phase::Outcome);
        unknown.result.status = Some("unknown".to_owned());
        events.push(unknown);
    }
    Ok(events)
}
