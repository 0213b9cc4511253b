//! Names for values that a model handles and never sees.

use serde_json::{Value, json};

use super::guarded;
use crate::harness::fake::tool;
use crate::harness::idp::Idp;
use crate::harness::{Fake, Gateway, Legacy, Modern, Upstream};

const MAIL: &str = "ada@lovelace.org";

/// `find` finds an address; `send` and `log` take one.
async fn mailing() -> Upstream {
    Fake::modern()
        .tools(vec![tool("find"), tool("send"), tool("log")])
        .on("tools/call", |seen, answer| async move {
            let text = match seen.rpc["params"]["name"].as_str() {
                Some("find") => format!("{MAIL} is hers, {MAIL}; grace@hopper.org is not"),
                _ => "done".to_owned(),
            };
            answer.result(crate::harness::fake::text(&text)).await;
        })
        .start()
        .await
}

fn rules() -> Value {
    json!([
        {"name": "names", "entities": ["EMAIL"], "direction": "to-client", "action": "pseudonym"},
        {"name": "mailer", "entities": ["EMAIL"], "direction": "to-server", "tools": ["x/send"], "action": "restore"},
    ])
}

/// The pseudonyms in the answer of `find`.
fn names(result: &Value) -> Vec<String> {
    let text = crate::harness::client::text_of(result);
    assert!(!text.contains('@'), "{text}");
    let parts: Vec<_> = text.split('~').collect();
    let names: Vec<_> = parts.iter().filter(|part| part.starts_with("EMAIL.")).collect();
    names.into_iter().map(|name| format!("~{name}~")).collect()
}

#[tokio::test]
async fn the_real_value_reaches_the_tool_that_may_have_it_and_no_other() {
    let server = mailing().await;
    let gateway = guarded(&server.config(), &json!({"rules": rules()}));
    let client = Modern::at("/mcp/s/x");
    let names = names(&client.call(&gateway, "find", json!({})).await);
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names[0] == names[1] && names[0] != names[2], "one value, one name: {names:?}");
    client.call(&gateway, "send", json!({"to": names[0], "text": format!("Dear {}", names[0])})).await;
    let sent = server.nth("tools/call", 2).await.rpc["params"]["arguments"].clone();
    assert_eq!(sent, json!({"to": MAIL, "text": format!("Dear {MAIL}")}));
    client.call(&gateway, "log", json!({"to": names[0]})).await;
    let sent = server.nth("tools/call", 3).await.rpc["params"]["arguments"].clone();
    assert_eq!(sent, json!({"to": names[0]}), "a tool that may not have it gets the name");
    // Eras share the names of one principal.
    let session = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
    session.call(&gateway, "send", json!({"to": names[2]})).await;
    assert_eq!(server.nth("tools/call", 4).await.rpc["params"]["arguments"]["to"], "grace@hopper.org");
    // What nobody sealed is a text like any other.
    client.call(&gateway, "send", json!({"to": "~EMAIL.bm9ib2R5IHNlYWxlZCB0aGlz~"})).await;
    assert_eq!(
        server.nth("tools/call", 5).await.rpc["params"]["arguments"]["to"],
        "~EMAIL.bm9ib2R5IHNlYWxlZCB0aGlz~"
    );
}

#[tokio::test]
async fn a_pseudonym_is_its_holders_and_nobody_elses() {
    let (idp, server) = (Idp::start().await, mailing().await);
    let mut config = idp.config(&server.config());
    config["servers"] = json!({"x": server.config()});
    config["identity"]["issuers"][0]["audience"] = json!("all");
    config["guard"] = json!({"rules": rules()});
    let gateway = Gateway::start(&config);
    let client = Modern::at("/mcp/s/x");
    let call = async |who: &str, name: &str, arguments: Value| {
        let authorization = format!("Bearer {}", idp.token_with(who, &json!({"aud": "all"})));
        let headers = [("authorization", authorization.as_str())];
        let params = json!({"name": name, "arguments": arguments});
        let answer = client.request_with(&gateway, "tools/call", params, &headers).await;
        crate::harness::client::result_of(&answer)
    };
    let hers = names(&call("ada", "find", json!({})).await);
    let his = names(&call("bob", "find", json!({})).await);
    assert_ne!(hers[0], his[0], "nobody can tell that it is the same value");
    call("bob", "send", json!({"to": hers[0]})).await;
    assert_eq!(server.nth("tools/call", 3).await.rpc["params"]["arguments"]["to"], hers[0].as_str());
    call("ada", "send", json!({"to": hers[0]})).await;
    assert_eq!(server.nth("tools/call", 4).await.rpc["params"]["arguments"]["to"], MAIL);
}

/// With a key of the operator's a name opens after a restart and on other gateways; within one session's scope it does not
/// leave the session.
#[tokio::test]
async fn a_key_makes_names_last_and_a_scope_keeps_them() {
    let server = mailing().await;
    let key = "00".repeat(32);
    let guard = json!({"rules": rules(), "key": key, "pseudonyms": "session"});
    let (one, two) = (guarded(&server.config(), &guard), guarded(&server.config(), &guard));
    let client = Modern::at("/mcp/s/x");
    let first = names(&client.call(&one, "find", json!({})).await);
    assert_eq!(
        first,
        names(&client.call(&two, "find", json!({})).await),
        "without a session, the principal's"
    );
    let session = Legacy::open_at(&one, "/mcp/s/x", "2025-11-25").await;
    let own = names(&session.call(&one, "find", json!({})).await);
    assert_ne!(first, own);
    session.call(&one, "send", json!({"to": own[0]})).await;
    assert_eq!(server.nth("tools/call", 4).await.rpc["params"]["arguments"]["to"], MAIL);
    client.call(&one, "send", json!({"to": own[0]})).await;
    assert_eq!(server.nth("tools/call", 5).await.rpc["params"]["arguments"]["to"], own[0].as_str());
}
