//! APIs that a document makes servers of: what arrives at them, what comes back, and that nothing is different for them.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::guard::{planted, redacting, secret};
use crate::harness::client::{result_of, text_of};
use crate::harness::{Gateway, Legacy, Modern, Upstream, until};
use crate::oversight::{said, start};

/// An API that keeps what it is sent, and its document, which a test may change.
struct Pets {
    upstream: Upstream,
    document: Arc<Mutex<Value>>,
}

fn document() -> Value {
    let pet = json!({"$ref": "#/components/schemas/Pet"});
    let answer = json!({"200": {"content": {"application/json": {"schema": pet}}}});
    let id = json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"}});
    json!({
        "openapi": "3.0.3",
        "info": {"title": "Pets", "version": "1.2.3", "description": "All about pets."},
        "servers": [{"url": "/v1"}],
        "paths": {
            "/pets": {
                "get": {"operationId": "listPets", "summary": "Lists pets.", "parameters": [
                    {"name": "tags", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                ], "responses": {}},
                "post": {"operationId": "addPet", "requestBody": {
                    "required": true, "content": {"application/json": {"schema": pet}},
                }, "responses": answer},
            },
            "/pets/{id}": {
                "parameters": [id],
                "get": {"operationId": "getPet", "responses": answer},
                "head": {"operationId": "hasPet", "responses": {}},
                "delete": {"operationId": "removePet", "responses": {"204": {}}},
                "put": {"operationId": "renamePet", "requestBody": {
                    "content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}},
                }, "responses": {}},
            },
        },
        "components": {"schemas": {"Pet": {
            "type": "object", "required": ["id", "name"],
            "properties": {"id": {"type": "integer", "readOnly": true}, "name": {"type": "string", "nullable": true}},
        }}},
    })
}

impl Pets {
    async fn start() -> Self {
        Self::saying(document()).await
    }

    async fn saying(document: Value) -> Self {
        let document = Arc::new(Mutex::new(document));
        let own = document.clone();
        let upstream = Upstream::start(move |seen, answer| {
            let text = own.lock().unwrap().to_string();
            async move {
                let path = seen.path.split('?').next().unwrap_or_default();
                let plain = [("content-type", "text/plain")];
                match (seen.verb.as_str(), path) {
                    ("GET", "/openapi.json") => {
                        answer.send(200, &[("content-type", "application/json")], text.as_bytes()).await;
                    }
                    ("GET", "/v1/pets") => answer.send(200, &plain, planted().as_bytes()).await,
                    ("GET", "/v1/pets/7") => answer.json(200, &json!({"id": 7, "name": "Tom"})).await,
                    ("GET", "/v1/pets/silent") => std::future::pending().await,
                    ("GET", "/v1/pets/large") => answer.send(200, &plain, &vec![b'x'; 200_000]).await,
                    ("GET", "/v1/pets/away") => {
                        answer.send(302, &[("location", "http://127.0.0.1:1/")], b"").await;
                    }
                    ("HEAD", _) => answer.send(200, &[("x-length", "none")], b"").await,
                    ("POST", _) => answer.json(201, &json!({"id": 8, "name": seen.rpc["name"]})).await,
                    ("DELETE", _) => answer.send(204, &[], b"").await,
                    ("PUT", _) => answer.send(200, &plain, b"renamed").await,
                    _ => answer.json(404, &json!({"error": "no such pet"})).await,
                }
            }
        })
        .await;
        Self { upstream, document }
    }

    fn origin(&self) -> &str {
        self.upstream.url.strip_suffix("/mcp").unwrap()
    }

    /// As a server of the configuration, with what is said of it beside.
    fn config(&self, more: &Value) -> Value {
        let document = format!("{}/openapi.json", self.origin());
        let mut config = json!({"openapi": {"document": document}, "list_ttl": "0s"});
        for (key, value) in more.as_object().unwrap() {
            match (key.as_str(), value) {
                ("openapi", Value::Object(members)) => {
                    config["openapi"].as_object_mut().unwrap().extend(members.clone());
                }
                _ => config[key] = value.clone(),
            }
        }
        config
    }

    /// What arrived, but for the document.
    fn seen(&self) -> Vec<String> {
        let seen = self.upstream.seen().into_iter().filter(|seen| seen.path != "/openapi.json");
        seen.map(|seen| {
            let media = seen.header("content-type").unwrap_or("-").to_owned();
            format!("{} {} {media} {}", seen.verb, seen.path, String::from_utf8_lossy(&seen.body))
        })
        .collect()
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

const ALL: [&str; 6] = ["listPets", "addPet", "getPet", "hasPet", "renamePet", "removePet"];

#[tokio::test]
async fn an_api_is_a_server_for_clients_of_both_eras() {
    let pets = Pets::start().await;
    let gateway = Gateway::before(&pets.config(&json!({})));
    let (modern, legacy) =
        (Modern::at("/mcp/s/x"), Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await);
    assert_eq!(
        (&legacy.welcome["serverInfo"]["name"], &legacy.welcome["instructions"]),
        (&json!("Pets"), &json!("All about pets."))
    );
    for list in [
        modern.result(&gateway, "tools/list", json!({})).await,
        legacy.result(&gateway, "tools/list", json!({})).await,
    ] {
        let mut sorted = names(&list);
        sorted.sort_unstable();
        let mut all = ALL.to_vec();
        all.sort_unstable();
        assert_eq!(sorted, all);
        let add = list["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "addPet").unwrap();
        assert_eq!(add["inputSchema"]["$defs"]["Pet"]["required"], json!(["name"]));
        assert_eq!(add["outputSchema"]["properties"]["name"]["type"], json!(["string", "null"]));
    }
    for result in [
        modern.call(&gateway, "getPet", json!({"id": 7})).await,
        legacy.result(&gateway, "tools/call", json!({"name": "getPet", "arguments": {"id": "7"}})).await,
    ] {
        assert_eq!(result["structuredContent"], json!({"id": 7, "name": "Tom"}), "{result}");
        assert_eq!(text_of(&result), r#"{"id":7,"name":"Tom"}"#);
    }
    let aggregate = Modern::new();
    let missing = aggregate.call(&gateway, "x__getPet", json!({"id": "9"})).await;
    assert_eq!(missing["isError"], true);
    assert!(
        missing.to_string().contains("404 Not Found") && missing.to_string().contains("no such pet"),
        "{missing}"
    );
    // Nothing else is there, in no era.
    let prompts = modern.request(&gateway, "prompts/list", json!({})).await;
    assert!(prompts.json()["error"].is_object() || result_of(&prompts)["prompts"] == json!([]));
}

#[tokio::test]
async fn arguments_arrive_where_the_document_has_them() {
    let pets = Pets::start().await;
    let gateway = Gateway::before(&pets.config(&json!({})));
    let client = Modern::at("/mcp/s/x");
    let given = [("authorization", "Bearer the-callers-own"), ("cookie", "a=b"), ("x-trace", "forged")];
    let call = json!({"name": "listPets", "arguments": {"tags": ["a b", "c&d"], "X-Trace": "t1"}});
    assert_eq!(client.request_with(&gateway, "tools/call", call, &given).await.status(), 200);
    for (name, arguments) in [
        ("addPet", json!({"body": {"name": "Kitty", "age": 1.50}})),
        ("hasPet", json!({"id": "a b?"})),
        ("renamePet", json!({"id": "7", "body": {"name": "x y"}})),
        ("removePet", json!({"id": "7"})),
    ] {
        let result = client.call(&gateway, name, arguments).await;
        assert_eq!(result.get("isError"), None, "{name}: {result}");
    }
    let expected = [
        "GET /v1/pets?tags=a%20b&tags=c%26d - ",
        r#"POST /v1/pets application/json {"name":"Kitty","age":1.5}"#,
        "HEAD /v1/pets/a%20b%3F - ",
        "PUT /v1/pets/7 application/x-www-form-urlencoded name=x%20y",
        "DELETE /v1/pets/7 - ",
    ];
    assert_eq!(pets.seen(), expected);
    let seen = pets.upstream.seen();
    let listed = seen.iter().find(|seen| seen.path.starts_with("/v1/pets?")).unwrap();
    assert_eq!(listed.header("x-trace"), Some("t1"));
    for mine in ["authorization", "cookie", "mcp-protocol-version", "mcp-method", "mcp-session-id"] {
        assert_eq!(listed.header(mine), None, "{mine}");
    }
    // What does not fit is not sent, and says what to do.
    for (name, arguments, why) in [
        ("getPet", json!({}), "`id` is missing"),
        ("getPet", json!({"id": ".."}), "no path may have"),
        ("getPet", json!({"id": "7/keys"}), "goes into one part of a path"),
        ("getPet", json!({"id": "7", "more": 1}), "no argument `more`"),
        ("listPets", json!({"X-Trace": "a\r\nb: c"}), "header"),
    ] {
        let result = client.call(&gateway, name, arguments).await;
        assert!(result["isError"] == true && text_of(&result).contains(why), "{result}");
    }
    assert_eq!(pets.seen().len(), expected.len());
}

#[tokio::test]
async fn what_an_api_is_called_with_is_the_operators() {
    let pets = Pets::start().await;
    let base = format!("{}/v1", pets.origin());
    let config = pets.config(&json!({
        "openapi": {"base_url": base, "query": {"api_key": {"env": "A_SECRET"}}, "operations": ["list*"]},
        "headers": {"X-Trace": "ours"},
        "credentials": {"kind": "static", "token": "s3cret"},
    }));
    let gateway = Gateway::before(&config);
    let client = Modern::at("/mcp/s/x");
    let list = client.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list), ["listPets"]);
    assert_eq!(
        list["tools"][0]["inputSchema"]["properties"].get("X-Trace"),
        None,
        "it is nobody else's to say"
    );
    client.call(&gateway, "listPets", json!({"tags": ["a"]})).await;
    let seen = pets.upstream.seen();
    let seen = seen.iter().find(|seen| seen.path.starts_with("/v1")).unwrap();
    assert!(
        seen.path.starts_with("/v1/pets?api_key=that%20every%20gateway") && seen.path.ends_with("&tags=a"),
        "{}",
        seen.path
    );
    assert_eq!((seen.header("x-trace"), seen.header("authorization")), (Some("ours"), Some("Bearer s3cret")));
    let document = pets.upstream.seen().into_iter().find(|seen| seen.path == "/openapi.json").unwrap();
    assert_eq!(document.header("authorization"), None, "the document is fetched with nothing");
    assert!(!gateway.log().contains("s3cret"));
}

#[tokio::test]
async fn a_document_does_not_decide_where_secrets_go_or_that_we_look_inside() {
    // A document that names an address inside, which is not where it came from.
    let inside = Pets::start().await;
    let mut elsewhere = document();
    elsewhere["servers"] =
        json!([{"url": format!("https://{}/v1", inside.origin().strip_prefix("http://").unwrap())}]);
    let pets = Pets::saying(elsewhere).await;
    let gateway = Gateway::before(&pets.config(&json!({})));
    let called = Modern::new()
        .request(&gateway, "tools/call", json!({"name": "x__getPet", "arguments": {"id": 7}}))
        .await;
    let text = String::from_utf8_lossy(&called.body).into_owned();
    assert!(text.contains("not on the public internet") && text.contains("base_url"), "{text}");
    assert_eq!(inside.seen(), [""; 0]);
    drop(gateway);
    for (more, key) in [
        (json!({"headers": {"X-Key": "k"}}), "headers"),
        (json!({"credentials": {"kind": "static", "token": "k"}}), "credentials"),
        (json!({"openapi": {"query": {"k": "v"}}}), "query"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = json!({"servers": {"x": pets.config(&more)}});
        std::fs::write(folder.path().join("portcullis.json"), config.to_string()).unwrap();
        let output = crate::oversight::run(folder.path(), &["serve", "--check"]);
        assert_eq!(output.status.code(), Some(2), "{key}");
        assert!(said(&output).contains("must not decide where secrets are sent"), "{}", said(&output));
    }
}

#[tokio::test]
async fn what_an_api_says_goes_through_the_guard() {
    let pets = Pets::start().await;
    let mut hidden = document();
    hidden["paths"]["/pets"]["get"]["description"] = format!("Ask with {}.", secret()).into();
    *pets.document.lock().unwrap() = hidden;
    let gateway = Gateway::start(&json!({"servers": {"x": pets.config(&json!({}))}, "guard": redacting()}));
    let client = Modern::at("/mcp/s/x");
    let list = client.result(&gateway, "tools/list", json!({})).await;
    assert!(!list.to_string().contains(&secret()), "{list}");
    let result = client.call(&gateway, "listPets", json!({"tags": [planted()]})).await;
    assert!(
        text_of(&result).contains("stands beside it") && !result.to_string().contains(&secret()),
        "{result}"
    );
    assert!(!pets.seen().join("").contains(&secret()), "{:?}", pets.seen());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_changes_is_held_back_even_where_only_its_request_does() {
    let pets = Pets::start().await;
    let gateway = start(json!({"servers": {"x": pets.config(&json!({}))}}));
    let client = Modern::at("/mcp/s/x");
    assert_eq!(names(&client.result(&gateway, "tools/list", json!({})).await).len(), ALL.len());
    let mut moved = document();
    let other = moved["paths"]["/pets/{id}"].take();
    moved["paths"].as_object_mut().unwrap().remove("/pets/{id}");
    moved["paths"]["/admins/{id}"] = other;
    *pets.document.lock().unwrap() = moved;
    until("the changed operations are held back", async || {
        names(&client.result(&gateway, "tools/list", json!({})).await).len() == 2
    })
    .await;
    let refused =
        client.request(&gateway, "tools/call", json!({"name": "removePet", "arguments": {"id": "1"}})).await;
    assert!(String::from_utf8_lossy(&refused.body).contains("quarantined"), "{refused:?}");
    assert!(pets.seen().iter().all(|seen| !seen.contains("admins")), "{:?}", pets.seen());
}

/// The words, the schemas, method and path stay; where the request goes, and where its arguments do, does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_goes_elsewhere_is_held_back() {
    for (path, value, left) in [
        ("/servers/0/url", json!("/v2"), 0),
        ("/paths/~1pets/get/parameters/1/in", json!("query"), ALL.len() - 1),
    ] {
        let pets = Pets::start().await;
        let gateway = start(json!({"servers": {"x": pets.config(&json!({}))}}));
        let client = Modern::at("/mcp/s/x");
        assert_eq!(names(&client.result(&gateway, "tools/list", json!({})).await).len(), ALL.len());
        *pets.document.lock().unwrap().pointer_mut(path).expect(path) = value;
        until("the changed operations are held back", async || {
            names(&client.result(&gateway, "tools/list", json!({})).await).len() == left
        })
        .await;
        let call = json!({"name": "listPets", "arguments": {"X-Trace": "t"}});
        let refused = client.request(&gateway, "tools/call", call).await;
        assert!(String::from_utf8_lossy(&refused.body).contains("quarantined"), "{refused:?}");
        assert_eq!(pets.seen(), [""; 0]);
    }
}

/// What one client's list has the gateway read again is not what another client was let through for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_of_the_document_that_it_was_permitted_by() {
    for (mode, afterwards) in [("trust-first-use", "quarantined"), ("off", "/v1/admins/1")] {
        let pets = Pets::start().await;
        let config = json!({
            "servers": {"x": pets.config(&json!({"list_ttl": "10m"}))}, "definitions": {"mode": mode},
        });
        let gateway = start(config);
        let modern = Modern::at("/mcp/s/x");
        assert_eq!(names(&modern.result(&gateway, "tools/list", json!({})).await).len(), ALL.len());
        let mut moved = document();
        let other = moved["paths"].as_object_mut().unwrap().remove("/pets/{id}").unwrap();
        moved["paths"]["/admins/{id}"] = other;
        *pets.document.lock().unwrap() = moved;
        // The lists of the two eras are two, and this one is fetched now.
        let legacy = Legacy::open_at(&gateway, "/mcp/s/x", "2025-11-25").await;
        legacy.result(&gateway, "tools/list", json!({})).await;
        let call = json!({"name": "removePet", "arguments": {"id": "1"}});
        let refused = modern.request(&gateway, "tools/call", call.clone()).await;
        let text = String::from_utf8_lossy(&refused.body);
        assert!(text.contains("document has changed; list the tools again"), "{mode}: {text}");
        assert_eq!(pets.seen(), [""; 0], "{mode}");
        // By now the list is another, and so is what holds for it.
        let second = modern.request(&gateway, "tools/call", call).await;
        let told = format!("{} {:?}", String::from_utf8_lossy(&second.body), pets.seen());
        assert!(told.contains(afterwards) && !told.contains("has changed"), "{mode}: {told}");
    }
}

#[tokio::test]
async fn a_silent_api_and_a_large_answer_and_a_redirect_cost_a_call_and_nothing_else() {
    let pets = Pets::start().await;
    let config = json!({
        "servers": {"x": pets.config(&json!({"call_timeout": "500ms"}))},
        "limits": {"response_bytes": "64KiB"},
    });
    let gateway = Gateway::start(&config);
    let client = Modern::at("/mcp/s/x");
    let silent = client
        .request(&gateway, "tools/call", json!({"name": "getPet", "arguments": {"id": "silent"}}))
        .await;
    let silent = result_of(&silent);
    assert!(silent["isError"] == true && text_of(&silent).contains("gave no answer"), "{silent}");
    let large = client.call(&gateway, "getPet", json!({"id": "large"})).await;
    assert!(large["isError"] == true && text_of(&large).contains("ask for less"), "{large}");
    let away = client.call(&gateway, "getPet", json!({"id": "away"})).await;
    assert!(away["isError"] == true && text_of(&away).contains("nobody follows"), "{away}");
    let result = client.call(&gateway, "getPet", json!({"id": 7})).await;
    assert_eq!(result["structuredContent"]["name"], "Tom");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_is_added_and_used_as_it_was_approved() {
    let pets = Pets::start().await;
    let gateway = start(json!({"servers": {}}));
    let folder = gateway.folder();
    let url = format!("{}/openapi.json", pets.origin());
    let add = ["server", "add", &url, "--yes"];
    let output = tokio::task::block_in_place(|| crate::oversight::run(folder, &add));
    let told = said(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    let (place, operation) = (format!("{}/v1", pets.origin()), "DELETE /pets/{id}");
    for expected in ["6 operations become tools", &place, operation, "called `pets` here", "added pets@1.2.3"]
    {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    for step in ["scan", "review", "approve"] {
        tokio::task::block_in_place(|| crate::oversight::done(folder, &["server", step, "pets"]));
    }
    let client = Modern::new();
    until("the approved API", async || {
        names(&client.result(&gateway, "tools/list", json!({})).await).len() == ALL.len()
    })
    .await;
    assert_eq!(
        client.call(&gateway, "pets__getPet", json!({"id": 7})).await["structuredContent"]["name"],
        "Tom"
    );
    // Another document is another version.
    pets.document.lock().unwrap()["info"]["description"] = "Changed.".into();
    let output = tokio::task::block_in_place(|| {
        crate::oversight::run(folder, &["server", "add", &url, "--version", "2.0.0", "--yes"])
    });
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output =
        tokio::task::block_in_place(|| crate::oversight::run(folder, &["server", "inspect", "pets@1.2.3"]));
    assert!(said(&output).contains("requests to where its document says"), "{}", said(&output));
    let fresh =
        Gateway::before(&pets.config(&json!({"openapi": {"digest": format!("sha256:{}", "0".repeat(64))}})));
    let refused =
        client.request(&fresh, "tools/call", json!({"name": "x__getPet", "arguments": {"id": 7}})).await;
    assert!(String::from_utf8_lossy(&refused.body).contains("has the digest sha256:"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_in_a_file_needs_to_be_told_where_the_api_is() {
    let pets = Pets::start().await;
    let gateway = start(json!({"servers": {}}));
    let folder = gateway.folder();
    let yaml = "openapi: 3.1.0\ninfo: {title: Small API, version: '1'}\nservers: [{url: /v1}]\npaths:\n  /pets/{id}:\n    get:\n      operationId: getPet\n      parameters: [{name: id, in: path, required: true, schema: {type: string}}]\n";
    std::fs::write(folder.join("small.yaml"), yaml).unwrap();
    let run = |args: &[&str]| tokio::task::block_in_place(|| crate::oversight::run(folder, args));
    let output = run(&["server", "add", "./small.yaml", "--yes"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("--base-url"), "{}", said(&output));
    let base = format!("{}/v1", pets.origin());
    let output = run(&[
        "server",
        "add",
        "./small.yaml",
        "--base-url",
        &base,
        "--set",
        "X-Key=k",
        "--set",
        "?q=z",
        "--yes",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for step in ["scan", "review", "approve"] {
        assert_eq!(run(&["server", step, "small-api"]).status.code(), Some(0), "{step}");
    }
    let client = Modern::new();
    until("the approved API", async || {
        names(&client.result(&gateway, "tools/list", json!({})).await) == ["small-api__getPet"]
    })
    .await;
    client.call(&gateway, "small-api__getPet", json!({"id": 7})).await;
    let seen = pets.upstream.seen();
    let seen = seen.iter().find(|seen| seen.path == "/v1/pets/7?q=z").expect("the call");
    assert_eq!(seen.header("x-key"), Some("k"));
    std::fs::write(folder.join("old.json"), r#"{"swagger":"2.0","info":{},"paths":{}}"#).unwrap();
    let output = run(&["server", "add", "old.json", "--yes"]);
    assert!(output.status.code() == Some(2) && said(&output).contains("Swagger 2.0"), "{}", said(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_sent_is_no_failure_of_a_version() {
    let (old, new) = (Pets::start().await, Pets::start().await);
    let gateway = start(json!({"servers": {}}));
    let run = |args: &[&str]| {
        tokio::task::block_in_place(|| crate::oversight::done(gateway.folder(), args));
    };
    for (pets, version) in [(&old, "1.0.0"), (&new, "2.0.0")] {
        let url = format!("{}/openapi.json", pets.origin());
        run(&["server", "add", &url, "--name", "pets", "--version", version, "--yes"]);
        for step in ["scan", "review"] {
            run(&["server", step, &format!("pets@{version}")]);
        }
        let how: &[&str] = if version == "1.0.0" {
            &["server", "approve", "pets"]
        } else {
            &["server", "rollout", "pets", version, "--to", "50%"]
        };
        run(how);
    }
    let rollout = async || gateway.get("/api/v1/servers/pets/rollout").await.json();
    until("the roll-out", async || rollout().await["next"]["share"] == 50).await;
    let client = Modern::new();
    for _ in 0..12 {
        let refused = client.call(&gateway, "pets__getPet", json!({"id": ".."})).await;
        assert_eq!(refused["isError"], true);
    }
    let told = rollout().await;
    assert_eq!((&told["failed"], &told["next"]["failed"]), (&json!(0), &json!(0)), "{told}");
    // One that was sent is the server's.
    client.call(&gateway, "pets__getPet", json!({"id": "nobody"})).await;
    let told = rollout().await;
    assert_eq!(told["failed"].as_u64().unwrap() + told["next"]["failed"].as_u64().unwrap(), 1, "{told}");
}
