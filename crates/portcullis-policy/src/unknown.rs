//! A policy as it stands before everything is known.
//!
//! A tool is listed when some call of it could be permitted, and a call's arguments are not known then. So a policy has
//! forms in which what is unknown was decided in favour of listing: the condition of a permit as if every unknown part were
//! to hold, that of a forbid as if none were. What is known is decided as it will be at the call. The form is a policy like
//! any other and is evaluated by Cedar; it is made here, from the policy's JSON form.

use serde_json::{Map, Value, json};

/// What a condition reads that not everybody knows at every time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads(u16);

impl Reads {
    /// Arguments of the call.
    pub(crate) const ARGUMENTS: Self = Self(1);
    /// The time.
    pub(crate) const TIME: Self = Self(2);
    /// Where the caller connects from.
    pub(crate) const NETWORK: Self = Self(4);
    /// What tells one resource from its siblings: its name or URI, or itself.
    pub(crate) const IDENTITY: Self = Self(8);
    /// Anything at all of the resource.
    pub(crate) const RESOURCE: Self = Self(16);
    /// Which action it is.
    pub(crate) const ACTION: Self = Self(32);
    /// The URI.
    pub(crate) const URI: Self = Self(64);
    /// The scopes of the caller's credential.
    pub(crate) const SCOPES: Self = Self(128);
    /// What the server says that its tool does.
    pub(crate) const HINTS: Self = Self(256);
    /// Attributes of the caller.
    pub(crate) const PRINCIPAL: Self = Self(512);
    /// Groups and roles that the caller is in.
    pub(crate) const GROUPS: Self = Self(1024);
    /// Servers and labels that the resource is in.
    pub(crate) const ABOVE: Self = Self(2048);
    /// Entities that are named otherwise than to be compared with: it may be any.
    pub(crate) const NAMED: Self = Self(4096);

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }
}

/// What an expression reads.
pub(crate) fn reads(expression: &Value) -> Reads {
    match expression {
        Value::Object(members) => {
            if let Some(of) = variable(expression) {
                return whole(of);
            }
            if let Some((left, attribute)) = access(members) {
                match variable(left) {
                    Some("context") => return of_context(attribute),
                    Some("resource") => return of_resource(attribute),
                    Some("principal") => return Reads::PRINCIPAL,
                    _ if attribute == "annotations" => return reads(left).or(Reads::HINTS),
                    _ => {}
                }
            }
            // `resource in …` and `resource is …` are about its kind and its ancestors.
            if let Some((left, test)) = operation(members, ["in", "is"]) {
                let ancestor = test.get("right").or_else(|| test.get("in"));
                let of_ancestor = ancestor.map_or(Reads::default(), compared);
                if variable(left) != Some("resource") {
                    return reads(left).or(of_ancestor);
                }
                let above = ancestor.map_or(Reads::default(), |_| Reads::ABOVE);
                let itself = ancestor.is_some_and(|of| !is_ancestor(of));
                let identity = if itself { Reads::IDENTITY.or(Reads::URI) } else { Reads::default() };
                return Reads::RESOURCE.or(above).or(of_ancestor).or(identity);
            }
            if let Some((left, test)) = operation(members, ["==", "!="]) {
                return compared(left).or(compared(&test["right"]));
            }
            let named = if members.contains_key("__entity") { Reads::NAMED } else { Reads::default() };
            members.values().fold(named, |all, value| all.or(reads(value)))
        }
        Value::Array(items) => items.iter().fold(Reads::default(), |all, value| all.or(reads(value))),
        _ => Reads::default(),
    }
}

/// The same of what something is compared with: an entity that is named there, or a list of such, is not looked at.
fn compared(expression: &Value) -> Reads {
    if expression.pointer("/Value/__entity").is_some() {
        return Reads::default();
    }
    match expression.get("Set").and_then(Value::as_array) {
        Some(items) => items.iter().fold(Reads::default(), |all, item| all.or(compared(item))),
        None => reads(expression),
    }
}

fn variable(expression: &Value) -> Option<&str> {
    expression.get("Var").and_then(Value::as_str)
}

/// One of these operators, by its left side and itself. Records may have members of these names, which have no sides.
fn operation<'a>(members: &'a Map<String, Value>, names: [&str; 2]) -> Option<(&'a Value, &'a Value)> {
    let of = names.iter().find_map(|name| members.get(*name))?;
    Some((of.get("left")?, of))
}

fn access(members: &Map<String, Value>) -> Option<(&Value, &str)> {
    let inner = members.get(".").or_else(|| members.get("has"))?;
    Some((inner.get("left")?, inner.get("attr")?.as_str()?))
}

/// Whether an entity is one that many resources are in.
fn is_ancestor(of: &Value) -> bool {
    let kind = of.pointer("/Value/__entity/type").and_then(Value::as_str);
    matches!(kind, Some("Server" | "Label"))
}

fn whole(variable: &str) -> Reads {
    match variable {
        "context" => Reads::ARGUMENTS.or(Reads::TIME).or(Reads::NETWORK).or(Reads::SCOPES),
        "resource" => Reads::RESOURCE.or(Reads::ABOVE).or(Reads::IDENTITY).or(Reads::URI).or(Reads::HINTS),
        "principal" => Reads::PRINCIPAL.or(Reads::GROUPS),
        "action" => Reads::ACTION,
        _ => Reads::default(),
    }
}

fn of_context(attribute: &str) -> Reads {
    match attribute {
        "args" => Reads::ARGUMENTS,
        "now" | "weekday" => Reads::TIME,
        "ip" => Reads::NETWORK,
        "scopes" => Reads::SCOPES,
        _ => Reads::default(),
    }
}

fn of_resource(attribute: &str) -> Reads {
    Reads::RESOURCE.or(match attribute {
        "server" => Reads::default(),
        "annotations" => Reads::HINTS,
        "uri" | "scheme" => Reads::IDENTITY.or(Reads::URI),
        _ => Reads::IDENTITY,
    })
}

/// Which way what is unknown is decided.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guess {
    Holds,
    Fails,
}

impl Guess {
    fn opposite(self) -> Self {
        match self {
            Self::Holds => Self::Fails,
            Self::Fails => Self::Holds,
        }
    }
}

/// The JSON form of a policy with what is `unknown` decided in favour of permitting.
pub(crate) fn in_favour(policy: &Value, unknown: Reads) -> Value {
    let mut policy = policy.clone();
    let permits = policy.get("effect").and_then(Value::as_str) == Some("permit");
    for condition in policy.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let when = condition.get("kind").and_then(Value::as_str) == Some("when");
        let guess = if when == permits { Guess::Holds } else { Guess::Fails };
        if let Some(body) = condition.get_mut("body") {
            *body = decide(body, unknown, guess);
        }
    }
    policy
}

fn decide(expression: &Value, unknown: Reads, guess: Guess) -> Value {
    if !reads(expression).any(unknown) {
        return expression.clone();
    }
    let side = |of: &Value, name: &str, guess| decide(&of[name], unknown, guess);
    for operator in ["&&", "||"] {
        if let Some(of) = expression.get(operator) {
            return json!({operator: {"left": side(of, "left", guess), "right": side(of, "right", guess)}});
        }
    }
    if let Some(of) = expression.get("!") {
        return json!({"!": {"arg": side(of, "arg", guess.opposite())}});
    }
    if let Some(of) = expression.get("if-then-else") {
        let (then, otherwise) = (side(of, "then", guess), side(of, "else", guess));
        if !reads(&of["if"]).any(unknown) {
            return json!({"if-then-else": {"if": of["if"], "then": then, "else": otherwise}});
        }
        let either = if guess == Guess::Holds { "||" } else { "&&" };
        return json!({either: {"left": then, "right": otherwise}});
    }
    json!({"Value": guess == Guess::Holds})
}

/// What the conditions of a policy read.
pub(crate) fn reads_of(policy: &Value) -> Reads {
    let conditions = policy.get("conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().fold(Reads::default(), |all, one| all.or(reads(&one["body"])))
}

#[cfg(test)]
mod tests;
