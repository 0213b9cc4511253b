//! A server as each of its users knows it, where they are called with credentials of their own.
//!
//! Everything that was got with a user's credential stays with that user: lists, conversations, feeds, what is known of the
//! server's health. So each has a catalogue and a server of their own, over the same connections. They are made when
//! they are first needed and let go when nobody has used them for a while; so many are kept.

use std::collections::HashMap;
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
#[derive(Default)]
pub(super) struct Personal {
    all: Mutex<HashMap<Principal, Held>>,
}

struct Held {
    catalogue: Arc<Catalogue>,
    used: Instant,
}

impl Personal {
    /// The user's own, made of what all have in common.
    fn find(&self, base: &Arc<Server>, principal: &Principal) -> Arc<Catalogue> {
        let mut all = self.lock();
        if let Some(held) = all.get_mut(principal) {
            held.used = Instant::now();
            return held.catalogue.clone();
        }
        if all.len() >= MOST
            && let Some(oldest) = all.iter().min_by_key(|(_, held)| held.used).map(|(who, _)| who.clone())
            && let Some(held) = all.remove(&oldest)
        {
            let server = held.catalogue.server.clone();
            base.env().control.spawn(server.retire(base.settings().call_timeout));
        }
        let catalogue = Catalogue::new(base.for_owner(principal.clone()));
        let held = Held { catalogue: catalogue.clone(), used: Instant::now() };
        all.insert(principal.clone(), held);
        catalogue
    }

    pub(super) fn all(&self) -> Vec<Arc<Catalogue>> {
        self.lock().values().map(|held| held.catalogue.clone()).collect()
    }

    fn take(&self, is_over: impl Fn(&Held) -> bool) -> Vec<Arc<Server>> {
        self.lock()
            .extract_if(|_, held| is_over(held))
            .map(|(_, held)| held.catalogue.server.clone())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Principal, Held>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Catalogue {
    /// The server as the caller knows it.
    pub(crate) fn of(self: &Arc<Self>, caller: &Caller) -> Arc<Self> {
        let Some(personal) = &self.personal else { return self.clone() };
        let own = personal.find(&self.server, &caller.principal);
        if let Some(subject) = &caller.subject {
            own.server.offer(subject);
        }
        own
    }

    /// The server as a user knows it; `None` where all know it alike.
    pub(crate) fn of_user(self: &Arc<Self>, principal: &Principal) -> Option<Arc<Self>> {
        self.personal.as_ref().map(|personal| personal.find(&self.server, principal))
    }

    /// The same by the user's id.
    pub(crate) fn of_id(self: &Arc<Self>, id: &str) -> Option<Arc<Self>> {
        let known = self.users().into_iter().find(|own| own.server.owner().is_some_and(|it| it.id() == id));
        known.or_else(|| self.of_user(&principal(id)?))
    }

    /// What its users have of it.
    pub(crate) fn users(&self) -> Vec<Arc<Self>> {
        self.personal.as_ref().map(Personal::all).unwrap_or_default()
    }

    /// Takes out those whom nobody has needed for a while.
    pub(crate) fn take_idle(&self) -> Vec<Arc<Server>> {
        self.personal.as_ref().map(|all| all.take(|held| held.used.elapsed() >= IDLE)).unwrap_or_default()
    }

    /// Takes out all.
    pub(crate) fn take_users(&self) -> Vec<Arc<Server>> {
        self.personal.as_ref().map(|all| all.take(|_| true)).unwrap_or_default()
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
