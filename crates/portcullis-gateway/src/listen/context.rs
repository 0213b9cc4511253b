//! What is known of a client before it has said anything: its connection.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use http::HeaderName;
use portcullis_mcp::json::Raw;
use portcullis_mcp::translate::key;
use portcullis_model::{ErrorKind, Principal};
use portcullis_telemetry::TraceContext;

use super::fields::Fields;
use crate::call::{Refusal, Worker};
use crate::gateway::Gateway;

const PARENT: HeaderName = HeaderName::from_static(key::TRACEPARENT);
const STATE: HeaderName = HeaderName::from_static(key::TRACESTATE);

/// One client connection.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) worker: Worker,
    pub(crate) principal: Principal,
    /// Names the conversation of stateless clients where servers are not shared: the principal.
    pub(crate) conversation: Arc<str>,
    pub(crate) under_way: Arc<AtomicUsize>,
}

impl Context {
    pub(crate) fn new(gateway: Arc<Gateway>, worker: Worker, principal: Principal) -> Self {
        let conversation = principal.to_string().into();
        Self { gateway, worker, principal, conversation, under_way: Arc::default() }
    }

    /// New work is refused when the gateway is about to stop; what is under way may still be answered.
    ///
    /// # Errors
    /// It is about to stop.
    pub(super) fn refuse_when_stopping(&self) -> Result<(), Refusal> {
        if self.gateway.draining.is_cancelled() {
            return Err(Refusal::new(ErrorKind::Overloaded, "this gateway is stopping; connect again"));
        }
        Ok(())
    }
}

/// Where a request stands in a trace: `traceparent` and `tracestate` of `_meta` first (SEP-414), for they are the
/// call's own; else the HTTP headers.
pub(super) fn trace_context(fields: &Fields, in_meta: [Option<Raw>; 2]) -> Option<TraceContext> {
    let [parent, state] = in_meta;
    let parsed = parent.and_then(|parent| {
        let state = state.as_ref().and_then(Raw::string);
        TraceContext::parse(&parent.string()?, state.as_deref()).ok()
    });
    parsed.or_else(|| TraceContext::parse(fields.text(&PARENT)?, fields.text(&STATE)).ok())
}
