//! The attack table, and how little of it reaches the identity provider.

mod familiar;
mod groups;
mod moments;
mod opaque;

use std::collections::BTreeMap;

use serde_json::{Map, json};

use super::*;
use crate::api_key::{ApiKey, KeyHash};
use crate::clock::now;
use crate::fetch::Wanted;
use crate::fixture::{ENDPOINT, ISSUER, Outside, Signer, encode, issuer};
use crate::inbound::sha256;
use crate::settings::Tenants;

const KEYS: &str = "https://idp.example.com/jwks";

/// Of the header and the claims.
type Change = fn(&mut Map<String, Value>, &mut Map<String, Value>);

struct Scene {
    identity: Identity,
    outside: Arc<Outside>,
    signer: Signer,
}

impl Scene {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with(Signer::p256(), change)
    }

    fn with(signer: Signer, change: impl FnOnce(&mut Settings)) -> Self {
        let outside = Outside::with_keys(&[signer.jwk("k1")]);
        let mut settings = Settings { issuers: vec![issuer()], ..Settings::default() };
        change(&mut settings);
        let identity = Identity::new(Handle::current());
        let client = outside.clone();
        identity.reload(settings, move |_| client.clone());
        Self { identity, outside, signer }
    }

    fn reload(&self, settings: Settings) {
        let client = self.outside.clone();
        self.identity.reload(settings, move |_| client.clone());
    }

    async fn bearer(&self, token: &str) -> Result<Arc<Verified>, Refused> {
        self.present(&format!("Bearer {token}"), None, None).await
    }

    async fn present(
        &self,
        authorization: &str,
        proof: Option<&str>,
        certificate: Option<&[u8; 32]>,
    ) -> Result<Arc<Verified>, Refused> {
        self.present_from("192.0.2.1", authorization, proof, certificate).await
    }

    async fn present_from(
        &self,
        source: &str,
        authorization: &str,
        proof: Option<&str>,
        certificate: Option<&[u8; 32]>,
    ) -> Result<Arc<Verified>, Refused> {
        let identifiers = [ENDPOINT.to_owned(), "https://mcp.example.com/sse".to_owned()];
        let around = Circumstances {
            identifiers: &identifiers,
            base: "https://mcp.example.com",
            method: "POST",
            path: "/mcp",
            proof,
            certificate,
            source: source.parse().ok(),
        };
        let presented = Presented::read(authorization.as_bytes())?;
        self.identity.authenticate(&presented, &around).await
    }

    /// A good token, changed.
    fn token(&self, change: impl FnOnce(&mut Map<String, Value>, &mut Map<String, Value>)) -> String {
        let (mut header, mut claims) = (header("ES256"), claims());
        change(header.as_object_mut().unwrap(), claims.as_object_mut().unwrap());
        self.signer.sign(&header, &claims)
    }
}

fn header(algorithm: &str) -> Value {
    json!({"alg": algorithm, "typ": "at+jwt", "kid": "k1"})
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": ENDPOINT, "sub": "ada", "client_id": "app", "jti": "t1",
        "iat": now(), "exp": now() + 300, "scope": "mcp:list mcp:call", "groups": ["eng", "ops"],
        "department": {"id": 7}, "email": "ada@example.com",
    })
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Refused>) -> Reason {
    match answer {
        Err(Refused::Invalid(reason)) => reason,
        other => panic!("not refused for what the token is: {other:?}"),
    }
}

#[tokio::test]
async fn a_good_token_says_who_calls() {
    let scene = Scene::new(|_| {});
    let verified = scene.bearer(&scene.token(|_, _| {})).await.unwrap();
    assert_eq!(&*verified.id, "user:https://idp.example.com#ada");
    let Principal::User(user) = &verified.principal else { panic!("{verified:?}") };
    assert_eq!(user.client_id.as_deref(), Some("app"));
    assert_eq!(user.scopes, ["mcp:list", "mcp:call"]);
    assert_eq!(user.groups, ["eng", "ops"]);
    assert_eq!(user.claims["email"].as_text(), Some("ada@example.com"));
    assert!(user.claims.contains_key("department") && !user.claims.contains_key("exp"));
}

#[tokio::test]
async fn every_algorithm_of_the_list_verifies() {
    let all = [
        (Signer::rsa(), "RS256"),
        (Signer::rsa(), "PS256"),
        (Signer::p256(), "ES256"),
        (Signer::ed25519(), "EdDSA"),
    ];
    for (signer, algorithm) in all {
        let scene = Scene::with(signer, |_| {});
        let token = scene.signer.sign(&header(algorithm), &claims());
        scene.bearer(&token).await.unwrap_or_else(|refused| panic!("{algorithm}: {refused}"));
    }
}

#[tokio::test]
async fn refuses_every_token_that_is_not_for_us_or_not_good() {
    let scene = Scene::new(|settings| {
        settings.issuers[0].tenants = Some(Tenants { claim: "tid".into(), allowed: vec!["ours".into()] });
    });
    let table: Vec<(&str, Change, Reason)> = vec![
        ("wrong audience", |_, claims| set(claims, "aud", "https://other/mcp"), Reason::Audience),
        ("no audience", |_, claims| drop(claims.remove("aud")), Reason::Audience),
        (
            "another endpoint",
            |_, claims| set(claims, "aud", "https://mcp.example.com/mcp/s/x"),
            Reason::Audience,
        ),
        ("a slash more", |_, claims| set(claims, "aud", "https://mcp.example.com/mcp/"), Reason::Audience),
        ("wrong issuer", |_, claims| set(claims, "iss", "https://evil.example.com"), Reason::Issuer),
        ("issuer with a slash", |_, claims| set(claims, "iss", "https://idp.example.com/"), Reason::Issuer),
        ("no issuer", |_, claims| drop(claims.remove("iss")), Reason::Issuer),
        ("expired", |_, claims| set(claims, "exp", now() - 31), Reason::Expired),
        ("no exp", |_, claims| drop(claims.remove("exp")), Reason::Time),
        ("exp as text", |_, claims| set(claims, "exp", (now() + 300).to_string()), Reason::Time),
        ("exp null", |_, claims| set(claims, "exp", Value::Null), Reason::Time),
        ("exp negative", |_, claims| set(claims, "exp", -1), Reason::Time),
        ("exp beyond time", |_, claims| set(claims, "exp", 1e300), Reason::Time),
        ("nbf to come", |_, claims| set(claims, "nbf", now() + 40), Reason::NotYet),
        ("nbf as text", |_, claims| set(claims, "nbf", "0"), Reason::Time),
        ("iat to come", |_, claims| set(claims, "iat", now() + 40), Reason::NotYet),
        ("iat as text", |_, claims| set(claims, "iat", "0"), Reason::Time),
        ("lives too long", |_, claims| set(claims, "exp", now() + 90_000), Reason::Lifetime),
        ("wrong tenant", |_, claims| set(claims, "tid", "theirs"), Reason::Tenant),
        ("no tenant", |_, claims| drop(claims.remove("tid")), Reason::Tenant),
        ("no subject", |_, claims| drop(claims.remove("sub")), Reason::Subject),
        ("empty subject", |_, claims| set(claims, "sub", ""), Reason::Subject),
        ("typ JWT", |header, _| set(header, "typ", "JWT"), Reason::Type),
        ("no typ", |header, _| drop(header.remove("typ")), Reason::Type),
        ("typ of a proof", |header, _| set(header, "typ", "dpop+jwt"), Reason::Type),
        (
            "ID token",
            |header, claims| {
                set(header, "typ", "JWT");
                set(claims, "nonce", "n");
            },
            Reason::IdToken,
        ),
        ("crit", |header, _| set(header, "crit", json!(["exp"])), Reason::UnknownCritical),
        ("zip", |header, _| set(header, "zip", "DEF"), Reason::UnknownCritical),
        ("unencoded payload", |header, _| set(header, "b64", false), Reason::UnknownCritical),
        ("alg none", |header, _| set(header, "alg", "none"), Reason::Algorithm),
        ("alg NONE", |header, _| set(header, "alg", "NONE"), Reason::Algorithm),
        ("alg HS256", |header, _| set(header, "alg", "HS256"), Reason::Algorithm),
        ("alg missing", |header, _| drop(header.remove("alg")), Reason::Algorithm),
        ("alg that is not allowed", |header, _| set(header, "alg", "RS512"), Reason::Algorithm),
        // The key is of another type than the algorithm needs: it is not even tried.
        ("alg of another key type", |header, _| set(header, "alg", "RS256"), Reason::UnknownKey),
        ("alg of another curve", |header, _| set(header, "alg", "ES384"), Reason::UnknownKey),
        ("unknown kid", |header, _| set(header, "kid", "k2"), Reason::UnknownKey),
        (
            "bound as nothing known",
            |_, claims| set(claims, "cnf", json!({"kid": "x"})),
            Reason::UnknownBinding,
        ),
        ("bound to nothing", |_, claims| set(claims, "cnf", json!({})), Reason::UnknownBinding),
        ("bound key as bearer", |_, claims| set(claims, "cnf", json!({"jkt": "x"})), Reason::BoundAsBearer),
        (
            "bound to a certificate",
            |_, claims| set(claims, "cnf", json!({"x5t#S256": "x"})),
            Reason::Certificate,
        ),
    ];
    for (what, change, reason) in table {
        let token = scene.token(|header, claims| {
            set(claims, "tid", "ours");
            change(header, claims);
        });
        assert_eq!(refused(scene.bearer(&token).await), reason, "{what}");
    }
    let good = scene.token(|_, claims| set(claims, "tid", "ours"));
    scene.bearer(&good).await.unwrap();
}

fn set(object: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    object.insert(name.into(), value.into());
}

#[tokio::test]
async fn refuses_what_was_tampered_with_or_is_no_token() {
    let scene = Scene::new(|_| {});
    let good = scene.token(|_, _| {});
    let parts: Vec<&str> = good.split('.').collect();
    let other = encode(json!({"iss": ISSUER, "aud": ENDPOINT, "sub": "eve", "exp": now() + 300}).to_string());
    let table = [
        (format!("{}.{other}.{}", parts[0], parts[2]), Reason::Signature),
        (format!("{}.{}.", parts[0], parts[1]), Reason::Signature),
        (format!("{}.{}.{}", parts[0], parts[1], encode([0; 64])), Reason::Signature),
        (format!("{}.{}.{}=", parts[0], parts[1], parts[2]), Reason::Unreadable),
        ("..".into(), Reason::Unreadable),
        (format!("{}.{}.{}", encode("[]"), parts[1], parts[2]), Reason::Unreadable),
        (format!("{}.{}.{}", parts[0], encode("7"), parts[2]), Reason::Unreadable),
        (format!("{}.{}.{}", "A".repeat(5000), parts[1], parts[2]), Reason::TooLarge),
        ("A".repeat(17_000), Reason::TooLarge),
        ("opaque".into(), Reason::UnknownKind),
        ("a.b.c.d".into(), Reason::UnknownKind),
        ("pcl_made-up-made-up-made-up-made-up-made-up".into(), Reason::UnknownApiKey),
    ];
    for (token, reason) in table {
        assert_eq!(refused(scene.bearer(&token).await), reason, "{token:.80}");
    }
}

#[tokio::test]
async fn a_public_key_is_no_hmac_secret_and_a_key_in_the_header_no_key() {
    let scene = Scene::with(Signer::rsa(), |_| {});
    let signed = format!("{}.{}", encode(header("HS256").to_string()), encode(claims().to_string()));
    let public = scene.signer.jwk("k1").to_string();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let token = format!("{signed}.{}", encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())));
    assert_eq!(refused(scene.bearer(&token).await), Reason::Algorithm);

    let mine = Signer::rsa();
    let mut header = header("RS256");
    header["jwk"] = mine.jwk("k1");
    header["jku"] = json!("https://evil.example.com/jwks");
    header["x5u"] = json!("https://evil.example.com/x5u");
    assert_eq!(refused(scene.bearer(&mine.sign(&header, &claims())).await), Reason::Signature);
    assert_eq!(scene.outside.asked("https://evil.example.com/jwks"), 0);
}

#[tokio::test]
async fn one_issuers_key_does_not_sign_for_another() {
    let scene = Scene::new(|settings| {
        let other = IssuerSettings { issuer: "https://other".into(), ..issuer() };
        settings.issuers.push(IssuerSettings { jwks_url: Some("https://other/keys".into()), ..other });
    });
    let mine = Signer::p256();
    scene.outside.answer("https://other/keys", &json!({"keys": [mine.jwk("theirs")]}));
    let mut header = header("ES256");
    header["kid"] = json!("theirs");
    let answer = scene.bearer(&mine.sign(&header, &claims())).await;
    assert_eq!(refused(answer), Reason::UnknownKey);
}

#[tokio::test]
async fn issuers_that_type_nothing_are_taken_at_their_word_but_never_an_id_token() {
    let scene = Scene::new(|settings| {
        settings.issuers[0].untyped = true;
        settings.issuers[0].audience = Some("api://gateway".into());
        settings.issuers[0].groups_claim = "realm_access.roles".into();
    });
    let untyped = |change: fn(&mut Map<String, Value>)| {
        scene.token(|header, claims| {
            header.remove("typ");
            set(claims, "aud", "api://gateway");
            set(claims, "realm_access", json!({"roles": ["admin"]}));
            change(claims);
        })
    };
    let verified = scene.bearer(&untyped(|_| {})).await.unwrap();
    assert_eq!(verified.principal.groups(), ["admin"]);
    for change in [
        (|claims| set(claims, "at_hash", "x")) as fn(&mut Map<String, Value>),
        |claims| set(claims, "nonce", "x"),
        |claims| set(claims, "client_id", "api://gateway"),
        |claims| {
            set(claims, "client_id", "api://gateway");
            set(claims, "aud", json!(["api://gateway", "other"]));
        },
    ] {
        assert_eq!(refused(scene.bearer(&untyped(change)).await), Reason::IdToken);
    }
}

#[tokio::test]
async fn an_issuers_audience_stands_for_the_gateway_unless_it_is_one_endpoints() {
    for (audience, here) in [
        ("api://gateway", true),
        ("https://mcp.example.com", true),
        ("https://mcp.example.com/mcp/s/x", false),
    ] {
        let scene = Scene::new(|settings| settings.issuers[0].audience = Some(audience.into()));
        let token = scene.token(|_, claims| set(claims, "aud", json!(["something", audience])));
        assert_eq!(scene.bearer(&token).await.is_ok(), here, "{audience}");
    }
}

#[tokio::test]
async fn a_storm_of_unknown_keys_is_one_question_to_the_issuer() {
    let scene = Scene::new(|_| {});
    scene.bearer(&scene.token(|_, _| {})).await.unwrap();
    assert_eq!(scene.outside.asked(KEYS), 1);
    tokio::time::pause();
    tokio::time::advance(crate::issuer::BETWEEN_MISSES).await;
    for number in 0..200 {
        let token = scene.token(|header, _| set(header, "kid", format!("made-up-{number}")));
        assert_eq!(refused(scene.bearer(&token).await), Reason::UnknownKey);
    }
    assert_eq!(scene.outside.asked(KEYS), 2);
}

#[tokio::test]
async fn keys_rotate_without_a_restart_and_stay_when_the_issuer_is_away() {
    let scene = Scene::new(|_| {});
    let old = scene.token(|_, _| {});
    scene.bearer(&old).await.unwrap();
    let next = Signer::p256();
    scene.outside.answer(KEYS, &json!({"keys": [scene.signer.jwk("k1"), next.jwk("k2")]}));
    let mut header = header("ES256");
    header["kid"] = json!("k2");
    tokio::time::pause();
    tokio::time::advance(crate::issuer::BETWEEN_MISSES).await;
    scene.bearer(&next.sign(&header, &claims())).await.unwrap();

    scene.outside.fail(KEYS);
    tokio::time::advance(Duration::from_hours(48)).await;
    let later = scene.token(|_, claims| set(claims, "jti", "later"));
    scene.bearer(&later).await.unwrap();
}

#[tokio::test]
async fn nobody_is_let_in_for_want_of_keys_and_all_wait_for_one_fetch() {
    let scene = Scene::new(|_| {});
    scene.outside.fail(KEYS);
    let token = scene.token(|_, _| {});
    assert!(matches!(scene.bearer(&token).await, Err(Refused::Unavailable)));
    scene.outside.answer(KEYS, &json!({"keys": [scene.signer.jwk("k1")]}));
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(40)).await;
    let before = scene.outside.asked(KEYS);
    let all = (0..20).map(|_| scene.bearer(&token)).collect::<Vec<_>>();
    for answer in join_all(all).await {
        answer.unwrap();
    }
    assert_eq!(scene.outside.asked(KEYS), before + 1);
}

async fn join_all<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).map(|it| (Some(it), None)).collect();
    std::future::poll_fn(|task| {
        for (waiting, done) in &mut all {
            if let Some(future) = waiting
                && let std::task::Poll::Ready(answer) = future.as_mut().poll(task)
            {
                (*waiting, *done) = (None, Some(answer));
            }
        }
        let over = all.iter().all(|(_, done)| done.is_some());
        if over { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    all.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test]
async fn metadata_of_another_issuer_gives_no_keys() {
    let scene = Scene::new(|_| {});
    scene.outside.answer(
        "https://idp.example.com/.well-known/openid-configuration",
        &json!({"issuer": "https://evil.example.com", "jwks_uri": KEYS}),
    );
    assert!(matches!(scene.bearer(&scene.token(|_, _| {})).await, Err(Refused::Unavailable)));
    assert_eq!(scene.outside.asked(KEYS), 0);
}

#[tokio::test]
async fn a_verified_token_is_remembered_whole_and_a_reload_forgets() {
    let scene = Scene::new(|_| {});
    let token = scene.token(|_, _| {});
    let first = scene.bearer(&token).await.unwrap();
    let again = scene.bearer(&token).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    // All of the token counts: one that differs at its end is another one.
    let flipped = if token.ends_with('A') { "B" } else { "A" };
    let almost = format!("{}{flipped}", &token[..token.len() - 1]);
    assert!(scene.bearer(&almost).await.is_err());

    let settings = |revoked| Settings { issuers: vec![issuer()], revoked, ..Settings::default() };
    let by_subject = "user:https://idp.example.com#ada".to_owned();
    for revoked in [
        crate::Revoked { tokens: ["t1".to_owned()].into(), ..Default::default() },
        crate::Revoked { principals: [by_subject].into(), ..Default::default() },
    ] {
        scene.reload(settings(revoked));
        scene.identity.until_over(&first).await;
        assert_eq!(refused(scene.bearer(&token).await), Reason::Revoked);
    }
    scene.reload(settings(crate::Revoked::default()));
    scene.bearer(&token).await.unwrap();
    assert_eq!(scene.outside.asked(KEYS), 1, "a reload keeps the issuer's keys");
    scene.reload(Settings::default());
    assert_eq!(refused(scene.bearer(&token).await), Reason::Issuer);
}

#[tokio::test]
async fn scopes_that_are_missing_ask_for_a_step_up() {
    let scene = Scene::new(|settings| settings.scopes = vec!["mcp:call".into(), "mcp:admin".into()]);
    let token = scene.token(|_, _| {});
    assert!(matches!(scene.bearer(&token).await, Err(Refused::Scope)));
    let more = scene.token(|_, claims| set(claims, "scope", "mcp:admin mcp:call"));
    scene.bearer(&more).await.unwrap();
}

#[tokio::test]
async fn a_token_of_a_certificate_works_with_that_certificate_alone() {
    let scene = Scene::new(|_| {});
    let (mine, other) = (sha256(b"certificate"), sha256(b"another"));
    let token = scene.token(|_, claims| set(claims, "cnf", json!({"x5t#S256": encode(mine)})));
    let bearer = format!("Bearer {token}");
    scene.present(&bearer, None, Some(&mine)).await.unwrap();
    for wrong in [None, Some(&other)] {
        assert_eq!(refused(scene.present(&bearer, None, wrong).await), Reason::Certificate);
    }
}

#[tokio::test]
async fn a_bound_token_needs_a_fresh_proof_of_its_key_for_this_very_request() {
    let scene = Scene::new(|settings| settings.dpop_nonce = false);
    let key = Signer::ed25519();
    let jwk = key.jwk("any");
    let thumbprint = crate::jose::Jwk::read(jwk.as_object().unwrap()).unwrap().thumbprint();
    let token = scene.token(|_, claims| set(claims, "cnf", json!({"jkt": thumbprint})));
    let proof = |id: &str, htu: &str| {
        let claims = json!({"jti": id, "htm": "POST", "htu": htu, "iat": now(), "ath": encode(sha256(token.as_bytes()))});
        key.sign(&json!({"alg": "EdDSA", "typ": "dpop+jwt", "jwk": jwk}), &claims)
    };
    let dpop = format!("DPoP {token}");
    let good = proof("1", ENDPOINT);
    scene.present(&dpop, Some(&good), None).await.unwrap();
    let table = [
        (scene.present(&dpop, Some(&good), None).await, Reason::Replayed),
        (scene.present(&dpop, None, None).await, Reason::NoProof),
        (
            scene.present(&dpop, Some(&proof("2", "https://mcp.example.com/sse")), None).await,
            Reason::ProofTarget,
        ),
    ];
    for (answer, reason) in table {
        assert_eq!(answer.map(drop), Err(Refused::Proof(reason)));
    }
    let bearer = format!("Bearer {token}");
    assert_eq!(
        refused(scene.present(&bearer, Some(&proof("3", ENDPOINT)), None).await),
        Reason::BoundAsBearer
    );
    let unbound = format!("DPoP {}", scene.token(|_, _| {}));
    assert_eq!(refused(scene.present(&unbound, Some(&proof("4", ENDPOINT)), None).await), Reason::NotBound);
}

#[tokio::test]
async fn where_proofs_are_required_no_bearer_token_is_taken() {
    let scene = Scene::new(|settings| settings.dpop_required = true);
    assert_eq!(refused(scene.bearer(&scene.token(|_, _| {})).await), Reason::NotBound);
}

#[tokio::test]
async fn whoever_has_no_token_is_waited_for_until_they_are_revoked() {
    let scene = Scene::new(|_| {});
    let mine = Principal::Certificate { fingerprint: "aa".into() };
    let settings = |id: &str| {
        let revoked = crate::Revoked { principals: [id.to_owned()].into(), ..Default::default() };
        Settings { revoked, ..Settings::default() }
    };
    let mut waiting = std::pin::pin!(scene.identity.until_revoked(&mine));
    for others in ["cert:bb", "cert:cc"] {
        tokio::select! {
            biased;
            () = &mut waiting => panic!("nobody revoked it"),
            () = std::future::ready(()) => scene.reload(settings(others)),
        }
    }
    scene.reload(settings("cert:aa"));
    waiting.await;
}

#[tokio::test]
async fn api_keys_are_good_until_they_end_or_are_taken_away() {
    const KEY: &str = "pcl_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let settings = |expires| {
        let hash = KeyHash { sha256: sha256(KEY.as_bytes()), expires };
        let key = ApiKey { hashes: vec![hash], groups: vec!["ci".into()], ..ApiKey::default() };
        Settings { keys: BTreeMap::from([("bot".to_owned(), key)]), ..Settings::default() }
    };
    let scene = Scene::new(|all| *all = settings(None));
    let verified = scene.bearer(KEY).await.unwrap();
    assert_eq!((&*verified.id, verified.principal.groups()), ("key:bot", &["ci".to_owned()][..]));
    scene.reload(settings(Some(now() - 1)));
    assert_eq!(refused(scene.bearer(KEY).await), Reason::Expired);
    scene.reload(Settings::default());
    scene.identity.until_over(&verified).await;
    assert_eq!(refused(scene.bearer(KEY).await), Reason::UnknownApiKey);
}

/// Whatever the crate is asked to do, it says so of where it learned an address.
#[tokio::test]
async fn an_address_from_a_document_is_trusted_less_than_one_from_the_operator() {
    struct Watch(std::sync::Mutex<Vec<(String, crate::Trust)>>);
    impl Fetch for Watch {
        fn fetch(&self, wanted: Wanted) -> crate::fetch::Fetching {
            self.0.lock().unwrap().push((wanted.url.clone(), wanted.trust));
            let body = json!({"issuer": ISSUER, "jwks_uri": "https://169.254.169.254/keys"}).to_string();
            Box::pin(
                async move { Ok(crate::Fetched { body: body.into_bytes(), ..crate::Fetched::default() }) },
            )
        }
    }
    let watch = Arc::new(Watch(std::sync::Mutex::default()));
    let identity = Identity::new(Handle::current());
    let client = watch.clone();
    identity.reload(Settings { issuers: vec![issuer()], ..Settings::default() }, move |_| client.clone());
    while watch.0.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    let seen = watch.0.lock().unwrap().clone();
    assert_eq!(seen[1], ("https://169.254.169.254/keys".to_owned(), crate::Trust::Learned));
    assert_eq!(seen[0].1, crate::Trust::Configured);
}
