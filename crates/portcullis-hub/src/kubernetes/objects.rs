//! The objects of a workload, as they are sent to be applied: all that the gateway decides about them, and nothing else, so that
//! every field in them is one that it owns.
//!
//! A pod is what the profile `restricted` of the Pod Security Standards takes, and a little less: its root file system cannot be
//! written to, and it has no token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::cluster::Settings;
use super::workload::Workload;
use crate::Network;

/// By whom objects are managed, and under which name they are applied.
pub(super) const MANAGER: &str = "portcullis";
pub(super) const INSTANCE: &str = "portcullis.io/instance";
pub(super) const SERVER: &str = "portcullis.io/server";
/// The name of the Deployment, which selects its pods.
pub(super) const DEPLOYMENT: &str = "portcullis.io/deployment";
const VERSION: &str = "portcullis.io/version";
/// In the template: a pod with another Secret, or one that is to be started anew, is another pod.
pub(super) const SECRET: &str = "portcullis.io/secret-version";
pub(super) const RESTARTED: &str = "portcullis.io/restarted-at";
pub(super) const CONTAINER: &str = "server";

/// Processor time in thousandths of a core, and memory in bytes, that a pod is sure of: most of them wait most of the time.
const SURE_CPU: u64 = 50;
const SURE_MEMORY: u64 = 64 << 20;

/// All addresses; of these, private ones, where the cluster and what is beside it are; and those that are of a machine alone, where
/// clouds tell a machine who it is.
const V4: &str = "0.0.0.0/0";
const V6: &str = "::/0";
const PRIVATE_V4: &[&str] = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];
const PRIVATE_V6: &[&str] = &["fc00::/7"];
const LINKED_V4: &[&str] = &["169.254.0.0/16", "168.63.129.16/32"];
const LINKED_V6: &[&str] = &["fe80::/10", "fd00:ec2::254/128"];
/// Where a node itself answers for names (NodeLocal DNSCache).
const NODE_NAMES: &str = "169.254.20.10/32";

/// What differs between two applications of one Deployment.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) replicas: u32,
    /// The version of its Secret, where it has one.
    pub(super) secret: Option<String>,
    /// When it was to be started anew last.
    pub(super) restarted: Option<String>,
}

/// All of them, for one workload in one cluster.
pub(super) struct Objects<'a> {
    pub(super) name: &'a str,
    pub(super) workload: &'a Workload,
    pub(super) settings: &'a Settings,
}

impl Objects<'_> {
    fn labels(&self) -> Value {
        json!({
            "app.kubernetes.io/managed-by": MANAGER,
            INSTANCE: self.settings.instance,
            SERVER: self.workload.server.as_str(),
            DEPLOYMENT: self.name,
        })
    }

    fn selector(&self) -> Value {
        json!({ DEPLOYMENT: self.name })
    }

    /// The metadata of an object that the Deployment owns.
    fn owned(&self, uid: &str) -> Value {
        json!({
            "name": self.name,
            "namespace": self.settings.namespace,
            "labels": self.labels(),
            "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "Deployment", "name": self.name, "uid": uid },
            ],
        })
    }

    pub(super) fn deployment(&self, wanted: &Wanted) -> Value {
        let mut metadata = json!({
            "name": self.name,
            "namespace": self.settings.namespace,
            "labels": self.labels(),
        });
        if let Some(version) = &self.workload.version {
            metadata["annotations"] = json!({ VERSION: version });
        }
        let mut template = json!({ "labels": self.labels() });
        let annotations: Map<_, _> = [(SECRET, &wanted.secret), (RESTARTED, &wanted.restarted)]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.as_ref()?.as_str().into())))
            .collect();
        if !annotations.is_empty() {
            template["annotations"] = annotations.into();
        }
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": wanted.replicas,
                "revisionHistoryLimit": 1,
                "progressDeadlineSeconds": self.settings.start_timeout.as_secs().max(10),
                "selector": { "matchLabels": self.selector() },
                // The one that serves goes when the one that follows it is ready.
                "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
                "template": { "metadata": template, "spec": self.pod() },
            },
        })
    }

    fn pod(&self) -> Value {
        let mut security = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
        if let Some(user) = self.workload.user {
            security["runAsUser"] = user.into();
        }
        // What is said here nobody else says, so there is more than has to be.
        let mut pod = json!({
            "automountServiceAccountToken": false,
            "serviceAccountName": "default",
            "enableServiceLinks": false,
            "hostNetwork": false,
            "hostPID": false,
            "hostIPC": false,
            "shareProcessNamespace": false,
            "securityContext": security,
            "containers": [self.container()],
            "volumes": [{ "name": "tmp", "emptyDir": { "sizeLimit": self.workload.tmp.to_string() } }],
        });
        if !self.settings.pull_secrets.is_empty() {
            let names = self.settings.pull_secrets.iter().map(|name| json!({ "name": name }));
            pod["imagePullSecrets"] = names.collect();
        }
        pod
    }

    fn container(&self) -> Value {
        let workload = self.workload;
        let cpu = format!("{}m", thousandths(&workload.cpu).min(SURE_CPU));
        let memory = workload.memory.min(SURE_MEMORY).to_string();
        let mut container = json!({
            "name": CONTAINER,
            "image": workload.image,
            "imagePullPolicy": "IfNotPresent",
            "ports": [{ "name": "mcp", "containerPort": workload.port, "protocol": "TCP" }],
            "readinessProbe": { "tcpSocket": { "port": "mcp" }, "periodSeconds": 2, "failureThreshold": 3 },
            "resources": {
                "limits": { "cpu": workload.cpu, "memory": workload.memory.to_string() },
                "requests": { "cpu": cpu, "memory": memory },
            },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
                "privileged": false,
                "readOnlyRootFilesystem": true,
            },
            "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
        });
        for (key, words) in [("command", &workload.command), ("args", &workload.args)] {
            if !words.is_empty() {
                // What looks like a reference to a variable is the operator's own text (`$$` stands for `$`).
                container[key] = words.iter().map(|word| Value::from(word.replace('$', "$$"))).collect();
            }
        }
        if !workload.env.is_empty() {
            let of = |name: &String| json!({ "secretKeyRef": { "name": self.name, "key": name } });
            let variables = workload.env.keys().map(|name| json!({ "name": name, "valueFrom": of(name) }));
            container["env"] = variables.collect();
        }
        container
    }

    /// The variables; `None` where there are none.
    pub(super) fn secret(&self, uid: &str) -> Option<Value> {
        let env = &self.workload.env;
        let data: Map<_, _> =
            env.iter().map(|(name, value)| (name.clone(), STANDARD.encode(value).into())).collect();
        (!data.is_empty()).then(|| {
            json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": self.owned(uid),
                "type": "Opaque",
                "data": data,
            })
        })
    }

    pub(super) fn service(&self, uid: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": self.owned(uid),
            "spec": {
                "type": "ClusterIP",
                "selector": self.selector(),
                "ports": [
                    { "name": "mcp", "port": self.workload.port, "targetPort": "mcp", "protocol": "TCP" },
                ],
            },
        })
    }

    /// In from the gateway, and out to where the description says.
    pub(super) fn network_policy(&self, uid: &str) -> Value {
        let gateway = &self.settings.gateway;
        let mut from = Vec::new();
        if !gateway.labels.is_empty() {
            let mut pods = json!({ "podSelector": { "matchLabels": gateway.labels } });
            if let Some(namespace) = &gateway.namespace {
                let named = json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } });
                pods["namespaceSelector"] = named;
            }
            from.push(pods);
        }
        from.extend(gateway.cidrs.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } })));
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": self.owned(uid),
            "spec": {
                "podSelector": { "matchLabels": self.selector() },
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [
                    { "from": from, "ports": [{ "port": self.workload.port, "protocol": "TCP" }] },
                ],
                "egress": self.egress(),
            },
        })
    }

    fn egress(&self) -> Value {
        let block = |cidr: &str, except: &[&str]| match except {
            [] => json!({ "ipBlock": { "cidr": cidr } }),
            _ => json!({ "ipBlock": { "cidr": cidr, "except": except } }),
        };
        let cidrs = || self.workload.cidrs.iter().map(|cidr| block(cidr, &[]));
        // Pods of any namespace; addresses are those of what is no pod.
        let pods = || json!({ "namespaceSelector": {} });
        let names = |mut to: Vec<Value>| {
            to.push(block(NODE_NAMES, &[]));
            let both = ["UDP", "TCP"].map(|protocol| json!({ "port": 53, "protocol": protocol }));
            json!({ "ports": both, "to": to })
        };
        let ports = match &self.workload.network {
            Network::None => return json!([]),
            Network::Any => {
                let to = json!([pods(), block(V4, LINKED_V4), block(V6, LINKED_V6)]);
                return json!([{ "to": to }, names(Vec::new())]);
            }
            Network::Ports(ports) => ports,
        };
        let mut rules = Vec::new();
        if ports.contains(&53) {
            rules.push(names([pods()].into_iter().chain(cidrs()).collect()));
        }
        let others: Vec<_> = ports
            .iter()
            .filter(|port| **port != 53)
            .map(|port| json!({ "port": port, "protocol": "TCP" }))
            .collect();
        if !others.is_empty() {
            let to: Vec<_> = if self.workload.cidrs.is_empty() {
                vec![
                    block(V4, &[PRIVATE_V4, LINKED_V4].concat()),
                    block(V6, &[PRIVATE_V6, LINKED_V6].concat()),
                ]
            } else {
                cidrs().collect()
            };
            rules.push(json!({ "ports": others, "to": to }));
        }
        rules.into()
    }
}

/// `1`, `500m`.
fn thousandths(cpu: &str) -> u64 {
    let whole = || cpu.parse::<u64>().map_or(SURE_CPU, |cores| cores.saturating_mul(1000));
    cpu.strip_suffix('m').and_then(|text| text.parse().ok()).unwrap_or_else(whole)
}

#[cfg(test)]
pub(super) mod tests;
