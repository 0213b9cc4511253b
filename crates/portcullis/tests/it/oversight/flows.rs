//! Private data, untrusted content and effects on the outside, and approvals of calls that would let them meet.

use serde_json::{Value, json};

use super::{done, error, run, said, start};
use crate::harness::client::text_of;
use crate::harness::fake::tool;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream, until};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// A server with these tools, which say what they were called with.
async fn server(modern: bool, names: &[&str]) -> Upstream {
    let fake = if modern { Fake::modern() } else { Fake::legacy() };
    fake.tools(names.iter().map(|name| tool(name)).collect()).start().await
}

/// Three servers: customers, the web, and mail.
struct World {
    gateway: Gateway,
    mail: Upstream,
    _others: [Upstream; 2],
}

impl World {
    async fn new(modern: bool, more: Value) -> Self {
        let crm = server(modern, &["customers", "orders", "eu_customers"]).await;
        let web = server(modern, &["fetch"]).await;
        let mail = server(modern, &["send", "draft"]).await;
        let mut config = json!({
            "servers": {"crm": crm.config(), "web": web.config(), "mail": mail.config()},
            "flow": {"private": ["crm"], "untrusted": ["web"], "external": ["mail/send"]},
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Self { gateway: start(config), mail, _others: [crm, web] }
    }

    fn sent(&self) -> usize {
        self.mail.count("tools/call")
    }
}

fn to(name: &str, address: &str) -> Value {
    json!({"name": name, "arguments": {"to": address}})
}

/// A modern client that can ask its user.
fn asking() -> Modern {
    Modern::new().with_meta(CAPABILITIES, json!({"elicitation": {}}))
}

#[tokio::test]
async fn all_three_do_not_meet_without_leave() {
    for modern in [true, false] {
        let world = World::new(modern, json!({})).await;
        let (gateway, client) = (&world.gateway, Modern::new());
        client.call(gateway, "crm__customers", json!({})).await;
        client.call(gateway, "mail__send", json!({"to": "a"})).await;
        assert_eq!(world.sent(), 1, "any two may meet");
        client.call(gateway, "web__fetch", json!({})).await;
        let answer = client.request(gateway, "tools/call", to("mail__send", "x@evil.example")).await.json();
        let (reason, message) = error(&answer);
        assert_eq!(reason, "approval_required", "{answer}");
        assert!(message.contains("private data (crm/customers)"), "{message}");
        assert!(message.contains("untrusted content (web/fetch)"), "{message}");
        client.call(gateway, "mail__draft", json!({"to": "a"})).await;
        assert_eq!(world.sent(), 2, "what stays inside goes on");
        gateway.logged("oversight: call needs an approval").await;
    }
}

#[tokio::test]
async fn a_new_session_has_not_forgotten() {
    let world = World::new(true, json!({})).await;
    let gateway = &world.gateway;
    Legacy::open(gateway).await.call(gateway, "crm__customers", json!({})).await;
    Modern::at("/mcp/s/web").call(gateway, "fetch", json!({})).await;
    for answer in [
        Legacy::open(gateway).await.request(gateway, "tools/call", to("mail__send", "x")).await,
        Modern::at("/mcp/s/mail").request(gateway, "tools/call", to("send", "x")).await,
    ] {
        assert_eq!(error(&answer.json()).0, "approval_required");
    }
    assert_eq!(world.sent(), 0);
    let own = World::new(true, json!({"flow": {
        "private": ["crm"], "untrusted": ["web"], "external": ["mail/send"], "per": "session", "mode": "deny",
    }}))
    .await;
    let (one, two) = (Legacy::open(&own.gateway).await, Legacy::open(&own.gateway).await);
    for session in [&one, &two] {
        session.call(&own.gateway, "crm__customers", json!({})).await;
    }
    one.call(&own.gateway, "web__fetch", json!({})).await;
    let denied = one.request(&own.gateway, "tools/call", to("mail__send", "x")).await.json();
    assert_eq!(error(&denied).0, "flow_denied");
    two.call(&own.gateway, "mail__send", json!({})).await;
}

#[tokio::test]
async fn what_a_result_says_of_itself_counts() {
    let crm = Fake::modern()
        .tools(vec![tool("look")])
        .on("tools/call", |_, answer| async move {
            let mut result = crate::harness::fake::text("secret");
            result["_meta"] = json!({"io.github.portcullis-mcp/labels": ["private", "untrusted"]});
            answer.result(result).await;
        })
        .start()
        .await;
    let mail = server(true, &["send"]).await;
    let gateway = start(json!({
        "servers": {"crm": crm.config(), "mail": mail.config()},
        "flow": {"private": ["mail/none"], "untrusted": ["mail/none"], "external": ["mail/send"], "mode": "deny"},
    }));
    Modern::new().call(&gateway, "mail__send", json!({})).await;
    Modern::new().call(&gateway, "crm__look", json!({})).await;
    let answer = Modern::new().request(&gateway, "tools/call", to("mail__send", "x")).await.json();
    assert_eq!(error(&answer).0, "flow_denied");
}

#[tokio::test]
async fn data_of_a_region_stays_there() {
    let world = World::new(true, json!({"flow": {
        "regions": {"eu": {"data": ["crm/eu_*"], "servers": ["web"], "principals": ["anonymous"]}}, "mode": "deny",
    }}))
    .await;
    let (gateway, client) = (&world.gateway, Modern::new());
    client.call(gateway, "mail__send", json!({})).await;
    client.call(gateway, "crm__eu_customers", json!({})).await;
    client.call(gateway, "web__fetch", json!({})).await;
    for name in ["mail__send", "mail__draft", "crm__orders"] {
        let answer = client.request(gateway, "tools/call", to(name, "x")).await.json();
        let (reason, message) = error(&answer);
        assert_eq!(reason, "flow_denied", "{name}");
        assert!(message.contains("outside of `eu`"), "{message}");
    }
    let others = World::new(
        true,
        json!({"flow": {
            "regions": {"eu": {"data": ["crm/eu_*"], "groups": ["staff-eu"]}},
        }}),
    )
    .await;
    let answer = client.request(&others.gateway, "tools/call", to("crm__eu_customers", "x")).await.json();
    assert_eq!(error(&answer).0, "flow_denied", "no approval makes the caller one of the region");
}

const HANDLE: &str = "io.portcullis/conversation";

#[tokio::test]
async fn a_conversation_without_sessions_is_known_by_its_handle() {
    let world = World::new(true, json!({"flow": {
        "private": ["crm"], "untrusted": ["web"], "external": ["mail/send"], "per": "session", "mode": "deny",
    }}))
    .await;
    let gateway = &world.gateway;
    let of = |handle: &Value| Modern::new().with_meta(HANDLE, handle.clone());
    let next = |result: &Value| {
        let handle = result["_meta"][HANDLE].clone();
        assert!(handle.is_string(), "{result}");
        handle
    };
    // Two begin before anything was read.
    let quiet = next(&Modern::new().call(gateway, "mail__draft", json!({})).await);
    let one = next(&Modern::new().call(gateway, "mail__draft", json!({})).await);
    let read = next(&of(&one).call(gateway, "crm__customers", json!({})).await);
    of(&read).call(gateway, "mail__send", json!({"to": "any two may meet"})).await;
    let both = next(&of(&read).call(gateway, "web__fetch", json!({})).await);
    let refused = async |client: Modern, what: &str| {
        let answer = client.request(gateway, "tools/call", to("mail__send", "x")).await.json();
        assert_eq!(error(&answer).0, "flow_denied", "{what}: {answer}");
    };
    refused(of(&both), "the conversation that has read both").await;
    refused(of(&read), "an older handle of it").await;
    refused(of(&one), "its oldest").await;
    refused(Modern::new(), "whoever brings none is the principal").await;
    refused(of(&json!("made up")), "one that does not open").await;
    let late = next(&Modern::new().call(gateway, "mail__draft", json!({})).await);
    refused(of(&late), "a conversation that begins afterwards begins with what was read").await;
    of(&quiet).call(gateway, "mail__send", json!({"to": "another conversation"})).await;
    for index in 1..=world.sent() {
        let seen = world.mail.nth("tools/call", index).await;
        assert!(!seen.rpc.to_string().contains(HANDLE), "it is nothing to servers: {:?}", seen.rpc);
    }
}

#[tokio::test]
async fn handles_are_given_where_they_mean_something_and_to_nobody_elses_use() {
    let world = World::new(true, json!({})).await;
    let result = Modern::new().call(&world.gateway, "crm__customers", json!({})).await;
    assert!(result.get("_meta").is_none_or(|meta| meta.get(HANDLE).is_none()), "{result}");
}

/// Servers whose prompts and resources can be completed and subscribed to.
async fn completing(name: &str) -> Upstream {
    let mut fake = Fake::modern()
        .list("prompts", vec![json!({"name": "ask"})])
        .list("resources", vec![json!({"uri": format!("{name}://a"), "name": "a"})]);
    fake.capabilities["completions"] = json!({});
    fake.capabilities["resources"] = json!({"subscribe": true});
    fake.on("completion/complete", |_, answer| {
        answer.result(json!({"completion": {"values": ["v"]}, "resultType": "complete"}))
    })
    .start()
    .await
}

#[tokio::test]
async fn completions_and_subscriptions_are_ways_out_too() {
    for mode in ["ask", "deny", "observe"] {
        let (crm, web, out) = (completing("crm").await, completing("web").await, completing("out").await);
        let gateway = start(json!({
            "servers": {"crm": crm.config(), "web": web.config(), "out": out.config()},
            "flow": {"private": ["crm"], "untrusted": ["web"], "external": ["out"], "mode": mode},
        }));
        let client = Modern::new();
        let complete = async |prompt: &str| {
            let params = json!({
                "ref": {"type": "ref/prompt", "name": prompt}, "argument": {"name": "a", "value": "what was read"},
            });
            client.request(&gateway, "completion/complete", params).await.json()
        };
        let subscribe = async || {
            let session = Legacy::open(&gateway).await;
            session.request(&gateway, "resources/subscribe", json!({"uri": "mcp+out+out://a"})).await.json()
        };
        assert!(complete("crm__ask").await.get("result").is_some());
        assert!(complete("out__ask").await.get("result").is_some(), "any two may meet");
        assert!(complete("web__ask").await.get("result").is_some());
        for answer in [complete("out__ask").await, subscribe().await] {
            if mode == "observe" {
                // The server has no subscriptions, and says so itself.
                assert_ne!(answer["error"]["data"]["reason"], "flow_denied", "{answer}");
            } else {
                assert_eq!(error(&answer).0, "flow_denied", "{mode}: {answer}");
            }
        }
        let sent = out.count("completion/complete");
        assert_eq!(sent, if mode == "observe" { 2 } else { 1 }, "{mode}");
        if mode == "observe" {
            gateway.logged("oversight: call would be held (observed)").await;
            gateway.logged("oversight: subscription would be refused (observed)").await;
        }
    }
}

#[tokio::test]
async fn what_a_region_would_keep_is_logged_where_it_is_only_observed() {
    let world = World::new(
        true,
        json!({"flow": {
            "regions": {"eu": {"data": ["crm/eu_*"], "groups": ["staff-eu"]}}, "mode": "observe",
        }}),
    )
    .await;
    Modern::new().call(&world.gateway, "crm__eu_customers", json!({})).await;
    world.gateway.logged("oversight: call would be refused (observed)").await;
}

/// What the user says.
fn said_yes(yes: bool) -> Value {
    json!({"action": "accept", "content": {"approve": yes}})
}

#[tokio::test]
async fn leave_is_for_these_arguments_and_for_once() {
    for modern in [true, false] {
        let world = World::new(modern, json!({"approvals": {"tools": ["mail/send"]}})).await;
        let (gateway, client) = (&world.gateway, asking());
        let question = client.result(gateway, "tools/call", to("mail__send", "a\u{200b}b")).await;
        assert_eq!(question["resultType"], "input_required", "{question}");
        let asked = &question["inputRequests"]["portcullis-approve"];
        let message = asked["params"]["message"].as_str().unwrap();
        assert!(message.contains("`send` of server `mail`") && message.contains("a<U+200B>b"), "{message}");
        let state = question["requestState"].clone();
        let back = |address: &str, answer: Value| {
            let mut params = to("mail__send", address);
            params["requestState"] = state.clone();
            params["inputResponses"] = json!({"portcullis-approve": answer});
            params
        };
        // For other arguments, and without the state, it is worth nothing.
        let other = client.request(gateway, "tools/call", back("c", said_yes(true))).await.json();
        assert!(other.get("error").is_some(), "{other}");
        let mut bare = back("a\u{200b}b", said_yes(true));
        bare.as_object_mut().unwrap().remove("requestState");
        assert_eq!(client.result(gateway, "tools/call", bare).await["resultType"], "input_required");
        assert_eq!(world.sent(), 0);
        let sent = client.result(gateway, "tools/call", back("a\u{200b}b", said_yes(true))).await;
        assert_eq!(text_of(&sent), json!({"to": "a\u{200b}b"}).to_string());
        let seen = world.mail.nth("tools/call", 1).await;
        assert!(seen.rpc["params"].get("requestState").is_none(), "{:?}", seen.rpc);
        assert!(seen.rpc["params"].get("inputResponses").is_none(), "{:?}", seen.rpc);
        let replayed = client.result(gateway, "tools/call", back("a\u{200b}b", said_yes(true))).await;
        assert_eq!(replayed["resultType"], "input_required", "it is used up: {replayed}");
        let replayed = client.result(gateway, "tools/call", back("a\u{200b}b", said_yes(true))).await;
        assert_eq!(replayed["resultType"], "input_required", "an old answer is none to a new question");
        assert_eq!(world.sent(), 1);
        gateway.logged("oversight: call approved").await;
    }
}

#[tokio::test]
async fn nothing_but_a_clear_yes_is_one() {
    let world = World::new(true, json!({"approvals": {"tools": ["mail/send"]}})).await;
    let (gateway, client) = (&world.gateway, asking());
    for answer in [
        said_yes(false),
        json!({"action": "decline"}),
        json!({"action": "cancel"}),
        json!({"action": "accept"}),
        json!({"action": "accept", "content": {"approve": "true"}}),
        json!({"action": "decline", "content": {"approve": true}}),
    ] {
        let question = client.result(gateway, "tools/call", to("mail__send", "a")).await;
        let mut params = to("mail__send", "a");
        params["requestState"] = question["requestState"].clone();
        params["inputResponses"] = json!({"portcullis-approve": answer});
        let refused = client.request(gateway, "tools/call", params).await.json();
        assert_eq!(error(&refused).0, "approval_denied", "{answer}: {refused}");
    }
    assert_eq!(world.sent(), 0);
}

#[tokio::test]
async fn sessions_are_asked_by_elicitation() {
    for (modern, yes) in [(true, true), (false, true), (true, false), (false, false)] {
        let world = World::new(modern, json!({"approvals": {"tools": ["mail/send"]}})).await;
        let gateway = &world.gateway;
        let session = Legacy::open_with(gateway, "/mcp", "2025-11-25", json!({"elicitation": {}})).await;
        let call =
            json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": to("mail__send", "a")});
        let (_, mut events) = session.stream(gateway, &call).await;
        let question = events.message().await.unwrap();
        assert_eq!(question["method"], "elicitation/create", "{question}");
        assert!(question["params"]["message"].as_str().unwrap().contains(r#"{"to":"a"}"#), "{question}");
        assert_eq!(world.sent(), 0);
        let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": said_yes(yes)});
        assert_eq!(session.send(gateway, &answer).await.status(), 202);
        let last = events.message().await.unwrap();
        if yes {
            assert_eq!(text_of(&last["result"]), r#"{"to":"a"}"#);
        } else {
            assert_eq!(error(&last).0, "approval_denied", "{last}");
        }
        assert_eq!(world.sent(), usize::from(yes));
    }
}

#[tokio::test]
async fn only_somebody_else_can_grant_what_an_operator_decides() {
    let world = World::new(
        true,
        json!({
            "approvals": {"tools": ["mail/send"], "by": "operator"},
            "vault": {"key": "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"},
        }),
    )
    .await;
    let (gateway, client) = (&world.gateway, asking());
    let folder = gateway.folder();
    let refused = client.request(gateway, "tools/call", to("mail__send", "a")).await.json();
    assert_eq!(error(&refused).0, "approval_required", "the user is not asked: {refused}");
    let id = refused["error"]["data"]["approval"].as_str().unwrap().to_owned();
    let mut own = to("mail__send", "a");
    own["inputResponses"] = json!({"portcullis-approve": said_yes(true)});
    assert_eq!(error(&client.request(gateway, "tools/call", own).await.json()).0, "approval_required");
    let list = done(folder, &["approval", "list"]);
    assert!(list.contains(r#"with {"to":"a"}"#) && list.contains("for anonymous"), "{list}");
    assert_eq!(run(folder, &["approval", "grant", "0000"]).status.code(), Some(2));
    let granted = done(folder, &["approval", "grant", &id[..16]]);
    assert_eq!(granted, "granted: mail/send with {\"to\":\"a\"}\n");
    let again = run(folder, &["approval", "grant", &id]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    let other = client.request(gateway, "tools/call", to("mail__send", "b")).await.json();
    assert_eq!(error(&other).0, "approval_required");
    until("the granted call", async || {
        let answer = client.request(gateway, "tools/call", to("mail__send", "a")).await.json();
        answer.get("result").is_some()
    })
    .await;
    let used = client.request(gateway, "tools/call", to("mail__send", "a")).await.json();
    assert_eq!(error(&used).0, "approval_required", "it is used up");
    assert_eq!(world.sent(), 1);
    let id = used["error"]["data"]["approval"].as_str().unwrap();
    done(folder, &["approval", "deny", id]);
    let denied = client.request(gateway, "tools/call", to("mail__send", "a")).await.json();
    assert_eq!(error(&denied).0, "approval_denied");
}

#[tokio::test]
async fn somebody_outside_may_decide() {
    let webhook = Upstream::start(|seen, answer| async move {
        let approved = match seen.rpc["arguments"]["to"].as_str() {
            Some("a") => json!({"approved": true, "by": "ada"}),
            Some("b") => json!({"approved": false, "by": "ada"}),
            _ => json!({"approved": "yes"}),
        };
        answer.json(200, &approved).await;
    })
    .await;
    let world = World::new(true, json!({"approvals": {
        "tools": ["mail/send"], "by": "operator", "webhook": {"url": webhook.url, "token": {"env": "A_SECRET"}},
    }}))
    .await;
    let (gateway, client) = (&world.gateway, Modern::new());
    client.call(gateway, "mail__send", json!({"to": "a"})).await;
    for (address, reason) in
        [("b", "approval_denied"), ("c", "approval_required"), ("c", "approval_required")]
    {
        let answer = client.request(gateway, "tools/call", to("mail__send", address)).await.json();
        assert_eq!(error(&answer).0, reason, "{address}: {answer}");
    }
    assert_eq!(world.sent(), 1);
    let seen = webhook.seen();
    assert_eq!(seen.len(), 3, "each is asked about once");
    assert_eq!((&seen[0].rpc["server"], &seen[0].rpc["name"]), (&json!("mail"), &json!("send")));
    let sent = seen[0].header("authorization").unwrap();
    assert_eq!(sent, "Bearer that every gateway of these tests has in its environment");
}

#[tokio::test]
async fn a_server_that_asks_in_the_middle_is_not_a_second_call() {
    let mail = Fake::modern()
        .tools(vec![tool("send")])
        .on("tools/call", |seen, answer| async move {
            if seen.rpc["params"].get("requestState").is_some() {
                return answer.result(crate::harness::fake::text("sent")).await;
            }
            let ask = json!({"method": "elicitation/create", "params": {
                "mode": "form", "message": "Sure?", "requestedSchema": {"type": "object", "properties": {}},
            }});
            let result = json!({
                "resultType": "input_required", "inputRequests": {"sure": ask}, "requestState": "mine",
            });
            answer.result(result).await;
        })
        .start()
        .await;
    let gateway = start(json!({
        "servers": {"mail": mail.config()}, "approvals": {"tools": ["mail/send"]},
    }));
    let session = Legacy::open_with(&gateway, "/mcp", "2025-11-25", json!({"elicitation": {}})).await;
    let call = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": to("mail__send", "a")});
    let (_, mut events) = session.stream(&gateway, &call).await;
    for expected in ["May `send`", "Sure?"] {
        let question = events.message().await.unwrap();
        let message = question["params"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{question}");
        let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": said_yes(true)});
        session.send(&gateway, &answer).await;
    }
    assert_eq!(text_of(&events.message().await.unwrap()["result"]), "sent");

    let client = asking();
    let mut params = to("mail__send", "a");
    for (key, expected) in [("portcullis-approve", "May `send`"), ("sure", "Sure?")] {
        let question = client.result(&gateway, "tools/call", params.clone()).await;
        let message = question["inputRequests"][key]["params"]["message"].as_str();
        assert!(message.is_some_and(|message| message.contains(expected)), "{question}");
        params["requestState"] = question["requestState"].clone();
        params["inputResponses"] = json!({key: said_yes(true)});
    }
    assert_eq!(text_of(&client.result(&gateway, "tools/call", params).await), "sent");
}
