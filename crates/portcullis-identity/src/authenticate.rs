//! The way of a credential: what kind it is, whether it is good, and whether it is good for this request.
//!
//! What is verified is remembered by the SHA-256 of the whole token, for a minute at the most; what depends on the request
//! is checked each time. A reload begins with nothing remembered, so what it revokes is not accepted any more.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_model::Principal;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::api_key::ApiKeys;
use crate::cache::Cache;
use crate::claims::{self, LEEWAY};
use crate::clock::Clock;
use crate::dpop::{self, Nonces, Replays};
use crate::ended::{Changes, Ended};
use crate::familiar::Mark;
use crate::fetch::Fetch;
use crate::inbound::{InboundToken, LONGEST, Presented, Scheme};
use crate::issuer::Issuer;
use crate::jose::Compact;
use crate::refused::{Reason, Refused};
use crate::settings::{IssuerSettings, Settings};
use crate::verified::{Binding, Kind, Verified};
use crate::watch::{Nobody, Watch};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Tokens that are remembered, of one generation of one part.
const TOKENS: usize = 512;
const PARTS: usize = 16;
/// Longer tokens are verified each time: what is remembered of one is about as large as the token.
pub(crate) const LONGEST_REMEMBERED: usize = 8 * 1024;

/// Who is let in.
pub struct Identity {
    state: ArcSwap<State>,
    runtime: Handle,
    watch: Arc<dyn Watch>,
    nonces: Nonces,
    replays: Replays,
    changes: Arc<Changes>,
    ended: Arc<Ended>,
    clock: Clock,
}

/// What one configuration is in force with.
struct State {
    settings: Settings,
    issuers: Vec<Arc<Issuer>>,
    keys: ApiKeys,
    verified: [Cache<[u8; 32], Arc<Verified>>; PARTS],
}

/// The request that a credential comes with.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Under which URLs clients know the endpoint. A token for one of them is for it.
    pub identifiers: &'a [String],
    /// Under which URL clients know the gateway; every endpoint's begins with it.
    pub base: &'a str,
    /// The HTTP method.
    pub method: &'a str,
    /// The path of the request.
    pub path: &'a str,
    /// The `DPoP` field, if there is just one.
    pub proof: Option<&'a str>,
    /// SHA-256 over the client certificate of the connection.
    pub certificate: Option<&'a [u8; 32]>,
    /// The address at the other end of the connection.
    pub source: Option<IpAddr>,
}

impl Identity {
    /// Lets nobody in until there are settings. Keys of issuers are fetched on `runtime`.
    pub fn new(runtime: Handle) -> Self {
        Self::watched(runtime, Arc::new(Nobody))
    }

    /// The same, while somebody counts.
    pub fn watched(runtime: Handle, watch: Arc<dyn Watch>) -> Self {
        let state = State::new(Settings::default(), Vec::new());
        let changes = Arc::new(Changes::default());
        Self {
            ended: Arc::new(Ended::new(changes.clone())),
            state: ArcSwap::from_pointee(state),
            runtime,
            watch,
            nonces: Nonces::new(),
            replays: Replays::default(),
            changes,
            clock: Clock::default(),
        }
    }

    /// Takes up settings. Issuers are asked through what `client` gives; keys that were fetched stay, and those that
    /// were not are fetched now.
    pub fn reload(&self, settings: Settings, client: impl Fn(&IssuerSettings) -> Arc<dyn Fetch>) {
        let old = self.state.load_full();
        let issuers = settings.issuers.iter().map(|settings| {
            let before = old.issuer(&settings.issuer).map(Arc::as_ref);
            let issuer = Issuer::new(settings, &client(settings), &self.runtime, &self.watch, before);
            if issuer.keys.current().is_none() {
                drop(issuer.keys.begin(Duration::ZERO));
            }
            Arc::new(issuer)
        });
        let issuers = issuers.collect();
        self.state.store(Arc::new(State::new(settings, issuers)));
        self.changes.happened();
    }

    /// How old the keys of each issuer are, in seconds; an issuer that has none yet is left out.
    pub fn ages_of_keys(&self) -> Vec<(String, u64)> {
        let state = self.state.load();
        let age =
            |issuer: &Arc<Issuer>| Some((issuer.settings.issuer.clone(), issuer.age_of_keys()?.as_secs()));
        state.issuers.iter().filter_map(age).collect()
    }

    /// What time it is, in seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.clock.seconds()
    }

    /// What can be told apart from how it is once something has been taken back.
    pub fn mark(&self) -> Mark {
        Mark(self.changes.count())
    }

    /// Something of the settings.
    pub fn with_settings<T>(&self, read: impl FnOnce(&Settings) -> T) -> T {
        read(&self.state.load().settings)
    }

    /// The nonce that the next proof must hold, where proofs need one.
    pub fn nonce(&self) -> Option<String> {
        self.state.load().settings.dpop_nonce.then(|| self.nonces.give(self.now()))
    }

    /// The logins of the facade that ended before their tokens.
    pub fn ended(&self) -> &Arc<Ended> {
        &self.ended
    }

    fn stands(&self, state: &State, verified: &Verified) -> bool {
        state.stands(verified) && !verified.session.as_ref().is_some_and(|session| self.ended.has(session))
    }

    /// Whether somebody who proved who they are in another way is shut out.
    pub fn is_revoked(&self, principal: &Principal) -> bool {
        self.state.load().settings.revoked.has(principal)
    }

    /// Finds out who presents a credential.
    ///
    /// # Errors
    /// Why it lets nobody in here.
    pub async fn authenticate(
        &self,
        presented: &Presented<'_>,
        around: &Circumstances<'_>,
    ) -> Result<Arc<Verified>, Refused> {
        let now = self.now();
        let token = &presented.token;
        if token.expose().len() > LONGEST {
            return Err(Refused::Invalid(Reason::TooLarge));
        }
        let digest = token.digest();
        let recalled = self.state.load().recall(token, &digest, now)?;
        let verified = match recalled {
            Some(verified) => verified,
            None => Box::pin(self.state.load_full().verify(token, digest, around.source, now)).await?,
        };
        self.check(presented, digest, &verified, around, now)?;
        Ok(verified)
    }

    /// What depends on the request: checks 8, 12 and 13, and scopes.
    fn check(
        &self,
        presented: &Presented<'_>,
        digest: [u8; 32],
        verified: &Verified,
        around: &Circumstances<'_>,
        now: u64,
    ) -> Result<(), Refused> {
        let state = self.state.load();
        let refuse = |reason| Err(Refused::Invalid(reason));
        if !self.stands(&state, verified) {
            return refuse(Reason::Revoked);
        }
        if verified.kind == Kind::Token {
            if verified.expires.saturating_add(LEEWAY) <= now {
                return refuse(Reason::Expired);
            }
            if !state.is_for(verified, around) {
                return refuse(Reason::Audience);
            }
        }
        match (&verified.binding, presented.scheme) {
            (Binding::Key(thumbprint), Scheme::Dpop) => {
                let target = format!("{}{}", around.base, around.path);
                let token = digest;
                let holder = &verified.id;
                let request =
                    dpop::Request { method: around.method, target: &target, token, thumbprint, holder };
                let nonces = state.settings.dpop_nonce.then_some(&self.nonces);
                dpop::check(around.proof, &request, nonces, &self.replays, now)?;
            }
            (Binding::Key(_), Scheme::Bearer) => return refuse(Reason::BoundAsBearer),
            (_, Scheme::Dpop) => return refuse(Reason::NotBound),
            (Binding::Certificate(expected), Scheme::Bearer) => {
                let shown = around.certificate.map(|digest| URL_SAFE_NO_PAD.encode(digest));
                if shown.as_ref() != Some(expected) {
                    return refuse(Reason::Certificate);
                }
            }
            (Binding::None, Scheme::Bearer) => {
                if state.settings.dpop_required && verified.kind == Kind::Token {
                    return refuse(Reason::NotBound);
                }
            }
        }
        let scopes = verified.principal.scopes().unwrap_or_default();
        if verified.kind == Kind::Token && !state.settings.scopes.iter().all(|it| scopes.contains(it)) {
            return Err(Refused::Scope);
        }
        Ok(())
    }

    /// Ends when somebody who proved who they are in another way is shut out.
    pub async fn until_revoked(&self, principal: &Principal) {
        let mut changes = self.changes.subscribe();
        while !self.is_revoked(principal) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends when a credential does not count any more: it expires, or a reload takes it back.
    pub async fn until_over(&self, verified: &Verified) {
        let mut changes = self.changes.subscribe();
        loop {
            if !self.stands(&self.state.load(), verified) {
                return;
            }
            let left = Duration::from_secs(verified.expires).saturating_sub(self.clock.now());
            // A sleep for no time would let through what is there already.
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => return,
                reload = changes.changed() => if reload.is_err() { return },
            }
        }
    }
}

impl State {
    fn new(settings: Settings, issuers: Vec<Arc<Issuer>>) -> Self {
        Self {
            keys: ApiKeys::new(&settings.keys),
            settings,
            issuers,
            verified: std::array::from_fn(|_| Cache::new(TOKENS)),
        }
    }

    fn issuer(&self, identifier: &str) -> Option<&Arc<Issuer>> {
        self.issuers.iter().find(|issuer| issuer.settings.issuer == identifier)
    }

    /// What can be told without asking anybody.
    fn recall(
        &self,
        token: &InboundToken<'_>,
        digest: &[u8; 32],
        now: u64,
    ) -> Result<Option<Arc<Verified>>, Refused> {
        if ApiKeys::looks_like(token) {
            return self.keys.find(token, now).map(Some).map_err(Refused::Invalid);
        }
        let remembered = self.part(digest).get(digest);
        Ok(remembered.filter(|it| it.fresh_until > now))
    }

    fn part(&self, digest: &[u8; 32]) -> &Cache<[u8; 32], Arc<Verified>> {
        &self.verified[usize::from(digest[0]) % PARTS]
    }

    async fn verify(
        self: Arc<Self>,
        token: &InboundToken<'_>,
        digest: [u8; 32],
        source: Option<IpAddr>,
        now: u64,
    ) -> Result<Arc<Verified>, Refused> {
        let verified = if Compact::looks_like(token.expose()) {
            Arc::new(self.verify_signed(token, now).await?)
        } else {
            let asked = self.issuers.iter().find_map(|it| Some((it, it.introspector.as_ref()?)));
            let (issuer, introspector) = asked.ok_or(Refused::Invalid(Reason::UnknownKind))?;
            let known = || self.recall(token, &digest, now).ok().flatten();
            introspector.ask(token, &issuer.settings, source, known, now).await?
        };
        if token.expose().len() <= LONGEST_REMEMBERED {
            self.part(&digest).insert(digest, verified.clone());
        }
        Ok(verified)
    }

    async fn verify_signed(&self, token: &InboundToken<'_>, now: u64) -> Result<Verified, Refused> {
        let compact = Compact::parse(token.expose()).map_err(Refused::Invalid)?;
        let algorithm = compact.header.algorithm.ok_or(Refused::Invalid(Reason::Algorithm))?;
        // Not believed yet: it only says with whose keys the signature is to be checked.
        let named = compact.claims.get("iss").and_then(Value::as_str);
        let issuer = named.and_then(|named| self.issuer(named)).ok_or(Refused::Invalid(Reason::Issuer))?;
        if !issuer.settings.algorithms.contains(&algorithm) {
            return Err(Refused::Invalid(Reason::Algorithm));
        }
        let mut answer = issuer.keys.current().map(|set| set.check_signature(&compact, algorithm));
        if matches!(answer, None | Some(Err(Reason::UnknownKey))) {
            // Whoever waits for keys is not verified with an older set.
            let newer = issuer.keys.newer().await.map(|set| set.check_signature(&compact, algorithm));
            answer = newer.or(answer);
        }
        answer.ok_or(Refused::Unavailable)?.map_err(Refused::Invalid)?;
        claims::of_token(compact.header.typ.as_deref(), &compact.claims, &issuer.settings, now)
            .map_err(Refused::Invalid)
    }

    /// Check 8 (RFC 8707 section 2, RFC 9068 section 3): compared as texts. An issuer's own audience stands for the whole
    /// gateway, unless it is the URL of an endpoint; then it stands for that one.
    fn is_for(&self, verified: &Verified, around: &Circumstances<'_>) -> bool {
        let general = verified.issuer().and_then(|issuer| self.issuer(issuer)?.settings.audience.as_deref());
        let general = general.filter(|audience| !is_below(audience, around.base));
        let is_ours =
            |audience: &String| around.identifiers.contains(audience) || Some(audience.as_str()) == general;
        verified.audiences.iter().any(is_ours)
    }

    /// Whether a credential that was good is still: its issuer or key is configured, and nobody took it back.
    fn stands(&self, verified: &Verified) -> bool {
        let known = match &verified.kind {
            Kind::ApiKey(digest) => self.keys.has(digest),
            Kind::Token => verified.issuer().is_some_and(|issuer| self.issuer(issuer).is_some()),
        };
        known && !self.settings.revoked.has_verified(verified)
    }
}

/// Whether a URL is of something below another: a longer path.
fn is_below(url: &str, base: &str) -> bool {
    url.strip_prefix(base).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
}

#[cfg(test)]
mod tests;
