//! Every breakage is named: its step, its document, its field.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::*;
use crate::fixture::{Signer, encode};

const URL: &str = "https://gw.example.com/mcp";
const AS: &str = "https://gw.example.com/as";
const PRM: &str = "https://gw.example.com/.well-known/oauth-protected-resource/mcp";
const METADATA: &str = "https://gw.example.com/.well-known/oauth-authorization-server/as";

/// A world in which a login works, for a test to break.
struct World {
    answers: HashMap<String, Result<Told, String>>,
    /// What a token gets from the endpoint.
    with_token: u16,
}

/// As an answer to a probe.
#[expect(clippy::unnecessary_wraps, reason = "it stands where there may be none")]
fn told(status: u16, body: &Value) -> Result<Told, String> {
    Ok(Told { status, fields: Vec::new(), body: body.to_string().into_bytes() })
}

impl World {
    fn new() -> Self {
        let challenge = format!("Bearer scope=\"mcp\",resource_metadata=\"{PRM}\"");
        let refused =
            Told { status: 401, fields: vec![("www-authenticate".into(), challenge)], body: Vec::new() };
        let prm = json!({"resource": URL, "authorization_servers": [AS], "scopes_supported": ["mcp"]});
        let metadata = json!({
            "issuer": AS, "authorization_endpoint": format!("{AS}/authorize"), "token_endpoint": format!("{AS}/token"),
            "jwks_uri": format!("{AS}/jwks"), "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"], "authorization_response_iss_parameter_supported": true,
            "client_id_metadata_document_supported": true,
        });
        let answers = HashMap::from([
            (URL.to_owned(), Ok(refused)),
            (PRM.to_owned(), told(200, &prm)),
            (METADATA.to_owned(), told(200, &metadata)),
            (format!("{AS}/jwks"), told(200, &json!({"keys": [Signer::p256().jwk("k")]}))),
            (format!("{AS}/authorize"), told(400, &json!({}))),
            (format!("{AS}/token"), told(401, &json!({"error": "invalid_client"}))),
        ]);
        Self { answers, with_token: 200 }
    }

    fn put(&mut self, url: &str, answer: Result<Told, String>) {
        self.answers.insert(url.to_owned(), answer);
    }

    fn change(&mut self, url: &str, name: &str, value: Value) {
        let Some(Ok(told)) = self.answers.get_mut(url) else { panic!("nothing at {url}") };
        let mut document: Value = serde_json::from_slice(&told.body).unwrap();
        document[name] = value;
        document.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        told.body = document.to_string().into_bytes();
    }
}

impl Probe for World {
    fn send(&self, question: Question) -> Asking {
        let place = question.url.split('?').next().unwrap();
        let answer = if question.authorization.is_some() {
            Ok(Told { status: self.with_token, ..Told::default() })
        } else {
            self.answers.get(place).cloned().unwrap_or_else(|| told(404, &json!({})))
        };
        Box::pin(std::future::ready(answer))
    }
}

async fn examined(world: &World) -> Vec<Finding> {
    examine(URL, &Means::default(), world).await
}

#[tokio::test]
async fn a_login_that_works_is_good_all_the_way() {
    let findings = examined(&World::new()).await;
    assert!(findings.iter().all(|it| it.verdict == Verdict::Good), "{findings:#?}");
    let steps: Vec<_> = findings.iter().map(|it| it.step).collect();
    let expected = [
        "challenge",
        "resource-metadata",
        "server-metadata",
        "pkce",
        "registration",
        "keys",
        "authorize",
        "token-endpoint",
    ];
    assert_eq!(steps, expected);
}

/// What is broken, how, and the verdict, step, document and field that have to be found.
type Breakage = (&'static str, fn(&mut World), Verdict, &'static str, &'static str, Option<&'static str>);

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn every_breakage_is_named_with_its_step_document_and_field() {
    let bad = Verdict::Bad;
    let odd = Verdict::Doubtful;
    let table: Vec<Breakage> = vec![
        (
            "nobody there",
            |it| it.put(URL, Err("connection refused".into())),
            Verdict::Away,
            "challenge",
            URL,
            None,
        ),
        ("no endpoint", |it| it.put(URL, told(404, &json!({}))), bad, "challenge", URL, Some("status")),
        ("an error", |it| it.put(URL, told(500, &json!({}))), bad, "challenge", URL, Some("status")),
        ("open", |it| it.put(URL, told(200, &json!({}))), odd, "challenge", URL, Some("status")),
        (
            "no challenge",
            |it| it.put(URL, told(401, &json!({}))),
            bad,
            "challenge",
            URL,
            Some("WWW-Authenticate"),
        ),
        (
            "no address in the challenge",
            |it| {
                let fields =
                    vec![("www-authenticate".into(), "Bearer realm=\"x_resource_metadata=\"".into())];
                it.put(URL, Ok(Told { status: 401, fields, body: Vec::new() }));
            },
            odd,
            "challenge",
            URL,
            Some("resource_metadata"),
        ),
        (
            "no metadata",
            |it| it.put(PRM, told(404, &json!({}))),
            bad,
            "resource-metadata",
            PRM,
            Some("status"),
        ),
        (
            "a page instead",
            |it| it.put(PRM, Ok(Told { status: 200, body: b"<html>".to_vec(), ..Told::default() })),
            bad,
            "resource-metadata",
            PRM,
            Some("body"),
        ),
        (
            "another resource",
            |it| it.change(PRM, "resource", json!("https://gw/mcp")),
            bad,
            "resource-metadata",
            PRM,
            Some("resource"),
        ),
        (
            "another slash",
            |it| it.change(PRM, "resource", json!(format!("{URL}/"))),
            odd,
            "resource-metadata",
            PRM,
            Some("resource"),
        ),
        (
            "no resource",
            |it| it.change(PRM, "resource", Value::Null),
            bad,
            "resource-metadata",
            PRM,
            Some("resource"),
        ),
        (
            "no server",
            |it| it.change(PRM, "authorization_servers", json!([])),
            bad,
            "resource-metadata",
            PRM,
            Some("authorization_servers"),
        ),
        (
            "an unsafe server",
            |it| it.change(PRM, "authorization_servers", json!(["http://idp.example"])),
            bad,
            "resource-metadata",
            PRM,
            Some("authorization_servers"),
        ),
        (
            "a lasting login",
            |it| it.change(PRM, "scopes_supported", json!(["offline_access"])),
            odd,
            "resource-metadata",
            PRM,
            Some("scopes_supported"),
        ),
        (
            "no server metadata",
            |it| it.put(METADATA, told(404, &json!({}))),
            bad,
            "server-metadata",
            METADATA,
            Some("status"),
        ),
        (
            "server metadata away",
            |it| it.put(METADATA, Err("timed out".into())),
            Verdict::Away,
            "server-metadata",
            METADATA,
            None,
        ),
        (
            "no JSON there",
            |it| it.put(METADATA, Ok(Told { status: 200, body: b"{".to_vec(), ..Told::default() })),
            bad,
            "server-metadata",
            METADATA,
            Some("body"),
        ),
        (
            "another issuer",
            |it| it.change(METADATA, "issuer", json!(format!("{AS}/"))),
            bad,
            "server-metadata",
            METADATA,
            Some("issuer"),
        ),
        (
            "no issuer",
            |it| it.change(METADATA, "issuer", Value::Null),
            bad,
            "server-metadata",
            METADATA,
            Some("issuer"),
        ),
        (
            "no login",
            |it| it.change(METADATA, "authorization_endpoint", Value::Null),
            bad,
            "server-metadata",
            METADATA,
            Some("authorization_endpoint"),
        ),
        (
            "an unsafe token endpoint",
            |it| it.change(METADATA, "token_endpoint", json!("http://gw.example.com/token")),
            bad,
            "server-metadata",
            METADATA,
            Some("token_endpoint"),
        ),
        (
            "no word of PKCE",
            |it| it.change(METADATA, "code_challenge_methods_supported", Value::Null),
            bad,
            "pkce",
            METADATA,
            Some("code_challenge_methods_supported"),
        ),
        (
            "plain PKCE",
            |it| it.change(METADATA, "code_challenge_methods_supported", json!(["plain"])),
            bad,
            "pkce",
            METADATA,
            Some("code_challenge_methods_supported"),
        ),
        (
            "no code flow",
            |it| it.change(METADATA, "response_types_supported", json!(["token"])),
            bad,
            "server-metadata",
            METADATA,
            Some("response_types_supported"),
        ),
        (
            "no iss",
            |it| it.change(METADATA, "authorization_response_iss_parameter_supported", Value::Null),
            odd,
            "server-metadata",
            METADATA,
            Some("authorization_response_iss_parameter_supported"),
        ),
        (
            "no registration",
            |it| it.change(METADATA, "client_id_metadata_document_supported", json!(false)),
            bad,
            "registration",
            METADATA,
            Some("registration_endpoint"),
        ),
        (
            "no keys",
            |it| it.put(&format!("{AS}/jwks"), told(200, &json!({"keys": []}))),
            bad,
            "keys",
            "https://gw.example.com/as/jwks",
            Some("keys"),
        ),
        (
            "no keys there",
            |it| it.put(&format!("{AS}/jwks"), told(500, &json!({}))),
            bad,
            "keys",
            "https://gw.example.com/as/jwks",
            Some("status"),
        ),
        (
            "no authorization endpoint there",
            |it| it.put(&format!("{AS}/authorize"), told(404, &json!({}))),
            bad,
            "authorize",
            METADATA,
            Some("authorization_endpoint"),
        ),
        (
            "an open redirect",
            |it| {
                let fields = vec![("location".into(), "https://nowhere.invalid/callback?error=x".into())];
                it.put(&format!("{AS}/authorize"), Ok(Told { status: 302, fields, body: Vec::new() }));
            },
            bad,
            "authorize",
            "https://gw.example.com/as/authorize",
            Some("redirect_uri"),
        ),
        (
            "no token endpoint there",
            |it| it.put(&format!("{AS}/token"), told(404, &json!({}))),
            bad,
            "token-endpoint",
            METADATA,
            Some("token_endpoint"),
        ),
        (
            "a token for anything",
            |it| it.put(&format!("{AS}/token"), told(200, &json!({"access_token": "x"}))),
            bad,
            "token-endpoint",
            "https://gw.example.com/as/token",
            Some("status"),
        ),
    ];
    for (what, breaks, verdict, step, document, field) in table {
        let mut world = World::new();
        breaks(&mut world);
        let findings = examined(&world).await;
        let found = findings.iter().any(|it| {
            (it.verdict, it.step, it.document.as_str(), it.field) == (verdict, step, document, field)
                && it.advice.is_some()
        });
        assert!(found, "{what}: {findings:#?}");
    }
}

#[tokio::test]
async fn a_token_is_taken_to_pieces_and_shown_nowhere() {
    let token = |header: Value, claims: Value| {
        format!("{}.{}.{}", encode(header.to_string()), encode(claims.to_string()), encode("s"))
    };
    let later = crate::clock::now() + 300;
    let good = json!({"iss": AS, "aud": URL, "exp": later});
    let typed = json!({"alg": "ES256", "typ": "at+jwt"});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        token(typed.clone(), claims)
    };
    let table = [
        ("good", token(typed.clone(), good.clone()), 200, None),
        ("another issuer's", with("iss", json!("https://idp.example.com")), 401, Some("iss")),
        ("for another endpoint", with("aud", json!(["https://other"])), 401, Some("aud")),
        ("expired", with("exp", json!(1)), 401, Some("exp")),
        ("an ID token", with("nonce", json!("n")), 401, Some("nonce")),
        ("untyped", token(json!({"alg": "ES256"}), good.clone()), 401, Some("typ")),
        ("opaque", "opaque-opaque".to_owned(), 401, Some("token")),
        ("refused", token(typed.clone(), good.clone()), 401, Some("Authorization")),
        ("without a scope", token(typed.clone(), good.clone()), 403, Some("scope")),
    ];
    for (what, token, status, field) in table {
        let world = World { with_token: status, ..World::new() };
        let means = Means { token: Some(token.clone()), ..Means::default() };
        let findings = examine(URL, &means, &world).await;
        let wrong: Vec<_> = findings.iter().filter(|it| it.verdict != Verdict::Good).collect();
        match field {
            None => assert!(wrong.is_empty(), "{what}: {wrong:#?}"),
            Some(field) => assert!(
                wrong.iter().any(|it| it.step == "token" && it.field == Some(field)),
                "{what}: {wrong:#?}"
            ),
        }
        assert!(!format!("{findings:?}").contains(&token), "{what}");
    }
}

#[tokio::test]
async fn what_the_other_side_writes_steers_no_terminal() {
    let mut world = World::new();
    world.change(METADATA, "issuer", json!("\u{1b}[2Jhttps://evil\r\n"));
    let findings = examined(&world).await;
    assert!(
        findings.iter().all(|it| !it.said.contains(char::is_control) && it.said.len() < 2000),
        "{findings:?}"
    );
}

#[tokio::test]
async fn a_client_that_is_registered_is_tried() {
    let mut world = World::new();
    let means = Means {
        client_id: Some("editor".into()),
        redirect_uri: Some("https://app.example/cb".into()),
        token: None,
    };
    let back = |query: &str| {
        let fields = vec![("location".into(), format!("https://app.example/cb?{query}"))];
        Ok(Told { status: 302, fields, body: Vec::new() })
    };
    for (answer, field) in [
        (back("error=invalid_target&state=doctor"), Some("error")),
        (told(400, &json!({})), Some("client_id")),
        (told(200, &json!({})), None),
    ] {
        world.put(&format!("{AS}/authorize"), answer);
        let findings = examine(URL, &means, &world).await;
        let asked = findings.iter().find(|it| it.step == "authorize").unwrap();
        assert_eq!(asked.field, field, "{asked:?}");
    }
}
