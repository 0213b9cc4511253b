//! The requests of an MCP client of either era, as bytes ready to send.
//!
//! A `tools/call` is sent tens of thousands of times a second, so everything that stays the same between two
//! calls is rendered once, in [`CallTemplate`], which also writes what else a client says in the course of a call. The rest
//! is built in the plain way.

use std::io::Write as _;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Endpoint;
use crate::echo::{Arguments, TEXT_BYTES};
use crate::wire::{Era, LEGACY, META_VERSION, MODERN, SESSION_HEADER};

/// A client towards one endpoint: what has to be known to write its requests.
#[derive(Clone, Debug)]
pub(crate) struct Speaker {
    /// Which wire form it writes.
    pub(crate) era: Era,
    /// Legacy only: the session that `initialize` opened, if the server gave one.
    pub(crate) session: Option<String>,
    endpoint: Endpoint,
    /// Whether it says that it can be asked, by form elicitation.
    asked: bool,
}

impl Speaker {
    /// A client without a session, which cannot be asked anything.
    pub(crate) fn new(era: Era, endpoint: Endpoint) -> Self {
        Self { era, session: None, endpoint, asked: false }
    }

    /// The same client, which says that it can be asked.
    pub(crate) fn declaring_elicitation(self) -> Self {
        Self { asked: true, ..self }
    }

    /// Legacy: the first request of a session.
    pub(crate) fn initialize(&self, id: u64) -> Vec<u8> {
        let params = json!({ "protocolVersion": LEGACY, "capabilities": self.capabilities(), "clientInfo": identity() });
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": "initialize", "params": params });
        self.post(None, &message)
    }

    /// Legacy: the notification that ends the handshake.
    pub(crate) fn initialized(&self) -> Vec<u8> {
        self.post(Some(LEGACY), &json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
    }

    /// One page of `tools/list`.
    pub(crate) fn list_tools(&self, id: u64, cursor: Option<&str>) -> Vec<u8> {
        let mut params = json!({});
        if let Some(cursor) = cursor {
            params["cursor"] = cursor.into();
        }
        let version = match self.era {
            Era::Modern => {
                params["_meta"] = self.meta();
                MODERN
            }
            Era::Legacy => LEGACY,
        };
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list", "params": params });
        self.post(Some(version), &message)
    }

    /// The constant parts of a `tools/call` of the tool `name`.
    pub(crate) fn call_template(&self, name: &str) -> CallTemplate {
        let name = Value::from(name);
        let version = if self.era == Era::Modern { MODERN } else { LEGACY };
        let mut head = self.head(Some(version), "tools/call", name.as_str());
        head.push_str("Content-Length: ");
        let tail = match self.era {
            Era::Modern => format!(r#","_meta":{}}}}}"#, self.meta()),
            Era::Legacy => "}}".to_owned(),
        };
        let middle = format!(r#","method":"tools/call","params":{{"name":{name},"arguments":"#);
        CallTemplate { head, middle, tail, body: Vec::new() }
    }

    fn capabilities(&self) -> Value {
        if self.asked { json!({ "elicitation": {} }) } else { json!({}) }
    }

    fn meta(&self) -> Value {
        json!({
            META_VERSION: MODERN,
            "io.modelcontextprotocol/clientCapabilities": self.capabilities(),
            "io.modelcontextprotocol/clientInfo": identity(),
        })
    }

    /// Request line and headers, without the length and the empty line.
    fn head(&self, version: Option<&str>, method: &str, name: Option<&str>) -> String {
        let Endpoint { path, authority, .. } = &self.endpoint;
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n"
        );
        let mut header = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
        if let Some(authorization) = &self.endpoint.authorization {
            header("Authorization", authorization);
        }
        if let Some(version) = version {
            header("MCP-Protocol-Version", version);
        }
        if let Some(session) = &self.session {
            header(SESSION_HEADER, session);
        }
        if self.era == Era::Modern {
            header("Mcp-Method", method);
            if let Some(name) = name {
                header("Mcp-Name", name);
            }
        }
        head
    }

    fn post(&self, version: Option<&str>, message: &Value) -> Vec<u8> {
        let method = message["method"].as_str().unwrap_or_default();
        let body = message.to_string();
        let head = self.head(version, method, None);
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }
}

/// A `tools/call` with everything but its number filled in.
#[derive(Debug)]
pub(crate) struct CallTemplate {
    head: String,
    middle: String,
    tail: String,
    /// Scratch space, kept for its capacity.
    body: Vec<u8>,
}

impl CallTemplate {
    /// Writes the request of the call with these arguments over `request`; the serial is also its id.
    pub(crate) fn write(&mut self, arguments: &Arguments, request: &mut Vec<u8>) {
        self.write_call(arguments.serial, arguments, format_args!(""), request);
    }

    /// Modern: writes the same call again, under another id, with what the client was asked: its answer under `key`, and
    /// the `state` that came with the question, as it came.
    pub(crate) fn write_again(
        &mut self,
        arguments: &Arguments,
        key: &str,
        state: Option<&RawValue>,
        request: &mut Vec<u8>,
    ) {
        let (key, answer) = (Value::from(key), elicited(arguments));
        let state = state.map(|state| format!(r#","requestState":{state}"#)).unwrap_or_default();
        let rest = format_args!(r#","inputResponses":{{{key}:{answer}}}{state}"#);
        self.write_call(second_id(arguments.serial), arguments, rest, request);
    }

    /// Legacy: writes the answer to the question with this `id`.
    pub(crate) fn write_answer(&mut self, arguments: &Arguments, id: &RawValue, request: &mut Vec<u8>) {
        let answer = elicited(arguments);
        self.body.clear();
        write!(self.body, r#"{{"jsonrpc":"2.0","id":{id},"result":{answer}}}"#)
            .expect("writing to a Vec cannot fail");
        self.finish(request);
    }

    fn write_call(
        &mut self,
        id: u64,
        arguments: &Arguments,
        rest: std::fmt::Arguments<'_>,
        request: &mut Vec<u8>,
    ) {
        let Arguments { serial, note, bytes } = arguments;
        let (middle, tail) = (&self.middle, &self.tail);
        let bytes = if *bytes == TEXT_BYTES { String::new() } else { format!(",\"bytes\":{bytes}") };
        self.body.clear();
        write!(
            self.body,
            r#"{{"jsonrpc":"2.0","id":{id}{middle}{{"serial":{serial},"note":"{note}"{bytes}}}{rest}{tail}"#
        )
        .expect("writing to a Vec cannot fail");
        self.finish(request);
    }

    /// Puts the head before the body.
    fn finish(&self, request: &mut Vec<u8>) {
        request.clear();
        write!(request, "{}{}\r\n\r\n", self.head, self.body.len()).expect("writing to a Vec cannot fail");
        request.extend_from_slice(&self.body);
    }
}

/// The id of the second request of a modern call that is asked something. Serials are below 2^52, so that both ids are
/// JSON numbers that are sure to survive.
pub(crate) fn second_id(serial: u64) -> u64 {
    serial + (1 << 52)
}

/// `ElicitResult`
fn elicited(arguments: &Arguments) -> Value {
    json!({ "action": "accept", "content": { "word": arguments.word() } })
}

fn identity() -> Value {
    json!({ "name": "portcullis-bench", "version": env!("CARGO_PKG_VERSION") })
}
