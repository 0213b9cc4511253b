//! The section `guard`, in the shape of the file.

use portcullis_guard::EntitySet;
use serde_json::{Value, json};

use super::{secret, without_nulls};
use crate::units::show_duration;
use crate::{Direction, Effect, Guard, GuardRule, GuardScope, Profile, PseudonymScope, Recogniser};

pub(super) fn guard(guard: &Guard) -> Value {
    json!({
        "profile": match guard.profile {
            Profile::Baseline => "baseline",
            Profile::Strict => "strict",
            Profile::None => "none",
        },
        "mode": if guard.shadow { "shadow" } else { "enforce" },
        "rules": guard.rules.iter().map(rule).collect::<Vec<_>>(),
        "allow": guard.allow,
        "threshold": guard.threshold,
        "max_bytes": guard.max_bytes,
        "pseudonyms": match guard.pseudonyms {
            PseudonymScope::Session => "session",
            PseudonymScope::Principal => "principal",
            PseudonymScope::Tenant => "tenant",
        },
        "key": guard.key.map(|_| "***"),
        "recogniser": guard.recogniser.as_ref().map(recogniser),
    })
}

fn recogniser(recogniser: &Recogniser) -> Value {
    let entities = recogniser.entities.iter().map(|(theirs, ours)| (theirs.clone(), json!(ours.name())));
    json!({
        "url": recogniser.url,
        "token": recogniser.token.as_ref().map(secret),
        "ca": recogniser.ca.as_ref().map(|path| path.display().to_string()),
        "language": recogniser.language,
        "entities": entities.collect::<serde_json::Map<_, _>>(),
        "threshold": recogniser.threshold,
        "timeout": show_duration(recogniser.timeout),
        "max_bytes": recogniser.max_bytes,
        "concurrency": recogniser.concurrency,
        "on_failure": if recogniser.lenient { "pass" } else { "block" },
    })
}

fn rule(rule: &GuardRule) -> Value {
    let mut shown = scope(&rule.scope);
    shown["name"] = json!(rule.name);
    shown["direction"] = json!(rule.direction.map(|direction| match direction {
        Direction::ToClient => "to-client",
        Direction::ToServer => "to-server",
    }));
    shown["unless"] = json!(rule.unless.as_ref().map(|unless| without_nulls(scope(unless))));
    let paths =
        |paths: &[portcullis_guard::Path]| json!(paths.iter().map(ToString::to_string).collect::<Vec<_>>());
    match &rule.effect {
        Effect::Entities(set, action) => {
            shown["entities"] = entities(*set);
            shown["action"] = json!(action.name());
        }
        Effect::Fields(fields, set, action) => {
            shown["fields"] = paths(fields);
            shown["entities"] = json!(set.map(entities));
            shown["action"] = json!(action.name());
        }
        Effect::Only(only) => shown["only"] = paths(only),
        Effect::Restore(set) => {
            shown["entities"] = entities(*set);
            shown["action"] = json!("restore");
        }
    }
    without_nulls(shown)
}

/// `roles` show as the groups that have them.
fn scope(scope: &GuardScope) -> Value {
    let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    json!({
        "groups": scope.groups,
        "principals": list(&scope.principals),
        "policies": list(&scope.policies),
        "servers": list(&scope.servers),
        "tools": list(&scope.tools),
    })
}

fn entities(set: EntitySet) -> Value {
    if set == EntitySet::ALL {
        return json!(["all"]);
    }
    json!(set.iter().map(portcullis_guard::Entity::name).collect::<Vec<_>>())
}
