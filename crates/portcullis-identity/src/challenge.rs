//! What a client is told to do about a refusal: `WWW-Authenticate` (RFC 9110, RFC 6750, RFC 9728, RFC 9449,
//! RFC 9470).

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

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
    let error = refused.code().map(|code| (code, description(refused)));
    written(settings, identifier, presented, error, &settings.scopes.join(" "), None)
}

/// The same for a token that is good, and lacks some of the scopes that the caller's next one has to have.
pub fn step_up_challenge(
    settings: &Settings,
    identifier: &str,
    presented: Option<Scheme>,
    scope: &str,
) -> String {
    let error = Some(("insufficient_scope", description(&Refused::Scope)));
    written(settings, identifier, presented, error, scope, None)
}

/// The same for one of which the identity provider wants more before it lets the gateway act for its user. Where it says what
/// the next login has to ask for, that goes along in base64, as clients of Entra know it; else it is RFC 9470's word.
pub fn login_challenge(
    settings: &Settings,
    identifier: &str,
    presented: Option<Scheme>,
    claims: Option<&str>,
) -> String {
    let code = if claims.is_some() { "insufficient_claims" } else { "insufficient_user_authentication" };
    let error = Some((code, "the identity provider wants you to log in again"));
    written(settings, identifier, presented, error, &settings.scopes.join(" "), claims)
}

fn written(
    settings: &Settings,
    identifier: &str,
    presented: Option<Scheme>,
    error: Option<(&str, &str)>,
    scope: &str,
    claims: Option<&str>,
) -> String {
    let dpop = settings.dpop_required || presented == Some(Scheme::Dpop);
    let mut value = if dpop { "DPoP" } else { "Bearer" }.to_owned();
    let mut separator = ' ';
    let mut parameter = |name: &str, text: &str| {
        let _ = write!(value, "{separator}{name}=\"{text}\"");
        separator = ',';
    };
    if let Some((code, description)) = error {
        parameter("error", code);
        parameter("error_description", description);
    }
    if let Some(claims) = claims {
        parameter("claims", &STANDARD.encode(claims));
    }
    if settings.issuers.is_empty() {
        parameter("realm", "portcullis");
    } else {
        if !scope.is_empty() {
            parameter("scope", scope);
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
