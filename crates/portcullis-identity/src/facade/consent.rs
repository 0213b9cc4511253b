//! The person's answer, and the way to the identity provider.
//!
//! The form comes back with what was asked for, sealed for the browser that was shown it: nobody else's browser can send it,
//! and nobody can change it. Only after the person agreed there is a `state`, and a cookie that its answer has to meet.

use portcullis_model::Expected;
use serde::{Deserialize, Serialize};

use super::authorize::Wish;
use super::kept::{digest, secret};
use super::provider;
use super::refusal::Refusal;
use super::wire::{FacadeAnswer, FacadeRequest, Params};
use super::{Facade, now};

/// Logins under way, by the SHA-256 of their `state`.
pub(super) const LOGINS: &str = "facade-login";
/// How long a login may take, in seconds.
const PATIENCE: u64 = 600;

/// A login under way.
#[derive(Serialize, Deserialize)]
pub(super) struct Login {
    pub(super) wish: Wish,
    pub(super) expected: provider::Expected,
    /// SHA-256 over the cookie that belongs to it.
    pub(super) cookie: String,
    /// The browser it was agreed to in.
    pub(super) browser: String,
    /// Who agreed, when it was at another time.
    pub(super) agreed: Option<String>,
}

/// The name of the cookie of a login: several may be under way in one browser.
pub(super) fn cookie_of(state: &str) -> String {
    format!("login-{}", &digest(state)[..12])
}

impl Facade {
    pub(super) async fn consent(&self, request: &FacadeRequest<'_>) -> FacadeAnswer {
        match self.answered(request).await {
            Ok(answer) => answer,
            Err(refusal) => FacadeAnswer::error_page(&refusal.for_person()),
        }
    }

    async fn answered(&self, request: &FacadeRequest<'_>) -> Result<FacadeAnswer, Refusal> {
        let params = Params::of_form(request)?;
        let browser = self.browser(request);
        let browser = browser.ok_or(Refusal::forbidden("the browser did not bring its cookie back"))?;
        let wish = self.asked_for(browser, params.need("request", "the form is not complete")?)?;
        let client = self.client(&wish.client_id, request.peer).await?;
        if client.fingerprint() != wish.fingerprint || !client.may_redirect_to(&wish.redirect_uri) {
            return Err(Refusal::bad("the client is not what it was when the page was shown"));
        }
        if params.get("answer")? != Some("allow") {
            let refusal = Refusal::forbidden("the person said no");
            return Ok(self.send_back_error(&wish.redirect_uri, wish.state.as_deref(), &refusal));
        }
        let browser = browser.to_owned();
        self.begin_login(wish, &browser, None, request).await
    }

    /// Sends a browser to the identity provider.
    pub(super) async fn begin_login(
        &self,
        wish: Wish,
        browser: &str,
        agreed: Option<String>,
        request: &FacadeRequest<'_>,
    ) -> Result<FacadeAnswer, Refusal> {
        if !self.logins.allows(request.peer, self.person(request, browser).as_deref()) {
            return Err(Refusal::too_often());
        }
        let (state, cookie, expected) = (secret(), secret(), provider::Expected::new());
        let url = self.provider.authorization_url(&self.at("/callback"), &state, &expected).await?;
        let (cookie_digest, browser) = (digest(&cookie), browser.to_owned());
        let login = Login { wish, expected, cookie: cookie_digest, browser, agreed };
        self.kept.put(LOGINS, &digest(&state), &login, now() + PATIENCE, Expected::Absent).await?;
        Ok(FacadeAnswer::redirect(url).with_cookie(self.set_cookie(&cookie_of(&state), &cookie, PATIENCE)))
    }
}
