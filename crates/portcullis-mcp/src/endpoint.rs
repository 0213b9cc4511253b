//! The `endpoint` event of the HTTP+SSE transport (2024-11-05): where a client's messages go.
//!
//! Its data is a URI reference, resolved against the URL of the stream (RFC 3986 section 5.2). It must lead to the
//! stream's own origin: a server must not be able to make its client post to somebody else, with its credentials.
//! The answer therefore is a path and no more; what it is sent to is known already.

use http::Uri;
use http::uri::{Authority, PathAndQuery};

/// Longest reference, in bytes.
const LONGEST: usize = 8 * 1024;

/// An `endpoint` event that is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    /// No URI reference, or one that needs characters encoded that are not.
    #[error("its `endpoint` event holds no URI")]
    NoUri,
    /// It leads elsewhere.
    #[error("its `endpoint` event leads to another origin, which is not followed")]
    ForeignOrigin,
}

/// The path and query to post to, for an event with `data` on the stream at `stream`.
///
/// # Errors
/// [`BadEndpoint`].
pub fn resolve(stream: &Uri, data: &[u8]) -> Result<PathAndQuery, BadEndpoint> {
    let text = std::str::from_utf8(data).map_err(|_| BadEndpoint::NoUri)?.trim();
    let text = text.split('#').next().unwrap_or_default();
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BadEndpoint::NoUri);
    }
    let path = if let Some(rest) = text.strip_prefix("//") {
        own_path(stream, rest)?
    } else if let Some((scheme, rest)) = absolute(text) {
        let own = stream.scheme_str().is_some_and(|own| own.eq_ignore_ascii_case(scheme));
        // A scheme of another kind (`data:`, `javascript:`) has no authority and is no less foreign.
        own_path(stream, rest.strip_prefix("//").filter(|_| own).ok_or(BadEndpoint::ForeignOrigin)?)?
    } else if text.starts_with('/') {
        text.to_owned()
    } else if text.starts_with('?') {
        format!("{}{text}", stream.path())
    } else {
        let folder = stream.path().rfind('/').map_or("/", |at| &stream.path()[..=at]);
        format!("{folder}{text}")
    };
    let (path, query) =
        path.split_once('?').map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
    let mut path = without_dots(path);
    if let Some(query) = query {
        path.push('?');
        path.push_str(query);
    }
    PathAndQuery::try_from(path).map_err(|_| BadEndpoint::NoUri)
}

/// Scheme and rest of a reference that begins with a scheme (RFC 3986 section 3.1).
fn absolute(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(plain))
        .then_some((scheme, rest))
}

/// What follows the authority in `rest`, if that is the stream's own.
fn own_path(stream: &Uri, rest: &str) -> Result<String, BadEndpoint> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let theirs: Authority = authority.parse().map_err(|_| BadEndpoint::NoUri)?;
    let own = stream.authority().ok_or(BadEndpoint::ForeignOrigin)?;
    let default = if stream.scheme_str() == Some("https") { 443 } else { 80 };
    let same = theirs.host().eq_ignore_ascii_case(own.host())
        && theirs.port_u16().unwrap_or(default) == own.port_u16().unwrap_or(default)
        && !authority.contains('@');
    if !same {
        return Err(BadEndpoint::ForeignOrigin);
    }
    Ok(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}

/// RFC 3986 section 5.2.4, for a path that begins with a slash.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests;
