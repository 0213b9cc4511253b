//! JSON-RPC of the bench upstream: one message in, one reply out, no I/O.
//!
//! The era is read from each message alone, as a modern server must: a modern claim in `_meta` or in the
//! version header wins, everything else is legacy. Errors are those of the specification, so that a gateway
//! that probes, falls back or forgets a header meets what it would meet in the field.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::catalogue::Catalogue;
use crate::echo::Arguments;
use crate::wire::{ACCEPTED, LEGACY, META_VERSION, MODERN};

/// Milliseconds for which a modern list may be cached; longer than any bench run.
const TTL_MS: u64 = 3_600_000;

/// One MCP server: a name, its tools and, when it mints them, its legacy sessions.
#[derive(Debug)]
pub(crate) struct Server {
    /// The `Implementation` object, rendered.
    identity: String,
    /// What every modern result ends with, rendered.
    trailer: String,
    catalogue: Catalogue,
    /// `None` when legacy clients get no session id.
    sessions: Option<Mutex<HashSet<String>>>,
}

/// The request headers that matter here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Headers<'a> {
    /// `MCP-Protocol-Version`
    pub(crate) version: Option<&'a str>,
    /// `Mcp-Method`
    pub(crate) method: Option<&'a str>,
    /// `Mcp-Name`
    pub(crate) name: Option<&'a str>,
    /// `Mcp-Session-Id`
    pub(crate) session: Option<&'a str>,
}

/// What goes back over HTTP.
#[derive(Debug)]
pub(crate) struct Reply {
    /// 202 carries no body.
    pub(crate) status: StatusCode,
    /// One JSON-RPC response, or nothing.
    pub(crate) body: String,
    /// Value for the session header.
    pub(crate) session: Option<String>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Params<'a>,
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(rename = "protocolVersion")]
    version: Option<String>,
    #[serde(rename = "_meta", default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<String>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<serde::de::IgnoredAny>,
}

/// A JSON-RPC error with the HTTP status that the modern era prescribes for it.
struct Refusal {
    status: StatusCode,
    code: i32,
    message: String,
    data: Option<Value>,
}

impl Refusal {
    fn new(status: StatusCode, code: i32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), data: None }
    }
}

impl Server {
    /// A server called `name`; with `sessions` it gives out legacy session ids.
    pub(crate) fn new(name: &str, catalogue: Catalogue, sessions: bool) -> Self {
        let identity = json!({ "name": name, "version": env!("CARGO_PKG_VERSION") }).to_string();
        let trailer =
            format!(r#""resultType":"complete","_meta":{{"io.modelcontextprotocol/serverInfo":{identity}}}"#);
        Self { identity, trailer, catalogue, sessions: sessions.then(Mutex::default) }
    }

    /// Answers one POST.
    pub(crate) fn answer(&self, headers: &Headers<'_>, body: &[u8]) -> Reply {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(body) else {
            let refusal =
                Refusal::new(StatusCode::BAD_REQUEST, -32700, "the body is not one JSON-RPC message");
            return error(None, refusal);
        };
        let claims = message.params.meta.version.as_deref().or(headers.version);
        let modern = message.params.meta.version.is_some() || claims.is_some_and(|version| version >= MODERN);
        let Some(id) = message.id else {
            return Reply { status: StatusCode::ACCEPTED, body: String::new(), session: None };
        };
        if !modern {
            return self.legacy(headers, &message, id);
        }
        match self.modern(headers, &message) {
            Ok(result) => success(id, &result),
            Err(refusal) => error(Some(id), refusal),
        }
    }

    fn modern(&self, headers: &Headers<'_>, message: &Message<'_>) -> Result<String, Refusal> {
        check_modern(headers, message)?;
        let hints = format_args!(r#""ttlMs":{TTL_MS},"cacheScope":"public""#);
        let trailer = &self.trailer;
        match &*message.method {
            "server/discover" => Ok(format!(
                r#"{{"supportedVersions":{},"capabilities":{{"tools":{{}}}},{hints},{trailer}}}"#,
                json!(ACCEPTED)
            )),
            "tools/list" => Ok(format!(r#"{{"tools":{},{hints},{trailer}}}"#, self.catalogue.rendered())),
            "tools/call" => Ok(format!(r#"{{"content":[{}],{trailer}}}"#, self.call(&message.params)?)),
            unknown => Err(Refusal::new(StatusCode::NOT_FOUND, -32601, format!("no method {unknown}"))),
        }
    }

    fn legacy(&self, headers: &Headers<'_>, message: &Message<'_>, id: &RawValue) -> Reply {
        if message.method == "initialize" {
            return self.initialize(&message.params, id);
        }
        if let Some(status) = self.session_fault(headers.session) {
            return error(Some(id), Refusal::new(status, -32000, "no such session"));
        }
        let outcome = match &*message.method {
            "ping" => Ok("{}".to_owned()),
            "tools/list" => Ok(format!(r#"{{"tools":{}}}"#, self.catalogue.rendered())),
            "tools/call" => self.call(&message.params).map(|content| format!(r#"{{"content":[{content}]}}"#)),
            unknown => Err(Refusal::new(StatusCode::OK, -32601, format!("no method {unknown}"))),
        };
        match outcome {
            Ok(result) => success(id, &result),
            Err(refusal) => error(Some(id), Refusal { status: StatusCode::OK, ..refusal }),
        }
    }

    fn initialize(&self, params: &Params<'_>, id: &RawValue) -> Reply {
        let asked = params.version.as_deref().filter(|asked| *asked != MODERN && ACCEPTED.contains(asked));
        let result = format!(
            r#"{{"protocolVersion":"{}","capabilities":{{"tools":{{}}}},"serverInfo":{}}}"#,
            asked.unwrap_or(LEGACY),
            self.identity
        );
        let session = self.sessions.as_ref().map(|sessions| {
            let mut sessions = sessions.lock().unwrap_or_else(PoisonError::into_inner);
            let session = format!("bench{:08}", sessions.len() + 1);
            sessions.insert(session.clone());
            session
        });
        Reply { session, ..success(id, &result) }
    }

    /// 400 for a missing and 404 for an unknown session id, where this server gives them out.
    fn session_fault(&self, presented: Option<&str>) -> Option<StatusCode> {
        let sessions = self.sessions.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        match presented {
            None => Some(StatusCode::BAD_REQUEST),
            Some(id) if !sessions.contains(id) => Some(StatusCode::NOT_FOUND),
            Some(_) => None,
        }
    }

    /// The content block that answers a call.
    fn call(&self, params: &Params<'_>) -> Result<String, Refusal> {
        let invalid = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, -32602, message);
        let name = params.name.as_deref().ok_or_else(|| invalid("params.name is missing"))?;
        if !self.catalogue.has(name) {
            return Err(invalid("no tool of that name"));
        }
        let arguments: Arguments = params
            .arguments
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .ok_or_else(|| invalid("arguments are not { serial: integer, note: string }"))?;
        let mut text = String::with_capacity(crate::echo::TEXT_BYTES);
        arguments.answer_into(&mut text);
        Ok(format!(r#"{{"type":"text","text":"{text}"}}"#))
    }
}

/// The checks of the modern Streamable HTTP page, in its order: `_meta`, header against body, support, names.
fn check_modern(headers: &Headers<'_>, message: &Message<'_>) -> Result<(), Refusal> {
    let bad = |code, text: String| Err(Refusal::new(StatusCode::BAD_REQUEST, code, text));
    let meta = &message.params.meta;
    let (Some(version), Some(_)) = (meta.version.as_deref(), &meta.capabilities) else {
        return bad(-32602, format!("_meta lacks {META_VERSION} or the client capabilities"));
    };
    if headers.version != Some(version) {
        return bad(-32020, "MCP-Protocol-Version does not match _meta".to_owned());
    }
    if version != MODERN {
        let data = Some(json!({ "supported": ACCEPTED, "requested": version }));
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, -32022, "unsupported protocol version");
        return Err(Refusal { data, ..refusal });
    }
    if headers.method != Some(&*message.method) {
        return bad(-32020, "Mcp-Method does not match the method".to_owned());
    }
    if message.method == "tools/call" && headers.name != message.params.name.as_deref() {
        return bad(-32020, "Mcp-Name does not match params.name".to_owned());
    }
    Ok(())
}

fn success(id: &RawValue, result: &str) -> Reply {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    Reply { status: StatusCode::OK, body, session: None }
}

fn error(id: Option<&RawValue>, refusal: Refusal) -> Reply {
    let mut error = json!({ "code": refusal.code, "message": refusal.message });
    if let Some(data) = refusal.data {
        error["data"] = data;
    }
    let id = id.map_or("null", RawValue::get);
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#);
    Reply { status: refusal.status, body, session: None }
}

#[cfg(test)]
mod tests;
