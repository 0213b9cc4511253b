//! Who gives vectors of texts: `discovery.embeddings`, checked.

use std::path::PathBuf;
use std::time::Duration;

use crate::Secret;

/// A service with the interface of OpenAI's embeddings.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// Its URL.
    pub url: String,
    /// Which of its models.
    pub model: String,
    /// The bearer token that goes with it.
    pub key: Option<Secret>,
    /// Authorities trusted instead of those of the system, PEM.
    pub ca: Option<PathBuf>,
    /// How long a search waits for the vector of its question.
    pub timeout: Duration,
}
