//! Questions where nothing says which call they belong to: children, and the standalone stream.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    ASKING_CHILD, CALL, accepted, asked, call, form, got, legacy_client, modern_client, respond, sampling,
};
use crate::harness::fake::text;
use crate::harness::{Answer, Child, Fake, Gateway, within};

#[tokio::test]
async fn two_interactive_calls_on_one_child_get_their_own_questions() {
    let child = Child::new(ASKING_CHILD).await;
    let gateway = Gateway::before(&child.config());
    let (ann, bob) = (legacy_client(&gateway).await, legacy_client(&gateway).await);
    // The first call shows that the server asks; from then on they take turns.
    let (_, mut first) = ann.stream(&gateway, &call(1, &json!({"ask": [form("warm up")]}))).await;
    let question = asked(&mut first, "elicitation/create").await;
    respond(&ann, &gateway, &question["id"], &accepted("Ann")).await;
    first.message().await.unwrap();
    let run = async |session: &crate::harness::Legacy, name: &str| {
        let arguments = json!({"ask": [form(name), form(name)]});
        let (_, mut events) = session.stream(&gateway, &call(2, &arguments)).await;
        for _ in 0..2 {
            let question = asked(&mut events, "elicitation/create").await;
            assert_eq!(question["params"]["message"], name, "nobody sees another's question");
            respond(session, &gateway, &question["id"], &accepted(name)).await;
        }
        got(&events.message().await.unwrap()["result"])
    };
    let (one, other) = tokio::join!(run(&ann, "Ann"), run(&bob, "Bob"));
    assert_eq!(one, json!([accepted("Ann"), accepted("Ann")]));
    assert_eq!(other, json!([accepted("Bob"), accepted("Bob")]));
}

#[tokio::test]
async fn two_first_calls_at_once_get_their_own_questions() {
    let child = Child::new(ASKING_CHILD).await;
    let gateway = Gateway::before(&child.config());
    let run = async |name: &str| {
        let session = legacy_client(&gateway).await;
        let (_, mut events) = session.stream(&gateway, &call(2, &json!({"ask": [form(name)]}))).await;
        let question = asked(&mut events, "elicitation/create").await;
        assert_eq!(question["params"]["message"], name, "nobody sees another's question");
        (session, events, question)
    };
    // Nothing is known of the server yet, and no user answers before all of them are asked.
    let all = tokio::join!(run("Ann"), run("Bob"), run("Eve"));
    for ((session, mut events, question), name) in <[_; 3]>::from(all).into_iter().zip(["Ann", "Bob", "Eve"])
    {
        respond(&session, &gateway, &question["id"], &accepted(name)).await;
        assert_eq!(got(&events.message().await.unwrap()["result"]), json!([accepted(name)]));
    }
}

#[tokio::test]
async fn a_question_that_may_be_anybodys_waits_until_it_is_clear() {
    let child = Child::new(
        r#"
calls = []
def call(request):
    if request["id"] == "quiet" or not request["params"]["arguments"]:
        return text(request, "quiet")
    calls.append(request)
    if len(calls) == 2:
        send({"id": "q", "method": "elicitation/create", "params": {"message": "second?"}})
        order()
        text(calls[0], "first")
def answered(message):
    text(calls[1], json.dumps(message["result"]))
handlers["tools/call"] = call
handlers[None] = answered
"#,
    )
    .await;
    let gateway = Gateway::before(&child.config());
    let (ann, bob) = (legacy_client(&gateway).await, legacy_client(&gateway).await);
    // What was seen to answer without asking has no turn to wait for.
    ann.call(&gateway, "echo", json!({})).await;
    let begin = async |session: &crate::harness::Legacy| {
        let mut connection = gateway.connect().await;
        session.write(&mut connection, &call(1, &json!({"n": 1}))).await;
        connection
    };
    let mut one = begin(&ann).await;
    // One process serves what everybody shares, and is called by nobody.
    let [mut one_process, mut other_process] = [child.started().await, child.started().await];
    let declared = tokio::select! {
        _ = one_process.message(CALL) => &mut one_process,
        _ = other_process.message(CALL) => &mut other_process,
    };
    declared.message(CALL).await;
    let mut other = begin(&bob).await;
    declared.message(CALL).await;
    declared.tell(json!("go on")).await;
    let answer = one.response().await.json();
    assert_eq!(crate::harness::client::text_of(&answer["result"]), "first");
    let head = other.head().await.unwrap();
    let mut events = other.into_events(&head);
    let question = asked(&mut events, "elicitation/create").await;
    assert_eq!(question["params"]["message"], "second?");
    respond(&bob, &gateway, &question["id"], &accepted("Bob")).await;
    assert_eq!(got(&events.message().await.unwrap()["result"]), accepted("Bob"));
}

/// The script of a child that collects calls until it has as many as each says, then asks for all of them at once, the last
/// first, and answers each with what it got.
const ASKING_TOGETHER: &str = r#"
together, waiting = [], {}
def call(request):
    arguments = request["params"]["arguments"]
    if "name" not in arguments:
        return text(request, "quiet")
    together.append(request)
    if len(together) < arguments["of"]:
        return
    for request in reversed(together):
        id = "ask-%s" % request["id"]
        waiting[id] = request
        send(dict(request["params"]["arguments"]["question"], id=id))
    together.clear()
def answered(message):
    text(waiting.pop(message["id"]), json.dumps(message.get("result") or message["error"]["message"]))
handlers["tools/call"] = call
handlers[None] = answered
"#;

fn together(of: usize, name: &str, question: &Value) -> Value {
    json!({"name": name, "of": of, "question": question})
}

#[tokio::test]
async fn the_calls_of_one_session_that_ask_at_once_are_all_answered() {
    let child = Child::new(ASKING_TOGETHER).await;
    let gateway = Gateway::before(&child.config());
    let session = legacy_client(&gateway).await;
    // What was seen to answer without asking has no conversation to itself.
    session.call(&gateway, "echo", json!({})).await;
    let run = async |id: u64, name: &str| {
        let (_, mut events) = session.stream(&gateway, &call(id, &together(3, name, &form(name)))).await;
        loop {
            let message = events.message().await.expect("the answer");
            if message["method"] == "elicitation/create" {
                let asked = message["params"]["message"].as_str().unwrap();
                respond(&session, &gateway, &message["id"], &accepted(asked)).await;
            } else if message["id"] == id {
                return got(&message["result"]);
            } else {
                assert_eq!(message["method"], "notifications/cancelled", "{message}");
            }
        }
    };
    let all = tokio::join!(run(11, "one"), run(12, "two"), run(13, "three"));
    assert_eq!(<[_; 3]>::from(all), [accepted("one"), accepted("two"), accepted("three")]);
}

#[tokio::test]
async fn what_several_clients_calls_ask_at_once_is_refused_and_the_next_calls_are_kept_apart() {
    for (question, refusal) in [
        (form("who?"), json!({"action": "cancel"})),
        (
            sampling(),
            json!(
                "several calls are under way, and nothing says which of them this is about; call again, and they are kept apart"
            ),
        ),
    ] {
        let child = Child::new(ASKING_TOGETHER).await;
        let gateway = Gateway::before(&child.config());
        let (ann, bob) = (legacy_client(&gateway).await, legacy_client(&gateway).await);
        ann.call(&gateway, "echo", json!({})).await;
        let run = async |session: &crate::harness::Legacy| {
            got(&session.call(&gateway, "echo", together(2, "both", &question)).await)
        };
        let (one, other) = tokio::join!(run(&ann), run(&bob));
        assert_eq!([one, other], [refusal.clone(), refusal], "nobody is asked what may be another's");
        let again = async |session: &crate::harness::Legacy, name: &str| {
            let (_, mut events) = session.stream(&gateway, &call(2, &together(1, name, &form(name)))).await;
            let question = asked(&mut events, "elicitation/create").await;
            assert_eq!(question["params"]["message"], name);
            (events, question["id"].clone())
        };
        // Neither answers before both are asked.
        let ((mut of_ann, anns), (mut of_bob, bobs)) = tokio::join!(again(&ann, "Ann"), again(&bob, "Bob"));
        respond(&bob, &gateway, &bobs, &accepted("Bob")).await;
        assert_eq!(got(&of_bob.message().await.unwrap()["result"]), accepted("Bob"));
        respond(&ann, &gateway, &anns, &accepted("Ann")).await;
        assert_eq!(got(&of_ann.message().await.unwrap()["result"]), accepted("Ann"));
    }
}

#[tokio::test]
async fn nobody_waits_for_another_clients_user() {
    let child = Child::new(ASKING_CHILD).await;
    let gateway = Gateway::before(&child.config());
    let client = modern_client();
    let begin = async |name: &str| {
        let arguments = json!({"ask": [form(name)]});
        let round = client.call(&gateway, "echo", arguments.clone()).await;
        (arguments, round)
    };
    // Each of these users thinks; the next one's question comes through all the same.
    let rounds = [begin("one").await, begin("two").await, begin("three").await];
    for ((arguments, round), name) in rounds.iter().zip(["one", "two", "three"]).rev() {
        let (key, asked) = round["inputRequests"].as_object().unwrap().iter().next().unwrap();
        assert_eq!(*asked, form(name));
        let params = json!({
            "name": "echo", "arguments": arguments, "requestState": round["requestState"],
            "inputResponses": {key: accepted(name)},
        });
        let result = client.result(&gateway, CALL, params).await;
        assert_eq!(got(&result), json!([accepted(name)]));
    }
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(child.started().await);
    }
}

#[tokio::test]
async fn what_a_server_asks_outside_any_call_is_refused() {
    let child = Child::new(
        r#"
def initialized(message):
    send({"id": "e", "method": "elicitation/create", "params": {"message": "hello?"}})
    send({"id": "r", "method": "roots/list"})
handlers["notifications/initialized"] = initialized
"#,
    )
    .await;
    let gateway = Gateway::before(&child.config());
    let session = legacy_client(&gateway).await;
    session.call(&gateway, "echo", json!({})).await;
    // In one of the two conversations the client's capabilities were declared, in the other one nothing was.
    let mut answers = Vec::new();
    for mut process in [child.started().await, child.started().await] {
        let before = answers.len();
        while answers.len() < before + 2 {
            let event = process.event().await.unwrap();
            if event["id"].is_string() {
                answers.push(event.get("result").cloned().unwrap_or_else(|| event["error"]["code"].clone()));
            }
        }
    }
    let (refused, undeclared) =
        ([json!({"action": "cancel"}), json!(-32603)], [json!({"action": "decline"}), json!(-32601)]);
    assert!(
        answers == [refused.clone(), undeclared.clone()].concat()
            || answers == [undeclared, refused].concat(),
        "{answers:?}"
    );
}

#[tokio::test]
async fn a_question_on_the_standalone_stream_belongs_to_the_only_call() {
    let (asking, answered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (ask, post) = (asking.clone(), answered.clone());
    let server = Fake::legacy()
        .on("GET", move |seen, mut answer: Answer| {
            let ask = ask.clone();
            async move {
                // The conversation in which something was declared is the second one.
                answer.open_stream().await;
                if seen.header("mcp-session-id") == Some("session-asks") {
                    ask.notified().await;
                    let mut question = form("who?");
                    question["jsonrpc"] = json!("2.0");
                    question["id"] = json!(77);
                    answer.event(&question).await;
                }
                answer.closed().await;
            }
        })
        .on("initialize", |seen, answer| async move {
            let asks = seen.rpc["params"]["capabilities"] != json!({});
            let result = json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "f", "version": "1"}});
            let message = json!({"jsonrpc": "2.0", "id": answer.id, "result": result});
            let session = if asks { "session-asks" } else { "session-plain" };
            let headers = [("content-type", "application/json"), ("mcp-session-id", session)];
            answer.send(200, &headers, message.to_string().as_bytes()).await;
        })
        .on("POST", move |seen, answer| {
            let post = post.clone();
            async move {
                assert_eq!(seen.rpc["result"], accepted("Ann"));
                post.notify_one();
                answer.accepted().await;
            }
        })
        .on(CALL, move |_, answer| {
            let (asking, answered) = (asking.clone(), answered.clone());
            async move {
                // No head before the answer: the question has to get through all the same.
                asking.notify_one();
                answered.notified().await;
                answer.result(text("done")).await;
            }
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let client = modern_client();
    let round = client.call(&gateway, "echo", json!({})).await;
    let key = round["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    let mut params = json!({"name": "echo", "arguments": {}, "requestState": round["requestState"]});
    params["inputResponses"] = json!({key: accepted("Ann")});
    let result: Value = within("the answer", client.result(&gateway, CALL, params)).await;
    assert_eq!(result["content"][0]["text"], "done");
    assert_eq!(server.count(CALL), 1);
}
