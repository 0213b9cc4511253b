//! Another recogniser is asked about what passes, both ways, in both eras; and what it could not be asked about.

use serde_json::{Value, json};

use super::{fakes, guarded};
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::{Fake, Legacy, Modern, Upstream};
use crate::interactive::{asking_over_http, everything};

/// No key and no word tells that this is somebody.
const NAME: &str = "Ádám Zürn";

/// An analyzer that knows one name, and counts in characters; or that does not answer.
async fn analyzer(answers: bool) -> Upstream {
    Upstream::start(move |seen, answer| async move {
        let asked = seen.rpc["text"].as_str().unwrap_or_default().to_owned();
        let found = asked.match_indices(NAME).map(|(at, name)| {
            let start = asked[..at].chars().count();
            json!({"entity_type": "PERSON", "start": start, "end": start + name.chars().count(), "score": 0.85})
        });
        let found = json!(found.collect::<Vec<_>>());
        if answers {
            answer.json(200, &found).await;
        } else {
            answer.json(500, &json!({"error": "no model"})).await;
        }
    })
    .await
}

fn guard(analyzer: &Upstream, more: &Value) -> Value {
    let mut recogniser =
        json!({"url": format!("{}/analyze", analyzer.url), "token": "t0ken", "language": "hu"});
    recogniser.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"profile": "none", "recogniser": recogniser, "rules": [
        {"name": "people", "entities": ["PERSON"], "action": "redact"},
    ]})
}

async fn saying(fake: Fake) -> Upstream {
    let said = || format!("őszintén: {NAME} was here");
    fake.on("tools/call", move |seen, answer| async move {
        let asked = seen.rpc["params"]["arguments"]["for"].as_str().unwrap_or_default();
        let mut result = text(&format!("{} for {asked}", said()));
        result["structuredContent"] = json!({"who": said(), "count": 12});
        answer.result(result).await;
    })
    .start()
    .await
}

#[tokio::test]
async fn what_it_finds_is_treated_like_what_the_guard_finds() {
    for (era, fake) in fakes() {
        let (server, analyzer) = (saying(fake).await, analyzer(true).await);
        let gateway = guarded(&server.config(), &guard(&analyzer, &json!({})));
        for _ in 0..2 {
            let arguments = json!({"for": format!("the sake of {NAME}")});
            let result = Modern::at("/mcp/s/x").call(&gateway, "echo", arguments).await;
            let expected = "őszintén: [PERSON] was here";
            assert_eq!(text_of(&result), format!("{expected} for the sake of [PERSON]"), "{era}");
            assert_eq!(result["structuredContent"], json!({"who": expected, "count": 12}), "{era}");
        }
        let sent = server.nth("tools/call", 1).await.rpc["params"]["arguments"].clone();
        assert_eq!(sent, json!({"for": "the sake of [PERSON]"}), "{era}");
        let asked = analyzer.seen();
        let about = |what: &str| {
            asked
                .iter()
                .filter(|seen| seen.rpc["text"].as_str().is_some_and(|text| text.contains(what)))
                .count()
        };
        assert_eq!(about("the sake of Ádám"), 1, "{era}: what is known is not asked again: {asked:?}");
        assert_eq!(about("őszintén"), 1, "{era}: texts go together: {asked:?}");
        assert_eq!(asked[0].rpc["language"], "hu");
        assert_eq!(asked[0].rpc["entities"], json!(["LOCATION", "PERSON"]));
    }
}

#[tokio::test]
async fn questions_and_their_answers_are_asked_about_too() {
    let question = json!({"method": "elicitation/create", "params": {
        "message": format!("is it {NAME}?"), "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
    }});
    let (asking, analyzer) = (asking_over_http(vec![question]).await, analyzer(true).await);
    let gateway = guarded(&asking.config(), &guard(&analyzer, &json!({})));
    let session = Legacy::open_with(&gateway, "/mcp/s/x", "2025-11-25", everything()).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}}});
    let (_, mut events) = session.stream(&gateway, &call).await;
    let question = events.message().await.expect("a question");
    assert_eq!(question["params"]["message"], "is it [PERSON]?", "{question}");
    let answer = json!({"action": "accept", "content": {"name": NAME}});
    session.send(&gateway, &json!({"jsonrpc": "2.0", "id": question["id"], "result": answer})).await;
    events.message().await.expect("an answer");
    let sent: Vec<_> = asking.seen().iter().map(|seen| seen.rpc.to_string()).collect();
    let sent = sent.join(" ");
    assert!(sent.contains("[PERSON]") && !sent.contains(NAME), "{sent}");
}

#[tokio::test]
async fn what_it_could_not_be_asked_about_is_blocked_or_passes() {
    for (lenient, answers) in [(false, false), (true, false), (false, true)] {
        let (server, analyzer) = (saying(Fake::modern()).await, analyzer(answers).await);
        let more = json!({"on_failure": if lenient { "pass" } else { "block" }, "timeout": "5s"});
        let gateway = guarded(&server.config(), &guard(&analyzer, &more));
        let result = Modern::at("/mcp/s/x").call(&gateway, "echo", json!({})).await;
        let said = text_of(&result);
        match (lenient, answers) {
            (_, true) => assert!(said.contains("[PERSON]"), "{said}"),
            (true, _) => assert!(said.contains(NAME), "{said}"),
            (false, _) => {
                assert!(result["isError"] == true && said.contains("not read by the recogniser"), "{result}");
            }
        }
        if !answers {
            gateway.logged("`guard.recogniser` was not asked about a message").await;
        }
    }
}

#[tokio::test]
async fn it_is_asked_only_where_something_would_be_done() {
    let (server, analyzer) = (saying(Fake::modern()).await, analyzer(false).await);
    let mut guard = guard(&analyzer, &json!({}));
    guard["rules"][0]["servers"] = json!(["y"]);
    let gateway = guarded(&server.config(), &guard);
    let result = Modern::at("/mcp/s/x").call(&gateway, "echo", json!({})).await;
    assert!(text_of(&result).contains(NAME), "{result}");
    assert!(analyzer.seen().is_empty());
}
