//! The end: what is under way may finish, nothing new begins, and no child stays behind.

use std::process::{Command, ExitStatus};
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::json;
use tokio::sync::Notify;

use crate::harness::client::text_of;
use crate::harness::secure::Client;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, Upstream, signal, until};

/// A server whose calls wait until they are told to go on.
async fn waiting(go_on: &Arc<Notify>) -> Upstream {
    let go_on = go_on.clone();
    let upstream = Fake::modern().on("tools/call", move |_, answer| {
        let go_on = go_on.clone();
        async move {
            go_on.notified().await;
            answer.result(json!({"content": [{"type": "text", "text": "done"}]})).await;
        }
    });
    upstream.start().await
}

async fn exit(gateway: &mut Gateway) -> ExitStatus {
    until("the exit", || {
        let exited = gateway.process().try_wait().unwrap().is_some();
        async move { exited }
    })
    .await;
    gateway.process().wait().unwrap()
}

fn is_alive(pid: u32) -> bool {
    // A process that nobody has waited for yet is dead all the same.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

#[tokio::test]
async fn finishes_what_is_under_way_and_takes_nothing_new() {
    let go_on = Arc::new(Notify::new());
    let (upstream, child) = (waiting(&go_on).await, Child::new("").await);
    let config = json!({"servers": {"x": upstream.config(), "y": child.config()}});
    let mut gateway = Gateway::start(&config);
    let session = Legacy::open(&gateway).await;
    let mut process = child.started().await;
    let mut stream = session.listen(&gateway, None).await;
    assert_eq!(stream.next().await.unwrap().comment.as_deref(), Some("open"));
    let mut calling = gateway.connect().await;
    let body = Modern::new().body("tools/call", json!({"name": "x__echo", "arguments": {}}));
    Modern::new().write(&mut calling, &body, &[]).await;
    upstream.nth("tools/call", 1).await;

    signal(gateway.pid(), Signal::TERM);
    gateway.logged("stopping: running calls may end").await;
    // The stream ends as streams do, not with a broken connection.
    assert_eq!(stream.next().await, None);
    assert!(stream.is_complete());
    let ready = gateway.get("/readyz").await;
    assert_eq!((ready.status(), &ready.json()["status"]), (503, &json!("draining")));
    assert_eq!(gateway.get("/healthz").await.status(), 200);
    let refused = session.request(&gateway, "tools/call", json!({"name": "x__echo"})).await;
    assert_eq!(refused.status(), 503, "{refused:?}");
    assert!(refused.text().contains("stopping"), "{refused:?}");
    let refused = Modern::new().request(&gateway, "tools/call", json!({"name": "x__echo"})).await;
    assert_eq!(refused.status(), 503, "{refused:?}");

    go_on.notify_one();
    let done = calling.response().await;
    assert_eq!(text_of(&done.json()["result"]), "done");
    process.exited().await;
    assert_eq!(exit(&mut gateway).await.code(), Some(0));
    assert!(!gateway.log().contains("did not end in time"), "{}", gateway.log());
}

#[tokio::test]
async fn a_call_to_a_child_finishes_too() {
    let child = Child::new(
        "def call(r):
    order()
    text(r, 'done')
handlers['tools/call'] = call",
    )
    .await;
    let mut gateway = Gateway::before(&child.config());
    let session = Legacy::open(&gateway).await;
    let mut process = child.started().await;
    let mut calling = gateway.connect().await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x__echo"}});
    session.write(&mut calling, &call).await;
    process.message("tools/call").await;
    signal(gateway.pid(), Signal::INT);
    gateway.logged("stopping").await;
    process.tell(json!("go on")).await;
    assert_eq!(text_of(&calling.response().await.json()["result"]), "done");
    process.exited().await;
    assert_eq!(exit(&mut gateway).await.code(), Some(0));
}

#[tokio::test]
async fn calls_of_an_http2_connection_finish_too() {
    let go_on = Arc::new(Notify::new());
    let upstream = waiting(&go_on).await;
    let mut gateway = Gateway::before(&upstream.config());
    let mut client = Client::h2c(gateway.address).await;
    let calling = tokio::spawn(async move { client.call("x__echo", json!({})).await });
    upstream.nth("tools/call", 1).await;
    signal(gateway.pid(), Signal::TERM);
    gateway.logged("stopping").await;
    go_on.notify_one();
    assert_eq!(calling.await.unwrap(), "done");
    assert_eq!(exit(&mut gateway).await.code(), Some(0));
}

#[tokio::test]
async fn idle_connections_do_not_hold_it_up() {
    let upstream = Fake::modern().start().await;
    let mut gateway = Gateway::before(&upstream.config());
    let mut idle = gateway.connect().await;
    assert_eq!(idle.send("GET", "/healthz", &[], b"").await.status(), 200);
    let mut silent = gateway.connect().await;
    let mut two = Client::h2c(gateway.address).await;
    assert_eq!(two.send("GET", "/healthz", &[], String::new()).await.unwrap().status, 200);
    signal(gateway.pid(), Signal::TERM);
    assert_eq!(exit(&mut gateway).await.code(), Some(0));
    assert!(idle.closes().await);
    assert!(silent.closes().await);
    assert!(!gateway.log().contains("did not end in time"), "{}", gateway.log());
}

#[tokio::test]
async fn a_second_signal_cuts_the_waiting_short() {
    let go_on = Arc::new(Notify::new());
    let (upstream, child) = (waiting(&go_on).await, Child::new("").await);
    let config =
        json!({"servers": {"x": upstream.config(), "y": child.config()}, "limits": {"drain": "10m"}});
    let mut gateway = Gateway::start(&config);
    let _session = Legacy::open(&gateway).await;
    let mut process = child.started().await;
    let mut calling = gateway.connect().await;
    let body = Modern::new().body("tools/call", json!({"name": "x__echo", "arguments": {}}));
    Modern::new().write(&mut calling, &body, &[]).await;
    upstream.nth("tools/call", 1).await;
    signal(gateway.pid(), Signal::TERM);
    gateway.logged("stopping").await;
    signal(gateway.pid(), Signal::TERM);
    gateway.logged("asked again").await;
    process.exited().await;
    assert_eq!(exit(&mut gateway).await.code(), Some(0));
}

#[tokio::test]
async fn does_not_wait_longer_than_the_drain_limit() {
    let go_on = Arc::new(Notify::new());
    let upstream = waiting(&go_on).await;
    let mut gateway =
        Gateway::start(&json!({"servers": {"x": upstream.config()}, "limits": {"drain": "100ms"}}));
    let mut calling = gateway.connect().await;
    let body = Modern::new().body("tools/call", json!({"name": "x__echo", "arguments": {}}));
    Modern::new().write(&mut calling, &body, &[]).await;
    upstream.nth("tools/call", 1).await;
    signal(gateway.pid(), Signal::TERM);
    gateway.logged("some calls did not end in time").await;
    assert_eq!(exit(&mut gateway).await.code(), Some(0));
}

/// The child has a child of its own, which ignores what it is told.
const WITH_GRANDCHILD: &str = "
import subprocess, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen(['sleep', '600'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
report({'event': 'grandchild', 'pid': grandchild.pid})
";

#[tokio::test]
async fn no_child_survives_the_gateway_whatever_ends_it() {
    for how in [Signal::TERM, Signal::KILL] {
        let child = Child::new(WITH_GRANDCHILD).await;
        let mut gateway = Gateway::before(&child.config());
        let _session = Legacy::open(&gateway).await;
        let mut process = child.started().await;
        let grandchild = process.event().await.unwrap();
        let grandchild = u32::try_from(grandchild["pid"].as_u64().unwrap()).unwrap();
        assert!(is_alive(grandchild));
        signal(gateway.pid(), how);
        process.exited().await;
        exit(&mut gateway).await;
        until("the end of the child's child", async || !is_alive(grandchild)).await;
    }
}

/// The process that ends the children of a gateway that can no longer do it.
fn keeper(gateway: u32) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes.filter_map(|process| process.file_name().to_str()?.parse().ok()).find(|pid| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let parent = read("stat").rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        parent == Some(gateway) && is_alive(*pid) && read("cmdline").contains("__keeper")
    })
}

#[tokio::test]
async fn the_keeper_comes_back_even_when_the_program_was_replaced() {
    let child = Child::new("").await;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("portcullis");
    std::fs::copy(env!("CARGO_BIN_EXE_portcullis"), &program).unwrap();
    let config = json!({"listen": "127.0.0.1:0", "servers": {"x": child.config()}});
    std::fs::write(folder.path().join("c.json"), config.to_string()).unwrap();
    let mut command = Command::new(&program);
    command.args(["serve", "--config", "c.json"]);
    let mut gateway = Gateway::spawn(folder, command);
    let _session = Legacy::open(&gateway).await;
    let mut process = child.started().await;
    // As an upgrade does it.
    std::fs::remove_file(&program).unwrap();
    let first = keeper(gateway.pid()).expect("a keeper");
    signal(first, Signal::KILL);
    gateway.logged("the keeper died").await;
    let pid = gateway.pid();
    until("another keeper", async || keeper(pid).is_some_and(|keeper| keeper != first)).await;
    signal(pid, Signal::KILL);
    process.exited().await;
    exit(&mut gateway).await;
}
