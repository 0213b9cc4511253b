//! A `server.json`: what a publisher says of one version of a server, in the format of the MCP registry (schema of
//! 2025-12-11).
//!
//! It is checked against the limits of that format and kept as it came, unknown members included. What it says of packages
//! and remotes is the publisher's; others are told where the gateway has the server instead.

use std::fmt;

use serde_json::{Map, Value, json};

use super::python::Python;
use super::version::is_range;

/// The schema that documents are written by.
const SCHEMA: &str = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";
const PUBLISHER: &str = "io.modelcontextprotocol.registry/publisher-provided";

const MAX_BYTES: usize = 256 << 10;
const MAX_PUBLISHER_BYTES: usize = 4096;
const PACKAGES: &[&str] = &["npm", "pypi", "nuget", "oci", "mcpb", "cargo"];

/// Something that a document must not say, or lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where: `packages[0].version`.
    pub path: String,
    /// What, and what to do.
    pub message: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path, self.message)
    }
}

/// A document that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Document(Map<String, Value>);

impl Document {
    /// Reads and checks one.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, Vec<Flaw>> {
        let whole = |message: String| vec![Flaw { path: "server.json".to_owned(), message }];
        if text.len() > MAX_BYTES {
            return Err(whole(format!("it has more than {MAX_BYTES} bytes")));
        }
        let value: Value =
            serde_json::from_slice(text).map_err(|error| whole(format!("it is not JSON: {error}")))?;
        Self::new(value)
    }

    /// Checks one.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn new(value: Value) -> Result<Self, Vec<Flaw>> {
        let Value::Object(members) = value else {
            let message = "it is not a JSON object".to_owned();
            return Err(vec![Flaw { path: "server.json".to_owned(), message }]);
        };
        let mut check = Check::default();
        check.document(&members);
        if check.0.is_empty() { Ok(Self(members)) } else { Err(check.0) }
    }

    /// One for a server that comes without: what the operator says of it, and nothing of where it is.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn made(
        name: &str,
        title: Option<&str>,
        description: &str,
        version: &str,
    ) -> Result<Self, Vec<Flaw>> {
        // The format has a hundred characters for it.
        let description: String = description.chars().take(100).collect();
        let mut value = json!({
            "$schema": SCHEMA,
            "name": name,
            "description": description,
            "version": version,
        });
        if let (Some(title), Some(members)) = (title, value.as_object_mut()) {
            members.insert("title".to_owned(), title.into());
        }
        Self::new(value)
    }

    fn text(&self, key: &str) -> &str {
        // Checked when it was made.
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// `com.example/files`.
    pub fn name(&self) -> &str {
        self.text("name")
    }

    /// What it is, in at most a hundred characters.
    pub fn description(&self) -> &str {
        self.text("description")
    }

    /// The version that it describes.
    pub fn version(&self) -> &str {
        self.text("version")
    }

    /// What to call it for people.
    pub fn title(&self) -> Option<&str> {
        self.0.get("title").and_then(Value::as_str)
    }

    /// How it can be installed.
    pub fn packages(&self) -> &[Value] {
        self.0.get("packages").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Where it is.
    pub fn remotes(&self) -> &[Value] {
        self.0.get("remotes").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Whether it says itself what a header or variable of this name has.
    pub fn gives(&self, name: &str) -> bool {
        let inputs = |way: &Value| {
            ["environmentVariables", "headers"].iter().any(|key| {
                way.get(key).and_then(Value::as_array).into_iter().flatten().any(|input| {
                    let said = ["value", "default"].iter().any(|key| input.get(key).is_some());
                    said && input.get("name").and_then(Value::as_str) == Some(name)
                })
            })
        };
        self.packages().iter().chain(self.remotes()).any(inputs)
    }

    /// Only with those packages and remotes that are wanted.
    pub(super) fn with(&self, package: impl Fn(&Value) -> bool, remote: impl Fn(&Value) -> bool) -> Self {
        let mut members = self.0.clone();
        let mut keep = |key: &str, wanted: &dyn Fn(&Value) -> bool| {
            if let Some(items) = members.get_mut(key).and_then(Value::as_array_mut) {
                items.retain(wanted);
            }
        };
        keep("packages", &package);
        keep("remotes", &remote);
        Self(members)
    }

    /// As it came.
    pub fn value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// For clients of this gateway: they find the server at `url`, and neither its packages nor where it comes from, nor what
    /// its publisher says to other registries.
    pub fn at(&self, url: &str) -> Value {
        let mut members = self.0.clone();
        for origin in ["packages", "repository", "_meta"] {
            members.remove(origin);
        }
        members.insert("remotes".to_owned(), json!([{ "type": "streamable-http", "url": url }]));
        Value::Object(members)
    }
}

/// `files`, `@acme/files`: nothing that `npx` takes for an option, an address or a path.
fn is_npm_name(name: &str) -> bool {
    let well_formed = |part: &str| {
        let allowed = |byte: u8, also: &[u8]| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || also.contains(&byte)
        };
        part.bytes().next().is_some_and(|first| allowed(first, b"~"))
            && part.bytes().all(|byte| allowed(byte, b"-._~"))
    };
    match name.strip_prefix('@') {
        Some(scoped) => {
            scoped.split_once('/').is_some_and(|(scope, own)| well_formed(scope) && well_formed(own))
        }
        None => well_formed(name),
    }
}

/// A name of PEP 508, without extras.
fn is_python_name(name: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    edge(name.bytes().next())
        && edge(name.bytes().last())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// A version of PEP 440.
fn is_python_version(version: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'!');
    version.bytes().all(allowed) && Python::parse(version).is_some()
}

/// Collects what is wrong.
#[derive(Default)]
struct Check(Vec<Flaw>);

impl Check {
    fn flaw(&mut self, path: &str, message: impl Into<String>) {
        self.0.push(Flaw { path: path.to_owned(), message: message.into() });
    }

    fn document(&mut self, members: &Map<String, Value>) {
        if let Some(name) = self.required(members, "", "name") {
            let well_formed = |part: &str, also: &[char]| {
                !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(&c))
            };
            let parts = name.split_once('/');
            let right = parts.is_some_and(|(space, own)| {
                well_formed(space, &['.', '-']) && well_formed(own, &['.', '_', '-'])
            });
            if !right || !(3..=200).contains(&name.len()) {
                let example =
                    "`com.example/files`, of at most 200 letters, digits, dots, hyphens and underscores";
                self.flaw("name", format!("it must be a reversed domain, a slash and a name, as {example}"));
            }
        }
        if let Some(description) = self.required(members, "", "description") {
            self.length("description", description, 100);
        }
        if let Some(version) = self.required(members, "", "version") {
            self.length("version", version, 255);
            self.exact("version", version);
        }
        if let Some(title) = self.optional(members, "", "title") {
            self.length("title", title, 100);
        }
        if let Some(site) = self.optional(members, "", "websiteUrl") {
            self.web("websiteUrl", site);
        }
        if let Some(repository) = members.get("repository") {
            match repository.as_object() {
                Some(repository) => {
                    self.required(repository, "repository.", "url");
                    self.required(repository, "repository.", "source");
                }
                None => self.flaw("repository", "it must be an object with `url` and `source`"),
            }
        }
        self.each(members, "icons", Self::icon);
        self.each(members, "packages", Self::package);
        self.each(members, "remotes", Self::remote);
        if let Some(meta) = members.get("_meta") {
            match meta.as_object() {
                Some(meta) => {
                    let publisher = meta.get(PUBLISHER);
                    if publisher.is_some_and(|said| said.to_string().len() > MAX_PUBLISHER_BYTES) {
                        let message = format!("it has more than {MAX_PUBLISHER_BYTES} bytes");
                        self.flaw(&format!("_meta[\"{PUBLISHER}\"]"), message);
                    }
                }
                None => self.flaw("_meta", "it must be an object"),
            }
        }
    }

    fn each(
        &mut self,
        members: &Map<String, Value>,
        key: &str,
        check: fn(&mut Self, &str, &Map<String, Value>),
    ) {
        match members.get(key) {
            None => {}
            Some(Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    match item.as_object() {
                        Some(item) => check(self, &format!("{key}[{index}]."), item),
                        None => self.flaw(&format!("{key}[{index}]"), "it must be an object"),
                    }
                }
            }
            Some(_) => self.flaw(key, "it must be an array"),
        }
    }

    fn icon(&mut self, path: &str, icon: &Map<String, Value>) {
        if let Some(src) = self.required(icon, path, "src") {
            let at = format!("{path}src");
            self.length(&at, src, 255);
            if !src.starts_with("https://") {
                self.flaw(&at, "it must be an https URL");
            }
        }
    }

    fn package(&mut self, path: &str, package: &Map<String, Value>) {
        let kind = self.required(package, path, "registryType").map(str::to_owned);
        if kind.as_deref().is_some_and(|kind| !PACKAGES.contains(&kind)) {
            self.flaw(
                &format!("{path}registryType"),
                format!("there is no such kind; there are {}", PACKAGES.join(", ")),
            );
        }
        if let Some(identifier) = self.required(package, path, "identifier") {
            let right = match kind.as_deref() {
                Some("npm") => is_npm_name(identifier),
                Some("pypi") => is_python_name(identifier),
                _ => true,
            };
            if !right {
                self.flaw(
                    &format!("{path}identifier"),
                    format!("`{identifier}` is no name of a package there"),
                );
            }
        }
        if let Some(version) = self.optional(package, path, "version") {
            let at = format!("{path}version");
            self.length(&at, version, 255);
            let right = match kind.as_deref() {
                Some("npm") => semver::Version::parse(version).is_ok(),
                Some("pypi") => is_python_version(version),
                _ => !is_range(version),
            };
            if !right {
                self.flaw(&at, format!("`{version}` is no single version; name the one that is meant"));
            }
        }
        let digest = self.optional(package, path, "fileSha256");
        let well_formed = |digest: &str| {
            digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if digest.is_some_and(|digest| !well_formed(digest)) {
            self.flaw(&format!("{path}fileSha256"), "it must be 64 digits of lower-case hexadecimal");
        }
        if kind.as_deref() == Some("mcpb") && digest.is_none() {
            self.flaw(&format!("{path}fileSha256"), "an mcpb package must have it");
        }
        match package.get("transport").map(Value::as_object) {
            Some(Some(transport)) => {
                let at = format!("{path}transport.");
                let kind = self.required(transport, &at, "type");
                match kind {
                    Some("stdio") | None => {}
                    Some("streamable-http" | "sse") => {
                        self.required(transport, &at, "url");
                    }
                    Some(_) => self.flaw(&format!("{at}type"), "it must be stdio, streamable-http or sse"),
                }
            }
            Some(None) => self.flaw(&format!("{path}transport"), "it must be an object with `type`"),
            None => self.flaw(&format!("{path}transport"), "it is missing"),
        }
    }

    fn remote(&mut self, path: &str, remote: &Map<String, Value>) {
        let kind = self.required(remote, path, "type");
        if kind.is_some_and(|kind| !matches!(kind, "streamable-http" | "sse")) {
            self.flaw(&format!("{path}type"), "it must be streamable-http or sse");
        }
        if let Some(url) = self.required(remote, path, "url")
            && !url.starts_with('{')
        {
            self.web(&format!("{path}url"), url);
        }
    }

    fn required<'a>(&mut self, members: &'a Map<String, Value>, path: &str, key: &str) -> Option<&'a str> {
        if !members.contains_key(key) {
            self.flaw(&format!("{path}{key}"), "it is missing");
            return None;
        }
        let text = self.optional(members, path, key)?;
        if text.is_empty() {
            self.flaw(&format!("{path}{key}"), "it is empty");
            return None;
        }
        Some(text)
    }

    fn optional<'a>(&mut self, members: &'a Map<String, Value>, path: &str, key: &str) -> Option<&'a str> {
        match members.get(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.flaw(&format!("{path}{key}"), "it must be a string");
                None
            }
        }
    }

    fn length(&mut self, path: &str, text: &str, most: usize) {
        if text.chars().count() > most {
            self.flaw(path, format!("it has more than {most} characters"));
        }
    }

    fn exact(&mut self, path: &str, version: &str) {
        if is_range(version) {
            self.flaw(path, format!("`{version}` stands for several versions; name the one that is meant"));
        }
    }

    fn web(&mut self, path: &str, url: &str) {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.contains(char::is_whitespace)) {
            self.flaw(path, "it must be an http or https URL");
        }
    }
}
