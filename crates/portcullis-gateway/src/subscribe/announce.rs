//! Changes of lists, on their way to those who listen.
//!
//! Servers tend to announce several changes in a row, and one reload changes many servers: what comes within a moment is
//! told as one. The catalogue forgets its lists at once, so whoever is told and asks again gets the new ones. Where something
//! may be hidden from somebody, the list is fetched first, and who sees no other than before is told nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use portcullis_mcp::subscription::Lists;
use portcullis_model::{Principal, ServerId};

use super::{Subscriber, Subscribers};
use crate::gateway::Gateway;
use crate::route;

/// From the first change to the telling.
const MOMENT: Duration = Duration::from_millis(250);

/// What has changed and was not told yet.
#[derive(Debug, Default)]
pub(super) struct Announced {
    /// By server, and by user where it is a user's own list.
    changed: BTreeMap<ServerId, Owners>,
}

/// Whose lists have changed, and which: all users' or one's.
type Owners = Vec<(Option<Principal>, Lists)>;

impl Announced {
    /// Notes a change; says whether it is the first, so that somebody has to come back for it.
    fn note(&mut self, server: ServerId, owner: Option<Principal>, lists: Lists) -> bool {
        let first = self.changed.is_empty();
        let owners = self.changed.entry(server).or_default();
        match owners.iter_mut().find(|(known, _)| *known == owner) {
            Some((_, known)) => *known |= lists,
            None => owners.push((owner, lists)),
        }
        first
    }

    fn take(&mut self) -> BTreeMap<ServerId, Owners> {
        std::mem::take(&mut self.changed)
    }
}

impl Subscribers {
    /// Tells whoever listens, in a moment; the one user alone, where it is that user's own list.
    pub(crate) fn announce(
        self: &Arc<Self>,
        gateway: &Arc<Gateway>,
        server: ServerId,
        owner: Option<Principal>,
        lists: Lists,
    ) {
        // Who comes later has nothing that this could be news to.
        if !self.listen_to(&server) {
            return;
        }
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if announced.note(server, owner, lists) {
            let gateway = gateway.clone();
            gateway.env.control.clone().spawn(async move {
                tokio::time::sleep(MOMENT).await;
                gateway.subscribers.tell(&gateway).await;
            });
        }
    }

    async fn tell(&self, gateway: &Gateway) {
        let told = self.announced.lock().unwrap_or_else(PoisonError::into_inner).take();
        join_all(told.iter().map(|(server, owners)| self.tell_of(gateway, server, owners))).await;
    }

    async fn tell_of(&self, gateway: &Gateway, server: &ServerId, owners: &Owners) {
        let mut looking = Vec::new();
        for subscriber in self.listeners_of(server) {
            let caller = subscriber.caller();
            let theirs =
                |owner: &Option<Principal>| owner.as_ref().is_none_or(|owner| *owner == caller.principal);
            let lists = owners.iter().filter(|(owner, _)| theirs(owner)).map(|(_, lists)| *lists);
            let lists = lists.fold(Lists::NONE, |all, lists| all | lists);
            let lists = subscriber.mailbox.wanted_of(lists);
            if lists.is_empty() {
                continue;
            }
            if route::may_hide(gateway, &subscriber.endpoint, &caller) {
                let before = subscriber.seen(server);
                looking.push((subscriber, lists, before));
            } else {
                subscriber.mailbox.put_lists(lists);
            }
        }
        let all = looking.iter().fold(Lists::NONE, |all, (_, lists, _)| all | *lists);
        let callers: Vec<_> = looking.iter().map(|(subscriber, ..)| subscriber.caller()).collect();
        route::freshen(gateway, server, all, &callers).await;
        for (subscriber, lists, before) in looking {
            subscriber.mailbox.put_lists(subscriber.news(gateway, server, lists, &before));
        }
    }

    /// Those at an endpoint that shows something of a server.
    pub(super) fn listeners_of(&self, server: &ServerId) -> Vec<Arc<Subscriber>> {
        let all = self.lock();
        let at = all.iter().filter(|(endpoint, _)| self.shows(endpoint, server));
        at.flat_map(|(_, there)| there.values().filter_map(Weak::upgrade)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_a_moment_are_one() {
        let server = |name: &str| ServerId::parse(name).unwrap();
        let mut announced = Announced::default();
        let user = Some(Principal::Anonymous);
        assert!(announced.note(server("b"), None, Lists::TOOLS));
        assert!(!announced.note(server("b"), None, Lists::TOOLS));
        assert!(!announced.note(server("b"), user.clone(), Lists::TOOLS));
        assert!(!announced.note(server("b"), user.clone(), Lists::PROMPTS));
        assert!(!announced.note(server("a"), None, Lists::PROMPTS));
        let prompts = vec![(None, Lists::PROMPTS)];
        let both = vec![(None, Lists::TOOLS), (user, Lists::TOOLS | Lists::PROMPTS)];
        assert_eq!(announced.take(), BTreeMap::from([(server("a"), prompts), (server("b"), both)]));
        assert!(announced.note(server("b"), None, Lists::TOOLS), "the next moment begins anew");
    }
}
