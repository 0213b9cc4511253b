//! What the provider says of a person: groups, and what else fits into a token of ours.

use serde::{Deserialize, Serialize};

use super::metadata::Found;
use super::{AWAY, Provider};
use crate::claims::{are_elsewhere, groups_at};
use crate::facade::refusal::Refusal;
use crate::fetch::Form;
use crate::jose::Object;
use crate::refused::Reason;

/// Groups that fit into a token of ours.
pub(in crate::facade) const MOST_GROUPS: usize = 200;
/// All of them together, in bytes.
const MOST_OF_GROUPS: usize = 6 * 1024;
/// Further claims that fit, in bytes.
const MOST_OF_CLAIMS: usize = 2 * 1024;

/// Who logged in, as the provider says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::facade) struct Person {
    pub(in crate::facade) subject: String,
    pub(in crate::facade) groups: Vec<String>,
    /// What else is said about them.
    pub(in crate::facade) claims: Object,
    pub(in crate::facade) auth_time: Option<u64>,
    pub(in crate::facade) acr: Option<String>,
}

impl Provider {
    /// The groups of a person. Those that the provider withholds must not look like none: rules that forbid by group would
    /// let everybody through.
    pub(super) async fn groups(
        &self,
        found: &Found,
        claims: &Object,
        access: Option<&str>,
    ) -> Result<Vec<String>, Refusal> {
        let profile = self.settings.profile;
        let configured = self.settings.groups_claim.as_deref();
        let Some(name) = configured.or(profile.groups_claim()) else { return Ok(Vec::new()) };
        if are_elsewhere(claims, name) {
            return Err(Refusal::forbidden(
                "the identity provider left the groups out, for they are too many: have it send only those that are \
                 assigned to this application",
            ));
        }
        let mut groups = groups_at(claims, name).map_err(unreadable)?;
        if groups.is_none()
            && profile.asks_userinfo()
            && let (Some(url), Some(access)) = (&found.userinfo_endpoint, access)
        {
            let form = Form { authorization: format!("Bearer {access}"), ..Form::default() };
            let told = self.ask(url, form).await.map_err(|error| {
                tracing::warn!(idp = self.settings.issuer, %error, "cannot ask for groups");
                AWAY
            })?;
            // Of somebody else's answer nothing may be used (OpenID Connect Core section 5.3.4).
            if told.get("sub").is_none() || told.get("sub") != claims.get("sub") {
                return Err(Refusal::new(502, "server_error", "the identity provider told of somebody else"));
            }
            groups = match told.as_object() {
                Some(told) => groups_at(told, name).map_err(unreadable)?,
                None => None,
            };
        }
        let groups = groups.unwrap_or_default();
        let length: usize = groups.iter().map(String::len).sum();
        if groups.len() > MOST_GROUPS || length > MOST_OF_GROUPS {
            return Err(Refusal::forbidden("the groups are too many to fit into a token"));
        }
        Ok(groups)
    }
}

/// Groups that cannot be read must not look like none either.
fn unreadable(_: Reason) -> Refusal {
    Refusal::forbidden(
        "the identity provider told groups in a form that cannot be read: expected a list of names",
    )
}

/// What is said of a person beside their groups, as far as it fits into a token.
pub(in crate::facade) fn told(claims: &Object) -> Object {
    let mut left = MOST_OF_CLAIMS;
    let mut out = Object::new();
    for (name, value) in claims.iter().filter(|(name, _)| !is_taken(name)) {
        let length = name.len() + value.to_string().len();
        if length <= left {
            left -= length;
            out.insert(name.clone(), value.clone());
        }
    }
    out
}

/// Claims that mean something else in a token of ours, or nothing.
fn is_taken(name: &str) -> bool {
    crate::claims::MECHANICS.contains(&name)
        || matches!(
            name,
            "groups"
                | "cognito:groups"
                | "act"
                | "may_act"
                | "typ"
                | "sid"
                | "auth_time"
                | "acr"
                | "token_use"
                | "session_state"
        )
}
