//! A user connects an account, and it is used, renewed and given up.

use std::sync::Arc;

use portcullis_model::Records as _;
use serde_json::json;

use super::world::*;
use crate::outbound::{
    Begun, Kind, Needed, NotConnected, Oauth, Office, Refusal, ServerCredentials, Source, form,
};

/// What a user is given who calls without an account.
pub(super) async fn link_of(source: &Arc<Source>, challenge: &str) -> String {
    assert!(source.credential().await.unwrap().is_none(), "the server is asked without first");
    let refusal = Refusal { status: 401, challenge: Some(challenge), nonce: None, again: 0 };
    match source.challenged(None, refusal).await {
        Err(Needed::Connect(connect)) => connect.url,
        other => panic!("no link: {other:?}"),
    }
}

pub(super) async fn begin(office: &Arc<Office>, source: &Arc<Source>, url: &str) -> Begun {
    let id = url.strip_prefix("https://gw.example.com/connect/").expect("a link of ours");
    let link = office.link(id).await.unwrap().expect("the link is there");
    source.begin(&link).await.expect("it can be begun")
}

/// A field of the address that a browser is sent to.
pub(super) fn sent(begun: &Begun, name: &str) -> Option<String> {
    let (_, query) = begun.url.split_once('?').unwrap();
    form::read(query).unwrap().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The browser comes back with this query.
pub(super) async fn come_back(
    office: &Arc<Office>,
    source: &Arc<Source>,
    begun: &Begun,
    query: &str,
) -> Option<Result<(), NotConnected>> {
    let back = sent(begun, "redirect_uri").unwrap();
    let issuer = back.strip_prefix("https://gw.example.com/oauth/callback/").expect("an address of ours");
    let arrival = office.arrive(issuer, query).await.unwrap()?;
    Some(source.finish(&arrival, Some(&begun.cookie)).await)
}

pub(super) async fn connect(office: &Arc<Office>, source: &Arc<Source>) {
    let begun = begin(office, source, &link_of(source, "Bearer").await).await;
    let state = sent(&begun, "state").unwrap();
    let query = format!("code=c&state={state}&iss={}", form::encode(ISSUER));
    assert_eq!(come_back(office, source, &begun, &query).await, Some(Ok(())));
}

#[tokio::test]
async fn an_account_is_connected_once_and_used_for_its_user_alone() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    let (ann, bob) = (account(&office, &world, ann()), account(&office, &world, user("bob")));
    let url = link_of(&ann, r#"Bearer scope="mcp:read""#).await;
    let begun = begin(&office, &ann, &url).await;
    assert_eq!(sent(&begun, "scope").as_deref(), Some("mcp:read"));
    assert_eq!(sent(&begun, "resource").as_deref(), Some(SERVER));
    assert_eq!(sent(&begun, "code_challenge_method").as_deref(), Some("S256"));
    let own = crate::outbound::account::digest(ISSUER);
    let back = format!("https://gw.example.com/oauth/callback/{own}");
    assert_eq!(sent(&begun, "redirect_uri"), Some(back), "an address for this issuer");
    let state = sent(&begun, "state").unwrap();
    let query = format!("code=c&state={state}&iss={}", form::encode(ISSUER));
    assert_eq!(come_back(&office, &ann, &begun, &query).await, Some(Ok(())));
    let asked = &world.asked(TOKEN)[0];
    assert_eq!(asked.fields["resource"], SERVER);
    assert!(asked.authorization.starts_with("Basic "), "as it was registered");
    assert!(asked.fields.contains_key("code_verifier"));
    let credential = ann.credential().await.unwrap().unwrap();
    assert_eq!(credential.headers("POST", SERVER).credential.1, "Bearer token-1");
    assert!(bob.credential().await.unwrap().is_none(), "it is nobody else's");
    // Another process, or this one after a restart.
    let later = account(&office, &world, super::world::ann());
    assert_eq!(
        later.credential().await.unwrap().unwrap().headers("POST", SERVER).credential.1,
        "Bearer token-1"
    );
    assert_eq!(world.asked(TOKEN).len(), 1, "what is connected is asked for once");
}

#[tokio::test]
async fn one_refreshes_for_all_who_wait_and_no_refresh_token_is_used_twice() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    let source = account(&office, &world, ann());
    let mut used = Vec::<String>::new();
    let mut number = 0;
    world.on(TOKEN, move |asked| {
        if let Some(refresh) = asked.fields.get("refresh_token") {
            assert!(!used.contains(refresh), "{refresh} is used twice");
            used.push(refresh.clone());
        }
        number += 1;
        // The first one is over at once.
        let lifetime = if number == 1 { 0 } else { 3600 };
        let mut answer = bearer(&format!("token-{number}"));
        answer["expires_in"] = lifetime.into();
        (200, answer)
    });
    connect(&office, &source).await;
    let all = (0..50).map(|_| {
        let source = source.clone();
        tokio::spawn(async move {
            let credential = source.credential().await.unwrap().unwrap();
            credential.headers("POST", SERVER).credential.1.into_owned()
        })
    });
    for one in all.collect::<Vec<_>>() {
        assert_eq!(one.await.unwrap(), "Bearer token-2");
    }
    assert_eq!(world.asked(TOKEN).len(), 2, "one for the code, one refresh");
}

#[tokio::test]
async fn two_processes_that_refresh_at_once_end_with_one_account() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    let (one, other) = (account(&office, &world, ann()), account(&office, &world, ann()));
    let mut number = 0;
    world.on(TOKEN, move |_| {
        number += 1;
        let mut answer = bearer(&format!("token-{number}"));
        answer["expires_in"] = if number == 1 { 0 } else { 3600 }.into();
        (200, answer)
    });
    connect(&office, &one).await;
    let (first, second) = tokio::join!(one.credential(), other.credential());
    let shown = |credential: &Arc<crate::outbound::Credential>| {
        credential.headers("POST", SERVER).credential.1.clone().into_owned()
    };
    assert_eq!(shown(&first.unwrap().unwrap()), shown(&second.unwrap().unwrap()));
}

#[tokio::test]
async fn an_account_whose_refresh_is_refused_has_to_be_connected_again() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    let source = account(&office, &world, ann());
    world.on(TOKEN, |asked| match asked.fields["grant_type"].as_str() {
        "authorization_code" => {
            (200, json!({"access_token": "a", "token_type": "bearer", "expires_in": 0, "refresh_token": "r"}))
        }
        _ => (400, json!({"error": "invalid_grant"})),
    });
    connect(&office, &source).await;
    assert!(source.credential().await.unwrap().is_none());
    assert!(!source.is_connected().await.unwrap());
}

#[tokio::test]
async fn what_is_given_up_is_revoked_and_gone() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    let source = account(&office, &world, ann());
    world.on("https://as.example.com/revoke", |_| (200, json!({})));
    connect(&office, &source).await;
    assert!(source.disconnect().await.unwrap());
    let revoked = world.asked("https://as.example.com/revoke");
    assert_eq!(revoked[0].fields["token"], "r-token-1");
    assert!(source.credential().await.unwrap().is_none());
    assert!(!source.disconnect().await.unwrap(), "there is none any more");
}

#[tokio::test]
async fn nothing_in_the_store_can_be_read_or_moved() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    let source = account(&office, &world, ann());
    connect(&office, &source).await;
    let kept: Vec<_> =
        store.0.lock().unwrap().iter().map(|(key, record)| (key.clone(), record.clone())).collect();
    for ((_, key), record) in &kept {
        let text = String::from_utf8_lossy(&record.value);
        for secret in ["token-1", "r-token-1", "registered", "ann"] {
            assert!(!text.contains(secret) && !key.contains(secret), "{secret} can be seen");
        }
    }
    // Ann's record in Bob's place opens for nobody.
    let ((kind, key), record) = kept.iter().find(|((kind, _), _)| *kind == "connection").unwrap();
    let (place, rest) = key.split_once('/').unwrap();
    let bobs = format!("{}/{rest}", crate::outbound::account::digest(&user("bob").id()));
    assert_ne!(place, bobs.split_once('/').unwrap().0);
    let expected = portcullis_model::Expected::Any;
    store.put(kind, &bobs, record.value.clone(), None, expected).await.unwrap();
    assert!(account(&office, &world, user("bob")).credential().await.unwrap().is_none());
    // Nor with another key.
    let other = Office::new(store.clone(), Some([8; 32]), tokio::runtime::Handle::current());
    assert!(account(&other, &world, ann()).credential().await.unwrap().is_none());
}

#[tokio::test]
async fn more_scopes_are_asked_of_the_user_and_not_for_ever() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    let source = account(&office, &world, ann());
    connect(&office, &source).await;
    let more = |scopes: &'static str| Refusal { status: 403, challenge: Some(scopes), nonce: None, again: 0 };
    let used = source.credential().await.unwrap();
    let needed =
        source.challenged(used.as_ref(), more(r#"Bearer error="insufficient_scope", scope="w""#)).await;
    let Err(Needed::Connect(connect)) = needed else { panic!("{needed:?}") };
    assert!(connect.more);
    let begun = begin(&office, &source, &connect.url).await;
    assert_eq!(sent(&begun, "scope").as_deref(), Some("w"));
    let state = sent(&begun, "state").unwrap();
    let query = format!("code=c&state={state}&iss={}", form::encode(ISSUER));
    assert_eq!(come_back(&office, &source, &begun, &query).await, Some(Ok(())));
    // The server wants what was given already: nobody is asked again.
    let used = source.credential().await.unwrap();
    let needed =
        source.challenged(used.as_ref(), more(r#"Bearer error="insufficient_scope", scope="w""#)).await;
    assert!(matches!(needed, Err(Needed::Denied(_))), "{needed:?}");
}

#[tokio::test]
async fn a_server_that_refuses_everything_has_nobody_refresh_without_end() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    let source = account(&office, &world, ann());
    connect(&office, &source).await;
    let refusal = Refusal { status: 401, challenge: Some("Bearer"), nonce: None, again: 0 };
    // It has been good for a while: one refresh, and then the user is asked.
    source.state().obtained = Some(tokio::time::Instant::now() - std::time::Duration::from_mins(1));
    let used = source.credential().await.unwrap();
    assert_eq!(source.challenged(used.as_ref(), refusal).await, Ok(()));
    let used = source.credential().await.unwrap();
    assert!(used.is_some());
    let needed = source.challenged(used.as_ref(), Refusal { again: 1, ..refusal }).await;
    assert!(matches!(needed, Err(Needed::Connect(_))), "{needed:?}");
    for _ in 0..20 {
        let used = source.credential().await.unwrap();
        assert!(used.is_none(), "it is asked without");
        assert!(source.challenged(None, refusal).await.is_err());
    }
    assert_eq!(world.asked(TOKEN).len(), 2, "the code, and one refresh");
}

#[tokio::test]
async fn a_server_without_an_address_is_not_asked_and_its_accounts_are_its_own() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    let of = |url: &str| {
        let oauth = Oauth { issuer: Some(ISSUER.into()), resource: Some(SERVER.into()), ..Oauth::default() };
        let settings =
            ServerCredentials { url: url.into(), nowhere: true, ..credentials(Kind::Oauth(oauth)) };
        source(&office, &world, settings, Some(ann()))
    };
    let (one, other) = ("http://one.image.invalid./acme/one", "http://other.image.invalid./acme/other");
    let source = of(one);
    // Nor is what it names itself.
    let url = link_of(&source, r#"Bearer resource_metadata="https://evil.example.com/about""#).await;
    let begun = begin(&office, &source, &url).await;
    assert_eq!(sent(&begun, "resource").as_deref(), Some(SERVER));
    let query = format!("code=c&state={}&iss={}", sent(&begun, "state").unwrap(), form::encode(ISSUER));
    assert_eq!(come_back(&office, &source, &begun, &query).await, Some(Ok(())));
    assert!(of(one).credential().await.unwrap().is_some());
    assert!(of(other).credential().await.unwrap().is_none(), "it was not connected to this one");
    let asked = world.all_asked();
    let elsewhere = asked.iter().find(|it| !it.url.starts_with(ISSUER));
    assert_eq!(elsewhere.map(|it| it.url.as_str()), None);
}
