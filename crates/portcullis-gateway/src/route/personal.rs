//! A server as each of its users knows it, where they are called with credentials of their own.
//!
//! Everything that was got with a user's credential stays with that user: lists, conversations, feeds, what is known of the
//! server's health. So each has a catalogue and a server of their own, over the same connections. They are made when
//! they are first needed and let go when nobody has used them for a while; so many are kept. Where callers' tokens are
//! exchanged, a user who shows a token of other scopes has another one: what was got for a token that may do more is not used
//! for one that may do less.
//!
//! Nothing that is in use is let go: no call under way, no resource that somebody watches, no user who listens for changes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_model::{Key, Principal, User};

use super::catalogue::Catalogue;
use crate::call::Caller;
use crate::upstream::Server;

/// Users of one server.
const MOST: usize = 1_000;
/// Who has not called for so long begins anew.
const IDLE: Duration = Duration::from_mins(30);

/// The users of one server.
pub(super) struct Personal(Mutex<Users<Catalogue>>);

impl Default for Personal {
    fn default() -> Self {
        Self(Mutex::new(Users { all: HashMap::new(), most: MOST }))
    }
}

/// Who is called for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Who {
    principal: Principal,
    /// What the token that is exchanged for them is good for.
    scopes: Arc<[String]>,
}

/// What each has, and when it was last needed.
struct Users<T> {
    all: HashMap<Who, Held<T>>,
    most: usize,
}

struct Held<T> {
    own: Arc<T>,
    used: Instant,
}

impl<T> Held<T> {
    /// Whether nobody has hold of it but whoever keeps it here.
    fn is_free(&self, in_use: impl Fn(&T) -> bool) -> bool {
        Arc::strong_count(&self.own) == 1 && !in_use(&self.own)
    }
}

impl<T> Users<T> {
    /// What somebody has, made if there is none; and what has to go for it. What is in use stays, though there are more than
    /// may be then: so many can only be in use as may call and listen.
    fn find(
        &mut self,
        who: Who,
        now: Instant,
        make: impl FnOnce() -> Arc<T>,
        in_use: impl Fn(&T) -> bool,
    ) -> (Arc<T>, Option<Arc<T>>) {
        if let Some(held) = self.all.get_mut(&who) {
            held.used = now;
            return (held.own.clone(), None);
        }
        let mut gone = None;
        if self.all.len() >= self.most {
            let free = self.all.iter().filter(|(_, held)| held.is_free(&in_use));
            let oldest = free.min_by_key(|(_, held)| held.used).map(|(who, _)| who.clone());
            gone = oldest.and_then(|oldest| self.all.remove(&oldest)).map(|held| held.own);
        }
        let own = make();
        self.all.insert(who, Held { own: own.clone(), used: now });
        (own, gone)
    }

    /// Takes out what nobody has needed for a while. What is in use is needed now.
    fn take_idle(
        &mut self,
        now: Instant,
        listening: &HashSet<Principal>,
        in_use: impl Fn(&T) -> bool,
    ) -> Vec<Arc<T>> {
        for (who, held) in &mut self.all {
            if listening.contains(&who.principal) || !held.is_free(&in_use) {
                held.used = now;
            }
        }
        let idle = self.all.extract_if(|_, held| now.saturating_duration_since(held.used) >= IDLE);
        idle.map(|(_, held)| held.own).collect()
    }
}

impl Personal {
    /// The user's own, made of what all have in common.
    fn find(&self, base: &Arc<Server>, who: &Who) -> Arc<Catalogue> {
        let make = || Catalogue::new(base.for_owner(who.principal.clone()));
        let (own, gone) = self.lock().find(who.clone(), Instant::now(), make, is_in_use);
        if let Some(gone) = gone {
            base.env().control.spawn(gone.server.clone().retire(base.settings().call_timeout));
        }
        own
    }

    fn lock(&self) -> MutexGuard<'_, Users<Catalogue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_in_use(catalogue: &Catalogue) -> bool {
    catalogue.server.is_in_use()
}

impl Catalogue {
    /// The server as the caller knows it, in the version that the caller has.
    pub(crate) fn of(self: &Arc<Self>, caller: &Caller) -> Arc<Self> {
        self.version_of(caller).own_of(caller)
    }

    pub(super) fn own_of(self: &Arc<Self>, caller: &Caller) -> Arc<Self> {
        let Some(personal) = &self.personal else { return self.clone() };
        let subject = caller.subject.as_ref().filter(|_| self.server.takes_subjects());
        let scopes = subject.map(|subject| subject.scopes().clone()).unwrap_or_default();
        let own = personal.find(&self.server, &Who { principal: caller.principal.clone(), scopes });
        if let Some(subject) = subject {
            own.server.offer(subject);
        }
        own
    }

    /// The server as a user knows it; `None` where all know it alike.
    pub(crate) fn of_user(self: &Arc<Self>, principal: &Principal) -> Option<Arc<Self>> {
        let who = Who { principal: principal.clone(), scopes: Arc::default() };
        self.personal.as_ref().map(|personal| personal.find(&self.server, &who))
    }

    /// The same by the user's id.
    pub(crate) fn of_id(self: &Arc<Self>, id: &str) -> Option<Arc<Self>> {
        let known = self.users().into_iter().find(|own| own.server.owner().is_some_and(|it| it.id() == id));
        known.or_else(|| self.of_user(&principal(id)?))
    }

    /// What its users have of it.
    pub(crate) fn users(&self) -> Vec<Arc<Self>> {
        let Some(personal) = &self.personal else { return Vec::new() };
        personal.lock().all.values().map(|held| held.own.clone()).collect()
    }

    /// What one of its users has of it.
    pub(crate) fn those_of(&self, owner: &Principal) -> Vec<Arc<Self>> {
        let mut all = self.users();
        all.extend(self.others().iter().flat_map(|other| other.users()));
        all.retain(|own| own.server.owner() == Some(owner));
        all
    }

    /// Takes out those whom nobody has needed for a while, and who do not listen.
    pub(crate) fn take_idle(&self, listening: &HashSet<Principal>) -> Vec<Arc<Server>> {
        let idle = self.personal.as_ref().map(|personal| {
            let idle = personal.lock().take_idle(Instant::now(), listening, is_in_use);
            idle.into_iter().map(|own| own.server.clone())
        });
        let others = self.others();
        let of_others = others.iter().flat_map(|other| other.take_idle(listening));
        idle.into_iter().flatten().chain(of_others).collect()
    }

    /// Takes out all.
    pub(crate) fn take_users(&self) -> Vec<Arc<Server>> {
        let Some(personal) = &self.personal else { return Vec::new() };
        personal.lock().all.drain().map(|(_, held)| held.own.server.clone()).collect()
    }
}

/// Whoever has this id; of them no more is known than that.
fn principal(id: &str) -> Option<Principal> {
    if id == Principal::Anonymous.id() {
        return Some(Principal::Anonymous);
    }
    if let Some(user) = id.strip_prefix("user:") {
        let (issuer, subject) = user.split_once('#')?;
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        return Some(Principal::user(User { issuer, subject, ..User::default() }));
    }
    if let Some(fingerprint) = id.strip_prefix("cert:") {
        return Some(Principal::Certificate { fingerprint: fingerprint.into() });
    }
    if let Some(key) = id.strip_prefix("key:") {
        return Some(Principal::key(Key { id: key.to_owned(), ..Key::default() }));
    }
    id.starts_with("spiffe://").then(|| Principal::Workload { spiffe_id: id.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(id: &str, scopes: &[&str]) -> Who {
        let scopes = scopes.iter().map(|&scope| scope.to_owned()).collect();
        Who { principal: Principal::key(Key { id: id.to_owned(), ..Key::default() }), scopes }
    }

    /// Users of something that is in use when it says so.
    fn users(most: usize) -> Users<bool> {
        Users { all: HashMap::new(), most }
    }

    impl Users<bool> {
        fn get(&mut self, id: &str, scopes: &[&str], now: Instant, busy: bool) -> (Arc<bool>, bool) {
            let (own, gone) = self.find(who(id, scopes), now, || Arc::new(busy), |busy| *busy);
            (own, gone.is_some())
        }

        fn has(&self, id: &str) -> bool {
            self.all.contains_key(&who(id, &[]))
        }
    }

    #[test]
    fn whoever_shows_a_token_of_other_scopes_has_another_one() {
        let (mut users, now) = (users(9), Instant::now());
        let (wide, _) = users.get("ada", &["admin", "mcp"], now, false);
        let (narrow, _) = users.get("ada", &["mcp"], now, false);
        assert!(!Arc::ptr_eq(&wide, &narrow));
        assert!(Arc::ptr_eq(&wide, &users.get("ada", &["admin", "mcp"], now, false).0));
    }

    #[test]
    fn what_is_in_use_is_not_let_go_however_long_it_takes() {
        let (mut users, start) = (users(9), Instant::now());
        users.get("idle", &[], start, false);
        users.get("calls", &[], start, true);
        users.get("listens", &[], start, false);
        let (held, _) = users.get("held", &[], start, false);
        let listening = HashSet::from([who("listens", &[]).principal]);
        let later = start + IDLE;
        assert!(users.take_idle(start + IDLE / 2, &listening, |busy| *busy).is_empty());
        assert_eq!(users.take_idle(later, &listening, |busy| *busy).len(), 1);
        assert!(!users.has("idle") && users.has("calls") && users.has("listens") && users.has("held"));
        // From the end of its use on, it may stay for as long as any.
        drop(held);
        assert!(users.take_idle(later + IDLE / 2, &listening, |busy| *busy).is_empty());
        assert_eq!(users.take_idle(later + IDLE, &listening, |busy| *busy).len(), 1);
        assert!(!users.has("held") && users.has("listens"));
        assert_eq!(users.take_idle(later + 2 * IDLE, &HashSet::new(), |busy| *busy).len(), 1);
        assert!(users.has("calls") && !users.has("listens"));
    }

    #[test]
    fn room_is_made_by_the_oldest_that_is_not_in_use() {
        let (mut users, start) = (users(3), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        users.get("calls", &[], at(0), true);
        let (held, _) = users.get("held", &[], at(1), false);
        users.get("free", &[], at(2), false);
        assert!(users.get("new", &[], at(3), true).1, "one goes");
        assert!(!users.has("free") && users.has("calls") && users.has("held"));
        assert!(!users.get("more", &[], at(4), false).1, "all are in use, and stay");
        assert_eq!(users.all.len(), 4);
        drop(held);
        assert!(users.get("last", &[], at(5), false).1);
        assert!(!users.has("held") && users.has("calls") && users.has("new"));
    }

    #[test]
    fn an_id_leads_back_to_whoever_has_it() {
        let user = User { issuer: "https://idp/a".into(), subject: "x#y".into(), ..User::default() };
        for one in [
            Principal::Anonymous,
            Principal::user(user),
            Principal::key(Key { id: "ci".into(), ..Key::default() }),
            Principal::Certificate { fingerprint: "ab".into() },
            Principal::Workload { spiffe_id: "spiffe://d/p".into() },
        ] {
            assert_eq!(principal(&one.id()), Some(one));
        }
        assert_eq!(principal("nonsense"), None);
    }
}
