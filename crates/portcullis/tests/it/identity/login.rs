//! How a client finds out where to log in, and gets in.

use serde_json::json;

use super::{Scene, bearer, open_session, ping};
use crate::harness::idp::PUBLIC;
use crate::harness::pki::Authority;
use crate::harness::secure::Front;
use crate::harness::{Fake, Gateway, Modern, until};

#[tokio::test]
async fn a_bare_request_is_told_where_to_log_in_and_the_document_is_there() {
    let scene = Scene::with(|config| config["identity"]["scopes"] = json!(["mcp"])).await;
    for path in ["/mcp", "/mcp/s/x", "/mcp/s/nobody", "/sse", "/s/x/sse"] {
        let method = if path.ends_with("sse") { "GET" } else { "POST" };
        let answer = scene.gateway.send(method, path, &[("content-type", "application/json")], b"{}").await;
        assert_eq!(answer.status(), 401, "{path}: {answer:?}");
        let document = format!("{PUBLIC}/.well-known/oauth-protected-resource{path}");
        let challenge = format!("Bearer scope=\"mcp\",resource_metadata=\"{document}\"");
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
        let document = scene.gateway.get(document.strip_prefix(PUBLIC).unwrap()).await;
        assert_eq!(document.status(), 200);
        let document = document.json();
        assert_eq!(document["resource"], format!("{PUBLIC}{path}"));
        assert_eq!(document["authorization_servers"], json!([scene.idp.issuer]));
        assert_eq!(document["scopes_supported"], json!(["mcp"]));
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
    }
    let root = scene.gateway.get("/.well-known/oauth-protected-resource").await.json();
    assert_eq!(root["resource"], format!("{PUBLIC}/mcp"));
    for path in ["/.well-known/oauth-protected-resource/metrics", "/.well-known/oauth-protected-resourcemcp"]
    {
        assert_eq!(scene.gateway.get(path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn without_issuers_there_is_no_document_and_loopback_needs_no_login() {
    let upstream = Fake::modern().start().await;
    let gateway = Gateway::before(&upstream.config());
    assert_eq!(gateway.get("/.well-known/oauth-protected-resource/mcp").await.status(), 404);
    Modern::new().call(&gateway, "x__echo", json!({})).await;
}

#[tokio::test]
async fn a_user_with_a_token_is_let_in_in_both_eras_and_everybody_may_look_at_health() {
    let scene = Scene::new().await;
    let token = scene.idp.token("ada");
    assert_eq!(scene.call(&bearer(&token)).await.status(), 200);
    let session = open_session(&scene.gateway, &token).await;
    assert_eq!(ping(&scene.gateway, &session, Some(&token)).await.status(), 200);
    // A session is no credential.
    assert_eq!(ping(&scene.gateway, &session, None).await.status(), 401);
    assert_eq!(scene.gateway.get("/healthz").await.status(), 200);
    let line = scene.gateway.logged("principal.id").await;
    assert!(line.contains(&format!("user:{}#ada", scene.idp.issuer)), "{line}");
}

#[tokio::test]
async fn without_a_public_url_the_listener_is_the_name() {
    let scene = Scene::with(|config| drop(config.as_object_mut().unwrap().remove("public_url"))).await;
    let here = format!("http://{}/mcp", scene.gateway.address);
    let token = scene.idp.token_with("ada", &json!({"aud": here}));
    assert_eq!(scene.call(&bearer(&token)).await.status(), 200);
    assert_eq!(scene.call(&bearer(&scene.idp.token("ada"))).await.status(), 401);
}

#[tokio::test]
async fn behind_a_path_the_document_is_found_with_it_and_without() {
    let scene = Scene::with(|config| config["public_url"] = json!("https://host/base")).await;
    for path in ["/base/mcp", "/mcp", "/base", ""] {
        let document = scene.gateway.get(&format!("/.well-known/oauth-protected-resource{path}")).await;
        assert_eq!(document.json()["resource"], "https://host/base/mcp", "{path}");
    }
    let answer = scene.call_with(&[]).await;
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("\"https://host/.well-known/oauth-protected-resource/base/mcp\""),
        "{challenge}"
    );
}

#[tokio::test]
async fn a_missing_scope_is_a_step_up_with_all_that_is_needed() {
    let scene = Scene::with(|config| config["identity"]["scopes"] = json!(["mcp", "mcp:call"])).await;
    let answer = scene.call(&bearer(&scene.idp.token("ada"))).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.json()["error"]["data"]["reason"], "insufficient_scope");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer error=\"insufficient_scope\""), "{challenge}");
    assert!(challenge.contains("scope=\"mcp mcp:call\""), "{challenge}");
    let more = scene.idp.token_with("ada", &json!({"scope": "mcp mcp:call"}));
    assert_eq!(scene.call(&bearer(&more)).await.status(), 200);
}

#[tokio::test]
async fn an_issuer_that_is_away_lets_nobody_in_and_everybody_once_it_is_back() {
    let scene = Scene::new().await;
    scene.idp.publish(false);
    let config = scene.idp.config(&scene.upstream.config());
    let gateway = Gateway::start(&config);
    gateway.logged("cannot fetch the issuer's keys; there are none").await;
    let authorization = bearer(&scene.idp.token("ada"));
    let call = async || {
        let headers = [("authorization", authorization.as_str())];
        Modern::new().request_with(&gateway, "tools/list", json!({}), &headers).await
    };
    let answer = call().await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    scene.idp.publish(true);
    until("the issuer's keys", async || call().await.status() == 200).await;
    // And those stay, whatever becomes of the issuer.
    scene.idp.publish(false);
    assert_eq!(call().await.status(), 200);
}

#[tokio::test]
async fn an_issuer_behind_tls_is_trusted_by_its_own_authority() {
    let (ca, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let scene = Scene::new().await;
    let front = Front::before(&scene.idp.server, ca.issue("localhost").server()).await;
    let issuer = front.url("localhost").trim_end_matches("/mcp").to_owned();
    let mut config = scene.idp.config(&scene.upstream.config());
    let keys = format!("{issuer}/jwks");
    let own = json!({"issuer": issuer, "jwks_url": keys, "ca": ca.write(folder.path(), "ca.pem")});
    config["identity"]["issuers"] = json!([own, {"issuer": "https://other.example", "jwks_url": keys}]);
    let gateway = Gateway::start(&config);
    // The system's authorities know nothing of this one.
    gateway.logged("UnknownIssuer").await;
    let token = scene.idp.token_with("ada", &json!({"iss": issuer}));
    let headers = [("authorization", &*bearer(&token))];
    assert_eq!(Modern::new().request_with(&gateway, "tools/list", json!({}), &headers).await.status(), 200);
}

#[tokio::test]
async fn tokens_that_nobody_can_read_are_asked_about() {
    let scene = Scene::with(|config| {
        let issuer = config["identity"]["issuers"][0]["issuer"].as_str().unwrap().to_owned();
        let secret = json!({"env": "A_SECRET"});
        config["identity"]["issuers"][0]["introspection"] =
            json!({"url": format!("{issuer}/introspect"), "client_id": "gw", "client_secret": secret});
    })
    .await;
    scene.idp.say(json!({"active": true, "aud": format!("{PUBLIC}/mcp"), "sub": "ada"}));
    for _ in 0..3 {
        assert_eq!(scene.call("Bearer opaque").await.status(), 200);
    }
    assert_eq!(scene.idp.asked("/introspect"), 1);
    scene.idp.say(json!({"active": false}));
    assert_eq!(scene.call("Bearer other").await.status(), 401);
}
