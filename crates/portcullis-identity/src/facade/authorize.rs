//! What a client asks for, checked, and the page that asks the person (OAuth 2.1 section 4.1.1).
//!
//! Nobody is sent back with an error before they agreed to anything, unless the operator vouches for the client: otherwise a
//! link to this gateway would lead wherever a stranger's document says (RFC 9700 section 4.11.2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::client::{Client, is_of_a_device};
use super::kept::{digest, secret};
use super::page::{self, Question};
use super::refusal::Refusal;
use super::wire::{FacadeAnswer, FacadeRequest, Params, cookie, with_params};
use super::{Facade, now};

/// The cookie that tells browsers apart.
const BROWSER: &str = "browser";
/// The cookie of a browser in which somebody has logged in.
const KNOWN: &str = "known";
/// What the sealed wish in the form is for.
const FORM: &str = "consent-form";
/// How long a page may be looked at, in seconds.
const PATIENCE: u64 = 600;
/// How long a consent is remembered, in seconds.
pub(super) const REMEMBERED: u64 = 30 * 24 * 3600;
/// Consents by what was agreed to in which browser; the value is who did.
pub(super) const CONSENTS: &str = "facade-consent";
/// Longest `state`, in bytes.
const LONGEST_STATE: usize = 2048;

/// What a client asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Wish {
    pub(super) client_id: String,
    /// Of what the client was when it asked.
    pub(super) fingerprint: String,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    pub(super) challenge: String,
    pub(super) resource: String,
    pub(super) scopes: Vec<String>,
    /// The thumbprint of the key that has to be shown for the code (RFC 9449 section 10).
    #[serde(default)]
    pub(super) key: Option<String>,
    /// When.
    asked: u64,
}

impl Wish {
    /// Under which key a consent to it is kept, for a browser.
    pub(super) fn consent_key(&self, browser: &str) -> String {
        let scopes = self.scopes.join(" ");
        let all = [browser, &self.client_id, &self.fingerprint, &self.redirect_uri, &self.resource, &scopes];
        digest(&all.join("\0"))
    }
}

impl Facade {
    pub(super) async fn authorize(&self, request: &FacadeRequest<'_>) -> FacadeAnswer {
        match self.asked(request).await {
            Ok(answer) => answer,
            Err(refusal) => FacadeAnswer::error_page(&refusal.for_person()),
        }
    }

    async fn asked(&self, request: &FacadeRequest<'_>) -> Result<FacadeAnswer, Refusal> {
        let params = Params::read(request.query.unwrap_or_default().as_bytes())?;
        let client =
            self.client(params.need("client_id", "the request names no client")?, request.peer).await?;
        let redirect_uri = match (params.get("redirect_uri")?, client.redirect_uris.as_slice()) {
            (Some(uri), _) => uri.to_owned(),
            (None, [only]) => only.clone(),
            (None, _) => return Err(Refusal::bad("the request names no redirect URI")),
        };
        if !client.may_redirect_to(&redirect_uri) {
            return Err(Refusal::bad("the redirect URI is none of this client's"));
        }
        let state = params.get("state")?.map(str::to_owned);
        let wish = match self.wish(&params, &client, &redirect_uri, state.clone()) {
            Ok(wish) => wish,
            Err(refusal) if client.is_trusted() => {
                return Ok(self.send_back_error(&redirect_uri, state.as_deref(), &refusal));
            }
            Err(refusal) => return Err(refusal),
        };
        // Before anybody is asked for something that cannot be had.
        self.provider.is_there().await?;
        let browser = match self.browser(request) {
            Some(browser) => browser.to_owned(),
            None => secret(),
        };
        if let Some(person) = self.agreed_before(&wish, &browser).await? {
            return self.begin_login(wish, &browser, Some(person), request).await;
        }
        Ok(self.ask(&client, &wish, &browser))
    }

    fn wish(
        &self,
        params: &Params,
        client: &Client,
        redirect_uri: &str,
        state: Option<String>,
    ) -> Result<Wish, Refusal> {
        if params.get("response_type")? != Some("code") {
            return Err(Refusal::new(400, "unsupported_response_type", "`response_type` must be `code`"));
        }
        if params.get("response_mode")?.is_some_and(|mode| mode != "query") {
            return Err(Refusal::bad("`response_mode` must be `query`"));
        }
        if params.get("request")?.is_some() || params.get("request_uri")?.is_some() {
            return Err(Refusal::new(400, "request_not_supported", "request objects are not taken here"));
        }
        if state.as_ref().is_some_and(|state| state.len() > LONGEST_STATE) {
            return Err(Refusal::bad("`state` is too long"));
        }
        let challenge = params.need("code_challenge", "PKCE is needed: send `code_challenge`")?;
        // Without it, `plain` would be meant (RFC 7636 section 4.3).
        if params.get("code_challenge_method")? != Some("S256") {
            return Err(Refusal::bad("`code_challenge_method` must be `S256`"));
        }
        let is_sha256 = |text: &str| URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32);
        if !is_sha256(challenge) {
            return Err(Refusal::bad("`code_challenge` is no SHA-256 in base64url"));
        }
        let key = params.get("dpop_jkt")?;
        if key.is_some_and(|key| !is_sha256(key)) {
            return Err(Refusal::bad("`dpop_jkt` is no SHA-256 in base64url"));
        }
        if client.redirect_uris.is_empty() {
            return Err(Refusal::new(400, "unauthorized_client", "the client logs nobody in"));
        }
        Ok(Wish {
            client_id: client.id.clone(),
            fingerprint: client.fingerprint(),
            redirect_uri: redirect_uri.to_owned(),
            state,
            challenge: challenge.to_owned(),
            resource: self.resource(params.get("resource")?)?,
            scopes: self.scopes(params.get("scope")?)?,
            key: key.map(str::to_owned),
            asked: now(),
        })
    }

    /// The consent page, for this browser alone.
    fn ask(&self, client: &Client, wish: &Wish, browser: &str) -> FacadeAnswer {
        let sealed = self.kept.hand_out(FORM, &digest(browser), wish);
        let page = page::consent(&Question {
            client,
            redirect_uri: &wish.redirect_uri,
            resource: &wish.resource,
            scopes: &wish.scopes,
            idp: self.provider.host(),
            action: &self.at("/consent"),
            sealed: &sealed,
        });
        FacadeAnswer::page(200, page).with_cookie(self.set_cookie(BROWSER, browser, REMEMBERED))
    }

    /// What was asked for in a form that this browser was given, not too long ago.
    pub(super) fn asked_for(&self, browser: &str, sealed: &str) -> Result<Wish, Refusal> {
        let wish = self.kept.take_back::<Wish>(FORM, &digest(browser), sealed);
        let wish = wish.ok_or(Refusal::forbidden("the form was not made for this browser"))?;
        if wish.asked + PATIENCE < now() {
            return Err(Refusal::bad("the page was open for too long"));
        }
        Ok(wish)
    }

    /// The value of the cookie that tells this browser apart.
    pub(super) fn browser<'a>(&self, request: &FacadeRequest<'a>) -> Option<&'a str> {
        cookie(request.cookie, &self.cookie_name(BROWSER)).filter(|value| value.len() == 43)
    }

    /// Shows later that somebody has logged in in this browser.
    pub(super) fn remember_person(&self, browser: &str, subject: &str) -> String {
        let sealed = self.kept.hand_out(KNOWN, &digest(browser), &(digest(subject), now() + REMEMBERED));
        self.set_cookie(KNOWN, &sealed, REMEMBERED)
    }

    /// Whoever logged in in this browser before, under a name that means nothing.
    pub(super) fn person(&self, request: &FacadeRequest<'_>, browser: &str) -> Option<String> {
        let sealed = cookie(request.cookie, &self.cookie_name(KNOWN))?;
        let (person, until) = self.kept.take_back::<(String, u64)>(KNOWN, &digest(browser), sealed)?;
        (until > now()).then_some(person)
    }

    /// Who agreed to the very same in this browser. A program on somebody's device is asked about each time: nobody can
    /// tell which one it is (RFC 8252 section 8.6).
    async fn agreed_before(&self, wish: &Wish, browser: &str) -> Result<Option<String>, Refusal> {
        if is_of_a_device(&wish.redirect_uri) {
            return Ok(None);
        }
        let found = self.kept.get::<String>(CONSENTS, &wish.consent_key(browser)).await?;
        Ok(found.map(|found| found.value))
    }

    /// Sends a browser back to a client with an error, `iss` with it (RFC 9207 section 2).
    pub(super) fn send_back_error(&self, uri: &str, state: Option<&str>, refusal: &Refusal) -> FacadeAnswer {
        let mut params = vec![("error", refusal.code), ("error_description", refusal.reason)];
        params.extend(state.map(|state| ("state", state)));
        params.push(("iss", &self.settings.issuer));
        let mut answer = FacadeAnswer::redirect(with_params(uri, &params));
        answer.refused = Some(refusal.reason);
        answer
    }

    /// Where a client's question began, to ask it again.
    pub(super) fn ask_again(&self, wish: &Wish) -> FacadeAnswer {
        let scopes = wish.scopes.join(" ");
        let mut params = vec![
            ("response_type", "code"),
            ("client_id", &wish.client_id),
            ("redirect_uri", &wish.redirect_uri),
            ("code_challenge", &wish.challenge),
            ("code_challenge_method", "S256"),
            ("resource", &wish.resource),
        ];
        params.extend(wish.state.as_deref().map(|state| ("state", state)));
        params.extend(wish.key.as_deref().map(|key| ("dpop_jkt", key)));
        if !scopes.is_empty() {
            params.push(("scope", &scopes));
        }
        FacadeAnswer::redirect(with_params(&self.at("/authorize"), &params))
    }
}
