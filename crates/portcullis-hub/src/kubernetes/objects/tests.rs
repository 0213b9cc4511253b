//! What is sent is decided here alone, so it is looked at word for word where it keeps something in or out.

use std::time::Duration;

use portcullis_model::ServerId;
use serde_json::{Value, json};

use super::{Objects, Wanted};
use crate::Network;
use crate::kubernetes::{Ingress, Settings, Workload};

pub(in crate::kubernetes) fn workload() -> Workload {
    Workload {
        server: ServerId::parse("x").expect("an id"),
        version: None,
        image: format!("ghcr.io/acme/x@sha256:{}", "0".repeat(64)),
        command: Vec::new(),
        args: Vec::new(),
        env: [("TOKEN".to_owned(), "hidden".to_owned())].into(),
        secrets: vec!["hidden".to_owned()],
        port: 8080,
        cpu: "1".to_owned(),
        memory: 512 << 20,
        tmp: 64 << 20,
        user: None,
        network: Network::None,
        cidrs: Vec::new(),
    }
}

pub(in crate::kubernetes) fn settings() -> Settings {
    Settings {
        namespace: "mcp".to_owned(),
        instance: "portcullis".to_owned(),
        gateway: Ingress { labels: [("app".to_owned(), "gate".to_owned())].into(), ..Ingress::default() },
        pull_secrets: Vec::new(),
        start_timeout: Duration::from_mins(2),
        drain: Duration::from_secs(25),
        grace: Duration::from_secs(30),
        scans: None,
        is_local: false,
    }
}

fn deployment(workload: &Workload, settings: &Settings) -> Value {
    Objects { name: "mcp-x-1", workload, settings }.deployment(&Wanted::default())
}

fn policy(workload: &Workload, settings: &Settings) -> Value {
    Objects { name: "mcp-x-1", workload, settings }.network_policy("u1")["spec"].clone()
}

#[test]
fn a_pod_has_no_privileges() {
    let pod = &deployment(&workload(), &settings())["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    let expected = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(pod["securityContext"], expected);
    let expected = json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "privileged": false,
        "readOnlyRootFilesystem": true,
    });
    assert_eq!(pod["containers"][0]["securityContext"], expected);
    assert_eq!(pod["containers"][0]["resources"]["limits"], json!({"cpu": "1", "memory": "536870912"}));
    for shared in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
        assert_eq!(pod[shared], false, "{shared}, which somebody else could set otherwise");
    }
    assert_eq!(pod["serviceAccountName"], "default");
    let of_user = Workload { user: Some(65532), ..workload() };
    let pod = &deployment(&of_user, &settings())["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
}

#[test]
fn values_of_variables_are_in_the_secret_alone() {
    let (workload, settings) = (workload(), settings());
    let objects = Objects { name: "mcp-x-1", workload: &workload, settings: &settings };
    let secret = objects.secret("u1").expect("there is a variable");
    assert_eq!(secret["data"], json!({"TOKEN": "aGlkZGVu"}));
    let deployment = objects.deployment(&Wanted::default());
    let expected =
        json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "mcp-x-1", "key": "TOKEN"}}}]);
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["env"], expected);
    for object in [deployment, objects.service("u1"), objects.network_policy("u1")] {
        let text = object.to_string();
        assert!(!text.contains("hidden") && !text.contains("aGlkZGVu"), "{text}");
    }
    let none = Workload { env: std::collections::BTreeMap::new(), ..workload.clone() };
    assert_eq!(Objects { name: "mcp-x-1", workload: &none, settings: &settings }.secret("u1"), None);
}

#[test]
fn a_pod_is_reached_by_the_gateway_alone() {
    let own = policy(&workload(), &settings());
    assert_eq!(own["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(own["podSelector"], json!({"matchLabels": {"portcullis.io/deployment": "mcp-x-1"}}));
    let from = json!([{"podSelector": {"matchLabels": {"app": "gate"}}}]);
    let port = json!([{"port": 8080, "protocol": "TCP"}]);
    assert_eq!(own["ingress"], json!([{"from": from, "ports": port}]));
    let mut elsewhere = settings();
    elsewhere.gateway.namespace = Some("edge".to_owned());
    elsewhere.gateway.cidrs = vec!["192.0.2.7/32".to_owned()];
    let name = json!({"matchLabels": {"kubernetes.io/metadata.name": "edge"}});
    let from = json!([
        {"podSelector": {"matchLabels": {"app": "gate"}}, "namespaceSelector": name},
        {"ipBlock": {"cidr": "192.0.2.7/32"}},
    ]);
    assert_eq!(policy(&workload(), &elsewhere)["ingress"][0]["from"], from);
}

#[test]
fn a_pod_connects_to_where_its_description_says_and_nowhere_else() {
    let egress = |network, cidrs: &[&str]| {
        let cidrs = cidrs.iter().map(|&cidr| cidr.to_owned()).collect();
        policy(&Workload { network, cidrs, ..workload() }, &settings())["egress"].clone()
    };
    assert_eq!(egress(Network::None, &[]), json!([]));
    let block = |cidr: &str| json!({"ipBlock": {"cidr": cidr}});
    let both = json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]);
    let (pods, https) = (json!({"namespaceSelector": {}}), json!([{"port": 443, "protocol": "TCP"}]));
    let public = json!([
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": [
            "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "168.63.129.16/32",
        ]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fc00::/7", "fe80::/10", "fd00:ec2::254/128"]}},
    ]);
    let names = json!({"ports": both, "to": [pods, block("169.254.20.10/32")]});
    let expected = json!([names, {"ports": https, "to": public}]);
    assert_eq!(egress(Network::Ports(vec![53, 443]), &[]), expected, "what is inside has to be named");
    let inside = [block("10.0.0.10/32"), block("203.0.113.0/24")];
    let names = json!({"ports": both, "to": [pods, inside[0], inside[1], block("169.254.20.10/32")]});
    let expected = json!([names, {"ports": https, "to": inside}]);
    assert_eq!(egress(Network::Ports(vec![443, 53]), &["10.0.0.10/32", "203.0.113.0/24"]), expected);
    let any = egress(Network::Any, &[]);
    assert_eq!(any[0]["to"][0], pods);
    let except = json!(["169.254.0.0/16", "168.63.129.16/32"]);
    assert_eq!(any[0]["to"][1], json!({"ipBlock": {"cidr": "0.0.0.0/0", "except": except}}));
    assert_eq!(any[1], json!({"ports": both, "to": [block("169.254.20.10/32")]}));
}

#[test]
fn what_a_deployment_owns_goes_with_it() {
    let (workload, settings) = (workload(), settings());
    let objects = Objects { name: "mcp-x-1", workload: &workload, settings: &settings };
    let owner = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "mcp-x-1", "uid": "u1"}]);
    for object in [objects.secret("u1").expect("one"), objects.service("u1"), objects.network_policy("u1")] {
        assert_eq!(object["metadata"]["ownerReferences"], owner, "{object}");
        assert_eq!(object["metadata"]["labels"]["portcullis.io/instance"], "portcullis");
    }
}

#[test]
fn an_argument_is_no_reference_to_a_variable() {
    let args = vec!["$(TOKEN)".to_owned(), "$HOME".to_owned()];
    let container = &deployment(&Workload { args, ..workload() }, &settings())["spec"]["template"]["spec"]["containers"]
        [0];
    assert_eq!(container["args"], json!(["$$(TOKEN)", "$$HOME"]));
}

#[test]
fn another_secret_and_a_restart_make_another_pod() {
    let (workload, settings) = (workload(), settings());
    let objects = Objects { name: "mcp-x-1", workload: &workload, settings: &settings };
    let template = |secret: Option<&str>, restarted: Option<&str>| {
        let (secret, restarted) = (secret.map(str::to_owned), restarted.map(str::to_owned));
        objects.deployment(&Wanted { replicas: 1, secret, restarted })["spec"]["template"].clone()
    };
    let all = [template(Some("1"), None), template(Some("2"), None), template(Some("1"), Some("5"))];
    assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2]);
}
