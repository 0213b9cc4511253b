//! The way back: which bytes of a source a part of a text made from it stands for.
//!
//! Only the places that changed are noted. What stands between them is the same in both, shifted.

/// A text made from another one.
#[derive(Debug, Default, Clone)]
pub(crate) struct Offsets {
    changes: Vec<Change>,
}

/// `source` bytes became `made` bytes.
#[derive(Debug, Clone, Copy)]
struct Change {
    made: (usize, usize),
    source: (usize, usize),
}

impl Offsets {
    /// Notes that the bytes of the source from `source.0` to `source.1` became those from `made.0` to `made.1`. Called
    /// in order.
    pub(crate) fn note(&mut self, source: (usize, usize), made: (usize, usize)) {
        self.changes.push(Change { made, source });
    }

    /// Whether anything is different.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Where the byte `at` begins in the source.
    pub(crate) fn start(&self, at: usize) -> usize {
        let index = self.changes.partition_point(|change| change.made.0 <= at);
        // Of changes that begin at the same place, those that made nothing stand before what is here.
        match index.checked_sub(1).map(|index| self.changes[index]) {
            None => at,
            Some(change) if at < change.made.1 => change.source.0,
            Some(change) => change.source.1 + (at - change.made.1),
        }
    }

    /// Where a part that ends before the byte `at` ends in the source.
    pub(crate) fn end(&self, at: usize) -> usize {
        let index = self.changes.partition_point(|change| change.made.0 < at);
        match index.checked_sub(1).map(|index| self.changes[index]) {
            None => at,
            Some(change) if at <= change.made.1 => change.source.1,
            Some(change) => change.source.1 + (at - change.made.1),
        }
    }

    /// Whether a change touches this part of the made text.
    pub(crate) fn touches(&self, start: usize, end: usize) -> bool {
        let index = self.changes.partition_point(|change| change.made.1 <= start);
        self.changes.get(index).is_some_and(|change| change.made.0 < end)
            || self.changes.iter().skip(index).take_while(|change| change.made.0 < end).next().is_some()
    }
}
