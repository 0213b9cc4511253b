//! Virtual servers, as they are written.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::Offered;

/// A virtual server at `/mcp/v/<name>`: tools, prompts and resources of several servers, under names, with descriptions and
/// with arguments of the operator's choice. Where there is a `policy`, it says who may open it (`toolsets/use`), and holds
/// for each tool all the same.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Toolset {
    /// Shown to people in place of the gateway's own title.
    pub(crate) title: Option<String>,
    /// Told to models; nothing is when not given. What the servers say is not told here.
    pub(crate) instructions: Option<String>,
    /// Whether it offers `hub__search`, `hub__describe` and `hub__call`, for its own tools: `off`, `beside` or `instead`. The
    /// rules of `discovery.clients` come first.
    pub(crate) discovery: Offered,
    /// Its tools. What an entry with `*` takes is what no entry without one names; of several that fit, the first counts.
    pub(crate) tools: Vec<ToolPick>,
    /// Its prompts, in the same way.
    pub(crate) prompts: Vec<PromptPick>,
    /// Its resources and templates: `SERVER/URI`, where `*` stands for any characters. Views of its tools need not be named.
    pub(crate) resources: Vec<String>,
}

/// Tools that a toolset has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolPick {
    /// `SERVER/NAME`, by the server's own name; `*` stands for any characters.
    pub(crate) from: String,
    /// The tool's name in the toolset: 1 to 64 letters, digits, `-` and `_`, without `__`. When not given, it is called
    /// `SERVER__NAME` as on `/mcp`. For one tool only, as `title` and `description`.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Its title.
    #[serde(default)]
    pub(crate) title: Option<String>,
    /// Its description.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// Arguments with fixed values: they are in no schema that a client sees, and in every call. A client that gives one is
    /// refused. A tool whose schema does not have one of them is left out, and the log says so.
    #[serde(default)]
    pub(crate) preset: BTreeMap<String, Any>,
    /// Arguments that are in no schema that a client sees, and in no call. One that the tool requires is sent with the default
    /// that its schema has; without one the tool is left out.
    #[serde(default)]
    pub(crate) hide: Vec<String>,
}

/// Prompts that a toolset has.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromptPick {
    /// `SERVER/NAME`, by the server's own name; `*` stands for any characters.
    pub(crate) from: String,
    /// The prompt's name in the toolset, as that of a tool. For one prompt only, as `title` and `description`.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Its title.
    #[serde(default)]
    pub(crate) title: Option<String>,
    /// Its description.
    #[serde(default)]
    pub(crate) description: Option<String>,
}

/// Any value but null.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Any(pub(crate) serde_json::Value);

impl JsonSchema for Any {
    fn schema_name() -> Cow<'static, str> {
        "Any".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number", "boolean", "array", "object"],
            "items": { "$ref": "#/$defs/Any" },
            "additionalProperties": { "$ref": "#/$defs/Any" },
            "description": "Text, a number, true or false, a list, or a mapping."
        })
    }
}
