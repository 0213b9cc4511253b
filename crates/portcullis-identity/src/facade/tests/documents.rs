//! Documents of clients: what is fetched, what is believed, and what changes with them. Where an address leads is the
//! business of whoever fetches; the tests of that client are the gateway's.

use serde_json::{Value, json};

use super::scene::*;
use crate::facade::document::LARGEST;
use crate::fetch::FetchError;
use crate::fixture::Signer;

const ID: &str = "https://app.example/client.json";

fn document() -> Value {
    json!({"client_id": ID, "client_name": "Paper", "redirect_uris": [WEB]})
}

#[tokio::test]
async fn an_id_that_is_no_address_of_a_document_is_not_asked_for() {
    let scene = Scene::new();
    for id in [
        "https://app.example",
        "https://app.example/",
        "https://app.example/client.json#x",
        "https://app.example/client.json?x=y",
        "https://user@app.example/client.json",
        "https://app.example/a/../client.json",
        "https://app.example/%2e%2e/client.json",
        "https:///client.json",
        "https://app.example:port/client.json",
        "https://app.example\\@evil.example/client.json",
        "http://app.example/client.json",
        "ftp://app.example/client.json",
    ] {
        let answer = Browser::default().authorize(&scene, &wish(id, WEB)).await;
        assert_eq!(answer.status, 400, "{id}: {answer:?}");
    }
    assert!(scene.idp(|idp| idp.asked.is_empty()));
}

#[tokio::test]
async fn a_document_that_is_not_what_it_must_be_makes_no_client() {
    let with = |name: &str, value: Value| {
        let mut document = document();
        over(&mut document, &json!({name: value}));
        Ok(document.to_string())
    };
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let table: Vec<(&str, Result<String, FetchError>)> = vec![
        ("of another client", with("client_id", json!("https://evil.example/client.json"))),
        ("of nobody", with("client_id", Value::Null)),
        ("with another spelling", with("client_id", json!("https://APP.example/client.json"))),
        ("without redirect URIs", with("redirect_uris", Value::Null)),
        ("that runs something", with("redirect_uris", json!(["javascript:alert(1)"]))),
        ("with a secret", with("client_secret", json!("x"))),
        ("that needs a secret", with("token_endpoint_auth_method", json!("client_secret_basic"))),
        ("without its keys", with("token_endpoint_auth_method", json!("private_key_jwt"))),
        ("that is no JSON", Ok("<html>".into())),
        ("that is deep", Ok(deep)),
        ("that is huge", with("client_name", json!("x".repeat(LARGEST)))),
        ("that is not there", Err(FetchError::Status(404))),
        ("that sends one on", Err(FetchError::Status(302))),
        ("that is inside", Err(FetchError::Forbidden("inside"))),
    ];
    for (what, document) in table {
        let scene = Scene::new();
        scene.idp(|idp| idp.documents.insert(ID.into(), document));
        for _ in 0..3 {
            let answer = Browser::default().authorize(&scene, &wish(ID, WEB)).await;
            assert_eq!((answer.status, answer.refused.is_some()), (400, true), "{what}: {answer:?}");
        }
        assert_eq!(scene.idp(|idp| idp.asked.len()), 1, "{what} is not asked for again at once");
    }
}

#[tokio::test]
async fn a_host_that_is_away_makes_no_bad_client() {
    let away = [
        FetchError::Failed("it took too long".into()),
        FetchError::Status(500),
        FetchError::Status(503),
        FetchError::Status(429),
    ];
    for error in away {
        let scene = Scene::new();
        scene.idp(|idp| idp.documents.insert(ID.into(), Err(error.clone())));
        for _ in 0..3 {
            let page = Browser::default().authorize(&scene, &wish(ID, WEB)).await;
            assert_eq!((page.status, field(&page, "retry-after").is_some()), (503, true), "{error}");
            let answer = scene.redeem(ID, "code", VERIFIER).await;
            assert!(answer.body.contains("\"temporarily_unavailable\""), "{error}: {answer:?}");
        }
        assert_eq!(scene.idp(|idp| idp.asked.len()), 1, "{error}: it is not asked again at once");
    }
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_are_not_asked_for_again_at_once() {
    const KEYS: &str = "https://app.example/keys";
    for (error, status) in [(FetchError::Failed("away".into()), 503), (FetchError::Status(404), 401)] {
        let scene = Scene::new();
        let mut document = document();
        over(&mut document, &json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": KEYS}));
        scene.idp(|idp| {
            idp.documents.insert(ID.into(), Ok(document.to_string()));
            idp.documents.insert(KEYS.into(), Err(error.clone()));
        });
        let claims = json!({"iss": ID, "sub": ID});
        let shown = Signer::p256().sign(&json!({"alg": "ES256", "kid": "c1"}), &claims);
        let params = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", shown.as_str()),
        ];
        for _ in 0..3 {
            let answer = scene.post("/token", &params).await;
            assert_eq!(answer.status, status, "{error}: {answer:?}");
        }
        assert_eq!(scene.idp(|idp| idp.asked.iter().filter(|url| *url == KEYS).count()), 1, "{error}");
    }
}

#[tokio::test]
async fn a_changed_document_is_a_new_question() {
    let scene = Scene::new();
    scene.idp(|idp| idp.documents.insert(ID.into(), Ok(document().to_string())));
    let mut browser = Browser::default();
    scene.login(&mut browser, ID, WEB, "ada").await;
    assert_eq!(browser.authorize(&scene, &wish(ID, WEB)).await.status, 303);
    let shown = sealed(&Browser::default().authorize(&scene, &wish(ID, WEB)).await);
    let mut changed = document();
    changed["client_name"] = json!("Paper Plus");
    scene.idp(|idp| idp.documents.insert(ID.into(), Ok(changed.to_string())));
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_hours(1)).await;
    let page = browser.authorize(&scene, &wish(ID, WEB)).await;
    assert_eq!((page.status, page.body.contains("Paper Plus")), (200, true));
    assert_eq!(browser.submit(&scene, &shown, "allow").await.status, 403);
}

#[tokio::test]
async fn many_ids_are_few_questions_to_the_outside() {
    let scene = Scene::new();
    for number in 0..100 {
        let id = format!("https://host-{number}.example/c");
        Browser::default().authorize(&scene, &wish(&id, WEB)).await;
    }
    assert_eq!(scene.idp(|idp| idp.asked.len()), 20);
}

#[tokio::test]
async fn the_operator_says_whose_documents_are_taken() {
    let mut settings = settings();
    settings.documents.hosts = vec!["app.example".into()];
    let scene = Scene::with(settings.clone(), |idp| {
        for id in [ID, "https://other.example/c"] {
            let mut document = document();
            document["client_id"] = json!(id);
            idp.documents.insert(id.into(), Ok(document.to_string()));
        }
    });
    assert_eq!(Browser::default().authorize(&scene, &wish(ID, WEB)).await.status, 200);
    assert_eq!(Browser::default().authorize(&scene, &wish("https://other.example/c", WEB)).await.status, 400);
    settings.documents.enabled = false;
    let scene =
        Scene::with(settings, |idp| drop(idp.documents.insert(ID.into(), Ok(document().to_string()))));
    assert_eq!(Browser::default().authorize(&scene, &wish(ID, WEB)).await.status, 400);
    assert!(scene.idp(|idp| idp.asked.is_empty()));
}
