//! What a modern server says of itself to clients with some capabilities.
//!
//! A server of 2026-07-28 reads with every request what its client can do, `server/discover` included, and may show other
//! things to other clients. So when a client asks what there is, the server is asked in its name, once for each set of
//! capabilities. A legacy server is not: it says what it is in a handshake, and each would be another session.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;

use super::Server;
use crate::call::{Exchange, Outcome};
use crate::upstream::connection::Peer;
use crate::upstream::outgoing::Outgoing;

/// A server that said what it is to the gateway, and is slow to say it again, is as it said.
const PATIENCE: Duration = Duration::from_secs(3);

impl Server {
    /// What the server says of itself to clients of `era` with these capabilities; `None` where it tells all the same, or
    /// cannot be asked now.
    pub(crate) async fn about_to(
        self: &Arc<Self>,
        era: Era,
        conversation: &Arc<str>,
        caps: ClientCaps,
    ) -> Option<Arc<Peer>> {
        let is_legacy = |declared: ClientCaps| declared != ClientCaps::NONE;
        if caps == ClientCaps::NONE || self.declared(era, caps).is_some_and(is_legacy) {
            return None;
        }
        if let Some(known) = self.known_about_to(caps) {
            return Some(known);
        }
        let connection = self.connection(era, conversation).await.ok()?;
        if connection.era() != Era::Modern {
            return None;
        }
        let mut out = Outgoing::internal(self.env.control_worker(), Method::Discover, None);
        out.caps = caps;
        let asked =
            async { self.call(era, conversation, &out).await.unwrap_or_else(Exchange::done).outcome().await };
        let peer = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Outcome::Complete(payload)) if payload.result.find("supportedVersions").is_some() => {
                Peer::read(connection.peer.revision, &payload.result)
            }
            _ => connection.peer.clone(),
        };
        let peer = Arc::new(peer);
        let mut all = self.about_to.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(caps, peer.clone());
        Some(peer)
    }

    fn known_about_to(&self, caps: ClientCaps) -> Option<Arc<Peer>> {
        self.about_to.lock().unwrap_or_else(PoisonError::into_inner).get(&caps).cloned()
    }
}
