//! The identity provider says that a login there is over (OpenID Connect Back-Channel Logout 1.0).
//!
//! What came of a login is found by what the provider calls it: the person (`sub`), and the login itself (`sid`) where the
//! provider tells one of a person's logins from another. A code that was not redeemed yet is ended as its tokens would be. What
//! is still on its way, in a browser or as an ID-JAG, is held against what the provider has said meanwhile.

use portcullis_model::Expected;
use serde::{Deserialize, Serialize};

use super::client_auth::LONGEST_LIFE;
use super::ends::End;
use super::kept::digest;
use super::provider::{Login, Person};
use super::refusal::Refusal;
use super::wire::{FacadeAnswer, FacadeRequest, Params};
use super::{Facade, now};
use crate::claims::LEEWAY;

/// What came of logins, by the digest of a name by which they can be ended, and a digest that tells them apart.
const OF_LOGINS: &str = "facade-of-login";
/// Names whose logins are over, with the last second in which the provider can have vouched for one that is.
const OVER: &str = "facade-login-over";
/// For how long that is kept, in seconds: until whatever was on its way has come or is too old.
const WATCHED: u64 = 2 * LONGEST_LIFE;
/// How often it is tried to write that down.
const TRIES: usize = 8;
/// Logout tokens that were used.
const USED: &str = "facade-logout";

/// Why somebody gets nothing of a login.
pub(super) const OVER_BY_NOW: &str = "the login at the identity provider is over by now";

/// What came of a login.
#[derive(Serialize, Deserialize)]
pub(super) enum Tokens {
    /// A family, by the key that it is kept under.
    Family(String),
    /// An access token alone, by its session.
    Of(String),
}

/// What is kept of it.
#[derive(Serialize, Deserialize)]
struct Came {
    tokens: Tokens,
    /// Whose, as our tokens call them.
    subject: String,
}

/// All logins of a person.
fn of_person(subject: &str) -> String {
    digest(&format!("sub\0{subject}"))
}

/// Those logins of a person that the provider gave no name.
fn of_unnamed(subject: &str) -> String {
    digest(&format!("unnamed\0{subject}"))
}

/// One login.
fn of_login(session: &str) -> String {
    digest(&format!("sid\0{session}"))
}

/// By which names a login can be ended.
fn names_of(login: &Login) -> impl Iterator<Item = String> {
    let subject = login.subject.as_deref();
    let own = match &login.session {
        Some(session) => Some(of_login(session)),
        None => subject.map(of_unnamed),
    };
    [own, subject.map(of_person)].into_iter().flatten()
}

/// Which names the provider's word ends, each with the last second in which a login that is over can have been vouched for. With
/// a login named, those of the person that have no name cannot be told from it; the others can, and go on.
fn names_in(word: &Login) -> impl Iterator<Item = (String, u64)> {
    let subject = word.subject.as_deref();
    let of_subject = match word.session {
        Some(_) => subject.map(of_unnamed),
        None => subject.map(of_person),
    };
    // A person comes again, a login does not.
    let login = word.session.as_deref().map(|session| (of_login(session), u64::MAX));
    [login, of_subject.map(|name| (name, word.said))].into_iter().flatten()
}

impl Facade {
    /// Keeps what came of a login until then, to be found when the login is over; says whether it is not over by now.
    pub(super) async fn remember_login(
        &self,
        person: &Person,
        tokens: Tokens,
        ends: u64,
    ) -> Result<bool, Refusal> {
        let (Tokens::Family(name) | Tokens::Of(name)) = &tokens;
        let name = digest(name);
        let came = Came { tokens, subject: person.subject.clone() };
        for holder in names_of(&person.login) {
            self.kept.put(OF_LOGINS, &format!("{holder}.{name}"), &came, ends, Expected::Any).await?;
        }
        // Whoever logged out meanwhile has left word before what came of the login was looked for.
        Ok(!self.is_over(&person.login).await?)
    }

    /// Whether the provider has said that a login is over.
    pub(super) async fn is_over(&self, login: &Login) -> Result<bool, Refusal> {
        for name in names_of(login) {
            if self.kept.get::<u64>(OVER, &name).await?.is_some_and(|over| login.said <= over.value) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn logout(&self, request: &FacadeRequest<'_>) -> FacadeAnswer {
        match self.logged_out(request).await {
            Ok(whom) => FacadeAnswer { whom, ..FacadeAnswer::empty() },
            Err(refusal) => FacadeAnswer::error(&refusal),
        }
    }

    /// Ends what a logout token says is over; whose it was, where that is known.
    async fn logged_out(&self, request: &FacadeRequest<'_>) -> Result<Option<String>, Refusal> {
        let params = Params::of_form(request)?;
        let token = params.need("logout_token", "the request has no logout token")?;
        let now = now();
        let over = self.provider.over(token, now).await?;
        let used = digest(&over.id);
        if self.kept.get::<bool>(USED, &used).await?.is_some() {
            return Err(Refusal::bad("a logout token that was used before"));
        }
        let mut whom = over.whom;
        for (name, until) in names_in(&over.login) {
            self.mark_over(&name, until, now + WATCHED).await?;
            whom = self.end_all(&name).await?.or(whom);
        }
        // Last, for the provider comes again with the same one where it was not carried out.
        self.kept.put(USED, &used, &true, over.expires + 2 * LEEWAY, Expected::Any).await?;
        Ok(whom)
    }

    /// Keeps until `ends` that the logins of a name are over which were vouched for until then. Of two that say so at the same
    /// time, here or elsewhere, the later second stays.
    async fn mark_over(&self, name: &str, until: u64, ends: u64) -> Result<(), Refusal> {
        for _ in 0..TRIES {
            let (before, expected) = self.kept.look::<u64>(OVER, name).await?;
            let until = before.map_or(until, |before| before.max(until));
            if self.kept.put(OVER, name, &until, ends, expected).await? {
                return Ok(());
            }
        }
        // The provider comes again.
        Err(Refusal::unavailable("others write down the end of the same logins all the time"))
    }

    /// Ends whatever came of the logins of a name; whose they were, if there were any.
    async fn end_all(&self, holder: &str) -> Result<Option<String>, Refusal> {
        let begin = format!("{holder}.");
        let (mut after, mut whose) = (Some(String::new()), None);
        while let Some(key) = after {
            let (found, last) = self.kept.page::<Came>(OF_LOGINS, &begin, &key).await?;
            for (key, Came { tokens, subject }) in found {
                let end = End { whose: Some(&subject), why: "its identity provider says that it is over" };
                match &tokens {
                    Tokens::Family(key) => self.end_kept(key, end).await?,
                    Tokens::Of(session) => self.end_session(session, end).await?,
                }
                self.kept.take::<Came>(OF_LOGINS, &key).await?;
                whose = Some(subject);
            }
            after = last;
        }
        Ok(whose)
    }
}
