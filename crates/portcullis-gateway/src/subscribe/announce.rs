//! Changes of lists, on their way to those who listen.
//!
//! Servers tend to announce several changes in a row, and one reload changes many servers: what comes within a moment is
//! told as one. The catalogue forgets its lists at once, so whoever is told and asks again gets the new ones. Where something
//! may be hidden from somebody, the list is fetched first, and who sees no other than before is told nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use portcullis_mcp::subscription::Lists;
use portcullis_model::{Principal, ServerId};

use super::{Subscriber, Subscribers};
use crate::gateway::Gateway;
use crate::route;

/// From the first change to the telling.
const MOMENT: Duration = Duration::from_millis(250);
/// The longest that a server waits with its next change which announces another one whenever it is looked at.
const LONGEST: Duration = Duration::from_mins(1);

/// What has changed and was not told yet.
#[derive(Debug, Default)]
pub(super) struct Announced {
    /// By server, and by user where it is a user's own list.
    changed: BTreeMap<ServerId, Owners>,
    /// Whose changes are being told. What changes meanwhile waits: a server that announces on and on and does not list has one
    /// look at it under way, not one for each announcement.
    telling: BTreeSet<ServerId>,
    /// How often in a row a server has announced another change while it was looked at.
    restless: BTreeMap<ServerId, u32>,
    /// Whether somebody comes back for what has changed.
    due: bool,
}

/// Whose lists have changed, and which: all users' or one's.
type Owners = Vec<(Option<Principal>, Lists)>;

impl Announced {
    /// Notes a change; says whether somebody has to come back for it.
    fn note(&mut self, server: ServerId, owner: Option<Principal>, lists: Lists) -> bool {
        let owners = self.changed.entry(server).or_default();
        match owners.iter_mut().find(|(known, _)| *known == owner) {
            Some((_, known)) => *known |= lists,
            None => owners.push((owner, lists)),
        }
        !std::mem::replace(&mut self.due, true)
    }

    /// What is to be told now.
    fn take(&mut self) -> BTreeMap<ServerId, Owners> {
        self.due = false;
        let changed = std::mem::take(&mut self.changed);
        let (later, now): (BTreeMap<_, _>, BTreeMap<_, _>) =
            changed.into_iter().partition(|(server, _)| self.telling.contains(server));
        self.changed = later;
        self.telling.extend(now.keys().cloned());
        now
    }

    /// How long a server's next change waits, for one of what was told has come while it was looked at: each time in a row for
    /// longer.
    fn pause(&mut self, server: &ServerId, told: &Owners) -> Option<Duration> {
        let again = |owner: &Option<Principal>| told.iter().any(|(other, _)| other == owner);
        if !self.changed.get(server).is_some_and(|owners| owners.iter().any(|(owner, _)| again(owner))) {
            self.restless.remove(server);
            return None;
        }
        let often = self.restless.entry(server.clone()).or_default();
        let pause = MOMENT.saturating_mul(1 << *often).min(LONGEST);
        *often = (*often + 1).min(16);
        Some(pause)
    }

    /// Notes that a server's changes were told; says whether somebody has to come back for others.
    fn told(&mut self, server: &ServerId) -> bool {
        self.telling.remove(server);
        self.changed.contains_key(server) && !std::mem::replace(&mut self.due, true)
    }
}

fn tell_in_a_moment(gateway: &Arc<Gateway>) {
    let gateway = gateway.clone();
    gateway.env.control.clone().spawn(async move {
        tokio::time::sleep(MOMENT).await;
        gateway.subscribers.tell(&gateway).await;
    });
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
        if self.announced().note(server, owner, lists) {
            tell_in_a_moment(gateway);
        }
    }

    async fn tell(&self, gateway: &Arc<Gateway>) {
        let told = self.announced().take();
        join_all(told.iter().map(async |(server, owners)| {
            self.tell_of(gateway, server, owners).await;
            let pause = self.announced().pause(server, owners);
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
            if self.announced().told(server) {
                tell_in_a_moment(gateway);
            }
        }))
        .await;
    }

    fn announced(&self) -> MutexGuard<'_, Announced> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell_of(&self, gateway: &Gateway, server: &ServerId, owners: &Owners) {
        let mut told = Vec::new();
        for subscriber in self.listeners_of(server) {
            let caller = subscriber.caller();
            let theirs =
                |owner: &Option<Principal>| owner.as_ref().is_none_or(|owner| *owner == caller.principal);
            let lists = owners.iter().filter(|(owner, _)| theirs(owner)).map(|(_, lists)| *lists);
            let lists = lists.fold(Lists::NONE, |all, lists| all | lists);
            let lists = subscriber.mailbox.wanted_of(lists);
            if !lists.is_empty() {
                told.push((subscriber, lists));
            }
        }
        self.tell_some(gateway, server, told).await;
    }

    /// Tells these, each of these lists, as far as that is news to them.
    pub(super) async fn tell_some(
        &self,
        gateway: &Gateway,
        server: &ServerId,
        told: Vec<(Arc<Subscriber>, Lists)>,
    ) {
        let mut looking = Vec::new();
        for (subscriber, lists) in told {
            let caller = subscriber.caller();
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

    #[test]
    fn a_server_that_is_being_looked_at_waits_with_its_next_change() {
        let id = |name: &str| ServerId::parse(name).unwrap();
        let mut announced = Announced::default();
        assert!(announced.note(id("slow"), None, Lists::NONE));
        assert!(!announced.note(id("slow"), None, Lists::NONE), "somebody comes back already");
        assert_eq!(announced.take().len(), 1);
        assert!(announced.note(id("slow"), None, Lists::NONE));
        assert!(!announced.note(id("other"), None, Lists::NONE));
        let now = announced.take();
        assert!(now.len() == 1 && now.contains_key("other"), "{now:?}");
        assert!(!announced.told(&id("other")), "nothing of it is left");
        assert!(announced.told(&id("slow")), "its change is still to be told");
        assert!(announced.take().contains_key("slow"));
        assert!(!announced.told(&id("slow")));
    }

    #[test]
    fn one_that_changes_whenever_it_is_looked_at_is_looked_at_less_and_less() {
        let id = ServerId::parse("restless").unwrap();
        let mut announced = Announced::default();
        let told = vec![(None, Lists::TOOLS)];
        announced.note(id.clone(), None, Lists::TOOLS);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            announced.take();
            announced.note(id.clone(), None, Lists::TOOLS);
            pauses.push(announced.pause(&id, &told).expect("it has changed"));
            announced.told(&id);
        }
        assert_eq!(pauses[..3], [MOMENT, 2 * MOMENT, 4 * MOMENT]);
        assert_eq!(pauses[11], LONGEST);
        announced.take();
        assert_eq!(announced.pause(&id, &told), None, "it has come to rest");
        announced.told(&id);
        announced.note(id.clone(), None, Lists::TOOLS);
        announced.take();
        announced.note(id.clone(), None, Lists::TOOLS);
        assert_eq!(announced.pause(&id, &told), Some(MOMENT), "and begins anew");
        announced.told(&id);
        announced.take();
        announced.note(id.clone(), Some(Principal::Anonymous), Lists::TOOLS);
        assert_eq!(announced.pause(&id, &told), None, "that is another user's");
    }
}
