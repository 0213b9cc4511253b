//! One policy, made ready: where it applies, what it reads, and the forms in which it is evaluated.

use std::collections::HashSet;
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicyId, PrincipalConstraint, ResourceConstraint,
};
use serde_json::{Value, json};

use crate::action::Actions;
use crate::thing::uid;
use crate::unknown::{Reads, in_favour, reads_of};

/// How much is known when a policy is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// Everything: the call.
    Whole,
    /// All but the arguments: a list.
    Sketch,
    /// Neither arguments nor URI: a list of templates.
    Pattern,
    /// Only the server: whether there is anything for the caller.
    Door,
}

/// Where in a scope something has to be. What has to be one entity itself is of its kind and at it: nothing that is in it is of
/// the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Any,
    Is(String),
    At(EntityUid),
    IsAt(String, EntityUid),
}

impl Scope {
    fn itself(entity: EntityUid) -> Self {
        Self::IsAt(entity.type_name().to_string(), entity)
    }

    /// Whether something of type `kind` may be in it.
    pub(crate) fn takes(&self, kind: &str) -> bool {
        match self {
            Self::Any | Self::At(_) => true,
            Self::Is(of) | Self::IsAt(of, _) => of == kind,
        }
    }

    /// Whether something of type `kind` is in it; `around` is the thing itself and all that it is in.
    pub(crate) fn has(&self, kind: &str, around: &HashSet<EntityUid>) -> bool {
        self.takes(kind) && self.at().is_none_or(|at| around.contains(at))
    }

    /// Whether it holds things of this type alone.
    fn is_of_type(&self, kind: &str) -> bool {
        match self {
            Self::Any => false,
            Self::Is(of) | Self::IsAt(of, _) => of == kind,
            Self::At(at) => at.type_name().to_string() == kind,
        }
    }

    /// The entity that narrows it.
    pub(crate) fn at(&self) -> Option<&EntityUid> {
        match self {
            Self::At(at) | Self::IsAt(_, at) => Some(at),
            Self::Any | Self::Is(_) => None,
        }
    }
}

/// A policy in one form.
#[derive(Clone, Debug)]
pub(crate) struct Formed {
    pub(crate) policy: Policy,
    pub(crate) reads: Reads,
    pub(crate) resource: Scope,
}

/// One policy.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Its `@id`, or where it stands.
    pub(crate) id: Arc<str>,
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
    /// As it is written.
    pub(crate) text: String,
    pub(crate) permits: bool,
    pub(crate) principal: Scope,
    pub(crate) actions: Actions,
    whole: Formed,
    sketch: Formed,
    pattern: Formed,
    door: Option<Formed>,
}

impl Rule {
    /// Makes a parsed policy ready.
    ///
    /// # Errors
    /// What Cedar has against one of its forms, which would be a bug here.
    pub(crate) fn new(
        number: usize,
        policy: &Policy,
        id: Arc<str>,
        (file, line, text): (Arc<str>, usize, String),
    ) -> Result<Self, String> {
        let mut est = policy.to_json().map_err(|error| error.to_string())?;
        // The shelf has seen to the scope, and Cedar need not know what anything is in.
        for part in ["principal", "action", "resource"] {
            est[part] = json!({"op": "All"});
        }
        let resource = resource_scope(policy);
        let form = |suffix: &str, est: Value, resource: Scope| {
            let reads = reads_of(&est);
            let id = PolicyId::new(format!("{number}{suffix}"));
            let policy = Policy::from_json(Some(id), est).map_err(|error| error.to_string())?;
            Ok::<_, String>(Formed { policy, reads, resource })
        };
        let permits = policy.effect() == Effect::Permit;
        let actions = actions(policy);
        // What is permitted with toolsets opens no server.
        let opens = permits && actions.any_at_servers() && !resource.is_of_type("Toolset");
        let door = if opens {
            let est = in_favour(&est, Reads::ARGUMENTS.or(Reads::RESOURCE).or(Reads::ACTION));
            Some(form("d", est, door_scope(&resource))?)
        } else {
            None
        };
        Ok(Self {
            id,
            file,
            line,
            text,
            permits,
            principal: principal_scope(policy),
            actions,
            sketch: form("s", in_favour(&est, Reads::ARGUMENTS), resource.clone())?,
            pattern: form("p", in_favour(&est, Reads::ARGUMENTS.or(Reads::URI)), resource.clone())?,
            whole: form("w", est, resource)?,
            door,
        })
    }

    pub(crate) fn form(&self, form: Form) -> Option<&Formed> {
        match form {
            Form::Whole => Some(&self.whole),
            Form::Sketch => Some(&self.sketch),
            Form::Pattern => Some(&self.pattern),
            Form::Door => self.door.as_ref(),
        }
    }

    /// The number of the rule whose form has this id.
    pub(crate) fn number(id: &PolicyId) -> Option<usize> {
        let id: &str = id.as_ref();
        id.get(..id.len().checked_sub(1)?)?.parse().ok()
    }
}

fn principal_scope(policy: &Policy) -> Scope {
    match policy.principal_constraint() {
        PrincipalConstraint::Any => Scope::Any,
        PrincipalConstraint::Is(kind) => Scope::Is(kind.to_string()),
        PrincipalConstraint::Eq(at) => Scope::itself(at),
        PrincipalConstraint::In(at) => Scope::At(at),
        PrincipalConstraint::IsIn(kind, at) => Scope::IsAt(kind.to_string(), at),
    }
}

fn resource_scope(policy: &Policy) -> Scope {
    match policy.resource_constraint() {
        ResourceConstraint::Any => Scope::Any,
        ResourceConstraint::Is(kind) => Scope::Is(kind.to_string()),
        ResourceConstraint::Eq(at) => Scope::itself(at),
        ResourceConstraint::In(at) => Scope::At(at),
        ResourceConstraint::IsIn(kind, at) => Scope::IsAt(kind.to_string(), at),
    }
}

/// The same as a scope of servers: those that have something in it.
fn door_scope(resource: &Scope) -> Scope {
    let Some(at) = resource.at() else { return Scope::Any };
    let id = at.id().unescaped();
    Scope::At(match at.type_name().to_string().as_str() {
        "Server" | "Label" => at.clone(),
        _ => uid("Server", id.split('/').next().unwrap_or_default()),
    })
}

fn actions(policy: &Policy) -> Actions {
    let within = |action: &EntityUid| Actions::within(action.id().unescaped());
    match policy.action_constraint() {
        ActionConstraint::Any => Actions::all(),
        ActionConstraint::Eq(action) => Actions::only(action.id().unescaped()),
        ActionConstraint::In(actions) => actions.iter().map(within).fold(Actions::default(), Actions::or),
    }
}
