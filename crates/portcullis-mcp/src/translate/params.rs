//! `params._meta` of one hop: the gateway is the client there, so the metadata is its own.

use crate::json::{Change, Kind, Object, Raw, write_string};
use crate::revision::Revision;

/// `_meta` keys of 2026-07-28 (basic protocol, `_meta`).
#[allow(missing_docs, reason = "the names are the specification's")]
pub mod key {
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    pub const PROGRESS_TOKEN: &str = "progressToken";
    pub const TRACEPARENT: &str = "traceparent";
    pub const TRACESTATE: &str = "tracestate";
}

/// What the gateway says about itself and the call on the hop to a server.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The revision spoken on this hop.
    pub revision: Revision,
    /// `ClientCapabilities` as JSON; modern hops only.
    pub capabilities: &'a str,
    /// The gateway's `Implementation` as JSON; modern hops only.
    pub client_info: &'a str,
    /// Wanted log level; modern hops only.
    pub log_level: Option<&'a str>,
    /// The gateway's own token, when the caller wants progress.
    pub progress_token: Option<u64>,
    /// W3C `traceparent` of this hop.
    pub traceparent: Option<&'a str>,
    /// W3C `tracestate` of this hop.
    pub tracestate: Option<&'a str>,
}

/// The params for a modern server: always an object with `_meta`.
pub fn modern_params(params: Option<&Object>, hop: &Hop<'_>) -> Raw {
    let mut version = [b'"'; 12];
    version[1..11].copy_from_slice(hop.revision.as_str().as_bytes());
    let level = hop.log_level.map(quoted);
    let token = hop.progress_token.map(|token| token.to_string());
    let parent = hop.traceparent.map(quoted);
    let state = hop.tracestate.map(quoted);
    let changes = [
        (key::PROTOCOL_VERSION, Change::Set(&version)),
        (key::CLIENT_CAPABILITIES, Change::Set(hop.capabilities.as_bytes())),
        (key::CLIENT_INFO, Change::Set(hop.client_info.as_bytes())),
        (key::LOG_LEVEL, change(level.as_ref())),
        (key::PROGRESS_TOKEN, change(token.as_ref())),
        (key::TRACEPARENT, change(parent.as_ref())),
        (key::TRACESTATE, change(state.as_ref())),
    ];
    let write = |meta: Option<Object>| {
        meta.filter(|meta| meta.kind() == Kind::Object).unwrap_or_else(empty).with(&changes)
    };
    params.unwrap_or(&empty()).map_member("_meta", write)
}

/// The params for a legacy server: the modern keys go, the caller's own `_meta` stays, and where neither the caller
/// nor the hop has anything to say, nothing is written.
pub fn legacy_params(params: Option<&Object>, hop: &Hop<'_>) -> Option<Raw> {
    let token = hop.progress_token.map(|token| token.to_string());
    let parent = hop.traceparent.map(quoted);
    let state = hop.tracestate.map(quoted);
    let changes = [
        (key::PROTOCOL_VERSION, Change::Remove),
        (key::CLIENT_CAPABILITIES, Change::Remove),
        (key::CLIENT_INFO, Change::Remove),
        (key::LOG_LEVEL, Change::Remove),
        (key::PROGRESS_TOKEN, change(token.as_ref())),
        (key::TRACEPARENT, change(parent.as_ref())),
        (key::TRACESTATE, change(state.as_ref())),
    ];
    let old = params.and_then(|params| params.find_object("_meta"));
    let old = old.filter(|meta| meta.kind() == Kind::Object);
    if old.is_none() && changes.iter().all(|(_, change)| matches!(change, Change::Remove)) {
        return params.map(|params| params.raw().clone());
    }
    let had_meta = old.is_some();
    let meta = old.unwrap_or_else(empty).with(&changes);
    if meta.as_bytes() == b"{}" {
        let without = |params: &Object| params.with(&[("_meta", Change::Remove)]);
        return params.map(|params| if had_meta { without(params) } else { params.raw().clone() });
    }
    Some(params.unwrap_or(&empty()).with(&[("_meta", Change::Set(meta.as_bytes()))]))
}

fn empty() -> Object {
    Raw::from_static("{}").into()
}

fn quoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_string(&mut out, text);
    String::from_utf8(out).expect("a JSON string of a str is UTF-8")
}

fn change(value: Option<&String>) -> Change<'_> {
    value.map_or(Change::Remove, |value| Change::Set(value.as_bytes()))
}
