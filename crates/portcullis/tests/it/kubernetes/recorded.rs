//! The life of a server in the cluster, with all that the API server is asked for it written down: that it is what it was, that it
//! is what Kubernetes takes, and that the published Role allows just that.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::api_server::{ApiServer, Exchange, used};
use super::{call, config, image, port, role};
use crate::harness::{Fake, Gateway, until};

/// The text that a recording comes to: what is read once each, what is written in order. What differs from run to run has a name.
fn shown(record: &[Exchange], port: u16) -> String {
    let mut reads = BTreeSet::new();
    let mut writes = String::new();
    for exchange in record {
        let path = settled(&exchange.path);
        if exchange.method == "GET" {
            reads.insert(format!("GET {path} -> {}", exchange.status));
            continue;
        }
        let (method, media, accept) = (&exchange.method, &exchange.media, &exchange.accept);
        let accept = if accept == "application/json" { String::new() } else { format!(" {accept}") };
        let _ = writeln!(writes, "\n{method} {path} {media} -> {}{accept}", exchange.status);
        let _ = writeln!(writes, "{:#}", settle(&exchange.body, port));
    }
    let reads: Vec<_> = reads.into_iter().collect();
    format!("{}\n{writes}", reads.join("\n"))
}

/// Names without their hash, and versions.
fn settled(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("mcp-x-") {
        let (before, after) = rest.split_at(at + "mcp-x-".len());
        out.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(after.len());
        out.push_str("HASH");
        rest = &after[end..];
    }
    out.push_str(rest);
    match out.split_once("resourceVersion=") {
        Some((before, after)) => {
            let end = after.find('&').unwrap_or(after.len());
            format!("{before}resourceVersion=VERSION{}", &after[end..])
        }
        None => out,
    }
}

fn settle(value: &Value, port: u16) -> Value {
    match value {
        Value::Number(number) if number.as_u64() == Some(port.into()) => json!(4711),
        Value::String(text) => settled(text).into(),
        Value::Array(items) => items.iter().map(|item| settle(item, port)).collect(),
        Value::Object(members) => {
            // In the order of keys, which is nobody's promise.
            let sorted: BTreeMap<_, _> = members.iter().collect();
            let member = |(key, value): (&String, &Value)| match key.as_str() {
                "portcullis.io/secret-version" | "resourceVersion" => (key.clone(), json!("VERSION")),
                key if key.starts_with("used-by.portcullis.io/") => {
                    ("used-by.portcullis.io/GATEWAY".to_owned(), json!("TIME"))
                }
                _ => (key.clone(), settle(value, port)),
            };
            sorted.into_iter().map(member).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

#[tokio::test]
async fn a_server_runs_while_it_is_used_and_goes_with_its_description() {
    let upstream = Fake::modern().start().await;
    let cluster = ApiServer::start(port(&upstream)).await;
    cluster.enforce(role::published());
    let mut server = image(port(&upstream));
    server["idle_stop"] = json!("400ms");
    server["args"] = json!(["--verbose"]);
    server["container"]["ports"] = json!([53, 443]);
    server["container"]["cidrs"] = json!(["203.0.113.0/24"]);
    let gateway = Gateway::start(&config(&cluster, &server));
    until("the list of what is there", async || !cluster.record().is_empty()).await;
    assert_eq!(cluster.count(), 0, "nobody needs it yet");

    call(&gateway).await;
    assert_eq!((cluster.replicas(), cluster.count()), (Some(1), 4));
    let logs = gateway.get("/api/v1/servers/x/logs").await.json();
    let lines = &logs["instances"][0]["lines"];
    assert_eq!(lines[0]["line"], "listening\\u{1b}[2J", "{logs}");
    assert_eq!(lines[1], json!({"at": "2026-11-30T10:00:03Z", "line": "the secret is ***"}));
    assert!(logs["instances"][0]["pod"].as_str().unwrap().starts_with("mcp-x-"), "{logs}");

    until("its rest", async || cluster.replicas() == Some(0)).await;
    let made = cluster.deployment().unwrap()["metadata"]["uid"].clone();
    call(&gateway).await;
    assert_eq!(cluster.replicas(), Some(1));
    assert_eq!(cluster.deployment().unwrap()["metadata"]["uid"], made, "it is the same one");
    until("its rest", async || cluster.replicas() == Some(0)).await;

    gateway.rewrite_config(&json!({"servers": {}, "kubernetes": cluster.config()}));
    until("its end", async || cluster.count() == 0).await;

    let record = cluster.record();
    is_as_it_was(&shown(&record, port(&upstream)));
    the_role_is_just_what_is_used(&record);
}

fn is_as_it_was(found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kubernetes/recorded.txt");
    if std::env::var_os("REFRESH").is_some() {
        std::fs::write(&file, found).unwrap();
    }
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        before == found,
        "the API server is asked for something else than before; if that is meant, run this test with REFRESH=1 and look at the \
         difference in {}.\n{found}",
        file.display()
    );
}

fn the_role_is_just_what_is_used(record: &[Exchange]) {
    let used = used(record);
    for rule in role::published() {
        let needed = used.get(&rule.resource);
        for verb in &rule.verbs {
            let is_needed = needed.is_some_and(|verbs| verbs.contains(verb.as_str()));
            assert!(is_needed, "the Role allows to {verb} {}, which nobody does", rule.resource);
        }
    }
    for (resource, verbs) in &used {
        for verb in verbs {
            let allowed = role::published().iter().any(|rule| rule.allows(resource, verb));
            assert!(allowed, "the Role does not allow to {verb} {resource}");
        }
    }
}
