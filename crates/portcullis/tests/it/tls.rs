//! TLS at both ends: on the listener, with and without client certificates, and toward servers.

use std::path::Path;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::harness::pki::{Authority, Identity};
use crate::harness::secure::{Client, Front, Offer};
use crate::harness::{Fake, Gateway, Modern, Upstream, client, signal, until, within};

/// A listener with a certificate for `localhost`.
struct Listener {
    ca: Authority,
    gateway: Gateway,
    _upstream: Upstream,
}

async fn listener(client_ca: Option<&Authority>) -> Listener {
    let ca = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let mut tls = ca.issue("localhost").write(folder.path(), "own");
    if let Some(client_ca) = client_ca {
        tls["client_ca"] = json!(client_ca.write(folder.path(), "clients.pem"));
    }
    let upstream = Fake::modern().start().await;
    let config = json!({"tls": tls, "servers": {"x": upstream.config()}});
    Listener { ca, gateway: Gateway::start_in(folder, &config, &[]), _upstream: upstream }
}

#[tokio::test]
async fn serves_both_versions_of_http_over_tls() {
    let listener = listener(None).await;
    for offer in [Offer::H1, Offer::H2] {
        let config = listener.ca.client(None);
        let mut client = Client::tls(listener.gateway.address, config, offer).await.unwrap();
        assert_eq!(client.call("x__echo", json!({"n": 1})).await, r#"{"n":1}"#, "{offer:?}");
        let session = client.session().await;
        let answered = client.in_session(&session, &ping()).await.unwrap();
        assert_eq!(answered.body["result"], json!({}), "{offer:?}");
    }
}

#[tokio::test]
async fn refuses_clear_text_on_a_tls_listener() {
    let listener = listener(None).await;
    let mut connection = listener.gateway.connect().await;
    connection.request("GET", "/healthz", &[], b"").await;
    assert!(connection.head().await.is_none_or(|head| head.status >= 400));
}

#[tokio::test]
async fn admits_only_clients_with_a_certificate_of_the_client_ca() {
    let (clients, strangers) = (Authority::new(), Authority::new());
    let listener = listener(Some(&clients)).await;
    let known = clients.issue("known");
    let unknown = strangers.issue("known");
    for (identity, admitted) in [(Some(&known), true), (Some(&unknown), false), (None, false)] {
        for offer in [Offer::H1, Offer::H2] {
            let config = listener.ca.client(identity);
            let connected = Client::tls(listener.gateway.address, config, offer).await;
            let answered = match connected {
                Ok(mut client) => client.modern("tools/list", json!({})).await.is_ok(),
                Err(_) => false,
            };
            assert_eq!(answered, admitted, "{offer:?}");
        }
    }
}

#[tokio::test]
async fn what_a_server_writes_to_stderr_is_not_for_callers_with_certificates() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let mut tls = ca.issue("localhost").write(folder.path(), "own");
    tls["client_ca"] = json!(clients.write(folder.path(), "clients.pem"));
    let server = json!({"command": "sh", "args": ["-c", "echo no licence in /home/ann >&2; exit 3"]});
    // Whether or not those of the same machine need one as well.
    for anonymous in ["deny", "allow"] {
        stderr_is_not_quoted(&ca, &clients, anonymous, &tls, &server).await;
    }
}

async fn stderr_is_not_quoted(
    ca: &Authority,
    clients: &Authority,
    anonymous: &str,
    tls: &serde_json::Value,
    server: &serde_json::Value,
) {
    let config = json!({
        "tls": tls, "identity": {"anonymous": anonymous}, "servers": {"x": server}, "telemetry": {"log": {"filter": "info"}},
    });
    let gateway = Gateway::start(&config);
    let ann = clients.issue("ann");
    let mut client = Client::tls(gateway.address, ca.client(Some(&ann)), Offer::H1).await.unwrap();
    let lists = client.modern("resources/read", json!({"uri": "mcp+x+file:///a"})).await.unwrap();
    let ready = client.send("GET", "/readyz", &[], String::new()).await.unwrap().body;
    assert_eq!(ready["servers"]["x"]["state"], "down");
    for said in [lists.body.to_string(), ready.to_string()] {
        assert!(said.contains("exit code 3; what it wrote to stderr is in the log"), "{said}");
        assert!(!said.contains("licence"), "{said}");
    }
    gateway.logged("no licence in /home/ann").await;
}

#[tokio::test]
async fn binds_sessions_to_the_certificate_that_opened_them() {
    let clients = Authority::new();
    let listener = listener(Some(&clients)).await;
    let connect = async |identity: &Identity| {
        let config = listener.ca.client(Some(identity));
        Client::tls(listener.gateway.address, config, Offer::H1).await.unwrap()
    };
    let (ann, bob) = (clients.issue("same-name"), clients.issue("same-name"));
    let session = connect(&ann).await.session().await;
    let of_ann = connect(&ann).await.in_session(&session, &ping()).await.unwrap();
    assert_eq!((of_ann.status, &of_ann.body["result"]), (200, &json!({})));
    let of_bob = connect(&bob).await.in_session(&session, &ping()).await.unwrap();
    assert_eq!(of_bob.status, 404, "{of_bob:?}");
    let deleted =
        connect(&bob).await.send("DELETE", "/mcp", &[("mcp-session-id", &session)], String::new()).await;
    assert_eq!(deleted.unwrap().status, 404);
    assert_eq!(connect(&ann).await.in_session(&session, &ping()).await.unwrap().status, 200);
}

#[tokio::test]
async fn takes_up_renewed_certificates_and_keeps_open_connections() {
    let listener = listener(None).await;
    let gateway = &listener.gateway;
    let connect = async || {
        let connecting = Client::tls(gateway.address, listener.ca.client(None), Offer::H1);
        let client = Box::pin(connecting).await.unwrap();
        (client.peer.clone().unwrap(), client)
    };
    let (first, mut old) = connect().await;
    let session = old.session().await;
    let (_, mut listening) = connect().await;
    let headers = [("accept", "text/event-stream"), ("mcp-session-id", session.as_str())];
    let mut stream = listening.open("GET", "/mcp", &headers, String::new()).await.unwrap().into_body();
    within("the stream's first bytes", stream.frame()).await.unwrap().unwrap();

    let renewed = listener.ca.issue("localhost");
    renewed.write(gateway.folder(), "own");
    signal(gateway.pid(), rustix::process::Signal::HUP);
    until("the new certificate", async || connect().await.0 == renewed.der()).await;
    assert_ne!(first, renewed.der());

    // The connections of before go on, under the certificate of before.
    assert_eq!(old.in_session(&session, &ping()).await.unwrap().status, 200);
    let deleted = old.send("DELETE", "/mcp", &[("mcp-session-id", &session)], String::new()).await.unwrap();
    assert_eq!(deleted.status, 204);
    while let Some(frame) = within("the end of the stream", stream.frame()).await {
        frame.expect("the stream ends in order");
    }
}

#[tokio::test]
async fn keeps_the_certificate_when_the_new_one_is_broken() {
    let listener = listener(None).await;
    std::fs::write(listener.gateway.folder().join("own.pem"), "no certificate at all").unwrap();
    listener.gateway.logged("the listener keeps its old certificate").await;
    let mut client =
        Client::tls(listener.gateway.address, listener.ca.client(None), Offer::H2).await.unwrap();
    assert_eq!(client.call("x__echo", json!({})).await, "{}");
}

#[tokio::test]
async fn serves_http2_with_prior_knowledge_in_clear_text() {
    let upstream = Fake::modern().start().await;
    let gateway = Gateway::before(&upstream.config());
    let mut client = Client::h2c(gateway.address).await;
    assert_eq!(client.call("x__echo", json!({"a": [1]})).await, r#"{"a":[1]}"#);
    assert_eq!(client.send("GET", "/healthz", &[], String::new()).await.unwrap().status, 200);
}

#[tokio::test]
async fn carries_calls_of_one_http2_connection_at_once() {
    const CALLS: usize = 20;
    let all_there = std::sync::Arc::new(tokio::sync::Barrier::new(CALLS));
    let upstream = Fake::modern()
        .on("tools/call", move |seen, answer| {
            let all_there = all_there.clone();
            async move {
                all_there.wait().await;
                answer.result(json!({"content": [{"type": "text", "text": seen.rpc["params"]["arguments"].to_string()}]})).await;
            }
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Client::h2c(gateway.address).await;
    let calls = (0..CALLS).map(|n| {
        let mut client = client.twin();
        tokio::spawn(async move { (n, client.call("x__echo", json!({"n": n})).await) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (n, text) = call.await.unwrap();
        assert_eq!(text, json!({"n": n}).to_string());
    }
}

// ---- toward servers ----

/// A gateway before a server behind TLS.
struct Behind {
    gateway: Gateway,
    _front: Front,
    _upstream: Upstream,
}

/// The server's certificate is for `name`, its URL says `localhost`, and `tls` says what the gateway makes of it.
async fn behind(name: &str, tls: impl FnOnce(&Authority, &Path) -> Value) -> Behind {
    let (ca, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let upstream = Fake::modern().start().await;
    let front = Front::before(&upstream, ca.issue(name).server()).await;
    let tls = tls(&ca, folder.path());
    let config = json!({"servers": {"x": {"url": front.url("localhost"), "tls": tls}}});
    Behind { gateway: Gateway::start_in(folder, &config, &[]), _front: front, _upstream: upstream }
}

async fn echo(gateway: &Gateway) -> Value {
    Modern::new().call(gateway, "x__echo", json!({"n": 1})).await
}

#[tokio::test]
async fn trusts_the_authority_that_the_configuration_names() {
    let behind = behind("localhost", |ca, folder| json!({"ca": ca.write(folder, "ca.pem")})).await;
    assert_eq!(client::text_of(&echo(&behind.gateway).await), r#"{"n":1}"#);
}

#[tokio::test]
async fn refuses_a_server_of_another_authority_and_says_why() {
    let behind =
        behind("localhost", |_, folder| json!({"ca": Authority::new().write(folder, "ca.pem")})).await;
    let gateway = &behind.gateway;
    let result = Modern::at("/mcp/s/x").request(gateway, "tools/list", json!({})).await;
    let text = result.text();
    assert!(text.contains("server `x`") && text.contains("certificate"), "{text}");
    assert!(text.contains("UnknownIssuer") && text.contains("`tls.ca`"), "{text}");
    let down = &gateway.ready().await["servers"]["x"];
    assert_eq!(down["state"], "down", "{down}");
    assert!(down["reason"].as_str().unwrap().contains("certificate"), "{down}");
}

#[tokio::test]
async fn refuses_a_certificate_for_another_name() {
    let behind = behind("elsewhere.example", |ca, folder| json!({"ca": ca.write(folder, "ca.pem")})).await;
    let text = Modern::at("/mcp/s/x").request(&behind.gateway, "tools/list", json!({})).await.text();
    assert!(text.contains("elsewhere.example") && text.contains("`tls.server_name`"), "{text}");
}

#[tokio::test]
async fn expects_the_name_that_server_name_says() {
    let behind = behind(
        "elsewhere.example",
        |ca, folder| json!({"ca": ca.write(folder, "ca.pem"), "server_name": "elsewhere.example"}),
    );
    let behind = behind.await;
    assert_eq!(client::text_of(&echo(&behind.gateway).await), r#"{"n":1}"#);
}

#[tokio::test]
async fn verify_false_takes_any_certificate() {
    let behind = behind("elsewhere.example", |_, _| json!({"verify": false})).await;
    assert_eq!(client::text_of(&echo(&behind.gateway).await), r#"{"n":1}"#);
}

#[tokio::test]
async fn shows_its_client_certificate_to_a_server() {
    let ca = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let upstream = Fake::legacy().start().await;
    let mut front = Front::before(&upstream, ca.server_for_own(&ca.issue("localhost"))).await;
    let own = ca.issue("gateway");
    let mut tls = own.write(folder.path(), "gateway");
    tls["ca"] = json!(ca.write(folder.path(), "ca.pem"));
    let config = json!({"servers": {
        "x": {"url": front.url("localhost"), "tls": tls},
        "nobody": {"url": front.url("localhost"), "tls": {"ca": tls["ca"]}},
    }});
    let gateway = Gateway::start_in(folder, &config, &[]);
    assert_eq!(client::text_of(&echo(&gateway).await), r#"{"n":1}"#);
    assert_eq!(front.clients.recv().await.unwrap(), Some(own.der()));
    let refused = Modern::at("/mcp/s/nobody").request(&gateway, "tools/list", json!({})).await.text();
    assert!(refused.contains("server `nobody`") && refused.contains("ertificate"), "{refused}");
}

#[tokio::test]
async fn shows_a_renewed_client_certificate_after_a_reload() {
    let ca = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let upstream = Fake::modern().start().await;
    let mut front = Front::before(&upstream, ca.server_for_own(&ca.issue("localhost"))).await;
    let first = ca.issue("gateway");
    let mut tls = first.write(folder.path(), "gateway");
    tls["ca"] = json!(ca.write(folder.path(), "ca.pem"));
    let config = json!({"servers": {"x": {"url": front.url("localhost"), "tls": tls}}});
    let gateway = Gateway::start_in(folder, &config, &[]);
    assert_eq!(client::text_of(&echo(&gateway).await), r#"{"n":1}"#);
    assert_eq!(front.clients.recv().await.unwrap(), Some(first.der()));
    let second = ca.issue("gateway");
    second.write(gateway.folder(), "gateway");
    // By itself: the files that the configuration names are watched like itself.
    gateway.logged("took up the configuration").await;
    assert_eq!(client::text_of(&echo(&gateway).await), r#"{"n":1}"#);
    until("the new certificate", || {
        let is_new = front.clients.try_recv().is_ok_and(|seen| seen == Some(second.der()));
        async move { is_new }
    })
    .await;
}

// ---- who may be reached from the network ----

#[tokio::test]
async fn serves_the_network_to_clients_with_certificates_only() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let mut tls = ca.issue("localhost").write(folder.path(), "own");
    tls["client_ca"] = json!(clients.write(folder.path(), "clients.pem"));
    let upstream = Fake::modern().start().await;
    let config = json!({"listen": "0.0.0.0:0", "tls": tls, "servers": {"x": upstream.config()}});
    let gateway = Gateway::start_in(folder, &config, &[]);
    let address = ([127, 0, 0, 1], gateway.address.port()).into();
    let config = ca.client(Some(&clients.issue("ann")));
    let mut client = Client::tls(address, config, Offer::H2).await.unwrap();
    assert_eq!(client.call("x__echo", json!({"n": 1})).await, r#"{"n":1}"#);
}

fn ping() -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": "ping"})
}
