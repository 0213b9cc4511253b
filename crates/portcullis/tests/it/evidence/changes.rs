//! What happens to the gateway itself, to its policies and settings, and to the streams and sessions of its clients.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use portcullis_audit::{Event, Keyring, Kind, Log, Segments, Settings, Signer};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{events, events_in, start, start_in, until};
use crate::harness::idp::{Idp, PUBLIC};
use crate::harness::{Fake, Gateway, Legacy, Modern, signal};

fn write_policies(folder: &Path, text: &str) {
    std::fs::write(folder.join("draft"), text).unwrap();
    std::fs::rename(folder.join("draft"), folder.join("all.cedar")).unwrap();
}

#[tokio::test]
async fn starts_and_stops_are_told_and_the_log_goes_on_after_them() {
    let upstream = Fake::modern().start().await;
    let mut gateway = start("normal", &json!({"servers": {"x": upstream.config()}}));
    Modern::new().call(&gateway, "x__echo", json!({})).await;
    signal(gateway.pid(), Signal::TERM);
    assert!(gateway.process().wait().unwrap().success());
    let all = events(&gateway);
    // What is trusted is told when it is first listed, which goes beside the call.
    let beside = |event: &&Value| event["detail"]["what"] != "trusted at first use";
    let told = all.iter().filter(beside);
    let told: Vec<_> =
        told.map(|event| (event["kind"].as_str().unwrap(), event["detail"]["what"].as_str())).collect();
    assert_eq!(told, [("gateway", Some("started")), ("exchange", None), ("gateway", Some("stopped"))]);
    assert!(all[0]["detail"]["configuration"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!((&all[0]["detail"]["mode"], &all[0]["node"]["name"]), (&json!("normal"), &json!("gw")));
    // The keys that were made are for the owner alone, and the same log goes on.
    let audit = gateway.folder().join("audit");
    for key in ["signing-key", "secret"] {
        assert_eq!(std::fs::metadata(audit.join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
    let copy = tempfile::tempdir().unwrap();
    std::fs::rename(&audit, copy.path().join("audit")).unwrap();
    let again = start_in(copy, "normal", &json!({"servers": {"x": upstream.config()}}));
    until(&again, "another start", 2, |event| event["detail"]["what"] == "started").await;
    assert_eq!(events_in(&again.folder().join("audit"))[..all.len()], all[..]);
}

#[tokio::test]
async fn checkpoints_go_to_a_second_folder_the_last_one_too() {
    let upstream = Fake::modern().start().await;
    let folder = tempfile::tempdir().unwrap();
    let copies = folder.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    let audit = json!({"node": "gw", "checkpoints": copies, "checkpoint_interval": "100ms"});
    let config = json!({"servers": {"x": upstream.config()}, "audit": audit});
    let mut gateway = Gateway::start_in(folder, &config, &[]);
    let kept = || {
        let files = std::fs::read_dir(&copies).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|it| it == "checkpoint")).collect::<Vec<_>>()
    };
    crate::harness::until("a checkpoint", async || !kept().is_empty()).await;
    // Here it can be written anew, and that is said.
    gateway.logged("can be written anew by this process").await;
    signal(gateway.pid(), Signal::TERM);
    assert!(gateway.process().wait().unwrap().success());
    let mut names = kept();
    names.sort();
    let last = std::fs::read_to_string(names.last().unwrap()).unwrap();
    let count = events(&gateway).len();
    assert!(last.starts_with(&format!("portcullis/audit/gw\n{count}\n")), "{last}");
    // What is in that folder is what the log has to continue.
    let verify = |log: &Path, more: &[&Path]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["audit", "verify"]).arg(log);
        for kept in more {
            command.arg("--since-checkpoint").arg(kept);
        }
        let done = command.output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let log = gateway.folder().join("audit");
    let newest = names.last().unwrap().as_path();
    assert_eq!(verify(&log, &[&names[0], newest]).0, Some(0));
    // Another log of the same key, which is shorter: it agrees with itself, and is found out by what was kept.
    let other = tempfile::tempdir().unwrap();
    for key in ["signing-key", "secret"] {
        std::fs::copy(log.join(key), other.path().join(key)).unwrap();
    }
    let signer = Signer::parse(std::fs::read_to_string(log.join("signing-key")).unwrap().trim()).unwrap();
    let journal = Arc::new(Segments::open(other.path()).unwrap());
    let keyring = Keyring::derive(b"a secret that is only in tests...");
    let forged = Log::open(journal, signer, keyring, Settings::default()).unwrap();
    forged.append(Event::new(Kind::Exchange)).durable().await.unwrap();
    forged.close();
    assert_eq!(verify(other.path(), &[]).0, Some(0));
    let (code, said) = verify(other.path(), &[newest]);
    assert!(code == Some(1) && said.contains(&format!("rolled-back [1, {count})")), "{said}");
    let (code, said) = verify(&log, &[&log.join("secret")]);
    assert!(code != Some(0), "what is no checkpoint: {said}");
}

#[tokio::test]
async fn settings_and_policies_are_told_when_they_come_into_force_or_do_not() {
    let upstream = Fake::modern().start().await;
    let folder = tempfile::tempdir().unwrap();
    write_policies(folder.path(), "@id(\"all\") permit (principal, action, resource);");
    let mut config = json!({"servers": {"x": upstream.config()}, "policy": {"files": ["all.cedar"]}});
    let gateway = start_in(folder, "normal", &config);
    let client = Modern::new();
    client.call(&gateway, "x__echo", json!({})).await;
    let policies = |event: &Value| event["kind"] == "policy";
    let first = until(&gateway, "the first policies", 1, policies).await.remove(0);
    let call = until(&gateway, "the call", 1, |event| event["kind"] == "exchange").await.remove(0);
    let decision = json!({"policies": ["all"], "revision": first["detail"]["revision"], "verdict": "allow"});
    assert_eq!(call["decision"], decision);

    let forbid = "@id(\"all\") permit (principal, action, resource);
        @id(\"no-echo\") forbid (principal, action == Action::\"tools/call\", resource == Tool::\"x/echo\");";
    write_policies(gateway.folder(), forbid);
    signal(gateway.pid(), Signal::HUP);
    let second = until(&gateway, "other policies", 2, policies).await.remove(1);
    assert_ne!(second["detail"]["revision"], first["detail"]["revision"]);
    client.request(&gateway, "tools/call", json!({"name": "x__echo", "arguments": {}})).await;
    let denied = until(&gateway, "the denial", 1, |event| event["kind"] == "denial").await.remove(0);
    assert_eq!(denied["decision"]["verdict"], "deny");
    assert_eq!(denied["decision"]["policies"], json!(["no-echo"]));
    assert_eq!(denied["decision"]["reasons"], json!(["forbidden"]));
    assert_eq!(denied["decision"]["revision"], second["detail"]["revision"]);
    assert_eq!((&denied["tool"]["name"], &denied["server"]["id"]), (&json!("echo"), &json!("x")));
    assert_eq!(upstream.count("tools/call"), 1);

    config["audit"] = json!({"mode": "normal", "node": "gw"});
    config["servers"]["y"] = upstream.config();
    gateway.rewrite_config(&config);
    let catalogue =
        until(&gateway, "the new server", 1, |event| event["detail"].get("added").is_some()).await.remove(0);
    assert_eq!(catalogue["detail"], json!({"added": "y"}));
    let settings = |event: &Value| event["kind"] == "configuration" && event["detail"]["what"] == "taken up";
    let taken = until(&gateway, "the settings", 1, settings).await;
    let last = &taken[taken.len() - 1]["detail"];
    assert_eq!(last["sections"], "servers");
    assert_ne!(last["configuration"], last["before"]);
    config["servers"]["y"] = json!({"nonsense": 1});
    gateway.rewrite_config(&config);
    until(&gateway, "the refused settings", 1, |event| event["detail"]["what"] == "refused").await;
}

#[tokio::test]
async fn another_key_that_signs_tokens_is_told_of() {
    let (upstream, idp) = (Fake::modern().start().await, Idp::start().await);
    let folder = tempfile::tempdir().unwrap();
    for name in ["one", "two"] {
        std::fs::write(folder.path().join(name), format!("{name} of two keys, and long enough for one"))
            .unwrap();
    }
    let mut config = json!({
        "public_url": PUBLIC, "servers": {"x": upstream.config()},
        "identity": {"scopes": ["mcp"], "facade": {
            "idp": {"issuer": idp.issuer, "client_id": "gateway", "client_secret": {"env": "A_SECRET"}},
            "clients": {"editor": {"redirect_uris": ["https://app.example/cb"]}}, "key": {"file": "one"},
        }},
    });
    let gateway = start_in(folder, "normal", &config);
    config["audit"] = json!({"mode": "normal", "node": "gw"});
    config["identity"]["facade"]["key"] = json!({"file": "two"});
    gateway.rewrite_config(&config);
    let told = until(&gateway, "another key", 1, |event| event["kind"] == "key").await;
    assert_eq!(told[0]["detail"], json!({"what": "the key that signs tokens changed"}));
}

#[tokio::test]
async fn sessions_and_streams_are_told_when_they_open_and_when_they_end() {
    let upstream = Fake::modern().start().await;
    let gateway = start("normal", &json!({"servers": {"x": upstream.config()}}));
    let params = json!({"notifications": {"toolsListChanged": true}});
    let (_, stream) = Modern::new().stream(&gateway, "subscriptions/listen", params).await;
    let opened =
        until(&gateway, "the subscription", 1, |event| event["kind"] == "subscription").await.remove(0);
    assert_eq!(opened["result"]["status"], "completed");
    drop(stream);
    let closed =
        until(&gateway, "its end", 1, |event| event["detail"]["what"] == "stream closed").await.remove(0);
    assert_eq!(closed["parent"], opened["id"]);

    let session = Legacy::open(&gateway).await;
    let listening = session.listen(&gateway, None).await;
    until(&gateway, "the session's stream", 1, |event| event["detail"]["what"] == "stream opened").await;
    drop(listening);
    until(&gateway, "its end", 2, |event| event["detail"]["what"] == "stream closed").await;
    session.delete(&gateway).await;
    let ended = until(&gateway, "the session's end", 1, |event| event["detail"]["what"] == "session ended")
        .await
        .remove(0);
    let hello = until(&gateway, "its beginning", 1, |event| event["request"]["method"] == "initialize")
        .await
        .remove(0);
    assert_eq!(ended["request"]["session"], hello["request"]["session"]);
    assert!(!ended["request"]["session"].to_string().contains(&session.session));
}

#[tokio::test]
async fn a_client_that_comes_back_to_its_stream_has_listened_all_the_time() {
    let upstream = Fake::modern().start().await;
    let config = json!({"servers": {"x": upstream.config()}, "limits": {"poll_after": "1ms"}});
    let gateway = start("normal", &config);
    let session = Legacy::open(&gateway).await;
    let mut last = None;
    for _ in 0..3 {
        let mut events = session.listen(&gateway, last.as_deref()).await;
        while let Some(event) = events.next().await {
            last = event.id.or(last);
        }
        assert!(events.is_complete() && last.is_some());
    }
    session.delete(&gateway).await;
    until(&gateway, "the session's end", 1, |event| event["detail"]["what"] == "session ended").await;
    let all = events(&gateway);
    let told: Vec<_> = all.iter().filter_map(|event| event["detail"]["what"].as_str()).collect();
    let told: Vec<_> = told.into_iter().filter(|what| what.starts_with('s')).collect();
    assert_eq!(told, ["started", "stream opened", "stream closed", "session ended"]);
}
