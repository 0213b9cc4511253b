//! What a caller could do with a token of more scopes.
//!
//! A policy may ask for a scope that the caller's token does not have, and that a token could have (RFC 6750 section 3.1). Whoever
//! lacks nothing else is told which scopes, and not that there is no such thing. The same policies say so: they are asked as if
//! the token had all the scopes that the operator lets clients ask for, and those without which it is permitted as well are
//! taken away again, the last first. Then nobody is asked for more than is needed, and for what comes first where there is a
//! choice.
//!
//! What is forbidden to whoever has all of them stays hidden: a scope that takes something away is none to ask for. Only what is
//! denied is asked about twice, and what comes out is remembered for as long as it stands: of the thing, and of the door to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use portcullis_mcp::json::Raw;
use portcullis_model::Principal;
use serde_json::Value;

use crate::action::Action;
use crate::circumstances::Circumstances;
use crate::judge::Placed;
use crate::policies::{Decision, Policies};
use crate::remember::{Standing, Subject};
use crate::thing::Thing;
use crate::unknown::{Reads, reads};

/// The scopes that clients can be told to ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepUp {
    /// Those that every token has.
    pub required: Vec<String>,
    /// Those that an operation may need beside; what gives least comes first.
    pub scopes: Vec<String>,
    /// The issuers that do not give them.
    pub except: BTreeSet<String>,
}

impl StepUp {
    /// What the caller's token lacks of them: nothing where nobody could give it.
    fn lacked(&self, principal: &Principal) -> Vec<String> {
        let Principal::User(user) = principal else { return Vec::new() };
        if self.except.contains(&user.issuer) {
            return Vec::new();
        }
        self.scopes.iter().filter(|scope| !user.scopes.contains(scope)).cloned().collect()
    }

    /// All that the caller's next token has to be for: what this one is for as far as it is ever asked for, and what it lacks.
    pub fn whole(&self, principal: &Principal, lacks: &[String]) -> String {
        let has = principal.scopes().unwrap_or_default();
        let more = self.scopes.iter().filter(|scope| has.contains(scope) || lacks.contains(scope));
        let all: Vec<_> = self.required.iter().chain(more).map(String::as_str).collect();
        all.join(" ")
    }

    /// Whether clients are told to ask for a scope.
    pub(crate) fn knows(&self, scope: &str) -> bool {
        self.required.iter().chain(&self.scopes).any(|known| known == scope)
    }
}

/// A caller with all the scopes that could be had.
#[derive(Debug)]
pub(crate) struct Wider {
    subject: Subject,
    /// Which those are beside its own.
    lacked: Vec<String>,
}

impl Wider {
    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }
}

impl Policies {
    /// The caller as it could be, where that makes a difference to any policy.
    pub(crate) fn wider(&self, principal: &Principal, subject: &Subject) -> Option<Box<Wider>> {
        let lacked = if self.asks_for_scopes { self.step_up.lacked(principal) } else { Vec::new() };
        (!lacked.is_empty()).then(|| Box::new(Wider { subject: subject.with_scopes(&lacked), lacked }))
    }

    /// The scopes that clients can be told to ask for.
    pub fn step_up(&self) -> &StepUp {
        &self.step_up
    }

    /// The fewest scopes that the caller lacks for what is denied; `None` when it lacks something else. To find them takes a
    /// decision for each scope, so they are remembered, with the caller as it could be.
    pub(crate) fn lacks(
        &self,
        subject: &Subject,
        action: Action,
        thing: Thing<'_>,
        circumstances: &Circumstances,
        arguments: Option<&Raw>,
    ) -> Option<Arc<[String]>> {
        let wider = subject.wider.as_ref()?;
        if let Some(known) = wider.subject.recall(action, &thing, circumstances) {
            return known.lacks;
        }
        let door = thing.its_server().filter(|_| action != Action::Discover);
        let (door, placed) = (door.map(|server| self.place(server)), self.place(thing));
        let mut reads = Reads::default();
        let mut allows = |with: &Subject, action, placed: &Placed<'_>, arguments| {
            let ruling = self.judge(with, action, placed, circumstances, arguments);
            reads = reads.or(ruling.reads);
            ruling.allows()
        };
        let mut permits = |with: &Subject| {
            door.as_ref().is_none_or(|door| allows(with, Action::Discover, door, None))
                && allows(with, action, &placed, arguments)
        };
        let lacks: Option<Arc<[String]>> = permits(&wider.subject).then(|| {
            let mut needed = wider.lacked.clone();
            for scope in wider.lacked.iter().rev() {
                let fewer: Vec<_> = needed.iter().filter(|it| *it != scope).cloned().collect();
                if !fewer.is_empty() && permits(&subject.with_scopes(&fewer)) {
                    needed = fewer;
                }
            }
            needed.into()
        });
        if let Some(standing) = Standing::of(reads, circumstances) {
            let denied = Decision { lacks: lacks.clone(), ..Decision::deny() };
            wider.subject.remember(action, &thing, &denied, standing);
        }
        lacks
    }
}

/// The scopes that a policy names, in its JSON form.
pub(crate) fn named(expression: &Value, into: &mut BTreeSet<String>) {
    match expression {
        Value::Object(members) => {
            for (name, value) in members {
                if ["contains", "containsAll", "containsAny", "=="].contains(&name.as_str()) {
                    let sides = [&value["left"], &value["right"]];
                    for (one, other) in [(sides[0], sides[1]), (sides[1], sides[0])] {
                        if reads(one).any(Reads::SCOPES) {
                            texts(other, into);
                        }
                    }
                }
                named(value, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| named(item, into)),
        _ => {}
    }
}

/// The texts of a literal.
fn texts(literal: &Value, into: &mut BTreeSet<String>) {
    for member in ["Value", "Set"] {
        match literal.get(member) {
            Some(Value::String(text)) => drop(into.insert(text.clone())),
            Some(Value::Array(items)) => {
                into.extend(items.iter().filter_map(Value::as_str).map(str::to_owned));
                for item in items {
                    texts(item, into);
                }
            }
            _ => {}
        }
    }
}
