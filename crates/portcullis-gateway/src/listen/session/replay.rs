//! Finished streams of all sessions, kept within one budget for clients that come back.
//!
//! A session bounds how many it keeps, and there may be many sessions. Beyond the budget goes what a connection has had
//! already, for that is kept only in case it was lost on the way; then what nobody has had, but not while a connection reads
//! it, as long as others can go; of each the stream that was finished first. The newest always stays: it may be larger than
//! the budget, and its client has had no time to read it.
//!
//! They stand in the order in which they go, so that it costs the same to find the next however many have to stay.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::stream::Stream;
use crate::budget::{Budget, Share};

/// The list is tidied when it has grown to this, or to twice of what was left the last time.
const TIDY: usize = 64;

/// When a finished stream has to let something go, the first ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// A connection has had some of what it keeps, and none reads it.
    Had,
    /// Nobody has had what it keeps, and none reads it.
    Unread,
    /// A connection reads it.
    Reading,
}

/// All finished streams.
pub(crate) struct Replay {
    limit: AtomicUsize,
    /// Streams that a session keeps although nobody has read them to the end.
    unread: AtomicUsize,
    held: Arc<Budget>,
    finished: Mutex<Finished>,
}

struct Finished {
    /// By turn, and by the number that each got when it was finished.
    streams: BTreeMap<(Turn, u64), Weak<Stream>>,
    newest: u64,
    tidy_at: usize,
    /// How many were asked to let something go.
    #[cfg(test)]
    asked: usize,
}

impl Default for Replay {
    /// Without limits yet.
    fn default() -> Self {
        let finished = Finished {
            streams: BTreeMap::new(),
            newest: 0,
            tidy_at: TIDY,
            #[cfg(test)]
            asked: 0,
        };
        Self {
            limit: AtomicUsize::new(usize::MAX),
            unread: AtomicUsize::new(usize::MAX),
            held: Arc::default(),
            finished: Mutex::new(finished),
        }
    }
}

impl Replay {
    /// How many bytes may be held in all, and how many unread streams of one session, from the next stream on.
    pub(crate) fn set_limits(&self, bytes: usize, unread: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
        self.unread.store(unread, Ordering::Relaxed);
    }

    /// How many finished streams a session keeps although nobody has read them to the end.
    pub(super) fn unread(&self) -> usize {
        self.unread.load(Ordering::Relaxed)
    }

    /// How many are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.used()
    }

    /// How many streams were asked to let something go.
    #[cfg(test)]
    pub(super) fn asked(&self) -> usize {
        self.finished.lock().unwrap().asked
    }

    /// A stream was finished, and holds so many bytes. What it gets is given back with its events.
    pub(super) fn share(&self, bytes: usize) -> Share {
        let mut share = Share::of(&self.held);
        assert!(share.grow(bytes, usize::MAX), "memory has an end");
        share
    }

    /// Notes a finished stream, and forgets others for it. Returns its number.
    pub(super) fn add(&self, stream: &Weak<Stream>) -> u64 {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        if finished.streams.len() >= finished.tidy_at {
            finished.streams.retain(|_, stream| stream.strong_count() > 0);
            finished.tidy_at = TIDY.max(finished.streams.len() * 2);
        }
        finished.newest += 1;
        let number = finished.newest;
        finished.put(number, stream);
        while self.held.used() > self.limit.load(Ordering::Relaxed) && finished.forget_next() {}
        number
    }

    /// A reader of a finished stream has come or gone.
    pub(super) fn moved(&self, number: u64, stream: &Weak<Stream>) {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        for turn in [Turn::Had, Turn::Unread, Turn::Reading] {
            finished.streams.remove(&(turn, number));
        }
        finished.put(number, stream);
    }
}

impl Finished {
    /// Puts a stream where it stands now. Whatever changes that is followed by [`Replay::moved`], which waits for us.
    fn put(&mut self, number: u64, stream: &Weak<Stream>) {
        if let Some(turn) = stream.upgrade().and_then(|stream| stream.turn()) {
            self.streams.insert((turn, number), stream.clone());
        }
    }

    /// Lets go what is next; `false` when that is nothing.
    fn forget_next(&mut self) -> bool {
        let next = self.streams.keys().copied().find(|(_, number)| *number != self.newest);
        let Some((turn, number)) = next else { return false };
        let Some(stream) = self.streams.remove(&(turn, number)) else { return false };
        #[cfg(test)]
        {
            self.asked += 1;
        }
        stream.upgrade().inspect(|stream| stream.forget(turn));
        self.put(number, &stream);
        true
    }
}
