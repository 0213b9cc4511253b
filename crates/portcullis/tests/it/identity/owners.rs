//! What belongs to a user is nobody else's, and stays theirs when their token changes.

use serde_json::json;

use super::{Scene, bearer, open_session, ping};
use crate::harness::fake::tool;
use crate::harness::idp::{Idp, PUBLIC};
use crate::harness::{Fake, Gateway, Modern};

#[tokio::test]
async fn a_session_of_one_user_does_not_exist_for_another() {
    let scene = Scene::new().await;
    let session = open_session(&scene.gateway, &scene.idp.token("ada")).await;
    let newer =
        scene.idp.token_with("ada", &json!({"jti": "another", "scope": "mcp more", "client_id": "other"}));
    assert_eq!(
        ping(&scene.gateway, &session, Some(&newer)).await.status(),
        200,
        "the same user, a newer token"
    );
    let eve = scene.idp.token("eve");
    assert_eq!(ping(&scene.gateway, &session, Some(&eve)).await.status(), 404);
    let authorization = bearer(&eve);
    let headers = [("mcp-session-id", session.as_str()), ("authorization", &authorization)];
    assert_eq!(scene.gateway.send("DELETE", "/mcp", &headers, b"").await.status(), 404);
    let mut listening = headers.to_vec();
    listening.push(("accept", "text/event-stream"));
    assert_eq!(scene.gateway.send("GET", "/mcp", &listening, b"").await.status(), 404);
    assert_eq!(ping(&scene.gateway, &session, Some(&newer)).await.status(), 200);
}

#[tokio::test]
async fn two_issuers_may_have_users_of_one_name() {
    let (one, other) = (Idp::start().await, Idp::start().await);
    let upstream = Fake::modern().start().await;
    let mut config = one.config(&upstream.config());
    config["identity"]["issuers"] = json!([{"issuer": one.issuer}, {"issuer": other.issuer}]);
    let gateway = Gateway::start(&config);
    let session = open_session(&gateway, &one.token("ada")).await;
    assert_eq!(ping(&gateway, &session, Some(&one.token("ada"))).await.status(), 200);
    assert_eq!(ping(&gateway, &session, Some(&other.token("ada"))).await.status(), 404);
    // What one issuer signs is not the other's.
    let crossed = one.token_with("ada", &json!({"iss": other.issuer}));
    assert_eq!(ping(&gateway, &session, Some(&crossed)).await.status(), 401);
}

#[tokio::test]
async fn a_cursor_of_one_user_opens_nothing_for_another() {
    let idp = Idp::start().await;
    let tools = (0..1200).map(|number| tool(&format!("t{number:04}"))).collect();
    let upstream = Fake::modern().tools(tools).start().await;
    let gateway = Gateway::start(&idp.config(&upstream.config()));
    let list = async |subject: &str, params| {
        let authorization = bearer(&idp.token(subject));
        let headers = [("authorization", authorization.as_str())];
        Modern::new().request_with(&gateway, "tools/list", params, &headers).await.json()
    };
    let first = list("ada", json!({})).await;
    let cursor = &first["result"]["nextCursor"];
    assert!(cursor.is_string(), "one page was enough");
    assert!(list("ada", json!({"cursor": cursor})).await["result"]["tools"].is_array());
    assert_eq!(list("eve", json!({"cursor": cursor})).await["error"]["code"], -32602);
}

#[tokio::test]
async fn a_connection_of_http_sse_takes_messages_of_its_user_only() {
    let scene = Scene::new().await;
    let token = |subject: &str| scene.idp.token_with(subject, &json!({"aud": format!("{PUBLIC}/sse")}));
    let authorization = bearer(&token("ada"));
    let mut connection = scene.gateway.connect().await;
    let headers = [("accept", "text/event-stream"), ("authorization", authorization.as_str())];
    connection.request("GET", "/sse", &headers, b"").await;
    let head = connection.head().await.unwrap();
    let mut events = connection.into_events(&head);
    let address = events.next().await.unwrap().data.unwrap();
    let post = async |token: Option<String>| {
        let authorization = token.map(|token| bearer(&token));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
        scene.gateway.send("POST", &address, &headers, body.as_bytes()).await.status()
    };
    assert_eq!(post(None).await, 401);
    assert_eq!(post(Some(token("eve"))).await, 404);
    assert_eq!(post(Some(token("ada"))).await, 202);
}
