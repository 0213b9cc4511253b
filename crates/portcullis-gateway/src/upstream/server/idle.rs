//! The end of conversations that nobody uses any more.

use std::sync::Arc;
use std::time::Duration;

use super::Server;
use crate::upstream::connection::Connection;
use crate::upstream::slots::Slot;

/// Ends a conversation that nobody has used for `idle`, and notices one that has gone by itself.
pub(super) async fn stop_when_idle(
    server: Arc<Server>,
    slot: Arc<Slot>,
    connection: Arc<Connection>,
    idle: Duration,
) {
    loop {
        let shared = connection.feed().is_some_and(|feed| feed.shares(&connection));
        let unused = if shared { Duration::ZERO } else { connection.idle() };
        if unused >= idle || !connection.is_open() {
            break;
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
