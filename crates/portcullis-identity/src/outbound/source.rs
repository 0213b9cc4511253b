//! Where the credentials of one server come from, for one user or for the gateway itself.
//!
//! A call asks for the credential that is there, which costs a look. When there is none, or it ends soon, one of those who
//! wait has another one fetched, on the control runtime: whoever leaves takes nothing along, and a refresh token that is
//! used once is not lost with the call that used it. What the server says of a credential comes back here
//! ([`Source::challenged`]): it may get another one, or the user has something to do.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use portcullis_model::Principal;
use tokio::sync::watch;
use tokio::time::Instant;

use super::account::Account;
use super::challenge::Challenge;
use super::connection::Seen;
use super::credential::{Credential, What};
use super::discovery::{self, Reach, Resource};
use super::needed::Needed;
use super::office::Office;
use super::settings::{Kind, ServerCredentials};
use super::sign::SigningKey;
use super::subject::SubjectToken;
use super::tokens::Prover;
use crate::clock::now;
use crate::fetch::Fetch;

/// How long a failure counts: those who come meanwhile are told the same, and nobody is asked.
const PAUSE: Duration = Duration::from_secs(1);
const LONG_PAUSE: Duration = Duration::from_secs(10);
/// A credential that is refused sooner is not renewed: another one would fare no better.
const YOUNG: Duration = Duration::from_secs(10);
/// For so long those who wait for a credential are kept waiting.
const PATIENCE: Duration = Duration::from_secs(25);
/// So often a request is sent again.
const MOST_AGAIN: u32 = 3;
/// Scopes that challenges can add up to.
const MOST_SCOPES: usize = 64;
/// Scopes that an authorization server does not give are not asked of it for so long.
const UNWANTED: Duration = Duration::from_mins(5);

/// Where credentials come from.
pub struct Source {
    pub(super) office: Arc<Office>,
    pub(super) settings: Arc<ServerCredentials>,
    pub(super) fetch: Arc<dyn Fetch>,
    /// The user, where each has credentials of their own.
    pub(super) owner: Option<Principal>,
    pub(super) current: ArcSwapOption<Credential>,
    pub(super) obtaining: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    connections: watch::Sender<()>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) subject: Option<Arc<SubjectToken>>,
    /// The digest of a subject that was refused, and when.
    spent: Option<([u8; 32], Instant)>,
    /// What the server last said with a refusal.
    pub(super) challenge: Option<Challenge>,
    /// What the server wants beyond what was asked for.
    pub(super) scopes: Vec<String>,
    /// What the authorization server did not give of that, and when.
    unwanted: Option<(Vec<String>, Instant)>,
    /// Something was left out, and it is to be asked once more without.
    without: bool,
    /// The digest of a token that the server refused.
    pub(super) refused: Option<[u8; 32]>,
    /// The digest of a token that cannot be renewed as whom it was got, and when that was seen.
    pub(super) lapsed: Option<([u8; 32], Instant)>,
    /// Of which account the current credential is.
    pub(super) seen: Option<Seen>,
    pub(super) obtained: Option<Instant>,
    pub(super) failed: Option<(Instant, Needed)>,
    /// The link that the user was given, and until when it may be given again.
    pub(super) link: Option<(String, Instant)>,
    /// What a browser is to bring back.
    pub(super) errand: Option<String>,
    pub(super) actor: Option<(String, u64)>,
    pub(super) prover: Option<Arc<Prover>>,
}

/// A refusal of the server.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// 401 or 403.
    pub status: u16,
    /// `WWW-Authenticate`.
    pub challenge: Option<&'a str>,
    /// `DPoP-Nonce`.
    pub nonce: Option<&'a str>,
    /// How often the request was sent again already.
    pub again: u32,
}

impl Source {
    /// A source of a server's credentials, for `owner` or for everybody.
    pub fn new(
        office: &Arc<Office>,
        settings: &Arc<ServerCredentials>,
        fetch: &Arc<dyn Fetch>,
        owner: Option<Principal>,
    ) -> Arc<Self> {
        Arc::new(Self {
            office: office.clone(),
            settings: settings.clone(),
            fetch: fetch.clone(),
            owner,
            current: ArcSwapOption::empty(),
            obtaining: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            connections: watch::Sender::new(()),
        })
    }

    /// How credentials are come by.
    pub fn kind(&self) -> &Kind {
        &self.settings.kind
    }

    /// The caller's token, for kinds that exchange it.
    pub fn offer(&self, subject: &Arc<SubjectToken>) {
        let mut state = self.state();
        if state.subject.as_ref().is_some_and(|known| !subject.replaces(known)) {
            return;
        }
        // What was refused is no news; what failed with it may succeed with another one.
        let spent = state.spent.filter(|(_, at)| at.elapsed() < LONG_PAUSE);
        if spent.is_none_or(|(digest, _)| digest != subject.digest()) {
            state.subject = Some(subject.clone());
            state.failed = None;
        }
    }

    /// The caller's token to be exchanged.
    pub(super) fn subject(&self) -> Result<Arc<SubjectToken>, Needed> {
        let subject = self.state().subject.clone().filter(|subject| !subject.is_over());
        subject.ok_or_else(|| {
            self.denied(
                "it is called for users, by their access tokens; this caller presented none that is valid",
            )
        })
    }

    /// The caller's token was refused: the next one that is offered counts.
    pub(super) fn spend(&self, subject: &Arc<SubjectToken>) {
        let mut state = self.state();
        state.subject.take_if(|known| Arc::ptr_eq(known, subject));
        state.spent = Some((subject.digest(), Instant::now()));
    }

    /// The credential to send; `None` where the server is asked without, to find out what it wants.
    ///
    /// # Errors
    /// What is needed first.
    pub async fn credential(self: &Arc<Self>) -> Result<Option<Arc<Credential>>, Needed> {
        if let Some(credential) = self.fresh().filter(|_| self.is_certain()) {
            return Ok(Some(credential));
        }
        let source = self.clone();
        let obtained = self.office.runtime.spawn(async move { source.obtain().await });
        obtained.await.unwrap_or_else(|_| Err(Needed::Unavailable("the gateway is stopping".into())))
    }

    fn fresh(&self) -> Option<Arc<Credential>> {
        self.current.load_full().filter(|credential| credential.is_fresh())
    }

    async fn obtain(self: Arc<Self>) -> Result<Option<Arc<Credential>>, Needed> {
        let _turn = self.obtaining.lock().await;
        if let Some(credential) = self.fresh().filter(|_| self.is_certain()) {
            return Ok(Some(credential));
        }
        if let Some(needed) = self.recent_failure() {
            return Err(needed);
        }
        let got = tokio::time::timeout(PATIENCE, self.look_or_fetch()).await;
        let got = got.unwrap_or_else(|_| Err(Needed::Unavailable("the identity provider is slow".into())));
        let mut state = self.state();
        if let Err(needed) = &got {
            tracing::warn!(server.id = self.settings.server, ?needed, "no credential for a server");
            state.failed = Some((Instant::now(), needed.clone()));
        }
        drop(state);
        got
    }

    /// What is current, if that can be told by a look; else another one.
    async fn look_or_fetch(self: &Arc<Self>) -> Result<Option<Arc<Credential>>, Needed> {
        if let Some(credential) = self.fresh() {
            if self.is_still_there().await? {
                return Ok(Some(credential));
            }
            self.drop_if_current(&credential);
        }
        let mut got = self.fetch_one().await;
        if got.is_err() && std::mem::take(&mut self.state().without) {
            got = self.fetch_one().await;
        }
        if let Ok(Some(credential)) = &got {
            self.state().obtained = Some(Instant::now());
            self.current.store(Some(credential.clone()));
        }
        got
    }

    async fn fetch_one(self: &Arc<Self>) -> Result<Option<Arc<Credential>>, Needed> {
        match self.kind() {
            Kind::Static { header, start, value } => {
                let revealed = self.office.reveal(value).await?;
                let value = format!("{start}{}", revealed.text);
                if !value.bytes().all(|byte| byte == b'\t' || (b' '..0x7f).contains(&byte) || byte >= 0x80) {
                    return Err(self.denied("its credential holds characters that no HTTP header can"));
                }
                let until = revealed.left.map(|left| now() + left.as_secs());
                let what = What::Header { name: header.clone(), value };
                Ok(Some(Credential::new(what, until, Vec::new())))
            }
            Kind::ClientCredentials(grant) => self.client_credentials(grant).await.map(Some),
            Kind::TokenExchange(exchange) => self.exchange(exchange).await.map(Some),
            Kind::IdJag(id_jag) => self.id_jag(id_jag).await.map(Some),
            Kind::Workload(workload) => self.workload(workload).await,
            Kind::Oauth(oauth) => self.connected(oauth).await,
            Kind::Assertion(assertion) => self.assertion(assertion).map(Some),
        }
        .map(|credential| credential.map(Arc::new))
    }

    fn recent_failure(&self) -> Option<Needed> {
        let state = self.state();
        let (at, needed) = state.failed.as_ref()?;
        let is_lasting = matches!(needed, Needed::Denied(_) | Needed::LogIn(_));
        let pause = if is_lasting { LONG_PAUSE } else { PAUSE };
        (at.elapsed() < pause).then(|| needed.clone())
    }

    /// The server refused a request: `Ok` when it is to be sent again, with what [`Source::credential`] then gives.
    ///
    /// # Errors
    /// What is needed first.
    pub async fn challenged(
        self: &Arc<Self>,
        used: Option<&Arc<Credential>>,
        refusal: Refusal<'_>,
    ) -> Result<(), Needed> {
        let challenge = refusal.challenge.map(Challenge::read).unwrap_or_default();
        let error = challenge.error.clone().unwrap_or_default();
        if refusal.again >= MOST_AGAIN {
            return Err(self.denied("it refused again and again"));
        }
        // Whether another call was told the same before does not matter: this one was sent without.
        if self.take_nonce(used, refusal.nonce) && error == "use_dpop_nonce" && refusal.again < 2 {
            return Ok(());
        }
        match refusal.status {
            403 if error == "insufficient_scope" => self.more_wanted(used, challenge).await,
            403 => Err(self.denied("this caller may not do that there (403)")),
            _ => self.refused(used, challenge, refusal.again).await,
        }
    }

    /// Takes up the nonce that the server says it wants; whether there is one, and it goes with what was sent.
    pub fn take_nonce(&self, used: Option<&Arc<Credential>>, nonce: Option<&str>) -> bool {
        let prover = used.and_then(|used| used.prover());
        prover.is_some_and(|prover| prover.take_nonce(&self.settings.url, nonce))
    }

    async fn refused(
        self: &Arc<Self>,
        used: Option<&Arc<Credential>>,
        challenge: Challenge,
        again: u32,
    ) -> Result<(), Needed> {
        let is_young = self.is_young();
        self.state().challenge = Some(challenge);
        if let Some(used) = used {
            self.drop_if_current(used);
        }
        match (self.kind(), used) {
            // It may have been changed where it is kept.
            (Kind::Static { value, .. }, Some(_)) if again == 0 && !is_young && self.office.doubt(value) => {
                Ok(())
            }
            (Kind::Static { .. } | Kind::Assertion(_), _) => {
                Err(self.denied("it refused the configured credentials (401)"))
            }
            (Kind::Oauth(_), Some(used)) => {
                self.state().refused = used.token().map(|token| crate::inbound::sha256(token.as_bytes()));
                if is_young || again > 0 { self.ask_to_connect(false).await } else { Ok(()) }
            }
            (Kind::Oauth(_), None) => self.ask_to_connect(false).await,
            (_, Some(_)) if is_young || again > 0 => {
                let needed = self.denied("it refused the credential that was got for it (401)");
                // Lest every call asks for another one.
                self.state().failed = Some((Instant::now(), needed.clone()));
                Err(needed)
            }
            (_, None) if again > 0 => Err(self.denied("it wants a credential, and there is none (401)")),
            _ => Ok(()),
        }
    }

    async fn more_wanted(
        self: &Arc<Self>,
        used: Option<&Arc<Credential>>,
        challenge: Challenge,
    ) -> Result<(), Needed> {
        let wanted = challenge.scopes.clone().unwrap_or_default();
        let has = used.map(|used| used.scopes.clone()).unwrap_or_default();
        let mut union = has.clone();
        union.extend(wanted.iter().filter(|scope| !has.contains(scope)).cloned());
        let names = wanted.join(" ");
        if self.state().is_unwanted(&union[has.len()..]) {
            let message =
                format!("it wants the scopes `{names}`, which the authorization server does not give (403)");
            return Err(self.denied(&message));
        }
        if union.len() == has.len() || union.len() > MOST_SCOPES {
            return Err(self.denied(&format!("it wants the scopes `{names}`, and they are not enough (403)")));
        }
        let fixed = match self.kind() {
            Kind::Oauth(_) => false,
            Kind::ClientCredentials(grant) => !grant.scopes.is_empty(),
            Kind::TokenExchange(exchange) => !exchange.grant.scopes.is_empty(),
            Kind::IdJag(id_jag) => !id_jag.grant.scopes.is_empty(),
            Kind::Workload(workload) => !workload.scopes.is_empty(),
            Kind::Static { .. } | Kind::Assertion(_) => true,
        };
        if fixed {
            // What the operator wrote down is not for a server to widen.
            let message =
                format!("it wants the scopes `{names}`, which its `credentials` do not ask for (403)");
            return Err(self.denied(&message));
        }
        {
            let mut state = self.state();
            state.scopes = union;
            state.link = None;
            let dpop = state.challenge.as_ref().is_some_and(|before| before.dpop) || challenge.dpop;
            state.challenge = Some(Challenge { dpop, ..challenge });
        }
        if matches!(self.kind(), Kind::Oauth(_)) {
            return self.ask_to_connect(true).await;
        }
        if let Some(used) = used {
            self.drop_if_current(used);
        }
        Ok(())
    }

    /// Whether a credential was got a moment ago.
    pub(super) fn is_young(&self) -> bool {
        self.state().obtained.is_some_and(|at| at.elapsed() < YOUNG)
    }

    pub(super) fn drop_if_current(&self, used: &Arc<Credential>) {
        let current = self.current.load_full();
        if current.is_some_and(|current| Arc::ptr_eq(&current, used)) {
            self.current.store(None);
        }
    }

    /// An account has been connected, or is none any more.
    pub(super) fn changed(&self) {
        self.connections.send_replace(());
    }

    /// Ends when an account has been connected that is good for what is wanted; time has to be watched by whoever waits.
    pub async fn until_connected(&self) {
        let mut changes = self.connections.subscribe();
        // Whoever came back may do so after it happened.
        let has_all = |credential: &Arc<Credential>| self.state().has_all(&credential.scopes);
        if self.fresh().is_some_and(|credential| has_all(&credential)) {
            return;
        }
        let _ = changes.changed().await;
    }

    pub(super) fn denied(&self, why: &str) -> Needed {
        Needed::Denied(format!("server `{}`: {why}", self.settings.server))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What may be asked on the way to this server's tokens.
    pub(super) fn reach(&self, more: &[Option<&str>]) -> Reach {
        let own = Some(self.settings.url.as_str()).filter(|_| !self.settings.nowhere);
        let urls: Vec<_> = own.into_iter().chain(more.iter().copied().flatten()).collect();
        Reach::of(&urls, self.settings.private_network)
    }

    /// What the server is: by its document, or by what is configured where none can be about it.
    pub(super) async fn resource(
        &self,
        reach: &Reach,
        part_of: Option<&str>,
        named: Option<&str>,
        issuer: Option<&str>,
    ) -> Result<Resource, Needed> {
        let url = self.settings.url.as_str();
        if !self.settings.nowhere {
            return discovery::resource(&*self.fetch, reach, (url, part_of), named, issuer).await;
        }
        let issuer = issuer.ok_or_else(|| self.denied("its `credentials` name no `issuer`"))?;
        let identifier = part_of.unwrap_or(url).to_owned();
        Ok(Resource { identifier, issuer: Some(issuer.to_owned()), scopes: None })
    }

    /// The key that tokens are bound to, kept for as long as this source lives.
    pub(super) fn prover(&self) -> Arc<Prover> {
        let mut state = self.state();
        let make = || Arc::new(Prover::new(Arc::new(SigningKey::generate())));
        state.prover.get_or_insert_with(make).clone()
    }

    /// The same key is the same prover, wherever it was read: what it was told of nonces, all who use it know.
    pub(super) fn know_prover(&self, account: &mut Account) {
        let Some(read) = account.prover.as_mut() else { return };
        let mut state = self.state();
        match &state.prover {
            Some(known) if known.key == read.key => *read = known.clone(),
            _ => state.prover = Some(read.clone()),
        }
    }
}

impl State {
    /// What was said to what was before does not count any more.
    pub(super) fn begin_anew(&mut self) {
        let before = std::mem::take(self);
        self.obtained = Some(Instant::now());
        (self.subject, self.spent, self.prover) = (before.subject, before.spent, before.prover);
        self.unwanted = before.unwanted;
    }

    /// Whether these scopes are all that the server is known to want.
    pub(super) fn has_all(&self, scopes: &[String]) -> bool {
        self.scopes.iter().all(|wanted| scopes.contains(wanted))
    }

    /// The authorization server does not give what the server wants: it is not asked for that again, for a while. Whether
    /// anything was left out by that.
    pub(super) fn scopes_refused(&mut self) -> bool {
        let mut unwanted = std::mem::take(&mut self.scopes);
        let challenged = self.challenge.as_mut().and_then(|challenge| challenge.scopes.take());
        unwanted.extend(challenged.unwrap_or_default());
        self.link = None;
        self.without = !unwanted.is_empty();
        if self.without {
            self.unwanted = Some((unwanted, Instant::now()));
        }
        self.without
    }

    fn is_unwanted(&self, scopes: &[String]) -> bool {
        let unwanted = self.unwanted.as_ref().filter(|(_, at)| at.elapsed() < UNWANTED);
        unwanted.is_some_and(|(unwanted, _)| scopes.iter().any(|scope| unwanted.contains(scope)))
    }
}
