//! The browser comes back from the identity provider, and goes on to the client with a code.
//!
//! A `state` is good once, in the browser that it was made for. The sender is checked before anything else is looked at, an
//! error as much as a code (RFC 9207 section 2.4).

use portcullis_model::Expected;
use serde::{Deserialize, Serialize};

use super::authorize::{CONSENTS, REMEMBERED, Wish};
use super::brought::Brought;
use super::client::is_of_a_device;
use super::consent::{LOGINS, Login, cookie_of};
use super::kept::{digest, secret};
use super::logout::{OVER_BY_NOW, Tokens};
use super::provider::Person;
use super::refusal::Refusal;
use super::wire::{FacadeAnswer, FacadeRequest, Params, cookie, with_params};
use super::{Facade, now};
use crate::ended::LONGEST_TOKEN;

/// Codes by their SHA-256.
pub(super) const CODES: &str = "facade-code";
/// What came of codes and whose it is, for as long as one may be presented again.
pub(super) const USED: &str = "facade-code-family";
/// How long a code is good, in seconds.
const CODE: u64 = 60;
/// How long a code that is used again takes back what it gave, in seconds.
const WATCHED: u64 = 3600;

/// What a code stands for.
#[derive(Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) wish: Wish,
    pub(super) person: Person,
    /// Of the tokens that it will give.
    pub(super) family: String,
    /// What the provider gave.
    #[serde(default)]
    pub(super) brought: Option<Brought>,
}

impl Facade {
    pub(super) async fn callback(&self, request: &FacadeRequest<'_>) -> FacadeAnswer {
        let (state, login) = match self.come_back(request).await {
            Ok(back) => back,
            Err(refusal) => return FacadeAnswer::error_page(&refusal.for_person()),
        };
        let Login { wish, .. } = &login;
        let answer = match self.finish(request, &login).await {
            Ok(answer) => answer,
            Err(refusal) => {
                let code = if refusal.status == 502 { "server_error" } else { refusal.code };
                let refusal = Refusal { code, ..refusal };
                self.send_back_error(&wish.redirect_uri, wish.state.as_deref(), &refusal)
            }
        };
        answer.with_cookie(self.set_cookie(&cookie_of(&state), "", 0))
    }

    /// The login that a browser comes back from.
    async fn come_back(&self, request: &FacadeRequest<'_>) -> Result<(String, Login), Refusal> {
        let params = Params::read(request.query.unwrap_or_default().as_bytes())?;
        let state = params.need("state", "the answer belongs to no login")?.to_owned();
        let login = self.kept.take::<Login>(LOGINS, &digest(&state)).await?;
        let login = login.ok_or(Refusal::bad("this login is over, or was never begun here"))?;
        let shown = cookie(request.cookie, &self.cookie_name(&cookie_of(&state)));
        if shown.is_none_or(|cookie| digest(cookie) != login.cookie) {
            return Err(Refusal::forbidden("the login was begun in another browser"));
        }
        self.provider.check_sender(params.get("iss")?).await?;
        Ok((state, login))
    }

    async fn finish(&self, request: &FacadeRequest<'_>, login: &Login) -> Result<FacadeAnswer, Refusal> {
        let params = Params::read(request.query.unwrap_or_default().as_bytes())?;
        let Login { wish, expected, browser, agreed, .. } = login;
        if params.get("error")?.is_some() {
            return Err(Refusal::forbidden("the identity provider did not log the person in"));
        }
        let code = params.need("code", "the identity provider gave no code")?;
        let (person, brought) = self.provider.redeem(code, &self.at("/callback"), expected, now()).await?;
        if agreed.as_ref().is_some_and(|before| *before != person.subject) {
            // Two people share a browser: what one agreed to the other did not.
            self.kept.take::<String>(CONSENTS, &wish.consent_key(browser)).await?;
            return Ok(self.ask_again(wish));
        }
        if !is_of_a_device(&wish.redirect_uri) {
            let (key, ends) = (wish.consent_key(browser), now() + REMEMBERED);
            self.kept.put(CONSENTS, &key, &person.subject, ends, Expected::Any).await?;
        }
        let known = self.remember_person(browser, &person.subject);
        let (code, family) = (secret(), secret());
        let key = digest(&code);
        let (tokens, ends) = (Tokens::Family(digest(&family)), now() + self.settings.session_ttl.as_secs());
        if !self.remember_login(&person, tokens, ends + CODE + LONGEST_TOKEN).await? {
            return Err(Refusal::forbidden(OVER_BY_NOW));
        }
        let used = (&family, &person.subject);
        self.kept.put(USED, &key, &used, now() + WATCHED, Expected::Absent).await?;
        let brought = brought.filter(|_| self.settings.keeps_id_tokens);
        let grant = Grant { wish: wish.clone(), person, family, brought };
        self.kept.put(CODES, &key, &grant, now() + CODE, Expected::Absent).await?;
        let mut back = vec![("code", code.as_str())];
        back.extend(wish.state.as_deref().map(|state| ("state", state)));
        back.push(("iss", &self.settings.issuer));
        Ok(FacadeAnswer::redirect(with_params(&wish.redirect_uri, &back)).with_cookie(known))
    }
}
