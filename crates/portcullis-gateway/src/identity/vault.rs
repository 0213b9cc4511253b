//! The Vault for whoever reads a configuration: what that needs before there is a gateway, and to see when it has changed.

use std::sync::Arc;

use portcullis_config::{SecretVault, VaultSecret};
use portcullis_identity::outbound::{NotRead, SecretRef, Secrets};
use tokio::runtime::Handle;

use super::{outside, vault_settings};
use crate::upstream::TlsError;

/// A Vault that is asked by whoever reads a configuration.
pub struct Vault {
    settings: SecretVault,
    secrets: Arc<Secrets>,
}

impl Vault {
    /// The one of these settings; its token is renewed on `runtime`.
    ///
    /// # Errors
    /// Its authorities cannot be trusted.
    pub fn new(settings: &SecretVault, runtime: &Handle) -> Result<Self, TlsError> {
        let fetch = outside(settings.ca.as_deref())?;
        let secrets = Secrets::new(vault_settings(settings), fetch, runtime);
        Ok(Self { settings: settings.clone(), secrets })
    }

    /// Whether it is that of these settings.
    pub fn is_of(&self, settings: &SecretVault) -> bool {
        self.settings == *settings
    }

    /// A secret: what was read before, for as long as that counts.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn read(&self, at: &VaultSecret) -> Result<String, NotRead> {
        let VaultSecret { path, versioned, field } = at.clone();
        self.secrets.read_now(&SecretRef { path, versioned, field }).await
    }
}
