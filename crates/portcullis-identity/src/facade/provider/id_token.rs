//! ID tokens: whether one is the provider's, for this login (OpenID Connect Core section 3.1.3.7).

use serde_json::Value;

use super::Provider;
use super::metadata::Found;
use crate::claims::LEEWAY;
use crate::facade::refusal::Refusal;
use crate::jose::{Algorithm, Compact, Object};
use crate::refused::Reason;

impl Provider {
    /// The claims of an ID token that passes.
    pub(super) async fn verify(
        &self,
        found: &Found,
        token: &str,
        nonce: &str,
        now: u64,
    ) -> Result<Object, Refusal> {
        self.verified(found, token, nonce, now).await.map_err(|reason| {
            tracing::warn!(idp = self.settings.issuer, %reason, "refused an ID token");
            Refusal::new(
                502,
                "server_error",
                match reason {
                    Reason::Tenant => "people of that tenant are not let in here",
                    Reason::Issuer => "the ID token is of another issuer",
                    Reason::Audience => "the ID token is for another client",
                    Reason::Algorithm => "the ID token is signed in a way that is not allowed",
                    Reason::Signature | Reason::UnknownKey => {
                        "the ID token is not signed by the identity provider"
                    }
                    Reason::Replayed => "the ID token is of another login",
                    Reason::Expired | Reason::NotYet | Reason::Time => "the ID token is of another time",
                    Reason::Type => "what came is no ID token",
                    _ => "the ID token cannot be read",
                },
            )
        })
    }

    async fn verified(&self, found: &Found, token: &str, nonce: &str, now: u64) -> Result<Object, Reason> {
        let claims = self.signed(found, token, &["JWT"], now).await?;
        self.settings.profile.check_kind(&claims)?;
        if claims.get("nonce").and_then(Value::as_str) != Some(nonce) {
            return Err(Reason::Replayed);
        }
        if self.settings.tenants.as_ref().is_some_and(|tenants| !tenants.let_in(&claims)) {
            return Err(Reason::Tenant);
        }
        Ok(claims)
    }

    /// The claims of a token of one of these types (or untyped) that the provider signed for us, and that is of now.
    pub(super) async fn signed(
        &self,
        found: &Found,
        token: &str,
        types: &[&str],
        now: u64,
    ) -> Result<Object, Reason> {
        let compact = Compact::parse(token)?;
        let algorithm = compact.header.algorithm.ok_or(Reason::Algorithm)?;
        if !Algorithm::USUAL.contains(&algorithm) {
            return Err(Reason::Algorithm);
        }
        let fits = |typ: &str| types.iter().any(|known| typ.eq_ignore_ascii_case(known));
        if compact.header.typ.as_deref().is_some_and(|typ| !fits(typ)) {
            return Err(Reason::Type);
        }
        let mut checked = found.keys.current().map(|set| set.check_signature(&compact, algorithm));
        if matches!(checked, None | Some(Err(Reason::UnknownKey))) {
            let newer = found.keys.newer().await.map(|set| set.check_signature(&compact, algorithm));
            checked = newer.or(checked);
        }
        checked.ok_or(Reason::UnknownKey)??;
        let claims = compact.claims;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if !self.settings.profile.is_token_issuer(&found.issuer, &claims) {
            return Err(Reason::Issuer);
        }
        let client_id = self.settings.client_id.as_str();
        let alone = match claims.get("aud") {
            Some(Value::String(audience)) if audience == client_id => true,
            Some(Value::Array(audiences)) if audiences.iter().any(|it| it == client_id) => {
                audiences.len() == 1
            }
            _ => return Err(Reason::Audience),
        };
        if text("azp").map_or(!alone, |azp| azp != client_id) {
            return Err(Reason::Audience);
        }
        let time = |name: &str| claims.get(name).and_then(Value::as_u64);
        let expires = time("exp").ok_or(Reason::Time)?;
        if expires.saturating_add(LEEWAY) <= now {
            return Err(Reason::Expired);
        }
        if time("iat").ok_or(Reason::Time)? > now + LEEWAY || time("nbf").is_some_and(|it| it > now + LEEWAY)
        {
            return Err(Reason::NotYet);
        }
        Ok(claims)
    }
}
