//! The grants by which a credential is got without anybody being asked.

use std::sync::Arc;

use serde_json::Value;

use super::credential::{Credential, What};
use super::discovery::{authority, own_authority};
use super::form::Fields;
use super::needed::Needed;
use super::settings::{Assertion, Exchange, Flavor, Grant, IdJag, Place, Workload};
use super::source::Source;
use super::subject::SubjectToken;
use super::tokens::{Endpoint, TokenError, TokenType, Tokens, is_token};
use crate::clock::now;
use crate::jose::{Compact, Object};
use portcullis_model::Principal;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long a token counts that names no end, in seconds.
const LASTING: u64 = 300;
/// How a token endpoint says that a token is not to be exchanged (RFC 8693 section 2.2.2, and what others write).
const SPENT: [&str; 3] = ["invalid_request", "invalid_grant", "invalid_token"];
/// Largest file with an assertion of the platform.
const LARGEST_FILE: u64 = 16 * 1024;

/// Where a grant is asked for, and for which resource.
struct Found {
    endpoint: Endpoint,
    resource: String,
    dpop: bool,
}

impl Source {
    /// Client credentials (RFC 6749 section 4.4).
    pub(super) async fn client_credentials(&self, grant: &Grant) -> Result<Credential, Needed> {
        let found = self.place(&grant.place, grant.resource.as_deref()).await?;
        let mut fields = Fields::default();
        let scopes = self.scopes(&grant.scopes);
        fields
            .add("grant_type", "client_credentials")
            .add_some("scope", Some(&scopes.join(" ")))
            .add_some("resource", Some(&found.resource))
            .add_some("audience", grant.audience.as_deref());
        let prover = (self.settings.dpop && found.dpop).then(|| self.prover());
        let answer = self
            .office
            .ask(&*self.fetch, &found.endpoint, Some(&grant.client), &fields, prover.as_deref())
            .await;
        let tokens = answer.map_err(|error| self.no_token(error, &found.endpoint))?;
        self.usable(tokens, scopes)
    }

    /// Token exchange (RFC 8693), or on-behalf-of.
    pub(super) async fn exchange(&self, exchange: &Exchange) -> Result<Credential, Needed> {
        let grant = &exchange.grant;
        let subject = self.subject()?;
        let found = self.place(&grant.place, grant.resource.as_deref()).await?;
        let scopes = self.scopes(&grant.scopes);
        let mut fields = Fields::default();
        match exchange.flavor {
            Flavor::EntraObo => {
                if subject.id_token().is_some() {
                    return Err(self.denied(
                        "it is called on behalf of users by their access tokens (`entra-obo`), and whoever logs in at the \
                         gateway has none there; `oauth` does without",
                    ));
                }
                fields
                    .add("grant_type", JWT_BEARER)
                    .add("assertion", subject.expose())
                    .add("requested_token_use", "on_behalf_of")
                    .add_some("scope", Some(&scopes.join(" ")));
            }
            Flavor::Standard => {
                fields
                    .add("grant_type", EXCHANGE)
                    .add("subject_token", subject.expose())
                    .add("subject_token_type", subject.id_token().unwrap_or(ACCESS_TOKEN))
                    .add("requested_token_type", ACCESS_TOKEN)
                    .add_some("audience", grant.audience.as_deref())
                    .add_some("resource", Some(&found.resource))
                    .add_some("scope", Some(&scopes.join(" ")));
                if exchange.delegation {
                    let actor = self.actor(exchange, &found).await?;
                    fields.add("actor_token", &actor).add("actor_token_type", ACCESS_TOKEN);
                }
            }
        }
        let answer = self.office.ask(&*self.fetch, &found.endpoint, Some(&grant.client), &fields, None).await;
        let tokens = answer.map_err(|error| self.not_exchanged(&subject, error, &found.endpoint))?;
        if exchange.flavor == Flavor::Standard {
            self.check_exchanged(exchange, &found, &tokens, subject.person())?;
        }
        self.usable(tokens, scopes)
    }

    /// The token that says who acts: the gateway.
    async fn actor(&self, exchange: &Exchange, found: &Found) -> Result<String, Needed> {
        if let Some(actor) = &exchange.actor {
            return Ok(self.office.reveal(actor).await?.text);
        }
        if let Some((token, _)) = self.state().actor.clone().filter(|(_, renew)| now() < *renew) {
            return Ok(token);
        }
        let mut fields = Fields::default();
        fields.add("grant_type", "client_credentials");
        let client = Some(&exchange.grant.client);
        let answer = self.office.ask(&*self.fetch, &found.endpoint, client, &fields, None).await;
        let tokens = answer.map_err(|error| self.no_token(error, &found.endpoint))?;
        let renew = tokens.expires.unwrap_or_else(|| now() + LASTING).saturating_sub(30);
        self.state().actor = Some((tokens.access.clone(), renew));
        Ok(tokens.access)
    }

    /// RFC 8693 section 2.2.1, and what a token for this user, this server and this actor must say.
    fn check_exchanged(
        &self,
        exchange: &Exchange,
        found: &Found,
        tokens: &Tokens,
        person: Option<(&str, &str)>,
    ) -> Result<(), Needed> {
        let wrong = |why: &str| {
            Needed::Denied(format!(
                "the token endpoint {} gave what was not asked for: {why}",
                found.endpoint.url
            ))
        };
        if !matches!(tokens.issued.as_deref(), Some(ACCESS_TOKEN | JWT)) {
            return Err(wrong("`issued_token_type` is no access token"));
        }
        // What cannot be read is the server's to judge.
        let Ok(compact) = Compact::parse(&tokens.access) else { return Ok(()) };
        let claims = &compact.claims;
        if exchange.delegation && claims.get("act").is_none() {
            return Err(wrong(
                "the token does not name the gateway as actor (`act`); `mode: impersonation` does without",
            ));
        }
        let grant = &exchange.grant;
        let expected = [grant.audience.as_deref(), Some(found.resource.as_str())];
        let expected: Vec<&str> = expected.into_iter().flatten().filter(|it| !it.is_empty()).collect();
        if !expected.is_empty()
            && !audiences(claims).is_none_or(|all| expected.iter().any(|it| all.contains(it)))
        {
            return Err(wrong("the token is for another audience"));
        }
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let owner = self.owner.as_ref().and_then(|owner| match owner {
            Principal::User(user) => Some((user.issuer.as_str(), user.subject.as_str())),
            _ => None,
        });
        if let Some((issuer, subject)) = person.or(owner)
            && text("iss") == Some(issuer)
            && text("sub").is_some_and(|other| other != subject)
        {
            return Err(wrong("the token is for somebody else"));
        }
        Ok(())
    }

    /// An identity assertion of the identity provider's, and with it a token of the server's authorization server.
    pub(super) async fn id_jag(&self, id_jag: &IdJag) -> Result<Credential, Needed> {
        let own = if id_jag.subject.is_none() { Some(self.subject()?) } else { None };
        let subject = match (&own, &id_jag.subject) {
            (None, Some(subject)) => self.office.reveal(subject).await?.text,
            (own, _) => own.as_ref().map_or_else(String::new, |own| own.expose().to_owned()),
        };
        let subject_type = own.as_ref().and_then(|own| own.id_token()).unwrap_or(&id_jag.subject_type);
        let grant = &id_jag.grant;
        let found = self.place(&grant.place, grant.resource.as_deref()).await?;
        let audience = grant.audience.as_deref().or(found.endpoint.issuer.as_deref());
        let audience = audience.ok_or_else(|| self.denied("its `credentials` name no `issuer`"))?.to_owned();
        let idp = self.place(&id_jag.idp, None).await?;
        let scopes = self.scopes(&grant.scopes);
        let mut fields = Fields::default();
        fields
            .add("grant_type", EXCHANGE)
            .add("requested_token_type", ID_JAG)
            .add("subject_token", &subject)
            .add("subject_token_type", subject_type)
            .add("audience", &audience)
            .add_some("resource", Some(&found.resource))
            .add_some("scope", Some(&scopes.join(" ")));
        let answer =
            self.office.ask(&*self.fetch, &idp.endpoint, Some(&id_jag.idp_client), &fields, None).await;
        let granted = answer.map_err(|error| match &own {
            Some(own) => self.not_exchanged(own, error, &idp.endpoint),
            None => self.no_token(error, &idp.endpoint),
        })?;
        let is_ours = Compact::parse(&granted.access).is_ok_and(|compact| {
            compact.header.typ.as_deref() == Some("oauth-id-jag+jwt")
                && audiences(&compact.claims).is_some_and(|all| all.contains(&audience.as_str()))
        });
        if granted.issued.as_deref() != Some(ID_JAG) || !is_ours {
            let url = &idp.endpoint.url;
            let message = format!("the identity provider at {url} gave no identity assertion for {audience}");
            return Err(Needed::Denied(message));
        }
        let mut fields = Fields::default();
        fields
            .add("grant_type", JWT_BEARER)
            .add("assertion", &granted.access)
            .add_some("resource", Some(&found.resource))
            .add_some("scope", Some(&scopes.join(" ")));
        let answer = self.office.ask(&*self.fetch, &found.endpoint, Some(&grant.client), &fields, None).await;
        let tokens = answer.map_err(|error| self.no_token(error, &found.endpoint))?;
        self.usable(tokens, scopes)
    }

    /// An assertion that the platform gives the gateway, by a file that it keeps fresh (workload identity federation).
    pub(super) async fn workload(&self, workload: &Workload) -> Result<Option<Credential>, Needed> {
        let somewhere = workload.place.issuer.is_some() || workload.place.token_url.is_some();
        if !somewhere && self.state().challenge.is_none() {
            return Ok(None);
        }
        let found = self.place(&workload.place, workload.resource.as_deref()).await?;
        let assertion = read_file(&workload.file)
            .ok_or_else(|| self.denied("the file with the gateway's own assertion cannot be read"))?;
        let compact = Compact::parse(&assertion);
        let compact = compact.map_err(|_| self.denied("the gateway's own assertion is no signed JWT"))?;
        let for_whom = [found.endpoint.issuer.as_deref(), Some(found.endpoint.url.as_str())];
        let slashless = |text: &str| text.strip_suffix('/').unwrap_or(text).to_owned();
        let is_for = audiences(&compact.claims).is_some_and(|all| {
            all.iter().any(|it| for_whom.iter().flatten().any(|us| slashless(us) == slashless(it)))
        });
        if !is_for {
            // Whoever a server names must not get what is meant for somebody else.
            return Err(self.denied("the gateway's own assertion is for another authorization server"));
        }
        if compact.claims.get("exp").and_then(Value::as_u64).is_none_or(|end| end <= now()) {
            return Err(self.denied("the gateway's own assertion has expired"));
        }
        let scopes = self.scopes(&workload.scopes);
        let mut fields = Fields::default();
        fields
            .add("grant_type", JWT_BEARER)
            .add("assertion", &assertion)
            .add_some("client_id", workload.client_id.as_deref())
            .add_some("resource", Some(&found.resource))
            .add_some("scope", Some(&scopes.join(" ")));
        let answer = self.office.ask(&*self.fetch, &found.endpoint, None, &fields, None).await;
        let tokens = answer.map_err(|error| self.no_token(error, &found.endpoint))?;
        self.usable(tokens, scopes).map(Some)
    }

    /// The gateway's own word for who calls.
    pub(super) fn assertion(&self, assertion: &Assertion) -> Result<Credential, Needed> {
        let subject = self.owner.as_ref().map(Principal::id);
        let subject = subject.ok_or_else(|| self.denied("nobody calls it"))?;
        let what = What::Assertion {
            key: assertion.key.clone().unwrap_or_else(|| self.office.key.clone()),
            issuer: self.office.base().to_string(),
            subject,
            audience: assertion.audience.clone().unwrap_or_else(|| self.settings.url.clone()),
            lifetime: assertion.lifetime.as_secs().max(1),
            header: assertion.header.clone(),
        };
        Ok(Credential::new(what, None, Vec::new()))
    }

    /// Why there is no token. What is refused for its scopes is asked for once more without those that the server wants.
    fn no_token(&self, error: TokenError, endpoint: &Endpoint) -> Needed {
        if matches!(&error, TokenError::Refused(code) if code == "invalid_scope") {
            self.state().scopes_refused();
        }
        error.into_needed(endpoint)
    }

    /// The same where a caller's token was exchanged: one that is refused is not used again while there may be another, and what
    /// is wanted of the user, the user is told.
    fn not_exchanged(&self, subject: &Arc<SubjectToken>, error: TokenError, endpoint: &Endpoint) -> Needed {
        match error {
            TokenError::Interaction(wanted) => return Needed::LogIn(wanted),
            TokenError::Refused(ref code) if SPENT.contains(&code.as_str()) => self.spend(subject),
            _ => {}
        }
        self.no_token(error, endpoint)
    }

    /// What is configured and what the server wants beyond it.
    fn scopes(&self, configured: &[String]) -> Vec<String> {
        let state = self.state();
        let mut scopes = configured.to_vec();
        let challenged = state.challenge.as_ref().and_then(|challenge| challenge.scopes.as_deref());
        let challenged = challenged.filter(|_| configured.is_empty()).unwrap_or_default();
        for scope in challenged.iter().chain(&state.scopes) {
            if !scopes.contains(scope) {
                scopes.push(scope.clone());
            }
        }
        scopes
    }

    /// Where a grant is asked for: as configured, else as the server says.
    async fn place(&self, place: &Place, resource: Option<&str>) -> Result<Found, Needed> {
        let part_of = resource.filter(|resource| !resource.is_empty());
        let resource = resource.unwrap_or(&self.settings.url).to_owned();
        if let Some(url) = &place.token_url {
            let (url, issuer) = (url.clone(), place.issuer.clone());
            let endpoint = Endpoint { url, trust: crate::fetch::Trust::Configured, issuer };
            return Ok(Found { endpoint, resource, dpop: true });
        }
        let reach = self.reach(&[place.issuer.as_deref()]);
        let (authority, resource) = match &place.issuer {
            Some(issuer) => (authority(&*self.fetch, &reach, issuer).await?, resource),
            None => {
                let named = self.state().challenge.as_ref().and_then(|it| it.resource_metadata.clone());
                let found = self.resource(&reach, part_of, named.as_deref(), None).await?;
                let authority = match &found.issuer {
                    Some(issuer) => authority(&*self.fetch, &reach, issuer).await?,
                    None => own_authority(&*self.fetch, &reach, &self.settings.url).await?,
                };
                (authority, found.identifier)
            }
        };
        let (url, trust) = (authority.token_endpoint.clone(), reach.trust(&authority.token_endpoint));
        let endpoint = Endpoint { url, trust, issuer: Some(authority.issuer) };
        Ok(Found { endpoint, resource, dpop: authority.dpop })
    }

    /// A credential of tokens, if they can be sent to a server.
    fn usable(&self, tokens: Tokens, asked: Vec<String>) -> Result<Credential, Needed> {
        let expires = Some(tokens.expires.unwrap_or_else(|| now() + LASTING));
        let scopes = tokens.scopes.unwrap_or(asked);
        match tokens.kind {
            TokenType::Bearer => Ok(Credential::bearer(&tokens.access, expires, scopes)),
            TokenType::Dpop if self.settings.dpop => {
                let (value, prover) = (format!("DPoP {}", tokens.access), self.prover());
                Ok(Credential::new(What::Dpop { token: tokens.access, value, prover }, expires, scopes))
            }
            TokenType::Dpop | TokenType::None => {
                Err(self.denied("its tokens are of a type that was not asked for (`token_type`)"))
            }
        }
    }
}

/// The audiences of a token; `None` when it names none.
fn audiences(claims: &Object) -> Option<Vec<&str>> {
    match claims.get("aud")? {
        Value::String(one) => Some(vec![one]),
        Value::Array(all) => Some(all.iter().filter_map(Value::as_str).collect()),
        _ => Some(Vec::new()),
    }
}

fn read_file(path: &std::path::Path) -> Option<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(LARGEST_FILE).read_to_string(&mut text).ok()?;
    let text = text.trim();
    is_token(text).then(|| text.to_owned())
}
