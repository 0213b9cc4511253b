//! `discovery.embeddings`, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Duration, Secret};

/// A service that gives vectors of texts, with the interface of OpenAI's `/v1/embeddings`, as most servers of models have it. Then
/// `hub__search` ranks by meaning, too. It is sent `{"model", "input": [texts]}`: the names, titles and descriptions of the tools that
/// somebody searches among, once, and the questions of searches, as the guard leaves them. A caller who has read what `flow` keeps apart has no
/// question sent. Without an answer in time, words alone decide.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Embeddings {
    /// Its `https://` URL, or `http://` on this machine, such as `http://127.0.0.1:8081/v1/embeddings`.
    pub(crate) url: String,
    /// The model, as the service calls it. Another model's vectors do not compare: change the name with the model.
    pub(crate) model: String,
    /// Sent as a bearer token.
    #[serde(default)]
    pub(crate) key: Option<Secret>,
    /// PEM file with the authorities to trust instead of those of the system.
    #[serde(default)]
    pub(crate) ca: Option<String>,
    /// How long a search waits for the vector of its question, up to `5s`.
    #[serde(default)]
    #[schemars(extend("default" = "300ms"))]
    pub(crate) timeout: Option<Duration>,
}
