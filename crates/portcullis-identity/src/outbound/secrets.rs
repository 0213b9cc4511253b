//! Secrets that are kept in HashiCorp Vault's key-value store, or `OpenBao`'s, read when they are needed.
//!
//! Vault is logged in to as the operator says (a token, an AppRole, a JWT of the platform's); the token of that login is
//! renewed in its time, and got anew when it cannot be. What was read is used for as long as its lease and the configured age
//! allow, is read again before that, and is not used after: who cannot be asked gives nothing, and what needed it fails. A
//! secret that whoever was shown it refused is read anew, for it may have been changed.
//!
//! Of Vault's HTTP API five requests are used: a login, `auth/token/lookup-self`, `auth/token/renew-self`, and reading a key of
//! either version of the KV engine. Deliberately absent: writing, dynamic engines, response wrapping.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::needed::Needed;
use super::settings::Hidden;
use super::tokens::is_token;
use crate::fetch::{Fetch, Fetched, Form, Trust, Wanted};

/// Largest answer, in bytes.
const LARGEST: usize = 1024 * 1024;
/// Largest file with a JWT of the platform's.
const LARGEST_FILE: u64 = 16 * 1024;
/// When a secret could not be read again and still counts, it is not asked for again for so long.
const PAUSE: Duration = Duration::from_secs(5);
/// How often it is looked whether a token has to be renewed, at the least.
const LOOK: Duration = Duration::from_mins(1);
/// No lease is believed for longer.
const LONGEST: u64 = 366 * 24 * 3600;

/// Where secrets are kept, and how they are got at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultSettings {
    /// Where it is, without a slash at the end.
    pub url: String,
    /// The namespace in it.
    pub namespace: Option<String>,
    /// The authorities that whoever asks it trusts instead of those of the system.
    pub ca: Option<PathBuf>,
    /// As whom.
    pub auth: VaultAuth,
    /// What was read is read again after so long at the most.
    pub max_age: Duration,
}

/// As whom Vault is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultAuth {
    /// By a token.
    Token(Hidden),
    /// By an `AppRole`.
    AppRole {
        /// Where the method is mounted.
        mount: String,
        /// Which role.
        role_id: String,
        /// What shows it.
        secret_id: Hidden,
    },
    /// By a JWT of the platform's: Kubernetes and others.
    Jwt {
        /// Where the method is mounted.
        mount: String,
        /// Which role.
        role: String,
        /// The file that the platform keeps fresh.
        file: PathBuf,
    },
}

/// A secret that is kept in Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRef {
    /// The path in the API: below `data/` of its mount, where that keeps versions.
    pub path: String,
    /// Whether its mount keeps versions (KV version 2).
    pub versioned: bool,
    /// Which member of it.
    pub field: String,
}

/// Why a secret was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRead {
    /// The Vault cannot be asked now, about this or anything else.
    #[error("{0}")]
    Away(String),
    /// It was asked, and this one cannot be had.
    #[error("{0}")]
    Refused(String),
}

/// Reads secrets.
pub struct Secrets {
    settings: VaultSettings,
    fetch: Arc<dyn Fetch>,
    read: Mutex<HashMap<String, Read>>,
    /// Whoever has it asks: many who need the same ask once.
    token: tokio::sync::Mutex<Option<Token>>,
}

/// What was read, and until when it counts.
struct Read {
    data: Map<String, Value>,
    renew: Instant,
    until: Instant,
    failed: Option<Instant>,
}

struct Token {
    text: String,
    /// When to renew it, and when it ends; not at all where there is none.
    renew: Option<Instant>,
    until: Option<Instant>,
    renewable: bool,
}

/// A secret, and for how long it counts.
pub(super) struct Revealed {
    pub(super) text: String,
    pub(super) left: Option<Duration>,
}

impl Secrets {
    /// What reads secrets there; its token is looked after for as long as anybody has it.
    pub fn new(
        settings: VaultSettings,
        fetch: Arc<dyn Fetch>,
        runtime: &tokio::runtime::Handle,
    ) -> Arc<Self> {
        let secrets =
            Arc::new(Self { settings, fetch, read: Mutex::default(), token: tokio::sync::Mutex::default() });
        runtime.spawn(look_after(Arc::downgrade(&secrets)));
        secrets
    }

    /// As it was set up.
    pub fn settings(&self) -> &VaultSettings {
        &self.settings
    }

    /// A secret; one that is due and cannot be read again, for as long as it still counts.
    pub(super) async fn get(&self, of: &SecretRef) -> Result<Revealed, Needed> {
        match self.due(of).await {
            Ok(revealed) => Ok(revealed),
            Err(needed) => {
                let known = self.known(of, true).ok_or_else(|| needed.clone())?;
                tracing::warn!(?needed, "a secret was not read again; it counts until its end");
                known
            }
        }
    }

    /// A secret, which is read again if it is due.
    async fn due(&self, of: &SecretRef) -> Result<Revealed, Needed> {
        if let Some(found) = self.known(of, false) {
            return found;
        }
        let mut token = self.token.lock().await;
        if let Some(found) = self.known(of, false) {
            return found;
        }
        match self.read(&mut token, of).await {
            Ok(read) => {
                let found = pick(&read, of);
                self.all().insert(of.path.clone(), read);
                found
            }
            Err(needed) => {
                if let Some(read) = self.all().get_mut(&of.path) {
                    read.failed = Some(Instant::now());
                }
                Err(needed)
            }
        }
    }

    /// A secret, for whoever needs it to begin, and looks whether it has changed.
    ///
    /// # Errors
    /// Why it cannot be had now, though one that was read before may still count; nothing that the Vault wrote.
    pub async fn read_now(&self, of: &SecretRef) -> Result<String, NotRead> {
        match self.due(of).await {
            Ok(revealed) => Ok(revealed.text),
            Err(Needed::Unavailable(why)) => Err(NotRead::Away(why)),
            Err(Needed::Denied(why)) => Err(NotRead::Refused(why)),
            Err(Needed::Connect(_) | Needed::LogIn(_)) => Err(NotRead::Refused("cannot be read".to_owned())),
        }
    }

    /// Somebody who was shown the secret does not take it.
    pub(super) fn forget(&self, of: &SecretRef) {
        self.all().remove(&of.path);
    }

    /// What was read before and need not be read again yet; or, if it must do, what still counts.
    fn known(&self, of: &SecretRef, must_do: bool) -> Option<Result<Revealed, Needed>> {
        let all = self.all();
        let (read, now) = (all.get(&of.path)?, Instant::now());
        let paused = read.failed.is_some_and(|at| at.elapsed() < PAUSE);
        (now < read.until && (must_do || paused || now < read.renew)).then(|| pick(read, of))
    }

    async fn read(&self, token: &mut Option<Token>, of: &SecretRef) -> Result<Read, Needed> {
        let mut answer = self.ask(&of.path, Some(&self.token(token).await?), None).await?;
        if answer.status == 403 {
            // The token may have been revoked.
            *token = None;
            answer = self.ask(&of.path, Some(&self.token(token).await?), None).await?;
        }
        let answer = self.read_answer(&of.path, &answer)?;
        let data = if of.versioned { &answer["data"]["data"] } else { &answer["data"] };
        let Value::Object(data) = data else { return Err(self.wrong(&of.path, "holds no secret")) };
        let lease = answer["lease_duration"].as_u64().filter(|lease| *lease > 0);
        let lasts = lease.map_or(self.settings.max_age, |lease| {
            Duration::from_secs(lease.min(LONGEST)).min(self.settings.max_age)
        });
        let now = Instant::now();
        Ok(Read { data: data.clone(), renew: now + lasts * 4 / 5, until: now + lasts, failed: None })
    }

    /// A token that counts: the one that is there, renewed if it is time, else another one.
    async fn token(&self, held: &mut Option<Token>) -> Result<String, Needed> {
        let now = Instant::now();
        if let Some(token) = held.as_ref() {
            if token.renew.is_none_or(|renew| now < renew) {
                return Ok(token.text.clone());
            }
            if token.renewable && token.until.is_none_or(|until| now < until) {
                let renewed = self.ask("auth/token/renew-self", Some(&token.text), Some(&json!({}))).await;
                let renewed = renewed.and_then(|answer| self.read_answer("auth/token/renew-self", &answer));
                if let Some(renewed) = renewed.ok().and_then(|answer| Token::read(&answer["auth"])) {
                    return Ok(held.insert(renewed).text.clone());
                }
                tracing::warn!("the token for Vault was not renewed");
            }
        }
        match self.log_in().await {
            Ok(token) => Ok(held.insert(token).text.clone()),
            // One that was not renewed counts until its end.
            Err(needed) => {
                let counts = held.as_ref().filter(|token| token.until.is_none_or(|until| now < until));
                counts.map(|token| token.text.clone()).ok_or(needed)
            }
        }
    }

    async fn log_in(&self) -> Result<Token, Needed> {
        let (mount, body) = match &self.settings.auth {
            VaultAuth::Token(token) => return self.look_up(token.expose().trim()).await,
            VaultAuth::AppRole { mount, role_id, secret_id } => {
                (mount, json!({"role_id": role_id, "secret_id": secret_id.expose().trim()}))
            }
            VaultAuth::Jwt { mount, role, file } => {
                let jwt = read_file(file);
                let jwt = jwt.ok_or_else(|| {
                    Needed::Denied(format!("the JWT for Vault cannot be read from {}", file.display()))
                })?;
                (mount, json!({"role": role, "jwt": jwt}))
            }
        };
        let path = format!("auth/{mount}/login");
        let answer = self.ask(&path, None, Some(&body)).await?;
        let answer = self.read_answer(&path, &answer)?;
        Token::read(&answer["auth"]).ok_or_else(|| self.wrong(&path, "gave no token"))
    }

    /// When a token ends that the operator gave. One that may not ask so much is taken as it is.
    async fn look_up(&self, text: &str) -> Result<Token, Needed> {
        let path = "auth/token/lookup-self";
        if !is_token(text) {
            return Err(Needed::Denied("the token for Vault holds characters that no token has".into()));
        }
        let answer = self.ask(path, Some(text), None).await?;
        if answer.status == 403 {
            return Ok(Token { text: text.to_owned(), renew: None, until: None, renewable: false });
        }
        let answer = self.read_answer(path, &answer)?;
        let (ttl, renewable) = (answer["data"]["ttl"].as_u64(), answer["data"]["renewable"].as_bool());
        Ok(Token::new(text, ttl.unwrap_or(0), renewable.unwrap_or(false)))
    }

    /// Renews the token, if there is one or may be one; when to look again.
    async fn keep_token(&self) -> Duration {
        let mut held = self.token.lock().await;
        if held.is_some() || matches!(self.settings.auth, VaultAuth::Token(_)) {
            let _ = self.token(&mut held).await;
        }
        let renew = held.as_ref().and_then(|token| token.renew);
        renew
            .map_or(LOOK, |renew| renew.saturating_duration_since(Instant::now()))
            .clamp(Duration::from_secs(1), LOOK)
    }

    async fn ask(&self, path: &str, token: Option<&str>, body: Option<&Value>) -> Result<Fetched, Needed> {
        let VaultSettings { url, namespace, .. } = &self.settings;
        let space = namespace.as_ref().map(|space| format!("{space}/")).unwrap_or_default();
        let form = Form {
            body: body.map(Value::to_string).unwrap_or_default(),
            json: body.is_some(),
            authorization: token.map(|token| format!("Bearer {token}")).unwrap_or_default(),
            proof: None,
        };
        let to = format!("{url}/v1/{space}{path}");
        let wanted = Wanted { any_status: true, ..Wanted::post(to, Trust::Configured, form, LARGEST) };
        let answer = self.fetch.fetch(wanted).await;
        answer.map_err(|error| Needed::Unavailable(format!("Vault at {url} cannot be asked: {error}")))
    }

    /// What was answered. What Vault writes about an error is shown to nobody: it may quote what it was sent.
    fn read_answer(&self, path: &str, answer: &Fetched) -> Result<Value, Needed> {
        match answer.status {
            200 => serde_json::from_slice(&answer.body).map_err(|_| self.wrong(path, "holds no JSON")),
            404 => Err(self.wrong(path, "is not there")),
            status @ (300..=399 | 412 | 429 | 472 | 473 | 500..) => {
                let url = &self.settings.url;
                Err(Needed::Unavailable(format!("Vault at {url} answered {status} for `{path}`")))
            }
            status => Err(self.wrong(path, &format!("was refused ({status})"))),
        }
    }

    fn wrong(&self, path: &str, why: &str) -> Needed {
        Needed::Denied(format!("`{path}` in Vault at {} {why}", self.settings.url))
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Read>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    fn read(auth: &Value) -> Option<Self> {
        let text = auth["client_token"].as_str().filter(|text| is_token(text))?;
        Some(Self::new(text, auth["lease_duration"].as_u64()?, auth["renewable"].as_bool()?))
    }

    /// One that lasts for so many seconds; zero is for ever.
    fn new(text: &str, lasts: u64, renewable: bool) -> Self {
        let lasts = Duration::from_secs(lasts.min(LONGEST));
        let end = (!lasts.is_zero()).then(Instant::now);
        let (renew, until) = (end.map(|now| now + lasts * 2 / 3), end.map(|now| now + lasts));
        Self { text: text.to_owned(), renew, until, renewable }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn pick(read: &Read, of: &SecretRef) -> Result<Revealed, Needed> {
    let text = read.data.get(&of.field).and_then(Value::as_str);
    let text = text
        .ok_or_else(|| Needed::Denied(format!("`{}` in Vault has no text called `{}`", of.path, of.field)))?;
    if text.trim().is_empty() {
        return Err(Needed::Denied(format!("`{}` of `{}` in Vault is empty", of.field, of.path)));
    }
    let left = read.until.saturating_duration_since(Instant::now());
    Ok(Revealed { text: text.to_owned(), left: Some(left) })
}

async fn look_after(secrets: Weak<Secrets>) {
    while let Some(there) = secrets.upgrade() {
        let wait = there.keep_token().await;
        drop(there);
        tokio::time::sleep(wait).await;
    }
}

fn read_file(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(LARGEST_FILE).read_to_string(&mut text).ok()?;
    let text = text.trim();
    is_token(text).then(|| text.to_owned())
}
