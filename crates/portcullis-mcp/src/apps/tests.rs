//! A policy removes and never adds; what a view asks for in another form than it should is not given.

use super::*;
use crate::json::Limits;

fn json(text: &str) -> Raw {
    Raw::parse(text.to_owned().into(), Limits::default()).expect("JSON")
}

fn sources(texts: &[&str]) -> Vec<Source> {
    texts.iter().map(|text| Source::parse(text).expect("a source")).collect()
}

#[test]
fn a_source_covers_what_is_within_it() {
    for (allowed, asked, covered) in [
        ("https://a.example", "https://a.example", true),
        ("https://a.example", "HTTPS://A.example/", true),
        ("https://a.example", "https://a.example:443/v1", true),
        ("https://a.example", "https://a.example:8443", false),
        ("https://a.example", "http://a.example", false),
        ("https://a.example", "wss://a.example", false),
        ("https://a.example", "https://b.a.example", false),
        ("https://a.example", "https://*.a.example", false),
        ("https://a.example/v1", "https://a.example", false),
        ("https://a.example/v1", "https://a.example/v1/", false),
        ("https://a.example/v1/", "https://a.example/v1/x", true),
        ("https://a.example/v1/", "https://a.example/v1", false),
        ("https://a.example/v1/", "https://a.example/v1/../x", false),
        ("https://a.example/v1/", "https://a.example/v1/%2e%2e/x", false),
        ("https://*.a.example", "https://b.a.example", true),
        ("https://*.a.example", "https://*.b.a.example", true),
        ("https://*.a.example", "https://*.a.example", true),
        ("https://*.a.example", "https://a.example", false),
        ("https://*.a.example", "https://bada.example", false),
        ("https://*.a.example", "https://*.example", false),
        ("x://a", "x://a:1", false),
    ] {
        let (allowed, asked) = (Source::parse(allowed).unwrap(), Source::parse(asked).unwrap());
        assert_eq!(allowed.covers(&asked), covered, "{allowed:?} {asked:?}");
    }
}

#[test]
fn what_is_no_plain_source_is_not_understood() {
    for text in [
        "*",
        "https:",
        "https://",
        "https://*",
        "a.example",
        "'self'",
        "https://a.example; script-src *",
        "https://a.example/x;y",
        "https://a.example https://b.example",
        "https://user@a.example",
        "https://a..example",
        "https://*.*.example",
        "https://a.example:x",
        "https://a.example/\u{2028}",
        "",
    ] {
        assert_eq!(Source::parse(text), None, "{text}");
    }
}

fn check(policy: &Policy, before: &str, after: Option<&str>) {
    assert_eq!(policy.tighten_item(&json(before)).as_ref().map(Raw::as_str), after, "{before}");
}

#[test]
fn a_policy_only_removes() {
    let policy = Policy {
        connect: Some(sources(&["https://*.a.example"])),
        frame: Some(sources(&[])),
        permissions: Some(vec!["camera".to_owned()]),
        ..Policy::default()
    };
    check(
        &policy,
        r#"{"uri":"ui://x","_meta":{"k":1.0,"ui":{"csp":{"connectDomains":["https://x.a.example","https://evil.example"],"resourceDomains":["https://evil.example"],"frameDomains":["https://f.example"]},"permissions":{"camera":{},"microphone":{}},"domain":"d","prefersBorder":true}}}"#,
        Some(
            r#"{"uri":"ui://x","_meta":{"k":1.0,"ui":{"csp":{"connectDomains":["https://x.a.example"],"resourceDomains":["https://evil.example"],"frameDomains":[]},"permissions":{"camera":{}},"domain":"d","prefersBorder":true}}}"#,
        ),
    );
    check(&policy, r#"{ "_meta": {"ui":{"csp":{"connectDomains":[ "https://x.a.example" ]}} }}"#, None);
    check(&policy, r#"{"_meta":{"ui":{"prefersBorder":true}}}"#, None);
    check(&policy, r#"{"_meta":{"ui":{"csp":{},"permissions":{}}}}"#, None);
    check(
        &policy,
        r#"{"_meta":{"ui":{"csp":{"connectDomains":"*"},"permissions":"all"}}}"#,
        Some(r#"{"_meta":{"ui":{"csp":{"connectDomains":[]},"permissions":{}}}}"#),
    );
    check(&Policy::default(), r#"{"_meta":{"ui":{"csp":{"connectDomains":["*"]}}}}"#, None);
}

type Tighten = fn(&Policy, &Raw) -> Option<Raw>;

#[test]
fn embedded_resources_are_tightened_too() {
    let policy = Policy { connect: Some(sources(&[])), ..Policy::default() };
    let resource = r#"{"uri":"ui://x","text":"<p>","_meta":{"ui":{"csp":{"connectDomains":["https://e"]}}}}"#;
    let tight = r#"{"uri":"ui://x","text":"<p>","_meta":{"ui":{"csp":{"connectDomains":[]}}}}"#;
    let cases: [(Tighten, String); 3] = [
        (Policy::tighten_read_result, format!(r#"{{"contents":[{resource}]}}"#)),
        (
            Policy::tighten_tool_result,
            format!(
                r#"{{"content":[{{"type":"text","text":"a"}},{{"type":"resource","resource":{resource}}}]}}"#
            ),
        ),
        (
            Policy::tighten_prompt_result,
            format!(
                r#"{{"messages":[{{"role":"user","content":{{"type":"resource","resource":{resource}}}}}]}}"#
            ),
        ),
    ];
    for (tighten, before) in cases {
        let after = before.replace(resource, tight);
        assert_eq!(tighten(&policy, &json(&before)).expect("a change").as_str(), after);
        assert_eq!(tighten(&policy, &json(&after)), None);
    }
}

#[test]
fn tools_are_linked_by_either_spelling_unless_views_do_not_see_them() {
    for (tool, view, linked) in [
        (r#"{"_meta":{"ui":{"resourceUri":"ui://a"}}}"#, Some("ui://a"), true),
        (r#"{"_meta":{"ui/resourceUri":"ui://b"}}"#, Some("ui://b"), true),
        (r#"{"_meta":{"ui":{"visibility":["app"]}}}"#, None, true),
        (r#"{"_meta":{"ui":{"resourceUri":"ui://a","visibility":["model"]}}}"#, Some("ui://a"), false),
        (r#"{"_meta":{"ui":"x"}}"#, None, false),
        (r#"{"_meta":{}}"#, None, false),
        (r#"{"name":"x"}"#, None, false),
    ] {
        let tool = json(tool);
        assert_eq!((views_of(&tool).next().as_deref(), is_linked(&tool)), (view, linked), "{tool}");
    }
}

#[test]
fn a_tool_loses_its_view_and_nothing_else() {
    for (tool, views, bare) in [
        (
            r#"{"name":"t","_meta":{"ui":{"resourceUri":"ui://v","visibility":["app"]},"ui/resourceUri":"ui://v","x":1}}"#,
            1,
            r#"{"name":"t","_meta":{"ui":{"visibility":["app"]},"x":1}}"#,
        ),
        (
            r#"{"name":"t","_meta":{"ui":{"resourceUri":"ui://v"},"ui/resourceUri":"ui://w"}}"#,
            2,
            r#"{"name":"t","_meta":{"ui":{}}}"#,
        ),
        (r#"{"name":"t","_meta":{"ui":3,"ui/resourceUri":"ui://v"}}"#, 1, r#"{"name":"t","_meta":{"ui":3}}"#),
        (r#"{"name":"t"}"#, 0, r#"{"name":"t"}"#),
    ] {
        let tool = json(tool);
        assert_eq!(views_of(&tool).count(), views, "{tool}");
        assert_eq!(without_view(&tool).as_str(), bare);
    }
}
