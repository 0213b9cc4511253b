//! The routes, and the way of a request to its era.
//!
//! Checks come in the order of the reference's ingress list: where the request comes from, who asks, how much, whether
//! it is JSON, then which era it claims. A modern claim wins over everything else that a request carries.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN};
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONTENT_TYPE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Request, Response, StatusCode};
use hyper::body::Incoming;
use portcullis_config::Anonymous;
use portcullis_mcp::header;
use portcullis_mcp::json::{Limits as JsonLimits, Raw};
use portcullis_mcp::message::{Malformed, Message};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, Revision, claims_modern};
use portcullis_mcp::translate::key;
use portcullis_model::{ErrorKind, Principal, ServerId};

use super::body::{self, Body};
use super::context::Context;
use super::response;
use super::{guard, legacy, modern, ops};
use crate::call::{Endpoint, Refusal};

/// Answers one HTTP request.
pub(super) async fn route(context: &Arc<Context>, request: Request<Incoming>) -> Response<Body> {
    let origin = request.headers().get(ORIGIN).cloned();
    let mut answer = match check(context, &request) {
        Ok(()) => dispatch(context, request).await,
        Err(refusal) => {
            let answer = response::refusal(Era::Modern, None, &refusal);
            context.gateway.metrics().http_response(answer.status().as_u16());
            return answer;
        }
    };
    if let Some(origin) = origin {
        allow_origin(answer.headers_mut(), origin);
    }
    context.gateway.metrics().http_response(answer.status().as_u16());
    answer
}

fn check(context: &Context, request: &Request<Incoming>) -> Result<(), Refusal> {
    let gateway = &context.gateway;
    let settings = gateway.settings.load();
    let listener = gateway.address.get().copied().unwrap_or(settings.listen);
    guard::check(request.headers(), request.uri(), listener, &settings)
}

async fn dispatch(context: &Arc<Context>, request: Request<Incoming>) -> Response<Body> {
    match (request.method(), request.uri().path()) {
        (&HttpMethod::OPTIONS, _) if request.headers().contains_key(ORIGIN) => preflight(),
        (&HttpMethod::GET | &HttpMethod::HEAD, "/healthz") => ops::health(),
        (&HttpMethod::GET | &HttpMethod::HEAD, "/readyz") => ops::ready(&context.gateway),
        (&HttpMethod::GET, "/metrics") if context.gateway.settings.load().telemetry.metrics => {
            ops::metrics(&context.gateway)
        }
        (_, path) => match endpoint(path) {
            Some(endpoint) => mcp(context, endpoint, request).await,
            None => {
                let refusal = Refusal::new(
                    ErrorKind::UnknownPath,
                    "no such path; the endpoint is /mcp, or /mcp/s/{server}",
                );
                response::refusal(Era::Modern, None, &refusal)
            }
        },
    }
}

fn endpoint(path: &str) -> Option<Endpoint> {
    match path.trim_end_matches('/') {
        "/mcp" => Some(Endpoint::Aggregate),
        path => Some(Endpoint::Server(ServerId::parse(path.strip_prefix("/mcp/s/")?).ok()?)),
    }
}

/// One request to an MCP endpoint.
async fn mcp(context: &Arc<Context>, endpoint: Endpoint, request: Request<Incoming>) -> Response<Body> {
    let refuse = |refusal: &Refusal| response::refusal(Era::Modern, None, refusal);
    let gateway = &context.gateway;
    if context.principal == Principal::Anonymous
        && gateway.settings.load().identity.anonymous == Anonymous::Deny
    {
        let message = "who are you? This listener wants a client certificate of its CA";
        return refuse(&Refusal::new(ErrorKind::Unauthenticated, message));
    }
    if let Endpoint::Server(id) = &endpoint
        && gateway.servers.load().find(id.as_str()).is_none()
    {
        return refuse(&Refusal::new(ErrorKind::UnknownPath, format!("there is no server `{id}` here")));
    }
    let (parts, incoming) = request.into_parts();
    match parts.method {
        HttpMethod::POST => match read(context, &parts.headers, incoming).await {
            Ok(body) => post(context, endpoint, &parts.headers, body).await,
            Err(refusal) => refuse(&refusal),
        },
        HttpMethod::GET | HttpMethod::DELETE if !parts.headers.contains_key(header::SESSION_ID) => {
            not_allowed()
        }
        HttpMethod::GET => match legacy::find_session(context, &endpoint, &parts.headers) {
            Ok(session) => legacy::listen(context, &session, &parts.headers),
            Err(refusal) => response::refusal(Era::Legacy, None, &refusal),
        },
        HttpMethod::DELETE => match legacy::find_session(context, &endpoint, &parts.headers) {
            Ok(session) => {
                legacy::delete(gateway, &session);
                response::empty(StatusCode::NO_CONTENT)
            }
            Err(refusal) => response::refusal(Era::Legacy, None, &refusal),
        },
        _ => not_allowed(),
    }
}

fn not_allowed() -> Response<Body> {
    let message =
        "POST a JSON-RPC message here; GET and DELETE are for sessions of revisions up to 2025-11-25";
    let refusal = Refusal::new(ErrorKind::MethodNotAllowed, message);
    let mut answer = response::refusal(Era::Modern, None, &refusal);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, GET, DELETE, OPTIONS"));
    answer
}

async fn read(context: &Context, headers: &HeaderMap, incoming: Incoming) -> Result<Bytes, Refusal> {
    if context.gateway.draining.is_cancelled() {
        return Err(Refusal::new(ErrorKind::Overloaded, "this gateway is stopping; connect again"));
    }
    let media = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !essence.eq_ignore_ascii_case(b"application/json") {
        let message = "the body must be JSON: send `Content-Type: application/json`";
        return Err(Refusal::new(ErrorKind::UnsupportedMediaType, message));
    }
    body::read(headers, incoming, &context.gateway.env.limits()).await
}

/// The classifier: a modern claim is a modern version in the metadata or in the header; without one, `initialize`
/// opens a session, and everything else needs one.
async fn post(
    context: &Arc<Context>,
    endpoint: Endpoint,
    headers: &HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let era = header_era(headers);
    let depth = JsonLimits { depth: context.gateway.env.limits().json_depth };
    if body.trim_ascii_start().first() == Some(&b'[') {
        return match Raw::parse(body, depth) {
            Ok(raw) => batch(context, &endpoint, headers, &raw).await,
            Err(error) => malformed(era, Malformed::Json(error)),
        };
    }
    match Message::parse(body, depth) {
        Err(error) => malformed(era, error),
        Ok(Message::Request(request))
            if era == Era::Modern || has_modern_metadata(request.params.as_ref()) =>
        {
            modern::request(context, endpoint, headers, request).await
        }
        Ok(Message::Request(request))
            if request.method == Method::Initialize && !headers.contains_key(header::SESSION_ID) =>
        {
            legacy::initialize(context, endpoint, headers, request).await
        }
        Ok(Message::Request(request)) => match legacy::find_session(context, &endpoint, headers) {
            Ok(session) => legacy::request(context, &session, headers, request).await,
            Err(refusal) => response::refusal(Era::Legacy, Some(&request.id), &refusal),
        },
        // 2026-07-28 has no client notification over HTTP; one that is sent all the same does no harm.
        Ok(Message::Notification(_)) if era == Era::Modern => response::empty(StatusCode::ACCEPTED),
        Ok(Message::Notification(notification)) => match legacy::find_session(context, &endpoint, headers) {
            Ok(session) => {
                legacy::notification(&session, &notification);
                response::empty(StatusCode::ACCEPTED)
            }
            Err(refusal) => response::refusal(Era::Legacy, None, &refusal),
        },
        Ok(Message::Response(_)) if era == Era::Modern => {
            let message = "clients send no responses in 2026-07-28; put answers into `inputResponses`";
            response::refusal(Era::Modern, None, &Refusal::new(ErrorKind::InvalidRequest, message))
        }
        Ok(Message::Response(_)) => match legacy::find_session(context, &endpoint, headers) {
            Ok(_) => response::empty(StatusCode::ACCEPTED),
            Err(refusal) => response::refusal(Era::Legacy, None, &refusal),
        },
    }
}

/// The era that the version header claims. An unknown version that is no date of before claims the modern one, so
/// that its sender is told what is supported.
fn header_era(headers: &HeaderMap) -> Era {
    match headers.get(header::PROTOCOL_VERSION).and_then(|value| value.to_str().ok()) {
        Some(version) if claims_modern(version) => Era::Modern,
        _ => Era::Legacy,
    }
}

fn has_modern_metadata(params: Option<&Raw>) -> bool {
    params.and_then(|params| params.find_path(&["_meta", key::PROTOCOL_VERSION])).is_some()
}

fn malformed(era: Era, error: Malformed) -> Response<Body> {
    match error {
        Malformed::Json(error) => {
            response::refusal(era, None, &Refusal::new(ErrorKind::Unparsable, format!("the body is {error}")))
        }
        Malformed::Envelope { id, why } => {
            let refusal =
                Refusal::new(ErrorKind::InvalidRequest, format!("not a JSON-RPC 2.0 message: {why}"));
            response::refusal(era, id.as_ref(), &refusal)
        }
    }
}

/// Batches exist in 2025-03-26 and nowhere else.
async fn batch(
    context: &Arc<Context>,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    messages: &Raw,
) -> Response<Body> {
    let refuse =
        |why: String| response::refusal(Era::Legacy, None, &Refusal::new(ErrorKind::InvalidRequest, why));
    let session = match legacy::find_session(context, endpoint, headers) {
        Ok(session) if session.caller.revision == Revision::V2025_03_26 => session,
        Ok(_) => {
            return refuse("batches exist in protocol revision 2025-03-26 only; send one message".to_owned());
        }
        Err(refusal) if refusal.kind == ErrorKind::SessionRequired => {
            return refuse(
                "batches exist in sessions of protocol revision 2025-03-26 only; send one message".to_owned(),
            );
        }
        Err(refusal) => return response::refusal(Era::Legacy, None, &refusal),
    };
    let limit = context.gateway.env.limits().batch;
    let messages: Vec<Raw> = messages.elements().take(limit + 1).collect();
    if messages.is_empty() || messages.len() > limit {
        return refuse(format!("a batch holds 1 to {limit} messages (limits.batch)"));
    }
    let mut requests = Vec::new();
    for raw in &messages {
        match Message::from_raw(raw) {
            Ok(Message::Request(request)) if request.method == Method::Initialize => {
                return refuse("`initialize` must not be part of a batch".to_owned());
            }
            Ok(Message::Request(request)) => requests.push(request),
            Ok(Message::Notification(notification)) => legacy::notification(&session, &notification),
            Ok(Message::Response(_)) => {}
            Err(error) => return malformed(Era::Legacy, error),
        }
    }
    if requests.is_empty() {
        return response::empty(StatusCode::ACCEPTED);
    }
    legacy::batch(context, &session, headers, requests).await
}

/// A browser asks before it sends (Fetch standard, CORS); `Origin` was checked already.
fn preflight() -> Response<Body> {
    let mut answer = response::empty(StatusCode::NO_CONTENT);
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, DELETE"));
    let allowed = "content-type, accept, authorization, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, \
                   last-event-id, traceparent, tracestate";
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    answer
}

fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("mcp-session-id"));
}
