//! Refresh tokens: each is good once, and gives the next (OAuth 2.1 section 4.3.1).
//!
//! All that came of one login are a family. A token is the family's id and a secret; the family remembers which secret is
//! the last. Another secret under a known id was the last one before: somebody has a token that they should not have, and
//! since nobody can tell who, the whole family ends, access tokens with it.

use aws_lc_rs::constant_time;
use portcullis_model::Expected;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::ends::End;
use super::kept::{digest, secret};
use super::possession;
use super::provider::Person;
use super::refusal::Refusal;
use super::{Facade, now};
use crate::dpop::Possession;

/// Families by the SHA-256 of their ids.
const FAMILIES: &str = "facade-family";
/// Those that ended, for as long as one of their codes may still be on its way.
const ENDED: &str = "facade-family-ended";
/// How long that is, in seconds.
const WATCHED: u64 = 3600;

/// Why what came of a code ends.
pub(super) const CODE_TWICE: &str = "a code was used twice";

/// What is kept of one login.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Family {
    pub(super) client_id: String,
    pub(super) person: Person,
    pub(super) resource: String,
    pub(super) scopes: Vec<String>,
    /// When the person logged in.
    pub(super) began: u64,
    /// SHA-256 over the secret of the last refresh token.
    pub(super) current: String,
    /// The thumbprint of the key that its tokens are bound to.
    #[serde(default)]
    pub(super) key: Option<String>,
}

impl Facade {
    /// Begins a family, and gives its first refresh token.
    pub(super) async fn begin_family(
        &self,
        id: &str,
        mut family: Family,
    ) -> Result<(Family, String), Refusal> {
        let secret = secret();
        family.current = digest(&secret);
        let key = digest(id);
        self.kept.put(FAMILIES, &key, &family, self.end_of(&family), Expected::Absent).await?;
        // Whoever used the code a second time meanwhile has left word before it looked for the family.
        if self.kept.get::<bool>(ENDED, &key).await?.is_some() {
            self.end_family(id, End { whose: Some(&family.person.subject), why: CODE_TWICE }).await?;
            return Err(Refusal::grant("the code was used twice at the same time"));
        }
        Ok((family, format!("{id}.{secret}")))
    }

    /// Takes a refresh token for the next one. A request that asks for what cannot be had leaves it as it is.
    pub(super) async fn rotate(
        &self,
        token: &str,
        client: &Client,
        (resource, scope): (Option<&str>, Option<&str>),
        possession: Option<&Possession>,
    ) -> Result<(String, Family, String), Refusal> {
        let unknown = Refusal::grant("the refresh token is not known, or not any more");
        let (id, shown) = token.split_once('.').ok_or(unknown)?;
        let key = digest(id);
        let found = self.kept.get::<Family>(FAMILIES, &key).await?.ok_or(unknown)?;
        let mut family = found.value;
        if family.client_id != client.id {
            let why = "another client used the refresh token";
            self.end_family(id, End { whose: Some(&family.person.subject), why }).await?;
            return Err(Refusal::grant("the refresh token is another client's; its login is ended"));
        }
        if !is_same(&digest(shown), &family.current) {
            let why = "a refresh token was used twice";
            self.end_family(id, End { whose: Some(&family.person.subject), why }).await?;
            return Err(Refusal::grant("the refresh token was used before; its login is ended"));
        }
        if resource.is_some_and(|resource| resource != family.resource) {
            return Err(Refusal::new(400, "invalid_target", "the resource is not that of the login"));
        }
        let known = |scope: &str| family.scopes.iter().any(|it| it == scope);
        if !scope.unwrap_or_default().split_ascii_whitespace().all(known) {
            // RFC 6749 section 6.
            return Err(Refusal::new(400, "invalid_scope", "the login was not for all of these scopes"));
        }
        // Whoever has the token and not the key has got nothing, so the login goes on.
        family.key = possession::of_refresh(family.key.as_deref(), client, possession)?;
        self.use_proof(possession).await?;
        let next = secret();
        family.current = digest(&next);
        let (ends, version) = (self.end_of(&family), Expected::Version(found.version));
        if !self.kept.put(FAMILIES, &key, &family, ends, version).await? {
            return Err(Refusal::grant("the refresh token is being used at the same time"));
        }
        Ok((id.to_owned(), family, format!("{id}.{next}")))
    }

    /// The family of a refresh token of a client, old or new: its id, and whose it is.
    pub(super) async fn family_of(
        &self,
        token: &str,
        client: &str,
    ) -> Result<Option<(String, String)>, Refusal> {
        let Some((id, _)) = token.split_once('.') else { return Ok(None) };
        let found = self.kept.get::<Family>(FAMILIES, &digest(id)).await?;
        let found = found.filter(|found| found.value.client_id == client);
        Ok(found.map(|found| (id.to_owned(), found.value.person.subject)))
    }

    /// Ends a family, with all access tokens that it gave.
    pub(super) async fn end_family(&self, id: &str, end: End<'_>) -> Result<(), Refusal> {
        self.end_kept(&digest(id), end).await
    }

    /// Ends whatever the access tokens of a session came of.
    pub(super) async fn end_session(&self, session: &str, end: End<'_>) -> Result<(), Refusal> {
        self.end_tokens(session, end).await?;
        // The session is the beginning of the key: see `session_of`.
        match self.kept.key_like(FAMILIES, session).await? {
            Some(key) => self.end_kept(&key, end).await,
            None => Ok(()),
        }
    }

    /// Ends the family of a key, be it there by now or not.
    pub(super) async fn end_kept(&self, key: &str, end: End<'_>) -> Result<(), Refusal> {
        self.end_tokens(session_at(key), end).await?;
        self.kept.put(ENDED, key, &true, now() + WATCHED, Expected::Any).await?;
        self.kept.take::<Family>(FAMILIES, key).await?;
        self.forget_brought(key).await?;
        Ok(())
    }

    pub(super) fn end_of(&self, family: &Family) -> u64 {
        family.began + self.settings.session_ttl.as_secs()
    }
}

/// What access tokens name their family by: not the id itself, which whoever has a refresh token knows.
pub(super) fn session_of(family: &str) -> String {
    session_at(&digest(family)).to_owned()
}

/// The same of a family that is kept under a key.
pub(super) fn session_at(key: &str) -> &str {
    &key[..22]
}

fn is_same(one: &str, other: &str) -> bool {
    constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}
