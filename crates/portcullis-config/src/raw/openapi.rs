//! `openapi` of an entry of `servers`: an API that a document describes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Secret;

/// An HTTP API whose operations become tools, as its OpenAPI document (3.0 or 3.1) describes them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenApi {
    /// The document, in JSON or YAML: a file, or a URL. It is read again whenever the list of tools is (`list_ttl`).
    pub(crate) document: String,
    /// What the document must be, `sha256:` and 64 digits: another one is not used.
    #[serde(default)]
    pub(crate) digest: Option<String>,
    /// Where the API is. When not given, where the document says, if that is on the public internet or where the document
    /// itself comes from; nothing secret is sent then.
    #[serde(default)]
    pub(crate) base_url: Option<String>,
    /// Parameters put into the query of each request, such as an API key. Callers are not asked for them. They need
    /// `base_url`.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, Secret>,
    /// The tools that are wanted, by their names, in which `*` stands for any characters; all when empty.
    #[serde(default)]
    pub(crate) operations: Vec<String>,
}
