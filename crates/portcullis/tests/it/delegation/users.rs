//! Each user is called for with a token of their own.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::evidence;
use crate::harness::Answer;
use crate::harness::authority::field;
use crate::harness::teller::SUBSCRIPTION_ID;
use crate::harness::until;

struct Scene {
    idp: Idp,
    authority: Authority,
    server: Upstream,
    gateway: Gateway,
}

impl Scene {
    async fn with(fake: Fake, credentials: impl FnOnce(&Authority) -> Value) -> Self {
        let (idp, authority) = (Idp::start().await, Authority::start().await);
        let server = guarded(fake).start().await;
        let mut entry = server.config();
        entry["credentials"] = credentials(&authority);
        let gateway = Gateway::start(&idp.config(&entry));
        Self { idp, authority, server, gateway }
    }

    async fn ask(&self, subject: &str, method: &str, params: Value) -> Response {
        let authorization = format!("Bearer {}", self.idp.token(subject));
        let headers = [("authorization", authorization.as_str())];
        Modern::new().request_with(&self.gateway, method, params, &headers).await
    }

    async fn call(&self, subject: &str) -> Response {
        self.ask(subject, "tools/call", json!({"name": "x__echo", "arguments": {}})).await
    }
}

fn exchange(authority: &Authority) -> Value {
    json!({
        "kind": "token-exchange", "issuer": authority.issuer, "client_id": "gw", "client_secret": "s",
        "mode": "impersonation",
    })
}

#[tokio::test]
async fn each_user_has_a_token_a_session_and_lists_of_their_own() {
    for fake in [Fake::modern(), Fake::legacy()] {
        let scene = Scene::with(fake, exchange).await;
        for _ in 0..3 {
            for subject in ["ada", "bob"] {
                let answer = scene.call(subject).await;
                assert!(result_of(&answer)["content"].is_array(), "{answer:?}");
                let listed = scene.ask(subject, "tools/list", json!({})).await;
                assert_eq!(names(&listed), ["x__echo".to_owned(), format!("x__of-at-{subject}")]);
                assert_eq!(result_of(&listed)["cacheScope"], "private");
            }
        }
        assert_eq!(shown(&scene.server), ["Bearer at-ada", "Bearer at-bob"]);
        assert_eq!(
            scene.authority.grants("token-exchange").len(),
            2,
            "one exchange for each, whatever is called"
        );
        let sessions = scene.server.count("initialize");
        assert!(sessions == 0 || sessions == 2, "{sessions} sessions");
        // What belongs to one is not there for the other.
        let params = json!({"name": "x__of-at-ada", "arguments": {}});
        let answer = scene.ask("bob", "tools/call", params).await.json();
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}

#[tokio::test]
async fn a_callers_token_goes_to_the_token_endpoint_and_to_no_server() {
    let scene = Scene::with(Fake::modern(), exchange).await;
    scene.call("ada").await;
    let grant = scene.authority.grants("token-exchange").remove(0);
    let token = field(&grant, "subject_token").unwrap();
    // Signed anew for each call, a second later with another time in it.
    let (start, _) = token.rsplit_once('.').unwrap();
    let of_ada = scene.idp.token("ada");
    assert_eq!(start.split_once('.').unwrap().0, of_ada.split_once('.').unwrap().0);
    for seen in scene.server.seen() {
        assert!(
            !format!("{:?}", seen.headers).contains(start)
                && !String::from_utf8_lossy(&seen.body).contains(start)
        );
    }
    assert!(!scene.gateway.log().contains(start));
}

#[tokio::test]
async fn whoever_is_no_user_has_no_token_to_exchange_and_is_told_so() {
    let (authority, server) = (Authority::start().await, guarded(Fake::modern()).start().await);
    let mut entry = server.config();
    entry["credentials"] = exchange(&authority);
    let gateway = Gateway::before(&entry);
    let params = json!({"name": "echo", "arguments": {}});
    let answer = Modern::at("/mcp/s/x").result(&gateway, "tools/call", params).await;
    assert!(answer["isError"] == true && answer.to_string().contains("presented none"), "{answer}");
    assert!(server.seen().iter().all(|seen| seen.rpc.is_null()), "nothing is sent without");
}

#[tokio::test]
async fn the_gateway_calls_as_itself_with_one_token_for_all() {
    let credentials = |authority: &Authority| json!({"kind": "client-credentials", "issuer": authority.issuer, "client_id": "gw", "client_secret": "s"});
    let scene = Scene::with(Fake::modern(), credentials).await;
    for subject in ["ada", "bob", "ada"] {
        result_of(&scene.call(subject).await);
    }
    let listed = scene.ask("ada", "tools/list", json!({})).await;
    assert_eq!(names(&listed), ["x__echo", "x__of-at-gateway"]);
    assert_eq!(shown(&scene.server), ["Bearer at-gateway"]);
    assert_eq!(scene.authority.grants("client_credentials").len(), 1);
}

#[tokio::test]
async fn a_secret_that_does_not_change_is_sent_where_it_belongs() {
    for (credentials, name, value) in [
        (json!({"kind": "static", "token": "s3cret"}), "authorization", "Bearer s3cret"),
        (json!({"kind": "static", "header": "X-Api-Key", "value": "s3cret"}), "x-api-key", "s3cret"),
    ] {
        let server = Fake::modern().start().await;
        let mut entry = server.config();
        entry["credentials"] = credentials;
        let gateway = Gateway::before(&entry);
        let params = json!({"name": "x__echo", "arguments": {}});
        result_of(&Modern::new().request(&gateway, "tools/call", params).await);
        assert!(server.seen().iter().all(|seen| seen.header(name) == Some(value)));
        assert!(!gateway.log().contains("s3cret"));
    }
}

#[tokio::test]
async fn a_server_that_trusts_the_gateway_is_told_who_calls_and_can_check_it() {
    let idp = Idp::start().await;
    let server = Fake::modern().start().await;
    let mut entry = server.config();
    entry["credentials"] = json!({"kind": "assertion", "audience": "urn:ledger"});
    let gateway = Gateway::start(&idp.config(&entry));
    let authorization = format!("Bearer {}", idp.token("ada"));
    let headers = [("authorization", authorization.as_str())];
    let params = json!({"name": "x__echo", "arguments": {}});
    result_of(&Modern::new().request_with(&gateway, "tools/call", params, &headers).await);
    let call = server.nth("tools/call", 1).await;
    let token = call.header("authorization").unwrap().strip_prefix("Bearer ").unwrap().to_owned();
    let part = |index: usize| -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let claims = part(1);
    assert_eq!(claims["sub"], json!(format!("user:{}#ada", idp.issuer)));
    assert_eq!((&claims["aud"], &claims["iss"]), (&json!("urn:ledger"), &json!("https://mcp.example.com")));
    let keys = gateway.get("/.well-known/jwks.json").await.json();
    assert_eq!(keys["keys"][0]["kid"], part(0)["kid"]);
    assert!(keys["keys"][0].get("d").is_none(), "{keys}");
    assert_ne!(token, idp.token("ada"));
}

#[tokio::test]
async fn what_was_got_for_a_token_that_may_do_more_is_not_used_for_one_that_may_do_less() {
    let scene = Scene::with(Fake::legacy(), exchange).await;
    let call = async |scope: &str| {
        let token = scene.idp.token_with("ada", &json!({"scope": scope, "jti": scope}));
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str())];
        let params = json!({"name": "x__echo", "arguments": {}});
        result_of(&Modern::new().request_with(&scene.gateway, "tools/call", params, &headers).await);
        scene.server.seen().last().unwrap().header("authorization").unwrap().to_owned()
    };
    assert_eq!(call("admin mcp").await, "Bearer at-ada-admin-mcp");
    assert_eq!(call("mcp").await, "Bearer at-ada", "by her weaker token, in a session of its own");
    assert_eq!(call("mcp admin").await, "Bearer at-ada-admin-mcp");
    assert_eq!(scene.authority.grants("token-exchange").len(), 2);
    assert_eq!(scene.server.count("initialize"), 2);
}

/// What a server says to one of those who listen, by the token that they show.
type Bell = tokio::sync::broadcast::Sender<(String, String)>;

/// A server that tells each user of changes of their own lists.
fn telling(bell: &Bell) -> Fake {
    let bell = bell.clone();
    let mut fake = Fake::modern();
    fake.capabilities = json!({"tools": {"listChanged": true}, "prompts": {"listChanged": true}});
    fake.on("subscriptions/listen", move |seen, mut answer| {
        let (mut heard, token) = (bell.subscribe(), seen.header("authorization").unwrap().to_owned());
        async move {
            let stamp = json!({SUBSCRIPTION_ID: answer.id});
            answer.open_stream().await;
            let params = json!({"_meta": stamp, "notifications": seen.rpc["params"]["notifications"]});
            let first = "notifications/subscriptions/acknowledged";
            answer.event(&json!({"jsonrpc": "2.0", "method": first, "params": params})).await;
            loop {
                let (whose, method) = tokio::select! {
                    Ok(told) = heard.recv() => told,
                    () = answer.closed() => return,
                };
                if whose == token {
                    let params = json!({"_meta": stamp});
                    answer.event(&json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
                }
            }
        }
    })
}

#[tokio::test]
async fn a_change_that_one_user_hears_of_is_nobody_elses() {
    let (bell, _) = tokio::sync::broadcast::channel(16);
    let scene = Scene::with(telling(&bell), exchange).await;
    let listing = json!({"notifications": {"toolsListChanged": true, "promptsListChanged": true}});
    let mut streams = Vec::new();
    for subject in ["ada", "bob"] {
        scene.ask(subject, "tools/list", json!({})).await;
        let authorization = format!("Bearer {}", scene.idp.token(subject));
        let client = Modern::new();
        let mut connection = scene.gateway.connect().await;
        let body = client.body("subscriptions/listen", listing.clone());
        client.write(&mut connection, &body, &[("authorization", &authorization)]).await;
        let head = connection.head().await.unwrap();
        let mut events = connection.into_events(&head);
        assert_eq!(events.message().await.unwrap()["params"]["notifications"], listing["notifications"]);
        streams.push(events);
    }
    until("both to be listened to", async || bell.receiver_count() == 2).await;
    let lists = |subject: &str| {
        let shown = format!("Bearer at-{subject}");
        let seen = scene.server.seen();
        seen.iter()
            .filter(|it| it.method() == "tools/list" && it.header("authorization") == Some(&shown))
            .count()
    };
    // A feed that has just been opened doubts what was listed before: it is asked for again now, or when it is next needed.
    for subject in ["ada", "bob"] {
        scene.ask(subject, "tools/list", json!({})).await;
    }
    until("both lists to be looked at once more", async || lists("ada").min(lists("bob")) > 1).await;
    let before = (lists("ada"), lists("bob"));
    let tell = |subject: &str, list: &str| {
        bell.send((format!("Bearer at-{subject}"), format!("notifications/{list}/list_changed"))).unwrap();
    };
    tell("ada", "tools");
    assert_eq!(streams[0].message().await.unwrap()["method"], "notifications/tools/list_changed");
    for subject in ["ada", "bob"] {
        scene.ask(subject, "tools/list", json!({})).await;
    }
    assert_eq!((lists("ada"), lists("bob")), (before.0 + 1, before.1), "and only hers is asked for again");
    tell("bob", "prompts");
    let heard = streams[1].message().await.unwrap();
    assert_eq!(heard["method"], "notifications/prompts/list_changed", "the first that he hears: {heard}");
}

/// A Vault with the secrets `secret/crm` and `secret/wiki`, of one value, for whoever logs in as `gw`; and what it is told to say.
async fn vault(value: &Arc<Mutex<Option<String>>>) -> Upstream {
    let value = value.clone();
    Upstream::start(move |seen, answer: Answer| {
        let value = value.clone();
        async move {
            let body = String::from_utf8_lossy(&seen.body).into_owned();
            let known = seen.header("authorization") == Some("Bearer login");
            let (status, document) = match (seen.path.as_str(), value.lock().unwrap().clone()) {
                (_, None) => (503, json!({"errors": ["Vault is sealed"]})),
                ("/v1/auth/approle/login", _) if body.contains(r#""secret_id":"canary""#) => {
                    let auth = json!({"client_token": "login", "lease_duration": 3600, "renewable": true});
                    (200, json!({"auth": auth}))
                }
                ("/v1/secret/data/crm" | "/v1/secret/data/wiki", Some(value)) if known => {
                    (200, json!({"lease_duration": 0, "data": {"data": {"token": value}, "metadata": {}}}))
                }
                _ => (403, json!({"errors": ["permission denied"]})),
            };
            answer.json(status, &document).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_secret_that_vault_keeps_is_sent_and_nothing_is_without_it() {
    let value = Arc::new(Mutex::new(Some("s3cret".to_owned())));
    let vault = vault(&value).await;
    let server = Fake::modern().guarded("Bearer", |shown| shown == "Bearer s3cret").start().await;
    let mut entry = server.config();
    entry["credentials"] = json!({"kind": "static", "token": {"vault": "secret/crm#token"}});
    let auth = json!({"kind": "approle", "role_id": "gw", "secret_id": "canary"});
    let config = json!({
        "servers": {"x": entry},
        "secrets": {"vault": {"url": vault.url.trim_end_matches("/mcp"), "auth": auth}},
    });
    let gateway = Gateway::start(&config);
    let params = json!({"name": "x__echo", "arguments": {}});
    let call = async |gateway: &Gateway| Modern::new().request(gateway, "tools/call", params.clone()).await;
    assert!(result_of(&call(&gateway).await)["content"].is_array());
    assert_eq!(shown(&server), ["Bearer s3cret"]);
    let log = gateway.log();
    assert!(!log.contains("s3cret") && !log.contains("canary"));
    // One that starts while the Vault is sealed serves, and sends nothing to that server.
    *value.lock().unwrap() = None;
    let sealed = Gateway::start(&config);
    let refused = call(&sealed).await.text();
    assert!(refused.contains("Vault") && !refused.contains("sealed"), "{refused}");
    let bare = server.seen().iter().filter(|seen| seen.header("authorization").is_none()).count();
    assert_eq!((bare, server.count("tools/call")), (0, 1), "nothing is sent without");
}

#[tokio::test]
async fn what_vault_keeps_of_the_configuration_is_read_at_the_start_and_taken_up_when_it_changes() {
    let value = Arc::new(Mutex::new(Some("hunter2-first".to_owned())));
    let vault = vault(&value).await;
    let server = Fake::modern().start().await;
    let mut entry = server.config();
    entry["headers"] =
        json!({"x-key": {"vault": "secret/crm#token"}, "x-other": {"vault": "secret/wiki#token"}});
    let auth = json!({"kind": "approle", "role_id": "gw", "secret_id": "canary"});
    let url = vault.url.trim_end_matches("/mcp");
    let config = json!({
        "servers": {"x": entry}, "audit": {"node": "gw"},
        "secrets": {"vault": {"url": url, "auth": auth, "max_age": "1s"}},
    });
    // The Vault is asked before the gateway says that it listens.
    let gateway = tokio::task::spawn_blocking(move || Gateway::start(&config)).await.unwrap();
    let sent = async || {
        let params = json!({"name": "x__echo", "arguments": {}});
        let called = server.count("tools/call");
        Modern::new().request(&gateway, "tools/call", params).await;
        let seen = server.nth("tools/call", called + 1).await;
        seen.header("x-key").map(str::to_owned)
    };
    assert_eq!(sent().await.as_deref(), Some("hunter2-first"));
    *value.lock().unwrap() = Some("hunter2-second".to_owned());
    until("the new value", async || sent().await.as_deref() == Some("hunter2-second")).await;
    let taken_up = |event: &Value| event["kind"] == "configuration" && event["detail"]["what"] == "taken up";
    let taken_up = evidence::until(&gateway, "that it was taken up", 1, taken_up).await;
    assert_eq!(taken_up[0]["detail"]["trigger"], "secret changed", "{taken_up:?}");
    // Whoever keeps it is away: what the gateway was configured with stays.
    *value.lock().unwrap() = None;
    let wanted =
        |path: &str| vault.seen().iter().filter(|it| it.path == format!("/v1/secret/data/{path}")).count();
    let (first, second) = (wanted("crm"), wanted("wiki"));
    gateway.logged("a secret of the configuration was not read again").await;
    // Whoever does not answer about one is not asked about the others, which would take as long for each.
    assert!(wanted("crm") + wanted("wiki") <= first + second + 1, "{:?}", vault.seen());
    assert_eq!(sent().await.as_deref(), Some("hunter2-second"));
    let log = gateway.log();
    assert!(!log.contains("hunter2") && !log.contains("canary"), "{log}");
    // What needs it to begin says so, and what does not need it does not ask.
    let path = gateway.config_path();
    let run = async |verb: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let output = command.args(verb).arg(&path).output().await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&["serve", "--config"]).await;
    assert!(code == Some(3) && said.contains("secrets.vault") && !said.contains("sealed"), "{code:?} {said}");
    assert_eq!(run(&["config", "check"]).await.0, Some(0));
}
