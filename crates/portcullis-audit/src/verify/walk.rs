//! Reading every event once, in order: its number, its link to the one before, its payload, and the tree over all.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use portcullis_model::{Entry, Journal, Marks, Unavailable};
use serde::Deserialize;

use super::report::{Kind, Report};
use crate::content::Content;
use crate::event::{EventId, Phase, Time};
use crate::hex;
use crate::merkle::{self, Frontier, Hash};
use crate::payloads;
use crate::record::{self, Chain};

const AT_ONCE: usize = 4096;

/// What of a record a verifier reads.
#[derive(Deserialize)]
struct Seen {
    chain: Chain,
    #[serde(default)]
    id: EventId,
    #[serde(default)]
    input: Option<Content>,
    #[serde(default)]
    output: Option<Content>,
    #[serde(default)]
    parent: Option<EventId>,
    #[serde(default)]
    phase: Option<Phase>,
    #[serde(default)]
    kind: crate::event::Kind,
    #[serde(default)]
    time: Time,
    #[serde(default)]
    detail: BTreeMap<String, String>,
}

/// A walk through a log.
pub(super) struct Walk<'a> {
    origin: String,
    tree: Frontier,
    /// Where the tree is held against something.
    sizes: BTreeSet<u64>,
    roots: BTreeMap<u64, Hash>,
    /// The next number, and the hash of the event before, unless that was removed.
    next: u64,
    prev: Option<Hash>,
    /// The link of this event did not fit: either the one before was altered, or this one.
    doubtful: Option<u64>,
    /// The numbers are in order so far: only then is there a tree.
    in_order: bool,
    intents: HashSet<EventId>,
    /// What entries are found by is kept beside them.
    has_marks: bool,
    report: &'a mut Report,
}

impl<'a> Walk<'a> {
    pub(super) fn new(origin: String, base: Frontier, report: &'a mut Report) -> Self {
        (report.first, report.next) = (base.size(), base.size());
        report.origin.clone_from(&origin);
        Self {
            next: base.size(),
            roots: BTreeMap::from([(base.size(), base.root())]),
            tree: base,
            sizes: BTreeSet::new(),
            prev: None,
            doubtful: None,
            in_order: true,
            intents: HashSet::new(),
            has_marks: false,
            origin,
            report,
        }
    }

    pub(super) fn sizes(&mut self, sizes: impl Iterator<Item = u64>) {
        self.sizes.extend(sizes);
    }

    pub(super) fn journal(&mut self, journal: &dyn Journal) -> Result<(), Unavailable> {
        self.has_marks = journal.has_marks();
        let extent = journal.extent()?;
        if extent.first > self.next {
            let text = format!(
                "the events before {} are gone, and nothing says that they were removed",
                extent.first
            );
            self.report.add(Kind::Missing, Some((self.next, extent.first)), text);
            self.in_order = false;
            self.next = extent.first;
        }
        let mut from = extent.first;
        while from < extent.next {
            let entries = journal.read(from, AT_ONCE)?;
            let Some(last) = entries.last() else {
                let text = format!("the events from {from} on cannot be read");
                self.report.add(Kind::Missing, Some((from, extent.next)), text);
                break;
            };
            from = last.seq + 1;
            for entry in &entries {
                self.entry(entry);
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) {
        // What was to be removed and still is there is no part of the walk.
        if entry.seq < self.report.first {
            return;
        }
        let leaf = merkle::leaf(&entry.record);
        match serde_json::from_slice::<Seen>(&entry.record) {
            Ok(seen) => {
                if self.place(&seen.chain) {
                    self.prev = Some(leaf);
                }
                self.payload(&seen, entry.payload.as_deref());
                self.marks(seen.chain.seq, entry);
                self.count(&seen);
            }
            Err(error) => {
                let text = format!("event {} is none: {error}", self.next);
                self.report.add(Kind::Unreadable, Some((self.next, self.next + 1)), text);
                (self.doubtful, self.prev) = (None, None);
                self.next += 1;
            }
        }
        if self.in_order {
            self.tree.push(leaf);
            if self.sizes.contains(&self.tree.size()) {
                self.roots.insert(self.tree.size(), self.tree.root());
            }
        }
        self.report.next = self.report.next.max(self.next);
    }

    /// Whether the next event has to be linked to this one.
    fn place(&mut self, chain: &Chain) -> bool {
        let expected = self.next;
        if chain.log != self.origin && !self.origin.is_empty() {
            let text = format!("event {expected} is one of the log {}", chain.log);
            self.report.add(Kind::Foreign, Some((expected, expected + 1)), text);
        }
        if chain.seq > expected {
            let text = format!("event {} is where event {expected} belongs", chain.seq);
            self.report.add(Kind::Missing, Some((expected, chain.seq)), text);
            (self.in_order, self.doubtful) = (false, None);
            self.next = chain.seq + 1;
            return true;
        }
        if chain.seq < expected {
            let text = format!("event {} is where event {expected} belongs", chain.seq);
            self.report.add(Kind::Misplaced, Some((chain.seq, chain.seq + 1)), text);
            (self.in_order, self.doubtful) = (false, None);
            return false;
        }
        self.next = expected + 1;
        let fits =
            self.prev.is_none_or(|prev| hex(&prev) == chain.prev) && (expected > 0 || chain.prev.is_empty());
        match (self.doubtful.take(), fits) {
            (None, true) => {}
            (None, false) => self.doubtful = Some(expected),
            // The next one fits: this one is as it was when that was written, and so the one before is not.
            (Some(doubtful), true) => self.altered(doubtful.saturating_sub(1), doubtful),
            (Some(doubtful), false) => {
                self.altered(doubtful, doubtful + 1);
            }
        }
        true
    }

    fn altered(&mut self, from: u64, to: u64) {
        let text = if to - from == 1 {
            format!("event {from} is not the one that the next was written after")
        } else {
            format!("one of the events from {from} up to {} was altered", to - 1)
        };
        self.report.add(Kind::Altered, Some((from, to)), text);
    }

    fn payload(&mut self, seen: &Seen, payload: Option<&[u8]>) {
        let sealed = [("input", &seen.input), ("output", &seen.output)];
        for (side, content) in
            sealed.into_iter().filter_map(|(side, content)| Some((side, content.as_ref()?)))
        {
            let Some(hash) = &content.sealed else { continue };
            // Erasing a person destroys a key and leaves what was sealed with it: nothing takes a payload from its record.
            let found = payload.and_then(|payload| payloads::slice(content, payload));
            if found.is_some_and(|bytes| payloads::sealed_hash(bytes) == *hash) {
                self.report.payloads += 1;
                continue;
            }
            let seq = seen.chain.seq;
            let text = match payload {
                Some(_) => format!("the {side} beside event {seq} is not what was sealed"),
                None => format!("the {side} beside event {seq} is gone"),
            };
            self.report.add(Kind::Payload, Some((seq, seq + 1)), text);
        }
    }

    /// What an event is found by is no part of what is hashed, and made from it: whoever changes it hides the event.
    fn marks(&mut self, seq: u64, entry: &Entry) {
        let fits = |marks: Marks| entry.seq == seq && entry.marks == marks.bounded();
        if !self.has_marks || record::marks_of(&entry.record).is_ok_and(fits) {
            return;
        }
        let text = format!("event {seq} is found by what it does not record");
        self.report.add(Kind::Index, Some((seq, seq + 1)), text);
    }

    fn count(&mut self, seen: &Seen) {
        match (seen.phase, seen.parent) {
            (Some(Phase::Intent), _) => {
                self.intents.insert(seen.id);
            }
            (Some(Phase::Outcome), Some(intent)) => {
                self.intents.remove(&intent);
            }
            _ => {}
        }
        if seen.kind == crate::event::Kind::Truncation
            && let (Some(before), Some(root)) = (seen.detail.get("before"), seen.detail.get("root"))
        {
            self.report.truncations.push((before.clone(), root.clone()));
        }
        if seen.kind == crate::event::Kind::Loss {
            self.report.lost += seen.detail.get("events").and_then(|events| events.parse().ok()).unwrap_or(0);
        }
        let end = seen.time.end_us;
        let (first, _) = self.report.times_us.unwrap_or((end, end));
        self.report.times_us = Some((first, end));
    }

    /// Where the log ends, and the roots at the sizes that were asked for.
    pub(super) fn finish(mut self) -> (u64, BTreeMap<u64, Hash>) {
        if let Some(doubtful) = self.doubtful.take() {
            self.altered(doubtful.saturating_sub(1), doubtful + 1);
        }
        self.report.open_intents = self.intents.len() as u64;
        (self.next, self.roots)
    }
}
