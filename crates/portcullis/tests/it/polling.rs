//! Polling of 2025-11-25: a stream whose connection is closed before its end, in order, and the rest of which is fetched.
//! Clients poll the gateway where `limits.poll_after` says so, and the gateway polls servers that want it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::connect::Bridge;
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::http::{Event, Events};
use crate::harness::teller::Kind;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, Teller, Upstream, signal, until};

const CALL: &str = "tools/call";

/// A server that answers a call, as plain JSON, for each permit that there is.
async fn slow(permits: &Arc<Semaphore>) -> Upstream {
    let permits = permits.clone();
    let handle = move |seen: crate::harness::upstream::Seen, answer: crate::harness::Answer| {
        let permits = permits.clone();
        async move {
            permits.acquire().await.unwrap().forget();
            answer.result(text(&seen.rpc["params"]["arguments"].to_string())).await;
        }
    };
    Fake::legacy().on(CALL, handle).start().await
}

/// A gateway that sends its clients away at once, whatever there is to tell them.
fn polling(server: &Value) -> Gateway {
    polling_after("1ms", server)
}

fn polling_after(time: &str, server: &Value) -> Gateway {
    Gateway::start(&json!({"servers": {"x": server}, "limits": {"poll_after": time}}))
}

fn call(id: u64, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": CALL, "params": {"name": "x__echo", "arguments": arguments}})
}

/// All that comes on a connection, which has to end in order.
async fn whole(mut events: Events) -> Vec<Event> {
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        all.push(event);
    }
    assert!(events.is_complete(), "ended in order: {all:?}");
    all
}

fn is_primer(event: &Event) -> bool {
    event.id.is_some() && event.retry.is_some() && event.data.as_deref() == Some("")
}

/// Not an event: only when to come back.
fn is_farewell(event: &Event) -> bool {
    event.id.is_none() && event.data.is_none() && event.retry == Some(500)
}

#[tokio::test]
async fn a_client_is_sent_away_and_comes_back_for_its_answer() {
    let permits = Arc::new(Semaphore::new(0));
    let server = slow(&permits).await;
    let gateway = polling(&server.config());
    let session = Legacy::open(&gateway).await;
    let (_, events) = session.stream(&gateway, &call(7, &json!({"n": 1}))).await;
    let first = whole(events).await;
    assert!(matches!(first.as_slice(), [primer, end] if is_primer(primer) && is_farewell(end)), "{first:?}");
    let last = first[0].id.clone();
    // As long as there is nothing, it is sent away again.
    for _ in 0..2 {
        let again = whole(session.listen(&gateway, last.as_deref()).await).await;
        assert!(matches!(again.as_slice(), [end] if is_farewell(end)), "{again:?}");
    }
    // What comes while nobody listens waits.
    permits.add_permits(1);
    until("the answer", async || metric(&gateway, "portcullis_calls_in_flight{server_id=\"x\"}").await == 0)
        .await;
    for _ in 0..2 {
        let rest = whole(session.listen(&gateway, last.as_deref()).await).await;
        assert_eq!(rest.len(), 1, "{rest:?}");
        assert_eq!((&rest[0].json()["id"], text_of(&rest[0].json()["result"])), (&json!(7), r#"{"n":1}"#));
    }
    assert_eq!(server.count(CALL), 1);
    assert_eq!(server.count("notifications/cancelled"), 0);
}

#[tokio::test]
async fn only_who_knows_polling_has_to_poll() {
    let permits = Arc::new(Semaphore::new(0));
    let server = slow(&permits).await;
    let gateway = polling(&server.config());
    let mut old = Vec::new();
    for revision in ["2025-03-26", "2025-06-18"] {
        let session = Legacy::open_at(&gateway, "/mcp", revision).await;
        let mut connection = gateway.connect().await;
        session.write(&mut connection, &call(1, &json!({}))).await;
        old.push(connection);
    }
    let modern = Modern::new();
    let body = modern.body(CALL, json!({"name": "x__echo", "arguments": {}}));
    let mut connection = gateway.connect().await;
    modern.write(&mut connection, &body, &[]).await;
    old.push(connection);
    server.nth(CALL, 3).await;

    let new = Legacy::open(&gateway).await;
    let (_, events) = new.stream(&gateway, &call(1, &json!({}))).await;
    let first = whole(events).await;
    assert!(is_primer(&first[0]), "{first:?}");
    let again = whole(new.listen(&gateway, first[0].id.as_deref()).await).await;
    assert!(is_farewell(&again[0]), "{again:?}");
    // Meanwhile the others have waited where they asked.
    permits.add_permits(4);
    for connection in &mut old {
        let answer = connection.response().await;
        assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
        assert_eq!(text_of(&answer.json()["result"]), "{}");
    }
}

#[tokio::test]
async fn every_answer_can_be_read_again_where_clients_are_polled() {
    let server = Fake::legacy().start().await;
    let gateway = polling_after("10m", &server.config());
    let session = Legacy::open(&gateway).await;
    for message in [call(1, &json!({"n": 1})), json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})] {
        let (_, events) = session.stream(&gateway, &message).await;
        let events = whole(events).await;
        assert!(is_primer(&events[0]) && events.len() == 2, "{events:?}");
        assert_eq!(events[1].json()["id"], 1);
        let again = whole(session.listen(&gateway, events[0].id.as_deref()).await).await;
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].json(), events[1].json());
    }
    assert_eq!(server.count(CALL), 1);
    // Who takes no stream is not given one.
    assert_eq!(text_of(&without_streams(&session, &gateway).await), "{}");
}

/// What a call of a client gets that takes JSON only.
async fn without_streams(session: &Legacy, gateway: &Gateway) -> Value {
    let mut headers = session.headers();
    headers.retain(|(name, _)| *name != "accept");
    headers.push(("accept", "application/json"));
    let answer = gateway.send("POST", "/mcp", &headers, call(2, &json!({})).to_string().as_bytes()).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()["result"].clone()
}

#[tokio::test]
async fn what_is_asked_while_the_client_is_away_waits_for_it() {
    let child = Child::new(
        r#"
def call(request):
    order()
    handlers[None] = lambda answered: text(request, json.dumps(answered["result"]))
    send({"id": "q", "method": "roots/list"})
handlers["tools/call"] = call
"#,
    )
    .await;
    let gateway = polling(&child.config());
    let (session, mut process) = tokio::join!(
        Legacy::open_with(&gateway, "/mcp", "2025-11-25", json!({"roots": {}})),
        child.started()
    );
    let (_, events) = session.stream(&gateway, &call(1, &json!({}))).await;
    // The call may have a process of its own: whichever it is.
    let mut process = tokio::select! {
        _ = process.message(CALL) => process,
        other = async { let mut other = child.started().await; other.message(CALL).await; other } => other,
    };
    let first = whole(events).await;
    let last = first[0].id.clone();
    process.tell(json!({})).await;
    let mut last_seen = last;
    let question = loop {
        let events = whole(session.listen(&gateway, last_seen.as_deref()).await).await;
        if let Some(question) = events.iter().find(|event| event.data.is_some()) {
            last_seen = question.id.clone();
            break question.json();
        }
    };
    assert_eq!(question["method"], "roots/list");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}});
    assert_eq!(session.send(&gateway, &answer).await.status(), 202);
    let result = loop {
        let events = whole(session.listen(&gateway, last_seen.as_deref()).await).await;
        if let Some(answer) = events.iter().find(|event| event.data.is_some()) {
            break answer.json();
        }
    };
    assert_eq!(text_of(&result["result"]), r#"{"roots": []}"#);
}

#[tokio::test]
async fn the_standalone_stream_is_polled_and_loses_nothing() {
    let mut server = Teller::start(Kind::HttpLegacy).await;
    let gateway = polling(&server.config());
    let session = Legacy::open(&gateway).await;
    let first = whole(session.listen(&gateway, None).await).await;
    assert_eq!(first[0].comment.as_deref(), Some("open"), "{first:?}");
    assert!(is_primer(&first[1]) && is_farewell(first.last().unwrap()), "{first:?}");
    server.change_tools().await;
    let mut last = first[1].id.clone();
    loop {
        let events = whole(session.listen(&gateway, last.as_deref()).await).await;
        assert!(is_farewell(events.last().unwrap()), "{events:?}");
        if let Some(told) = events.iter().find(|event| event.data.is_some()) {
            assert_eq!(told.json()["method"], "notifications/tools/list_changed");
            last = told.id.clone();
            break;
        }
    }
    let after = whole(session.listen(&gateway, last.as_deref()).await).await;
    assert!(after.iter().all(|event| event.data.is_none()), "told once: {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_for_hosts_on_stdio_comes_back_as_often_as_it_takes() {
    let permits = Arc::new(Semaphore::new(0));
    let server = slow(&permits).await;
    let gateway = polling(&server.config());
    let mut bridge = Bridge::start(&gateway, "/mcp");
    bridge.say(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "host", "version": "1"},
    }}));
    assert_eq!(bridge.hear()["id"], 1);
    bridge.say(&call(2, &json!({"n": 2})));
    server.nth(CALL, 1).await;
    let answered = "portcullis_http_responses_total{status=\"200\"}";
    let before = metric(&gateway, answered).await;
    // One of these is of the question itself. More polls than attempts after a connection that broke.
    let mut asked = 0;
    until("eight polls", async || {
        asked += 1;
        metric(&gateway, answered).await >= before + asked + 8
    })
    .await;
    permits.add_permits(1);
    let answer = bridge.hear();
    assert_eq!((&answer["id"], text_of(&answer["result"])), (&json!(2), r#"{"n":2}"#));
    bridge.leave();
}

async fn metric(gateway: &Gateway, name: &str) -> u64 {
    let metrics = gateway.get("/metrics").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

// ---- servers that poll ----

/// A server that sends its client away `times` before it answers, and notes when it was asked. It says these lines, first
/// besides an id, then alone.
async fn busy(times: usize, first: &'static str, then: &'static str) -> (Upstream, Arc<Mutex<Vec<Instant>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (noted, again) = (asked.clone(), asked.clone());
    let polls = Arc::new(AtomicUsize::new(0));
    let call_id = Arc::new(Mutex::new(Value::Null));
    let of_call = call_id.clone();
    let server = Fake::legacy()
        .on(CALL, move |seen, mut answer| {
            *of_call.lock().unwrap() = seen.rpc["id"].clone();
            noted.lock().unwrap().push(Instant::now());
            async move {
                answer.open_stream().await;
                let _ = answer.write(format!("id: 1-0\n{first}data:\n\n").as_bytes()).await;
            }
        })
        .on("GET", move |seen, mut answer| {
            let polls = polls.clone();
            let (again, call_id) = (again.clone(), call_id.clone());
            async move {
                if seen.header("last-event-id") != Some("1-0") {
                    return answer.send(405, &[], b"").await;
                }
                again.lock().unwrap().push(Instant::now());
                answer.open_stream().await;
                let _ = answer.write(format!("{then}\n").as_bytes()).await;
                if polls.fetch_add(1, Ordering::Relaxed) + 1 >= times {
                    answer.id = call_id.lock().unwrap().clone();
                    answer.result_event(text("done")).await;
                }
            }
        })
        .start()
        .await;
    (server, asked)
}

#[tokio::test]
async fn a_server_that_says_when_is_asked_as_often_as_it_takes_and_not_sooner() {
    for (line, least) in [("retry: 150\n", 150), ("retry: 0\n", 100)] {
        let (server, asked) = busy(8, line, "").await;
        let gateway = Gateway::before(&server.config());
        let session = Legacy::open(&gateway).await;
        assert_eq!(text_of(&without_streams(&session, &gateway).await), "done");
        let asked = asked.lock().unwrap().clone();
        assert_eq!(asked.len(), 9, "one call and eight polls");
        for pair in asked.windows(2) {
            assert!(pair[1] - pair[0] >= Duration::from_millis(least), "{line}: {asked:?}");
        }
    }
}

#[tokio::test]
async fn the_time_of_a_call_does_not_run_while_its_server_wants_no_question() {
    let (server, asked) = busy(1, "retry: 1500\n", "").await;
    let mut config = server.config();
    config["call_timeout"] = json!("1s");
    let gateway = Gateway::before(&config);
    let session = Legacy::open(&gateway).await;
    assert_eq!(text_of(&without_streams(&session, &gateway).await), "done");
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_server_whose_stream_just_ends_is_asked_a_few_times() {
    let (server, asked) = busy(100, "", "").await;
    let gateway = Gateway::before(&server.config());
    let session = Legacy::open(&gateway).await;
    assert_eq!(without_streams(&session, &gateway).await["isError"], true);
    assert_eq!(asked.lock().unwrap().len(), 6, "one call and five attempts");
}

#[tokio::test]
async fn polls_that_bring_nothing_are_silence_unless_the_server_says_when_to_come_back() {
    for (then, result) in [("", "gave no answer in time"), ("retry: 200\n", "done")] {
        let (server, asked) = busy(15, "retry: 200\n", then).await;
        let mut config = server.config();
        config["call_timeout"] = json!("2s");
        let gateway = Gateway::before(&config);
        let session = Legacy::open(&gateway).await;
        let answer = without_streams(&session, &gateway).await;
        assert!(text_of(&answer).contains(result), "{answer}");
        // Fifteen take three seconds at least.
        assert_eq!(asked.lock().unwrap().len() == 16, result == "done", "{asked:?}");
    }
}

#[tokio::test]
async fn a_call_whose_server_wants_to_be_polled_later_can_be_cancelled_at_once() {
    let (server, _) = busy(1, "retry: 60000\n", "").await;
    let gateway = Gateway::before(&server.config());
    let session = Legacy::open(&gateway).await;
    let (_, events) = session.stream(&gateway, &call(7, &json!({}))).await;
    let first = whole(events).await;
    assert!(is_primer(&first[0]) && first[1].retry == Some(60_000), "{first:?}");
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}});
    assert_eq!(session.send(&gateway, &cancel).await.status(), 202);
    server.nth("notifications/cancelled", 1).await;
    // The stream ends without an answer, for that is what a cancelled request gets.
    assert_eq!(whole(session.listen(&gateway, first[0].id.as_deref()).await).await, []);
}

// ---- the end of the gateway ----

#[tokio::test]
async fn clients_that_poll_get_their_answers_before_the_gateway_ends() {
    let permits = Arc::new(Semaphore::new(0));
    let server = slow(&permits).await;
    let limits = json!({"poll_after": "1ms", "keep_alive_interval": "50ms"});
    let mut gateway = Gateway::start(&json!({"servers": {"x": server.config()}, "limits": limits}));
    let session = Legacy::open(&gateway).await;
    let (_, events) = session.stream(&gateway, &call(7, &json!({"n": 1}))).await;
    let last = whole(events).await[0].id.clone();
    // Nobody is connected now.
    signal(gateway.pid(), Signal::TERM);
    gateway.logged("stopping: running calls may end").await;
    let mut staying = session.listen(&gateway, last.as_deref()).await;
    for _ in 0..3 {
        // Nobody is sent away any more.
        assert_eq!(staying.next().await.unwrap().comment.as_deref(), Some("keep-alive"));
    }
    drop(staying);
    permits.add_permits(1);
    until("the answer", async || metric(&gateway, "portcullis_calls_in_flight{server_id=\"x\"}").await == 0)
        .await;
    let rest = whole(session.listen(&gateway, last.as_deref()).await).await;
    assert_eq!(text_of(&rest.last().unwrap().json()["result"]), r#"{"n":1}"#);
    assert!(gateway.process().wait().unwrap().success());
    assert!(!gateway.log().contains("did not end in time"), "{}", gateway.log());
}
