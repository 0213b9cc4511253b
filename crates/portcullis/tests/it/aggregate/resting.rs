//! Children that are started when somebody needs them, and what is listed of them while they are not running.

use std::time::Duration;

use serde_json::{Value, json};

use super::field;
use crate::harness::client::text_of;
use crate::harness::{Child, Fake, Gateway, Modern, until};

async fn names(gateway: &Gateway, client: &Modern) -> Vec<String> {
    field(client.result(gateway, "tools/list", json!({})).await["tools"].as_array().unwrap(), "name")
}

/// A client that can be asked this much.
fn able(capabilities: Value) -> Modern {
    Modern::new().with_meta("io.modelcontextprotocol/clientCapabilities", capabilities)
}

/// What a child that is not running has to say, it has said before.
#[tokio::test]
async fn a_child_is_not_started_to_be_shown_among_others() {
    let child = Child::new("").await;
    let mut config = child.config();
    config["idle_stop"] = json!("100ms");
    config["list_ttl"] = json!("0s");
    let gateway = Gateway::start(&json!({"servers": {"x": config}, "discovery": {"tools": "beside"}}));
    let names = async |path: &str| names(&gateway, &Modern::at(path)).await;
    assert_eq!(names("/mcp/s/x").await, ["echo"]);
    child.started().await.exited().await;
    for _ in 0..3 {
        assert_eq!(names("/mcp").await.last().unwrap(), "x__echo");
        let found = Modern::new().call(&gateway, "hub__search", json!({"query": "echo"})).await;
        assert!(text_of(&found).contains("x__echo"), "{found}");
    }
    assert!(!child.has_started().await);
    // Who asks for it alone is told what it says now; and to be started for that is no doubt of what it says.
    assert_eq!(names("/mcp/s/x").await, ["echo"]);
    child.started().await.exited().await;
    assert_eq!(names("/mcp").await.last().unwrap(), "x__echo");
    assert!(!child.has_started().await);
}

/// Many children have more tools once they know their client, and say so when their list has been asked for already.
#[tokio::test]
async fn what_a_child_announces_before_it_is_stopped_is_listed_when_it_is_not_running() {
    let child = Child::new(
        r#"
def list(request):
    answer(request, {"tools": list_of()})
    if len(tools) == 1:
        tools.append({"name": "late", "inputSchema": {"type": "object"}})
        send({"method": "notifications/tools/list_changed"})
def list_of():
    return tools[:]
handlers["tools/list"] = list
"#,
    )
    .await;
    let mut config = child.config();
    config["idle_stop"] = json!("1s");
    let gateway = Gateway::before(&config);
    let names = async || names(&gateway, &Modern::new()).await;
    assert_eq!(names().await, ["x__echo"]);
    // Each of its lives begins with the one tool, and with the doubt whether it has the same ones as in the last.
    for _ in 0..3 {
        child.started().await.exited().await;
        for _ in 0..2 {
            assert_eq!(names().await, ["x__echo", "x__late"]);
        }
        assert!(!child.has_started().await, "nobody had to start it for that");
        Modern::new().call(&gateway, "x__echo", json!({})).await;
    }
}

/// Clients that can be asked different things have processes of their own, and each of these announces a change as soon as it knows
/// its client.
#[tokio::test]
async fn processes_of_one_child_are_not_started_for_what_the_others_announce() {
    let child = Child::new(
        r#"
handlers["notifications/initialized"] = lambda r: send({"method": "notifications/tools/list_changed"})
"#,
    )
    .await;
    let mut config = child.config();
    config["idle_stop"] = json!("300ms");
    let gateway = Gateway::before(&config);
    let clients = [Modern::new(), able(json!({"elicitation": {"form": {}}})), able(json!({"roots": {}}))];
    for client in &clients {
        assert_eq!(names(&gateway, client).await, ["x__echo"]);
        child.started().await.exited().await;
    }
    for client in clients.iter().chain(&clients) {
        assert_eq!(names(&gateway, client).await, ["x__echo"]);
    }
    assert!(!child.has_started().await, "all was known");
    // A process that was started again may have other tools than the last; those of other clients need not be started for that.
    Modern::new().call(&gateway, "x__echo", json!({})).await;
    child.started().await.exited().await;
    for client in &clients {
        assert_eq!(names(&gateway, client).await, ["x__echo"]);
    }
    assert!(!child.has_started().await, "all is known still");
}

/// Whoever comes after a change was announced is not given what the server said before.
#[tokio::test]
async fn a_list_that_was_asked_for_before_a_change_is_not_given_to_those_who_come_after_it() {
    let child = Child::new(
        r#"
def list(request):
    old = tools[:]
    if len(old) == 1:
        tools.append({"name": "late", "inputSchema": {"type": "object"}})
        send({"method": "notifications/tools/list_changed"})
        send({"id": "after", "method": "ping"})
        sys.stdin.readline()
        report({"event": "known"})
        order()
    answer(request, {"tools": old})
handlers["tools/list"] = list
"#,
    )
    .await;
    let gateway = Gateway::before(&child.config());
    let (early, late) = (Modern::new(), Modern::new());
    let before = names(&gateway, &early);
    let after = async {
        let mut process = child.started().await;
        while process.event().await.unwrap()["event"] != "known" {}
        let answering = async {
            // Nobody outside sees that somebody waits for the list that is under way. Without that they get the new one in any case.
            tokio::time::sleep(Duration::from_millis(300)).await;
            process.tell(json!({})).await;
        };
        tokio::join!(names(&gateway, &late), answering).0
    };
    let (before, after) = tokio::join!(before, after);
    assert_eq!(before, ["x__echo"], "it was asked for before");
    assert_eq!(after, ["x__echo", "x__late"]);
}

/// One server that was never reached is no reason not to ask the others again.
#[tokio::test]
async fn searches_have_lists_renewed_while_another_server_is_missing() {
    let mut fake = Fake::modern();
    fake.hints = (0, "public");
    let upstream = fake.start().await;
    let missing = json!({"url": "http://127.0.0.1:9/mcp"});
    let gateway = Gateway::start(&json!({
        "servers": {"x": upstream.config(), "missing": missing}, "discovery": {"tools": "instead"},
    }));
    let search = async || {
        let found = Modern::new().call(&gateway, "hub__search", json!({"query": "echo"})).await;
        text_of(&found).contains("x__echo")
    };
    until("the tool to be found", search).await;
    let asked = upstream.count("tools/list");
    until("the list to be asked for again", || async {
        search().await;
        upstream.count("tools/list") > asked
    })
    .await;
}

/// That a server is busy for others is no reason to keep a process that nobody uses.
#[tokio::test]
async fn a_process_that_nobody_uses_is_stopped_while_another_one_works() {
    let child = Child::new(
        r#"
def call(request):
    if "wait" in request["params"]["arguments"]:
        order()
    text(request, "done")
handlers["tools/call"] = call
"#,
    )
    .await;
    let mut config = child.config();
    config["idle_stop"] = json!("300ms");
    let gateway = Gateway::before(&config);
    let (busy, other) = (Modern::new(), able(json!({"elicitation": {"form": {}}})));
    let working = busy.call(&gateway, "x__echo", json!({"wait": true}));
    let meanwhile = async {
        let mut worker = child.started().await;
        worker.message("tools/call").await;
        other.call(&gateway, "x__echo", json!({})).await;
        child.started().await.exited().await;
        worker.tell(json!({})).await;
    };
    let (done, ()) = tokio::join!(working, meanwhile);
    assert_eq!(text_of(&done), "done");
}
