//! DPoP over the wire (RFC 9449).

use serde_json::json;

use super::{Scene, bearer};
use crate::harness::idp::{PUBLIC, Signer};

#[tokio::test]
async fn a_bound_token_needs_a_proof_for_each_request() {
    let scene = Scene::new().await;
    let key = Signer::new();
    let target = format!("{PUBLIC}/mcp");
    let token = scene.idp.token_with("ada", &json!({"cnf": {"jkt": key.thumbprint()}}));
    let dpop = format!("DPoP {token}");
    let proof = key.proof(&token, &target, &json!({}));
    let show = async |proof: &str| scene.call_with(&[("authorization", &dpop), ("dpop", proof)]).await;
    assert_eq!(show(&proof).await.status(), 200);
    let refused = [
        ("replayed", proof.clone()),
        ("for another endpoint", key.proof(&token, &format!("{PUBLIC}/mcp/s/x"), &json!({}))),
        ("for another method", key.proof(&token, &target, &json!({"htm": "GET"}))),
        ("for another token", key.proof("other", &target, &json!({}))),
        ("with another key", Signer::new().proof(&token, &target, &json!({}))),
        ("old", key.proof(&token, &target, &json!({"iat": 1000}))),
        ("missing", String::new()),
    ];
    for (what, proof) in refused {
        let answer = show(&proof).await;
        assert_eq!(answer.status(), 401, "{what}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("DPoP error=\"invalid_dpop_proof\""), "{what}: {challenge}");
    }
    let twice = key.proof(&token, &target, &json!({}));
    let headers = [("authorization", dpop.as_str()), ("dpop", twice.as_str()), ("dpop", twice.as_str())];
    assert_eq!(scene.call_with(&headers).await.status(), 401);
    let stolen = scene.call(&bearer(&token)).await;
    assert!(stolen.header("www-authenticate").unwrap().contains("invalid_token"));
    assert_eq!(scene.calls(), 1);
}

#[tokio::test]
async fn where_nonces_are_wanted_the_answer_gives_one() {
    let scene =
        Scene::with(|config| config["identity"]["dpop"] = json!({"required": true, "nonce": true})).await;
    let key = Signer::new();
    let target = format!("{PUBLIC}/mcp");
    let token = scene.idp.token_with("ada", &json!({"cnf": {"jkt": key.thumbprint()}}));
    let dpop = format!("DPoP {token}");
    let without = key.proof(&token, &target, &json!({}));
    let answer = scene.call_with(&[("authorization", &dpop), ("dpop", &without)]).await;
    assert_eq!(answer.status(), 401);
    assert!(answer.header("www-authenticate").unwrap().starts_with("DPoP error=\"use_dpop_nonce\""));
    let nonce = answer.header("dpop-nonce").unwrap();
    let with = key.proof(&token, &target, &json!({"nonce": nonce}));
    assert_eq!(scene.call_with(&[("authorization", &dpop), ("dpop", &with)]).await.status(), 200);
    assert_eq!(
        scene.call(&bearer(&scene.idp.token("ada"))).await.status(),
        401,
        "unbound tokens are not taken"
    );
    let document = scene.gateway.get("/.well-known/oauth-protected-resource/mcp").await.json();
    assert_eq!(document["dpop_bound_access_tokens_required"], true);
}
