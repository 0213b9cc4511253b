//! Several versions of one server at the same time: one that is rolled out beside the one that most callers have, and those that
//! nobody is led to any more and that end what they began.
//!
//! Each version is a catalogue with a server of its own; the catalogue that all know is that of the version that most callers
//! have, and it knows the others. Who has which follows from who they are (`hub::registry::place`), so it is the same at every
//! gateway and after every restart. A session of an older revision keeps the version that it began with, and so do a task and a
//! request that comes back with a server's state: they name it ([`HeldTo`]). Whoever shows no credential is taken for the
//! session, or else for the connection.
//!
//! In the life of most servers there is one version, and all that it costs is a look whether there are others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use portcullis_config as config;
use portcullis_hub::registry::{Share, place};
use portcullis_mcp::revision::Era;
use portcullis_model::{Principal, ServerId};
use portcullis_oversight::{server_of, version_of};

use super::catalogue::Catalogue;
use super::trial::{Count, verdict};
use crate::call::Caller;
use crate::record::hex;
use crate::upstream::Server;

/// The other versions of a server.
#[derive(Default)]
pub(super) struct Versions(ArcSwapOption<Others>);

/// What they are.
pub(super) struct Others {
    /// The one that is rolled out, and to how many.
    next: Option<(Arc<Catalogue>, Share)>,
    leaving: Vec<Leaving>,
    sessions: Arc<Sessions>,
}

/// A version to which nobody is led any more.
#[derive(Clone)]
struct Leaving {
    catalogue: Arc<Catalogue>,
    /// What it began may end until then.
    until: Instant,
}

/// The versions that sessions have, by their ids.
#[derive(Default)]
struct Sessions(Mutex<HashMap<Arc<str>, Arc<str>>>);

/// The version that something was begun with, and goes on with as long as it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldTo {
    pub(crate) server: ServerId,
    pub(crate) version: Arc<str>,
}

impl HeldTo {
    /// Of what something was begun with; `None` where there is one version.
    pub(crate) fn of(scope: &str) -> Option<Self> {
        let server = ServerId::parse(server_of(scope)).ok()?;
        version_of(scope).map(|version| Self { server, version: version.into() })
    }
}

/// How a server's versions are, for whoever runs it.
pub(crate) struct Rollout {
    pub(crate) version: Option<Arc<str>>,
    pub(crate) count: Count,
    pub(crate) next: Option<NextReport>,
    /// With how long each may still take, in seconds.
    pub(crate) leaving: Vec<(Option<Arc<str>>, u64)>,
}

/// How the version that is rolled out is.
pub(crate) struct NextReport {
    pub(crate) version: Option<Arc<str>>,
    pub(crate) share: Share,
    pub(crate) count: Count,
    /// It did badly and was taken back; that is not on record everywhere yet.
    pub(crate) tripped: bool,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Others {
    fn all(&self) -> impl Iterator<Item = &Arc<Catalogue>> {
        self.next.iter().map(|(next, _)| next).chain(self.leaving.iter().map(|it| &it.catalogue))
    }

    fn find<'a>(&'a self, base: &'a Arc<Catalogue>, version: &str) -> Option<&'a Arc<Catalogue>> {
        std::iter::once(base).chain(self.all()).find(|it| is_version(it, version))
    }

    /// The version that a caller has; `keep` notes it for a session.
    fn choose(&self, base: &Arc<Catalogue>, caller: &Caller, keep: bool) -> Arc<Catalogue> {
        if let Some(held) = caller.held_to.as_deref().filter(|held| held.server == *base.server.id())
            && let Some(found) = self.find(base, &held.version)
        {
            return found.clone();
        }
        if caller.revision.era() == Era::Modern {
            return self.by_share(base, caller);
        }
        let mut sessions = self.sessions.lock();
        let known = sessions.get(&caller.conversation).and_then(|version| self.find(base, version));
        // What does badly keeps nobody.
        if let Some(known) = known.filter(|known| !known.server.is_tripped()) {
            return known.clone();
        }
        let chosen = self.by_share(base, caller);
        if let (Some(version), true) = (chosen.server.version(), keep) {
            sessions.insert(caller.conversation.clone(), version.clone());
        }
        chosen
    }

    fn by_share(&self, base: &Arc<Catalogue>, caller: &Caller) -> Arc<Catalogue> {
        let Some((next, share)) = &self.next else { return base.clone() };
        let version = next.server.version().map_or("", |version| &**version);
        let is_in = share.has(place(base.server.id().as_str(), version, &who(caller)));
        if is_in && !next.server.is_tripped() { next.clone() } else { base.clone() }
    }
}

fn is_version(catalogue: &Catalogue, version: &str) -> bool {
    let is = |it: &Arc<str>| **it == *version || (version.starts_with('#') && *in_id(it) == *version);
    catalogue.server.version().is_some_and(is)
}

/// A version as a word of an id that has to be short: itself, or else its digest.
pub(crate) fn in_id(version: &Arc<str>) -> Arc<str> {
    const LONGEST: usize = 64;
    if version.len() <= LONGEST && !version.contains(' ') {
        return version.clone();
    }
    let digest = digest(&SHA256, version.as_bytes());
    format!("#{}", &hex(digest.as_ref())[..LONGEST / 2]).into()
}

/// Who a caller is, as far as that decides which version they have.
fn who(caller: &Caller) -> String {
    match &caller.principal {
        Principal::Anonymous if caller.revision.era() == Era::Legacy => caller.conversation.to_string(),
        Principal::Anonymous => format!("connection:{}", caller.connection),
        known => known.id(),
    }
}

impl Catalogue {
    /// The version that the caller has.
    pub(crate) fn version_of(self: &Arc<Self>, caller: &Caller) -> Arc<Self> {
        match &*self.versions.0.load() {
            None => self.clone(),
            Some(others) => others.choose(self, caller, true),
        }
    }

    /// As the caller knows it, in the version that something was begun with, as long as that is there.
    pub(crate) fn of_version(self: &Arc<Self>, version: Option<&Arc<str>>, caller: &Caller) -> Arc<Self> {
        let others = self.versions.0.load();
        let found = others.as_ref().zip(version).and_then(|(others, version)| others.find(self, version));
        found.map_or_else(|| self.of(caller), |found| found.own_of(caller))
    }

    /// The same for a look that changes nothing.
    pub(crate) fn version_seen_by(self: &Arc<Self>, caller: &Caller) -> Option<Arc<str>> {
        let seen = match &*self.versions.0.load() {
            None => self.clone(),
            Some(others) => others.choose(self, caller, false),
        };
        seen.server.version().cloned()
    }

    /// Its other versions that are there.
    pub(crate) fn others(&self) -> Vec<Arc<Self>> {
        self.versions.0.load().as_ref().map(|others| others.all().cloned().collect()).unwrap_or_default()
    }

    /// The version of these settings that is there. One that was taken back is not used again.
    pub(super) fn find_version(
        self: &Arc<Self>,
        version: Option<&str>,
        settings: &config::Server,
    ) -> Option<Arc<Self>> {
        let others = self.versions.0.load();
        let next = others.iter().filter_map(|others| others.next.as_ref()).map(|(next, _)| next);
        let leaving = others.iter().flat_map(|others| &others.leaving).map(|it| &it.catalogue);
        let mut all = std::iter::once(self).chain(next).chain(leaving.filter(|it| !it.server.is_tripped()));
        all.find(|it| it.server.is_as(version, settings)).cloned()
    }

    /// The servers of all its users; its users are new ones after that.
    pub(super) fn own_servers(&self) -> Vec<Arc<Server>> {
        let mut all = self.take_users();
        all.push(self.server.clone());
        all
    }

    /// The same with those of its other versions.
    pub(crate) fn all_servers(&self) -> Vec<Arc<Server>> {
        let mut all = self.own_servers();
        all.extend(self.others().iter().flat_map(|other| other.own_servers()));
        all
    }

    /// Whether its callers do not all have the same.
    pub(crate) fn has_others(&self) -> bool {
        self.versions.0.load().is_some()
    }

    /// What its users and its other versions have of it, and theirs. Two versions may know each other for a moment, so nobody
    /// asks the others for more.
    pub(super) fn under(&self) -> Vec<Arc<Self>> {
        let mut all = self.users();
        for other in self.others() {
            all.extend(other.users());
            all.push(other);
        }
        all
    }

    /// A session has ended.
    pub(crate) fn end_session(&self, id: &Arc<str>) {
        self.server.end_conversation(id);
        for other in self.under() {
            other.server.end_conversation(id);
        }
        if let Some(others) = &*self.versions.0.load() {
            others.sessions.lock().remove(id);
        }
    }

    /// Why the version that is rolled out is to be taken back, if it is.
    pub(crate) fn next_verdict(&self) -> Option<(Arc<Self>, String)> {
        let others = self.versions.0.load();
        let (next, _) = others.as_ref()?.next.as_ref()?;
        if next.server.is_tripped() {
            return None;
        }
        let down = next.server.failures();
        let (counted, other) = (next.server.tally().lately_counted(), self.server.tally().lately_counted());
        verdict(counted, other, down.as_ref()).map(|why| (next.clone(), why))
    }

    /// The version that is rolled out.
    pub(crate) fn next_version(&self) -> Option<Arc<Self>> {
        self.versions.0.load().as_ref()?.next.as_ref().map(|(next, _)| next.clone())
    }

    /// Those whose time is over, which are let go by [`Self::let_go`].
    pub(crate) fn overdue(&self, now: Instant) -> bool {
        let others = self.versions.0.load();
        others.as_ref().is_some_and(|others| others.leaving.iter().any(|it| it.until <= now))
    }

    /// Lets those go whose time is over; returns their servers.
    pub(crate) fn let_go(&self, now: Instant) -> Vec<Arc<Server>> {
        let Some(others) = self.versions.0.load_full() else { return Vec::new() };
        let (gone, left): (Vec<_>, Vec<_>) = others.leaving.iter().cloned().partition(|it| it.until <= now);
        let next = others.next.clone();
        let rest = (next.is_some() || !left.is_empty())
            .then(|| Arc::new(Others { next, leaving: left, sessions: others.sessions.clone() }));
        self.versions.0.store(rest);
        gone.iter().flat_map(|it| it.catalogue.own_servers()).collect()
    }

    /// Forgets what sessions have that are not there any more. Whoever chooses a version does not wait while they are looked
    /// for.
    pub(crate) fn forget_sessions(&self, is_there: impl Fn(&str) -> bool) {
        let Some(others) = self.versions.0.load_full() else { return };
        let noted: Vec<_> = others.sessions.lock().keys().cloned().collect();
        for gone in noted.iter().filter(|id| !is_there(id)) {
            others.sessions.lock().remove(gone);
        }
    }

    /// How its versions are.
    pub(crate) fn rollout(&self) -> Rollout {
        let (others, now) = (self.versions.0.load(), Instant::now());
        let next = others.as_ref().and_then(|others| others.next.as_ref()).map(|(next, share)| NextReport {
            version: next.server.version().cloned(),
            share: *share,
            count: next.server.tally().lately_counted(),
            tripped: next.server.is_tripped(),
        });
        let left = |it: &Leaving| {
            (it.catalogue.server.version().cloned(), it.until.saturating_duration_since(now).as_secs())
        };
        Rollout {
            version: self.server.version().cloned(),
            count: self.server.tally().lately_counted(),
            next,
            leaving: others.iter().flat_map(|others| others.leaving.iter().map(left)).collect(),
        }
    }
}

/// What becomes of a server's versions with an update, for when all of that is settled.
pub(crate) struct Transition {
    /// The version that most callers have from now on.
    base: Arc<Catalogue>,
    others: Option<Arc<Others>>,
    /// What sessions that are there have, where nobody noted that yet.
    sessions_have: Option<Arc<str>>,
}

/// What was known of a server's versions before an update, and what is wanted of them.
pub(super) struct Change<'a> {
    pub(super) before: Option<&'a Arc<Catalogue>>,
    pub(super) base: &'a Arc<Catalogue>,
    pub(super) next: Option<(Arc<Catalogue>, Share)>,
    /// Until when what leaves may end what it began.
    pub(super) until: Instant,
}

impl Change<'_> {
    /// Whether the new version takes the old one's place, which ends what it began, rather than being another server.
    pub(super) fn is_succession(&self) -> bool {
        self.before.is_some_and(|before| {
            let (old, new) = (before.server.version(), self.base.server.version());
            Arc::ptr_eq(before, self.base) || (old.is_some() && new.is_some() && old != new)
        })
    }

    /// What becomes of them; `None` where there is one version and there was. Also the catalogues that end at once.
    pub(super) fn plan(self) -> (Option<Transition>, Vec<Arc<Catalogue>>) {
        let old = self.before.and_then(|before| before.versions.0.load_full());
        let known = self.before.into_iter().chain(old.iter().flat_map(|old| old.all()));
        let stays = |it: &Arc<Catalogue>| {
            Arc::ptr_eq(it, self.base) || self.next.as_ref().is_some_and(|(next, _)| Arc::ptr_eq(it, next))
        };
        let gone: Vec<_> = known.filter(|it| !stays(it)).cloned().collect();
        let (leaving, ended) = if self.is_succession() { (gone, Vec::new()) } else { (Vec::new(), gone) };

        let until = |catalogue: &Arc<Catalogue>| {
            let before = old.iter().flat_map(|old| &old.leaving);
            let known = before.filter(|it| Arc::ptr_eq(&it.catalogue, catalogue)).map(|it| it.until).next();
            known.unwrap_or(self.until)
        };
        let leaving: Vec<_> =
            leaving.into_iter().map(|catalogue| Leaving { until: until(&catalogue), catalogue }).collect();
        if self.next.is_none() && leaving.is_empty() {
            let transition = old.is_some().then(|| Transition {
                base: self.base.clone(),
                others: None,
                sessions_have: None,
            });
            return (transition, ended);
        }
        let sessions_have =
            if old.is_none() { self.before.and_then(|it| it.server.version().cloned()) } else { None };
        let sessions = old.map(|old| old.sessions.clone()).unwrap_or_default();
        let others = Some(Arc::new(Others { next: self.next, leaving, sessions }));
        (Some(Transition { base: self.base.clone(), others, sessions_have }), ended)
    }
}

impl Transition {
    /// Whose versions they are.
    pub(crate) fn server(&self) -> &ServerId {
        self.base.server.id()
    }

    /// Tells the version that most callers have from now on of the others; `sessions` are those that are there. Whoever still
    /// finds the one that they had goes on as before.
    pub(crate) fn begin(&self, sessions: impl FnOnce() -> Vec<Arc<str>>) {
        let is_rolled_out = self.others.as_ref().is_some_and(|others| others.next.is_some());
        self.base.server.put_on_trial(false);
        self.base.server.tally().count(is_rolled_out);
        if let Some(others) = &self.others {
            if let Some(version) = &self.sessions_have {
                let there = sessions();
                others.sessions.lock().extend(there.into_iter().map(|id| (id, version.clone())));
            }
            for other in others.all() {
                other.server.put_on_trial(true);
            }
            if let Some((next, _)) = &others.next {
                next.server.tally().count(true);
            }
        }
        self.base.versions.0.store(self.others.clone());
    }

    /// All find the version that most callers have from now on, and the others by that alone.
    pub(crate) fn end(self) {
        for other in self.others.iter().flat_map(|others| others.all()) {
            other.versions.0.store(None);
        }
    }
}
