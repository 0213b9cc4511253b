//! Versions of a server that are rolled out to some callers first, to all, and back.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::evidence;
use crate::harness::client::text_of;
use crate::harness::fake::{text, tool};
use crate::harness::idp::sha256;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, Upstream, hex, until, within};
use crate::oversight::{said, start};

const OLD: &str = "1.0.0";
const NEW: &str = "2.0.0";

fn run(folder: &Path, args: &[&str]) -> Output {
    tokio::task::block_in_place(|| crate::oversight::run(folder, args))
}

fn done(folder: &Path, args: &[&str]) -> String {
    tokio::task::block_in_place(|| crate::oversight::done(folder, args))
}

/// A server whose one tool says which version answers.
fn answering(version: &'static str) -> Fake {
    let mut which = tool("which");
    which["description"] = json!(format!("Says that it is {version}."));
    Fake::modern()
        .tools(vec![which])
        .on("tools/call", move |_, answer| async move { answer.result(text(version)).await })
}

/// Adds a version of `x` that somebody reviewed.
fn reviewed(folder: &Path, upstream: &Upstream, version: &str) {
    let (url, named) = (&upstream.url, format!("x@{version}"));
    done(folder, &["server", "add", url, "--name", "x", "--version", version, "--yes"]);
    for step in ["scan", "review"] {
        done(folder, &["server", step, &named]);
    }
}

/// A gateway with version 1 of `x` in use, and version 2 reviewed.
async fn prepared(mut config: Value, old: &Upstream, new: &Upstream) -> Gateway {
    config["servers"] = json!({});
    let gateway = start(config);
    let folder = gateway.folder();
    reviewed(folder, old, OLD);
    done(folder, &["server", "approve", "x"]);
    reviewed(folder, new, NEW);
    until("the approved server", async || gateway.ready().await["servers"]["x"].is_object()).await;
    gateway
}

async fn both() -> (Upstream, Upstream) {
    (answering(OLD).start().await, answering(NEW).start().await)
}

async fn rollout(gateway: &Gateway) -> Value {
    gateway.get("/api/v1/servers/x/rollout").await.json()
}

/// Rolls version 2 out, and waits until the gateway does.
async fn roll_out(gateway: &Gateway, share: u8) {
    let to = format!("{share}%");
    done(gateway.folder(), &["server", "rollout", "x", NEW, "--to", &to]);
    until(&to, async || match share {
        100 => rollout(gateway).await["version"] == NEW,
        _ => rollout(gateway).await["next"]["share"] == share,
    })
    .await;
}

/// The version that a session has: of its list and of its call, which have to be of one.
async fn version_of(gateway: &Gateway, session: &Legacy) -> String {
    let list = session.result(gateway, "tools/list", json!({})).await;
    let called = session.call(gateway, "x__which", json!({})).await;
    let version = text_of(&called).to_owned();
    assert_eq!(list["tools"][0]["description"], format!("Says that it is {version}."));
    version
}

async fn sessions(gateway: &Gateway, count: usize) -> Vec<Legacy> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Legacy::open(gateway).await);
    }
    all
}

async fn versions(gateway: &Gateway, sessions: &[Legacy]) -> Vec<String> {
    let mut all = Vec::new();
    for session in sessions {
        all.push(version_of(gateway, session).await);
    }
    all
}

/// The key of a user.
fn secret(user: usize) -> String {
    format!("pcl_{user:02}-abcdefghijklmnopqrstuvwxyz-0123456789")
}

/// Writes the keys of so many users, `bot0` and so on.
fn write_keys(folder: &Path, users: usize) {
    let entry = |user| {
        let hash = json!([{"sha256": hex(&sha256(secret(user).as_bytes()))}]);
        (format!("bot{user}"), json!({ "hashes": hash }))
    };
    let keys: serde_json::Map<_, _> = (0..users).map(entry).collect();
    std::fs::write(folder.join("keys.json"), json!({ "keys": keys }).to_string()).unwrap();
}

/// The version that answers a user; `None` where the call fails.
async fn ask(gateway: &Gateway, user: usize) -> Option<String> {
    let authorization = format!("Bearer {}", secret(user));
    let headers = [("authorization", authorization.as_str())];
    let params = json!({"name": "x__which", "arguments": {}});
    let answer = Modern::new().request_with(gateway, "tools/call", params, &headers).await.json();
    answer.get("result").map(|called| text_of(called).to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_goes_to_some_callers_and_each_session_keeps_what_it_has() {
    let (old, new) = both().await;
    let gateway = prepared(json!({"limits": {"drain": "4s"}}), &old, &new).await;
    let earlier = sessions(&gateway, 4).await;
    roll_out(&gateway, 50).await;
    let some = sessions(&gateway, 24).await;
    let first = versions(&gateway, &some).await;
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 2, "half of them have the new one: {first:?}");
    assert_eq!(versions(&gateway, &some).await, first, "nobody is moved");
    assert_eq!(versions(&gateway, &earlier).await, [OLD; 4], "who was there before keeps what it had");
    roll_out(&gateway, 90).await;
    assert_eq!(versions(&gateway, &some).await, first, "a larger share moves no session");
    let list = done(gateway.folder(), &["server", "list"]);
    assert!(list.contains("90% use") && list.contains("10% use"), "{list}");

    // The last step: whoever comes has the new one, and sessions of the old one end with it.
    let held = first.iter().position(|version| version == OLD).expect("one of them");
    let mut told = some[held].listen(&gateway, None).await;
    roll_out(&gateway, 100).await;
    assert_eq!(version_of(&gateway, &Legacy::open(&gateway).await).await, NEW);
    assert_eq!(version_of(&gateway, &some[held]).await, OLD, "it may end what it began");
    within("the change", async {
        while told.message().await.expect("a notification")["method"] != "notifications/tools/list_changed" {}
    })
    .await;
    assert_eq!(versions(&gateway, &some).await, vec![NEW; 24], "then all have the new one");
    until("the end of the old one", async || rollout(&gateway).await["leaving"] == json!([])).await;
}

/// A session has its version until that is let go, and what it called just before is not broken off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_called_just_before_a_version_is_let_go_is_answered() {
    let script = "handlers['tools/call'] = lambda r: text(r, order())";
    let (old, new) = (Child::new(script).await, answering(NEW).start().await);
    let gateway = start(json!({"servers": {}, "limits": {"drain": "0s"}}));
    let folder = gateway.folder();
    let config = old.config();
    let of = |at: usize| config["args"][at].as_str().expect("a word");
    let command = format!("python3 {} {}", of(0), of(1));
    let add = ["server", "add", &command, "--name", "x", "--version", OLD, "--no-sandbox", "--yes"];
    done(folder, &add);
    for step in ["scan", "review", "approve"] {
        done(folder, &["server", step, "x"]);
    }
    reviewed(folder, &new, NEW);
    until("the approved server", async || gateway.ready().await["servers"]["x"].is_object()).await;
    let session = Legacy::open(&gateway).await;
    let mut calling = std::pin::pin!(session.call(&gateway, "x__echo", json!({})));
    let letting_go = async {
        // Those that the scan started have exited.
        let process = loop {
            let mut process = old.started().await;
            if process.comes("tools/call").await.is_some() {
                break process;
            }
        };
        roll_out(&gateway, 100).await;
        until("the end of the old one", async || rollout(&gateway).await["leaving"] == json!([])).await;
        // It would have been broken off by then.
        tokio::time::sleep(Duration::from_millis(500)).await;
        process
    };
    let mut process = tokio::select! {
        process = letting_go => process,
        called = &mut calling => panic!("it was broken off: {called}"),
    };
    process.tell(json!("answered")).await;
    let called = calling.await;
    assert_eq!(text_of(&called), "answered");
    process.exited().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_keep_their_version_whatever_they_connect_by_and_wherever() {
    let (old, new) = both().await;
    let folder = tempfile::tempdir().unwrap();
    write_keys(folder.path(), 20);
    let config = json!({
        "servers": {}, "store": {"kind": "sqlite"}, "identity": {"keys": {"file": "keys.json"}},
    });
    let gateway = Gateway::start_in(folder, &config, &[]);
    let folder = gateway.folder();
    reviewed(folder, &old, OLD);
    done(folder, &["server", "approve", "x"]);
    reviewed(folder, &new, NEW);
    done(folder, &["server", "rollout", "x", NEW, "--to", "50"]);
    // Another gateway with the same store.
    let beside = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join("keys.json"), beside.path().join("keys.json")).unwrap();
    let mut shared = config.clone();
    shared["store"]["path"] = json!(folder.join("portcullis.db"));
    let other = Gateway::start_in(beside, &shared, &[]);
    let all = async |gateway: &Gateway| {
        let mut all = Vec::new();
        for user in 0..20 {
            all.push(ask(gateway, user).await.unwrap_or_default());
        }
        all
    };
    until("both versions", async || {
        let all = all(&gateway).await;
        all.iter().any(|version| version == NEW) && all.iter().any(|version| version == OLD)
    })
    .await;
    let first = all(&gateway).await;
    assert_eq!(all(&gateway).await, first);
    assert_eq!(all(&other).await, first, "every gateway decides the same");
    assert_eq!(
        done(folder, &["server", "rollout", "x@2.0.0", "--to", "80%"]),
        "rolled out to 80%: x 2.0.0\n"
    );
    until("the larger share", async || all(&gateway).await != first).await;
    for (before, after) in first.iter().zip(all(&gateway).await) {
        assert!(before == OLD || after == NEW, "whoever has the new one keeps it");
    }
    assert_eq!(
        done(folder, &["server", "rollback", "x", "--note", "it is slow"]),
        "rolled back: x 2.0.0 is taken from all callers; 1.0.0 is in use\n"
    );
    until("the way back", async || all(&gateway).await == [OLD; 20]).await;
    until("the way back there", async || all(&other).await == [OLD; 20]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_of_both_versions_are_trusted_as_they_were_approved() {
    let (old, new) = both().await;
    let gateway = prepared(json!({"definitions": {"mode": "approve"}}), &old, &new).await;
    let first = Legacy::open(&gateway).await;
    assert_eq!(
        version_of(&gateway, &first).await,
        OLD,
        "what was approved with its version is not asked about again"
    );
    roll_out(&gateway, 50).await;
    let some = sessions(&gateway, 24).await;
    let found: BTreeSet<_> = versions(&gateway, &some).await.into_iter().collect();
    assert_eq!(found.len(), 2, "neither holds the other's back");
    assert_eq!(version_of(&gateway, &first).await, OLD);
    let shown = done(gateway.folder(), &["definitions", "show", "x/which"]);
    assert_eq!(shown.matches(" by version,").count(), 2, "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_does_badly_is_taken_back() {
    let old = answering(OLD).start().await;
    let broken = answering(NEW).on("tools/call", |_, answer| async move {
        answer.error(200, json!({"code": -32603, "message": "out of order"})).await;
    });
    let new = broken.start().await;
    let keys = tempfile::tempdir().unwrap();
    write_keys(keys.path(), 20);
    let all: Vec<_> = (0..20).map(|user| format!("key:bot{user}")).chain(["anonymous".to_owned()]).collect();
    let config = json!({
        "audit": {"node": "gw"},
        "identity": {"keys": {"file": keys.path().join("keys.json")}, "anonymous": "allow"},
        "policy": {"roles": {"admin": ["all"]}, "groups": {"all": all}},
    });
    let gateway = prepared(config, &old, &new).await;
    roll_out(&gateway, 50).await;
    let some = sessions(&gateway, 24).await;
    let mut failed = 0;
    while failed < 30 {
        let before = failed;
        for session in &some {
            let call = json!({"name": "x__which", "arguments": {}});
            let answer = session.request(&gateway, "tools/call", call).await.json();
            failed += usize::from(answer.get("error").is_some());
        }
        assert_ne!(failed, before, "one caller takes nothing back, and who shows nothing is one");
    }
    let mut let_down = 0;
    for user in 0..20 {
        let_down += usize::from(let_down < 2 && ask(&gateway, user).await.is_none());
    }
    assert_eq!(let_down, 2, "it fails for two more");
    until("the way back", async || rollout(&gateway).await["next"].is_null()).await;
    assert_eq!(versions(&gateway, &some).await, vec![OLD; 24], "it keeps nobody");
    let history = done(gateway.folder(), &["server", "inspect", &format!("x@{NEW}")]);
    assert!(history.contains("rolled back by gateway: its calls failed for 3 of 3 callers"), "{history}");
    assert!(history.contains("rolled out to 50% by cli:ops"), "{history}");
    for what in ["versions changed", "version taken back"] {
        evidence::until(&gateway, what, 1, |event| event["detail"]["what"] == what).await;
    }
    let list = done(gateway.folder(), &["server", "list"]);
    assert!(list.contains("back"), "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_cannot_be_reached_is_taken_back_and_no_caller_has_to_find_out() {
    let (old, new) = both().await;
    let gateway = prepared(json!({}), &old, &new).await;
    drop(new);
    done(gateway.folder(), &["server", "rollout", "x", NEW, "--to", "1%"]);
    let named = format!("x@{NEW}");
    until("the way back", async || {
        let history = done(gateway.folder(), &["server", "inspect", &named]);
        history.contains("rolled back by gateway: it was down 3 times in a row")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_version_asked_for_is_given_to_that_version() {
    let asking = |version: &'static str| {
        answering(version)
            .on("tools/call", move |seen, answer| async move {
                let state = seen.rpc["params"]["requestState"].as_str();
                let result = match state {
                    Some(state) => text(&format!("{state} {version}")),
                    None => json!({
                        "resultType": "input_required", "requestState": version,
                        "inputRequests": {"a": {"method": "elicitation/create", "params": {
                            "mode": "form", "message": "who?",
                            "requestedSchema": {"type": "object", "properties": {}},
                        }}},
                    }),
                };
                answer.result(result).await;
            })
            .start()
    };
    let (old, new) = (asking(OLD).await, asking(NEW).await);
    let gateway = prepared(json!({}), &old, &new).await;
    roll_out(&gateway, 50).await;
    let mut client = Modern::new();
    client.meta["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {"form": {}}});
    let mut found = BTreeSet::new();
    for _ in 0..24 {
        // Nobody knows who asks, so each connection is somebody.
        let call = json!({"name": "x__which", "arguments": {}});
        let asked = client.result(&gateway, "tools/call", call.clone()).await;
        let mut again = call;
        again["requestState"] = asked["requestState"].clone();
        again["inputResponses"] = json!({"a": {"action": "accept", "content": {}}});
        let answered = client.result(&gateway, "tools/call", again).await;
        found.insert(text_of(&answered).to_owned());
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["1.0.0 1.0.0", "2.0.0 2.0.0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_back_from_a_page_has_the_version_that_sent_them_there() {
    let sent: Arc<Mutex<HashMap<String, &'static str>>> = Arc::default();
    let sending = |version: &'static str| {
        let sent = sent.clone();
        let fake = Fake::legacy().tools(vec![tool("which")]).on("tools/call", move |seen, answer| {
            let who = seen.rpc["params"]["arguments"]["who"].to_string();
            let first = sent.lock().unwrap().insert(who, version);
            async move {
                if let Some(first) = first {
                    return answer.result(text(&format!("{first} {version}"))).await;
                }
                let page =
                    json!({"mode": "url", "message": "m", "url": "https://example.com", "elicitationId": "e"});
                let data = json!({"elicitations": [page]});
                answer.error(200, json!({"code": -32042, "message": "open it", "data": data})).await;
            }
        });
        fake.start()
    };
    let (old, new) = (sending(OLD).await, sending(NEW).await);
    let gateway = prepared(json!({}), &old, &new).await;
    roll_out(&gateway, 50).await;
    let mut client = Modern::new();
    client.meta["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {"url": {}}});
    let mut found = BTreeSet::new();
    for who in 0..24 {
        let call = json!({"name": "x__which", "arguments": {"who": who}});
        let asked = client.result(&gateway, "tools/call", call.clone()).await;
        let mut again = call;
        again["requestState"] = asked["requestState"].clone();
        again["inputResponses"] = json!({"q1": {"action": "accept"}});
        let answered = client.result(&gateway, "tools/call", again).await;
        found.insert(text_of(&answered).to_owned());
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["1.0.0 1.0.0", "2.0.0 2.0.0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_scan_of_a_version_did_not_see_is_held_back() {
    const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    let is_late = Arc::new(AtomicBool::new(false));
    let late = is_late.clone();
    let server = answering(OLD).on("tools/list", move |seen, answer| {
        let mut tools = vec![tool("which")];
        if seen.rpc["params"]["_meta"][CAPABILITIES].get("elicitation").is_some() {
            tools.push(tool("ask"));
        }
        if late.load(Ordering::SeqCst) {
            tools.push(tool("late"));
        }
        let list = json!({"resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private"});
        async move { answer.result(list).await }
    });
    let server = server.start().await;
    let gateway = start(json!({"servers": {}}));
    reviewed(gateway.folder(), &server, OLD);
    done(gateway.folder(), &["server", "approve", "x"]);
    is_late.store(true, Ordering::SeqCst);
    until("the approved server", async || gateway.ready().await["servers"]["x"].is_object()).await;
    let names = async |client: &Modern| {
        let list = client.result(&gateway, "tools/list", json!({})).await;
        let tools = list["tools"].as_array().unwrap().clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&Modern::new()).await, ["x__which"]);
    let mut able = Modern::new();
    able.meta[CAPABILITIES] = json!({"elicitation": {"form": {}}});
    assert_eq!(names(&able).await, ["x__which", "x__ask"], "the scan asked for what it is shown as well");
    let shown = done(gateway.folder(), &["definitions", "show", "x/late"]);
    assert!(shown.contains("nobody has approved it yet"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_done_over_http_as_well_and_what_cannot_be_is_said() {
    let (old, new) = both().await;
    let gateway = prepared(json!({}), &old, &new).await;
    let post = async |what: &str, body: Value| {
        gateway.post(&format!("/api/v1/servers/x/{what}"), body.to_string()).await
    };
    let read = gateway.get("/api/v1/servers/x/rollback").await;
    assert_eq!((read.status(), read.header("allow")), (405, Some("POST, OPTIONS")), "as its siblings say");
    let early = post("rollback", json!({})).await;
    assert_eq!(early.status(), 409);
    assert!(early.json()["error"].as_str().unwrap().contains("only version"), "{}", early.text());
    for wrong in
        [json!({"version": NEW}), json!({"version": NEW, "to": 0}), json!({"version": NEW, "to": "10%"})]
    {
        let answer = post("rollout", wrong).await;
        assert_eq!(answer.status(), 400);
        assert!(answer.text().contains("1 to 100"), "{}", answer.text());
    }
    let unknown = post("rollout", json!({"version": "9.9.9", "to": 10})).await;
    assert_eq!(unknown.status(), 404);
    assert!(unknown.json()["error"].as_str().unwrap().contains(NEW), "it says what is there");
    let rolled = post("rollout", json!({"version": NEW, "to": 25, "note": "try it"})).await;
    assert_eq!(rolled.json(), json!({"server": "x", "version": NEW, "share": 25}));
    until("the share", async || rollout(&gateway).await["next"]["share"] == 25).await;
    let told = rollout(&gateway).await;
    assert_eq!((&told["version"], &told["next"]["version"]), (&json!(OLD), &json!(NEW)));
    // What everybody is shown is not kept for everybody meanwhile.
    let list = Modern::new().result(&gateway, "tools/list", json!({})).await;
    assert_eq!(list["cacheScope"], "private");
    let back = post("rollback", json!({"note": "enough"})).await;
    assert_eq!(back.json(), json!({"server": "x", "version": NEW, "share": 0}));
    until("the way back", async || rollout(&gateway).await["next"].is_null()).await;
    let history = done(gateway.folder(), &["server", "inspect", &format!("x@{NEW}")]);
    for step in ["rolled out to 25% by api:anonymous: try it", "rolled back by api:anonymous: enough"] {
        assert!(history.contains(step), "{step}: {history}");
    }
    // And from a terminal.
    for (args, code, why) in [
        (&["rollout", "x", NEW, "--to", "none"][..], 2, "1% to 100%"),
        (&["rollout", "x", "9.9.9", "--to", "5"], 2, "there is no version 9.9.9"),
        (&["rollout", "x", OLD, "--to", "5"], 1, "already"),
        (&["rollout", "x", "--to", "5"], 2, "say which version: `x@VERSION`"),
        (&["rollout", "x@1.0.0", NEW, "--to", "5"], 2, "name one version, once"),
        (&["rollout", "X!@1.0.0", "--to", "5"], 2, "`X!`"),
        (&["rollback", "y"], 1, "no version of `y` is in use"),
    ] {
        let mut all = vec!["server"];
        all.extend(args);
        let refused = run(gateway.folder(), &all);
        assert_eq!(refused.status.code(), Some(code), "{}", said(&refused));
        assert!(said(&refused).contains(why), "{}", said(&refused));
    }
}
