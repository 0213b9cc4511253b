//! One request on its way to a server, still without an era.

use std::sync::Arc;

use http::HeaderMap;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::Raw;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Revision;
use portcullis_mcp::translate::Hop;
use portcullis_oversight::Pin;
use portcullis_telemetry::trace::TraceContext;

use crate::call::{LogLevel, Worker};
use crate::inspect::Content;
use crate::record::Entry;

/// Who can be asked in the middle of a call.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    /// Tells callers apart: what is asked for one must not reach another.
    pub(crate) owner: Arc<str>,
    /// The owner is one client, and no user who may have several: a session.
    pub(crate) one_client: bool,
    /// The server's id of the task whose result is waited for: what the server asks in it says so (2025-11-25, tasks).
    pub(crate) task: Option<Arc<str>>,
}

/// What is sent, in the server's own names.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// On which thread's connections.
    pub(crate) worker: Worker,
    /// What is asked.
    pub(crate) method: Method,
    /// With what: the params, in which the server's own names and URIs are, and what the answer goes through.
    pub(crate) content: Content,
    /// The name or URI in `params` that a header mirrors.
    pub(crate) subject: Option<String>,
    /// The definition that whoever let it through knows it by.
    pub(crate) defined: Option<Pin>,
    /// What the client at the other end can be asked.
    pub(crate) caps: ClientCaps,
    /// Present when somebody is there to answer what the server asks.
    pub(crate) asker: Option<Asker>,
    /// It fails when the server asks what its client did not declare, as calls of modern clients do (2026-07-28,
    /// -32021). Others go on with what the server makes of the refusal.
    pub(crate) strict: bool,
    /// It is about a task, or makes one: a server may know its tasks in the conversation alone in which they were made.
    pub(crate) pinned: bool,
    /// `params.task` for servers of 2025-11-25 that have tasks: they make one only of what asks for it.
    pub(crate) task: Option<Raw>,
    /// Log messages wanted from this level up.
    pub(crate) log_level: Option<LogLevel>,
    /// The client's token, put into progress notifications in place of the gateway's own.
    pub(crate) progress_token: Option<Raw>,
    /// Passed on to the server.
    pub(crate) trace: Option<TraceContext>,
    /// `Mcp-Param-*`, built from the final arguments.
    pub(crate) mirrored: HeaderMap,
    /// What is kept of the call.
    pub(crate) record: Entry,
}

impl Outgoing {
    /// A request of the gateway's own.
    pub(crate) fn internal(worker: Worker, method: Method, params: Option<Raw>) -> Self {
        Self {
            worker,
            method,
            content: Content::own(params),
            subject: None,
            defined: None,
            caps: ClientCaps::NONE,
            asker: None,
            strict: false,
            pinned: false,
            task: None,
            log_level: None,
            progress_token: None,
            trace: None,
            mirrored: HeaderMap::new(),
            record: Entry::default(),
        }
    }

    /// Calls `write` with the metadata of this hop.
    pub(crate) fn with_hop<T>(
        &self,
        revision: Revision,
        id: u64,
        client_info: &str,
        write: impl FnOnce(&Hop<'_>) -> T,
    ) -> T {
        let traceparent = self.trace.as_ref().map(ToString::to_string);
        write(&Hop {
            revision,
            capabilities: self.caps.modern(),
            client_info,
            log_level: self.log_level.map(LogLevel::as_str),
            progress_token: self.progress_token.is_some().then_some(id),
            traceparent: traceparent.as_deref(),
            tracestate: self.trace.as_ref().and_then(|trace| trace.tracestate()),
        })
    }
}
