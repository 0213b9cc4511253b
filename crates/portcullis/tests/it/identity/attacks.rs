//! What must not get in, and what must not get out.

use serde_json::{Value, json};

use super::{Scene, bearer};
use crate::evidence;
use crate::harness::idp::{PUBLIC, Signer, now};
use crate::harness::{Modern, within};

#[tokio::test]
async fn every_bad_token_gets_the_same_answer_and_reaches_no_server() {
    let scene = Scene::with(|config| config["audit"] = json!({"node": "gw"})).await;
    let idp = &scene.idp;
    let claims = |change: Value| idp.token_with("eve", &change);
    let header = |change: Value| {
        let mut header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"});
        for (name, value) in change.as_object().unwrap() {
            header[name] = value.clone();
        }
        let claims =
            json!({"iss": idp.issuer, "aud": format!("{PUBLIC}/mcp"), "sub": "eve", "exp": now() + 300});
        idp.sign(&header, &claims)
    };
    let good = idp.token("eve");
    let stranger = Signer::new();
    let forged = stranger.sign(
        &json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1", "jwk": stranger.jwk("k1")}),
        &json!({"iss": idp.issuer, "aud": format!("{PUBLIC}/mcp"), "sub": "eve", "exp": now() + 300}),
    );
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    let table = [
        ("another audience", claims(json!({"aud": "https://elsewhere/mcp"}))),
        ("another endpoint", claims(json!({"aud": format!("{PUBLIC}/mcp/s/x")}))),
        ("no audience", claims(json!({"aud": null}))),
        ("another issuer", claims(json!({"iss": "https://evil.example"}))),
        ("expired", claims(json!({"exp": now() - 60}))),
        ("exp as text", claims(json!({"exp": "9999999999"}))),
        ("not yet valid", claims(json!({"nbf": now() + 600}))),
        ("no subject", claims(json!({"sub": null}))),
        ("ID token", header(json!({"typ": "JWT"}))),
        ("alg none", header(json!({"alg": "none"}))),
        ("HMAC", header(json!({"alg": "HS256"}))),
        ("another key type", header(json!({"alg": "RS256"}))),
        ("unknown kid", header(json!({"kid": "made up"}))),
        ("critical", header(json!({"crit": ["x"]}))),
        ("forged", forged),
        ("unsigned", unsigned),
        ("bound to a key", claims(json!({"cnf": {"jkt": "x"}}))),
        ("bound to a certificate", claims(json!({"cnf": {"x5t#S256": "x"}}))),
        ("opaque", "opaque".to_owned()),
        ("an API key", "pcl_0123456789012345678901234567890123456789".to_owned()),
    ];
    let mut answers = Vec::new();
    for (what, token) in &table {
        let answer = scene.call(&bearer(token)).await;
        assert_eq!(answer.status(), 401, "{what}: {answer:?}");
        assert!(!scene.gateway.log().contains(token.as_str()), "{what} is in the log");
        answers.push((answer.header("www-authenticate").unwrap().to_owned(), answer.text()));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "nobody learns how far a token got");
    assert!(answers[0].0.starts_with("Bearer error=\"invalid_token\""), "{}", answers[0].0);
    scene.gateway.logged("made for another audience").await;
    assert_eq!(scene.calls(), 0);
    // Each is evidence, with the reason that its sender is not told.
    let is_one = |event: &Value| event["detail"]["credential"].is_string();
    let events = evidence::until(&scene.gateway, "the refusals", table.len(), is_one).await;
    assert_eq!(events.len(), table.len());
    assert!(events.iter().all(|event| event["decision"]["reasons"] == json!(["unauthenticated"])));
    let told: Vec<_> = events.iter().map(|event| event["detail"]["credential"].as_str().unwrap()).collect();
    for reason in [
        "made for another audience",
        "an issuer that is not configured",
        "expired",
        "not valid yet",
        "without a subject",
        "an algorithm that is not allowed",
        "no key of the issuer fits",
        "the signature does not verify",
        "bound to a key, and presented as a bearer token",
        "an API key that does not exist",
    ] {
        assert!(told.contains(&reason), "{reason}: {told:?}");
    }
    assert_eq!(scene.call(&bearer(&good)).await.status(), 200);
    assert_eq!(scene.calls(), 1);
}

#[tokio::test]
async fn a_token_of_one_endpoint_is_not_for_another() {
    let scene = Scene::new().await;
    let request = async |path: &str, token: &str| {
        let authorization = bearer(token);
        let headers = [("authorization", authorization.as_str())];
        Modern::at(path).request_with(&scene.gateway, "tools/list", json!({}), &headers).await.status()
    };
    let (all, one) =
        (scene.idp.token("ada"), scene.idp.token_with("ada", &json!({"aud": format!("{PUBLIC}/mcp/s/x")})));
    assert_eq!((request("/mcp", &all).await, request("/mcp/s/x", &all).await), (200, 401));
    assert_eq!((request("/mcp", &one).await, request("/mcp/s/x", &one).await), (401, 200));
}

#[tokio::test]
async fn credentials_in_the_wrong_place_or_twice_are_refused() {
    let scene = Scene::new().await;
    let token = scene.idp.token("ada");
    let headers = [("content-type", "application/json")];
    for path in [format!("/mcp?access_token={token}"), format!("/mcp?a=b&access_token={token}")] {
        let answer = scene.gateway.send("POST", &path, &headers, b"{}").await;
        assert_eq!(answer.status(), 400, "{answer:?}");
        assert!(answer.header("www-authenticate").unwrap().contains("invalid_request"));
    }
    let authorization = bearer(&token);
    let twice = [("authorization", authorization.as_str()), ("authorization", authorization.as_str())];
    assert_eq!(scene.call_with(&twice).await.status(), 400);
    assert_eq!(scene.call("Bearer").await.status(), 400);
    // No kind of credential that says anything here: as good as none.
    assert_eq!(scene.call("Basic YTpi").await.status(), 401);
    assert!(!scene.gateway.log().contains(&token));
    assert_eq!(scene.calls(), 0);
}

#[tokio::test]
async fn a_bad_credential_is_not_made_up_for_by_loopback() {
    let scene = Scene::with(|config| config["identity"]["anonymous"] = json!("allow")).await;
    assert_eq!(scene.call_with(&[]).await.status(), 200);
    assert_eq!(scene.call("Bearer opaque").await.status(), 401);
    assert_eq!(scene.call(&bearer(&scene.idp.token("ada"))).await.status(), 200);
}

#[tokio::test]
async fn a_storm_of_made_up_keys_does_not_reach_the_issuer() {
    let scene = Scene::new().await;
    assert_eq!(scene.call(&bearer(&scene.idp.token("ada"))).await.status(), 200);
    for number in 0..100 {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": format!("made-up-{number}")});
        let token = scene.idp.sign(&header, &json!({"iss": scene.idp.issuer}));
        assert_eq!(scene.call(&bearer(&token)).await.status(), 401);
    }
    assert_eq!(scene.idp.asked("/jwks"), 1);
}

/// Whatever a caller presents ends at the gateway (2026-07-28, access token privilege restriction).
#[tokio::test]
async fn a_callers_token_reaches_no_server_and_no_log() {
    let scene = Scene::with(|config| config["telemetry"] = json!({"log": {"filter": "trace"}})).await;
    let token = scene.idp.token("ada");
    let headers = [("authorization", &*bearer(&token)), ("x-canary", &token)];
    assert_eq!(scene.call_with(&headers).await.status(), 200);
    assert_eq!(scene.call("Bearer canary-canary-canary").await.status(), 401);
    let seen = within("the call", scene.upstream.nth("tools/call", 1)).await;
    assert_eq!(seen.header("authorization"), None);
    let signature = token.rsplit('.').next().unwrap();
    for seen in scene.upstream.seen() {
        let all = format!("{:?} {}", seen.headers, String::from_utf8_lossy(&seen.body));
        assert!(!all.contains(signature), "{all}");
    }
    scene.gateway.logged("refused a credential").await;
    let log = scene.gateway.log();
    assert!(!log.contains(signature) && !log.contains("canary"), "{log}");
}
