//! An event on its way to the thread that writes: its bytes, and what else is known of it.
//!
//! The bytes are written by whoever records it, into a place that is used again and again, and copied once, to the bytes of the
//! others that wait ([`super::hand`]). So an event that is recorded takes no memory of its own, and none that one thread takes and
//! another gives back.

use std::borrow::BorrowMut;
use std::cell::RefCell;

use portcullis_model::Marks;
use tokio::sync::oneshot;

use super::Refused;
use crate::event::{Canonical, Event, EventId, Phase, Word};
use crate::{payloads, record};

/// What one place in the queue stands for, in bytes.
const PLACE: usize = 1024;
/// What is kept for the bytes of the next event, at the most.
const SPARE: usize = 64 << 10;

/// What is known of an event that waits.
pub(super) struct Item {
    pub(super) payload: Option<Vec<u8>>,
    /// `None` where the journal keeps none.
    pub(super) marks: Option<Box<Marks>>,
    pub(super) link: Option<Link>,
    /// How many places in the queue it has.
    pub(super) places: u32,
    pub(super) done: Option<oneshot::Sender<Result<u64, Refused>>>,
}

/// What an event is of two that belong together.
pub(super) enum Link {
    /// An intent, by its own id.
    Opens(EventId),
    /// An outcome, by its intent's.
    Closes(EventId),
}

/// Where an event is written that says nothing of it itself.
#[derive(Clone, Copy)]
pub(super) struct Here<'a> {
    pub(super) node: &'a str,
    pub(super) build: &'a str,
    /// Whether the journal keeps what events are found by.
    pub(super) marked: bool,
    /// How many places the queue has.
    pub(super) places: usize,
}

/// How many places there are for so many bytes.
pub(super) fn places(bytes: usize) -> usize {
    (bytes / PLACE).max(1)
}

impl<'a> Here<'a> {
    /// Writes an event, and gives its bytes to `take`, which they are gone after.
    pub(super) fn write<S: Word + From<&'a str>, T>(
        self,
        mut event: impl BorrowMut<Event<S>>,
        take: impl FnOnce(Item, &[u8]) -> T,
    ) -> T {
        thread_local! {
            static BODY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let event: &mut Event<S> = event.borrow_mut();
        if event.node.name.as_ref().is_empty() {
            event.node.name = self.node.into();
        }
        if event.node.build.as_ref().is_empty() {
            event.node.build = self.build.into();
        }
        let payload = payloads::take(event);
        BODY.with_borrow_mut(|body| {
            body.clear();
            event.write(body);
            let taken = take(self.item(event, payload, body.len()), body);
            if body.capacity() > SPARE {
                *body = Vec::new();
            }
            taken
        })
    }

    fn item<S: Word>(self, event: &Event<S>, payload: Option<Vec<u8>>, length: usize) -> Item {
        let link = match event.phase {
            Some(Phase::Intent) => Some(Link::Opens(event.id)),
            Some(Phase::Outcome) => event.parent.map(Link::Closes),
            None => None,
        };
        let bytes = length + payload.as_ref().map_or(0, Vec::len);
        Item {
            payload,
            marks: self.marked.then(|| Box::new(record::marks(event))),
            link,
            // What is larger than the whole queue takes the whole queue.
            places: u32::try_from((bytes / PLACE + 1).min(self.places)).unwrap_or(u32::MAX),
            done: None,
        }
    }
}
