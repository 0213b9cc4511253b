//! A file of frames, read.

use std::fs;
use std::path::Path;

use memchr::memmem;
use portcullis_model::{Entry, Marks, Search, Unavailable};

use super::failed;
use super::frame::Frame;

/// All of a file, and where its frames are.
pub(super) struct Loaded {
    pub(super) first: u64,
    pub(super) bytes: Vec<u8>,
    frames: Vec<Frame>,
}

impl Loaded {
    pub(super) fn read(first: u64, path: &Path) -> Result<Self, Unavailable> {
        let bytes = fs::read(path).map_err(failed(path))?;
        let (mut frames, mut place) = (Vec::new(), 0);
        while let Some(frame) = Frame::at(&bytes, place) {
            place = frame.end;
            frames.push(frame);
        }
        Ok(Self { first, bytes, frames })
    }

    /// The number after the last.
    pub(super) fn next(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    fn frame(&self, seq: u64) -> Option<&Frame> {
        self.frames.get(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    /// How many frames from the beginning are whole.
    pub(super) fn whole(&self) -> usize {
        let whole = |(seq, frame): &(u64, &Frame)| frame.is_whole(*seq, &self.bytes);
        (self.first..).zip(&self.frames).take_while(whole).count()
    }

    /// Where so many frames end.
    pub(super) fn end(&self, frames: usize) -> u64 {
        frames.checked_sub(1).map_or(0, |last| self.frames[last].end as u64)
    }

    /// A whole frame after one that is not: then it was not torn, but damaged.
    pub(super) fn goes_on_after(&self, damaged: usize) -> Option<u64> {
        let later = (self.first..).zip(&self.frames).skip(damaged + 1);
        later.into_iter().find(|(seq, frame)| frame.is_whole(*seq, &self.bytes)).map(|(seq, _)| seq)
    }

    pub(super) fn record(&self, seq: u64) -> Option<&[u8]> {
        let (from, to) = self.frame(seq)?.record;
        Some(&self.bytes[from..to])
    }

    pub(super) fn entry(&self, seq: u64) -> Option<Entry> {
        let frame = self.frame(seq)?;
        let payload = &self.bytes[frame.record.1..frame.end];
        Some(Entry {
            seq,
            record: self.bytes[frame.record.0..frame.record.1].to_vec(),
            payload: (!payload.is_empty()).then(|| payload.to_vec()),
            marks: Marks::default(),
        })
    }

    pub(super) fn entries_from(&self, seq: u64) -> impl Iterator<Item = Entry> + '_ {
        (seq..self.next()).filter_map(|seq| self.entry(seq))
    }

    /// The bytes of the frames from a number on.
    pub(super) fn frames_from(&self, seq: u64) -> Vec<u8> {
        let before = usize::try_from(seq - self.first).unwrap_or(usize::MAX);
        let from = before.checked_sub(1).and_then(|last| self.frames.get(last)).map_or(0, |frame| frame.end);
        self.bytes[from..].to_vec()
    }

    /// Whether the words that are looked for occur at all.
    pub(super) fn may_have(&self, search: &Search) -> bool {
        may_have(&self.bytes, search)
    }
}

/// Whether the words that are looked for occur. Those that JSON writes in another way are not asked for.
pub(super) fn may_have(bytes: &[u8], search: &Search) -> bool {
    let words =
        [&search.person, &search.server, &search.tool, &search.decision, &search.finding, &search.kind];
    let plain = |word: &&String| {
        word.bytes().all(|byte| (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\')
    };
    let mut words = words.into_iter().flatten().filter(plain);
    words.all(|word| memmem::find(bytes, word.as_bytes()).is_some())
}
