//! `notifications/tasks/status` of 2025-11-25: a session is told how the tasks stand that it made.
//!
//! A server may tell of its tasks or not, and no era's telling reaches the other, so a task is looked at as `watch` does
//! it, for as long as its session has a stream to hear it on. It waits in the session's mailbox, where what is out of date
//! is replaced. Clients may not rely on it (2025-11-25, tasks), so beyond a few tasks at once nothing is told.

use std::sync::{Arc, Weak};
use std::time::Duration;

use portcullis_mcp::json::Raw;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;
use portcullis_mcp::translate::task::{self, Status};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::drive::pace;
use super::handle::{Handle, Place};
use super::requests::Request;
use crate::call::{Call, Event, Exchange, Outcome};
use crate::gateway::Gateway;
use crate::rounds;
use crate::subscribe::Subscriber;

/// How often a server is asked at the most about a task for who only listens, and the gateway's own tasks are looked at.
const QUICKEST: Duration = Duration::from_secs(1);
const QUICKEST_HERE: Duration = Duration::from_millis(100);
/// So many looks in a row may fail.
const MOST_FAILURES: u32 = 5;

/// A session that may be told.
pub(crate) struct Session {
    subscriber: Weak<Subscriber>,
    ended: CancellationToken,
    is_heard: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Session {
    /// One that hears what is told whenever `is_heard` says so.
    pub(crate) fn new(
        subscriber: &Arc<Subscriber>,
        is_heard: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let ended = subscriber.ended.clone();
        Self { subscriber: Arc::downgrade(subscriber), ended, is_heard: Box::new(is_heard) }
    }
}

/// Whether a call asks to become a task (2025-11-25).
pub(crate) fn is_wish(call: &Call) -> bool {
    let params = call.params.as_ref();
    call.caller.revision == Revision::V2025_11_25
        && params.is_some_and(|params| params.find("task").is_some())
}

/// Carries a call of a session out; should it become a task, the session is told from then on how that stands.
pub(crate) async fn drive_and_tell(gateway: Arc<Gateway>, call: Arc<Call>, session: Session) -> Exchange {
    let exchange = rounds::drive(&gateway, call.clone()).await;
    if let Some(outcome) = exchange.ready() {
        begin(&gateway, &call, session, outcome);
        return exchange;
    }
    let streamed = exchange.is_streamed();
    let start = (Some((gateway, call, session)), exchange);
    let events = futures_util::stream::unfold(start, |(mut waiting, mut exchange)| async {
        let event = exchange.next().await?;
        if let Event::Done(outcome) = &event
            && let Some((gateway, call, session)) = waiting.take()
        {
            begin(&gateway, &call, session, outcome);
        }
        Some((event, (waiting, exchange)))
    });
    Exchange::live(events, streamed)
}

fn begin(gateway: &Arc<Gateway>, call: &Call, session: Session, outcome: &Outcome) {
    let Outcome::Complete(payload) = outcome else { return };
    let Some(task) = payload.result.find("task") else { return };
    let (Some(id), Some(status)) = (task.find_string("taskId"), Status::of(&task)) else { return };
    let subscriber = session.subscriber.upgrade();
    let place = subscriber.and_then(|subscriber| subscriber.tasks.clone().try_acquire_owned().ok());
    let Some(place) = place.filter(|_| !status.is_terminal()) else { return };
    let call = Call {
        method: Method::TasksGet,
        params: None,
        subject: Some(id),
        worker: gateway.env.control_worker(),
        ..call.clone()
    };
    gateway.env.control.spawn(follow(gateway.clone(), call, session, Seen::of(&task), place));
}

/// What makes a change worth telling.
struct Seen {
    status: Option<Status>,
    message: Option<String>,
    pause: Duration,
}

impl Seen {
    fn of(task: &Raw) -> Self {
        Self { status: Status::of(task), message: task.find_string("statusMessage"), pause: pace(task) }
    }
}

/// Looks at a task and tells its session of each change, until either has ended.
async fn follow(
    gateway: Arc<Gateway>,
    call: Call,
    session: Session,
    mut last: Seen,
    _place: OwnedSemaphorePermit,
) {
    let id: Arc<str> = call.subject.clone().unwrap_or_default().into();
    let mut failures = 0;
    loop {
        let Ok(handle) = Handle::open(&gateway, &call) else { return };
        let quickest = if let Place::Here(_) = handle.place { QUICKEST_HERE } else { QUICKEST };
        tokio::select! {
            () = tokio::time::sleep(last.pause.max(quickest)) => {}
            () = session.ended.cancelled() => return,
            () = gateway.draining.cancelled() => return,
        }
        if !(session.is_heard)() {
            continue;
        }
        let request = Request { gateway: &gateway, call: &call };
        let Ok(task) = request.describe(&handle, &id).await else {
            failures += 1;
            if failures >= MOST_FAILURES {
                return;
            }
            continue;
        };
        failures = 0;
        let seen = Seen::of(&task);
        if seen.status != last.status || seen.message != last.message {
            let Some(subscriber) = session.subscriber.upgrade() else { return };
            gateway.tasks.find(&id).inspect(|record| record.note(&task));
            subscriber.mailbox.put_task(&id, task::brief(&task));
        }
        if seen.status.is_none_or(Status::is_terminal) {
            return;
        }
        last = seen;
    }
}
