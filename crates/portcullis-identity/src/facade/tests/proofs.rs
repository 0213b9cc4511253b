//! Tokens that are bound to a key: what binds them, and what is no proof (RFC 9449 section 5).

use serde_json::{Value, json};

use super::grants::id_jag;
use super::scene::*;
use super::scene_basic;
use crate::facade::kept::secret;
use crate::facade::{FacadeAnswer, FacadeRequest, now};
use crate::fixture::Signer;
use crate::jose::Jwk;

/// A client's key.
struct Key(Signer);

impl Key {
    fn new() -> Self {
        Self(Signer::p256())
    }

    fn thumbprint(&self) -> String {
        Jwk::read(self.0.jwk("k").as_object().unwrap()).unwrap().thumbprint()
    }

    /// A proof for the token endpoint, with other members of the header and the claims.
    fn proof_with(&self, header: &Value, claims: &Value) -> String {
        let mut of_header = json!({"alg": "ES256", "typ": "dpop+jwt", "jwk": self.0.jwk("k")});
        let mut of_claims =
            json!({"jti": secret(), "htm": "POST", "htu": format!("{ISSUER}/token"), "iat": now()});
        over(&mut of_header, header);
        over(&mut of_claims, claims);
        self.0.sign(&of_header, &of_claims)
    }

    fn proof(&self) -> String {
        self.proof_with(&json!({}), &json!({}))
    }
}

async fn ask(
    scene: &Scene,
    params: &[(&str, &str)],
    proof: Option<&str>,
    authorization: Option<&str>,
) -> FacadeAnswer {
    scene
        .post_with("/token", params, FacadeRequest { authorization, proof, ..FacadeRequest::default() })
        .await
}

async fn redeem(scene: &Scene, code: &str, proof: Option<&str>) -> FacadeAnswer {
    let params = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT),
        ("code", code),
        ("code_verifier", VERIFIER),
    ];
    ask(scene, &params, proof, None).await
}

async fn refresh(scene: &Scene, token: &str, proof: Option<&str>) -> FacadeAnswer {
    let params = [("grant_type", "refresh_token"), ("client_id", CLIENT), ("refresh_token", token)];
    ask(scene, &params, proof, None).await
}

async fn code(scene: &Scene) -> String {
    scene.login(&mut Browser::default(), CLIENT, WEB, "ada").await
}

fn body(answer: &FacadeAnswer) -> Value {
    serde_json::from_str(&answer.body).unwrap()
}

fn error(answer: &FacadeAnswer) -> String {
    assert_eq!(answer.status, 400, "{answer:?}");
    body(answer)["error"].as_str().unwrap().to_owned()
}

/// The thumbprint that the access token of an answer is bound to, which says so.
fn bound_to(answer: &FacadeAnswer) -> Option<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = claims(body(answer)["access_token"].as_str().unwrap());
    let key = told["cnf"]["jkt"].as_str().map(str::to_owned);
    assert_eq!(body(answer)["token_type"], if key.is_some() { "DPoP" } else { "Bearer" });
    key
}

#[tokio::test]
async fn tokens_of_a_login_are_bound_to_the_key_that_was_shown() {
    let (scene, key, other) = (Scene::new(), Key::new(), Key::new());
    let answer = redeem(&scene, &code(&scene).await, Some(&key.proof())).await;
    assert_eq!(bound_to(&answer), Some(key.thumbprint()));
    let token = body(&answer)["refresh_token"].as_str().unwrap().to_owned();
    // Who stole the refresh token has nothing, and ends nothing.
    assert_eq!(error(&refresh(&scene, &token, None).await), "invalid_dpop_proof");
    assert_eq!(error(&refresh(&scene, &token, Some(&other.proof())).await), "invalid_grant");
    let answer = refresh(&scene, &token, Some(&key.proof())).await;
    assert_eq!(bound_to(&answer), Some(key.thumbprint()));
    // Without a proof, nothing is bound.
    assert_eq!(bound_to(&redeem(&scene, &code(&scene).await, None).await), None);
}

#[tokio::test]
async fn a_client_with_credentials_may_change_its_key_and_not_give_it_up() {
    let (scene, key, other) = (Scene::new(), Key::new(), Key::new());
    let basic = format!("Basic {}", scene_basic("server", SECRET));
    let code = scene.login(&mut Browser::default(), "server", WEB, "ada").await;
    let params = [("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", VERIFIER)];
    let first = ask(&scene, &params, Some(&key.proof()), Some(&basic)).await;
    assert_eq!(bound_to(&first), Some(key.thumbprint()));
    let token = body(&first)["refresh_token"].as_str().unwrap().to_owned();
    let params = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    assert_eq!(error(&ask(&scene, &params, None, Some(&basic)).await), "invalid_dpop_proof");
    let second = ask(&scene, &params, Some(&other.proof()), Some(&basic)).await;
    assert_eq!(bound_to(&second), Some(other.thumbprint()));
}

#[tokio::test]
async fn a_login_that_began_with_a_key_ends_with_it() {
    let (scene, key, other) = (Scene::new(), Key::new(), Key::new());
    let begun = async || {
        let wish = with(wish(CLIENT, WEB), "dpop_jkt", &key.thumbprint());
        let back = Browser::default().login(&scene, &wish, "ada").await;
        params_of(&location(&back)).get("code").unwrap().unwrap().to_owned()
    };
    // Whoever has the code and the verifier has not got the key (RFC 9449 section 10).
    assert_eq!(error(&redeem(&scene, &begun().await, None).await), "invalid_dpop_proof");
    assert_eq!(error(&redeem(&scene, &begun().await, Some(&other.proof())).await), "invalid_grant");
    assert_eq!(bound_to(&redeem(&scene, &begun().await, Some(&key.proof())).await), Some(key.thumbprint()));
    for bad in ["short", "not base64url, and not of 43 characters either"] {
        let page = Browser::default().authorize(&scene, &with(wish(CLIENT, WEB), "dpop_jkt", bad)).await;
        assert!(page.refused.unwrap().contains("dpop_jkt"), "{bad}");
    }
}

#[tokio::test]
async fn what_is_no_proof_for_the_token_endpoint_gives_no_token() {
    let (scene, key, other) = (Scene::new(), Key::new(), Key::new());
    let used = key.proof();
    let params = [("grant_type", "client_credentials"), ("resource", "https://gw.example.com/mcp")];
    let robot = format!("Basic {}", scene_basic("robot", SECRET));
    let answer = ask(&scene, &params, Some(&used), Some(&robot)).await;
    assert_eq!(bound_to(&answer), Some(key.thumbprint()));
    let private = {
        let mut jwk = key.0.jwk("k");
        jwk["d"] = json!("AA");
        jwk
    };
    let table = [
        ("used before", used),
        ("empty", String::new()),
        ("no token at all", "made-up".to_owned()),
        ("typ", key.proof_with(&json!({"typ": "JWT"}), &json!({}))),
        ("alg none", key.proof_with(&json!({"alg": "none"}), &json!({}))),
        ("HMAC", key.proof_with(&json!({"alg": "HS256"}), &json!({}))),
        ("no key", key.proof_with(&json!({"jwk": null}), &json!({}))),
        ("a private key", key.proof_with(&json!({"jwk": private}), &json!({}))),
        ("another key", key.proof_with(&json!({"jwk": other.0.jwk("k")}), &json!({}))),
        ("another method", key.proof_with(&json!({}), &json!({"htm": "GET"}))),
        ("for an endpoint", key.proof_with(&json!({}), &json!({"htu": format!("{BASE}/mcp")}))),
        ("for revocation", key.proof_with(&json!({}), &json!({"htu": format!("{ISSUER}/revoke")}))),
        ("for another server", key.proof_with(&json!({}), &json!({"htu": "https://evil.example/as/token"}))),
        ("old", key.proof_with(&json!({}), &json!({"iat": now() - 400}))),
        ("of tomorrow", key.proof_with(&json!({}), &json!({"iat": now() + 86400}))),
        ("without a time", key.proof_with(&json!({}), &json!({"iat": null}))),
        ("without an end of time", key.proof_with(&json!({}), &json!({"iat": u64::MAX}))),
        ("without a name", key.proof_with(&json!({}), &json!({"jti": null}))),
        ("a long name", key.proof_with(&json!({}), &json!({"jti": "x".repeat(300)}))),
    ];
    for (what, proof) in &table {
        let answer = ask(&scene, &params, Some(proof), Some(&robot)).await;
        assert_eq!(error(&answer), "invalid_dpop_proof", "{what}");
    }
    // Whichever process it comes to, a proof is good once.
    let (proof, elsewhere) = (key.proof(), scene.replica());
    assert_eq!(ask(&scene, &params, Some(&proof), Some(&robot)).await.status, 200);
    assert_eq!(error(&ask(&elsewhere, &params, Some(&proof), Some(&robot)).await), "invalid_dpop_proof");
}

#[tokio::test]
async fn whoever_wants_bound_tokens_gets_no_others() {
    let required = Scene::with(
        {
            let mut settings = settings();
            settings.dpop_required = true;
            settings
        },
        |_| {},
    );
    assert_eq!(error(&redeem(&required, &code(&required).await, None).await), "invalid_dpop_proof");
    let key = Key::new();
    let answer = redeem(&required, &code(&required).await, Some(&key.proof())).await;
    assert_eq!(bound_to(&answer), Some(key.thumbprint()));

    // A client says so of itself.
    let scene = Scene::new();
    let metadata = json!({
        "redirect_uris": [WEB], "token_endpoint_auth_method": "none", "dpop_bound_access_tokens": true,
    });
    let registered = body(&scene.register(&metadata).await);
    assert_eq!(registered["dpop_bound_access_tokens"], true);
    let id = registered["client_id"].as_str().unwrap();
    let code = scene.login(&mut Browser::default(), id, WEB, "ada").await;
    assert_eq!(error(&scene.redeem(id, &code, VERIFIER).await), "invalid_dpop_proof");
    let unclear = json!({"redirect_uris": [WEB], "dpop_bound_access_tokens": "yes"});
    assert_eq!(error(&scene.register(&unclear).await), "invalid_client_metadata");
    let document = body(&scene.facade.document());
    assert!(document["dpop_signing_alg_values_supported"].as_array().unwrap().contains(&json!("ES256")));
}

#[tokio::test]
async fn where_nonces_are_wanted_any_process_of_the_same_key_gives_one() {
    let mut settings = settings();
    settings.dpop_nonce = true;
    let (scene, key) = (Scene::with(settings, |_| {}), Key::new());
    let robot = format!("Basic {}", scene_basic("robot", SECRET));
    let params = [("grant_type", "client_credentials")];
    let answer = ask(&scene, &params, Some(&key.proof()), Some(&robot)).await;
    assert_eq!(error(&answer), "use_dpop_nonce");
    let nonce = field(&answer, "dpop-nonce").expect("a nonce");
    for (nonce, good) in [(nonce.as_str(), true), ("made-up", false)] {
        let proof = key.proof_with(&json!({}), &json!({"nonce": nonce}));
        let answer = ask(&scene.replica(), &params, Some(&proof), Some(&robot)).await;
        assert_eq!(answer.status == 200, good, "{answer:?}");
        assert!(field(&answer, "dpop-nonce").is_some());
    }
    assert_eq!(field(&ask(&Scene::new(), &params, None, Some(&robot)).await, "dpop-nonce"), None);
}

#[tokio::test]
async fn an_assertion_that_is_bound_to_a_key_is_of_use_with_that_key_alone() {
    let (scene, key, other) = (Scene::new(), Key::new(), Key::new());
    let server = format!("Basic {}", scene_basic("server", SECRET));
    let bound = json!({"cnf": {"jkt": key.thumbprint()}});
    for (what, change, proof, good) in [
        ("its key", bound.clone(), Some(key.proof()), true),
        ("another key", bound.clone(), Some(other.proof()), false),
        ("no key", bound.clone(), None, false),
        ("a certificate", json!({"cnf": {"x5t#S256": "x"}}), Some(key.proof()), false),
        ("no binding", json!({}), Some(key.proof()), true),
    ] {
        let assertion = id_jag(&scene, &json!({}), &change);
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let params = [("grant_type", grant), ("assertion", assertion.as_str())];
        let answer = ask(&scene, &params, proof.as_deref(), Some(&server)).await;
        if good {
            assert_eq!(bound_to(&answer), Some(key.thumbprint()), "{what}");
        } else {
            assert_eq!(error(&answer), "invalid_grant", "{what}");
        }
    }
}
