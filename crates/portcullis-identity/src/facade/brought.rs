//! What the identity provider gave with a login, for whoever logged in: its ID token, to be exchanged where servers are called
//! for their users, and a refresh token to get the next one with.
//!
//! It is kept only where a server of the configuration exchanges callers' tokens (`FacadeSettings::keeps_id_tokens`), sealed
//! like all that is kept here, for as long as the login lasts and no longer. No client ever gets any of it: it leaves as a
//! [`SubjectToken`], which goes to the token endpoint that the operator named and nowhere else.

use std::hash::{BuildHasher as _, RandomState};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use portcullis_model::Expected;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::family::session_at;
use super::refusal::Refusal;
use super::{Facade, now};
use crate::outbound::SubjectToken;
use crate::turn::Pauses;
use crate::verified::Verified;

/// What was brought, by the key of its family.
pub(super) const BROUGHT: &str = "facade-brought";
/// An ID token that ends sooner is renewed before it is used, in seconds.
const RENEWED: u64 = 60;
/// How long nobody is asked after the provider was away, in seconds.
const PAUSE: u64 = 5;
/// Logins that are renewed at the same time, at the most.
const PLACES: usize = 64;
/// How long a request waits for another process to renew what it needs.
const PATIENCE: Duration = Duration::from_secs(10);

const STOPPING: Refusal = Refusal::unavailable("the gateway is stopping");

/// What the provider gave.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Brought {
    pub(crate) id_token: String,
    /// When the ID token ends and was issued, in seconds since 1970.
    pub(crate) expires: u64,
    pub(crate) issued: Option<u64>,
    pub(super) refresh: Option<String>,
    /// Whose it is in the provider's words: the next one must say the same.
    pub(super) subject: String,
    /// When the login ends that it came with; 0 before it is kept.
    #[serde(default)]
    pub(super) ends: u64,
}

/// Who renews waits for whoever renews the same, in this process and in others with the same store: many providers take a refresh
/// token once, and end the login when it comes twice.
pub(super) struct Renewing {
    /// When the provider was away the last time, in seconds since 1970.
    places: Vec<Mutex<u64>>,
    hasher: RandomState,
}

impl Default for Renewing {
    fn default() -> Self {
        let places = (0..PLACES).map(|_| Mutex::default()).collect();
        Self { places, hasher: RandomState::new() }
    }
}

impl Renewing {
    pub(super) fn place(&self, key: &str) -> &Mutex<u64> {
        let place = usize::try_from(self.hasher.hash_one(key) % PLACES as u64).unwrap_or_default();
        &self.places[place]
    }
}

impl Facade {
    /// Keeps what was brought with a login until that ends.
    pub(super) async fn keep_brought(&self, key: &str, brought: Brought, ends: u64) -> Result<(), Refusal> {
        if self.settings.keeps_id_tokens {
            let brought = Brought { ends, ..brought };
            self.kept.put(BROUGHT, key, &brought, ends, Expected::Any).await?;
        }
        Ok(())
    }

    /// The login is over.
    pub(super) async fn forget_brought(&self, key: &str) -> Result<(), Refusal> {
        self.kept.take::<Brought>(BROUGHT, key).await.map(drop)
    }

    /// Whether a token is one of this server's.
    pub fn has_issued(&self, verified: &Verified) -> bool {
        verified.issuer() == Some(self.settings.issuer.as_str())
    }

    /// The ID token of whoever was let in with a token of this server's, to be exchanged; `None` where the identity provider
    /// gave none that still counts.
    pub async fn subject(self: &Arc<Self>, verified: &Verified) -> Option<SubjectToken> {
        let session = verified.session.as_deref().filter(|_| self.settings.keeps_id_tokens)?;
        match self.brought(session).await {
            Ok(brought) => brought.map(|brought| SubjectToken::brought(&brought, verified)),
            Err(refusal) => {
                tracing::warn!(
                    reason = refusal.reason,
                    "no ID token to call servers with for whoever logged in"
                );
                None
            }
        }
    }

    pub(super) async fn brought(self: &Arc<Self>, session: &str) -> Result<Option<Brought>, Refusal> {
        let key = self.kept.key_like(BROUGHT, session).await?.filter(|key| session_at(key) == session);
        let Some(key) = key else { return Ok(None) };
        let Some(found) = self.kept.get::<Brought>(BROUGHT, &key).await? else { return Ok(None) };
        if found.value.is_settled() {
            return Ok(found.value.until_over());
        }
        let (waiting, mut pauses) = (Instant::now(), Pauses::default());
        loop {
            // Whoever asks may leave at any time, and may not take along what comes for a refresh token.
            let (facade, key) = (self.clone(), key.clone());
            let attempt = self.runtime.spawn(async move { facade.attempt(&key).await });
            match attempt.await.map_err(|_| STOPPING)?? {
                ControlFlow::Break(brought) => return Ok(brought),
                ControlFlow::Continue(before) if waiting.elapsed() > PATIENCE => {
                    return Ok(before.until_over());
                }
                ControlFlow::Continue(_) => pauses.pass().await,
            }
        }
    }

    /// Renews what was brought, and breaks off with what there is then; while it is another process's turn, it goes on with what
    /// there is. Other logins have the same place, which is held for no longer than this takes.
    async fn attempt(&self, key: &str) -> Result<ControlFlow<Option<Brought>, Brought>, Refusal> {
        let mut failed = self.renewing.place(key).lock().await;
        // Whoever had the turn before has renewed it.
        let Some(found) = self.kept.get::<Brought>(BROUGHT, key).await? else {
            return Ok(ControlFlow::Break(None));
        };
        let before = found.value;
        if before.is_settled() || now() < *failed + PAUSE {
            return Ok(ControlFlow::Break(before.until_over()));
        }
        let Some(turn) = self.kept.turn(BROUGHT, key).await? else {
            return Ok(ControlFlow::Continue(before));
        };
        let renewed = self.renew(key, &mut failed).await;
        turn.give_back().await;
        renewed.map(ControlFlow::Break)
    }

    /// Renews what was brought, as the one who does.
    async fn renew(&self, key: &str, failed: &mut u64) -> Result<Option<Brought>, Refusal> {
        let Some(found) = self.kept.get::<Brought>(BROUGHT, key).await? else { return Ok(None) };
        let before = found.value;
        let Some(refresh) = before.refresh.as_deref().filter(|_| !before.is_settled()) else {
            return Ok(before.until_over());
        };
        let mut renewed = match self.provider.renew(refresh, &before.subject, now()).await {
            Ok(renewed) => renewed,
            Err(refusal) if refusal.status == 503 => {
                *failed = now();
                tracing::warn!(reason = refusal.reason, "an ID token was not renewed");
                return Ok(before.until_over());
            }
            // It will be refused again: nobody is asked any more.
            Err(refusal) => {
                tracing::warn!(reason = refusal.reason, "an ID token is not renewed any more");
                Brought { refresh: None, ..before.clone() }
            }
        };
        // A login that ended meanwhile stays ended.
        renewed.ends = before.ends;
        let version = Expected::Version(found.version);
        let kept = self.kept.put(BROUGHT, key, &renewed, renewed.ends, version).await?;
        Ok(renewed.until_over().filter(|_| kept))
    }
}

impl Brought {
    /// Whether nothing is to be done: its ID token counts for a while, or there is no other to be had.
    fn is_settled(&self) -> bool {
        self.expires > now() + RENEWED || self.refresh.is_none()
    }

    /// It, while its ID token counts.
    fn until_over(self) -> Option<Self> {
        Some(self).filter(|it| it.expires > now())
    }
}
