//! What the guard holds waits for somebody: calls, for what is in their arguments, and results that came.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{done, error, run, said, start};
use crate::harness::client::text_of;
use crate::harness::fake::{text, tool};
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream, until};
use crate::reload::reload;

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const IBAN: &str = "DE89370400440532013000";
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A server that says of accounts what it was not asked to keep to itself, and counts as what it is called.
async fn bank(modern: bool) -> Upstream {
    let fake = if modern { Fake::modern() } else { Fake::legacy() };
    let fake = fake.tools(vec![tool("pay"), tool("look"), tool("large")]);
    fake.on("tools/call", |seen, answer| async move {
        let said = match seen.rpc["params"]["name"].as_str() {
            Some("look") => format!("the account is {IBAN}"),
            Some("large") => format!("the account is {IBAN} {}", "and so on ".repeat(100_000)),
            _ => format!("paid {}", seen.rpc["params"]["arguments"]["to"].as_str().unwrap_or_default()),
        };
        answer.result(text(&said)).await;
    })
    .start()
    .await
}

fn guard(direction: &str) -> Value {
    json!({"profile": "none", "rules": [
        {"name": "accounts", "entities": ["IBAN"], "direction": direction, "action": "hold"},
    ]})
}

fn config(bank: &Upstream, direction: &str, approvals: &Value) -> Value {
    json!({"servers": {"bank": bank.config()}, "guard": guard(direction), "approvals": approvals})
}

fn asking() -> Modern {
    Modern::new().with_meta(CAPABILITIES, json!({"elicitation": {}}))
}

fn call(name: &str, to: &str) -> Value {
    json!({"name": name, "arguments": {"to": to}})
}

/// The same call, with what the user said.
fn answered(mut params: Value, question: &Value, yes: bool) -> Value {
    params["requestState"] = question["requestState"].clone();
    let answer = json!({"action": "accept", "content": {"approve": yes}});
    params["inputResponses"] = json!({"portcullis-approve": answer});
    params
}

fn message(question: &Value) -> &str {
    question["inputRequests"]["portcullis-approve"]["params"]["message"]
        .as_str()
        .unwrap_or_else(|| panic!("no question: {question}"))
}

async fn reason(client: &Modern, gateway: &Gateway, params: Value) -> String {
    error(&client.request(gateway, "tools/call", params).await.json()).0
}

#[tokio::test]
async fn a_call_waits_for_what_is_in_its_arguments() {
    for modern in [true, false] {
        let bank = bank(modern).await;
        let gateway = start(config(&bank, "to-server", &json!({})));
        let (client, params) = (asking(), call("bank__pay", IBAN));
        assert_eq!(text_of(&client.call(&gateway, "bank__pay", json!({"to": "ada"})).await), "paid ada");
        let question = client.result(&gateway, "tools/call", params.clone()).await;
        assert!(message(&question).contains("rule `accounts` holds it: 1 × IBAN"), "{question}");
        assert!(message(&question).contains(IBAN), "the user sees what is sent: {question}");
        assert_eq!(bank.count("tools/call"), 1);
        let other = answered(call("bank__pay", "GB82WEST12345698765432"), &question, true);
        assert!(client.request(&gateway, "tools/call", other).await.json().get("error").is_some());
        let paid = client.result(&gateway, "tools/call", answered(params.clone(), &question, true)).await;
        assert_eq!(text_of(&paid), format!("paid {IBAN}"));
        let again = client.result(&gateway, "tools/call", params.clone()).await;
        assert_eq!(again["resultType"], "input_required", "it is used up");
        let no = answered(params, &again, false);
        assert_eq!(reason(&client, &gateway, no).await, "approval_denied");
        assert_eq!(bank.count("tools/call"), 2);
        gateway.logged("oversight: call approved").await;
    }
}

#[tokio::test]
async fn leave_for_arguments_is_none_for_what_goes_beside_them() {
    let bank = bank(true).await;
    let gateway = start(config(&bank, "to-server", &json!({})));
    let noting = |note: &str| asking().with_meta("note", json!(note));
    let blocked = noting(IBAN).result(&gateway, "tools/call", call("bank__pay", "ada")).await;
    assert!(blocked["isError"] == true && text_of(&blocked).contains("IBAN"), "{blocked}");
    let question = asking().result(&gateway, "tools/call", call("bank__pay", IBAN)).await;
    let yes = answered(call("bank__pay", IBAN), &question, true);
    let blocked = noting("GB82WEST12345698765432").result(&gateway, "tools/call", yes).await;
    assert!(blocked["isError"] == true && text_of(&blocked).contains("IBAN"), "{blocked}");
    assert_eq!(bank.count("tools/call"), 0);
}

#[tokio::test]
async fn a_result_waits_and_its_call_is_not_made_twice() {
    for modern in [true, false] {
        let bank = bank(modern).await;
        let gateway = start(config(&bank, "to-client", &json!({})));
        let (client, params) = (asking(), call("bank__look", "a"));
        let question = client.result(&gateway, "tools/call", params.clone()).await;
        assert!(message(&question).contains("May its result be given"), "{question}");
        assert!(!question.to_string().contains(IBAN), "{question}");
        let same = client.result(&gateway, "tools/call", params.clone()).await;
        assert_eq!(same["resultType"], "input_required", "the question is about the same result");
        let given = client.result(&gateway, "tools/call", answered(params.clone(), &question, true)).await;
        assert_eq!(text_of(&given), format!("the account is {IBAN}"));
        assert_eq!(given["_meta"]["io.portcullis/guard"], json!({"IBAN": {"hold": 1}}), "{given}");
        assert_eq!(bank.count("tools/call"), 1);
        let gone = client.request(&gateway, "tools/call", answered(params.clone(), &question, true)).await;
        assert!(error(&gone.json()).1.contains("does not wait any more"), "{:?}", gone.json());
        assert_eq!(bank.count("tools/call"), 1, "an old answer makes no new call");
        let question = client.result(&gateway, "tools/call", params.clone()).await;
        let no = answered(params, &question, false);
        assert_eq!(reason(&client, &gateway, no).await, "approval_denied");
        assert_eq!(bank.count("tools/call"), 2);
    }
}

#[tokio::test]
async fn sessions_are_asked_about_results_too() {
    for (modern, yes) in [(true, true), (false, true), (true, false), (false, false)] {
        let bank = bank(modern).await;
        let gateway = start(config(&bank, "to-client", &json!({})));
        let session = Legacy::open_with(&gateway, "/mcp", "2025-11-25", json!({"elicitation": {}})).await;
        let call =
            json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": call("bank__look", "a")});
        let (_, mut events) = session.stream(&gateway, &call).await;
        let question = events.message().await.unwrap();
        assert!(
            question["params"]["message"].as_str().unwrap().contains("May its result be given"),
            "{question}"
        );
        let answer = json!({"action": "accept", "content": {"approve": yes}});
        session.send(&gateway, &json!({"jsonrpc": "2.0", "id": question["id"], "result": answer})).await;
        let last = events.message().await.unwrap();
        if yes {
            assert_eq!(text_of(&last["result"]), format!("the account is {IBAN}"));
        } else {
            assert_eq!(error(&last).0, "approval_denied", "{last}");
        }
        assert_eq!(bank.count("tools/call"), 1);
    }
}

#[tokio::test]
async fn an_operator_decides_about_results() {
    let bank = bank(true).await;
    let mut config = config(&bank, "to-client", &json!({"by": "operator"}));
    config["vault"] = json!({ "key": KEY });
    let gateway = start(config);
    let (client, params) = (asking(), call("bank__look", "a"));
    let folder = gateway.folder();
    for approve in [true, false] {
        let made = bank.count("tools/call");
        let held = client.request(&gateway, "tools/call", params.clone()).await.json();
        assert_eq!(error(&held).0, "approval_required", "{held}");
        assert!(!held.to_string().contains(IBAN), "{held}");
        let id = held["error"]["data"]["approval"].as_str().unwrap();
        let list = done(folder, &["approval", "list"]);
        assert!(list.contains("result of bank/look  waits") && list.contains("1 × IBAN"), "{list}");
        assert!(!list.contains(IBAN), "{list}");
        let verb = if approve { "grant" } else { "deny" };
        let said = done(folder, &["approval", verb, id]);
        assert!(said.contains(": the result of bank/look"), "{said}");
        let answer = client.request(&gateway, "tools/call", params.clone()).await.json();
        if approve {
            assert_eq!(text_of(&answer["result"]), format!("the account is {IBAN}"));
        } else {
            assert_eq!(error(&answer).0, "approval_denied", "{answer}");
            assert_eq!(reason(&client, &gateway, params.clone()).await, "approval_denied", "it stays so");
        }
        assert_eq!(bank.count("tools/call"), made + 1, "the call was made once");
    }
    let store = std::fs::read(folder.join("portcullis.db")).unwrap_or_default();
    assert!(!store.windows(IBAN.len()).any(|part| part == IBAN.as_bytes()));
}

#[tokio::test]
async fn what_cannot_wait_is_blocked() {
    let bank = bank(true).await;
    let gateway = start(config(&bank, "to-client", &json!({})));
    let client = asking();
    let large = client.result(&gateway, "tools/call", call("bank__large", "a")).await;
    assert!(large["isError"] == true && text_of(&large).contains("too large to be kept"), "{large}");
    // A store that no command reaches, no webhook, and a client that cannot ask.
    for direction in ["to-client", "to-server"] {
        let gateway = Gateway::start(&config(&bank, direction, &json!({})));
        let made = bank.count("tools/call");
        let name = if direction == "to-client" { "bank__look" } else { "bank__pay" };
        let blocked = Modern::new().result(&gateway, "tools/call", call(name, IBAN)).await;
        assert!(blocked["isError"] == true && text_of(&blocked).contains("IBAN"), "{blocked}");
        assert_eq!(bank.count("tools/call"), made + usize::from(direction == "to-client"));
        let question = asking().result(&gateway, "tools/call", call(name, IBAN)).await;
        assert_eq!(question["resultType"], "input_required", "a client that can ask is asked");
    }
}

#[tokio::test]
async fn two_have_to_approve_where_two_are_wanted() {
    let bank = bank(true).await;
    let gateway = start(config(&bank, "to-server", &json!({"needed": 2})));
    let (client, params, folder) = (asking(), call("bank__pay", IBAN), gateway.folder());
    let question = client.result(&gateway, "tools/call", params.clone()).await;
    let yes = answered(params.clone(), &question, true);
    let waits = client.request(&gateway, "tools/call", yes.clone()).await.json();
    let (reason, text) = error(&waits);
    assert!(reason == "approval_required" && text.contains("1 of 2 have approved"), "{waits}");
    let again = client.request(&gateway, "tools/call", yes).await.json();
    assert_eq!(error(&again).0, "approval_required", "the user is one, however often: {again}");
    assert_eq!(bank.count("tools/call"), 0);
    let id = waits["error"]["data"]["approval"].as_str().unwrap();
    assert!(done(folder, &["approval", "list"]).contains("granted by user:anonymous, and 2 have to"));
    done(folder, &["approval", "grant", id, "--by", "ada"]);
    let paid = client.result(&gateway, "tools/call", params).await;
    assert_eq!(text_of(&paid), format!("paid {IBAN}"));

    let operators = start(config(&bank, "to-server", &json!({"needed": 2, "by": "operator"})));
    let folder = operators.folder();
    let waits = client.request(&operators, "tools/call", call("bank__pay", IBAN)).await.json();
    let id = waits["error"]["data"]["approval"].as_str().unwrap();
    let first = done(folder, &["approval", "grant", id, "--by", "ada"]);
    assert!(first.contains("1 of 2 have approved"), "{first}");
    let same = run(folder, &["approval", "grant", id, "--by", "ada"]);
    assert!(same.status.code() == Some(1) && said(&same).contains("somebody else"), "{}", said(&same));
    assert_eq!(
        error(&client.request(&operators, "tools/call", call("bank__pay", IBAN)).await.json()).0,
        "approval_required"
    );
    done(folder, &["approval", "grant", id, "--by", "bob"]);
    until("the call", async || {
        client.request(&operators, "tools/call", call("bank__pay", IBAN)).await.json().get("result").is_some()
    })
    .await;
    assert_eq!(bank.count("tools/call"), 2);
}

#[tokio::test]
async fn a_webhook_decides_about_results_without_seeing_them() {
    let webhook = Upstream::start(|_, answer| async move {
        answer.json(200, &json!({"approved": true, "by": "ada"})).await;
    })
    .await;
    let bank = bank(true).await;
    let approvals = json!({"by": "operator", "webhook": {"url": webhook.url}});
    let gateway = Gateway::start(&config(&bank, "to-client", &approvals));
    let given = Modern::new().call(&gateway, "bank__look", json!({"to": "a"})).await;
    assert_eq!(text_of(&given), format!("the account is {IBAN}"));
    let seen = webhook.seen();
    assert_eq!((seen.len(), &seen[0].rpc["matter"]), (1, &json!("result")));
    assert!(!seen[0].rpc.to_string().contains(IBAN), "{:?}", seen[0].rpc);
}

/// With a result that an operator has let through, and that nobody has fetched yet.
async fn granted(bank: &Upstream, flow: &Value) -> (Gateway, Value) {
    let mut config = config(bank, "to-client", &json!({"by": "operator"}));
    config["flow"] = flow.clone();
    config["store"] = json!({"kind": "sqlite"});
    let gateway = start(config.clone());
    let session = Legacy::open(&gateway).await;
    let held = session.request(&gateway, "tools/call", call("bank__look", "a")).await.json();
    assert_eq!(error(&held).0, "approval_required", "{held}");
    done(gateway.folder(), &["approval", "grant", held["error"]["data"]["approval"].as_str().unwrap()]);
    (gateway, config)
}

#[tokio::test]
async fn a_result_that_waited_counts_as_read_by_whoever_fetches_it() {
    let bank = bank(true).await;
    let flow = json!({
        "private": ["bank/look"], "untrusted": ["bank/look"], "external": ["bank/pay"], "per": "session", "mode": "deny",
    });
    let (gateway, _) = granted(&bank, &flow).await;
    let (fetching, other) = (Legacy::open(&gateway).await, Legacy::open(&gateway).await);
    fetching.call(&gateway, "bank__pay", json!({"to": "ada"})).await;
    let given = fetching.call(&gateway, "bank__look", json!({"to": "a"})).await;
    assert_eq!(text_of(&given), format!("the account is {IBAN}"));
    let denied = fetching.request(&gateway, "tools/call", call("bank__pay", "ada")).await.json();
    assert_eq!(error(&denied).0, "flow_denied", "{denied}");
    other.call(&gateway, "bank__pay", json!({"to": "ada"})).await;
    assert_eq!(bank.count("tools/call"), 3, "the result was fetched, and the call not made again");
}

#[tokio::test]
async fn a_result_that_waited_is_for_callers_of_its_region() {
    let bank = bank(true).await;
    let region = |principal: &str| json!({"regions": {"eu": {"data": ["bank/look"], "principals": [principal]}}, "mode": "deny"});
    let (gateway, mut config) = granted(&bank, &region("anonymous")).await;
    for (principal, fetched) in [("key:somebody", false), ("anonymous", true)] {
        config["flow"] = region(principal);
        reload(&gateway, &config).await;
        let answer = Modern::new().request(&gateway, "tools/call", call("bank__look", "a")).await.json();
        if fetched {
            assert_eq!(text_of(&answer["result"]), format!("the account is {IBAN}"), "leave was not used up");
        } else {
            assert_eq!(error(&answer).0, "flow_denied", "{answer}");
        }
    }
    assert_eq!(bank.count("tools/call"), 1);
}

/// Of two calls that are made at the same time, the second's result comes when the first's waits already.
#[tokio::test]
async fn what_is_asked_is_about_the_result_that_waits() {
    let (calls, both, second) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let release = second.clone();
    let bank = Fake::modern().tools(vec![tool("look")]).on("tools/call", move |_, answer| {
        let (call, both, second) = (calls.fetch_add(1, Ordering::SeqCst), both.clone(), second.clone());
        async move {
            let said = if call == 0 {
                both.notified().await;
                format!("first, {IBAN}")
            } else {
                both.notify_one();
                second.notified().await;
                format!("second, {IBAN} and {IBAN}")
            };
            answer.result(text(&said)).await;
        }
    });
    let bank = bank.start().await;
    let gateway = start(config(&bank, "to-client", &json!({})));
    let (client, params) = (asking(), call("bank__look", "a"));
    let ask = async || {
        let question = client.result(&gateway, "tools/call", params.clone()).await;
        release.notify_one();
        question
    };
    let (one, other) = tokio::join!(ask(), ask());
    for question in [&one, &other] {
        assert!(message(question).contains("1 × IBAN"), "{question}");
    }
    let given = client.result(&gateway, "tools/call", answered(params, &other, true)).await;
    assert_eq!(text_of(&given), format!("first, {IBAN}"), "it is the one that was asked about");
}
