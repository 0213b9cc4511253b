//! Where a view may connect to or load from: one entry of a `csp` list.
//!
//! `scheme://host`, `scheme://*.domain`, each with `:port` and a path if need be: the form that MCP Apps uses. Other
//! source expressions of CSP (`*`, `https:`, keywords) are not understood, and what is not understood is covered by
//! nothing. That holds as well for text that would break out of a policy that a host builds by joining entries.

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    scheme: String,
    /// In lower case; with `any_subdomain`, what follows `*.`.
    host: String,
    any_subdomain: bool,
    /// The one that is meant, defaults filled in; `None` is one that the scheme does not say.
    port: Option<u16>,
    /// Empty where all paths are meant, or from the first slash on. One that ends with a slash stands for all below it,
    /// one that does not for itself alone (CSP, 6.7.2.12).
    path: String,
}

impl Source {
    /// Reads an entry; `None` for anything that has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
            None => (authority, None),
        };
        let host = host.to_ascii_lowercase();
        let (any_subdomain, host) = match host.strip_prefix("*.") {
            Some(domain) => (true, domain.to_owned()),
            None => (false, host),
        };
        let is_host = host.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        });
        let is_path = path.bytes().all(|byte| byte.is_ascii_graphic() && !b";,'\"\\".contains(&byte));
        if scheme.is_empty() || !is_scheme || !is_host || !is_path {
            return None;
        }
        let port = port.or(match scheme.as_str() {
            "https" | "wss" => Some(443),
            "http" | "ws" => Some(80),
            _ => None,
        });
        Some(Self {
            scheme,
            host,
            any_subdomain,
            port,
            path: if path == "/" { String::new() } else { path.to_owned() },
        })
    }

    /// Whether all that `other` stands for is within what this stands for.
    pub fn covers(&self, other: &Self) -> bool {
        let host = if self.any_subdomain {
            let below = other.host.strip_suffix(&self.host).is_some_and(|head| head.ends_with('.'));
            below || (other.any_subdomain && other.host == self.host)
        } else {
            !other.any_subdomain && self.host == other.host
        };
        let below = self.path.ends_with('/') && is_plain(&other.path) && other.path.starts_with(&self.path);
        let path = self.path.is_empty() || self.path == other.path || below;
        self.scheme == other.scheme && host && self.port == other.port && path
    }
}

/// Whether a path says where it is without detours.
fn is_plain(path: &str) -> bool {
    !path.contains('%') && path.split('/').all(|part| part != ".." && part != ".")
}
