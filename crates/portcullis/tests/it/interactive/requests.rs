//! A legacy server and a legacy client: requests in both directions.

use serde_json::{Value, json};

use super::{
    ASKING_CHILD, CALL, accepted, asked, asking_over_http, call, everything, form, got, legacy_client,
    respond, roots, sampled, sampling,
};
use crate::harness::client::text_of;
use crate::harness::fake::text;
use crate::harness::{Child, Fake, Gateway, Legacy};

#[tokio::test]
async fn several_questions_are_asked_at_once_and_answered_in_any_order() {
    let url = json!({"method": "elicitation/create", "params": {
        "mode": "url", "message": "m", "url": "https://example.com", "elicitationId": "e1",
    }});
    let questions = vec![form("who?"), sampling(), json!({"method": "roots/list"}), url.clone()];
    let server = asking_over_http(questions).await;
    let gateway = Gateway::before(&server.config());
    let session = legacy_client(&gateway).await;
    let declared =
        server.seen().iter().find(|seen| seen.method() == "initialize").map(|seen| seen.rpc.clone());
    assert!(declared.is_none_or(|hello| hello["params"]["capabilities"] == json!({})));
    let (head, mut events) = session.stream(&gateway, &call(5, &json!({}))).await;
    assert!(head.is_stream());
    let mut questions = Vec::new();
    for method in ["elicitation/create", "sampling/createMessage", "roots/list", "elicitation/create"] {
        questions.push(asked(&mut events, method).await);
    }
    assert_eq!(questions[0]["params"], form("who?")["params"]);
    assert_eq!(questions[1]["params"], sampling()["params"]);
    assert_eq!(questions[3]["params"], url["params"]);
    let answers = [accepted("Ann"), sampled("Paris"), roots(), json!({"action": "decline"})];
    for (question, answer) in questions.iter().zip(&answers).rev() {
        respond(&session, &gateway, &question["id"], answer).await;
    }
    let result = events.message().await.unwrap();
    assert_eq!((&result["id"], got(&result["result"])), (&json!(5), json!(answers)));
    let hello = server.seen().into_iter().filter(|seen| seen.method() == "initialize").map(|seen| seen.rpc);
    let capabilities: Vec<Value> = hello.map(|hello| hello["params"]["capabilities"].clone()).collect();
    assert!(capabilities.contains(&everything()), "{capabilities:?}");
}

#[tokio::test]
async fn a_childs_questions_reach_the_client_whose_call_it_is() {
    let child = Child::new(ASKING_CHILD).await;
    let gateway = Gateway::before(&child.config());
    let session = legacy_client(&gateway).await;
    let ask = json!({"ask": [form("who?"), {"method": "roots/list"}, sampling()]});
    let (_, mut events) = session.stream(&gateway, &call(1, &ask)).await;
    let answers = [accepted("Ann"), roots(), sampled("Paris")];
    for (method, answer) in
        ["elicitation/create", "roots/list", "sampling/createMessage"].iter().zip(&answers)
    {
        let question = asked(&mut events, method).await;
        respond(&session, &gateway, &question["id"], answer).await;
    }
    assert_eq!(got(&events.message().await.unwrap()["result"]), json!(answers));
}

#[tokio::test]
async fn errors_of_the_client_are_the_servers_and_undeclared_questions_are_not_asked() {
    let questions = vec![json!({"method": "roots/list"}), form("who?"), sampling()];
    let server = asking_over_http(questions).await;
    let gateway = Gateway::before(&server.config());
    let session = Legacy::open_with(&gateway, "/mcp/s/x", "2025-06-18", json!({"roots": {}})).await;
    let (_, mut events) = session.stream(&gateway, &call(1, &json!({}))).await;
    let question = asked(&mut events, "roots/list").await;
    let error = json!({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -7, "message": "no"}});
    session.send(&gateway, &error).await;
    let result = events.message().await.unwrap();
    assert_eq!(got(&result["result"]), json!([{"error": -7}, {"action": "decline"}, {"error": -32601}]));
}

#[tokio::test]
async fn an_older_client_is_asked_in_its_own_words() {
    let titled = json!([{"const": "1", "title": "One"}]);
    let choice = json!({"method": "elicitation/create", "params": {"mode": "form", "message": "m", "requestedSchema": {
        "type": "object", "properties": {"c": {"type": "string", "oneOf": titled}},
    }}});
    let server = asking_over_http(vec![choice]).await;
    let gateway = Gateway::before(&server.config());
    let elicitation = json!({"elicitation": {}, "sampling": {"tools": {}}});
    let session = Legacy::open_with(&gateway, "/mcp/s/x", "2025-06-18", elicitation).await;
    let (_, mut events) = session.stream(&gateway, &call(1, &json!({}))).await;
    let question = asked(&mut events, "elicitation/create").await;
    let property = &question["params"]["requestedSchema"]["properties"]["c"];
    assert_eq!(*property, json!({"type": "string", "enum": ["1"], "enumNames": ["One"]}));
    assert!(question["params"].get("mode").is_none());
    respond(&session, &gateway, &question["id"], &json!({"action": "cancel"})).await;
    assert_eq!(got(&events.message().await.unwrap()["result"]), json!([{"action": "cancel"}]));
    let hellos = server.seen().into_iter().filter(|seen| seen.method() == "initialize");
    let declared: Vec<Value> = hellos.map(|seen| seen.rpc["params"]["capabilities"].clone()).collect();
    assert!(declared.contains(&json!({"sampling": {}, "elicitation": {"form": {}}})), "{declared:?}");
}

#[tokio::test]
async fn answers_of_another_session_answer_nothing() {
    let server = asking_over_http(vec![form("who?")]).await;
    let gateway = Gateway::before(&server.config());
    let (asked_one, other) = (legacy_client(&gateway).await, legacy_client(&gateway).await);
    let (_, mut events) = asked_one.stream(&gateway, &call(1, &json!({}))).await;
    let question = asked(&mut events, "elicitation/create").await;
    respond(&other, &gateway, &question["id"], &accepted("Mallory")).await;
    respond(&asked_one, &gateway, &json!(question["id"].to_string()), &accepted("nobody")).await;
    respond(&asked_one, &gateway, &question["id"], &accepted("Ann")).await;
    respond(&asked_one, &gateway, &question["id"], &accepted("too late")).await;
    assert_eq!(got(&events.message().await.unwrap()["result"]), json!([accepted("Ann")]));
}

#[tokio::test]
async fn cancelling_the_call_takes_its_question_away() {
    let child = Child::new(ASKING_CHILD).await;
    let gateway = Gateway::before(&child.config());
    let session = legacy_client(&gateway).await;
    let (_, mut events) = session.stream(&gateway, &call(9, &json!({"ask": [form("who?")]}))).await;
    let question = asked(&mut events, "elicitation/create").await;
    let mut processes = [child.started().await, child.started().await];
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}});
    session.send(&gateway, &cancel).await;
    let told = events.message().await.unwrap();
    assert_eq!(
        (&told["method"], &told["params"]["requestId"]),
        (&json!("notifications/cancelled"), &question["id"])
    );
    assert_eq!(events.message().await, None, "a cancelled request gets no answer");
    // The child is told both: that the call is cancelled, and that nobody answers.
    // Which of the two took the call is not told by which of them was up first.
    let [first, second] = &mut processes;
    let told = tokio::select! {
        told = first.message("notifications/cancelled") => told,
        told = second.message("notifications/cancelled") => told,
    };
    assert!(told["params"]["requestId"].is_u64());
}

#[tokio::test]
async fn a_server_may_withdraw_its_question() {
    let server = Fake::legacy()
        .on(CALL, |_, mut answer| async move {
            answer.open_stream().await;
            let mut question = form("who?");
            question["jsonrpc"] = json!("2.0");
            question["id"] = json!("w");
            answer.event(&question).await;
            let params = json!({"requestId": "w"});
            answer
                .event(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
                .await;
            answer.result_event(text("never mind")).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let session = legacy_client(&gateway).await;
    let (_, mut events) = session.stream(&gateway, &call(1, &json!({}))).await;
    let mut messages = Vec::new();
    while let Some(message) = events.message().await {
        messages.push(message);
    }
    let last = messages.pop().unwrap();
    assert_eq!(text_of(&last["result"]), "never mind");
    let question = messages.iter().find(|message| message["method"] == "elicitation/create");
    if let Some(question) = question {
        let cancelled = messages.iter().any(|message| message["params"]["requestId"] == question["id"]);
        assert!(cancelled, "{messages:?}");
    }
    assert_eq!(server.count("POST"), 0, "nobody answers what was withdrawn");
}

#[tokio::test]
async fn clients_that_cannot_be_asked_and_those_that_do_not_answer_have_cancelled() {
    let server = asking_over_http(vec![form("who?"), json!({"method": "roots/list"})]).await;
    let config = json!({"servers": {"x": server.config()}, "limits": {"ask_timeout": "100ms"}});
    let gateway = Gateway::start(&config);
    let session = legacy_client(&gateway).await;
    let expected = json!([{"action": "cancel"}, {"error": -32603}]);
    // No stream, so nothing to ask on.
    let mut headers = session.headers();
    headers.retain(|(name, _)| *name != "accept");
    headers.push(("accept", "application/json"));
    let body = call(1, &json!({})).to_string();
    let answer = gateway.send("POST", "/mcp/s/x", &headers, body.as_bytes()).await;
    assert_eq!(got(&answer.json()["result"]), expected);
    // Asked, and told to forget it.
    let (_, mut events) = session.stream(&gateway, &call(2, &json!({}))).await;
    let questions = [asked(&mut events, "elicitation/create").await, asked(&mut events, "roots/list").await];
    for _ in &questions {
        let told = events.message().await.unwrap();
        assert_eq!(told["method"], "notifications/cancelled");
        assert!(questions.iter().any(|question| question["id"] == told["params"]["requestId"]));
    }
    assert_eq!(got(&events.message().await.unwrap()["result"]), expected);
}

#[tokio::test]
async fn on_the_aggregate_the_client_reads_which_server_asks() {
    let server = asking_over_http(vec![form("who?")]).await;
    let gateway = Gateway::before(&server.config());
    let session = Legacy::open_with(&gateway, "/mcp", "2025-11-25", everything()).await;
    let mut message = call(1, &json!({}));
    message["params"]["name"] = json!("x__echo");
    let (_, mut events) = session.stream(&gateway, &message).await;
    let question = asked(&mut events, "elicitation/create").await;
    assert_eq!(question["params"]["message"], "[x] who?");
    respond(&session, &gateway, &question["id"], &accepted("Ann")).await;
    assert_eq!(got(&events.message().await.unwrap()["result"]), json!([accepted("Ann")]));
}
