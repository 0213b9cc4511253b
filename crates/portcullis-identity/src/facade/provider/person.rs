//! What the provider says of a person: groups, and what else fits into a token of ours.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::metadata::Found;
use super::{AWAY, Provider};
use crate::claims::groups_at;
use crate::facade::refusal::Refusal;
use crate::fetch::Form;
use crate::jose::Object;
use crate::refused::Reason;

/// Groups that fit into a token of ours.
const MOST_GROUPS: usize = 200;
/// All of them together, in bytes.
const MOST_OF_GROUPS: usize = 6 * 1024;
/// Further claims that fit, in bytes.
const MOST_OF_CLAIMS: usize = 2 * 1024;

/// Longest name of a person or a login at the provider, in bytes.
const LONGEST: usize = 1024;

/// Who logged in, as the provider says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::facade) struct Person {
    pub(in crate::facade) subject: String,
    pub(in crate::facade) groups: Vec<String>,
    /// What else is said about them.
    pub(in crate::facade) claims: Object,
    pub(in crate::facade) auth_time: Option<u64>,
    pub(in crate::facade) acr: Option<String>,
    /// What the provider calls the login, to say when it is over.
    pub(in crate::facade) login: Login,
}

/// A login at the provider (OpenID Connect Back-Channel Logout section 2.4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::facade) struct Login {
    /// Whose, in the provider's own words. Nobody's that it could end, when not given.
    pub(in crate::facade) subject: Option<String>,
    /// Which, where the provider tells them apart.
    pub(in crate::facade) session: Option<String>,
    /// Since when it is, in seconds since 1970: `auth_time`, where the provider tells it, for a code may be redeemed long after; else
    /// `iat`.
    pub(in crate::facade) said: u64,
}

impl Login {
    /// What claims say of it.
    pub(in crate::facade) fn of(claims: &Object) -> Self {
        let text = |name: &str| {
            let text = claims.get(name)?.as_str().filter(|text| !text.is_empty() && text.len() <= LONGEST)?;
            Some(text.to_owned())
        };
        let time = |name| claims.get(name).and_then(Value::as_u64);
        let issued = time("iat").unwrap_or_default();
        let said = time("auth_time").map_or(issued, |began| began.min(issued));
        Self { subject: text("sub"), session: text("sid"), said }
    }
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
        let mut groups = self.groups_in(claims)?;
        if groups.is_none()
            && self.settings.profile.asks_userinfo()
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
                Some(told) => self.groups_in(told)?,
                None => None,
            };
        }
        Ok(groups.unwrap_or_default())
    }

    /// The groups that claims list, `None` when they list none. Those that cannot be read must not look like none either.
    pub(in crate::facade) fn groups_in(&self, claims: &Object) -> Result<Option<Vec<String>>, Refusal> {
        let configured = self.settings.groups_claim.as_deref();
        let Some(name) = configured.or(self.settings.profile.groups_claim()) else { return Ok(None) };
        let groups = groups_at(claims, name).map_err(|reason| {
            Refusal::forbidden(if reason == Reason::GroupsElsewhere {
                "the identity provider left the groups out, for they are too many: have it send only those that are \
                 assigned to this application"
            } else {
                "the identity provider told groups in a form that cannot be read: expected a list of names"
            })
        })?;
        let length: usize = groups.iter().flatten().map(String::len).sum();
        if groups.as_ref().is_some_and(|groups| groups.len() > MOST_GROUPS) || length > MOST_OF_GROUPS {
            return Err(Refusal::forbidden("the groups are too many to fit into a token"));
        }
        Ok(groups)
    }

    /// What is said of a person beside their groups, as far as it fits into a token. What does not is said in the log, once:
    /// it is the provider's habit and nothing that a person did.
    pub(in crate::facade) fn told(&self, claims: &Object) -> Object {
        let (out, left_out) = fitting(claims);
        if !left_out.is_empty() && !self.said_left_out.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                idp = self.settings.issuer,
                claims = left_out.join(", "),
                "claims do not fit into the tokens of this gateway and are left out, so policies do not see them: have \
                 the identity provider send less"
            );
        }
        out
    }
}

/// The claims that fit, and the names of those that do not.
fn fitting(claims: &Object) -> (Object, Vec<&str>) {
    let mut left = MOST_OF_CLAIMS;
    let (mut out, mut left_out) = (Object::new(), Vec::new());
    for (name, value) in claims.iter().filter(|(name, _)| !is_taken(name)) {
        let length = name.len() + value.to_string().len();
        if length <= left {
            left -= length;
            out.insert(name.clone(), value.clone());
        } else {
            left_out.push(name.as_str());
        }
    }
    (out, left_out)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_that_do_not_fit_are_left_out_and_named() {
        let claims = json!({
            "sub": "ada", "email": "ada@example.com", "photo": "x".repeat(MOST_OF_CLAIMS), "tid": "t1", "groups": ["a"],
        });
        let (told, left_out) = fitting(claims.as_object().unwrap());
        assert_eq!(told, *json!({"email": "ada@example.com", "tid": "t1"}).as_object().unwrap());
        assert_eq!(left_out, ["photo"]);
    }
}
