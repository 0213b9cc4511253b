//! What is remembered of decisions, for each caller.
//!
//! Policies do not change, and so a decision stands for as long as what it depends on: the caller with all that is vouched
//! for, the thing with what its server says of it, and, where a policy asks for them, the second and the address.
//! Decisions that depend on arguments are made each time.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use cedar_policy::EntityUid;

use crate::action::Action;
use crate::caller::Caller;
use crate::circumstances::Circumstances;
use crate::policies::Decision;
use crate::shelf::{Shelves, lock};
use crate::step_up::Wider;
use crate::thing::{Thing, ThingKind};
use crate::unknown::Reads;

/// Decisions remembered for one caller; when there are more, it begins anew.
const MOST_DECISIONS: usize = 1_024;
/// The longest name of a thing that is remembered, in bytes: callers make up URIs.
const LONGEST_NAME: usize = 512;
/// The same for lists.
const MOST_LISTS: usize = 512;

/// A caller, with what is remembered about it.
#[derive(Debug)]
pub struct Subject {
    pub(crate) caller: Caller,
    pub(crate) shelves: Arc<Shelves>,
    /// The same with all the scopes that it could have.
    pub(crate) wider: Option<Box<Wider>>,
    hasher: RandomState,
    decisions: Mutex<HashMap<u64, Decided, BuildHasherDefault<Hashed>>>,
    lists: Mutex<HashMap<(Action, u64), Listed>>,
}

/// Keys that are hashes already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// What is shown of a list.
type Listed = (Arc<[bool]>, Standing);

#[derive(Debug)]
struct Decided {
    action: Action,
    server: Box<str>,
    kind: ThingKind,
    name: Box<str>,
    decision: Decision,
    standing: Standing,
}

/// How long something stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    second: Option<u64>,
    #[allow(clippy::option_option, reason = "whether it counts, and whether there is one")]
    ip: Option<Option<IpAddr>>,
}

impl Standing {
    /// How long what depends on `reads` stands; `None` for no time at all.
    pub(crate) fn of(reads: Reads, circumstances: &Circumstances) -> Option<Self> {
        (!reads.any(Reads::ARGUMENTS)).then(|| Self {
            second: reads.any(Reads::TIME).then(|| circumstances.second()),
            ip: reads.any(Reads::NETWORK).then_some(circumstances.ip),
        })
    }

    fn stands(&self, circumstances: &Circumstances) -> bool {
        self.second.is_none_or(|second| second == circumstances.second())
            && self.ip.is_none_or(|ip| ip == circumstances.ip)
    }
}

impl Subject {
    pub(crate) fn new(caller: Caller, shelves: Arc<Shelves>) -> Self {
        Self {
            caller,
            shelves,
            wider: None,
            hasher: RandomState::new(),
            decisions: Mutex::default(),
            lists: Mutex::default(),
        }
    }

    /// Whether the caller could have a token with more scopes that policies ask for.
    pub fn could_step_up(&self) -> bool {
        self.wider.is_some()
    }

    /// The caller with more scopes: where it is among principals stays.
    pub(crate) fn with_scopes(&self, more: &[String]) -> Self {
        let mut caller = self.caller.clone();
        caller.scopes.get_or_insert_default().extend_from_slice(more);
        Self::new(caller, self.shelves.clone())
    }

    /// Where the caller is among principals.
    pub(crate) fn place(&self) -> (&'static str, &HashSet<EntityUid>) {
        (self.caller.kind, &self.caller.around)
    }

    /// Where a decision is kept. A call asks for some, and to hash member by member costs more than to decide: two that fall
    /// together are told apart by what is kept with them.
    fn key(&self, action: Action, thing: &Thing<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(u64::from(action as u8) << 8 | u64::from(thing.kind.number()));
        hasher.write(thing.server.as_bytes());
        // No server's name has it.
        hasher.write_u8(0xff);
        hasher.write(thing.name.as_bytes());
        hasher.finish()
    }

    pub(crate) fn recall(
        &self,
        action: Action,
        thing: &Thing<'_>,
        circumstances: &Circumstances,
    ) -> Option<Decision> {
        let decisions = lock(&self.decisions);
        let decided = decisions.get(&self.key(action, thing))?;
        let same = decided.action == action
            && *decided.server == *thing.server
            && *decided.name == *thing.name
            && decided.kind == thing.kind;
        (same && decided.standing.stands(circumstances)).then(|| decided.decision.clone())
    }

    pub(crate) fn remember(
        &self,
        action: Action,
        thing: &Thing<'_>,
        decision: &Decision,
        standing: Standing,
    ) {
        if thing.name.len() > LONGEST_NAME {
            return;
        }
        let decided = Decided {
            action,
            server: thing.server.into(),
            kind: thing.kind,
            name: thing.name.into(),
            decision: decision.clone(),
            standing,
        };
        let mut decisions = lock(&self.decisions);
        if decisions.len() >= MOST_DECISIONS {
            decisions.clear();
        }
        decisions.insert(self.key(action, thing), decided);
    }

    pub(crate) fn recall_list(
        &self,
        action: Action,
        list: u64,
        circumstances: &Circumstances,
    ) -> Option<Arc<[bool]>> {
        let lists = lock(&self.lists);
        let (kept, standing) = lists.get(&(action, list))?;
        standing.stands(circumstances).then(|| kept.clone())
    }

    pub(crate) fn remember_list(&self, action: Action, list: u64, kept: Arc<[bool]>, standing: Standing) {
        let mut lists = lock(&self.lists);
        if lists.len() >= MOST_LISTS {
            lists.clear();
        }
        lists.insert((action, list), (kept, standing));
    }
}
