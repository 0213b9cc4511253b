//! Where a client logs in: the metadata of a protected resource (RFC 9728).
//!
//! Addresses are put together as texts. Nothing here goes through a URL parser and back, which would add slashes and
//! make other identifiers of them.

use serde_json::json;

use crate::jose::Algorithm;
use crate::settings::Settings;

/// Where the documents are.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// One endpoint as a protected resource.
#[derive(Clone, Copy, Debug)]
pub struct ProtectedResource<'a> {
    /// Its identifier: the URL under which clients know it.
    pub identifier: &'a str,
    /// Whether the listener asks clients for certificates.
    pub certificates: bool,
}

impl ProtectedResource<'_> {
    /// The document. `offline_access` and the like are the client's own business and never asked for.
    pub fn document(&self, settings: &Settings) -> String {
        let issuers: Vec<&str> = match &settings.authorization_server {
            Some(own) => vec![own.as_str()],
            None => settings.issuers.iter().map(|issuer| issuer.issuer.as_str()).collect(),
        };
        let mut document = json!({
            "resource": self.identifier,
            "authorization_servers": issuers,
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::as_str),
        });
        if !settings.scopes.is_empty() {
            document["scopes_supported"] = json!(settings.scopes);
        }
        if settings.dpop_required {
            document["dpop_bound_access_tokens_required"] = json!(true);
        }
        if self.certificates {
            document["tls_client_certificate_bound_access_tokens"] = json!(true);
        }
        document.to_string()
    }
}

/// The address of the document of a resource: the well-known part between the host and the path (RFC 9728 section 3.1).
pub fn metadata_url(identifier: &str) -> String {
    let start = identifier.find("://").map_or(0, |at| at + 3);
    let slash = identifier[start..].find('/').map_or(identifier.len(), |at| start + at);
    let (origin, path) = identifier.split_at(slash);
    format!("{origin}{WELL_KNOWN}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_part_goes_between_host_and_path() {
        let well_known =
            |rest: &str| format!("https://mcp.example.com/.well-known/oauth-protected-resource{rest}");
        for (identifier, rest) in [
            ("https://mcp.example.com/mcp", "/mcp"),
            ("https://mcp.example.com/base/mcp/s/crm", "/base/mcp/s/crm"),
            ("https://mcp.example.com", ""),
        ] {
            assert_eq!(metadata_url(identifier), well_known(rest));
        }
    }

    #[test]
    fn names_the_resource_as_it_is_and_asks_for_nothing_else() {
        let settings = Settings { scopes: vec!["mcp".into()], ..Settings::default() };
        let resource = ProtectedResource { identifier: "https://host/mcp", certificates: false };
        let document: serde_json::Value = serde_json::from_str(&resource.document(&settings)).unwrap();
        assert_eq!(document["resource"], "https://host/mcp");
        assert_eq!(document["scopes_supported"], json!(["mcp"]));
        assert_eq!(document.get("dpop_bound_access_tokens_required"), None);
    }
}
