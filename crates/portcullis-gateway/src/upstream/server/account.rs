//! As whom a server is called, and whether its user has connected an account.

use std::sync::Arc;
use std::time::Duration;

use portcullis_config::Transport;
use portcullis_identity::outbound::{Kind, SigningKey, Source, SubjectToken};
use portcullis_model::Principal;
use tokio::sync::Semaphore;

use super::{Reached, Server};
use crate::call::Refusal;
use crate::upstream::credentials;

/// How often the store is asked whether an account was connected elsewhere.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Server {
    /// The server as one of its users knows it: over the same connections, with that user's credentials and with nothing
    /// else in common.
    pub(crate) fn for_owner(&self, owner: Principal) -> Arc<Self> {
        let source = self.credentials.as_ref().map(|it| it.source(&self.env.office, Some(owner.clone())));
        Self::with(
            self.version.clone(),
            self.settings.clone(),
            self.env.clone(),
            Reached {
                http: self.http.as_ref().map(|link| Arc::new(link.called_as(source))),
                api: self.api.clone(),
                deployed: self.deployed.clone(),
                certificates: self.certificates.clone(),
                credentials: self.credentials.clone(),
            },
            Some(owner),
        )
    }

    /// Whether each of its users is called for with credentials of their own.
    pub(crate) fn is_personal(&self) -> bool {
        self.owner.is_none() && self.credentials.as_ref().is_some_and(|it| it.is_personal())
    }

    /// Whether it is an API that a document describes.
    pub(crate) fn is_openapi(&self) -> bool {
        self.api.is_some()
    }

    /// Whether it is an image that a cluster runs.
    pub(super) fn has_image(&self) -> bool {
        matches!(&self.settings.transport, Transport::Http(http) if http.image.is_some())
    }

    /// Whether a call runs, or somebody watches a resource of it.
    pub(crate) fn is_in_use(&self) -> bool {
        let all = self.settings.max_concurrent.clamp(1, Semaphore::MAX_PERMITS);
        self.calls.available_permits() < all || self.feeds.is_watched()
    }

    /// Whether callers' tokens are exchanged for it.
    pub(crate) fn takes_subjects(&self) -> bool {
        self.credentials.as_ref().is_some_and(|it| it.takes_subjects())
    }

    /// Whose it is, where it is one user's.
    pub(crate) fn owner(&self) -> Option<&Principal> {
        self.owner.as_ref()
    }

    /// Where its credentials come from.
    pub(crate) fn source(&self) -> Option<&Arc<Source>> {
        self.http.as_ref()?.source()
    }

    /// As whom it is called, for the evidence log: `none`, `service`, `user`, `exchange`.
    pub(crate) fn acts_as(&self) -> &'static str {
        match self.source().map(|source| source.kind()) {
            None => "none",
            Some(Kind::Oauth(_) | Kind::Assertion(_)) => "user",
            Some(Kind::TokenExchange(_)) => "exchange",
            Some(Kind::IdJag(it)) if it.subject.is_none() => "exchange",
            Some(Kind::Static { .. } | Kind::ClientCredentials(_) | Kind::Workload(_) | Kind::IdJag(_)) => {
                "service"
            }
        }
    }

    /// The key with which assertions for it are signed, where it has one of its own.
    pub(crate) fn signing_key(&self) -> Option<Arc<SigningKey>> {
        self.credentials.as_ref()?.key()
    }

    /// Whether each of its users connects an account.
    pub(crate) fn connects_users(&self) -> bool {
        self.credentials.as_ref().is_some_and(|it| it.is_account())
    }

    /// Whether the user that it belongs to connects an account.
    pub(crate) fn takes_accounts(&self) -> bool {
        self.source().is_some_and(|source| matches!(source.kind(), Kind::Oauth(_)))
    }

    /// The token of the caller that it belongs to.
    pub(crate) fn offer(&self, subject: &Arc<SubjectToken>) {
        if let Some(source) = self.source() {
            source.offer(subject);
        }
    }

    /// A user comes back who was sent to connect an account, and may still be at it.
    pub(crate) async fn until_connected(&self, patience: Duration) {
        let Some(source) = self.source() else { return };
        let looking = async {
            loop {
                tokio::select! {
                    () = source.until_connected() => return,
                    // It may have been connected in another process.
                    () = tokio::time::sleep(LOOK_AGAIN) => if source.is_settled().await != Ok(false) { return },
                }
            }
        };
        let _ = tokio::time::timeout(patience, looking).await;
    }

    /// Whether an account is connected.
    ///
    /// # Errors
    /// What is needed first.
    pub(crate) async fn is_connected(&self) -> Result<(), Refusal> {
        let Some(source) = self.source() else { return Ok(()) };
        let connected = match source.credential().await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => source.invite().await,
            Err(needed) => Err(needed),
        };
        connected.map_err(|needed| credentials::refusal(&self.id, &needed))
    }
}
