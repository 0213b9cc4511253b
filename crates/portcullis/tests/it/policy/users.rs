//! Every method of MCP in both eras, for whoever shows nothing, a user of the wrong group, and a user of the right one. All
//! three ask one gateway, which serves the wrong user something else.

use serde_json::{Value, json};

use self::Told::{Nothing, Refused, Something};
use super::{something, write};
use crate::harness::client::initialize;
use crate::harness::fake::{text, tool};
use crate::harness::gateway::JSON;
use crate::harness::http::Response;
use crate::harness::idp::{Idp, PUBLIC};
use crate::harness::teller::Kind;
use crate::harness::{Gateway, Legacy, Modern, Teller, Upstream};

const POLICIES: &str = r#"
    permit (principal in Group::"right", action, resource in Server::"open");
    permit (principal in Group::"right", action, resource in Server::"told");
    permit (principal in Group::"wrong", action, resource in Server::"shut");
"#;
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const TASKS: &str = "io.modelcontextprotocol/tasks";
const SKILLS: &str = "io.modelcontextprotocol/skills";

/// What an answer tells whoever asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    /// That there is no such thing.
    Refused,
    /// Nothing of the servers that are for the other.
    Nothing,
    /// Something of them.
    Something,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Era {
    Modern,
    Legacy,
}

/// A request, the eras that have it, and what it tells the user of the wrong and the one of the right group.
struct Row {
    method: &'static str,
    path: &'static str,
    params: Value,
    eras: &'static [Era],
    told: [Told; 2],
}

const BOTH: &[Era] = &[Era::Modern, Era::Legacy];
const MODERN: &[Era] = &[Era::Modern];
const LEGACY: &[Era] = &[Era::Legacy];

fn rows(working: &str, done: &str) -> Vec<Row> {
    let uri = "mcp+open+db://a";
    let at = |path, method, params, eras, told| Row { method, path, params, eras, told };
    let row = |method, params, eras, told| at("/mcp", method, params, eras, told);
    let own = |method, params, told| at("/mcp/s/open", method, params, BOTH, told);
    let completes = |of: Value| json!({"ref": of, "argument": {"name": "a", "value": "v"}});
    let skill = json!({"uri": "skill://a/SKILL.md"});
    vec![
        row("initialize", json!({}), LEGACY, [Nothing, Something]),
        row("server/discover", json!({}), MODERN, [Nothing, Something]),
        row("ping", json!({}), LEGACY, [Nothing, Nothing]),
        row("logging/setLevel", json!({"level": "error"}), LEGACY, [Nothing, Nothing]),
        row("tools/list", json!({}), BOTH, [Nothing, Something]),
        row("tools/call", json!({"name": "open__change", "arguments": {}}), BOTH, [Refused, Something]),
        row("prompts/list", json!({}), BOTH, [Nothing, Something]),
        row("prompts/get", json!({"name": "open__ask"}), BOTH, [Refused, Something]),
        row("resources/list", json!({}), BOTH, [Nothing, Something]),
        row("resources/templates/list", json!({}), BOTH, [Nothing, Something]),
        row("resources/read", json!({"uri": uri}), BOTH, [Refused, Something]),
        row(
            "completion/complete",
            completes(json!({"type": "ref/prompt", "name": "open__ask"})),
            BOTH,
            [Refused, Something],
        ),
        row(
            "completion/complete",
            completes(json!({"type": "ref/resource", "uri": uri})),
            BOTH,
            [Refused, Something],
        ),
        row(
            "subscriptions/listen",
            json!({"notifications": {"resourceSubscriptions": ["mcp+told+db://a"]}}),
            MODERN,
            [Nothing, Something],
        ),
        row("resources/subscribe", json!({"uri": "mcp+told+db://a"}), LEGACY, [Refused, Nothing]),
        // What nobody told is nothing to be untold: it is answered the same for everybody.
        row("resources/unsubscribe", json!({"uri": "mcp+told+db://a"}), LEGACY, [Nothing, Nothing]),
        // Tasks are there for whoever has a server with them.
        row("tasks/list", json!({}), LEGACY, [Refused, Something]),
        row("tasks/get", json!({"taskId": done}), BOTH, [Refused, Something]),
        row("tasks/result", json!({"taskId": done}), LEGACY, [Refused, Something]),
        row("tasks/update", json!({"taskId": working, "inputResponses": {}}), MODERN, [Refused, Nothing]),
        row("tasks/cancel", json!({"taskId": working}), MODERN, [Refused, Nothing]),
        row("tasks/cancel", json!({"taskId": working}), LEGACY, [Refused, Something]),
        // On a server's own endpoint, which is not there for the wrong user.
        own("tools/list", json!({}), [Refused, Something]),
        own("skills/list", json!({}), [Refused, Something]),
        own("skills/get", skill.clone(), [Refused, Something]),
        own("resources/directory/read", skill, [Refused, Something]),
    ]
}

/// `open`: whatever it answers has its name in it.
async fn open() -> Upstream {
    let mut fake = something(true).tools(vec![tool("change"), tool("working"), tool("done"), tool("opener")]);
    fake.capabilities["extensions"] = json!({TASKS: {}, SKILLS: {"directoryRead": true}});
    fake.instructions = Some("open".to_owned());
    for method in ["skills/list", "skills/get", "resources/directory/read"] {
        fake = fake.on(method, |_, answer| {
            answer
                .result(json!({"of": "open", "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}))
        });
    }
    let task = |name: &str| {
        json!({
            "taskId": name, "status": if name == "done" { "completed" } else { "working" }, "statusMessage": "open",
            "createdAt": "2026-11-28T10:00:00Z", "lastUpdatedAt": "2026-11-28T10:00:00Z", "ttlMs": 60_000,
        })
    };
    fake.on("tools/call", move |seen, answer| {
        let name = seen.rpc["params"]["name"].as_str().unwrap_or_default();
        let mut result = if name == "change" { text("open") } else { task(name) };
        if name != "change" {
            result["status"] = json!("working");
            result["resultType"] = json!("task");
        }
        answer.result(result)
    })
    .on("tasks/get", move |seen, answer| {
        let name = seen.rpc["params"]["taskId"].as_str().unwrap_or_default();
        let mut result = task(name);
        result["resultType"] = json!("complete");
        if name == "done" {
            result["result"] = text("open");
        }
        answer.result(result)
    })
    .on("tasks/update", |_, answer| answer.result(json!({"resultType": "complete"})))
    .on("tasks/cancel", |_, answer| answer.result(json!({"resultType": "complete"})))
    .on("prompts/get", |_, answer| {
        answer.result(json!({"description": "open", "messages": [], "resultType": "complete"}))
    })
    .on("completion/complete", |_, answer| {
        answer.result(json!({"completion": {"values": ["open"]}, "resultType": "complete"}))
    })
    .start()
    .await
}

fn told(answer: &Value) -> Told {
    let told = answer["result"].to_string() + &answer["params"].to_string();
    let something = told.contains("open") || told.contains("told");
    match answer["error"]["code"].as_i64() {
        Some(-32602 | -32002 | -32601) => Refused,
        Some(-32600) if answer["error"]["data"]["reason"] == "unknown_path" => Refused,
        Some(_) => panic!("another error: {answer}"),
        None if something => Something,
        None => Nothing,
    }
}

/// Somebody, as they are known here.
struct User<'a> {
    gateway: &'a Gateway,
    authorization: String,
}

impl<'a> User<'a> {
    fn new(gateway: &'a Gateway, idp: &Idp, name: &str) -> Self {
        let token = idp.token_with(name, &json!({"aud": "all", "groups": [name]}));
        Self { gateway, authorization: format!("Bearer {token}") }
    }

    fn client(path: &str) -> Modern {
        Modern::at(path).with_meta(CAPABILITIES, json!({"extensions": {TASKS: {}}}))
    }

    /// A request of a modern client; of a stream, its first message.
    async fn modern(&self, row: &Row) -> Value {
        let client = Self::client(row.path);
        let mut connection = self.gateway.connect().await;
        let headers = [("authorization", self.authorization.as_str())];
        client.write(&mut connection, &client.body(row.method, row.params.clone()), &headers).await;
        let head = connection.head().await.expect("an answer");
        assert!([200, 400, 404].contains(&head.status), "{} {head:?}", row.method);
        if head.is_stream() {
            return connection.into_events(&head).message().await.expect("a message");
        }
        let body = connection.body(&head).await;
        serde_json::from_slice(&body).expect("JSON")
    }

    /// The same in a session of an older client. Where that cannot be opened, the answer that says so.
    async fn legacy(&self, row: &Row) -> Value {
        let shown = Some(self.authorization.as_str());
        if row.path != "/mcp" || row.method == "initialize" {
            let hello = initialize("2025-11-25").to_string();
            let mut headers = JSON.to_vec();
            headers.push(("authorization", &self.authorization));
            let opened = self.gateway.send("POST", row.path, &headers, hello.as_bytes()).await;
            if opened.status() != 200 || row.method == "initialize" {
                return opened.json();
            }
        }
        let session = Legacy::open_as(self.gateway, row.path, "2025-11-25", json!({}), shown).await;
        session.request(self.gateway, row.method, row.params.clone()).await.json()
    }

    async fn task(&self, name: &str) -> String {
        let params = json!({"name": format!("open__{name}"), "arguments": {}});
        let headers = [("authorization", self.authorization.as_str())];
        let made =
            Self::client("/mcp").request_with(self.gateway, "tools/call", params, &headers).await.json();
        made["result"]["taskId"].as_str().unwrap_or_else(|| panic!("no task: {made}")).to_owned()
    }
}

/// What whoever shows nothing is told: where to log in, and of nothing else, whether there is a session or not.
async fn nobody(gateway: &Gateway, row: &Row, era: Era, session: &Legacy) -> Response {
    let client = Modern::at(row.path);
    if era == Era::Modern {
        return client.request(gateway, row.method, row.params.clone()).await;
    }
    let mut headers = JSON.to_vec();
    headers.push(("mcp-session-id", &session.session));
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": row.method, "params": row.params});
    gateway.send("POST", row.path, &headers, message.to_string().as_bytes()).await
}

/// Requests that a gateway makes, and nobody makes of it.
const OF_SERVERS: &[&str] = &["sampling/createMessage", "elicitation/create", "roots/list"];

#[tokio::test]
async fn every_method_serves_the_user_who_may_and_no_other() {
    let (idp, open, shut) = (Idp::start().await, open().await, something(true).start().await);
    let teller = Teller::start(Kind::HttpModern).await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), POLICIES);
    let mut config = idp.config(&json!({}));
    config["servers"] = json!({"open": open.config(), "told": teller.config(), "shut": shut.config()});
    config["policy"] = json!({"files": ["policies"]});
    config["identity"]["issuers"][0]["audience"] = json!("all");
    let gateway = Gateway::start_in(folder, &config, &[]);
    let [wrong, right] = ["wrong", "right"].map(|name| User::new(&gateway, &idp, name));
    let session =
        Legacy::open_as(&gateway, "/mcp", "2025-11-25", json!({}), Some(right.authorization.as_str())).await;

    let rows = rows(&right.task("working").await, &right.task("done").await);
    // The gateway listens for the right user's session in its own time.
    open.nth("subscriptions/listen", 1).await;
    for method in portcullis_mcp::method::Method::NAMES {
        let has_row = rows.iter().any(|row| row.method == *method);
        let is_asked = !method.starts_with("notifications/") && !OF_SERVERS.contains(method);
        assert_eq!(has_row, is_asked, "{method}");
    }
    let asked = |server: &Upstream| {
        let of_lists = |method: &str| method.ends_with("/list") || method == "server/discover";
        let seen = server.seen();
        let calls = seen.iter().filter(|seen| !of_lists(seen.method()));
        calls.map(|seen| seen.method().to_owned()).collect::<Vec<_>>()
    };
    for row in &rows {
        for era in row.eras {
            let what = format!("{} at {} in {era:?}", row.method, row.path);
            let before = asked(&open);
            let answer = nobody(&gateway, row, *era, &session).await;
            assert_eq!(answer.status(), 401, "{what}");
            assert!(answer.header("www-authenticate").unwrap().contains(PUBLIC), "{what}");
            assert!(!answer.text().contains("open__"), "{what}: {answer:?}");
            let mut found = Vec::new();
            for user in [&wrong, &right] {
                let answer = match era {
                    Era::Modern => user.modern(row).await,
                    Era::Legacy => user.legacy(row).await,
                };
                found.push((told(&answer), answer));
                if found.len() == 1 {
                    assert_eq!(asked(&open), before, "{what}: the server hears nothing of the wrong user");
                }
            }
            let told: Vec<_> = found.iter().map(|(told, _)| *told).collect();
            assert_eq!(told, row.told, "{what}: {found:?}");
        }
    }
    // And the wrong user is one who is served, by another server.
    let list = Row { method: "tools/list", path: "/mcp", params: json!({}), eras: BOTH, told: [Nothing; 2] };
    assert!(wrong.modern(&list).await.to_string().contains("shut__look"));
}
