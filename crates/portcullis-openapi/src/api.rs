//! A document as the tools that it describes.

use std::collections::{BTreeSet, HashMap};

use http::Method;
use portcullis_mcp::json::{Kind, Raw};
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

impl LeftOut {
    fn new(operation: &str, why: String) -> Self {
        Self { operation: operation.chars().take(200).collect(), why }
    }
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

/// So often an operation is gone through for what stands in it.
const LOOKS: usize = 8;

const METHODS: [(&str, Method); 6] = [
    ("get", Method::GET),
    ("head", Method::HEAD),
    ("post", Method::POST),
    ("put", Method::PUT),
    ("patch", Method::PATCH),
    ("delete", Method::DELETE),
];

/// They are about the connection (RFC 9110 sections 9.3.7 and 9.3.8).
const NO_TOOLS: [(&str, Method); 2] = [("options", Method::OPTIONS), ("trace", Method::TRACE)];

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
        let (mut names, mut bytes, mut any) = (HashMap::new(), 0, false);
        let paths = root.find("paths").unwrap_or_else(|| Raw::from_static("{}"));
        let mut beside = Vec::new();
        for path in paths.members().take(MOST_PATHS).filter(|path| !path.key().starts_with("x-")) {
            let template = path.key();
            let item = document.resolve(&path.value()).filter(|item| document.spend_on(item, 1));
            let item = match item {
                Some(item) if item.kind() == Kind::Object => Item::of(&item),
                None if document.is_given_up() => {
                    api.leave_out(&template, TOO_MUCH.to_owned());
                    api.check(bytes)?;
                    continue;
                }
                found => {
                    let why = if found.is_some() { NO_OBJECT } else { NOWHERE };
                    note(&mut beside, &template, why);
                    continue;
                }
            };
            for ((key, method), raw) in NO_TOOLS.iter().zip(&item.no_tools) {
                let Some(raw) = raw.as_ref() else { continue };
                if is_wanted(set, &plain_name(raw, key, &template)) {
                    note(&mut beside, &format!("{method} {template}"), NO_TOOL);
                }
            }
            for ((key, method), raw) in METHODS.iter().zip(&item.operations) {
                let Some(raw) = raw.as_ref() else { continue };
                any = true;
                let is_read = document.spend_on(raw, LOOKS);
                let name = name(raw, key, &template, &mut names);
                if !is_wanted(set, &name) {
                    continue;
                }
                let read = match elsewhere(&item, raw) {
                    _ if !is_read => Err(TOO_MUCH.to_owned()),
                    _ if raw.kind() != Kind::Object => Err(NO_OBJECT.to_owned()),
                    Some(why) => Err(why),
                    None => {
                        let server = api.server.as_deref().filter(|_| !set.is_placed);
                        Operation::read(
                            document,
                            set,
                            (&*template, item.parameters.as_ref()),
                            (method, raw),
                            name,
                            server,
                        )
                    }
                };
                match read {
                    Ok(operation) => {
                        bytes += operation.definition().as_bytes().len();
                        api.operations.push(operation);
                    }
                    // What is missing then may be there.
                    Err(_) if document.is_given_up() => {
                        api.leave_out(&format!("{method} {template}"), TOO_MUCH.to_owned());
                    }
                    Err(why) => api.leave_out(&format!("{method} {template}"), why),
                }
                api.check(bytes)?;
            }
        }
        api.left_out.append(&mut beside);
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

    fn leave_out(&mut self, operation: &str, why: String) {
        self.left_out.push(LeftOut::new(operation, why));
    }

    /// Whether it is still no more than anybody can use.
    fn check(&self, bytes: usize) -> Result<(), Unfit> {
        if self.operations.len() + self.left_out.len() <= MOST && bytes <= MAX_DEFINITIONS {
            return Ok(());
        }
        Err(Unfit::new(format!(
            "the document has more than {MOST} operations, or more than {} MiB of definitions; name those that are \
             wanted in `openapi.operations`",
            MAX_DEFINITIONS >> 20
        )))
    }

    /// The operation behind a tool.
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.name() == name)
    }
}

/// Why what is there is not read.
const TOO_MUCH: &str =
    "its references lead through so much of the document, so often, that the rest is not read";

/// Why what is there is nothing.
const NO_OBJECT: &str = "what is there is no object";
const NOWHERE: &str = "it is a reference that leads nowhere in the document";
const NO_TOOL: &str = "no tool is made of its method";

/// Notes what was no operation in the first place, and does not count as one: at most so many.
fn note(beside: &mut Vec<LeftOut>, operation: &str, why: &str) {
    if beside.len() < MOST {
        beside.push(LeftOut::new(operation, why.to_owned()));
    }
}

/// Whether the operator wants an operation of this name.
fn is_wanted(set: &Set, name: &str) -> bool {
    set.operations.is_empty() || set.operations.iter().any(|it| matches_pattern(it, name))
}

/// What stands at a path, found in one go.
struct Item {
    /// In the order of [`METHODS`].
    operations: [Option<Raw>; 6],
    /// In the order of [`NO_TOOLS`].
    no_tools: [Option<Raw>; 2],
    servers: Option<Raw>,
    parameters: Option<Raw>,
}

impl Item {
    fn of(raw: &Raw) -> Self {
        let keys =
            ["get", "head", "post", "put", "patch", "delete", "options", "trace", "servers", "parameters"];
        let [get, head, post, put, patch, delete, options, trace, servers, parameters] = raw.pick(keys);
        let operations = [get, head, post, put, patch, delete];
        Self { operations, no_tools: [options, trace], servers, parameters }
    }
}

/// The name of an operation: its own, or one made of method and path, used once. `taken` has with each name where to go on
/// counting for the next that wants it.
fn name(raw: &Raw, method: &str, template: &str, taken: &mut HashMap<String, usize>) -> String {
    let mut name = plain_name(raw, method, template);
    if taken.contains_key(&name.to_ascii_lowercase()) {
        name = name_of_place(method, template);
    }
    let plain = name.clone();
    let mut count = taken.get(&plain.to_ascii_lowercase()).copied().unwrap_or(2);
    while taken.contains_key(&name.to_ascii_lowercase()) {
        let end = format!("_{count}");
        name = plain.chars().take(64 - end.len()).chain(end.chars()).collect();
        count += 1;
    }
    taken.insert(name.to_ascii_lowercase(), 2);
    taken.insert(plain.to_ascii_lowercase(), count);
    name
}

/// The name that an operation wants.
fn plain_name(raw: &Raw, method: &str, template: &str) -> String {
    let own = raw.find_string("operationId").filter(|id| !id.trim().is_empty());
    own.map_or_else(|| name_of_place(method, template), |id| safe_name(&id))
}

fn name_of_place(method: &str, template: &str) -> String {
    safe_name(&format!("{method}_{template}"))
}

/// Why an operation is not where the others are.
fn elsewhere(item: &Item, operation: &Raw) -> Option<String> {
    let own = operation.find("servers").or_else(|| item.servers.clone())?;
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
        let key = match text("type").as_str() {
            "apiKey" => format!("{} {}", text("in"), text("name")),
            "http" => format!("header Authorization ({})", text("scheme")),
            kind @ ("oauth2" | "openIdConnect") => format!("header Authorization ({kind})"),
            _ => continue,
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::time::{Duration, Instant};

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
        assert!(api.left_out.len() > 400, "{}", api.left_out.len());
        assert!(api.left_out.last().is_some_and(|last| last.why == TOO_MUCH), "{:?}", api.left_out.last());
        assert_eq!(document.work.get(), 0);
    }

    /// A document that may make so many MiB of work.
    fn bounded(text: String, work: usize) -> Document {
        let document = Document::parse(text.into()).expect("a document");
        document.work.set(work << 20);
        document
    }

    /// Without a bound, each of these would be gone through for hours.
    #[test]
    fn what_is_referred_to_again_and_again_is_not_read_without_end() {
        let bound = Duration::from_mins(1);
        let began = Instant::now();
        let item = format!(r#"{{"description":"{}","get":{{}}}}"#, "x".repeat(1 << 20));
        let same = |count: usize| {
            let path = |n| format!(r##""/p{n}":{{"$ref":"#/components/pathItems/P"}}"##);
            let paths: Vec<_> = (0..count).map(path).collect();
            let paths = paths.join(",");
            format!(
                r#"{{"openapi":"3.1.0","paths":{{{paths}}},"components":{{"pathItems":{{"P":{item}}}}}}}"#
            )
        };
        let api = Api::read(&bounded(same(1500), 40), &Set::default()).expect("what it came to before");
        assert_eq!((api.operations.len(), api.left_out.len()), (19, 1481));
        assert!(api.left_out.iter().all(|it| it.why == TOO_MUCH), "{:?}", api.left_out[0]);
        assert!(Api::read(&bounded(same(20_000), 40), &Set::default()).is_err());
        // An answer that is all of itself, sixty-four times.
        let all = vec![r##"{"$ref":"#/components/schemas/A"}"##; 64].join(",");
        let answer =
            r##"{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/A"}}}}}"##;
        let text = format!(
            r#"{{"openapi":"3.1.0","paths":{{"/x":{{"get":{{"responses":{answer}}}}}}},"components":{{"schemas":{{"A":{{"allOf":[{all}]}}}}}}}}"#
        );
        let document = bounded(text, 40);
        let api = Api::read(&document, &Set::default()).expect("an API");
        assert_eq!((api.operations.len(), document.work.get()), (1, 0));
        // Required members that are looked for among many.
        let (mut required, mut properties) = (String::new(), String::new());
        for index in 0..50_000 {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(required, r#"{comma}"p{index}""#);
            let _ = write!(properties, r#"{comma}"p{index}":{{}}"#);
        }
        let text = format!(
            r#"{{"openapi":"3.1.0","paths":{{"/x":{{"post":{{"requestBody":{{"required":true,"content":{{"application/json":{{"schema":{{"required":[{required}],"properties":{{{properties}}}}}}}}}}}}}}}}}}}"#
        );
        assert!(Api::read(&bounded(text, 40), &Set::default()).is_err());
        // Names that are the same as far as names go.
        let long = "a".repeat(80);
        let paths: Vec<_> =
            (0..20_000).map(|n| format!(r#""/{long}{n}":{{"get":{{}},"put":{{}}}}"#)).collect();
        let text = format!(r#"{{"openapi":"3.1.0","paths":{{{}}}}}"#, paths.join(","));
        let none = Set { operations: vec!["none".to_owned()], ..Set::default() };
        let error = Api::read(&bounded(text, 40), &none).expect_err("none").to_string();
        assert!(error.contains("matches none"), "{error}");
        assert!(began.elapsed() < bound, "{:?}", began.elapsed());
    }
}
