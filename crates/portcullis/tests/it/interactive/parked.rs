//! A legacy server and a modern client: the call waits in the gateway until the client comes back.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{
    ASKING_CHILD, CALL, CAPABILITIES, accepted, asking_over_http, form, got, modern_client, roots, sampled,
    sampling,
};
use crate::harness::fake::text;
use crate::harness::{Child, Fake, Gateway, Modern, Upstream};

/// Calls of the server that wants a page opened.
static VISITS: AtomicUsize = AtomicUsize::new(0);

fn params(arguments: &Value) -> Value {
    json!({"name": "echo", "arguments": arguments})
}

/// The params of the next attempt.
fn answering(arguments: &Value, round: &Value, responses: &Value) -> Value {
    let mut params = params(arguments);
    params["requestState"] = round["requestState"].clone();
    params["inputResponses"] = responses.clone();
    params
}

fn keys(round: &Value) -> Vec<String> {
    assert_eq!(round["resultType"], "input_required", "{round}");
    assert!(round["requestState"].is_string());
    let requests = round["inputRequests"].as_object().unwrap();
    let mut keys: Vec<_> = requests.keys().cloned().collect();
    keys.sort();
    keys
}

/// The answers to a round, by the method that was asked.
fn answers(round: &Value) -> Value {
    let mut answers = json!({});
    for key in keys(round) {
        answers[&key] = match round["inputRequests"][&key]["method"].as_str().unwrap() {
            "elicitation/create" => accepted("Ann"),
            "sampling/createMessage" => sampled("Paris"),
            _ => roots(),
        };
    }
    answers
}

#[tokio::test]
async fn questions_become_one_round_and_the_same_call_goes_on() {
    let url = json!({"method": "elicitation/create", "params": {
        "mode": "url", "message": "m", "url": "https://example.com", "elicitationId": "e1",
    }});
    let server = asking_over_http(vec![form("who?"), sampling(), json!({"method": "roots/list"}), url]).await;
    let gateway = Gateway::before(&server.config());
    let client = modern_client();
    let round = client.result(&gateway, CALL, params(&json!({}))).await;
    let keys = keys(&round);
    assert_eq!(keys.len(), 4);
    let asked = &round["inputRequests"];
    assert_eq!(asked[&keys[0]], form("who?"));
    assert_eq!(asked[&keys[1]], sampling());
    assert!(asked[&keys[3]]["params"].get("elicitationId").is_none(), "2026-07-28 has none: {round}");
    let mut responses = answers(&round);
    responses["surplus"] = json!({"action": "accept"});
    let result = client.result(&gateway, CALL, answering(&json!({}), &round, &responses)).await;
    assert_eq!(result["resultType"], "complete");
    assert_eq!(got(&result), json!([accepted("Ann"), sampled("Paris"), roots(), accepted("Ann")]));
    assert_eq!(server.count(CALL), 1, "the server sees one call");
    let hellos = server.seen().into_iter().filter(|seen| seen.method() == "initialize");
    assert!(
        hellos.map(|seen| seen.rpc["params"]["capabilities"].clone()).any(|caps| caps == super::everything())
    );
}

#[tokio::test]
async fn a_child_asks_in_as_many_rounds_as_it_likes() {
    let child = Child::new(ASKING_CHILD).await;
    let gateway = Gateway::before(&child.config());
    let client = modern_client();
    let arguments = json!({"ask": [form("one"), sampling(), {"method": "roots/list"}]});
    let mut round = client.result(&gateway, CALL, params(&arguments)).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let keys = keys(&round);
        assert_eq!(keys.len(), 1);
        seen.push(keys[0].clone());
        round = client.result(&gateway, CALL, answering(&arguments, &round, &answers(&round))).await;
    }
    assert_eq!(got(&round), json!([accepted("Ann"), sampled("Paris"), roots()]));
    seen.dedup();
    assert_eq!(seen.len(), 3, "keys are not used twice in a call");
}

#[tokio::test]
async fn what_comes_too_late_for_a_round_comes_in_the_next_one() {
    let child = Child::new(
        r#"
got = []
def call(request):
    got.append(request)
    for number, question in enumerate(request["params"]["arguments"]["ask"]):
        if number:
            order()
        send(dict(question, id="q%d" % number))
def answered(message):
    got.append(message["result"])
    asked = got[0]["params"]["arguments"]["ask"]
    if len(got) > len(asked):
        text(got[0], json.dumps(got[1:]))
        got.clear()
handlers["tools/call"] = call
handlers[None] = answered
"#,
    )
    .await;
    let gateway = Gateway::before(&child.config());
    let client = modern_client();
    let round = async |arguments: &Value, before: Option<(&Value, &str)>| {
        let params = match before {
            Some((round, name)) => answering(arguments, round, &json!({&keys(round)[0]: accepted(name)})),
            None => params(arguments),
        };
        client.result(&gateway, CALL, params).await
    };
    // One thing at a time, until the gateway does not wait for a second one.
    let one = json!({"ask": [form("one")]});
    for _ in 0..4 {
        let asked = round(&one, None).await;
        assert_eq!(got(&round(&one, Some((&asked, "Ann"))).await), json!([accepted("Ann")]));
    }
    let mut declared = child.started().await;
    let two = json!({"ask": [form("one"), form("two")]});
    let first = round(&two, None).await;
    assert_eq!(first["inputRequests"][&keys(&first)[0]], form("one"));
    declared.tell(json!("ask the other")).await;
    let second = round(&two, Some((&first, "Ann"))).await;
    assert_eq!(second["inputRequests"][&keys(&second)[0]], form("two"));
    assert_eq!(got(&round(&two, Some((&second, "Bob"))).await), json!([accepted("Ann"), accepted("Bob")]));
}

#[tokio::test]
async fn what_was_not_answered_is_asked_again() {
    let server = asking_over_http(vec![form("one"), form("two")]).await;
    let gateway = Gateway::before(&server.config());
    let client = modern_client();
    let round = client.result(&gateway, CALL, params(&json!({}))).await;
    let all = keys(&round);
    let responses = json!({&all[0]: accepted("Ann"), &all[1]: "no object"});
    let again = client.result(&gateway, CALL, answering(&json!({}), &round, &responses)).await;
    assert_eq!(keys(&again), [all[1].clone()]);
    assert_eq!(again["inputRequests"][&all[1]], form("two"));
    assert_ne!(again["requestState"], round["requestState"]);
    let responses = json!({&all[1]: {"action": "decline"}});
    let result = client.result(&gateway, CALL, answering(&json!({}), &again, &responses)).await;
    assert_eq!(got(&result), json!([accepted("Ann"), {"action": "decline"}]));
}

#[tokio::test]
async fn a_state_is_good_once_and_for_its_own_request() {
    let server = asking_over_http(vec![form("who?")]).await;
    let config = json!({"servers": {"x": server.config(), "y": server.config()}});
    let gateway = Gateway::start(&config);
    let client = modern_client();
    let round = client.result(&gateway, CALL, params(&json!({"n": 1}))).await;
    let responses = answers(&round);
    let refused = async |client: &Modern, params: Value, says: &str| {
        let answer = client.request(&gateway, CALL, params).await;
        assert_eq!(answer.error_code(), -32602, "{says}");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(says), "{message}");
    };
    let good = answering(&json!({"n": 1}), &round, &responses);
    refused(&client, answering(&json!({"n": 2}), &round, &responses), "another request").await;
    let elsewhere = Modern::at("/mcp/s/y").with_meta(CAPABILITIES, super::everything());
    refused(&elsewhere, good.clone(), "another request").await;
    let mut tampered = good.clone();
    let state = tampered["requestState"].as_str().unwrap();
    let middle = state.len() / 2;
    let other = if state.as_bytes()[middle] == b'A' { "B" } else { "A" };
    tampered["requestState"] = json!(format!("{}{other}{}", &state[..middle], &state[middle + 1..]));
    refused(&client, tampered, "damaged").await;
    refused(
        &client,
        {
            let mut none = good.clone();
            none["requestState"] = json!(7);
            none
        },
        "string",
    )
    .await;
    // None of this has cost the client its call.
    assert_eq!(got(&client.result(&gateway, CALL, good.clone()).await), json!([accepted("Ann")]));
    refused(&client, good, "used already").await;
    assert_eq!(server.count(CALL), 1);
}

#[tokio::test]
async fn a_client_that_never_comes_back_has_cancelled() {
    let child = Child::new(ASKING_CHILD).await;
    let config = json!({"servers": {"x": child.config()}, "limits": {"ask_timeout": "150ms"}});
    let gateway = Gateway::start(&config);
    let client = modern_client();
    let arguments = json!({"ask": [form("who?")]});
    let round = client.result(&gateway, CALL, params(&arguments)).await;
    let mut process = child.started().await;
    let answer = loop {
        let event = process.event().await.unwrap();
        if event["id"].is_string() {
            break event;
        }
    };
    assert_eq!(answer["result"], json!({"action": "cancel"}));
    process.message("notifications/cancelled").await;
    let late = client.request(&gateway, CALL, answering(&arguments, &round, &answers(&round))).await;
    assert_eq!(late.error_code(), -32602);
}

#[tokio::test]
async fn leaving_the_stream_of_a_later_round_cancels_the_call() {
    let server = Fake::legacy()
        .on(CALL, |seen, mut answer| async move {
            answer.open_stream().await;
            let mut question = form("who?");
            question["jsonrpc"] = json!("2.0");
            question["id"] = seen.rpc["id"].clone();
            answer.event(&question).await;
            answer.closed().await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let client = modern_client();
    let round = client.result(&gateway, CALL, params(&json!({}))).await;
    let mut connection = gateway.connect().await;
    let body = client.body(CALL, answering(&json!({}), &round, &answers(&round)));
    client.write(&mut connection, &body, &[]).await;
    let answer = server.nth("POST", 1).await;
    assert_eq!(answer.rpc["result"], accepted("Ann"));
    drop(connection);
    let told = server.nth("notifications/cancelled", 1).await;
    assert_eq!(told.rpc["params"]["requestId"], server.nth(CALL, 1).await.rpc["id"]);
}

#[tokio::test]
async fn progress_goes_to_whoever_listens_now() {
    let server = progressing().await;
    let gateway = Gateway::before(&server.config());
    let client = modern_client().with_meta("progressToken", json!("first"));
    let answer = client.request(&gateway, CALL, params(&json!({}))).await;
    let messages = answer.messages();
    assert_eq!(messages[0]["params"], json!({"progressToken": "first", "progress": 1}));
    let round = &messages[1]["result"];
    let later = modern_client().with_meta("progressToken", json!("second"));
    let answer = later.request(&gateway, CALL, answering(&json!({}), round, &answers(round))).await;
    let messages = answer.messages();
    assert_eq!(messages[0]["params"], json!({"progressToken": "second", "progress": 2}));
    assert_eq!(messages[1]["result"]["content"][0]["text"], "done");
}

/// Tells progress before its question and after the answer.
async fn progressing() -> Upstream {
    let answered = std::sync::Arc::new(tokio::sync::Notify::new());
    let posted = answered.clone();
    Fake::legacy()
        .on("POST", move |_, answer| {
            posted.notify_one();
            answer.accepted()
        })
        .on(CALL, move |seen, mut answer| {
            let answered = answered.clone();
            async move {
                let token = seen.rpc["params"]["_meta"]["progressToken"].clone();
                let note = |progress: u64| {
                    let params = json!({"progressToken": token, "progress": progress});
                    json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
                };
                answer.open_stream().await;
                answer.event(&note(1)).await;
                let mut question = form("who?");
                question["jsonrpc"] = json!("2.0");
                question["id"] = json!(1);
                answer.event(&question).await;
                answered.notified().await;
                answer.event(&note(2)).await;
                answer.result_event(text("done")).await;
            }
        })
        .start()
        .await
}

#[tokio::test]
async fn a_page_that_a_legacy_server_wants_opened_is_a_round() {
    let server = Fake::legacy()
        .on(CALL, |seen, answer| async move {
            assert!(seen.rpc["params"].get("requestState").is_none(), "{}", seen.rpc);
            if seen.rpc["params"].get("visited").is_some() {
                return answer.result(text("never")).await;
            }
            if VISITS.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
                return answer.result(text("welcome")).await;
            }
            let page =
                json!({"mode": "url", "message": "m", "url": "https://example.com", "elicitationId": "e"});
            let data = json!({"elicitations": [page]});
            answer.error(200, json!({"code": -32042, "message": "open it", "data": data})).await;
        })
        .start()
        .await;
    let gateway = Gateway::before(&server.config());
    let client = modern_client();
    let round = client.result(&gateway, CALL, params(&json!({}))).await;
    let key = &keys(&round)[0];
    let page = json!({"mode": "url", "message": "m", "url": "https://example.com"});
    assert_eq!(round["inputRequests"][key], json!({"method": "elicitation/create", "params": page}));
    assert!(round["_meta"]["io.modelcontextprotocol/serverInfo"]["name"].is_string(), "{round}");
    let declined = json!({key: {"action": "decline"}});
    let result = client.result(&gateway, CALL, answering(&json!({}), &round, &declined)).await;
    assert_eq!(result["isError"], true);
    let accepted = json!({key: {"action": "accept"}});
    let result = client.result(&gateway, CALL, answering(&json!({}), &round, &accepted)).await;
    assert_eq!(result["content"][0]["text"], "welcome");
    // A client that cannot show pages is told what it lacks.
    let plain = Modern::at("/mcp/s/x").with_meta(CAPABILITIES, json!({"elicitation": {"form": {}}}));
    let answer = plain.request(&gateway, CALL, params(&json!({}))).await;
    assert_eq!((answer.status(), answer.error_code()), (400, -32021));
    let required = &answer.json()["error"]["data"]["requiredCapabilities"];
    assert_eq!(*required, json!({"elicitation": {"url": {}}}));
}
