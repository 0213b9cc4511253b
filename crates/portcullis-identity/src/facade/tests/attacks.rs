//! What must not work, each refused with its reason.

use serde_json::{Value, json};

use super::scene::*;
use crate::facade::{FacadeAnswer, FacadeRequest, now};
use crate::fixture::{Signer, encode};

/// Who asks for something that they must not get is shown a page, and is sent nowhere.
fn is_page(answer: &FacadeAnswer) -> bool {
    (400..500).contains(&answer.status)
        && field(answer, "location").is_none()
        && answer.body.contains("did not work")
}

#[tokio::test]
async fn nobody_is_sent_where_the_client_is_not() {
    let scene = Scene::new();
    let mut browser = Browser::default();
    for uri in [
        "https://evil.example/cb",
        "https://app.example/cb/../../evil",
        "https://app.example/cb?x",
        "https://app.example/cb#x",
        "https://app.example@evil.example/cb",
        "https://app.example.evil.example/cb",
        "https://app.example:444/cb",
        "http://app.example/cb",
        "//app.example/cb",
        "javascript:alert(1)",
        "https://app.example/cb\r\nset-cookie: a=b",
        "https://APP.example/cb",
    ] {
        let answer = browser.authorize(&scene, &wish(CLIENT, uri)).await;
        assert!(is_page(&answer), "{uri}: {answer:?}");
        assert_eq!(answer.refused, Some("the redirect URI is none of this client's"), "{uri}");
    }
    let twice = [wish(CLIENT, WEB), vec![("redirect_uri".into(), "https://evil.example/".into())]].concat();
    assert_eq!(browser.authorize(&scene, &twice).await.refused, Some("a parameter is there twice"));
    let unknown = browser.authorize(&scene, &wish("nobody", WEB)).await;
    assert!(is_page(&unknown), "{unknown:?}");
}

/// What is wrong with a request, and what its client is told when the operator vouches for where it is.
const BAD_WISHES: &[(&str, &str, &str)] = &[
    ("code_challenge", "", "invalid_request"),
    ("code_challenge_method", "", "invalid_request"),
    ("code_challenge_method", "plain", "invalid_request"),
    ("code_challenge", "short", "invalid_request"),
    ("response_type", "token", "unsupported_response_type"),
    ("response_type", "code id_token", "unsupported_response_type"),
    ("response_mode", "fragment", "invalid_request"),
    ("request", "eyJ", "request_not_supported"),
    ("request_uri", "https://evil.example/", "request_not_supported"),
    ("resource", "https://evil.example/mcp", "invalid_target"),
    ("resource", "https://gw.example.com/mcp/", "invalid_target"),
    ("resource", "https://gw.example.com/mcp/s/../x", "invalid_target"),
    ("resource", "https://gw.example.com.evil.example/mcp", "invalid_target"),
    ("resource", "https://gw.example.com/as/token", "invalid_target"),
    ("scope", "admin", "invalid_scope"),
];

#[tokio::test]
async fn a_request_that_is_not_as_it_must_be_is_refused_and_strangers_are_no_way_out() {
    let scene = Scene::new();
    let id = "https://evil.example/client.json";
    let document = json!({"client_id": id, "client_name": "x", "redirect_uris": [WEB]});
    scene.idp(|idp| idp.documents.insert(id.into(), Ok(document.to_string())));
    for (name, value, code) in BAD_WISHES {
        let answer = Browser::default().authorize(&scene, &with(wish(CLIENT, WEB), name, value)).await;
        let back = location(&answer);
        assert!(back.starts_with(WEB), "{name}={value}: {back}");
        let params = params_of(&back);
        assert_eq!(params.get("error").unwrap(), Some(*code), "{name}={value}");
        assert_eq!(params.get("iss").unwrap(), Some(ISSUER), "{name}={value}");
        assert!(answer.refused.is_some());
        // The operator knows nothing of this one: whoever follows its link stays here (RFC 9700 section 4.11.2).
        let stranger = Browser::default().authorize(&scene, &with(wish(id, WEB), name, value)).await;
        assert!(is_page(&stranger), "{name}={value}: {stranger:?}");
    }
}

#[tokio::test]
async fn what_a_stranger_calls_itself_is_text() {
    let scene = Scene::new();
    let id = "https://evil.example/c";
    for (name, never) in [
        ("<script>alert(1)</script>", "<script"),
        ("\"><img src=x onerror=alert(1)>", "<img"),
        ("x</h1><form action=https://evil.example>", "<form action=https"),
        ("a\r\nset-cookie: b=c", "\r"),
        ("gnp.\u{202e}exe", "\u{202e}"),
        ("&lt;b&gt;", "<b>"),
    ] {
        let document = json!({"client_id": id, "client_name": name, "redirect_uris": [WEB], "client_uri": "javascript:x"});
        let scene = Scene::new();
        scene.idp(|idp| idp.documents.insert(id.into(), Ok(document.to_string())));
        let page = Browser::default().authorize(&scene, &wish(id, WEB)).await;
        assert_eq!(page.status, 200);
        assert!(!page.body.contains(never), "{name}: {}", page.body);
        assert_eq!(page.body.matches("<form").count(), 1);
    }
    let page = Browser::default().authorize(&scene, &wish(CLIENT, WEB)).await;
    assert!(field(&page, "content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    assert_eq!(field(&page, "x-frame-options").as_deref(), Some("DENY"));
    assert_eq!(field(&page, "cache-control").as_deref(), Some("no-store"));
    assert!(!page.body.contains("<script"));
}

#[tokio::test]
async fn a_consent_is_of_the_browser_and_for_the_client_it_was_shown_for() {
    let scene = Scene::new();
    let (mut victim, mut thief) = (Browser::default(), Browser::default());
    let shown = sealed(&victim.authorize(&scene, &wish(CLIENT, WEB)).await);
    let own = sealed(&thief.authorize(&scene, &wish("server", WEB)).await);
    let foreign = "the form was not made for this browser";
    assert_eq!(thief.submit(&scene, &shown, "allow").await.refused, Some(foreign));
    assert_eq!(victim.submit(&scene, &own, "allow").await.refused, Some(foreign));
    assert_eq!(Browser::default().submit(&scene, &shown, "allow").await.status, 403);
    let mut changed = shown.clone().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    assert_eq!(victim.submit(&scene, &changed, "allow").await.refused, Some(foreign));
    // Two cookies of one name: one was planted, and nobody knows which.
    let name = victim.cookies.keys().next().unwrap().clone();
    let both = format!("{name}={}; {name}={}", victim.cookies[&name], thief.cookies[&name]);
    let body = crate::facade::wire::form(&[("request", &shown), ("answer", "allow")]);
    let request = FacadeRequest {
        method: "POST",
        path: "/consent",
        cookie: Some(&both),
        content_type: Some("application/x-www-form-urlencoded"),
        body: body.as_bytes(),
        ..FacadeRequest::default()
    };
    assert_eq!(scene.answer(request).await.status, 403);
    assert_eq!(victim.submit(&scene, &shown, "allow").await.status, 303);
    // Nothing but the button is a yes.
    for answer in ["deny", "", "ALLOW"] {
        let shown = sealed(&victim.authorize(&scene, &wish(CLIENT, WEB)).await);
        let back = location(&victim.submit(&scene, &shown, answer).await);
        assert!(back.starts_with(WEB) && back.contains("error=access_denied"), "{answer}: {back}");
    }
}

#[tokio::test]
async fn a_login_comes_back_once_to_the_browser_that_began_it_and_from_whom_it_was_sent_to() {
    let scene = Scene::new();
    let begin = async |browser: &mut Browser| {
        let page = browser.authorize(&scene, &wish(CLIENT, WEB)).await;
        // Who agreed before is not asked again.
        if page.status == 303 {
            return location(&page);
        }
        location(&browser.submit(&scene, &sealed(&page), "allow").await)
    };
    let (mut victim, mut thief) = (Browser::default(), Browser::default());
    let away = begin(&mut thief).await;
    // The thief logs in, and has the victim's browser come back: the victim would be the thief (login CSRF).
    let answer = victim.back(&scene, &away, "thief").await;
    assert_eq!(answer.refused, Some("the login was begun in another browser"));
    assert!(is_page(&answer));
    let over = "this login is over, or was never begun here";
    assert_eq!(thief.back(&scene, &away, "thief").await.refused, Some(over), "and it is used up");
    let away = begin(&mut victim).await;
    assert_eq!(victim.back(&scene, &away, "ada").await.refused, None);
    assert_eq!(victim.back(&scene, &away, "ada").await.refused, Some(over), "twice");
    for query in ["state=made-up&code=x&iss=https%3A%2F%2Fidp.example.com", "code=x", "", "state=a&state=b"] {
        assert!(is_page(&victim.get(&scene, "/callback", query).await), "{query}");
    }
    // Mix-up: another provider's answer, an error as much as a code, and one that says nothing although it always does.
    for (iss, error) in [
        ("&iss=https%3A%2F%2Fevil.example", ""),
        ("", ""),
        ("&iss=https%3A%2F%2Fidp.example.com%2F", ""),
        ("&iss=https%3A%2F%2Fevil.example", "&error=access_denied"),
    ] {
        let away = begin(&mut victim).await;
        let state = params_of(&away).get("state").unwrap().unwrap().to_owned();
        let answer = victim.get(&scene, "/callback", &format!("state={state}&code=of-ada{iss}{error}")).await;
        assert!(is_page(&answer), "{iss}{error}: {answer:?}");
        assert!(answer.refused.unwrap().contains("identity provider"), "{answer:?}");
    }
    assert_eq!(scene.idp(|idp| idp.posted.len()), 1, "none of these codes was redeemed");
}

/// How an ID token is forged, and why it is refused. Header and claims go over those of a decent provider.
#[tokio::test]
async fn nobody_is_logged_in_by_an_id_token_that_is_not_the_providers_for_this_login() {
    type Forge = fn(&Value, &Value) -> String;
    let unsigned: Forge = |header, claims| {
        let mut header = header.clone();
        header["alg"] = json!("none");
        format!("{}.{}.", encode(header.to_string()), encode(claims.to_string()))
    };
    let hmac: Forge = |_, claims| {
        // Signed with the public key as if it were a secret.
        let signed = format!(
            "{}.{}",
            encode(json!({"alg": "HS256", "kid": "k1"}).to_string()),
            encode(claims.to_string())
        );
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"public");
        format!("{signed}.{}", encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
    };
    let stranger: Forge = |header, claims| Signer::p256().sign(header, claims);
    let table: [(&str, Value, Value, Option<Forge>, &str); 14] = [
        ("alg none", json!({}), json!({}), Some(unsigned), "signed in a way that is not allowed"),
        ("HMAC", json!({}), json!({}), Some(hmac), "signed in a way that is not allowed"),
        ("another key", json!({}), json!({}), Some(stranger), "not signed by the identity provider"),
        ("unknown kid", json!({"kid": "k2"}), json!({}), None, "not signed by the identity provider"),
        ("an access token", json!({"typ": "at+jwt"}), json!({}), None, "no ID token"),
        ("another issuer", json!({}), json!({"iss": "https://evil.example"}), None, "another issuer"),
        ("another client", json!({}), json!({"aud": "other"}), None, "another client"),
        ("several clients", json!({}), json!({"aud": ["gateway", "other"]}), None, "another client"),
        ("made for another", json!({}), json!({"azp": "other"}), None, "another client"),
        ("another login", json!({}), json!({"nonce": "other"}), None, "another login"),
        ("no nonce", json!({}), json!({"nonce": null}), None, "another login"),
        ("expired", json!({}), json!({"exp": now() - 60}), None, "another time"),
        ("exp as text", json!({}), json!({"exp": "9999999999"}), None, "another time"),
        ("nobody", json!({}), json!({"sub": null}), None, "names nobody"),
    ];
    for (what, header, change, forge, reason) in table {
        let scene =
            Scene::with(settings(), |idp| (idp.header, idp.claims, idp.forge) = (header, change, forge));
        let back = Browser::default().login(&scene, &wish(CLIENT, WEB), "ada").await;
        let params = params_of(&location(&back));
        assert_eq!(params.get("error").unwrap(), Some("server_error"), "{what}");
        assert!(back.refused.is_some_and(|it| it.contains(reason)), "{what}: {:?}", back.refused);
        assert_eq!(params.get("code").unwrap(), None, "{what}");
    }
}

#[tokio::test]
async fn a_code_is_good_once_for_its_client_with_its_verifier() {
    let scene = Scene::new();
    let code = async || scene.login(&mut Browser::default(), CLIENT, WEB, "ada").await;
    let error = |answer: &FacadeAnswer| serde_json::from_str::<Value>(&answer.body).unwrap()["error"].clone();
    let grant = json!("invalid_grant");
    // Another verifier, the challenge itself, none at all; and then the code is gone.
    for verifier in ["another-another-another-another-another-another", "short", ""] {
        let code = code().await;
        let answer = scene.redeem(CLIENT, &code, verifier).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(scene.redeem(CLIENT, &code, VERIFIER).await.refused.unwrap().contains("used before"));
    }
    let stolen = code().await;
    let basic = format!("Basic {}", super::scene_basic("server", SECRET));
    let params =
        [("grant_type", "authorization_code"), ("code", stolen.as_str()), ("code_verifier", VERIFIER)];
    let answer = scene.post_as("/token", &params, Some(&basic)).await;
    assert_eq!((error(&answer), answer.refused), (grant.clone(), Some("the code is another client's")));
    for (name, value, code_of) in [
        ("redirect_uri", "https://app.example/other", "invalid_grant"),
        ("resource", "https://gw.example.com/mcp/s/crm", "invalid_target"),
    ] {
        let code = code().await;
        let params = [
            ("grant_type", "authorization_code"),
            ("client_id", CLIENT),
            ("code", code.as_str()),
            ("code_verifier", VERIFIER),
            (name, value),
        ];
        assert_eq!(error(&scene.post("/token", &params).await), json!(code_of), "{name}");
    }
    // What a code gave that is used again is taken back: its refresh token, and its access token at once.
    let code = code().await;
    let tokens: Value = serde_json::from_str(&scene.redeem(CLIENT, &code, VERIFIER).await.body).unwrap();
    let session = claims(tokens["access_token"].as_str().unwrap())["sid"].as_str().unwrap().to_owned();
    assert!(!scene.ended.has(&session));
    let again = scene.redeem(CLIENT, &code, VERIFIER).await;
    assert_eq!(error(&again), grant);
    assert!(scene.ended.has(&session));
    let refreshed = scene.refresh(CLIENT, tokens["refresh_token"].as_str().unwrap()).await;
    assert_eq!(error(&refreshed), grant);
    assert_eq!(
        scene.redeem(CLIENT, "made-up", VERIFIER).await.refused,
        Some("the code is not known, or not any more")
    );
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_the_login() {
    let scene = Scene::new();
    let first = scene.tokens(CLIENT, WEB, "ada").await;
    let text = |tokens: &Value, name: &str| tokens[name].as_str().unwrap().to_owned();
    let old = text(&first, "refresh_token");
    let second: Value = serde_json::from_str(&scene.refresh(CLIENT, &old).await.body).unwrap();
    let third: Value =
        serde_json::from_str(&scene.refresh(CLIENT, &text(&second, "refresh_token")).await.body).unwrap();
    let told = claims(&text(&third, "access_token"));
    assert_eq!((&told["sub"], &told["groups"]), (&json!("ada"), &json!(["staff"])));
    let session = told["sid"].as_str().unwrap().to_owned();
    assert_eq!(
        scene.refresh(CLIENT, &old).await.refused,
        Some("the refresh token was used before; its login is ended")
    );
    assert_eq!(scene.refresh(CLIENT, &text(&third, "refresh_token")).await.status, 400);
    assert!(scene.ended.has(&session));

    let other = scene.tokens(CLIENT, WEB, "bob").await;
    let basic = format!("Basic {}", super::scene_basic("server", SECRET));
    let stolen = text(&other, "refresh_token");
    let params = [("grant_type", "refresh_token"), ("refresh_token", stolen.as_str())];
    let answer = scene.post_as("/token", &params, Some(&basic)).await;
    assert_eq!(answer.refused, Some("the refresh token is another client's; its login is ended"));
    // What cannot be had costs nothing.
    let third = scene.tokens(CLIENT, WEB, "ada").await;
    let good = text(&third, "refresh_token");
    let elsewhere = [
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT),
        ("refresh_token", good.as_str()),
        ("resource", "https://gw.example.com/mcp/s/crm"),
    ];
    assert_eq!(scene.post("/token", &elsewhere).await.refused, Some("the resource is not that of the login"));
    let more = [&elsewhere[..3], &[("scope", "mcp mcp:write")]].concat();
    let answer = scene.post("/token", &more).await;
    assert!(answer.body.contains("\"invalid_scope\""), "{answer:?}");
    assert_eq!(scene.refresh(CLIENT, &good).await.status, 200);
    for made_up in ["x", "x.y", ".", ""] {
        assert_eq!(scene.refresh(CLIENT, made_up).await.status, 400, "{made_up}");
    }
}

#[tokio::test]
async fn a_flood_of_registrations_and_logins_is_slowed_down_for_whoever_makes_it() {
    let scene = Scene::new();
    let body = json!({"redirect_uris": [WEB], "token_endpoint_auth_method": "none"}).to_string();
    let register = async |peer: &str| {
        let peer = Some(peer.parse().unwrap());
        let request = FacadeRequest {
            method: "POST",
            path: "/register",
            body: body.as_bytes(),
            peer,
            ..FacadeRequest::default()
        };
        scene.answer(request).await
    };
    for _ in 0..10 {
        assert_eq!(register("192.0.2.1").await.status, 201);
    }
    let slowed = register("192.0.2.1").await;
    assert_eq!((slowed.status, field(&slowed, "retry-after").is_some()), (429, true));
    assert_eq!(register("192.0.2.2").await.status, 201, "others are not held up");
    for bad in [
        "",
        "[]",
        "{",
        &"{\"redirect_uris\":[".repeat(2000),
        &format!("{{\"client_name\":\"{}\"}}", "x".repeat(20_000)),
    ] {
        let request = FacadeRequest {
            method: "POST",
            path: "/register",
            body: bad.as_bytes(),
            peer: Some("192.0.2.3".parse().unwrap()),
            ..FacadeRequest::default()
        };
        assert_eq!(scene.answer(request).await.status, 400);
    }
    // Logins as well: each is kept until it comes back.
    let mut browser = Browser::default();
    scene.login(&mut browser, CLIENT, WEB, "ada").await;
    let mut statuses = Vec::new();
    for _ in 0..61 {
        statuses.push(browser.authorize(&scene, &wish(CLIENT, WEB)).await.status);
    }
    assert_eq!((statuses[0], statuses[60]), (303, 429));
}

#[tokio::test]
async fn who_logged_in_before_is_let_in_while_strangers_flood() {
    let scene = Scene::new();
    let mut ada = Browser::at("203.0.113.1");
    scene.login(&mut ada, CLIENT, "https://app.example/cb", "ada").await;
    let begin = async |browser: &mut Browser| {
        let page = browser.authorize(&scene, &wish(CLIENT, WEB)).await;
        if page.status == 200 { browser.submit(&scene, &sealed(&page), "allow").await } else { page }
    };
    // Twenty addresses do not take it all from anybody.
    for address in 1..=20 {
        let mut browser = Browser::at(&format!("10.{address}.0.1"));
        for _ in 0..60 {
            begin(&mut browser).await;
        }
        assert_eq!(begin(&mut browser).await.status, 429);
    }
    assert_eq!(begin(&mut Browser::at("192.0.2.7")).await.status, 303);
    // A thousand networks do, but from who was here before.
    for network in 0..1000 {
        let mut browser = Browser::at(&format!("10.{}.{}.1", 100 + network / 250, network % 250));
        for _ in 0..3 {
            begin(&mut browser).await;
        }
    }
    assert_eq!(begin(&mut Browser::at("198.51.100.7")).await.status, 429);
    assert_eq!(begin(&mut ada).await.status, 303);
    // What shows that is hers and of her browser alone.
    let name = ada.cookies.keys().find(|name| name.ends_with("-known")).unwrap().clone();
    let mut thief = Browser::at("198.51.100.7");
    thief.cookies.insert(name.clone(), ada.cookies[&name].clone());
    assert_eq!(begin(&mut thief).await.status, 429);
}
