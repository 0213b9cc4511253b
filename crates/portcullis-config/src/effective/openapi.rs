//! An API that a document describes, in the shape of the file.

use serde_json::{Value, json};

use super::{secrets, without_nulls};
use crate::OpenApi;

/// Puts what is said of an API in the place of what is said of a server that speaks MCP.
pub(super) fn openapi(server: &mut Value, api: &OpenApi) {
    let base = server["url"].take();
    let shown = without_nulls(json!({
        "document": api.document.to_string(),
        "digest": api.digest.as_ref().map(|digest| format!("sha256:{digest}")),
        "base_url": if api.is_placed_by_document { Value::Null } else { base },
        "query": (!api.query.is_empty()).then(|| secrets(&api.query)),
        "operations": (!api.operations.is_empty()).then_some(&api.operations),
    }));
    server["transport"] = Value::Null;
    server["era"] = Value::Null;
    if api.is_placed_by_document {
        server["tls"] = Value::Null;
    }
    server["openapi"] = shown;
}
