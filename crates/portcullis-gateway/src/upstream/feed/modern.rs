//! The feed of a 2026-07-28 server: one `subscriptions/listen` stream for all who listen.
//!
//! A stream's filter is fixed. When more is wanted, a second stream with all of it is opened, and the first is closed
//! once the second is acknowledged: nothing is missed in between, and what both tell is told once. When less is wanted,
//! the same is done after a while. A stream that is old is replaced as well, for one whose server has silently gone looks
//! like one on which nothing happens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_mcp::subscription::Lists;
use portcullis_model::ErrorKind;

use super::interests::Status;
use super::listening::{Asked, Listening, Unheard};
use super::{End, Feed};
use crate::call::Refusal;
use crate::upstream::connection::Connection;

/// So long two streams tell side by side, lest something that the older one has sent already gets lost.
const OVERLAP: Duration = Duration::from_millis(100);
/// So long is waited for others who want something too.
const GATHER: Duration = Duration::from_millis(10);
/// The longest life of a stream.
const REFRESH: Duration = Duration::from_mins(10);
/// After a failure beside an open stream: the least, and the most as long as nobody wants anything else.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Listens for as long as the connection lives.
pub(super) async fn carry(feed: &Arc<Feed>, connection: &Arc<Connection>) -> End {
    tokio::select! {
        () = connection.over() => End::Over,
        end = listen(feed, connection) => end,
    }
}

async fn listen(feed: &Arc<Feed>, connection: &Arc<Connection>) -> End {
    let declared = Lists::declared(&connection.peer.capabilities);
    let mut current: Option<Listening> = None;
    let mut pause = SHORTEST_PAUSE;
    tokio::time::sleep(GATHER).await;
    loop {
        let (uris, fewer) = feed.wanted();
        let uris = if connection.can_subscribe() { uris } else { refuse(feed, &uris) };
        let lists = if feed.lock().lists { declared } else { Lists::NONE };
        let wanted = Asked { lists, uris };
        if wanted.is_empty() {
            current = None;
        }
        if let Some(current) = &current {
            feed.confirm(&wanted.uris, |uri| current.uris.contains(uri));
        }
        if fits(current.as_ref(), &wanted) {
            let fewer = fewer.map(|at| at.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = feed.wake.notified() => {}
                () = tokio::time::sleep(fewer.unwrap_or(REFRESH).min(REFRESH)) => {}
                () = over(current.as_ref()) => return End::Broken,
            }
            if !feed.follows(connection) {
                return End::Over;
            }
            tokio::time::sleep(GATHER).await;
            continue;
        }
        match Listening::open(feed, connection, &wanted, current.is_some()).await {
            Ok(fresh) => {
                pause = SHORTEST_PAUSE;
                acknowledged(feed, &wanted, &fresh);
                match current.replace(fresh) {
                    Some(old) => {
                        let _ = tokio::time::timeout(OVERLAP, old.over.cancelled()).await;
                        drop(old);
                        feed.end_overlap();
                    }
                    None => feed.doubt(wanted.lists, None),
                }
            }
            Err(unheard) => {
                if let Unheard::Refused(refusal) = &unheard {
                    tracing::debug!(server.id = %feed.server, why = refusal.message, "no subscription");
                    feed.refuse(&wanted.uris, refusal);
                }
                feed.end_overlap();
                match (&current, unheard) {
                    (None, Unheard::Refused(_)) => return End::Useless,
                    (None, Unheard::Broken) => return End::Broken,
                    // The older stream goes on.
                    (Some(current), _) => tokio::select! {
                        () = rest(feed, pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                        () = current.over.cancelled() => return End::Broken,
                    },
                }
            }
        }
        if !feed.follows(connection) {
            return End::Over;
        }
    }
}

/// Lets a pause pass; the longer part of it ends when something else is wanted.
async fn rest(feed: &Feed, pause: Duration) {
    tokio::time::sleep(SHORTEST_PAUSE).await;
    let _ = tokio::time::timeout(pause.saturating_sub(SHORTEST_PAUSE), feed.wake.notified()).await;
}

/// Whether the stream that is open, or none, is what is wanted.
fn fits(current: Option<&Listening>, wanted: &Asked) -> bool {
    let Some(current) = current else { return wanted.is_empty() };
    current.lists.has(wanted.lists)
        && current.uris.len() == wanted.uris.len()
        && wanted.uris.iter().all(|uri| current.uris.contains(uri))
        && current.opened.elapsed() < REFRESH
}

async fn over(current: Option<&Listening>) {
    match current {
        Some(current) => current.over.cancelled().await,
        None => std::future::pending().await,
    }
}

fn acknowledged(feed: &Feed, asked: &Asked, fresh: &Listening) {
    for uri in &asked.uris {
        let status = if fresh.uris.contains(uri) {
            Status::Carried
        } else {
            let message = format!("server `{}` does not tell about that resource", feed.server);
            Status::Refused(Refusal::new(ErrorKind::InvalidParams, message))
        };
        feed.settle(uri, status);
    }
}

fn refuse(feed: &Feed, uris: &[Arc<str>]) -> Vec<Arc<str>> {
    let message = format!("server `{}` does not let resources be subscribed to", feed.server);
    feed.refuse(uris, &Refusal::new(ErrorKind::InvalidParams, message));
    Vec::new()
}
