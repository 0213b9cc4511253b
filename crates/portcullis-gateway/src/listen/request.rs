//! A request before its body is read, the same for all versions of HTTP.

use http::Method;

use super::fields::Fields;

/// What stands before the body.
pub(super) struct Head {
    pub(super) method: Method,
    /// Without the query.
    pub(super) path: String,
    /// What follows the path and its question mark.
    pub(super) query: Option<String>,
    /// The host that the request's target names: always in HTTP/2, in HTTP/1.1 only when it was sent through a proxy.
    pub(super) authority: Option<String>,
    pub(super) fields: Fields,
}
