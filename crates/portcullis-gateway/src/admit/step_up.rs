//! What a caller is told whose token lacks scopes, and nothing else, for what it asks (RFC 6750 section 3.1; 2026-07-28,
//! authorization).
//!
//! Which scopes those are, the policies say. Here is who could have them, and the refusal. Its status and header are the edge's.

use portcullis_config::Settings;
use portcullis_mcp::json::{Change, Raw};
use portcullis_model::ErrorKind;
use portcullis_policy::StepUp;

use crate::call::{Challenge, Refusal};

/// What the configuration says about tokens with more scopes.
pub(crate) fn settings(settings: &Settings) -> StepUp {
    let identity = &settings.identity;
    let unwilling = identity.issuers.iter().filter(|issuer| !issuer.step_up);
    StepUp {
        required: identity.scopes.clone(),
        scopes: identity.step_up.clone(),
        except: unwilling.map(|issuer| issuer.issuer.clone()).collect(),
    }
}

/// The refusal of what needs a token for all of `scope`.
pub(super) fn refusal(scope: &str) -> Refusal {
    let message = format!("your token is not for this: log in again and ask for the scopes `{scope}`");
    let data = Raw::from_static("{}").with(&[("scope", Change::Set(Raw::from_text(scope).as_bytes()))]);
    let refusal = Refusal::new(ErrorKind::InsufficientScope, message).with_data(data);
    Refusal { challenge: Some(Challenge::Scope(scope.into())), ..refusal }
}
