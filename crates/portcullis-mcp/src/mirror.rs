//! `x-mcp-header`: tool arguments that a request repeats in `Mcp-Param-*` headers (MCP 2026-07-28, server/tools and
//! basic/transports/streamable-http).
//!
//! A server marks properties of a tool's `inputSchema`; a client over HTTP then mirrors the arguments' values, and who
//! reads the body checks the mirror. One misplaced or malformed mark makes the whole tool invalid, and clients must
//! drop it. A [`Mirror`] is a schema's marks, found once when the tool is listed and used for each call.
//!
//! Whether arguments fit their schema is not decided here: a value of the wrong type is mirrored as what it is, and the
//! server refuses the call with a better error than a header mismatch.

mod integer;
mod schema;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::header::{self, BadHeaderValue, decode_value, encode_value};
use crate::json::{Kind, Raw};

pub use schema::{InvalidMirror, Violation, strip_annotations};

/// The marked properties of one input schema.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirror {
    marks: Vec<Mark>,
}

/// One marked property.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    /// `mcp-param-…`.
    header: HeaderName,
    /// The name as the schema spells it, for messages.
    given: String,
    /// The keys from `arguments` to the value; never empty.
    path: Vec<String>,
}

/// A header that does not repeat its argument (`-32020`). Says where, never what: values may be confidential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("header `Mcp-Param-{header}` does not mirror argument `{argument}`: {reason}")]
pub struct MirrorMismatch {
    /// The header's name behind `Mcp-Param-`, as the schema spells it.
    pub header: String,
    /// The argument's keys, joined by dots.
    pub argument: String,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a mirrored header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The argument has a value and the header is not there.
    #[error("the header is missing")]
    Missing,
    /// The header is there and the argument has no value that could be mirrored.
    #[error("the argument has no value to mirror")]
    Unexpected,
    /// The header is there more than once.
    #[error("the header is sent more than once")]
    Repeated,
    /// The header cannot be decoded.
    #[error(transparent)]
    Encoding(#[from] BadHeaderValue),
    /// The argument is a number that is no integer within ±(2^53 − 1).
    #[error("the argument is no integer from -9007199254740991 to 9007199254740991")]
    NotSafeInteger,
    /// Both are there and differ.
    #[error("the values differ")]
    Different,
}

impl Mirror {
    /// Finds the marks of an input schema.
    ///
    /// # Errors
    /// The first violation, which makes the whole tool invalid.
    pub fn from_schema(input_schema: &Raw) -> Result<Self, InvalidMirror> {
        schema::collect(input_schema).map(|marks| Self { marks })
    }

    /// Whether nothing is to be mirrored.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The headers for a call with these `arguments`, in the schema's order. What has no text form (null, absent,
    /// arrays, objects, numbers that are no safe integers) gets no header.
    pub fn headers(&self, arguments: Option<&Raw>) -> Vec<(HeaderName, HeaderValue)> {
        self.marks
            .iter()
            .filter_map(|mark| {
                let value = match mark.value(arguments) {
                    Value::Text(text) => encode_value(&text),
                    Value::Integer(number) => HeaderValue::from(number),
                    Value::None | Value::UnsafeNumber => return None,
                };
                Some((mark.header.clone(), value))
            })
            .collect()
    }

    /// Checks that `headers` mirror `arguments`. Other headers, other `Mcp-Param-*` among them, are not looked at.
    ///
    /// # Errors
    /// The first mismatch in the schema's order.
    pub fn check(&self, headers: &HeaderMap, arguments: Option<&Raw>) -> Result<(), MirrorMismatch> {
        self.marks.iter().try_for_each(|mark| {
            mark.check(headers, arguments).map_err(|reason| MirrorMismatch {
                header: mark.given.clone(),
                argument: mark.path.join("."),
                reason,
            })
        })
    }
}

/// An argument as a header can say it.
enum Value {
    None,
    Text(String),
    Integer(i64),
    UnsafeNumber,
}

impl Mark {
    fn value(&self, arguments: Option<&Raw>) -> Value {
        let found = arguments
            .and_then(|arguments| self.path.iter().try_fold(arguments.clone(), |value, key| value.find(key)));
        let Some(found) = found else { return Value::None };
        match found.kind() {
            Kind::Null | Kind::Array | Kind::Object => Value::None,
            Kind::String => Value::Text(found.string().map_or_else(String::new, Into::into)),
            Kind::Bool => Value::Text(found.as_str().to_owned()),
            Kind::Number => integer::safe(found.as_str()).map_or(Value::UnsafeNumber, Value::Integer),
        }
    }

    fn check(&self, headers: &HeaderMap, arguments: Option<&Raw>) -> Result<(), Reason> {
        let mut sent = headers.get_all(&self.header).iter();
        let (first, second) = (sent.next(), sent.next());
        let value = self.value(arguments);
        let sent = match (first, second, &value) {
            (None, _, Value::None) => return Ok(()),
            (_, _, Value::UnsafeNumber) => return Err(Reason::NotSafeInteger),
            (None, _, _) => return Err(Reason::Missing),
            (Some(_), _, Value::None) => return Err(Reason::Unexpected),
            (Some(_), Some(_), _) => return Err(Reason::Repeated),
            (Some(sent), None, _) => decode_value(sent.as_bytes())?,
        };
        let equal = match value {
            Value::Text(text) => sent == text,
            Value::Integer(number) => integer::safe(&sent) == Some(number),
            Value::None | Value::UnsafeNumber => false,
        };
        if equal { Ok(()) } else { Err(Reason::Different) }
    }
}

/// The header name for a mark, if the mark is a token that fits.
fn header_name(given: &str) -> Option<HeaderName> {
    if given.is_empty() {
        return None;
    }
    // `HeaderName` accepts exactly the tokens of RFC 9110 section 5.6.2, up to 64 KiB, and lowers their case.
    HeaderName::try_from(format!("{}{given}", header::PARAM_PREFIX)).ok()
}

#[cfg(test)]
mod tests;
