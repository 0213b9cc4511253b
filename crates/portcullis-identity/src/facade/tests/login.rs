//! What works: every kind of client, and what comes of a login.

use serde_json::{Value, json};

use super::scene::*;
use crate::facade::FacadeRequest;
use crate::jose::{Algorithm, Compact, KeySet};

const DOCUMENT: &str = "https://app.example/client.json";

#[tokio::test]
async fn a_login_gives_a_token_for_one_endpoint_with_what_the_provider_said() {
    let scene = Scene::new();
    let tokens = scene.tokens(CLIENT, WEB, "ada").await;
    assert_eq!(
        (&tokens["token_type"], &tokens["expires_in"], &tokens["scope"]),
        (&json!("Bearer"), &json!(600), &json!("mcp"))
    );
    let token = tokens["access_token"].as_str().unwrap();
    let told = claims(token);
    let expected = json!({
        "iss": ISSUER, "sub": "ada", "aud": format!("{BASE}/mcp"), "client_id": CLIENT, "scope": "mcp",
        "groups": ["staff"], "email": "ada@example.com",
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&told[name], value, "{name}");
    }
    assert_eq!(told.get("nonce"), None);
    let jwks = scene.answer(FacadeRequest { method: "GET", path: "/jwks", ..FacadeRequest::default() }).await;
    let (set, compact) = (KeySet::read(jwks.body.as_bytes()).unwrap(), Compact::parse(token).ok().unwrap());
    assert_eq!(compact.header.typ.as_deref(), Some("at+jwt"));
    assert_eq!(set.check_signature(&compact, Algorithm::ES256), Ok(()));
    assert!(!jwks.body.contains("\"d\""), "no private half is told: {}", jwks.body);
    // Toward the provider: the code once, with the secret where it belongs.
    let posted = scene.idp(|idp| idp.posted.clone());
    let [(url, body, authorization)] = posted.as_slice() else { panic!("{posted:?}") };
    assert_eq!(url, &format!("{IDP}/token"));
    assert!(authorization.starts_with("Basic ") && !body.contains("secret"), "{body}");
}

#[tokio::test]
async fn scopes_to_step_up_to_are_given_to_whoever_asks_for_them() {
    let scene = Scene::new();
    let given = async |scope: &str| {
        let wish = with(wish(CLIENT, WEB), "scope", scope);
        let back = Browser::default().login(&scene, &wish, "ada").await;
        let params = params_of(&location(&back));
        let answer = scene.redeem(CLIENT, params.get("code").unwrap().expect("a code"), VERIFIER).await;
        let tokens: Value = serde_json::from_str(&answer.body).unwrap();
        claims(tokens["access_token"].as_str().unwrap())["scope"].as_str().unwrap_or_default().to_owned()
    };
    // Not by themselves.
    assert_eq!(given("").await, "mcp mcp:write");
    assert_eq!(given("mcp mcp:admin").await, "mcp mcp:admin");
    assert_eq!(given("mcp:admin offline_access").await, "mcp:admin");
}

#[tokio::test]
async fn the_document_says_what_there_is() {
    let scene = Scene::new();
    let document: Value = serde_json::from_str(&scene.facade.document().body).unwrap();
    assert_eq!(document["scopes_supported"], json!(["mcp", "mcp:write", "mcp:admin"]));
    assert_eq!(document["issuer"], ISSUER);
    for (name, path) in [
        ("authorization_endpoint", "authorize"),
        ("token_endpoint", "token"),
        ("registration_endpoint", "register"),
    ] {
        assert_eq!(document[name], format!("{ISSUER}/{path}"));
    }
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
    assert_eq!(document["client_id_metadata_document_supported"], true);
    assert_eq!(
        document["authorization_grant_profiles_supported"],
        json!(["urn:ietf:params:oauth:grant-profile:id-jag"])
    );
    let mut off = settings();
    (off.registration, off.documents.enabled, off.id_jag, off.clients) =
        (false, false, Vec::new(), Vec::new());
    let document: Value = serde_json::from_str(&Scene::with(off, |_| {}).facade.document().body).unwrap();
    assert_eq!(document.get("registration_endpoint"), None);
    assert_eq!(document["client_id_metadata_document_supported"], false);
    assert_eq!(document["grant_types_supported"], json!(["authorization_code", "refresh_token"]));
}

#[tokio::test]
async fn clients_are_known_by_their_document_and_by_registration() {
    let scene = Scene::new();
    let native = "http://127.0.0.1/cb";
    let document = json!({"client_id": DOCUMENT, "client_name": "Paper", "redirect_uris": [WEB, native]});
    scene.idp(|idp| idp.documents.insert(DOCUMENT.into(), Ok(document.to_string())));
    let page = Browser::default().authorize(&scene, &wish(DOCUMENT, "http://127.0.0.1:4711/cb")).await;
    assert!(page.body.contains("Paper") && page.body.contains("published by app.example"), "{}", page.body);
    assert!(page.body.contains("runs on this computer"), "{}", page.body);
    scene.tokens(DOCUMENT, "http://127.0.0.1:4711/cb", "ada").await;
    assert_eq!(scene.idp(|idp| idp.asked.iter().filter(|url| *url == DOCUMENT).count()), 1);

    let old = json!({"client_name": "Old", "redirect_uris": [native], "token_endpoint_auth_method": "none"});
    let answer = scene.register(&old).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let registered: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(registered.get("client_secret"), None);
    let id = registered["client_id"].as_str().unwrap();
    let page = Browser::default().authorize(&scene, &wish(id, "http://127.0.0.1:4711/cb")).await;
    assert!(page.body.contains("nobody has checked its name"), "{}", page.body);
    scene.tokens(id, "http://127.0.0.1:4711/cb", "bob").await;
}

#[tokio::test]
async fn a_client_with_a_secret_shows_it_in_one_of_two_ways() {
    let scene = Scene::new();
    let basic = format!("Basic {}", crate::facade::tests::scene_basic("server", SECRET));
    for (authorization, more) in
        [(Some(basic.as_str()), vec![]), (None, vec![("client_id", "server"), ("client_secret", SECRET)])]
    {
        let code = scene.login(&mut Browser::default(), "server", WEB, "ada").await;
        let mut params =
            vec![("grant_type", "authorization_code"), ("code", code.as_str()), ("code_verifier", VERIFIER)];
        params.extend(more);
        let answer = scene.post_as("/token", &params, authorization).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn what_somebody_agreed_to_is_not_asked_again_in_their_browser() {
    let scene = Scene::new();
    let mut browser = Browser::default();
    scene.login(&mut browser, CLIENT, WEB, "ada").await;
    assert_eq!(browser.authorize(&scene, &wish(CLIENT, WEB)).await.status, 303);
    scene.login(&mut browser, CLIENT, WEB, "ada").await;
    // More than that, or somewhere else, is a new question.
    for (name, value) in [("scope", "mcp mcp:write"), ("resource", "https://gw.example.com/mcp/s/crm")] {
        assert_eq!(
            browser.authorize(&scene, &with(wish(CLIENT, WEB), name, value)).await.status,
            200,
            "{name}"
        );
    }
    assert_eq!(Browser::default().authorize(&scene, &wish(CLIENT, WEB)).await.status, 200, "another browser");
    // Somebody else in the same browser did not agree to anything.
    let back = browser.login(&scene, &wish(CLIENT, WEB), "bob").await;
    assert!(location(&back).starts_with(&format!("{ISSUER}/authorize?")), "{back:?}");
    let query = location(&back).split_once('?').unwrap().1.to_owned();
    let page = browser.get(&scene, "/authorize", &query).await;
    assert_eq!((page.status, page.body.contains("The Editor")), (200, true));
}

#[tokio::test]
async fn whoever_says_no_is_sent_back_with_that() {
    let scene = Scene::new();
    let mut browser = Browser::default();
    let page = browser.authorize(&scene, &wish(CLIENT, WEB)).await;
    let back = browser.submit(&scene, &sealed(&page), "deny").await;
    let params = params_of(&location(&back));
    assert_eq!(params.get("error").unwrap(), Some("access_denied"));
    assert_eq!(
        (params.get("iss").unwrap(), params.get("state").unwrap()),
        (Some(ISSUER), Some("the client's"))
    );
    assert_eq!(scene.idp(|idp| idp.posted.len()), 0);
}

#[tokio::test]
async fn without_tls_on_this_machine_cookies_are_plain_ones() {
    let mut settings = settings();
    (settings.base, settings.issuer) = ("http://127.0.0.1:8080".into(), "http://127.0.0.1:8080/as".into());
    let scene = Scene::with(settings, |_| {});
    let request = with(wish(CLIENT, WEB), "resource", "http://127.0.0.1:8080/mcp");
    let params: Vec<_> = request.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let query = crate::facade::wire::form(&params);
    let request =
        FacadeRequest { method: "GET", path: "/authorize", query: Some(&query), ..FacadeRequest::default() };
    let cookie = field(&scene.answer(request).await, "set-cookie").unwrap();
    assert!(cookie.starts_with("portcullis-browser=") && !cookie.contains("Secure"), "{cookie}");
}

#[tokio::test]
async fn a_program_on_somebodys_device_is_asked_about_each_time() {
    let mut settings = settings();
    settings.clients[0].redirect_uris =
        ["com.example.editor:/cb", "cursor://anysphere/cb", "http://127.0.0.1/cb"].map(String::from).to_vec();
    let scene = Scene::with(settings, |_| {});
    for uri in ["com.example.editor:/cb", "cursor://anysphere/cb", "http://127.0.0.1:4711/cb"] {
        let mut browser = Browser::default();
        scene.login(&mut browser, CLIENT, uri, "ada").await;
        let page = browser.authorize(&scene, &wish(CLIENT, uri)).await;
        assert_eq!((page.status, page.body.contains("runs on this computer")), (200, true), "{uri}");
    }
}
