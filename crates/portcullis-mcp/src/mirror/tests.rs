//! Checks of the rules for `x-mcp-header`, with the conformance suite's tools among the cases.

use proptest::prelude::*;

use super::*;
use crate::json::Limits;

fn json(text: &str) -> Raw {
    Raw::parse(text.to_owned().into(), Limits::default()).expect("JSON")
}

fn mirror(schema: &str) -> Mirror {
    Mirror::from_schema(&json(schema)).expect("a valid schema")
}

/// A schema whose property `p` has these members.
fn property(members: &str) -> String {
    format!(r#"{{"type":"object","properties":{{"p":{{{members}}}}}}}"#)
}

fn refused(schema: &str, at: &str, violation: Violation) {
    let expected = Err(InvalidMirror { at: at.to_owned(), violation });
    assert_eq!(Mirror::from_schema(&json(schema)), expected, "{schema}");
    let stripped = strip_annotations(&json(schema));
    assert!(mirror(stripped.as_str()).is_empty(), "{schema} became {stripped}");
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name = HeaderName::try_from(format!("Mcp-Param-{name}")).expect("a name");
        (name, HeaderValue::from_str(value).expect("a value"))
    };
    let mut map = HeaderMap::new();
    for (name, value) in pairs.iter().map(pair) {
        map.append(name, value);
    }
    map
}

const SCHEMA: &str = r#"{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "limit":{"x-mcp-header":"Limit","type":"integer"},
    "where":{"type":"object","properties":{"dry":{"type":"boolean","x-mcp-header":"Dry-Run"}}},
    "query":{"type":"string"}}}"#;

#[test]
fn mirrors_marked_arguments_and_no_others() {
    let check = |arguments: &str, expected: &[(&str, &str)]| {
        let made = mirror(SCHEMA).headers(Some(&json(arguments)));
        let made: Vec<_> =
            made.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("ASCII"))).collect();
        assert_eq!(made, expected, "{arguments}");
    };
    check(
        r#"{"region":"us west","limit":42,"where":{"dry":false},"query":"select"}"#,
        &[("mcp-param-region", "us west"), ("mcp-param-limit", "42"), ("mcp-param-dry-run", "false")],
    );
    check(r#"{"region":"\u00dclm"}"#, &[("mcp-param-region", "=?base64?w5xsbQ==?=")]);
    check(r#"{"region":""}"#, &[("mcp-param-region", "")]);
    check(r#"{"region":null,"where":null}"#, &[]);
    check(r#"{"limit":1.0e1}"#, &[("mcp-param-limit", "10")]);
    check(r#"{"limit":9007199254740992,"region":["a"],"where":{"dry":{}}}"#, &[]);
    check("[]", &[]);
    assert_eq!(mirror(SCHEMA).headers(None), []);
}

#[test]
fn accepts_headers_that_mirror_the_body() {
    let check = |sent: &[(&str, &str)], arguments: &str| {
        assert_eq!(mirror(SCHEMA).check(&headers(sent), Some(&json(arguments))), Ok(()), "{sent:?}");
    };
    check(&[("Region", "=?base64?SGVsbG8=?=")], r#"{"region":"Hello"}"#);
    check(&[("REGION", "Hello")], r#"{"region":"H\u0065llo"}"#);
    check(&[("Region", "  Hello ")], r#"{"region":"Hello"}"#);
    check(&[("Region", "=?base64?SGVsbG8=")], r#"{"region":"=?base64?SGVsbG8="}"#);
    check(&[("Region", "SGVsbG8=")], r#"{"region":"SGVsbG8="}"#);
    check(&[("Region", "=?base64??=")], r#"{"region":""}"#);
    check(&[("Limit", "42.0")], r#"{"limit":42}"#);
    check(&[("Limit", "42")], r#"{"limit":4.2e1}"#);
    check(&[("Limit", "-0")], r#"{"limit":0}"#);
    check(&[("Dry-Run", "true"), ("Unknown", "x")], r#"{"where":{"dry":true}}"#);
    check(&[], r#"{"region":null,"where":{"dry":null}}"#);
    check(&[], r#"{"region":["no text"]}"#);
    assert_eq!(mirror(SCHEMA).check(&headers(&[]), None), Ok(()));
}

#[test]
fn refuses_headers_that_do_not_mirror_the_body() {
    let check = |sent: &[(&str, &str)], arguments: &str, header: &str, argument: &str, reason: Reason| {
        let expected =
            Err(MirrorMismatch { header: header.to_owned(), argument: argument.to_owned(), reason });
        assert_eq!(mirror(SCHEMA).check(&headers(sent), Some(&json(arguments))), expected, "{sent:?}");
    };
    let region = |sent, arguments, reason| check(sent, arguments, "Region", "region", reason);
    region(&[], r#"{"region":"test-value"}"#, Reason::Missing);
    region(&[], r#"{"region":""}"#, Reason::Missing);
    region(&[("Region", "hello")], r#"{"region":"Hello"}"#, Reason::Different);
    region(&[("Region", "")], r#"{"region":null}"#, Reason::Unexpected);
    region(&[("Region", "x")], "{}", Reason::Unexpected);
    region(&[("Region", "x")], r#"{"region":["x"]}"#, Reason::Unexpected);
    region(&[("Region", "x"), ("Region", "x")], r#"{"region":"x"}"#, Reason::Repeated);
    region(
        &[("Region", "=?base64?SGVsbG8?=")],
        r#"{"region":"Hello"}"#,
        Reason::Encoding(BadHeaderValue::Base64),
    );
    region(
        &[("Region", "=?base64?SGVs!!!bG8=?=")],
        r#"{"region":"Hello"}"#,
        Reason::Encoding(BadHeaderValue::Base64),
    );
    let limit = |sent, arguments, reason| check(sent, arguments, "Limit", "limit", reason);
    limit(&[("Limit", "42.5")], r#"{"limit":42}"#, Reason::Different);
    limit(&[("Limit", "0x2a")], r#"{"limit":42}"#, Reason::Different);
    limit(&[("Limit", "9007199254740993")], r#"{"limit":9007199254740993}"#, Reason::NotSafeInteger);
    limit(&[], r#"{"limit":1.5}"#, Reason::NotSafeInteger);
    // The value at that exact path, not one of the same name elsewhere.
    check(&[("Dry-Run", "true")], r#"{"dry":true}"#, "Dry-Run", "where.dry", Reason::Unexpected);
    check(&[("Dry-Run", "True")], r#"{"where":{"dry":true}}"#, "Dry-Run", "where.dry", Reason::Different);
}

#[test]
fn a_mismatch_does_not_repeat_the_values() {
    let sent = headers(&[("Region", "secret-1")]);
    let error =
        mirror(SCHEMA).check(&sent, Some(&json(r#"{"region":"secret-2"}"#))).expect_err("they differ");
    assert_eq!(
        error.to_string(),
        "header `Mcp-Param-Region` does not mirror argument `region`: the values differ"
    );
}

#[test]
fn refuses_bad_names_and_types() {
    for bad in [
        r#""""#,
        r#""My Region""#,
        r#""Region:Primary""#,
        r#""Région""#,
        r#""a\u0007""#,
        r#""a\r\nb""#,
        "7",
        "null",
    ] {
        refused(
            &property(&format!(r#""type":"string","x-mcp-header":{bad}"#)),
            "properties/p",
            Violation::Name,
        );
    }
    for kind in [r#""object""#, r#""array""#, r#""null""#, r#""number""#, r#"["string","null"]"#, "1"] {
        refused(
            &property(&format!(r#""type":{kind},"x-mcp-header":"Data""#)),
            "properties/p",
            Violation::Type,
        );
    }
    refused(&property(r#""x-mcp-header":"Data""#), "properties/p", Violation::Type);
}

#[test]
fn accepts_exactly_the_token_characters() {
    for character in (0..=255_u8).map(char::from) {
        let token = character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character);
        assert_eq!(header_name(&format!("a{character}")).is_some(), token, "{character:?}");
    }
    assert_eq!(header_name(&"a".repeat(1 << 16)), None);
}

#[test]
fn refuses_names_that_differ_in_case_only() {
    for other in ["Region", "REGION", "region"] {
        refused(
            &format!(
                r#"{{"properties":{{"a":{{"type":"string","x-mcp-header":"Region"}},"b":{{"properties":{{"c":{{"type":"string","x-mcp-header":"{other}"}}}}}}}}}}"#
            ),
            "properties/b/properties/c",
            Violation::Duplicate,
        );
    }
}

#[test]
fn refuses_marks_that_properties_alone_do_not_lead_to() {
    let mark = r#"{"type":"string","x-mcp-header":"A"}"#;
    for (schema, at) in [
        (mark.to_owned(), ""),
        (format!(r#"{{"items":{mark}}}"#), "items"),
        (format!(r#"{{"items":[{mark}]}}"#), "items"),
        (format!(r#"{{"additionalProperties":{mark}}}"#), "additionalProperties"),
        (format!(r#"{{"oneOf":[true,{mark}]}}"#), "oneOf"),
        (format!(r#"{{"anyOf":[{{"properties":{{"a":{mark}}}}}]}}"#), "anyOf/properties/a"),
        (format!(r#"{{"not":{mark}}}"#), "not"),
        (format!(r#"{{"if":{mark}}}"#), "if"),
        (format!(r#"{{"$defs":{{"a":{mark}}}}}"#), "$defs/a"),
        (format!(r#"{{"patternProperties":{{".":{mark}}}}}"#), "patternProperties/."),
        (format!(r#"{{"properties":{{"p":{{"items":{mark}}}}}}}"#), "properties/p/items"),
        (format!(r#"{{"x-vendor":{{"a":{mark}}}}}"#), "x-vendor/a"),
    ] {
        refused(&schema, at, Violation::Place);
    }
}

#[test]
fn does_not_take_names_and_data_for_marks() {
    for schema in [
        r#"{"properties":{"x-mcp-header":{"type":"string"}}}"#,
        r#"{"$defs":{"x-mcp-header":{"type":"string"}},"dependencies":{"x-mcp-header":["a"]}}"#,
        r#"{"default":{"x-mcp-header":"a"},"enum":[{"x-mcp-header":1}],"properties":{"p":{"const":{"x-mcp-header":""}}}}"#,
        "true",
        "{}",
    ] {
        assert!(mirror(schema).is_empty(), "{schema}");
        assert_eq!(strip_annotations(&json(schema)), json(schema));
    }
    let own = mirror(r#"{"properties":{"properties":{"type":"string","x-mcp-header":"P"}}}"#);
    assert_eq!(own.headers(Some(&json(r#"{"properties":"v"}"#))).len(), 1, "a property named `properties`");
}

#[test]
fn strips_marks_and_leaves_the_other_bytes() {
    for (before, after) in [
        (
            r#"{ "properties" : { "a" : { "x-mcp-header" : "A" , "type" : "string" } } , "n": 1.0 }"#,
            r#"{ "properties" : { "a" : { "type" : "string" } } , "n": 1.0 }"#,
        ),
        (r#"{"a":1,"x-mcp-header":"A"}"#, r#"{"a":1}"#),
        (r#"{"a":1,"\u0078-mcp-header":"A","b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"{"x-mcp-header":"A"}"#, "{}"),
        (r#"{"oneOf":[{"x-mcp-header":"A"},true]}"#, r#"{"oneOf":[{},true]}"#),
        (r#"{"x-mcp-header":"A","default":{"x-mcp-header":"A"}}"#, r#"{"default":{"x-mcp-header":"A"}}"#),
    ] {
        assert_eq!(strip_annotations(&json(before)).as_str(), after);
    }
}

#[test]
fn reads_integers_exactly() {
    for (text, expected) in [
        ("0", Some(0)),
        ("-0.0", Some(0)),
        ("0e999999999999999999999", Some(0)),
        ("007", Some(7)),
        ("1e3", Some(1000)),
        ("1.5E+1", Some(15)),
        ("1200e-2", Some(12)),
        ("-9007199254740991", Some(-9_007_199_254_740_991)),
        ("9007199254740991", Some(9_007_199_254_740_991)),
        ("9007199254740992", None),
        ("9007199254740990.6", None),
        ("0.5", None),
        ("1e-1", None),
        ("1e16", None),
        ("1e999999999999999999999", None),
        ("99999999999999999999999999", None),
        ("", None),
        ("-", None),
        ("+1", None),
        ("1.", None),
        (".5", None),
        ("1e", None),
        ("1e+-1", None),
        ("0x10", None),
        ("1 ", None),
        ("NaN", None),
    ] {
        assert_eq!(integer::safe(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn its_own_headers_pass_its_check(
        region in prop::option::of(any::<String>()),
        limit in prop::option::of(-9_007_199_254_740_991_i64..=9_007_199_254_740_991),
        dry in prop::option::of(any::<bool>()),
        omit_null in any::<bool>(),
    ) {
        let region = region.map_or(Raw::from_static("null"), |text| Raw::from_text(&text));
        let limit = limit.map_or("null".to_owned(), |limit| limit.to_string());
        let dry = dry.map_or("null".to_owned(), |dry| dry.to_string());
        let mut arguments = format!(r#"{{"region":{region},"limit":{limit},"where":{{"dry":{dry}}}}}"#);
        if omit_null {
            arguments = arguments.replace(r#","where":{"dry":null}"#, "");
        }
        let arguments = json(&arguments);
        let mirror = mirror(SCHEMA);
        let headers: HeaderMap = mirror.headers(Some(&arguments)).into_iter().collect();
        prop_assert_eq!(mirror.check(&headers, Some(&arguments)), Ok(()));
    }

    #[test]
    fn integers_read_as_they_print(number in any::<i64>()) {
        let safe = number.unsigned_abs() <= 9_007_199_254_740_991;
        prop_assert_eq!(integer::safe(&number.to_string()), safe.then_some(number));
    }
}
