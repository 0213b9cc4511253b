//! Grants without a browser: machines, ID-JAGs, assertions of clients, revocation.

use serde_json::{Value, json};

use super::scene::*;
use super::scene_basic;
use crate::facade::settings::ConfiguredClient;
use crate::facade::{FacadeAnswer, now};
use crate::fixture::Signer;

const JAG: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What is wrong with a request, its parameters, its `Authorization`, and the error.
type Wrong<'a> = (&'a str, Vec<(&'a str, &'a str)>, Option<String>, &'a str);

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", scene_basic(id, secret))
}

fn token(answer: &FacadeAnswer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer.get("refresh_token"), None);
    claims(answer["access_token"].as_str().unwrap())
}

#[tokio::test]
async fn a_machine_calls_on_its_own_behalf_and_is_nobody_else() {
    let scene = Scene::new();
    let robot = basic("robot", SECRET);
    let ask = async |params: &[(&str, &str)], authorization: Option<&str>| {
        let params = [&[("grant_type", "client_credentials")], params].concat();
        scene.post_as("/token", &params, authorization).await
    };
    let told =
        token(&ask(&[("resource", "https://gw.example.com/mcp"), ("scope", "mcp")], Some(&robot)).await);
    assert_eq!(
        (&told["sub"], &told["groups"], &told["scope"]),
        (&json!("machine:robot"), &json!(["ci"]), &json!("mcp"))
    );
    let table: [Wrong<'_>; 8] = [
        ("a wrong secret", vec![], Some(basic("robot", "wrong")), "invalid_client"),
        ("no secret", vec![("client_id", "robot")], None, "invalid_client"),
        ("nobody", vec![], None, "invalid_client"),
        ("one for people", vec![], Some(basic("server", SECRET)), "unauthorized_client"),
        ("a public one", vec![("client_id", CLIENT)], None, "unauthorized_client"),
        ("two names", vec![("client_id", CLIENT)], Some(robot.clone()), "invalid_request"),
        ("two ways", vec![("client_secret", SECRET)], Some(robot.clone()), "invalid_request"),
        ("elsewhere", vec![("resource", "https://evil.example/")], Some(robot.clone()), "invalid_target"),
    ];
    for (what, params, authorization, code) in table {
        let answer = ask(&params, authorization.as_deref()).await;
        let error: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(error["error"], code, "{what}: {answer:?}");
        assert_eq!(answer.status == 401, code == "invalid_client", "{what}");
    }
    assert_eq!(scene.post_as("/token", &[("grant_type", "password")], Some(&robot)).await.status, 400);
}

/// A client that proves itself by its key (RFC 7523), and what is no proof.
#[tokio::test]
async fn an_assertion_of_a_client_is_good_once_and_for_us() {
    let key = Signer::p256();
    let mut settings = settings();
    let jwks = Some(json!({"keys": [key.jwk("c1")]}).to_string());
    let machine = Some(vec!["ci".to_owned()]);
    let (id, name) = ("signer".to_owned(), "Signer".to_owned());
    settings.clients.push(ConfiguredClient {
        id,
        name,
        redirect_uris: Vec::new(),
        secret: None,
        jwks,
        machine,
    });
    let scene = Scene::with(settings, |_| {});
    let made = |change: Value| {
        let mut claims = json!({
            "iss": "signer", "sub": "signer", "aud": format!("{ISSUER}/token"), "exp": now() + 60, "iat": now(),
            "jti": format!("{:?}", std::time::Instant::now()),
        });
        over(&mut claims, &change);
        key.sign(&json!({"alg": "ES256", "kid": "c1"}), &claims)
    };
    let ask = async |assertion: &str| {
        let params = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ];
        scene.post("/token", &params).await
    };
    let good = made(json!({}));
    assert_eq!(token(&ask(&good).await)["client_id"], "signer");
    assert_eq!(ask(&good).await.refused, Some("an assertion that was used before"));
    assert_eq!(token(&ask(&made(json!({"aud": [ISSUER]}))).await)["sub"], "machine:signer");
    for (what, assertion) in [
        ("for somebody else", made(json!({"aud": "https://evil.example/token"}))),
        ("for several", made(json!({"aud": [ISSUER, "https://evil.example"]}))),
        ("expired", made(json!({"exp": now() - 60}))),
        ("good for ever", made(json!({"exp": now() + 86_400}))),
        ("without an end", made(json!({"exp": null}))),
        ("without an id", made(json!({"jti": null}))),
        ("of two", made(json!({"sub": "robot"}))),
        ("of another", made(json!({"iss": "robot", "sub": "robot"}))),
        (
            "of a stranger's key",
            Signer::p256()
                .sign(&json!({"alg": "ES256", "kid": "c1"}), &json!({"iss": "signer", "sub": "signer"})),
        ),
        ("no JWT", "x.y.z".to_owned()),
    ] {
        let answer = ask(&assertion).await;
        assert_eq!((answer.status, answer.refused.is_some()), (401, true), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn an_id_jag_is_taken_once_from_whom_the_operator_trusts_for_its_client_and_us() {
    let scene = Scene::new();
    let jag = |header: Value, change: Value| {
        let mut head = json!({"alg": "ES256", "kid": "k1", "typ": "oauth-id-jag+jwt"});
        over(&mut head, &header);
        let mut claims = json!({
            "iss": IDP, "sub": "ada", "aud": ISSUER, "client_id": "server", "resource": format!("{BASE}/mcp"),
            "iat": now(), "exp": now() + 300, "jti": format!("{:?}", std::time::Instant::now()), "scope": "mcp",
            "groups": ["staff"], "email": "ada@example.com",
        });
        over(&mut claims, &change);
        scene.idp(|idp| idp.signer.sign(&head, &claims))
    };
    let server = basic("server", SECRET);
    let ask = async |assertion: &str, authorization: Option<&str>| {
        let mut params = vec![("grant_type", JAG), ("assertion", assertion)];
        if authorization.is_none() {
            params.push(("client_id", CLIENT));
        }
        scene.post_as("/token", &params, authorization).await
    };
    let good = jag(json!({}), json!({}));
    let told = token(&ask(&good, Some(&server)).await);
    let expected = json!({"sub": "ada", "client_id": "server", "groups": ["staff"], "scope": "mcp", "aud": format!("{BASE}/mcp")});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&told[name], value, "{name}");
    }
    assert_eq!(ask(&good, Some(&server)).await.refused, Some("an assertion that was used before"));
    // What is refused for another reason is not used up by it.
    let kept = jag(json!({}), json!({}));
    assert_eq!(ask(&kept, None).await.status, 401, "a public client");
    assert_eq!(
        ask(&kept, Some(&basic("robot", SECRET))).await.refused,
        Some("the assertion is another client's")
    );
    assert_eq!(ask(&kept, Some(&server)).await.status, 200);
    for (what, assertion) in [
        ("an access token", jag(json!({"typ": "at+jwt"}), json!({}))),
        ("an ID token", jag(json!({"typ": "JWT"}), json!({}))),
        ("untyped", jag(json!({"typ": null}), json!({}))),
        ("for another server", jag(json!({}), json!({"aud": "https://other.example"}))),
        ("for the token endpoint", jag(json!({}), json!({"aud": format!("{ISSUER}/token")}))),
        ("for several", jag(json!({}), json!({"aud": [ISSUER, "https://other.example"]}))),
        ("another issuer's", jag(json!({}), json!({"iss": "https://evil.example"}))),
        ("another resource's", jag(json!({}), json!({"resource": "https://other.example/mcp"}))),
        ("nobody's", jag(json!({}), json!({"sub": null}))),
        ("expired", jag(json!({}), json!({"exp": now() - 60, "iat": now() - 120}))),
        ("good for long", jag(json!({}), json!({"exp": now() + 3600}))),
        ("long since made", jag(json!({}), json!({"iat": now() - 3600}))),
        ("without an id", jag(json!({}), json!({"jti": null}))),
        ("with an unknown key", jag(json!({"kid": "k2"}), json!({}))),
        (
            "forged",
            Signer::p256()
                .sign(&json!({"alg": "ES256", "kid": "k1", "typ": "oauth-id-jag+jwt"}), &json!({"iss": IDP})),
        ),
    ] {
        let answer = ask(&assertion, Some(&server)).await;
        let error: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status, &error["error"]), (400, &json!("invalid_grant")), "{what}: {answer:?}");
    }
    let mut off = settings();
    off.id_jag.clear();
    let off = Scene::with(off, |_| {});
    let answer = off.post_as("/token", &[("grant_type", JAG), ("assertion", &good)], Some(&server)).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn a_client_ends_its_own_login_and_nobody_elses() {
    let scene = Scene::new();
    let tokens = scene.tokens(CLIENT, WEB, "ada").await;
    let (access, refresh) =
        (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let session = claims(access)["sid"].as_str().unwrap().to_owned();
    let server = basic("server", SECRET);
    for token in [access, refresh, "made-up", "a.b.c"] {
        assert_eq!(scene.post_as("/revoke", &[("token", token)], Some(&server)).await.status, 200);
    }
    assert!(!scene.ended.has(&session));
    assert_eq!(scene.post("/revoke", &[("token", refresh), ("client_id", CLIENT)]).await.status, 200);
    assert!(scene.ended.has(&session));
    assert_eq!(scene.refresh(CLIENT, refresh).await.status, 400);
    let other = scene.tokens(CLIENT, WEB, "ada").await;
    let access = other["access_token"].as_str().unwrap();
    scene.post("/revoke", &[("token", access), ("client_id", CLIENT)]).await;
    assert!(scene.ended.has(claims(access)["sid"].as_str().unwrap()));
}
