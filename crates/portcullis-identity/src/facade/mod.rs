//! The gateway's own authorization server: for identity providers that cannot do what MCP clients need.
//!
//! Toward clients it is OAuth 2.1: metadata (RFC 8414), clients known by a document, by registration or to the operator,
//! PKCE, resource indicators (RFC 8707), `iss` in every answer (RFC 9207), refresh tokens that rotate, tokens that are bound
//! to a key (RFC 9449), client credentials and ID-JAG. Toward the identity provider it is one plain OpenID client. It is an issuer of its own and passes nothing
//! through: no token of the provider reaches a client, and no client's `state` the provider.
//!
//! The way of a login: `authorize.rs` checks what a client asks for and shows the consent page, `consent.rs` takes the
//! answer and sends the browser to the provider, `callback.rs` takes it back and gives a code, `token.rs` turns that into
//! tokens; `logout.rs` ends them when the provider says so, and `ends.rs` tells other processes. `brought.rs` keeps what the
//! provider gave, where servers are called in exchange for it. The person is asked before the browser leaves for the provider, for the provider sees one client, whatever client
//! is behind it: that is what makes a proxy a confused deputy (MCP 2026-07-28, security best practices).
//!
//! No HTTP here: a [`FacadeRequest`] comes in and a [`FacadeAnswer`] goes out. What is kept is in `Records`, sealed
//! (`kept.rs`); what anybody can make grow has a pace (`pace.rs`) and an end.

mod assertion;
mod authorize;
mod brought;
mod callback;
mod client;
mod client_auth;
mod consent;
mod document;
mod ends;
mod family;
mod kept;
mod keys;
mod logout;
mod metadata;
mod pace;
mod page;
mod possession;
mod profile;
mod provider;
mod refusal;
mod registration;
mod settings;
mod token;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use portcullis_model::{Records, ServerId, ToolsetId};
use tokio::runtime::Handle;

use crate::clock::now;
use crate::dpop::Nonces;
use crate::ended::{Ended, LONGEST_TOKEN};
use crate::fetch::{Fetch, FetchError, Fetched, Fetching, Wanted};
use crate::issuer::Keys as IssuerKeys;
use crate::jose::Algorithm;
use crate::settings::IssuerSettings;
use crate::watch::Watch;

pub(crate) use brought::Brought;
use client::Client;
use document::Documents;
use kept::Kept;
use pace::Pace;
use provider::Provider;
use refusal::Refusal;

pub use client::is_fit_for_operator;
pub(crate) use kept::secret;
pub use profile::Profile;
pub use settings::{ConfiguredClient, DocumentSettings, FacadeSettings, IdpSettings, SealKey};
pub(crate) use wire::with_params;
pub use wire::{FacadeAnswer, FacadeRequest};

/// Clients that registered themselves.
const CLIENTS: &str = "facade-client";

/// Through what the facade asks the outside.
#[derive(Clone)]
pub struct Outsides {
    /// The identity provider.
    pub idp: Arc<dyn Fetch>,
    /// The documents of clients.
    pub documents: Arc<dyn Fetch>,
    /// Who counts, and records.
    pub watch: Arc<dyn Watch>,
}

/// The authorization server.
pub struct Facade {
    settings: FacadeSettings,
    seal: SealKey,
    kept: Kept,
    keys: keys::Keys,
    provider: Provider,
    documents: Documents,
    clients: HashMap<String, Client>,
    /// Whose ID-JAGs are taken, and their keys.
    assertors: Vec<(String, Arc<IssuerKeys>)>,
    renewing: brought::Renewing,
    /// What must come to its end, though whoever asked for it has left, runs here.
    runtime: Handle,
    ended: Arc<Ended>,
    watch: Arc<dyn Watch>,
    /// When it was last looked for what ended elsewhere.
    heard: AtomicU64,
    nonces: Nonces,
    logins: Pace,
    registrations: Pace,
    assertions: Pace,
}

impl Facade {
    /// One for these settings. `ended` is what the resource server's side looks at; of one from `before`, a key that was
    /// made up stays.
    pub fn new(
        settings: FacadeSettings,
        records: Arc<dyn Records>,
        outsides: &Outsides,
        runtime: &Handle,
        ended: Arc<Ended>,
        before: Option<&Self>,
    ) -> Self {
        let seal = settings.key.clone().or_else(|| before.map(|it| it.seal.clone()));
        let seal = seal.unwrap_or_else(kept::made_up_key);
        let assertor = |issuer: &String| {
            let keys =
                IssuerKeys::at(issuer, None, outsides.idp.clone(), runtime.clone(), outsides.watch.clone());
            (issuer.clone(), Arc::new(keys))
        };
        Self {
            kept: Kept::new(records, &seal),
            nonces: Nonces::by(&kept::key_for(b"nonces", &seal)),
            seal,
            keys: keys::Keys::default(),
            provider: Provider::new(settings.idp.clone(), outsides, runtime.clone()),
            documents: Documents::new(settings.documents.clone(), outsides.documents.clone()),
            clients: settings.clients.iter().map(|it| (it.id.clone(), Client::configured(it))).collect(),
            assertors: settings.id_jag.iter().map(assertor).collect(),
            renewing: brought::Renewing::default(),
            runtime: runtime.clone(),
            ended,
            watch: outsides.watch.clone(),
            heard: AtomicU64::new(0),
            logins: Pace::new(2400, 60),
            registrations: Pace::new(120, 10),
            assertions: Pace::new(1200, 60),
            settings,
        }
    }

    /// What it was made of.
    pub fn settings(&self) -> &FacadeSettings {
        &self.settings
    }

    /// What the resource server's side has to know to take its tokens. Its keys come through [`Facade::as_fetch`].
    pub fn as_issuer(settings: &FacadeSettings) -> IssuerSettings {
        IssuerSettings {
            issuer: settings.issuer.clone(),
            audience: None,
            groups_claim: "groups".to_owned(),
            groups_prefix: String::new(),
            algorithms: vec![Algorithm::ES256],
            jwks_url: Some(format!("{}/jwks", settings.issuer)),
            introspection: None,
            tenants: None,
            untyped: false,
            // Those that were given before a change of `access_ttl` are still good.
            max_lifetime: Duration::from_secs(LONGEST_TOKEN),
        }
    }

    /// Its keys, to be had without a network.
    pub fn as_fetch(self: &Arc<Self>) -> Arc<dyn Fetch> {
        Arc::new(Local(self.clone()))
    }

    /// Answers a request to something below the issuer; `None` when there is no such thing.
    pub async fn answer(&self, request: &FacadeRequest<'_>) -> Option<FacadeAnswer> {
        let asks = matches!(request.method, "GET" | "HEAD");
        let answer = match (request.method, request.path) {
            (_, "/jwks") if asks => match self.keys.now(&self.kept, now()).await {
                Ok(set) => FacadeAnswer::document(&set.public()),
                Err(refusal) => FacadeAnswer::error(&refusal),
            },
            ("GET", "/authorize") => self.authorize(request).await,
            ("POST", "/consent") => self.consent(request).await,
            ("GET", "/callback") => self.callback(request).await,
            ("POST", "/token") => self.token(request).await,
            ("POST", "/revoke") => self.revoke(request).await,
            ("POST", "/backchannel-logout") => self.logout(request).await,
            ("POST", "/register") if self.settings.registration => self.register(request).await,
            _ if asks && metadata::is_at(request.path) => FacadeAnswer::document(&self.metadata()),
            _ => return None,
        };
        Some(answer)
    }

    /// The document of RFC 8414.
    pub fn document(&self) -> FacadeAnswer {
        FacadeAnswer::document(&self.metadata())
    }

    /// The client with an id.
    async fn client(&self, id: &str, peer: Option<IpAddr>) -> Result<Client, Refusal> {
        if let Some(client) = self.clients.get(id) {
            return Ok(client.clone());
        }
        if self.documents.is_for(id) {
            return self.documents.find(id, peer).await;
        }
        if self.settings.registration
            && registration::is_one(id)
            && let Some(found) = self.kept.get::<Client>(CLIENTS, id).await?
        {
            return Ok(found.value);
        }
        Err(Refusal::client("the client is not known here, or not any more"))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.settings.issuer)
    }

    /// The resource that a token is to be for (RFC 8707): one of our endpoints. Clients of 2025-03-26 name none, and mean
    /// the one endpoint that they know.
    fn resource(&self, named: Option<&str>) -> Result<String, Refusal> {
        let Some(named) = named else { return Ok(format!("{}/mcp", self.settings.base)) };
        let refuse = Refusal::new(400, "invalid_target", "the resource is no endpoint of this gateway");
        let path = named.strip_prefix(&self.settings.base).ok_or(refuse)?;
        let place = path.strip_prefix("/mcp").or_else(|| path.strip_suffix("/sse")).ok_or(refuse)?;
        let server = || place.strip_prefix("/s/").is_some_and(|name| ServerId::parse(name).is_ok());
        let toolset = || place.strip_prefix("/v/").is_some_and(|name| ToolsetId::parse(name).is_ok());
        if place.is_empty() || server() || toolset() { Ok(named.to_owned()) } else { Err(refuse) }
    }

    /// Every scope that there is.
    fn all_scopes(&self) -> impl Iterator<Item = &String> {
        self.settings.scopes.iter().chain(&self.settings.step_up)
    }

    /// The scopes that somebody gets who asks for these: when they ask for none, all that each token has to have.
    fn scopes(&self, asked: Option<&str>) -> Result<Vec<String>, Refusal> {
        let Some(asked) = asked else { return Ok(self.settings.scopes.clone()) };
        let asked: Vec<&str> = asked.split_ascii_whitespace().collect();
        let given: Vec<_> = self.all_scopes().filter(|it| asked.contains(&it.as_str())).cloned().collect();
        if given.is_empty() && self.all_scopes().next().is_some() {
            return Err(Refusal::new(400, "invalid_scope", "none of the scopes is known here"));
        }
        Ok(given)
    }

    /// The name of a cookie. Browsers hold `__Host-` cookies to what it promises, where there is TLS.
    fn cookie_name(&self, name: &str) -> String {
        if self.is_secure() { format!("__Host-portcullis-{name}") } else { format!("portcullis-{name}") }
    }

    fn set_cookie(&self, name: &str, value: &str, seconds: u64) -> String {
        let secure = if self.is_secure() { "; Secure" } else { "" };
        let name = self.cookie_name(name);
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
    }

    fn is_secure(&self) -> bool {
        self.settings.base.starts_with("https://")
    }
}

/// The facade as the issuer of its own tokens: it is asked for one thing, its keys.
struct Local(Arc<Facade>);

impl Fetch for Local {
    fn fetch(&self, wanted: Wanted) -> Fetching {
        let facade = self.0.clone();
        Box::pin(async move {
            if wanted.url != facade.at("/jwks") {
                return Err(FetchError::Forbidden("the gateway is asked for its own keys alone"));
            }
            let set = facade.keys.now(&facade.kept, now()).await;
            let set = set.map_err(|refusal| FetchError::Failed(refusal.reason.to_owned()))?;
            Ok(Fetched { body: set.public().to_string().into_bytes(), ..Fetched::default() })
        })
    }
}
