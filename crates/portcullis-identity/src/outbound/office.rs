//! What all sources of credentials share: where accounts are kept, under which URL the gateway is known, and its own key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use portcullis_model::Records;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::account::{digest, is_digest};
use super::connect::{Arrival, LINK, Link, STATE};
use super::needed::Needed;
use super::secrets::Secrets;
use super::sign::SigningKey;
use super::vault::Vault;

/// Shared by all sources.
pub struct Office {
    pub(super) vault: Vault,
    /// What must come to its end, though whoever asked for it has left, runs here.
    pub(super) runtime: Handle,
    pub(super) key: Arc<SigningKey>,
    base: ArcSwap<String>,
    lasting: bool,
    pub(super) secrets: ArcSwapOption<Secrets>,
    /// How often an account was connected or given up in this process.
    changes: AtomicU64,
}

impl Office {
    /// With a store, and the key that seals what is kept in it. Without a key one is made, and dies with the process.
    pub fn new(records: Arc<dyn Records>, vault_key: Option<[u8; 32]>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            lasting: vault_key.is_some(),
            secrets: ArcSwapOption::empty(),
            vault: Vault::new(records, vault_key),
            runtime,
            key: Arc::new(SigningKey::generate()),
            base: ArcSwap::default(),
            changes: AtomicU64::new(0),
        })
    }

    /// Whether what is sealed can be opened after a restart.
    pub fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// The URL under which clients and browsers know the gateway.
    pub fn set_base(&self, base: String) {
        self.base.store(Arc::new(base));
    }

    pub(super) fn base(&self) -> Arc<String> {
        self.base.load_full()
    }

    /// An account was connected or given up: whoever holds one looks whether it is theirs.
    pub(super) fn change(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Where this issuer sends browsers back to: each has an address of its own, so that whoever comes back with a code shows
    /// whose it is, whether the issuer says so itself or not (RFC 9700 section 4.4.2.2).
    pub(super) fn redirect_uri(&self, issuer: &str) -> String {
        callback(&self.base(), &digest(issuer))
    }

    /// The address of the document that describes the gateway as a client of this issuer.
    pub(super) fn document_url(&self, issuer: &str) -> String {
        document(&self.base(), &digest(issuer))
    }

    /// The document that describes the gateway as a client (OAuth Client ID Metadata Document) of the issuer with this digest;
    /// `None` for what is no digest.
    pub fn client_document(&self, issuer: &str) -> Option<String> {
        if !is_digest(issuer) {
            return None;
        }
        let base = self.base();
        let mut metadata = client_metadata(&callback(&base, issuer));
        metadata["client_id"] = document(&base, issuer).into();
        metadata["client_uri"] = base.as_str().into();
        metadata["token_endpoint_auth_method"] = "none".into();
        Some(metadata.to_string())
    }

    /// The keys with which assertions are signed (RFC 7517): the gateway's own and others.
    pub fn key_set<'a>(&self, others: impl Iterator<Item = &'a SigningKey>) -> String {
        let own = std::iter::once(self.key.public());
        let keys: Vec<_> = own.chain(others.map(SigningKey::public)).collect();
        json!({ "keys": keys }).to_string()
    }

    /// What a link to connect an account is for; `None` when it is none, or is over.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn link(&self, id: &str) -> Result<Option<Link>, Needed> {
        Ok(self.vault.get(LINK, id).await?.and_then(|opened| Link::read(id, &opened.value)))
    }

    /// Takes what a browser brings back to the address of the issuer with this digest: it is good once. `None` when it is not
    /// ours, was brought before, or is over.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn arrive(&self, issuer: &str, query: &str) -> Result<Option<Arrival>, Needed> {
        let Some(fields) = super::form::read(query).filter(|_| is_digest(issuer)) else { return Ok(None) };
        let Some((_, state)) = fields.iter().find(|(name, _)| name == "state") else { return Ok(None) };
        let begun = self.vault.take(STATE, state).await?;
        Ok(begun.and_then(|begun| Arrival::read(issuer, begun, fields)))
    }
}

fn callback(base: &str, issuer: &str) -> String {
    format!("{base}/oauth/callback/{issuer}")
}

fn document(base: &str, issuer: &str) -> String {
    format!("{base}/oauth/client/{issuer}.json")
}

/// What the gateway says of itself to whoever wants to know before it logs somebody in.
pub(super) fn client_metadata(redirect_uri: &str) -> Value {
    json!({
        "client_name": "Portcullis",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
    })
}
