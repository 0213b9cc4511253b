//! A call of a tool as an HTTP request.
//!
//! Every argument has a place that the definition gave it, and stays in it: in a path as one segment or part of one, in a
//! query as one value, in a header as one line. Encoding alone does not keep a value in a path: many servers find the
//! operation in the decoded path, so what would divide that path is refused. An argument that nobody defined, and one that
//! is missing, are told to the caller, who can do better.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method};
use percent_encoding::percent_decode_str;
use portcullis_mcp::json::{Kind, Raw};

use crate::operation::{Operation, Piece, is_climbing};
use crate::parameter::{Parameter, Place, folded, is_said_by, is_token, stem};
use crate::style::{assigned, encoded, expanded, text};

/// The longest path with its query, in bytes: what servers commonly take.
const MAX_PATH: usize = 8 << 10;
/// The longest value of a header.
const MAX_HEADER: usize = 8 << 10;

/// A request; where it goes is for others to say.
#[derive(Clone, Debug)]
pub struct Request {
    /// How.
    pub method: Method,
    /// To which path of the server, from its root.
    pub path: PathAndQuery,
    /// With which headers, `Content-Type` among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// With what.
    pub body: Option<Bytes>,
}

/// Why a call is no request; for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsendable(String);

fn unsendable<T>(why: impl Into<String>) -> Result<T, Unsendable> {
    Err(Unsendable(why.into()))
}

impl Operation {
    /// The request for a call with `arguments`, below the path `base` of a server, and with what the operator adds to the
    /// query.
    ///
    /// # Errors
    /// The arguments do not fit.
    pub fn request(
        &self,
        base: &str,
        arguments: Option<&Raw>,
        set: &[(String, String)],
    ) -> Result<Request, Unsendable> {
        let none = Raw::from_static("{}");
        let arguments = arguments.unwrap_or(&none);
        if arguments.kind() != Kind::Object {
            return unsendable("the arguments are no object");
        }
        let arguments = self.given(arguments)?;
        let value = |parameter: &Parameter| {
            let value = arguments.get(parameter.argument.as_str()).cloned();
            value.filter(|value| parameter.required || value.kind() != Kind::Null)
        };
        let mut path = base.trim_end_matches('/').to_owned();
        // The same with nothing of the caller's in it.
        let mut frame = path.clone();
        for piece in &self.path {
            match piece {
                Piece::Text(text) => {
                    path.push_str(text);
                    frame.push_str(text);
                }
                Piece::Value(at) => {
                    let parameter = &self.parameters[*at];
                    let Some(value) = value(parameter) else { continue };
                    path.push_str(&in_path(parameter, &value)?);
                    frame.push('x');
                }
            }
        }
        if divisions(&path) != divisions(&frame) {
            return unsendable("the arguments make a path with more parts than that of the operation");
        }
        if is_climbing(&path) {
            return unsendable("the arguments make a path with parts that no path may have, as `..`");
        }
        let mut query: Vec<String> = set
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name, false), encoded(value, false)))
            .collect();
        let (mut headers, mut cookies) = (Vec::new(), Vec::new());
        for parameter in self.parameters.iter().filter(|it| it.place != Place::Path) {
            let Some(value) = value(parameter) else { continue };
            let value = as_written(parameter, value);
            let pairs = || {
                let Parameter { style, explode, name, reserved, .. } = parameter;
                let pairs = assigned(*style, *explode, name, &value, *reserved);
                self.check_pairs(parameter, &pairs, set).map(|()| pairs)
            };
            match parameter.place {
                Place::Query => query.extend(pairs()?),
                Place::Cookie => cookies.extend(pairs()?),
                _ => headers.push(header(parameter, &value)?),
            }
        }
        if !cookies.is_empty() {
            let Ok(value) = HeaderValue::try_from(cookies.join("; ")) else {
                return unsendable("the cookies cannot be sent");
            };
            headers.push((http::header::COOKIE, value));
        }
        let body = self.write_body(&arguments, &mut headers)?;
        if path.is_empty() {
            path.push('/');
        }
        if !query.is_empty() {
            path.push('?');
            path.push_str(&query.join("&"));
        }
        if path.len() > MAX_PATH {
            return unsendable(format!("the URL would have more than {MAX_PATH} bytes; give less"));
        }
        match PathAndQuery::try_from(path) {
            Ok(path) => Ok(Request { method: self.method.clone(), path, headers, body }),
            Err(_) => unsendable("the arguments make no URL"),
        }
    }

    /// The arguments by their names: gone through once, for they may be large and the parameters many.
    fn given(&self, arguments: &Raw) -> Result<HashMap<&str, Raw>, Unsendable> {
        let parameters = self.parameters.iter().map(|it| (it.argument.as_str(), it.required));
        let all = parameters.chain(self.body.iter().map(|it| (it.argument.as_str(), it.required)));
        let all: Vec<_> = all.collect();
        let names: HashSet<&str> = all.iter().map(|(name, _)| *name).collect();
        let mut given = HashMap::new();
        for member in arguments.members() {
            let name = member.key();
            let Some(name) = names.get(&*name) else {
                let unknown: String = name.chars().take(100).collect();
                let known: Vec<_> = all.iter().map(|(name, _)| *name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return unsendable(format!("there is no argument `{unknown}`; there are {known}"));
            };
            given.insert(*name, member.value());
        }
        match all.iter().find(|(name, required)| *required && !given.contains_key(name)) {
            Some((missing, _)) => unsendable(format!("the argument `{missing}` is missing")),
            None => Ok(given),
        }
    }

    /// An object may be written as its members, under names that the caller chose: none of them is what the operator or
    /// another argument says, in any reading of the name that servers have.
    fn check_pairs(
        &self,
        own: &Parameter,
        pairs: &[String],
        set: &[(String, String)],
    ) -> Result<(), Unsendable> {
        let argument = &own.argument;
        let not_its = |name: &str| {
            let name: String = name.chars().take(100).collect();
            unsendable(format!("`{argument}` has a member `{name}`, which is not its to say"))
        };
        let is_set = |name: &str| {
            own.place == Place::Query
                && set.iter().any(|(set, _)| is_said_by(name, set) || is_said_by(set, name))
        };
        let own_is_set = is_set(&own.name);
        let mut taken = None;
        for pair in pairs {
            let name = decoded(pair.split('=').next().unwrap_or_default());
            if name == own.name {
                if own_is_set {
                    return unsendable(format!("`{argument}` is not the caller's to say"));
                }
                continue;
            }
            let taken: &HashSet<String> = taken.get_or_insert_with(|| {
                let others = self.parameters.iter().filter(|it| it.place == own.place && it.name != own.name);
                others.map(|it| folded(&it.name)).collect()
            });
            let stem = stem(&name);
            if is_set(&name)
                || taken.contains(&folded(&name))
                || (stem != own.name && taken.contains(&folded(stem)))
            {
                return not_its(&name);
            }
            if own.place == Place::Cookie && !is_token(&name) {
                return unsendable(format!("`{argument}` has a member that is no name of a cookie"));
            }
        }
        Ok(())
    }

    fn write_body(
        &self,
        arguments: &HashMap<&str, Raw>,
        headers: &mut Vec<(HeaderName, HeaderValue)>,
    ) -> Result<Option<Bytes>, Unsendable> {
        let Some(body) = &self.body else { return Ok(None) };
        let Some(value) = arguments.get(body.argument.as_str()) else { return Ok(None) };
        let bytes = body.write(value).map_err(Unsendable)?;
        let Ok(media) = HeaderValue::try_from(body.media.as_str()) else {
            return unsendable("the media type of the body cannot be sent");
        };
        headers.push((http::header::CONTENT_TYPE, media));
        Ok(Some(bytes.into()))
    }
}

/// A value that the document wants as JSON is that as text.
fn as_written(parameter: &Parameter, value: Raw) -> Raw {
    if parameter.as_json && value.kind() != Kind::String { Raw::from_text(value.as_str()) } else { value }
}

/// How many parts a path has for whoever decodes it once, twice and three times: values are encoded once for sending.
fn divisions(path: &str) -> [usize; 3] {
    let mut text = path.to_owned();
    [(); 3].map(|()| {
        text = decoded(&text);
        text.matches(['/', '\\']).count()
    })
}

/// Whether a value divides a path for whoever decodes it, and again what comes of that; and a `?` or `#` that only then is
/// there ends the path.
fn is_divided(plain: &str) -> bool {
    let ends = |text: &str| text.matches(['?', '#']).count();
    let (once, twice) = (decoded(plain), decoded(&decoded(plain)));
    [plain, &once, &twice].iter().any(|text| text.contains(['/', '\\']) || ends(text) > ends(plain))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn in_path(parameter: &Parameter, value: &Raw) -> Result<String, Unsendable> {
    let value = as_written(parameter, value.clone());
    let name = &parameter.argument;
    let Parameter { style, explode, .. } = *parameter;
    let plain = expanded(style, explode, &parameter.name, &value, &str::to_owned);
    if is_divided(&plain) {
        return unsendable(format!(
            "`{name}` goes into one part of a path, where no `/` or `\\` can be, however it is encoded; give the value \
             without, or use an operation that takes it elsewhere"
        ));
    }
    // However a server on the way reads what is encoded, nobody leaves the segment that the value stands in.
    if is_climbing(&plain) || plain.chars().any(char::is_control) {
        return unsendable(format!("`{name}` has parts that no path may have, as `..`"));
    }
    let is_empty = match value.kind() {
        Kind::Array => value.elements().all(|item| text(&item).is_empty()),
        Kind::Object => value.members().next().is_none(),
        _ => text(&value).is_empty(),
    };
    if is_empty {
        return unsendable(format!("`{name}` is empty, and without it the path is another"));
    }
    Ok(expanded(style, explode, &parameter.name, &value, &|text| encoded(text, false)))
}

fn header(parameter: &Parameter, value: &Raw) -> Result<(HeaderName, HeaderValue), Unsendable> {
    let (name, argument) = (&parameter.name, &parameter.argument);
    let text = expanded(parameter.style, parameter.explode, name, value, &str::to_owned);
    let is_plain = text.len() <= MAX_HEADER && text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    match (HeaderName::try_from(name.as_str()), HeaderValue::try_from(text)) {
        (Ok(name), Ok(value)) if is_plain => Ok((name, value)),
        _ => {
            unsendable(format!("`{argument}` goes into a header, which has room for one line of plain ASCII"))
        }
    }
}
