//! What an endpoint says of itself, how long lists are kept, and how changes come through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;
use tokio::sync::Notify;

use super::field;
use crate::harness::client::text_of;
use crate::harness::fake::tool;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, until};

#[tokio::test]
async fn the_greeting_is_the_union_of_what_is_behind() {
    let mut first = Fake::modern().list("prompts", vec![]);
    first.instructions = Some("Use the first one.".to_owned());
    let mut second = Fake::legacy().list("resources", vec![]);
    second.instructions = Some("Never use the second one.".to_owned());
    second.capabilities["logging"] = json!({});
    let (first, second) = (first.start().await, second.start().await);
    let gateway = Gateway::start(&json!({"servers": {"one": first.config(), "two": second.config()}}));
    let hello = Modern::new().result(&gateway, "server/discover", json!({})).await;
    let session = Legacy::open(&gateway).await;
    for said in [&hello, &session.welcome] {
        for capability in ["tools", "prompts", "resources", "logging"] {
            assert!(said["capabilities"].get(capability).is_some(), "{capability}: {said}");
        }
        assert!(said["capabilities"].get("completions").is_none());
        let instructions = said["instructions"].as_str().unwrap();
        let (one, two) =
            (instructions.find("Use the first").unwrap(), instructions.find("Never use the second").unwrap());
        assert!(
            one < two && instructions[..one].contains("one") && instructions[one..two].contains("two"),
            "{instructions}"
        );
    }
    assert_eq!(hello["supportedVersions"][0], "2026-07-28");
    assert_eq!(hello["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "portcullis");
    assert_eq!(session.welcome["serverInfo"]["name"], "portcullis");
    let own = Modern::at("/mcp/s/one").result(&gateway, "server/discover", json!({})).await;
    assert_eq!(own["instructions"], "Use the first one.");
    assert_eq!(own["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "fake");
    let empty = session.result(&gateway, "prompts/list", json!({})).await;
    assert_eq!(empty["prompts"], json!([]));
}

#[tokio::test]
async fn lists_are_kept_as_long_as_their_server_allows() {
    let with = async |hints| {
        let mut fake = Fake::modern();
        fake.hints = hints;
        fake.start().await
    };
    let (public, private, stale) =
        (with((60_000, "public")).await, with((30_000, "private")).await, with((0, "public")).await);
    let old = Fake::legacy().start().await;
    let mut forgetful = old.config();
    forgetful["list_ttl"] = json!("0s");
    let config = json!({"servers": {
        "public": public.config(), "private": private.config(), "stale": stale.config(), "old": old.config(), "forgetful": forgetful,
    }});
    let gateway = Gateway::start(&config);
    for _ in 0..4 {
        Modern::new().result(&gateway, "tools/list", json!({})).await;
    }
    let counts = [&public, &private].map(|upstream| upstream.count("tools/list"));
    assert_eq!(counts, [1, 1]);
    assert_eq!(old.count("tools/list"), 1 + 4, "kept for five minutes, and asked every time");
    let among_many = stale.count("tools/list");
    for _ in 0..4 {
        Modern::at("/mcp/s/stale").result(&gateway, "tools/list", json!({})).await;
    }
    assert_eq!(stale.count("tools/list"), among_many + 4, "asked every time by those who ask for it alone");
    let known = stale.count("tools/list");
    for _ in 0..4 {
        for server in ["public", "private", "stale", "old", "forgetful"] {
            Modern::new().call(&gateway, &format!("{server}__echo"), json!({})).await;
        }
    }
    let counts = [&public, &private, &stale].map(|upstream| upstream.count("tools/list"));
    assert_eq!((counts, old.count("tools/list")), ([1, 1, known], 5), "calls list nothing");
    let promise = async |path: &str| {
        let listed = Modern::at(path).result(&gateway, "tools/list", json!({})).await;
        (listed["ttlMs"].as_u64().unwrap(), listed["cacheScope"].as_str().unwrap().to_owned())
    };
    let (ttl, scope) = promise("/mcp/s/public").await;
    assert!(ttl > 30_000 && ttl <= 60_000 && scope == "public", "{ttl} {scope}");
    let (ttl, scope) = promise("/mcp/s/private").await;
    assert!(ttl > 0 && ttl <= 30_000 && scope == "private", "{ttl} {scope}");
    assert_eq!(promise("/mcp/s/old").await, (0, "private".to_owned()), "nothing was promised");
    assert_eq!(promise("/mcp").await, (0, "private".to_owned()), "the least of all");
    assert_eq!(promise("/mcp/s/stale").await, (0, "public".to_owned()));
}

#[tokio::test]
async fn a_change_of_a_child_reaches_sessions_and_the_next_list_is_fresh() {
    let child = Child::new(
        r#"
def call(request):
    tools.append({"name": "grown", "inputSchema": {"type": "object"}})
    send({"method": "notifications/tools/list_changed"})
    text(request, "grew")
handlers["tools/call"] = call
"#,
    )
    .await;
    let gateway = Gateway::before(&child.config());
    let session = Legacy::open(&gateway).await;
    let other = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
    let mut streams = [session.listen(&gateway, None).await, other.listen(&gateway, None).await];
    for stream in &mut streams {
        assert!(stream.next().await.unwrap().comment.is_some(), "it is open");
    }
    let names = async |client: &Modern| {
        field(client.result(&gateway, "tools/list", json!({})).await["tools"].as_array().unwrap(), "name")
    };
    assert_eq!(names(&Modern::new()).await, ["x__echo"]);
    assert_eq!(text_of(&session.call(&gateway, "x__echo", json!({})).await), "grew");
    for stream in &mut streams {
        let told = stream.message().await.unwrap();
        assert_eq!(told, json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));
    }
    assert_eq!(names(&Modern::new()).await, ["x__echo", "x__grown"]);
    assert_eq!(names(&Modern::at("/mcp/s/x")).await, ["echo", "grown"]);
    let grown = Modern::new().call(&gateway, "x__grown", json!({})).await;
    assert_eq!(text_of(&grown), "grew");
}

#[tokio::test]
async fn a_change_on_the_stream_of_a_server_reaches_sessions() {
    let (changed, flag) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (bell, grown) = (changed.clone(), flag.clone());
    let upstream = Fake::legacy()
        .on("GET", move |_, mut answer| {
            let bell = bell.clone();
            async move {
                answer.open_stream().await;
                loop {
                    bell.notified().await;
                    answer
                        .event(&json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}))
                        .await;
                }
            }
        })
        .on("tools/list", move |_, answer| {
            let tools =
                if grown.load(Ordering::SeqCst) { vec![tool("b"), tool("c")] } else { vec![tool("a")] };
            answer.result(json!({"tools": tools}))
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let session = Legacy::open(&gateway).await;
    assert_eq!(session.result(&gateway, "tools/list", json!({})).await["tools"][0]["name"], "x__a");
    let mut events = session.listen(&gateway, None).await;
    assert!(events.next().await.unwrap().comment.is_some());
    let feed = upstream.nth("GET", 1).await;
    assert_eq!(feed.header("mcp-session-id"), Some("session-1"));
    flag.store(true, Ordering::SeqCst);
    changed.notify_one();
    let told = events.message().await.unwrap();
    assert_eq!(told["method"], "notifications/tools/list_changed");
    let listed = session.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(field(listed["tools"].as_array().unwrap(), "name"), ["x__b", "x__c"]);
    let gone = session.request(&gateway, "tools/call", json!({"name": "x__a"})).await;
    assert_eq!(gone.error_code(), -32602);
}

#[tokio::test]
async fn a_tool_that_came_unannounced_is_found_when_it_is_called() {
    let lists = Arc::new(AtomicUsize::new(0));
    let counter = lists.clone();
    let upstream = Fake::modern()
        .on("tools/list", move |_, answer| {
            let tools = if counter.fetch_add(1, Ordering::SeqCst) == 0 { vec![] } else { vec![tool("late")] };
            answer.result(
                json!({"resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private"}),
            )
        })
        .start()
        .await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new();
    assert_eq!(client.result(&gateway, "tools/list", json!({})).await["tools"], json!([]));
    let on_its_own = Modern::at("/mcp/s/x").call(&gateway, "late", json!({"a": 1})).await;
    assert_eq!(text_of(&on_its_own), r#"{"a":1}"#, "the server is the judge of its own names");
    until("the list to be old enough to be doubted", || async {
        client
            .request(&gateway, "tools/call", json!({"name": "x__late"}))
            .await
            .json()
            .get("result")
            .is_some()
    })
    .await;
    assert_eq!(lists.load(Ordering::SeqCst), 2);
}

/// Among many servers, one that gives its lists no time must not make everybody wait for it each time.
#[tokio::test]
async fn among_many_a_server_is_not_asked_for_its_lists_all_the_time() {
    let mut fake = Fake::modern();
    fake.hints = (0, "public");
    let upstream = fake.start().await;
    let gateway = Gateway::before(&upstream.config());
    let client = Modern::new();
    let begun = Instant::now();
    for _ in 0..50 {
        let listed = client.result(&gateway, "tools/list", json!({})).await;
        assert_eq!(
            (&listed["ttlMs"], field(listed["tools"].as_array().unwrap(), "name")),
            (&json!(0), vec!["x__echo".to_owned()])
        );
    }
    let most = 1 + usize::try_from(begun.elapsed().as_secs()).unwrap();
    let asked = upstream.count("tools/list");
    assert!((1..=most).contains(&asked), "{asked} of {most}");
    until("the list to be too old", || async {
        client.result(&gateway, "tools/list", json!({})).await;
        upstream.count("tools/list") > asked
    })
    .await;
}
