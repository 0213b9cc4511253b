//! An issuer's keys: fetched once for all who wait, kept when the issuer is away, renewed before anybody has to wait.
//!
//! A token with an unknown `kid` may be the first after a rotation, so it has the keys fetched; but not more often than
//! [`BETWEEN_MISSES`], whatever comes: made-up `kid`s must not become requests to the identity provider.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

use super::discovery::jwks_uri;
use crate::fetch::{Fetch, Trust, Wanted};
use crate::jose::KeySet;
use crate::settings::IssuerSettings;
use crate::watch::Watch;

/// Largest key set, in bytes.
const LARGEST: usize = 512 * 1024;
/// How soon after a fetch an unknown key may cause another.
pub(crate) const BETWEEN_MISSES: Duration = Duration::from_secs(30);
/// How soon after the first failure another try is made while there are no keys at all; doubled each time, up to
/// [`BETWEEN_MISSES`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long keys are kept before they are renewed, whatever the issuer says.
const KEPT: (Duration, Duration) = (Duration::from_mins(5), Duration::from_hours(24));
/// How long somebody waits for keys.
const PATIENCE: Duration = Duration::from_secs(10);

/// The keys of an issuer.
pub(crate) struct Keys {
    issuer: String,
    /// Where they are, and who says so; found through the issuer's metadata when nobody does.
    place: Option<(String, Trust)>,
    client: Arc<dyn Fetch>,
    runtime: Handle,
    watch: Arc<dyn Watch>,
    set: ArcSwapOption<KeySet>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A fetch is under way; ends when the sender is dropped.
    flight: Option<watch::Receiver<()>>,
    /// When the last fetch began.
    tried: Option<Instant>,
    /// When the keys want renewing.
    due: Option<Instant>,
    /// Fetches that failed since the last that did not.
    failures: u32,
    /// When the last good ones came.
    fetched: Option<Instant>,
}

impl Keys {
    pub(super) fn new(
        settings: &IssuerSettings,
        client: Arc<dyn Fetch>,
        runtime: Handle,
        watch: Arc<dyn Watch>,
    ) -> Self {
        let place = settings.jwks_url.clone().map(|url| (url, Trust::Configured));
        Self::at(&settings.issuer, place, client, runtime, watch)
    }

    /// Those of an issuer whose metadata somebody else has read.
    pub(crate) fn at(
        issuer: &str,
        place: Option<(String, Trust)>,
        client: Arc<dyn Fetch>,
        runtime: Handle,
        watch: Arc<dyn Watch>,
    ) -> Self {
        Self {
            issuer: issuer.to_owned(),
            place,
            client,
            runtime,
            watch,
            set: ArcSwapOption::empty(),
            state: Mutex::default(),
        }
    }

    /// Begins with what another one has.
    pub(super) fn take_over(&self, before: &Self) {
        self.set.store(before.set.load_full());
        let before = before.state();
        let (tried, due, failures, fetched) = (before.tried, before.due, before.failures, before.fetched);
        *self.state() = State { flight: None, tried, due, failures, fetched };
    }

    /// How old they are; `None` while there are none.
    pub(super) fn age(&self) -> Option<Duration> {
        self.state().fetched.map(|fetched| fetched.elapsed())
    }

    /// The keys that are there. Those that are due are renewed meanwhile.
    pub(crate) fn current(self: &Arc<Self>) -> Option<Arc<KeySet>> {
        let set = self.set.load_full()?;
        let due = self.state().due.is_some_and(|due| due <= Instant::now());
        if due {
            drop(self.begin(BETWEEN_MISSES));
        }
        Some(set)
    }

    /// Newer keys than those that did not fit, if they may be fetched now and come.
    pub(crate) async fn newer(self: &Arc<Self>) -> Option<Arc<KeySet>> {
        let pause = if self.set.load().is_some() {
            BETWEEN_MISSES
        } else {
            let doublings = self.state().failures.saturating_sub(1).min(5);
            BETWEEN_MISSES.min(FIRST_PAUSE * 2u32.pow(doublings))
        };
        let mut landed = self.begin(pause)?;
        // An error is the end of the fetch, and so is time.
        let _ = tokio::time::timeout(PATIENCE, landed.changed()).await;
        self.set.load_full()
    }

    /// Starts a fetch, unless one is under way, which is joined, or one began less than `pause` ago.
    pub(crate) fn begin(self: &Arc<Self>, pause: Duration) -> Option<watch::Receiver<()>> {
        let mut state = self.state();
        if let Some(flight) = &state.flight {
            return Some(flight.clone());
        }
        let now = Instant::now();
        if state.tried.is_some_and(|tried| now.duration_since(tried) < pause) {
            return None;
        }
        state.tried = Some(now);
        let (landed, flight) = watch::channel(());
        state.flight = Some(flight.clone());
        drop(state);
        let keys = self.clone();
        self.runtime.spawn(async move {
            keys.fetch().await;
            keys.state().flight = None;
            drop(landed);
        });
        Some(flight)
    }

    async fn fetch(&self) {
        match self.load().await {
            Ok((set, kept)) => {
                let none = set.is_empty();
                self.set.store(Some(Arc::new(set)));
                let mut state = self.state();
                let now = Instant::now();
                state.due = Some(now + kept.clamp(KEPT.0, KEPT.1));
                state.fetched = Some(now);
                state.failures = 0;
                drop(state);
                self.watch.keys(&self.issuer, true);
                if none {
                    tracing::warn!(
                        issuer = self.issuer,
                        "the issuer has no keys: none of its tokens is accepted"
                    );
                } else {
                    tracing::debug!(issuer = self.issuer, "fetched the issuer's keys");
                }
            }
            Err(error) => {
                let mut state = self.state();
                state.failures = state.failures.saturating_add(1);
                let failures = state.failures;
                drop(state);
                self.watch.keys(&self.issuer, false);
                let kept = if self.set.load().is_some() {
                    "the last good ones stay in use"
                } else {
                    "there are none"
                };
                tracing::warn!(issuer = self.issuer, %error, failures, "cannot fetch the issuer's keys; {kept}");
            }
        }
    }

    async fn load(&self) -> Result<(KeySet, Duration), String> {
        let (url, trust) = match &self.place {
            Some(place) => place.clone(),
            None => {
                let found = jwks_uri(&self.issuer, self.client.as_ref()).await;
                let url = found.map_err(|error| error.to_string())?;
                let trust = trust_in(&url, &self.issuer);
                (url, trust)
            }
        };
        let wanted = Wanted::get(&url, trust, LARGEST);
        let fetched = self.client.fetch(wanted).await.map_err(|error| format!("{url}: {error}"))?;
        let set = KeySet::read(&fetched.body).map_err(|error| format!("{url}: {error}"))?;
        Ok((set, fetched.max_age.unwrap_or(KEPT.0)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who vouches for an address that an issuer's document names: the issuer's own host was written down by the operator; any
/// other was not.
pub(crate) fn trust_in(url: &str, issuer: &str) -> Trust {
    if origin(url) == origin(issuer) { Trust::Configured } else { Trust::Learned }
}

/// Scheme, host and port as written.
pub(crate) fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let length = url[start..].find(['/', '?', '#']).unwrap_or(url.len() - start);
    &url[..start + length]
}
