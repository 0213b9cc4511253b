//! The body that an operation takes.
//!
//! It is one argument, with the schema that the document has for it: were its members taken apart, a member that the schema
//! lets anybody add, or one that is called like a parameter, would have no place. Of several media types the first of JSON,
//! a form, and text is used. A body that can only be uploaded in parts, or as bytes, is none that a model writes: an
//! operation that needs one is left out.

use std::collections::HashSet;

use portcullis_mcp::json::{Kind, Raw};

use crate::document::Document;
use crate::parameter::Said;
use crate::shape::written;
use crate::style::{Style, assigned};

/// The longest media type, and the longest name of a member of a form with an encoding of its own.
const MAX_TEXT: usize = 256;
/// So often a body is gone through for what stands in it.
const LOOKS: usize = 6;

/// A body.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) argument: String,
    /// `Content-Type`.
    pub(crate) media: String,
    form: Form,
    pub(crate) required: bool,
}

#[derive(Clone, Debug)]
enum Form {
    Json,
    Urlencoded(Vec<Encoding>),
    Text,
}

/// How a member of a form is written, where the document says so.
#[derive(Clone, Debug)]
struct Encoding {
    name: String,
    style: Style,
    explode: bool,
}

/// The body of an operation, and what is said of it. The argument is called differently when a parameter is called `body`.
pub(crate) fn body(
    document: &Document,
    operation: &Raw,
    taken: &HashSet<String>,
) -> Result<Option<(Body, Said)>, String> {
    let Some(raw) = operation.find("requestBody") else { return Ok(None) };
    let Some(raw) = document.resolve(&raw).filter(|raw| document.spend_on(raw, LOOKS)) else {
        return Err("its body is a reference that leads nowhere".to_owned());
    };
    let required = raw.find("required").and_then(|it| it.bool()) == Some(true);
    let content = raw.find("content");
    let offered = content.iter().flat_map(Raw::members).take(64);
    let best = offered
        .filter_map(|it| Some((rank(&it.key())?, it.key().into_owned(), it.value())))
        .min_by_key(|it| it.0);
    let Some((rank, media, value)) = best else {
        if !required {
            return Ok(None);
        }
        let media = content.iter().flat_map(Raw::members).next().map(|it| it.key().into_owned());
        let media: String = media.unwrap_or_else(|| "nothing".to_owned()).chars().take(60).collect();
        return Err(format!("its body is {media}, which is not written here"));
    };
    let media = if media.contains('*') { "application/json".to_owned() } else { media };
    if media.len() > MAX_TEXT || !media.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err("the media type of its body cannot be sent".to_owned());
    }
    let form = match rank {
        FORM => Form::Urlencoded(encodings(&value)?),
        TEXT => Form::Text,
        _ => Form::Json,
    };
    let argument = ["body", "request_body", "body_"].into_iter().find(|name| !taken.contains(*name));
    let Some(argument) = argument else { return Err("its parameters leave no name for its body".to_owned()) };
    let said = Said {
        schema: value.find("schema").unwrap_or_else(|| Raw::from_static("{}")),
        description: raw.find("description").filter(|text| text.kind() == Kind::String),
    };
    Ok(Some((Body { argument: argument.to_owned(), media, form, required }, said)))
}

const FORM: u8 = 3;
const TEXT: u8 = 4;

/// Which of several media types is used: the least.
fn rank(media: &str) -> Option<u8> {
    let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Some(match essence.as_str() {
        "application/json" => 0,
        "*/*" | "application/*" => 2,
        "application/x-www-form-urlencoded" => FORM,
        "text/plain" => TEXT,
        _ if essence.ends_with("+json") => 1,
        _ => return None,
    })
}

fn encodings(media: &Raw) -> Result<Vec<Encoding>, String> {
    let given = media.find("encoding");
    let read = |name: String, raw: Raw| -> Result<Option<Encoding>, String> {
        let style = raw.find_string("style");
        let explode = raw.find("explode").and_then(|it| it.bool());
        if style.is_none() && explode.is_none() {
            return Ok(None);
        }
        if name.len() > MAX_TEXT {
            return Err(format!("the name of a member of its form has more than {MAX_TEXT} bytes"));
        }
        let style = style.map_or(Some(Style::Form), |style| Style::parse(&style));
        let style = style.ok_or_else(|| format!("`{name}` in its form has a style that there is not"))?;
        Ok(Some(Encoding { name, style, explode: explode.unwrap_or(style == Style::Form) }))
    };
    let all = given.iter().flat_map(Raw::members).take(256);
    all.filter_map(|member| read(member.key().into_owned(), member.value()).transpose()).collect()
}

impl Body {
    /// Where it goes and how, and the members of a form that are written in a way of their own.
    pub(crate) fn shape(&self) -> Vec<Vec<&str>> {
        let mut rows = vec![vec![&*self.argument, "body", &self.media]];
        if let Form::Urlencoded(encodings) = &self.form {
            for Encoding { name, style, explode } in encodings {
                let row = [&*self.argument, "form", name.as_str()].into_iter();
                rows.push(row.chain(written(*style, *explode)).collect());
            }
        }
        rows
    }

    /// The bytes of a value.
    pub(crate) fn write(&self, value: &Raw) -> Result<Vec<u8>, String> {
        match &self.form {
            Form::Json => Ok(value.as_bytes().to_vec()),
            Form::Text => match value.string() {
                Some(text) => Ok(text.into_owned().into_bytes()),
                None => Err(format!("`{}` must be text", self.argument)),
            },
            Form::Urlencoded(encodings) => {
                if value.kind() != Kind::Object {
                    return Err(format!("`{}` must be an object", self.argument));
                }
                let mut pairs = Vec::new();
                for member in value.members() {
                    let (name, value) = (member.key(), member.value());
                    let said = encodings.iter().find(|encoding| encoding.name == name);
                    pairs.extend(match (said, value.kind()) {
                        (Some(said), _) => assigned(said.style, said.explode, &name, &value, false),
                        // Without a word of the document, an object is written as JSON (OpenAPI 3.1, "Encoding Object").
                        (None, Kind::Object) => {
                            let text = Raw::from_text(value.as_str());
                            assigned(Style::Form, true, &name, &text, false)
                        }
                        (None, _) => assigned(Style::Form, true, &name, &value, false),
                    });
                }
                Ok(pairs.join("&").into_bytes())
            }
        }
    }
}
