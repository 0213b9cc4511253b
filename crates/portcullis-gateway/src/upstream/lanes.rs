//! Which conversation a call gets when its client can be asked.
//!
//! A server that asks on a channel that all calls share does not say which call it means. So in each conversation with it
//! only one call of a client that can be asked is under way (waits for tasks aside, whose questions name the task). A user may think for minutes, and the others must not wait for
//! that: they get conversations of their own, so many at once, and only then wait their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis_mcp::revision::Era;
use tokio::sync::Notify;

use super::connection::Connection;
use super::outgoing::{Asker, Outgoing};
use super::questions::Turn;
use super::server::Server;
use crate::call::Refusal;

/// Conversations with the same capabilities, side by side.
const MOST_LANES: u8 = 16;
/// How often those who wait look by themselves: that a cancelled call is forgotten is told to nobody.
const LOOK: Duration = Duration::from_secs(1);

/// What all conversations with a server know of its questions.
#[derive(Default)]
pub(super) struct Asks {
    unaddressed: AtomicBool,
    /// It asked in a task without saying so.
    nameless: AtomicBool,
    freed: Notify,
}

impl Asks {
    /// Whether the server has asked where nothing says which call is meant.
    pub(super) fn any(&self) -> bool {
        self.unaddressed.load(Ordering::Relaxed)
    }

    pub(super) fn note(&self) {
        self.unaddressed.store(true, Ordering::Relaxed);
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
        let needs_turn =
            |asker: &&Asker| self.asks().any() && !(asker.task.is_some() && self.asks().names_tasks());
        let Some(asker) = out.asker.as_ref().filter(needs_turn) else {
            return Ok((self.connection_in(era, conversation, out.caps, 0).await?, None));
        };
        let lanes = if out.pinned { 1 } else { MOST_LANES };
        loop {
            let freed = self.asks().freed.notified();
            tokio::pin!(freed);
            // Before looking: a turn that ends between the look and the wait must not be missed.
            freed.as_mut().enable();
            for lane in 0..lanes {
                let connection = match self.connection_in(era, conversation, out.caps, lane).await {
                    Ok(connection) => connection,
                    Err(refusal) if lane == 0 => return Err(refusal),
                    // No room for another; one of those that are there has to do.
                    Err(_) => break,
                };
                if let Ok(turn) = connection.questions.try_turn(&asker.owner) {
                    return Ok((connection, turn));
                }
            }
            let _ = tokio::time::timeout(LOOK, freed).await;
        }
    }
}
