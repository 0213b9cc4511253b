//! Tokens that only their issuer can read (RFC 7662).
//!
//! Answers are remembered for a short while, good ones and bad ones, so that one token is one question. What is made up
//! costs the issuer a bounded number of questions: so many at once, so many in a second, and none for a while after it
//! failed again and again. Then nobody is let in; that is the meaning of failing closed.
//!
//! Whoever makes up tokens is not to keep others out: tokens that were good before are asked about in a lane of their own
//! ([`super::lane`]), and of those that were never seen, one network may ask about so many in a second.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::lane::Lane;
use crate::cache::Cache;
use crate::claims;
use crate::fetch::{Fetch, Form, Trust, Wanted};
use crate::inbound::InboundToken;
use crate::refused::{Reason, Refused};
use crate::settings::{Introspection, IssuerSettings};
use crate::verified::Verified;
use crate::watch::Watch;

/// Largest answer, in bytes.
const LARGEST: usize = 64 * 1024;
/// How long a refusal is remembered.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// How many refusals are remembered.
const REFUSALS: usize = 4096;
/// Tokens that are remembered to have been good.
const GOOD: usize = 4096;
/// So many failures in a row stop the questions for [`REST`].
const FAILURES: u32 = 5;
const REST: Duration = Duration::from_secs(5);
/// How long an answer that names no end counts, in seconds.
const LASTING: u64 = 15 * 60;

/// Asks an issuer about tokens.
pub(crate) struct Introspector {
    settings: Introspection,
    client: Arc<dyn Fetch>,
    watch: Arc<dyn Watch>,
    refusals: Cache<[u8; 32], (Instant, Reason)>,
    /// Those that were good when they were asked about last.
    good: Arc<Cache<[u8; 32], ()>>,
    known: Lane,
    unknown: Lane,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Health {
    failures: u32,
    rest_until: Option<Instant>,
}

impl Introspector {
    pub(super) fn new(settings: Introspection, client: Arc<dyn Fetch>, watch: Arc<dyn Watch>) -> Self {
        Self {
            settings,
            client,
            watch,
            refusals: Cache::new(REFUSALS),
            good: Arc::new(Cache::new(GOOD)),
            known: Lane::default(),
            unknown: Lane::default(),
            health: Mutex::default(),
        }
    }

    /// Begins with what another one knows to have been good. It is asked about all the same.
    pub(super) fn take_over(self, before: &Self) -> Self {
        if self.settings == before.settings { Self { good: before.good.clone(), ..self } } else { self }
    }

    /// Asks about a token. `known` looks whether somebody else has found out meanwhile.
    pub(crate) async fn ask(
        &self,
        token: &InboundToken<'_>,
        issuer: &IssuerSettings,
        source: Option<IpAddr>,
        known: impl Fn() -> Option<Arc<Verified>>,
        now: u64,
    ) -> Result<Arc<Verified>, Refused> {
        let digest = token.digest();
        if let Some((until, reason)) = self.refusals.get(&digest)
            && until > Instant::now()
        {
            return Err(Refused::Invalid(reason));
        }
        let good = self.good.get(&digest).is_some();
        let lane = if good { &self.known } else { &self.unknown };
        let hold_back = || {
            self.watch.introspection(&issuer.issuer, "held_back");
            Refused::Unavailable
        };
        // Before it takes a place: who floods is not to fill the queue.
        if !good && !lane.has_turn_for(source) {
            return Err(hold_back());
        }
        let _place = lane.place().await.ok_or(Refused::Unavailable)?;
        if let Some(verified) = known() {
            return Ok(verified);
        }
        if let Some((until, reason)) = self.refusals.get(&digest)
            && until > Instant::now()
        {
            return Err(Refused::Invalid(reason));
        }
        if self.rests() || !lane.has_turn() {
            return Err(hold_back());
        }
        let question = self.question(token, issuer).ok_or_else(|| {
            tracing::warn!(issuer = issuer.issuer, "the key of the gateway cannot sign");
            Refused::Unavailable
        })?;
        let answer = self.client.fetch(question).await;
        let answer =
            answer.map_err(|error| error.to_string()).and_then(|fetched| {
                match serde_json::from_slice(&fetched.body) {
                    Ok(Value::Object(claims)) => Ok(claims),
                    _ => Err("the answer is no JSON object".to_owned()),
                }
            });
        self.asked(answer.is_ok());
        let answer = answer.map_err(|error| {
            tracing::warn!(issuer = issuer.issuer, error, "cannot ask the issuer about a token");
            self.watch.introspection(&issuer.issuer, "failed");
            Refused::Unavailable
        })?;
        match claims::of_introspection(&answer, issuer, now, LASTING) {
            Ok(verified) => {
                self.watch.introspection(&issuer.issuer, "active");
                self.good.insert(digest, ());
                Ok(Arc::new(verified))
            }
            Err(reason) => {
                self.watch.introspection(&issuer.issuer, "refused");
                self.refusals.insert(digest, (Instant::now() + REFUSED_FOR, reason));
                Err(Refused::Invalid(reason))
            }
        }
    }

    /// What is asked, with what proves who asks; a signature is for the issuer.
    fn question(&self, token: &InboundToken<'_>, issuer: &IssuerSettings) -> Option<Wanted> {
        let Introspection { url, client_id, proof } = &self.settings;
        let mut body = "token_type_hint=access_token&token=".to_owned();
        form_encode(&mut body, token.expose());
        let authorization = proof.show(client_id, &issuer.issuer, false, &mut body)?;
        let form = Form { body, authorization, ..Form::default() };
        Some(Wanted::post(url, Trust::Configured, form, LARGEST))
    }

    /// Whether it failed so often that it is left alone for a while.
    fn rests(&self) -> bool {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.rest_until.is_some_and(|until| until > Instant::now())
    }

    fn asked(&self, answered: bool) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if answered {
            *health = Health::default();
            return;
        }
        health.failures = health.failures.saturating_add(1);
        if health.failures >= FAILURES {
            health.rest_until = Some(Instant::now() + REST);
        }
    }
}

/// As `application/x-www-form-urlencoded` has it; a blank may as well be `%20`.
pub(crate) fn form_encode(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
