//! The feeds of one server, by conversation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use portcullis_config::Sharing;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::revision::Era;
use portcullis_mcp::subscription::Lists;
use portcullis_model::ErrorKind;

use super::{Feed, Heard};
use crate::call::Refusal;
use crate::upstream::connection::{Connection, Link};
use crate::upstream::server::Server;

/// By place and owner.
type ByConversation = HashMap<(usize, Arc<str>), Arc<Feed>>;

/// The feeds of one server.
#[derive(Default)]
pub(in crate::upstream) struct Feeds {
    all: Mutex<ByConversation>,
}

impl Feeds {
    /// Gives a new connection to the feed of its conversation. One in which `declared` is declared is heard, but never
    /// carries the feed: it is there for the calls of those who declared it. Clients of `era` are served on it.
    pub(in crate::upstream) fn attach(
        &self,
        server: &Arc<Server>,
        era: Era,
        conversation: &Arc<str>,
        connection: &Arc<Connection>,
        declared: ClientCaps,
    ) {
        if connection.feed.get().is_some() {
            return;
        }
        // Opening may have shown that a server has one place only.
        let place = server.place(era).unwrap_or(0);
        let mut all = self.lock();
        let feed = all.entry((place, owner(server, conversation)));
        let feed = feed.or_insert_with(|| Feed::new(server, era, conversation.clone())).clone();
        drop(all);
        if connection.feed.set(feed.clone()).is_ok()
            && let Link::Channel(channel) = &connection.link
        {
            let settling = feed.within(connection, declared).map(|within| (within, Instant::now()));
            channel.feed(Heard { era: connection.era(), settling }, &feed);
        }
        if declared == ClientCaps::NONE {
            feed.attach(connection);
        } else if let Some(within) = feed.within(connection, declared) {
            // Another process, which may not have what the last one had.
            feed.doubt(Lists::declared(&connection.peer.capabilities), Some(&within));
        }
    }

    /// The feed of a conversation that was opened before.
    pub(in crate::upstream) fn find(
        &self,
        server: &Server,
        place: usize,
        conversation: &Arc<str>,
    ) -> Option<Arc<Feed>> {
        self.lock().get(&(place, owner(server, conversation))).cloned()
    }

    /// Whether somebody watches a resource of it.
    pub(in crate::upstream) fn is_watched(&self) -> bool {
        self.lock().values().any(|feed| feed.is_watched())
    }

    /// A client's conversation has ended, and its feeds with it.
    pub(in crate::upstream) fn end(&self, conversation: &str) {
        let mut all = self.lock();
        for (_, feed) in all.extract_if(|(_, whose), _| **whose == *conversation) {
            feed.ended.cancel();
        }
    }

    /// The server goes out of service.
    pub(in crate::upstream) fn end_all(&self) {
        for (_, feed) in self.lock().drain() {
            feed.ended.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, ByConversation> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose conversation it is: everybody's where the server is shared.
fn owner(server: &Server, conversation: &Arc<str>) -> Arc<str> {
    match server.settings().sharing {
        Sharing::Shared => Arc::from(""),
        Sharing::Session => conversation.clone(),
    }
}

impl Server {
    /// What the server tells of changes in the conversation for a client of `era`; the server is reached for it.
    ///
    /// # Errors
    /// It cannot be reached, or does not let resources be subscribed to.
    pub(crate) async fn feed(
        self: &Arc<Self>,
        era: Era,
        conversation: &Arc<str>,
    ) -> Result<Arc<Feed>, Refusal> {
        let connection = self.connection(era, conversation).await?;
        if !connection.can_subscribe() {
            let message = format!("server `{}` does not let resources be subscribed to", self.id());
            return Err(Refusal::new(ErrorKind::InvalidParams, message));
        }
        let gone = || Refusal::new(ErrorKind::UpstreamClosed, format!("server `{}` has gone", self.id()));
        connection.feed().cloned().ok_or_else(gone)
    }

    /// The same, if the conversation was ever opened: nothing is started for it.
    pub(crate) fn open_feed(&self, era: Era, conversation: &Arc<str>) -> Option<Arc<Feed>> {
        self.feeds.find(self, self.place(era)?, conversation)
    }
}
