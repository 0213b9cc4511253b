//! Resource URIs when many servers look like one.
//!
//! Two servers may both have `config://main`, so an aggregate offers `mcp+<slug>+config://main`. A rule, not a table:
//! servers announce updates for URIs that were never listed, and templates make new ones. Two schemes keep their own
//! form: hosts recognise MCP Apps by `ui://`, so the slug goes into the authority, and clients may fetch `http:` and
//! `https:` resources themselves, so these stay and the caller routes them by what it has seen.
//!
//! A URI template is mapped like a URI: the prefix stands before its first expression, so that expansion (RFC 6570)
//! yields a mapped URI. [`template`] finds out whose template a web address comes from. [`rewrite`] finds the places in results where URIs stand. URIs inside texts and structured
//! content stay as they are.

pub mod rewrite;
pub mod template;

use portcullis_model::ServerId;

const PREFIX: &str = "mcp+";
const UI: &str = "ui://";

/// The aggregate's form of a URI or URI template of `server`.
pub fn map_out(server: &ServerId, uri: &str) -> String {
    let slug = server.as_str();
    if is_web(uri) {
        uri.to_owned()
    } else if let Some(rest) = uri.strip_prefix(UI) {
        [UI, slug, "+", rest].concat()
    } else {
        [PREFIX, slug, "+", uri].concat()
    }
}

/// The server and its own URI behind an aggregate's URI: undoes [`map_out`] for everything but `http:` and `https:`.
///
/// `None` when the URI names no server: then it is a web address, or no URI of the aggregate. Whether the server exists
/// is the caller's question. A mapped web address (`mcp+<slug>+https:…`, what the template `{+url}` expands to) is
/// understood although [`map_out`] never makes one.
pub fn map_in(uri: &str) -> Option<(ServerId, String)> {
    let (scheme, rest) = match uri.strip_prefix(PREFIX) {
        Some(rest) => ("", rest),
        None => (UI, uri.strip_prefix(UI)?),
    };
    // A slug has no plus sign: the first one ends it.
    let (slug, rest) = rest.split_once('+')?;
    Some((ServerId::parse(slug).ok()?, [scheme, rest].concat()))
}

/// Whether the scheme is `http` or `https`, in any case (RFC 3986 section 3.1).
pub fn is_web(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    })
}

#[cfg(test)]
mod tests;
