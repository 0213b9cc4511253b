//! Where nothing is answered that is not on the disk, and what happens when the disk takes nothing more, in either mode.
//!
//! The disk that takes nothing is a limit on the size of the process's files, which a test sets and lifts while it runs.

use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use super::{events, until};
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::idp::{Idp, PUBLIC};
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream, until as wait_until};

fn start(mode: &str, servers: &Value) -> Gateway {
    start_in(tempfile::tempdir().unwrap(), mode, servers)
}

/// A gateway whose files can be limited: it is told, instead of ended, when it writes too much.
pub(super) fn start_in(folder: TempDir, mode: &str, servers: &Value) -> Gateway {
    start_with(folder, mode, json!({"servers": servers}))
}

/// The same with more than servers.
fn start_with(folder: TempDir, mode: &str, mut config: Value) -> Gateway {
    config["listen"] = json!("127.0.0.1:0");
    config["audit"]["mode"] = json!(mode);
    config["audit"]["node"] = json!("gw");
    config["telemetry"] = json!({"log": {"filter": "info"}});
    std::fs::write(folder.path().join("portcullis.json"), config.to_string()).unwrap();
    let mut command = Command::new("sh");
    command.arg("-c").arg("trap '' XFSZ; exec \"$0\" serve --config portcullis.json");
    command.arg(env!("CARGO_BIN_EXE_portcullis"));
    Gateway::spawn(folder, command)
}

/// From now on no file of the gateway grows, or all may again.
fn disk_is_full(gateway: &Gateway, full: bool) {
    files_end_at(gateway, full.then_some(0));
}

/// From now on no file of the gateway grows beyond this, in bytes.
pub(super) fn files_end_at(gateway: &Gateway, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(gateway.pid()).unwrap());
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

fn is_call(event: &Value) -> bool {
    event["request"]["method"] == "tools/call"
}

#[tokio::test]
async fn an_answer_finds_its_event_on_the_disk_in_every_form_of_answer() {
    let upstream = Fake::modern()
        .on("tools/call", |seen, mut answer| async move {
            if seen.rpc["params"]["arguments"]["stream"] == true {
                answer.open_stream().await;
                let params =
                    json!({"progressToken": seen.rpc["params"]["_meta"]["progressToken"], "progress": 1});
                answer
                    .event(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))
                    .await;
                return answer.result_event(text("late")).await;
            }
            answer.result(text("at once")).await;
        })
        .start()
        .await;
    let gateway = start("strict", &json!({"x": upstream.config()}));
    let client = Modern::at("/mcp/s/x").with_meta("progressToken", json!("p"));
    let session = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
    let mut expected = 0;
    // Nobody waits here: what was answered is there.
    let answered = |expected: usize| {
        let ended =
            events(&gateway).into_iter().filter(|event| is_call(event) && event["phase"] == "outcome");
        assert_eq!(ended.count(), expected);
    };
    for stream in [false, true] {
        let params = json!({"name": "echo", "arguments": {"stream": stream}});
        if stream {
            let (_, mut stream) = client.stream(&gateway, "tools/call", params.clone()).await;
            assert_eq!(stream.message().await.unwrap()["method"], "notifications/progress");
            assert!(stream.message().await.unwrap()["result"].is_object());
        } else {
            assert_eq!(text_of(&client.result(&gateway, "tools/call", params.clone()).await), "at once");
        }
        expected += 1;
        answered(expected);
        let mut params = params;
        params["_meta"] = json!({"progressToken": "p"});
        let call = json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params});
        if stream {
            let (_, mut stream) = session.stream(&gateway, &call).await;
            while !stream.message().await.expect("an answer")["result"].is_object() {}
        } else {
            assert!(session.send(&gateway, &call).await.json()["result"].is_object());
        }
        expected += 1;
        answered(expected);
    }
    let denied = gateway.post("/mcp", b"{").await;
    assert_eq!(denied.status(), 400);
    assert_eq!(events(&gateway).into_iter().filter(|event| event["kind"] == "denial").count(), 1);
}

/// A server whose calls wait until they may be answered. `look` says that it only reads.
async fn waits() -> (Upstream, watch::Sender<bool>) {
    let (go, may) = watch::channel(false);
    let look =
        json!({"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}});
    let change = json!({"name": "change", "inputSchema": {"type": "object"}});
    let upstream = Fake::modern()
        .tools(vec![look, change])
        .on("tools/call", move |_, answer| {
            let mut may = may.clone();
            async move {
                let _ = may.wait_for(|may| *may).await;
                answer.result(text("done")).await;
            }
        })
        .start()
        .await;
    (upstream, go)
}

#[tokio::test]
async fn a_call_that_may_change_something_is_told_before_it_is_made() {
    let (upstream, go) = waits().await;
    let gateway = start("strict", &json!({"x": upstream.config()}));
    let client = Modern::at("/mcp/s/x");
    let call = async |name: &str| client.call(&gateway, name, json!({})).await;
    tokio::join!(call("change"), call("look"), async {
        upstream.nth("tools/call", 2).await;
        let told: Vec<_> = events(&gateway).into_iter().filter(is_call).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((&told[0]["phase"], &told[0]["tool"]["name"]), (&json!("intent"), &json!("change")));
        assert!(told[0]["input"]["digest"].is_string());
        go.send_replace(true);
    });
    let ended: Vec<_> =
        events(&gateway).into_iter().filter(|event| is_call(event) && event["phase"] != "intent").collect();
    let of = |name: &str| ended.iter().find(|event| event["tool"]["name"] == name).unwrap();
    let intent = events(&gateway).into_iter().find(|event| event["phase"] == "intent").unwrap();
    assert_eq!((&of("change")["parent"], &of("change")["phase"]), (&intent["id"], &json!("outcome")));
    assert_eq!((&of("look")["parent"], &of("look")["phase"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn an_intent_and_its_outcome_are_of_the_same_arguments_where_a_toolset_presets_some() {
    let properties = json!({"region": {"type": "string"}, "q": {"type": "string"}});
    let find = json!({"name": "find", "inputSchema": {"type": "object", "properties": properties}});
    let upstream = Fake::modern().tools(vec![find]).start().await;
    let desk = json!({"tools": [{"from": "x/find", "preset": {"region": "eu"}}]});
    let config = json!({"servers": {"x": upstream.config()}, "toolsets": {"desk": desk}});
    let gateway = start_with(tempfile::tempdir().unwrap(), "strict", config);
    let client = Modern::at("/mcp/v/desk");
    let listed = client.result(&gateway, "tools/list", json!({})).await;
    let name = listed["tools"][0]["name"].as_str().unwrap();
    let sent = json!({"q": "a"});
    client.result(&gateway, "tools/call", json!({"name": name, "arguments": sent})).await;
    assert_eq!(upstream.nth("tools/call", 1).await.rpc["params"]["arguments"]["region"], "eu");
    let told: Vec<_> = events(&gateway).into_iter().filter(is_call).collect();
    let phases: Vec<_> = told.iter().map(|event| &event["phase"]).collect();
    assert_eq!(phases, ["intent", "outcome"]);
    assert_eq!(told[0]["input"], told[1]["input"]);
    assert_eq!(told[0]["input"]["size"], sent.to_string().len());
}

#[tokio::test]
async fn strict_refuses_while_nothing_can_be_kept_and_goes_on_when_it_can() {
    let upstream = Fake::modern().start().await;
    let gateway = start("strict", &json!({"x": upstream.config()}));
    let client = Modern::at("/mcp/s/x");
    let call =
        async || client.request(&gateway, "tools/call", json!({"name": "echo", "arguments": {}})).await;
    assert_eq!(call().await.status(), 200);
    disk_is_full(&gateway, true);
    let refused = call().await;
    assert_eq!(refused.status(), 503, "{refused:?}");
    assert_eq!(refused.json()["error"]["data"]["reason"], "evidence_unavailable");
    assert_eq!(refused.header("retry-after"), Some("5"));
    // It was to be on record that the call is made before it was.
    assert_eq!(upstream.count("tools/call"), 1);
    let ready = gateway.get("/readyz").await;
    assert_eq!((ready.status(), &ready.json()["status"]), (503, &json!("refusing")));
    assert_eq!(ready.json()["evidence"]["state"], "down");
    gateway.logged("the evidence log cannot be written").await;
    // Nor is anything else answered: not a list, not a refusal.
    assert_eq!(client.request(&gateway, "tools/list", json!({})).await.status(), 503);
    assert_eq!(gateway.post("/mcp", b"{").await.status(), 503);
    disk_is_full(&gateway, false);
    wait_until("calls", async || call().await.status() == 200).await;
    assert_eq!(gateway.get("/readyz").await.json()["status"], "ready");
    gateway.logged("the evidence log can be written again").await;
    // What was said of calls before they were refused is ended, too.
    let all = events(&gateway);
    for intent in all.iter().filter(|event| event["phase"] == "intent") {
        assert!(all.iter().any(|event| event["parent"] == intent["id"]), "{intent}");
    }
    // Each call that the server was asked for has its end in the log.
    let ends = events(&gateway)
        .into_iter()
        .filter(|event| is_call(event) && event["result"]["status"] == "completed");
    assert_eq!(ends.count(), upstream.count("tools/call"));
}

#[tokio::test]
async fn strict_lets_nobody_log_in_or_connect_an_account_unrecorded() {
    let (upstream, idp) = (Fake::modern().start().await, Idp::start().await);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let facade = json!({
        "public_url": PUBLIC, "servers": {"x": upstream.config()},
        "identity": {"scopes": ["mcp"], "facade": {
            "idp": {"issuer": idp.issuer, "client_id": "gateway", "client_secret": {"env": "A_SECRET"}},
            "clients": {"editor": {"redirect_uris": ["https://app.example/cb"]}},
        }},
    });
    let login = json!({
        "servers": {"x": upstream.config()},
        "identity": {
            "anonymous": "allow", "issuers": [{"issuer": idp.issuer}],
            "login": {"issuer": idp.issuer, "client_id": "gateway"},
        },
    });
    let code: &[u8] = b"grant_type=authorization_code&client_id=editor&code=made-up&code_verifier=v";
    for (config, method, path, body) in
        [(facade, "POST", "/as/token", code), (login, "GET", "/oauth/login?code=c&state=made-up", b"")]
    {
        let gateway = start_with(tempfile::tempdir().unwrap(), "strict", config);
        let ask = async || gateway.send(method, path, &form, body).await;
        assert_eq!(ask().await.status(), 400, "{path}");
        disk_is_full(&gateway, true);
        // The first finds it out; those after it are not even begun.
        assert_eq!(ask().await.status(), 503, "{path}");
        gateway.logged("the evidence log cannot be written").await;
        for path in [path, "/connect/made-up", "/oauth/callback/made-up"] {
            let method = if path.starts_with("/as/") { "POST" } else { "GET" };
            let refused = gateway.send(method, path, &form, body).await;
            assert_eq!(refused.status(), 503, "{path}: {refused:?}");
        }
        disk_is_full(&gateway, false);
        wait_until("logins", async || ask().await.status() == 400).await;
        let logins = events(&gateway).into_iter().filter(|event| event["kind"] == "login").count();
        assert!(logins >= 3, "each that was tried is on record when that can be: {logins}");
    }
}

#[tokio::test]
async fn normal_answers_while_nothing_can_be_kept_raises_an_alarm_and_loses_nothing() {
    let upstream = Fake::modern().start().await;
    let gateway = start("normal", &json!({"x": upstream.config()}));
    let client = Modern::at("/mcp/s/x");
    disk_is_full(&gateway, true);
    for number in 0..20 {
        client.call(&gateway, "echo", json!({"n": number})).await;
    }
    gateway.logged("the evidence log cannot be written").await;
    let ready = gateway.get("/readyz").await;
    assert_eq!((ready.status(), &ready.json()["status"]), (200, &json!("degraded")));
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains("portcullis_audit_trouble 1"), "{metrics}");
    assert!(metrics.contains("portcullis_audit_lost 0"), "{metrics}");
    assert_eq!(events(&gateway).into_iter().filter(is_call).count(), 0);
    disk_is_full(&gateway, false);
    let all = until(&gateway, "what could not be written before", 20, is_call).await;
    assert_eq!(all.len(), 20);
    gateway.logged("the evidence log can be written again").await;
}

/// What waits for the disk is bounded: beyond that events are lost, which is counted, told by the metrics and the log, and an event
/// of its own when there is a disk again.
#[tokio::test]
async fn normal_tells_of_what_it_lost() {
    const CALLS: usize = 80;
    let upstream = Fake::modern().start().await;
    let config = json!({
        "servers": {"x": upstream.config()}, "audit": {"payloads": "encrypted"},
        "limits": {"body_bytes": 4 << 20, "bodies_bytes": 256 << 20},
    });
    let gateway = start_with(tempfile::tempdir().unwrap(), "normal", config);
    disk_is_full(&gateway, true);
    // A megabyte in the queue for each of them: more than there is room for.
    let params = json!({"name": "x__echo", "arguments": {"text": "a".repeat(1 << 20)}});
    let client = Modern::new();
    let call = async || {
        let answer = client.request(&gateway, "tools/call", params.clone()).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    };
    for _ in 0..CALLS / 8 {
        tokio::join!(call(), call(), call(), call(), call(), call(), call(), call());
    }
    gateway.logged("events could not be recorded").await;
    let metrics = gateway.get("/metrics").await.text();
    let lost = metrics.lines().find_map(|line| line.strip_prefix("portcullis_audit_lost ")).unwrap();
    let lost: usize = lost.parse().unwrap();
    assert!(lost > 0 && lost < CALLS, "{lost}");
    disk_is_full(&gateway, false);
    let told = until(&gateway, "the loss", 1, |event| event["kind"] == "loss").await;
    let counted: usize =
        told.iter().map(|event| event["detail"]["events"].as_str().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(counted, lost);
    let kept = until(&gateway, "what found a place", CALLS - lost, is_call).await;
    assert_eq!(kept.len() + lost, CALLS, "each call is in the log or counted");
}

#[tokio::test]
async fn a_gateway_does_not_start_where_it_could_keep_nothing() {
    let upstream = Fake::modern().start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("audit")).unwrap();
    // What is in the place of the log's lock cannot be written to.
    std::fs::create_dir(folder.path().join("audit/lock")).unwrap();
    let config = json!({"listen": "127.0.0.1:0", "servers": {"x": upstream.config()}, "audit": {}});
    std::fs::write(folder.path().join("portcullis.json"), config.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["serve", "--config", "portcullis.json"]).current_dir(folder.path());
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(3));
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(told.contains("`audit.path`") && told.contains("lock"), "{told}");
}

#[tokio::test]
async fn two_gateways_do_not_write_to_one_log() {
    let upstream = Fake::modern().start().await;
    let gateway = super::start("normal", &json!({"servers": {"x": upstream.config()}}));
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["serve", "--config", "portcullis.json"]).current_dir(gateway.folder());
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("another process writes here"));
}
