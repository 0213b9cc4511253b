//! For those who run it: alive, ready, measured.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use portcullis_telemetry::metrics::CONTENT_TYPE as PROMETHEUS;
use serde_json::json;

use super::body::Body;
use super::response;
use crate::gateway::Gateway;
use crate::upstream::ServerState;

/// The process answers.
pub(super) fn health() -> Response<Body> {
    response::json(StatusCode::OK, "{\"status\":\"ok\"}")
}

/// Whether to send clients here, and why not, or not all of it. A server that is down does not make the gateway
/// unready: the others' clients would lose theirs for it. An evidence log that answers have to wait for does. Strangers are told no more than that.
pub(super) fn ready(gateway: &Gateway, in_detail: bool) -> Response<Body> {
    let draining = gateway.draining.is_cancelled();
    let servers: serde_json::Map<_, _> = gateway
        .report()
        .into_iter()
        .map(|server| {
            let state = match server.state {
                ServerState::Idle => json!({"state": "idle"}),
                ServerState::Up => json!({"state": "up", "revision": server.revision}),
                ServerState::Down { why } => json!({"state": "down", "reason": why}),
            };
            (server.id.to_string(), state)
        })
        .collect();
    let degraded = servers.values().any(|server| server["state"] == "down");
    let trouble = gateway.evidence.as_ref().and_then(|evidence| evidence.trouble());
    // Nothing is answered while it cannot be put on record.
    let refusing =
        trouble.is_some() && gateway.evidence.as_ref().is_some_and(|evidence| evidence.is_strict());
    let status = match (draining, refusing, degraded || trouble.is_some()) {
        (true, _, _) => "draining",
        (false, true, _) => "refusing",
        (false, false, true) => "degraded",
        (false, false, false) => "ready",
    };
    let code = if draining || refusing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let mut told = json!({"status": status});
    if in_detail {
        told["servers"] = servers.into();
        if let Some(why) = trouble {
            told["evidence"] = json!({"state": "down", "reason": why});
        }
    }
    response::json(code, told.to_string())
}

/// Prometheus text exposition.
pub(super) fn metrics(gateway: &Gateway) -> Response<Body> {
    let mut answer = Response::new(Body::whole(gateway.render_metrics()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROMETHEUS));
    answer
}
