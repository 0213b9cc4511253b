//! Tools that find tools: what they find, what they show, and that they are no way around anything.

use serde_json::{Value, json};

use crate::harness::client::initialize;
use crate::harness::fake::tool;
use crate::harness::gateway::JSON;
use crate::harness::{Child, Fake, Gateway, Legacy, Modern, Upstream, until};
use crate::interactive::{ASKING_CHILD, accepted, everything, form, got};
use crate::reload::{reload, tools_changed};
use crate::subscriptions::listen;

const FIND: &str = "hub__search";
const TELL: &str = "hub__describe";
const CALL: &str = "hub__call";

fn saying(name: &str, description: &str) -> Value {
    json!({"name": name, "description": description, "inputSchema": {"type": "object", "properties": {"a": {"type": "integer"}}}})
}

/// A calendar of the old era and a forge of the new.
async fn servers() -> [Upstream; 2] {
    let calendar = vec![saying("create_event", "Adds an event to a calendar"), tool("list_events")];
    let forge = vec![saying("open_issue", "Reports a bug"), saying("merge", "Merges a pull request")];
    [Fake::legacy().tools(calendar).start().await, Fake::modern().tools(forge).start().await]
}

fn config(servers: &[Upstream; 2], tools: &str) -> Value {
    json!({
        "servers": {"calendar": servers[0].config(), "forge": servers[1].config()},
        "discovery": {"tools": tools},
    })
}

fn listed(list: &Value) -> Vec<&str> {
    list["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

const THREE: [&str; 3] = [FIND, TELL, CALL];
const FOUR: [&str; 4] =
    ["calendar__create_event", "calendar__list_events", "forge__open_issue", "forge__merge"];

/// Each may be a request to somebody outside.
#[tokio::test]
async fn searches_are_held_against_the_limits_on_calls() {
    let servers = servers().await;
    let mut config = config(&servers, "beside");
    config["limits"] =
        json!({"calls": [{"name": "searches", "tools": ["hub/search"], "rate": "1/h", "burst": 2}]});
    let gateway = Gateway::start(&config);
    let client = Modern::new();
    let ask = async |name: &str, arguments: Value| {
        client.request(&gateway, "tools/call", json!({"name": name, "arguments": arguments})).await
    };
    for query in ["merge", "events"] {
        assert_eq!(ask(FIND, json!({"query": query})).await.status(), 200, "{query}");
    }
    let refused = ask(FIND, json!({"query": "merge"})).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.json()["error"]["data"]["limit"], "searches");
    assert_eq!(ask(TELL, json!({"names": ["forge__merge"]})).await.status(), 200);
    assert_eq!(ask("forge__merge", json!({})).await.status(), 200);
}

#[tokio::test]
async fn they_are_listed_as_configured_and_what_is_not_listed_can_be_called() {
    let servers = servers().await;
    for (tools, expected) in
        [("off", FOUR.to_vec()), ("beside", [&THREE[..], &FOUR].concat()), ("instead", THREE.to_vec())]
    {
        let gateway = Gateway::start(&config(&servers, tools));
        let (client, session) = (Modern::new(), Legacy::open(&gateway).await);
        assert_eq!(listed(&client.result(&gateway, "tools/list", json!({})).await), expected, "{tools}");
        assert_eq!(listed(&session.result(&gateway, "tools/list", json!({})).await), expected, "{tools}");
        client.call(&gateway, "forge__merge", json!({})).await;
        session.call(&gateway, "calendar__create_event", json!({})).await;
        let own = Modern::at("/mcp/s/forge");
        assert_eq!(listed(&own.result(&gateway, "tools/list", json!({})).await), ["open_issue", "merge"]);
        let answer =
            client.request(&gateway, "tools/call", json!({"name": FIND, "arguments": {"query": "x"}})).await;
        assert_eq!(answer.json().get("error").is_some(), tools == "off", "{tools}: {answer:?}");
    }
}

#[tokio::test]
async fn both_eras_find_describe_and_call() {
    let servers = servers().await;
    let gateway = Gateway::start(&config(&servers, "instead"));
    let (client, session) = (Modern::new(), Legacy::open(&gateway).await);
    let call = async |modern: bool, name: &str, arguments: Value| {
        if modern {
            client.call(&gateway, name, arguments).await
        } else {
            session.call(&gateway, name, arguments).await
        }
    };
    for modern in [true, false] {
        let found = call(modern, FIND, json!({"query": "put an event into my calendar"})).await;
        let content = &found["structuredContent"];
        assert_eq!(content["tools"][0]["name"], FOUR[0], "{found}");
        assert_eq!(content["tools"][0]["arguments"], json!(["a"]));
        let text: Value = serde_json::from_str(found["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, *content);
        let told = call(modern, TELL, json!({"names": [FOUR[0], "forge__none"]})).await;
        let told = &told["structuredContent"];
        assert_eq!(told["tools"][0]["inputSchema"]["properties"]["a"]["type"], "integer");
        assert_eq!((listed(told), &told["unknown"]), (vec![FOUR[0]], &json!(["forge__none"])));
        call(modern, CALL, json!({"name": FOUR[0], "arguments": {"a": 1}})).await;
        call(modern, CALL, json!({"name": FOUR[3]})).await;
    }
    let sent = servers[0].nth("tools/call", 2).await.rpc;
    assert_eq!(
        (&sent["params"]["name"], &sent["params"]["arguments"]),
        (&json!("create_event"), &json!({"a": 1}))
    );
    let sent = servers[1].nth("tools/call", 2).await.rpc;
    assert_eq!((&sent["params"]["name"], &sent["params"]["arguments"]), (&json!("merge"), &json!({})));
    let list = client.result(&gateway, "tools/list", json!({})).await;
    assert_eq!((&list["cacheScope"], &list["ttlMs"]), (&json!("private"), &json!(0)));
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_with_what_to_do() {
    let servers = servers().await;
    let gateway = Gateway::start(&config(&servers, "beside"));
    let client = Modern::new();
    for (name, arguments, why) in [
        (FIND, json!({}), "`query` must be a string"),
        (FIND, json!({"query": "x".repeat(1_001)}), "may have 1000 characters"),
        (FIND, json!({"query": "x", "limit": 0}), "from 1 to 50"),
        (FIND, json!({"query": "x", "limit": "5"}), "from 1 to 50"),
        (TELL, json!({"names": []}), "1 to 20 names"),
        (TELL, json!({"names": ["a", 1]}), "1 to 20 names"),
        (TELL, json!({"names": vec!["a"; 21]}), "1 to 20 names"),
        (CALL, json!({}), "`name` must be the name of a tool"),
        (CALL, json!({"name": CALL, "arguments": {"name": FOUR[0]}}), "by its own name"),
        (CALL, json!({"name": FOUR[0], "arguments": [1]}), "must be an object"),
    ] {
        let params = json!({"name": name, "arguments": arguments});
        let answer = client.request(&gateway, "tools/call", params).await.json();
        assert_eq!(answer["error"]["code"], -32602, "{name} {arguments}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(why), "{name} {arguments}: {answer}");
    }
    let nothing = client.call(&gateway, FIND, json!({"query": "xylophone"})).await;
    assert_eq!(nothing["structuredContent"]["tools"], json!([]));
    assert_eq!(servers.iter().map(|server| server.count("tools/call")).sum::<usize>(), 0);
}

#[tokio::test]
async fn they_know_and_call_only_what_is_there_for_the_caller() {
    let servers = servers().await;
    let mut config = config(&servers, "instead");
    config["policy"] = json!({
        "files": ["p.cedar"], "roles": {},
        "arguments": {"a": "integer"},
    });
    let folder = tempfile::tempdir().unwrap();
    let policies = r#"
        permit (principal, action, resource);
        forbid (principal, action, resource == Tool::"forge/merge");
        forbid (principal, action, resource in Server::"calendar");
        forbid (principal, action == Action::"tools/call", resource == Tool::"forge/open_issue")
        when { context.args has a && context.args.a == 1 };
    "#;
    std::fs::write(folder.path().join("p.cedar"), policies).unwrap();
    let gateway = Gateway::start_in(folder, &config, &[]);
    let client = Modern::new();
    for query in ["merge a pull request", "create an event", "bug", "merg"] {
        let found = client.call(&gateway, FIND, json!({"query": query, "limit": 50})).await;
        let found = listed(&found["structuredContent"]).into_iter().map(str::to_owned).collect::<Vec<_>>();
        assert!(found.iter().all(|name| name == FOUR[2]), "{query}: {found:?}");
    }
    let told = client.call(&gateway, TELL, json!({"names": FOUR})).await;
    assert_eq!(listed(&told["structuredContent"]), [FOUR[2]]);
    client.call(&gateway, CALL, json!({"name": FOUR[2], "arguments": {"a": 2}})).await;
    let nothing = |name: &str| json!({"name": CALL, "arguments": {"name": name, "arguments": {"a": 1}}});
    for denied in [FOUR[0], FOUR[2], FOUR[3]] {
        let answer = client.request(&gateway, "tools/call", nothing(denied)).await;
        let direct = json!({"name": denied, "arguments": {"a": 1}});
        let direct = client.request(&gateway, "tools/call", direct).await;
        assert_eq!(
            (answer.status(), &answer.json()["error"]),
            (direct.status(), &direct.json()["error"]),
            "{denied}"
        );
        assert_eq!(answer.json()["error"]["code"], -32602);
    }
    assert_eq!((servers[0].count("tools/call"), servers[1].count("tools/call")), (0, 1));
}

/// A tool that asks in the middle of its call does so behind `hub__call`, too, and what is answered is bound to that call.
#[tokio::test]
async fn a_tool_that_asks_is_answered_through_them() {
    let child = Child::new(ASKING_CHILD).await;
    let gateway =
        Gateway::start(&json!({"servers": {"one": child.config()}, "discovery": {"tools": "instead"}}));
    let client = Modern::new().with_meta("io.modelcontextprotocol/clientCapabilities", everything());
    let arguments = json!({"name": "one__echo", "arguments": {"ask": [form("who?")]}});
    let round = client.call(&gateway, CALL, arguments.clone()).await;
    let (key, asked) = round["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(*asked, form("[one] who?"));
    let answer = |arguments: Value| {
        json!({
            "name": CALL, "arguments": arguments, "requestState": round["requestState"],
            "inputResponses": {key: accepted("me")},
        })
    };
    let other = json!({"name": "one__echo", "arguments": {"ask": []}});
    let refused = client.request(&gateway, "tools/call", answer(other)).await.json();
    assert!(refused["error"]["message"].as_str().unwrap().contains("requestState"), "{refused}");
    let result = client.result(&gateway, "tools/call", answer(arguments)).await;
    assert_eq!(got(&result), json!([accepted("me")]));
}

/// A client is shown what a rule says by its name, its group or its id; what is there for it is the same.
#[tokio::test]
async fn clients_are_offered_what_their_rules_say() {
    let servers = servers().await;
    let mut config = config(&servers, "off");
    config["policy"] = json!({"roles": {"operator": ["all"]}, "groups": {"all": ["anonymous"]}});
    config["discovery"]["clients"] = json!([
        {"names": ["small-*"], "groups": ["nobody"], "tools": "off"},
        {"names": ["small-*", "tiny"], "tools": "instead"},
        {"names": ["both"], "groups": ["all"], "principals": ["anonymous"], "tools": "beside"},
    ]);
    config["toolsets"] = json!({"all": {"tools": [{"from": "*/*"}]}});
    let gateway = Gateway::start(&config);
    let both = [&THREE[..], &FOUR].concat();
    for (name, expected) in [("small-model", &THREE[..]), ("tiny", &THREE), ("both", &both), ("other", &FOUR)]
    {
        for path in ["/mcp", "/mcp/v/all"] {
            let info = json!({"name": name, "version": "1"});
            let modern = Modern::at(path).with_meta("io.modelcontextprotocol/clientInfo", info.clone());
            let list = modern.result(&gateway, "tools/list", json!({})).await;
            assert_eq!(listed(&list), expected, "{name} at {path}");
            let found =
                modern.request(&gateway, "tools/call", json!({"name": FIND, "arguments": {"query": "bug"}}));
            assert_eq!(
                found.await.json().get("result").is_some(),
                expected.contains(&FIND),
                "{name} at {path}"
            );
            let mut hello = initialize("2025-11-25");
            hello["params"]["clientInfo"] = info;
            let session =
                gateway.post(path, hello.to_string()).await.header("mcp-session-id").unwrap().to_owned();
            let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
            let headers = [&JSON[..], &[("mcp-session-id", &*session)]].concat();
            let list = gateway.send("POST", path, &headers, message.as_bytes()).await.json();
            assert_eq!(listed(&list["result"]), expected, "{name} at {path}, in a session");
        }
    }
    // Whoever listens is told that it is offered something else.
    let (_, mut stream) = listen(&Modern::new(), &gateway, json!({"toolsListChanged": true})).await;
    config["discovery"]["clients"] = json!([{"names": ["test"], "tools": "instead"}]);
    reload(&gateway, &config).await;
    tools_changed(&mut stream).await;
    assert_eq!(listed(&Modern::new().result(&gateway, "tools/list", json!({})).await), THREE);
}

#[tokio::test]
async fn a_change_of_one_servers_tools_is_found() {
    let servers = servers().await;
    let gateway = Gateway::start(&config(&servers, "instead"));
    let client = Modern::new();
    let found = async |query: &str| {
        let found = client.call(&gateway, FIND, json!({"query": query})).await;
        listed(&found["structuredContent"]).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(found("bug").await, [FOUR[2]]);
    let third =
        Fake::modern().tools(vec![saying("translate", "Puts a text into another language")]).start().await;
    let mut more = config(&servers, "instead");
    more["servers"]["words"] = third.config();
    gateway.rewrite_config(&more);
    gateway.logged("configuration").await;
    crate::harness::within("the new server", async {
        while found("another language").await != ["words__translate"] {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// A model that knows what belongs together: pictures, and weather.
async fn model(works: bool) -> Upstream {
    Upstream::start(move |seen, answer| async move {
        if !works {
            return answer.send(500, &[], b"").await;
        }
        assert_eq!(seen.header("authorization"), Some("Bearer a-key"));
        let has = |text: &Value, words: &[&str]| {
            let text = text.as_str().unwrap().to_lowercase();
            f64::from(u8::from(words.iter().any(|word| text.contains(word))))
        };
        let inputs = seen.rpc["input"].as_array().unwrap().iter().enumerate();
        let data = inputs.map(|(index, text)| {
            let meant = [has(text, &["image", "picture"]), has(text, &["forecast", "umbrella"]), 0.1];
            json!({"object": "embedding", "index": index, "embedding": meant})
        });
        answer.json(200, &json!({"object": "list", "data": data.collect::<Vec<_>>()})).await;
    })
    .await
}

async fn searched(gateway: &Gateway, query: &str) -> Vec<String> {
    let found = Modern::new().call(gateway, "hub__search", json!({"query": query})).await;
    let tools = found["structuredContent"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn tools_are_found_by_what_they_mean_where_a_model_says_so() {
    let tools = vec![saying("render", "Makes an image."), saying("outlook", "The forecast for a place.")];
    let upstream = Fake::modern().tools(tools).start().await;
    let (good, bad) = (model(true).await, model(false).await);
    let with = |url: &str| {
        json!({
            "servers": {"x": upstream.config()},
            "discovery": {
                "tools": "instead",
                "embeddings": {"url": url, "model": "small", "key": "a-key", "timeout": "2s"},
            },
        })
    };
    let gateway = Gateway::start(&with(&good.url));
    // What nobody said of them is learned beside the first search.
    until("meanings", async || {
        searched(&gateway, "do I need an umbrella?").await.first().is_some_and(|it| it == "x__outlook")
    })
    .await;
    assert_eq!(searched(&gateway, "draw a picture").await[0], "x__render");
    assert_eq!(searched(&gateway, "render").await[0], "x__render", "words count as before");
    let asked = good.seen().len();
    assert_eq!(searched(&gateway, "draw a picture").await[0], "x__render");
    assert_eq!(good.seen().len(), asked, "nothing is asked twice");

    let gateway = Gateway::start(&with(&bad.url));
    assert_eq!(searched(&gateway, "a picture").await, [""; 0]);
    assert_eq!(searched(&gateway, "image").await, ["x__render"], "words are left");
    until("the count", async || {
        gateway.get("/metrics").await.text().contains("portcullis_embeddings_total{outcome=\"failed\"}")
    })
    .await;
}
