//! A Deployment as it is, as far as that matters here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::failure::{Failure, plain};
use super::objects::{MANAGER, RESTARTED, SECRET};
use super::uses::USED_BY;

const RESTARTED_BY_HAND: &str = "spec.template.metadata.annotations.kubectl.kubernetes.io/restartedAt";

/// What is known of one Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) uid: String,
    /// Which version of the object this is.
    pub(super) version: Option<String>,
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
    /// What somebody else than the gateway manages in the description of its pods, and who.
    foreign: Option<String>,
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
            version: metadata["resourceVersion"].as_str().map(str::to_owned),
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
            foreign: foreign(metadata),
        };
        Some((name.to_owned(), state))
    }

    /// That its pods are described by the gateway alone: what others add to a description that is applied stays in it.
    ///
    /// # Errors
    /// [`Failure::Foreign`].
    pub(super) fn is_own(&self, name: &str) -> Result<(), Failure> {
        self.foreign.as_ref().map_or(Ok(()), |what| {
            Err(Failure::Foreign(format!(
                "the Deployment `{name}` has pods that are not as the gateway describes them: {what}; whoever set that has to give \
                 it up, or delete the Deployment"
            )))
        })
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

/// What others manage of the description of pods, and who: the first few fields of one of them.
fn foreign(metadata: &Value) -> Option<String> {
    let all = metadata["managedFields"].as_array().into_iter().flatten();
    all.filter(|entry| entry["manager"] != MANAGER).find_map(|entry| {
        let mut fields = Vec::new();
        leaves(&entry["fieldsV1"]["f:spec"]["f:template"], "spec.template", &mut fields);
        // It says when `kubectl rollout restart` was, and nothing else.
        fields.retain(|field| field != RESTARTED_BY_HAND);
        fields.truncate(3);
        let by = plain(entry["manager"].as_str().unwrap_or_default());
        (!fields.is_empty()).then(|| format!("{} is managed by \"{by}\"", plain(&fields.join(", "))))
    })
}

/// Fields as `managedFields` has them: `f:` before a name, `k:` before the key of an item.
fn leaves(of: &Value, path: &str, out: &mut Vec<String>) {
    let Some(members) = of.as_object() else { return };
    let mut below = members.iter().filter(|(step, _)| *step != ".").peekable();
    if below.peek().is_none() {
        out.push(path.to_owned());
    }
    for (step, of) in below {
        match step.strip_prefix("f:") {
            Some(name) => leaves(of, &format!("{path}.{name}"), out),
            None => leaves(of, &format!("{path}[{}]", step.get(2..).unwrap_or_default()), out),
        }
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
    fn what_others_add_to_the_description_of_pods_is_theirs_and_said() {
        let managed = |manager: &str, fields: &Value| {
            let own = json!({"manager": "portcullis", "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {"f:spec": {}}}}});
            let entry = json!({"manager": manager, "operation": "Update", "fieldsV1": fields});
            let metadata = json!({"name": "d", "uid": "u", "managedFields": [own, entry]});
            let (_, state) = State::read(&json!({ "metadata": metadata })).expect("one");
            state.is_own("d").map_err(|failure| failure.to_string())
        };
        let of = |of: Value| json!({"f:spec": {"f:template": of}});
        let sidecar =
            of(json!({"f:spec": {"f:containers": {"k:{\"name\":\"spy\"}": {".": {}, "f:image": {}}}}}));
        let why = managed("kubectl-edit", &sidecar).expect_err("it has a second container");
        assert!(
            why.contains(
                r#"spec.template.spec.containers[{"name":"spy"}].image is managed by "kubectl-edit""#
            ),
            "{why}"
        );
        managed("", &of(json!({}))).expect_err("all of it");
        for (manager, fields) in [
            ("portcullis", sidecar),
            (
                "kube-controller-manager",
                json!({"f:status": {"f:replicas": {}}, "f:metadata": {"f:annotations": {}}}),
            ),
            ("hpa", json!({"f:spec": {"f:replicas": {}}})),
            (
                "kubectl-rollout",
                of(json!({"f:metadata": {"f:annotations": {
                    ".": {}, "f:kubectl.kubernetes.io/restartedAt": {},
                }}})),
            ),
            ("odd", json!({"f:spec": 1})),
        ] {
            assert_eq!(managed(manager, &fields), Ok(()), "{manager}");
        }
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
