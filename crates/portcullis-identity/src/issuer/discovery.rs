//! Where an issuer's keys are: its metadata (RFC 8414, OpenID Connect Discovery 1.0).
//!
//! The document must name the very issuer that it was fetched for (RFC 8414 section 3.3): whoever can answer for one
//! address must not be able to speak for another.

use serde_json::Value;

use crate::fetch::{Fetch, FetchError, Trust, Wanted};

/// Largest metadata document, in bytes.
const LARGEST: usize = 64 * 1024;

/// Nothing was found out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DiscoveryError {
    #[error("{url}: {cause}")]
    Fetch { url: String, cause: FetchError },
    #[error("{url}: the document is no JSON object with `issuer` and `jwks_uri`")]
    Unreadable { url: String },
    #[error("{url}: the document is of another issuer")]
    OtherIssuer { url: String },
}

/// Finds the address of an issuer's keys.
pub(super) async fn jwks_uri(issuer: &str, client: &dyn Fetch) -> Result<String, DiscoveryError> {
    let mut last = None;
    for url in places(issuer) {
        let wanted = Wanted::get(&url, Trust::Configured, LARGEST);
        match client.fetch(wanted).await {
            Ok(fetched) => return read(issuer, url, &fetched.body),
            Err(cause @ FetchError::Status(_)) => last = Some(DiscoveryError::Fetch { url, cause }),
            Err(cause) => return Err(DiscoveryError::Fetch { url, cause }),
        }
    }
    Err(last.expect("there are places to look at"))
}

fn read(issuer: &str, url: String, document: &[u8]) -> Result<String, DiscoveryError> {
    let document: Value = serde_json::from_slice(document).unwrap_or_default();
    match (document["issuer"].as_str(), document["jwks_uri"].as_str()) {
        (Some(named), _) if named != issuer => Err(DiscoveryError::OtherIssuer { url }),
        (Some(_), Some(keys)) => Ok(keys.to_owned()),
        _ => Err(DiscoveryError::Unreadable { url }),
    }
}

/// The well-known addresses, in the order of MCP 2026-07-28 (authorization server discovery).
pub(crate) fn places(issuer: &str) -> Vec<String> {
    let start = issuer.find("://").map_or(0, |at| at + 3);
    let (origin, path) = match issuer[start..].find('/') {
        Some(slash) => issuer.split_at(start + slash),
        None => (issuer, ""),
    };
    let path = path.trim_end_matches('/');
    let mut places = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        places.push(format!("{origin}{path}/.well-known/openid-configuration"));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_in_the_well_known_places_of_issuers_with_and_without_a_path() {
        let root = [
            "https://idp/.well-known/oauth-authorization-server",
            "https://idp/.well-known/openid-configuration",
        ];
        assert_eq!(places("https://idp"), root);
        assert_eq!(places("https://idp/"), root);
        assert_eq!(
            places("https://idp/a/b"),
            [
                "https://idp/.well-known/oauth-authorization-server/a/b",
                "https://idp/.well-known/openid-configuration/a/b",
                "https://idp/a/b/.well-known/openid-configuration",
            ]
        );
    }

    #[test]
    fn takes_the_document_of_this_very_issuer_only() {
        let read = |document: &str| read("https://idp", String::new(), document.as_bytes());
        assert_eq!(
            read(r#"{"issuer":"https://idp","jwks_uri":"https://idp/keys"}"#),
            Ok("https://idp/keys".into())
        );
        for other in ["https://idp/", "https://IDP", "https://evil"] {
            let document = format!(r#"{{"issuer":"{other}","jwks_uri":"https://idp/keys"}}"#);
            assert!(matches!(read(&document), Err(DiscoveryError::OtherIssuer { .. })), "{other}");
        }
        for bad in ["", "[]", r#"{"jwks_uri":"https://idp/keys"}"#, r#"{"issuer":"https://idp"}"#] {
            assert!(matches!(read(bad), Err(DiscoveryError::Unreadable { .. })), "{bad}");
        }
    }
}
