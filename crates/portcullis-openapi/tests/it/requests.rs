//! What calls become.

use std::fmt::Write as _;
use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The request of a call of the only operation, in one line: method, path, headers, body.
fn sent(operation: &Value, at: &str, given: &Value) -> Result<String, String> {
    let api = read(&with_paths(&json!({ at: operation }))).map_err(|error| error.to_string())?;
    assert_eq!(api.operations.len(), 1);
    let request = api.operations[0].request("/v1/", Some(&arguments(given)), &[]);
    let request = request.map_err(|error| error.to_string())?;
    let mut line = format!("{} {}", request.method, request.path);
    for (name, value) in &request.headers {
        let _ = write!(line, " {name}: {}", value.to_str().expect("text"));
    }
    if let Some(body) = request.body {
        let _ = write!(line, " | {}", String::from_utf8_lossy(&body));
    }
    Ok(line)
}

fn parameter(name: &str, place: &str, more: &Value) -> Value {
    let mut parameter = json!({"name": name, "in": place, "schema": {}});
    for (key, value) in more.as_object().expect("an object") {
        parameter[key] = value.clone();
    }
    parameter
}

#[test]
fn each_argument_goes_where_the_document_has_it() {
    let operation = json!({"post": {
        "parameters": [
            parameter("id", "path", &json!({})),
            parameter("id", "query", &json!({})),
            parameter("tags", "query", &json!({"explode": false})),
            parameter("filter", "query", &json!({"style": "deepObject"})),
            parameter("X-List", "header", &json!({})),
            parameter("sid", "cookie", &json!({})),
            parameter("theme", "cookie", &json!({})),
            {"name": "where", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}},
            parameter("body", "query", &json!({})),
        ],
        "requestBody": {"content": {"text/plain": {}, "application/vnd.x+json": {}}},
    }});
    let given = json!({
        "id": "a?b c", "id_query": 5, "tags": ["x", "y,z"], "filter": {"a": {"b": true}}, "X-List": [1, 2],
        "sid": "1;2", "theme": "dark", "where": {"a": [1.5]}, "body": "b", "request_body": {"n": 1, "e": []},
    });
    let expected = "POST /v1/x/a%3Fb%20c/y?id=5&tags=x,y%2Cz&filter%5Ba%5D%5Bb%5D=true&where=%7B%22a%22%3A%5B1.5%5D%7D&body=b \
                    x-list: 1,2 cookie: sid=1%3B2; theme=dark content-type: application/vnd.x+json | {\"n\":1,\"e\":[]}";
    assert_eq!(sent(&operation, "/x/{id}/y", &given), Ok(expected.to_owned()));
    // What may be left out is.
    assert_eq!(
        sent(&operation, "/x/{id}/y", &json!({"id": 1, "tags": null})),
        Ok("POST /v1/x/1/y".to_owned())
    );
}

#[test]
fn the_body_keeps_its_bytes() {
    let paths = json!({"/x": {"put": {"requestBody": {"content": {"application/json": {}}}}}});
    let api = read(&with_paths(&paths)).expect("an API");
    let given = portcullis_mcp::json::Raw::from_static(
        r#"{"body": {"n":1.10, "big":9007199254740993,"a":"\u0041"}}"#,
    );
    let request = api.operations[0].request("", Some(&given), &[]).expect("a request");
    assert_eq!(request.body.as_deref(), Some(&br#"{"n":1.10, "big":9007199254740993,"a":"\u0041"}"#[..]));
    assert_eq!(request.path, "/x");
}

#[test]
fn forms_are_written_as_their_encoding_says() {
    let operation = json!({"post": {"requestBody": {"required": true, "content": {"application/x-www-form-urlencoded": {
        "encoding": {"list": {"style": "pipeDelimited", "explode": false}, "deep": {"style": "deepObject"}},
    }}}}});
    let given =
        json!({"body": {"a": "x y&z", "list": [1, 2], "deep": {"k": "v"}, "all": ["p", "q"], "o": {"j": 1}}});
    let expected = "POST /v1/x content-type: application/x-www-form-urlencoded | \
                    a=x%20y%26z&list=1%7C2&deep%5Bk%5D=v&all=p&all=q&o=%7B%22j%22%3A1%7D";
    assert_eq!(sent(&operation, "/x", &given), Ok(expected.to_owned()));
    assert!(
        sent(&operation, "/x", &json!({"body": [1]})).expect_err("no form").contains("must be an object")
    );
}

#[test]
fn what_the_operator_adds_to_the_query_comes_first_and_is_encoded() {
    let paths = json!({"/x": {"get": {"parameters": [parameter("q", "query", &json!({}))]}}});
    let api = read(&with_paths(&paths)).expect("an API");
    let set = [("api key".to_owned(), "a&b=c".to_owned())];
    let request =
        api.operations[0].request("/", Some(&arguments(&json!({"q": "z"}))), &set).expect("a request");
    assert_eq!(request.path, "/x?api%20key=a%26b%3Dc&q=z");
}

#[test]
fn a_call_that_does_not_fit_says_why() {
    let operation = json!({"get": {"parameters": [
        parameter("id", "path", &json!({})),
        parameter("must", "query", &json!({"required": true})),
        parameter("X-A", "header", &json!({})),
    ]}});
    let refused = |given: &Value| sent(&operation, "/x/{id}", given).expect_err("refused");
    assert!(refused(&json!({"must": 1})).contains("`id` is missing"));
    assert!(refused(&json!({"id": 1})).contains("`must` is missing"));
    assert!(
        refused(&json!({"id": 1, "must": 1, "other": 2}))
            .contains("no argument `other`; there are id, must, X-A")
    );
    assert!(refused(&json!({"id": "", "must": 1})).contains("`id` is empty"));
    assert!(refused(&json!({"id": [], "must": 1})).contains("`id` is empty"));
    for header in ["a\r\nHost: evil", "a\nb", "\u{0}", "é", &"x".repeat(10_000)] {
        assert!(refused(&json!({"id": 1, "must": 1, "X-A": header})).contains("header"), "{header}");
    }
    assert!(refused(&json!({"id": 1, "must": "x".repeat(10_000)})).contains("give less"));
    assert!(sent(&operation, "/x/{id}", &json!([])).is_err());
}

#[test]
fn nobody_leaves_the_place_of_a_path() {
    let one = json!({"get": {"parameters": [parameter("id", "path", &json!({}))]}});
    for value in [
        "..",
        ".",
        "../admin",
        "a/../../b",
        "..\\x",
        "%2e%2e",
        "%2e%2e%2fadmin",
        "%252e%252e",
        "a\r\nb",
        "..;x",
        "\u{0}",
    ] {
        let refused = sent(&one, "/x/{id}/y", &json!({"id": value}));
        assert!(refused.is_err(), "{value}: {refused:?}");
    }
    // Two halves of what neither is.
    let two = json!({"get": {"parameters": [parameter("a", "path", &json!({})), parameter("b", "path", &json!({}))]}});
    assert!(sent(&two, "/x/{a}{b}/y", &json!({"a": ".", "b": "."})).is_err());
    let dot = json!({"get": {"parameters": [parameter("a", "path", &json!({}))]}});
    assert!(sent(&dot, "/x/.{a}/y", &json!({"a": "."})).is_err());
    assert_eq!(sent(&one, "/x/{id}/y", &json!({"id": "v1.2..3"})), Ok("GET /v1/x/v1.2..3/y".to_owned()));
}

/// An object that is written as its members brings names of the caller's.
#[test]
fn no_member_of_an_argument_says_what_the_operator_or_another_argument_says() {
    let paths = json!({"/x": {"get": {"parameters": [
        parameter("filter", "query", &json!({})),
        parameter("deep", "query", &json!({"style": "deepObject"})),
        parameter("Page", "query", &json!({})),
        parameter("deep[x]", "query", &json!({})),
        parameter("prefs", "cookie", &json!({})),
        parameter("sid", "cookie", &json!({})),
    ]}}});
    let api = read_with(&with_paths(&paths), &super::set(&[], &["api_key"])).expect("an API");
    let set = [("api_key".to_owned(), "ours".to_owned())];
    let request = |given: &Value| api.operations[0].request("", Some(&arguments(given)), &set);
    for given in [
        json!({"filter": {"api_key": "mine"}}),
        json!({"filter": {"API_Key": "mine"}}),
        json!({"filter": {" api_key": "mine"}}),
        json!({"filter": {"api_key[]": "mine"}}),
        json!({"filter": {"api.key": "mine"}}),
        json!({"filter": {"api key": "mine"}}),
        json!({"filter": {"Api[key": "mine"}}),
        json!({"filter": {"api.key[]": "mine"}}),
        json!({"filter": {"api_key\u{0}x": "mine"}}),
        json!({"filter": {"a": 1, "page": 7}}),
        json!({"filter": {"deep[a]": 7}}),
        json!({"deep": {"x": 7}}),
        json!({"prefs": {"sid": "mine"}}),
    ] {
        let refused = request(&given).expect_err("refused").to_string();
        assert!(refused.contains("not its to say"), "{given}: {refused}");
    }
    for given in [json!({"prefs": {"a;admin": 1}}), json!({"prefs": {"": 1}}), json!({"prefs": {"a b": 1}})] {
        let refused = request(&given).expect_err("refused").to_string();
        assert!(refused.contains("no name of a cookie"), "{given}: {refused}");
    }
    let given = json!({
        "filter": {"a": 1, "filter": 2, "keys": "api_key"}, "deep": {"y": 3}, "Page": 4, "prefs": {"theme": "dark"}, "sid": 5,
    });
    let made = request(&given).expect("a request");
    assert_eq!(made.path, "/x?api_key=ours&a=1&filter=2&keys=api_key&deep%5By%5D=3&Page=4");
    assert_eq!(made.headers[0].1, "theme=dark; sid=5");
}

/// What the operator says is no argument, however the document writes its name.
#[test]
fn no_parameter_says_what_the_operator_says() {
    let names = ["API_KEY", "api.key", "api key", "api[key", "api_key[]", " api_key", "q"];
    let mut parameters: Vec<_> = names.iter().map(|name| parameter(name, "query", &json!({}))).collect();
    parameters.extend(
        ["x-key", "X_Key", "X_Forwarded_For", "X-Real-IP", "Via", "traceparent", "TraceState"]
            .map(|name| parameter(name, "header", &json!({}))),
    );
    let paths = json!({"/x": {"get": {"parameters": parameters}}});
    let api = read_with(&with_paths(&paths), &super::set(&["x-key"], &["api_key"])).expect("an API");
    let properties = &tool(&api, "get_x")["inputSchema"]["properties"];
    assert_eq!(*properties, json!({"q": {}}));
    // A part of what the operator says in part stays the caller's; the whole is not.
    let filter = parameter("filter", "query", &json!({"style": "deepObject"}));
    let paths = json!({"/x": {"get": {"parameters": [filter]}}});
    let api = read_with(&with_paths(&paths), &super::set(&[], &["filter[owner]"])).expect("an API");
    let set = [("filter[owner]".to_owned(), "ours".to_owned())];
    let request = |given: Value| api.operations[0].request("", Some(&arguments(&given)), &set);
    assert!(request(json!({"filter": {"name": "x"}})).is_ok());
    for given in
        [json!({"filter": {"owner": "mine"}}), json!({"filter": {"Owner": "mine"}}), json!({"filter": "all"})]
    {
        request(given.clone()).expect_err(&given.to_string());
    }
}

#[test]
fn no_value_ends_a_cookie_or_a_parameter_where_the_document_leaves_reserved_characters() {
    let reserved = json!({"allowReserved": true});
    let operation = json!({"get": {"parameters": [
        parameter("id", "path", &reserved),
        parameter("sid", "cookie", &reserved),
        parameter("q", "query", &reserved),
    ]}});
    let given = json!({"id": "a?b;c", "sid": "1; admin=1, x", "q": "a/b?;admin=1"});
    let expected = "GET /v1/x/a%3Fb%3Bc?q=a/b?%3Badmin%3D1 cookie: sid=1%3B%20admin%3D1%2C%20x";
    assert_eq!(sent(&operation, "/x/{id}", &given), Ok(expected.to_owned()));
}

/// However many parameters there are, what is given is gone through a few times and not once for each.
#[test]
fn a_large_call_costs_what_it_has_and_not_what_it_might_have() {
    let all: Vec<_> = (0..256).map(|n| parameter(&format!("q{n}"), "query", &json!({}))).collect();
    let paths =
        json!({"/x": {"post": {"parameters": all, "requestBody": {"content": {"application/json": {}}}}}});
    let api = read(&with_paths(&paths)).expect("an API");
    let given = arguments(&json!({"body": vec![1; 1 << 19]}));
    let began = Instant::now();
    for _ in 0..4 {
        assert_eq!(given.members().count(), 1);
    }
    let four_times = began.elapsed();
    let began = Instant::now();
    api.operations[0].request("", Some(&given), &[]).expect("a request");
    let took = began.elapsed();
    assert!(took < four_times * 10, "{took:?}, and to go through it four times takes {four_times:?}");
}

/// Many servers find the operation in the decoded path, where `/users/1%2Fkeys` is `/users/1/keys`.
#[test]
fn no_value_in_a_path_leads_to_another_operation() {
    let of = |style: &str| json!({"get": {"parameters": [parameter("id", "path", &json!({"style": style, "explode": true}))]}});
    for value in [
        json!("1/keys"),
        json!("1\\keys"),
        json!("1%2fkeys"),
        json!("1%5Ckeys"),
        json!("1%252Fkeys"),
        json!("1%255ckeys"),
        json!("1%3Fall=true"),
        json!("1%23"),
        json!("1%253fall"),
        json!(["1", "keys/all"]),
        json!({"a/b": 1}),
        json!({"a": {"b": "c/d"}}),
    ] {
        for style in ["simple", "label", "matrix"] {
            let refused = sent(&of(style), "/users/{id}", &json!({"id": value})).expect_err("refused");
            assert!(refused.contains("`id` goes into one part of a path"), "{style} {value}: {refused}");
        }
    }
    // What is encoded is what was given, and what is given may have a percent sign.
    for (value, path) in
        [("a?b#c", "a%3Fb%23c"), ("100%", "100%25"), ("a%20b?", "a%2520b%3F"), ("é", "%C3%A9")]
    {
        assert_eq!(
            sent(&of("simple"), "/users/{id}", &json!({"id": value})),
            Ok(format!("GET /v1/users/{path}"))
        );
    }
    // Two that come to one together, and one with the text beside it.
    let two = json!({"get": {"parameters": [parameter("a", "path", &json!({})), parameter("b", "path", &json!({}))]}});
    for (template, a, b) in
        [("/x/{a}{b}/y", "1%2", "fz"), ("/x/{a}2{b}/y", "1%", "Fz"), ("/x/{a}2f{b}/y", "%25", "z")]
    {
        let refused = sent(&two, template, &json!({"a": a, "b": b})).expect_err(template);
        assert!(refused.contains("more parts"), "{refused}");
    }
    // What the document itself has in its path is its word.
    assert_eq!(sent(&of("simple"), "/a%2Fb/{id}", &json!({"id": 1})), Ok("GET /v1/a%2Fb/1".to_owned()));
}

proptest! {
    #[test]
    fn a_value_is_one_segment_and_one_parameter(value in "\\PC{1,40}", style in prop::sample::select(vec!["simple", "label", "matrix"])) {
        let operation = json!({"get": {"parameters": [
            parameter("id", "path", &json!({"style": style})),
            parameter("q", "query", &json!({})),
        ]}});
        let line = sent(&operation, "/x/{id}/y", &json!({"id": value, "q": value}));
        prop_assert!(line.is_err() || !value.contains(['/', '\\']));
        if let Ok(line) = line {
            let target = line.strip_prefix("GET ").expect("a request");
            let (path, query) = target.split_once('?').expect("a query");
            let segments: Vec<_> = path.split('/').collect();
            prop_assert_eq!(segments.len(), 5);
            prop_assert_eq!(percent(path).split(['/', '\\']).count(), 5);
            prop_assert!(!segments.contains(&"..") && !segments.contains(&"."));
            prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic()) && !target.contains('#'));
            prop_assert_eq!(query.matches(['&', '=', '?']).count(), 1);
            let decoded = percent(query.strip_prefix("q=").expect("the parameter"));
            prop_assert_eq!(decoded, value);
        }
    }
}

fn percent(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let hex = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                u8::from_str_radix(std::str::from_utf8(&hex).expect("ASCII"), 16).expect("hexadecimal")
            }
            other => other,
        });
    }
    String::from_utf8(bytes).expect("text")
}
