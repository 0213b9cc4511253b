//! The answer of an API as the result of a tool.
//!
//! A result says what came: the status where it is no good one, JSON as text and as a structure, text as text, images and
//! sounds as that, other bytes as a resource. A tool that promised an object gives one or says that it failed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use portcullis_mcp::json::{Kind, Limits, Raw, Writer};

use crate::operation::Operation;

/// What an API said.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// The status.
    pub status: StatusCode,
    /// `Content-Type`.
    pub media: Option<&'a str>,
    /// The whole body.
    pub body: Bytes,
    /// How deep JSON may be nested.
    pub depth: usize,
}

/// Why a good answer is none.
const BROKEN: &str = "the API answered with something else than the object that it promises";

/// A result that says why there is none.
pub fn failure(why: &str) -> Raw {
    let mut content = Content::default();
    content.text(why);
    content.into_result(None, true)
}

/// The result of a call.
pub fn result(operation: &Operation, answer: &Answer<'_>) -> Raw {
    let mut content = Content::default();
    let good = answer.status.is_success();
    if !good {
        content.text(&said(answer.status));
    }
    if answer.body.is_empty() {
        if !good {
            return content.into_result(None, true);
        }
        if operation.gives_object {
            content.text(BROKEN);
        }
        content.text(&answer.status.to_string());
        return content.into_result(None, operation.gives_object);
    }
    let full = answer.media.unwrap_or_default();
    let essence = full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json" || essence.ends_with("+json");
    if is_json {
        return match Raw::parse(answer.body.clone(), Limits { depth: answer.depth }) {
            Ok(value) => {
                let structure = (good && value.kind() == Kind::Object).then(|| value.clone());
                let broken = good && operation.gives_object && structure.is_none();
                if broken {
                    content.text(BROKEN);
                }
                content.text(value.as_str());
                content.into_result(structure.as_ref(), !good || broken)
            }
            Err(error) => {
                content.text(&format!("the API answered with JSON that cannot be read: {error}"));
                content.text(&String::from_utf8_lossy(&answer.body));
                content.into_result(None, true)
            }
        };
    }
    let failed = !good || operation.gives_object;
    if good && failed {
        content.text(BROKEN);
    }
    match as_text(&essence, full, &answer.body) {
        Some(text) => content.text(&text),
        None if failed => content.text(&format!("{} bytes of {}", answer.body.len(), shown(&essence))),
        None => content.bytes(operation, &essence, &answer.body),
    }
    content.into_result(None, failed)
}

fn said(status: StatusCode) -> String {
    let more = match status.as_u16() {
        300..=399 => "; it leads elsewhere, where nobody follows",
        401 | 403 => "; the operator may have to check `headers` or `credentials` of this server",
        _ => "",
    };
    format!("the API answered {status}{more}")
}

fn shown(essence: &str) -> &str {
    if essence.is_empty() { "no media type" } else { essence }
}

/// A body that is text.
fn as_text(essence: &str, full: &str, body: &Bytes) -> Option<String> {
    let is_binary = ["image/", "audio/", "video/", "font/"].iter().any(|kind| essence.starts_with(kind))
        && essence != "image/svg+xml"
        || matches!(
            essence,
            "application/octet-stream" | "application/pdf" | "application/zip" | "application/gzip"
        );
    if is_binary {
        return None;
    }
    let full = full.to_ascii_lowercase();
    let is_latin = essence.starts_with("text/") && full.contains("charset=iso-8859-1");
    match std::str::from_utf8(body) {
        Ok(text) if !text.contains('\0') => Some(text.to_owned()),
        Err(_) if is_latin => Some(body.iter().map(|byte| char::from(*byte)).collect()),
        _ => None,
    }
}

/// Writes `content`.
#[derive(Default)]
struct Content(Vec<u8>);

impl Content {
    fn item(&mut self) -> &mut Vec<u8> {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        &mut self.0
    }

    fn text(&mut self, text: &str) {
        let mut members = Writer::begin(self.item());
        members.put("type", b"\"text\"");
        members.text("text", text);
        members.end();
    }

    fn bytes(&mut self, operation: &Operation, essence: &str, body: &Bytes) {
        let top = essence.split('/').next().unwrap_or_default();
        let kind = if matches!(top, "image" | "audio") { top } else { "resource" };
        let media = if essence.is_empty() { "application/octet-stream" } else { essence };
        let encoded = STANDARD.encode(body);
        let mut members = Writer::begin(self.item());
        members.text("type", kind);
        if kind == "resource" {
            let mut inner = Writer::begin(members.key("resource"));
            // The address of the request may have a secret in it.
            inner.text("uri", &format!("openapi:///{}", operation.name()));
            inner.text("mimeType", media);
            inner.text("blob", &encoded);
            inner.end();
        } else {
            members.text("data", &encoded);
            members.text("mimeType", media);
        }
        members.end();
    }

    fn into_result(self, structure: Option<&Raw>, is_error: bool) -> Raw {
        let mut out = Vec::with_capacity(self.0.len() + structure.map_or(0, |it| it.as_bytes().len()) + 96);
        let mut members = Writer::begin(&mut out);
        members.put("resultType", b"\"complete\"");
        let content = members.key("content");
        content.push(b'[');
        content.extend_from_slice(&self.0);
        content.push(b']');
        if let Some(structure) = structure {
            members.put("structuredContent", structure.as_bytes());
        }
        if is_error {
            members.put("isError", b"true");
        }
        members.end();
        Raw::trusted(out)
    }
}
