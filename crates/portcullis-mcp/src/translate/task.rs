//! Tasks across the eras: those of 2025-11-25 and the extension `io.modelcontextprotocol/tasks` (the reference's table
//! 4.4).
//!
//! A task is the same thing in both, under other names: the older core nests it in the answer that creates it, hands out
//! the result by a request of its own, and calls a tool's failure a failed task; the extension is flat, carries the
//! result in the task, and calls the same task completed. Members that neither knows are passed on. Whether a task
//! exists and whose it is, is not decided here.

use crate::json::{Change, Kind, Raw};
use crate::message::RpcError;
use crate::revision::Era;

/// The `_meta` key by which a message of 2025-11-25 belongs to a task.
pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum Status {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl Status {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Working, "working"),
        (Self::InputRequired, "input_required"),
        (Self::Completed, "completed"),
        (Self::Failed, "failed"),
        (Self::Cancelled, "cancelled"),
    ];

    /// The status of a task of either era, if it is one.
    pub fn of(task: &Raw) -> Option<Self> {
        let status = task.find("status")?;
        Self::ALL.iter().find(|(_, name)| status.is_text(name)).map(|(status, _)| *status)
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Whether nothing comes after it.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// The id and the task in a result of `tools/call` that a server of `era` wrote; `None` when it is no task.
pub fn created(era: Era, result: &Raw) -> Option<(String, Raw)> {
    let task = match era {
        Era::Legacy => result.find("task")?,
        Era::Modern => result.with(&[("resultType", Change::Remove), ("_meta", Change::Remove)]),
    };
    Status::of(&task)?;
    Some((task.find_string("taskId")?, task))
}

/// A task that a server of era `from` described, as `to` describes it, under another id. Only what every description
/// of a task has: results, errors and questions go.
pub fn reshape(from: Era, to: Era, task: &Raw, id: &str) -> Raw {
    let id = Raw::from_text(id);
    let mut changes = vec![
        ("taskId", Change::Set(id.as_bytes())),
        ("resultType", Change::Remove),
        ("_meta", Change::Remove),
        ("result", Change::Remove),
        ("error", Change::Remove),
        ("inputRequests", Change::Remove),
        ("requestState", Change::Remove),
    ];
    let (old, new) = match to {
        Era::Legacy => (["ttlMs", "pollIntervalMs"], ["ttl", "pollInterval"]),
        Era::Modern => (["ttl", "pollInterval"], ["ttlMs", "pollIntervalMs"]),
    };
    let [ttl, poll] = if from == to { new } else { old }.map(|key| task.find(key).filter(is_duration));
    let ttl = ttl.unwrap_or_else(|| Raw::from_static("null"));
    let poll = poll.as_ref().map_or(Change::Remove, |poll| Change::Set(poll.as_bytes()));
    changes.extend([(new[0], Change::Set(ttl.as_bytes())), (new[1], poll)]);
    changes.extend(old.map(|key| (key, Change::Remove)));
    let status;
    if let Some(flipped) = flipped(from, to, task) {
        status = Raw::from_text(flipped.as_str());
        changes.push(("status", Change::Set(status.as_bytes())));
    }
    task.with(&changes)
}

/// A task of `era` that says no longer time to live than so many milliseconds; without one it would live for ever.
pub fn kept_at_most(era: Era, task: &Raw, most: u64) -> Raw {
    let key = if era == Era::Legacy { "ttl" } else { "ttlMs" };
    match task.find(key).and_then(|ttl| ttl.u64()) {
        Some(ttl) if ttl <= most => task.clone(),
        _ => task.with(&[(key, Change::Set(most.to_string().as_bytes()))]),
    }
}

/// A task of 2025-11-25 as it is remembered: whole, unless its server says more than anybody keeps.
pub fn brief(task: &Raw) -> Raw {
    const MOST: usize = 4096;
    const MOST_OF_MEMBER: usize = 1024;
    if task.as_bytes().len() <= MOST {
        return task.clone();
    }
    let keys = ["taskId", "status", "statusMessage", "createdAt", "lastUpdatedAt", "ttl", "pollInterval"];
    let kept: Vec<_> = keys.iter().filter_map(|key| Some((*key, task.find(key)?))).collect();
    let kept = kept.iter().filter(|(_, value)| value.as_bytes().len() <= MOST_OF_MEMBER);
    let changes: Vec<_> = kept.map(|(key, value)| (*key, Change::Set(value.as_bytes()))).collect();
    Raw::from_static("{}").with(&changes)
}

/// Whole milliseconds: anything else breaks readers of both eras.
fn is_duration(value: &Raw) -> bool {
    value.u64().is_some()
}

/// A tool that failed makes a task of 2025-11-25 fail; a task of the extension completes with what the tool said.
fn flipped(from: Era, to: Era, task: &Raw) -> Option<Status> {
    let failed = |result: &Raw| result.find("isError").and_then(|flag| flag.bool()) == Some(true);
    match (from, to, Status::of(task)?) {
        (Era::Modern, Era::Legacy, Status::Completed) => {
            task.find("result").filter(failed).map(|_| Status::Failed)
        }
        _ => None,
    }
}

/// The result of `tools/call` that tells a client of era `to` of its task, which is in that era's shape.
pub fn create_result(to: Era, task: &Raw, server_info: &str) -> Raw {
    match to {
        Era::Legacy => Raw::from_static("{}").with(&[("task", Change::Set(task.as_bytes()))]),
        Era::Modern => with_server_info(task, "\"task\"", server_info),
    }
}

/// What a task came to.
pub type Ending = Result<Raw, RpcError>;

/// The ending in a task of the extension, as `tasks/get` shows it; `None` while there is none.
pub fn ending(task: &Raw) -> Option<Ending> {
    match Status::of(task)? {
        Status::Completed => Some(Ok(task.find("result").unwrap_or_else(|| Raw::from_static("{}")))),
        Status::Failed => {
            let error = task.find("error").and_then(RpcError::from_raw);
            Some(Err(error.unwrap_or_else(|| {
                RpcError::new(
                    crate::message::code::INTERNAL,
                    "the task failed and its server does not say why",
                    None,
                )
            })))
        }
        _ => None,
    }
}

/// What `tasks/get` of the extension shows besides the task.
#[derive(Clone, Copy, Debug)]
pub enum Detail<'a> {
    /// Nothing.
    None,
    /// It has ended.
    Ended(&'a Ending),
    /// It waits for answers: an object of requests by key.
    Asks(&'a Raw),
}

/// The result of `tasks/get` of the extension, for a task in its shape.
pub fn get_result(task: &Raw, detail: Detail<'_>, server_info: &str) -> Raw {
    let result;
    let (status, member) = match detail {
        Detail::None => (None, None),
        Detail::Asks(requests) => (Some(Status::InputRequired), Some(("inputRequests", requests.as_bytes()))),
        Detail::Ended(Ok(ended)) => {
            result = without_related(ended).with(&[("resultType", Change::Set(b"\"complete\""))]);
            (Some(Status::Completed), Some(("result", result.as_bytes())))
        }
        Detail::Ended(Err(error)) => (Some(Status::Failed), Some(("error", error.raw().as_bytes()))),
    };
    let mut changes = Vec::new();
    let status = status.map(|status| Raw::from_text(status.as_str()));
    changes.extend(status.as_ref().map(|status| ("status", Change::Set(status.as_bytes()))));
    changes.extend(member.map(|(key, value)| (key, Change::Set(value))));
    with_server_info(&task.with(&changes), "\"complete\"", server_info)
}

/// The empty answer to `tasks/update` and `tasks/cancel` of the extension.
pub fn acknowledgement(server_info: &str) -> Raw {
    with_server_info(&Raw::from_static("{}"), "\"complete\"", server_info)
}

fn with_server_info(result: &Raw, kind: &str, server_info: &str) -> Raw {
    let meta = Raw::from_static("{}").with(&[(super::key::SERVER_INFO, Change::Set(server_info.as_bytes()))]);
    result.with(&[("resultType", Change::Set(kind.as_bytes())), ("_meta", Change::Set(meta.as_bytes()))])
}

/// A result, or the params of a request, that belongs to a task.
pub fn with_related(object: &Raw, id: &str) -> Raw {
    let related = Raw::from_static("{}").with(&[("taskId", Change::Set(Raw::from_text(id).as_bytes()))]);
    let meta = object.find("_meta").filter(|meta| meta.kind() == Kind::Object);
    let meta = meta.unwrap_or_else(|| Raw::from_static("{}"));
    let meta = meta.with(&[(RELATED_TASK, Change::Set(related.as_bytes()))]);
    object.with(&[("_meta", Change::Set(meta.as_bytes()))])
}

/// The same without saying to which task it belongs.
pub fn without_related(object: &Raw) -> Raw {
    let Some(meta) = object.find("_meta").filter(|meta| meta.find(RELATED_TASK).is_some()) else {
        return object.clone();
    };
    let meta = meta.with(&[(RELATED_TASK, Change::Remove)]);
    match meta.members().next() {
        Some(_) => object.with(&[("_meta", Change::Set(meta.as_bytes()))]),
        None => object.with(&[("_meta", Change::Remove)]),
    }
}

/// Whether a tool of 2025-11-25 can, and whether it must, be called as a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the specification's")]
pub enum TaskSupport {
    #[default]
    Forbidden,
    Optional,
    Required,
}

impl TaskSupport {
    /// What a tool says of itself.
    pub fn of(tool: &Raw) -> Self {
        match tool.find_path(&["execution", "taskSupport"]) {
            Some(support) if support.is_text("optional") => Self::Optional,
            Some(support) if support.is_text("required") => Self::Required,
            _ => Self::Forbidden,
        }
    }
}

/// A tool of a server that has the extension, for clients up to 2025-11-25: it decides for itself whether a call becomes
/// a task, so a client may ask for one.
pub fn tool_with_tasks(tool: &Raw) -> Raw {
    tool.with(&[("execution", Change::Set(br#"{"taskSupport":"optional"}"#))])
}

#[cfg(test)]
mod tests;
