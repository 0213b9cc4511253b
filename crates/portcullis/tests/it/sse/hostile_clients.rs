//! What a client of this transport can try: other people's sessions, too much of everything, and not reading.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{CALL, call, sessions};
use crate::harness::client::initialize;
use crate::harness::fake::text;
use crate::harness::gateway::JSON;
use crate::harness::pki::{Authority, Identity};
use crate::harness::secure::{Client, Offer};
use crate::harness::{Answer, Fake, Gateway, Legacy, SseClient, Upstream, until, within};

const MOST: usize = 48 << 20;

async fn gateway(limits: Value) -> (Gateway, Upstream) {
    let upstream = Fake::legacy().start().await;
    let config = json!({"servers": {"x": upstream.config(), "y": upstream.config()}, "limits": limits});
    (Gateway::start(&config), upstream)
}

fn ping() -> Vec<u8> {
    json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string().into_bytes()
}

#[tokio::test]
async fn a_session_is_good_for_its_own_stream_and_endpoint() {
    let (gateway, _upstream) = gateway(json!({})).await;
    let client = SseClient::open(&gateway, "2024-11-05").await;
    let id = client.address.rsplit('=').next().unwrap();
    let streamable = Legacy::open(&gateway).await;
    for address in [
        format!("/s/x/messages?sessionId={id}"),
        format!("/messages?sessionId={}", streamable.session),
        "/messages?sessionId=AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
        "/messages?sessionId=".to_owned(),
        format!("/messages?sessionId={}", "A".repeat(4000)),
        format!("/messages?sessionId=x&sessionId={id}"),
    ] {
        let answer = gateway.send("POST", &address, &JSON, &ping()).await;
        let reason = answer.json()["error"]["data"]["reason"].clone();
        assert_eq!((answer.status(), reason), (404, json!("unknown_session")), "{address:.60}");
    }
    for address in ["/messages", "/messages?", "/messages?session_id=x", "/messages?sessionId"] {
        let answer = gateway.send("POST", address, &JSON, &ping()).await;
        let reason = answer.json()["error"]["data"]["reason"].clone();
        assert_eq!((answer.status(), reason), (400, json!("session_required")), "{address}");
    }
    let mut headers = JSON.to_vec();
    headers.push(("mcp-session-id", id));
    assert_eq!(gateway.send("POST", "/mcp", &headers, &ping()).await.status(), 404);
    // None of this has harmed the session.
    assert_eq!(
        client.post(&gateway, &json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await.status(),
        202
    );
}

#[tokio::test]
async fn a_session_belongs_to_the_certificate_that_opened_its_stream() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let mut tls = ca.issue("localhost").write(folder.path(), "own");
    tls["client_ca"] = json!(clients.write(folder.path(), "clients.pem"));
    let upstream = Fake::legacy().start().await;
    let config = json!({"tls": tls, "servers": {"x": upstream.config()}});
    let gateway = Gateway::start_in(folder, &config, &[]);
    let connect = async |identity: &Identity, offer| {
        Client::tls(gateway.address, ca.client(Some(identity)), offer).await.unwrap()
    };
    let (ann, bob) = (clients.issue("same-name"), clients.issue("same-name"));
    for offer in [Offer::H1, Offer::H2] {
        let mut stream = connect(&ann, offer).await;
        let accept = [("accept", "text/event-stream")];
        let answer = stream.open("GET", "/sse", &accept, String::new()).await.unwrap();
        let mut body = answer.into_body();
        let first =
            within("the first event", http_body_util::BodyExt::frame(&mut body)).await.unwrap().unwrap();
        let first = String::from_utf8(first.into_data().unwrap().to_vec()).unwrap();
        let address = first.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
        let message = initialize("2024-11-05").to_string();
        let stolen = connect(&bob, offer).await.send("POST", address, &JSON, message.clone()).await.unwrap();
        assert_eq!(stolen.status, 404, "{offer:?}: {:?}", stolen.body);
        let own = connect(&ann, offer).await.send("POST", address, &JSON, message).await.unwrap();
        assert_eq!(own.status, 202, "{offer:?}: {:?}", own.body);
        let told = within("the answer", http_body_util::BodyExt::frame(&mut body)).await.unwrap().unwrap();
        let told = String::from_utf8(told.into_data().unwrap().to_vec()).unwrap();
        assert!(told.contains("2024-11-05"), "{told}");
    }
}

#[tokio::test]
async fn what_is_no_message_of_this_transport_is_refused_in_words() {
    let (gateway, _upstream) = gateway(json!({"body_bytes": 4096})).await;
    let client = SseClient::open(&gateway, "2024-11-05").await;
    let long = format!("\"{}\"", "x".repeat(5000));
    for (headers, body, status) in [
        (&JSON[..], "{", 400),
        (&JSON[..], "7", 400),
        (&JSON[..], "[", 400),
        (&JSON[..], r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, 400),
        (&JSON[..], long.as_str(), 413),
        (&[("content-type", "text/plain")][..], r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, 415),
        (&[("content-type", "application/json"), ("origin", "http://evil.example")][..], "{}", 403),
        (&[("content-type", "application/json"), ("host", "evil.example")][..], "{}", 403),
    ] {
        let answer = gateway.send("POST", &client.address, headers, body.as_bytes()).await;
        assert_eq!(answer.status(), status, "{body:.40}: {answer:?}");
        assert!(answer.json()["error"]["message"].is_string(), "{answer:?}");
    }
    for (verb, path, headers, status) in [
        ("POST", "/sse", &JSON[..], 405),
        ("DELETE", "/sse", &[][..], 405),
        ("GET", "/messages", &[][..], 405),
        ("GET", "/sse", &[("accept", "application/json")][..], 406),
        ("GET", "/sse", &[("origin", "http://evil.example")][..], 403),
        ("GET", "/sse", &[("host", "evil.example")][..], 403),
        ("GET", "/s/nobody/sse", &[][..], 404),
        ("GET", "/s/x", &[][..], 404),
        ("GET", "/s/sse", &[][..], 404),
        ("GET", "/x/sse", &[][..], 404),
    ] {
        let answer = gateway.send(verb, path, headers, b"{}").await;
        assert_eq!(answer.status(), status, "{verb} {path}: {answer:?}");
    }
    // A page of this machine may.
    let mut connection = gateway.connect().await;
    connection.request("GET", "/sse", &[("origin", "http://localhost:5173")], b"").await;
    let head = connection.head().await.unwrap();
    assert_eq!(
        (head.status, head.header("access-control-allow-origin")),
        (200, Some("http://localhost:5173"))
    );
}

#[tokio::test]
async fn streams_and_sessions_and_calls_are_limited() {
    let upstream =
        Fake::modern().on(CALL, |_, mut answer: Answer| async move { answer.closed().await }).start().await;
    let limits = json!({"sessions": 2, "concurrent_per_client": 2});
    let gateway = Gateway::start(&json!({"servers": {"x": upstream.config()}, "limits": limits}));
    let mut first = SseClient::open(&gateway, "2024-11-05").await;
    let second = SseClient::connect(&gateway, "/sse").await;
    let third = gateway.get("/sse").await;
    assert_eq!((third.status(), third.header("retry-after")), (503, Some("1")), "{third:?}");
    for id in 1..=2 {
        first.post(&gateway, &call(id, "x__echo", &json!({}))).await;
        upstream.nth(CALL, usize::try_from(id).unwrap()).await;
    }
    let refused = first.request(&gateway, 3, CALL, json!({"name": "x__echo"})).await;
    assert_eq!(refused["error"]["data"]["reason"], "too_many_requests");
    let again = first.request(&gateway, 1, CALL, json!({"name": "x__echo"})).await;
    assert_eq!(again["error"]["code"], -32600, "an id under way is not taken twice");
    drop(second);
    until("the place of a stream that was closed", async || {
        let mut connection = gateway.connect().await;
        connection.request("GET", "/sse", &[], b"").await;
        connection.head().await.unwrap().status == 200
    })
    .await;
}

#[tokio::test]
async fn who_opens_a_stream_and_says_nothing_is_not_kept() {
    let (gateway, _upstream) = gateway(json!({"session_idle": "200ms"})).await;
    let mut silent = SseClient::connect(&gateway, "/sse").await;
    let mut speaking = SseClient::open(&gateway, "2024-11-05").await;
    assert_eq!(silent.next().await, None);
    // Whoever has a session and reads is there.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(speaking.request(&gateway, 1, "ping", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_left_and_costs_no_memory() {
    let ended = Arc::new(Notify::new());
    let left = ended.clone();
    let upstream = Fake::modern()
        .on(CALL, move |seen, mut answer: Answer| {
            let left = left.clone();
            async move {
                let big = seen.rpc["params"]["arguments"]["big"].as_bool() == Some(true);
                if big {
                    answer.result(text(&"x".repeat(1 << 20))).await;
                } else {
                    answer.open_stream().await;
                    answer.closed().await;
                    left.notify_one();
                }
            }
        })
        .start()
        .await;
    let limits = json!({"keep_alive_interval": "1s"});
    let gateway = Gateway::start(&json!({"servers": {"x": upstream.config()}, "limits": limits}));
    let client = SseClient::open(&gateway, "2024-11-05").await;
    let before = gateway.memory();
    client.post(&gateway, &call(1, "x__echo", &json!({}))).await;
    upstream.nth(CALL, 1).await;
    let mut refused = 0;
    for id in 2..300 {
        let answer = client.post(&gateway, &call(id, "x__echo", &json!({"big": true}))).await;
        refused += usize::from(answer.status() == 429);
        assert!(matches!(answer.status(), 202 | 429 | 404), "{answer:?}");
    }
    assert!(refused > 100, "it has to read before it may ask for more, and was refused {refused} times only");
    // Its calls end with it.
    within("the end of the call", ended.notified()).await;
    until("the end of the session", async || sessions(&gateway).await == 0).await;
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains("portcullis_streams 0\n"), "the connection is closed as well: {metrics}");
    let held = gateway.memory().peak.saturating_sub(before.now);
    assert!(held < 2 * MOST, "{held} bytes for calls that would have brought 300 MB; {refused} were refused");
    drop(client);
}

#[tokio::test]
async fn small_answers_do_not_pile_up_before_a_client_that_does_not_read() {
    let (gateway, _upstream) = gateway(json!({"keep_alive_interval": "500ms"})).await;
    let client = SseClient::open(&gateway, "2024-11-05").await;
    let before = gateway.memory();
    let mut statuses = [0; 3];
    let id = "y".repeat(30_000);
    for _ in 0..3000 {
        let ping = json!({"jsonrpc": "2.0", "id": id, "method": "ping"}).to_string();
        match gateway.send("POST", &client.address, &JSON, ping.as_bytes()).await.status() {
            202 => statuses[0] += 1,
            429 => statuses[1] += 1,
            404 => statuses[2] += 1,
            other => panic!("{other}"),
        }
        if statuses[2] > 0 {
            break;
        }
    }
    assert!(
        statuses[1] + statuses[2] > 0,
        "90 MB were taken in for a client that reads nothing: {statuses:?}"
    );
    let held = gateway.memory().peak.saturating_sub(before.now);
    assert!(held < MOST, "{held} bytes: {statuses:?}");
}

#[tokio::test]
async fn a_client_that_closes_its_half_has_left() {
    let (gateway, _upstream) = gateway(json!({})).await;
    let mut client = SseClient::open(&gateway, "2024-11-05").await;
    assert_eq!(sessions(&gateway).await, 1);
    client.events.close_half().await;
    until("the end of the session", async || sessions(&gateway).await == 0).await;
    assert_eq!(client.next().await, None);
}
