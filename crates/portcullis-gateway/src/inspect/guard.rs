//! The guard in force: an engine, the rules, and what they came to for whom.
//!
//! Replaced as a whole when the configuration changes; calls under way end with the one that they began with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_lc_rs::{hmac, rand};
use foldhash::HashMap;
use portcullis_config::{self as config, Direction, Effect, GuardRule, GuardScope, Settings};
use portcullis_guard::{Action, Engine, Entity, EntitySet, KnownValues, Limits};
use portcullis_model::Principal;
use portcullis_telemetry::Metrics;

use super::decision::{Decision, Form, default_action};
use super::pseudonyms::Vault;
use super::recogniser::Recogniser;
use super::schema::Schemas;
use crate::admit::Ruled;
use crate::call::Caller;

/// Decisions that are kept; there are as many as sets of rules that fit somebody and something together.
const MOST_KEPT: usize = 4096;
/// Rules in a set, four words of bits: as many as a configuration may have.
type Fitting = [u64; 4];

/// The guard.
pub(crate) struct Guard {
    /// `None` looks at definitions alone.
    pub(super) settings: Option<config::Guard>,
    pub(super) engine: Engine,
    pub(super) vault: Vault,
    pub(super) schemas: Schemas,
    pub(super) recogniser: Option<Recogniser>,
    pub(super) metrics: Metrics,
    key: hmac::Key,
    /// Groups by the id of a principal, as the operator says.
    groups: BTreeMap<String, BTreeSet<String>>,
    decisions: Mutex<HashMap<(Fitting, Direction, Form), Arc<Decision>>>,
    /// Those about which no rule is, by direction and form.
    usual: [[OnceLock<Arc<Decision>>; 3]; 2],
}

/// What a message is about.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) direction: Direction,
    pub(super) form: Form,
    pub(super) server: &'a str,
    pub(super) tool: Option<&'a str>,
    /// Nobody in particular, for definitions: rules about callers do not fit then.
    pub(super) caller: Option<&'a Caller>,
    /// What the policies said of the call, where that is known. Where it is not, what restricts by a policy does.
    pub(super) ruled: Option<&'a Ruled>,
}

impl Guard {
    /// The guard of a configuration.
    pub(crate) fn new(settings: &Settings, metrics: &Metrics) -> Arc<Self> {
        let guard = settings.guard.clone();
        let master = guard.as_ref().and_then(|guard| guard.key).unwrap_or_else(|| {
            let mut key = [0; 32];
            rand::fill(&mut key).expect("the operating system has randomness");
            key
        });
        let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (group, members) in settings.policy.iter().flat_map(|policy| &policy.groups) {
            for member in members {
                groups.entry(member.clone()).or_default().insert(group.clone());
            }
        }
        let limits = Limits::default();
        let engine = portcullis_guard::Settings {
            entities: looked_for(guard.as_ref()),
            threshold: guard.as_ref().map_or(0.5, |guard| guard.threshold),
            allow: guard.as_ref().map(|guard| guard.allow.clone()).unwrap_or_default(),
            known: if guard.is_some() { known(settings) } else { KnownValues::default() },
            limits: Limits { bytes: guard.as_ref().map_or(limits.bytes, |guard| guard.max_bytes), ..limits },
        };
        Arc::new(Self {
            engine: Engine::new(&engine).expect("checked settings make an engine"),
            vault: Vault::new(&master, guard.as_ref().map(|guard| guard.pseudonyms).unwrap_or_default()),
            key: hmac::Key::new(hmac::HMAC_SHA256, &derive(&master, b"hash")),
            recogniser: guard.as_ref().and_then(|guard| guard.recogniser.as_ref()).map(Recogniser::of),
            settings: guard,
            schemas: Schemas::default(),
            metrics: metrics.clone(),
            groups,
            decisions: Mutex::default(),
            usual: Default::default(),
        })
    }

    /// Whether two configurations have the same.
    pub(crate) fn is_same(one: &Settings, other: &Settings) -> bool {
        let groups = |settings: &Settings| settings.policy.as_ref().map(|policy| policy.groups.clone());
        one.guard == other.guard
            && (one.guard.is_none() || (secrets(one) == secrets(other) && groups(one) == groups(other)))
    }

    /// Whether more is looked at than what servers say of themselves.
    pub(super) fn inspects_calls(&self) -> bool {
        self.settings.is_some()
    }

    /// Whether nothing is changed or stopped.
    pub(super) fn is_shadow(&self) -> bool {
        self.settings.as_ref().is_some_and(|settings| settings.shadow)
    }

    fn rules(&self) -> &[GuardRule] {
        self.settings.as_ref().map_or(&[], |settings| settings.rules.as_slice())
    }

    /// What a rule is called in what callers are told; `None` is the profile.
    pub(super) fn name_of(&self, rule: Option<usize>) -> String {
        match rule.and_then(|index| self.rules().get(index)) {
            Some(rule) => format!("rule `{}`", rule.name),
            None => match self.settings.as_ref().map(|settings| settings.profile) {
                Some(config::Profile::Strict) => "profile `strict`".to_owned(),
                _ => "profile `baseline`".to_owned(),
            },
        }
    }

    /// The rules about a message that hold because of the policies that permit its call.
    pub(super) fn obligations(&self, about: &About<'_>) -> Vec<String> {
        let mut caller = Who { guard: self, caller: about.caller, ruled: about.ruled, id: None };
        let by_policy = self.rules().iter().filter(|rule| !rule.scope.policies.is_empty());
        by_policy.filter(|rule| fits(rule, about, &mut caller)).map(|rule| rule.name.clone()).collect()
    }

    /// What the rules say to a message.
    pub(super) fn decide(&self, about: &About<'_>) -> Arc<Decision> {
        let mut fitting: Fitting = [0; 4];
        let mut caller = Who { guard: self, caller: about.caller, ruled: about.ruled, id: None };
        for (index, rule) in self.rules().iter().enumerate() {
            if fits(rule, about, &mut caller) {
                fitting[index / 64] |= 1 << (index % 64);
            }
        }
        let profile = self.settings.as_ref().map(|settings| settings.profile);
        let fresh = |rules: &[_]| {
            Arc::new(Decision::new(profile, rules, about.direction, about.form, self.key.clone()))
        };
        if fitting == Fitting::default() {
            let usual = &self.usual[about.direction as usize][about.form as usize];
            return usual.get_or_init(|| fresh(&[])).clone();
        }
        let key = (fitting, about.direction, about.form);
        let mut decisions = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decision) = decisions.get(&key) {
            return decision.clone();
        }
        let rules = self.rules().iter().enumerate();
        let rules: Vec<_> = rules.filter(|(index, _)| fitting[index / 64] & 1 << (index % 64) != 0).collect();
        let decision = fresh(&rules);
        if decisions.len() >= MOST_KEPT {
            decisions.clear();
        }
        decisions.insert(key, decision.clone());
        decision
    }
}

fn fits(rule: &GuardRule, about: &About<'_>, caller: &mut Who<'_>) -> bool {
    // What is not known is taken so that less passes.
    let strict = rule.restricts();
    let fits = |scope: &GuardScope, caller: &mut Who<'_>, unknown: bool| {
        scope.is_about(about.server, about.tool) && caller.is_in(scope, unknown)
    };
    rule.direction.is_none_or(|direction| direction == about.direction)
        && fits(&rule.scope, caller, strict)
        && !rule.unless.as_ref().is_some_and(|unless| fits(unless, caller, !strict))
}

/// Whoever calls, with what is only looked up when a rule asks for it.
struct Who<'a> {
    guard: &'a Guard,
    caller: Option<&'a Caller>,
    ruled: Option<&'a Ruled>,
    id: Option<String>,
}

impl Who<'_> {
    fn id(&mut self, principal: &Principal) -> &str {
        self.id.get_or_insert_with(|| principal.id())
    }

    fn is_in(&mut self, scope: &GuardScope, unknown: bool) -> bool {
        if !scope.is_about_callers() {
            return true;
        }
        let Some(caller) = self.caller else { return false };
        if !scope.policies.is_empty() && !self.ruled.map_or(unknown, |ruled| ruled.is_by(&scope.policies)) {
            return false;
        }
        let principal = &caller.principal;
        if !scope.principals.is_empty() {
            let id = self.id(principal);
            if !scope.principals.iter().any(|one| one == id) {
                return false;
            }
        }
        let Some(groups) = &scope.groups else { return true };
        if groups.iter().any(|group| principal.groups().contains(group)) {
            return true;
        }
        let guard = self.guard;
        !guard.groups.is_empty()
            && guard
                .groups
                .get(self.id(principal))
                .is_some_and(|given| groups.iter().any(|group| given.contains(group)))
    }
}

/// What somebody wants something done about: to look for more costs time and tells nobody anything.
fn looked_for(guard: Option<&config::Guard>) -> EntitySet {
    let definitions = EntitySet::NONE.with(Entity::HiddenText).with(Entity::Injection);
    let Some(guard) = guard else { return definitions };
    let mut looked_for = EntitySet::NONE;
    for rule in &guard.rules {
        let entities = match &rule.effect {
            Effect::Entities(entities, _) | Effect::Fields(_, Some(entities), _) => *entities,
            Effect::Fields(_, None, _) | Effect::Only(_) | Effect::Restore(_) => continue,
        };
        looked_for = entities.iter().fold(looked_for, EntitySet::with);
    }
    for entity in Entity::ALL {
        let acts =
            |direction, form| default_action(Some(guard.profile), direction, form, entity) != Action::Allow;
        if acts(Direction::ToClient, Form::Message)
            || acts(Direction::ToServer, Form::Message)
            || acts(Direction::ToClient, Form::Definition)
        {
            looked_for = looked_for.with(entity);
        }
    }
    looked_for
}

/// Shortest value of a configuration that is looked for as it is: shorter ones are words.
const SHORTEST_KNOWN: usize = 12;

/// What the gateway itself calls servers with and starts them with: it must not show, wherever it turns up.
fn known(settings: &Settings) -> KnownValues {
    let mut known = KnownValues::default();
    for value in secrets(settings) {
        known.add(value);
    }
    known
}

fn secrets(settings: &Settings) -> BTreeSet<&str> {
    let read = settings.all_servers().flat_map(given);
    let read = read.filter(|secret| *secret.source() != config::SecretSource::Literal);
    let values = read.map(config::Secret::expose).map(|value| value.strip_prefix("Bearer ").unwrap_or(value));
    values.filter(|value| value.len() >= SHORTEST_KNOWN).collect()
}

/// What a server is called with, or started with.
fn given(server: &config::Server) -> Vec<&config::Secret> {
    match &server.transport {
        config::Transport::Stdio(stdio) => stdio.env.values().chain(stdio.told.values()).collect(),
        config::Transport::Http(http) => {
            let query = http.openapi.iter().flat_map(|api| api.query.values());
            let image = http.image.iter().flat_map(|image| image.env.values());
            http.headers.values().chain(query).chain(image).collect()
        }
    }
}

/// A key for one purpose.
pub(super) fn derive(master: &[u8; 32], purpose: &[u8]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, master);
    let tag = hmac::sign(&key, &[b"portcullis guard ", purpose].concat());
    tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use portcullis_config::{Format, NextVersion, Overrides, Registered};
    use portcullis_model::ServerId;

    use super::*;

    fn settings(servers: &str) -> Settings {
        let env = ["ARGUED", "HEADER", "NEXT"];
        let env: BTreeMap<_, _> =
            env.iter().map(|name| (format!("{name}_KEY"), format!("the-key-that-is-{name}"))).collect();
        let text = format!(r#"{{"guard": {{}}, "servers": {{{servers}}}}}"#);
        let loaded = portcullis_config::parse("test.json", &text, Format::Json, &env, &Overrides::default());
        loaded.expect("well-formed").settings
    }

    #[test]
    fn what_any_version_is_called_or_started_with_is_known() {
        let mut all = settings(
            r#""a": {"command": "a", "args": ["--key=${ARGUED_KEY}"]},
               "b": {"url": "https://b.example/mcp", "headers": {"x-key": "${HEADER_KEY}"}}"#,
        );
        assert_eq!(
            secrets(&all).into_iter().collect::<Vec<_>>(),
            ["the-key-that-is-ARGUED", "the-key-that-is-HEADER"]
        );
        let before = all.clone();
        assert!(Guard::is_same(&all, &before));
        let b = ServerId::parse("b").expect("a slug");
        let next = settings(r#""b": {"url": "https://b.example/mcp", "headers": {"x-key": "${NEXT_KEY}"}}"#);
        let next = NextVersion {
            version: "2".to_owned(),
            offers: Arc::new([]),
            percent: 10,
            server: next.servers[&b].clone(),
        };
        let registered =
            Registered { version: "1".to_owned(), offers: Arc::new([]), next: Some(next.clone()) };
        all.registered.insert(b.clone(), registered);
        assert!(secrets(&all).contains("the-key-that-is-NEXT"));
        assert!(!Guard::is_same(&all, &before));
        // One more step is no reason to read everything again.
        let mut further = all.clone();
        let next = Some(NextVersion { percent: 50, ..next });
        further.registered.get_mut(&b).expect("it is there").next = next;
        assert!(Guard::is_same(&all, &further));
    }
}
