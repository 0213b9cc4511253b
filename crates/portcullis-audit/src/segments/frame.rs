//! One entry in a file: the lengths of its record and its payload, a check over everything, then both.
//!
//! The check is the beginning of the record's own hash (which whoever writes has made already), with the number and the lengths
//! mixed in; where there is a payload, it is the beginning of a hash over all of these and the payload. It finds what was torn or
//! rotted, not what was altered: whoever alters a frame can make its check again, and the tree is there for that.

use aws_lc_rs::digest::{Context, SHA256};
use portcullis_model::{Added, Batch, Unavailable};

use crate::merkle::{self, Hash};

/// Lengths and check: the room that a batch leaves before a record.
pub(super) const HEAD: usize = Batch::ROOM;

/// Makes frames of the entries of a batch.
pub(super) fn fill(batch: &mut Batch) -> Result<(), Unavailable> {
    let lengths = |entry: &Added<'_>| -> Option<[u8; 8]> {
        let (record, payload) = (
            u32::try_from(entry.record.len()).ok()?,
            u32::try_from(entry.payload.map_or(0, <[u8]>::len)).ok()?,
        );
        Some((u64::from(payload) << 32 | u64::from(record)).to_le_bytes())
    };
    if let Some(large) = batch.entries().find(|entry| lengths(entry).is_none()) {
        return Err(Unavailable(format!("event {} is larger than 4 GiB", large.seq)));
    }
    batch.fill(|entry| {
        let mut head = [0; HEAD];
        let lengths = lengths(entry).unwrap_or_default();
        head[..8].copy_from_slice(&lengths);
        head[8..].copy_from_slice(&check(
            entry.seq,
            lengths,
            &entry.hashes.leaf,
            entry.payload.unwrap_or_default(),
        ));
        head
    });
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
    let mut check = [0; 8];
    check.copy_from_slice(&leaf[..8]);
    if !payload.is_empty() {
        let mut hash = Context::new(&SHA256);
        hash.update(leaf);
        hash.update(payload);
        check.copy_from_slice(&hash.finish().as_ref()[..8]);
    }
    (u64::from_le_bytes(check) ^ seq ^ u64::from_le_bytes(lengths)).to_le_bytes()
}
