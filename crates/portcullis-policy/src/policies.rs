//! One set of policies: what is asked of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use cedar_policy::{Entity, EntityUid};
use portcullis_mcp::json::Raw;
use portcullis_model::Principal;

use crate::action::Action;
use crate::caller::{Caller, Membership, Vouched};
use crate::circumstances::Circumstances;
use crate::judge::Ruling;
use crate::load::{Options, load};
use crate::remember::{Standing, Subject};
use crate::rule::{Form, Rule};
use crate::schema::{self, Kind};
use crate::shelf::{Shelves, lock};
use crate::source::{Problem, Source};
use crate::step_up::StepUp;
use crate::thing::{Labels, Thing, entity, uid};
use crate::unknown::Reads;

/// Callers remembered at once, and sets of groups; when there are more, it begins anew.
const MOST_SUBJECTS: usize = 2_048;
const MOST_SHELVES: usize = 1_024;

/// Callers that no scope tells apart: their kind, and what of them is named.
type Alike = (&'static str, Vec<EntityUid>);

/// Things that no policy tells apart: the policies that can matter, their own labels, and all but the name.
type Class<'a> = (Vec<usize>, Vec<EntityUid>, Thing<'a>);

/// Which things of a list a caller is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Each in its place.
    pub things: Arc<[bool]>,
    /// Whether this was found out now, and not remembered.
    pub fresh: bool,
}

/// Whether something may be done, and which policies made it so.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Whether it may.
    pub allowed: bool,
    /// The policies that decided, by their numbers; none where nothing permits it. [`Policies::id`] says what they are called.
    pub reasons: Arc<[usize]>,
    /// Where it may not, and the caller's token only lacks scopes for it: the fewest that would do.
    pub lacks: Option<Arc<[String]>>,
}

impl Decision {
    pub(crate) fn deny() -> Self {
        Self { allowed: false, reasons: Arc::default(), lacks: None }
    }

    /// Whether it may, or could with a token of more scopes.
    pub fn is_in_reach(&self) -> bool {
        self.allowed || self.lacks.is_some()
    }
}

/// A set of policies, with what is remembered of its decisions.
pub struct Policies {
    pub(crate) rules: Vec<Rule>,
    pub(crate) labels: Labels,
    pub(crate) arguments: BTreeMap<String, Kind>,
    pub(crate) actions: Vec<EntityUid>,
    /// The actions with the groups that they are in.
    pub(crate) hierarchy: Vec<Entity>,
    pub(crate) step_up: StepUp,
    /// Whether any policy asks for the scopes of a token.
    pub(crate) asks_for_scopes: bool,
    claims: BTreeMap<String, Kind>,
    membership: Membership,
    warnings: Vec<Problem>,
    /// Every principal, group and role that a policy names in its scope: others tell no two callers apart.
    named: HashSet<EntityUid>,
    subjects: Mutex<HashMap<Vouched, Arc<Subject>>>,
    shelves: Mutex<HashMap<Alike, Arc<Shelves>>>,
}

impl Policies {
    /// Loads policies.
    ///
    /// # Errors
    /// Everything that is wrong with them, in the order of the sources.
    pub fn load(sources: &[Source], options: &Options) -> Result<Self, Vec<Problem>> {
        let loaded = load(sources, options)?;
        let named = loaded.rules.iter().filter_map(|rule| rule.principal.at().cloned()).collect();
        let asks = |rule: &Rule| rule.form(Form::Whole).is_some_and(|form| form.reads.any(Reads::SCOPES));
        Ok(Self {
            step_up: options.step_up.clone(),
            asks_for_scopes: loaded.rules.iter().any(asks),
            rules: loaded.rules,
            labels: Labels::new(&options.labels),
            arguments: options.arguments.clone(),
            actions: Action::all().map(|action| uid("Action", action.name())).collect(),
            hierarchy: hierarchy(),
            claims: options.claims.clone(),
            membership: Membership::new(&options.roles, &options.groups),
            warnings: loaded.warnings,
            named,
            subjects: Mutex::default(),
            shelves: Mutex::default(),
        })
    }

    /// The Cedar schema that policies are held against.
    pub fn schema(options: &Options) -> String {
        schema::text(&options.claims, &options.arguments)
    }

    /// What should be looked at.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none: then everything is denied.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The caller, with all that is vouched for about it now.
    pub fn subject(&self, principal: &Principal) -> Arc<Subject> {
        let vouched = Vouched(principal.clone());
        if let Some(subject) = lock(&self.subjects).get(&vouched) {
            return subject.clone();
        }
        let caller = Caller::new(principal, &self.membership, &self.claims);
        let mut around: Vec<_> = caller.around.intersection(&self.named).cloned().collect();
        around.sort_unstable();
        let shelves = {
            let mut shelves = lock(&self.shelves);
            if shelves.len() >= MOST_SHELVES {
                shelves.clear();
            }
            shelves.entry((caller.kind, around)).or_default().clone()
        };
        let mut subject = Subject::new(caller, shelves);
        subject.wider = self.wider(principal, &subject);
        let subject = Arc::new(subject);
        let mut subjects = lock(&self.subjects);
        if subjects.len() >= MOST_SUBJECTS {
            subjects.clear();
        }
        subjects.insert(vouched, subject.clone());
        subject
    }

    /// Whether the server is there for the caller.
    pub fn sees(&self, subject: &Subject, server: &str, circumstances: &Circumstances) -> bool {
        self.could(subject, Action::Discover, Thing::server(server), circumstances)
    }

    /// Whether the caller may do that, or could with a token of more scopes: then it is there for them.
    pub fn could(
        &self,
        subject: &Subject,
        action: Action,
        thing: Thing<'_>,
        circumstances: &Circumstances,
    ) -> bool {
        self.decide(subject, action, thing, circumstances, None).is_in_reach()
    }

    /// Whether the caller may do that.
    pub fn allows(
        &self,
        subject: &Subject,
        action: Action,
        thing: Thing<'_>,
        circumstances: &Circumstances,
        arguments: Option<&Raw>,
    ) -> bool {
        self.decide(subject, action, thing, circumstances, arguments).allowed
    }

    /// The same, with the policies that made it so.
    pub fn decide(
        &self,
        subject: &Subject,
        action: Action,
        thing: Thing<'_>,
        circumstances: &Circumstances,
        arguments: Option<&Raw>,
    ) -> Decision {
        if subject.caller.unreadable.is_some() || thing.is_ambiguous() {
            return Decision::deny();
        }
        if let Some(server) = thing.its_server().filter(|_| action != Action::Discover) {
            let door = self.decide(subject, Action::Discover, server, circumstances, None);
            if !door.allowed {
                // What opens the door may not be enough for what is behind it.
                let behind = || self.lacks(subject, action, thing, circumstances, arguments);
                let lacks = door.lacks.as_ref().and_then(|_| behind());
                return Decision { lacks, ..door };
            }
        }
        if let Some(decision) = subject.recall(action, &thing, circumstances) {
            return decision;
        }
        let ruling = self.judge(subject, action, &self.place(thing), circumstances, arguments);
        let allowed = ruling.allows();
        let lacks = if allowed || !ruling.reads.any(Reads::SCOPES) {
            None
        } else {
            self.lacks(subject, action, thing, circumstances, arguments)
        };
        let decision = Decision { allowed, reasons: self.deciding(&ruling).into(), lacks };
        if let Some(standing) = Standing::of(ruling.reads, circumstances) {
            subject.remember(action, &thing, &decision, standing);
        }
        decision
    }

    /// The policies behind a ruling: what two questions decided differently is decided by the one that denies.
    pub(crate) fn deciding(&self, ruling: &Ruling) -> Vec<usize> {
        let allowed = ruling.allows();
        let mut rules: Vec<_> =
            ruling.reasons.iter().copied().filter(|rule| self.rules[*rule].permits == allowed).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// What a policy is called: its `@id`, or where it stands.
    pub fn id(&self, policy: usize) -> &str {
        self.rules.get(policy).map_or("", |rule| &rule.id)
    }

    /// Whether there is a policy with this id.
    pub fn has(&self, id: &str) -> bool {
        self.rules.iter().any(|rule| &*rule.id == id)
    }

    /// Which things of a server's list the caller is shown. `list` is a number that no other list ever has.
    pub fn shown<'a>(
        &self,
        subject: &Subject,
        action: Action,
        (server, list): (&str, u64),
        things: impl Iterator<Item = Thing<'a>>,
        circumstances: &Circumstances,
    ) -> Shown {
        if let Some(things) = subject.recall_list(action, list, circumstances) {
            return Shown { things, fresh: false };
        }
        let open = self.could(subject, action, Thing::server(server), circumstances);
        let door = self.place(Thing::server(server));
        let opened = [Action::Discover, action].map(|of| self.judge(subject, of, &door, circumstances, None));
        let mut reads = opened[0].reads.or(opened[1].reads);
        let mut alike = HashMap::new();
        let shown: Arc<[bool]> = things
            .map(|thing| open && self.shows(subject, action, thing, circumstances, &mut alike, &mut reads))
            .collect();
        if let Some(standing) = Standing::of(reads, circumstances) {
            subject.remember_list(action, list, shown.clone(), standing);
        }
        Shown { things: shown, fresh: true }
    }

    /// Most things of a server are alike to most policies: same labels, same hints. One decision does for all of them where
    /// no policy asks for more.
    fn shows<'a>(
        &self,
        subject: &Subject,
        action: Action,
        thing: Thing<'a>,
        circumstances: &Circumstances,
        alike: &mut HashMap<Class<'a>, bool>,
        reads: &mut Reads,
    ) -> bool {
        if thing.is_ambiguous() {
            return false;
        }
        let placed = self.place(thing);
        let rules = self.candidates(subject, action, &placed);
        let class = rules.map(|rules| (rules, placed.labels.clone(), Thing { name: "", ..thing }));
        if let Some(shown) = class.as_ref().and_then(|class| alike.get(class)) {
            return *shown;
        }
        let ruling = self.judge(subject, action, &placed, circumstances, None);
        *reads = reads.or(ruling.reads);
        let wider = subject.wider.as_ref().filter(|_| ruling.reads.any(Reads::SCOPES));
        let could = |with| self.judge(with, action, &placed, circumstances, None).allows();
        let shown = ruling.allows() || wider.is_some_and(|wider| could(wider.subject()));
        if let Some(class) = class {
            alike.insert(class, shown);
        }
        shown
    }
}

fn hierarchy() -> Vec<Entity> {
    let action = |name: &str, group: Option<&str>| {
        entity(uid("Action", name), [], group.map(|group| uid("Action", group)))
    };
    let groups = [("use", None), ("read", Some("use")), ("list", Some("read"))];
    let all = Action::all().map(|of| (of.name(), Some(of.group())));
    groups.into_iter().chain(all).map(|(name, group)| action(name, group)).collect()
}

#[cfg(test)]
mod tests;
