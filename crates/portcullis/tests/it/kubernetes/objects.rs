//! Objects of Kubernetes as server-side apply has them: fields, each with whoever manages it.
//!
//! An object is a map of its leaves. Lists that the API merges by a key have a step of the path for each item; others are one leaf.
//! That is what of the real thing decides who may change what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

pub(super) type Field = Vec<String>;

/// An object without what the API server adds.
#[derive(Clone, Default)]
pub(super) struct Object {
    pub(super) fields: BTreeMap<Field, Value>,
    pub(super) managers: BTreeMap<String, BTreeSet<Field>>,
}

/// The members by which the items of a list are told apart; `None` for a list that is one value.
fn keys(field: &str, item: &Value) -> Option<&'static [&'static str]> {
    Some(match field {
        "containers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
        "ports" if item.get("containerPort").is_some() => &["containerPort", "protocol"],
        "ports" => &["port", "protocol"],
        "ownerReferences" => &["uid"],
        "volumeMounts" => &["mountPath"],
        _ => return None,
    })
}

/// What nobody manages: it says which object this is.
fn is_identity(field: &[String]) -> bool {
    matches!(field, [one] if one == "apiVersion" || one == "kind")
        || matches!(field, [one, two] if one == "metadata" && (two == "name" || two == "namespace"))
}

pub(super) fn flatten(value: &Value, path: &mut Field, out: &mut BTreeMap<Field, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                path.push(key.clone());
                flatten(value, path, out);
                path.pop();
            }
        }
        Value::Array(items) if !items.is_empty() && keys(path.last().unwrap(), &items[0]).is_some() => {
            for item in items {
                let keys = keys(path.last().unwrap(), item).unwrap();
                let key: Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), item[*key].clone())).collect();
                path.push(format!("[{}]", Value::from(key)));
                flatten(item, path, out);
                path.pop();
            }
        }
        leaf => drop(out.insert(path.clone(), leaf.clone())),
    }
}

fn put(root: &mut Value, path: &[String], leaf: Value) {
    let Some((first, rest)) = path.split_first() else {
        *root = leaf;
        return;
    };
    if first.starts_with('[') {
        if !root.is_array() {
            *root = json!([]);
        }
        // The path's items come in the order of their keys, so an item is the last one or a new one.
        let key: Value = serde_json::from_str(&first[1..first.len() - 1]).unwrap();
        let items = root.as_array_mut().unwrap();
        let is_it =
            |item: &Value| key.as_object().unwrap().iter().all(|(name, value)| item["\u{0}"][name] == *value);
        if !items.last().is_some_and(is_it) {
            items.push(json!({ "\u{0}": key }));
        }
        return put(items.last_mut().unwrap(), rest, leaf);
    }
    if !root.is_object() {
        *root = json!({});
    }
    put(&mut root[first.as_str()], rest, leaf);
}

fn without_keys(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("\u{0}");
            members.values_mut().for_each(without_keys);
        }
        Value::Array(items) => items.iter_mut().for_each(without_keys),
        _ => {}
    }
}

impl Object {
    pub(super) fn to_json(&self) -> Value {
        let mut root = json!({});
        for (path, leaf) in &self.fields {
            put(&mut root, path, leaf.clone());
        }
        without_keys(&mut root);
        root
    }

    /// Who manages what, as objects have it.
    pub(super) fn managed(&self) -> Value {
        let entry = |(manager, fields): (&String, &BTreeSet<Field>)| {
            let mut all = json!({});
            for field in fields {
                let step = |step: &String| match step.strip_prefix('[') {
                    Some(key) => format!("k:{}", key.trim_end_matches(']')),
                    None => format!("f:{step}"),
                };
                let at = field.iter().map(step).fold(&mut all, |at, step| &mut at[step]);
                *at = json!({});
            }
            let manager = manager.trim_end_matches(" (update)");
            json!({"manager": manager, "fieldsType": "FieldsV1", "fieldsV1": all})
        };
        self.managers.iter().map(entry).collect()
    }

    /// Applies what `manager` decides about it, without force.
    ///
    /// # Errors
    /// Fields that others manage and have set otherwise, each with who does.
    pub(super) fn apply(&mut self, manager: &str, wanted: &Value) -> Result<(), Vec<(Field, String)>> {
        let mut leaves = BTreeMap::new();
        flatten(wanted, &mut Vec::new(), &mut leaves);
        let mut conflicts = Vec::new();
        for (field, leaf) in leaves.iter().filter(|(field, _)| !is_identity(field)) {
            if self.fields.get(field) == Some(leaf) {
                continue;
            }
            let others =
                self.managers.iter().filter(|(other, fields)| *other != manager && fields.contains(field));
            conflicts.extend(others.map(|(other, _)| (field.clone(), other.clone())));
        }
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let own: BTreeSet<Field> = leaves.keys().filter(|field| !is_identity(field)).cloned().collect();
        let before = self.managers.insert(manager.to_owned(), own.clone()).unwrap_or_default();
        for gone in before.difference(&own) {
            if !self.managers.values().any(|fields| fields.contains(gone)) {
                self.fields.remove(gone);
            }
        }
        // Something in the place of nothing, and the other way round.
        for field in leaves.keys() {
            self.fields
                .retain(|other, _| other == field || !(other.starts_with(field) || field.starts_with(other)));
        }
        self.fields.extend(leaves);
        Ok(())
    }

    /// Sets fields whoever manages them, as an update does.
    pub(super) fn update(&mut self, manager: &str, patch: &Value) {
        let mut leaves = BTreeMap::new();
        flatten(patch, &mut Vec::new(), &mut leaves);
        for (field, leaf) in leaves {
            for fields in self.managers.values_mut() {
                fields.remove(&field);
            }
            if leaf.is_null() {
                self.fields.remove(&field);
            } else {
                self.managers.entry(manager.to_owned()).or_default().insert(field.clone());
                self.fields.insert(field, leaf);
            }
        }
    }
}

/// A field as messages name it.
pub(super) fn shown(field: &Field) -> String {
    field.iter().map(|step| if step.starts_with('[') { step.clone() } else { format!(".{step}") }).collect()
}

#[test]
fn applying_takes_what_is_free_and_nothing_else() {
    let mut object = Object::default();
    let one = json!({"kind": "D", "spec": {"replicas": 1, "containers": [{"name": "a", "args": ["x"]}]}});
    object.apply("a", &one).unwrap();
    assert_eq!(object.to_json(), one);
    // The same value is nobody's quarrel; another is.
    object.apply("b", &json!({"spec": {"replicas": 1}})).unwrap();
    let conflicts = object.apply("b", &json!({"spec": {"replicas": 2}})).unwrap_err();
    assert_eq!((shown(&conflicts[0].0).as_str(), conflicts[0].1.as_str()), (".spec.replicas", "a"));
    // What its only manager leaves out is gone, and what another has as well stays.
    object.apply("a", &json!({"spec": {"containers": [{"name": "a"}]}})).unwrap();
    let expected = json!({"kind": "D", "spec": {"containers": [{"name": "a"}], "replicas": 1}});
    assert_eq!(object.to_json(), expected);
    object.update("kubectl", &json!({"spec": {"replicas": 5}}));
    assert_eq!(object.apply("b", &json!({"spec": {"replicas": 1}})).unwrap_err()[0].1, "kubectl");
}
