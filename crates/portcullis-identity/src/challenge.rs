//! What a client is told to do about a refusal: `WWW-Authenticate` (RFC 9110, RFC 6750, RFC 9728, RFC 9449).

use std::fmt::Write as _;

use crate::inbound::Scheme;
use crate::jose::Algorithm;
use crate::metadata::metadata_url;
use crate::refused::Refused;
use crate::settings::Settings;

/// The value of `WWW-Authenticate`, for an endpoint with this identifier.
///
/// All scopes are named at once, so that one login is enough.
pub fn challenge(
    settings: &Settings,
    identifier: &str,
    presented: Option<Scheme>,
    refused: &Refused,
) -> String {
    let dpop = settings.dpop_required || presented == Some(Scheme::Dpop);
    let mut value = if dpop { "DPoP" } else { "Bearer" }.to_owned();
    let mut separator = ' ';
    let mut parameter = |name: &str, text: &str| {
        let _ = write!(value, "{separator}{name}=\"{text}\"");
        separator = ',';
    };
    if let Some(code) = refused.code() {
        parameter("error", code);
        parameter("error_description", description(refused));
    }
    if settings.issuers.is_empty() {
        parameter("realm", "portcullis");
    } else {
        if !settings.scopes.is_empty() {
            parameter("scope", &settings.scopes.join(" "));
        }
        parameter("resource_metadata", &metadata_url(identifier));
    }
    if dpop {
        parameter("algs", &Algorithm::ALL.map(Algorithm::as_str).join(" "));
    }
    value
}

fn description(refused: &Refused) -> &'static str {
    match refused {
        Refused::Malformed(why) => why,
        Refused::Proof(_) => "the DPoP proof is not accepted for this request",
        Refused::Nonce => "put the value of DPoP-Nonce into the proof",
        Refused::Scope => "the token lacks a scope that is needed here",
        Refused::Missing | Refused::Invalid(_) | Refused::Unavailable => {
            "the token is expired, revoked, or not for this endpoint"
        }
    }
}

#[cfg(test)]
mod tests;
