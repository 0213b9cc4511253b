//! Virtual servers: what they show, what they send, and that they widen nobody's rights.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::client::{result_of, text_of};
use crate::harness::fake::tool;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, Upstream, signal};
use crate::interactive::{ASKING_CHILD, accepted, everything, form, got};
use crate::oversight;
use crate::reload::{KEPT, reload, tools_changed};
use crate::subscriptions::listen;

const DESK: &str = "/mcp/v/desk";

/// A tool with arguments of all kinds.
fn find() -> Value {
    json!({
        "name": "find", "title": "Find", "description": "Finds anything.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"},
                "tenant": {"type": "string", "x-mcp-header": "Tenant"},
                "debug": {"type": "boolean"},
                "q": {"type": "string"},
            },
            "required": ["region", "q"],
        },
        "outputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": true},
        "x-unknown": [1, 2],
    })
}

/// Customers, of the new era, and files, of the old one.
async fn servers() -> [Upstream; 2] {
    let crm = Fake::modern()
        .tools(vec![find(), tool("delete"), tool("list_orders"), tool("list_people")])
        .list("prompts", vec![json!({"name": "ask"}), json!({"name": "sell"})])
        .on("prompts/get", async |seen, answer| {
            let name = seen.rpc["params"]["name"].clone();
            answer.result(json!({"resultType": "complete", "description": name, "messages": []})).await;
        });
    let files = Fake::legacy()
        .tools(vec![tool("read"), tool("write")])
        .list(
            "resources",
            vec![json!({"uri": "file:///data/a", "name": "a"}), json!({"uri": "file:///etc/b", "name": "b"})],
        )
        .list("resourceTemplates", vec![json!({"uriTemplate": "file:///data/{name}", "name": "any"})])
        .on("resources/read", async |seen, answer| {
            let uri = seen.rpc["params"]["uri"].clone();
            answer.result(json!({"contents": [{"uri": uri, "text": "it"}]})).await;
        });
    [crm.start().await, files.start().await]
}

fn desk() -> Value {
    json!({
        "title": "Support desk",
        "instructions": "Be kind.",
        "tools": [
            {"from": "crm/list_*"},
            {
                "from": "crm/find", "name": "find_customer", "description": "Finds a customer.",
                "preset": {"region": "eu"}, "hide": ["debug"],
            },
            {"from": "files/read", "name": "read"},
        ],
        "prompts": [{"from": "crm/ask", "name": "greet", "title": "Greet"}],
        "resources": ["files/file:///data/*"],
    })
}

fn config(servers: &[Upstream; 2], toolsets: &Value) -> Value {
    json!({"servers": {"crm": servers[0].config(), "files": servers[1].config()}, "toolsets": toolsets})
}

fn names(list: &Value, member: &str, key: &str) -> Vec<String> {
    list[member].as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

fn sent(upstream: &Upstream) -> Vec<Value> {
    let seen = upstream.seen().into_iter().filter(|seen| seen.method() == "tools/call");
    seen.map(|seen| json!([seen.rpc["params"]["name"], seen.rpc["params"]["arguments"]])).collect()
}

#[tokio::test]
async fn shows_what_was_picked_under_its_names_and_calls_it_with_what_was_decided() {
    let servers = servers().await;
    let gateway = Gateway::start(&config(&servers, &json!({"desk": desk()})));
    let (modern, legacy) = (Modern::at(DESK), Legacy::open_at(&gateway, DESK, "2025-11-25").await);
    let expected = ["find_customer", "crm__list_orders", "crm__list_people", "read"];
    let shown = json!({
        "name": "find_customer", "title": "Find", "description": "Finds a customer.",
        "inputSchema": {
            "type": "object",
            "properties": {"tenant": {"type": "string", "x-mcp-header": "Tenant"}, "q": {"type": "string"}},
            "required": ["q"],
        },
        "outputSchema": {"type": "object"},
        "annotations": {"readOnlyHint": true},
        "x-unknown": [1, 2],
    });
    for list in [
        modern.result(&gateway, "tools/list", json!({})).await,
        legacy.result(&gateway, "tools/list", json!({})).await,
    ] {
        assert_eq!(names(&list, "tools", "name"), expected);
        assert_eq!(list["tools"][0], shown);
    }
    let hello = modern.result(&gateway, "server/discover", json!({})).await;
    for (hello, info) in [
        (&hello, &hello["_meta"]["io.modelcontextprotocol/serverInfo"]),
        (&legacy.welcome, &legacy.welcome["serverInfo"]),
    ] {
        assert_eq!((&hello["instructions"], &info["title"]), (&json!("Be kind."), &json!("Support desk")));
        let offers = ["tools", "prompts", "resources"].map(|list| hello["capabilities"][list].is_object());
        assert_eq!(offers, [true; 3], "{hello}");
    }
    let tenant = [("mcp-param-tenant", "acme")];
    let arguments = json!({"q": "ada", "tenant": "acme"});
    let call = json!({"name": "find_customer", "arguments": arguments});
    result_of(&modern.request_with(&gateway, "tools/call", call.clone(), &tenant).await);
    legacy.result(&gateway, "tools/call", call).await;
    assert_eq!(text_of(&modern.call(&gateway, "read", json!({"path": "a"})).await), r#"{"path":"a"}"#);
    legacy.call(&gateway, "crm__list_orders", json!({"n": 1})).await;
    let decided = json!(["find", {"q": "ada", "tenant": "acme", "region": "eu"}]);
    assert_eq!(sent(&servers[0]), [decided.clone(), decided, json!(["list_orders", {"n": 1}])]);
    assert_eq!(sent(&servers[1]), [json!(["read", {"path": "a"}])]);
    // The server's own headers are made of what is sent, and the client's are held against what it was shown.
    let seen = servers[0].nth("tools/call", 1).await;
    assert_eq!(
        [seen.header("mcp-param-region"), seen.header("mcp-param-tenant")],
        [Some("eu"), Some("acme")]
    );
    let call = json!({"name": "find_customer", "arguments": {"q": "ada", "tenant": "acme"}});
    let answer = modern.request(&gateway, "tools/call", call).await.json();
    assert_eq!(answer["error"]["code"], -32020, "{answer}");
}

#[tokio::test]
async fn what_is_decided_is_not_the_clients_to_give_and_what_was_not_picked_is_not_there() {
    let servers = servers().await;
    let gateway = Gateway::start(&config(&servers, &json!({"desk": desk()})));
    let (modern, legacy) = (Modern::at(DESK), Legacy::open_at(&gateway, DESK, "2025-06-18").await);
    for arguments in [
        json!({"q": "x", "region": "us"}),
        json!({"q": "x", "region": "eu"}),
        json!({"q": "x", "debug": true}),
        json!(["x"]),
    ] {
        let call = json!({"name": "find_customer", "arguments": arguments});
        for answer in [
            modern.request(&gateway, "tools/call", call.clone()).await.json(),
            legacy.request(&gateway, "tools/call", call.clone()).await.json(),
        ] {
            assert_eq!(answer["error"]["code"], -32602, "{answer}");
            let why = answer["error"]["message"].as_str().unwrap();
            assert!(why.contains("this toolset decides it") || why.contains("must be an object"), "{why}");
        }
    }
    for name in ["find", "crm__find", "crm__delete", "delete", "files__read", "write", "files__write", "none"]
    {
        let call = json!({"name": name, "arguments": {}});
        for answer in [
            modern.request(&gateway, "tools/call", call.clone()).await.json(),
            legacy.request(&gateway, "tools/call", call.clone()).await.json(),
        ] {
            assert_eq!(answer["error"]["message"], format!("there is no tool `{name}` here"), "{answer}");
        }
    }
    assert_eq!(servers.iter().map(|server| server.count("tools/call")).sum::<usize>(), 0);
}

#[tokio::test]
async fn prompts_and_resources_are_picked_too() {
    let servers = servers().await;
    let gateway = Gateway::start(&config(&servers, &json!({"desk": desk()})));
    let client = Modern::at(DESK);
    let prompts = client.result(&gateway, "prompts/list", json!({})).await;
    assert_eq!(prompts["prompts"], json!([{"name": "greet", "title": "Greet"}]));
    let got = client.result(&gateway, "prompts/get", json!({"name": "greet"})).await;
    assert_eq!(got["description"], "ask");
    let none = client.request(&gateway, "prompts/get", json!({"name": "crm__sell"})).await.json();
    assert_eq!(none["error"]["code"], -32602, "{none}");
    let listed = client.result(&gateway, "resources/list", json!({})).await;
    assert_eq!(names(&listed, "resources", "uri"), ["mcp+files+file:///data/a"]);
    let templates = client.result(&gateway, "resources/templates/list", json!({})).await;
    assert_eq!(names(&templates, "resourceTemplates", "uriTemplate"), ["mcp+files+file:///data/{name}"]);
    for uri in ["mcp+files+file:///data/a", "mcp+files+file:///data/other"] {
        let read = client.result(&gateway, "resources/read", json!({"uri": uri})).await;
        assert_eq!(read["contents"][0]["uri"], uri);
    }
    for uri in [
        "mcp+files+file:///etc/b",
        "mcp+files+file:///data/../etc/b",
        "mcp+crm+file:///data/a",
        "file:///etc/b",
    ] {
        let answer = client.request(&gateway, "resources/read", json!({"uri": uri})).await.json();
        assert_eq!(answer["error"]["data"]["uri"], uri, "{answer}");
    }
    assert_eq!(servers[1].count("resources/read"), 2);
    // Who has nothing of a list in the toolset is not asked for it.
    assert_eq!((servers[1].count("prompts/list"), servers[0].count("resources/list")), (0, 0));
}

#[tokio::test]
async fn policies_say_who_opens_one_and_what_is_there_in_it() {
    let servers = servers().await;
    let mut config = config(&servers, &json!({"desk": desk(), "shut": desk()}));
    config["policy"] = json!({"files": ["p.cedar"], "arguments": {"region": "string", "q": "string"}});
    let folder = tempfile::tempdir().unwrap();
    let policies = r#"
        permit (principal, action == Action::"toolsets/use", resource == Toolset::"desk");
        permit (principal, action in Action::"use", resource in Server::"crm");
        forbid (principal, action, resource == Tool::"crm/list_people");
        forbid (principal, action == Action::"tools/call", resource == Tool::"crm/find")
        unless { context.args has region && context.args.region == "eu" && context.args has q && context.args.q != "boss" };
    "#;
    std::fs::write(folder.path().join("p.cedar"), policies).unwrap();
    let gateway = Gateway::start_in(folder, &config, &[]);
    let client = Modern::at(DESK);
    let list = client.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list, "tools", "name"), ["find_customer", "crm__list_orders"]);
    client.call(&gateway, "find_customer", json!({"q": "ada"})).await;
    // What is denied is what is not there, also where its arguments are decided.
    for (name, arguments) in [
        ("find_customer", json!({"q": "boss"})),
        ("find_customer", json!({"q": "boss", "region": "us"})),
        ("crm__list_people", json!({})),
        ("read", json!({})),
    ] {
        let call = json!({"name": name, "arguments": arguments});
        let answer = client.request(&gateway, "tools/call", call).await.json();
        assert_eq!(answer["error"]["message"], format!("there is no tool `{name}` here"), "{answer}");
    }
    assert_eq!((servers[0].count("tools/call"), servers[1].count("tools/call")), (1, 0));
    let (shut, none) = (Modern::at("/mcp/v/shut"), Modern::at("/mcp/v/none"));
    for method in ["tools/list", "server/discover"] {
        let [shut, none] = [&shut, &none].map(|client| client.request(&gateway, method, json!({})));
        let (shut, none) = (shut.await, none.await);
        assert_eq!((shut.status(), none.status()), (404, 404));
        assert_eq!(shut.text().replace("shut", "none"), none.text());
    }
}

#[tokio::test]
async fn pins_and_labels_are_those_of_what_was_picked() {
    let servers = servers().await;
    let desk = json!({
        "tools": [
            {"from": "crm/find", "name": "look_up", "description": "Looks up.", "preset": {"region": "eu"}},
            {"from": "files/write", "name": "note"},
        ],
    });
    let mut config = config(&servers, &json!({"desk": desk}));
    config["definitions"] = json!({"mode": "approve"});
    config["flow"] = json!({"private": ["crm/find"], "untrusted": ["crm/find"], "external": ["files/write"], "mode": "deny"});
    let gateway = oversight::start(config);
    let client = Modern::at(DESK);
    let listed = async || names(&client.result(&gateway, "tools/list", json!({})).await, "tools", "name");
    assert!(listed().await.is_empty(), "nothing is trusted yet");
    for name in ["crm/find", "files/write"] {
        oversight::done(gateway.folder(), &["definitions", "approve", name]);
    }
    crate::harness::until("both are there", async || listed().await == ["look_up", "note"]).await;
    client.call(&gateway, "note", json!({})).await;
    client.call(&gateway, "look_up", json!({"q": "x"})).await;
    let answer =
        client.request(&gateway, "tools/call", json!({"name": "note", "arguments": {}})).await.json();
    assert_eq!(answer["error"]["data"]["reason"], "flow_denied", "{answer}");
    assert_eq!(servers[1].count("tools/call"), 1);
}

/// What is decided is part of the call that a state is bound to, whoever has to say it again.
#[tokio::test]
async fn a_tool_that_asks_is_answered_and_gets_what_was_decided_each_time() {
    let script = r#"
tools = [{"name": "echo", "inputSchema": {"type": "object", "properties": {"ask": {}}}}]
"#;
    let child = Child::new(&format!("{ASKING_CHILD}{script}")).await;
    let desk = json!({"tools": [{"from": "one/echo", "name": "ask", "preset": {"ask": [form("who?")]}}]});
    let gateway = Gateway::start(&json!({"servers": {"one": child.config()}, "toolsets": {"desk": desk}}));
    let client = Modern::at(DESK).with_meta("io.modelcontextprotocol/clientCapabilities", everything());
    let round = client.call(&gateway, "ask", json!({})).await;
    let (key, asked) = round["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(*asked, form("[one] who?"));
    let answer = |arguments: Value| {
        json!({
            "name": "ask", "arguments": arguments, "requestState": round["requestState"],
            "inputResponses": {key: accepted("me")},
        })
    };
    let meddling = client.request(&gateway, "tools/call", answer(json!({"ask": []}))).await.json();
    assert_eq!(meddling["error"]["code"], -32602, "{meddling}");
    let result = client.result(&gateway, "tools/call", answer(json!({}))).await;
    assert_eq!(got(&result), json!([accepted("me")]));
}

#[tokio::test]
async fn a_session_and_a_cursor_are_of_their_toolset() {
    let servers = servers().await;
    let all = json!({"desk": desk(), "other": desk()});
    let gateway = Gateway::start(&config(&servers, &all));
    let session = Legacy::open_at(&gateway, DESK, "2025-11-25").await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    for (path, expected) in [(DESK, 200), ("/mcp/v/other", 404), ("/mcp", 404), ("/mcp/s/crm", 404)] {
        let answer = gateway.send("POST", path, &session.headers(), ping.as_bytes()).await;
        assert_eq!(answer.status(), expected, "{path}");
    }
    assert_eq!(session.delete(&gateway).await.status(), 204);
    let mut many: Vec<_> = (0..1_001).map(|number| tool(&format!("t{number}"))).collect();
    many.push(tool("last"));
    let many = Fake::modern().tools(many).start().await;
    let all = json!({"tools": [{"from": "many/*"}]});
    let gateway =
        Gateway::start(&json!({"servers": {"many": many.config()}, "toolsets": {"a": all, "b": all}}));
    let first = Modern::at("/mcp/v/a").result(&gateway, "tools/list", json!({})).await;
    let cursor = json!({"cursor": first["nextCursor"]});
    let rest = Modern::at("/mcp/v/a").result(&gateway, "tools/list", cursor.clone()).await;
    assert_eq!(names(&rest, "tools", "name"), ["many__t1000", "many__last"]);
    for path in ["/mcp/v/b", "/mcp"] {
        let answer = Modern::at(path).request(&gateway, "tools/list", cursor.clone()).await.json();
        assert_eq!(answer["error"]["code"], -32602, "{path}: {answer}");
    }
}

#[tokio::test]
async fn whoever_listens_is_told_when_it_changes_and_what_cannot_be_changes_nothing() {
    let servers = servers().await;
    let mut desk = desk();
    let gateway = Gateway::start(&config(&servers, &json!({"desk": desk})));
    let session = Legacy::open_at(&gateway, DESK, "2025-11-25").await;
    let mut told = session.listen(&gateway, None).await;
    let client = Modern::at(DESK);
    let (_, mut stream) = listen(&client, &gateway, json!({"toolsListChanged": true})).await;
    let listed = async || names(&client.result(&gateway, "tools/list", json!({})).await, "tools", "name");
    assert_eq!(listed().await.len(), 4);
    desk["tools"] = json!([{"from": "crm/find", "name": "search"}]);
    reload(&gateway, &config(&servers, &json!({"desk": desk}))).await;
    tools_changed(&mut told).await;
    tools_changed(&mut stream).await;
    assert_eq!(listed().await, ["search"]);
    assert_eq!(names(&session.result(&gateway, "tools/list", json!({})).await, "tools", "name"), ["search"]);
    for (tools, why) in [
        (json!([{"from": "none/find"}]), "there is no server `none`"),
        (
            json!([{"from": "crm/find", "name": "a"}, {"from": "crm/delete", "name": "A"}]),
            "another entry is called `A`",
        ),
    ] {
        gateway.rewrite_config(&config(&servers, &json!({"desk": {"tools": tools}})));
        signal(gateway.pid(), Signal::HUP);
        gateway.logged(why).await;
        gateway.logged(KEPT).await;
        assert_eq!(listed().await, ["search"]);
    }
    // A tool whose arguments cannot be decided is left out, and somebody is told.
    desk["tools"] =
        json!([{"from": "crm/find", "preset": {"none": 1}}, {"from": "crm/delete"}, {"from": "crm/gone"}]);
    reload(&gateway, &config(&servers, &json!({"desk": desk}))).await;
    tools_changed(&mut stream).await;
    assert_eq!(listed().await, ["crm__delete"]);
    gateway.logged("its schema has no argument `none`").await;
    gateway.logged("a toolset names what its server does not list").await;
    reload(&gateway, &config(&servers, &json!({}))).await;
    crate::harness::until("the end of the stream", async || stream.message().await.is_none()).await;
    assert_eq!(client.request(&gateway, "tools/list", json!({})).await.status(), 404);
    assert_eq!(session.request(&gateway, "tools/list", json!({})).await.status(), 404);
}

#[tokio::test]
async fn a_search_in_one_finds_its_own_tools_by_its_own_words() {
    let servers = servers().await;
    let mut desk = desk();
    desk["discovery"] = json!("instead");
    desk["tools"][1]["description"] = json!("Looks somebody up in the address book.");
    let gateway = Gateway::start(&config(&servers, &json!({"desk": desk})));
    let client = Modern::at(DESK);
    let list = client.result(&gateway, "tools/list", json!({})).await;
    assert_eq!(names(&list, "tools", "name"), ["hub__search", "hub__describe", "hub__call"]);
    let found = client.call(&gateway, "hub__search", json!({"query": "address book"})).await;
    assert_eq!(names(&found["structuredContent"], "tools", "name"), ["find_customer"]);
    assert_eq!(found["structuredContent"]["tools"][0]["arguments"], json!(["tenant", "q"]));
    for query in ["delete", "write"] {
        let found = client.call(&gateway, "hub__search", json!({"query": query})).await;
        assert_eq!(found["structuredContent"]["tools"], json!([]), "{query}");
    }
    let told = client.call(&gateway, "hub__describe", json!({"names": ["find_customer", "crm__find"]})).await;
    assert_eq!(told["structuredContent"]["unknown"], json!(["crm__find"]));
    assert_eq!(told["structuredContent"]["tools"][0]["inputSchema"]["required"], json!(["q"]));
    let call = json!({"name": "find_customer", "arguments": {"q": "x"}});
    client.call(&gateway, "hub__call", call).await;
    assert_eq!(sent(&servers[0]), [json!(["find", {"q": "x", "region": "eu"}])]);
    let meddling = json!({"name": "find_customer", "arguments": {"q": "x", "region": "us"}});
    let call = json!({"name": "hub__call", "arguments": meddling});
    let answer = client.request(&gateway, "tools/call", call).await.json();
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    // Elsewhere they are not offered.
    let aggregate = Modern::new().result(&gateway, "tools/list", json!({})).await;
    assert_eq!(aggregate["tools"].as_array().unwrap().len(), 6);
}
