//! What hostile browsers, servers and authorization servers try.

use std::sync::Arc;

use serde_json::{Value, json};

use super::connecting::{begin, come_back, link_of, sent};
use super::world::*;
use crate::fetch::Trust;
use crate::outbound::account::digest;
use crate::outbound::{
    Client, ClientAuth, Hidden, Kind, Login, LoginSettings, Needed, NotConnected, Oauth, form,
};

#[tokio::test]
async fn what_a_browser_brings_back_is_good_once_and_only_from_whom_it_was_sent_to() {
    let iss = form::encode(ISSUER);
    let table: [(&str, String, bool); 11] = [
        ("as it should be", format!("code=c&state=S&iss={iss}"), true),
        ("another issuer", "code=c&state=S&iss=https%3A%2F%2Fevil".into(), false),
        ("no issuer where one was promised", "code=c&state=S".into(), false),
        ("with a slash", format!("code=c&state=S&iss={iss}%2F"), false),
        ("in upper case", "code=c&state=S&iss=HTTPS%3A%2F%2Fas.example.com".into(), false),
        ("with its port", format!("code=c&state=S&iss={iss}%3A443"), false),
        ("twice", format!("code=c&state=S&iss={iss}&iss=https%3A%2F%2Fevil"), false),
        ("an error of another issuer", "error=access_denied&state=S&iss=https%3A%2F%2Fevil".into(), false),
        ("no code", format!("state=S&iss={iss}"), false),
        ("a code without end", format!("code={}&state=S&iss={iss}", "c".repeat(5000)), false),
        ("somebody's state", format!("code=c&state=nobodys&iss={iss}"), false),
    ];
    for (name, query, expected) in table {
        let world = World::new();
        let office = office(&Arc::default());
        let source = account(&office, &world, ann());
        let begun = begin(&office, &source, &link_of(&source, "Bearer").await).await;
        let state = sent(&begun, "state").unwrap();
        let query = query.replace("state=S", &format!("state={state}"));
        let finished = come_back(&office, &source, &begun, &query).await;
        assert_eq!(finished == Some(Ok(())), expected, "{name}: {finished:?}");
        assert_eq!(world.asked(TOKEN).len(), usize::from(expected), "{name}: the code goes to nobody");
        // Again: it is over, whatever came of it.
        let good = format!("code=c&state={state}&iss={iss}");
        let again = come_back(&office, &source, &begun, &good).await;
        let unread = ["twice", "somebody's state"].contains(&name);
        assert_eq!(again.is_none(), !unread, "{name}: a state is taken once");
    }
}

/// Mix-up (RFC 9700 section 4.4): one authorization server has a browser bring its own users' codes of another, which knows
/// nothing of RFC 9207, to the gateway as an answer of its own.
#[tokio::test]
async fn a_code_of_one_issuer_is_never_redeemed_at_another() {
    let (honest, evil) = (ISSUER, "https://evil.example.com");
    let world = World::new();
    let mut silent = authority();
    silent.as_object_mut().unwrap().remove("authorization_response_iss_parameter_supported");
    let mut theirs = silent.clone();
    for (name, value) in [
        ("issuer", evil.to_owned()),
        ("token_endpoint", format!("{evil}/token")),
        ("registration_endpoint", format!("{evil}/register")),
    ] {
        theirs[name] = value.into();
    }
    world.document(AUTHORITY_DOCUMENT, silent);
    world.document(&format!("{evil}/.well-known/oauth-authorization-server"), theirs);
    world.document(&format!("{evil}/register"), json!({"client_id": "evil"}));
    world.document(RESOURCE_DOCUMENT, json!({"resource": SERVER, "authorization_servers": [evil]}));
    let office = office(&Arc::default());
    let source = account(&office, &world, ann());
    let begun = begin(&office, &source, &link_of(&source, "Bearer").await).await;
    let theirs = sent(&begun, "redirect_uri").unwrap();
    assert!(theirs.ends_with(&digest(evil)));
    // The browser was sent on to the honest one, which sends it back to the address that is registered there.
    let query = format!("code=of-the-honest-one&state={}", sent(&begun, "state").unwrap());
    let arrival = office.arrive(&digest(honest), &query).await.unwrap().unwrap();
    assert_eq!(source.finish(&arrival, Some(&begun.cookie)).await, Err(NotConnected::Issuer));
    assert!(world.asked(&format!("{evil}/token")).is_empty(), "the code goes to nobody");
    // What names no issuer's address, is none.
    let begun = begin(&office, &source, &link_of(&source, "Bearer").await).await;
    let query = format!("code=c&state={}", sent(&begun, "state").unwrap());
    for place in ["", "x", "../evil", &"a".repeat(44)] {
        assert!(office.arrive(place, &query).await.unwrap().is_none(), "{place}");
        assert!(office.client_document(place).is_none(), "{place}");
    }
    let document: Value = serde_json::from_str(&office.client_document(&digest(evil)).unwrap()).unwrap();
    assert_eq!(document["redirect_uris"], json!([theirs]));
    assert_ne!(office.client_document(&digest(evil)), office.client_document(&digest(honest)));
}

#[tokio::test]
async fn an_error_is_shown_as_a_code_and_never_as_a_text_of_somebody_elses() {
    for (error, shown) in
        [("access_denied", "access_denied"), ("<script>", "for a reason that it did not say")]
    {
        let world = World::new();
        let office = office(&Arc::default());
        let source = account(&office, &world, ann());
        let begun = begin(&office, &source, &link_of(&source, "Bearer").await).await;
        let state = sent(&begun, "state").unwrap();
        let query = format!("error={}&state={state}&iss={}", form::encode(error), form::encode(ISSUER));
        let finished = come_back(&office, &source, &begun, &query).await;
        assert_eq!(finished, Some(Err(NotConnected::Refused(shown.into()))));
    }
}

#[tokio::test]
async fn another_browser_cannot_finish_what_one_began() {
    let world = World::new();
    let office = office(&Arc::default());
    let source = account(&office, &world, ann());
    for cookie in [None, Some("guessed")] {
        let begun = begin(&office, &source, &link_of(&source, "Bearer").await).await;
        let query = format!("code=c&state={}&iss={}", sent(&begun, "state").unwrap(), form::encode(ISSUER));
        let arrival = office.arrive(&digest(ISSUER), &query).await.unwrap().unwrap();
        assert_eq!(source.finish(&arrival, cookie).await, Err(NotConnected::Browser));
    }
    assert!(world.asked(TOKEN).is_empty());
}

#[tokio::test]
async fn a_link_that_is_opened_again_and_again_leaves_one_errand() {
    let store = Arc::new(Store::default());
    let (world, office) = (World::new(), office(&store));
    let source = account(&office, &world, ann());
    let first = link_of(&source, "Bearer").await;
    for _ in 0..20 {
        let again = link_of(&source, "Bearer").await;
        assert_eq!(again, first, "one link at a time");
        begin(&office, &source, &again).await;
    }
    let kept = store.0.lock().unwrap();
    for kind in ["connect-link", "connect-state"] {
        assert_eq!(kept.keys().filter(|(of, _)| *of == kind).count(), 1, "{kind}");
    }
}

#[tokio::test]
async fn documents_that_lie_connect_nobody() {
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let without = |name: &str| {
        let mut authority = authority();
        authority.as_object_mut().unwrap().remove(name);
        authority
    };
    let with = |name: &str, value: Value| {
        let mut authority = authority();
        authority[name] = value;
        authority
    };
    let resource = json!({"resource": SERVER, "authorization_servers": [ISSUER]});
    let about = |identifier: &str| json!({"resource": identifier, "authorization_servers": [ISSUER]});
    let table = [
        ("another resource", about("https://evil.example.com/mcp"), authority()),
        ("a resource below", about("https://mcp.example.com/mcp/below"), authority()),
        ("no resource", json!({"authorization_servers": [ISSUER]}), authority()),
        ("no authority", json!({"resource": SERVER}), authority()),
        ("an authority of no type", json!({"resource": SERVER, "authorization_servers": [7]}), authority()),
        ("no JSON", json!("<html>"), authority()),
        ("deep", json!(deep), authority()),
        ("another issuer", resource.clone(), with("issuer", json!("https://evil.example.com"))),
        ("an issuer with a slash", resource.clone(), with("issuer", json!(format!("{ISSUER}/")))),
        ("no issuer", resource.clone(), without("issuer")),
        ("no token endpoint", resource.clone(), without("token_endpoint")),
        ("no PKCE", resource.clone(), without("code_challenge_methods_supported")),
        ("plain PKCE", resource.clone(), with("code_challenge_methods_supported", json!(["plain"]))),
        ("a script to open", resource.clone(), with("authorization_endpoint", json!("javascript:alert(1)"))),
        ("a file to open", resource.clone(), with("authorization_endpoint", json!("file:///etc/passwd"))),
        (
            "a page in the clear",
            resource.clone(),
            with("authorization_endpoint", json!("http://as.example.com/a")),
        ),
        (
            "a header in the address",
            resource.clone(),
            with("authorization_endpoint", json!("https://a/\r\nx: y")),
        ),
        ("no page", resource.clone(), without("authorization_endpoint")),
        ("nobody may register", resource.clone(), without("registration_endpoint")),
        ("an array", resource, json!([1, 2, 3])),
    ];
    for (name, resource, authority) in table {
        let world = World::new();
        world.document(RESOURCE_DOCUMENT, resource);
        world.document(AUTHORITY_DOCUMENT, authority);
        let office = office(&Arc::default());
        let source = account(&office, &world, ann());
        let url = link_of(&source, "Bearer").await;
        let link = office.link(url.rsplit('/').next().unwrap()).await.unwrap().unwrap();
        let begun = source.begin(&link).await;
        assert!(matches!(begun, Err(Needed::Denied(_))), "{name}: {begun:?}");
    }
}

/// What `is_global` and the client make of these, their own tests show; here it is that nothing a document names is taken
/// for something that the operator wrote.
#[tokio::test]
async fn what_a_document_names_is_never_taken_for_the_operators_word() {
    let inside = [
        "https://10.0.0.1",
        "https://[::1]",
        "https://[::ffff:10.0.0.1]",
        "https://[64:ff9b::a00:1]",
        "https://[2002:a00:1::]",
        "https://169.254.169.254",
        "https://localhost:8443",
        "https://rebinding.example.com",
    ];
    for issuer in inside {
        let world = World::new();
        world.document(RESOURCE_DOCUMENT, json!({"resource": SERVER, "authorization_servers": [issuer]}));
        let office = office(&Arc::default());
        let source = account(&office, &world, ann());
        // The address of the document itself may be a lie, too.
        for challenge in ["Bearer".to_owned(), format!("Bearer resource_metadata=\"{issuer}/prm\"")] {
            let url = link_of(&source, &challenge).await;
            let link = office.link(url.rsplit('/').next().unwrap()).await.unwrap().unwrap();
            assert!(source.begin(&link).await.is_err());
        }
        let asked = world.all_asked();
        let theirs: Vec<_> = asked.iter().filter(|asked| asked.url.starts_with(issuer)).collect();
        assert!(!theirs.is_empty(), "{issuer}");
        assert!(theirs.iter().all(|asked| asked.trust == Trust::Learned), "{issuer}");
        let ours = asked.iter().filter(|asked| asked.url.starts_with("https://mcp.example.com/"));
        assert!(ours.clone().count() > 0 && ours.clone().all(|asked| asked.trust == Trust::Configured));
    }
}

#[tokio::test]
async fn a_secret_goes_to_the_issuer_that_the_operator_named_and_to_no_other() {
    let evil = "https://evil.example.com";
    let world = World::new();
    world.document(RESOURCE_DOCUMENT, json!({"resource": SERVER, "authorization_servers": [evil]}));
    let mut lie = authority();
    lie["issuer"] = evil.into();
    lie["token_endpoint"] = format!("{evil}/token").into();
    world.document(&format!("{evil}/.well-known/oauth-authorization-server"), lie);
    let office = office(&Arc::default());
    let kind = Kind::Oauth(Oauth {
        issuer: Some(ISSUER.into()),
        client: Some(Client { id: "gw".into(), auth: ClientAuth::Basic(Hidden::new("canary")) }),
        ..Oauth::default()
    });
    let source = source(&office, &world, credentials(kind), Some(ann()));
    let url = link_of(&source, "Bearer").await;
    let link = office.link(url.rsplit('/').next().unwrap()).await.unwrap().unwrap();
    assert!(matches!(source.begin(&link).await, Err(Needed::Denied(_))));
    assert!(world.all_asked().iter().all(|asked| !asked.url.starts_with(evil)));
}

#[tokio::test]
async fn what_was_registered_with_one_issuer_is_shown_to_no_other() {
    let other = "https://as2.example.com";
    let world = World::new();
    let office = office(&Arc::default());
    let one = account(&office, &world, ann());
    super::connecting::connect(&office, &one).await;
    let mut second = authority();
    second["issuer"] = other.into();
    second["registration_endpoint"] = format!("{other}/register").into();
    second["token_endpoint"] = format!("{other}/token").into();
    world.document(&format!("{other}/.well-known/oauth-authorization-server"), second);
    world.document(&format!("{other}/register"), json!({"client_id": "second"}));
    world.document(&format!("{other}/token"), bearer("of-the-second"));
    world.document(RESOURCE_DOCUMENT, json!({"resource": SERVER, "authorization_servers": [other]}));
    let bob = account(&office, &world, user("bob"));
    let begun = begin(&office, &bob, &link_of(&bob, "Bearer").await).await;
    assert_eq!(sent(&begun, "client_id").as_deref(), Some("second"));
    let state = sent(&begun, "state").unwrap();
    let query = format!("code=c&state={state}&iss={}", form::encode(other));
    assert_eq!(come_back(&office, &bob, &begun, &query).await, Some(Ok(())));
    let theirs = world.all_asked().into_iter().filter(|asked| asked.url.starts_with(other));
    assert!(theirs.into_iter().all(|asked| !format!("{asked:?}").contains("registered")));
}

#[tokio::test]
async fn a_browser_is_logged_in_once_where_it_began_and_by_the_issuer_that_was_asked() {
    let iss = form::encode(ISSUER);
    let table: [(&str, String, bool, bool); 6] = [
        ("as it should be", format!("code=c&state=S&iss={iss}"), true, true),
        ("another browser", format!("code=c&state=S&iss={iss}"), false, false),
        ("another issuer", "code=c&state=S&iss=https%3A%2F%2Fevil".into(), true, false),
        ("no issuer", "code=c&state=S".into(), true, false),
        ("an error", format!("error=access_denied&state=S&iss={iss}"), true, false),
        ("no code", format!("state=S&iss={iss}"), true, false),
    ];
    for (name, query, same_browser, expected) in table {
        let world = World::new();
        let office = office(&Arc::default());
        let client = Client { id: "gw".into(), auth: ClientAuth::Basic(Hidden::new("s")) };
        let settings = LoginSettings { issuer: ISSUER.into(), client, scopes: vec!["mcp".into()] };
        let fetch: Arc<dyn crate::fetch::Fetch> = world.clone();
        let login = Login::new(office, settings, fetch);
        let begun = login.begin("/connect/x", "https://gw.example.com/mcp").await.unwrap();
        assert_eq!(sent(&begun, "resource").as_deref(), Some("https://gw.example.com/mcp"));
        assert_eq!(sent(&begun, "redirect_uri").as_deref(), Some("https://gw.example.com/oauth/login"));
        let state = sent(&begun, "state").unwrap();
        let cookie = if same_browser { begun.cookie.as_str() } else { "guessed" };
        let done = login.finish(&query.replace("state=S", &format!("state={state}")), Some(cookie)).await;
        assert_eq!(done.as_ref().is_ok_and(|done| done.wanted == "/connect/x"), expected, "{name}: {done:?}");
        assert_eq!(world.asked(TOKEN).len(), usize::from(expected), "{name}");
        let again = login.finish(&format!("code=c&state={state}&iss={iss}"), Some(&begun.cookie)).await;
        assert!(again.is_err(), "{name}: a state is good once");
    }
}
