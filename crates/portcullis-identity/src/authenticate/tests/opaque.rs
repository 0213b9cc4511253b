//! Tokens that only their issuer can read, and whoever makes them up.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::jose::{KeySet, SigningKey};
use crate::proof::ClientProof;
use crate::settings::Introspection;

/// Of what an issuer answers.
type AnswerChange = fn(&mut Value);

const ASK: &str = "https://idp.example.com/introspect";

fn introspecting(settings: &mut Settings) {
    by(settings, ClientProof::Secret("secret".into()));
}

fn by(settings: &mut Settings, proof: ClientProof) {
    let client_id = "gateway".into();
    settings.issuers[0].introspection = Some(Introspection { url: ASK.into(), client_id, proof });
}

#[tokio::test]
async fn who_asks_proves_itself_by_a_secret_or_a_signature_for_the_issuer() {
    let active = json!({"active": true, "iss": ISSUER, "aud": [ENDPOINT], "sub": "ada", "exp": now() + 300});
    let scene = Scene::new(introspecting);
    scene.outside.answer(ASK, &active);
    scene.bearer("opaque").await.unwrap();
    let (body, authorization) = scene.outside.posted();
    assert_eq!(body, "token_type_hint=access_token&token=opaque");
    assert_eq!(authorization, "Basic Z2F0ZXdheTpzZWNyZXQ=");

    let pkcs8 = SigningKey::generate();
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(&pkcs8));
    let scene = Scene::new(|settings| by(settings, ClientProof::Key { pem, kid: Some("g1".into()) }));
    scene.outside.answer(ASK, &active);
    scene.bearer("opaque").await.unwrap();
    let (body, authorization) = scene.outside.posted();
    assert_eq!(authorization, "");
    let (form, assertion) = body.split_once("&client_assertion=").unwrap();
    assert!(form.ends_with("&client_id=gateway&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"), "{form}");
    let compact = Compact::parse(assertion).ok().unwrap();
    let jwk = SigningKey::from_pkcs8(&pkcs8).unwrap().jwk("g1").unwrap();
    let set = KeySet::read(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
    assert_eq!(set.check_signature(&compact, crate::jose::Algorithm::ES256), Ok(()));
    for (name, value) in [("iss", "gateway"), ("sub", "gateway"), ("aud", ISSUER)] {
        assert_eq!(compact.claims[name], value, "{name}");
    }
    let lasts = compact.claims["exp"].as_u64().unwrap() - compact.claims["iat"].as_u64().unwrap();
    assert!(lasts <= 60 && compact.claims["jti"].as_str().is_some_and(|id| id.len() > 20));

    let scene = Scene::new(|settings| by(settings, ClientProof::Key { pem: "none".into(), kid: None }));
    assert_eq!(scene.bearer("opaque").await.err(), Some(Refused::Unavailable));
    assert_eq!(scene.outside.asked(ASK), 0);
}

#[tokio::test]
async fn opaque_tokens_are_asked_about_once_and_refusals_are_remembered() {
    let scene = Scene::new(introspecting);
    let active = json!({"active": true, "iss": ISSUER, "aud": [ENDPOINT], "sub": "ada", "exp": now() + 300});
    scene.outside.answer(ASK, &active);
    for _ in 0..5 {
        let verified = scene.bearer("opaque").await.unwrap();
        assert_eq!(&*verified.id, "user:https://idp.example.com#ada");
    }
    assert_eq!(scene.outside.asked(ASK), 1);
    let table: [(&str, AnswerChange, Reason); 6] = [
        ("inactive", |it| it["active"] = json!(false), Reason::Inactive),
        ("active as text", |it| it["active"] = json!("true"), Reason::Inactive),
        ("another issuer", |it| it["iss"] = json!("https://evil"), Reason::Issuer),
        ("no subject", |it| drop(it.as_object_mut().unwrap().remove("sub")), Reason::Subject),
        ("expired", |it| it["exp"] = json!(1), Reason::Expired),
        ("another audience", |it| it["aud"] = json!("https://other"), Reason::Audience),
    ];
    for (what, change, reason) in table {
        let mut answer = active.clone();
        change(&mut answer);
        scene.outside.answer(ASK, &answer);
        let before = scene.outside.asked(ASK);
        let token = what.replace(' ', "-");
        for _ in 0..3 {
            assert_eq!(refused(scene.bearer(&token).await), reason, "{what}");
        }
        assert_eq!(scene.outside.asked(ASK), before + 1, "{what}");
    }
}

#[tokio::test]
async fn made_up_opaque_tokens_cost_the_issuer_a_bounded_number_of_questions() {
    let scene = Scene::new(introspecting);
    scene.outside.answer(ASK, &json!({"active": false}));
    tokio::time::pause();
    for number in 0..1000 {
        let answer = scene.bearer(&format!("made-up-{number}")).await;
        assert!(matches!(answer, Err(Refused::Invalid(Reason::Inactive) | Refused::Unavailable)));
    }
    assert!(scene.outside.asked(ASK) <= 10, "of one network: {}", scene.outside.asked(ASK));
    for number in 0..1000 {
        let source = format!("198.51.100.{}", number % 200);
        let _ = scene.present_from(&source, &format!("Bearer made-up-{number}-too"), None, None).await;
    }
    assert!(scene.outside.asked(ASK) <= 100, "of all networks: {}", scene.outside.asked(ASK));
}

#[tokio::test]
async fn whoever_makes_up_opaque_tokens_keeps_nobody_else_out() {
    let scene = Scene::new(introspecting);
    let active = json!({"active": true, "iss": ISSUER, "aud": [ENDPOINT], "sub": "ada", "exp": now() + 300});
    scene.outside.answer(ASK, &active);
    scene.bearer("good").await.unwrap();
    tokio::time::pause();
    let mut settings = Settings { issuers: vec![issuer()], ..Settings::default() };
    introspecting(&mut settings);
    // What was remembered is forgotten, so the good one is to be asked about again, in the middle of a flood.
    scene.reload(settings);
    let flood = async |source: &str| {
        for number in 0..200 {
            let _ =
                scene.present_from(source, &format!("Bearer made-up-{number}-{source}"), None, None).await;
        }
    };
    scene.outside.answer(ASK, &json!({"active": false}));
    flood("203.0.113.9").await;
    scene.outside.answer(ASK, &active);
    assert!(scene.present_from("203.0.113.10", "Bearer new", None, None).await.is_ok(), "another network");
    for network in 0..50 {
        flood(&format!("198.51.100.{network}")).await;
    }
    let newcomer = scene.present_from("203.0.113.11", "Bearer newer", None, None).await;
    assert_eq!(newcomer.err(), Some(Refused::Unavailable), "all networks together have had their turns");
    assert!(scene.bearer("good").await.is_ok(), "what was good before has turns of its own");
}

#[tokio::test]
async fn an_issuer_that_fails_again_and_again_is_left_alone_and_nobody_is_let_in() {
    let scene = Scene::new(introspecting);
    scene.outside.fail(ASK);
    for number in 0..50 {
        assert!(matches!(scene.bearer(&format!("t-{number}")).await, Err(Refused::Unavailable)));
    }
    assert_eq!(scene.outside.asked(ASK), 5);
}
