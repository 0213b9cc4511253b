//! Clients: who they are, where people may be sent back to, and how they prove themselves.
//!
//! Three kinds, found by their id: those that the operator registered, those that have a metadata document at the URL that
//! is their id, and those that registered themselves. Whatever the kind, a redirect URI is one of the client's own, as a
//! text; on loopback alone the port may be another (RFC 8252 section 7.3).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kept::digest;
use super::page;
use super::refusal::Refusal;
use super::settings::ConfiguredClient;

/// Redirect URIs of one client.
const MOST_URIS: usize = 20;
/// Longest of them, in bytes.
const LONGEST_URI: usize = 1024;

/// A client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) redirect_uris: Vec<String>,
    pub(super) proof: Proof,
    /// It may call on its own behalf, in these groups.
    pub(super) machine: Option<Vec<String>>,
    /// It wants no token that is not bound to a key (RFC 9449 section 5.2).
    #[serde(default)]
    pub(super) bound: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// The operator said so.
    Configured,
    /// Its document says so, and its host for the document.
    Document,
    /// Nobody but itself.
    Registered,
}

/// How a client proves that it is the one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Proof {
    /// It cannot: a public client.
    None,
    /// SHA-256 over its secret.
    Secret([u8; 32]),
    /// Its public keys (RFC 7517), as text.
    Keys(String),
    /// Where they are.
    KeysAt(String),
}

impl Client {
    pub(super) fn configured(settings: &ConfiguredClient) -> Self {
        let proof = match (&settings.secret, &settings.jwks) {
            (_, Some(jwks)) => Proof::Keys(jwks.clone()),
            (Some(hash), None) => Proof::Secret(*hash),
            (None, None) => Proof::None,
        };
        Self {
            id: settings.id.clone(),
            name: settings.name.clone(),
            kind: Kind::Configured,
            redirect_uris: settings.redirect_uris.clone(),
            proof,
            machine: settings.machine.clone(),
            bound: false,
        }
    }

    /// Reads what a client says of itself (RFC 7591 section 2, which metadata documents share).
    pub(super) fn read(id: String, kind: Kind, metadata: &Value) -> Result<Self, Refusal> {
        let bad = |reason| Refusal::new(400, "invalid_client_metadata", reason);
        let uris = metadata["redirect_uris"].as_array().ok_or(bad("the client names no redirect URIs"))?;
        let uris: Option<Vec<_>> = uris.iter().map(|uri| uri.as_str().map(str::to_owned)).collect();
        let uris = uris.unwrap_or_default();
        if uris.is_empty() || uris.len() > MOST_URIS {
            return Err(bad("the client names no redirect URIs, or too many"));
        }
        if !uris.iter().all(|uri| is_fit(uri)) {
            let reason = "a redirect URI is neither `https` nor `http` on loopback, or has a fragment";
            return Err(Refusal::new(400, "invalid_redirect_uri", reason));
        }
        let lists = |name: &str, known: &[&str]| match &metadata[name] {
            Value::Null => true,
            Value::Array(items) => items.iter().any(|item| known.iter().any(|known| item == known)),
            _ => false,
        };
        if !lists("response_types", &["code"]) || !lists("grant_types", &["authorization_code"]) {
            return Err(bad("the client does not use authorization codes"));
        }
        let name = metadata["client_name"].as_str().map(page::presentable).unwrap_or_default();
        let bound = match &metadata["dpop_bound_access_tokens"] {
            Value::Null => false,
            Value::Bool(bound) => *bound,
            _ => return Err(bad("`dpop_bound_access_tokens` is neither `true` nor `false`")),
        };
        Ok(Self { id, name, kind, redirect_uris: uris, proof: Proof::None, machine: None, bound })
    }

    /// Whether people may be sent back to this URI.
    pub(super) fn may_redirect_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|known| known == uri || is_same_on_loopback(known, uri))
    }

    /// Changes when what people agreed to is not what it was.
    pub(super) fn fingerprint(&self) -> String {
        let proof = serde_json::to_value(&self.proof).unwrap_or_default();
        digest(&json!([self.id, self.name, self.redirect_uris, proof]).to_string())
    }

    /// Whose word its name is.
    pub(super) fn host(&self) -> Option<&str> {
        (self.kind == Kind::Document).then(|| host(&self.id)).flatten()
    }

    /// Whether the operator vouches for where it sends people.
    pub(super) fn is_trusted(&self) -> bool {
        self.kind == Kind::Configured
    }
}

/// The parts of a URL as they are written.
struct Parts<'a> {
    scheme: &'a str,
    /// Host and port.
    authority: &'a str,
    /// Path and query.
    rest: &'a str,
}

fn parts(uri: &str) -> Option<Parts<'_>> {
    let (scheme, after) = uri.split_once("://")?;
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (authority, rest) = after.split_at(end);
    Some(Parts { scheme, authority, rest })
}

/// The host of a URL.
pub(super) fn host(uri: &str) -> Option<&str> {
    let authority = parts(uri)?.authority;
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

/// Whether a URI of a client may be sent people to: `https`, or `http` on loopback; text without anything that browsers read
/// in another way than we do.
pub(super) fn is_fit(uri: &str) -> bool {
    let plain = uri.len() <= LONGEST_URI
        && uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(&byte));
    let Some(parts) = parts(uri).filter(|_| plain) else { return false };
    let (name, port) = split_port(parts.authority);
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok());
    let name_fits = name.strip_prefix('[').map_or_else(
        || {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        },
        |rest| rest.strip_suffix(']').is_some_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok()),
    );
    port_fits && name_fits && (parts.scheme == "https" || parts.scheme == "http" && is_loopback(name))
}

/// Whether an operator's URI is fit: theirs may have a scheme of an application of its own, which no browser runs.
pub fn is_fit_for_operator(uri: &str) -> bool {
    let scheme = uri.split(':').next().unwrap_or_default();
    let dangerous = ["javascript", "data", "file", "vbscript", "blob", "about", "http", "https", "ws", "wss"];
    let own = uri.len() <= LONGEST_URI
        && uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(&byte))
        && uri.contains(':')
        && scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
        && !dangerous.contains(&scheme);
    own || is_fit(uri)
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    let from = authority.find(']').unwrap_or(0);
    match authority[from..].find(':') {
        Some(at) => (&authority[..from + at], Some(&authority[from + at + 1..])),
        None => (authority, None),
    }
}

fn is_loopback(name: &str) -> bool {
    matches!(name, "127.0.0.1" | "[::1]" | "localhost")
}

/// The same but for the port, on this machine.
fn is_same_on_loopback(known: &str, uri: &str) -> bool {
    if !is_fit(uri) {
        return false;
    }
    let (Some(known), Some(uri)) = (parts(known), parts(uri)) else { return false };
    let (known_name, name) = (split_port(known.authority).0, split_port(uri.authority).0);
    known.scheme == "http"
        && uri.scheme == "http"
        && is_loopback(name)
        && known_name == name
        && known.rest == uri.rest
}

/// Whether a redirect leads to a program on the device of whoever logs in, where any program may listen or take a scheme for
/// its own.
pub(super) fn is_of_a_device(uri: &str) -> bool {
    !uri.starts_with("https://") || parts(uri).is_none_or(|parts| is_loopback(split_port(parts.authority).0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(uris: &[&str]) -> Client {
        let metadata = json!({"client_name": "Editor", "redirect_uris": uris});
        Client::read("id".into(), Kind::Registered, &metadata).unwrap()
    }

    #[test]
    fn people_are_sent_back_to_the_very_uri_that_was_registered() {
        let web = client(&["https://app.example/cb?x=1"]);
        assert!(web.may_redirect_to("https://app.example/cb?x=1"));
        let native = client(&["http://127.0.0.1/cb", "http://localhost:3000/cb", "http://[::1]/cb"]);
        for good in
            ["http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", "http://localhost:1/cb", "http://[::1]:8/cb"]
        {
            assert!(native.may_redirect_to(good), "{good}");
        }
        for bad in [
            "https://app.example/cb",
            "https://app.example/cb?x=1&y=2",
            "https://app.example/cb?x=1#f",
            "https://app.example/cb/../evil?x=1",
            "https://app.example:8443/cb?x=1",
            "https://app.example.evil.example/cb?x=1",
            "https://app.example@evil.example/cb?x=1",
            "https://APP.example/cb?x=1",
            "http://app.example/cb?x=1",
            "//app.example/cb?x=1",
            "https://app.example/cb%3Fx=1",
            " https://app.example/cb?x=1",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!web.may_redirect_to(bad), "{bad}");
        }
        for bad in [
            "http://127.0.0.1:80@evil.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1:port/cb",
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1/cb/",
            "http://127.0.0.1/cb?x",
            "http://127.0.0.1\\@evil.example/cb",
            "http://127.0.0.2/cb",
            "http://localhost/other",
            "https://127.0.0.1/cb",
            "http://evil.example/cb",
            "http://[::1]evil.example/cb",
        ] {
            assert!(!native.may_redirect_to(bad), "{bad}");
        }
    }

    #[test]
    fn takes_no_redirect_uri_that_leads_nowhere_good() {
        for bad in [
            "javascript:alert(1)",
            "data:text/html,x",
            "http://evil.example/cb",
            "https://a.example/#f",
            "https://user@a.example/",
            "https:///cb",
            "https://a.example\r\nset-cookie:x",
            "https://a.example/ä",
            "com.example.app:/cb",
            "file:///etc/passwd",
        ] {
            let metadata = json!({"redirect_uris": ["https://ok.example/cb", bad]});
            let read = Client::read("id".into(), Kind::Document, &metadata);
            assert_eq!(read.map_err(|refusal| refusal.code), Err("invalid_redirect_uri"), "{bad}");
        }
        for (metadata, why) in [
            (json!({}), "none"),
            (json!({"redirect_uris": []}), "empty"),
            (json!({"redirect_uris": [1]}), "no text"),
            (json!({"redirect_uris": vec!["https://a.example/"; 30]}), "many"),
            (json!({"redirect_uris": ["https://a.example/"], "grant_types": ["implicit"]}), "implicit"),
        ] {
            assert!(Client::read("id".into(), Kind::Document, &metadata).is_err(), "{why}");
        }
        assert!(is_fit_for_operator("cursor://callback") && is_fit_for_operator("com.example.app:/cb"));
        for bad in ["javascript:x", "data:x", "http://evil.example/", "JAVASCRIPT:x", "noscheme"] {
            assert!(!is_fit_for_operator(bad), "{bad}");
        }
    }
}
