//! Changes of tasks for who listens (`notifications/tasks` of the extension).
//!
//! Whatever kind of task it is and wherever it runs, it is looked at, at the pace that it wishes, and told when it stands
//! otherwise than before. That asks no more of any server than a client that polls, and needs no feed from it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::method::Method;
use portcullis_mcp::translate::task::Status;

use super::drive::pace;
use super::handle::Handle;
use super::requests::{Request, undeclared};
use crate::call::{Call, Refusal};
use crate::gateway::Gateway;

/// Tasks that one listener may have looked at.
const MOST: usize = 64;
/// Nobody is looked at more often for who only listens.
const QUICKEST: Duration = Duration::from_millis(250);

/// The tasks among `ids` that a caller may listen to, in their order: for the acknowledgement.
///
/// # Errors
/// It did not declare the extension.
pub(crate) fn known(gateway: &Gateway, call: &Call, ids: &[String]) -> Result<Vec<String>, Refusal> {
    if !ids.is_empty() && !call.caller.caps.has(ClientCaps::TASKS) {
        return Err(undeclared());
    }
    let opens = |id: &&String| Handle::open(gateway, &about(call, id)).is_ok();
    Ok(ids.iter().filter(opens).take(MOST).cloned().collect())
}

/// How a task stands, and again whenever it stands otherwise, until it has ended: the params of `notifications/tasks`,
/// without the id of the subscription. `id` is one of [`known`].
pub(crate) fn follow(
    gateway: &Arc<Gateway>,
    call: &Call,
    id: &str,
) -> impl Stream<Item = Raw> + Send + use<> {
    let start = Some((gateway.clone(), about(call, id), None::<Raw>, Duration::ZERO));
    futures_util::stream::unfold(start, |state| async {
        let (gateway, call, mut last, mut pause) = state?;
        loop {
            tokio::time::sleep(pause).await;
            let handle = Handle::open(&gateway, &call).ok()?;
            let request = Request { gateway: &gateway, call: &call };
            let id = call.subject.clone().unwrap_or_default();
            // A task that is not there any more has nothing to tell.
            let task = request.detail(&handle, &id).await.ok()?;
            let task = task.with(&[("resultType", Change::Remove), ("_meta", Change::Remove)]);
            pause = pace(&task).max(QUICKEST);
            if last.as_ref() != Some(&task) {
                last = Some(task.clone());
                let over = Status::of(&task).is_none_or(Status::is_terminal);
                return Some((task, (!over).then_some((gateway, call, last, pause))));
            }
        }
    })
}

/// A look at one task, by whoever listens.
fn about(call: &Call, id: &str) -> Call {
    Call { method: Method::TasksGet, params: None, subject: Some(id.to_owned()), ..call.clone() }
}
