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
/// unready: the others' clients would lose theirs for it. Strangers are told no more than that.
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
    let status = match (draining, degraded) {
        (true, _) => "draining",
        (false, true) => "degraded",
        (false, false) => "ready",
    };
    let code = if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let mut told = json!({"status": status});
    if in_detail {
        told["servers"] = servers.into();
    }
    response::json(code, told.to_string())
}

/// Prometheus text exposition.
pub(super) fn metrics(gateway: &Gateway) -> Response<Body> {
    let mut answer = Response::new(Body::whole(gateway.render_metrics()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(PROMETHEUS));
    answer
}
