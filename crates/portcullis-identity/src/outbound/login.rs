//! Who sits at a browser: the gateway sends it to the operator's issuer, as a client of its own, for a token that is for the
//! gateway. That token says who it is, as it would with any call, and is forgotten.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use portcullis_model::Expected;
use serde_json::{Value, json};

use super::account::digest;
use super::challenge::pkce;
use super::connect::{Begun, NotConnected};
use super::discovery::{Authority, Reach, authority};
use super::form::{self, Fields};
use super::needed::Needed;
use super::office::Office;
use super::settings::Client;
use super::sign::random;
use super::subject::SubjectToken;
use super::tokens::{Endpoint, TokenType, is_code};
use crate::fetch::Fetch;
use crate::lasting::Lasting;

const STATE: &str = "login-state";
const ERRAND: Duration = Duration::from_mins(10);

/// How browsers are logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginSettings {
    /// The issuer, whose tokens callers have as well.
    pub issuer: String,
    /// Who the gateway is there.
    pub client: Client,
    /// What is asked for.
    pub scopes: Vec<String>,
}

/// Logs browsers in.
pub struct Login {
    office: Arc<Office>,
    settings: LoginSettings,
    fetch: Arc<dyn Fetch>,
    authority: Lasting<Authority, Needed>,
}

/// Somebody has logged in.
#[derive(Debug)]
pub struct LoggedIn {
    /// Says who. It has not been looked at.
    pub token: SubjectToken,
    /// What the browser wanted before.
    pub wanted: String,
}

impl Login {
    /// Logs in at this issuer.
    pub fn new(office: Arc<Office>, settings: LoginSettings, fetch: Arc<dyn Fetch>) -> Self {
        Self { office, settings, fetch, authority: Lasting::default() }
    }

    /// Whether somebody with this id can have logged in here: they are the issuer's, and nobody else's.
    pub fn may_be(&self, id: &str) -> bool {
        let theirs = id.strip_prefix("user:").and_then(|rest| rest.strip_prefix(&self.settings.issuer));
        theirs.is_some_and(|rest| rest.starts_with('#'))
    }

    fn reach(&self) -> Reach {
        Reach::of(&[&self.settings.issuer], false)
    }

    fn redirect_uri(&self) -> String {
        format!("{}/oauth/login", self.office.base())
    }

    /// Where to send a browser that is to come back to `wanted` with a token for `resource`.
    ///
    /// # Errors
    /// Why nobody can log in now.
    pub async fn begin(&self, wanted: &str, resource: &str) -> Result<Begun, Needed> {
        let issuer = &self.settings.issuer;
        let read = async |_| authority(&*self.fetch, &self.reach(), issuer).await;
        let authority = self.authority.get(read).await?;
        let endpoint = authority.authorization_endpoint.as_deref();
        let endpoint = endpoint.ok_or_else(|| Needed::Denied(format!("{issuer} has no page to log in")))?;
        let (state, cookie, (verifier, challenge)) = (random(32), random(32), pkce());
        let redirect_uri = self.redirect_uri();
        let begun = json!({
            "wanted": wanted, "resource": resource, "verifier": verifier, "redirect_uri": redirect_uri,
            "token_endpoint": authority.token_endpoint, "says_issuer": authority.says_issuer, "cookie": digest(&cookie),
        });
        let end = Some(SystemTime::now() + ERRAND);
        self.office.vault.put(STATE, &state, &begun, end, Expected::Absent).await?;
        let mut query = Fields::default();
        query
            .add("response_type", "code")
            .add("client_id", &self.settings.client.id)
            .add("redirect_uri", &redirect_uri)
            .add("state", &state)
            .add("code_challenge", &challenge)
            .add("code_challenge_method", "S256")
            .add("resource", resource)
            .add_some("scope", Some(&self.settings.scopes.join(" ")));
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        Ok(Begun { url: format!("{endpoint}{separator}{}", query.into_text()), cookie })
    }

    /// The browser is back.
    ///
    /// # Errors
    /// Why nobody has logged in.
    pub async fn finish(&self, query: &str, cookie: Option<&str>) -> Result<LoggedIn, NotConnected> {
        let over = || NotConnected::Failed("this login is over; begin again".into());
        let fields = form::read(query).ok_or_else(over)?;
        let field =
            |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let state = field("state").ok_or_else(over)?;
        let begun = self.office.vault.take(STATE, state).await.map_err(|_| over())?.ok_or_else(over)?;
        if cookie.map(digest).as_deref() != begun["cookie"].as_str() {
            return Err(NotConnected::Browser);
        }
        match field("iss") {
            Some(issuer) if issuer != self.settings.issuer => return Err(NotConnected::Issuer),
            None if begun["says_issuer"] == true => return Err(NotConnected::Issuer),
            _ => {}
        }
        if let Some(code) = field("error") {
            let code = if is_code(code) { code } else { "for a reason that it did not say" };
            return Err(NotConnected::Refused(code.to_owned()));
        }
        let code = field("code").filter(|code| (1..=4096).contains(&code.len())).ok_or_else(over)?;
        let text = |name: &str| begun[name].as_str().ok_or_else(over);
        let mut form = Fields::default();
        form.add("grant_type", "authorization_code")
            .add("code", code)
            .add("redirect_uri", text("redirect_uri")?)
            .add("code_verifier", text("verifier")?)
            .add("resource", text("resource")?);
        let url = text("token_endpoint")?.to_owned();
        let trust = self.reach().trust(&url);
        let endpoint = Endpoint { url, trust, issuer: Some(self.settings.issuer.clone()) };
        let answer = self.office.ask(&*self.fetch, &endpoint, Some(&self.settings.client), &form, None).await;
        match answer {
            Ok(tokens) if tokens.kind == TokenType::Bearer => Ok(LoggedIn {
                token: SubjectToken::new(tokens.access),
                wanted: wanted(&begun).ok_or_else(over)?,
            }),
            Ok(_) => Err(NotConnected::Failed("the issuer gave no bearer token".into())),
            Err(error) => Err(NotConnected::Failed(match error.into_needed(&endpoint) {
                Needed::Denied(why) | Needed::Unavailable(why) => why,
                Needed::Connect(_) | Needed::LogIn(_) => "begin again".into(),
            })),
        }
    }
}

fn wanted(begun: &Value) -> Option<String> {
    begun["wanted"].as_str().map(str::to_owned)
}
