//! The requests of an MCP client of either era, as bytes ready to send.
//!
//! A `tools/call` is sent tens of thousands of times a second, so everything that stays the same between two
//! calls is rendered once, in [`CallTemplate`]. The rest is built in the plain way.

use std::io::Write as _;

use serde_json::{Value, json};

use super::Endpoint;
use crate::echo::Arguments;
use crate::wire::{Era, LEGACY, META_VERSION, MODERN, SESSION_HEADER};

/// A client towards one endpoint: what has to be known to write its requests.
#[derive(Clone, Debug)]
pub(crate) struct Speaker {
    /// Which wire form it writes.
    pub(crate) era: Era,
    /// Legacy only: the session that `initialize` opened, if the server gave one.
    pub(crate) session: Option<String>,
    endpoint: Endpoint,
}

impl Speaker {
    /// A client without a session.
    pub(crate) fn new(era: Era, endpoint: Endpoint) -> Self {
        Self { era, session: None, endpoint }
    }

    /// Legacy: the first request of a session.
    pub(crate) fn initialize(&self, id: u64) -> Vec<u8> {
        let params = json!({ "protocolVersion": LEGACY, "capabilities": {}, "clientInfo": identity() });
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
                params["_meta"] = meta();
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
            Era::Modern => format!(r#","_meta":{}}}}}"#, meta()),
            Era::Legacy => "}}".to_owned(),
        };
        let middle = format!(r#","method":"tools/call","params":{{"name":{name},"arguments":"#);
        CallTemplate { head, middle, tail, body: Vec::new() }
    }

    /// Request line and headers, without the length and the empty line.
    fn head(&self, version: Option<&str>, method: &str, name: Option<&str>) -> String {
        let Endpoint { path, authority, .. } = &self.endpoint;
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n"
        );
        let mut header = |name: &str, value: &str| head.extend([name, ": ", value, "\r\n"]);
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
        let Arguments { serial, note } = arguments;
        let (middle, tail) = (&self.middle, &self.tail);
        self.body.clear();
        request.clear();
        write!(
            self.body,
            r#"{{"jsonrpc":"2.0","id":{serial}{middle}{{"serial":{serial},"note":"{note}"}}{tail}"#
        )
        .and_then(|()| write!(request, "{}{}\r\n\r\n", self.head, self.body.len()))
        .expect("writing to a Vec cannot fail");
        request.extend_from_slice(&self.body);
    }
}

fn identity() -> Value {
    json!({ "name": "portcullis-bench", "version": env!("CARGO_PKG_VERSION") })
}

fn meta() -> Value {
    json!({
        META_VERSION: MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": identity(),
    })
}
