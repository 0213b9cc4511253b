//! Client id metadata documents (draft-ietf-oauth-client-id-metadata-document): the id is a URL, and says who the client is.
//!
//! Fetching one means asking whom a stranger names. So: `https` with a host and a path, no redirect, the public internet
//! alone unless the operator named the origin, 64 KiB, a few at once, a few in a minute for each who asks. What came is
//! kept for as long as it says, within limits, and what did not come is not asked for again at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::client::{Client, Kind, Proof, host, is_fit};
use super::pace::Pace;
use super::refusal::Refusal;
use super::settings::DocumentSettings;
use crate::cache::Cache;
use crate::fetch::{Fetch, FetchError, Trust, Wanted};
use crate::issuer::origin;

/// Largest document, in bytes.
pub(super) const LARGEST: usize = 64 * 1024;
/// How long a document is kept, whatever it says.
const KEPT: (Duration, Duration) = (Duration::from_mins(5), Duration::from_hours(24));
/// How long is not asked again for one that did not come.
const PAUSE: Duration = Duration::from_secs(30);
/// Documents that are kept, of one generation.
const MOST: usize = 512;
/// Fetches at once.
const AT_ONCE: usize = 8;
/// How long somebody waits for one of these places.
const PATIENCE: Duration = Duration::from_secs(2);

const NOT_AN_ID: Refusal = Refusal::client("the client id is no URL of a metadata document");
/// Nobody knows now whether it is a good client, so it is not called a bad one.
const AWAY: Refusal = Refusal::unavailable("the host of the client's metadata document cannot be asked now");

/// What was found, or why nothing was, and until when that is remembered.
type Kept<T> = (Instant, Result<T, Refusal>);

/// The documents.
pub(super) struct Documents {
    settings: DocumentSettings,
    client: Arc<dyn Fetch>,
    clients: Cache<String, Kept<Client>>,
    keys: Cache<String, Kept<Vec<u8>>>,
    places: Semaphore,
    pace: Pace,
}

impl Documents {
    pub(super) fn new(settings: DocumentSettings, client: Arc<dyn Fetch>) -> Self {
        Self {
            settings,
            client,
            clients: Cache::new(MOST),
            keys: Cache::new(MOST),
            places: Semaphore::new(AT_ONCE),
            pace: Pace::new(240, 20),
        }
    }

    /// Whether a client id is for here.
    pub(super) fn is_for(&self, id: &str) -> bool {
        self.settings.enabled && id.starts_with("https://")
    }

    /// The client with this id.
    pub(super) async fn find(&self, id: &str, peer: Option<IpAddr>) -> Result<Client, Refusal> {
        self.check(id)?;
        self.once(&self.clients, id, peer, KEPT.1, |body| read(id, &body), refusal).await
    }

    /// The public keys of a client that says where they are.
    pub(super) async fn keys_at(
        &self,
        id: &str,
        url: &str,
        peer: Option<IpAddr>,
    ) -> Result<Vec<u8>, Refusal> {
        // Not anywhere: the host that vouches for the document does so for its keys.
        if origin(url) != origin(id) || !is_fit(url) {
            return Err(Refusal::client("the keys of the client are not where its document is"));
        }
        let failed = |error: &FetchError| {
            if error.may_pass() { AWAY } else { Refusal::client("the keys of the client cannot be fetched") }
        };
        self.once(&self.keys, url, peer, KEPT.0, Ok, failed).await
    }

    /// What is at an address, fetched once for all who want it: kept for no longer than `longest`, and a failure for a
    /// moment.
    async fn once<T: Clone>(
        &self,
        cache: &Cache<String, Kept<T>>,
        url: &str,
        peer: Option<IpAddr>,
        longest: Duration,
        read: impl FnOnce(Vec<u8>) -> Result<T, Refusal>,
        failed: impl FnOnce(&FetchError) -> Refusal,
    ) -> Result<T, Refusal> {
        let kept = || cache.get(&url.to_owned()).filter(|(until, _)| *until > Instant::now());
        if let Some((_, found)) = kept() {
            return found;
        }
        if !self.pace.allows(peer, None) {
            return Err(Refusal::too_often());
        }
        let Ok(Ok(_place)) = tokio::time::timeout(PATIENCE, self.places.acquire()).await else {
            return Err(Refusal::unavailable("too many clients' documents are being fetched"));
        };
        // Somebody else may have waited for the same.
        if let Some((_, found)) = kept() {
            return found;
        }
        let (found, time) = match self.client.fetch(Wanted::get(url, self.trust(url), LARGEST)).await {
            Ok(fetched) => (read(fetched.body), fetched.max_age.unwrap_or(KEPT.0).clamp(KEPT.0, longest)),
            Err(error) => (Err(failed(&error)), PAUSE),
        };
        let time = if found.is_ok() { time } else { PAUSE };
        cache.insert(url.to_owned(), (Instant::now() + time, found.clone()));
        found
    }

    fn trust(&self, url: &str) -> Trust {
        let internal = self.settings.internal.iter().any(|internal| internal == origin(url));
        if internal { Trust::Configured } else { Trust::Learned }
    }

    fn check(&self, id: &str) -> Result<(), Refusal> {
        let path = id.strip_prefix("https://").and_then(|rest| Some(&rest[rest.find('/')?..]));
        let path = path.filter(|path| path.len() > 1 && !path.contains(['?', '#', '%']));
        let dots = |path: &str| path.split('/').any(|part| part == "." || part == "..");
        if !is_fit(id) || path.is_none_or(dots) {
            return Err(NOT_AN_ID);
        }
        let host = host(id).unwrap_or_default();
        let hosts = &self.settings.hosts;
        if !hosts.is_empty() && !hosts.iter().any(|it| it.eq_ignore_ascii_case(host)) {
            return Err(Refusal::client("the operator of this gateway takes no clients of that host"));
        }
        Ok(())
    }
}

fn refusal(error: &FetchError) -> Refusal {
    Refusal::client(match error {
        error if error.may_pass() => return AWAY,
        FetchError::Forbidden(_) => "the client id leads where no document may be",
        FetchError::TooLarge => "the metadata document of the client is too large",
        _ => "there is no metadata document at the client id",
    })
}

/// Reads a document.
fn read(id: &str, document: &[u8]) -> Result<Client, Refusal> {
    let bad = |reason| Err(Refusal::client(reason));
    let Ok(metadata) = serde_json::from_slice::<Value>(document) else {
        return bad("the metadata document of the client is no JSON that can be read");
    };
    if metadata["client_id"] != id {
        return bad("the metadata document is of another client");
    }
    if metadata["client_secret"] != Value::Null {
        return bad("the metadata document holds a secret, which everybody can read");
    }
    let mut client = Client::read(id.to_owned(), Kind::Document, &metadata).map_err(|refusal| Refusal {
        code: "invalid_client",
        status: 401,
        ..refusal
    })?;
    client.proof = match metadata["token_endpoint_auth_method"].as_str() {
        None | Some("none") => Proof::None,
        Some("private_key_jwt") => match (&metadata["jwks"], metadata["jwks_uri"].as_str()) {
            (jwks @ Value::Object(_), _) => Proof::Keys(jwks.to_string()),
            (_, Some(url)) => Proof::KeysAt(url.to_owned()),
            _ => return bad("the metadata document names no keys"),
        },
        Some(_) => {
            return bad("the metadata document names a way to authenticate that needs a shared secret");
        }
    };
    Ok(client)
}
