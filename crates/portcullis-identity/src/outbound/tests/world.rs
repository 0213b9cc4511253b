//! The outside of a test: authorization servers and a store.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use portcullis_model::{Expected, Keeping, Principal, Put, Record, Records, Unavailable, User};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::fetch::{Fetch, FetchError, Fetched, Fetching, Trust, Wanted};
use crate::outbound::form;
use crate::outbound::{Kind, Oauth, Office, ServerCredentials, Source};

pub(super) const SERVER: &str = "https://mcp.example.com/mcp";
pub(super) const ISSUER: &str = "https://as.example.com";
pub(super) const RESOURCE_DOCUMENT: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";
pub(super) const AUTHORITY_DOCUMENT: &str = "https://as.example.com/.well-known/oauth-authorization-server";
pub(super) const TOKEN: &str = "https://as.example.com/token";

/// One request that was made.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) url: String,
    pub(super) trust: Trust,
    pub(super) fields: HashMap<String, String>,
    pub(super) authorization: String,
    pub(super) proof: Option<String>,
    pub(super) body: String,
}

type Answer = Box<dyn FnMut(&Asked) -> (u16, Value) + Send>;

/// What is outside, and what was asked of it.
#[derive(Default)]
pub(super) struct World {
    answers: Mutex<HashMap<String, Answer>>,
    asked: Mutex<Vec<Asked>>,
    nonce: Mutex<Option<String>>,
    slow: AtomicUsize,
    delays: Mutex<HashMap<String, Duration>>,
}

impl World {
    /// With a server that names an authorization server, and that one.
    pub(super) fn new() -> Arc<Self> {
        let world = Arc::new(Self::default());
        world.document(RESOURCE_DOCUMENT, json!({"resource": SERVER, "authorization_servers": [ISSUER]}));
        world.document(AUTHORITY_DOCUMENT, authority());
        world.document(
            "https://as.example.com/register",
            json!({"client_id": "registered", "client_secret": "s"}),
        );
        let mut number = 0;
        world.on(TOKEN, move |_| {
            number += 1;
            (200, bearer(&format!("token-{number}")))
        });
        world
    }

    pub(super) fn document(&self, url: &str, document: Value) {
        self.on(url, move |_| (200, document.clone()));
    }

    pub(super) fn on(&self, url: &str, answer: impl FnMut(&Asked) -> (u16, Value) + Send + 'static) {
        self.answers.lock().unwrap().insert(url.into(), Box::new(answer));
    }

    /// What every answer says beside itself.
    pub(super) fn says_nonce(&self, nonce: &str) {
        *self.nonce.lock().unwrap() = Some(nonce.into());
    }

    /// So many answers are under way for longer than the others.
    pub(super) fn slows(&self, many: usize) {
        self.slow.store(many, Ordering::Relaxed);
    }

    /// From now on an answer of this is under way for so long.
    pub(super) fn delays(&self, url: &str, by: Duration) {
        self.delays.lock().unwrap().insert(url.into(), by);
    }

    pub(super) fn asked(&self, url: &str) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().filter(|asked| asked.url == url).cloned().collect()
    }

    pub(super) fn all_asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

pub(super) fn authority() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://as.example.com/authorize",
        "token_endpoint": TOKEN,
        "registration_endpoint": "https://as.example.com/register",
        "revocation_endpoint": "https://as.example.com/revoke",
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "dpop_signing_alg_values_supported": ["ES256"],
    })
}

pub(super) fn bearer(token: &str) -> Value {
    json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600, "refresh_token": format!("r-{token}")})
}

impl Fetch for World {
    fn fetch(&self, wanted: Wanted) -> Fetching {
        let form = wanted.form.clone().unwrap_or_default();
        let fields = if form.json { Some(Vec::new()) } else { form::read(&form.body) };
        let asked = Asked {
            url: wanted.url.clone(),
            trust: wanted.trust,
            fields: fields.expect("a form that can be read").into_iter().collect(),
            authorization: form.authorization,
            proof: form.proof,
            body: form.body,
        };
        self.asked.lock().unwrap().push(asked.clone());
        let answer = self.answers.lock().unwrap().get_mut(&wanted.url).map(|answer| answer(&asked));
        let nonce = self.nonce.lock().unwrap().clone();
        let slow = self.slow.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        let turns = if slow.is_ok() { 100 } else { 1 };
        let delay = self.delays.lock().unwrap().get(&wanted.url).copied();
        Box::pin(async move {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            // Long enough for others to come meanwhile.
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            let (status, body) = answer.unwrap_or((404, Value::Null));
            if status != 200 && !wanted.any_status {
                return Err(FetchError::Status(status));
            }
            let body = match body {
                Value::String(text) => text.into_bytes(),
                body => body.to_string().into_bytes(),
            };
            Ok(Fetched { status, body, nonce, ..Fetched::default() })
        })
    }
}

/// A store in memory that can be looked into.
#[derive(Default)]
pub(super) struct Store(pub(super) Mutex<BTreeMap<(&'static str, String), Record>>, AtomicBool);

impl Store {
    /// From now on it cannot be asked, or can again.
    pub(super) fn breaks(&self, broken: bool) {
        self.1.store(broken, Ordering::Relaxed);
    }

    fn look<T>(&self, found: T) -> Result<T, Unavailable> {
        if self.1.load(Ordering::Relaxed) { Err(Unavailable("broken".into())) } else { Ok(found) }
    }
}

fn is_there(record: &Record) -> bool {
    record.expires.is_none_or(|end| SystemTime::now() < end)
}

impl Records for Store {
    fn get<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
        let found = self.0.lock().unwrap().get(&(kind, key.to_owned())).cloned();
        Box::pin(std::future::ready(self.look(found.filter(is_there))))
    }

    fn put<'a>(
        &'a self,
        kind: &'static str,
        key: &'a str,
        value: Vec<u8>,
        expires: Option<SystemTime>,
        expected: Expected,
    ) -> Keeping<'a, Put> {
        let mut all = self.0.lock().unwrap();
        let before = all.get(&(kind, key.to_owned()));
        let last = before.map_or(0, |record| record.version);
        let there = before.filter(|record| is_there(record)).map(|record| record.version);
        let fits = match expected {
            Expected::Any => true,
            Expected::Absent => there.is_none(),
            Expected::Version(version) => there == Some(version),
        };
        let put = if fits {
            let version = last + 1;
            all.insert((kind, key.to_owned()), Record { value, version, expires });
            Put::Kept(version)
        } else {
            Put::Conflict
        };
        Box::pin(std::future::ready(Ok(put)))
    }

    fn take<'a>(&'a self, kind: &'static str, key: &'a str) -> Keeping<'a, Option<Record>> {
        let taken = self.0.lock().unwrap().remove(&(kind, key.to_owned()));
        Box::pin(std::future::ready(Ok(taken.filter(is_there))))
    }

    fn sweep(&self) -> Keeping<'_, usize> {
        Box::pin(std::future::ready(Ok(0)))
    }

    fn list<'a>(
        &'a self,
        kind: &'static str,
        prefix: &'a str,
        _after: &'a str,
        _most: usize,
    ) -> Keeping<'a, Vec<(String, Record)>> {
        let all = self.0.lock().unwrap();
        let found = all
            .iter()
            .filter(|((of, key), record)| *of == kind && key.starts_with(prefix) && is_there(record));
        let found = found.map(|((_, key), record)| (key.clone(), record.clone())).collect();
        Box::pin(std::future::ready(self.look(found)))
    }
}

pub(super) fn office(store: &Arc<Store>) -> Arc<Office> {
    let office = Office::new(store.clone(), Some([7; 32]), Handle::current());
    office.set_base("https://gw.example.com".into());
    office
}

pub(super) fn ann() -> Principal {
    user("ann")
}

pub(super) fn user(subject: &str) -> Principal {
    Principal::user(User { issuer: "https://idp".into(), subject: subject.into(), ..User::default() })
}

pub(super) fn credentials(kind: Kind) -> ServerCredentials {
    ServerCredentials {
        server: "crm".into(),
        url: SERVER.into(),
        nowhere: false,
        kind,
        dpop: false,
        private_network: false,
    }
}

pub(super) fn source(
    office: &Arc<Office>,
    world: &Arc<World>,
    settings: ServerCredentials,
    owner: Option<Principal>,
) -> Arc<Source> {
    let fetch: Arc<dyn Fetch> = world.clone();
    Source::new(office, &Arc::new(settings), &fetch, owner)
}

/// A source of a user's own account.
pub(super) fn account(office: &Arc<Office>, world: &Arc<World>, owner: Principal) -> Arc<Source> {
    source(office, world, credentials(Kind::Oauth(Oauth::default())), Some(owner))
}
