//! What is subscribed to in the conversations of clients that can be asked something.
//!
//! The calls of such a client run in a conversation with its capabilities, beside the one that carries the feed, and some
//! servers tell of a change only in the session whose call caused it. So what these clients watch is subscribed to there
//! as well, where there is such a conversation. Whether a subscription stands, the feed's own conversation says; what a
//! sibling refuses is passed over. Which of them tells is all the same: the update is looked up in the feed like any other,
//! and a feed belongs to one owner.
//!
//! One task for each feed makes what is subscribed equal to what is wanted, one lot after the other, so that what is asked
//! of a server about one resource stays in order.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt as _;
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::method::Method;

use super::legacy::{AT_ONCE, HEAD, ask};
use super::{Feed, Subscription};
use crate::upstream::connection::{Connection, Link};

/// How long a call or a subscription waits for siblings; what is not done by then is done while it goes on.
const PATIENCE: Duration = Duration::from_secs(2);

/// Pure bookkeeping; `C` is a connection.
pub(super) struct Siblings<C> {
    all: Vec<Sibling<C>>,
    /// What clients with some capabilities watch, and how many of them.
    wanted: HashMap<ClientCaps, HashMap<Arc<str>, usize>>,
    /// Where what is subscribed may not be what is wanted.
    doubtful: HashSet<(ClientCaps, Arc<str>)>,
    /// Somebody sees to it.
    running: bool,
}

struct Sibling<C> {
    connection: Weak<C>,
    caps: ClientCaps,
    uris: HashSet<Arc<str>>,
}

/// What a sibling is to be asked.
struct Ask<C> {
    connection: Arc<C>,
    uri: Arc<str>,
    method: Method,
}

impl<C> Default for Siblings<C> {
    fn default() -> Self {
        Self { all: Vec::new(), wanted: HashMap::new(), doubtful: HashSet::new(), running: false }
    }
}

impl<C> Siblings<C> {
    /// Somebody wants a URI.
    fn want(&mut self, caps: ClientCaps, uri: &Arc<str>) {
        let count = self.wanted.entry(caps).or_default().entry(uri.clone()).or_default();
        *count += 1;
        if *count == 1 {
            self.doubtful.insert((caps, uri.clone()));
        }
    }

    /// Somebody does not want a URI any more.
    fn unwant(&mut self, caps: ClientCaps, uri: &Arc<str>) {
        let Some(uris) = self.wanted.get_mut(&caps) else { return };
        let Some(count) = uris.get_mut(uri) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        uris.remove(uri);
        if uris.is_empty() {
            self.wanted.remove(&caps);
        }
        self.doubtful.insert((caps, uri.clone()));
    }

    /// Takes up a sibling.
    fn join(&mut self, connection: &Arc<C>, caps: ClientCaps) {
        self.all.retain(|sibling| sibling.connection.strong_count() > 0);
        let of = Arc::as_ptr(connection);
        if self.all.iter().any(|sibling| std::ptr::eq(sibling.connection.as_ptr(), of)) {
            return;
        }
        self.all.push(Sibling { connection: Arc::downgrade(connection), caps, uris: HashSet::new() });
        let wanted = self.wanted.get(&caps).into_iter().flat_map(HashMap::keys);
        self.doubtful.extend(wanted.map(|uri| (caps, uri.clone())));
    }

    /// A sibling is closed.
    pub(super) fn leave(&mut self, connection: &C) {
        self.all.retain(|sibling| !std::ptr::eq(sibling.connection.as_ptr(), connection));
    }

    /// What makes all that is subscribed equal to what is wanted.
    fn differences(&mut self) -> Vec<Ask<C>> {
        let mut asks = Vec::new();
        for (caps, uri) in self.doubtful.drain() {
            let wanted = self.wanted.get(&caps).is_some_and(|uris| uris.contains_key(&uri));
            for sibling in self.all.iter_mut().filter(|sibling| sibling.caps == caps) {
                let differs =
                    if wanted { sibling.uris.insert(uri.clone()) } else { sibling.uris.remove(&uri) };
                let connection = sibling.connection.upgrade().filter(|_| differs);
                let method = if wanted { Method::ResourcesSubscribe } else { Method::ResourcesUnsubscribe };
                asks.extend(connection.map(|connection| Ask { connection, uri: uri.clone(), method }));
            }
        }
        asks
    }

    /// Whether anything is subscribed to on a sibling.
    fn carries(&self, connection: &C) -> bool {
        let is_it = |sibling: &&Sibling<C>| std::ptr::eq(sibling.connection.as_ptr(), connection);
        self.all.iter().find(is_it).is_some_and(|sibling| !sibling.uris.is_empty())
    }
}

impl Feed {
    /// Takes up a conversation in which `caps` are declared; what clients with these capabilities watch is subscribed to.
    pub(in crate::upstream) async fn join(self: &Arc<Self>, connection: &Arc<Connection>, caps: ClientCaps) {
        self.lock().siblings.join(connection, caps);
        self.reconcile();
        self.reconciled().await;
    }

    /// Whether something is subscribed to in a conversation beside the feed's own, so that it should not end by itself.
    pub(in crate::upstream) fn shares(&self, connection: &Connection) -> bool {
        self.lock().siblings.carries(connection)
    }

    pub(super) fn want_shared(self: &Arc<Self>, caps: ClientCaps, uri: &Arc<str>) {
        if caps != ClientCaps::NONE {
            self.lock().siblings.want(caps, uri);
            self.reconcile();
        }
    }

    pub(super) fn unwant_shared(self: &Arc<Self>, caps: ClientCaps, uri: &Arc<str>) {
        if caps != ClientCaps::NONE {
            self.lock().siblings.unwant(caps, uri);
            self.reconcile();
        }
    }

    /// Sees to it that what is subscribed becomes what is wanted.
    fn reconcile(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.siblings.doubtful.is_empty() || std::mem::replace(&mut state.siblings.running, true) {
            return;
        }
        drop(state);
        let feed = self.clone();
        self.env.control.spawn(async move {
            loop {
                let asks = {
                    let mut state = feed.lock();
                    let asks = state.siblings.differences();
                    state.siblings.running = !asks.is_empty();
                    asks
                };
                if asks.is_empty() {
                    return feed.settled.notify_waiters();
                }
                futures_util::stream::iter(asks).for_each_concurrent(AT_ONCE, carry_out).await;
            }
        });
    }

    /// Waits for that, as long as anybody should.
    async fn reconciled(&self) {
        let reconciled = async {
            loop {
                let settled = self.settled.notified();
                tokio::pin!(settled);
                settled.as_mut().enable();
                if !self.lock().siblings.running {
                    return;
                }
                settled.await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, reconciled).await;
    }
}

impl Subscription {
    /// Waits until the resource is subscribed to in the conversations that there are for clients with the same capabilities.
    pub(crate) async fn shared(&self) {
        self.feed.reconciled().await;
    }
}

async fn carry_out(Ask { connection, uri, method }: Ask<Connection>) {
    if matches!(connection.link, Link::Http { .. }) {
        // What is told on a stream that is not open yet is lost.
        let _ = tokio::time::timeout(HEAD, connection.listens.cancelled()).await;
    }
    if let Ok(Err(refusal)) = ask(&connection, method, &uri).await {
        tracing::debug!(why = refusal.message, "a sibling conversation refused a subscription");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: ClientCaps = ClientCaps::ELICIT_FORM;

    /// Which siblings are asked what, in order.
    fn asked(siblings: &mut Siblings<u8>) -> Vec<(u8, Method)> {
        let mut asked: Vec<_> =
            siblings.differences().into_iter().map(|ask| (*ask.connection, ask.method)).collect();
        asked.sort_by_key(|(connection, _)| *connection);
        asked
    }

    #[test]
    fn a_sibling_is_asked_once_for_what_its_clients_watch() {
        let mut siblings = Siblings::default();
        let (first, second, other) = (Arc::new(1), Arc::new(2), Arc::new(3));
        let uri: Arc<str> = "db://a".into();
        siblings.want(FORM, &uri);
        assert!(asked(&mut siblings).is_empty(), "there is none yet");
        siblings.join(&first, FORM);
        siblings.join(&other, ClientCaps::ROOTS);
        assert_eq!(asked(&mut siblings), [(1, Method::ResourcesSubscribe)]);
        siblings.join(&first, FORM);
        siblings.join(&second, FORM);
        siblings.want(FORM, &uri);
        assert_eq!(asked(&mut siblings), [(2, Method::ResourcesSubscribe)], "each of those that are alike");
        siblings.unwant(FORM, &uri);
        assert!(asked(&mut siblings).is_empty(), "somebody else still watches");
        assert!(siblings.carries(&first) && !siblings.carries(&other));
        siblings.unwant(FORM, &uri);
        siblings.want(FORM, &uri);
        assert!(asked(&mut siblings).is_empty(), "somebody was quick");
        siblings.unwant(FORM, &uri);
        let unsubscribed = [(1, Method::ResourcesUnsubscribe), (2, Method::ResourcesUnsubscribe)];
        assert_eq!(asked(&mut siblings), unsubscribed);
        assert!(!siblings.carries(&first) && siblings.wanted.is_empty());
    }

    #[test]
    fn a_sibling_that_is_gone_is_not_asked() {
        let mut siblings = Siblings::default();
        let (closed, dropped, open) = (Arc::new(1), Arc::new(2), Arc::new(3));
        for connection in [&closed, &dropped, &open] {
            siblings.join(connection, FORM);
        }
        siblings.leave(&closed);
        drop(dropped);
        siblings.want(FORM, &"db://a".into());
        assert_eq!(asked(&mut siblings), [(3, Method::ResourcesSubscribe)]);
        siblings.join(&open, FORM);
        assert_eq!(siblings.all.len(), 1);
    }
}
