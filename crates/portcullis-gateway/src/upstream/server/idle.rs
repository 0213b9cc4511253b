//! The end of conversations that nobody uses any more.
//!
//! A call, a question, a subscription is a use, and so is a task for as long as its server has said that it keeps it.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use portcullis_config::{self as config, Transport};

use super::{Server, ServerState};
use crate::moment::Moment;
use crate::upstream::connection::Connection;
use crate::upstream::slots::Slot;

/// A task without an end is kept for so long at the most.
const LONGEST: Duration = Duration::from_hours(24);
/// Asks on a conversation that is about to be ended; says whether there was anything to ask.
pub(super) type BeforeRest = Box<dyn Fn(Arc<Connection>) -> BoxFuture<'static, bool> + Send + Sync>;

impl Server {
    /// It has made a task, which it keeps for so many milliseconds; `None` is without end.
    pub(crate) fn made_task(&self, ttl: Option<u64>) {
        let kept = ttl.map_or(LONGEST, Duration::from_millis).min(LONGEST);
        let mut until = self.tasks_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(Some(Instant::now() + kept));
    }

    /// Whether it is started when it is needed, and stopped when it is not.
    pub(crate) fn comes_and_goes(&self) -> bool {
        self.deployed.is_some()
            || matches!(self.settings.transport, Transport::Stdio(config::Stdio { idle_stop: Some(_), .. }))
    }

    /// Whether it comes and goes, was reached, and is not running now.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.comes_and_goes() && self.state() == ServerState::Up && self.conversations.open().is_empty()
    }

    /// Sets, once, what is done before a conversation is ended that nobody uses.
    pub(crate) fn before_rest(
        &self,
        before_rest: impl Fn(Arc<Connection>) -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) {
        let _ = self.before_rest.set(Box::new(before_rest));
    }

    /// A conversation is about to be ended, since nobody uses it: asks for what would have to be asked for later, when it would
    /// have to be started for that. Says whether it can be ended: nobody has called the server meanwhile.
    pub(crate) async fn ask_before_rest(&self, connection: &Arc<Connection>) -> bool {
        let began = Moment::now();
        let asked = match self.before_rest.get() {
            Some(ask) if self.comes_and_goes() => ask(connection.clone()).await,
            _ => false,
        };
        !asked || (!self.is_in_use() && self.called.elapsed() > began.elapsed())
    }

    pub(super) fn keeps_tasks(&self) -> bool {
        let until = self.tasks_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| until > Instant::now())
    }
}

/// Ends a conversation that nobody has used for `idle`, and notices one that has gone by itself.
pub(super) async fn stop_when_idle(
    server: Arc<Server>,
    slot: Arc<Slot>,
    connection: Arc<Connection>,
    idle: Duration,
) {
    // A server that is in use elsewhere is asked once.
    let mut asked = false;
    while connection.is_open() {
        let shared = connection.feed().is_some_and(|feed| feed.shares(&connection));
        let unused = if shared || server.keeps_tasks() { Duration::ZERO } else { connection.idle() };
        if unused >= idle {
            let unneeded = asked || server.ask_before_rest(&connection).await;
            // A list that somebody waits for takes no place among the calls.
            if unneeded && connection.is_unused() {
                break;
            }
            asked = true;
        }
        if !slot.holds(&connection) {
            // Whoever took it from there closes it.
            return;
        }
        tokio::time::sleep(idle.saturating_sub(unused).max(Duration::from_millis(10))).await;
    }
    slot.forget(&connection);
    connection.close().await;
    tracing::debug!(server.id = %server.id, "ended an idle conversation");
}
