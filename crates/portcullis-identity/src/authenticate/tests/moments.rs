//! To the second: until when what was found out counts, and when streams end. The clock and the timers are the test's.

use tokio::time::{Instant, advance};

use super::*;
use crate::settings::Introspection;

const ASK: &str = "https://idp.example.com/introspect";
const SECOND: Duration = Duration::from_secs(1);

/// A scene whose time stands still until it is moved on.
fn scene(change: impl FnOnce(&mut Settings)) -> Scene {
    tokio::time::pause();
    let mut scene = Scene::new(change);
    scene.identity.clock = Clock::of_timers();
    scene
}

fn introspecting(settings: &mut Settings) {
    let proof = crate::proof::ClientProof::Secret("secret".into());
    let client_id = "gateway".into();
    settings.issuers[0].introspection = Some(Introspection { url: ASK.into(), client_id, proof });
}

impl Scene {
    /// In so many seconds, by the clock of the scene.
    fn at(&self, seconds: u64) -> u64 {
        self.identity.clock.seconds() + seconds
    }
}

/// How long it takes until something has happened: in whole seconds, but for the millisecond to which timers are rounded up.
async fn took(happens: impl Future<Output = ()>) -> Duration {
    let began = Instant::now();
    happens.await;
    let took = began.elapsed();
    assert!(took.subsec_millis() <= 1, "{took:?}");
    Duration::from_secs(took.as_secs())
}

#[tokio::test]
async fn what_an_issuer_says_of_a_token_counts_for_a_minute_and_no_second_longer() {
    let scene = scene(introspecting);
    let active = json!({"active": true, "aud": [ENDPOINT], "sub": "ada", "exp": scene.at(3600)});
    scene.outside.answer(ASK, &active);
    scene.bearer("opaque").await.unwrap();
    scene.outside.answer(ASK, &json!({"active": false}));
    advance(59 * SECOND).await;
    assert!(scene.bearer("opaque").await.is_ok(), "it was taken back meanwhile, and is not asked about yet");
    assert_eq!(scene.outside.asked(ASK), 1);
    advance(SECOND).await;
    assert_eq!(refused(scene.bearer("opaque").await), Reason::Inactive);
    assert_eq!(scene.outside.asked(ASK), 2);
    // What was refused counts for ten seconds.
    scene.outside.answer(ASK, &active);
    advance(9 * SECOND).await;
    assert_eq!(refused(scene.bearer("opaque").await), Reason::Inactive);
    advance(SECOND).await;
    assert!(scene.bearer("opaque").await.is_ok());
    assert_eq!(scene.outside.asked(ASK), 3);
}

#[tokio::test]
async fn an_answer_without_an_end_ends_the_streams_of_its_token_after_a_quarter_of_an_hour() {
    let scene = scene(introspecting);
    scene.outside.answer(ASK, &json!({"active": true, "aud": [ENDPOINT], "sub": "ada"}));
    let verified = scene.bearer("opaque").await.unwrap();
    assert_eq!(took(scene.identity.until_over(&verified)).await, Duration::from_mins(15));
}

#[tokio::test]
async fn streams_end_at_the_very_moment_that_their_token_does_and_requests_half_a_minute_later() {
    let scene = scene(|_| {});
    let token = scene.token(|_, claims| {
        set(claims, "iat", scene.at(0));
        set(claims, "exp", scene.at(100));
    });
    let verified = scene.bearer(&token).await.unwrap();
    assert_eq!(took(scene.identity.until_over(&verified)).await, 100 * SECOND);
    // A stream that is asked for meanwhile tells nothing.
    assert_eq!(took(scene.identity.until_over(&verified)).await, Duration::ZERO);
    advance(29 * SECOND).await;
    assert!(scene.bearer(&token).await.is_ok(), "clocks may differ by so much");
    advance(SECOND).await;
    assert_eq!(refused(scene.bearer(&token).await), Reason::Expired);
}

#[tokio::test]
async fn what_is_taken_back_ends_streams_and_requests_with_the_reload() {
    let scene = scene(|_| {});
    let token = scene.token(|_, claims| {
        set(claims, "iat", scene.at(0));
        set(claims, "exp", scene.at(3000));
    });
    let verified = scene.bearer(&token).await.unwrap();
    let revoking = async {
        advance(40 * SECOND).await;
        let tokens = ["t1".to_owned()].into();
        let revoked = crate::revoked::Revoked { tokens, ..Default::default() };
        scene.reload(Settings { issuers: vec![issuer()], revoked, ..Settings::default() });
    };
    let (after, ()) = tokio::join!(took(scene.identity.until_over(&verified)), revoking);
    assert_eq!(after, 40 * SECOND);
    assert_eq!(refused(scene.bearer(&token).await), Reason::Revoked);
}

#[tokio::test]
async fn a_key_that_its_issuer_withdraws_counts_until_keys_are_renewed_and_a_minute_for_what_was_verified() {
    let scene = scene(|_| {});
    let token = |id: &str| {
        scene.token(|_, claims| {
            set(claims, "iat", scene.at(0));
            set(claims, "exp", scene.at(3600));
            set(claims, "jti", id);
        })
    };
    let [first, second, third, fourth] = ["1", "2", "3", "4"].map(token);
    scene.bearer(&first).await.unwrap();
    scene.outside.answer(KEYS, &json!({"keys": [Signer::p256().jwk("k2")]}));
    // Without another word of the issuer's, keys are kept for five minutes.
    advance(299 * SECOND).await;
    scene.bearer(&second).await.unwrap();
    assert_eq!(scene.outside.asked(KEYS), 1);
    advance(SECOND).await;
    assert!(scene.bearer(&third).await.is_ok(), "nobody waits for keys that are there");
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.outside.asked(KEYS), 2);
    assert_eq!(refused(scene.bearer(&fourth).await), Reason::UnknownKey);
    advance(58 * SECOND).await;
    assert!(scene.bearer(&second).await.is_ok());
    advance(SECOND).await;
    assert_eq!(refused(scene.bearer(&second).await), Reason::UnknownKey);
    assert!(scene.bearer(&third).await.is_ok(), "which was verified a second later");
}
