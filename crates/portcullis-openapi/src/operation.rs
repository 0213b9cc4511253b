//! One operation of an API as a tool.

use std::collections::HashSet;

use http::Method;
use percent_encoding::percent_decode_str;
use portcullis_mcp::json::{Kind, Raw, Writer};

use crate::api::Set;
use crate::body::{Body, body};
use crate::document::Document;
use crate::parameter::{Parameter, Place, Said, parameters};
use crate::schema::{Schemas, TooLarge, Way};
use crate::shape::REQUEST;

/// The largest schema of a tool, in bytes with all that it refers to.
const MAX_SCHEMA: usize = 64 << 10;
/// The longest path, in bytes: with values in it, no longer one is sent.
const MAX_TEMPLATE: usize = 4 << 10;
/// The longest description of a tool, in characters beside method and path: more of one leaves a model no room for others.
const MAX_DESCRIPTION: usize = 8 << 10;
/// The longest name of a tool, in characters: what APIs of models allow.
const MAX_NAME: usize = 64;

/// An operation, with what calls of it need.
#[derive(Clone, Debug)]
pub struct Operation {
    pub(crate) name: String,
    pub(crate) method: Method,
    /// As the document has it.
    pub(crate) template: String,
    pub(crate) path: Vec<Piece>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<Body>,
    /// It promises an object.
    pub(crate) gives_object: bool,
    pub(crate) definition: Raw,
}

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// As it stands in a URL.
    Text(String),
    /// The value of a parameter, by its place among them.
    Value(usize),
}

impl Operation {
    /// The name of the tool.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tool, as `tools/list` has it.
    pub fn definition(&self) -> &Raw {
        &self.definition
    }

    /// `GET /pets/{id}`.
    pub fn place(&self) -> String {
        format!("{} {}", self.method, self.template)
    }

    /// Reads an operation; `Err` says why it is left out.
    pub(crate) fn read(
        document: &Document,
        set: &Set,
        (template, shared): (&str, Option<&Raw>),
        (method, raw): (&Method, &Raw),
        name: String,
        server: Option<&str>,
    ) -> Result<Self, String> {
        let (parameters, mut said) = parameters(document, [shared, raw.find("parameters").as_ref()], set)?;
        let path = pieces(template, &parameters)?;
        let taken: HashSet<String> = parameters.iter().map(|it| it.argument.clone()).collect();
        // What the body of such a request means, nobody has said (RFC 9110 section 9.3.1).
        let takes_none = matches!(*method, Method::GET | Method::HEAD);
        let body = if takes_none { None } else { body(document, raw, &taken)? };
        let body = body.map(|(body, of_it)| {
            said.push(of_it);
            body
        });
        let mut operation = Self {
            name,
            method: method.clone(),
            template: template.to_owned(),
            path,
            parameters,
            body,
            gives_object: false,
            definition: Raw::from_static("{}"),
        };
        let input = operation.input(document, &said);
        let input =
            input.map_err(|TooLarge| format!("what it takes comes to more than {} KiB", MAX_SCHEMA >> 10))?;
        let output = operation.output(document, raw);
        operation.gives_object = output.is_some();
        operation.definition = operation.define(raw, &input, output.as_ref(), server);
        Ok(operation)
    }

    fn define(&self, raw: &Raw, input: &Raw, output: Option<&Raw>, server: Option<&str>) -> Raw {
        let mut out = Vec::with_capacity(input.as_bytes().len() + 1024);
        let mut members = Writer::begin(&mut out);
        members.text("name", &self.name);
        members.text("description", &self.describe(raw));
        members.put("inputSchema", input.as_bytes());
        if let Some(output) = output {
            members.put("outputSchema", output.as_bytes());
        }
        let annotations: &[u8] = match self.method {
            Method::GET | Method::HEAD => br#"{"readOnlyHint":true,"idempotentHint":true}"#,
            Method::PUT | Method::DELETE => {
                br#"{"readOnlyHint":false,"destructiveHint":true,"idempotentHint":true}"#
            }
            _ => br#"{"readOnlyHint":false}"#,
        };
        members.put("annotations", annotations);
        let mut meta = Writer::begin(members.key("_meta"));
        meta.put(REQUEST, self.shape(server).as_bytes());
        meta.end();
        members.end();
        Raw::trusted(out)
    }

    /// What the document says of it, and at the end method and path: another request is another tool, and whoever approved
    /// the one did not approve the other. `shape.rs` has the rest of it.
    fn describe(&self, raw: &Raw) -> String {
        let mut texts: Vec<String> = Vec::new();
        if raw.find("deprecated").and_then(|it| it.bool()) == Some(true) {
            texts.push("Deprecated.".to_owned());
        }
        for key in ["summary", "description"] {
            let text = raw.find_string(key).map(|text| text.trim().to_owned());
            texts.extend(text.filter(|text| !text.is_empty() && !texts.contains(text)));
        }
        let said = texts.join("\n\n");
        let said = match said.char_indices().nth(MAX_DESCRIPTION) {
            Some((end, _)) => format!("{}…", &said[..end]),
            None => said,
        };
        if said.is_empty() { self.place() } else { format!("{said}\n\n{}", self.place()) }
    }

    /// What it takes; `said` is of its parameters and then of its body.
    fn input(&self, document: &Document, said: &[Said]) -> Result<Raw, TooLarge> {
        let mut schemas = Schemas::new(document, Way::Request, MAX_SCHEMA);
        let (mut properties, mut required) = (Vec::new(), Vec::new());
        let mut members = Writer::begin(&mut properties);
        let parameters = self.parameters.iter().map(|it| (&it.argument, it.required));
        let all = parameters.chain(self.body.iter().map(|it| (&it.argument, it.required)));
        for ((argument, is_required), said) in all.zip(said) {
            let schema = schemas.write(&said.schema, said.description.as_ref())?;
            members.put(argument, schema.as_bytes());
            if is_required {
                required.push(Raw::from_text(argument).to_string());
            }
        }
        members.end();
        let definitions = schemas.definitions()?;
        let mut out = Vec::with_capacity(properties.len() + 128);
        let mut members = Writer::begin(&mut out);
        members.put("type", br#""object""#);
        members.put("properties", &properties);
        if !required.is_empty() {
            members.put("required", format!("[{}]", required.join(",")).as_bytes());
        }
        members.put("additionalProperties", b"false");
        if let Some(definitions) = definitions {
            members.put("$defs", definitions.as_bytes());
        }
        members.end();
        Ok(Raw::trusted(out))
    }

    /// What it gives, where all good answers are objects of one schema, and that is not too large to be told.
    fn output(&self, document: &Document, raw: &Raw) -> Option<Raw> {
        if self.method == Method::HEAD {
            return None;
        }
        let responses = raw.find("responses")?;
        let mut schema: Option<Raw> = None;
        for member in responses.members().filter(|member| member.key().starts_with('2')) {
            let response = document.resolve(&member.value()).filter(|it| document.spend_on(it, 3))?;
            let given = json_schema(&response)?;
            if schema.as_ref().is_some_and(|other| *other != given) {
                return None;
            }
            schema = Some(given);
        }
        let schema = schema?;
        let mut schemas = Schemas::new(document, Way::Response, MAX_SCHEMA);
        if schemas.is_object(&schema) { schemas.write_whole(&schema).ok() } else { None }
    }
}

/// The schema of a response, where it can be JSON: that is what is asked for first.
fn json_schema(response: &Raw) -> Option<Raw> {
    let content = response.find("content")?;
    let is_json = |media: &str| {
        let essence = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    };
    let given = content.members().find(|it| is_json(&it.key()))?;
    given.value().find("schema").filter(|schema| schema.kind() == Kind::Object)
}

/// The parts of a path, whose `{names}` are parameters.
fn pieces(template: &str, parameters: &[Parameter]) -> Result<Vec<Piece>, String> {
    check_template(template)?;
    let (mut pieces, mut rest) = (Vec::new(), template);
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else {
            return Err("its path has a `{` without a `}`".to_owned());
        };
        let at = parameters.iter().position(|it| it.place == Place::Path && it.name == name);
        let Some(at) = at else { return Err(format!("`{{{name}}}` in its path is no parameter of it")) };
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Value(at));
        rest = behind;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    Ok(pieces)
}

/// A path stays below where the operator lets requests go.
fn check_template(template: &str) -> Result<(), String> {
    if !template.starts_with('/') {
        return Err("its path does not begin with `/`".to_owned());
    }
    if template.len() > MAX_TEMPLATE {
        return Err(format!("its path has more than {MAX_TEMPLATE} bytes"));
    }
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"\\?#\"<>^`|".contains(&byte);
    if !template.bytes().all(fits) {
        return Err("its path has characters that no path has".to_owned());
    }
    if is_climbing(template) {
        return Err("its path leads out of where it begins".to_owned());
    }
    Ok(())
}

/// Whether somebody who reads this as a path, decoding what is encoded, might go up or stay where it is.
pub(crate) fn is_climbing(path: &str) -> bool {
    let mut text = path.to_owned();
    // Whoever decodes twice is told twice.
    for _ in 0..2 {
        if text.split(['/', '\\']).any(|part| matches!(part.split(';').next(), Some("." | ".."))) {
            return true;
        }
        text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
    }
    text.split(['/', '\\']).any(|part| matches!(part.split(';').next(), Some("." | "..")))
}

/// A name for a tool, of the characters that MCP and APIs of models allow.
pub(crate) fn safe_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        if !(c == '_' && name.ends_with('_')) {
            name.push(c);
        }
    }
    let name: String = name.trim_matches('_').chars().take(MAX_NAME).collect();
    if name.is_empty() { "operation".to_owned() } else { name }
}
