//! How a user connects an account: a link of the gateway's own, the way to the authorization server, and the way back.
//!
//! The link says nothing and is of use to one user: whoever opens it must be the user whose call asked for it, and so must
//! whoever comes back (MCP 2026-07-28, security best practices: a link that is sent to somebody else connects nobody's
//! account). What the browser brings back is good once, was begun in that browser, and came from the authorization server
//! that it was sent to (RFC 9207).

use std::time::{Duration, SystemTime};

use portcullis_model::{Expected, Principal};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::account::{Account, digest};
use super::challenge::{Challenge, pkce};
use super::discovery::{Authority, authority, own_authority};
use super::form::Fields;
use super::needed::{Connect, Needed};
use super::settings::Kind;
use super::sign::random;
use super::source::Source;
use super::tokens::TokenError;

/// Records of links, and of what was begun with them.
pub(super) const LINK: &str = "connect-link";
pub(super) const STATE: &str = "connect-state";
/// How long a link is good.
const LIFETIME: Duration = Duration::from_mins(15);
/// How long a browser may take.
const ERRAND: Duration = Duration::from_mins(10);
/// Longest authorization code.
const LONGEST_CODE: usize = 4 * 1024;

/// What a link is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    id: String,
    /// The server's slug.
    pub server: String,
    /// The id of the one user that it is for.
    pub owner: String,
    challenge: Challenge,
    scopes: Vec<String>,
}

/// Where a browser is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The authorization server's address.
    pub url: String,
    /// What the browser must still have when it comes back.
    pub cookie: String,
}

/// What a browser brings back. It is taken out of the store: nobody brings it again.
pub struct Arrival {
    /// Of which issuer the address is that it was brought to.
    issuer: String,
    /// The server's slug.
    pub server: String,
    /// The id of the user who left.
    pub owner: String,
    begun: Value,
    fields: Vec<(String, String)>,
}

/// Why nothing was connected. Whole, it is for whoever runs the gateway; [`NotConnected::for_user`] is for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotConnected {
    /// The browser is not the one that left.
    #[error("this browser did not begin here; open the link again in the browser that you finish in")]
    Browser,
    /// The answer names another authorization server, or none where it should.
    #[error("the answer does not come from the authorization server that was asked; nothing was connected")]
    Issuer,
    /// The authorization server says no.
    #[error("the authorization server did not agree ({0}); nothing was connected")]
    Refused(String),
    /// Something is not as it must be.
    #[error("{0}")]
    Failed(String),
}

impl NotConnected {
    /// What the user can do something about; `None` where that is nothing: which address answered what is not for them.
    pub fn for_user(&self) -> Option<String> {
        (!matches!(self, Self::Failed(_))).then(|| self.to_string())
    }

    /// The same in words of our own, for the record.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Browser => "another browser came back",
            Self::Issuer => "another authorization server answered",
            Self::Refused(_) => "the authorization server did not agree",
            Self::Failed(_) => "something was not as it must be",
        }
    }
}

impl Link {
    pub(super) fn read(id: &str, kept: &Value) -> Option<Self> {
        let text = |name: &str| kept[name].as_str().map(str::to_owned);
        let list = |name: &str| {
            let all = kept[name].as_array()?.iter().filter_map(Value::as_str);
            Some(all.map(str::to_owned).collect::<Vec<_>>())
        };
        Some(Self {
            id: id.to_owned(),
            server: text("server")?,
            owner: text("owner")?,
            challenge: Challenge {
                resource_metadata: text("resource_metadata"),
                scopes: list("challenged"),
                error: None,
                dpop: kept["dpop"].as_bool()?,
            },
            scopes: list("scopes")?,
        })
    }
}

impl Arrival {
    pub(super) fn read(issuer: &str, begun: Value, fields: Vec<(String, String)>) -> Option<Self> {
        let text = |name: &str| begun[name].as_str().map(str::to_owned);
        let (server, owner) = (text("server")?, text("owner")?);
        Some(Self { issuer: issuer.to_owned(), server, owner, begun, fields })
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Source {
    /// What the user is told who has to connect an account, or agree to more.
    pub(super) async fn ask_to_connect(&self, more: bool) -> Result<(), Needed> {
        let Some(owner) = self.owner.as_ref().map(Principal::id) else {
            return Err(self.denied("it is called for users, and this is the gateway itself"));
        };
        let (id, record) = {
            let mut state = self.state();
            let known = state.link.as_ref().filter(|(_, until)| Instant::now() < *until);
            let id = known.map_or_else(|| random(32), |(id, _)| id.clone());
            if known.is_none() {
                state.link = Some((id.clone(), Instant::now() + LIFETIME / 2));
            }
            let challenge = state.challenge.clone().unwrap_or_default();
            let record = json!({
                "server": self.settings.server,
                "owner": owner,
                "resource_metadata": challenge.resource_metadata,
                "challenged": challenge.scopes,
                "dpop": challenge.dpop,
                "scopes": state.scopes,
            });
            (id, record)
        };
        let end = Some(SystemTime::now() + LIFETIME);
        self.office.vault.put(LINK, &id, &record, end, Expected::Any).await?;
        let url = format!("{}/connect/{id}", self.office.base());
        Err(Needed::Connect(Connect { url, more }))
    }

    /// A link to connect an account, whether one is connected or not.
    ///
    /// # Errors
    /// Always: [`Needed::Connect`], or why there is none.
    pub async fn invite(&self) -> Result<(), Needed> {
        self.ask_to_connect(false).await
    }

    /// Somebody who may opened the link: where to send the browser.
    ///
    /// # Errors
    /// Why nothing can be connected.
    pub async fn begin(&self, link: &Link) -> Result<Begun, Needed> {
        let found = tokio::time::timeout(Duration::from_secs(25), self.begin_slowly(link)).await;
        found.unwrap_or_else(|_| Err(Needed::Unavailable("the authorization server is slow".into())))
    }

    async fn begin_slowly(&self, link: &Link) -> Result<Begun, Needed> {
        let Kind::Oauth(oauth) = self.kind() else {
            return Err(self.denied("no account is connected to it"));
        };
        let reach = self.reach(&[oauth.issuer.as_deref()]);
        let (url, named) = (&self.settings.url, link.challenge.resource_metadata.as_deref());
        let resource = self.resource(&reach, oauth.resource.as_deref(), named, oauth.issuer.as_deref());
        let resource = resource.await?;
        let authority = match &resource.issuer {
            Some(issuer) => authority(&*self.fetch, &reach, issuer).await?,
            None => own_authority(&*self.fetch, &reach, url).await?,
        };
        if !authority.pkce {
            let issuer = &authority.issuer;
            return Err(
                self.denied(&format!("the authorization server {issuer} does not say that it has PKCE"))
            );
        }
        let endpoint = self.page(&authority)?.to_owned();
        // Whoever was sent there and did not come back may have been told that nobody knows the gateway there.
        let doubtful = self.state().errand.is_some();
        let (client, registered) = self.client_at(oauth, &authority, &reach, doubtful).await?;
        let scopes = scopes(&oauth.scopes, link, resource.scopes.as_deref(), &authority);
        let prover = (authority.dpop && (self.settings.dpop || link.challenge.dpop)).then(|| self.prover());
        let account = Account {
            issuer: authority.issuer.clone(),
            token_endpoint: authority.token_endpoint.clone(),
            revocation_endpoint: authority.revocation_endpoint.clone(),
            resource: resource.identifier.clone(),
            client: oauth.client.is_none().then(|| client.clone()),
            registered,
            prover,
        };
        let (state, cookie, (verifier, challenge)) = (random(32), random(32), pkce());
        let redirect_uri = self.office.redirect_uri(&authority.issuer);
        let begun = json!({
            "link": link.id, "server": link.server, "owner": link.owner, "account": account.write(),
            "says_issuer": authority.says_issuer, "verifier": verifier, "redirect_uri": redirect_uri, "scopes": scopes,
            "cookie": digest(&cookie),
        });
        let end = Some(SystemTime::now() + ERRAND);
        self.office.vault.put(STATE, &state, &begun, end, Expected::Absent).await?;
        let before = self.state().errand.replace(state.clone());
        if let Some(before) = before {
            self.office.vault.take(STATE, &before).await?;
        }
        let mut query = Fields::default();
        query
            .add("response_type", "code")
            .add("client_id", &client.id)
            .add("redirect_uri", &redirect_uri)
            .add("state", &state)
            .add("code_challenge", &challenge)
            .add("code_challenge_method", "S256")
            .add_some("resource", Some(&resource.identifier))
            .add_some("scope", Some(&scopes.join(" ")));
        if let Some(prover) = &account.prover {
            query.add("dpop_jkt", prover.key.thumbprint());
        }
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        Ok(Begun { url: format!("{endpoint}{separator}{}", query.into_text()), cookie })
    }

    /// Where a browser may be sent: a page of the web, over TLS unless it is inside.
    fn page<'a>(&self, authority: &'a Authority) -> Result<&'a str, Needed> {
        let endpoint = authority.authorization_endpoint.as_deref();
        let endpoint =
            endpoint.ok_or_else(|| self.denied("its authorization server has no page to log in"))?;
        let fits = endpoint.bytes().all(|byte| byte.is_ascii_graphic()) && !endpoint.contains('#');
        let secure = endpoint.starts_with("https://") || self.settings.private_network;
        if !fits || !secure {
            return Err(self.denied("its authorization server's page to log in is not at an `https` URL"));
        }
        Ok(endpoint)
    }

    /// The browser is back.
    ///
    /// # Errors
    /// Why nothing was connected.
    pub async fn finish(&self, arrival: &Arrival, cookie: Option<&str>) -> Result<(), NotConnected> {
        let begun = &arrival.begun;
        if cookie.map(digest).as_deref() != begun["cookie"].as_str() {
            return Err(NotConnected::Browser);
        }
        self.state().errand = None;
        let damaged = || NotConnected::Failed("what was begun cannot be read any more".into());
        let account = Account::read(&begun["account"]).ok_or_else(damaged)?;
        // As texts, without any normalization (RFC 9207 section 2.4), before anything else is heeded.
        match arrival.field("iss") {
            _ if arrival.issuer != digest(&account.issuer) => return Err(NotConnected::Issuer),
            Some(issuer) if issuer != account.issuer => return Err(NotConnected::Issuer),
            None if begun["says_issuer"] == true => return Err(NotConnected::Issuer),
            _ => {}
        }
        if let Some(code) = arrival.field("error") {
            self.turned_away(code, &account, begun).await.map_err(failed)?;
            let code = if super::tokens::is_code(code) { code } else { "for a reason that it did not say" };
            return Err(NotConnected::Refused(code.to_owned()));
        }
        let code = arrival.field("code").filter(|code| (1..=LONGEST_CODE).contains(&code.len()));
        let code = code.ok_or_else(|| NotConnected::Failed("the answer brought no code".into()))?;
        let Kind::Oauth(oauth) = self.kind() else { return Err(damaged()) };
        let text = |name: &str| begun[name].as_str().ok_or_else(damaged);
        let mut fields = Fields::default();
        fields
            .add("grant_type", "authorization_code")
            .add("code", code)
            .add("redirect_uri", text("redirect_uri")?)
            .add("code_verifier", text("verifier")?)
            .add_some("resource", Some(&account.resource));
        let endpoint = self.endpoint(oauth, &account);
        let client = self.client_of(oauth, &account).map_err(failed)?;
        let tokens = match self
            .office
            .ask(&*self.fetch, &endpoint, client, &fields, account.prover.as_deref())
            .await
        {
            Ok(tokens) => tokens,
            Err(error) => {
                if let TokenError::Refused(code) = &error {
                    self.turned_away(code, &account, begun).await.map_err(failed)?;
                }
                return Err(failed(error.into_needed(&endpoint)));
            }
        };
        let asked = begun["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let asked = asked.map(str::to_owned).collect();
        self.connect(account, tokens, asked).await.map_err(failed)?;
        self.use_up(begun).await.map_err(failed)?;
        self.changed();
        Ok(())
    }

    /// The authorization server said no. What it will not take another time is not brought to it again.
    async fn turned_away(&self, code: &str, account: &Account, begun: &Value) -> Result<(), Needed> {
        match code {
            "invalid_scope" => {
                self.state().scopes_refused();
                self.use_up(begun).await
            }
            "invalid_client" | "unauthorized_client" if account.registered => {
                self.forget_registration(account).await
            }
            _ => Ok(()),
        }
    }

    /// The link by which it was begun has done what it was for.
    async fn use_up(&self, begun: &Value) -> Result<(), Needed> {
        let Some(link) = begun["link"].as_str() else { return Ok(()) };
        self.state().link.take_if(|(known, _)| known == link);
        self.office.vault.take(LINK, link).await.map(drop)
    }
}

fn failed(needed: Needed) -> NotConnected {
    NotConnected::Failed(match needed {
        Needed::Denied(why) | Needed::Unavailable(why) => why,
        Needed::Connect(_) | Needed::LogIn(_) => "begin again".into(),
    })
}

/// What is asked for: what the operator says, else what the server said with its refusal, else all that it has; what it
/// wants beyond that; and to be let in again without the user, where the authorization server has that.
fn scopes(
    configured: &[String],
    link: &Link,
    supported: Option<&[String]>,
    authority: &Authority,
) -> Vec<String> {
    let challenged = link.challenge.scopes.as_deref();
    let base = if configured.is_empty() { challenged.or(supported).unwrap_or_default() } else { configured };
    let mut scopes = base.to_vec();
    let offline = "offline_access".to_owned();
    let more = link.scopes.iter().chain(authority.scopes.contains(&offline).then_some(&offline));
    for scope in more {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    scopes
}
