//! The routes, and the way of a request to its era.
//!
//! Checks come in the order of the reference's ingress list: where the request comes from, who asks, how much, whether
//! it is JSON, then which era it claims. A modern claim wins over everything else that a request carries.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN};
use http::header::{
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONTENT_TYPE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method as HttpMethod, Response, StatusCode};
use portcullis_config::Limits;
use portcullis_mcp::header;
use portcullis_mcp::json::{Limits as JsonLimits, Object, Raw};
use portcullis_mcp::message::{Malformed, Message};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, claims_modern};
use portcullis_mcp::translate::key;
use portcullis_model::ErrorKind;

use super::authentication::{authenticate, challenged};
use super::body::Body;
use super::context::Context;
use super::fields::Fields;
use super::request::Head;
use super::response::{self, Needs, Unrecorded};
use super::{
    audit, batch, connect, facade, guard, keeping, legacy, metadata, modern, openapi, ops, readers, registry,
    rollout, servers, sse, standalone, witness,
};
use crate::call::{Challenge, Endpoint, Refusal};
use crate::identity::Form;
use crate::record::Where;
use crate::route::unknown_endpoint;

/// Every path that is served, with its methods: `{server}` is a server's slug, `{toolset}` a toolset's, and what ends in `…` goes on. Tests walk this
/// list, and another holds it against the code.
pub const PATHS: &[(&str, &[&str])] = &[
    ("/healthz", &["GET"]),
    ("/readyz", &["GET"]),
    ("/metrics", &["GET"]),
    ("/api/openapi.json", &["GET"]),
    ("/mcp", &["POST", "GET", "DELETE"]),
    ("/mcp/s/{server}", &["POST", "GET", "DELETE"]),
    ("/mcp/v/{toolset}", &["POST", "GET", "DELETE"]),
    ("/sse", &["GET"]),
    ("/messages", &["POST"]),
    ("/s/{server}/sse", &["GET"]),
    ("/s/{server}/messages", &["POST"]),
    ("/v/{toolset}/sse", &["GET"]),
    ("/v/{toolset}/messages", &["POST"]),
    ("/.well-known/oauth-protected-resource…", &["GET"]),
    ("/.well-known/oauth-authorization-server…", &["GET"]),
    ("/as/…", &["GET", "POST"]),
    ("/.well-known/jwks.json", &["GET"]),
    ("/oauth/client/{issuer}.json", &["GET"]),
    ("/oauth/callback/{issuer}", &["GET"]),
    ("/oauth/login", &["GET"]),
    ("/connect/{link}", &["GET"]),
    ("/connections", &["GET"]),
    ("/connections/{server}", &["DELETE"]),
    ("/witness/add-checkpoint", &["POST"]),
    ("/registry/v0.1/servers", &["GET"]),
    ("/registry/v0.1/servers/{name}/versions", &["GET"]),
    ("/registry/v0.1/servers/{name}/versions/{version}", &["GET", "DELETE"]),
    ("/registry/v0.1/publish", &["POST"]),
    ("/api/v1/servers/{server}/logs", &["GET"]),
    ("/api/v1/servers/{server}/restart", &["POST"]),
    ("/api/v1/servers/{server}/rollout", &["GET", "POST"]),
    ("/api/v1/servers/{server}/rollback", &["POST"]),
    ("/api/v1/audit/events", &["GET"]),
    ("/api/v1/audit/tail", &["GET"]),
    ("/api/v1/audit/export", &["GET"]),
    ("/api/v1/audit/proof", &["GET"]),
    ("/api/v1/audit/holds", &["GET", "POST"]),
    ("/api/v1/audit/holds/{name}", &["DELETE"]),
    ("/api/v1/audit/erasures", &["POST"]),
    ("/api/v1/audit/removals", &["POST"]),
];

/// What becomes of a request before its body is read.
pub(super) enum Routed {
    /// It is answered.
    Answer(Response<Body>),
    /// Its body is wanted, for a request that is made by whoever the context says.
    Post(Arc<Context>, Post),
}

/// Where a body is to go.
pub(super) enum Post {
    /// To an endpoint of Streamable HTTP.
    Endpoint(Endpoint),
    /// To a client's connection of HTTP+SSE.
    Connection(Arc<sse::Connection>),
    /// To the authorization server.
    Facade,
    /// To the witness.
    Witness,
    /// To the evidence log, to which something is to be done.
    Keeping,
    /// To the registry, whose versions are rolled out and back.
    Rollout,
}

impl Post {
    /// Within which limits its body is read.
    pub(super) fn limits<'a>(&self, limits: &'a Limits) -> Cow<'a, Limits> {
        let largest = match self {
            Self::Facade => facade::LARGEST,
            Self::Witness => witness::LARGEST,
            Self::Keeping => keeping::LARGEST,
            Self::Rollout => rollout::LARGEST,
            Self::Endpoint(_) | Self::Connection(_) => return Cow::Borrowed(limits),
        };
        Cow::Owned(Limits { body_bytes: limits.body_bytes.min(largest), ..limits.clone() })
    }
}

/// Finds out what a request is for, and answers it when it needs no body.
pub(super) async fn route(context: &Arc<Context>, head: &Head) -> Routed {
    let routed = match check(context, head) {
        Ok(()) => dispatch(context, head).await,
        Err(refusal) => {
            let answer = on_record(context, head, response::refusal(Era::Modern, None, &refusal)).await;
            context.gateway.metrics().http_response(answer.status().as_u16());
            return Routed::Answer(answer);
        }
    };
    match routed {
        Routed::Answer(answer) => Routed::Answer(finish(context, head, answer).await),
        post @ Routed::Post(..) => post,
    }
}

/// Answers a request with its body, or with what kept it from being read.
pub(super) async fn post(
    context: &Arc<Context>,
    head: &Head,
    post: Post,
    body: Result<Bytes, Refusal>,
) -> Response<Body> {
    let answer = match body {
        Ok(body) => match post {
            Post::Endpoint(endpoint) => message(context, endpoint, &head.fields, body).await,
            Post::Connection(connection) => sse::post(context, &connection, &head.fields, body).await,
            Post::Facade => Box::pin(facade::answer(context, head, body)).await.unwrap_or_else(nothing_here),
            Post::Keeping => Box::pin(keeping::answer(context, head, body)).await,
            Post::Rollout => Box::pin(rollout::answer(context, head, body)).await,
            Post::Witness => {
                Box::pin(witness::add_checkpoint(context, body)).await.unwrap_or_else(nothing_here)
            }
        },
        Err(refusal) if matches!(post, Post::Facade) && refusal.kind == ErrorKind::BodyTooLarge => {
            let message = format!("the authorization server reads no more than {} bytes", facade::LARGEST);
            response::refusal(Era::Modern, None, &Refusal::new(refusal.kind, message))
        }
        Err(refusal) => response::refusal(Era::Modern, None, &refusal),
    };
    finish(context, head, answer).await
}

/// Puts an answer on record that refuses a request which became no call. All others are already.
async fn on_record(context: &Context, head: &Head, mut answer: Response<Body>) -> Response<Body> {
    let Some(Unrecorded { kind, principal, credential }) = answer.extensions_mut().remove() else {
        return answer;
    };
    let Some(evidence) = &context.gateway.evidence else { return answer };
    let (path, http_method) = (Some(head.path.as_str()), Some(head.method.as_str()));
    let place = Where { path, http_method, credential: credential.as_deref() };
    let principal = principal.as_ref().unwrap_or(&context.principal);
    match evidence.denied(kind, principal, context.peer, place).await {
        Ok(()) => answer,
        Err(refusal) => {
            let mut answer = response::refusal(Era::Modern, None, &refusal);
            answer.extensions_mut().clear();
            answer
        }
    }
}

async fn finish(context: &Context, head: &Head, answer: Response<Body>) -> Response<Body> {
    let mut answer = on_record(context, head, answer).await;
    if let Some(Needs(challenge)) = answer.extensions_mut().remove() {
        self::challenge(context, head, &challenge, &mut answer);
    }
    if let Some(origin) = head.fields.get(&ORIGIN).and_then(|origin| HeaderValue::from_bytes(origin).ok()) {
        allow_origin(answer.headers_mut(), origin);
    }
    context.gateway.metrics().http_response(answer.status().as_u16());
    answer
}

/// Says which token is wanted at which endpoint, and how one is got.
fn challenge(context: &Context, head: &Head, challenge: &Challenge, answer: &mut Response<Body>) {
    let (endpoint, form) = match (endpoint(&head.path), sse_endpoint(&head.path)) {
        (Some(endpoint), _) => (endpoint, Form::Streamable),
        (None, Some((endpoint, _))) => (endpoint, Form::Sse),
        (None, None) => return,
    };
    challenged(context, &endpoint, form, (head, challenge), answer);
}

fn check(context: &Context, head: &Head) -> Result<(), Refusal> {
    let gateway = &context.gateway;
    let settings = gateway.settings.load();
    let listener = gateway.address.get().copied().unwrap_or(settings.listen);
    guard::check(&head.fields, head.authority.as_deref(), listener, &settings)
}

async fn dispatch(context: &Arc<Context>, head: &Head) -> Routed {
    Routed::Answer(match (&head.method, head.path.as_str()) {
        (&HttpMethod::OPTIONS, _) if head.fields.has(&ORIGIN) => preflight(),
        (&HttpMethod::GET | &HttpMethod::HEAD, "/healthz") => ops::health(),
        (&HttpMethod::GET | &HttpMethod::HEAD, "/readyz") => {
            ops::ready(&context.gateway, readers::check(context, head).await.is_ok())
        }
        (&HttpMethod::GET | &HttpMethod::HEAD, "/api/openapi.json") => openapi::document(),
        (&HttpMethod::GET, "/metrics") if context.gateway.settings.load().telemetry.metrics => {
            match readers::check(context, head).await {
                Ok(()) => ops::metrics(&context.gateway),
                Err(answer) => *answer,
            }
        }
        (_, path) => match (endpoint(path), sse_endpoint(path)) {
            (Some(endpoint), _) => return mcp(context, endpoint, head).await,
            (None, Some((endpoint, leg))) => return http_sse(context, endpoint, leg, head).await,
            (None, None) if facade::is_for(context, head) => {
                if head.method == HttpMethod::POST {
                    return Routed::Post(context.clone(), Post::Facade);
                }
                Box::pin(facade::answer(context, head, Bytes::new())).await.unwrap_or_else(nothing_here)
            }
            (None, None) if path == witness::PATH && context.gateway.witness.is_some() => {
                if head.method == HttpMethod::POST {
                    return Routed::Post(context.clone(), Post::Witness);
                }
                not_allowed("POST a checkpoint of a log here (C2SP tlog-witness)", "POST")
            }
            (None, None) if keeping::is_for(context, head) => {
                match (Box::pin(keeping::admit(context, head)).await, &head.method) {
                    (Ok(context), &HttpMethod::POST) => return Routed::Post(context, Post::Keeping),
                    (Ok(context), _) => Box::pin(keeping::answer(&context, head, Bytes::new())).await,
                    (Err(answer), _) => *answer,
                }
            }
            (None, None) if rollout::is_for(head) => match Box::pin(rollout::admit(context, head)).await {
                Ok(context) => return Routed::Post(context, Post::Rollout),
                Err(answer) => *answer,
            },
            (None, None) => others(context, head).await.unwrap_or_else(nothing_here),
        },
    })
}

/// What is no endpoint, one after the other: each knows its own paths.
async fn others(context: &Arc<Context>, head: &Head) -> Option<Response<Body>> {
    if let Some(answer) = about(context, head) {
        return Some(answer);
    }
    if let Some(answer) = Box::pin(registry::answer(context, head)).await {
        return Some(answer);
    }
    if let Some(answer) = Box::pin(servers::answer(context, head)).await {
        return Some(answer);
    }
    if let Some(answer) = Box::pin(audit::answer(context, head)).await {
        return Some(answer);
    }
    Box::pin(connect::answer(context, head)).await
}

fn nothing_here() -> Response<Body> {
    let message = "no such path; the endpoint is /mcp, /mcp/s/{server} or /mcp/v/{toolset}";
    response::refusal(Era::Modern, None, &Refusal::new(ErrorKind::UnknownPath, message))
}

/// The metadata of an endpoint, when that is what is asked for.
fn about(context: &Context, head: &Head) -> Option<Response<Body>> {
    if !matches!(head.method, HttpMethod::GET | HttpMethod::HEAD) {
        return None;
    }
    let subject = metadata::subject(&context.gateway, &head.path)?;
    let (endpoint, form) = match (endpoint(subject), sse_endpoint(subject)) {
        (Some(endpoint), _) => (endpoint, Form::Streamable),
        (None, Some((endpoint, Leg::Stream))) => (endpoint, Form::Sse),
        (None, _) => return None,
    };
    metadata::document(&context.gateway, &endpoint, form)
}

fn endpoint(path: &str) -> Option<Endpoint> {
    Endpoint::at(path.trim_end_matches('/').strip_prefix("/mcp")?)
}

/// The two addresses of HTTP+SSE.
#[derive(Clone, Copy)]
enum Leg {
    Stream,
    Messages,
}

fn sse_endpoint(path: &str) -> Option<(Endpoint, Leg)> {
    let (before, last) = path.trim_end_matches('/').rsplit_once('/')?;
    let leg = match last {
        "sse" => Leg::Stream,
        "messages" => Leg::Messages,
        _ => return None,
    };
    Some((Endpoint::at(before)?, leg))
}

/// One request to an address of HTTP+SSE.
async fn http_sse(context: &Arc<Context>, endpoint: Endpoint, leg: Leg, head: &Head) -> Routed {
    let context = match authenticate(context, &endpoint, Form::Sse, head).await {
        Ok(context) => context,
        Err(answer) => return Routed::Answer(*answer),
    };
    let routed = exists(&context, &endpoint).and_then(|()| match (leg, &head.method) {
        (Leg::Stream, &HttpMethod::GET) => Ok(Routed::Answer(sse::open(&context, endpoint, &head.fields)?)),
        (Leg::Messages, &HttpMethod::POST) => {
            let connection = sse::find(&context, &endpoint, head.query.as_deref())?;
            takes(&context, &head.fields, true)?;
            Ok(Routed::Post(context.clone(), Post::Connection(connection)))
        }
        (Leg::Stream, _) => {
            let message = "GET opens the event stream of HTTP+SSE; Streamable HTTP is at /mcp";
            Ok(Routed::Answer(not_allowed(message, "GET, OPTIONS")))
        }
        (Leg::Messages, _) => {
            let message = "POST JSON-RPC messages of an HTTP+SSE session here";
            Ok(Routed::Answer(not_allowed(message, "POST, OPTIONS")))
        }
    });
    by(
        &context,
        routed.unwrap_or_else(|refusal| Routed::Answer(response::refusal(Era::Legacy, None, &refusal))),
    )
}

/// Notes who it was whose request was refused.
fn by(context: &Context, mut routed: Routed) -> Routed {
    if let Routed::Answer(answer) = &mut routed {
        response::by(answer, &context.principal);
    }
    routed
}

/// One request to an MCP endpoint.
async fn mcp(context: &Arc<Context>, endpoint: Endpoint, head: &Head) -> Routed {
    let context = match authenticate(context, &endpoint, Form::Streamable, head).await {
        Ok(context) => context,
        Err(answer) => return Routed::Answer(*answer),
    };
    let context = &context;
    if let Err(refusal) = exists(context, &endpoint) {
        return by(context, Routed::Answer(response::refusal(Era::Modern, None, &refusal)));
    }
    let fields = &head.fields;
    let answer = match head.method {
        HttpMethod::POST => match takes(context, fields, fields.has(&header::SESSION_ID)) {
            Ok(()) => return Routed::Post(context.clone(), Post::Endpoint(endpoint)),
            Err(refusal) => response::refusal(Era::Modern, None, &refusal),
        },
        HttpMethod::GET | HttpMethod::DELETE if !fields.has(&header::SESSION_ID) => {
            not_allowed(NOT_HERE, "POST, GET, DELETE, OPTIONS")
        }
        HttpMethod::GET => match legacy::find_session(context, &endpoint, fields) {
            Ok(session) => standalone::listen(context, &session, fields),
            Err(refusal) => response::refusal(Era::Legacy, None, &refusal),
        },
        HttpMethod::DELETE => match legacy::find_session(context, &endpoint, fields) {
            Ok(session) => {
                legacy::delete(&context.gateway, &session);
                response::empty(StatusCode::NO_CONTENT)
            }
            Err(refusal) => response::refusal(Era::Legacy, None, &refusal),
        },
        _ => not_allowed(NOT_HERE, "POST, GET, DELETE, OPTIONS"),
    };
    by(context, Routed::Answer(answer))
}

/// Whether there is such an endpoint, which only those are told who may call.
fn exists(context: &Context, endpoint: &Endpoint) -> Result<(), Refusal> {
    let (gateway, who) = (&context.gateway, (&context.principal, &*context.recognised));
    let there = gateway.servers.load().have(endpoint) && gateway.gate.shows(who, context.peer, endpoint);
    if there {
        return Ok(());
    }
    let step_up = gateway.gate.step_up(who, context.peer, endpoint);
    Err(step_up
        .filter(|_| gateway.servers.load().have(endpoint))
        .unwrap_or_else(|| unknown_endpoint(endpoint)))
}

const NOT_HERE: &str =
    "POST a JSON-RPC message here; GET and DELETE are for sessions of revisions up to 2025-11-25";

fn not_allowed(message: &'static str, allowed: &'static str) -> Response<Body> {
    let refusal = Refusal::new(ErrorKind::MethodNotAllowed, message);
    let mut answer = response::refusal(Era::Modern, None, &refusal);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Whether a message may be sent now, and in this form. In a session, answers may be sent for as long as calls run.
fn takes(context: &Context, fields: &Fields, in_session: bool) -> Result<(), Refusal> {
    if !in_session {
        context.refuse_when_stopping()?;
    }
    let media = fields.get(&CONTENT_TYPE).unwrap_or_default();
    let essence = || media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    // What nearly every client sends is seen at once.
    if media != b"application/json" && !essence().eq_ignore_ascii_case(b"application/json") {
        let message = "the body must be JSON: send `Content-Type: application/json`";
        return Err(Refusal::new(ErrorKind::UnsupportedMediaType, message));
    }
    Ok(())
}

/// The classifier: a modern claim is a modern version in the metadata or in the header; without one, `initialize`
/// opens a session, and everything else needs one.
async fn message(context: &Arc<Context>, endpoint: Endpoint, fields: &Fields, body: Bytes) -> Response<Body> {
    let era = header_era(fields);
    let depth = JsonLimits { depth: context.gateway.env.limits().json_depth };
    if body.trim_ascii_start().first() == Some(&b'[') {
        return match Raw::parse(body, depth) {
            Ok(raw) => batch::take(context, &endpoint, fields, &raw).await,
            Err(error) => response::malformed(era, Malformed::Json(error)),
        };
    }
    match Message::parse(body, depth) {
        Err(error) => response::malformed(era, error),
        Ok(Message::Request(request))
            if era == Era::Modern || has_modern_metadata(request.params.as_ref()) =>
        {
            modern::request(context, endpoint, fields, request).await
        }
        Ok(Message::Request(request))
            if request.method == Method::Initialize && !fields.has(&header::SESSION_ID) =>
        {
            legacy::initialize(context, endpoint, fields, request).await
        }
        Ok(Message::Request(request)) => match legacy::find_session(context, &endpoint, fields) {
            Ok(session) => legacy::request(context, &session, fields, request).await,
            Err(refusal) => response::refusal(Era::Legacy, Some(&request.id), &refusal),
        },
        // 2026-07-28 has no client notification over HTTP; one that is sent all the same does no harm.
        Ok(Message::Notification(_)) if era == Era::Modern => response::empty(StatusCode::ACCEPTED),
        Ok(Message::Notification(notification)) => match legacy::find_session(context, &endpoint, fields) {
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
        Ok(Message::Response(answer)) => match legacy::find_session(context, &endpoint, fields) {
            Ok(session) => {
                legacy::response(&session, answer);
                response::empty(StatusCode::ACCEPTED)
            }
            Err(refusal) => response::refusal(Era::Legacy, None, &refusal),
        },
    }
}

/// The era that the version header claims. An unknown version that is no date of before claims the modern one, so
/// that its sender is told what is supported.
fn header_era(fields: &Fields) -> Era {
    match fields.text(&header::PROTOCOL_VERSION) {
        Some(version) if claims_modern(version) => Era::Modern,
        _ => Era::Legacy,
    }
}

fn has_modern_metadata(params: Option<&Object>) -> bool {
    params.and_then(|params| params.find_object("_meta")?.find(key::PROTOCOL_VERSION)).is_some()
}

/// A browser asks before it sends (Fetch standard, CORS); `Origin` was checked already.
fn preflight() -> Response<Body> {
    let mut answer = response::empty(StatusCode::NO_CONTENT);
    let headers = answer.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, DELETE"));
    let allowed = "content-type, accept, authorization, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name, \
                   last-event-id, dpop, traceparent, tracestate, if-none-match";
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    answer
}

fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("mcp-session-id, www-authenticate, dpop-nonce, etag"),
    );
}

#[cfg(test)]
mod tests;
