//! Servers whose images a cluster runs: the whole program before an API server that keeps objects, and real MCP servers where the
//! Services lead.

mod api_server;
mod faults;
mod objects;
mod recorded;
mod registry;
mod role;
mod schema;
mod store;

use serde_json::{Value, json};

use self::api_server::ApiServer;
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::http::Response;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream, until};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Where a server of a test listens.
fn port(upstream: &Upstream) -> u16 {
    upstream.url.rsplit(':').next().unwrap().strip_suffix("/mcp").unwrap().parse().unwrap()
}

/// An entry of `servers` with an image, which is found at this port.
fn image(port: u16) -> Value {
    json!({
        "image": format!("ghcr.io/acme/x@{DIGEST}"),
        "env": {"SECRET": {"env": "A_SECRET"}},
        "container": {"port": port},
    })
}

fn config(cluster: &ApiServer, server: &Value) -> Value {
    json!({"servers": {"x": server}, "kubernetes": cluster.config()})
}

/// A server, the cluster that is to run it, and a gateway that nobody has called.
async fn prepared(server: Fake, more: &Value) -> (Upstream, ApiServer, Gateway) {
    let upstream = server.start().await;
    let cluster = ApiServer::start(port(&upstream)).await;
    let mut entry = image(port(&upstream));
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let gateway = Gateway::start(&config(&cluster, &entry));
    (upstream, cluster, gateway)
}

async fn ask(gateway: &Gateway) -> Response {
    Modern::new().request(gateway, "tools/call", json!({"name": "x__echo", "arguments": {"a": 1}})).await
}

/// A call that succeeds.
async fn call(gateway: &Gateway) {
    let result = Modern::new().call(gateway, "x__echo", json!({"a": 1})).await;
    assert_eq!(text_of(&result), r#"{"a":1}"#, "{result}");
}

fn template(cluster: &ApiServer) -> Value {
    cluster.deployment().unwrap()["spec"]["template"].clone()
}

#[tokio::test]
async fn clients_of_both_eras_use_it_and_nobody_notices_that_it_stops() {
    let (upstream, cluster, gateway) = prepared(Fake::legacy(), &json!({"idle_stop": "300ms"})).await;
    assert_eq!(cluster.count(), 0, "nobody needs it");
    let session = Legacy::open(&gateway).await;
    for round in 1..=2 {
        let result = session.call(&gateway, "x__echo", json!({"a": round})).await;
        assert_eq!(text_of(&result), json!({"a": round}).to_string());
        call(&gateway).await;
        assert_eq!(cluster.replicas(), Some(1));
        until("its end", async || cluster.replicas() == Some(0)).await;
    }
    // Its sessions were ended before it was, and nobody took its end for a failure.
    assert!(upstream.count("DELETE") >= 2, "{}", upstream.count("DELETE"));
    assert!(!gateway.log().contains("server is down"), "{}", gateway.log());
}

#[tokio::test]
async fn a_call_under_way_is_not_cut_off() {
    let slow = Fake::modern().on("tools/call", |_, answer| async move {
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        answer.result(text("done")).await;
    });
    let (_upstream, cluster, gateway) = prepared(slow, &json!({"idle_stop": "200ms"})).await;
    let result = Modern::new().call(&gateway, "x__echo", json!({})).await;
    assert_eq!(text_of(&result), "done");
    until("its end", async || cluster.replicas() == Some(0)).await;
}

#[tokio::test]
async fn another_secret_and_a_restart_make_another_pod_of_the_same_deployment() {
    let (upstream, cluster, gateway) = prepared(Fake::modern(), &json!({})).await;
    call(&gateway).await;
    let (first, made) = (template(&cluster), cluster.deployment().unwrap()["metadata"]["uid"].clone());
    assert!(!cluster.deployment().unwrap().to_string().contains("that every gateway"), "{first}");

    let mut changed = image(port(&upstream));
    changed["env"] = json!({"SECRET": "another-secret"});
    gateway.rewrite_config(&config(&cluster, &changed));
    until("the new secret", async || {
        call(&gateway).await;
        cluster.all("/secrets")[0]["data"]["SECRET"] == "YW5vdGhlci1zZWNyZXQ="
    })
    .await;
    until("the new pod", async || template(&cluster) != first).await;
    assert_eq!(cluster.deployment().unwrap()["metadata"]["uid"], made);

    let second = template(&cluster);
    assert_eq!(gateway.post("/api/v1/servers/x/restart", "").await.status(), 200);
    until("the restart", async || {
        call(&gateway).await;
        template(&cluster) != second
    })
    .await;
    assert_eq!(cluster.deployment().unwrap()["metadata"]["uid"], made);
}

#[tokio::test]
async fn what_runs_goes_on_without_the_gateway_and_is_taken_over_by_the_next() {
    let (upstream, cluster, mut gateway) = prepared(Fake::modern(), &json!({})).await;
    call(&gateway).await;
    let made = cluster.deployment().unwrap()["metadata"]["uid"].clone();
    crate::harness::signal(gateway.pid(), rustix::process::Signal::TERM);
    assert!(gateway.process().wait().unwrap().success());
    assert_eq!(cluster.replicas(), Some(1));
    let next = Gateway::start(&config(&cluster, &image(port(&upstream))));
    call(&next).await;
    assert_eq!(cluster.deployment().unwrap()["metadata"]["uid"], made);
    assert_eq!(cluster.all("/secrets").len(), 1);
}

#[tokio::test]
async fn another_description_is_another_deployment_and_the_old_one_goes() {
    let (upstream, cluster, gateway) = prepared(Fake::modern(), &json!({})).await;
    call(&gateway).await;
    let made = cluster.deployment().unwrap()["metadata"]["name"].clone();
    let mut changed = image(port(&upstream));
    changed["container"]["memory"] = json!("1GiB");
    gateway.rewrite_config(&config(&cluster, &changed));
    until("another one", async || {
        call(&gateway).await;
        let all = cluster.all("apps/deployments");
        all.len() == 1 && all[0]["metadata"]["name"] != made
    })
    .await;
    assert_eq!(cluster.count(), 4, "what the old one owned is gone");
}

#[tokio::test]
async fn what_is_not_the_gateways_is_left_alone() {
    let (upstream, cluster, gateway) = prepared(Fake::modern(), &json!({})).await;
    cluster.plant("theirs", &json!({"app": "theirs"}));
    let other = json!({"app.kubernetes.io/managed-by": "portcullis", "portcullis.io/instance": "another"});
    cluster.plant("of-another-gateway", &other);
    call(&gateway).await;
    gateway.rewrite_config(&json!({"servers": {}, "kubernetes": cluster.config()}));
    let _ = upstream;
    until("its end", async || cluster.all("apps/deployments").len() == 2).await;
}

#[tokio::test]
async fn an_api_server_is_asked_over_tls_and_shown_a_certificate() {
    let upstream = Fake::modern().start().await;
    let cluster = ApiServer::start(port(&upstream)).await;
    let (kubeconfig, mut front) = cluster.by_certificate().await;
    let config = json!({"servers": {"x": image(port(&upstream))}, "kubernetes": {"kubeconfig": kubeconfig}});
    let gateway = Gateway::start(&config);
    call(&gateway).await;
    assert!(front.clients.recv().await.unwrap().is_some(), "the gateway showed who it is");
}

#[tokio::test]
async fn without_a_cluster_it_says_what_is_missing() {
    let gateway = Gateway::before(&image(8080));
    let told = ask(&gateway).await.text();
    assert!(told.contains("`kubernetes` says which"), "{told}");
    let check = crate::oversight::run(gateway.folder(), &["config", "check"]);
    let told = crate::oversight::said(&check);
    assert!(
        told.contains("servers.x.image: cannot be started: `kubernetes` says in which cluster"),
        "{told}"
    );
}
