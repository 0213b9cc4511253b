//! The standalone stream of a legacy conversation that carries no feed: one in which clients' capabilities were declared.
//!
//! Now and then a question arrives there, and changes of lists do too. Optional for the server (405 means that it has none)
//! and for us.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::standalone::{Unopened, hear, open};
use crate::upstream::connection::Connection;

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Follows the stream for as long as the connection lives. Must run on the control runtime.
pub(in crate::upstream) fn follow_sibling(connection: &Arc<Connection>) {
    let connection = Arc::downgrade(connection);
    tokio::spawn(async move {
        let mut pause = SHORTEST_PAUSE;
        let mut last_event_id = None;
        while let Some(followed) = read(&connection, &mut last_event_id).await {
            pause = if followed { SHORTEST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            tokio::time::sleep(pause).await;
        }
    });
}

/// Reads one stream to its end; says whether there was one, or `None` when there is no use in trying again.
async fn read(connection: &Weak<Connection>, last_event_id: &mut Option<String>) -> Option<bool> {
    let mut events = match open(&*connection.upgrade()?, last_event_id.as_deref()).await {
        Ok(events) => events,
        Err(Unopened::Refused { .. }) => return None,
        Err(Unopened::Failed) => return Some(false),
    };
    loop {
        // The stream may be silent for hours: it must not keep a connection alive that nobody else holds.
        let event = tokio::select! {
            event = events.next() => event,
            () = dropped(connection) => return None,
        };
        let Ok(event) = event else { return Some(true) };
        *last_event_id = events.last_event_id().map(str::to_owned);
        hear(&connection.upgrade()?, event.data);
    }
}

async fn dropped(connection: &Weak<Connection>) {
    while connection.strong_count() > 0 {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}
