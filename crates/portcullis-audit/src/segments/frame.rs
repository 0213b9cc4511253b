//! One entry in a file: the lengths of its record and its payload, a check over everything, then both.
//!
//! The check is the beginning of a SHA-256 hash over the number, the lengths, the record's own hash (which whoever writes has
//! made already) and the payload. It finds what was torn or rotted, not what was altered: whoever alters a frame can make its
//! check again, and the tree is there for that.

use aws_lc_rs::digest::{Context, SHA256};
use portcullis_model::{Entry, Unavailable};

use crate::merkle::{self, Hash};

/// Lengths and check.
pub(super) const HEAD: usize = 16;

/// What a frame takes.
pub(super) fn length(entry: &Entry) -> usize {
    HEAD + entry.record.len() + entry.payload.as_ref().map_or(0, Vec::len)
}

/// Writes a frame.
pub(super) fn write(entry: &Entry, into: &mut Vec<u8>) -> Result<(), Unavailable> {
    let payload = entry.payload.as_deref().unwrap_or_default();
    let too_large = |_| Unavailable(format!("event {} is larger than 4 GiB", entry.seq));
    let mut lengths = [0; 8];
    lengths[..4].copy_from_slice(&u32::try_from(entry.record.len()).map_err(too_large)?.to_le_bytes());
    lengths[4..].copy_from_slice(&u32::try_from(payload.len()).map_err(too_large)?.to_le_bytes());
    into.extend_from_slice(&lengths);
    let leaf = entry.leaf.unwrap_or_else(|| merkle::leaf(&entry.record));
    into.extend_from_slice(&check(entry.seq, lengths, &leaf, payload));
    into.extend_from_slice(&entry.record);
    into.extend_from_slice(payload);
    Ok(())
}

/// Where the parts of a frame are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) record: (usize, usize),
    pub(super) end: usize,
}

impl Frame {
    /// The frame at a place, if all of it is there.
    pub(super) fn at(bytes: &[u8], place: usize) -> Option<Self> {
        let number = |from: usize| -> Option<usize> {
            let bytes = bytes.get(from..from + 4)?.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        let (record, payload) = (number(place)?, number(place + 4)?);
        let start = place + HEAD;
        let end = start.checked_add(record)?.checked_add(payload)?;
        (record > 0 && end <= bytes.len()).then_some(Self { record: (start, start + record), end })
    }

    /// Whether it is what was written for this number.
    pub(super) fn is_whole(&self, seq: u64, bytes: &[u8]) -> bool {
        let start = self.record.0 - HEAD;
        let (mut lengths, checked) = ([0; 8], &bytes[start + 8..start + HEAD]);
        lengths.copy_from_slice(&bytes[start..start + 8]);
        let leaf = merkle::leaf(&bytes[self.record.0..self.record.1]);
        checked == check(seq, lengths, &leaf, &bytes[self.record.1..self.end])
    }
}

fn check(seq: u64, lengths: [u8; 8], leaf: &Hash, payload: &[u8]) -> [u8; 8] {
    let mut start = [0; 48];
    start[..8].copy_from_slice(&seq.to_le_bytes());
    start[8..16].copy_from_slice(&lengths);
    start[16..].copy_from_slice(leaf);
    let mut check = [0; 8];
    if payload.is_empty() {
        // Most have none, and need no context for it.
        check.copy_from_slice(&merkle::hash(&start)[..8]);
    } else {
        let mut hash = Context::new(&SHA256);
        hash.update(&start);
        hash.update(payload);
        check.copy_from_slice(&hash.finish().as_ref()[..8]);
    }
    check
}
