//! Where an API is: what its document says, against what the operator says.
//!
//! A document may name any address. One that it was fetched from itself is the operator's word; every other is a
//! stranger's, and whoever connects has to treat it as that.

use crate::document::Unfit;

/// Where requests go, as a document has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// An absolute URL.
    pub url: String,
    /// It is where the document itself came from.
    pub is_same_origin: bool,
}

impl Base {
    /// What the first of a document's servers means, for one that was read at `document`.
    ///
    /// # Errors
    /// It means nothing, or nothing that requests may go to without the operator's word.
    pub fn of(server: Option<&str>, document: Option<&str>) -> Result<Self, Unfit> {
        let server = server.unwrap_or("/");
        let ask = "say where the API is with `openapi.base_url`";
        let shown: String = server.chars().filter(|c| !c.is_control()).take(200).collect();
        let wrong = |why: &str| Unfit::new(format!("the document has the API at `{shown}`, {why}; {ask}"));
        if server.contains(['?', '#', '@', '\\']) || !server.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("which is no address that is taken from a document"));
        }
        let from = document.and_then(origin);
        let url = if is_absolute(server) {
            server.to_owned()
        } else {
            let Some((scheme, authority, path)) = from else {
                return Err(wrong("which is no address when the document comes from a file"));
            };
            if let Some(other) = server.strip_prefix("//") {
                format!("{scheme}://{other}")
            } else if server.starts_with('/') {
                format!("{scheme}://{authority}{server}")
            } else {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{scheme}://{authority}{folder}/{}", server.trim_start_matches("./"))
            }
        };
        let here = origin(&url).ok_or_else(|| wrong("which is no `http` or `https` URL"))?;
        let is_same_origin = from.is_some_and(|from| (here.0, here.1) == (from.0, from.1));
        if crate::operation::is_climbing(here.2) {
            return Err(wrong("which leads out of where it begins"));
        }
        if !is_same_origin && here.0 != "https" {
            return Err(wrong("which is not `https`"));
        }
        Ok(Self { url, is_same_origin })
    }
}

fn is_absolute(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// Scheme, authority and path of an absolute URL.
fn origin(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://").filter(|_| is_absolute(url))?;
    let rest = rest.split(['?', '#']).next()?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    (!authority.is_empty()).then_some((scheme, authority, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_strangers_unless_the_document_came_from_there() {
        let from = Some("https://api.example.com/docs/openapi.json");
        for (server, document, url, same) in [
            (Some("/v1"), from, "https://api.example.com/v1", true),
            (None, from, "https://api.example.com/", true),
            (Some("v1"), from, "https://api.example.com/docs/v1", true),
            (Some("https://api.example.com/v2"), from, "https://api.example.com/v2", true),
            (Some("https://other.example.com"), from, "https://other.example.com", false),
            (Some("//other.example.com/x"), from, "https://other.example.com/x", false),
            (Some("https://other.example.com"), None, "https://other.example.com", false),
            (Some("/v1"), Some("http://127.0.0.1:8000/o.yaml"), "http://127.0.0.1:8000/v1", true),
        ] {
            let expected = Base { url: url.to_owned(), is_same_origin: same };
            assert_eq!(Base::of(server, document), Ok(expected), "{server:?}");
        }
        for (server, document) in [
            ("/v1", None),
            ("http://other.example.com", from),
            ("http://api.example.com", from),
            ("https://user@evil.example", from),
            ("https://evil.example/?x=", from),
            ("ftp://evil.example", None),
            ("https:///x", None),
            ("/../admin", from),
            ("https://a.example/%2e%2e/x", from),
            ("https://a.example/\r\nx", from),
        ] {
            let error = Base::of(Some(server), document).expect_err(server);
            assert!(error.to_string().contains("base_url"), "{error}");
        }
    }
}
