//! What all sources of credentials share: where accounts are kept, under which URL the gateway is known, and its own key.

use std::sync::Arc;

use arc_swap::ArcSwap;
use portcullis_model::Records;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::connect::{Arrival, LINK, Link, STATE};
use super::needed::Needed;
use super::sign::SigningKey;
use super::vault::Vault;

/// Shared by all sources.
pub struct Office {
    pub(super) vault: Vault,
    /// What must come to its end, though whoever asked for it has left, runs here.
    pub(super) runtime: Handle,
    pub(super) key: Arc<SigningKey>,
    base: ArcSwap<String>,
}

impl Office {
    /// With a store, and the key that seals what is kept in it. Without a key one is made, and dies with the process.
    pub fn new(records: Arc<dyn Records>, vault_key: Option<[u8; 32]>, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            vault: Vault::new(records, vault_key),
            runtime,
            key: Arc::new(SigningKey::generate()),
            base: ArcSwap::default(),
        })
    }

    /// The URL under which clients and browsers know the gateway.
    pub fn set_base(&self, base: String) {
        self.base.store(Arc::new(base));
    }

    pub(super) fn base(&self) -> Arc<String> {
        self.base.load_full()
    }

    /// Where authorization servers send browsers back to.
    pub(super) fn redirect_uri(&self) -> String {
        format!("{}/oauth/callback", self.base())
    }

    /// The address of the document that describes the gateway as a client.
    pub(super) fn document_url(&self) -> String {
        format!("{}/oauth/client.json", self.base())
    }

    /// The document that describes the gateway as a client (OAuth Client ID Metadata Document).
    pub fn client_document(&self) -> String {
        let mut document = self.client_metadata();
        document["client_id"] = self.document_url().into();
        document["client_uri"] = self.base().as_str().into();
        document["token_endpoint_auth_method"] = "none".into();
        document.to_string()
    }

    pub(super) fn client_metadata(&self) -> Value {
        json!({
            "client_name": "Portcullis",
            "redirect_uris": [self.redirect_uri()],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        })
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
        Ok(self.vault.get(LINK, id).await?.and_then(|opened| Link::read(&opened.value)))
    }

    /// Takes what a browser brings back from an authorization server: it is good once. `None` when it is not ours, was
    /// brought before, or is over.
    ///
    /// # Errors
    /// The store cannot be asked.
    pub async fn arrive(&self, query: &str) -> Result<Option<Arrival>, Needed> {
        let Some(fields) = super::form::read(query) else { return Ok(None) };
        let Some((_, state)) = fields.iter().find(|(name, _)| name == "state") else { return Ok(None) };
        let begun = self.vault.take(STATE, state).await?;
        Ok(begun.and_then(|begun| Arrival::read(begun, fields)))
    }
}
