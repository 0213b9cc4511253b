//! Images that are proposed, looked at and approved like anything else: nothing of them runs for callers before that.

use std::path::Path;

use serde_json::{Value, json};

use super::api_server::{ApiServer, Pods};
use super::{DIGEST, port};
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::{Fake, Gateway, Modern, until};
use crate::oversight::start;

fn done(folder: &Path, args: &[&str]) -> String {
    tokio::task::block_in_place(|| crate::oversight::done(folder, args))
}

fn instances(cluster: &ApiServer) -> Vec<Value> {
    let all = cluster.all("apps/deployments");
    all.iter().map(|it| it["metadata"]["labels"]["portcullis.io/instance"].clone()).collect()
}

fn gateway(cluster: &ApiServer) -> Gateway {
    // What a version began may end within `drain`.
    start(json!({"servers": {}, "kubernetes": cluster.config(), "limits": {"drain": "1s"}}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_scanned_in_a_pod_of_its_own_and_runs_when_it_is_approved() {
    let upstream = Fake::modern().start().await;
    let cluster = ApiServer::start(port(&upstream)).await;
    let gateway = gateway(&cluster);
    let folder = gateway.folder();
    let document = json!({
        "name": "com.example/x", "description": "It echoes.", "version": "1.0.0",
        "packages": [{
            "registryType": "oci", "identifier": format!("ghcr.io/acme/x@{DIGEST}"),
            "transport": {"type": "streamable-http", "url": format!("http://localhost:{}/mcp", port(&upstream))},
        }],
    });
    std::fs::write(folder.join("server.json"), document.to_string()).unwrap();
    let added = done(folder, &["server", "add", "server.json", "--yes"]);
    assert!(added.contains("added x@1.0.0"), "{added}");
    assert_eq!(cluster.count(), 0);
    let scanned = done(folder, &["server", "scan", "x"]);
    assert!(scanned.contains("1 tools"), "{scanned}");
    until("nothing of it", async || cluster.count() == 0).await;
    let made = cluster
        .record()
        .iter()
        .filter(|it| it.status == 201)
        .map(|it| it.body["metadata"]["labels"]["portcullis.io/instance"].clone())
        .collect::<Vec<_>>();
    assert!(!made.is_empty() && made.iter().all(|it| it == "portcullis-scan"), "{made:?}");
    done(folder, &["server", "review", "x"]);
    let refused = Modern::at("/mcp/s/x").request(&gateway, "tools/list", json!({})).await;
    assert_eq!((refused.status(), cluster.count()), (404, 0), "nobody has approved it");
    let inspected = done(folder, &["server", "inspect", "x"]);
    assert!(inspected.contains("walls: a pod of its own"), "{inspected}");
    assert!(inspected.contains(&format!("package oci ghcr.io/acme/x, {DIGEST}")), "{inspected}");

    done(folder, &["server", "approve", "x"]);
    until("the approved one", async || {
        let told =
            Modern::new().request(&gateway, "tools/call", json!({"name": "x__echo", "arguments": {}})).await;
        told.json()["result"].is_object()
    })
    .await;
    assert_eq!(instances(&cluster), ["portcullis"]);
    done(folder, &["server", "retire", "x@1.0.0"]);
    until("its end", async || cluster.count() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_that_is_cut_off_leaves_nothing_running() {
    let upstream = Fake::modern().start().await;
    let cluster = ApiServer::start(port(&upstream)).await;
    let gateway = gateway(&cluster);
    let folder = gateway.folder();
    let container = json!({"port": port(&upstream)});
    let client =
        json!({"mcpServers": {"x": {"image": format!("ghcr.io/acme/x@{DIGEST}"), "container": container}}});
    std::fs::write(folder.join("mcp.json"), client.to_string()).unwrap();
    done(folder, &["server", "add", "mcp.json", "--version", "1.0.0", "--yes"]);
    cluster.pods_are(Pods::Crash);
    let mut scan = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .current_dir(folder)
        .args(["server", "scan", "x", "--config", "portcullis.json"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    until("its pod", async || cluster.replicas() == Some(1)).await;
    crate::harness::signal(scan.id(), rustix::process::Signal::INT);
    until("its end", async || scan.try_wait().unwrap().is_some()).await;
    let told = std::io::read_to_string(scan.stderr.take().unwrap()).unwrap();
    assert!(told.contains("cannot be scanned: it was interrupted"), "{told}");
    assert_eq!(cluster.count(), 0, "nothing of it is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_run_side_by_side_and_the_one_that_nobody_has_goes() {
    let upstream = Fake::modern()
        .on("tools/call", |_, answer| async move { answer.result(text("here")).await })
        .start()
        .await;
    let cluster = ApiServer::start(port(&upstream)).await;
    let gateway = gateway(&cluster);
    let folder = gateway.folder();
    for version in ["1.0.0", "2.0.0"] {
        let other = DIGEST.replace('f', if version == "1.0.0" { "a" } else { "b" });
        let container = json!({"port": port(&upstream)});
        let client = json!({"mcpServers": {"x": {"image": format!("ghcr.io/acme/x@{other}"), "container": container}}});
        std::fs::write(folder.join("mcp.json"), client.to_string()).unwrap();
        done(folder, &["server", "add", "mcp.json", "--version", version, "--yes"]);
        let named = format!("x@{version}");
        for step in ["scan", "review"] {
            done(folder, &["server", step, &named]);
        }
        if version == "1.0.0" {
            done(folder, &["server", "approve", &named]);
        } else {
            done(folder, &["server", "rollout", "x", version, "--to", "50%"]);
        }
    }
    let versions = || {
        let all = cluster.all("apps/deployments");
        let version = |it: &Value| it["metadata"]["annotations"]["portcullis.io/version"].clone();
        let mut all: Vec<_> = all.iter().map(|it| version(it).to_string()).collect();
        all.sort();
        all
    };
    // The one that is rolled out is tried before anybody has it.
    until("both", async || {
        let _ =
            Modern::new().request(&gateway, "tools/call", json!({"name": "x__echo", "arguments": {}})).await;
        versions() == [r#""1.0.0""#, r#""2.0.0""#]
    })
    .await;
    done(folder, &["server", "rollout", "x", "2.0.0", "--to", "100%"]);
    until("the new one alone", async || versions() == [r#""2.0.0""#]).await;
    let result = Modern::new().call(&gateway, "x__echo", json!({})).await;
    assert_eq!(text_of(&result), "here");
}
