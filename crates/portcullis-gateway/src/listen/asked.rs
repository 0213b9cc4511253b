//! What a request of an older client is: a call, and, where the gateway answers it itself, its answer.

use std::sync::Arc;

use portcullis_mcp::json::Raw;
use portcullis_mcp::message::Request;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::{Payload, key};
use portcullis_model::ErrorKind;
use portcullis_telemetry::TraceContext;

use super::context::{Context, trace_context};
use super::fields::Fields;
use super::modern::checked_token;
use super::session::Session;
use crate::answer::{Reply, reply};
use crate::call::{Call, Caller, Endpoint, LogLevel, Outcome, Refusal};
use crate::record::{Entry, Open, Transport};

const LEGACY: Era = Era::Legacy;

/// A request as a call: of somebody, at an endpoint, and whether by HTTP+SSE.
pub(super) fn call(
    context: &Context,
    (endpoint, caller, is_sse): (&Endpoint, &Arc<Caller>, bool),
    trace: Option<TraceContext>,
    request: Request,
) -> Call {
    let transport = if is_sse { Transport::Sse } else { Transport::Http };
    Call {
        endpoint: endpoint.clone(),
        caller: caller.clone(),
        worker: context.worker,
        log_level: None,
        progress_token: None,
        trace,
        mirrored: None,
        let_through: false,
        request_id: request.id.raw().as_str().into(),
        record: Entry::begin(context.gateway.evidence.as_ref(), transport),
        subject: request
            .method
            .subject_member()
            .and_then(|member| request.params.as_ref()?.find_string(member)),
        method: request.method,
        params: request.params,
    }
}

/// A request of a session as a call.
///
/// # Errors
/// Its progress token is none.
pub(super) fn call_in(
    context: &Context,
    session: &Arc<Session>,
    fields: &Fields,
    request: Request,
) -> Result<Call, Refusal> {
    let meta = request.params.as_ref().and_then(|params| params.find_object("_meta"));
    let [progress_token, traceparent, tracestate] = match &meta {
        Some(meta) => meta.pick([key::PROGRESS_TOKEN, key::TRACEPARENT, key::TRACESTATE]),
        None => [const { None }; 3],
    };
    let progress_token = progress_token.map(checked_token).transpose()?;
    let caller = context.caller(&session.caller);
    if let Some(subscriber) = session.subscriber() {
        subscriber.renew(&caller);
    }
    let trace = trace_context(fields, [traceparent, tracestate]);
    let call = call(context, (&session.endpoint, &caller, session.is_on_one_stream()), trace, request);
    Ok(Call { log_level: Some(session.log_level()), progress_token, ..call })
}

/// A request that the gateway answers itself, with its answer.
pub(super) struct Local {
    pub(super) open: Open,
    pub(super) outcome: Outcome,
}

impl Local {
    pub(super) async fn reply(mut self) -> Reply {
        let recorded = self.open.answer(self.outcome).await;
        reply(LEGACY, &self.open.call().method, recorded)
    }
}

pub(super) fn complete(result: Raw) -> Outcome {
    Outcome::Complete(Payload { result: result.into(), era: LEGACY })
}

/// What the gateway answers itself.
pub(super) fn local(session: &Session, call: &Call) -> Option<Result<Raw, Refusal>> {
    match &call.method {
        Method::Ping => Some(Ok(Raw::from_static("{}"))),
        Method::SetLevel => {
            let level = call.params.as_ref().and_then(|params| params.find_string("level"));
            Some(match level.as_deref().and_then(LogLevel::parse) {
                Some(level) => {
                    session.set_log_level(level);
                    Ok(Raw::from_static("{}"))
                }
                None => Err(Refusal::new(
                    ErrorKind::InvalidParams,
                    "`params.level` must be a log level, debug to emergency",
                )),
            })
        }
        Method::Initialize => {
            Some(Err(Refusal::new(ErrorKind::InvalidRequest, "this session is initialized already")))
        }
        Method::Discover => {
            Some(Err(Refusal::new(ErrorKind::UnknownMethod, "`server/discover` came with 2026-07-28")))
        }
        _ => None,
    }
}
