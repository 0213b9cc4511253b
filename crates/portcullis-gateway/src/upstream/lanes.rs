//! Which conversation a call gets when its client can be asked.
//!
//! A server that asks on a channel that all calls share does not say which call it means. So in each conversation with it
//! only one call of a client that can be asked is under way (waits for tasks aside, whose questions name the task). A user
//! may think for minutes, and the others must not wait for that: they get conversations of their own, so many at once, and
//! only then wait their turn.
//!
//! Most servers never ask, and their calls are not to wait for one another. Whether one does shows when it asks; until
//! then a tool that was never seen to answer without asking has its call to itself as well. The others wait a moment for
//! that, since most calls are short, before another conversation is opened for one of them.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashSet;
use foldhash::fast::RandomState;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::Payload;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::{Connection, Link};
use super::outgoing::{Asker, Outgoing};
use super::questions::Turn;
use super::server::Server;
use crate::call::Refusal;

/// Conversations with the same capabilities, side by side.
const MOST_LANES: u8 = 16;
/// How often those who wait look by themselves: that a cancelled call is forgotten is told to nobody.
const LOOK: Duration = Duration::from_secs(1);

/// So long a call of a tool that may ask waits for those before it while no tool was seen to ask.
const SHORT: Duration = Duration::from_millis(500);
/// Tools that are known not to ask.
const MOST_QUIET: usize = 4096;

/// What all conversations with a server know of its questions.
#[derive(Default)]
pub(super) struct Asks {
    unaddressed: AtomicBool,
    hasher: RandomState,
    /// What has answered without asking.
    quiet: Mutex<HashSet<u64>>,
    /// It asked in a task without saying so.
    nameless: AtomicBool,
    freed: Notify,
}

/// A tool or a prompt of a server, or its resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About(u64);

impl Asks {
    /// Whether the server has asked where nothing says which call is meant.
    pub(super) fn any(&self) -> bool {
        self.unaddressed.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self) {
        if !self.unaddressed.swap(true, Ordering::Relaxed) {
            self.freed.notify_waiters();
        }
    }

    /// What a call is about: a tool or a prompt by its name; of resources there may be very many.
    pub(super) fn about(&self, out: &Outgoing) -> About {
        let subject = out.subject.as_deref().filter(|_| out.method != Method::ResourcesRead);
        About(self.hasher.hash_one((out.method.as_str(), subject)))
    }

    /// Whether it was seen to answer without asking.
    fn is_quiet(&self, about: About) -> bool {
        self.lock().contains(&about.0)
    }

    /// A call was answered, and the server did not ask. Whether it went as far as asking, a failure does not show.
    pub(super) fn note_quiet(&self, about: About, payload: &Payload) {
        if self.any()
            || self.is_quiet(about)
            || payload.result.find("isError").is_some_and(|is| is.bool() == Some(true))
        {
            return;
        }
        let mut quiet = self.lock();
        if quiet.len() >= MOST_QUIET {
            quiet.clear();
        }
        quiet.insert(about.0);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what the server asks in a task says so, as far as is known.
    pub(super) fn names_tasks(&self) -> bool {
        !self.nameless.load(Ordering::Relaxed)
    }

    pub(super) fn note_nameless(&self) {
        self.nameless.store(true, Ordering::Relaxed);
    }

    /// Somebody's turn is over.
    pub(super) fn free(&self) {
        self.freed.notify_waiters();
    }
}

impl Server {
    /// The conversation for a call, and its turn there.
    pub(super) async fn conversation(
        self: &Arc<Self>,
        era: Era,
        conversation: &Arc<str>,
        out: &Outgoing,
    ) -> Result<(Arc<Connection>, Option<Turn>), Refusal> {
        // What is asked in a task says so, as far as is known.
        let needs_turn = |asker: &&Asker| !(asker.task.is_some() && self.asks().names_tasks());
        let first = self.connection_in(era, conversation, out.caps, 0).await?;
        let Some(asker) = out.asker.as_ref().filter(needs_turn) else { return Ok((first, None)) };
        let (asks, lanes) = (self.asks(), if out.pinned { 1 } else { MOST_LANES });
        // On streams of their own, calls are told apart until the server asks elsewhere.
        let may_ask = matches!(first.link, Link::Channel(_)) && first.questions.can_ask();
        let (about, began) = (may_ask.then(|| asks.about(out)), Instant::now());
        let mut lane_0 = Some(first);
        loop {
            let freed = self.asks().freed.notified();
            tokio::pin!(freed);
            // Before looking: a turn that ends between the look and the wait must not be missed.
            freed.as_mut().enable();
            let mut patience = LOOK;
            for lane in 0..lanes {
                let connection = match lane_0.take() {
                    Some(first) => first,
                    None => match self.connection_in(era, conversation, out.caps, lane).await {
                        Ok(connection) => connection,
                        Err(refusal) if lane == 0 => return Err(refusal),
                        // No room for another; one of those that are there has to do.
                        Err(_) => break,
                    },
                };
                if !asks.any() && about.is_none_or(|about| asks.is_quiet(about)) {
                    return Ok((connection, None));
                }
                if let Ok(turn) = connection.questions.try_turn(&asker.owner) {
                    return Ok((connection, turn));
                }
                let short = SHORT.saturating_sub(began.elapsed());
                if !asks.any() && !short.is_zero() {
                    patience = short;
                    break;
                }
            }
            let _ = tokio::time::timeout(patience, freed).await;
        }
    }
}
