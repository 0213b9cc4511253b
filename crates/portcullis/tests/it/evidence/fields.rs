//! The published dictionary against a running gateway: every field that it names is in some event, and no event has another.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::events;
use crate::harness::fake::{text, tool};
use crate::harness::idp::Idp;
use crate::harness::{Fake, Gateway, Legacy, Modern};

const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// The fields of an event, as the dictionary writes them: `who.person`, `guard.findings[].rule`.
fn fields(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        _ if path == "detail" => drop(into.insert(path.to_owned())),
        Value::Object(members) => {
            for (name, member) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                fields(member, &path, into);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for item in items {
                fields(item, &format!("{path}[]"), into);
            }
        }
        _ => drop(into.insert(path.to_owned())),
    }
}

/// What the document names, but for what the log itself adds.
fn documented() -> BTreeSet<String> {
    let document = include_str!("../../../../../docs/reference/audit.md");
    let (_, table) = document.split_once("| field |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let cells = table.lines().skip(2).filter_map(|row| row.split('|').nth(1));
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned);
    names.filter(|name| !name.starts_with("chain.")).collect()
}

/// Who somebody is, as a token says that was issued for a chain of actors.
async fn of_a_user() -> Vec<Value> {
    let (upstream, idp) = (Fake::modern().start().await, Idp::start().await);
    let mut config = idp.config(&upstream.config());
    config["identity"]["issuers"][0]["groups_claim"] = json!("groups");
    config["audit"] = json!({"mode": "strict", "node": "gw"});
    let gateway = Gateway::start(&config);
    let claims = json!({
        "groups": ["staff"], "acr": "high", "amr": ["pwd", "otp"], "act": {"iss": idp.issuer, "sub": "agent"},
    });
    let authorization = format!("Bearer {}", idp.token_with("bob", &claims));
    let headers = [
        ("authorization", &*authorization),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let params = json!({"name": "x__echo", "arguments": {"a": 1}});
    let answer = Modern::new().request_with(&gateway, "tools/call", params, &headers).await;
    assert_eq!(answer.status(), 200);
    let all = events(&gateway);
    let call = all.iter().find(|event| event["phase"] == "outcome").unwrap();
    assert_eq!(call["who"]["assurance"], json!(["high", "pwd", "otp"]));
    assert_eq!(call["result"]["upstream_status"], 200);
    all
}

/// What policies, the guard, people and servers say, of a tagged system, with payloads that are kept.
async fn of_a_system() -> Vec<Value> {
    let crm = Fake::modern()
        .tools(vec![tool("look"), tool("fail")])
        .on("tools/call", |seen, answer| async move {
            if seen.rpc["params"]["name"] == "fail" {
                let error = json!({"content": [{"type": "text", "text": "no"}], "isError": true});
                return answer.result(error).await;
            }
            answer.result(text("the account is DE89370400440532013000")).await;
        })
        .start()
        .await;
    let mail = Fake::modern().tools(vec![tool("send")]).start().await;
    let folder = tempfile::tempdir().unwrap();
    let policies = "@id(\"all\") permit (principal, action, resource);";
    std::fs::write(folder.path().join("all.cedar"), policies).unwrap();
    let system = json!({
        "servers": ["crm"], "purpose": "doc-7", "risk": "high", "model": "m-1", "deployer": "hr",
        "data": ["applications"], "legal_basis": "contract", "retention_days": 400,
    });
    let config = json!({
        "servers": {"crm": crm.config(), "mail": mail.config()},
        "policy": {"files": ["all.cedar"]},
        "flow": {"private": ["crm"], "untrusted": ["crm"], "external": ["mail"]},
        "guard": {"profile": "none", "rules": [
            {"name": "accounts", "policies": ["all"], "entities": ["IBAN"], "direction": "to-client", "action": "redact"},
        ]},
        "audit": {"mode": "strict", "node": "gw", "payloads": "encrypted", "systems": {"hiring": system}},
    });
    let gateway = Gateway::start_in(folder, &config, &[]);
    let client = Modern::new().with_meta(CAPABILITIES, json!({"elicitation": {}}));
    for name in ["crm__look", "crm__fail"] {
        client.request(&gateway, "tools/call", json!({"name": name, "arguments": {}})).await;
    }
    let mut params = json!({"name": "mail__send", "arguments": {"to": "a"}});
    let question = client.result(&gateway, "tools/call", params.clone()).await;
    // It takes people some time, of which the first milliseconds are told.
    tokio::time::sleep(Duration::from_millis(5)).await;
    params["requestState"] = question["requestState"].clone();
    params["inputResponses"] =
        json!({"portcullis-approve": {"action": "accept", "content": {"approve": true}}});
    client.request(&gateway, "tools/call", params).await;
    events(&gateway)
}

/// What an older client brings with it, and a server that answers with an error.
async fn of_a_session() -> Vec<Value> {
    let upstream = Fake::modern()
        .on("tools/call", |_, answer| async move {
            answer.error(200, json!({"code": -32602, "message": "no such thing"})).await;
        })
        .start()
        .await;
    let gateway = super::start("strict", &json!({"servers": {"x": upstream.config()}}));
    let session = Legacy::open(&gateway).await;
    session.request(&gateway, "tools/call", json!({"name": "x__echo", "arguments": {}})).await;
    gateway.post("/mcp", b"{").await;
    events(&gateway)
}

#[tokio::test]
async fn every_documented_field_is_in_some_event_and_no_event_has_another() {
    let all = [of_a_user().await, of_a_system().await, of_a_session().await].concat();
    let mut there = BTreeSet::new();
    for event in &all {
        fields(event, "", &mut there);
    }
    assert_eq!(there, documented());
}
