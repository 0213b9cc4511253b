//! Logins that the identity provider ends, and what is no word of it (OpenID Connect Back-Channel Logout section 2.6).

use serde_json::{Value, json};

use super::grants::id_jag;
use super::scene::*;
use super::scene_basic;
use crate::facade::ends::End;
use crate::facade::kept::secret;
use crate::facade::provider::Login;
use crate::facade::{FacadeAnswer, now};
use crate::fixture::{Signer, encode};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The provider's word that a login is over, with other members of the header and the claims.
fn word(scene: &Scene, header: &Value, claims: &Value) -> String {
    let (header, claims) = parts(header, claims);
    scene.idp(|idp| idp.signer.sign(&header, &claims))
}

fn parts(header: &Value, claims: &Value) -> (Value, Value) {
    let mut of_header = json!({"alg": "ES256", "kid": "k1", "typ": "logout+jwt"});
    // Of the second before: whoever logs in from now on does so after it.
    let mut of_claims = json!({
        "iss": IDP, "aud": "gateway", "iat": now() - 1, "exp": now() + 120, "jti": secret(), "events": {EVENT: {}},
    });
    over(&mut of_header, header);
    over(&mut of_claims, claims);
    (of_header, of_claims)
}

async fn tell(scene: &Scene, token: &str) -> FacadeAnswer {
    scene.post("/backchannel-logout", &[("logout_token", token)]).await
}

/// Somebody's login; its session here, and its refresh token.
async fn login(scene: &Scene, who: &str, session: Option<&str>) -> (String, String) {
    scene.idp(|idp| idp.claims = json!({"sid": session}));
    let tokens = scene.tokens(CLIENT, WEB, who).await;
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    let told = claims(&text("access_token"));
    (told["sid"].as_str().unwrap().to_owned(), text("refresh_token"))
}

#[tokio::test]
async fn the_provider_ends_one_login_or_all_of_a_person_and_nobody_elses() {
    let scene = Scene::new();
    let desk = login(&scene, "ada", Some("desk")).await;
    let phone = login(&scene, "ada", Some("phone")).await;
    let bob = login(&scene, "bob", Some("bobs")).await;
    let ended = |login: &(String, String)| scene.ended.has(&login.0);

    let answer = tell(&scene, &word(&scene, &json!({}), &json!({"sub": "ada", "sid": "desk"}))).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(field(&answer, "cache-control").as_deref(), Some("no-store"));
    assert!(ended(&desk) && !ended(&phone) && !ended(&bob));
    assert_eq!(scene.refresh(CLIENT, &desk.1).await.status, 400);
    let renewed: Value = serde_json::from_str(&scene.refresh(CLIENT, &phone.1).await.body).unwrap();

    let answer = tell(&scene, &word(&scene, &json!({"typ": null}), &json!({"sub": "ada"}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(ended(&phone) && !ended(&bob));
    assert_eq!(scene.refresh(CLIENT, renewed["refresh_token"].as_str().unwrap()).await.status, 400);

    let answer = tell(&scene, &word(&scene, &json!({}), &json!({"sid": "bobs"}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(ended(&bob));
    // Whoever logs in again is in again.
    let again = login(&scene, "ada", Some("again")).await;
    assert!(!ended(&again));
    // Logins that the provider gives no name cannot be told from the one that it names.
    let unnamed = login(&scene, "ada", None).await;
    tell(&scene, &word(&scene, &json!({}), &json!({"sub": "ada", "sid": "other"}))).await;
    assert!(ended(&unnamed) && !ended(&again));
}

#[tokio::test]
async fn what_is_on_its_way_from_a_login_that_ended_gives_nothing() {
    let scene = Scene::new();
    scene.idp(|idp| idp.claims = json!({"sid": "s1"}));
    let code = scene.login(&mut Browser::default(), CLIENT, WEB, "ada").await;
    tell(&scene, &word(&scene, &json!({}), &json!({"sid": "s1"}))).await;
    let answer = scene.redeem(CLIENT, &code, VERIFIER).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    // The ID token of that login comes after the word that it is over.
    let back = Browser::default().login(&scene, &wish(CLIENT, WEB), "ada").await;
    let params = params_of(&location(&back));
    assert_eq!((params.get("error").unwrap(), params.get("code").unwrap()), (Some("access_denied"), None));
    // What came of an assertion of the same person ends as well, and of nobody else.
    scene.idp(|idp| idp.claims = json!({}));
    let server = format!("Basic {}", scene_basic("server", SECRET));
    let mut sessions = Vec::new();
    for who in ["ada", "bob"] {
        let assertion = id_jag(&scene, &json!({}), &json!({"sub": who}));
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let params = [("grant_type", grant), ("assertion", assertion.as_str())];
        let answer = scene.post_as("/token", &params, Some(&server)).await;
        let tokens: Value = serde_json::from_str(&answer.body).unwrap();
        sessions.push(claims(tokens["access_token"].as_str().unwrap())["sid"].as_str().unwrap().to_owned());
    }
    tell(&scene, &word(&scene, &json!({}), &json!({"sub": "ada"}))).await;
    let over: Vec<_> = sessions.iter().map(|session| scene.ended.has(session)).collect();
    assert_eq!(over, [true, false]);
}

#[tokio::test]
async fn nobody_but_the_provider_ends_a_login_and_only_with_a_fresh_logout_token() {
    let scene = Scene::new();
    let ada = login(&scene, "ada", Some("s1")).await;
    let plain = |claims: Value| {
        // What is nothing stays until it takes something away.
        let mut all = json!({"sub": "ada", "sid": "s1"});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        all
    };
    let signed = |header: Value, claims: Value| word(&scene, &header, &plain(claims));
    let unsigned = {
        let (header, claims) = parts(&json!({"alg": "none"}), &plain(json!({})));
        format!("{}.{}.", encode(header.to_string()), encode(claims.to_string()))
    };
    let stranger = {
        let (header, claims) = parts(&json!({}), &plain(json!({})));
        Signer::p256().sign(&header, &claims)
    };
    let table = [
        ("nothing", String::new()),
        ("no token", "made-up".to_owned()),
        ("alg none", unsigned),
        ("HMAC", signed(json!({"alg": "HS256"}), json!({}))),
        ("another's key", stranger),
        ("an unknown key", signed(json!({"kid": "k2"}), json!({}))),
        ("an access token", signed(json!({"typ": "at+jwt"}), json!({}))),
        ("an assertion", signed(json!({"typ": "oauth-id-jag+jwt"}), json!({}))),
        ("another issuer", signed(json!({}), json!({"iss": "https://evil.example"}))),
        ("no issuer", signed(json!({}), json!({"iss": null}))),
        ("another client", signed(json!({}), json!({"aud": "other"}))),
        ("several clients", signed(json!({}), json!({"aud": ["gateway", "other"]}))),
        ("expired", signed(json!({}), json!({"exp": now() - 60}))),
        ("no end", signed(json!({}), json!({"exp": null}))),
        ("an end as text", signed(json!({}), json!({"exp": "9999999999"}))),
        ("good for ever", signed(json!({}), json!({"exp": u64::MAX}))),
        ("not yet made", signed(json!({}), json!({"iat": now() + 600}))),
        ("no time", signed(json!({}), json!({"iat": null}))),
        ("an ID token", signed(json!({"typ": "JWT"}), json!({"events": null}))),
        ("with a nonce", signed(json!({}), json!({"nonce": "n"}))),
        ("another event", signed(json!({}), json!({"events": {"https://example.com/other": {}}}))),
        ("an event that is text", signed(json!({}), json!({"events": {EVENT: "yes"}}))),
        ("events as a list", signed(json!({}), json!({"events": [EVENT]}))),
        ("nobody", signed(json!({}), json!({"sub": null, "sid": null}))),
        ("nobody in words", signed(json!({}), json!({"sub": "", "sid": 7}))),
        ("without a name", signed(json!({}), json!({"jti": null}))),
        ("a long name", signed(json!({}), json!({"jti": "x".repeat(300)}))),
    ];
    for (what, token) in &table {
        let answer = tell(&scene, token).await;
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        assert!(answer.body.contains("\"invalid_request\""), "{what}: {answer:?}");
        assert!(answer.refused.is_some(), "{what}");
        assert!(!scene.ended.has(&ada.0), "{what}");
    }
    let good = signed(json!({}), json!({}));
    let twice = [("logout_token", good.as_str()), ("logout_token", good.as_str())];
    assert_eq!(scene.post("/backchannel-logout", &twice).await.status, 400);
    assert_eq!(tell(&scene, &good).await.status, 200);
    assert!(scene.ended.has(&ada.0));
    assert_eq!(tell(&scene, &good).await.refused, Some("a logout token that was used before"));
    assert_eq!(scene.refresh(CLIENT, &ada.1).await.status, 400);
}

#[tokio::test]
async fn what_ends_in_one_process_is_heard_of_in_all_that_share_its_store() {
    let scene = Scene::new();
    let (here, late) = (login(&scene, "ada", Some("s1")).await, login(&scene, "bob", Some("s2")).await);
    let other = scene.replica();
    other.facade.hear_of_ends().await.unwrap();
    tell(&scene, &word(&scene, &json!({}), &json!({"sid": "s1"}))).await;
    assert!(scene.ended.has(&here.0) && !other.ended.has(&here.0));
    other.facade.hear_of_ends().await.unwrap();
    assert!(other.ended.has(&here.0) && !other.ended.has(&late.0));
    // What ends while others do not look is heard of at the next look, by those that start later as well.
    assert_eq!(scene.post("/revoke", &[("client_id", CLIENT), ("token", &late.1)]).await.status, 200);
    let started = scene.replica();
    for facade in [&other, &started] {
        facade.facade.hear_of_ends().await.unwrap();
        assert!(facade.ended.has(&here.0) && facade.ended.has(&late.0));
    }
    // Nobody ends a login by writing into the store.
    let mut strange = scene.facade.settings().clone();
    strange.key = Some(crate::facade::SealKey("the key of somebody else, who has the store".into()));
    let stranger = scene.replica_with(strange);
    let third = login(&scene, "eve", Some("s3")).await;
    stranger.facade.end_tokens(&third.0, End { whose: None, why: "a test" }).await.unwrap();
    other.facade.hear_of_ends().await.unwrap();
    assert!(stranger.ended.has(&third.0) && !other.ended.has(&third.0));
}

/// A whole login of a person whose ID token was made at that time, and what came of an ID-JAG of the same time.
async fn arrives(scene: &Scene, more: &Value, made: u64) -> (bool, FacadeAnswer) {
    let mut of_login = json!({"iat": made, "exp": made + 290});
    over(&mut of_login, more);
    scene.idp(|idp| idp.claims = of_login.clone());
    let back = Browser::default().login(scene, &wish(CLIENT, WEB), "ada").await;
    let params = params_of(&location(&back));
    let (code, error) = (params.get("code").unwrap(), params.get("error").unwrap());
    assert_eq!(code.is_none(), error == Some("access_denied"), "{back:?}");
    let assertion = id_jag(scene, &json!({}), &of_login);
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let params = [("grant_type", grant), ("assertion", assertion.as_str())];
    let server = format!("Basic {}", scene_basic("server", SECRET));
    let answer = scene.post_as("/token", &params, Some(&server)).await;
    if answer.status != 200 {
        // It was refused for what it is, and is not used up by that.
        assert_eq!(scene.post_as("/token", &params, Some(&server)).await.refused, answer.refused);
    }
    (code.is_some(), answer)
}

#[tokio::test]
async fn whoever_is_on_the_way_when_a_person_logs_out_everywhere_does_not_arrive() {
    let scene = Scene::new();
    let over = Some("the login at the identity provider is over by now");
    let out = now();
    let (before, after) = (out - 5, out + 5);
    assert!(arrives(&scene, &json!({}), before).await.0);
    tell(&scene, &word(&scene, &json!({}), &json!({"sub": "ada", "iat": out}))).await;
    for (what, more, made, expected) in [
        ("before", json!({}), before, false),
        ("in the same second", json!({}), out, false),
        ("before, with a name", json!({"sid": "desk"}), before, false),
        ("after", json!({}), after, true),
        ("after, with a name", json!({"sid": "desk"}), after, true),
        ("somebody else", json!({"sub": "bob"}), before, true),
    ] {
        let (login, answer) = arrives(&scene, &more, made).await;
        assert_eq!((login, answer.status == 200), (expected, expected), "{what}: {answer:?}");
        if !expected {
            assert_eq!((answer.status, answer.refused), (400, over), "{what}");
            assert!(answer.body.contains("\"invalid_grant\""), "{what}: {answer:?}");
        }
    }
    // An older word that comes late takes nothing back of a newer one.
    tell(&scene, &word(&scene, &json!({}), &json!({"sub": "ada", "iat": before - 5}))).await;
    assert!(!arrives(&scene, &json!({}), before).await.0);
    // With a login named, only those of the person are meant besides that have no name.
    let scene = Scene::new();
    tell(&scene, &word(&scene, &json!({}), &json!({"sub": "ada", "sid": "desk", "iat": out}))).await;
    for (more, made, expected) in [
        (json!({"sid": "desk"}), after, false),
        (json!({"sid": "phone"}), before, true),
        (json!({}), before, false),
        (json!({}), after, true),
    ] {
        let (login, answer) = arrives(&scene, &more, made).await;
        assert_eq!((login, answer.status == 200), (expected, expected), "{more} {made}: {answer:?}");
    }
}

#[tokio::test]
async fn an_end_that_cannot_be_written_down_is_none_anywhere_until_it_can() {
    let scene = Scene::new();
    let other = scene.replica();
    let (ada, bob) = (login(&scene, "ada", Some("s1")).await, login(&scene, "bob", Some("s2")).await);
    let logout = word(&scene, &json!({}), &json!({"sid": "s1"}));
    let revocation = [("client_id", CLIENT), ("token", bob.1.as_str())];
    scene.refuse(Some("facade-end"));
    for answer in [tell(&scene, &logout).await, scene.post("/revoke", &revocation).await] {
        assert_eq!((answer.status, answer.refused), (503, Some("what is kept cannot be reached")));
        assert_eq!(field(&answer, "retry-after").as_deref(), Some("30"));
    }
    other.facade.hear_of_ends().await.unwrap();
    let ended = |scene: &Scene| [&ada, &bob].map(|login| scene.ended.has(&login.0));
    assert_eq!((ended(&scene), ended(&other)), ([false; 2], [false; 2]));
    assert_eq!(scene.told(), []);
    // Both come again, as they were told to.
    scene.refuse(None);
    for answer in [tell(&scene, &logout).await, scene.post("/revoke", &revocation).await] {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    other.facade.hear_of_ends().await.unwrap();
    assert_eq!((ended(&scene), ended(&other)), ([true; 2], [true; 2]));
}

#[tokio::test]
async fn whose_login_ended_and_why_is_told_once() {
    let scene = Scene::new();
    let whose = |who: &str, why| vec![(Some(who.to_owned()), why)];
    let ada = login(&scene, "ada", Some("s1")).await;
    let renewed: Value = serde_json::from_str(&scene.refresh(CLIENT, &ada.1).await.body).unwrap();
    assert_eq!(scene.told(), []);
    scene.refresh(CLIENT, &ada.1).await;
    assert_eq!(scene.told(), whose("ada", "a refresh token was used twice"));
    scene.refresh(CLIENT, renewed["refresh_token"].as_str().unwrap()).await;
    let bob = login(&scene, "bob", Some("s2")).await;
    scene.post("/revoke", &[("client_id", CLIENT), ("token", &bob.1)]).await;
    assert_eq!(scene.told(), whose("bob", "its client revoked it"));
    login(&scene, "eve", Some("s3")).await;
    let answer = tell(&scene, &word(&scene, &json!({}), &json!({"sid": "s3"}))).await;
    assert_eq!(answer.whom.as_deref(), Some("eve"), "the login's, for the word names nobody");
    assert_eq!(scene.told(), whose("eve", "its identity provider says that it is over"));
    scene.idp(|idp| idp.claims = json!({}));
    let code = scene.login(&mut Browser::default(), CLIENT, WEB, "fay").await;
    let answer = scene.redeem(CLIENT, &code, VERIFIER).await;
    assert_eq!((answer.status, answer.whom.as_deref()), (200, Some("fay")));
    scene.redeem(CLIENT, &code, VERIFIER).await;
    assert_eq!(scene.told(), whose("fay", "a code was used twice"));
    // A word about somebody who has nothing here ends nothing, and is theirs all the same; made-up ones are nobody's.
    let answer = tell(&scene, &word(&scene, &json!({}), &json!({"sub": "gil"}))).await;
    assert_eq!((answer.status, answer.whom.as_deref()), (200, Some("gil")));
    for answer in [
        tell(&scene, "made-up").await,
        scene.post("/revoke", &[("client_id", CLIENT), ("token", "made-up")]).await,
    ] {
        assert_eq!(answer.whom, None, "{answer:?}");
    }
    assert_eq!(scene.told(), []);
}

#[tokio::test]
async fn of_two_words_at_the_same_time_the_later_second_stays() {
    let scene = Scene::new();
    let said = |ago: u64| word(&scene, &json!({}), &json!({"sub": "ada", "iat": now() - ago}));
    let (late, early) = (said(2), said(20));
    let (one, other) = tokio::join!(tell(&scene, &late), tell(&scene, &early));
    assert_eq!((one.status, other.status), (200, 200));
    let at = |ago: u64| Login { subject: Some("ada".to_owned()), session: None, said: now() - ago };
    assert!(scene.facade.is_over(&at(10)).await.unwrap(), "a login between the two");
    assert!(!scene.facade.is_over(&at(0)).await.unwrap());
}
