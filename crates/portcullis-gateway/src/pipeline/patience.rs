//! How long a call under way is waited for, and what ends it before its time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::error::Elapsed;

use crate::call::{Call, Event, Refusal};
use crate::upstream::Server;

/// How long a call may take: `quiet` without a sign of life, and never beyond `last` (2026-07-28, timeouts). Time in
/// which the client thinks about a question is not the server's, up to `thinking` in all.
#[derive(Clone, Copy)]
pub(super) struct Timing {
    pub(super) quiet: Duration,
    /// When the server's first word is due.
    pub(super) first: Instant,
    pub(super) last: Instant,
    pub(super) thinking: Duration,
    /// For so long the server has said that it will say nothing.
    pause: Duration,
}

impl Timing {
    pub(super) fn new(began: Instant, quiet: Duration, longest: Duration, thinking: Duration) -> Self {
        Self { quiet, first: began + quiet, last: began + longest, thinking, pause: Duration::ZERO }
    }

    pub(super) fn next(self) -> Instant {
        self.last.min(Instant::now() + self.pause + self.quiet)
    }

    /// Of a server that wants to be asked later, nothing is due until then.
    pub(super) fn heard(&mut self, event: &Event) {
        self.pause = if let Event::Paused { retry } = event { *retry } else { Duration::ZERO };
    }

    /// As long as a question is open.
    pub(super) fn thinking(self) -> Instant {
        self.last + self.thinking
    }

    /// The client has thought for `spent`.
    pub(super) fn thought(&mut self, spent: Duration) {
        let spent = spent.min(self.thinking);
        self.thinking -= spent;
        self.last += spent;
    }
}

/// What a call under way is about, for when that is stopped.
pub(super) struct Stop {
    pub(super) call: Arc<Call>,
    pub(super) server: Arc<Server>,
    pub(super) tool: Option<String>,
}

impl Stop {
    pub(super) async fn wait(&self) -> Refusal {
        let oversight = &self.server.env().oversight;
        let principal = &self.call.caller.principal;
        oversight.until_stopped(principal, Some(self.server.id()), self.tool.as_deref()).await
    }

    /// The next event, or the end that an operator made.
    pub(super) async fn or(
        &self,
        event: impl Future<Output = Result<Option<Event>, Elapsed>>,
    ) -> Result<Option<Event>, Elapsed> {
        tokio::select! {
            biased;
            event = event => event,
            refusal = self.wait() => Ok(Some(Event::Done(refusal.into()))),
        }
    }
}
