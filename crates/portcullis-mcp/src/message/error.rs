//! JSON-RPC error objects, kept as they came.

use crate::json::{Raw, write_string};

/// Error codes of JSON-RPC 2.0 and of MCP.
#[allow(missing_docs, reason = "the names are the specification's")]
pub mod code {
    pub const PARSE_ERROR: i64 = -32700;
    pub const INVALID_REQUEST: i64 = -32600;
    pub const METHOD_NOT_FOUND: i64 = -32601;
    pub const INVALID_PARAMS: i64 = -32602;
    pub const INTERNAL: i64 = -32603;
    /// 2026-07-28.
    pub const HEADER_MISMATCH: i64 = -32020;
    /// 2026-07-28.
    pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
    /// 2026-07-28.
    pub const UNSUPPORTED_VERSION: i64 = -32022;
    /// Up to 2025-11-25; never sent to a modern peer.
    pub const RESOURCE_NOT_FOUND: i64 = -32002;
    /// 2025-11-25 only; never sent to a modern peer.
    pub const URL_ELICITATION_REQUIRED: i64 = -32042;
}

/// A JSON-RPC error object with its code read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    code: i64,
    raw: Raw,
}

impl RpcError {
    /// Reads an error object; `None` without an integer `code` and a string `message`.
    pub fn from_raw(raw: Raw) -> Option<Self> {
        let code = raw.find("code")?.as_str().parse().ok()?;
        raw.find("message")?.string()?;
        Some(Self { code, raw })
    }

    /// A new error. `data` must be JSON.
    pub fn new(code: i64, message: &str, data: Option<&Raw>) -> Self {
        let mut out = Vec::with_capacity(message.len() + 48);
        out.extend_from_slice(b"{\"code\":");
        out.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
        out.extend_from_slice(b",\"message\":");
        write_string(&mut out, message);
        if let Some(data) = data {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(data.as_bytes());
        }
        out.push(b'}');
        Self { code, raw: Raw::trusted(out) }
    }

    /// The code.
    pub fn code(&self) -> i64 {
        self.code
    }

    /// The message, decoded.
    pub fn message(&self) -> String {
        self.raw.find_string("message").unwrap_or_default()
    }

    /// The data, if any.
    pub fn data(&self) -> Option<Raw> {
        self.raw.find("data")
    }

    /// The whole object.
    pub fn raw(&self) -> &Raw {
        &self.raw
    }
}
