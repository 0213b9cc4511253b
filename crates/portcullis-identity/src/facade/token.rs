//! The token endpoint and that of revocation (OAuth 2.1 section 4, RFC 7009).
//!
//! A token is for one resource, lives for minutes, and says what the identity provider said when the person logged in. A
//! code is taken from what is kept before anything about it is checked, so it is good once, whatever comes of it.

use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_model::Expected;
use serde_json::{Value, json};

use super::callback::{CODES, Grant, USED};
use super::client::{Client, Kind, Proof};
use super::ends::End;
use super::family::{CODE_TWICE, Family, session_of};
use super::kept::{digest, secret};
use super::metadata::JWT_BEARER;
use super::possession;
use super::provider::{Login, Person};
use super::refusal::Refusal;
use super::wire::{FacadeAnswer, FacadeRequest, Params};
use super::{CLIENTS, Facade, now, registration};
use crate::dpop::Possession;
use crate::inbound::sha256;
use crate::jose::Compact;

/// Whose token it is, and for what.
pub(super) struct Issue<'a> {
    pub(super) person: &'a Person,
    pub(super) client_id: &'a str,
    pub(super) resource: &'a str,
    pub(super) scopes: &'a [String],
    /// What ends it before its time.
    pub(super) session: &'a str,
    /// The thumbprint of the key that it is bound to.
    pub(super) key: Option<&'a str>,
}

impl Facade {
    pub(super) async fn token(&self, request: &FacadeRequest<'_>) -> FacadeAnswer {
        let answer = match self.granted(request).await {
            Ok(answer) => answer,
            Err(refusal) => FacadeAnswer::error(&refusal),
        };
        self.with_nonce(answer)
    }

    async fn granted(&self, request: &FacadeRequest<'_>) -> Result<FacadeAnswer, Refusal> {
        let params = Params::of_form(request)?;
        let grant = params.need("grant_type", "the request names no grant")?;
        let client = self.authenticate_client(request, &params).await?;
        let possession = self.possession(request, &client)?;
        let possession = possession.as_ref();
        match grant {
            "authorization_code" => self.of_code(&params, &client, possession).await,
            "refresh_token" => self.of_refresh_token(&params, &client, possession).await,
            "client_credentials" => self.of_machine(&params, &client, possession).await,
            JWT_BEARER if !self.settings.id_jag.is_empty() => {
                self.of_assertion(&params, &client, possession).await
            }
            _ => Err(Refusal::new(400, "unsupported_grant_type", "the grant is not known here")),
        }
    }

    async fn of_code(
        &self,
        params: &Params,
        client: &Client,
        possession: Option<&Possession>,
    ) -> Result<FacadeAnswer, Refusal> {
        let code = params.need("code", "the request has no code")?;
        let key = digest(code);
        let Some(grant) = self.kept.take::<Grant>(CODES, &key).await? else {
            let Some(used) = self.kept.get::<(String, String)>(USED, &key).await? else {
                return Err(Refusal::grant("the code is not known, or not any more"));
            };
            // Somebody else had it, before or now: what it gave is not trusted any more (RFC 6749 section 4.1.2).
            let (family, whose) = used.value;
            self.end_family(&family, End { whose: Some(&whose), why: CODE_TWICE }).await?;
            return Err(Refusal::grant("the code was used before; what it gave is taken back"));
        };
        let Grant { wish, person, family, brought } = grant;
        if wish.client_id != client.id {
            return Err(Refusal::grant("the code is another client's"));
        }
        if params.get("redirect_uri")?.is_some_and(|uri| uri != wish.redirect_uri) {
            return Err(Refusal::grant("the redirect URI is not that of the login"));
        }
        check_verifier(
            params.need("code_verifier", "PKCE is needed: send `code_verifier`")?,
            &wish.challenge,
        )?;
        if params.get("resource")?.is_some_and(|resource| resource != wish.resource) {
            return Err(Refusal::new(400, "invalid_target", "the resource is not that of the login"));
        }
        let key = possession::of_code(wish.key.as_deref(), possession)?;
        self.use_proof(possession).await?;
        if client.kind == Kind::Registered {
            // It is in use, and stays for longer.
            let ends = now() + registration::KEPT_IN_USE;
            self.kept.put(CLIENTS, &client.id, client, ends, Expected::Any).await?;
        }
        let (resource, scopes) = (wish.resource, wish.scopes);
        let began = Family {
            client_id: client.id.clone(),
            person,
            resource,
            scopes,
            began: now(),
            current: String::new(),
            key,
        };
        if let Some(brought) = brought {
            // Before the family: whoever ends that ends this.
            self.keep_brought(&digest(&family), brought, self.end_of(&began)).await?;
        }
        let (began, refresh) = self.begin_family(&family, began).await?;
        self.give(&family, &began, refresh).await
    }

    async fn of_refresh_token(
        &self,
        params: &Params,
        client: &Client,
        possession: Option<&Possession>,
    ) -> Result<FacadeAnswer, Refusal> {
        let token = params.need("refresh_token", "the request has no refresh token")?;
        let asked = params.get("scope")?;
        let wanted = (params.get("resource")?, asked);
        let (id, mut family, refresh) = self.rotate(token, client, wanted, possession).await?;
        if let Some(asked) = asked {
            let asked: Vec<&str> = asked.split_ascii_whitespace().collect();
            family.scopes.retain(|scope| asked.contains(&scope.as_str()));
        }
        self.give(&id, &family, refresh).await
    }

    async fn give(&self, id: &str, family: &Family, refresh: String) -> Result<FacadeAnswer, Refusal> {
        let issue = Issue {
            person: &family.person,
            client_id: &family.client_id,
            resource: &family.resource,
            scopes: &family.scopes,
            session: &session_of(id),
            key: family.key.as_deref(),
        };
        self.issue(&issue, Some(refresh)).await
    }

    /// A machine on its own behalf (RFC 6749 section 4.4).
    async fn of_machine(
        &self,
        params: &Params,
        client: &Client,
        possession: Option<&Possession>,
    ) -> Result<FacadeAnswer, Refusal> {
        let groups = client.machine.clone().filter(|_| client.proof != Proof::None);
        let reason = "the client may not call on its own behalf";
        let groups = groups.ok_or(Refusal::new(400, "unauthorized_client", reason))?;
        let subject = format!("{MACHINE}{}", client.id);
        let claims = serde_json::Map::new();
        let login = Login::default();
        let person = Person { subject, groups, claims, auth_time: None, acr: None, login };
        let issue = Issue {
            person: &person,
            client_id: &client.id,
            resource: &self.resource(params.get("resource")?)?,
            scopes: &self.scopes(params.get("scope")?)?,
            session: &secret(),
            key: possession.map(|it| it.thumbprint.as_str()),
        };
        self.use_proof(possession).await?;
        self.issue(&issue, None).await
    }

    /// Signs an access token (RFC 9068 section 2.2).
    pub(super) async fn issue(
        &self,
        issue: &Issue<'_>,
        refresh: Option<String>,
    ) -> Result<FacadeAnswer, Refusal> {
        let now = now();
        let seconds = self.settings.access_ttl.as_secs();
        let mut claims = issue.person.claims.clone();
        let mut put = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
        put("iss", json!(self.settings.issuer));
        put("sub", json!(issue.person.subject));
        put("aud", json!(issue.resource));
        put("client_id", json!(issue.client_id));
        put("iat", json!(now));
        put("exp", json!(now + seconds));
        put("jti", json!(&secret()[..22]));
        put("sid", json!(issue.session));
        put("groups", json!(issue.person.groups));
        if !issue.scopes.is_empty() {
            put("scope", json!(issue.scopes.join(" ")));
        }
        if let Some(time) = issue.person.auth_time {
            put("auth_time", json!(time));
        }
        if let Some(acr) = &issue.person.acr {
            put("acr", json!(acr));
        }
        if let Some(key) = issue.key {
            put("cnf", json!({"jkt": key}));
        }
        let token = self.keys.now(&self.kept, now).await?.sign(&Value::Object(claims))?;
        let kind = if issue.key.is_some() { "DPoP" } else { "Bearer" };
        let mut answer = json!({"access_token": token, "token_type": kind, "expires_in": seconds});
        if !issue.scopes.is_empty() {
            answer["scope"] = json!(issue.scopes.join(" "));
        }
        if let Some(refresh) = refresh {
            answer["refresh_token"] = json!(refresh);
        }
        Ok(FacadeAnswer::json(200, &answer).about(issue.person.subject.clone()))
    }

    pub(super) async fn revoke(&self, request: &FacadeRequest<'_>) -> FacadeAnswer {
        match self.revoked(request).await {
            Ok(()) => FacadeAnswer::json(200, &json!({})),
            Err(refusal) => FacadeAnswer::error(&refusal),
        }
    }

    /// A token that is not known is as revoked as one that is (RFC 7009 section 2.2), and one of another client stays.
    async fn revoked(&self, request: &FacadeRequest<'_>) -> Result<(), Refusal> {
        let params = Params::of_form(request)?;
        let token = params.need("token", "the request has no token")?;
        let client = self.authenticate_client(request, &params).await?;
        let why = "its client revoked it";
        if let Some((id, whose)) = self.family_of(token, &client.id).await? {
            return self.end_family(&id, End { whose: Some(&whose), why }).await;
        }
        if let Ok(compact) = Compact::parse(token)
            && let Some(algorithm) = compact.header.algorithm
        {
            let public = self.keys.now(&self.kept, now()).await?.public().to_string();
            let text = |name: &str| compact.claims.get(name).and_then(Value::as_str);
            let ours = crate::jose::KeySet::read(public.as_bytes())
                .is_ok_and(|set| set.check_signature(&compact, algorithm).is_ok());
            if ours
                && text("client_id") == Some(&client.id)
                && let Some(session) = text("sid")
            {
                // The whole login: with the refresh token the next access token would be there at once.
                self.end_session(session, End { whose: text("sub"), why }).await?;
            }
        }
        Ok(())
    }
}

/// How the subjects of machines begin. No person's does: see `assertion.rs` and `subject_of`.
pub(super) const MACHINE: &str = "machine:";

/// RFC 7636 section 4.6.
fn check_verifier(verifier: &str, challenge: &str) -> Result<(), Refusal> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let made = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    let same = constant_time::verify_slices_are_equal(made.as_bytes(), challenge.as_bytes()).is_ok();
    if (43..=128).contains(&verifier.len()) && verifier.bytes().all(fits) && same {
        return Ok(());
    }
    Err(Refusal::grant("`code_verifier` is not what `code_challenge` was made of"))
}
