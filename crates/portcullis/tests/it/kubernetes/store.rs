//! What the API server of the tests keeps, and what it makes of a request.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::api_server::{Exchange, Fault, NAMESPACE, Pods};
use super::objects::{Object, shown};
use super::role::Rule;
use crate::harness::upstream::Seen;

pub(super) struct Inner {
    pub(super) version: u64,
    pub(super) uids: u64,
    pub(super) objects: BTreeMap<String, Kept>,
    pub(super) events: Vec<(u64, &'static str, Value)>,
    /// Nothing is known from before this version.
    pub(super) oldest: u64,
    /// How often watches were cut off.
    pub(super) cuts: u64,
    pub(super) pods: Pods,
    pub(super) faults: Vec<Fault>,
    pub(super) role: Option<Vec<Rule>>,
    pub(super) record: Vec<Exchange>,
    pub(super) port: u16,
    /// Who comes through shows a certificate and no token.
    pub(super) takes_anybody: bool,
}

pub(super) struct Kept {
    pub(super) object: Object,
    pub(super) uid: String,
    pub(super) version: u64,
    pub(super) generation: u64,
    pub(super) status: Value,
}

impl Kept {
    pub(super) fn to_json(&self) -> Value {
        let mut object = self.object.to_json();
        object["metadata"]["uid"] = self.uid.as_str().into();
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["generation"] = self.generation.into();
        object["metadata"]["managedFields"] = self.object.managed();
        if !self.status.is_null() {
            object["status"] = self.status.clone();
        }
        object
    }
}

/// A path of the API, read.
pub(super) struct Asked<'a> {
    /// Group and plural, `apps/deployments`.
    pub(super) resource: String,
    pub(super) name: Option<&'a str>,
    pub(super) below: Option<&'a str>,
    pub(super) query: BTreeMap<&'a str, String>,
}

impl<'a> Asked<'a> {
    pub(super) fn read(path: &'a str) -> Option<Self> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let ["namespaces", NAMESPACE, plural, rest @ ..] = rest else { return None };
        let query = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = query.map(|(key, value)| (key, decoded(value))).collect();
        let resource = format!("{group}/{plural}");
        Some(Self { resource, name: rest.first().copied(), below: rest.get(1).copied(), query })
    }

    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.resource, self.name.unwrap_or_default())
    }
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).unwrap());
        out.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(out).unwrap()
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message})
}

/// Whether an object has these labels.
pub(super) fn is_selected(object: &Value, selector: &str) -> bool {
    selector
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .all(|(key, value)| object["metadata"]["labels"][key] == value)
}

impl Inner {
    pub(super) fn touched(&mut self, key: &str, event: &'static str) {
        self.version += 1;
        let version = self.version;
        let kept = self.objects.get_mut(key).unwrap();
        kept.version = version;
        if key.starts_with("apps/deployments/") {
            let object = kept.to_json();
            self.events.push((version, event, object));
        }
    }

    /// Applies an object; whether it is a new one.
    pub(super) fn make(&mut self, key: &str, manager: &str, wanted: &Value) -> Result<bool, Value> {
        let is_new = !self.objects.contains_key(key);
        if is_new {
            self.uids += 1;
            let uid = format!("uid-{}", self.uids);
            let kept =
                Kept { object: Object::default(), uid, version: 0, generation: 0, status: Value::Null };
            self.objects.insert(key.to_owned(), kept);
        }
        let kept = self.objects.get_mut(key).unwrap();
        let before = kept.object.to_json();
        if let Err(conflicts) = kept.object.apply(manager, wanted) {
            let cause = |(field, other): &(Vec<String>, String)| {
                let message = format!("conflict with \"{other}\"");
                json!({"reason": "FieldManagerConflict", "message": message, "field": shown(field)})
            };
            let mut told = status(409, "Conflict", "Apply failed with conflicts");
            told["details"] = json!({"causes": conflicts.iter().map(cause).collect::<Vec<_>>()});
            return Err(told);
        }
        let after = kept.object.to_json();
        if is_new || before != after {
            kept.generation += u64::from(before["spec"] != after["spec"]);
            if key.starts_with("/services/") {
                kept.object.fields.insert(vec!["spec".into(), "clusterIP".into()], json!("127.0.0.1"));
            }
            self.touched(key, if is_new { "ADDED" } else { "MODIFIED" });
        }
        Ok(is_new)
    }

    /// Removes an object and what it owns.
    pub(super) fn delete(&mut self, key: &str) {
        self.version += 1;
        let Some(gone) = self.objects.remove(key) else { return };
        if key.starts_with("apps/deployments/") {
            let mut object = gone.to_json();
            object["metadata"]["resourceVersion"] = self.version.to_string().into();
            self.events.push((self.version, "DELETED", object));
        }
        self.objects.retain(|_, kept| {
            let owners = kept.object.to_json()["metadata"]["ownerReferences"].clone();
            !owners.as_array().into_iter().flatten().any(|owner| owner["uid"] == gone.uid.as_str())
        });
    }

    pub(super) fn pod(&self, deployment: &str) -> Option<Value> {
        let kept = self.objects.get(&format!("apps/deployments/{deployment}"))?;
        let replicas = kept.object.to_json()["spec"]["replicas"].as_u64()?;
        let state = match self.pods {
            _ if replicas == 0 => return None,
            Pods::Forbidden => return None,
            Pods::Ready => json!({"running": {}}),
            Pods::Crash => json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}),
        };
        // A container can write the message of its end, and here has.
        let last = json!({"terminated": {"reason": "Completed", "exitCode": 0, "message": "SECRET=hunter2"}});
        let set = json!([{"kind": "ReplicaSet", "name": format!("{deployment}-7d9"), "controller": true}]);
        Some(json!({
            "metadata": {"name": format!("{deployment}-7d9-abcde"), "creationTimestamp": "2026-11-30T10:00:00Z",
                         "ownerReferences": set},
            "status": {"phase": "Running", "startTime": "2026-11-30T10:00:01Z",
                       "containerStatuses": [{"name": "server", "state": state, "lastState": last}]},
        }))
    }
}

impl Inner {
    pub(super) fn list(&self, asked: &Asked<'_>) -> (u16, Value) {
        let selector = &asked.query["labelSelector"];
        let items: Vec<Value> = if asked.resource == "/pods" {
            selector.split_once('=').and_then(|(_, name)| self.pod(name)).into_iter().collect()
        } else {
            let prefix = format!("{}/", asked.resource);
            let of = self.objects.iter().filter(|(key, _)| key.starts_with(&prefix));
            of.map(|(_, kept)| kept.to_json()).filter(|object| is_selected(object, selector)).collect()
        };
        (200, json!({"metadata": {"resourceVersion": self.version.to_string()}, "items": items}))
    }

    pub(super) fn patch(&mut self, key: &str, seen: &Seen, asked: &Asked<'_>) -> (u16, Value) {
        let manager = &asked.query["fieldManager"];
        assert!(!asked.query.contains_key("force"), "nothing is taken from others");
        if seen.header("content-type") == Some("application/merge-patch+json") {
            let Some(kept) = self.objects.get_mut(key) else {
                return (404, status(404, "NotFound", &format!("{key} not found")));
            };
            kept.object.update(&format!("{manager} (update)"), &seen.rpc);
            self.touched(key, "MODIFIED");
            return (200, self.objects[key].to_json());
        }
        assert_eq!(asked.query["fieldValidation"], "Strict");
        if let Err(why) = super::schema::check(&seen.rpc) {
            return (422, status(422, "Invalid", &why));
        }
        let is_own = seen.rpc["metadata"]["name"].as_str() == asked.name;
        assert!(is_own && seen.rpc["metadata"]["namespace"] == NAMESPACE, "{}", seen.rpc);
        let port = &seen.rpc["spec"]["ports"][0]["port"];
        assert!(seen.rpc["kind"] != "Service" || *port == self.port, "the port of the server");
        match self.make(key, manager, &seen.rpc) {
            Ok(is_new) => {
                let mut told = self.objects[key].to_json();
                if seen.header("accept").is_some_and(|it| it.contains("as=PartialObjectMetadata;")) {
                    told = json!({"kind": "PartialObjectMetadata", "metadata": told["metadata"]});
                }
                // Whoever writes a Secret is not told what is in it.
                assert!(seen.rpc["kind"] != "Secret" || told.get("data").is_none(), "{told}");
                (if is_new { 201 } else { 200 }, told)
            }
            Err(conflict) => (409, conflict),
        }
    }

    pub(super) fn remove(&mut self, key: &str, options: &Value) -> (u16, Value) {
        if let Err(why) = super::schema::check(options) {
            return (422, status(422, "Invalid", &why));
        }
        let Some(kept) = self.objects.get(key) else {
            return (404, status(404, "NotFound", &format!("{key} not found")));
        };
        if options["preconditions"]["uid"] != kept.uid.as_str() {
            return (409, status(409, "Conflict", "the UID in the precondition does not match"));
        }
        let version = &options["preconditions"]["resourceVersion"];
        if version.as_str().is_some_and(|it| it.parse() != Ok(kept.version)) {
            return (409, status(409, "Conflict", "the ResourceVersion in the precondition does not match"));
        }
        self.delete(key);
        (200, json!({"kind": "Status", "status": "Success"}))
    }
}
