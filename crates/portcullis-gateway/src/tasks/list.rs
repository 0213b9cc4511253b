//! `tasks/list` of 2025-11-25, from the gateway's own records: no era's servers list tasks across all of them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use portcullis_mcp::json::Raw;
use portcullis_mcp::message::code;
use portcullis_mcp::translate::task::Status;
use portcullis_model::ErrorKind;

use super::requests::Request;
use super::store::{Owner, Record};
use crate::call::{Outcome, Refusal};
use crate::seal::{CURSOR, Purpose, Unsealable};

/// Tasks on one page.
const PAGE: usize = 50;
/// How long a list waits for servers to say how their tasks go.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a cursor of this list begins with inside; the last task of the page follows, and the endpoint.
const KIND: &str = "tasks ";

/// Answers it. Those that have not ended, as far as is known, are asked for; what does not answer in time is listed as it
/// stood last.
pub(super) async fn list(request: &Request<'_>) -> Result<Raw, Refusal> {
    let call = request.call;
    let owner = Owner::of(&call.caller);
    let sealer = &request.gateway.sealer;
    let after = match call.params.as_ref().and_then(|params| params.find("cursor")) {
        Some(cursor) => Some(read(request, &cursor)?),
        None => None,
    };
    let mut records = request.gateway.tasks.of(&owner, &call.endpoint, after, PAGE + 1);
    let more = records.len() > PAGE;
    records.truncate(PAGE);
    let there = records.iter().filter(|record| record.handle.is_there(request.gateway, call));
    let shown = there.map(|record| show(request, record));
    let tasks = join_all(shown).await;
    let tasks: Vec<&str> = tasks.iter().flatten().map(Raw::as_str).collect();
    let mut out = format!("{{\"tasks\":[{}]", tasks.join(","));
    if let (true, Some(last)) = (more, records.last()) {
        let place = format!("{KIND}{} {}", last.number, call.endpoint.place());
        let cursor = sealer.seal_for(CURSOR, Purpose::Cursor, &call.caller.principal, place.as_bytes());
        let _ = write!(out, ",\"nextCursor\":\"{cursor}\"");
    }
    out.push('}');
    Ok(Raw::trusted(out))
}

/// The task that the page begins after.
///
/// # Errors
/// The cursor is none of this list, at this endpoint, for this caller, or its time is over.
fn read(request: &Request<'_>, cursor: &Raw) -> Result<u64, Refusal> {
    let refuse = |why: &str| {
        let message = format!("the cursor {why}; ask for the list from its beginning");
        Refusal::new(ErrorKind::InvalidParams, message)
    };
    let (foreign, call) = ("is not one of this list", request.call);
    let cursor = cursor.string().ok_or_else(|| refuse("must be a string"))?;
    let opened = request.gateway.sealer.open_in_time(Purpose::Cursor, &call.caller.principal, &cursor);
    let opened = opened.map_err(|unsealable| match unsealable {
        Unsealable::Foreign => refuse(foreign),
        Unsealable::Expired => refuse("has expired"),
    })?;
    let place = std::str::from_utf8(&opened).ok().and_then(|place| place.strip_prefix(KIND)?.split_once(' '));
    let (number, endpoint) = place.ok_or_else(|| refuse(foreign))?;
    if endpoint != call.endpoint.place() {
        return Err(refuse("belongs to another list"));
    }
    number.parse().map_err(|_| refuse(foreign))
}

/// A task as it stands; `None` when its server knows it no more.
async fn show(request: &Request<'_>, record: &Arc<Record>) -> Option<Raw> {
    let known = record.task();
    if record.is_cancelled() || Status::of(&known).is_none_or(Status::is_terminal) {
        return Some(known);
    }
    let asked = tokio::time::timeout(PATIENCE, request.describe(&record.handle, &record.id)).await;
    match asked {
        Ok(Ok(task)) => {
            record.note(&task);
            Some(task)
        }
        Ok(Err(Outcome::Failed { error, .. })) if error.code() == code::INVALID_PARAMS => {
            request.gateway.tasks.forget(record.number);
            None
        }
        _ => Some(known),
    }
}
