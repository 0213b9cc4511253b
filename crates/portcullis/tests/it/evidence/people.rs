//! What people decide is in the log: who, about what, and how fast; and in the event of the call that it was about.

use serde_json::{Value, json};

use super::{start, until};
use crate::harness::fake::{text, tool};
use crate::harness::{Fake, Gateway, Modern, Upstream};
use crate::oversight::done;

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

async fn mail() -> Upstream {
    Fake::modern().tools(vec![tool("send"), tool("draft")]).start().await
}

fn asking() -> Modern {
    Modern::new().with_meta(CAPABILITIES, json!({"elicitation": {}}))
}

fn sending(to: &str) -> Value {
    json!({"name": "mail__send", "arguments": {"to": to}})
}

fn is_call(event: &Value, decision: &str) -> bool {
    event["request"]["method"] == "tools/call"
        && event["phase"] != "intent"
        && event["human"]["decision"] == decision
}

fn is_vote(event: &Value) -> bool {
    event["kind"] == "approval" && event["detail"]["what"] != "definition"
}

fn with_store(mode: &str, mut rest: Value) -> Gateway {
    rest["store"] = json!({"kind": "sqlite"});
    start(mode, &rest)
}

#[tokio::test]
async fn leave_that_a_user_gives_is_in_the_log_with_the_call() {
    for mode in ["normal", "strict"] {
        let mail = mail().await;
        let gateway =
            start(mode, &json!({"servers": {"mail": mail.config()}, "approvals": {"tools": ["mail/send"]}}));
        let client = asking();
        for (yes, said) in [(true, "approved"), (false, "refused")] {
            let question = client.result(&gateway, "tools/call", sending(said)).await;
            let mut params = sending(said);
            params["requestState"] = question["requestState"].clone();
            let answer = json!({"action": "accept", "content": {"approve": yes}});
            params["inputResponses"] = json!({"portcullis-approve": answer});
            client.request(&gateway, "tools/call", params).await;
            let call = until(&gateway, said, 1, |event| is_call(event, said)).await.remove(0);
            let asked = until(&gateway, "asked", 1, |event| is_call(event, "asked")).await;
            let asked = asked.iter().find(|event| event["human"]["approval"] == call["human"]["approval"]);
            let asked = asked.expect("the call that was asked about");
            assert_eq!(asked["result"]["status"], "parked", "{asked}");
            assert_eq!(call["human"]["reason"], "tool", "{call}");
            let status = if yes { "completed" } else { "refused" };
            assert_eq!(call["result"]["status"], status, "{call}");
            let vote =
                until(&gateway, "the vote", 1, |event| is_vote(event) && event["human"]["decision"] == said)
                    .await
                    .remove(0);
            assert_eq!(vote["parent"], asked["id"], "{vote}");
            assert_eq!((&vote["server"]["id"], &vote["tool"]["name"]), (&json!("mail"), &json!("send")));
            assert_eq!(vote["who"]["person"], call["human"]["approver"], "{vote}");
            assert_eq!(vote["who"]["proof"], "user", "{vote}");
            assert!(vote["human"]["waited_ms"].as_u64().is_none_or(|waited| waited < 60_000), "{vote}");
        }
    }
}

#[tokio::test]
async fn what_operators_decide_is_in_the_log_when_it_is_decided() {
    let mail = mail().await;
    let approvals = json!({"tools": ["mail/send"], "by": "operator", "needed": 2, "lifetime": "5s"});
    let gateway = with_store("normal", json!({"servers": {"mail": mail.config()}, "approvals": approvals}));
    let (client, folder) = (Modern::new(), gateway.folder());
    let waits = client.request(&gateway, "tools/call", sending("a")).await.json();
    let id = waits["error"]["data"]["approval"].as_str().unwrap().to_owned();
    for (by, count) in [("ursula", 1), ("bob", 2)] {
        done(folder, &["approval", "grant", &id, "--by", by]);
        let votes = until(&gateway, by, count, is_vote).await;
        let [vote] = &votes[count - 1..] else { panic!("{votes:?}") };
        assert_eq!((&vote["human"]["approval"], &vote["who"]["proof"]), (&json!(id), &json!("cli")));
        assert_eq!(vote["human"]["decision"], "approved", "{vote}");
        assert!(!vote.to_string().contains(by), "persons are pseudonyms: {vote}");
    }
    let votes = until(&gateway, "both", 2, is_vote).await;
    assert_ne!(votes[0]["who"]["person"], votes[1]["who"]["person"]);
    client.call(&gateway, "mail__send", json!({"to": "a"})).await;
    let call = until(&gateway, "the call", 1, |event| is_call(event, "approved")).await.remove(0);
    let both = call["human"]["approver"].as_str().unwrap();
    assert!(votes.iter().all(|vote| both.contains(vote["who"]["person"].as_str().unwrap())), "{call}");
    assert_eq!(until(&gateway, "both", 2, is_vote).await.len(), 2, "each is told once");

    client.request(&gateway, "tools/call", sending("nobody answers")).await;
    let expired = |event: &Value| is_vote(event) && event["human"]["decision"] == "expired";
    let expired = until(&gateway, "the end", 1, expired).await.remove(0);
    assert!(expired["human"].get("approver").is_none(), "{expired}");
}

#[tokio::test]
async fn definitions_that_are_held_back_and_approved_are_in_the_log() {
    let mut poisoned = tool("send");
    poisoned["description"] = json!("Sends.\u{e0049}\u{e0047}");
    let mail = Fake::modern().tools(vec![tool("draft"), poisoned]).start().await;
    let gateway = with_store("normal", json!({"servers": {"mail": mail.config()}}));
    Modern::new().result(&gateway, "tools/list", json!({})).await;
    let held = until(&gateway, "held", 1, |event| event["detail"]["what"] == "held back").await.remove(0);
    assert_eq!((&held["kind"], &held["tool"]["name"]), (&json!("catalogue"), &json!("send")));
    assert_eq!(held["decision"]["reasons"], json!(["hidden"]), "{held}");
    let first =
        until(&gateway, "trusted", 1, |event| event["detail"]["what"] == "trusted at first use").await;
    assert_eq!((&first[0]["detail"]["kind"], &first[0]["detail"]["count"]), (&json!("tool"), &json!("1")));
    for (verb, decision) in [("reject", "refused"), ("approve", "approved")] {
        done(gateway.folder(), &["definitions", verb, "mail/send", "--by", "ursula"]);
        let is = |event: &Value| event["kind"] == "approval" && event["human"]["decision"] == decision;
        let said = until(&gateway, verb, 1, is).await.remove(0);
        assert_eq!(said["tool"]["definition"], held["tool"]["definition"], "{said}");
        assert_eq!(said["detail"]["what"], "definition");
        assert!(said["human"]["approver"].is_string() && !said.to_string().contains("ursula"), "{said}");
    }
}

#[tokio::test]
async fn the_kill_switch_is_in_the_log_both_ways() {
    let mail = mail().await;
    let gateway = with_store("normal", json!({"servers": {"mail": mail.config()}}));
    for (target, shown, test) in
        [("tool:mail/send", Some("tool:mail/send"), false), ("principal:key:ci", None, true)]
    {
        for (verb, what) in [("set", "halted"), ("lift", "no longer halted")] {
            let mut args = vec!["halt", verb, target, "--by", "ursula"];
            if verb == "set" {
                args.extend(["--reason", "incident 17"]);
                args.extend(test.then_some("--test"));
            }
            done(gateway.folder(), &args);
            let is = |event: &Value| {
                event["kind"] == "gateway"
                    && event["detail"]["what"] == what
                    && shown.is_none_or(|shown| event["detail"]["target"] == shown)
                    && (shown.is_some()
                        || event["detail"]["target"].as_str().unwrap_or_default().starts_with("principal:"))
            };
            let event = until(&gateway, what, 1, is).await.remove(0);
            assert!(event["human"]["approver"].is_string(), "{event}");
            assert_eq!(event["detail"]["test"] == "true", test, "{event}");
            assert_eq!(event["input"].is_object(), verb == "set", "why is a digest: {event}");
            for word in ["ursula", "incident", "key:ci"] {
                assert!(!event.to_string().contains(word), "{word}: {event}");
            }
        }
    }
}

#[tokio::test]
async fn results_that_waited_and_what_was_read_before_are_in_the_log() {
    let crm = Fake::modern()
        .tools(vec![tool("look")])
        .on("tools/call", |_, answer| answer.result(text("the account is DE89370400440532013000")))
        .start()
        .await;
    let web = Fake::modern().tools(vec![tool("fetch")]).start().await;
    let mail = mail().await;
    let gateway = start(
        "normal",
        &json!({
            "servers": {"crm": crm.config(), "web": web.config(), "mail": mail.config()},
            "flow": {"private": ["crm"], "untrusted": ["web"], "external": ["mail"], "mode": "deny"},
            "guard": {"profile": "none", "rules": [
                {"name": "accounts", "entities": ["IBAN"], "direction": "to-client", "action": "hold"},
            ]},
        }),
    );
    let client = asking();
    let params = json!({"name": "crm__look", "arguments": {}});
    let question = client.result(&gateway, "tools/call", params.clone()).await;
    let mut back = params;
    back["requestState"] = question["requestState"].clone();
    back["inputResponses"] =
        json!({"portcullis-approve": {"action": "accept", "content": {"approve": true}}});
    client.result(&gateway, "tools/call", back).await;
    let asked = until(&gateway, "asked", 1, |event| is_call(event, "asked")).await.remove(0);
    let given = until(&gateway, "given", 1, |event| is_call(event, "approved")).await.remove(0);
    let finding = json!([{"rule": "IBAN", "action": "hold", "count": 1, "side": "output"}]);
    assert_eq!((&asked["guard"]["findings"], &asked["human"]["reason"]), (&finding, &json!("guard")));
    assert_eq!(
        (&given["result"]["status"], &given["human"]["approval"]),
        (&json!("completed"), &asked["human"]["approval"])
    );
    let vote = until(&gateway, "the vote", 1, is_vote).await.remove(0);
    assert_eq!((&vote["detail"]["what"], &vote["parent"]), (&json!("result"), &asked["id"]));
    client.call(&gateway, "web__fetch", json!({})).await;
    client.request(&gateway, "tools/call", sending("x")).await;
    let denied =
        until(&gateway, "denied", 1, |event| event["result"]["error"] == "flow_denied").await.remove(0);
    assert_eq!(denied["decision"]["taint"], json!(["private", "untrusted"]), "{denied}");
}
