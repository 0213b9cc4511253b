//! Which policies can matter, found without asking Cedar.
//!
//! Cedar evaluates every policy that it is given. A policy whose scope does not match changes no decision, so leaving it
//! out is sound; and one whose scope does is given without it, for Cedar would have to be told what everything is in, which
//! costs more than all else. The property test holds this against Cedar with all of them as they are written. There are
//! shelves for each set of groups, and on them a shelf for each action: its policies by the entity that their resource scope
//! names.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cedar_policy::{EntityUid, PolicySet};

use crate::action::Action;
use crate::rule::{Form, Rule};
use crate::unknown::Reads;

/// Slices that one shelf remembers; when there are more, it begins anew.
const MOST_SLICES: usize = 2_048;

/// The policies for callers of one kind and set of groups.
#[derive(Debug, Default)]
pub(crate) struct Shelves(Mutex<HashMap<(Action, Form), Arc<Shelf>>>);

/// Those of one action, in one form.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    form: Option<Form>,
    anywhere: Vec<usize>,
    at: HashMap<EntityUid, Vec<usize>>,
    slices: Mutex<HashMap<Vec<usize>, Arc<Slice>>>,
}

/// The policies that can matter for one decision.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) rules: Vec<usize>,
    pub(crate) set: PolicySet,
    pub(crate) reads: Reads,
}

impl Shelves {
    pub(crate) fn shelf(
        &self,
        rules: &[Rule],
        (kind, around): (&str, &HashSet<EntityUid>),
        action: Action,
        form: Form,
    ) -> Arc<Shelf> {
        let mut shelves = lock(&self.0);
        let entry = shelves.entry((action, form));
        entry.or_insert_with(|| Arc::new(Shelf::new(rules, kind, around, action, form))).clone()
    }
}

impl Shelf {
    fn new(rules: &[Rule], kind: &str, around: &HashSet<EntityUid>, action: Action, form: Form) -> Self {
        let mut shelf = Self { form: Some(form), ..Self::default() };
        for (number, rule) in rules.iter().enumerate() {
            let Some(formed) = rule.form(form) else { continue };
            // Whoever may do anything at all finds the door open.
            let concerns = form == Form::Door || rule.actions.has(action);
            if !concerns || !rule.principal.has(kind, around) {
                continue;
            }
            match formed.resource.at() {
                None => shelf.anywhere.push(number),
                Some(at) => shelf.at.entry(at.clone()).or_default().push(number),
            }
        }
        shelf
    }

    /// What matters for a resource of this type that is, or is in, all of `around`.
    pub(crate) fn slice(&self, rules: &[Rule], kind: &str, around: &[EntityUid]) -> Arc<Slice> {
        let form = |number: &usize| rules[*number].form(self.form?);
        let nearby = around.iter().filter_map(|at| self.at.get(at)).flatten();
        let all = self.anywhere.iter().chain(nearby);
        let taken = all.filter(|number| form(number).is_some_and(|formed| formed.resource.takes(kind)));
        let mut numbers: Vec<_> = taken.copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut slices = lock(&self.slices);
        if let Some(slice) = slices.get(&numbers) {
            return slice.clone();
        }
        if slices.len() >= MOST_SLICES {
            slices.clear();
        }
        let formed = numbers.iter().filter_map(form);
        let reads = formed.clone().fold(Reads::default(), |all, one| all.or(one.reads));
        let set = PolicySet::from_policies(formed.map(|one| one.policy.clone()));
        let set = set.expect("every form of every rule has its own id");
        let slice = Arc::new(Slice { rules: numbers.clone(), set, reads });
        slices.insert(numbers, slice.clone());
        slice
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
