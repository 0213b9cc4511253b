//! What those who listen see of lists: they are told of what has changed for them.
//!
//! What somebody sees of a server is noted when they begin to listen, when a list is fetched for the first time, and whenever it
//! is compared with what they see by then. Of what nobody has asked for yet, nobody has seen anything.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use portcullis_mcp::subscription::Lists;
use portcullis_model::ServerId;

use super::{Subscriber, Subscribers};
use crate::call::Endpoint;
use crate::gateway::Gateway;
use crate::route::{self, ListKind, Sight, Sights};

/// By server and list. An empty list of which nothing is hidden is not noted.
type Noted = BTreeMap<(ServerId, ListKind), Sight>;

/// What one subscriber sees. Those who see the same share it: on one endpoint, most do.
#[derive(Default)]
pub(super) struct Seen(Mutex<Arc<Noted>>);

/// The last of what was noted at each endpoint.
#[derive(Default)]
pub(super) struct Shared(Mutex<HashMap<Endpoint, Weak<Noted>>>);

impl Shared {
    /// The same, shared with whoever was last found to see just that.
    fn share(&self, endpoint: &Endpoint, noted: Noted) -> Arc<Noted> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = all.get(endpoint).and_then(Weak::upgrade).filter(|last| **last == noted) {
            return last;
        }
        let noted = Arc::new(noted);
        all.insert(endpoint.clone(), Arc::downgrade(&noted));
        noted
    }
}

impl Seen {
    /// What is noted of a server.
    fn of(&self, server: &ServerId) -> Sights {
        let noted = self.load();
        ListKind::ALL.map(|kind| noted.get(&(server.clone(), kind)).copied().unwrap_or_default())
    }

    fn load(&self) -> Arc<Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn store(&self, noted: Arc<Noted>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = noted;
    }
}

fn note(noted: &mut Noted, server: &ServerId, kind: ListKind, sight: Sight) {
    let place = (server.clone(), kind);
    if sight == Sight::default() {
        noted.remove(&place);
    } else {
        noted.insert(place, sight);
    }
}

impl Subscriber {
    /// What the subscriber has seen of a server.
    pub(super) fn seen(&self, server: &ServerId) -> Sights {
        self.seen.of(server)
    }

    /// What is news to the subscriber, who had seen `before` of a server; it is noted.
    pub(super) fn news(&self, gateway: &Gateway, server: &ServerId, lists: Lists, before: &Sights) -> Lists {
        let now = route::sights(gateway, &self.endpoint, &self.caller(), server);
        let mut noted = (*self.seen.load()).clone();
        let mut news = Lists::NONE;
        for ((kind, before), now) in ListKind::ALL.into_iter().zip(before).zip(now) {
            if lists.has(kind.lists()) {
                note(&mut noted, server, kind, now);
                if now.is_news_to(*before) {
                    news |= kind.lists();
                }
            }
        }
        self.keep_seen(noted);
        news
    }

    /// Notes what is seen of every server now.
    pub(super) fn look(&self, gateway: &Gateway) {
        let mut noted = Noted::new();
        let (endpoint, caller) = (&self.endpoint, self.caller());
        if route::may_hide(gateway, endpoint, &caller) {
            for catalogue in gateway.servers.load().iter() {
                let server = catalogue.server.id();
                if self.registry.shows(endpoint, server) {
                    let sights = route::sights(gateway, endpoint, &caller, server);
                    let all = ListKind::ALL.into_iter().zip(sights);
                    all.for_each(|(kind, sight)| note(&mut noted, server, kind, sight));
                }
            }
        }
        self.keep_seen(noted);
    }

    fn keep_seen(&self, noted: Noted) {
        self.seen.store(self.registry.shared.share(&self.endpoint, noted));
    }
}

impl Subscribers {
    /// A list of a server is there for the first time: whoever listens sees it so.
    pub(crate) fn first_seen(&self, gateway: &Gateway, server: &ServerId, lists: Lists) {
        for subscriber in self.listeners_of(server) {
            let caller = subscriber.caller();
            if !route::may_hide(gateway, &subscriber.endpoint, &caller) {
                continue;
            }
            let now = route::sights(gateway, &subscriber.endpoint, &caller, server);
            let mut noted = (*subscriber.seen.load()).clone();
            for (kind, now) in ListKind::ALL.into_iter().zip(now) {
                if lists.has(kind.lists()) && !noted.contains_key(&(server.clone(), kind)) {
                    note(&mut noted, server, kind, now);
                }
            }
            subscriber.keep_seen(noted);
        }
    }
}
