//! A server whose image the cluster runs, as one of those who have conversations with it.

use std::sync::Arc;
use std::time::Duration;

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::revision::Era;
use portcullis_model::ErrorKind;

use super::Server;
use crate::call::Refusal;
use crate::upstream::cluster::Deployed;
use crate::upstream::connection::Connection;
use crate::upstream::http::SharedLink;

impl Server {
    /// Where its image runs, if it is one.
    pub(crate) fn deployed(&self) -> Option<&Arc<Deployed>> {
        self.deployed.as_ref()
    }

    /// The way to it: for a server in the cluster, where that runs it.
    pub(super) async fn way(self: &Arc<Self>, link: &SharedLink) -> Result<SharedLink, Refusal> {
        let Some(deployed) = &self.deployed else {
            return if self.has_image() { Err(self.homeless()) } else { Ok(link.clone()) };
        };
        self.wait_or_refuse().await?;
        match deployed.reach(self, link).await {
            Ok((way, _)) => Ok(way),
            Err(refusal) => {
                self.note_refused(&refusal);
                Err(refusal)
            }
        }
    }

    /// A conversation with it, for as long as what it is with runs.
    pub(super) async fn establish_deployed(
        self: &Arc<Self>,
        era: Era,
        caps: ClientCaps,
    ) -> Result<Connection, Refusal> {
        let (Some(deployed), Some(link)) = (&self.deployed, &self.http) else { return Err(self.homeless()) };
        // An image may have to be fetched, which takes longer than an answer may.
        let (way, running) = deployed.reach(self, link).await?;
        let limit = self.settings.call_timeout;
        let established = tokio::time::timeout(limit, self.establish_http(way, era, caps)).await;
        let connection = established.unwrap_or_else(|_| Err(self.silent(limit)))?;
        // It is new, so nobody has said this before.
        let _ = connection.running.set(running);
        Ok(connection)
    }

    /// How long nobody has used it; nothing while a call runs, somebody listens, or it keeps a task.
    #[cfg_attr(not(feature = "kubernetes"), allow(dead_code, reason = "only a cluster stops them"))]
    pub(crate) fn unused(&self) -> Duration {
        if self.is_in_use() || self.keeps_tasks() {
            return Duration::ZERO;
        }
        self.conversations.open().iter().map(|connection| connection.idle()).min().unwrap_or(Duration::MAX)
    }

    /// The conversations that are open.
    #[cfg_attr(not(feature = "kubernetes"), allow(dead_code, reason = "only a cluster stops them"))]
    pub(crate) fn open_connections(&self) -> Vec<Arc<Connection>> {
        self.conversations.open()
    }

    /// Nobody gets one of these conversations any more.
    #[cfg_attr(not(feature = "kubernetes"), allow(dead_code, reason = "only a cluster stops them"))]
    pub(crate) fn let_go(&self, connections: &[Arc<Connection>]) {
        for connection in connections {
            self.conversations.forget(connection);
        }
    }

    fn homeless(&self) -> Refusal {
        let message = format!(
            "server `{}` is an image, and no cluster is configured that could run it; `kubernetes` says which",
            self.id
        );
        Refusal::new(ErrorKind::UpstreamUnavailable, message)
    }
}
