//! A Deployment as it is, as far as that matters here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::failure::plain;
use super::objects::{RESTARTED, SECRET};
use super::uses::USED_BY;

/// What is known of one Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) uid: String,
    /// Which version of its description is in force, and up to which its controller has come.
    pub(super) generation: u64,
    observed: u64,
    /// How many pods it is to have, and how many of the newest description are ready.
    pub(super) replicas: u64,
    updated: u64,
    ready: u64,
    /// Pods of any description that are there.
    all: u64,
    /// Why it will not become ready by itself.
    pub(super) stuck: Option<String>,
    /// It is on its way out.
    pub(super) deleting: bool,
    /// When it was to be started anew last.
    pub(super) restarted: Option<String>,
    /// The version of the Secret that its pods have.
    pub(super) secret: Option<String>,
    /// Who used it when, in seconds since 1970.
    pub(super) uses: BTreeMap<String, u64>,
}

impl State {
    /// Reads an object; `None` for one without a name or uid.
    pub(super) fn read(object: &Value) -> Option<(String, Self)> {
        let metadata = &object["metadata"];
        let (name, uid) = (metadata["name"].as_str()?, metadata["uid"].as_str()?);
        let (spec, status) = (&object["spec"], &object["status"]);
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let condition = |kind: &str, fails: &str| {
            let all = status["conditions"].as_array().into_iter().flatten();
            all.filter(|it| it["type"] == kind && it["status"] == fails)
                .map(|it| {
                    let text = |key: &str| plain(it[key].as_str().unwrap_or_default());
                    format!("{}: {}", text("reason"), text("message"))
                })
                .next()
        };
        let used = metadata["annotations"].as_object().into_iter().flatten();
        let used = used.filter_map(|(key, value)| {
            let by = key.strip_prefix(USED_BY)?;
            Some((by.to_owned(), value.as_str()?.parse().ok()?))
        });
        let noted = |key: &str| spec["template"]["metadata"]["annotations"][key].as_str().map(str::to_owned);
        let state = Self {
            uid: uid.to_owned(),
            generation: number(&metadata["generation"]),
            observed: number(&status["observedGeneration"]),
            replicas: spec["replicas"].as_u64().unwrap_or(1),
            updated: number(&status["updatedReplicas"]),
            ready: number(&status["readyReplicas"]),
            all: number(&status["replicas"]),
            stuck: condition("Progressing", "False").or_else(|| condition("ReplicaFailure", "True")),
            deleting: !metadata["deletionTimestamp"].is_null(),
            restarted: noted(RESTARTED),
            secret: noted(SECRET),
            uses: used.collect(),
        };
        Some((name.to_owned(), state))
    }

    /// Whether its pod is ready in a description that is at least this one.
    pub(super) fn is_ready(&self, generation: u64) -> bool {
        // With pods of an older description still there, the Service may lead to these.
        self.observed >= generation && self.runs() && self.updated >= 1 && self.all <= self.updated
    }

    /// Whether somebody answers.
    pub(super) fn runs(&self) -> bool {
        !self.deleting && self.replicas >= 1 && self.ready >= 1
    }

    /// Why it does not become ready, as its controller has seen it for this description.
    pub(super) fn stuck(&self, generation: u64) -> Option<&str> {
        self.stuck.as_deref().filter(|_| self.observed >= generation)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn state(generation: u64, status: &Value) -> State {
        let object = json!({
            "metadata": {"name": "d", "uid": "u", "generation": generation,
                         "annotations": {"used-by.portcullis.io/g1": "100", "used-by.portcullis.io/g2": "soon", "a": "b"}},
            "spec": {"replicas": 1}, "status": status,
        });
        State::read(&object).expect("one").1
    }

    #[test]
    fn what_is_ready_is_ready_in_this_description() {
        let ready = json!({"observedGeneration": 3, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1});
        assert!(state(3, &ready).is_ready(3));
        // The controller has not seen the new one.
        assert!(!state(4, &ready).is_ready(4));
        for (key, value) in [("readyReplicas", 0), ("updatedReplicas", 0), ("replicas", 2)] {
            let mut other = ready.clone();
            other[key] = value.into();
            assert!(!state(3, &other).is_ready(3), "{key}");
        }
        assert!(!state(3, &json!({})).is_ready(3));
    }

    #[test]
    fn a_deployment_that_hangs_says_why() {
        let condition = |kind: &str, status: &str| {
            let why = "pods \"d\" is forbidden: violates PodSecurity";
            json!({"observedGeneration": 2, "conditions": [{"type": kind, "status": status, "reason": "R", "message": why}]})
        };
        for (kind, status) in [("ReplicaFailure", "True"), ("Progressing", "False")] {
            let state = state(2, &condition(kind, status));
            assert!(state.stuck(2).is_some_and(|why| why.contains("violates PodSecurity")), "{state:?}");
            assert_eq!(state.stuck(3), None, "that was said of another description");
        }
        assert_eq!(state(2, &condition("Progressing", "True")).stuck(2), None);
    }

    #[test]
    fn odd_objects_are_passed_over() {
        for odd in
            [json!(null), json!([]), json!({"metadata": {"name": 1}}), json!({"metadata": {"name": "d"}})]
        {
            assert_eq!(State::read(&odd), None);
        }
        assert_eq!(state(1, &json!({"readyReplicas": -1})).uses, [("g1".to_owned(), 100)].into());
    }
}
