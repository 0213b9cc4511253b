//! An API server of Kubernetes for the tests: it keeps objects, applies them, lets them be watched, and writes down what it was
//! asked.
//!
//! What is sent to it is held against the real schema, and against a Role where one is set. In place of controllers and nodes there
//! is what a test says of pods: one becomes ready at once, or never does, and why. A Service leads to this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::role::Rule;
use super::store::{Asked, Inner, is_selected, status};
use crate::harness::pki::Authority;
use crate::harness::secure::Front;
use crate::harness::upstream::Seen;
use crate::harness::{Answer, Upstream};

pub(super) const NAMESPACE: &str = "mcp";
const TOKEN: &str = "a-token-of-the-gateway";

/// How pods are.
#[derive(Clone, Debug)]
pub(super) enum Pods {
    /// One is ready as soon as it is wanted.
    Ready,
    /// They end again and again.
    Crash,
    /// They are not made.
    Forbidden,
}

/// A running API server.
pub(super) struct ApiServer {
    upstream: Upstream,
    state: Arc<State>,
    folder: TempDir,
}

struct State {
    inner: Mutex<Inner>,
    changed: Notify,
}

/// What it answers in place of what is right.
pub(super) struct Fault {
    pub(super) method: &'static str,
    /// A part of the path.
    pub(super) path: &'static str,
    pub(super) times: usize,
    pub(super) status: u16,
    pub(super) body: String,
}

/// One request, as it was answered.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) media: String,
    pub(super) accept: String,
    pub(super) body: Value,
    pub(super) status: u16,
    /// What a Role has to have for it.
    pub(super) needs: Vec<(String, &'static str)>,
}

impl ApiServer {
    /// An empty namespace, whose Services lead to a port of this machine.
    pub(super) async fn start(port: u16) -> Self {
        let inner = Inner {
            version: 1,
            uids: 0,
            objects: BTreeMap::new(),
            events: Vec::new(),
            oldest: 0,
            cuts: 0,
            pods: Pods::Ready,
            faults: Vec::new(),
            role: None,
            record: Vec::new(),
            port,
            takes_anybody: false,
        };
        let state = Arc::new(State { inner: Mutex::new(inner), changed: Notify::new() });
        let own = state.clone();
        let upstream = Upstream::start(move |seen, answer| {
            let state = own.clone();
            async move { state.answer(&seen, answer).await }
        })
        .await;
        Self { upstream, state, folder: tempfile::tempdir().unwrap() }
    }

    /// A kubeconfig for it.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        let file = self.folder.path().join("config");
        let server = self.upstream.url.strip_suffix("/mcp").unwrap();
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"tokenFile": "token"}}],
            "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
        });
        std::fs::write(self.folder.path().join("token"), TOKEN).unwrap();
        std::fs::write(&file, text.to_string()).unwrap();
        file
    }

    /// `kubernetes` of a configuration.
    pub(super) fn config(&self) -> Value {
        json!({"kubeconfig": self.kubeconfig()})
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock()
    }

    /// A kubeconfig with a client certificate, and the front that asks for it.
    pub(super) async fn by_certificate(&self) -> (PathBuf, Front) {
        let ca = Authority::new();
        let front = Front::before(&self.upstream, ca.server_for_own(&ca.issue("localhost"))).await;
        let own = ca.issue("gateway").write(self.folder.path(), "own");
        let data = |file: &std::path::Path| STANDARD.encode(std::fs::read(file).unwrap());
        let of = |key: &str| data(std::path::Path::new(own[key].as_str().unwrap()));
        let text = json!({
            "current-context": "test",
            "clusters": [{"name": "c", "cluster": {
                "server": front.url("localhost").strip_suffix("/mcp").unwrap(),
                "certificate-authority-data": data(&ca.write(self.folder.path(), "ca")),
            }}],
            "users": [{"name": "u", "user": {"client-certificate-data": of("cert"), "client-key-data": of("key")}}],
            "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
        });
        let file = self.folder.path().join("by-certificate");
        std::fs::write(&file, text.to_string()).unwrap();
        self.lock().takes_anybody = true;
        (file, front)
    }

    /// The token that is good is another from now on.
    pub(super) fn rotate_token(&self, token: &str) {
        std::fs::write(self.folder.path().join("token"), token).unwrap();
    }

    pub(super) fn enforce(&self, role: Vec<Rule>) {
        self.lock().role = Some(role);
    }

    pub(super) fn pods_are(&self, pods: Pods) {
        self.lock().pods = pods;
        self.state.settle();
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    pub(super) fn record(&self) -> Vec<Exchange> {
        self.lock().record.clone()
    }

    /// All objects of a kind.
    pub(super) fn all(&self, resource: &str) -> Vec<Value> {
        let inner = self.lock();
        let of = inner.objects.iter().filter(|(key, _)| key.starts_with(&format!("{resource}/")));
        of.map(|(_, kept)| kept.to_json()).collect()
    }

    /// The one Deployment that there is.
    pub(super) fn deployment(&self) -> Option<Value> {
        let all = self.all("apps/deployments");
        assert!(all.len() <= 1, "{all:?}");
        all.into_iter().next()
    }

    /// How many pods the one Deployment is to have.
    pub(super) fn replicas(&self) -> Option<u64> {
        self.deployment()?["spec"]["replicas"].as_u64()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().objects.len()
    }

    /// Somebody else changes the Deployments.
    pub(super) fn update(&self, manager: &str, patch: &Value) {
        let mut inner = self.lock();
        let keys: Vec<_> =
            inner.objects.keys().filter(|key| key.starts_with("apps/deployments/")).cloned().collect();
        for key in keys {
            let kept = inner.objects.get_mut(&key).unwrap();
            kept.object.update(manager, patch);
            kept.generation += 1;
            inner.touched(&key, "MODIFIED");
        }
        drop(inner);
        self.state.settle();
    }

    /// Somebody else makes one that looks like the gateway's.
    pub(super) fn plant(&self, name: &str, labels: &Value) {
        let mut inner = self.lock();
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels}, "spec": {"replicas": 1},
        });
        inner.make(&format!("apps/deployments/{name}"), "helm", &object).unwrap();
        drop(inner);
        self.state.settle();
    }

    /// Somebody else deletes all Deployments.
    pub(super) fn delete_all(&self) {
        let mut inner = self.lock();
        let keys: Vec<_> =
            inner.objects.keys().filter(|key| key.starts_with("apps/deployments/")).cloned().collect();
        for key in &keys {
            inner.delete(key);
        }
        drop(inner);
        self.state.changed.notify_waiters();
    }

    /// What was before is not known any more, and watches end.
    pub(super) fn expire(&self) {
        let mut inner = self.lock();
        inner.oldest = inner.version + 1;
        inner.version += 1;
        inner.cuts += 1;
        drop(inner);
        self.state.changed.notify_waiters();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What controllers do.
    fn settle(&self) {
        let mut inner = self.lock();
        let keys: Vec<_> =
            inner.objects.keys().filter(|key| key.starts_with("apps/deployments/")).cloned().collect();
        for key in keys {
            let pods = inner.pods.clone();
            let kept = inner.objects.get_mut(&key).unwrap();
            let wanted = kept.object.to_json()["spec"]["replicas"].as_u64().unwrap_or(1);
            let ready = if matches!(pods, Pods::Ready) { wanted } else { 0 };
            let mut status = json!({
                "observedGeneration": kept.generation, "replicas": wanted, "updatedReplicas": wanted, "readyReplicas": ready,
            });
            if matches!(pods, Pods::Forbidden) && wanted > 0 {
                status["conditions"] = json!([{
                    "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                    "message": "pods is forbidden: violates PodSecurity \"restricted:latest\"",
                }]);
            }
            if kept.status != status {
                kept.status = status;
                inner.touched(&key, "MODIFIED");
            }
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    async fn answer(&self, seen: &Seen, answer: Answer) {
        let Some(asked) = Asked::read(&seen.path) else {
            return answer
                .json(404, &status(404, "NotFound", "the server could not find the requested resource"))
                .await;
        };
        if asked.query.contains_key("watch") {
            return self.watch(seen, &asked, answer).await;
        }
        let (needs, (code, body)) = self.handle(seen, &asked);
        self.settle_after(seen);
        self.note(seen, code, needs);
        if let Value::String(text) = &body {
            return answer.send(code, &[("content-type", "text/plain")], text.as_bytes()).await;
        }
        answer.json(code, &body).await;
    }

    fn settle_after(&self, seen: &Seen) {
        if seen.verb != "GET" {
            self.settle();
        }
    }

    fn note(&self, seen: &Seen, status: u16, needs: Vec<(String, &'static str)>) {
        self.lock().record.push(Exchange {
            method: seen.verb.clone(),
            path: seen.path.clone(),
            media: seen.header("content-type").unwrap_or_default().to_owned(),
            accept: seen.header("accept").unwrap_or_default().to_owned(),
            body: seen.rpc.clone(),
            status,
            needs,
        });
    }

    /// What refuses a request before it is looked at.
    fn refuse(&self, seen: &Seen, needs: &[(String, &'static str)]) -> Option<(u16, Value)> {
        let mut inner = self.lock();
        let fits = |fault: &&mut Fault| {
            fault.times > 0 && seen.verb == fault.method && seen.path.contains(fault.path)
        };
        if let Some(fault) = inner.faults.iter_mut().find(fits) {
            fault.times -= 1;
            let body = serde_json::from_str(&fault.body).unwrap_or_else(|_| Value::from(fault.body.clone()));
            return Some((fault.status, body));
        }
        if !inner.takes_anybody && seen.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return Some((401, status(401, "Unauthorized", "Unauthorized")));
        }
        let role = inner.role.as_ref()?;
        let lacks =
            needs.iter().find(|(resource, verb)| !role.iter().any(|rule| rule.allows(resource, verb)));
        lacks.map(|(resource, verb)| {
            let message = format!(
                "{resource} is forbidden: User \"u\" cannot {verb} resource in the namespace \"mcp\""
            );
            (403, status(403, "Forbidden", &message))
        })
    }

    fn handle(&self, seen: &Seen, asked: &Asked<'_>) -> (Vec<(String, &'static str)>, (u16, Value)) {
        let key = asked.key();
        let exists = self.lock().objects.contains_key(&key);
        let resource = match asked.below {
            Some(below) => format!("{}/{below}", asked.resource),
            None => asked.resource.clone(),
        };
        let need = |verb| (resource.clone(), verb);
        let needs = match (seen.verb.as_str(), asked.name) {
            ("GET", None) => vec![need("list")],
            ("GET", Some(_)) => vec![need("get")],
            // Applying what is not there is creating, too.
            ("PATCH", _) if !exists => vec![need("patch"), need("create")],
            ("PATCH", _) => vec![need("patch")],
            ("DELETE", _) => vec![need("delete")],
            _ => Vec::new(),
        };
        if let Some(refused) = self.refuse(seen, &needs) {
            return (needs, refused);
        }
        let mut inner = self.lock();
        let told = match (seen.verb.as_str(), asked.name, asked.below) {
            ("GET", None, None) => inner.list(asked),
            ("GET", Some(_), Some("log")) => (
                200,
                json!(
                    "2026-11-30T10:00:02.000000000Z listening\u{1b}[2J\n2026-11-30T10:00:03Z the secret is that every gateway of these tests has in its environment\n"
                ),
            ),
            ("PATCH", Some(_), None) => inner.patch(&key, seen, asked),
            ("DELETE", Some(_), None) => inner.remove(&key, &seen.rpc),
            _ => (405, status(405, "MethodNotAllowed", "not here")),
        };
        (needs, told)
    }

    async fn watch(&self, seen: &Seen, asked: &Asked<'_>, mut answer: Answer) {
        let needs = vec![(asked.resource.clone(), "watch")];
        if let Some((code, body)) = self.refuse(seen, &needs) {
            self.note(seen, code, needs);
            return answer.json(code, &body).await;
        }
        self.note(seen, 200, needs);
        let mut from: u64 = asked.query["resourceVersion"].parse().unwrap();
        let (oldest, cuts) = {
            let inner = self.lock();
            (inner.oldest, inner.cuts)
        };
        let head = "HTTP/1.1 200 -\r\nconnection: close\r\ncontent-type: application/json\r\n\r\n";
        if from < oldest {
            let event =
                json!({"type": "ERROR", "object": status(410, "Expired", "too old resource version")});
            let _ = answer.write(format!("{head}{event}\n").as_bytes()).await;
            return;
        }
        if answer.write(head.as_bytes()).await.is_err() {
            return;
        }
        let lasts = Duration::from_secs(asked.query["timeoutSeconds"].parse().unwrap());
        let selector = &asked.query["labelSelector"];
        let sending = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let (news, is_over) = {
                    let inner = self.lock();
                    let after = inner
                        .events
                        .iter()
                        .filter(|(version, _, object)| *version > from && is_selected(object, selector));
                    let news: Vec<_> = after.cloned().collect();
                    (news, inner.cuts != cuts)
                };
                if is_over {
                    return;
                }
                for (version, event, object) in news {
                    let line = json!({"type": event, "object": object});
                    if answer.write(format!("{line}\n").as_bytes()).await.is_err() {
                        return;
                    }
                    from = version;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(lasts, sending).await;
    }
}

/// What a recording used, by resource.
pub(super) fn used(record: &[Exchange]) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut used: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for (resource, verb) in record.iter().flat_map(|exchange| &exchange.needs) {
        used.entry(resource.clone()).or_default().insert(verb);
    }
    used
}
