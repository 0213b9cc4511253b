//! Documents that somebody wrote to do harm.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

#[test]
fn a_path_stays_below_where_requests_go() {
    for path in [
        "/../admin",
        "/a/../../b",
        "/%2e%2e/admin",
        "/..%2fadmin",
        "/%252e%252e/x",
        "/a\\..\\b",
        "/./a",
        "admin",
        "/a?x=1",
        "/a#b",
        "/a b",
        "/a\r\nHost: evil",
        "/{id}",
        "/{id",
        "/é",
    ] {
        let error = read(&with_paths(&json!({path: {"get": {}}}))).map(drop).expect_err(path).to_string();
        assert!(error.contains("is left out because"), "{path}: {error}");
    }
}

#[test]
fn what_parameters_may_not_be_they_are_not() {
    for (name, place, style) in [
        ("a\r\nb", "header", None),
        ("", "header", None),
        ("a=b", "cookie", None),
        ("a;b", "cookie", None),
        ("x", "query", Some("matrix")),
        ("x", "query", Some("none")),
    ] {
        let mut parameter = json!({"name": name, "in": place, "schema": {}});
        if let Some(style) = style {
            parameter["style"] = style.into();
        }
        let paths = json!({"/x": {"get": {"parameters": [parameter]}}, "/y": {"get": {}}});
        let api = read(&with_paths(&paths)).expect("the other one");
        assert_eq!((names(&api), api.left_out.len()), (vec!["get_y"], 1), "{name} {place}");
    }
}

#[test]
fn names_are_safe_and_used_once() {
    let mut paths = serde_json::Map::new();
    let ids = [
        "a/../b",
        "a/../b",
        "\u{202e}x",
        "",
        "__",
        "DROP TABLE; --",
        "x\ny",
        "A_b",
        &"n".repeat(200),
        &"n".repeat(201),
    ];
    for (index, id) in ids.iter().enumerate() {
        paths.insert(format!("/{index}"), json!({"get": {"operationId": id}}));
    }
    let api = read(&with_paths(&paths.into())).expect("an API");
    assert_eq!(api.operations.len(), ids.len());
    let mut folded: Vec<_> = names(&api).iter().map(|name| name.to_ascii_lowercase()).collect();
    for name in &folded {
        assert!((1..=64).contains(&name.len()), "{name}");
        assert!(
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')),
            "{name}"
        );
    }
    folded.sort();
    folded.dedup();
    assert_eq!(folded.len(), ids.len());
}

#[test]
fn references_in_circles_and_out_of_the_document_harm_nobody() {
    let text = r##"{"openapi":"3.0.0","paths":{
        "/a":{"$ref":"#/paths/~1b"},"/b":{"$ref":"#/paths/~1a"},"/c":{"$ref":"file:///etc/passwd"},
        "/d":{"get":{"parameters":[{"$ref":"#/components/parameters/A"}]}},
        "/e":{"post":{"requestBody":{"$ref":"https://evil.example/body"}}},
        "/f":{"post":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/X"}}}}}}},
        "components":{"parameters":{"A":{"$ref":"#/components/parameters/B"},"B":{"$ref":"#/components/parameters/A"}},
        "schemas":{"X":{"$ref":"#/components/schemas/Y"},"Y":{"$ref":"#/components/schemas/X"}}}}"##;
    let api = read(text).expect("an API");
    assert_eq!(names(&api), ["post_f"]);
    let left_out: Vec<_> = api.left_out.iter().map(|it| it.operation.as_str()).collect();
    assert_eq!(left_out, ["GET /d", "POST /e", "/a", "/b", "/c"]);
    assert!(api.left_out.iter().all(|it| it.why.contains("leads nowhere")), "{:?}", api.left_out);
    let expected = json!({"X": {"$ref": "#/$defs/Y"}, "Y": {"$ref": "#/$defs/X"}});
    assert_eq!(tool(&api, "post_f")["inputSchema"]["$defs"], expected);
}

#[test]
fn what_is_too_large_for_a_model_is_left_out_and_costs_little() {
    // Each schema refers to all others, and every operation to one of them.
    let (mut schemas, mut paths) = (String::new(), String::new());
    for index in 0..120 {
        let comma = if index > 0 { "," } else { "" };
        let mut properties = String::new();
        for other in 0..120 {
            let comma = if other > 0 { "," } else { "" };
            let _ = write!(properties, r##"{comma}"p{other}":{{"$ref":"#/components/schemas/S{other}"}}"##);
        }
        let _ = write!(schemas, r#"{comma}"S{index}":{{"type":"object","properties":{{{properties}}}}}"#);
        let _ = write!(
            paths,
            r##"{comma}"/p{index}":{{"post":{{"requestBody":{{"required":true,"content":{{"application/json":{{"schema":{{"$ref":"#/components/schemas/S{index}"}}}}}}}}}},"get":{{"responses":{{"200":{{"content":{{"application/json":{{"schema":{{"$ref":"#/components/schemas/S{index}"}}}}}}}}}}}}}}"##
        );
    }
    let text =
        format!(r#"{{"openapi":"3.1.0","paths":{{{paths}}},"components":{{"schemas":{{{schemas}}}}}}}"#);
    let began = Instant::now();
    let api = read(&text).expect("an API");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!((api.operations.len(), api.left_out.len()), (120, 120));
    assert!(api.left_out.iter().all(|it| it.why.contains("64 KiB")));
    assert!(
        api.operations.iter().all(|it| it.definition().as_bytes().len() < 1000),
        "what it gives is not told"
    );
}

#[test]
fn no_name_is_longer_than_anybody_writes_one() {
    let long = "n".repeat(300);
    let path = format!("/{}", "p".repeat(5000));
    for (paths, why) in [
        (json!({"/x": {"get": {"parameters": [{"name": long, "in": "query"}]}}}), "256 bytes"),
        (
            json!({"/x": {"post": {"requestBody": {"content": {"application/x-www-form-urlencoded": {
                "encoding": {long.clone(): {"style": "form"}},
            }}}}}}),
            "256 bytes",
        ),
        (
            json!({"/x": {"post": {"requestBody": {"content": {format!("text/plain;{long}"): {}}}}}}),
            "cannot be sent",
        ),
        (json!({path: {"get": {}}}), "4096 bytes"),
    ] {
        let error = read(&with_paths(&paths)).map(drop).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn there_are_not_more_operations_than_anybody_can_use() {
    let paths: serde_json::Map<_, _> = (0..2100).map(|n| (format!("/p{n}"), json!({"get": {}}))).collect();
    let text = with_paths(&paths.into());
    let error = read(&text).map(drop).expect_err("too many").to_string();
    assert!(error.contains("openapi.operations"), "{error}");
    let few = Set { operations: vec!["get_p1*".to_owned()], ..Set::default() };
    assert_eq!(read_with(&text, &few).expect("some").operations.len(), 1111);
}

#[test]
fn what_is_no_api_says_so() {
    for (text, why) in [
        (r#"{"openapi":"3.1.0"}"#, "no operation"),
        (r#"{"openapi":"3.1.0","paths":[]}"#, "no operation"),
        (
            r#"{"openapi":"3.1.0","paths":{"/x":{"get":7}}}"#,
            "GET /x is left out because what is there is no object",
        ),
        ("openapi: 3.1.0\npaths:\n  /x:\n    delete:\n", "DELETE /x is left out because"),
        (r#"{"openapi":"3.1.0","paths":{"/x":7}}"#, "/x is left out because what is there is no object"),
        (r#"{"openapi":"3.1.0","paths":{"/x":{"options":{}}}}"#, "OPTIONS /x is left out because no tool"),
    ] {
        let error = read(text).map(drop).expect_err(text).to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}

#[test]
fn what_is_no_tool_says_why_and_takes_no_name() {
    let item =
        json!({"trace": {}, "options": {"operationId": "x"}, "get": {"operationId": "x"}, "put": null});
    let paths = json!({"/x": item, "/y": {"$ref": "paths/y.yaml"}});
    let api = read(&with_paths(&paths)).expect("an API");
    assert_eq!(names(&api), ["x"]);
    let left_out: Vec<_> = api.left_out.iter().map(|it| it.operation.as_str()).collect();
    assert_eq!(left_out, ["PUT /x", "OPTIONS /x", "TRACE /x", "/y"]);
    // What nobody wants is not told, and what is no operation is not counted as one.
    let mut paths: serde_json::Map<_, _> =
        (0..1500).map(|n| (format!("/p{n}"), json!({"get": {}, "options": {}}))).collect();
    let api = read(&with_paths(&paths.clone().into())).expect("an API");
    assert_eq!((api.operations.len(), api.left_out.len()), (1500, 1500));
    paths.extend((0..3000).map(|n| (format!("/q{n}"), json!({"$ref": "q.yaml"}))));
    let few = Set { operations: vec!["get_p7".to_owned()], ..Set::default() };
    let api = read_with(&with_paths(&paths.into()), &few).expect("an API");
    assert_eq!((names(&api), api.left_out.len()), (vec!["get_p7"], 2000));
}

#[test]
fn a_description_is_no_longer_than_anybody_reads() {
    let paths = json!({"/x": {"get": {"description": "é".repeat(100_000), "summary": "Does it."}}, "/y": {"get": {}}});
    let api = read(&with_paths(&paths)).expect("an API");
    let shortened = tool(&api, "get_x");
    let text = shortened["description"].as_str().expect("a description");
    assert!(text.starts_with("Does it.\n\né") && text.ends_with("é…\n\nGET /x"), "{} bytes", text.len());
    assert_eq!(text.chars().count(), (8 << 10) + 1 + "\n\nGET /x".len());
    assert_eq!(tool(&api, "get_y")["description"], "GET /y");
}
