//! Sessions of older clients beside clients that have none; and whose children serve whom.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::child::Process;
use crate::harness::client::{result_of, text_of};
use crate::harness::gateway::JSON;
use crate::harness::idp::{Idp, sha256};
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, hex, until, within};

const REVISIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];

/// Every tool call answers with the process that carried it out.
const TELLS_ITS_PID: &str = "handlers['tools/call'] = lambda r: text(r, str(os.getpid()))";

#[tokio::test]
async fn serves_clients_of_all_revisions_on_one_endpoint_at_once() {
    for upstream in [Fake::legacy(), Fake::modern()] {
        let upstream = upstream.start().await;
        let gateway = Arc::new(Gateway::before(&upstream.config()));
        let mut clients = Vec::new();
        for revision in REVISIONS {
            let session = Legacy::open_at(&gateway, "/mcp", revision).await;
            assert_eq!(session.welcome["protocolVersion"], revision);
            let gateway = gateway.clone();
            clients.push(tokio::spawn(async move {
                for n in 0..5 {
                    let result = session.call(&gateway, "x__echo", json!({"n": n, "of": revision})).await;
                    assert_eq!(text_of(&result), json!({"n": n, "of": revision}).to_string());
                }
            }));
        }
        let gateway = gateway.clone();
        clients.push(tokio::spawn(async move {
            for n in 0..5 {
                let result = Modern::new().call(&gateway, "x__echo", json!({"n": n})).await;
                assert_eq!(text_of(&result), json!({"n": n}).to_string());
                assert_eq!(result["resultType"], "complete");
            }
        }));
        for client in clients {
            client.await.unwrap();
        }
    }
}

#[tokio::test]
async fn answers_an_unknown_revision_with_the_newest_that_has_sessions() {
    let upstream = Fake::legacy().start().await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open_at(&gateway, "/mcp", "2023-01-01").await;
    assert_eq!(session.welcome["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn a_session_id_finds_nothing_changed_over_elsewhere_or_for_anybody_else() {
    let (idp, server) = (Idp::start().await, Fake::legacy().start().await);
    let mut config = idp.config(&server.config());
    config["limits"] = json!({"session_idle": "200ms"});
    config["telemetry"] = json!({"allow": {"principals": ["anonymous"]}});
    let gateway = Gateway::start(&config);
    let of = |user: &str| format!("Bearer {}", idp.token(user));
    let (ann, bob) = (of("ann"), of("bob"));
    let open = async || Legacy::open_as(&gateway, "/mcp", "2025-11-25", json!({}), Some(&ann)).await;
    let ping = async |path: &str, session: &str, shown: &str| {
        let headers = [JSON[0], JSON[1], ("mcp-session-id", session), ("authorization", shown)];
        let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
        gateway.send("POST", path, &headers, ping.as_bytes()).await.status()
    };
    let client = open().await;
    let session = client.session.as_str();
    // Whoever listens is there, however long the test takes.
    let listening = client.listen(&gateway, None).await;
    assert_eq!(ping("/mcp", session, &ann).await, 200);
    assert_eq!(ping("/mcp", session, &bob).await, 404, "another user's");
    for at in [0, session.len() / 2, session.len() - 1] {
        let mut other = session.to_owned();
        other.replace_range(at..=at, if &session[at..=at] == "A" { "B" } else { "A" });
        assert_eq!(ping("/mcp", &other, &ann).await, 404, "{other} for {session}");
    }
    assert_eq!(ping("/mcp", &session[1..], &ann).await, 404);
    let elsewhere = idp.token_with("ann", &json!({"aud": "https://mcp.example.com/mcp/s/x"}));
    assert_eq!(ping("/mcp/s/x", session, &format!("Bearer {elsewhere}")).await, 404, "of another endpoint");
    assert_eq!(ping("/mcp", session, &ann).await, 200, "none of it has cost its owner anything");

    let deleted = open().await;
    assert_eq!(deleted.delete(&gateway).await.status(), 204);
    assert_eq!(ping("/mcp", &deleted.session, &ann).await, 404);
    drop(listening);
    until("its end", async || gateway.get("/metrics").await.text().contains("portcullis_sessions 0\n")).await;
    assert_eq!(ping("/mcp", session, &ann).await, 404, "nobody has used it for too long");
}

// ---- whose child ----

#[tokio::test]
async fn starts_a_child_on_first_use_and_shares_it() {
    let child = Child::new(TELLS_ITS_PID).await;
    let gateway = Gateway::before(&child.config());
    assert_eq!(gateway.ready().await["servers"]["x"]["state"], "idle");
    let (one, two) = (Legacy::open(&gateway).await, Legacy::open(&gateway).await);
    let mut process = child.started().await;
    let pid = process.message("initialize").await;
    assert_eq!(pid["params"]["clientInfo"]["name"], "portcullis");
    let mut pids = Vec::new();
    for session in [&one, &two] {
        pids.push(text_of(&session.call(&gateway, "x__echo", json!({})).await).to_owned());
    }
    pids.push(text_of(&Modern::new().call(&gateway, "x__echo", json!({})).await).to_owned());
    pids.dedup();
    assert_eq!(pids.len(), 1, "{pids:?}");
    assert_eq!(one.delete(&gateway).await.status(), 204);
    // The others go on with it.
    assert_eq!(text_of(&two.call(&gateway, "x__echo", json!({})).await), pids[0]);
}

/// The next process that is started and called.
async fn called(child: &Child, gateway: &Gateway, session: &Legacy) -> (String, Process) {
    let (result, process) = tokio::join!(session.call(gateway, "x__echo", json!({})), child.started());
    (text_of(&result).to_owned(), process)
}

#[tokio::test]
async fn gives_each_session_a_child_of_its_own_until_it_is_deleted() {
    let child = Child::new(TELLS_ITS_PID).await;
    let mut config = child.config();
    config["sharing"] = json!("session");
    let gateway = Gateway::before(&config);
    let (ann, bob) = (Legacy::open(&gateway).await, Legacy::open(&gateway).await);
    // What the server says of itself and lists is asked by the gateway, in a conversation of its own.
    let _catalogue = child.started().await;
    let _ = ann.result(&gateway, "tools/list", json!({})).await;
    let (pid_of_ann, mut process_of_ann) = called(&child, &gateway, &ann).await;
    let (pid_of_bob, _process_of_bob) = called(&child, &gateway, &bob).await;
    assert_ne!(pid_of_ann, pid_of_bob);
    assert_eq!(text_of(&ann.call(&gateway, "x__echo", json!({})).await), pid_of_ann);
    assert_eq!(text_of(&bob.call(&gateway, "x__echo", json!({})).await), pid_of_bob);
    assert_eq!(ann.delete(&gateway).await.status(), 204);
    process_of_ann.exited().await;
    assert_eq!(text_of(&bob.call(&gateway, "x__echo", json!({})).await), pid_of_bob);
    // None of these starts was a restart.
    let metrics = gateway.get("/metrics").await.text();
    assert!(!metrics.contains("portcullis_child_restarts_total{"), "{metrics}");
}

#[tokio::test]
async fn a_child_that_is_still_opening_when_its_session_ends_ends_too() {
    let child = Child::new(
        r#"
welcome = handlers["initialize"]
def when_told(request):
    order()
    welcome(request)
handlers["initialize"] = when_told
"#,
    )
    .await;
    let mut config = child.config();
    config["sharing"] = json!("session");
    let gateway = Gateway::before(&config);
    let (session, _catalogue) = tokio::join!(Legacy::open(&gateway), async {
        let mut process = child.started().await;
        process.tell(json!({})).await;
        process
    });
    let mut calling = gateway.connect().await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x__echo"}});
    session.write(&mut calling, &call).await;
    let mut orphan = child.started().await;
    orphan.message("initialize").await;
    assert_eq!(session.delete(&gateway).await.status(), 204);
    assert_eq!(calling.response().await.messages(), Vec::<Value>::new(), "its call was cancelled");
    orphan.tell(json!({})).await;
    while let Some(event) = orphan.event().await {
        assert_ne!(event["method"], "tools/call", "nobody waits for it");
    }
}

#[tokio::test]
async fn clients_without_sessions_share_a_child_of_their_own() {
    let child = Child::new(TELLS_ITS_PID).await;
    let mut config = child.config();
    config["sharing"] = json!("session");
    let gateway = Gateway::before(&config);
    let session = Legacy::open(&gateway).await;
    let of_session = text_of(&session.call(&gateway, "x__echo", json!({})).await).to_owned();
    let first = text_of(&Modern::new().call(&gateway, "x__echo", json!({})).await).to_owned();
    let second = text_of(&Modern::new().call(&gateway, "x__echo", json!({})).await).to_owned();
    assert_eq!(first, second);
    assert_ne!(first, of_session);
}

#[tokio::test]
async fn each_principal_without_sessions_has_a_child_of_its_own_where_servers_are_not_shared() {
    let key = |user: &str| format!("pcl_{}", [user; 11].join("-"));
    for sharing in ["session", "shared"] {
        let child = Child::new(TELLS_ITS_PID).await;
        let mut server = child.config();
        server["sharing"] = json!(sharing);
        let folder = tempfile::tempdir().unwrap();
        let of = |user: &str| json!({"hashes": [{"sha256": hex(&sha256(key(user).as_bytes()))}]});
        let keys = json!({"keys": {"ann": of("ann"), "ben": of("ben")}});
        std::fs::write(folder.path().join("keys.json"), keys.to_string()).unwrap();
        let config = json!({"servers": {"x": server}, "identity": {"keys": {"file": "keys.json"}}});
        let gateway = Gateway::start_in(folder, &config, &[]);
        let pid = async |user: &str| {
            let authorization = format!("Bearer {}", key(user));
            let shown = [("authorization", authorization.as_str())];
            let params = json!({"name": "x__echo", "arguments": {}});
            let answer = Modern::new().request_with(&gateway, "tools/call", params, &shown).await;
            text_of(&result_of(&answer)).to_owned()
        };
        let (ann, ben) = (pid("ann").await, pid("ben").await);
        assert_eq!((pid("ann").await, pid("ben").await), (ann.clone(), ben.clone()), "and keeps it");
        assert_eq!(ann == ben, sharing == "shared", "{sharing}");
    }
}

#[tokio::test]
async fn ends_idle_sessions_and_their_children() {
    let child = Child::new(TELLS_ITS_PID).await;
    let mut config = child.config();
    config["sharing"] = json!("session");
    let gateway = Gateway::start(&json!({"servers": {"x": config}, "limits": {"session_idle": "300ms"}}));
    let (idle, listening) = (Legacy::open(&gateway).await, Legacy::open(&gateway).await);
    let _catalogue = child.started().await;
    let mut stream = listening.listen(&gateway, None).await;
    assert_eq!(stream.next().await.unwrap().comment.as_deref(), Some("open"));
    let _ = idle.result(&gateway, "tools/list", json!({})).await;
    let (_, mut process) = called(&child, &gateway, &idle).await;
    process.exited().await;
    // Whoever listens is there.
    until("the end of the idle session", async || sessions(&gateway).await == 1).await;
    assert_eq!(idle.request(&gateway, "ping", json!({})).await.status(), 404);
    assert_eq!(listening.request(&gateway, "ping", json!({})).await.status(), 200);
    drop(stream);
    until("the end of the other session", async || sessions(&gateway).await == 0).await;
    assert_eq!(listening.request(&gateway, "ping", json!({})).await.status(), 404);
}

async fn sessions(gateway: &Gateway) -> u64 {
    let metrics = gateway.get("/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("portcullis_sessions ")).unwrap();
    line.parse().unwrap()
}

#[tokio::test]
async fn stops_an_idle_child_and_starts_it_again() {
    let child = Child::new(TELLS_ITS_PID).await;
    let mut config = child.config();
    config["idle_stop"] = json!("200ms");
    let gateway = Gateway::before(&config);
    let session = Legacy::open(&gateway).await;
    let mut first = child.started().await;
    let pid = text_of(&session.call(&gateway, "x__echo", json!({})).await).to_owned();
    first.exited().await;
    let (again, _second) = called(&child, &gateway, &session).await;
    assert_ne!(again, pid);
    // It was stopped on purpose: nothing was wrong with it.
    assert!(!gateway.log().contains("server is down"), "{}", gateway.log());
}

// ---- streams ----

/// A server whose tool reports progress, waits, reports progress again and answers.
fn slow(go_on: &Arc<Notify>) -> Fake {
    let go_on = go_on.clone();
    Fake::legacy().on("tools/call", move |seen, mut answer| {
        let go_on = go_on.clone();
        async move {
            let progress = |n: u32| {
                let token = &seen.rpc["params"]["_meta"]["progressToken"];
                let params = json!({"progressToken": token, "progress": n});
                json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
            };
            answer.open_stream().await;
            answer.event(&progress(1)).await;
            go_on.notified().await;
            answer.event(&progress(2)).await;
            answer.result_event(json!({"content": [{"type": "text", "text": "done"}]})).await;
        }
    })
}

fn slow_call(id: u32) -> Value {
    let params = json!({"name": "x__echo", "arguments": {}, "_meta": {"progressToken": "mine"}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

#[tokio::test]
async fn a_client_that_lost_its_stream_reads_on_where_it_left() {
    let go_on = Arc::new(Notify::new());
    let upstream = slow(&go_on).start().await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open(&gateway).await;
    let (_, mut events) = session.stream(&gateway, &slow_call(5)).await;
    // The priming event: an id to come back with, how soon, and no data.
    let primer = events.next().await.unwrap();
    assert_eq!(primer.data.as_deref(), Some(""), "{primer:?}");
    assert!(primer.id.is_some() && primer.retry.is_some(), "{primer:?}");
    let first = events.next().await.unwrap();
    assert_eq!(first.json()["params"], json!({"progressToken": "mine", "progress": 1}));
    drop(events);
    go_on.notify_one();

    for (after, left) in [(&first, 2), (&primer, 3)] {
        let mut rest = session.listen(&gateway, after.id.as_deref()).await;
        let mut messages = Vec::new();
        while let Some(message) = rest.message().await {
            messages.push(message);
        }
        assert_eq!(messages.len(), left, "{messages:?}");
        assert_eq!(messages[left - 2]["params"], json!({"progressToken": "mine", "progress": 2}));
        assert_eq!(messages[left - 1]["id"], 5);
        assert_eq!(text_of(&messages[left - 1]["result"]), "done");
    }
    assert_eq!(upstream.count("tools/call"), 1, "the call went on by itself");
}

#[tokio::test]
async fn a_resumed_stream_waits_for_what_is_still_to_come() {
    let go_on = Arc::new(Notify::new());
    let upstream = slow(&go_on).start().await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open(&gateway).await;
    let (_, mut events) = session.stream(&gateway, &slow_call(1)).await;
    let primer = events.next().await.unwrap();
    let mut resumed = session.listen(&gateway, primer.id.as_deref()).await;
    assert_eq!(resumed.message().await.unwrap()["params"]["progress"], 1);
    // The connection of before has nothing more to say: the client reads elsewhere now.
    while let Some(message) = events.message().await {
        assert_eq!(message["params"]["progress"], 1);
    }
    go_on.notify_one();
    assert_eq!(resumed.message().await.unwrap()["params"]["progress"], 2);
    assert_eq!(text_of(&resumed.message().await.unwrap()["result"]), "done");
    assert_eq!(resumed.next().await, None);
}

#[tokio::test]
async fn primes_streams_only_for_the_revision_that_knows_it() {
    let go_on = Arc::new(Notify::new());
    let upstream = slow(&go_on).start().await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open_at(&gateway, "/mcp", "2025-06-18").await;
    let (_, mut events) = session.stream(&gateway, &slow_call(1)).await;
    let first = events.next().await.unwrap();
    assert_eq!(first.json()["params"]["progress"], 1);
    go_on.notify_one();
    // It can be resumed all the same.
    drop(events);
    let mut rest = session.listen(&gateway, first.id.as_deref()).await;
    assert_eq!(rest.message().await.unwrap()["params"]["progress"], 2);
}

#[tokio::test]
async fn does_not_resume_what_it_does_not_keep() {
    let go_on = Arc::new(Notify::new());
    let upstream = slow(&go_on).start().await;
    let gateway = Gateway::before(&upstream.config());
    let (ann, bob) = (Legacy::open(&gateway).await, Legacy::open(&gateway).await);
    let (_, mut events) = ann.stream(&gateway, &slow_call(1)).await;
    let id = events.next().await.unwrap().id.unwrap();
    for (session, id) in [(&ann, "99-1"), (&ann, "nonsense"), (&bob, id.as_str())] {
        let mut headers = session.headers();
        headers.push(("last-event-id", id));
        let response = gateway.send("GET", "/mcp", &headers, b"").await;
        assert_eq!(response.status(), 400, "{id}: {response:?}");
        assert!(response.text().contains("Last-Event-ID"), "{response:?}");
    }
    go_on.notify_one();
}

#[tokio::test]
async fn a_second_get_stream_takes_the_place_of_the_first() {
    let child = Child::new("").await;
    let gateway = Gateway::before(&child.config());
    let session = Legacy::open(&gateway).await;
    let _process = child.started().await;
    let mut first = session.listen(&gateway, None).await;
    assert_eq!(first.next().await.unwrap().comment.as_deref(), Some("open"));
    let mut second = session.listen(&gateway, None).await;
    assert_eq!(second.next().await.unwrap().comment.as_deref(), Some("open"));
    assert_eq!(first.next().await, None);
    assert!(first.is_complete(), "the first stream ends in order");
    drop(first);
    // The one that took over is still the session's: a third sends it away as well.
    let mut third = session.listen(&gateway, None).await;
    assert_eq!(third.next().await.unwrap().comment.as_deref(), Some("open"));
    assert_eq!(second.next().await, None);
    assert_eq!(session.delete(&gateway).await.status(), 204);
    assert_eq!(within("the end of the stream", third.next()).await, None);
}
