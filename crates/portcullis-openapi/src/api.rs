//! A document as the tools that it describes.

use std::collections::{BTreeSet, HashSet};

use http::Method;
use portcullis_mcp::json::Raw;
use portcullis_model::matches_pattern;

use crate::document::{Document, Unfit};
use crate::operation::{Operation, safe_name};

/// Most operations of one API.
const MOST: usize = 2000;
/// All definitions together, in bytes.
const MAX_DEFINITIONS: usize = 32 << 20;
/// Paths that are looked at.
const MOST_PATHS: usize = 20_000;

/// What the operator says, and callers therefore do not.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// Headers, by their names in lower case.
    pub headers: BTreeSet<String>,
    /// Parameters of the query.
    pub query: BTreeSet<String>,
    /// Where the API is, whatever its document says.
    pub is_placed: bool,
    /// The tools that are wanted, as patterns; all of them when there are none.
    pub operations: Vec<String>,
}

/// An operation that is no tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// `POST /upload`.
    pub operation: String,
    /// Why.
    pub why: String,
}

/// An API.
#[derive(Debug)]
pub struct Api {
    /// What it is called.
    pub title: Option<String>,
    /// Its version, not that of its document.
    pub version: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Where it says that it is: the first of its `servers`, with the defaults of its variables.
    pub server: Option<String>,
    /// The headers and parameters of queries by which it wants to be given a key, as `header X-Key`.
    pub keys: Vec<String>,
    /// What it offers.
    pub operations: Vec<Operation>,
    /// What of it is not offered.
    pub left_out: Vec<LeftOut>,
}

const METHODS: [(&str, Method); 6] = [
    ("get", Method::GET),
    ("head", Method::HEAD),
    ("post", Method::POST),
    ("put", Method::PUT),
    ("patch", Method::PATCH),
    ("delete", Method::DELETE),
];

impl Api {
    /// Reads all operations.
    ///
    /// # Errors
    /// There are none, or more than anybody could use.
    pub fn read(document: &Document, set: &Set) -> Result<Self, Unfit> {
        let root = document.root();
        let info = root.find("info").unwrap_or_else(|| Raw::from_static("{}"));
        let server = root.find("servers").and_then(|servers| servers.elements().next());
        let mut api = Self {
            title: info.find_string("title"),
            version: info.find_string("version"),
            description: info.find_string("description"),
            server: server.as_ref().and_then(url),
            keys: keys(document),
            operations: Vec::new(),
            left_out: Vec::new(),
        };
        let (mut names, mut bytes, mut any) = (HashSet::new(), 0, false);
        let paths = root.find("paths").unwrap_or_else(|| Raw::from_static("{}"));
        for path in paths.members().take(MOST_PATHS).filter(|path| !path.key().starts_with("x-")) {
            let template = path.key();
            let item = document.resolve(&path.value());
            for (key, method) in &METHODS {
                let Some(item) = &item else { continue };
                let Some(raw) = item.find(key) else { continue };
                any = true;
                let name = name(&raw, key, &template, &mut names);
                if !set.operations.is_empty() && !set.operations.iter().any(|it| matches_pattern(it, &name)) {
                    continue;
                }
                let read = match elsewhere(item, &raw) {
                    Some(why) => Err(why),
                    None => {
                        let server = api.server.as_deref().filter(|_| !set.is_placed);
                        Operation::read(document, set, (&*template, item), (method, &raw), name, server)
                    }
                };
                match read {
                    Ok(operation) => {
                        bytes += operation.definition().as_bytes().len();
                        api.operations.push(operation);
                    }
                    Err(why) => {
                        let operation: String = format!("{method} {template}").chars().take(200).collect();
                        api.left_out.push(LeftOut { operation, why });
                    }
                }
                if api.operations.len() + api.left_out.len() > MOST || bytes > MAX_DEFINITIONS {
                    return Err(Unfit::new(format!(
                        "the document has more than {MOST} operations, or more than {} MiB of definitions; name those \
                         that are wanted in `openapi.operations`",
                        MAX_DEFINITIONS >> 20
                    )));
                }
            }
        }
        if api.operations.is_empty() {
            let why = match (any, api.left_out.first()) {
                (_, Some(first)) => format!(": {} is left out because {}", first.operation, first.why),
                (true, None) => ": `openapi.operations` matches none of them".to_owned(),
                (false, None) => String::new(),
            };
            return Err(Unfit::new(format!("the document has no operation that can be called{why}")));
        }
        Ok(api)
    }

    /// The operation behind a tool.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.name() == name)
    }
}

/// The name of an operation: its own, or one made of method and path, used once.
fn name(raw: &Raw, method: &str, template: &str, taken: &mut HashSet<String>) -> String {
    let by_place = || safe_name(&format!("{method}_{template}"));
    let own = raw.find_string("operationId").filter(|id| !id.trim().is_empty());
    let mut name = own.map_or_else(by_place, |id| safe_name(&id));
    if taken.contains(&name.to_ascii_lowercase()) {
        name = by_place();
    }
    let (plain, mut count) = (name.clone(), 2);
    while !taken.insert(name.to_ascii_lowercase()) {
        let end = format!("_{count}");
        name = plain.chars().take(64 - end.len()).chain(end.chars()).collect();
        count += 1;
    }
    name
}

/// Why an operation is not where the others are.
fn elsewhere(item: &Raw, operation: &Raw) -> Option<String> {
    let own = operation.find("servers").or_else(|| item.find("servers"))?;
    let own = own.elements().next()?;
    let url: String = url(&own).unwrap_or_default().chars().take(100).collect();
    Some(format!(
        "it is on a server of its own ({url}); a server of its own here can have it, with that as `base_url`"
    ))
}

/// The URL of a server, with the defaults of its variables.
fn url(server: &Raw) -> Option<String> {
    let (template, variables) = (server.find_string("url")?, server.find("variables"));
    let (mut url, mut rest) = (String::new(), template.as_str());
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else { break };
        url.push_str(before);
        let default = variables.as_ref().and_then(|it| it.find(name)?.find_string("default"));
        url.push_str(&default.unwrap_or_default());
        rest = behind;
    }
    url.push_str(rest);
    Some(url)
}

/// Where it wants keys.
fn keys(document: &Document) -> Vec<String> {
    let schemes = document.root().find("components").and_then(|it| it.find("securitySchemes"));
    let mut keys = Vec::new();
    for scheme in schemes.iter().flat_map(Raw::members).take(32) {
        let Some(scheme) = document.resolve(&scheme.value()) else { continue };
        let text = |key: &str| scheme.find_string(key).unwrap_or_default();
        keys.push(match text("type").as_str() {
            "apiKey" => format!("{} {}", text("in"), text("name")),
            "http" => format!("header Authorization ({})", text("scheme")),
            kind @ ("oauth2" | "openIdConnect") => format!("header Authorization ({kind})"),
            _ => continue,
        });
    }
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// A schema of many levels with much at its bottom, and references through the whole document, for every operation.
    #[test]
    fn what_is_deep_or_far_is_given_up() {
        let (open, close) = (r#"{"items":"#.repeat(100), "}".repeat(100));
        let deep = format!(r#"{open}{{"description":"{}"}}{close}"#, "x".repeat(30_000));
        let mut paths = String::new();
        for index in 0..500 {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(
                paths,
                r##"{comma}"/p{index}":{{"post":{{"requestBody":{{"required":true,"content":{{"application/json":{{"schema":{{"$ref":"#/components/schemas/D"}}}}}}}}}},"get":{{"parameters":[{{"$ref":"#/far/p"}}]}}}}"##
            );
        }
        let far = r#""far":{"p":{"name":"q","in":"query"}}"#;
        let text = format!(
            r#"{{"openapi":"3.1.0","paths":{{{paths}}},"components":{{"schemas":{{"D":{deep}}}}},{far}}}"#
        );
        let document = Document::parse(text.into()).expect("a document");
        document.work.set(40 << 20);
        let api = Api::read(&document, &Set::default()).expect("what it came to before");
        assert!((4..200).contains(&api.operations.len()), "{}", api.operations.len());
        assert!(api.left_out.len() > 800);
        assert_eq!(document.work.get(), 0);
    }
}
