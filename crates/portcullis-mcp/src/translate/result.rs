//! Results across the eras.

use crate::json::{Change, Kind, Object, Raw, write_string};
use crate::method::Method;
use crate::revision::{Era, Revision};

/// A result as a server wrote it, and in which era.
#[derive(Clone, Debug)]
pub struct Payload {
    /// The `result` member.
    pub result: Object,
    /// Who wrote it.
    pub era: Era,
}

/// A complete result for a client that speaks `to`. `server_info` gives the JSON of the `Implementation` to name
/// when the server itself could not (a legacy server's result has no place for it).
///
/// Toward 2026-07-28: `resultType`, and on cacheable results `ttlMs` 0 and `cacheScope` `private` where the writer
/// did not know them. Toward older revisions: those members go, and what the revision cannot read is replaced.
pub fn result_for(
    to: Revision,
    method: &Method,
    payload: &Payload,
    server_info: impl FnOnce() -> Raw,
) -> Object {
    match (payload.era, to.era()) {
        (Era::Modern, Era::Modern) => payload.result.clone(),
        (Era::Legacy, Era::Modern) => up(method, &payload.result, &server_info()).into(),
        (era, Era::Legacy) => down(to, method, &payload.result, era),
    }
}

fn up(method: &Method, result: &Object, server_info: &Raw) -> Raw {
    let meta = result.find("_meta").filter(|meta| meta.kind() == Kind::Object);
    let meta = meta.unwrap_or_else(|| Raw::from_static("{}"));
    let meta = meta.with(&[(super::key::SERVER_INFO, Change::Set(server_info.as_bytes()))]);
    let mut changes = vec![
        ("resultType", Change::Set(b"\"complete\"".as_slice())),
        ("_meta", Change::Set(meta.as_bytes())),
    ];
    if method.is_cacheable() {
        changes.push(("ttlMs", Change::Set(b"0")));
        changes.push(("cacheScope", Change::Set(b"\"private\"")));
    }
    result.with(&changes)
}

fn down(to: Revision, method: &Method, result: &Object, era: Era) -> Object {
    let result = if era == Era::Modern {
        let mut changes = vec![("resultType", Change::Remove)];
        if method.is_cacheable() {
            changes.extend([("ttlMs", Change::Remove), ("cacheScope", Change::Remove)]);
        }
        result.with(&changes).into()
    } else {
        result.clone()
    };
    match method {
        Method::ToolsCall => down_tool_result(to, result),
        Method::PromptsGet if to < Revision::V2025_06_18 => down_prompt(to, result),
        _ => result,
    }
}

/// `structuredContent` that is no object, and content blocks younger than the client.
fn down_tool_result(to: Revision, result: Object) -> Object {
    let structured = result.find("structuredContent").filter(|value| value.kind() != Kind::Object);
    let content = result.find("content");
    let replaced = content.as_ref().and_then(|content| down_blocks(to, content));
    if structured.is_none() && replaced.is_none() {
        return result;
    }
    let mut content = replaced.or(content).unwrap_or_else(|| Raw::from_static("[]"));
    let mut changes = Vec::new();
    if let Some(value) = &structured {
        changes.push(("structuredContent", Change::Remove));
        // What is dropped must still be said (2026-07-28, tools: non-object values are also a text block).
        if content.elements().next().is_none() {
            content = Raw::trusted(format!("[{}]", text_block(value.as_str())));
        }
    }
    changes.push(("content", Change::Set(content.as_bytes())));
    result.with(&changes).into()
}

fn down_prompt(to: Revision, result: Object) -> Object {
    let Some(messages) = result.find("messages") else { return result };
    let messages = messages.map_elements(|message| {
        let block = message.find("content").and_then(|block| down_block(to, &block));
        Some(match block {
            Some(block) => message.with(&[("content", Change::Set(block.as_bytes()))]),
            None => message,
        })
    });
    result.with(&[("messages", Change::Set(messages.as_bytes()))]).into()
}

/// The blocks with those replaced that `to` does not know, or `None` when it knows them all.
fn down_blocks(to: Revision, content: &Raw) -> Option<Raw> {
    if to >= Revision::V2025_06_18 || !content.elements().any(|block| down_block(to, &block).is_some()) {
        return None;
    }
    Some(content.map_elements(|block| Some(down_block(to, &block).unwrap_or(block))))
}

fn down_block(to: Revision, block: &Raw) -> Option<Raw> {
    let kind = block.find("type")?;
    let text = match &*kind.string()? {
        "resource_link" if to < Revision::V2025_06_18 => {
            let name = block.find_string("title").or_else(|| block.find_string("name")).unwrap_or_default();
            format!("{name}: {}", block.find_string("uri").unwrap_or_default())
        }
        "audio" if to < Revision::V2025_03_26 => {
            format!("[audio, {}]", block.find_string("mimeType").unwrap_or_default())
        }
        _ => return None,
    };
    Some(Raw::trusted(text_block(&text)))
}

fn text_block(text: &str) -> String {
    let mut out = b"{\"type\":\"text\",\"text\":".to_vec();
    write_string(&mut out, text);
    out.push(b'}');
    String::from_utf8(out).expect("a JSON string of a str is UTF-8")
}

/// One item of a list for a client of revision `to`: what would break it is removed. Unknown members are legal in
/// every revision and stay.
pub fn list_item_for(to: Revision, item: &Raw) -> Raw {
    match to.era() {
        // `execution` is 2025-11-25's task opt-in; 2026-07-28 moved tasks to an extension.
        Era::Modern if item.find("execution").is_some() => item.with(&[("execution", Change::Remove)]),
        Era::Legacy if has_open_output(item) => item.with(&[("outputSchema", Change::Remove)]),
        _ => item.clone(),
    }
}

/// Up to 2025-11-25 an `outputSchema` has the root `type: object`.
fn has_open_output(item: &Raw) -> bool {
    item.find("outputSchema")
        .is_some_and(|schema| schema.find("type").is_none_or(|kind| kind.as_bytes() != b"\"object\""))
}
