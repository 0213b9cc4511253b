//! How a server is reached, from what its `server.json` says: a remote's URL, or the program of a package, with the inputs
//! that the operator gives. Nothing is looked up and nothing is run; versions are those of the document.
//!
//! An entry is read as the configuration is, where `${NAME}` is a variable of the gateway's environment. What comes from a
//! document is never one: only the operator says what a server is told of that, with a reference to a secret.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::admission::{host_of_image, other_than_public};
use super::{Document, Flaw};

/// What the operator gives for the inputs of a document, by their names: a text, or a reference to a secret.
pub type Inputs = BTreeMap<String, Value>;

/// An entry of `servers` for the document: its first remote, or else its first package that can be started here, or else its first
/// image, which a cluster runs.
///
/// # Errors
/// Nothing in it can be reached, or inputs that it requires are not given; all of these are named.
pub fn launch(document: &Document, inputs: &Inputs) -> Result<Value, Vec<Flaw>> {
    if let Some(remote) = document.remotes().first() {
        return Launch::new("remotes[0]", inputs).remote(remote);
    }
    let known = |package: &&Value| {
        let (kind, transport) = (text(package, "registryType"), package.get("transport"));
        matches!(kind, Some("npm" | "pypi")) && transport.is_some_and(|it| text(it, "type") == Some("stdio"))
    };
    match document.packages().iter().enumerate().find(|(_, package)| known(package)) {
        Some((index, package)) => Launch::new(&format!("packages[{index}]"), inputs).package(package),
        None => match document.packages().iter().enumerate().find(|(_, package)| is_image(package)) {
            Some((index, package)) => Launch::new(&format!("packages[{index}]"), inputs).image(package),
            None => {
                let message = "it has no remote, no package of npm or PyPI that speaks over stdio, and no image; say how it is \
                               started with a command of your own";
                Err(vec![Flaw { path: "packages".to_owned(), message: message.to_owned() }])
            }
        },
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_image(package: &Value) -> bool {
    text(package, "registryType") == Some("oci")
}

/// Whether an entry starts this package and no other, in its version and from its registry, with no option before it.
pub(super) fn starts(package: &Value, entry: &Value) -> bool {
    if is_image(package) {
        return entry.get("image").is_some() && entry.get("image") == package.get("identifier");
    }
    let bare = json!({
        "registryType": package.get("registryType"),
        "registryBaseUrl": package.get("registryBaseUrl"),
        "identifier": package.get("identifier"),
        "version": package.get("version"),
    });
    let Ok(started) = Launch::new("", &Inputs::new()).package(&bare) else { return false };
    let begins = items(entry, "args").starts_with(items(&started, "args"));
    begins && entry.get("command") == started.get("command")
}

/// The port and the path of a URL of a server on its own machine.
fn endpoint(url: &str) -> Option<(u16, String)> {
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let port = match authority.rsplit_once(':') {
        Some((_, port)) => port.parse().ok()?,
        None if scheme == "http" => 80,
        None => return None,
    };
    (port != 0).then(|| (port, path.to_owned()))
}

/// A value of the configuration in which all texts stand for themselves.
fn literal(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("${", "$${")),
        Value::Array(items) => items.into_iter().map(literal).collect(),
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, literal(value))).collect(),
        other => other,
    }
}

struct Launch<'a> {
    path: &'a str,
    inputs: &'a Inputs,
    flaws: Vec<Flaw>,
}

impl<'a> Launch<'a> {
    fn new(path: &'a str, inputs: &'a Inputs) -> Self {
        Self { path, inputs, flaws: Vec::new() }
    }

    fn flaw(&mut self, key: &str, message: String) {
        self.flaws.push(Flaw { path: format!("{}.{key}", self.path), message });
    }

    fn done(self, entry: Value) -> Result<Value, Vec<Flaw>> {
        if self.flaws.is_empty() { Ok(literal(entry)) } else { Err(self.flaws) }
    }

    fn remote(mut self, remote: &Value) -> Result<Value, Vec<Flaw>> {
        let url = self.filled("url", text(remote, "url").unwrap_or_default(), remote);
        let transport = if text(remote, "type") == Some("sse") { "sse" } else { "streamable-http" };
        let headers = self.named("headers", remote);
        let mut entry = json!({ "url": url, "transport": transport });
        if let (false, Some(members)) = (headers.is_empty(), entry.as_object_mut()) {
            members.insert("headers".to_owned(), Value::Object(headers));
        }
        self.done(entry)
    }

    fn package(mut self, package: &Value) -> Result<Value, Vec<Flaw>> {
        let (identifier, version) =
            (text(package, "identifier").unwrap_or_default(), text(package, "version"));
        let Some(version) = version else {
            self.flaw("version", "it is missing; a package without one could be another tomorrow".to_owned());
            return self.done(Value::Null);
        };
        let (command, mut args) = match text(package, "registryType") {
            Some("npm") => ("npx", vec!["-y".to_owned()]),
            _ => ("uvx", Vec::new()),
        };
        args.extend(self.arguments("runtimeArguments", package));
        // A package is not that of another registry with the same name. Of an option that is there twice, the last one counts.
        args.extend(other_than_public(package).map(|from| match command {
            "npx" => format!("--registry={from}"),
            _ => format!("--default-index={from}/simple"),
        }));
        args.push(format!("{identifier}@{version}"));
        args.extend(self.arguments("packageArguments", package));
        let env = self.named("environmentVariables", package);
        let mut entry = json!({ "command": command, "args": args });
        if let (false, Some(members)) = (env.is_empty(), entry.as_object_mut()) {
            members.insert("env".to_owned(), Value::Object(env));
        }
        self.done(entry)
    }

    /// An image by its digest, which serves Streamable HTTP.
    fn image(mut self, package: &Value) -> Result<Value, Vec<Flaw>> {
        let identifier = text(package, "identifier").unwrap_or_default();
        if !identifier.contains("@sha256:") {
            let message = "its image is named by a tag, which could be another program tomorrow; a document that is to be used here \
                           names it by its digest, `…@sha256:…`";
            self.flaw("identifier", message.to_owned());
        }
        let (said, from) = (other_than_public(package), host_of_image(package));
        if text(package, "registryBaseUrl").is_some() && said != from.as_deref() {
            let from = from.as_deref().unwrap_or("https://docker.io");
            let message = format!(
                "its image would come from {from}; a document that is to be used here names it with the registry that it comes from"
            );
            self.flaw("registryBaseUrl", message);
        }
        let transport = package.get("transport").unwrap_or(&Value::Null);
        let mut container = Map::new();
        match text(transport, "type") {
            Some("streamable-http") => {
                let url = text(transport, "url").unwrap_or_default();
                let url = self.filled("transport.url", url, transport);
                match endpoint(&url) {
                    Some((port, path)) => {
                        container.insert("port".to_owned(), port.into());
                        container.insert("path".to_owned(), path.into());
                    }
                    None => self.flaw("transport.url", format!("`{url:.100}` is no URL with a port")),
                }
            }
            other => {
                let message = format!(
                    "its image speaks over {}; one that a cluster is to run has to serve `streamable-http`",
                    other.unwrap_or("nothing that is said")
                );
                self.flaw("transport.type", message);
            }
        }
        if !items(package, "runtimeArguments").is_empty() {
            let message = "they are for a program that runs containers, and none is run here; say with `container` what is needed";
            self.flaw("runtimeArguments", message.to_owned());
        }
        let args = self.arguments("packageArguments", package);
        let env = self.named("environmentVariables", package);
        let mut entry = json!({ "image": identifier, "container": container });
        if let Some(members) = entry.as_object_mut() {
            if !args.is_empty() {
                members.insert("args".to_owned(), args.into());
            }
            if !env.is_empty() {
                members.insert("env".to_owned(), Value::Object(env));
            }
        }
        self.done(entry)
    }

    /// Headers or variables, by name.
    fn named(&mut self, key: &str, of: &Value) -> Map<String, Value> {
        let mut named = Map::new();
        for (index, input) in items(of, key).iter().enumerate() {
            let name = text(input, "name").unwrap_or_default();
            if let Some(value) = self.value(&format!("{key}[{index}]"), name, input) {
                named.insert(name.to_owned(), value);
            }
        }
        named
    }

    fn arguments(&mut self, key: &str, of: &Value) -> Vec<String> {
        let mut words = Vec::new();
        for (index, input) in items(of, key).iter().enumerate() {
            let path = format!("{key}[{index}]");
            let flag =
                (text(input, "type") == Some("named")).then(|| text(input, "name").unwrap_or_default());
            let name = flag.or_else(|| text(input, "valueHint")).unwrap_or_default();
            let says = ["value", "default", "valueHint"].iter().any(|key| input.get(key).is_some());
            let value = self.value(&path, name, input);
            match value {
                Some(Value::String(value)) => {
                    words.extend(flag.map(str::to_owned));
                    words.push(value);
                }
                Some(_) => {
                    let message = "a secret cannot be an argument, which other users of the machine can see";
                    self.flaw(&path, message.to_owned());
                }
                // A switch.
                None if !says => words.extend(flag.map(str::to_owned)),
                None => {}
            }
        }
        words
    }

    /// What the operator gave, or else what the document says; `None` for what may be left out.
    fn value(&mut self, path: &str, name: &str, input: &Value) -> Option<Value> {
        if let Some(given) = self.inputs.get(name) {
            let allowed = items(input, "choices");
            if !allowed.is_empty() && !allowed.contains(given) {
                let choices: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
                self.flaw(path, format!("`{name}` must be one of {}", choices.join(", ")));
            }
            return Some(given.clone());
        }
        if let Some(fixed) = text(input, "value").or_else(|| text(input, "default")) {
            return Some(Value::String(self.filled(path, fixed, input)));
        }
        if input.get("isRequired") == Some(&Value::Bool(true)) {
            let what = text(input, "description").map(|text| format!(" ({text:.100})")).unwrap_or_default();
            let how = if input.get("isSecret") == Some(&Value::Bool(true)) { "--secret" } else { "--set" };
            self.flaw(path, format!("`{name}`{what} is required; give it with {how} {name}=…"));
        }
        None
    }

    /// A text with its `{variables}` in place.
    fn filled(&mut self, path: &str, template: &str, of: &Value) -> String {
        let (mut out, mut rest) = (String::new(), template);
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, behind)) = after.split_once('}') else { break };
            out.push_str(before);
            let variable = of.get("variables").and_then(|variables| variables.get(name));
            let given = self.inputs.get(name).and_then(Value::as_str);
            let said = variable.and_then(|it| text(it, "value").or_else(|| text(it, "default")));
            match given.or(said) {
                Some(value) => out.push_str(value),
                None => {
                    self.flaw(
                        path,
                        format!("`{{{name}}}` stands for something; give it with --set {name}=…"),
                    );
                }
            }
            rest = behind;
        }
        out.push_str(rest);
        out
    }
}
