//! The kinds that ask nobody.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis_model::Principal;
use serde_json::{Value, json};

use super::world::*;
use crate::jose::{Algorithm, Compact, Jwk};
use crate::outbound::{
    Assertion, Client, ClientAuth, Exchange, Flavor, Grant, Hidden, IdJag, Kind, LogIn, Needed, Place,
    Refusal, SigningKey, Source, SubjectToken, Workload,
};

const CANARY: &str = "canary-of-the-caller";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(super) fn grant(auth: ClientAuth) -> Grant {
    Grant {
        place: Place { issuer: Some(ISSUER.into()), token_url: None },
        client: Client { id: "gw".into(), auth },
        scopes: Vec::new(),
        resource: None,
        audience: None,
    }
}

fn basic() -> ClientAuth {
    ClientAuth::Basic(Hidden::new("s3cret"))
}

fn exchange(delegation: bool) -> Exchange {
    Exchange { grant: grant(basic()), flavor: Flavor::Standard, delegation, actor: None }
}

async fn shown(source: &Arc<Source>) -> Result<String, Needed> {
    let credential = source.credential().await?.expect("a credential");
    let shown = credential.headers("POST", SERVER).credential.1.into_owned();
    Ok(shown)
}

/// A token that says this; nobody checks who signed it but whom it is for.
fn token(claims: &Value) -> String {
    SigningKey::generate().sign("at+jwt", claims)
}

#[tokio::test]
async fn a_client_shows_who_it_is_in_each_of_the_ways() {
    let key = Arc::new(SigningKey::generate());
    for auth in [basic(), ClientAuth::Post(Hidden::new("s3cret")), ClientAuth::PrivateKey(key.clone())] {
        let world = World::new();
        let office = office(&Arc::default());
        let kind =
            Kind::ClientCredentials(Grant { scopes: vec!["a".into(), "b".into()], ..grant(auth.clone()) });
        let source = source(&office, &world, credentials(kind), None);
        assert_eq!(shown(&source).await.unwrap(), "Bearer token-1");
        assert_eq!(shown(&source).await.unwrap(), "Bearer token-1");
        let asked = world.asked(TOKEN);
        let [asked] = asked.as_slice() else { panic!("asked once") };
        assert_eq!(asked.fields["grant_type"], "client_credentials");
        assert_eq!((asked.fields["resource"].as_str(), asked.fields["scope"].as_str()), (SERVER, "a b"));
        match auth {
            ClientAuth::Basic(_) => {
                let expected = format!("Basic {}", STANDARD.encode("gw:s3cret"));
                assert_eq!(
                    (asked.authorization.as_str(), asked.fields.get("client_secret")),
                    (&*expected, None)
                );
            }
            ClientAuth::Post(_) => assert_eq!(asked.fields["client_secret"], "s3cret"),
            _ => {
                let compact = Compact::parse(&asked.fields["client_assertion"]).unwrap();
                let jwk = Jwk::read(key.public().as_object().unwrap()).unwrap();
                assert!(jwk.verifies(Algorithm::ES256, compact.signed, &compact.signature));
                assert_eq!(compact.claims["aud"], ISSUER, "for the issuer, not for an address");
                assert_eq!((&compact.claims["iss"], &compact.claims["sub"]), (&json!("gw"), &json!("gw")));
            }
        }
    }
}

#[tokio::test]
async fn many_calls_ask_once_and_a_failure_is_told_to_all_who_come_meanwhile() {
    let world = World::new();
    let office = office(&Arc::default());
    let source = source(&office, &world, credentials(Kind::ClientCredentials(grant(basic()))), None);
    world.on(TOKEN, |_| (503, json!({})));
    let all: Vec<_> = (0..50)
        .map(|_| {
            let source = source.clone();
            tokio::spawn(async move { shown(&source).await })
        })
        .collect();
    for one in all {
        assert!(matches!(one.await.unwrap(), Err(Needed::Unavailable(_))));
    }
    assert_eq!(world.asked(TOKEN).len(), 1);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_and_no_server_makes_the_gateway_ask_without_end() {
    let world = World::new();
    let office = office(&Arc::default());
    let source = source(&office, &world, credentials(Kind::ClientCredentials(grant(basic()))), None);
    let refusal = Refusal { status: 401, challenge: Some("Bearer"), nonce: None, again: 0 };
    let first = source.credential().await.unwrap();
    // It was given a moment ago: another one would fare no better.
    assert!(matches!(source.challenged(first.as_ref(), refusal).await, Err(Needed::Denied(_))));
    for _ in 0..20 {
        assert!(source.credential().await.is_err());
    }
    assert_eq!(world.asked(TOKEN).len(), 1, "nobody is asked again for a while");
    // One that has been good for a while is replaced.
    source.state().failed = None;
    source.credential().await.unwrap();
    source.state().obtained = Some(tokio::time::Instant::now() - Duration::from_mins(1));
    let used = source.credential().await.unwrap();
    source.state().obtained = Some(tokio::time::Instant::now() - Duration::from_mins(1));
    assert_eq!(source.challenged(used.as_ref(), refusal).await, Ok(()));
    assert!(source.challenged(used.as_ref(), Refusal { again: 1, ..refusal }).await.is_err());
}

#[tokio::test]
async fn a_server_cannot_widen_what_the_operator_wrote_down() {
    let world = World::new();
    let office = office(&Arc::default());
    let wants = Refusal {
        status: 403,
        challenge: Some(r#"Bearer error="insufficient_scope", scope="admin""#),
        nonce: None,
        again: 0,
    };
    let fixed = Grant { scopes: vec!["read".into()], ..grant(basic()) };
    let fixed = source(&office, &world, credentials(Kind::ClientCredentials(fixed)), None);
    let used = fixed.credential().await.unwrap();
    let Err(Needed::Denied(why)) = fixed.challenged(used.as_ref(), wants).await else { panic!("widened") };
    assert!(why.contains("admin"), "{why}");
    let open = source(&office, &world, credentials(Kind::ClientCredentials(grant(basic()))), None);
    let used = open.credential().await.unwrap();
    assert_eq!(open.challenged(used.as_ref(), wants).await, Ok(()));
    open.credential().await.unwrap();
    assert_eq!(world.asked(TOKEN).last().unwrap().fields["scope"], "admin");
}

#[tokio::test]
async fn a_callers_token_goes_to_the_token_endpoint_and_nowhere_else() {
    let world = World::new();
    let office = office(&Arc::default());
    let source = source(&office, &world, credentials(Kind::TokenExchange(exchange(true))), Some(ann()));
    assert!(
        matches!(shown(&source).await, Err(Needed::Denied(_))),
        "without a token there is nothing to exchange"
    );
    world.on(TOKEN, |asked| {
        let issued = token(&json!({"sub": "ann", "aud": SERVER, "act": {"sub": "gw"}}));
        match asked.fields["grant_type"].as_str() {
            "client_credentials" => {
                (200, json!({"access_token": "of-the-gateway", "token_type": "Bearer", "expires_in": 600}))
            }
            _ => (
                200,
                json!({"access_token": issued, "token_type": "Bearer", "issued_token_type": ACCESS_TOKEN}),
            ),
        }
    });
    source.offer(&Arc::new(SubjectToken::new(CANARY.into())));
    let sent = shown(&source).await.unwrap();
    assert!(!sent.contains(CANARY));
    let mut with_it = Vec::new();
    for asked in world.all_asked() {
        if format!("{asked:?}").contains(CANARY) {
            with_it.push(asked);
        }
    }
    let [asked] = with_it.as_slice() else { panic!("it went to {with_it:?}") };
    assert_eq!(asked.url, TOKEN);
    let expected = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", CANARY),
        ("subject_token_type", ACCESS_TOKEN),
        ("actor_token", "of-the-gateway"),
        ("actor_token_type", ACCESS_TOKEN),
        ("resource", SERVER),
    ];
    for (name, value) in expected {
        assert_eq!(asked.fields[name], value);
    }
    assert!(!format!("{:?}", SubjectToken::new(CANARY.into())).contains(CANARY));
}

#[tokio::test]
async fn what_an_exchange_gives_must_be_what_was_asked_for() {
    let user = || {
        Some(Principal::user(portcullis_model::User {
            issuer: ISSUER.into(),
            subject: "ann".into(),
            ..portcullis_model::User::default()
        }))
    };
    let good = json!({"iss": ISSUER, "sub": "ann", "aud": [SERVER], "act": {"sub": "gw"}});
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        token(&claims)
    };
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        token(&claims)
    };
    let answer = |access: String| json!({"access_token": access, "token_type": "Bearer", "issued_token_type": ACCESS_TOKEN});
    let is_wrong = |mut answer: Value, name: &str, value: Value| {
        answer[name] = value;
        answer
    };
    let table = [
        ("good", answer(token(&good)), true),
        ("opaque", answer("opaque".into()), true),
        ("no actor", answer(without("act")), false),
        ("for somebody else", answer(with("sub", json!("bob"))), false),
        ("for another server", answer(with("aud", json!("https://other"))), false),
        ("no audience", answer(without("aud")), true),
        (
            "an ID token",
            is_wrong(
                answer(token(&good)),
                "issued_token_type",
                json!("urn:ietf:params:oauth:token-type:id_token"),
            ),
            false,
        ),
        ("of no type", is_wrong(answer(token(&good)), "issued_token_type", Value::Null), false),
        ("not to be sent", is_wrong(answer(token(&good)), "token_type", json!("N_A")), false),
        ("bound to nobody's key", is_wrong(answer(token(&good)), "token_type", json!("DPoP")), false),
        ("two lines", answer("a\r\nx-evil: 1".into()), false),
        ("empty", answer(String::new()), false),
        ("no JSON", json!("<html>"), false),
    ];
    for (name, answer, expected) in table {
        let world = World::new();
        let office = office(&Arc::default());
        let mut exchange = exchange(true);
        exchange.actor = Some(Hidden::new("of-the-gateway"));
        let source = source(&office, &world, credentials(Kind::TokenExchange(exchange)), user());
        source.offer(&Arc::new(SubjectToken::new(CANARY.into())));
        world.on(TOKEN, move |_| (200, answer.clone()));
        assert_eq!(shown(&source).await.is_ok(), expected, "{name}");
    }
}

#[tokio::test]
async fn impersonation_is_only_what_the_operator_asks_for() {
    let world = World::new();
    let office = office(&Arc::default());
    let source = source(&office, &world, credentials(Kind::TokenExchange(exchange(false))), Some(ann()));
    source.offer(&Arc::new(SubjectToken::new(CANARY.into())));
    let issued = token(&json!({"sub": "ann", "aud": SERVER}));
    world.document(
        TOKEN,
        json!({"access_token": issued, "token_type": "Bearer", "issued_token_type": ACCESS_TOKEN}),
    );
    shown(&source).await.unwrap();
    assert!(!world.asked(TOKEN)[0].fields.contains_key("actor_token"));
}

#[tokio::test]
async fn entra_is_asked_on_behalf_of() {
    let world = World::new();
    let office = office(&Arc::default());
    let mut exchange = exchange(true);
    exchange.flavor = Flavor::EntraObo;
    exchange.grant.scopes = vec!["api://crm/.default".into()];
    let source = source(&office, &world, credentials(Kind::TokenExchange(exchange)), Some(ann()));
    source.offer(&Arc::new(SubjectToken::new(CANARY.into())));
    assert_eq!(shown(&source).await.unwrap(), "Bearer token-1");
    let asked = &world.asked(TOKEN)[0];
    assert_eq!(asked.fields["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(
        (asked.fields["assertion"].as_str(), asked.fields["requested_token_use"].as_str()),
        (CANARY, "on_behalf_of")
    );
    assert!(!asked.fields.contains_key("resource"), "which Entra refuses");
    // What it wants of the user is told, and not retried for each call.
    world.on(TOKEN, |_| {
        (400, json!({"error": "interaction_required", "error_description": "AADSTS50076 <b>"}))
    });
    let other = source_of_bob(&office, &world);
    let wants = async |claims: Option<&str>| {
        let wanted = LogIn { code: "interaction_required".into(), claims: claims.map(str::to_owned) };
        assert_eq!(shown(&other).await, Err(Needed::LogIn(wanted)));
    };
    wants(None).await;
    wants(None).await;
    assert_eq!(world.asked(TOKEN).len(), 2);
    // A token that the user comes with later is asked about at once, and what its next login has to ask for is told as it is,
    // when it is what it should be.
    let policies =
        r#"{"access_token":{"polids":{"essential":true,"values":["9ab03e19-ed42-4168-b6b7-7001fb3e933a"]}}}"#;
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(5000));
    for (number, (said, expected)) in [
        (json!(policies), Some(policies)),
        (json!("<html>"), None),
        (json!("[1]"), None),
        (json!({"access_token": {}}), None),
        (json!(long), None),
    ]
    .into_iter()
    .enumerate()
    {
        world.on(TOKEN, move |_| (400, json!({"error": "interaction_required", "claims": said})));
        other.offer(&Arc::new(SubjectToken::of(
            &format!("later-{number}"),
            1000 + i64::try_from(number).unwrap(),
            None,
        )));
        wants(expected).await;
    }
    world.on(TOKEN, |_| (200, bearer("token-3")));
    other.offer(&Arc::new(SubjectToken::of("at last", 9000, None)));
    assert_eq!(shown(&other).await.unwrap(), "Bearer token-3");
}

fn source_of_bob(office: &Arc<crate::outbound::Office>, world: &Arc<World>) -> Arc<Source> {
    let mut exchange = exchange(true);
    exchange.flavor = Flavor::EntraObo;
    let bob = source(office, world, credentials(Kind::TokenExchange(exchange)), Some(user("bob")));
    bob.offer(&Arc::new(SubjectToken::new("of-bob".into())));
    bob
}

#[tokio::test]
async fn an_identity_assertion_is_got_from_the_provider_and_given_to_the_servers_authority_alone() {
    const IDP: &str = "https://idp.example.com/token";
    const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";
    let id_jag = || {
        Kind::IdJag(IdJag {
            idp: Place { issuer: None, token_url: Some(IDP.into()) },
            idp_client: Client { id: "gw-at-idp".into(), auth: basic() },
            grant: grant(basic()),
            subject: None,
            subject_type: ACCESS_TOKEN.into(),
        })
    };
    let key = SigningKey::generate();
    let jag = |typ: &str, audience: &str| key.sign(typ, &json!({"aud": audience, "sub": "ann"}));
    let table = [
        (jag("oauth-id-jag+jwt", ISSUER), ID_JAG, true),
        (jag("JWT", ISSUER), ID_JAG, false),
        (jag("oauth-id-jag+jwt", "https://other"), ID_JAG, false),
        (jag("oauth-id-jag+jwt", ISSUER), ACCESS_TOKEN, false),
        ("opaque".to_owned(), ID_JAG, false),
    ];
    for (given, issued, expected) in table {
        let world = World::new();
        let office = office(&Arc::default());
        let answer = json!({"access_token": given, "token_type": "N_A", "issued_token_type": issued});
        world.document(IDP, answer);
        let source = source(&office, &world, credentials(id_jag()), Some(ann()));
        source.offer(&Arc::new(SubjectToken::new(CANARY.into())));
        assert_eq!(shown(&source).await.is_ok(), expected, "{given:.12} {issued}");
        assert_eq!(world.asked(IDP)[0].fields["audience"], ISSUER);
        let with_it: Vec<_> =
            world.all_asked().into_iter().filter(|it| format!("{it:?}").contains(CANARY)).collect();
        assert!(with_it.iter().all(|asked| asked.url == IDP));
        match world.asked(TOKEN).as_slice() {
            [asked] if expected => assert_eq!(asked.fields["assertion"], given),
            [] if !expected => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_platforms_assertion_goes_to_whom_it_is_for_and_to_nobody_that_a_server_names() {
    let folder = std::env::temp_dir().join(format!("portcullis-workload-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let now = crate::clock::now();
    for (name, claims, expected) in [
        ("good", json!({"aud": ISSUER, "exp": now + 60}), true),
        ("other", json!({"aud": "https://other", "exp": now + 60}), false),
        ("old", json!({"aud": ISSUER, "exp": now - 1}), false),
        ("endless", json!({"aud": ISSUER}), false),
    ] {
        let world = World::new();
        let office = office(&Arc::default());
        let file = folder.join(name);
        std::fs::write(&file, format!("{}\n", token(&claims))).unwrap();
        let kind = Kind::Workload(Workload {
            place: Place::default(),
            client_id: None,
            file,
            scopes: Vec::new(),
            resource: None,
        });
        let source = source(&office, &world, credentials(kind), None);
        assert!(source.credential().await.unwrap().is_none(), "the server says first where");
        let refusal = Refusal { status: 401, challenge: Some("Bearer"), nonce: None, again: 0 };
        assert_eq!(source.challenged(None, refusal).await, Ok(()));
        assert_eq!(shown(&source).await.is_ok(), expected, "{name}");
        assert_eq!(world.asked(TOKEN).len(), usize::from(expected), "{name}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_gateways_own_word_is_short_and_for_one_server_and_new_each_time() {
    let world = World::new();
    let office = office(&Arc::default());
    let kind = Kind::Assertion(Assertion {
        audience: None,
        lifetime: Duration::from_mins(1),
        key: None,
        header: None,
    });
    let source = source(&office, &world, credentials(kind), Some(ann()));
    let (one, other) = (shown(&source).await.unwrap(), shown(&source).await.unwrap());
    assert_ne!(one, other);
    let compact = Compact::parse(one.strip_prefix("Bearer ").unwrap()).unwrap();
    let set: Value = serde_json::from_str(&office.key_set(std::iter::empty())).unwrap();
    let jwk = Jwk::read(set["keys"][0].as_object().unwrap()).unwrap();
    assert!(jwk.verifies(Algorithm::ES256, compact.signed, &compact.signature), "with the published key");
    let claims = &compact.claims;
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("https://gw.example.com"), &json!(SERVER)));
    assert_eq!(claims["sub"], json!(ann().id()));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    assert!(world.all_asked().is_empty(), "nobody is asked");
}

#[tokio::test]
async fn bound_tokens_are_shown_with_a_fresh_proof_for_each_request_and_with_the_nonce_that_is_wanted() {
    let world = World::new();
    let office = office(&Arc::default());
    let mut settings = credentials(Kind::ClientCredentials(grant(basic())));
    settings.dpop = true;
    let source = source(&office, &world, settings, None);
    let mut first = true;
    world.says_nonce("of-the-authority");
    world.on(TOKEN, move |asked| {
        assert!(asked.proof.is_some());
        if std::mem::take(&mut first) {
            (400, json!({"error": "use_dpop_nonce"}))
        } else {
            (200, json!({"access_token": "bound", "token_type": "DPoP", "expires_in": 60}))
        }
    });
    let credential = source.credential().await.unwrap().unwrap();
    let proof = |nonce: Option<&str>| {
        let headers = credential.headers("POST", "https://mcp.example.com/mcp?x=1");
        assert_eq!(headers.credential.1, "DPoP bound");
        let text = headers.proof.unwrap();
        let compact = Compact::parse(&text).unwrap();
        let jwk = Jwk::read(compact.header.jwk.as_ref().unwrap()).unwrap();
        assert!(jwk.verifies(Algorithm::ES256, compact.signed, &compact.signature));
        assert_eq!((&compact.claims["htm"], &compact.claims["htu"]), (&json!("POST"), &json!(SERVER)));
        let digest = URL_SAFE_NO_PAD.encode(crate::inbound::sha256(b"bound"));
        assert_eq!(compact.claims["ath"], json!(digest));
        if let Some(nonce) = nonce {
            assert_eq!(compact.claims["nonce"], json!(nonce));
        }
        compact.claims["jti"].clone()
    };
    assert_ne!(proof(None), proof(None));
    let refusal = Refusal {
        status: 401,
        challenge: Some(r#"DPoP error="use_dpop_nonce""#),
        nonce: Some("of-the-server"),
        again: 0,
    };
    assert_eq!(source.challenged(Some(&credential), refusal).await, Ok(()));
    proof(Some("of-the-server"));
    // Whoever wants it again and again does not get it.
    assert!(source.challenged(Some(&credential), Refusal { again: 2, ..refusal }).await.is_err());
}

/// Which of the caller's tokens were brought to the token endpoint.
fn exchanged(world: &World) -> Vec<String> {
    world.asked(TOKEN).iter().map(|asked| asked.fields["subject_token"].clone()).collect()
}

#[tokio::test]
async fn the_newest_valid_token_of_the_caller_is_exchanged_and_no_dead_one() {
    let world = World::new();
    let office = office(&Arc::default());
    let kind = Kind::TokenExchange(exchange(false));
    let source = source(&office, &world, credentials(kind), Some(ann()));
    world.on(TOKEN, |asked| {
        if asked.fields["subject_token"] == "revoked" {
            return (400, json!({"error": "invalid_request"}));
        }
        let mut answer = bearer("t");
        answer["issued_token_type"] = ACCESS_TOKEN.into();
        answer["expires_in"] = 0.into();
        (200, answer)
    });
    let offer = |text: &str, ends: i64, issued: i64| {
        source.offer(&Arc::new(SubjectToken::of(text, ends, Some(issued))));
    };
    offer("dead", -1, -1);
    assert!(matches!(source.credential().await, Err(Needed::Denied(_))));
    assert!(exchanged(&world).is_empty(), "nobody is shown what is over");
    offer("long", 8000, -100);
    source.credential().await.unwrap();
    offer("short", 60, -1);
    source.credential().await.unwrap();
    // A call that waited brings an older one.
    offer("long", 8000, -100);
    source.credential().await.unwrap();
    assert_eq!(exchanged(&world), ["long", "short", "short"]);
    // One that is refused gives way to the next, and is not tried with every call that brings it.
    offer("revoked", 9000, 0);
    for _ in 0..5 {
        assert!(matches!(source.credential().await, Err(Needed::Denied(_))));
        offer("revoked", 9000, 0);
    }
    offer("short", 60, -1);
    source.credential().await.unwrap();
    assert_eq!(exchanged(&world)[3..], ["revoked", "short"]);
}
