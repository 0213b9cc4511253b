//! ID-JAG: the identity provider vouches for a person toward this server, at the asking of a client that both know
//! (Enterprise-Managed Authorization; draft-ietf-oauth-identity-assertion-authz-grant).
//!
//! No refresh token comes of it: the client goes back to the identity provider, which is how access ends there.

use serde_json::{Value, json};

use super::client::{Client, Proof};
use super::client_auth::{LONGEST_LIFE, is_audience};
use super::kept::secret;
use super::logout::{OVER_BY_NOW, Tokens};
use super::profile::Profile;
use super::provider::{Login, Person};
use super::refusal::Refusal;
use super::token::{Issue, MACHINE};
use super::wire::{FacadeAnswer, Params};
use super::{Facade, now};
use crate::dpop::Possession;
use crate::ended::LONGEST_TOKEN;
use crate::issuer::origin;
use crate::jose::{Algorithm, Compact, Object};
use crate::refused::Reason;

/// `typ` of an ID-JAG.
const TYPE: &str = "oauth-id-jag+jwt";

impl Facade {
    pub(super) async fn of_assertion(
        &self,
        params: &Params,
        client: &Client,
        possession: Option<&Possession>,
    ) -> Result<FacadeAnswer, Refusal> {
        if client.proof == Proof::None {
            return Err(Refusal::client("a client without credentials cannot bring an ID-JAG"));
        }
        let assertion = params.need("assertion", "the request has no assertion")?;
        let unreadable = Refusal::grant("the assertion cannot be read");
        let compact = Compact::parse(assertion).map_err(|_| unreadable)?;
        if !compact.header.typ.as_deref().is_some_and(|typ| typ.eq_ignore_ascii_case(TYPE)) {
            return Err(Refusal::grant("the assertion is no ID-JAG"));
        }
        let algorithm = compact.header.algorithm.filter(|it| Algorithm::USUAL.contains(it));
        let algorithm =
            algorithm.ok_or(Refusal::grant("the assertion is signed in a way that is not allowed"))?;
        let claims = &compact.claims;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        // Not believed yet: it says whose keys are to be tried, among those that the operator trusts.
        let issuer = text("iss").and_then(|named| self.assertors.iter().find(|(issuer, _)| issuer == named));
        let (issuer, keys) =
            issuer.ok_or(Refusal::grant("the assertion is of an issuer that is not trusted"))?;
        let mut checked = keys.current().map(|set| set.check_signature(&compact, algorithm));
        if matches!(checked, None | Some(Err(Reason::UnknownKey))) {
            let newer = keys.newer().await.map(|set| set.check_signature(&compact, algorithm));
            checked = newer.or(checked);
        }
        let checked = checked.ok_or(Refusal::unavailable("the identity provider cannot be asked"))?;
        checked.map_err(|_| Refusal::grant("the assertion is not signed by its issuer"))?;
        if !is_audience(claims, std::slice::from_ref(&self.settings.issuer)) {
            return Err(Refusal::grant("the assertion is made for somebody else"));
        }
        if text("client_id") != Some(&client.id) {
            return Err(Refusal::grant("the assertion is another client's"));
        }
        let key = possession.map(|it| it.thumbprint.as_str());
        if claims.get("cnf").is_some_and(|cnf| key.is_none_or(|key| *cnf != json!({"jkt": key}))) {
            return Err(Refusal::grant("the assertion is bound to a key, which was not shown"));
        }
        let subject = self.subject_of_assertion(issuer, claims)?;
        let (named, asked) = (text("resource"), params.get("resource")?);
        if named.is_some() && asked.is_some() && named != asked {
            return Err(Refusal::new(400, "invalid_target", "the resource is not that of the assertion"));
        }
        let resource = self.resource(named.or(asked));
        let resource =
            resource.map_err(|_| Refusal::grant("the assertion is for no endpoint of this gateway"))?;
        let made = claims.get("iat").and_then(Value::as_u64);
        let expires = claims.get("exp").and_then(Value::as_u64);
        let stale = Refusal::grant("the assertion is not good any more, or for too long");
        if made.zip(expires).is_none_or(|(made, expires)| expires.saturating_sub(made) > LONGEST_LIFE) {
            return Err(stale);
        }
        // Both have a say: what the provider allows, and what the client asks for of that.
        let mut scopes = self.scopes(text("scope"))?;
        if let Some(asked) = params.get("scope")? {
            let asked: Vec<&str> = asked.split_ascii_whitespace().collect();
            scopes.retain(|scope| asked.contains(&scope.as_str()));
        }
        let groups = self.provider.groups_in(claims).map_err(|refusal| Refusal::grant(refusal.reason))?;
        // Of another provider nobody is told when it is over.
        let login = if *issuer == self.settings.idp.issuer { Login::of(claims) } else { Login::default() };
        let over = Refusal::grant(OVER_BY_NOW);
        if self.is_over(&login).await? {
            return Err(over);
        }
        // Last, so that nothing else that is wrong uses it up.
        self.use_proof(possession).await?;
        self.use_once(claims, issuer, stale).await?;
        let person = Person {
            subject,
            groups: groups.unwrap_or_default(),
            claims: self.provider.told(claims),
            auth_time: claims.get("auth_time").and_then(Value::as_u64),
            acr: text("acr").map(str::to_owned),
            login,
        };
        let session = secret();
        if !self.remember_login(&person, Tokens::Of(session.clone()), now() + LONGEST_TOKEN).await? {
            return Err(over);
        }
        let issue = Issue {
            person: &person,
            client_id: &client.id,
            resource: &resource,
            scopes: &scopes,
            session: &session,
            key,
        };
        self.issue(&issue, None).await
    }

    /// Whom an assertion is about: the same, and only if they are let in, as when they log in at the same provider.
    fn subject_of_assertion(&self, issuer: &str, claims: &Object) -> Result<String, Refusal> {
        let idp = &self.settings.idp;
        // Of a provider with many tenants each may be an issuer of its own.
        let same = origin(issuer) == origin(&idp.issuer);
        if same && idp.tenants.as_ref().is_some_and(|tenants| !tenants.let_in(claims)) {
            return Err(Refusal::grant("people of that tenant are not let in here"));
        }
        let profile = if issuer == idp.issuer { idp.profile } else { Profile::Generic };
        let subject = profile.subject(claims).ok().filter(|subject| subject.len() <= 512);
        let subject = subject.ok_or(Refusal::grant("the assertion names nobody"))?;
        Ok(subject_of(issuer, &subject, &idp.issuer))
    }
}

/// A person as a subject of ours: as the identity provider calls them, and those of other providers with the name of theirs
/// in front. An issuer has no fragment, so the two never meet, nor do they meet a machine.
pub(super) fn subject_of(issuer: &str, subject: &str, own: &str) -> String {
    if issuer == own && !subject.contains('#') && !subject.starts_with(MACHINE) {
        subject.to_owned()
    } else {
        format!("{issuer}#{subject}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_subject_is_anybody_elses() {
        let own = "https://idp";
        let all = [
            subject_of(own, "ada", own),
            subject_of("https://other", "ada", own),
            subject_of(own, "https://other#ada", own),
            subject_of(own, "machine:ada", own),
            format!("{MACHINE}ada"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(!all[at + 1..].contains(one), "{one}");
        }
    }
}
