//! Tokens that only their issuer can read (RFC 7662).
//!
//! Answers are remembered for a short while, good ones and bad ones, so that one token is one question. What is made up
//! costs the issuer a bounded number of questions: so many at once, so many in a second, and none for a while after it
//! failed again and again. Then nobody is let in; that is the meaning of failing closed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::cache::Cache;
use crate::claims;
use crate::fetch::{Fetch, Form, Trust, Wanted};
use crate::inbound::InboundToken;
use crate::refused::{Reason, Refused};
use crate::settings::{Introspection, IssuerSettings};
use crate::verified::Verified;

/// Largest answer, in bytes.
const LARGEST: usize = 64 * 1024;
/// How long a refusal is remembered.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// How many refusals are remembered.
const REFUSALS: usize = 4096;
/// Questions at once.
const AT_ONCE: usize = 16;
/// Questions in a second.
const IN_A_SECOND: u32 = 100;
/// So many failures in a row stop the questions for [`REST`].
const FAILURES: u32 = 5;
const REST: Duration = Duration::from_secs(5);
/// How long an answer that names no end counts, in seconds.
const LASTING: u64 = 15 * 60;

/// Asks an issuer about tokens.
pub(crate) struct Introspector {
    settings: Introspection,
    client: Arc<dyn Fetch>,
    refusals: Cache<[u8; 32], (Instant, Reason)>,
    places: Semaphore,
    pace: Mutex<Pace>,
}

struct Pace {
    second: Instant,
    asked: u32,
    failures: u32,
    rest_until: Option<Instant>,
}

impl Introspector {
    pub(super) fn new(settings: Introspection, client: Arc<dyn Fetch>) -> Self {
        let pace = Pace { second: Instant::now(), asked: 0, failures: 0, rest_until: None };
        Self {
            settings,
            client,
            refusals: Cache::new(REFUSALS),
            places: Semaphore::new(AT_ONCE),
            pace: Mutex::new(pace),
        }
    }

    /// Asks about a token. `known` looks whether somebody else has found out meanwhile.
    pub(crate) async fn ask(
        &self,
        token: &InboundToken<'_>,
        issuer: &IssuerSettings,
        known: impl Fn() -> Option<Arc<Verified>>,
        now: u64,
    ) -> Result<Arc<Verified>, Refused> {
        let digest = token.digest();
        let _place = self.places.acquire().await.map_err(|_| Refused::Unavailable)?;
        if let Some(verified) = known() {
            return Ok(verified);
        }
        if let Some((until, reason)) = self.refusals.get(&digest)
            && until > Instant::now()
        {
            return Err(Refused::Invalid(reason));
        }
        if !self.may_ask() {
            return Err(Refused::Unavailable);
        }
        let answer = self.client.fetch(self.question(token)).await;
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
            Refused::Unavailable
        })?;
        claims::of_introspection(&answer, issuer, now, LASTING).map(Arc::new).map_err(|reason| {
            self.refusals.insert(digest, (Instant::now() + REFUSED_FOR, reason));
            Refused::Invalid(reason)
        })
    }

    fn question(&self, token: &InboundToken<'_>) -> Wanted {
        let Introspection { url, client_id, client_secret } = &self.settings;
        let mut body = "token_type_hint=access_token&token=".to_owned();
        form_encode(&mut body, token.expose());
        // Both parts are form-encoded first (RFC 6749 section 2.3.1).
        let mut credentials = String::new();
        form_encode(&mut credentials, client_id);
        credentials.push(':');
        form_encode(&mut credentials, client_secret);
        let authorization = format!("Basic {}", STANDARD.encode(credentials));
        let form = Form { body, authorization, ..Form::default() };
        Wanted::post(url, Trust::Configured, form, LARGEST)
    }

    fn may_ask(&self) -> bool {
        let now = Instant::now();
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.rest_until.is_some_and(|until| until > now) {
            return false;
        }
        if now.duration_since(pace.second) >= Duration::from_secs(1) {
            (pace.second, pace.asked) = (now, 0);
        }
        pace.asked += 1;
        pace.asked <= IN_A_SECOND
    }

    fn asked(&self, answered: bool) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if answered {
            (pace.failures, pace.rest_until) = (0, None);
            return;
        }
        pace.failures = pace.failures.saturating_add(1);
        if pace.failures >= FAILURES {
            pace.rest_until = Some(Instant::now() + REST);
        }
    }
}

/// As `application/x-www-form-urlencoded` has it; a blank may as well be `%20`.
fn form_encode(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
