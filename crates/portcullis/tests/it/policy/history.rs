//! Every edit of the policies is a version that can be gone back to.

use std::path::Path;
use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{names, something, write};
use crate::harness::{Gateway, Modern, signal, until};

const ALL: &str = "permit (principal, action, resource);";
const LESS: &str =
    r#"permit (principal, action, resource); forbid (principal, action, resource == Tool::"x/change");"#;

fn run(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.current_dir(folder).env_remove("PORTCULLIS_CONFIG").env_remove("PORTCULLIS_LOG");
    command.args(args).args(["--config", "portcullis.json"]).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn versions(folder: &Path) -> Vec<Value> {
    let output = run(folder, &["policy", "history", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["versions"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_edit_is_a_version_and_one_is_gone_back_to() {
    let server = something(true).start().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), ALL);
    let config = json!({
        "servers": {"x": server.config()}, "policy": {"files": ["policies"]}, "store": {"kind": "sqlite"},
        "telemetry": {"log": {"filter": "info"}},
    });
    let gateway = Gateway::start_in(folder, &config, &[]);
    let folder = gateway.folder();
    gateway.logged("the policies in force are on record").await;
    let shown = async || names(&Modern::new().result(&gateway, "tools/list", json!({})).await).join(" ");
    assert_eq!(shown().await, "x__look x__change");
    write(folder, LESS);
    signal(gateway.pid(), Signal::HUP);
    until("the second version", async || versions(folder).len() == 2).await;
    assert_eq!(shown().await, "x__look");
    // The same again is no edit; a broken file is none either.
    signal(gateway.pid(), Signal::HUP);
    write(folder, "permit (");
    gateway.logged("the old one stays in force").await;
    write(folder, LESS);
    assert_eq!(versions(folder).len(), 2);

    let explain = run(folder, &["explain", "--as", "anonymous", "--tool", "x/change"]);
    assert!(said(&explain).contains("by the policies of version 2, digest "), "{}", said(&explain));
    let dry = run(folder, &["policy", "rollback", "1", "--dry-run"]);
    assert!(dry.status.success() && said(&dry).contains("would be written: "), "{}", said(&dry));
    assert_eq!(std::fs::read_to_string(folder.join("policies/all.cedar")).unwrap(), LESS);
    // A file that came later is none of that version's.
    std::fs::write(
        folder.join("policies/more.cedar"),
        "forbid (principal, action, resource == Tool::\"x/look\");",
    )
    .unwrap();
    let third = async || versions(folder).len() == 3;
    until("the third version", third).await;
    assert_eq!(shown().await, "");
    let back = run(folder, &["policy", "rollback", "1"]);
    assert!(back.status.success() && said(&back).contains("set aside: "), "{}", said(&back));
    until("the old policies", async || shown().await == "x__look x__change").await;
    until("the fourth version", async || versions(folder).len() == 4).await;
    let all = versions(folder);
    assert_eq!(all[0]["version"], 4, "the newest is first");
    assert_eq!(all[0]["digest"], all[3]["digest"], "what is in force is what was");
    assert_ne!(all[0]["digest"], all[2]["digest"]);
    let triggers: Vec<_> = all.iter().rev().map(|version| version["trigger"].as_str().unwrap()).collect();
    assert_eq!((triggers[0], triggers[2], triggers[3]), ("start", "file changed", "file changed"));
    assert!(all[0]["files"][0]["file"].as_str().unwrap().ends_with("policies/all.cedar"));
    let list = said(&run(folder, &["policy", "history"]));
    assert_eq!(list.lines().count(), 4, "{list}");
    assert!(list.lines().next().unwrap().contains("as the files are now"), "{list}");
    let again = run(folder, &["policy", "rollback", "1"]);
    assert!(said(&again).contains("already"), "{}", said(&again));
    assert_eq!(run(folder, &["policy", "rollback", "99"]).status.code(), Some(2));
}

#[tokio::test]
async fn versions_outlive_the_process_and_roles_are_the_configurations() {
    let server = something(true).start().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), ALL);
    let store = folder.path().join("store.db");
    let config = |roles: Value| {
        json!({
            "servers": {"x": server.config()}, "policy": {"files": ["policies"], "roles": roles},
            "store": {"kind": "sqlite", "path": store},
        })
    };
    let keep = tempfile::tempdir().unwrap();
    let first = Gateway::start_in(folder, &config(json!({"reader": ["a"]})), &[]);
    first.logged("the policies in force are on record").await;
    for file in ["portcullis.json", "store.db", "store.db-wal", "store.db-shm"] {
        let _ = std::fs::copy(first.folder().join(file), keep.path().join(file));
    }
    write(keep.path(), ALL);
    drop(first);
    let config = |roles: Value| {
        let mut config = config(roles);
        config["store"] = json!({"kind": "sqlite", "path": "store.db"});
        config
    };
    let second = Gateway::start_in(keep, &config(json!({"reader": ["b"]})), &[]);
    second.logged("the policies in force are on record").await;
    let all = versions(second.folder());
    assert_eq!(all.iter().map(|it| it["version"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 1]);
    let back = run(second.folder(), &["policy", "rollback", "1"]);
    assert_eq!(back.status.code(), Some(2), "{}", said(&back));
    assert!(said(&back).contains("policy.roles was {\"reader\":[\"a\"]}"), "{}", said(&back));
    let mut config = config(json!({}));
    config["store"] = json!({"kind": "memory"});
    second.rewrite_config(&config);
    let memory = run(second.folder(), &["policy", "history"]);
    assert_eq!(memory.status.code(), Some(2));
    assert!(said(&memory).contains("keeps no history"), "{}", said(&memory));
}
