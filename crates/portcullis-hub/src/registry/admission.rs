//! What may come into the registry from elsewhere: whose servers, from which registries of packages, and running where.
//!
//! It decides who is listened to, and nothing more: what comes in is proposed, and goes the way of everything that is.

use serde_json::Value;

use super::launch::starts;
use super::{Document, Entry};

/// Variables that say where a package comes from, or what is run in its place; `*` stands for any ending.
const STEERING: &[&str] = &[
    "PATH",
    "HOME",
    "XDG_*",
    "LD_*",
    "DYLD_*",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NPM_CONFIG_*",
    "PYTHON*",
    "PIP_*",
    "UV_*",
];

/// Where packages of a kind come from when nothing else is said, as the format of `server.json` has it.
const PUBLIC: &[(&str, &str)] = &[
    ("npm", "https://registry.npmjs.org"),
    ("pypi", "https://pypi.org"),
    ("oci", "https://docker.io"),
    ("nuget", "https://api.nuget.org/v3/index.json"),
    ("cargo", "https://crates.io"),
];

/// Who is listened to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Namespaces, which is what names have before the slash: `com.example`, `com.example.*` for all below it as well, `*`.
    pub namespaces: Vec<String>,
    /// Registries of packages: a kind (`npm`), for its public one, or a URL.
    pub packages: Vec<String>,
    /// Hosts of remotes: `mcp.example.com`, `*.example.com` for all below it, `*`.
    pub remotes: Vec<String>,
}

impl Admission {
    /// The document with those of its packages and remotes that may be used; it is what a server may be reached by, and no
    /// longer what its publisher said.
    ///
    /// # Errors
    /// Why it does not come in.
    pub fn admit(&self, document: &Document) -> Result<Document, String> {
        let namespace = document.name().split('/').next().unwrap_or_default();
        if !self.namespaces.iter().any(|pattern| has_namespace(pattern, namespace)) {
            return Err(format!("its namespace {namespace} is not among `registry.import.namespaces`"));
        }
        let admitted = document.with(|package| self.has_package(package), |remote| self.has_remote(remote));
        if admitted.packages().is_empty() && admitted.remotes().is_empty() {
            let message = "none of its packages and remotes are among `registry.import.packages` and `remotes`, or its \
                           packages say more of how they are started than that (`runtimeArguments`, variables as PATH)";
            return Err(message.to_owned());
        }
        Ok(admitted)
    }

    /// Whether a version that came in is reached by what may be used now.
    ///
    /// # Errors
    /// Why it is not.
    pub fn holds(&self, entry: &Entry) -> Result<(), String> {
        let document = entry.document().ok_or("what is kept of it is no server.json any more")?;
        let admitted = self.admit(&document)?;
        let by_remote = entry.launch.get("url").is_some() && self.has_remote(&entry.launch);
        if by_remote || admitted.packages().iter().any(|package| starts(package, &entry.launch)) {
            return Ok(());
        }
        Err("what it is reached by is not among `registry.import.packages` and `remotes` any more".to_owned())
    }

    fn has_package(&self, package: &Value) -> bool {
        if is_steered(package) {
            return false;
        }
        let kind = text(package, "registryType").unwrap_or_default();
        // An image says itself where it comes from, whatever else is said of it.
        let image = (kind == "oci").then(|| host_of_image(package)).flatten();
        let other = if kind == "oci" { image.as_deref() } else { other_than_public(package) };
        let from = other.or_else(|| public(kind));
        let is = |allowed: &String| {
            if allowed == kind { other.is_none() && from.is_some() } else { from == Some(bare(allowed)) }
        };
        self.packages.iter().any(is)
    }

    fn has_remote(&self, remote: &Value) -> bool {
        let url = remote.get("url").and_then(Value::as_str).unwrap_or_default();
        let host = host_of(url);
        self.remotes.iter().any(|pattern| {
            pattern == "*"
                || host.as_deref().is_some_and(|host| match pattern.strip_prefix('*') {
                    Some(below) => host.ends_with(below),
                    None => host.eq_ignore_ascii_case(pattern),
                })
        })
    }
}

/// Whether a package says more of how it is started than which it is and what it takes.
fn is_steered(package: &Value) -> bool {
    let items = |key: &str| package.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let steers = |variable: &Value| {
        // Whatever is behind a `=` in a name is a value to whoever reads it.
        let name = text(variable, "name").and_then(|name| name.split('=').next()).unwrap_or_default();
        let name = name.to_ascii_uppercase();
        STEERING.iter().any(|steering| match steering.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *steering,
        })
    };
    !items("runtimeArguments").is_empty() || items("environmentVariables").iter().any(steers)
}

/// The registry of an image that is not of Docker Hub, as a URL. What is a host is so to runtimes of containers: they take one with
/// an upper-case letter for one, too, since no repository has any.
pub(super) fn host_of_image(package: &Value) -> Option<String> {
    let (host, _) = text(package, "identifier")?.split_once('/')?;
    let is_host = host.contains(['.', ':'])
        || host == "localhost"
        || host.bytes().any(|byte| byte.is_ascii_uppercase());
    (is_host && host != "docker.io").then(|| format!("https://{host}"))
}

/// The registry that a package comes from, where it is not the public one of its kind.
pub(super) fn other_than_public(package: &Value) -> Option<&str> {
    let from = text(package, "registryBaseUrl").map(bare)?;
    (public(text(package, "registryType").unwrap_or_default()) != Some(from)).then_some(from)
}

fn public(kind: &str) -> Option<&'static str> {
    PUBLIC.iter().find(|(known, _)| *known == kind).map(|(_, url)| *url)
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn has_namespace(pattern: &str, namespace: &str) -> bool {
    match pattern.strip_suffix(".*") {
        _ if pattern == "*" => true,
        None => namespace == pattern,
        Some(above) => {
            namespace.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        }
    }
}

fn bare(url: &str) -> &str {
    url.trim_end_matches('/')
}

/// The host of a URL, in lower case; `None` where it is no certain one, for a variable stands in it, or names come before it.
fn host_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    (!host.is_empty() && host.bytes().all(plain)).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
