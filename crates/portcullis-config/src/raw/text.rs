//! Values that are text with a meaning of their own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A listener address, not checked yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Listen(pub(crate) String);

/// A duration, not checked yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Duration(pub(crate) String);

/// A size in bytes, not checked yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Size(pub(crate) String);

/// So many in a time, not checked yet.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct PerTime(pub(crate) String);

/// A secret by value or by reference.
#[derive(Clone)]
pub(crate) enum Secret {
    Literal(String),
    Env(String),
    File(String),
    Vault(String),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase", deny_unknown_fields)]
        enum Reference {
            Env(String),
            File(String),
            Vault(String),
        }
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Secret;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text, `{ env: NAME }`, `{ file: PATH }` or `{ vault: REFERENCE }`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret::Literal(text.to_owned()))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
                match Reference::deserialize(de::value::MapAccessDeserializer::new(map))? {
                    Reference::Env(name) => Ok(Secret::Env(name)),
                    Reference::File(path) => Ok(Secret::File(path)),
                    Reference::Vault(reference) => Ok(Secret::Vault(reference)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Listen {
    fn schema_name() -> Cow<'static, str> {
        "Listen".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "description": "A port, or an address and a port." })
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^([0-9]+ *(ms|s|m|h)|.*\$\{.*)$",
            "description": "A whole number and `ms`, `s`, `m` or `h`, such as `30s`. At most `720h`."
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": r"^([0-9]+ *(B|KiB|MiB|GiB)?|.*\$\{.*)$",
            "description": "Bytes, or a whole number and `KiB`, `MiB` or `GiB`, such as `4MiB`."
        })
    }
}

impl JsonSchema for PerTime {
    fn schema_name() -> Cow<'static, str> {
        "PerTime".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^([0-9]+ */ *[0-9]* *(ms|s|m|h)|.*\$\{.*)$",
            "description": "A whole number, `/`, and a duration or its unit, such as `20/s` or `1000/24h`."
        })
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let reference = |key: &str, description: &str| {
            json_schema!({
                "type": "object",
                "properties": { key: { "type": "string", "description": description } },
                "required": [key],
                "additionalProperties": false
            })
        };
        json_schema!({
            "description": "A secret: `{ env: NAME }`, `{ file: PATH }`, `{ vault: REFERENCE }` (but for what the Vault itself is asked with), or text, best with `${NAME}` in it.",
            "oneOf": [
                { "type": "string" },
                reference("env", "The environment variable that holds it."),
                reference("file", "The file that holds it; one trailing line break is not part of it."),
                reference("vault", "Where the Vault of `secrets.vault` has it: `MOUNT/PATH#FIELD`."),
            ]
        })
    }
}
