//! Two users with certificates: what was given to one is worth nothing to the other, and behind one credential of the
//! gateway each hears only what is theirs.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use rustls::ClientConfig;
use serde_json::{Value, json};

use super::{ASKING_CHILD, CALL, CAPABILITIES, accepted, asking_over_http, everything, form, got};
use crate::harness::client::initialize;
use crate::harness::fake::{text, tool};
use crate::harness::gateway::JSON;
use crate::harness::pki::Authority;
use crate::harness::secure::{Answered, Client, Offer};
use crate::harness::{Child, Fake, Gateway, Modern, within};

const TASKS: &str = "io.modelcontextprotocol/tasks";

/// A gateway that knows its callers by their certificates.
struct Door {
    gateway: Gateway,
    ca: Authority,
    clients: Authority,
}

/// A caller.
struct Person {
    config: ClientConfig,
    address: std::net::SocketAddr,
}

fn door(servers: &Value) -> Door {
    let (ca, clients) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let mut tls = ca.issue("localhost").write(folder.path(), "own");
    tls["client_ca"] = json!(clients.write(folder.path(), "clients.pem"));
    let config = json!({"tls": tls, "identity": {"anonymous": "deny"}, "servers": servers});
    Door { gateway: Gateway::start_in(folder, &config, &[]), ca, clients }
}

impl Door {
    fn person(&self, name: &str) -> Person {
        let config = self.ca.client(Some(&self.clients.issue(name)));
        Person { config, address: self.gateway.address }
    }
}

impl Person {
    async fn connect(&self) -> Client {
        Box::pin(Client::tls(self.address, self.config.clone(), Offer::H1)).await.unwrap()
    }

    /// A request of a modern client that can be asked everything and knows tasks.
    async fn ask(&self, path: &str, method: &str, params: Value) -> Value {
        let mut declared = everything();
        declared["extensions"] = json!({TASKS: {}});
        let body = Modern::at(path).with_meta(CAPABILITIES, declared).body(method, params);
        let headers = Modern::headers(&body);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.connect().await.send("POST", path, &headers, body.to_string()).await.unwrap().body
    }

    async fn result(&self, path: &str, method: &str, params: Value) -> Value {
        let answer = self.ask(path, method, params).await;
        answer.get("result").unwrap_or_else(|| panic!("no result: {answer}")).clone()
    }

    /// Opens a session of a client that can be asked everything.
    async fn session(&self) -> String {
        let mut hello = initialize("2025-11-25");
        hello["params"]["capabilities"] = everything();
        let answered = self.connect().await.send("POST", "/mcp/s/x", &JSON, hello.to_string()).await.unwrap();
        answered.session.unwrap_or_else(|| panic!("no session: {:?}", answered.body))
    }

    async fn in_session(&self, session: &str, message: &Value) -> Answered {
        let headers = [JSON[0], JSON[1], ("mcp-session-id", session)];
        self.connect().await.send("POST", "/mcp/s/x", &headers, message.to_string()).await.unwrap()
    }
}

/// The next message of a stream that has this member.
async fn heard(stream: &mut Incoming, member: &str) -> Value {
    let mut text = String::new();
    within(member, async {
        loop {
            let frame = stream.frame().await.expect("more of the stream").unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            let found = text
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data: ")?).ok());
            if let Some(message) = found.into_iter().find(|message| message.get(member).is_some()) {
                return message;
            }
        }
    })
    .await
}

fn again(round: &Value, arguments: &Value, name: &str) -> Value {
    let key = round["inputRequests"]
        .as_object()
        .unwrap_or_else(|| panic!("no round: {round}"))
        .keys()
        .next()
        .unwrap();
    json!({
        "name": "echo", "arguments": arguments, "requestState": round["requestState"],
        "inputResponses": {key: accepted(name)},
    })
}

fn is_refused(answer: &Value) {
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    assert!(answer.get("result").is_none(), "{answer}");
}

#[tokio::test]
async fn a_request_state_is_worth_nothing_to_anybody_else() {
    let old = asking_over_http(vec![form("who?")]).await;
    let new = Fake::modern()
        .on(CALL, |seen, answer| {
            let params = &seen.rpc["params"];
            let result = match params["requestState"].as_str() {
                Some("kept") => text(&json!([params["inputResponses"]["q"]]).to_string()),
                _ => json!({"resultType": "input_required", "requestState": "kept", "inputRequests": {"q": form("who?")}}),
            };
            answer.result(result)
        })
        .start()
        .await;
    let door = door(&json!({"old": old.config(), "new": new.config()}));
    let (ann, bob) = (door.person("ann"), door.person("bob"));
    for (path, server) in [("/mcp/s/old", &old), ("/mcp/s/new", &new)] {
        let arguments = json!({"n": 1});
        let round = ann.result(path, CALL, json!({"name": "echo", "arguments": arguments})).await;
        let calls = server.count(CALL);
        is_refused(&bob.ask(path, CALL, again(&round, &arguments, "Mallory")).await);
        assert_eq!(server.count(CALL), calls, "the server hears nothing of it");
        // And it has cost its owner nothing.
        let result = ann.result(path, CALL, again(&round, &arguments, "Ann")).await;
        assert_eq!(got(&result), json!([accepted("Ann")]), "{path}");
    }
}

#[tokio::test]
async fn a_cursor_is_worth_nothing_to_anybody_else() {
    let tools = (0..1500).map(|number| tool(&format!("t{number}"))).collect();
    let server = Fake::modern().tools(tools).start().await;
    let door = door(&json!({"x": server.config()}));
    let (ann, bob) = (door.person("ann"), door.person("bob"));
    for path in ["/mcp", "/mcp/s/x"] {
        let page = ann.result(path, "tools/list", json!({})).await;
        let params = json!({"cursor": page["nextCursor"]});
        is_refused(&bob.ask(path, "tools/list", params.clone()).await);
        assert_eq!(ann.result(path, "tools/list", params).await["tools"].as_array().unwrap().len(), 500);
    }
}

#[tokio::test]
async fn a_task_is_unknown_to_anybody_else() {
    let task = json!({
        "taskId": "own", "status": "working", "createdAt": "2026-11-28T10:00:00Z",
        "lastUpdatedAt": "2026-11-28T10:00:00Z", "ttlMs": 60_000, "pollIntervalMs": 50,
    });
    let with = |kind: &str| {
        let mut task = task.clone();
        task["resultType"] = json!(kind);
        task
    };
    let (made, seen) = (with("task"), with("complete"));
    let mut fake = Fake::modern();
    fake.capabilities["extensions"] = json!({TASKS: {}});
    let server = fake
        .on(CALL, move |_, answer| answer.result(made.clone()))
        .on("tasks/get", move |_, answer| answer.result(seen.clone()))
        .start()
        .await;
    let door = door(&json!({"x": server.config()}));
    let (ann, bob) = (door.person("ann"), door.person("bob"));
    let made = ann.result("/mcp/s/x", CALL, json!({"name": "echo", "arguments": {}})).await;
    let named = json!({"taskId": made["taskId"], "inputResponses": {}});
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        is_refused(&bob.ask("/mcp/s/x", method, named.clone()).await);
    }
    let of_bob = bob.session().await;
    for method in ["tasks/get", "tasks/result", "tasks/cancel"] {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": named});
        is_refused(&bob.in_session(&of_bob, &message).await.body);
    }
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tasks/list"});
    assert_eq!(bob.in_session(&of_bob, &list).await.body["result"]["tasks"], json!([]));
    let of_ann = ann.session().await;
    assert_eq!(ann.in_session(&of_ann, &list).await.body["result"]["tasks"][0]["taskId"], made["taskId"]);
    assert_eq!(
        ann.result("/mcp/s/x", "tasks/get", json!({"taskId": made["taskId"]})).await["status"],
        "working"
    );
    assert_eq!(server.count("tasks/cancel") + server.count("tasks/update"), 0);
}

#[tokio::test]
async fn a_question_is_answered_by_the_user_who_is_asked() {
    let server = asking_over_http(vec![form("who?")]).await;
    let door = door(&json!({"x": server.config()}));
    let (ann, bob) = (door.person("ann"), door.person("bob"));
    let session = ann.session().await;
    let call = super::call(1, &json!({}));
    let headers = [JSON[0], JSON[1], ("mcp-session-id", session.as_str())];
    let mut connection = ann.connect().await;
    let mut stream =
        connection.open("POST", "/mcp/s/x", &headers, call.to_string()).await.unwrap().into_body();
    let question = heard(&mut stream, "method").await;
    let answer = |name: &str| json!({"jsonrpc": "2.0", "id": question["id"], "result": accepted(name)});
    // Knowing the session and the question is not being the one who is asked.
    assert_eq!(bob.in_session(&session, &answer("Mallory")).await.status, 404);
    let of_bob = bob.session().await;
    bob.in_session(&of_bob, &answer("Mallory")).await;
    assert_eq!(ann.in_session(&session, &answer("Ann")).await.status, 202);
    assert_eq!(got(&heard(&mut stream, "result").await["result"]), json!([accepted("Ann")]));
}

/// Both call at once, again and again, and are asked on the way; each must hear what is theirs.
async fn both_call(door: &Door, arguments: fn(&str) -> Value) {
    let calls = async |name: &str| {
        let (person, arguments) = (door.person(name), arguments(name));
        for _ in 0..5 {
            let params = json!({"name": "echo", "arguments": arguments});
            let round = person.result("/mcp/s/x", CALL, params).await;
            let asked = round["inputRequests"].as_object().and_then(|asked| asked.values().next());
            let message =
                &asked.unwrap_or_else(|| panic!("{name} is not asked: {round}"))["params"]["message"];
            assert!(*message == "who?" || *message == name, "{name} is asked {message}");
            let result = person.result("/mcp/s/x", CALL, again(&round, &arguments, name)).await;
            assert_eq!(got(&result), json!([accepted(name)]));
        }
    };
    tokio::join!(calls("Ann"), calls("Bob"));
}

#[tokio::test]
async fn two_users_behind_one_credential_hear_what_is_theirs() {
    let server = asking_over_http(vec![form("who?")]).await;
    let mut config = server.config();
    config["headers"] = json!({"authorization": "Bearer of the gateway"});
    let door = door(&json!({"x": config}));
    both_call(&door, |_| json!({})).await;
    let seen = server.seen();
    assert!(
        seen.iter().all(|seen| seen.header("authorization") == Some("Bearer of the gateway")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn two_users_of_one_child_hear_what_is_theirs() {
    let child = Child::new(ASKING_CHILD).await;
    let door = door(&json!({"x": child.config()}));
    let cat = door.person("cat");
    // The first question shows that this server asks without saying whose call it is about.
    let arguments = json!({"ask": [form("warm up")]});
    let round = cat.result("/mcp/s/x", CALL, json!({"name": "echo", "arguments": arguments})).await;
    cat.result("/mcp/s/x", CALL, again(&round, &arguments, "Cat")).await;
    both_call(&door, |name| json!({"ask": [form(name)]})).await;
}
