//! An API that an OpenAPI document describes, as one more server: what it offers is read from the document, and a call is
//! an HTTP request that is no message of MCP.
//!
//! The document is read when the conversation is opened and with every list, so what changes in it goes the way of every
//! definition that changes. The list of one caller does not change what another was let through for: a call says which
//! definition was looked up, and where the document that was read last has another it is not made. A digest, where one is
//! configured, is held against it each time. Where requests go is the operator's word; where nobody said it, it is the
//! document's, and then nothing secret is sent, and nowhere but to the public internet or to where the document itself came
//! from.
//!
//! What operations become, and what answers mean, is `portcullis-openapi`'s. Here is what needs a network.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::Uri;
use portcullis_config::{CredentialKind, DocumentAt, HttpUpstream, OpenApi};
use portcullis_identity::{Fetch, FetchError, Trust, Wanted};
use portcullis_mcp::json::{Raw, Writer, write_string};
use portcullis_mcp::revision::Revision;
use portcullis_mcp::translate::key;
use portcullis_model::{ErrorKind, ServerId};
use portcullis_openapi::{Base, Document, LeftOut, MAX_BYTES, Operation, Set, Unfit};
use portcullis_oversight::{Definition, DefinitionKind, Pin};
use tokio::io::AsyncReadExt as _;

use super::connection::Peer;
use super::http::{HttpLink, SharedLink};
use super::tls::TlsError;
use crate::call::Refusal;
use crate::identity;
use crate::record::hex;

/// As much of what a document says of itself is shown to models, in characters.
const MOST_SAID: usize = 2000;
/// So many of the operations that are left out are named in the log.
const MOST_NAMED: usize = 5;

/// An API and its document.
pub(crate) struct Api {
    server: ServerId,
    settings: OpenApi,
    fetch: Arc<dyn Fetch>,
    set: Set,
    /// What is added to each query.
    query: Vec<(String, String)>,
    /// The path of the configured URL.
    base: String,
    /// What was read last and is in force.
    known: Mutex<Option<Arc<Known>>>,
    /// What reading a document last came to, and whose turn it is: reading one takes its time, which nobody can cut short, and
    /// whoever does not wait for it comes back.
    last: Arc<tokio::sync::Mutex<Option<Reading>>>,
}

/// Whose turn it is.
type Turn = tokio::sync::OwnedMutexGuard<Option<Reading>>;

/// What reading a document came to, or why it is of no use.
struct Reading {
    digest: String,
    read: Result<Arc<Offered>, Arc<str>>,
}

/// What a document offers.
pub(super) struct Offered {
    api: portcullis_openapi::Api,
    /// By the names of the operations: what their definitions are pinned by.
    pins: HashMap<String, Pin>,
}

/// A document that was read.
pub(super) struct Known {
    digest: String,
    offered: Arc<Offered>,
    /// The path below which all requests go.
    pub(super) base: String,
    /// The way there, where the document says it.
    pub(super) link: Option<SharedLink>,
}

impl Api {
    /// `None` for a server that speaks MCP.
    ///
    /// # Errors
    /// The authorities that it is fetched with cannot be read.
    pub(super) fn of(id: &ServerId, http: &HttpUpstream) -> Result<Option<Arc<Self>>, TlsError> {
        let Some(settings) = http.openapi.as_deref() else { return Ok(None) };
        let mut headers: std::collections::BTreeSet<String> = http.headers.keys().cloned().collect();
        let own = match http.credentials.as_ref().map(|it| &it.kind) {
            Some(CredentialKind::Static { header, .. }) => Some(header),
            Some(CredentialKind::Assertion { header, .. }) => header.as_ref(),
            _ => None,
        };
        headers.extend(own.map(|header| header.to_ascii_lowercase()));
        let query = settings.query.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        let set = Set {
            headers,
            query: settings.query.keys().cloned().collect(),
            is_placed: !settings.is_placed_by_document,
            operations: settings.operations.clone(),
        };
        Ok(Some(Arc::new(Self {
            server: id.clone(),
            fetch: identity::outside(http.tls.ca.as_deref())?,
            set,
            query: query.collect(),
            base: http.url.expose().path().to_owned(),
            known: Mutex::default(),
            last: Arc::default(),
            settings: settings.clone(),
        })))
    }

    /// What is added to each query.
    pub(super) fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// What was read last.
    pub(super) fn known(&self) -> Option<Arc<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the document.
    ///
    /// # Errors
    /// Why it is of no use.
    pub(super) async fn read(&self, workers: usize) -> Result<Arc<Known>, Refusal> {
        // Fetched in turn, too: what was fetched first is never in force after what was fetched later.
        let last = self.last.clone().lock_owned().await;
        let text = fetch(&self.settings.document, &*self.fetch).await;
        let text = text.map_err(|why| self.unfit(&why))?;
        let found = hex(digest(&SHA256, &text).as_ref());
        if let Some(known) = self.known().filter(|known| known.digest == found) {
            return Ok(known);
        }
        if let Some(wanted) = self.settings.digest.as_ref().filter(|wanted| **wanted != found) {
            return Err(self.unfit(&format!(
                "has the digest sha256:{found}, and not sha256:{wanted} as configured; if the new one is meant, say so \
                 there"
            )));
        }
        let (offered, _turn) = self.offered(last, text, &found).await.map_err(|why| self.unfit(&why))?;
        self.tell(&offered.api.left_out, offered.api.operations.len());
        let (base, link) = if self.settings.is_placed_by_document {
            let (base, link) = self.place(&offered.api, workers)?;
            (base, Some(link))
        } else {
            (self.base.clone(), None)
        };
        let known = Arc::new(Known { digest: found, offered, base, link });
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }

    /// What a document with this digest offers, and the turn to put it in force. A document is read once, whatever becomes of
    /// whoever wanted it, and however often it is of no use.
    async fn offered(
        &self,
        mut last: Turn,
        text: Bytes,
        found: &str,
    ) -> Result<(Arc<Offered>, Turn), Arc<str>> {
        let before =
            last.as_ref().filter(|reading| reading.digest == found).map(|reading| reading.read.clone());
        if let Some(read) = before {
            return read.map(|offered| (offered, last));
        }
        let (server, set, digest) = (self.server.clone(), self.set.clone(), found.to_owned());
        let reading = move || {
            let read = Offered::read(&server, text, &set).map(Arc::new);
            let read = read.map_err(|error| Arc::from(format!("cannot be used: {error}")));
            *last = Some(Reading { digest, read: read.clone() });
            read.map(|offered| (offered, last))
        };
        tokio::task::spawn_blocking(reading).await.unwrap_or_else(|_| Err("cannot be read".into()))
    }

    /// Where the API is, as the document has it.
    fn place(&self, api: &portcullis_openapi::Api, workers: usize) -> Result<(String, SharedLink), Refusal> {
        let from = match &self.settings.document {
            DocumentAt::Url(url) => Some(url.as_str()),
            DocumentAt::File(_) => None,
        };
        let base = Base::of(api.server.as_deref(), from)
            .map_err(|error| self.unfit(&format!("is no way to it: {error}")))?;
        let uri: Uri = base.url.parse().map_err(|_| self.unfit("says no URL of the API"))?;
        let path = uri.path().to_owned();
        let link = HttpLink::learned(&uri, workers, base.is_same_origin);
        let link = link.map_err(|error| self.unfit(&format!("is no way to the API: {error}")))?;
        Ok((path, Arc::new(link)))
    }

    fn tell(&self, left_out: &[LeftOut], offered: usize) {
        let named = left_out.iter().take(MOST_NAMED).map(|it| format!("{}: {}", it.operation, it.why));
        let named = named.collect::<Vec<_>>().join("; ");
        let count = left_out.len();
        if count == 0 {
            tracing::info!(server.id = %self.server, offered, "read the OpenAPI document");
        } else {
            tracing::warn!(server.id = %self.server, offered, left_out = count, why = named, "read the OpenAPI document");
        }
    }

    fn unfit(&self, why: &str) -> Refusal {
        let (server, document) = (&self.server, &self.settings.document);
        let message = format!("server `{server}`: the OpenAPI document {document} {why}");
        Refusal::new(ErrorKind::UpstreamUnavailable, message)
    }
}

/// The text of a document, for whoever looks at one before it is configured.
///
/// # Errors
/// Why it cannot be had, as the end of a sentence about it.
pub async fn openapi_document(at: &DocumentAt) -> Result<Bytes, String> {
    let outside = identity::outside(None).map_err(|error| format!("cannot be fetched: {error}"))?;
    fetch(at, &*outside).await
}

async fn fetch(at: &DocumentAt, outside: &dyn Fetch) -> Result<Bytes, String> {
    match at {
        DocumentAt::Url(url) => {
            let wanted = Wanted::get(url.clone(), Trust::Configured, MAX_BYTES);
            match outside.fetch(wanted).await {
                Ok(fetched) => Ok(fetched.body.into()),
                Err(FetchError::Status(status @ 300..400)) => {
                    Err(format!("leads elsewhere ({status}), where nobody follows; name the last URL"))
                }
                Err(FetchError::Status(status)) => Err(format!("was answered with {status}")),
                Err(FetchError::TooLarge) => Err(format!("has more than {} MiB", MAX_BYTES >> 20)),
                Err(error) => Err(format!("cannot be fetched: {error}")),
            }
        }
        DocumentAt::File(path) => {
            // One more than may be, so that what is too large shows.
            let most = MAX_BYTES as u64 + 1;
            let mut text = Vec::new();
            let reading =
                async { tokio::fs::File::open(path).await?.take(most).read_to_end(&mut text).await };
            reading.await.map_err(|error| format!("cannot be read: {error}"))?;
            Ok(text.into())
        }
    }
}

impl Offered {
    fn read(server: &ServerId, text: Bytes, set: &Set) -> Result<Self, Unfit> {
        let api = portcullis_openapi::Api::read(&Document::parse(text)?, set)?;
        let pin = |operation: &Operation| {
            let (name, definition) = (operation.name(), operation.definition());
            Definition::of_item(server.as_str(), DefinitionKind::Tool, name, definition).pin
        };
        let pins = api.operations.iter().map(|operation| (operation.name().to_owned(), pin(operation)));
        Ok(Self { pins: pins.collect(), api })
    }
}

impl Known {
    /// The operation behind a tool, and what its definition is pinned by.
    pub(super) fn operation(&self, name: &str) -> Option<(&Operation, Pin)> {
        Some((self.offered.api.operation(name)?, *self.offered.pins.get(name)?))
    }

    /// What the API says of itself.
    pub(super) fn hello(&self) -> Raw {
        hello(&self.offered.api)
    }

    /// `tools/list`.
    pub(super) fn tools(&self) -> Raw {
        let mut out = Vec::from(&br#"{"resultType":"complete","tools":["#[..]);
        for (index, operation) in self.offered.api.operations.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(operation.definition().as_bytes());
        }
        out.extend_from_slice(b"]}");
        Raw::trusted(out)
    }

    pub(super) fn peer(&self) -> Peer {
        Peer::read(Revision::NEWEST, &self.hello())
    }
}

/// Before anything is known of an API, it is a modern server with tools.
pub(super) fn unread_peer() -> Peer {
    Peer::read(Revision::NEWEST, &Raw::from_static(r#"{"capabilities":{"tools":{}}}"#))
}

fn hello(api: &portcullis_openapi::Api) -> Raw {
    let mut out = Vec::new();
    let mut members = Writer::begin(&mut out);
    members.text("resultType", "complete");
    let versions = members.key("supportedVersions");
    versions.push(b'[');
    write_string(versions, Revision::NEWEST.as_str());
    versions.push(b']');
    members.put("capabilities", br#"{"tools":{}}"#);
    if let Some(description) = api.description.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        members.text("instructions", &shortened(description));
    }
    let mut meta = Writer::begin(members.key("_meta"));
    let mut server = Writer::begin(meta.key(key::SERVER_INFO));
    server.text("name", &shortened(api.title.as_deref().unwrap_or("API")));
    server.text("version", &shortened(api.version.as_deref().unwrap_or("0")));
    server.end();
    meta.end();
    members.end();
    Raw::trusted(out)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_SAID) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> Api {
        Api {
            server: ServerId::parse("x").expect("an id"),
            settings: OpenApi {
                document: DocumentAt::File("none".into()),
                digest: None,
                is_placed_by_document: false,
                query: std::collections::BTreeMap::default(),
                operations: Vec::new(),
            },
            fetch: identity::outside(None).expect("a client"),
            set: Set::default(),
            query: Vec::new(),
            base: "/".to_owned(),
            known: Mutex::default(),
            last: Arc::default(),
        }
    }

    /// Whoever wants a document and goes away again, and comes back, does not have it read once more; nor one that is of no use.
    #[tokio::test]
    async fn a_document_is_read_once_whoever_waits_for_it() {
        let api = api();
        let good = Bytes::from_static(br#"{"openapi":"3.1.0","paths":{"/x":{"get":{}}}}"#);
        let turn = async || api.last.clone().lock_owned().await;
        {
            let mut gone = std::pin::pin!(api.offered(turn().await, good.clone(), "good"));
            let waker = std::task::Waker::noop();
            let _begun = gone.as_mut().poll(&mut std::task::Context::from_waker(waker));
        }
        // The text that comes with the same digest is not looked at any more.
        let never = || Bytes::from_static(b"never read");
        let (first, _) = api.offered(turn().await, never(), "good").await.expect("an API");
        let (second, _) = api.offered(turn().await, never(), "good").await.expect("an API");
        assert!(Arc::ptr_eq(&first, &second));
        let bad = Bytes::from_static(b"{}");
        let why = api.offered(turn().await, bad, "bad").await.err().expect("no API");
        assert!(why.contains("cannot be used"), "{why}");
        let again = api.offered(turn().await, good, "bad").await.err().expect("remembered");
        assert!(Arc::ptr_eq(&why, &again));
    }

    /// A document that is another one each time it is fetched; the first takes long.
    #[derive(Default)]
    struct Changing(std::sync::atomic::AtomicUsize);

    impl Fetch for Changing {
        fn fetch(&self, _: Wanted) -> portcullis_identity::Fetching {
            let count = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Box::pin(async move {
                if count == 0 {
                    tokio::time::sleep(std::time::Duration::from_mins(1)).await;
                }
                let body =
                    format!(r#"{{"openapi":"3.1.0","paths":{{"/v{count}":{{"get":{{}}}}}}}}"#).into_bytes();
                Ok(portcullis_identity::Fetched { body, ..portcullis_identity::Fetched::default() })
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_fetched_first_is_not_in_force_last() {
        let mut api = api();
        api.settings.document = DocumentAt::Url("https://api.example/openapi.json".to_owned());
        api.fetch = Arc::new(Changing::default());
        let (first, second) = tokio::join!(api.read(1), api.read(1));
        assert!(first.is_ok_and(|known| known.operation("get_v0").is_some()));
        assert!(second.is_ok_and(|known| known.operation("get_v1").is_some()));
        assert!(api.known().expect("one").operation("get_v1").is_some());
    }
}
