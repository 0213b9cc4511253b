//! Logout tokens: whether one is the provider's, and which logins it ends (OpenID Connect Back-Channel Logout section 2.6).

use serde_json::Value;

use super::Provider;
use super::person::Login;
use crate::facade::assertion::subject_of;
use crate::facade::refusal::Refusal;
use crate::refused::Reason;

/// The event that a logout token tells of.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How long a logout token may be good, in seconds: for so long is remembered that it was used.
const LONGEST_LIFE: u64 = 24 * 3600;
/// Longest `jti`, in bytes.
const LONGEST_ID: usize = 256;

/// What a logout token says.
pub(in crate::facade) struct Over {
    /// Whose login is over: that one, or all where no session is named.
    pub(in crate::facade) login: Login,
    /// Whose, as our tokens call them, where that can be told.
    pub(in crate::facade) whom: Option<String>,
    /// What no second logout token has.
    pub(in crate::facade) id: String,
    /// Until when it is good.
    pub(in crate::facade) expires: u64,
}

impl Provider {
    /// Reads a logout token.
    pub(in crate::facade) async fn over(&self, token: &str, now: u64) -> Result<Over, Refusal> {
        let found = self.found().await?;
        // Many providers still say `JWT` or nothing; the event tells an ID token apart, which never has one.
        let claims = self.signed(&found, token, &["logout+jwt", "JWT"], now).await.map_err(|reason| {
            tracing::warn!(idp = self.settings.issuer, %reason, "refused a logout token");
            Refusal::bad(match reason {
                Reason::Issuer => "the logout token is of another issuer",
                Reason::Audience => "the logout token is for another client",
                Reason::Algorithm => "the logout token is signed in a way that is not allowed",
                Reason::Signature | Reason::UnknownKey => {
                    "the logout token is not signed by the identity provider"
                }
                Reason::Expired | Reason::NotYet | Reason::Time => "the logout token is of another time",
                Reason::Type => "what came is no logout token",
                _ => "the logout token cannot be read",
            })
        })?;
        if !claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
            return Err(Refusal::bad("the logout token tells of no logout"));
        }
        if claims.contains_key("nonce") {
            return Err(Refusal::bad("what came is an ID token"));
        }
        let login = Login::of(&claims);
        if login.subject.is_none() && login.session.is_none() {
            return Err(Refusal::bad("the logout token names neither a person nor a login"));
        }
        let id = claims.get("jti").and_then(Value::as_str);
        let id = id.filter(|id| !id.is_empty() && id.len() <= LONGEST_ID);
        let id = id.ok_or(Refusal::bad("the logout token has no `jti`"))?.to_owned();
        let expires = claims.get("exp").and_then(Value::as_u64).unwrap_or_default();
        if expires > now + LONGEST_LIFE {
            return Err(Refusal::bad("the logout token is good for too long"));
        }
        let whom = self.settings.profile.subject(&claims).ok();
        let whom = whom.map(|subject| subject_of(&self.settings.issuer, &subject, &self.settings.issuer));
        Ok(Over { login, whom, id, expires })
    }
}
