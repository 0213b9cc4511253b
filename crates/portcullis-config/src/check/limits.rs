//! The limits, each with its default.

use super::{Check, calls};
use crate::node::Path;
use crate::{Limits, raw};

pub(super) fn limits(check: &mut Check<'_>, raw: &raw::Limits) -> Limits {
    let default = Limits::default();
    let path = |key: &str| Path::top("limits").key(key);
    let limits = Limits {
        body_bytes: check.size(&path("body_bytes"), raw.body_bytes.as_ref(), 1024, default.body_bytes),
        bodies_bytes: check.size(
            &path("bodies_bytes"),
            raw.bodies_bytes.as_ref(),
            1024,
            default.bodies_bytes,
        ),
        header_bytes: check.size(
            &path("header_bytes"),
            raw.header_bytes.as_ref(),
            8192,
            default.header_bytes,
        ),
        response_bytes: check.size(
            &path("response_bytes"),
            raw.response_bytes.as_ref(),
            1024,
            default.response_bytes,
        ),
        json_depth: raw.json_depth.unwrap_or(default.json_depth),
        batch: raw.batch.unwrap_or(default.batch),
        connections: raw.connections.unwrap_or(default.connections),
        connections_per_principal: raw.connections_per_principal.unwrap_or(default.connections_per_principal),
        concurrent_calls: raw.concurrent_calls.unwrap_or(default.concurrent_calls),
        concurrent_per_client: raw.concurrent_per_client.unwrap_or(default.concurrent_per_client),
        replay_bytes: check.size(
            &path("replay_bytes"),
            raw.replay_bytes.as_ref(),
            1024,
            default.replay_bytes,
        ),
        sessions: raw.sessions.unwrap_or(default.sessions),
        sessions_per_principal: raw.sessions_per_principal.unwrap_or(default.sessions_per_principal),
        session_idle: check.duration(&path("session_idle"), raw.session_idle.as_ref(), default.session_idle),
        key_rotation: check.duration(&path("key_rotation"), raw.key_rotation.as_ref(), default.key_rotation),
        header_read: check.duration(&path("header_read"), raw.header_read.as_ref(), default.header_read),
        body_read: check.duration(&path("body_read"), raw.body_read.as_ref(), default.body_read),
        call_timeout: check.duration(&path("call_timeout"), raw.call_timeout.as_ref(), default.call_timeout),
        call_max: check.duration(&path("call_max"), raw.call_max.as_ref(), default.call_max),
        ask_timeout: check.duration(&path("ask_timeout"), raw.ask_timeout.as_ref(), default.ask_timeout),
        parked_calls: raw.parked_calls.unwrap_or(default.parked_calls),
        parked_per_client: raw.parked_per_client.unwrap_or(default.parked_per_client),
        list_page: raw.list_page.unwrap_or(default.list_page),
        keep_alive_interval: check.duration(
            &path("keep_alive_interval"),
            raw.keep_alive_interval.as_ref(),
            default.keep_alive_interval,
        ),
        poll_after: raw
            .poll_after
            .as_ref()
            .map(|raw| check.duration(&path("poll_after"), Some(raw), default.keep_alive_interval)),
        drain: check.duration_or_zero(&path("drain"), raw.drain.as_ref(), default.drain),
        calls: calls::calls(check, &raw.calls),
    };
    if limits.call_timeout > limits.call_max {
        let key = if raw.call_timeout.is_some() { "call_timeout" } else { "call_max" };
        check.error(
            &path(key),
            "`call_timeout` is longer than `call_max`; a call would end before it times out",
        );
    }
    if limits.key_rotation > default.key_rotation {
        check.error(&path("key_rotation"), "is longer than 24h; a key is not to be used for longer");
    }
    if limits.body_bytes > limits.bodies_bytes {
        let key = if raw.body_bytes.is_some() { "body_bytes" } else { "bodies_bytes" };
        check.error(
            &path(key),
            "`body_bytes` is more than `bodies_bytes`; such a body would always be refused",
        );
    }
    limits
}
