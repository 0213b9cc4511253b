//! Which authorization server gives tokens for a server, and what it can do (RFC 9728, RFC 8414, OpenID Connect
//! Discovery; MCP 2026-07-28, authorization server discovery).
//!
//! Nothing of this is believed further than it must be: a document about a resource must be about this server, one about
//! an issuer must name that very issuer, and what either names is asked only where [`Reach`] lets it.

use serde_json::Value;

use super::challenge::scopes;
use super::needed::Needed;
use crate::fetch::{Fetch, FetchError, Trust, Wanted};
use crate::issuer::discovery::places;
use crate::issuer::origin;

/// Largest document, in bytes.
const LARGEST: usize = 64 * 1024;
/// Longest URL that a document may name.
const LONGEST_URL: usize = 2048;

/// What may be asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    /// Origins that the operator wrote down.
    pub(super) known: Vec<String>,
    /// Everything else may be inside, too.
    pub(super) private: bool,
}

impl Reach {
    pub(super) fn of(urls: &[&str], private: bool) -> Self {
        Self { known: urls.iter().map(|url| origin(url).to_owned()).collect(), private }
    }

    pub(super) fn trust(&self, url: &str) -> Trust {
        let known = self.private || self.known.iter().any(|known| known == origin(url));
        if known { Trust::Configured } else { Trust::Learned }
    }
}

/// An authorization server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a thing that it says it can do")]
pub(super) struct Authority {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: String,
    pub(super) registration_endpoint: Option<String>,
    pub(super) revocation_endpoint: Option<String>,
    /// It says who answers (RFC 9207).
    pub(super) says_issuer: bool,
    /// It reads documents about clients.
    pub(super) reads_clients: bool,
    /// How clients may show who they are; `None` where it does not say.
    pub(super) auth_methods: Option<Vec<String>>,
    pub(super) scopes: Vec<String>,
    pub(super) dpop: bool,
    pub(super) pkce: bool,
}

/// What a server says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// Its identifier, byte for byte.
    pub(super) identifier: String,
    /// `None` for a server of before there were such documents (2025-03-26): its own origin gives the tokens.
    pub(super) issuer: Option<String>,
    pub(super) scopes: Option<Vec<String>>,
}

/// What a server is, by its document. The document must be about this very server; the one at the root of its origin, which
/// is where MCP has it looked for last, may as well be about the origin (RFC 9728 section 3.3: a document is about what its
/// address was made of, or what was asked for). What the operator says that the server is part of is believed as well.
pub(super) async fn resource(
    fetch: &dyn Fetch,
    reach: &Reach,
    (url, part_of): (&str, Option<&str>),
    named: Option<&str>,
    issuer: Option<&str>,
) -> Result<Resource, Needed> {
    let url = url.split(['?', '#']).next().unwrap_or(url);
    let start = origin(url);
    let root = format!("{start}/.well-known/oauth-protected-resource");
    let own = format!("{root}{}", url[start.len()..].trim_end_matches('/'));
    let mut places = match named {
        Some(named) => vec![named],
        None => vec![own.as_str(), root.as_str()],
    };
    places.dedup();
    for place in &places {
        if place.len() > LONGEST_URL {
            return Err(Needed::Denied("the server names a document with an address without end".into()));
        }
        if let Some(document) = document(fetch, reach, place).await? {
            let mut about = if *place == root { vec![url, start] } else { vec![url] };
            about.extend(part_of);
            return read_resource(&document, place, &about, issuer);
        }
    }
    if named.is_some() {
        return Err(Needed::Denied(format!("the server names {}, and there is nothing", places[0])));
    }
    Ok(Resource { identifier: url.to_owned(), issuer: issuer.map(str::to_owned), scopes: None })
}

fn read_resource(
    document: &Value,
    place: &str,
    about: &[&str],
    wanted: Option<&str>,
) -> Result<Resource, Needed> {
    let wrong = |why: &str| Needed::Denied(format!("{place} {why}"));
    let identifier = document["resource"].as_str().ok_or_else(|| wrong("names no `resource`"))?;
    if !about.iter().any(|one| is_same(identifier, one)) {
        return Err(wrong(
            "is about another resource than this server; where the server is part of it, say so with `resource` in its \
             `credentials`",
        ));
    }
    let issuers = document["authorization_servers"].as_array();
    let mut issuers = issuers.into_iter().flatten().take(16).filter_map(Value::as_str);
    let issuer = match wanted {
        Some(wanted) => issuers.find(|issuer| *issuer == wanted),
        None => issuers.next(),
    };
    let issuer = issuer.filter(|issuer| issuer.len() <= LONGEST_URL);
    let issuer = issuer.ok_or_else(|| match wanted {
        Some(wanted) => wrong(&format!("does not name the authorization server {wanted} any more")),
        None => wrong("names no authorization server"),
    })?;
    let listed = document["scopes_supported"].as_array();
    let listed = listed.map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "));
    Ok(Resource {
        identifier: identifier.to_owned(),
        issuer: Some(issuer.to_owned()),
        scopes: listed.map(|listed| scopes(&listed)),
    })
}

/// Whether two identifiers are the same, but for a slash at the end, which many are written with as well as without.
fn is_same(identifier: &str, other: &str) -> bool {
    let plain = |text: &str| text.strip_suffix('/').unwrap_or(text).len();
    identifier[..plain(identifier)] == other[..plain(other)]
}

/// What an authorization server can do.
pub(super) async fn authority(fetch: &dyn Fetch, reach: &Reach, issuer: &str) -> Result<Authority, Needed> {
    for place in places(issuer) {
        if let Some(document) = document(fetch, reach, &place).await? {
            return read_authority(&document, &place, issuer);
        }
    }
    Err(Needed::Denied(format!("the authorization server {issuer} has no metadata")))
}

/// What gives tokens for a server of 2025-03-26: its own origin, by metadata or at the addresses that were usual.
pub(super) async fn own_authority(fetch: &dyn Fetch, reach: &Reach, url: &str) -> Result<Authority, Needed> {
    let issuer = origin(url);
    let place = format!("{issuer}/.well-known/oauth-authorization-server");
    if let Some(document) = document(fetch, reach, &place).await? {
        return read_authority(&document, &place, issuer);
    }
    Ok(Authority {
        issuer: issuer.to_owned(),
        authorization_endpoint: Some(format!("{issuer}/authorize")),
        token_endpoint: format!("{issuer}/token"),
        registration_endpoint: Some(format!("{issuer}/register")),
        // Of that revision: PKCE is required.
        pkce: true,
        ..Authority::default()
    })
}

fn read_authority(document: &Value, place: &str, issuer: &str) -> Result<Authority, Needed> {
    let wrong = |why: &str| Needed::Denied(format!("{place} {why}"));
    // As texts, whatever else they may have in common (RFC 8414 section 3.3).
    if document["issuer"].as_str() != Some(issuer) {
        return Err(wrong("is of another issuer"));
    }
    let url = |name: &str| {
        let url = document[name].as_str().filter(|url| url.len() <= LONGEST_URL)?;
        (url.starts_with("https://") || url.starts_with("http://")).then(|| url.to_owned())
    };
    let list = |name: &str| {
        let all = document[name].as_array()?.iter().take(256).filter_map(Value::as_str);
        Some(all.map(str::to_owned).collect::<Vec<_>>())
    };
    let has = |name: &str, value: &str| list(name).is_some_and(|all| all.iter().any(|it| it == value));
    let says = |name: &str| document[name].as_bool() == Some(true);
    Ok(Authority {
        issuer: issuer.to_owned(),
        authorization_endpoint: url("authorization_endpoint"),
        token_endpoint: url("token_endpoint").ok_or_else(|| wrong("names no `token_endpoint`"))?,
        registration_endpoint: url("registration_endpoint"),
        revocation_endpoint: url("revocation_endpoint"),
        says_issuer: says("authorization_response_iss_parameter_supported"),
        reads_clients: says("client_id_metadata_document_supported"),
        auth_methods: list("token_endpoint_auth_methods_supported"),
        scopes: scopes(&list("scopes_supported").unwrap_or_default().join(" ")),
        dpop: has("dpop_signing_alg_values_supported", "ES256"),
        pkce: has("code_challenge_methods_supported", "S256"),
    })
}

/// A document; `None` when there is none at that address.
async fn document(fetch: &dyn Fetch, reach: &Reach, url: &str) -> Result<Option<Value>, Needed> {
    let wanted = Wanted::get(url, reach.trust(url), LARGEST);
    match fetch.fetch(wanted).await {
        Ok(fetched) => match serde_json::from_slice(&fetched.body) {
            Ok(Value::Object(object)) => Ok(Some(Value::Object(object))),
            _ => Err(Needed::Denied(format!("{url} holds no JSON object"))),
        },
        Err(FetchError::Status(400..=428 | 430..=499)) => Ok(None),
        Err(FetchError::Forbidden(why)) => Err(Needed::Denied(format!(
            "{url} is not asked: {why}; `private_network: true` in its `credentials` allows addresses inside"
        ))),
        Err(error) => Err(Needed::Unavailable(format!("{url}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identifiers_are_compared_as_texts_but_for_a_slash_at_the_end() {
        for (identifier, url) in [
            ("https://h/mcp", "https://h/mcp"),
            ("https://h/mcp/", "https://h/mcp"),
            ("https://h", "https://h/"),
        ] {
            assert!(is_same(identifier, url), "{identifier} {url}");
        }
        for (identifier, url) in [
            ("https://h", "https://h/mcp"),
            ("https://h/mcp//", "https://h/mcp"),
            ("https://h/mcp2", "https://h/mcp"),
            ("https://H/mcp", "https://h/mcp"),
            ("https://h:443/mcp", "https://h/mcp"),
            ("https://h/mcp?x", "https://h/mcp"),
            ("http://h/mcp", "https://h/mcp"),
            ("", "https://h/mcp"),
        ] {
            assert!(!is_same(identifier, url), "{identifier} {url}");
        }
    }

    #[test]
    fn takes_metadata_of_this_very_issuer_only_and_no_address_that_is_none() {
        let good = json!({
            "issuer": "https://as", "token_endpoint": "https://as/t", "authorization_endpoint": "javascript:alert(1)",
        });
        let read = read_authority(&good, "p", "https://as").unwrap();
        assert_eq!((read.authorization_endpoint, read.pkce), (None, false));
        for other in ["https://as/", "https://AS", "https://as.evil"] {
            assert!(read_authority(&good, "p", other).is_err(), "{other}");
        }
        assert!(read_authority(&json!({"issuer": "https://as"}), "p", "https://as").is_err());
    }
}
