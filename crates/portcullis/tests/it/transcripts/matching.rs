//! Whether a message is what a transcript says, and if not, what is different.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::lines::{ABSENT, ANY};

/// What names stand for, as first seen.
pub(super) type Names = BTreeMap<String, Value>;

/// Compares; the differences are sentences with paths. Names are only bound by what matches.
pub(super) fn compare(expected: &Value, actual: &Value, names: &mut Names) -> Vec<String> {
    let mut trial = names.clone();
    let mut differences = Vec::new();
    value(expected, actual, &mut trial, "", &mut differences);
    if differences.is_empty() {
        *names = trial;
    }
    differences
}

/// Writes what names stand for.
pub(super) fn fill(text: &Value, names: &Names) -> Value {
    match text {
        Value::String(name) if name.starts_with('$') => {
            names.get(name).unwrap_or_else(|| panic!("{name} stands for nothing yet")).clone()
        }
        Value::Array(items) => items.iter().map(|item| fill(item, names)).collect(),
        Value::Object(members) => {
            let key = |key: &String| match names.get(key) {
                Some(name) => name.as_str().expect("a key is a string").to_owned(),
                None => key.clone(),
            };
            members.iter().map(|(name, value)| (key(name), fill(value, names))).collect()
        }
        other => other.clone(),
    }
}

fn value(expected: &Value, actual: &Value, names: &mut Names, at: &str, out: &mut Vec<String>) {
    match (expected, actual) {
        (Value::String(text), _) if text == ANY => {}
        (Value::String(name), _) if name.starts_with('$') => match names.get(name) {
            None => {
                names.insert(name.clone(), actual.clone());
            }
            Some(known) if known == actual => {}
            Some(known) => out.push(format!("{at}: {name} was {known} and is {actual}")),
        },
        (Value::Object(wanted), Value::Object(there)) => object(wanted, there, names, at, out),
        (Value::Array(wanted), Value::Array(there)) => array(wanted, there, names, at, out),
        _ if expected == actual => {}
        _ => out.push(format!("{at}: {expected} is said, {actual} is heard")),
    }
}

fn array(wanted: &[Value], there: &[Value], names: &mut Names, at: &str, out: &mut Vec<String>) {
    let open = wanted.last().is_some_and(|last| last == ANY);
    let wanted = if open { &wanted[..wanted.len() - 1] } else { wanted };
    for (number, item) in wanted.iter().enumerate() {
        match there.get(number) {
            Some(actual) => value(item, actual, names, &format!("{at}[{number}]"), out),
            None => out.push(format!("{at}[{number}]: {item} is missing")),
        }
    }
    if !open {
        for (number, item) in there.iter().enumerate().skip(wanted.len()) {
            out.push(format!("{at}[{number}]: {item} is one too many"));
        }
    }
}

fn object(
    wanted: &Map<String, Value>,
    there: &Map<String, Value>,
    names: &mut Names,
    at: &str,
    out: &mut Vec<String>,
) {
    let mut left: Vec<&String> = there.keys().collect();
    let (unknown, plain): (Vec<_>, Vec<_>) = wanted.iter().partition(|(key, _)| key.starts_with('$'));
    for (key, item) in plain {
        if key == ANY {
            continue;
        }
        left.retain(|other| *other != key);
        match there.get(key) {
            None if item == ABSENT => {}
            None => out.push(format!("{at}.{key}: {item} is missing")),
            Some(actual) if item == ABSENT => out.push(format!("{at}.{key}: {actual} must not be there")),
            Some(actual) => value(item, actual, names, &format!("{at}.{key}"), out),
        }
    }
    for (name, item) in unknown {
        let known = names.get(name).and_then(Value::as_str).map(str::to_owned);
        let fitting = left.iter().position(|key| {
            let mut trial = Vec::new();
            value(item, &there[*key], &mut names.clone(), at, &mut trial);
            trial.is_empty() && known.as_ref().is_none_or(|known| known == *key)
        });
        match fitting {
            Some(position) => {
                let key = left.remove(position);
                names.insert(name.clone(), Value::String(key.clone()));
                value(item, &there[key], names, &format!("{at}.{key}"), out);
            }
            None => out.push(format!("{at}.{name}: nothing there is {item}")),
        }
    }
    if !wanted.contains_key(ANY) {
        // Metadata of the gateway's own is everywhere; who cares for it writes it.
        let surplus = left.iter().filter(|key| **key != "_meta");
        out.extend(surplus.map(|key| format!("{at}.{key}: {} is not in the transcript", there[*key])));
    }
}

#[test]
fn differences_are_told_with_their_paths() {
    use super::lines::json;
    let said = |expected: &str, actual: &str| compare(&json(expected), &json(actual), &mut Names::new());
    assert_eq!(said(r#"{"a": [1, ...], "b": ..., ...}"#, r#"{"a": [1, 2, 3], "b": {}, "c": 0}"#), [""; 0]);
    assert_eq!(said(r#"{$k: {"n": $n}, "m": $n}"#, r#"{"x": {"n": 1}, "m": 1}"#), [""; 0]);
    assert_eq!(said(r#"{"a": {}}"#, r#"{"a": {"b": 1}}"#), [".a.b: 1 is not in the transcript"]);
    assert_eq!(said(r#"{"a": absent, ...}"#, r#"{"a": null}"#), [".a: null must not be there"]);
    assert_eq!(
        said(r#"[{"a": 1}, 2]"#, r#"[{"a": "1"}]"#),
        ["[0].a: 1 is said, \"1\" is heard", "[1]: 2 is missing"]
    );
    assert_eq!(said("[1]", "[1, 2]"), ["[1]: 2 is one too many"]);
    assert_eq!(said("[$x, $x]", "[1, 2]"), ["[1]: $x was 1 and is 2"]);
    assert_eq!(
        said(r"{$k: 1}", r#"{"x": 2}"#),
        [".$k: nothing there is 1", ".x: 2 is not in the transcript"]
    );
}
