//! What a server says of one thing that it has, and the digest by which it is known again.
//!
//! Everything of an item is pinned but what servers keep for themselves or change without a model noticing: `_meta` except for
//! what concerns views and which request a tool is that the gateway made of an API's operation, and of resources their size and when they were last changed.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use portcullis_mcp::apps;
use portcullis_mcp::json::{Change, Raw};
use serde::{Deserialize, Serialize};

use crate::canonical;

/// What is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the lists of the protocol, and what a server says of itself")]
pub enum DefinitionKind {
    Tool,
    Prompt,
    Resource,
    Template,
    Instructions,
}

impl DefinitionKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Tool, Self::Prompt, Self::Resource, Self::Template, Self::Instructions];

    /// The name in records, commands and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "template",
            Self::Instructions => "instructions",
        }
    }

    /// Whether whoever lists them once has seen them all. Resources come and go with what they stand for, and no scan reads
    /// instructions.
    pub(crate) fn is_seen_whole(self) -> bool {
        matches!(self, Self::Tool | Self::Prompt | Self::Template)
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for DefinitionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The digest of a definition: SHA-256 over its canonical form and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin([u8; 32]);

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Pin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected `sha256:` and 64 hexadecimal digits";
        let hex =
            text.strip_prefix("sha256:").filter(|hex| hex.len() == 64 && hex.is_ascii()).ok_or(wrong)?;
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| wrong)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Pin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What a server says of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What it is.
    pub kind: DefinitionKind,
    /// The server's name or URI for it.
    pub name: String,
    /// The pinned members, in canonical form.
    pub text: String,
    /// The digest.
    pub pin: Pin,
    /// It is let through by nobody but somebody who has looked at it.
    pub suspect: bool,
}

/// What is said before the rest, so that a digest of one kind of thing never is one of another.
const DOMAIN: &str = "portcullis-definition-v1";

impl Definition {
    /// Of an item of a server's list.
    pub fn of_item(server: &str, kind: DefinitionKind, name: &str, item: &Raw) -> Self {
        Self::new(server, kind, name, canonical(&pinned(kind, item)))
    }

    /// Of what a server tells models of itself.
    pub fn of_instructions(server: &str, text: &str) -> Self {
        let said = canonical(&Raw::from_text(text));
        Self::new(server, DefinitionKind::Instructions, "instructions", said)
    }

    fn new(server: &str, kind: DefinitionKind, name: &str, text: String) -> Self {
        let mut context = Context::new(&SHA256);
        for part in [DOMAIN, server, kind.as_str(), name] {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        context.update(text.as_bytes());
        let mut pin = [0; 32];
        pin.copy_from_slice(context.finish().as_ref());
        Self { kind, name: name.to_owned(), text, pin: Pin(pin), suspect: false }
    }
}

/// In `_meta`: which request a tool of an API is, as `portcullis-openapi` writes it.
const REQUEST: &str = "io.portcullis/request";

/// The members that are pinned.
fn pinned(kind: DefinitionKind, item: &Raw) -> Raw {
    let meta = item.find("_meta").and_then(|meta| {
        let kept = ["ui", apps::FLAT_RESOURCE_URI, REQUEST].map(|key| (key, meta.find(key)));
        let kept: Vec<_> = kept.iter().filter_map(|(key, value)| Some((*key, value.as_ref()?))).collect();
        let changes: Vec<_> = kept.iter().map(|(key, value)| (*key, Change::Set(value.as_bytes()))).collect();
        (!changes.is_empty()).then(|| Raw::from_static("{}").with(&changes))
    });
    let meta = meta.as_ref().map_or(Change::Remove, |meta| Change::Set(meta.as_bytes()));
    let item = item.with(&[("_meta", meta)]);
    if kind != DefinitionKind::Resource {
        return item;
    }
    let annotations = item.find("annotations").map(|said| said.with(&[("lastModified", Change::Remove)]));
    let annotations = annotations.as_ref().filter(|said| said.members().next().is_some());
    let annotations = annotations.map_or(Change::Remove, |said| Change::Set(said.as_bytes()));
    item.with(&[("size", Change::Remove), ("annotations", annotations)])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use portcullis_mcp::json::Limits;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn of(kind: DefinitionKind, item: &Value) -> Definition {
        let raw = Raw::parse(Bytes::from(item.to_string()), Limits { depth: 64 }).unwrap();
        Definition::of_item("s", kind, item["name"].as_str().unwrap_or("x"), &raw)
    }

    #[test]
    fn whatever_a_model_reads_is_pinned_and_nothing_else() {
        let tool = json!({
            "name": "t", "title": "T", "description": "d", "inputSchema": {"type": "object", "properties": {"a": {"description": "x"}}},
            "outputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}, "icons": [{"src": "data:,"}],
            "_meta": {"ui": {"resourceUri": "ui://a"}, "io.portcullis/request": {"server": "/v1"}, "other": 1},
        });
        let pin = of(DefinitionKind::Tool, &tool).pin;
        for (path, value) in [
            ("/title", json!("U")),
            ("/description", json!("d\u{200b}")),
            ("/inputSchema/properties/a/description", json!("y")),
            ("/outputSchema", json!({})),
            ("/annotations/readOnlyHint", json!(false)),
            ("/icons", json!([])),
            ("/_meta/ui/resourceUri", json!("ui://b")),
            ("/_meta/io.portcullis~1request/server", json!("/v2")),
        ] {
            let mut other = tool.clone();
            *other.pointer_mut(path).unwrap() = value;
            assert_ne!(of(DefinitionKind::Tool, &other).pin, pin, "{path}");
        }
        let mut same = tool.clone();
        same["_meta"]["other"] = json!(2);
        assert_eq!(of(DefinitionKind::Tool, &same).pin, pin);
        let mut more = tool.clone();
        more["hint"] = json!("call me first");
        assert_ne!(of(DefinitionKind::Tool, &more).pin, pin, "members that nobody knows are read too");
        assert_ne!(of(DefinitionKind::Prompt, &tool).pin, pin);
        let raw = Raw::from_value(&tool);
        assert_ne!(Definition::of_item("other", DefinitionKind::Tool, "t", &raw).pin, pin);
    }

    #[test]
    fn a_resource_may_grow() {
        let one = json!({"uri": "x", "name": "log", "size": 1, "annotations": {"lastModified": "2026"}});
        let two = json!({"uri": "x", "name": "log", "size": 2});
        let pin = |item| of(DefinitionKind::Resource, item).pin;
        assert_eq!(pin(&one), pin(&two));
        assert_ne!(
            pin(&json!({"uri": "x", "name": "log", "annotations": {"audience": ["user"]}})),
            pin(&two)
        );
    }

    #[test]
    fn pins_are_read_as_they_are_written() {
        let pin = of(DefinitionKind::Tool, &json!({"name": "t"})).pin;
        assert_eq!(pin.to_string().parse(), Ok(pin));
        assert_eq!(serde_json::from_value::<Pin>(json!(pin)).unwrap(), pin);
        for wrong in ["", "sha256:", "sha256:zz", &format!("sha256:{}", "é".repeat(32))] {
            assert!(wrong.parse::<Pin>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_other_text_is_another_pin(one in ".{0,40}", two in ".{0,40}") {
            let pin = |text: &str| of(DefinitionKind::Tool, &json!({"name": "t", "description": text})).pin;
            prop_assert_eq!(pin(&one) == pin(&two), one == two);
        }
    }
}
