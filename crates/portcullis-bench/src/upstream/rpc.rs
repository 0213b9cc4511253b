//! JSON-RPC of the bench upstream: one message in, one reply out, no I/O.
//!
//! The era is read from each message alone, as a modern server must: a modern claim in `_meta` or in the
//! version header wins, everything else is legacy. Errors are those of the specification, so that a gateway
//! that probes, falls back or forgets a header meets what it would meet in the field.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::asking::{self, Step, Waiting};
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
    /// The `_meta` of every modern result, rendered.
    meta: String,
    /// What every complete modern result ends with, rendered.
    trailer: String,
    catalogue: Catalogue,
    /// Each with whether its client can be asked; `None` when legacy clients get no session id.
    sessions: Option<Mutex<HashMap<String, bool>>>,
    waiting: Waiting,
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
    /// One JSON-RPC message, or nothing.
    pub(crate) body: String,
    /// Value for the session header.
    pub(crate) session: Option<String>,
    /// The message that follows, which makes the answer an event stream.
    pub(crate) then: Option<oneshot::Receiver<String>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    /// Empty in a response.
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Params<'a>,
    /// Of a response, as is the next.
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    /// What a response brings, be it a result or an error.
    fn outcome(&self) -> Option<&'a RawValue> {
        self.result.or(self.error)
    }
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(rename = "protocolVersion")]
    version: Option<String>,
    capabilities: Option<Capabilities>,
    #[serde(borrow, rename = "inputResponses")]
    responses: Option<&'a RawValue>,
    #[serde(borrow, rename = "requestState")]
    state: Option<Cow<'a, str>>,
    #[serde(rename = "_meta", default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<String>,
    #[serde(rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<Capabilities>,
}

#[derive(Default, Deserialize)]
struct Capabilities {
    elicitation: Option<serde::de::IgnoredAny>,
}

/// A JSON-RPC error with the HTTP status that the modern era prescribes for it.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: i32,
    pub(crate) message: String,
    pub(crate) data: Option<Value>,
}

impl Refusal {
    /// One without data.
    pub(crate) fn new(status: StatusCode, code: i32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), data: None }
    }
}

impl Server {
    /// A server called `name`; with `sessions` it gives out legacy session ids.
    pub(crate) fn new(name: &str, catalogue: Catalogue, sessions: bool) -> Self {
        let identity = json!({ "name": name, "version": env!("CARGO_PKG_VERSION") }).to_string();
        let meta = format!(r#""_meta":{{"io.modelcontextprotocol/serverInfo":{identity}}}"#);
        let trailer = format!(r#""resultType":"complete",{meta}"#);
        let sessions = sessions.then(Mutex::default);
        Self { identity, meta, trailer, catalogue, sessions, waiting: Waiting::default() }
    }

    /// Answers one POST.
    pub(crate) fn answer(&self, headers: &Headers<'_>, body: &[u8]) -> Reply {
        let message = serde_json::from_slice::<Message<'_>>(body).ok();
        let is_message = |message: &Message<'_>| message.method.is_empty() == message.outcome().is_some();
        let Some(message) = message.filter(is_message) else {
            let refusal =
                Refusal::new(StatusCode::BAD_REQUEST, -32700, "the body is not one JSON-RPC message");
            return error(None, refusal);
        };
        let claims = message.params.meta.version.as_deref().or(headers.version);
        let modern = message.params.meta.version.is_some() || claims.is_some_and(|version| version >= MODERN);
        let Some(id) = message.id else {
            return accepted();
        };
        if let Some(outcome) = message.outcome() {
            self.waiting.take(headers.session, id, outcome, |id, arguments| {
                let reply = match arguments {
                    Ok(arguments) => success(id, &format!(r#"{{"content":[{}]}}"#, text(&arguments))),
                    Err(refusal) => error(Some(id), refusal),
                };
                reply.body
            });
            return accepted();
        }
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
            "tools/call" => {
                let arguments = self.called(&message.params)?;
                if message.params.name.as_deref() != Some(asking::TOOL) {
                    return Ok(format!(r#"{{"content":[{}],{trailer}}}"#, text(&arguments)));
                }
                self.ask_modern(&message.params, &arguments)
            }
            unknown => Err(Refusal::new(StatusCode::NOT_FOUND, -32601, format!("no method {unknown}"))),
        }
    }

    fn ask_modern(&self, params: &Params<'_>, arguments: &Arguments) -> Result<String, Refusal> {
        if !can_be_asked(params.meta.capabilities.as_ref()) {
            return Err(asking::cannot_be_asked());
        }
        let Self { meta, trailer, .. } = self;
        Ok(match asking::modern(arguments, params.responses, params.state.as_deref())? {
            Step::Ask(members) => format!(r#"{{"resultType":"input_required",{members},{meta}}}"#),
            Step::Answer(arguments) => format!(r#"{{"content":[{}],{trailer}}}"#, text(&arguments)),
        })
    }

    fn legacy(&self, headers: &Headers<'_>, message: &Message<'_>, id: &RawValue) -> Reply {
        if message.method == "initialize" {
            return self.initialize(&message.params, id);
        }
        if let Some(status) = self.session_fault(headers.session) {
            return error(Some(id), Refusal::new(status, -32000, "no such session"));
        }
        let params = &message.params;
        let outcome = match &*message.method {
            "ping" => Ok(success(id, "{}")),
            "tools/list" => Ok(success(id, &format!(r#"{{"tools":{}}}"#, self.catalogue.rendered()))),
            "tools/call" => self.called(params).and_then(|arguments| match params.name.as_deref() {
                Some(asking::TOOL) => self.ask_legacy(headers.session, id, arguments),
                _ => Ok(success(id, &format!(r#"{{"content":[{}]}}"#, text(&arguments)))),
            }),
            unknown => Err(Refusal::new(StatusCode::OK, -32601, format!("no method {unknown}"))),
        };
        outcome.unwrap_or_else(|refusal| error(Some(id), Refusal { status: StatusCode::OK, ..refusal }))
    }

    fn ask_legacy(
        &self,
        session: Option<&str>,
        id: &RawValue,
        arguments: Arguments,
    ) -> Result<Reply, Refusal> {
        match session.filter(|session| self.sessions().is_some_and(|all| all.get(*session) == Some(&true))) {
            Some(session) => self.waiting.ask(session, id, arguments),
            None => Err(asking::cannot_be_asked()),
        }
    }

    fn sessions(&self) -> Option<MutexGuard<'_, HashMap<String, bool>>> {
        Some(self.sessions.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn initialize(&self, params: &Params<'_>, id: &RawValue) -> Reply {
        let asked = params.version.as_deref().filter(|asked| *asked != MODERN && ACCEPTED.contains(asked));
        let result = format!(
            r#"{{"protocolVersion":"{}","capabilities":{{"tools":{{}}}},"serverInfo":{}}}"#,
            asked.unwrap_or(LEGACY),
            self.identity
        );
        let session = self.sessions().map(|mut sessions| {
            let session = format!("bench{:08}", sessions.len() + 1);
            sessions.insert(session.clone(), can_be_asked(params.capabilities.as_ref()));
            session
        });
        Reply { session, ..success(id, &result) }
    }

    /// 400 for a missing and 404 for an unknown session id, where this server gives them out.
    fn session_fault(&self, presented: Option<&str>) -> Option<StatusCode> {
        let sessions = self.sessions()?;
        match presented {
            None => Some(StatusCode::BAD_REQUEST),
            Some(id) if !sessions.contains_key(id) => Some(StatusCode::NOT_FOUND),
            Some(_) => None,
        }
    }

    /// The arguments of a call of one of the tools.
    fn called(&self, params: &Params<'_>) -> Result<Arguments, Refusal> {
        let invalid = |message: &str| Refusal::new(StatusCode::BAD_REQUEST, -32602, message);
        let name = params.name.as_deref().ok_or_else(|| invalid("params.name is missing"))?;
        if !self.catalogue.has(name) {
            return Err(invalid("no tool of that name"));
        }
        params
            .arguments
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .ok_or_else(|| invalid("arguments are not { serial: integer, note: string }"))
    }
}

/// The content block that answers a call.
fn text(arguments: &Arguments) -> String {
    let mut text = String::with_capacity(crate::echo::TEXT_BYTES);
    arguments.answer_into(&mut text);
    format!(r#"{{"type":"text","text":"{text}"}}"#)
}

fn can_be_asked(capabilities: Option<&Capabilities>) -> bool {
    capabilities.is_some_and(|capabilities| capabilities.elicitation.is_some())
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

/// To what wants no answer.
fn accepted() -> Reply {
    Reply { status: StatusCode::ACCEPTED, body: String::new(), session: None, then: None }
}

fn success(id: &RawValue, result: &str) -> Reply {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    Reply { status: StatusCode::OK, body, session: None, then: None }
}

fn error(id: Option<&RawValue>, refusal: Refusal) -> Reply {
    let mut error = json!({ "code": refusal.code, "message": refusal.message });
    if let Some(data) = refusal.data {
        error["data"] = data;
    }
    let id = id.map_or("null", RawValue::get);
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#);
    Reply { status: refusal.status, body, session: None, then: None }
}

#[cfg(test)]
mod tests;
