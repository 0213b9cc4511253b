//! What becomes of an account over time: refreshes that fail, other processes, registrations and scopes that are good for
//! nothing any more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_now::now_or_never;
use portcullis_model::Expected;
use serde_json::{Value, json};

use super::connecting::{begin, come_back, connect, link_of, sent};
use super::world::*;
use crate::outbound::account::Kept;
use crate::outbound::{Client, ClientAuth, Hidden, Kind, Needed, Oauth, Office, Refusal, Source, form};
use crate::turn::Turn;

/// Whether a future is done when it is looked at once.
mod futures_now {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    pub(super) fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }
}

async fn shown(source: &Arc<Source>) -> Option<String> {
    let credential = source.credential().await.unwrap()?;
    Some(credential.headers("POST", SERVER).credential.1.into_owned())
}

/// The way back of a browser that was sent away.
fn agreed(begun: &crate::outbound::Begun) -> String {
    format!("code=c&state={}&iss={}", sent(begun, "state").unwrap(), form::encode(ISSUER))
}

fn wants(scopes: &'static str) -> Refusal<'static> {
    Refusal { status: 403, challenge: Some(scopes), nonce: None, again: 0 }
}

const WANTS_W: &str = r#"Bearer error="insufficient_scope", scope="w""#;

/// A token endpoint whose first token is over at once, and which answers a refresh with this.
fn refreshes_with(world: &World, status: u16, error: &'static str) {
    world.on(TOKEN, move |asked| match asked.fields["grant_type"].as_str() {
        "authorization_code" => {
            (200, json!({"access_token": "a", "token_type": "bearer", "expires_in": 0, "refresh_token": "r"}))
        }
        _ => (status, json!({"error": error})),
    });
}

#[tokio::test]
async fn only_a_grant_that_is_over_ends_an_account() {
    for (status, error, ends) in [
        (400, "invalid_grant", true),
        (401, "invalid_client", false),
        (400, "invalid_request", false),
        (400, "unauthorized_client", false),
        (400, "unsupported_grant_type", false),
        (400, "invalid_scope", false),
        (400, "slow_down", false),
        (400, "interaction_required", false),
        (503, "invalid_grant", false),
    ] {
        let (world, office) = (World::new(), office(&Arc::default()));
        let source = account(&office, &world, ann());
        refreshes_with(&world, status, error);
        connect(&office, &source).await;
        let _ = source.credential().await;
        assert_eq!(source.is_connected().await.unwrap(), !ends, "{status} {error}");
    }
}

/// How often the token endpoint was shown a refresh token.
fn refreshes(world: &World) -> usize {
    world.asked(TOKEN).iter().filter(|asked| asked.fields["grant_type"] == "refresh_token").count()
}

/// A token endpoint whose first token is over at once, and which gives another one for a refresh token that it never saw.
fn takes_a_refresh_token_once(world: &World) {
    let mut used = false;
    world.on(TOKEN, move |asked| {
        if asked.fields["grant_type"] == "authorization_code" {
            let mut first = bearer("first");
            first["expires_in"] = 0.into();
            return (200, first);
        }
        if std::mem::replace(&mut used, true) {
            (400, json!({"error": "invalid_grant"}))
        } else {
            (200, bearer("won"))
        }
    });
}

#[tokio::test(start_paused = true)]
async fn what_comes_for_a_refresh_token_is_kept_when_nobody_waits_for_it_any_more() {
    let (world, office) = (World::new(), office(&Arc::default()));
    let source = account(&office, &world, ann());
    takes_a_refresh_token_once(&world);
    connect(&office, &source).await;
    world.delays(TOKEN, Duration::from_secs(40));
    assert!(
        matches!(source.credential().await, Err(Needed::Unavailable(_))),
        "it has patience for 25 seconds"
    );
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(shown(&source).await.as_deref(), Some("Bearer won"));
    assert_eq!(refreshes(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_nobody_gives_back_is_waited_for_while_there_is_time_to_use_it() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    let source = account(&office, &world, ann());
    takes_a_refresh_token_once(&world);
    connect(&office, &source).await;
    let records: Arc<dyn portcullis_model::Records> = store.clone();
    let accounts = records.list("connection", "", "", 2).await.unwrap();
    let dead = Turn::take(&records, ("connection", &accounts[0].0)).await.unwrap().expect("nobody has it");
    let began = tokio::time::Instant::now();
    let Err(needed) = source.credential().await else { panic!("a credential") };
    assert!(matches!(&needed, Needed::Unavailable(why) if why.contains("another gateway")), "{needed:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(refreshes(&world), 0);
    dead.give_back().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(shown(&source).await.as_deref(), Some("Bearer won"));
}

#[tokio::test]
async fn an_account_is_renewed_before_it_ends_and_used_as_it_is_while_that_fails() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    // Each looks for the first time.
    let source = || account(&office, &world, ann());
    connect(&office, &source()).await;
    let key = office.vault.keys("connection", "").await.unwrap().remove(0);
    let opened = office.vault.get("connection", &key).await.unwrap().unwrap();
    let mut kept = Kept::read(&opened.value).unwrap();
    assert_eq!(kept.renew, kept.expires - 60);
    assert_eq!((shown(&source()).await.as_deref(), refreshes(&world)), (Some("Bearer token-1"), 0));
    // The time has come.
    kept.renew = crate::clock::now();
    office.vault.put("connection", &key, &kept.write(), None, Expected::Any).await.unwrap();
    let records: Arc<dyn portcullis_model::Records> = store.clone();
    let theirs = Turn::take(&records, ("connection", &key)).await.unwrap().expect("nobody has it");
    assert_eq!((shown(&source()).await.as_deref(), refreshes(&world)), (Some("Bearer token-1"), 0));
    theirs.give_back().await;
    refreshes_with(&world, 503, "away");
    assert_eq!((shown(&source()).await.as_deref(), refreshes(&world)), (Some("Bearer token-1"), 1));
    takes_a_refresh_token_once(&world);
    for _ in 0..2 {
        assert_eq!((shown(&source()).await.as_deref(), refreshes(&world)), (Some("Bearer won"), 2));
    }
}

#[tokio::test]
async fn of_two_processes_one_refreshes_and_the_other_takes_what_it_got() {
    // Both read the same record, and a refresh token is good once.
    for winner_is_late in [false, true] {
        let (world, store) = (World::new(), Arc::new(Store::default()));
        let (office, other) = (office(&store), office(&store));
        let (one, two) = (account(&office, &world, ann()), account(&other, &world, ann()));
        takes_a_refresh_token_once(&world);
        connect(&office, &one).await;
        if winner_is_late {
            // The winner's answer is under way for longer than the loser's.
            world.slows(1);
        }
        let (first, second) = tokio::join!(one.credential(), two.credential());
        assert!(first.is_ok() && second.is_ok());
        for source in [&one, &two] {
            assert_eq!(shown(source).await.as_deref(), Some("Bearer won"), "late: {winner_is_late}");
        }
        assert_eq!(refreshes(&world), 1, "late: {winner_is_late}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_one_processs_until_it_gives_it_back_or_has_died() {
    let store = Arc::new(Store::default());
    let records: Arc<dyn portcullis_model::Records> = store.clone();
    let take = async || Turn::take(&records, ("connection", "a")).await.unwrap();
    let ours = take().await.expect("nobody had it");
    assert!(take().await.is_none());
    assert!(Turn::take(&records, ("connection", "b")).await.unwrap().is_some(), "another thing");
    ours.give_back().await;
    let dead = take().await.expect("it was given back");
    // It is somebody's for so long at the most, and what was somebody else's by then is not given back.
    for record in store.0.lock().unwrap().values_mut() {
        record.expires = Some(std::time::UNIX_EPOCH);
    }
    let next = take().await.expect("it has ended by itself");
    dead.give_back().await;
    assert!(take().await.is_none());
    next.give_back().await;
    assert!(take().await.is_some());
}

#[tokio::test]
async fn whoever_loses_a_race_of_refreshes_all_the_same_takes_nothing_from_the_winner() {
    // The turn of the first has ended by itself while it was still asking; the second is told that the token was used already.
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let (office, other) = (office(&store), office(&store));
    let (one, two) = (account(&office, &world, ann()), account(&other, &world, ann()));
    let (used, turns) = (AtomicUsize::new(0), store.clone());
    world.on(TOKEN, move |asked| {
        if asked.fields["grant_type"] == "authorization_code" {
            let mut first = bearer("first");
            first["expires_in"] = 0.into();
            return (200, first);
        }
        turns.0.lock().unwrap().retain(|(kind, _), _| *kind != "turn");
        match used.fetch_add(1, Ordering::Relaxed) {
            0 => (200, bearer("won")),
            _ => (400, json!({"error": "invalid_grant"})),
        }
    });
    connect(&office, &one).await;
    // The winner's answer is under way for longer than the loser's.
    world.slows(1);
    let late = async {
        while refreshes(&world) == 0 {
            tokio::task::yield_now().await;
        }
        two.credential().await
    };
    let (first, second) = tokio::join!(one.credential(), late);
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(refreshes(&world), 2);
    for source in [&one, &two] {
        assert_eq!(shown(source).await.as_deref(), Some("Bearer won"));
    }
}

#[tokio::test]
async fn a_nonce_is_for_all_calls_with_the_same_token() {
    let (world, office) = (World::new(), office(&Arc::default()));
    world.on(TOKEN, |_| (200, json!({"access_token": "t", "token_type": "DPoP", "expires_in": 3600})));
    let mut settings = credentials(Kind::Oauth(Oauth::default()));
    settings.dpop = true;
    let source = source(&office, &world, settings, Some(ann()));
    connect(&office, &source).await;
    let refusal = |nonce, again| Refusal {
        status: 401,
        challenge: Some(r#"DPoP error="use_dpop_nonce""#),
        nonce,
        again,
    };
    // Several calls went out without a nonce, and all are told the same one.
    let used = source.credential().await.unwrap();
    for call in 0..5 {
        assert_eq!(source.challenged(used.as_ref(), refusal(Some("n1"), 0)).await, Ok(()), "call {call}");
    }
    let proof = |nonce: &str| {
        let shown = used.as_ref().unwrap().headers("POST", SERVER).proof.unwrap();
        crate::jose::Compact::parse(&shown).unwrap().claims["nonce"] == nonce
    };
    assert!(proof("n1"));
    // A server that wants another one without end does not get it.
    assert_eq!(source.challenged(used.as_ref(), refusal(Some("n2"), 1)).await, Ok(()));
    assert!(source.challenged(used.as_ref(), refusal(Some("n3"), 2)).await.is_err());
    assert!(proof("n3"));
}

#[tokio::test]
async fn a_registration_lasts_for_as_long_as_it_says_and_no_number_breaks_it() {
    let day = crate::clock::now() + 24 * 3600;
    for (end, kept) in [
        (json!(0), true),
        (json!(u64::MAX), true),
        (json!(i64::MAX), true),
        (json!(day), true),
        (json!(1), false),
        (json!(-1), true),
        (json!(1e300), true),
        (json!("soon"), true),
    ] {
        let (world, store) = (World::new(), Arc::new(Store::default()));
        let office = office(&store);
        world.document(
            "https://as.example.com/register",
            json!({"client_id": "registered", "client_secret": "s", "client_secret_expires_at": end}),
        );
        let source = account(&office, &world, ann());
        connect(&office, &source).await;
        let records = store.0.lock().unwrap();
        let there = records.keys().any(|(kind, _)| *kind == "registration");
        assert_eq!(there, kept, "{end}");
    }
}

#[tokio::test]
async fn the_operators_secret_goes_nowhere_once_another_issuer_is_configured() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    world.on("https://as.example.com/revoke", |_| (200, json!({})));
    let client =
        |secret: &str| Some(Client { id: "gw".into(), auth: ClientAuth::Basic(Hidden::new(secret)) });
    let kind = |issuer: &str, secret: &str| {
        Kind::Oauth(Oauth { issuer: Some(issuer.to_owned()), client: client(secret), ..Oauth::default() })
    };
    let before = source(&office, &world, credentials(kind(ISSUER, "old")), Some(ann()));
    connect(&office, &before).await;
    // The operator has moved to another authorization server, and the old one is not to see its secret.
    let after = source(&office, &world, credentials(kind("https://new.example.com", "canary")), Some(ann()));
    assert!(after.credential().await.unwrap().is_none());
    assert!(after.disconnect().await.unwrap(), "the old account is given up");
    let canary = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "gw:canary");
    assert!(world.all_asked().iter().all(|asked| !asked.authorization.contains(&canary)));
    // Nor does one that only the server names, where the configuration names none.
    let unnamed = Kind::Oauth(Oauth { client: client("canary"), ..Oauth::default() });
    let bob = source(&office, &world, credentials(unnamed), Some(user("bob")));
    let url = link_of(&bob, "Bearer").await;
    let link = office.link(url.rsplit('/').next().unwrap()).await.unwrap().unwrap();
    assert!(matches!(bob.begin(&link).await, Err(Needed::Denied(_))));
}

#[tokio::test]
async fn an_account_that_cannot_be_opened_is_not_connected() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    connect(&office, &account(&office, &world, ann())).await;
    let other = Office::new(store.clone(), Some([8; 32]), tokio::runtime::Handle::current());
    assert!(!account(&other, &world, ann()).is_connected().await.unwrap(), "sealed with another key");
    for record in store.0.lock().unwrap().values_mut() {
        let last = record.value.len() - 1;
        record.value[last] ^= 1;
    }
    assert!(!account(&office, &world, ann()).is_connected().await.unwrap(), "damaged");
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_elsewhere_is_not_used_for_long() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let (here, elsewhere) = (office(&store), office(&store));
    let (source, same) = (account(&here, &world, ann()), account(&here, &world, ann()));
    connect(&here, &source).await;
    assert!(shown(&same).await.is_some());
    let other = account(&elsewhere, &world, ann());
    assert!(shown(&other).await.is_some());
    source.disconnect().await.unwrap();
    assert_eq!(shown(&same).await, None, "in the same process it is known at once");
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(shown(&other).await, None, "in another one within five seconds");
    // Connected again here, it is another account there.
    connect(&here, &source).await;
    assert!(shown(&other).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_asked_is_believed_for_a_minute() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    let source = account(&office, &world, ann());
    connect(&office, &source).await;
    store.breaks(true);
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(source.credential().await.unwrap().is_some());
    }
    tokio::time::advance(Duration::from_secs(30)).await;
    assert!(matches!(source.credential().await, Err(Needed::Unavailable(_))), "it may have been given up");
    store.breaks(false);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(source.credential().await.unwrap().is_some());
}

#[tokio::test]
async fn whoever_has_agreed_to_less_than_is_wanted_is_waited_for() {
    let (world, store) = (World::new(), Arc::new(Store::default()));
    let office = office(&store);
    let source = account(&office, &world, ann());
    connect(&office, &source).await;
    let used = source.credential().await.unwrap();
    let Err(Needed::Connect(more)) = source.challenged(used.as_ref(), wants(WANTS_W)).await else {
        panic!("no link")
    };
    assert_eq!(now_or_never(source.until_connected()), None, "the account there does not have it");
    assert!(!source.is_settled().await.unwrap(), "nor does what is kept");
    let begun = begin(&office, &source, &more.url).await;
    let waiting = {
        let source = source.clone();
        tokio::spawn(async move { source.until_connected().await })
    };
    tokio::task::yield_now().await;
    assert_eq!(come_back(&office, &source, &begun, &agreed(&begun)).await, Some(Ok(())));
    waiting.await.unwrap();
    assert!(source.is_settled().await.unwrap());
    assert_eq!(now_or_never(source.until_connected()), Some(()), "whoever comes later does not wait");
}

#[tokio::test]
async fn whose_token_the_server_refused_is_waited_for() {
    let (world, office) = (World::new(), office(&Arc::default()));
    let source = account(&office, &world, ann());
    connect(&office, &source).await;
    let used = source.credential().await.unwrap();
    let refusal = Refusal { status: 401, challenge: Some("Bearer"), nonce: None, again: 0 };
    assert!(matches!(source.challenged(used.as_ref(), refusal).await, Err(Needed::Connect(_))));
    assert!(!source.is_settled().await.unwrap(), "it is kept, and good for nothing");
}

#[tokio::test]
async fn a_scope_that_nobody_gives_is_not_asked_for_again_and_again() {
    let (world, office) = (World::new(), office(&Arc::default()));
    let grant = super::grants::grant(ClientAuth::Basic(Hidden::new("s3cret")));
    let source = source(&office, &world, credentials(Kind::ClientCredentials(grant)), None);
    world.on(TOKEN, |asked| match asked.fields.get("scope") {
        Some(scope) if scope.contains('w') => (400, json!({"error": "invalid_scope"})),
        _ => (200, bearer("plain")),
    });
    assert_eq!(shown(&source).await.as_deref(), Some("Bearer plain"));
    let used = source.credential().await.unwrap();
    assert_eq!(source.challenged(used.as_ref(), wants(WANTS_W)).await, Ok(()), "it may be had");
    assert_eq!(
        shown(&source).await.as_deref(),
        Some("Bearer plain"),
        "and all others still have what they had"
    );
    let used = source.credential().await.unwrap();
    let needed = source.challenged(used.as_ref(), wants(WANTS_W)).await;
    assert!(matches!(needed, Err(Needed::Denied(_))), "{needed:?}");
    assert!(Arc::ptr_eq(&used.unwrap(), &source.credential().await.unwrap().unwrap()), "nothing was dropped");
    let bad = world.asked(TOKEN).iter().filter(|asked| asked.fields.contains_key("scope")).count();
    assert_eq!(bad, 1);
}

#[tokio::test]
async fn a_scope_to_which_no_user_can_agree_is_forgotten() {
    let (world, office) = (World::new(), office(&Arc::default()));
    let source = account(&office, &world, ann());
    connect(&office, &source).await;
    let used = source.credential().await.unwrap();
    let Err(Needed::Connect(more)) = source.challenged(used.as_ref(), wants(WANTS_W)).await else {
        panic!("no link")
    };
    let begun = begin(&office, &source, &more.url).await;
    assert_eq!(sent(&begun, "scope").as_deref(), Some("w"));
    let state = sent(&begun, "state").unwrap();
    let back = format!("error=invalid_scope&state={state}&iss={}", form::encode(ISSUER));
    assert!(come_back(&office, &source, &begun, &back).await.unwrap().is_err());
    assert!(shown(&source).await.is_some(), "the account is as it was");
    assert!(source.is_settled().await.unwrap());
    let Err(Needed::Connect(anew)) = source.invite().await else { panic!("no link") };
    assert_eq!(sent(&begin(&office, &source, &anew.url).await, "scope"), None);
    let needed = source.challenged(used.as_ref(), wants(WANTS_W)).await;
    assert!(matches!(needed, Err(Needed::Denied(_))), "nobody is sent there again for it: {needed:?}");
}

/// An authorization server that registers whoever comes, and forgets them when told to.
fn forgetful(world: &Arc<World>) -> Arc<Mutex<Vec<String>>> {
    let known = Arc::new(Mutex::new(Vec::<String>::new()));
    let (all, number) = (known.clone(), AtomicUsize::new(0));
    world.on("https://as.example.com/register", move |_| {
        let id = format!("client-{}", number.fetch_add(1, Ordering::Relaxed));
        all.lock().unwrap().push(id.clone());
        (201, json!({"client_id": id, "token_endpoint_auth_method": "none"}))
    });
    let all = known.clone();
    world.on(TOKEN, move |asked| {
        if !all.lock().unwrap().contains(&asked.fields["client_id"]) {
            return (401, json!({"error": "invalid_client"}));
        }
        let mut answer = bearer("t");
        answer["expires_in"] = 0.into();
        (200, answer)
    });
    known
}

#[tokio::test]
async fn a_registration_that_was_forgotten_is_done_again() {
    let (world, office) = (World::new(), office(&Arc::default()));
    let known = forgetful(&world);
    // When a code is redeemed.
    let source = account(&office, &world, ann());
    let begun = begin(&office, &source, &link_of(&source, "Bearer").await).await;
    known.lock().unwrap().clear();
    assert!(come_back(&office, &source, &begun, &agreed(&begun)).await.unwrap().is_err());
    let begun = begin(&office, &source, &link_of(&source, "Bearer").await).await;
    assert_eq!(sent(&begun, "client_id").as_deref(), Some("client-1"));
    assert_eq!(come_back(&office, &source, &begun, &agreed(&begun)).await, Some(Ok(())));
    // When a token is refreshed: the user is led to connect again, and nobody is asked with every call.
    known.lock().unwrap().clear();
    let before = world.asked(TOKEN).len();
    for _ in 0..5 {
        assert_eq!(shown(&source).await, None);
    }
    assert_eq!(world.asked(TOKEN).len(), before + 1);
    let refusal = Refusal { status: 401, challenge: Some("Bearer"), nonce: None, again: 0 };
    let Err(Needed::Connect(link)) = source.challenged(None, refusal).await else { panic!("no link") };
    let begun = begin(&office, &source, &link.url).await;
    assert_eq!(sent(&begun, "client_id").as_deref(), Some("client-2"));
    assert_eq!(come_back(&office, &source, &begun, &agreed(&begun)).await, Some(Ok(())));
    // When the authorization server sends the browser back for it.
    known.lock().unwrap().clear();
    let Err(Needed::Connect(link)) = source.invite().await else { panic!("no link") };
    let begun = begin(&office, &source, &link.url).await;
    let state = sent(&begun, "state").unwrap();
    let back = format!("error=unauthorized_client&state={state}&iss={}", form::encode(ISSUER));
    assert!(come_back(&office, &source, &begun, &back).await.unwrap().is_err());
    let begun = begin(&office, &source, &link.url).await;
    assert_eq!(sent(&begun, "client_id").as_deref(), Some("client-3"));
}

#[tokio::test]
async fn a_browser_that_does_not_come_back_has_an_old_registration_doubted_once() {
    let (world, office) = (World::new(), office(&Arc::default()));
    forgetful(&world);
    let source = account(&office, &world, ann());
    let url = link_of(&source, "Bearer").await;
    let id = async || sent(&begin(&office, &source, &url).await, "client_id").unwrap();
    // The authorization server shows its own page to a client that it does not know, and sends nobody back.
    assert_eq!((id().await.as_str(), id().await.as_str()), ("client-0", "client-0"), "it is new");
    source.age_registration(ISSUER, Duration::from_hours(1)).await;
    assert_eq!((id().await.as_str(), id().await.as_str()), ("client-1", "client-1"));
}

#[tokio::test]
async fn a_document_is_about_this_server_or_found_where_it_says() {
    let root = "https://mcp.example.com/.well-known/oauth-protected-resource";
    let about = |identifier: &str| json!({"resource": identifier, "authorization_servers": [ISSUER]});
    let table: [(&str, &str, &str, bool); 11] = [
        // (named in the challenge, found at, what it says that it is about, whether that is believed)
        ("", RESOURCE_DOCUMENT, SERVER, true),
        ("", RESOURCE_DOCUMENT, "https://mcp.example.com", false),
        ("", RESOURCE_DOCUMENT, "https://mcp.example.com/mcp/", true),
        ("", RESOURCE_DOCUMENT, "https://MCP.example.com/mcp", false),
        ("", root, "https://mcp.example.com", true),
        ("", root, "https://mcp.example.com/", true),
        ("", root, SERVER, true),
        ("https://mcp.example.com/about", "https://mcp.example.com/about", SERVER, true),
        ("https://mcp.example.com/about", "https://mcp.example.com/about", "https://mcp.example.com", false),
        ("https://docs.example.com/about", "https://docs.example.com/about", SERVER, true),
        // What would be looked for anyhow.
        (root, root, "https://mcp.example.com", true),
    ];
    for (named, place, identifier, believed) in table {
        let (world, office) = (World::new(), office(&Arc::default()));
        world.on(RESOURCE_DOCUMENT, |_| (404, Value::Null));
        world.document(place, about(identifier));
        let source = account(&office, &world, ann());
        let challenge = if named.is_empty() {
            "Bearer".to_owned()
        } else {
            format!("Bearer resource_metadata=\"{named}\"")
        };
        let url = link_of(&source, &challenge).await;
        let link = office.link(url.rsplit('/').next().unwrap()).await.unwrap().unwrap();
        let begun = source.begin(&link).await;
        assert_eq!(begun.is_ok(), believed, "{named} {place} {identifier}: {begun:?}");
        if let Ok(begun) = begun {
            assert_eq!(sent(&begun, "resource").as_deref(), Some(identifier), "byte for byte");
        }
    }
    // A path between the two is nobody's, for whoever may write a document there is not known to speak for this server; unless
    // the operator knows.
    let parent = "https://mcp.example.com/a";
    for (part_of, says, believed) in [
        (None, parent, false),
        (Some(parent), parent, true),
        (Some(parent), "https://mcp.example.com/a/b", true),
        (Some(parent), "https://mcp.example.com", false),
        (Some(parent), "https://mcp.example.com/a/c", false),
    ] {
        let (world, office) = (World::new(), office(&Arc::default()));
        let resource = part_of.map(str::to_owned);
        let mut settings = credentials(Kind::Oauth(Oauth { resource, ..Oauth::default() }));
        settings.url = "https://mcp.example.com/a/b".into();
        world.document(&format!("{root}/a/b"), about(says));
        let source = source(&office, &world, settings, Some(ann()));
        let url = link_of(&source, "Bearer").await;
        let link = office.link(url.rsplit('/').next().unwrap()).await.unwrap().unwrap();
        let begun = source.begin(&link).await;
        assert_eq!(begun.is_ok(), believed, "{part_of:?} {says}: {begun:?}");
        if let Ok(begun) = begun {
            assert_eq!(sent(&begun, "resource").as_deref(), Some(says), "byte for byte");
        }
    }
}
