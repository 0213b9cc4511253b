//! Which resources of a server are subscribed to, by whom, and how that stands: pure bookkeeping, the clock is handed in.
//!
//! A URI that nobody wants any more stays subscribed for a while: clients change their filters by opening a new stream
//! before they close the old one, and hosts come back. A refusal is remembered for a moment, lest a client that asks
//! without end makes the gateway ask without end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_mcp::subscription::subscribable;

/// So long a URI without subscribers stays subscribed.
pub(super) const LINGER: Duration = Duration::from_secs(30);
/// So long a refusal stands.
pub(super) const REFUSED: Duration = Duration::from_secs(1);
/// Most URIs of one feed, those that linger included.
const MOST: usize = 10_000;

/// How a subscription stands at the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Status<R> {
    /// The server is to be asked, or has not said yet.
    Asked,
    /// The server will tell.
    Carried,
    /// The server will not tell.
    Refused(R),
}

struct Entry<W, R> {
    watchers: Vec<(u64, W)>,
    status: Status<R>,
    /// When the status last became what it is.
    since: Instant,
    /// Since when nobody watches.
    unwatched: Option<Instant>,
    /// It was carried by a connection that is gone: what happened meanwhile is not known.
    missed: bool,
}

/// As many URIs are subscribed to as may be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The interests in one feed. `W` is told of updates, `R` says why there are none.
pub(super) struct Interests<W, R> {
    entries: HashMap<Arc<str>, Entry<W, R>>,
    most: usize,
}

impl<W, R> Default for Interests<W, R> {
    fn default() -> Self {
        Self { entries: HashMap::new(), most: MOST }
    }
}

impl<W, R: Clone> Interests<W, R> {
    /// Adds a watcher.
    ///
    /// # Errors
    /// [`Full`].
    pub(super) fn add(&mut self, uri: &Arc<str>, id: u64, watcher: W, now: Instant) -> Result<(), Full> {
        if !self.entries.contains_key(uri) && self.entries.len() >= self.most {
            self.entries.retain(|_, entry| !entry.watchers.is_empty());
            if self.entries.len() >= self.most {
                return Err(Full);
            }
        }
        let entry = self.entries.entry(uri.clone()).or_insert_with(|| Entry {
            watchers: Vec::new(),
            status: Status::Asked,
            since: now,
            unwatched: None,
            missed: false,
        });
        if matches!(entry.status, Status::Refused(_)) && now >= entry.since + REFUSED {
            entry.status = Status::Asked;
            entry.since = now;
        }
        entry.unwatched = None;
        entry.watchers.push((id, watcher));
        Ok(())
    }

    /// Takes a watcher away.
    pub(super) fn remove(&mut self, uri: &str, id: u64, now: Instant) {
        let Some(entry) = self.entries.get_mut(uri) else { return };
        entry.watchers.retain(|(watcher, _)| *watcher != id);
        if entry.watchers.is_empty() {
            entry.unwatched = Some(now);
            entry.missed = false;
        }
    }

    /// How a subscription stands; `None` when there is none.
    pub(super) fn status(&self, uri: &str) -> Option<&Status<R>> {
        self.entries.get(uri).map(|entry| &entry.status)
    }

    /// The server has answered for a URI. One that was lost for a time may have changed: its watchers are told.
    pub(super) fn settle(&mut self, uri: &str, status: Status<R>, now: Instant, tell: impl Fn(&W)) {
        let Some(entry) = self.entries.get_mut(uri) else { return };
        if std::mem::take(&mut entry.missed) && matches!(status, Status::Carried) {
            entry.watchers.iter().for_each(|(_, watcher)| tell(watcher));
        }
        entry.status = status;
        entry.since = now;
    }

    /// The connection that carried everything is gone: the next one has to be asked again. What was refused a moment ago
    /// stays refused, for whoever asked has yet to hear it.
    pub(super) fn lose(&mut self, now: Instant) {
        self.entries.retain(|_, entry| !entry.watchers.is_empty());
        for entry in self.entries.values_mut() {
            if matches!(entry.status, Status::Refused(_)) && now < entry.since + REFUSED {
                continue;
            }
            entry.missed |= matches!(entry.status, Status::Carried);
            entry.status = Status::Asked;
            entry.since = now;
        }
    }

    /// The URIs that the server is to tell about, watched or lingering.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Arc<str>> {
        let wanted = |entry: &Entry<W, R>| match entry.status {
            Status::Asked => !entry.watchers.is_empty(),
            Status::Carried => true,
            Status::Refused(_) => false,
        };
        self.entries.iter().filter(move |(_, entry)| wanted(entry)).map(|(uri, _)| uri)
    }

    /// Whether anybody watches anything.
    pub(super) fn is_watched(&self) -> bool {
        self.entries.values().any(|entry| !entry.watchers.is_empty())
    }

    /// Forgets what has lingered long enough; says when there will be more to forget.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Instant> {
        let over = |entry: &Entry<W, R>| entry.unwatched.is_some_and(|since| now >= since + LINGER);
        self.entries.retain(|_, entry| !over(entry));
        self.entries.values().filter_map(|entry| entry.unwatched).min().map(|since| since + LINGER)
    }

    /// Calls `tell` for whoever watches a resource that was updated, or one that it is part of.
    pub(super) fn tell(&self, updated: &str, tell: impl Fn(&W)) {
        if self.entries.is_empty() {
            return;
        }
        for entry in subscribable(updated).filter_map(|uri| self.entries.get(uri)) {
            entry.watchers.iter().for_each(|(_, watcher)| tell(watcher));
        }
    }
}

#[cfg(test)]
mod tests;
