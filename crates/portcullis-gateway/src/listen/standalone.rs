//! The standalone stream of a session (2025-03-26 to 2025-11-25): what belongs to no request.
//!
//! Today that is changes of the lists. What is announced while no stream is open is lost, as it is in that protocol.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use portcullis_mcp::message::write_notification;
use portcullis_mcp::method::Method;
use portcullis_mcp::sse;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::session::Session;
use crate::call::Endpoint;
use crate::upstream::Change;

/// The stream for what belongs to no request: changes of the lists.
pub(super) fn standalone(
    context: &Context,
    session: Arc<Session>,
    pause: Duration,
) -> impl Stream<Item = Bytes> + Send + use<> {
    let gateway = context.gateway.clone();
    let held = Standalone { token: session.take_standalone(), session };
    let changes = gateway.env.changes();
    let open = gateway.metrics().streams().hold();
    // A comment at once: some clients wait for the first bytes before they take the stream for open.
    let first = Some("open");
    futures_util::stream::unfold(
        (gateway, held, changes, first, open),
        move |(gateway, held, mut changes, first, open)| async move {
            let mut out = Vec::new();
            if let Some(first) = first {
                sse::comment(&mut out, first);
                return Some((out.into(), (gateway, held, changes, None, open)));
            }
            tokio::select! {
                () = held.token.cancelled() => return None,
                () = gateway.draining.cancelled() => return None,
                change = next_change(&mut changes, &held.session.endpoint) => {
                    // Not raced against anything: what was announced must be told.
                    for method in changed_lists(change.ok()?, &mut changes, &held.session.endpoint).await {
                        let mut message = Vec::new();
                        write_notification(&mut message, &method, None);
                        sse::event(&mut out, None, None, None, &message);
                    }
                }
                () = tokio::time::sleep(pause) => sse::comment(&mut out, "keep-alive"),
            }
            Some((out.into(), (gateway, held, changes, None, open)))
        },
    )
}

/// What servers announce.
pub(super) type Changes = broadcast::Receiver<Change>;

/// Which lists of an endpoint have changed, as soon as some have; `None` when there is nobody left to announce it.
pub(super) async fn changed(changes: &mut Changes, endpoint: &Endpoint) -> Option<Vec<Method>> {
    let first = next_change(changes, endpoint).await.ok()?;
    Some(changed_lists(first, changes, endpoint).await)
}

/// The next announcement that concerns an endpoint; `None` stands for more than could be kept.
async fn next_change(
    changes: &mut broadcast::Receiver<Change>,
    endpoint: &Endpoint,
) -> Result<Option<Method>, broadcast::error::RecvError> {
    loop {
        match changes.recv().await {
            Ok(change) if concerns(&change, endpoint) => return Ok(Some(change.method)),
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return Ok(None),
            Err(closed) => return Err(closed),
        }
    }
}

fn concerns(change: &Change, endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Aggregate => true,
        Endpoint::Server(id) => change.server == *id,
    }
}

/// The lists to tell about after `first`: whatever else is announced within a moment, each list once.
async fn changed_lists(
    first: Option<Method>,
    changes: &mut broadcast::Receiver<Change>,
    endpoint: &Endpoint,
) -> Vec<Method> {
    use broadcast::error::TryRecvError;
    const MOMENT: Duration = Duration::from_millis(50);
    let all = vec![Method::ToolsListChanged, Method::PromptsListChanged, Method::ResourcesListChanged];
    let Some(first) = first else { return all };
    let mut lists = vec![first];
    tokio::time::sleep(MOMENT).await;
    loop {
        match changes.try_recv() {
            Ok(change) if concerns(&change, endpoint) && !lists.contains(&change.method) => {
                lists.push(change.method);
            }
            Ok(_) => {}
            Err(TryRecvError::Lagged(_)) => return all,
            Err(TryRecvError::Empty | TryRecvError::Closed) => return lists,
        }
    }
}

struct Standalone {
    session: Arc<Session>,
    token: CancellationToken,
}

impl Drop for Standalone {
    fn drop(&mut self) {
        self.session.leave_standalone(&self.token);
    }
}
