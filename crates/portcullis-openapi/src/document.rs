//! The text of a document, and what its references mean.
//!
//! A reference is followed inside the document alone. One that leads elsewhere, to nothing, or in a circle of references is
//! nothing: nothing is ever fetched because a document says so. The members of `components` are looked up in a table, for a
//! large document has thousands of references to them.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use portcullis_mcp::json::{Kind, Limits, Raw};

use crate::yaml;

/// The largest document, in bytes; GitHub's has twelve million.
pub const MAX_BYTES: usize = 32 << 20;
/// Deepest nesting.
const MAX_DEPTH: usize = 128;
/// How many bytes may be gone through, again and again, before a document is given up: each level of a schema is gone through
/// with all that is in it, and what a reference leads to each time that one does, which may be the whole document. GitHub's
/// takes a tenth of it.
const MOST_WORK: usize = 1 << 30;
/// So many references in a row are followed.
const MAX_HOPS: usize = 16;

/// Why a document is no API.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Unfit(pub(crate) String);

impl Unfit {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// A document that can be read.
pub struct Document {
    root: Raw,
    /// Members of the members of `components`.
    components: HashMap<(String, String), Raw>,
    /// It is of OpenAPI 3.0, whose schemas are a dialect of their own.
    is_3_0: bool,
    /// What is left of [`MOST_WORK`].
    pub(crate) work: Cell<usize>,
}

impl Document {
    /// Reads JSON or YAML.
    ///
    /// # Errors
    /// It is neither, or no document of OpenAPI 3.0 or 3.1, or too large.
    pub fn parse(text: Bytes) -> Result<Self, Unfit> {
        if text.len() > MAX_BYTES {
            return Err(Unfit::new(format!("the document has more than {} MiB", MAX_BYTES >> 20)));
        }
        let text = match text.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => text.slice_ref(rest),
            None => text,
        };
        let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
        let json = if first == Some(&b'{') {
            text
        } else {
            let text =
                std::str::from_utf8(&text).map_err(|_| Unfit::new("the document is no text in UTF-8"))?;
            let json = yaml::to_json(text, MAX_BYTES, MAX_DEPTH);
            json.map_err(|error| Unfit::new(format!("the document cannot be read: {error}")))?.into()
        };
        let root = Raw::parse(json, Limits { depth: MAX_DEPTH });
        let root = root.map_err(|error| Unfit::new(format!("the document cannot be read: {error}")))?;
        if root.kind() != Kind::Object {
            return Err(Unfit::new("the document is no object"));
        }
        let version = root.find("openapi").and_then(|version| version.string().map(Cow::into_owned));
        let is_3_0 = match version.as_deref() {
            Some(version) if version.starts_with("3.0.") || version == "3.0" => true,
            Some(version) if version.starts_with("3.1.") || version == "3.1" => false,
            Some(version) => {
                let version: String = version.chars().filter(|c| !c.is_control()).take(20).collect();
                return Err(Unfit::new(format!(
                    "the document is of OpenAPI {version}; 3.0 and 3.1 are read"
                )));
            }
            None if root.find("swagger").is_some() => {
                return Err(Unfit::new(
                    "the document is of Swagger 2.0; convert it to OpenAPI 3 first, for example with swagger2openapi",
                ));
            }
            None => return Err(Unfit::new("the document has no `openapi`: it is no OpenAPI document")),
        };
        let mut components = HashMap::new();
        for section in root.find("components").iter().flat_map(Raw::members) {
            for component in section.value().members() {
                let key = (section.key().into_owned(), component.key().into_owned());
                components.insert(key, component.value());
            }
        }
        Ok(Self { root, components, is_3_0, work: Cell::new(MOST_WORK) })
    }

    pub(crate) fn root(&self) -> &Raw {
        &self.root
    }

    /// Whether its schemas are of OpenAPI 3.0.
    pub(crate) fn is_3_0(&self) -> bool {
        self.is_3_0
    }

    /// Whether so many bytes may still be gone through.
    pub(crate) fn spend(&self, bytes: usize) -> bool {
        let left = self.work.get().checked_sub(bytes);
        self.work.set(left.unwrap_or_default());
        left.is_some()
    }

    /// The same for a value that is looked into so many times.
    pub(crate) fn spend_on(&self, value: &Raw, times: usize) -> bool {
        self.spend(value.as_bytes().len().saturating_mul(times))
    }

    /// Whether nothing more is looked at.
    pub(crate) fn is_given_up(&self) -> bool {
        self.work.get() == 0
    }

    /// What a reference means, if it is one of this document's.
    pub(crate) fn find(&self, reference: &str) -> Option<Raw> {
        let pointer = reference.strip_prefix('#')?;
        if pointer.is_empty() {
            return Some(self.root.clone());
        }
        let pointer = percent_decode_str(pointer).decode_utf8().ok()?;
        let mut tokens = pointer.strip_prefix('/')?.split('/').map(unescaped);
        let mut value = self.root.clone();
        if pointer.starts_with("/components/") {
            let (_, section, name) = (tokens.next()?, tokens.next()?, tokens.next()?);
            value = self.components.get(&(section.into_owned(), name.into_owned()))?.clone();
        }
        for token in tokens {
            if !self.spend_on(&value, 1) {
                return None;
            }
            value = match value.kind() {
                Kind::Array => value.elements().nth(token.parse().ok()?)?,
                _ => value.find(&token)?,
            };
        }
        Some(value)
    }

    /// A value, or what it is a reference to; `None` for a reference that leads nowhere, and for a document that is given up.
    pub(crate) fn resolve(&self, value: &Raw) -> Option<Raw> {
        let mut value = value.clone();
        for _ in 0..MAX_HOPS {
            if !self.spend_on(&value, 1) {
                return None;
            }
            match reference(&value) {
                None => return Some(value),
                Some(reference) => value = self.find(&reference)?,
            }
        }
        None
    }
}

/// Where a reference leads, if it is one.
pub(crate) fn reference(value: &Raw) -> Option<String> {
    value.find_string("$ref")
}

/// A token of a JSON pointer (RFC 6901).
fn unescaped(token: &str) -> Cow<'_, str> {
    if token.contains('~') { token.replace("~1", "/").replace("~0", "~").into() } else { token.into() }
}

/// Whether a text looks like an OpenAPI document, of any version.
pub fn is_document(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('{') {
        let raw = Raw::parse(text.as_bytes().to_vec().into(), Limits { depth: MAX_DEPTH });
        return raw.is_ok_and(|raw| raw.find("openapi").is_some() || raw.find("swagger").is_some());
    }
    text.lines().any(|line| {
        let key = line.split_once(':').map(|(key, _)| key.trim_matches(['"', '\'']));
        matches!(key, Some("openapi" | "swagger"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &'static str) -> Result<Document, Unfit> {
        Document::parse(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn reads_json_and_yaml_of_3_0_and_3_1_and_nothing_else() {
        assert!(document(r#"{"openapi":"3.0.3"}"#).expect("JSON").is_3_0());
        assert!(!document("openapi: 3.1.0\npaths: {}").expect("YAML").is_3_0());
        assert!(document("\u{feff}{\"openapi\":\"3.1.1\"}").is_ok());
        for (text, why) in [
            (r#"{"swagger":"2.0"}"#, "Swagger 2.0"),
            (r#"{"openapi":"4.0.0"}"#, "3.0 and 3.1"),
            (r#"{"openapi":"3.1.0","openapi":"3.0.0"}"#, "duplicate key"),
            ("{}", "no OpenAPI document"),
            ("just text", "no object"),
            ("{\"openapi\":", "cannot be read"),
        ] {
            let error = document(text).map(drop).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let deep = format!("{{\"openapi\":\"3.1.0\",\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        assert!(Document::parse(deep.into()).is_err());
    }

    #[test]
    fn references_are_followed_inside_alone_and_circles_end() {
        let document = document(
            r##"{"openapi":"3.1.0","paths":{"/a/{b}":{"get":{"parameters":[{"name":"x"}]}}},
            "components":{"schemas":{"A":{"$ref":"#/components/schemas/B"},"B":{"type":"object"},
            "C":{"$ref":"#/components/schemas/D"},"D":{"$ref":"#/components/schemas/C"},"E~/F":{"items":true}}}}"##,
        )
        .expect("a document");
        let found = |reference: &str| document.find(reference).map(|raw| raw.to_string());
        assert_eq!(found("#/components/schemas/B").as_deref(), Some(r#"{"type":"object"}"#));
        assert_eq!(found("#/components/schemas/E~0~1F/items").as_deref(), Some("true"));
        assert_eq!(found("#/paths/~1a~1%7Bb%7D/get/parameters/0").as_deref(), Some(r#"{"name":"x"}"#));
        for nowhere in
            ["other.json#/x", "https://example.com/a.json", "#/components/schemas/Z", "#anchor", ""]
        {
            assert_eq!(found(nowhere), None, "{nowhere}");
        }
        let schema = |name: &str| document.find(&format!("#/components/schemas/{name}")).expect(name);
        assert_eq!(
            document.resolve(&schema("A")).map(|raw| raw.to_string()).as_deref(),
            Some(r#"{"type":"object"}"#)
        );
        assert!(document.resolve(&schema("C")).is_none());
    }

    #[test]
    fn documents_are_recognized() {
        for text in [
            "{\"openapi\":\"3.1.0\"}",
            "# c\nopenapi: 3.0.0\n",
            "info: {}\n\"swagger\": '2.0'",
            "\u{feff} {\"swagger\":1}",
        ] {
            assert!(is_document(text), "{text}");
        }
        for text in
            ["{\"mcpServers\":{}}", "servers:\n  openapi: x\n", "{\"a\":{\"openapi\":1}}", "", "openapi"]
        {
            assert!(!is_document(text), "{text}");
        }
    }
}
