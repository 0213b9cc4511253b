//! What is served, as a document (OpenAPI 3.1): every path of `PATHS`, and what it answers.
//!
//! It is written by hand, for what it says is for people; a test holds it to the paths of the code, and the walk over the
//! surface to what is answered. It names nothing of a configuration, so everybody may read it.

use http::header::CACHE_CONTROL;
use http::{HeaderValue, Response, StatusCode};

use super::body::Body;
use super::response;

/// The document.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

pub(super) fn document() -> Response<Body> {
    let mut answer = response::json(StatusCode::OK, DOCUMENT);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    answer
}
