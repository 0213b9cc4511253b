//! An API that an OpenAPI document describes, checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Secret;

/// What is said of an API beside where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenApi {
    /// Where its document is.
    pub document: DocumentAt,
    /// The SHA-256 of the document, in lower-case hexadecimal.
    pub digest: Option<String>,
    /// Nobody here said where it is: the document does, and `url` of the server leads nowhere.
    pub is_placed_by_document: bool,
    /// Parameters of each query.
    pub query: BTreeMap<String, Secret>,
    /// Patterns of the tools that are wanted; all of them when there are none.
    pub operations: Vec<String>,
}

/// Where a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentAt {
    /// In a file.
    File(PathBuf),
    /// Behind a URL.
    Url(String),
}

impl std::fmt::Display for DocumentAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(file) => file.display().fmt(f),
            // Some have their key in the query.
            Self::Url(url) => f.write_str(url.split('?').next().unwrap_or_default()),
        }
    }
}
