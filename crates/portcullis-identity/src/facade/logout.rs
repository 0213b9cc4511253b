//! The identity provider says that a login there is over (OpenID Connect Back-Channel Logout 1.0).
//!
//! What came of a login is found by what the provider calls it: the person (`sub`), and the login itself (`sid`) where the
//! provider tells one of a person's logins from another. A code that was not redeemed yet is ended as its tokens would be.

use portcullis_model::Expected;
use serde::{Deserialize, Serialize};

use super::kept::digest;
use super::provider::Login;
use super::refusal::Refusal;
use super::wire::{FacadeAnswer, FacadeRequest, Params};
use super::{Facade, now};
use crate::claims::LEEWAY;

/// What came of logins, by the digest of the provider's name for one, and a digest that tells them apart.
const OF_LOGINS: &str = "facade-of-login";
/// Logins that are over at the provider, for as long as somebody may still be on the way back from them.
const OVER: &str = "facade-login-over";
/// How long that is, in seconds.
const WATCHED: u64 = 600;
/// Logout tokens that were used.
const USED: &str = "facade-logout";

/// What came of a login.
#[derive(Clone, Serialize, Deserialize)]
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
    /// The provider gave the login a name of its own.
    named: bool,
}

fn of_person(subject: &str) -> String {
    digest(&format!("sub\0{subject}"))
}

fn of_login(session: &str) -> String {
    digest(&format!("sid\0{session}"))
}

impl Facade {
    /// Keeps what came of a login until then, to be found when the login is over.
    pub(super) async fn remember_login(
        &self,
        login: &Login,
        tokens: &Tokens,
        ends: u64,
    ) -> Result<(), Refusal> {
        let (Tokens::Family(name) | Tokens::Of(name)) = tokens;
        let came = Came { tokens: tokens.clone(), named: login.session.is_some() };
        let holders = [login.subject.as_deref().map(of_person), login.session.as_deref().map(of_login)];
        for holder in holders.into_iter().flatten() {
            let key = format!("{holder}.{}", digest(name));
            self.kept.put(OF_LOGINS, &key, &came, ends, Expected::Any).await?;
        }
        // Whoever logged out meanwhile has left word before what came of the login was looked for.
        if let Some(session) = &login.session
            && self.kept.get::<bool>(OVER, &of_login(session)).await?.is_some()
        {
            return Err(Refusal::forbidden("the login at the identity provider is over by now"));
        }
        Ok(())
    }

    pub(super) async fn logout(&self, request: &FacadeRequest<'_>) -> FacadeAnswer {
        match self.logged_out(request).await {
            Ok(()) => FacadeAnswer::empty(),
            Err(refusal) => FacadeAnswer::error(&refusal),
        }
    }

    async fn logged_out(&self, request: &FacadeRequest<'_>) -> Result<(), Refusal> {
        let params = Params::of_form(request)?;
        let token = params.need("logout_token", "the request has no logout token")?;
        let now = now();
        let over = self.provider.over(token, now).await?;
        let used = digest(&over.id);
        if self.kept.get::<bool>(USED, &used).await?.is_some() {
            return Err(Refusal::bad("a logout token that was used before"));
        }
        let Login { subject, session } = &over.login;
        if let Some(session) = session {
            self.kept.put(OVER, &of_login(session), &true, now + WATCHED, Expected::Any).await?;
            self.end_all(&of_login(session), |_| true).await?;
        }
        if let Some(subject) = subject {
            // With a session named, those that have none cannot be told from it; the others can, and go on.
            self.end_all(&of_person(subject), |came| session.is_none() || !came.named).await?;
        }
        // Last, for the provider comes again with the same one where it was not carried out.
        self.kept.put(USED, &used, &true, over.expires + 2 * LEEWAY, Expected::Any).await?;
        Ok(())
    }

    async fn end_all(&self, holder: &str, is_meant: impl Fn(&Came) -> bool) -> Result<(), Refusal> {
        let begin = format!("{holder}.");
        let mut after = Some(String::new());
        while let Some(key) = after {
            let (found, last) = self.kept.page::<Came>(OF_LOGINS, &begin, &key).await?;
            for (key, came) in found.iter().filter(|(_, came)| is_meant(came)) {
                match &came.tokens {
                    Tokens::Family(key) => self.end_kept(key).await?,
                    Tokens::Of(session) => self.end_session(session).await?,
                }
                self.kept.take::<Came>(OF_LOGINS, key).await?;
            }
            after = last;
        }
        Ok(())
    }
}
