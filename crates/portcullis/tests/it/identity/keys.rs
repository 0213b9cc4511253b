//! API keys for machines.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Scene, bearer, open_session, ping};
use crate::evidence;
use crate::harness::idp::sha256;
use crate::harness::{Fake, Gateway, Modern, hex, until};

const OLD: &str = "pcl_old-old-old-old-old-old-old-old-old-old-old";
const NEW: &str = "pcl_new-new-new-new-new-new-new-new-new-new-new";

fn hash(key: &str) -> Value {
    json!({"sha256": hex(&sha256(key.as_bytes()))})
}

async fn call(gateway: &Gateway, key: &str) -> u16 {
    let authorization = bearer(key);
    let headers = [("authorization", authorization.as_str())];
    Modern::new().request_with(gateway, "tools/list", json!({}), &headers).await.status()
}

#[tokio::test]
async fn keys_are_rotated_without_a_break_and_without_a_restart() {
    let upstream = Fake::modern().start().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |folder: &std::path::Path, hashes: Value| {
        let keys = json!({"keys": {"bot": {"hashes": hashes, "groups": ["ci"]}}});
        std::fs::write(folder.join("keys.draft"), keys.to_string()).unwrap();
        std::fs::rename(folder.join("keys.draft"), folder.join("keys.json")).unwrap();
    };
    write(folder.path(), json!([hash(OLD)]));
    let config = json!({
        "servers": {"x": upstream.config()}, "identity": {"keys": {"file": "keys.json"}}, "audit": {"node": "gw"},
    });
    let gateway = Gateway::start_in(folder, &config, &[]);
    assert_eq!((call(&gateway, OLD).await, call(&gateway, NEW).await), (200, 401));
    let session = open_session(&gateway, OLD).await;
    let bare = gateway.post("/mcp", "{}").await;
    assert_eq!((bare.status(), bare.header("www-authenticate")), (401, Some("Bearer realm=\"portcullis\"")));
    assert!(
        bare.text().contains("Send an API key of this gateway, as `Authorization: Bearer pcl_"),
        "{}",
        bare.text()
    );
    assert_eq!(gateway.get("/.well-known/oauth-protected-resource/mcp").await.status(), 404);

    write(gateway.folder(), json!([hash(OLD), hash(NEW)]));
    until("the new key", async || call(&gateway, NEW).await == 200).await;
    assert_eq!(call(&gateway, OLD).await, 200);
    write(gateway.folder(), json!([hash(NEW)]));
    until("the end of the old key", async || call(&gateway, OLD).await == 401).await;
    // The machine is the same, and so is what belongs to it.
    assert_eq!(ping(&gateway, &session, Some(NEW)).await.status(), 200);
    gateway.logged("key:bot").await;
    assert!(!gateway.log().contains(OLD) && !gateway.log().contains(NEW));
    let told = evidence::until(&gateway, "both changes of keys", 2, |event| event["kind"] == "key").await;
    assert!(
        told.iter().all(|event| event["detail"]["what"] == "API keys or revocations changed"),
        "{told:?}"
    );
    let bots = evidence::events(&gateway).into_iter().filter(|event| event["who"]["proof"] == "key");
    let bots: BTreeSet<_> = bots.map(|event| event["who"]["person"].as_str().unwrap().to_owned()).collect();
    assert_eq!(bots.len(), 1, "whatever key it has, it is the same machine: {bots:?}");
    assert!(told.iter().all(|event| bots.contains(event["detail"]["changed"].as_str().unwrap())), "{told:?}");
}

/// Where callers have to show who they are, being on this machine is no right, and a key that may call is none either.
#[tokio::test]
async fn a_key_that_may_call_runs_no_servers() {
    let upstream = Fake::modern().start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("keys.json"),
        json!({"keys": {"bot": {"hashes": [hash(NEW)]}}}).to_string(),
    )
    .unwrap();
    let config = json!({"servers": {"x": upstream.config()}, "identity": {"keys": {"file": "keys.json"}}});
    let gateway = Gateway::start_in(folder, &config, &[]);
    assert_eq!(call(&gateway, NEW).await, 200);
    let key = bearer(NEW);
    for (method, path) in [("GET", "/api/v1/servers/x/logs"), ("POST", "/api/v1/servers/x/restart")] {
        for (headers, status) in [(vec![], 401), (vec![("authorization", key.as_str())], 403)] {
            assert_eq!(gateway.send(method, path, &headers, b"").await.status(), status, "{path}");
        }
    }
}

#[tokio::test]
async fn a_broken_file_of_keys_changes_nothing_and_its_lines_are_logged() {
    let scene = Scene::new().await;
    let folder = scene.gateway.folder();
    std::fs::write(folder.join("keys.yaml"), "keys:\n  bot:\n    hashes: [{ sha256: abc }]\n").unwrap();
    let mut config = scene.idp.config(&scene.upstream.config());
    config["identity"]["keys"] = json!({"file": "keys.yaml"});
    scene.gateway.rewrite_config(&config);
    scene.gateway.logged("keys.yaml:3:16: error: keys.bot.hashes[0].sha256: not a SHA-256").await;
    assert_eq!(scene.call(&bearer(&scene.idp.token("ada"))).await.status(), 200);
}
