//! What the facade says of itself (RFC 8414 section 2).

use serde_json::{Value, json};

use super::Facade;
use crate::jose::Algorithm;

/// Whether a path below the issuer is one where clients look for the document that append what has to be inserted.
pub(super) fn is_at(path: &str) -> bool {
    path == "/.well-known/oauth-authorization-server"
}

/// The grant of ID-JAGs (RFC 7523).
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

impl Facade {
    pub(super) fn metadata(&self) -> Value {
        let settings = &self.settings;
        let mut grants = vec!["authorization_code", "refresh_token"];
        if settings.clients.iter().any(|client| client.machine.is_some()) {
            grants.push("client_credentials");
        }
        if !settings.id_jag.is_empty() {
            grants.push(JWT_BEARER);
        }
        let algorithms = Algorithm::USUAL.map(Algorithm::as_str);
        let mut document = json!({
            "issuer": settings.issuer,
            "authorization_endpoint": self.at("/authorize"),
            "token_endpoint": self.at("/token"),
            "revocation_endpoint": self.at("/revoke"),
            "jwks_uri": self.at("/jwks"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": grants,
            "token_endpoint_auth_methods_supported":
                ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "revocation_endpoint_auth_methods_supported":
                ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "client_id_metadata_document_supported": settings.documents.enabled,
            "dpop_signing_alg_values_supported": Algorithm::ALL.map(Algorithm::as_str),
        });
        if settings.registration {
            document["registration_endpoint"] = json!(self.at("/register"));
        }
        let scopes: Vec<_> = self.all_scopes().collect();
        if !scopes.is_empty() {
            document["scopes_supported"] = json!(scopes);
        }
        if !settings.id_jag.is_empty() {
            document["authorization_grant_profiles_supported"] =
                json!(["urn:ietf:params:oauth:grant-profile:id-jag"]);
        }
        document
    }
}
