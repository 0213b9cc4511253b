//! What one user may hold of what all share, whatever sessions, connections and tokens it has.

use serde_json::{Value, json};

use crate::harness::client::initialize;
use crate::harness::fake::{text, tool};
use crate::harness::gateway::JSON;
use crate::harness::http::Connection;
use crate::harness::idp::Idp;
use crate::harness::{Fake, Gateway, Modern, until};

#[tokio::test]
async fn a_user_has_so_many_sessions_and_takes_nobody_elses() {
    let (idp, server) = (Idp::start().await, Fake::modern().start().await);
    let mut config = idp.config(&server.config());
    config["limits"] = json!({"sessions_per_principal": 2});
    let gateway = Gateway::start(&config);
    let request = async |token: &str, method: &str, session: Option<&str>, body: &Value| {
        let authorization = format!("Bearer {token}");
        let mut headers = JSON.to_vec();
        headers.push(("authorization", &authorization));
        headers.extend(session.map(|session| ("mcp-session-id", session)));
        gateway.send(method, "/mcp", &headers, body.to_string().as_bytes()).await
    };
    let hello = initialize("2025-11-25");
    let open = async |token: &str| request(token, "POST", None, &hello).await;
    // Another token is the same user.
    let (ann, anew) = (idp.token("ann"), idp.token_with("ann", &json!({"jti": "another"})));
    let first = open(&ann).await;
    let session = first.header("mcp-session-id").unwrap().to_owned();
    assert_eq!(open(&anew).await.status(), 200);
    let refused = open(&ann).await;
    assert_eq!((refused.status(), refused.header("retry-after")), (429, Some("1")));
    assert_eq!(refused.json()["error"]["data"]["reason"], "too_many_requests");
    let ben = idp.token("ben");
    assert_eq!(open(&ben).await.status(), 200, "another user has places of its own");
    assert_eq!(request(&ann, "DELETE", Some(&session), &json!(null)).await.status(), 204);
    assert_eq!(open(&anew).await.status(), 200, "a place that is given back is free");
}

#[tokio::test]
async fn calls_under_way_are_the_users_on_all_its_connections() {
    let idp = Idp::start().await;
    let server = Fake::modern()
        .tools(vec![tool("wait"), tool("look")])
        .on("tools/call", |seen, answer| async move {
            if seen.rpc["params"]["name"] == "wait" {
                std::future::pending::<()>().await;
            }
            answer.result(text("done")).await;
        })
        .start()
        .await;
    let mut config = idp.config(&server.config());
    config["limits"] = json!({"concurrent_per_client": 2});
    let gateway = Gateway::start(&config);
    let client = Modern::new();
    let (ann, ben) = (format!("Bearer {}", idp.token("ann")), format!("Bearer {}", idp.token("ben")));
    let wait = client.body("tools/call", json!({"name": "x__wait", "arguments": {}}));
    let (mut one, mut two) = (gateway.connect().await, gateway.connect().await);
    client.write(&mut one, &wait, &[("authorization", &ann)]).await;
    client.write(&mut two, &wait, &[("authorization", &ann)]).await;
    until("two calls under way", async || server.count("tools/call") == 2).await;
    let look = async |authorization: &str| {
        let params = json!({"name": "x__look", "arguments": {}});
        client
            .request_with(&gateway, "tools/call", params, &[("authorization", authorization)])
            .await
            .status()
    };
    assert_eq!((look(&ann).await, look(&ben).await), (429, 200));
    drop(one);
    until("a place", async || look(&ann).await == 200).await;
}

#[tokio::test]
async fn a_user_has_so_many_connections_and_takes_nobody_elses() {
    let (idp, server) = (Idp::start().await, Fake::modern().start().await);
    let mut config = idp.config(&server.config());
    config["limits"] = json!({"connections_per_principal": 2});
    let gateway = Gateway::start(&config);
    let client = Modern::new();
    let list = client.body("tools/list", json!({}));
    let ask = async |connection: &mut Connection, token: &str| {
        let authorization = format!("Bearer {token}");
        client.write(connection, &list, &[("authorization", &authorization)]).await;
        connection.response().await
    };
    let (ann, anew) = (idp.token("ann"), idp.token_with("ann", &json!({"jti": "another"})));
    let ben = idp.token("ben");
    let (mut one, mut two) = (gateway.connect().await, gateway.connect().await);
    assert_eq!((ask(&mut one, &ann).await.status(), ask(&mut two, &anew).await.status()), (200, 200));
    let mut three = gateway.connect().await;
    let refused = ask(&mut three, &ann).await;
    assert_eq!((refused.status(), refused.header("connection")), (429, Some("close")), "{refused:?}");
    assert!(refused.text().contains("limits.connections_per_principal"), "{refused:?}");
    assert!(three.closes().await, "what is too many does not stay open");
    // Those that are there go on, and other users have connections of their own.
    let mut four = gateway.connect().await;
    assert_eq!((ask(&mut one, &anew).await.status(), ask(&mut four, &ben).await.status()), (200, 200));
    // A connection that others share, as behind a proxy, is left open, and is whoever's asks.
    let refused = ask(&mut four, &ann).await;
    assert_eq!((refused.status(), refused.header("connection")), (429, None), "{refused:?}");
    assert_eq!(ask(&mut two, &ben).await.status(), 200);
    assert_eq!(ask(&mut four, &ann).await.status(), 200, "a connection that another uses now is not ann's");
    drop((one, four));
    until("a place", async || ask(&mut gateway.connect().await, &ann).await.status() == 200).await;
}
