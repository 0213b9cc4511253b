//! Grants without a browser: machines, ID-JAGs, assertions of clients, revocation.

use serde_json::{Value, json};

use super::scene::*;
use super::scene_basic;
use crate::facade::settings::ConfiguredClient;
use crate::facade::{FacadeAnswer, FacadeRequest, Profile, now};
use crate::fixture::Signer;
use crate::settings::Tenants;

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

/// A client of the operator's that proves itself by a key.
fn with_signer(key: &Signer) -> Scene {
    let mut settings = settings();
    settings.clients.push(ConfiguredClient {
        id: "signer".to_owned(),
        name: "Signer".to_owned(),
        redirect_uris: Vec::new(),
        secret: None,
        jwks: Some(json!({"keys": [key.jwk("c1")]}).to_string()),
        machine: Some(vec!["ci".to_owned()]),
    });
    Scene::with(settings, |_| {})
}

/// Its assertion, with other claims.
fn assertion(key: &Signer, change: &Value) -> String {
    let mut claims = json!({
        "iss": "signer", "sub": "signer", "aud": format!("{ISSUER}/token"), "exp": now() + 60, "iat": now(),
        "jti": crate::facade::kept::secret(),
    });
    over(&mut claims, change);
    key.sign(&json!({"alg": "ES256", "kid": "c1"}), &claims)
}

async fn show(scene: &Scene, assertion: &str, peer: Option<&str>) -> FacadeAnswer {
    let params = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
    ];
    let peer = peer.map(|peer| peer.parse().unwrap());
    scene.post_with("/token", &params, FacadeRequest { peer, ..FacadeRequest::default() }).await
}

#[tokio::test]
async fn made_up_assertions_are_slowed_down_for_whoever_makes_them() {
    let (key, stranger) = (Signer::p256(), Signer::p256());
    let scene = with_signer(&key);
    let (bad, other) = ("192.0.2.1", "198.51.100.1");
    let mut last = FacadeAnswer::default();
    for _ in 0..61 {
        last = show(&scene, &assertion(&stranger, &json!({})), Some(bad)).await;
    }
    assert_eq!((last.status, field(&last, "retry-after").is_some()), (429, true));
    assert_eq!(show(&scene, &assertion(&stranger, &json!({})), Some(other)).await.status, 401);
    // Whom the operator knows and who is the one may come as often as it likes.
    for _ in 0..200 {
        assert_eq!(show(&scene, &assertion(&key, &json!({})), Some(other)).await.status, 200);
    }
}

#[tokio::test]
async fn assertions_of_strangers_are_slowed_down_good_or_bad() {
    const ID: &str = "https://app.example/client.json";
    let key = Signer::p256();
    let scene = Scene::new();
    let document = json!({
        "client_id": ID, "redirect_uris": [WEB], "token_endpoint_auth_method": "private_key_jwt",
        "jwks": {"keys": [key.jwk("c1")]},
    });
    scene.idp(|idp| idp.documents.insert(ID.into(), Ok(document.to_string())));
    let mut statuses = Vec::new();
    for _ in 0..61 {
        let shown = assertion(&key, &json!({"iss": ID, "sub": ID}));
        statuses.push(show(&scene, &shown, Some("192.0.2.1")).await.status);
    }
    assert_eq!((statuses[0], statuses[60]), (400, 429), "{statuses:?}");
}

/// A client that proves itself by its key (RFC 7523), and what is no proof.
#[tokio::test]
async fn an_assertion_of_a_client_is_good_once_and_for_us() {
    let key = Signer::p256();
    let scene = with_signer(&key);
    let made = |change: Value| assertion(&key, &change);
    let ask = async |assertion: &str| show(&scene, assertion, None).await;
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

/// What the identity provider vouches for, with another header and other claims.
pub(super) fn id_jag(scene: &Scene, header: &Value, change: &Value) -> String {
    let mut head = json!({"alg": "ES256", "kid": "k1", "typ": "oauth-id-jag+jwt"});
    over(&mut head, header);
    let mut claims = json!({
        "iss": IDP, "sub": "ada", "aud": ISSUER, "client_id": "server", "resource": format!("{BASE}/mcp"),
        "iat": now(), "exp": now() + 300, "jti": crate::facade::kept::secret(), "scope": "mcp",
        "groups": ["staff"], "email": "ada@example.com",
    });
    over(&mut claims, change);
    scene.idp(|idp| idp.signer.sign(&head, &claims))
}

/// Who is let in by a login is let in by an ID-JAG, as the same person.
#[tokio::test]
async fn an_id_jag_lets_in_whom_a_login_would_as_the_same_person() {
    const TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
    let mut settings = settings();
    settings.idp.profile = Profile::Entra;
    settings.idp.tenants = Some(Tenants { claim: "tid".into(), allowed: vec![TENANT.into()] });
    let scene = Scene::with(settings, |_| {});
    let ask = async |change: Value| {
        let assertion = id_jag(&scene, &json!({}), &change);
        let params = [("grant_type", JAG), ("assertion", assertion.as_str())];
        scene.post_as("/token", &params, Some(&basic("server", SECRET))).await
    };
    let told = token(&ask(json!({"tid": TENANT, "oid": "o1"})).await);
    assert_eq!(told["sub"], format!("{TENANT}.o1"), "a login gives this subject");
    for (what, change, reason) in [
        (
            "of another tenant",
            json!({"tid": "other", "oid": "o1"}),
            "people of that tenant are not let in here",
        ),
        ("of no tenant", json!({"oid": "o1"}), "people of that tenant are not let in here"),
        ("of nobody", json!({"tid": TENANT}), "the assertion names nobody"),
    ] {
        let answer = ask(change).await;
        assert_eq!((answer.status, answer.refused), (400, Some(reason)), "{what}");
    }
}

#[tokio::test]
async fn an_id_jag_is_taken_once_from_whom_the_operator_trusts_for_its_client_and_us() {
    let scene = Scene::new();
    let jag = |header: Value, change: Value| id_jag(&scene, &header, &change);
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
        (
            "of another's key",
            jag(json!({}), json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})),
        ),
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
    // The login that it came of as well, or the next access token would be there at once (RFC 7009 section 2.1).
    assert_eq!(scene.refresh(CLIENT, other["refresh_token"].as_str().unwrap()).await.status, 400);
}
