//! What an operation takes beside a body: where it goes, how it is written, and what callers call it.

use std::collections::HashSet;

use portcullis_mcp::json::{Kind, Raw};
use portcullis_model::FORWARDING;

use crate::api::Set;
use crate::document::Document;
use crate::style::Style;

/// Parameters of one operation that are looked at.
const MOST: usize = 256;

/// The longest name of one, in bytes.
const MAX_NAME: usize = 256;
/// So often one is gone through for what stands in it.
const LOOKS: usize = 10;

/// Where a parameter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "path" => Self::Path,
            "query" => Self::Query,
            "header" => Self::Header,
            "cookie" => Self::Cookie,
            _ => return None,
        })
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}

/// One parameter.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "the document has them")]
pub(crate) struct Parameter {
    /// What callers call it: a name that models may use.
    pub(crate) argument: String,
    /// What the API calls it.
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) required: bool,
    pub(crate) style: Style,
    pub(crate) explode: bool,
    /// In a query: characters that mean something there may stay as they are.
    pub(crate) reserved: bool,
    /// The value is written as JSON, whatever the style.
    pub(crate) as_json: bool,
}

/// What the document says of an argument. It is for the definition alone: these are parts of the document, and whoever keeps
/// one of them keeps all of it.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) schema: Raw,
    pub(crate) description: Option<Raw>,
}

/// Headers that are no parameter, beside what proxies say: OpenAPI says so of the first three, the others are for the
/// connection, say who calls, or are the trace, which the gateway writes.
const NO_PARAMETER: &[&str] = &[
    "accept",
    "authorization",
    "content-type",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "dpop",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "upgrade",
];

/// The parameters of a path and of one of its operations, which replaces those of the same place and name: the values of
/// `parameters` of both. With each, what is said of it.
pub(crate) fn parameters(
    document: &Document,
    given: [Option<&Raw>; 2],
    set: &Set,
) -> Result<(Vec<Parameter>, Vec<Said>), String> {
    let mut found: Vec<(Parameter, Said)> = Vec::new();
    for given in given.into_iter().flatten() {
        if !document.spend_on(given, 1) {
            return Err("its parameters are not read".to_owned());
        }
        for (index, raw) in given.elements().enumerate() {
            if index == MOST {
                return Err(format!("it has more than {MOST} parameters"));
            }
            let Some(raw) = document.resolve(&raw).filter(|raw| document.spend_on(raw, LOOKS)) else {
                return Err("one of its parameters is a reference that leads nowhere".to_owned());
            };
            let Some(read) = read(document, &raw)? else { continue };
            match found.iter_mut().find(|(it, _)| it.place == read.0.place && it.name == read.0.name) {
                Some(known) => *known = read,
                None => found.push(read),
            }
        }
    }
    found.retain(|(parameter, _)| !is_set(parameter, set));
    let mut taken = HashSet::new();
    for (parameter, _) in &mut found {
        parameter.argument = argument(&parameter.name, parameter.place, &mut taken);
    }
    Ok(found.into_iter().unzip())
}

/// Whether it is nothing for callers to say.
fn is_set(parameter: &Parameter, set: &Set) -> bool {
    match parameter.place {
        Place::Path => false,
        Place::Query => set.query.iter().any(|name| is_said_by(&parameter.name, name)),
        Place::Cookie => set.headers.contains("cookie"),
        Place::Header => {
            // Servers that hand headers on as variables of an environment (RFC 3875 section 4.1.18) take `_` for `-`.
            let read = |name: &str| name.to_ascii_lowercase().replace('_', "-");
            let name = read(&parameter.name);
            NO_PARAMETER.contains(&name.as_str())
                || FORWARDING.contains(&name.as_str())
                || set.headers.iter().any(|set| read(set) == name)
        }
    }
}

/// A name in a query as servers that are generous with names read it: case and spaces around it mean nothing, it ends at a
/// NUL, and PHP takes a dot, a space and a bracket in it for `_`.
pub(crate) fn folded(name: &str) -> String {
    let name = name.split('\0').next().unwrap_or_default();
    name.trim().to_lowercase().replace(['.', ' ', '['], "_")
}

/// The name of the list or object of which a name with brackets is a part.
pub(crate) fn stem(name: &str) -> &str {
    name.split('[').next().unwrap_or_default()
}

/// Whether a name in a query says, to whichever server, what another says: the whole of it or a part.
pub(crate) fn is_said_by(name: &str, other: &str) -> bool {
    let other = folded(other);
    folded(name) == other || folded(stem(name)) == other
}

/// A `token` of RFC 9110, as names of headers and cookies are.
pub(crate) fn is_token(name: &str) -> bool {
    let may_be = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(may_be)
}

fn read(document: &Document, raw: &Raw) -> Result<Option<(Parameter, Said)>, String> {
    let (Some(name), Some(place)) = (raw.find_string("name"), raw.find_string("in")) else {
        return Err("one of its parameters has no `name` or no `in`".to_owned());
    };
    let Some(place) = Place::parse(&place) else { return Ok(None) };
    if name.len() > MAX_NAME {
        return Err(format!("the name of one of its parameters has more than {MAX_NAME} bytes"));
    }
    if matches!(place, Place::Header | Place::Cookie) && !is_token(&name) {
        return Err(format!("`{name}` is no name of a {}", place.as_str()));
    }
    let flag = |key: &str| raw.find(key).and_then(|it| it.bool());
    let style = raw.find_string("style");
    let style = match (style.as_deref(), place) {
        (None, Place::Query | Place::Cookie) => Style::Form,
        (None, Place::Path | Place::Header) => Style::Simple,
        (Some(style), _) => Style::parse(style).ok_or_else(|| format!("there is no style `{style}`"))?,
    };
    let fits = match place {
        Place::Path => matches!(style, Style::Simple | Style::Label | Style::Matrix),
        Place::Query => matches!(style, Style::Form | Style::Space | Style::Pipe | Style::Deep),
        Place::Header => style == Style::Simple,
        Place::Cookie => style == Style::Form,
    };
    if !fits {
        return Err(format!("`{name}` has a style that nothing in a {} has", place.as_str()));
    }
    let content = raw.find("content").and_then(|content| Some(content.members().next()?.value()));
    let schema = match &content {
        Some(media) => media.find("schema"),
        None => raw.find("schema"),
    };
    let schema = schema.unwrap_or_else(|| Raw::from_static("{}"));
    let described = |of: &Raw| of.find("description").filter(|text| text.kind() == Kind::String);
    // A reference says less than what it leads to, and what stands beside it may count for nothing.
    let description = described(raw).or_else(|| described(&document.resolve(&schema)?));
    let parameter = Parameter {
        argument: String::new(),
        name,
        place,
        required: place == Place::Path || flag("required") == Some(true),
        style,
        explode: flag("explode").unwrap_or(style == Style::Form),
        reserved: place == Place::Query && flag("allowReserved") == Some(true),
        as_json: content.is_some(),
    };
    Ok(Some((parameter, Said { schema, description })))
}

/// A name for callers, of the characters that APIs of models allow, and used once.
pub(crate) fn argument(name: &str, place: Place, taken: &mut HashSet<String>) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    let plain: String = name.chars().map(safe).collect();
    let plain = plain.trim_matches('_');
    let plain: String = if plain.is_empty() { "parameter" } else { plain }.chars().take(50).collect();
    let mut argument = plain.clone();
    let mut count = 1;
    while !taken.insert(argument.clone()) {
        argument = match count {
            1 => format!("{plain}_{}", place.as_str()),
            _ => format!("{plain}_{}_{count}", place.as_str()),
        };
        count += 1;
    }
    argument
}
