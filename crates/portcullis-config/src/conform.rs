//! A tree held against the schema: every unknown key and every wrong type, in one walk.
//!
//! The answer is plain JSON in which each scalar has the type that its place expects, and from which whatever was
//! wrong is left out, so that the checks after this one can still run on the rest. It covers the part of JSON
//! Schema that the raw structs use, no more.

use serde_json::{Map, Value as Json};

use crate::node::{Entry, Node, Path, Scalar, Segment, Value};
use crate::report::{Report, nearest};

/// Keys inside an entry of `servers` that are planned and that this version does not have. They must never look like they work.
const NOT_YET_IN_SERVER: &[&str] = &["postgres"];
/// The same as a `kind`.
const KINDS_NOT_YET: &[&str] = &["redis"];

/// Holds `node` against the whole `schema`.
pub(crate) fn conform(schema: &Json, node: &Node, report: &mut Report) -> Json {
    let walk = Walk { root: schema };
    walk.value(schema, node, &Path::default(), report).unwrap_or_else(|| Json::Object(Map::new()))
}

struct Walk<'a> {
    root: &'a Json,
}

impl Walk<'_> {
    fn resolve<'b>(&'b self, schema: &'b Json) -> &'b Json {
        match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.root.pointer(pointer).unwrap_or(schema),
            None => schema,
        }
    }

    /// `None` when the value is absent or was refused.
    fn value(&self, schema: &Json, node: &Node, path: &Path, report: &mut Report) -> Option<Json> {
        let schema = self.resolve(schema);
        if takes_any(schema) {
            return any(node);
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            return self.choice(choices, node, path, report);
        }
        match &node.value {
            Value::Null => None,
            Value::Map(entries) if allows(schema, "object") => {
                self.object(schema, entries, node, path, report)
            }
            Value::List(items) if allows(schema, "array") => {
                let items = items.iter().enumerate();
                let conformed =
                    items.filter_map(|(i, item)| self.named(&schema["items"], item, &path.index(i), report));
                Some(Json::Array(conformed.collect()))
            }
            Value::Scalar(scalar) => match typed(schema, scalar) {
                Ok(value) => Some(value),
                Err(nearest) => {
                    let such = self.as_list(schema, scalar, path).unwrap_or_default();
                    report.error(node.at, path, format!("expected {}{such}", expected(schema)), nearest);
                    None
                }
            },
            Value::Map(_) | Value::List(_) => {
                report.error(node.at, path, format!("expected {}", expected(schema)), None);
                None
            }
        }
    }

    /// What somebody most likely means who wrote a text where a list of texts stands. What may be a secret is not repeated.
    fn as_list(&self, schema: &Json, scalar: &Scalar, path: &Path) -> Option<String> {
        let texts = allows(schema, "array") && allows(self.resolve(&schema["items"]), "string");
        let text = scalar.text.trim();
        let simple = |c: char| c.is_alphanumeric() || "-_./@:+=~ ".contains(c);
        let short = !text.is_empty() && text.len() <= 80 && text.chars().all(simple);
        let lower = text.to_ascii_lowercase();
        let secret =
            !scalar.filled.is_empty() || crate::check::TELLING.iter().any(|part| lower.contains(part));
        if !texts || !short || secret || text.contains(": ") {
            return None;
        }
        let words: Vec<_> = match path.0.last() {
            Some(Segment::Key(key)) if key == "args" => text.split_whitespace().collect(),
            _ => vec![text],
        };
        // Read again as YAML, each has to be the text that it is.
        let word = |word: &&str| match word.chars().next() {
            Some(first) if first.is_alphanumeric() || "./~".contains(first) => (*word).to_owned(),
            Some('-') if word.len() > 1 => (*word).to_owned(),
            _ => format!("\"{word}\""),
        };
        let words: Vec<_> = words.iter().map(word).collect();
        Some(format!(", such as `[{}]`", words.join(", ")))
    }

    /// An item of a list or an entry under a free name: it cannot be absent. An empty mapping is left to the
    /// checks, which know what it lacks.
    fn named(&self, schema: &Json, node: &Node, path: &Path, report: &mut Report) -> Option<Json> {
        let schema = self.resolve(schema);
        if matches!(node.value, Value::Null) && !report.failed_under(path) {
            if allows(schema, "object") && !takes_any(schema) {
                return Some(Json::Object(Map::new()));
            }
            let expected =
                schema["oneOf"].as_array().map_or_else(|| expected(schema), |choices| forms(choices));
            report.error(node.at, path, format!("is empty; expected {expected}"), None);
        }
        self.value(schema, node, path, report)
    }

    /// `None` when a key is missing that the mapping cannot do without.
    fn object(
        &self,
        schema: &Json,
        entries: &[Entry],
        node: &Node,
        path: &Path,
        report: &mut Report,
    ) -> Option<Json> {
        let mut out = Map::new();
        let properties = schema["properties"].as_object();
        for entry in entries {
            let path = path.key(&entry.key);
            let known = properties.and_then(|properties| properties.get(&entry.key));
            match known.or_else(|| schema.get("additionalProperties").filter(|rest| rest.is_object())) {
                Some(schema) => {
                    // A known key may be left empty; a name that the user made up was meant to have a value.
                    let value = match known {
                        Some(_) => self.value(schema, &entry.node, &path, report),
                        None => self.named(schema, &entry.node, &path, report),
                    };
                    if let Some(value) = value {
                        out.insert(entry.key.clone(), value);
                    }
                }
                None => unknown(properties, entry, &path, report),
            }
        }
        let mut whole = true;
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str) {
            if !out.contains_key(required) {
                whole = false;
                if !report.failed_under(&path.key(required)) {
                    report.error(node.at, path, format!("`{required}` is missing; add it"), None);
                }
            }
        }
        whole.then_some(Json::Object(out))
    }

    /// One of several forms: told apart by their `kind`, or by being text or a mapping with a certain key.
    fn choice(&self, choices: &[Json], node: &Node, path: &Path, report: &mut Report) -> Option<Json> {
        let Value::Map(_) = &node.value else {
            let scalar = choices.iter().find(|choice| allows(choice, "string"));
            return match (scalar, &node.value) {
                (_, Value::Null) => None,
                (Some(schema), Value::Scalar(_)) => self.value(schema, node, path, report),
                _ => {
                    report.error(node.at, path, format!("expected {}", forms(choices)), None);
                    None
                }
            };
        };
        let Some(chosen) = choices.iter().find(|choice| fits(choice, node)) else {
            match node.child("kind").and_then(|entry| Some((entry, entry.node.as_text()?))) {
                Some((entry, kind)) if KINDS_NOT_YET.contains(&kind) => {
                    let message =
                        format!("`{kind}` is not available in this version; expected {}", forms(choices));
                    report.error(entry.at, &path.key("kind"), message, None);
                }
                Some((entry, kind)) => {
                    let kinds =
                        choices.iter().filter_map(|choice| choice["properties"]["kind"]["const"].as_str());
                    let message = format!("expected {}", forms(choices));
                    report.error(entry.at, &path.key("kind"), message, nearest(kind, kinds));
                }
                None => report.error(node.at, path, format!("expected {}", forms(choices)), None),
            }
            return None;
        };
        self.value(chosen, node, path, report)
    }
}

fn unknown(properties: Option<&Map<String, Json>>, entry: &Entry, path: &Path, report: &mut Report) {
    let in_server = path.to_string().starts_with("servers.") && path.0.len() == 3;
    if in_server && NOT_YET_IN_SERVER.contains(&entry.key.as_str()) {
        report.error(entry.at, path, "not available in this version; remove it", None);
        return;
    }
    let known = properties.into_iter().flat_map(Map::keys).map(String::as_str);
    let near = nearest(&entry.key, known.clone());
    let message = match &near {
        Some(_) => "unknown key".to_owned(),
        None => format!("unknown key; expected one of {}", known.collect::<Vec<_>>().join(", ")),
    };
    report.error(entry.at, path, message, near);
}

/// Whether a mapping is of this form, going by `kind` or by the keys that the form requires.
fn fits(choice: &Json, node: &Node) -> bool {
    let required = choice["required"].as_array();
    allows(choice, "object")
        && required.into_iter().flatten().filter_map(Json::as_str).all(|key| {
            let wanted = choice["properties"][key]["const"].as_str();
            node.child(key)
                .is_some_and(|entry| wanted.is_none_or(|wanted| entry.node.as_text() == Some(wanted)))
        })
}

fn takes_any(schema: &Json) -> bool {
    allows(schema, "object") && allows(schema, "array")
}

/// The value as it is written, where anything may stand; `None` when it is empty.
fn any(node: &Node) -> Option<Json> {
    Some(match &node.value {
        Value::Null => return None,
        Value::List(items) => items.iter().filter_map(any).collect(),
        Value::Map(entries) => {
            let members = entries.iter().filter_map(|entry| Some((entry.key.clone(), any(&entry.node)?)));
            Json::Object(members.collect())
        }
        Value::Scalar(scalar) if scalar.quoted => scalar.text.as_str().into(),
        // A bare word is text, unless it is a number or a truth value of JSON.
        Value::Scalar(scalar) => match serde_json::from_str(&scalar.text) {
            Ok(plain @ (Json::Number(_) | Json::Bool(_))) => plain,
            _ => scalar.text.as_str().into(),
        },
    })
}

fn allows(schema: &Json, kind: &str) -> bool {
    match &schema["type"] {
        Json::String(only) => only == kind,
        Json::Array(kinds) => kinds.iter().any(|one| one == kind),
        _ => schema["enum"].is_array() && kind == "string",
    }
}

/// The scalar as the type that its place expects; otherwise the value that was perhaps meant.
fn typed(schema: &Json, scalar: &Scalar) -> Result<Json, Option<String>> {
    let text = scalar.text.as_str();
    if let Some(values) = schema["enum"].as_array() {
        let values = values.iter().filter_map(Json::as_str);
        return match values.clone().find(|value| *value == text) {
            Some(value) => Ok(value.into()),
            None => Err(nearest(text, values)),
        };
    }
    if allows(schema, "string") {
        let wanted = schema["const"].as_str();
        return if wanted.is_none_or(|wanted| wanted == text) { Ok(text.into()) } else { Err(None) };
    }
    if scalar.quoted {
        return Err(None);
    }
    let at_least = |value: f64| schema["minimum"].as_f64().is_none_or(|minimum| value >= minimum);
    let at_most = |value: f64| schema["maximum"].as_f64().is_none_or(|maximum| value <= maximum);
    let value = if allows(schema, "boolean") {
        text.parse::<bool>().ok().map(Json::from)
    } else if allows(schema, "integer") {
        // The bounds of every key are far inside what a double holds exactly.
        text.parse::<u32>().ok().filter(|n| at_least(f64::from(*n)) && at_most(f64::from(*n))).map(Json::from)
    } else if allows(schema, "number") {
        text.parse::<f64>().ok().filter(|n| n.is_finite() && at_least(*n) && at_most(*n)).map(Json::from)
    } else {
        None
    };
    value.ok_or(None)
}

/// What a place expects, in words.
fn expected(schema: &Json) -> String {
    if let Some(values) = schema["enum"].as_array() {
        return one_of(values.iter().filter_map(Json::as_str));
    }
    let range = match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(minimum), Some(maximum)) => format!(" from {minimum} to {maximum}"),
        (Some(minimum), None) => format!(" of at least {minimum}"),
        _ => String::new(),
    };
    let kinds = [
        ("integer", "a whole number"),
        ("number", "a number"),
        ("boolean", "true or false"),
        ("string", "text"),
        ("array", "a list"),
        ("object", "a mapping"),
    ];
    let words = kinds.iter().filter(|(kind, _)| allows(schema, kind)).map(|(_, words)| *words);
    format!("{}{range}", words.collect::<Vec<_>>().join(" or "))
}

fn forms(choices: &[Json]) -> String {
    let form = |choice: &Json| {
        let key = choice["required"][0].as_str()?;
        Some(match choice["properties"][key]["const"].as_str() {
            Some(kind) => format!("`{{ {key}: {kind} }}`"),
            None => format!("`{{ {key}: … }}`"),
        })
    };
    choices
        .iter()
        .map(|choice| form(choice).unwrap_or_else(|| expected(choice)))
        .collect::<Vec<_>>()
        .join(" or ")
}

fn one_of<'a>(values: impl Iterator<Item = &'a str>) -> String {
    values.map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
}
