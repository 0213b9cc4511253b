//! Whoever logs in at the gateway's own authorization server is called for as themselves: by what their identity provider gave
//! with the login, and by an account that they connect.

use serde_json::{Value, json};

use super::bearer;
use super::facade::Scene;
use crate::harness::authority::{Authority, field};
use crate::harness::idp::PUBLIC;
use crate::harness::{Fake, Gateway, Modern, Upstream, within};

/// A server that takes the tokens of [`Authority`] alone.
async fn server(authority: &Authority) -> Upstream {
    let issuer = authority.issuer.clone();
    let fake = Fake::modern().guarded("Bearer", |shown| shown.starts_with("Bearer at-"));
    fake.on("document", move |seen, answer| {
        let resource = format!("http://{}/mcp", seen.header("host").unwrap());
        let document = json!({"resource": resource, "authorization_servers": [issuer]});
        async move { answer.json(200, &document).await }
    })
    .start()
    .await
}

async fn scene(authority: &Authority, credentials: impl FnOnce(&str) -> Value) -> (Scene, Upstream) {
    scene_with(authority, credentials, |_| {}).await
}

async fn scene_with(
    authority: &Authority,
    credentials: impl FnOnce(&str) -> Value,
    change: impl FnOnce(&mut Value),
) -> (Scene, Upstream) {
    let server = server(authority).await;
    let scene = Scene::with(|config| {
        change(config);
        let idp = config["identity"]["facade"]["idp"]["issuer"].as_str().unwrap().to_owned();
        config["servers"]["saas"] = server.config();
        config["servers"]["saas"]["credentials"] = credentials(&idp);
    })
    .await;
    (scene, server)
}

async fn call(scene: &Scene, token: &str) -> Value {
    call_tool(scene, token, "saas__echo").await
}

async fn call_tool(scene: &Scene, token: &str, name: &str) -> Value {
    call_at(&scene.gateway, token, name).await
}

async fn call_at(gateway: &Gateway, token: &str, name: &str) -> Value {
    let authorization = bearer(token);
    let headers = [("authorization", authorization.as_str())];
    let params = json!({"name": name, "arguments": {"n": 1}});
    Modern::new().request_with(gateway, "tools/call", params, &headers).await.json()
}

async fn token(scene: &Scene, who: &str) -> String {
    scene.tokens(who).await["access_token"].as_str().unwrap().to_owned()
}

/// The forms that the identity provider was sent with this kind of grant.
fn asked(scene: &Scene, kind: &str) -> Vec<String> {
    let seen = scene.idp.server.seen().into_iter().filter(|seen| seen.path == "/token");
    let forms = seen.map(|seen| String::from_utf8(seen.body).unwrap());
    forms.filter(|form| field(form, "grant_type").is_some_and(|it| it.ends_with(kind))).collect()
}

fn id_jag(authority: &Authority) -> impl FnOnce(&str) -> Value {
    let issuer = authority.issuer.clone();
    move |idp| {
        json!({
            "kind": "id-jag", "issuer": issuer, "client_id": "gw", "client_secret": "s",
            "idp": {"issuer": idp, "client_id": "gateway", "client_secret": "s"},
        })
    }
}

#[tokio::test]
async fn whoever_logs_in_here_is_called_for_by_the_id_token_of_the_login() {
    let authority = Authority::start().await;
    let (scene, server) = scene(&authority, id_jag(&authority)).await;
    let (ada, bob) = (token(&scene, "ada").await, token(&scene, "bob").await);
    for (who, token) in [("ada", &ada), ("bob", &bob), ("ada", &ada)] {
        let answer = call(&scene, token).await;
        assert!(answer["result"]["content"].is_array(), "{answer}");
        let seen = server.seen();
        // Lists of another's may come at any time.
        let made = seen.iter().rfind(|seen| String::from_utf8_lossy(&seen.body).contains("tools/call"));
        assert_eq!(made.unwrap().header("authorization").unwrap(), format!("Bearer at-{who}"));
    }
    let exchanged = asked(&scene, "token-exchange");
    assert_eq!(exchanged.len(), 2, "one for each");
    for form in &exchanged {
        assert!(field(form, "subject_token_type").unwrap().ends_with("id_token"), "{form}");
        assert!(!form.contains(&ada) && !form.contains(&bob), "no token of ours goes to the provider");
    }
    // What the provider gave is nobody's but the gateway's.
    let given = field(&exchanged[0], "subject_token").unwrap();
    for seen in server.seen() {
        assert!(!format!("{:?} {}", seen.headers, String::from_utf8_lossy(&seen.body)).contains(given));
    }
    assert!(!scene.gateway.log().contains(given));
}

#[tokio::test]
async fn an_id_token_that_is_over_is_renewed_once_for_all_who_come() {
    let authority = Authority::start().await;
    let (scene, _server) = scene(&authority, id_jag(&authority)).await;
    // Their ID token ends within seconds.
    let brief = token(&scene, "brief").await;
    let (one, other) = tokio::join!(call(&scene, &brief), call(&scene, &brief));
    assert!(one["result"]["content"].is_array() && other["result"]["content"].is_array(), "{one} {other}");
    let renewed = asked(&scene, "refresh_token");
    assert_eq!(renewed.len(), 1, "{renewed:?}");
    assert_eq!(field(&renewed[0], "refresh_token"), Some("rt~brief"));
    // The next is of somebody else.
    let moved = token(&scene, "moved").await;
    let answer = call(&scene, &moved).await;
    assert!(answer["result"]["isError"] == true && answer.to_string().contains("presented none"), "{answer}");
    scene.gateway.logged("an ID token of somebody else").await;
}

#[tokio::test]
async fn of_gateways_that_share_a_store_one_renews_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::start().await;
    let store = json!({"kind": "sqlite", "path": folder.path().join("shared.db")});
    let (scene, _server) = scene_with(&authority, id_jag(&authority), |config| {
        config["store"] = store;
        config["identity"]["facade"]["key"] = json!({"env": "A_SECRET"});
    })
    .await;
    let other = Gateway::start(&scene.config);
    for round in 1..=3 {
        // Their ID token is over; the provider takes a refresh token once, and is slow.
        let brief = token(&scene, "brief").await;
        let (one, two) = tokio::join!(call(&scene, &brief), call_at(&other, &brief, "saas__echo"));
        assert!(one["result"]["content"].is_array() && two["result"]["content"].is_array(), "{one} {two}");
        assert_eq!(asked(&scene, "refresh_token").len(), round, "of round {round}");
    }
}

#[tokio::test]
async fn a_login_that_is_over_takes_its_id_token_with_it() {
    let authority = Authority::start().await;
    let (scene, server) = scene(&authority, id_jag(&authority)).await;
    let ada = token(&scene, "ada").await;
    let revoked = scene.form("/as/revoke", &[("client_id", "editor"), ("token", &ada)]).await;
    assert_eq!(revoked.status(), 200);
    assert!(call(&scene, &ada).await.get("result").is_none());
    assert_eq!((asked(&scene, "token-exchange").len(), server.count("tools/call")), (0, 0));
}

#[tokio::test]
async fn whoever_logs_in_here_connects_an_account_and_is_called_for_with_it() {
    let authority = Authority::start().await;
    let credentials = |_: &str| json!({"kind": "oauth", "private_network": true});
    let (scene, server) = scene(&authority, credentials).await;
    let (ada, bob) = (token(&scene, "ada").await, token(&scene, "bob").await);
    let asked = async |token: &str| {
        let answer = call_tool(&scene, token, "saas__portcullis_connect_account").await;
        let data = &answer["error"]["data"];
        assert_eq!(data["reason"], "connection_required", "{answer}");
        data["url"].as_str().unwrap().strip_prefix(PUBLIC).unwrap().to_owned()
    };
    let link = asked(&ada).await;
    let open = async |path: &str, token: &str, cookie: &str| {
        let authorization = bearer(token);
        let headers =
            [("authorization", authorization.as_str()), ("host", "mcp.example.com"), ("cookie", cookie)];
        scene.gateway.send("GET", path, &headers, b"").await
    };
    assert_eq!(open(&link, &bob, "").await.status(), 403, "it is hers");
    let sent = open(&link, &ada, "").await;
    let to = sent.header("location").unwrap_or_else(|| panic!("{sent:?}"));
    let cookie = sent.header("set-cookie").unwrap().split(';').next().unwrap();
    let query = to.split_once('?').unwrap().1;
    let back = field(query, "redirect_uri").unwrap().replace("%3A", ":").replace("%2F", "/");
    let issuer = authority.issuer.replace(':', "%3A").replace('/', "%2F");
    let back = format!("{back}?code=ada&state={}&iss={issuer}", field(query, "state").unwrap());
    let done = open(back.strip_prefix(PUBLIC).unwrap(), &ada, cookie).await;
    assert_eq!(done.status(), 200, "{done:?}");
    let answer = call(&scene, &ada).await;
    assert!(answer["result"]["content"].is_array(), "{answer}");
    let called = within("her call", server.nth("tools/call", 1)).await;
    assert_eq!(called.header("authorization"), Some("Bearer at-ada"));
    asked(&bob).await;
}
