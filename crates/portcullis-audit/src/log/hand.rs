//! Events that were numbered and are not on the disk yet.
//!
//! An event is numbered, chained to the one before and hashed by whoever puts it in the queue, while its bytes are in that
//! processor's cache. So the thread that writes has little to do for each, and never stands for milliseconds in the way of those
//! who answer calls. There is one order of events, and who takes a place in it holds the queue for as long as hashing a record
//! takes: less than a microsecond for the usual one, of a kilobyte, where the processor has instructions for it.

use std::time::Instant;

use portcullis_model::{Batch, Hashes};

use super::item::Item;
use crate::merkle::{Frontier, Hash};
use crate::record;

/// A batch that has as much as this gets no more.
const EVENTS: usize = 4096;
const BYTES: usize = 8 << 20;

/// Some in a row. What was in it can be replaced: memory that is given back and taken again for each batch costs more than what is
/// done in it.
#[derive(Default)]
pub(super) struct Hand {
    pub(super) batch: Batch,
    pub(super) items: Vec<Item>,
    /// What the tree becomes with them, and the hash of the last.
    pub(super) frontier: Frontier,
    pub(super) prev: Option<Hash>,
    /// When the first of them came.
    pub(super) since: Option<Instant>,
}

impl Hand {
    /// Begins again, after these.
    pub(super) fn follow(&mut self, size: u64, frontier: Frontier, prev: Option<Hash>) {
        self.batch.begin(size);
        self.items.clear();
        // One that had to be long once need not stay so; a list that grows has room for twice as much as it needs.
        self.batch.shrink(BYTES, 2 * EVENTS);
        self.items.shrink_to(2 * EVENTS);
        (self.frontier, self.prev, self.since) = (frontier, prev, None);
    }

    /// Numbers an event. `log` is the origin as JSON.
    pub(super) fn add(&mut self, log: &str, mut item: Item, body: &[u8]) {
        let Self { batch, items, frontier, prev, since } = self;
        since.get_or_insert_with(Instant::now);
        let (seq, payload, marks) = (batch.next(), item.payload.take(), item.marks.take());
        batch.push(payload, marks, |bytes| {
            let leaf = record::write(log, seq, prev.as_ref(), body, bytes);
            *prev = Some(leaf);
            Hashes { leaf, tile: frontier.push(leaf) }
        });
        items.push(item);
    }

    /// Whether the next event is to go into another.
    pub(super) fn is_full(&self) -> bool {
        self.items.len() >= EVENTS || self.batch.size() >= BYTES
    }
}
