//! Finished streams of all sessions, kept within one budget for clients that come back.
//!
//! A session bounds how many it keeps, and there may be many sessions. Beyond the budget goes what a connection has had
//! already, for that is kept only in case it was lost on the way; then what nobody has had, but not while a connection reads
//! it, as long as others can go; of each the stream that was finished first. The newest always stays: it may be larger than
//! the budget, and its client has had no time to read it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::stream::Stream;
use crate::budget::{Budget, Share};

/// The list is tidied when it has grown to this, or to twice of what was left the last time.
const TIDY: usize = 64;

/// What is not let go yet, from the first step to the last.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Spare {
    /// What no connection has had, and streams that one reads.
    Unread,
    /// Streams that a connection reads.
    Readers,
    Nothing,
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
    /// In their order.
    streams: VecDeque<Weak<Stream>>,
    tidy_at: usize,
}

impl Default for Replay {
    /// Without limits yet.
    fn default() -> Self {
        let finished = Finished { streams: VecDeque::new(), tidy_at: TIDY };
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

    /// A stream was finished, and holds so many bytes. What it gets is given back with its events.
    pub(super) fn share(&self, bytes: usize) -> Share {
        let mut share = Share::of(&self.held);
        assert!(share.grow(bytes, usize::MAX), "memory has an end");
        share
    }

    /// Notes a finished stream, and forgets others for it.
    pub(super) fn keep(&self, stream: Weak<Stream>) {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        if finished.streams.len() >= finished.tidy_at {
            finished.streams.retain(|stream| stream.strong_count() > 0);
            finished.tidy_at = TIDY.max(finished.streams.len() * 2);
        }
        finished.streams.push_back(stream);
        for spare in [Spare::Unread, Spare::Readers, Spare::Nothing] {
            self.forget_oldest(&mut finished.streams, spare);
        }
    }

    fn forget_oldest(&self, streams: &mut VecDeque<Weak<Stream>>, spare: Spare) {
        let mut at = 0;
        while self.held.used() > self.limit.load(Ordering::Relaxed) && at + 1 < streams.len() {
            if streams[at].upgrade().is_none_or(|stream| stream.forget(spare)) {
                streams.remove(at);
            } else {
                at += 1;
            }
        }
    }
}
