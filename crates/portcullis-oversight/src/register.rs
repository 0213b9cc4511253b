//! Which definitions are trusted, which are held back, and why.
//!
//! The first pin of a thing is trusted at first use, unless something speaks against it, or when somebody approves it; every
//! other pin is held back until somebody does. Of a version that was looked at before it was approved, that is the first sight:
//! what it comes up with later is held back, too. All is decided on what is known in memory; what was decided is kept in
//! records, one for each definition, and a mark beside them changes when one of them does, so that others who share the
//! store notice. Two that decide at the same time have one winner, and the other decides again.

mod ruling;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use portcullis_model::{Expected, Put, Records, Unavailable};

use crate::definition::{Definition, DefinitionKind, Pin};
use crate::entry::{Entry, Reason, Trusted, shortened};
use crate::hex::hex;
use crate::likeness::words;
use crate::now_ms;
use crate::review::{Candidate, Facts, Gone, Names, Suspicion, reasons};
use crate::scope::{Expectations, Offered, in_key, server_of};

/// The kind of the records.
pub const DEFINITION: &str = "definition";
/// One record that changes whenever one of them does.
const MARK: &str = "definition-mark";
const ALL: &str = "all";
/// Things of one kind that one server may have.
const MOST: usize = 20_000;
/// Texts of one kind of one server that are kept, in bytes, and how much of each is when they are more.
const MOST_BYTES: usize = 32 << 20;
const BEGINNING: usize = 256;
/// Longest name that is looked after, in bytes; what has a longer one is not let through.
const LONGEST_NAME: usize = 4 << 10;
/// Things that are gone, each compared with what is new.
const MOST_GONE: usize = 64;
const COMPARED: usize = 256;
/// Longest key that has a name in it.
const LONGEST_KEY: usize = 400;
const PAGE: usize = 500;
/// What was trusted unasked for no longer than this is looked at again when the names that it speaks of become known: servers
/// that start together are listed in any order. In milliseconds.
const RECENT: u64 = 5 * 60 * 1000;

/// What becomes of a definition that nobody has looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is trusted, unless something speaks against it.
    #[default]
    FirstUse,
    /// It is held back.
    Approve,
}

/// What was decided about a list.
#[derive(Debug, Default)]
pub struct Screened {
    /// What is held back from now on, of this server and of others.
    pub held: Vec<Entry>,
    /// How many are trusted from now on, unasked.
    pub trusted: usize,
    writes: Vec<Write>,
}

#[derive(Debug)]
struct Write {
    key: String,
    entry: Entry,
    /// The version that is replaced; `None` where there is none.
    version: Option<u64>,
}

/// What somebody decided about a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruled {
    /// It is so now.
    Done,
    /// There is nothing to decide: it is not held back, or it is not known.
    Nothing,
    /// What is held back now is not what was looked at.
    Another,
}

/// What somebody else was seen to have decided about a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The definition, as it is kept now.
    pub entry: Entry,
    /// Which of it.
    pub pin: Pin,
    /// Whether it is trusted now, or set aside.
    pub approved: bool,
    /// By whom.
    pub by: String,
    /// How long it had been held back, in milliseconds, where that is known.
    pub waited: Option<u64>,
}

struct Kept {
    entry: Entry,
    version: Option<u64>,
}

#[derive(Default)]
struct State {
    loaded: bool,
    mark: Option<u64>,
    entries: HashMap<(String, DefinitionKind), BTreeMap<String, Kept>>,
    names: Names,
}

/// The definitions of all servers.
pub struct Register {
    records: Arc<dyn Records>,
    suspicion: Option<Suspicion>,
    state: Mutex<State>,
    /// Grows with every decision.
    generation: AtomicU64,
    /// What others decided, until somebody asks.
    decided: Mutex<Vec<Decided>>,
    expected: Expectations,
}

impl Register {
    /// Of what is kept in `records`.
    pub fn new(records: Arc<dyn Records>, suspicion: Option<Suspicion>) -> Self {
        let generation = AtomicU64::new(1);
        let (state, decided, expected) = (Mutex::default(), Mutex::default(), Expectations::default());
        Self { records, suspicion, state, generation, decided, expected }
    }

    /// What versions of servers offered when they were approved, by their scopes. What was said of others before stays.
    pub fn expect(&self, all: HashMap<String, Arc<Offered>>) {
        self.expected.add(all);
    }

    /// Grows with every decision: what was derived from an older one may be wrong.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What others were seen to have decided since this was asked last.
    pub fn take_decided(&self) -> Vec<Decided> {
        std::mem::take(&mut self.decided.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what is kept, once.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn ready(&self) -> Result<(), Unavailable> {
        if self.lock().loaded { Ok(()) } else { self.load().await.map(drop) }
    }

    /// Looks whether anybody else has decided anything, and takes that up; returns the servers that it is about.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn refresh(&self) -> Result<BTreeSet<String>, Unavailable> {
        let mark = self.records.get(MARK, ALL).await?.map(|record| record.version);
        {
            let state = self.lock();
            if !state.loaded || state.mark == mark {
                return Ok(BTreeSet::new());
            }
        }
        self.load().await
    }

    async fn load(&self) -> Result<BTreeSet<String>, Unavailable> {
        let mark = self.records.get(MARK, ALL).await?.map(|record| record.version);
        let mut state = State { loaded: true, mark, ..State::default() };
        for (entry, version) in all(&*self.records).await? {
            state.put(entry, Some(version));
        }
        let mut now = self.lock();
        let changed = now.differs(&state);
        if now.loaded {
            let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
            decided.extend(now.decided_in(&state));
        }
        // What could not be written is known here alone.
        for kept in std::mem::take(&mut now.entries).into_values().flat_map(BTreeMap::into_values) {
            if kept.version.is_none()
                && state.find(&kept.entry.server, kept.entry.kind, &kept.entry.name).is_none()
            {
                state.put(kept.entry, None);
            }
        }
        *now = state;
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(changed)
    }

    /// Whether something is let through as it is now.
    pub fn trusts(&self, server: &str, kind: DefinitionKind, name: &str, pin: Pin) -> bool {
        self.lock().find(server, kind, name).is_some_and(|kept| kept.entry.trusts(pin))
    }

    /// Whether somebody has looked at something as it is now, and approved of it.
    pub fn approves(&self, server: &str, kind: DefinitionKind, name: &str, pin: Pin) -> bool {
        self.lock().find(server, kind, name).is_some_and(|kept| kept.entry.approves(pin))
    }

    /// Which of these are let through; `None` for all. For some, only what somebody has approved is.
    pub fn shown<'a>(
        &self,
        server: &str,
        kind: DefinitionKind,
        items: impl Iterator<Item = (&'a str, Pin, bool)>,
    ) -> Option<Arc<[bool]>> {
        let state = self.lock();
        let of = state.entries.get(&(server.to_owned(), kind));
        let trusts = |(name, pin, asked): (&str, Pin, bool)| {
            of.and_then(|of| of.get(name))
                .is_some_and(|kept| if asked { kept.entry.approves(pin) } else { kept.entry.trusts(pin) })
        };
        let shown: Arc<[bool]> = items.map(trusts).collect();
        shown.iter().any(|shown| !shown).then_some(shown)
    }

    /// Whether any pin of this name is trusted; `None` for what was never seen.
    pub fn knows(&self, server: &str, kind: DefinitionKind, name: &str) -> Option<bool> {
        self.lock().find(server, kind, name).map(|kept| !kept.entry.trusted.is_empty())
    }

    /// Why something is held back.
    pub fn reasons(&self, server: &str, kind: DefinitionKind, name: &str) -> Vec<Reason> {
        let state = self.lock();
        let held = state.find(server, kind, name).and_then(|kept| kept.entry.held.as_ref());
        held.map(|held| held.reasons.clone()).unwrap_or_default()
    }

    /// Whether there is anything to decide about a list.
    pub fn is_open(&self, server: &str, kind: DefinitionKind, listed: &[Definition]) -> bool {
        let state = self.lock();
        let known = state.entries.get(&(server.to_owned(), kind));
        listed.iter().any(|definition| is_open(known, definition))
    }

    /// Decides about a whole list, which takes its time when it is long. What was decided has to be [kept](Self::keep)
    /// before anything else is decided or read: whoever shares a register takes turns. `again` is for when keeping it was
    /// disturbed.
    pub fn screen(
        &self,
        mode: Mode,
        server: &str,
        kind: DefinitionKind,
        listed: &[Definition],
        again: bool,
    ) -> Screened {
        let mut screened = Screened::default();
        let there: BTreeSet<&str> = listed.iter().map(|definition| definition.name.as_str()).collect();
        let offered = self.expected.of(server);
        let (open, gone, baseline) = {
            let state = self.lock();
            let known = state.entries.get(&(server.to_owned(), kind));
            let open: Vec<_> = listed.iter().filter(|definition| is_open(known, definition)).collect();
            let is_gone =
                |kept: &&Kept| !kept.entry.trusted.is_empty() && !there.contains(kept.entry.name.as_str());
            let gone = known.into_iter().flat_map(BTreeMap::values).filter(is_gone).take(MOST_GONE);
            let gone: Vec<_> = gone.filter_map(|kept| Gone::of(&kept.entry)).collect();
            (open, gone, known.is_none_or(BTreeMap::is_empty))
        };
        if open.is_empty() && !again {
            return screened;
        }
        // Read while nobody waits for it.
        let suspicion = self.suspicion.as_ref();
        let read: Vec<(&Definition, Facts)> = open
            .into_iter()
            .enumerate()
            .map(|(place, one)| (one, Facts::of((server, one), &gone, place < COMPARED, &there, suspicion)))
            .collect();
        let mut state = self.lock();
        let mut room = Room::of(state.entries.get(&(server.to_owned(), kind)));
        let mut decided = Vec::new();
        for (definition, facts) in &read {
            let new = state.find(server, kind, &definition.name).is_none();
            if room.take(definition, new) {
                let baseline = baseline && state.is_first_of_its_server(server, kind, &definition.name);
                let offered = offered.as_ref().map(|all| all.get(&(kind, definition.name.clone())).copied());
                let unseen = kind.is_seen_whole() && offered == Some(None);
                let expected = offered.flatten();
                let candidate = Candidate { server, definition, baseline, expected, unseen, facts };
                decided.extend(decide(&state, mode, &candidate, room.longest()));
            }
        }
        let mut trusted = if again { state.trusted(server, kind) } else { BTreeSet::new() };
        for (entry, version, changed) in decided {
            if entry.held.is_none() {
                screened.trusted += usize::from(changed);
                trusted.insert(entry.name.clone());
            } else if changed {
                screened.held.push(entry.clone());
            }
            screened.writes.push(Write { key: key(&entry), entry: entry.clone(), version });
            state.put(entry, version);
        }
        if kind == DefinitionKind::Tool && !trusted.is_empty() {
            state.look_again(server, &trusted, &mut screened);
        }
        if !screened.writes.is_empty() {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
        screened
    }

    /// Writes down what was decided. False when somebody else has decided something meanwhile: then all of it has to be
    /// decided again.
    ///
    /// # Errors
    /// The store does not answer. What was decided is so nevertheless, as long as this process lives.
    pub async fn keep(&self, screened: Screened) -> Result<bool, Unavailable> {
        if screened.writes.is_empty() {
            return Ok(true);
        }
        let mut undisturbed = true;
        for Write { key, entry, version } in screened.writes {
            let expected = version.map_or(Expected::Absent, Expected::Version);
            match self.records.put(DEFINITION, &key, value(&entry), None, expected).await? {
                Put::Kept(version) => self.lock().settle(&entry, version),
                Put::Conflict => undisturbed = false,
            }
        }
        self.records.put(MARK, ALL, Vec::new(), None, Expected::Any).await?;
        if !undisturbed {
            self.load().await?;
        }
        Ok(undisturbed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a server may still have kept.
struct Room {
    things: usize,
    bytes: usize,
}

impl Room {
    fn of(known: Option<&BTreeMap<String, Kept>>) -> Self {
        let known = known.into_iter().flat_map(BTreeMap::values);
        let (things, bytes) =
            known.fold((0, 0), |(things, bytes), kept| (things + 1, bytes + kept.entry.size()));
        Self { things: MOST.saturating_sub(things), bytes: MOST_BYTES.saturating_sub(bytes) }
    }

    /// Whether there is any for this.
    fn take(&mut self, definition: &Definition, new: bool) -> bool {
        if new && self.things == 0 {
            return false;
        }
        self.things -= usize::from(new);
        self.bytes = self.bytes.saturating_sub(definition.text.len());
        true
    }

    /// So much of a text is kept; of a server that says too much, only the beginnings.
    fn longest(&self) -> usize {
        if self.bytes == 0 { BEGINNING } else { usize::MAX }
    }
}

/// The entry of a definition, what is replaced by it, and whether it says something else; `None` when nothing changes.
fn decide(
    state: &State,
    mode: Mode,
    candidate: &Candidate<'_>,
    longest: usize,
) -> Option<(Entry, Option<u64>, bool)> {
    let Candidate { server, definition, .. } = candidate;
    let known = state.find(server, definition.kind, &definition.name);
    let doubted = known.is_some_and(|kept| kept.entry.is_doubted(definition));
    if let Some(kept) = known
        && kept.entry.is_decided(definition.pin)
        && !doubted
    {
        // What could not be written down is tried again.
        return kept.version.is_none().then(|| (kept.entry.clone(), None, false));
    }
    let found = reasons(candidate, &state.names);
    let mut entry = known
        .map_or_else(|| Entry::new(server, definition.kind, &definition.name), |kept| kept.entry.clone());
    entry.trusted.retain(|trusted| !doubted || trusted.pin != definition.pin);
    let scanned = candidate.expected == Some(definition.pin);
    let first = match (known, mode) {
        _ if doubted || scanned => None,
        _ if candidate.expected.is_some() => Some(Reason::Changed),
        (Some(kept), _) if !kept.entry.trusted.is_empty() => Some(Reason::Changed),
        (_, Mode::Approve) => Some(Reason::New),
        // What was held back from the first is not let in by saying something else.
        (Some(_), Mode::FirstUse) => Some(Reason::Changed),
        (None, Mode::FirstUse) if candidate.unseen => Some(Reason::New),
        (None, Mode::FirstUse) => None,
    };
    let all: Vec<_> = first.into_iter().chain(found).collect();
    let text = shortened(&definition.text, longest);
    if all.is_empty() {
        let by = if scanned { Trusted::SCANNED } else { Trusted::FIRST_USE };
        entry.trust(definition.pin, text, by, now_ms());
    } else {
        entry.hold(definition.pin, text, all, now_ms());
    }
    Some((entry, known.and_then(|kept| kept.version), true))
}

/// Whether it is not known what becomes of a definition, or not written down. A name that is too long is never looked at.
fn is_open(known: Option<&BTreeMap<String, Kept>>, definition: &Definition) -> bool {
    let kept = known.and_then(|known| known.get(&definition.name));
    definition.name.len() <= LONGEST_NAME
        && kept.is_none_or(|kept| {
            let entry = &kept.entry;
            kept.version.is_none() || !entry.is_decided(definition.pin) || entry.is_doubted(definition)
        })
}

impl State {
    /// The names of a server that are trusted.
    fn trusted(&self, server: &str, kind: DefinitionKind) -> BTreeSet<String> {
        let of = self.entries.get(&(server.to_owned(), kind)).into_iter().flat_map(BTreeMap::values);
        of.filter(|kept| !kept.entry.trusted.is_empty()).map(|kept| kept.entry.name.clone()).collect()
    }

    fn find(&self, server: &str, kind: DefinitionKind, name: &str) -> Option<&Kept> {
        self.entries.get(&(server.to_owned(), kind))?.get(name)
    }

    /// Whether nothing of this kind is known of other versions of a server, or one of them has a thing of this name.
    fn is_first_of_its_server(&self, scope: &str, kind: DefinitionKind, name: &str) -> bool {
        let server = server_of(scope);
        let others = self
            .entries
            .iter()
            .filter(|((of, its), _)| *its == kind && server_of(of) == server && of != scope);
        let (mut any, mut known) = (false, false);
        for (_, of) in others {
            any |= !of.is_empty();
            known |= of.get(name).is_some_and(|kept| !kept.entry.trusted.is_empty());
        }
        known || !any
    }

    fn put(&mut self, entry: Entry, version: Option<u64>) {
        if !entry.trusted.is_empty() {
            self.names.add(&entry.server, entry.kind, &entry.name);
        }
        let of = self.entries.entry((entry.server.clone(), entry.kind)).or_default();
        of.insert(entry.name.clone(), Kept { entry, version });
    }

    /// An entry was written as it is.
    fn settle(&mut self, entry: &Entry, version: u64) {
        let of = self.entries.get_mut(&(entry.server.clone(), entry.kind));
        if let Some(kept) = of.and_then(|of| of.get_mut(&entry.name)).filter(|kept| kept.entry == *entry) {
            kept.version = Some(version);
        }
    }

    /// Names have become known that others, trusted unasked a moment ago, may speak of.
    fn look_again(&mut self, server: &str, names: &BTreeSet<String>, screened: &mut Screened) {
        let now = now_ms();
        let mut found = Vec::new();
        for kept in self.entries.values().flat_map(BTreeMap::values) {
            let entry = &kept.entry;
            let unasked = entry.trusted.iter().all(|one| !one.is_asked() && one.at + RECENT > now);
            let other = server_of(&entry.server) != server_of(server);
            let Some(text) = entry.text.as_ref().filter(|_| unasked && other) else { continue };
            // Most texts name none of them.
            let speaks = names.iter().any(|name| text.contains(name.as_str()));
            let spoken = || self.names.spoken_of(&entry.server, &words(text));
            let reason = if speaks { spoken() } else { None };
            let reason = reason.or_else(|| self.names.drawn_as(&entry.server, entry.kind, &entry.name));
            found.extend(reason.map(|reason| (entry.clone(), kept.version, reason)));
        }
        for (mut entry, version, reason) in found {
            let Some(last) = entry.trusted.pop() else { continue };
            entry.trusted.clear();
            let text = entry.text.take().unwrap_or_default();
            entry.hold(last.pin, &text, vec![reason], now);
            screened.held.push(entry.clone());
            screened.writes.push(Write { key: key(&entry), entry: entry.clone(), version });
            self.put(entry, version);
        }
    }

    /// What somebody has decided between this and what came after it.
    fn decided_in(&self, after: &Self) -> Vec<Decided> {
        let mut decided = Vec::new();
        for entry in after.entries.values().flat_map(BTreeMap::values).map(|kept| &kept.entry) {
            let before = self.find(&entry.server, entry.kind, &entry.name).map(|kept| &kept.entry);
            let was_held = before.and_then(|before| before.held.as_ref());
            let asked = entry.trusted.iter().filter(|trusted| trusted.is_asked());
            for trusted in
                asked.filter(|trusted| before.is_none_or(|before| !before.trusted.contains(trusted)))
            {
                let held = was_held.filter(|held| held.pin == trusted.pin);
                let waited = held.map(|held| trusted.at.saturating_sub(held.at));
                let (entry, by) = (entry.clone(), trusted.by.clone());
                decided.push(Decided { entry, pin: trusted.pin, approved: true, by, waited });
            }
            let Some(held) = &entry.held else { continue };
            let Some(by) = held.rejected_by.clone() else { continue };
            if was_held.is_none_or(|before| before.pin != held.pin || before.rejected_by.is_none()) {
                let waited = Some(now_ms().saturating_sub(held.at));
                decided.push(Decided { entry: entry.clone(), pin: held.pin, approved: false, by, waited });
            }
        }
        decided
    }

    /// The servers of which something is not as it was.
    fn differs(&self, other: &Self) -> BTreeSet<String> {
        let mut servers = BTreeSet::new();
        for (one, two) in [(self, other), (other, self)] {
            for ((server, kind), of) in &one.entries {
                let there = two.entries.get(&(server.clone(), *kind));
                let same = |kept: &Kept| {
                    there
                        .and_then(|there| there.get(&kept.entry.name))
                        .is_some_and(|it| it.entry == kept.entry)
                };
                if !of.values().all(same) {
                    servers.insert(server_of(server).to_owned());
                }
            }
        }
        servers
    }
}

/// All that is kept, with its versions. What cannot be read is left out: it trusts nothing then.
async fn all(records: &dyn Records) -> Result<Vec<(Entry, u64)>, Unavailable> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = records.list(DEFINITION, "", &after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after.clone_from(last);
        found.extend(
            page.iter().filter_map(|(_, record)| {
                Some((serde_json::from_slice(&record.value).ok()?, record.version))
            }),
        );
    }
}

/// Names may be long, and hold what no key can.
fn key(entry: &Entry) -> String {
    let whose = in_key(&entry.server);
    let plain = format!("{whose}/{}/{}", entry.kind, entry.name);
    if plain.len() <= LONGEST_KEY && !entry.name.starts_with('#') && !entry.name.contains(char::is_control) {
        return plain;
    }
    let digest = digest(&SHA256, entry.name.as_bytes());
    format!("{whose}/{}/#{}", entry.kind, hex(digest.as_ref()))
}

fn value(entry: &Entry) -> Vec<u8> {
    serde_json::to_vec(entry).expect("an entry prints")
}

#[cfg(test)]
mod tests;
