//! What is done to a log: persons are erased, holds put on and lifted, keys handed over; over HTTP while the gateway runs, by
//! command while it does not. And what is packed of it for AI systems.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use portcullis_audit::Signer;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::exports::fill;
use super::{events, events_from, events_in};
use crate::harness::idp::Idp;
use crate::harness::{Fake, Gateway, Modern, Upstream, signal};

/// A gateway that keeps payloads and serves a tagged system, with an administrator, an auditor and a user.
struct Scene {
    upstream: Upstream,
    idp: Idp,
}

impl Scene {
    async fn new() -> Self {
        Self { upstream: Fake::modern().start().await, idp: Idp::start().await }
    }

    fn start(&self, folder: TempDir) -> Gateway {
        let mut config = self.idp.config(&self.upstream.config());
        config["identity"]["issuers"][0]["groups_claim"] = json!("groups");
        std::fs::write(folder.path().join("all.cedar"), "permit (principal, action, resource);").unwrap();
        config["policy"] =
            json!({"files": ["all.cedar"], "roles": {"auditor": ["audit"], "admin": ["admins"]}});
        let system = json!({
            "servers": ["x"], "purpose": "doc-7", "risk": "high", "data": ["applications|<b>"], "retention_days": 400,
        });
        config["audit"] = json!({
            "node": "gw", "mode": "strict", "payloads": "encrypted", "systems": {"hiring": system},
        });
        Gateway::start_in(folder, &config, &[])
    }

    fn bearer(&self, subject: &str, group: &str) -> String {
        format!("Bearer {}", self.idp.token_with(subject, &json!({"groups": [group]})))
    }

    async fn call(&self, gateway: &Gateway, subject: &str) {
        let headers = [("authorization", &*self.bearer(subject, "staff"))];
        let params = json!({"name": "x__echo", "arguments": {"secret": subject}});
        let answer = Modern::new().request_with(gateway, "tools/call", params, &headers).await;
        assert_eq!(answer.status(), 200);
    }
}

async fn ask(gateway: &Gateway, method: &str, path: &str, who: &str, body: &Value) -> (u16, Value) {
    let headers = [("authorization", who), ("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = gateway.send(method, &format!("/api/v1/audit/{path}"), &headers, body.as_bytes()).await;
    (answer.status(), serde_json::from_str(&answer.text()).unwrap_or_default())
}

fn keys_of(folder: &Path, person: &str) -> usize {
    let keys = std::fs::read_dir(folder.join("audit/data-key")).unwrap();
    keys.filter(|key| key.as_ref().unwrap().file_name().to_string_lossy().starts_with(person)).count()
}

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command
        .current_dir(folder)
        .env_remove("PORTCULLIS_CONFIG")
        .env_remove("PORTCULLIS_LOG")
        .env("USER", "ops");
    command.arg("audit").args(args).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn stop(mut gateway: Gateway) -> TempDir {
    signal(gateway.pid(), Signal::TERM);
    assert!(gateway.process().wait().unwrap().success());
    let copy = tempfile::tempdir().unwrap();
    let status = Command::new("cp").arg("-r").arg(gateway.folder().join(".")).arg(copy.path()).status();
    assert!(status.unwrap().success());
    copy
}

#[tokio::test]
async fn an_administrator_erases_and_holds_and_nobody_else_does() {
    let scene = Scene::new().await;
    let gateway = scene.start(tempfile::tempdir().unwrap());
    for subject in ["bob", "eve"] {
        scene.call(&gateway, subject).await;
    }
    let [admin, auditor, bob] = [("ann", "admins"), ("aud", "audit"), ("bob", "staff")]
        .map(|(subject, group)| scene.bearer(subject, group));
    let person = |subject: &str| format!("{}#{subject}", scene.idp.issuer);
    let erasure = json!({"person": person("bob"), "basis": "request 7"});
    for who in [&auditor, &bob] {
        assert_eq!(ask(&gateway, "POST", "erasures", who, &erasure).await.0, 403);
        assert_eq!(ask(&gateway, "POST", "removals", who, &Value::Null).await.0, 403);
    }
    let hold = json!({"name": "case-1", "person": person("bob"), "reason": "court"});
    assert_eq!(ask(&gateway, "POST", "holds", &auditor, &hold).await.0, 403);
    assert_eq!(ask(&gateway, "POST", "holds", &admin, &hold).await.0, 200);
    let (status, holds) = ask(&gateway, "GET", "holds", &auditor, &Value::Null).await;
    assert_eq!((status, &holds["holds"]["case-1"]["reason"]), (200, &json!("court")));
    let (status, why) = ask(&gateway, "POST", "erasures", &admin, &erasure).await;
    assert_eq!((status, why["error"].as_str().unwrap().contains("case-1")), (409, true), "{why}");
    assert_eq!(ask(&gateway, "DELETE", "holds/case-1", &bob, &Value::Null).await.0, 403);
    assert_eq!(ask(&gateway, "DELETE", "holds/case-1", &admin, &Value::Null).await.0, 200);
    assert_eq!(ask(&gateway, "DELETE", "holds/case-1", &admin, &Value::Null).await.0, 404);
    let (status, erased) = ask(&gateway, "POST", "erasures", &admin, &erasure).await;
    assert_eq!((status, &erased["keys"]), (200, &json!(1)));
    let pseudonym = erased["person"].as_str().unwrap();
    assert_eq!(keys_of(gateway.folder(), pseudonym), 0);
    // What is sealed from now on has another key, and only that.
    scene.call(&gateway, "bob").await;
    assert_eq!(keys_of(gateway.folder(), pseudonym), 1);
    for wrong in [json!({}), json!({"person": "bob"}), json!({"person": "p-1", "x": 1}), json!([])] {
        assert_eq!(ask(&gateway, "POST", "erasures", &admin, &wrong).await.0, 400, "{wrong}");
    }
    for wrong in [json!({"name": "../x", "reason": "r"}), json!({"name": "x", "reason": ""})] {
        assert_eq!(ask(&gateway, "POST", "holds", &admin, &wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(
        ask(&gateway, "POST", "removals", &admin, &Value::Null).await,
        (200, json!({"events": 0, "keys": 0}))
    );

    let all = events(&gateway);
    let told: Vec<_> =
        all.iter().filter(|event| event["kind"] == "erasure" || event["kind"] == "hold").collect();
    let what: Vec<_> =
        told.iter().map(|event| event["detail"]["action"].as_str().unwrap_or("erased")).collect();
    assert_eq!(what, ["put", "lifted", "erased", "erased"]);
    assert_eq!((&told[2]["phase"], &told[3]["phase"]), (&json!("intent"), &json!("outcome")));
    assert!(
        told.iter().all(|event| event["who"]["person"].is_string() && event["who"]["person"] != pseudonym)
    );
    assert_eq!(
        (&told[2]["detail"]["person"], &told[2]["detail"]["basis"]),
        (&json!(pseudonym), &json!("request 7"))
    );
    // Calls of the system bear its name, and are kept for as long as it says.
    let call = all.iter().find(|event| event["tool"]["name"] == "echo").unwrap();
    assert_eq!(call["system"], json!({"id": "hiring", "purpose": "doc-7", "risk": "high"}));
    assert_eq!(call["data"], json!({"categories": ["applications|<b>"], "retention": "hiring"}));
    let folder = stop(gateway);
    let verified = run(folder.path(), &["verify", "audit"]);
    assert!(verified.status.success(), "{}", said(&verified));
}

/// Two hundred days: longer than the 184 that are kept when nothing else is said.
const OLD: Duration = Duration::from_hours(200 * 24);

/// All whole runs of 256 of what was there are gone, the log says so, and what is left verifies.
fn assert_removed(folder: &Path) {
    let verified = run(folder, &["verify", "audit", "--json"]);
    assert!(verified.status.success(), "{}", said(&verified));
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(report["first"], 1280, "{report}");
    let told: Vec<_> = events_from(&folder.join("audit"), 1280)
        .into_iter()
        .filter(|event| event["kind"] == "truncation")
        .collect();
    assert_eq!((told.len(), &told[0]["detail"]["before"]), (1, &json!("1280")), "{told:?}");
}

#[tokio::test]
async fn what_was_kept_long_enough_is_removed_by_the_gateway_by_request_and_by_command() {
    let scene = Scene::new().await;
    let admin = scene.bearer("ann", "admins");
    // When it starts.
    let folder = tempfile::tempdir().unwrap();
    fill(&folder.path().join("audit"), OLD, None).await;
    let gateway = scene.start(folder);
    gateway.logged("what was kept long enough is removed").await;
    let folder = stop(gateway);
    assert_removed(folder.path());
    // When somebody asks, after what held it is lifted.
    let folder = tempfile::tempdir().unwrap();
    fill(&folder.path().join("audit"), OLD, Some("case-1")).await;
    let gateway = scene.start(folder);
    let ask = async |method, path| ask(&gateway, method, path, &admin, &Value::Null).await;
    assert_eq!(ask("POST", "removals").await, (200, json!({"events": 0, "keys": 0})), "it is held");
    assert_eq!(ask("DELETE", "holds/case-1").await.0, 200);
    assert_eq!(ask("POST", "removals").await, (200, json!({"events": 1280, "keys": 0})));
    let folder = stop(gateway);
    assert_removed(folder.path());
    // By command, while no gateway runs.
    let gateway = scene.start(tempfile::tempdir().unwrap());
    let folder = stop(gateway);
    std::fs::remove_dir_all(folder.path().join("audit")).unwrap();
    fill(&folder.path().join("audit"), OLD, None).await;
    let pruned = run(folder.path(), &["prune", "--config", "portcullis.json"]);
    assert!(said(&pruned).contains("removed: 1280 events"), "{}", said(&pruned));
    assert_removed(folder.path());
}

#[tokio::test]
async fn without_a_gateway_the_same_is_done_by_command_and_with_one_it_is_not() {
    let scene = Scene::new().await;
    let gateway = scene.start(tempfile::tempdir().unwrap());
    scene.call(&gateway, "bob").await;
    let bob = format!("{}#bob", scene.idp.issuer);
    let config = ["--config", "portcullis.json"];
    let with = |args: &[&'static str]| [args, &config[..]].concat();
    let erase = [&["erase", &bob][..], &config].concat();
    let refused = run(gateway.folder(), &erase);
    assert!(
        !refused.status.success() && said(&refused).contains("while its gateway runs"),
        "{}",
        said(&refused)
    );
    let folder = stop(gateway);
    let place = folder.path();
    let held = run(place, &with(&["hold", "add", "case-1", "--reason", "court"]));
    assert!(held.status.success(), "{}", said(&held));
    assert!(said(&run(place, &["hold", "list", "audit"])).contains("case-1  {"));
    let refused = run(place, &erase);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert!(said(&refused).contains("the legal hold case-1 forbids it"));
    assert!(run(place, &with(&["hold", "remove", "case-1"])).status.success());
    let erased = run(place, &erase);
    assert!(said(&erased).contains(", 1 keys destroyed"), "{}", said(&erased));
    assert!(said(&run(place, &with(&["prune"]))).contains("removed: 0 events"));
    assert_eq!(run(place, &with(&["erase", "bob"])).status.code(), Some(2));
    let all = events_in(&place.join("audit"));
    let by: Vec<_> = all.iter().filter_map(|event| event["detail"]["by"].as_str()).collect();
    assert_eq!(by, ["cli:ops"; 4]);
    assert!(run(place, &["verify", "audit"]).status.success());
}

#[tokio::test]
async fn a_log_is_handed_over_to_another_key_and_goes_on() {
    let scene = Scene::new().await;
    let gateway = scene.start(tempfile::tempdir().unwrap());
    scene.call(&gateway, "bob").await;
    let running = run(gateway.folder(), &["rotate", "audit", "--new", "new.key"]);
    assert!(!running.status.success());
    let folder = stop(gateway);
    let place = folder.path();
    let first =
        Signer::parse(std::fs::read_to_string(place.join("audit/signing-key")).unwrap().trim()).unwrap();
    let name = first.name().to_owned();
    assert!(run(place, &["key", &name, "--file", "new.key"]).status.success());
    assert!(run(place, &["key", "other", "--file", "other.key"]).status.success());
    assert_eq!(run(place, &["rotate", "audit", "--new", "other.key"]).status.code(), Some(2));
    let rotated = run(place, &["rotate", "audit", "--new", "new.key"]);
    assert!(rotated.status.success(), "{}", said(&rotated));
    assert_eq!(
        run(place, &["rotate", "audit", "--new", "new.key"]).status.code(),
        Some(2),
        "it is its key already"
    );
    let gateway = scene.start(folder);
    scene.call(&gateway, "bob").await;
    let folder = stop(gateway);
    let all = events_in(&folder.path().join("audit"));
    assert!(all.iter().any(|event| event["detail"]["what"] == "the key that signs this log changed"));
    let key = first.log_key().to_string();
    let verified = run(folder.path(), &["verify", "audit", "--trusted-key", &key]);
    assert!(verified.status.success(), "{}", said(&verified));
}

#[tokio::test]
async fn a_pack_says_what_the_log_says_and_proves_what_it_lists() {
    let scene = Scene::new().await;
    let gateway = scene.start(tempfile::tempdir().unwrap());
    for subject in ["bob", "eve", "bob"] {
        scene.call(&gateway, subject).await;
    }
    let admin = scene.bearer("ann", "admins");
    let erasure = json!({"person": format!("{}#eve", scene.idp.issuer), "basis": "a | b\n# c"});
    assert_eq!(ask(&gateway, "POST", "erasures", &admin, &erasure).await.0, 200);
    let folder = stop(gateway);
    let place = folder.path();
    let packed = run(place, &["pack", "audit", "--out", "pack"]);
    assert!(packed.status.success(), "{}", said(&packed));
    let pack: Value =
        serde_json::from_str(&std::fs::read_to_string(place.join("pack/pack.json")).unwrap()).unwrap();
    let system = &pack["systems"]["hiring"];
    assert_eq!(
        (&system["exchanges"], &system["persons"], &system["risk"]),
        (&json!(3), &json!(2), &json!("high"))
    );
    assert_eq!(system["tools"], json!({"x/echo": 3}));
    assert_eq!(
        (&pack["retention"]["floor_days"], &pack["verification"]["problems"]),
        (&json!(184), &json!([]))
    );
    assert_eq!(pack["retention"]["erased"].as_array().unwrap().len(), 1);
    assert!(pack["purpose"].as_str().unwrap().starts_with("Supports "));
    let report = std::fs::read_to_string(place.join("pack/report.md")).unwrap();
    assert!(!report.to_lowercase().contains("compliant"));
    // What others chose stays in its cell.
    assert!(report.contains("applications\\|&lt;b>") && report.contains("basis: a \\| b"), "{report}");
    let verified = run(place, &["verify", "pack/proof.txt"]);
    assert!(verified.status.success(), "{}", said(&verified));
    let proof = std::fs::read_to_string(place.join("pack/proof.txt")).unwrap();
    std::fs::write(place.join("pack/proof.txt"), proof.replace("erasure", "Erasure")).unwrap();
    assert_eq!(run(place, &["verify", "pack/proof.txt"]).status.code(), Some(1));
    let later =
        run(place, &["pack", "audit", "--from", "2999-01-01", "--to", "2999-02-01", "--out", "later"]);
    assert!(later.status.success() && !place.join("later/proof.txt").exists(), "{}", said(&later));
    // What does not show what it should is packed, and said to be.
    let alone = run(place, &["pack", "audit", "--require-witness", "1", "--out", "alone"]);
    assert_eq!(alone.status.code(), Some(1), "{}", said(&alone));
    let report = std::fs::read_to_string(place.join("alone/report.md")).unwrap();
    assert!(
        report.contains("NOT whole and unaltered") && report.contains("WRONG: no checkpoint"),
        "{report}"
    );
}
