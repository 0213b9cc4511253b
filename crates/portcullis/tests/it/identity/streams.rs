//! Streams end when the credential that they were opened with does.

use serde_json::{Value, json};

use super::{Scene, bearer, open_session, ping};
use crate::evidence;
use crate::harness::http::{Connection, Events};
use crate::harness::idp::{PUBLIC, now};
use crate::harness::{Gateway, Modern, until};

/// A stream of a modern client, acknowledged.
async fn listen(gateway: &Gateway, token: &str) -> Events {
    let client = Modern::new();
    let body = client.body("subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    let mut connection = gateway.connect().await;
    client.write(&mut connection, &body, &[("authorization", &bearer(token))]).await;
    let mut events = into_events(connection).await;
    assert!(events.message().await.is_some());
    events
}

pub(super) async fn get(gateway: &Gateway, path: &str, token: &str, more: &[(&str, &str)]) -> Events {
    let authorization = bearer(token);
    let mut headers = vec![("accept", "text/event-stream"), ("authorization", authorization.as_str())];
    headers.extend_from_slice(more);
    let mut connection = gateway.connect().await;
    connection.request("GET", path, &headers, b"").await;
    let mut events = into_events(connection).await;
    assert!(events.next().await.is_some());
    events
}

async fn into_events(mut connection: Connection) -> Events {
    let head = connection.head().await.expect("an answer");
    assert_eq!(head.status, 200, "{head:?}");
    connection.into_events(&head)
}

pub(super) async fn rest(events: &mut Events) -> Vec<Value> {
    let mut messages = Vec::new();
    while let Some(message) = events.message().await {
        messages.push(message);
    }
    messages
}

fn brief(scene: &Scene, path: &str) -> String {
    scene.idp.token_with("ada", &json!({"aud": format!("{PUBLIC}{path}"), "exp": now() + 2}))
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires_and_says_so_where_it_can() {
    let scene = Scene::new().await;
    let session = open_session(&scene.gateway, &scene.idp.token("ada")).await;
    let token = brief(&scene, "/mcp");
    let mut modern = listen(&scene.gateway, &token).await;
    let mut legacy = get(&scene.gateway, "/mcp", &token, &[("mcp-session-id", &session)]).await;
    let last = rest(&mut modern).await.pop().expect("the request is answered");
    assert_eq!((&last["id"], &last["result"]["resultType"]), (&json!(1), &json!("complete")));
    assert!(modern.is_complete());
    assert_eq!(rest(&mut legacy).await, Vec::<Value>::new());
    assert!(now() >= 2);
    // The session is the user's still.
    assert_eq!(ping(&scene.gateway, &session, Some(&scene.idp.token("ada"))).await.status(), 200);
}

#[tokio::test]
async fn a_connection_of_http_sse_lasts_as_long_as_the_newest_token_that_is_shown_on_it() {
    let scene = Scene::new().await;
    let mut ends = get(&scene.gateway, "/sse", &brief(&scene, "/sse"), &[]).await;
    let authorization = bearer(&brief(&scene, "/sse"));
    let mut connection = scene.gateway.connect().await;
    let headers = [("accept", "text/event-stream"), ("authorization", authorization.as_str())];
    connection.request("GET", "/sse", &headers, b"").await;
    let mut goes_on = into_events(connection).await;
    let address = goes_on.next().await.unwrap().data.unwrap();
    let longer = bearer(&scene.idp.token("ada"));
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    let post = async || {
        let headers = [("content-type", "application/json"), ("authorization", longer.as_str())];
        scene.gateway.send("POST", &address, &headers, ping.as_bytes()).await.status()
    };
    assert_eq!(post().await, 202);
    assert_eq!(goes_on.message().await.unwrap()["id"], 1);
    assert_eq!(rest(&mut ends).await, Vec::<Value>::new());
    assert_eq!(post().await, 202);
    assert_eq!(goes_on.message().await.unwrap()["id"], 1);
}

#[tokio::test]
async fn what_is_revoked_ends_with_the_reload_and_nothing_else_does() {
    let audit = json!({"node": "gw"});
    let scene = Scene::with(|config| config["audit"] = audit.clone()).await;
    let (ada, eve) = (scene.idp.token("ada"), scene.idp.token("eve"));
    let mut of_ada = listen(&scene.gateway, &ada).await;
    let mut of_eve = listen(&scene.gateway, &eve).await;
    let session = open_session(&scene.gateway, &ada).await;
    let mut config = scene.idp.config(&scene.upstream.config());
    config["audit"] = audit;
    config["identity"]["revoked"] = json!({"file": "revoked.json"});
    let list = scene.gateway.folder().join("revoked.json");
    let revoke = |what: Value| {
        let draft = list.with_extension("draft");
        std::fs::write(&draft, what.to_string()).unwrap();
        std::fs::rename(draft, &list).unwrap();
    };
    revoke(json!({"principals": [format!("user:{}#eve", scene.idp.issuer)]}));
    scene.gateway.rewrite_config(&config);
    assert!(rest(&mut of_eve).await.last().unwrap()["result"].is_object());
    assert_eq!(scene.call(&bearer(&eve)).await.status(), 401);
    assert_eq!(scene.call(&bearer(&ada)).await.status(), 200);
    assert_eq!(ping(&scene.gateway, &session, Some(&ada)).await.status(), 200);
    // Now one token of Ada's; by itself, for the file is watched.
    revoke(json!({"tokens": ["jti-of-ada"]}));
    assert!(rest(&mut of_ada).await.last().unwrap()["result"].is_object());
    assert_eq!(scene.call(&bearer(&ada)).await.status(), 401);
    assert_eq!(scene.call(&bearer(&eve)).await.status(), 200);
    let newer = scene.idp.token_with("ada", &json!({"jti": "newer"}));
    assert_eq!(ping(&scene.gateway, &session, Some(&newer)).await.status(), 200);
    assert_eq!(scene.idp.asked("/jwks"), 1, "reloads keep the issuer's keys");
    until("the last words", async || scene.gateway.log().contains("\"reason\":\"revoked\"")).await;
    // Who was put on the list, and taken from it, is on record as the person that made the calls.
    let listed = |event: &Value| event["kind"] == "key" && event["who"]["person"].is_string();
    let listed = evidence::until(&scene.gateway, "both changes of the list", 2, listed).await;
    let what: Vec<_> = listed.iter().map(|event| event["detail"]["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["a principal was revoked", "a principal is not revoked any more"]);
    let called = |event: &Value| event["request"]["method"] == "tools/call" && event["kind"] == "exchange";
    let calls = evidence::until(&scene.gateway, "ada's call and eve's", 2, called).await;
    let eve = &calls[1]["who"]["person"];
    assert!(listed.iter().all(|event| event["who"]["person"] == *eve), "{listed:?}");
}

/// What a connection is known by is what was shown on it, where it was shown, for as long as it counts.
#[tokio::test]
async fn on_one_connection_each_request_is_whoever_makes_it() {
    let scene = Scene::new().await;
    let mut connection = scene.gateway.connect().await;
    let (ada, eve) = (scene.idp.token_with("ada", &json!({"jti": "of-ada"})), scene.idp.token("eve"));
    let mut ask = async |path: &str, headers: &[(&str, &str)]| {
        let body = Modern::at(path).body("tools/call", json!({"name": "x__echo", "arguments": {}}));
        let own = Modern::headers(&body);
        let mut all: Vec<_> = own.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        all.extend(headers);
        connection.send("POST", path, &all, body.to_string().as_bytes()).await.status()
    };
    let (of_ada, of_eve) = (bearer(&ada), bearer(&eve));
    let (ada, eve) = ([("authorization", of_ada.as_str())], [("authorization", of_eve.as_str())]);
    for (what, path, headers, status) in [
        ("first", "/mcp", &ada[..], 200),
        ("again", "/mcp", &ada, 200),
        ("elsewhere", "/mcp/s/x", &ada, 401),
        ("in the URL as well", "/mcp?access_token=x", &ada, 400),
        ("twice", "/mcp", &[ada[0], ada[0]], 400),
        ("nobody", "/mcp", &[], 401),
        ("somebody else", "/mcp", &eve, 200),
        ("ada once more", "/mcp", &ada, 200),
    ] {
        assert_eq!(ask(path, headers).await, status, "{what}");
    }
    let mut config = scene.idp.config(&scene.upstream.config());
    config["identity"]["revoked"] = json!({"file": "revoked.json"});
    std::fs::write(scene.gateway.folder().join("revoked.json"), json!({"tokens": ["of-ada"]}).to_string())
        .unwrap();
    scene.gateway.rewrite_config(&config);
    until("the end of a token", async || ask("/mcp", &ada).await == 401).await;
    assert_eq!(ask("/mcp", &eve).await, 200);
}
