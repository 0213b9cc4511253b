//! What servers ask of clients (sampling, elicitation, roots), from one revision to another, and the answers.
//!
//! The kinds are the same in all revisions; what is inside grew. A question that a revision has no words for is answered
//! here, as its user would who cannot see it.

use super::key;
use crate::json::{Change, Kind, Raw, write_string};
use crate::message::{RpcError, code};
use crate::method::Method;
use crate::revision::{Era, Revision};

/// A question for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// With these params.
    With(Option<Raw>),
    /// The client's revision has no way to ask this; the result stands for its answer.
    Answered(Raw),
}

/// A question for a client of `to`. `elicitation_id` is the id of an elicitation by URL where the server's own revision
/// has none (2025-11-25 requires one).
pub fn question_for(to: Revision, method: &Method, params: Option<&Raw>, elicitation_id: &str) -> Asked {
    let Some(params) = params else { return Asked::With(None) };
    // The answer comes whole: no progress of the client is carried, and no task of it.
    let mut params = params.with(&[("task", Change::Remove)]);
    if let Some(meta) = params.find("_meta")
        && meta.find("progressToken").is_some()
    {
        let meta = meta.with(&[("progressToken", Change::Remove)]);
        params = params.with(&[("_meta", Change::Set(meta.as_bytes()))]);
    }
    match method {
        Method::CreateElicitation => elicitation(to, &params, elicitation_id),
        Method::CreateMessage if to < Revision::V2025_11_25 => Asked::With(Some(single_blocks(&params))),
        _ => Asked::With(Some(params)),
    }
}

/// `inputRequests`: what a client of 2026-07-28 is asked, each thing under its key. Keys must differ.
pub fn input_requests<'a>(asked: impl IntoIterator<Item = (&'a str, &'a Method, Option<Raw>)>) -> Raw {
    let mut out = b"{".to_vec();
    for (key, method, params) in asked {
        if out.len() > 1 {
            out.push(b',');
        }
        write_string(&mut out, key);
        out.extend_from_slice(b":{\"method\":");
        write_string(&mut out, method.as_str());
        if let Some(params) = params {
            out.extend_from_slice(b",\"params\":");
            out.extend_from_slice(params.as_bytes());
        }
        out.push(b'}');
    }
    out.push(b'}');
    Raw::trusted(out)
}

/// `InputRequiredResult` (2026-07-28) of the server that `server_info` names.
pub fn input_required(requests: &Raw, state: &str, server_info: &Raw) -> Raw {
    let mut out =
        format!("{{\"resultType\":\"input_required\",\"inputRequests\":{requests},\"requestState\":")
            .into_bytes();
    write_string(&mut out, state);
    out.extend_from_slice(format!(",\"_meta\":{{\"{}\":{server_info}}}}}", key::SERVER_INFO).as_bytes());
    Raw::trusted(out)
}

fn elicitation(to: Revision, params: &Raw, elicitation_id: &str) -> Asked {
    let by_url = params.find("mode").is_some_and(|mode| mode.is_text("url"));
    match (to.era(), by_url) {
        (Era::Modern, _) => Asked::With(Some(params.with(&[("elicitationId", Change::Remove)]))),
        (Era::Legacy, true) if params.find("elicitationId").is_some() => Asked::With(Some(params.clone())),
        (Era::Legacy, true) => {
            let id = Raw::from_text(elicitation_id);
            Asked::With(Some(params.with(&[("elicitationId", Change::Set(id.as_bytes()))])))
        }
        (Era::Legacy, false) if to >= Revision::V2025_11_25 => Asked::With(Some(params.clone())),
        (Era::Legacy, false) => match plain_form(params) {
            Some(params) => Asked::With(Some(params)),
            None => Asked::Answered(declined()),
        },
    }
}

/// A form as 2025-06-18 knows it: choices with titles are `enum` and `enumNames`; `None` when it lets several be chosen.
fn plain_form(params: &Raw) -> Option<Raw> {
    let params = params.with(&[("mode", Change::Remove)]);
    let Some(properties) = params.find_path(&["requestedSchema", "properties"]) else { return Some(params) };
    let mut edited: Vec<(String, Raw)> = Vec::new();
    for member in properties.members() {
        let property = member.value();
        if property.find("type").is_some_and(|kind| kind.is_text("array")) {
            return None;
        }
        if let Some(choices) = property.find("oneOf") {
            let of =
                |key: &str| choices.map_elements(|choice| choice.find(key).or_else(|| choice.find("const")));
            let (values, names) = (of("const"), of("title"));
            let changes = [
                ("oneOf", Change::Remove),
                ("enum", Change::Set(values.as_bytes())),
                ("enumNames", Change::Set(names.as_bytes())),
            ];
            edited.push((member.key().into_owned(), property.with(&changes)));
        }
    }
    if edited.is_empty() {
        return Some(params);
    }
    let properties = edited.iter().fold(properties, |properties, (key, property)| {
        properties.with(&[(key, Change::Set(property.as_bytes()))])
    });
    let schema = params.find("requestedSchema")?.with(&[("properties", Change::Set(properties.as_bytes()))]);
    Some(params.with(&[("requestedSchema", Change::Set(schema.as_bytes()))]))
}

/// Before 2025-11-25 a message holds one block: one with several becomes several messages of the same role.
fn single_blocks(params: &Raw) -> Raw {
    let Some(messages) = params.find("messages") else { return params.clone() };
    let holds_many = |message: &Raw| message.find("content").is_some_and(|raw| raw.kind() == Kind::Array);
    if !messages.elements().any(|message| holds_many(&message)) {
        return params.clone();
    }
    let mut out = b"[".to_vec();
    let mut push = |message: &Raw| {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(message.as_bytes());
    };
    for message in messages.elements() {
        match message.find("content") {
            Some(blocks) if blocks.kind() == Kind::Array => {
                for block in blocks.elements() {
                    push(&message.with(&[("content", Change::Set(block.as_bytes()))]));
                }
            }
            _ => push(&message),
        }
    }
    out.push(b']');
    params.with(&[("messages", Change::Set(&out))])
}

/// A client's result for a server of `to`. Before 2025-11-25 a sampled message holds one block: several texts become
/// one, and of other blocks the first is taken.
pub fn answer_for(to: Revision, method: &Method, result: &Raw) -> Raw {
    if *method != Method::CreateMessage || to >= Revision::V2025_11_25 {
        return result.clone();
    }
    let Some(content) = result.find("content").filter(|content| content.kind() == Kind::Array) else {
        return result.clone();
    };
    let texts: Option<Vec<String>> = content.elements().map(|block| block.find_string("text")).collect();
    let block = match (texts, content.elements().next()) {
        (Some(texts), first) if texts.len() != 1 || first.is_none() => {
            let text = Raw::from_text(&texts.join("\n"));
            Raw::from_static(r#"{"type":"text"}"#).with(&[("text", Change::Set(text.as_bytes()))])
        }
        (_, Some(first)) => first,
        (_, None) => return result.clone(),
    };
    result.with(&[("content", Change::Set(block.as_bytes()))])
}

fn declined() -> Raw {
    Raw::from_static(r#"{"action":"decline"}"#)
}

/// The answer to a question that nobody answered: an elicitation is cancelled, the others have no word for that but an
/// error.
///
/// # Errors
/// For sampling and roots.
pub fn cancelled(method: &Method, why: &str) -> Result<Raw, RpcError> {
    match method {
        Method::CreateElicitation => Ok(Raw::from_static(r#"{"action":"cancel"}"#)),
        _ => Err(RpcError::new(code::INTERNAL, why, None)),
    }
}

/// The answer to a question that the client did not say it can be asked: an elicitation is declined, the others have no
/// such method (2025-11-25, roots; the same for sampling).
///
/// # Errors
/// For all but elicitations.
pub fn refused(method: &Method) -> Result<Raw, RpcError> {
    match method {
        Method::CreateElicitation => Ok(declined()),
        _ => Err(RpcError::new(code::METHOD_NOT_FOUND, "this client did not declare that capability", None)),
    }
}

#[cfg(test)]
mod tests;
