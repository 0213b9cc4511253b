//! Names of the HTTP headers that MCP defines, and the encoding of their values.
//!
//! Modern requests repeat parts of their body in headers, so that intermediaries can route without parsing it. Body
//! strings are Unicode and header values are not, hence the encoding of `Mcp-Name` and `Mcp-Param-*` (MCP 2026-07-28,
//! basic/transports/streamable-http): text that is safe in a header stands as it is, anything else becomes
//! `=?base64?…?=` over its UTF-8 bytes. Only that exact frame, lower case, is an encoding; everything else is literal.
//!
//! This module says nothing about which header a request needs, and it bounds no length: the HTTP parser has done so
//! before a value gets here.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};

/// `MCP-Protocol-Version`: the revision that a request follows.
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Session-Id`: the session of a legacy exchange; modern revisions ignore it.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `Mcp-Method`: repeats `method`.
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`: repeats `params.name`, `params.uri` or `params.taskId`.
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// What every `Mcp-Param-*` name starts with, in the lower case of [`HeaderName`].
pub const PARAM_PREFIX: &str = "mcp-param-";
/// `Last-Event-ID`: where a legacy client's stream broke off (WHATWG HTML 9.2).
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

const OPEN: &str = "=?base64?";
const CLOSE: &str = "?=";

/// A header value that names no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHeaderValue {
    /// A byte outside printable ASCII, which the encoding never sends bare.
    #[error("the header value holds characters outside printable ASCII; send it as `=?base64?…?=`")]
    NotAscii,
    /// The markers hold no standard, padded Base64.
    #[error("the header value holds no valid Base64 between `=?base64?` and `?=`")]
    Base64,
    /// The Base64 decodes to bytes that are not UTF-8.
    #[error("the Base64 in the header value does not hold UTF-8 text")]
    Utf8,
}

/// Encodes `text` for `Mcp-Name` or `Mcp-Param-*`.
///
/// Printable ASCII without a space at either end stands as it is; the empty text is the empty value. Everything else,
/// tabs included, and text that already looks encoded, is framed Base64.
pub fn encode_value(text: &str) -> HeaderValue {
    if is_plain(text) {
        return HeaderValue::from_str(text).expect("printable ASCII is a header value");
    }
    let mut framed = String::with_capacity(OPEN.len() + text.len().div_ceil(3) * 4 + CLOSE.len());
    framed.push_str(OPEN);
    STANDARD.encode_string(text, &mut framed);
    framed.push_str(CLOSE);
    HeaderValue::try_from(framed).expect("Base64 is a header value")
}

/// Reads what [`encode_value`] or another client wrote; blanks around the value are not part of it (RFC 9110 5.5).
///
/// # Errors
/// [`BadHeaderValue`]; a request that carries such a value is refused as a header mismatch (`-32020`).
pub fn decode_value(value: &[u8]) -> Result<Cow<'_, str>, BadHeaderValue> {
    // The specification lets a sender leave a tab bare.
    let visible = |byte: &u8| matches!(byte, 0x20..=0x7e | b'\t');
    let text = std::str::from_utf8(value).ok().filter(|_| value.iter().all(visible));
    let text = text.ok_or(BadHeaderValue::NotAscii)?.trim_matches([' ', '\t']);
    let Some(inner) = framed(text) else { return Ok(Cow::Borrowed(text)) };
    let bytes = STANDARD.decode(inner).map_err(|_| BadHeaderValue::Base64)?;
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| BadHeaderValue::Utf8)
}

/// What stands between the markers, when both are there.
fn framed(text: &str) -> Option<&str> {
    text.strip_prefix(OPEN)?.strip_suffix(CLOSE)
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && framed(text).is_none()
}

#[cfg(test)]
mod tests;
