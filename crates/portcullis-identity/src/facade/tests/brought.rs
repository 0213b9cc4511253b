//! What the provider gave with a login is renewed for whoever comes: when they leave, too, and beside others who wait.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::scene::{Scene, settings};
use crate::facade::brought::{BROUGHT, Brought};
use crate::facade::{FacadeSettings, now};

/// The key of a family: it begins with the session, which access tokens name.
fn key(number: usize) -> String {
    format!("{number:022}-and-the-rest")
}

fn scene() -> Scene {
    Scene::with(FacadeSettings { keeps_id_tokens: true, ..settings() }, |_| {})
}

/// A login whose ID token is over, with a refresh token.
async fn log_in(scene: &Scene, key: &str) {
    let brought = Brought {
        id_token: "over".into(),
        expires: now(),
        issued: None,
        refresh: Some("rt~ada".into()),
        subject: "ada".into(),
        ends: 0,
    };
    scene.facade.keep_brought(key, brought, now() + 3600).await.unwrap();
}

/// The ID token that there is for a login.
async fn id_token(scene: &Scene, key: &str) -> Option<String> {
    scene.facade.brought(&key[..22]).await.unwrap().map(|brought| brought.id_token)
}

#[tokio::test(start_paused = true)]
async fn a_renewal_comes_to_its_end_when_whoever_asked_for_it_has_left() {
    let (scene, key) = (scene(), key(1));
    log_in(&scene, &key).await;
    scene.idp(|idp| idp.delay = Duration::from_secs(5));
    timeout(Duration::from_secs(1), id_token(&scene, &key)).await.expect_err("the provider is slow");
    sleep(Duration::from_secs(5)).await;
    assert!(id_token(&scene, &key).await.is_some(), "what came is kept");
    let renewals =
        scene.idp(|idp| idp.posted.iter().filter(|(_, form, _)| form.contains("=refresh_token")).count());
    assert_eq!(renewals, 1);
    // Nor did they take the turn along.
    assert!(scene.facade.kept.turn(BROUGHT, &key).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_another_process_keeps_no_other_login_waiting() {
    let (scene, one) = (scene(), key(0));
    let place = |key: &str| scene.facade.renewing.place(key);
    let same = |other: &String| std::ptr::eq(place(&one), place(other));
    let other = (1..10_000).map(key).find(same).expect("there are 64 places");
    log_in(&scene, &one).await;
    log_in(&scene, &other).await;
    let theirs = scene.facade.kept.turn(BROUGHT, &one).await.unwrap().expect("nobody has it");
    let began = Instant::now();
    let meanwhile = async {
        sleep(Duration::from_secs(1)).await;
        (id_token(&scene, &other).await, began.elapsed())
    };
    let (waited, (renewed, after)) = tokio::join!(id_token(&scene, &one), meanwhile);
    assert!(renewed.is_some() && after < Duration::from_secs(2), "{after:?}");
    assert!(waited.is_none() && began.elapsed() >= Duration::from_secs(10), "they have not come to an end");
    theirs.give_back().await;
    assert!(id_token(&scene, &one).await.is_some());
}
