//! A changed configuration is taken up while the gateway serves; a broken one is not.

use std::sync::Arc;

use portcullis_audit::Signer;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::client::text_of;
use crate::harness::collector::Collector;
use crate::harness::http::Events;
use crate::harness::pki::Authority;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, Upstream, signal, until};

const TAKEN_UP: &str = "took up the configuration";
pub(crate) const KEPT: &str = "the old one stays in force";

/// Writes another configuration and waits until it is in force.
pub(crate) async fn reload(gateway: &Gateway, config: &Value) {
    let before = gateway.log().matches(TAKEN_UP).count();
    gateway.rewrite_config(config);
    signal(gateway.pid(), Signal::HUP);
    until(TAKEN_UP, async || gateway.log().matches(TAKEN_UP).count() > before).await;
}

fn names(list: &Value) -> Vec<&str> {
    list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

/// A server whose calls wait until they are told to go on.
async fn waiting(go_on: &Arc<Notify>) -> Upstream {
    let go_on = go_on.clone();
    let upstream = Fake::legacy().on("tools/call", move |_, answer| {
        let go_on = go_on.clone();
        async move {
            go_on.notified().await;
            answer.result(json!({"content": [{"type": "text", "text": "done"}]})).await;
        }
    });
    upstream.start().await
}

/// Reads list changes until there was one of the tools.
pub(crate) async fn tools_changed(stream: &mut Events) {
    loop {
        let message = stream.message().await.expect("the stream is open");
        if message["method"] == "notifications/tools/list_changed" {
            return;
        }
    }
}

#[tokio::test]
async fn adds_changes_and_removes_servers_under_open_sessions_calls_and_streams() {
    let go_on = Arc::new(Notify::new());
    let (a, b) = (waiting(&go_on).await, Fake::modern().start().await);
    let gateway = Gateway::start(&json!({"servers": {"a": a.config()}}));
    let session = Legacy::open(&gateway).await;
    let mut stream = session.listen(&gateway, None).await;
    let mut calling = gateway.connect().await;
    let call = json!({"jsonrpc": "2.0", "id": "held", "method": "tools/call", "params": {"name": "a__echo"}});
    session.write(&mut calling, &call).await;
    a.nth("tools/call", 1).await;

    // Another server joins.
    reload(&gateway, &json!({"servers": {"a": a.config(), "b": b.config()}})).await;
    tools_changed(&mut stream).await;
    let list = session.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list), ["a__echo", "b__echo"]);
    assert_eq!(text_of(&session.call(&gateway, "b__echo", json!({"n": 1})).await), r#"{"n":1}"#);

    // It is replaced, and then leaves; the session that was opened before it came does not mind.
    let other = Fake::modern().tools(vec![crate::harness::fake::tool("other")]).start().await;
    reload(&gateway, &json!({"servers": {"a": a.config(), "b": other.config()}})).await;
    tools_changed(&mut stream).await;
    let list = session.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list), ["a__echo", "b__other"]);
    reload(&gateway, &json!({"servers": {"a": a.config()}})).await;
    tools_changed(&mut stream).await;
    let list = session.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list), ["a__echo"]);
    let gone = session.request(&gateway, "tools/call", json!({"name": "b__other"})).await;
    assert!(gone.json()["error"].is_object(), "{gone:?}");

    // The server with the running call leaves: the call ends as if nothing had happened.
    reload(&gateway, &json!({"servers": {"b": b.config()}})).await;
    tools_changed(&mut stream).await;
    let list = session.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list), ["b__echo"]);
    go_on.notify_one();
    assert_eq!(text_of(&calling.response().await.json()["result"]), "done");
    assert_eq!(a.count("initialize"), 1, "the unchanged server kept its session");
}

#[tokio::test]
async fn a_running_call_outlives_the_change_of_its_server() {
    let go_on = Arc::new(Notify::new());
    let a = waiting(&go_on).await;
    let gateway = Gateway::start(&json!({"servers": {"a": a.config()}}));
    let session = Legacy::open(&gateway).await;
    let mut calling = gateway.connect().await;
    let call = json!({"jsonrpc": "2.0", "id": "held", "method": "tools/call", "params": {"name": "a__echo"}});
    session.write(&mut calling, &call).await;
    a.nth("tools/call", 1).await;
    let mut changed = a.config();
    changed["call_timeout"] = json!("30s");
    reload(&gateway, &json!({"servers": {"a": changed}})).await;
    go_on.notify_one();
    assert_eq!(text_of(&calling.response().await.json()["result"]), "done");
    // The replaced server has gone out of service by itself, with its session at the upstream.
    a.nth("DELETE", 1).await;
    go_on.notify_one();
    assert_eq!(text_of(&session.call(&gateway, "a__echo", json!({})).await), "done");
    // What it counted is still counted, and goes on being.
    let counted =
        r#"portcullis_calls_total{server_id="a",method="tools/call",tool_name="echo",outcome="ok"} 2"#;
    until("both calls in the metrics", async || gateway.get("/metrics").await.text().contains(counted)).await;
    assert!(gateway.get("/metrics").await.text().contains(r#"portcullis_server_up{server_id="a"} 1"#));
}

#[tokio::test]
async fn keeps_unchanged_children_and_replaces_changed_ones() {
    let script = "handlers['tools/call'] = lambda r: text(r, str(os.getpid()) + os.environ.get('WORD', ''))";
    let (kept, changed, removed) =
        (Child::new(script).await, Child::new(script).await, Child::new(script).await);
    let servers = json!({"kept": kept.config(), "changed": changed.config(), "removed": removed.config()});
    let gateway = Gateway::start(&json!({"servers": servers}));
    let session = Legacy::open(&gateway).await;
    let _kept_process = kept.started().await;
    let mut changed_process = changed.started().await;
    let mut removed_process = removed.started().await;
    let before = text_of(&session.call(&gateway, "kept__echo", json!({})).await).to_owned();
    let mut config = changed.config();
    config["env"] = json!({"WORD": "-anew"});
    reload(&gateway, &json!({"servers": {"kept": kept.config(), "changed": config}})).await;
    changed_process.exited().await;
    removed_process.exited().await;
    assert_eq!(text_of(&session.call(&gateway, "kept__echo", json!({})).await), before);
    let (anew, _process) =
        tokio::join!(session.call(&gateway, "changed__echo", json!({})), changed.started());
    assert!(text_of(&anew).ends_with("-anew"), "{anew}");
    let metrics = gateway.get("/metrics").await.text();
    assert!(!metrics.contains("removed"), "{metrics}");
}

#[tokio::test]
async fn notices_a_changed_file_by_itself() {
    let (a, b) = (Fake::modern().start().await, Fake::modern().start().await);
    let gateway = Gateway::start(&json!({"servers": {"a": a.config()}}));
    gateway.rewrite_config(&json!({"servers": {"b": b.config()}}));
    gateway.logged(TAKEN_UP).await;
    let list = Modern::new().result(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list), ["b__echo"]);
}

#[tokio::test]
async fn notices_a_changed_secret_by_itself() {
    let a = Fake::modern().start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "Bearer first").unwrap();
    let mut config = a.config();
    config["headers"] = json!({"Authorization": {"file": "token"}});
    let gateway = Gateway::start_in(folder, &json!({"servers": {"a": config}}), &[]);
    let _ = Modern::new().call(&gateway, "a__echo", json!({})).await;
    assert_eq!(a.nth("tools/call", 1).await.header("authorization"), Some("Bearer first"));
    std::fs::write(gateway.folder().join("token"), "Bearer second").unwrap();
    gateway.logged(TAKEN_UP).await;
    let _ = Modern::new().call(&gateway, "a__echo", json!({})).await;
    assert_eq!(a.nth("tools/call", 2).await.header("authorization"), Some("Bearer second"));
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_its_lines_are_logged() {
    let (a, b) = (Fake::modern().start().await, Fake::modern().start().await);
    let gateway = Gateway::start(&json!({"servers": {"a": a.config()}}));
    let session = Legacy::open(&gateway).await;
    std::fs::write(gateway.config_path(), "{\n  \"servers\": {},\n  \"limit\": {}\n}\n").unwrap();
    signal(gateway.pid(), Signal::HUP);
    let line = gateway.logged("unknown key").await;
    assert!(
        line.contains("portcullis.json:3:3: error: limit: unknown key (did you mean `limits`?)"),
        "{line}"
    );
    gateway.logged(KEPT).await;
    assert_eq!(text_of(&session.call(&gateway, "a__echo", json!({})).await), "{}");
    // A file that is gone is no empty file.
    std::fs::remove_file(gateway.config_path()).unwrap();
    signal(gateway.pid(), Signal::HUP);
    gateway.logged("cannot read the configuration").await;
    assert_eq!(text_of(&session.call(&gateway, "a__echo", json!({})).await), "{}");
    // And one that is mended is taken up.
    reload(&gateway, &json!({"servers": {"b": b.config()}})).await;
    let list = session.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list), ["b__echo"]);
}

#[tokio::test]
async fn a_server_that_cannot_be_made_leaves_all_as_it_was() {
    let (a, b) = (Fake::modern().start().await, Fake::modern().start().await);
    let gateway = Gateway::start(&json!({"servers": {"a": a.config()}}));
    std::fs::write(gateway.folder().join("ca.pem"), "nothing").unwrap();
    let broken = json!({"url": "https://localhost:1/mcp", "tls": {"ca": "ca.pem"}});
    gateway.rewrite_config(&json!({"servers": {"b": b.config(), "c": broken}}));
    signal(gateway.pid(), Signal::HUP);
    let line = gateway.logged(KEPT).await;
    assert!(line.contains("server `c`") && line.contains("ca.pem"), "{line}");
    let list = Modern::new().result(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list), ["a__echo"]);
    // The file that was at fault is watched like the others.
    Authority::new().write(gateway.folder(), "ca.pem");
    gateway.logged(TAKEN_UP).await;
    let list = Modern::new().result(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list), ["b__echo"]);
}

#[tokio::test]
async fn changes_what_is_logged() {
    let a = Fake::modern().start().await;
    let config =
        |filter: &str| json!({"servers": {"a": a.config()}, "telemetry": {"log": {"filter": filter}}});
    let gateway = Gateway::start(&config("info"));
    let _ = Modern::new().call(&gateway, "a__echo", json!({})).await;
    reload(&gateway, &config("info,portcullis_gateway=debug")).await;
    assert!(!gateway.log().contains(r#""message":"call""#), "{}", gateway.log());
    let _ = Modern::new().call(&gateway, "a__echo", json!({})).await;
    gateway.logged(r#""message":"call""#).await;
    // A filter that cannot be read is a problem of the file.
    gateway.rewrite_config(&config("nonsense=="));
    gateway.logged(KEPT).await;
}

#[tokio::test]
async fn changes_how_a_log_line_looks() {
    let config = |format: &str| json!({"telemetry": {"log": {"format": format}}});
    let gateway = Gateway::start(&config("json"));
    reload(&gateway, &config("pretty")).await;
    let line = gateway.logged(TAKEN_UP).await;
    assert!(line.contains(" INFO portcullis::reload: took up the configuration servers=0"), "{line}");
    reload(&gateway, &config("json")).await;
    gateway.logged(r#""message":"took up the configuration","servers":0}"#).await;
    assert!(!gateway.log().contains("takes a restart"), "{}", gateway.log());
}

#[tokio::test]
async fn traces_go_to_another_collector_and_those_of_running_calls_where_they_began() {
    let go_on = Arc::new(Notify::new());
    let a = waiting(&go_on).await;
    let (mut first, mut second) = (Collector::start().await, Collector::start().await);
    let config = |otlp: &Value| json!({"servers": {"a": a.config()}, "telemetry": {"otlp": otlp}});
    let to = |collector: &Collector| json!({"endpoint": format!("http://{}", collector.address), "protocol": "http"});
    // None is there in the beginning.
    let gateway = Gateway::start(&config(&Value::Null));
    let session = Legacy::open(&gateway).await;
    reload(&gateway, &config(&to(&first))).await;
    let mut calling = gateway.connect().await;
    let call = json!({"jsonrpc": "2.0", "id": "held", "method": "tools/call", "params": {"name": "a__echo"}});
    session.write(&mut calling, &call).await;
    a.nth("tools/call", 1).await;
    reload(&gateway, &config(&to(&second))).await;

    // What cannot be used changes nothing.
    let mut broken = to(&first);
    broken["headers"] = json!({"grpc-timeout": {"env": "PATH"}});
    gateway.rewrite_config(&config(&broken));
    signal(gateway.pid(), Signal::HUP);
    let line = gateway.logged(KEPT).await;
    assert!(line.contains("telemetry.otlp") && line.contains("grpc-timeout"), "{line}");
    let _ = session.request(&gateway, "prompts/list", json!({})).await;
    assert_eq!(second.take(1).await[0].name, "prompts/list");

    go_on.notify_one();
    assert_eq!(text_of(&calling.response().await.json()["result"]), "done");
    let spans = first.take(2).await;
    assert!(spans.iter().all(|span| span.name == "tools/call echo"), "{spans:?}");

    // And nothing is traced any more.
    reload(&gateway, &config(&Value::Null)).await;
    let _ = session.request(&gateway, "prompts/list", json!({})).await;
    let exported = "portcullis_spans_exported_total 3";
    until(exported, async || gateway.get("/metrics").await.text().contains(exported)).await;
    assert!(!gateway.log().contains("takes a restart"), "{}", gateway.log());
}

#[tokio::test]
async fn what_only_a_start_takes_up_is_said() {
    let config = |key: Value| json!({"vault": key, "telemetry": {"log": {"filter": "info"}}});
    let gateway = Gateway::start(&config(json!({})));
    let key = gateway.folder().join("vault.key");
    std::fs::write(&key, "0123456789abcdef".repeat(4)).unwrap();
    reload(&gateway, &config(json!({"key": {"file": key}}))).await;
    gateway.logged("`vault.key` has changed; that takes a restart").await;
}

#[tokio::test]
async fn flags_still_win_after_a_reload() {
    let (a, b) = (Fake::modern().start().await, Fake::modern().start().await);
    let config = |server: &Upstream| json!({"listen": "127.0.0.1:1", "servers": {"a": server.config()}, "telemetry": {"log": {"filter": "error"}}});
    let folder = tempfile::tempdir().unwrap();
    let args = ["--listen", "127.0.0.1:0", "--log", "info"];
    let gateway = Gateway::start_in(folder, &config(&a), &args);
    reload(&gateway, &config(&b)).await;
    assert!(!gateway.log().contains("takes a restart"), "{}", gateway.log());
    let _ = Modern::new().call(&gateway, "a__echo", json!({})).await;
    assert_eq!((a.count("tools/call"), b.count("tools/call")), (0, 1));
}

#[tokio::test]
async fn says_what_takes_a_restart() {
    let a = Fake::modern().start().await;
    let gateway = Gateway::start(&json!({"servers": {"a": a.config()}}));
    reload(&gateway, &json!({"servers": {"a": a.config()}, "workers": 1, "listen": "127.0.0.1:1"})).await;
    for key in ["`workers` has changed", "`listen` has changed"] {
        gateway.logged(key).await;
    }
    assert_eq!(gateway.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn says_what_of_the_evidence_takes_a_restart() {
    let config = |audit: Value, logs: &[String]| {
        let witness = json!({"key": {"file": "witness.key"}, "logs": logs});
        json!({"servers": {}, "store": {"kind": "sqlite"}, "witness": witness, "audit": audit})
    };
    let folder = tempfile::tempdir().unwrap();
    let [witness, one, other] = ["witness", "one", "other"].map(|name| Signer::generate(name).unwrap());
    std::fs::write(folder.path().join("witness.key"), witness.to_secret()).unwrap();
    let logs = [one, other].map(|signer| signer.log_key().to_string());
    let gateway = Gateway::start_in(folder, &config(json!({"node": "gw"}), &logs[..1]), &[]);
    let people = json!({"node": "gw", "allow": {"groups": ["auditors"]}, "admins": {"groups": ["admins"]}});
    reload(&gateway, &config(people, &logs[..1])).await;
    assert!(!gateway.log().contains("takes a restart"), "{}", gateway.log());
    reload(&gateway, &config(json!({"node": "other"}), &logs)).await;
    for key in ["`audit` has changed", "`witness` has changed"] {
        gateway.logged(key).await;
    }
}

#[tokio::test]
async fn limits_are_taken_up() {
    let a = Fake::modern().start().await;
    let config = |depth: u32| json!({"servers": {"a": a.config()}, "limits": {"json_depth": depth}});
    let gateway = Gateway::start(&config(64));
    let deep: Value = serde_json::from_str(&format!("{}{}", "[".repeat(20), "]".repeat(20))).unwrap();
    let _ = Modern::new().call(&gateway, "a__echo", json!({"deep": deep})).await;
    reload(&gateway, &config(8)).await;
    let refused = Modern::new()
        .request(&gateway, "tools/call", json!({"name": "a__echo", "arguments": {"deep": deep}}))
        .await;
    assert_eq!(refused.status(), 400, "{refused:?}");
}
