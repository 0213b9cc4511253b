//! A server that is in conversation is asked now and then whether it still answers.
//!
//! A child that hangs and a server behind a dead route look alive until somebody's call has waited in vain. What fails to answer
//! counts as a failure to start: the conversation ends, and the backoff decides when the next caller may try again.

use std::sync::Arc;
use std::time::Duration;

use super::Server;
use crate::upstream::connection::Connection;
use crate::upstream::slots::Slot;

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// So often in a row there was none: once, a busy machine does that.
const MOST_FAILED: u32 = 2;

/// Asks for as long as the conversation is the one in its place.
pub(super) async fn probe(
    server: Arc<Server>,
    slot: Arc<Slot>,
    connection: Arc<Connection>,
    every: Duration,
) {
    let patience = every.min(PATIENCE);
    let mut failed = 0;
    while failed < MOST_FAILED {
        tokio::time::sleep(every).await;
        if !slot.holds(&connection) || !connection.is_open() {
            return;
        }
        let answered = tokio::time::timeout(patience, connection.answers()).await;
        let why = match answered {
            Ok(Ok(())) => {
                failed = 0;
                continue;
            }
            Ok(Err(why)) => why,
            Err(_) => {
                let (id, question) = (server.id(), connection.question());
                format!("server `{id}` did not answer `{question}` within {patience:?}")
            }
        };
        failed += 1;
        tracing::debug!(server.id = %server.id(), why, failed, "a probe failed");
        if failed == MOST_FAILED && slot.holds(&connection) {
            server.note_down(&why, None);
            server.verdict.store(None);
            server.forget(&connection);
        }
    }
}
