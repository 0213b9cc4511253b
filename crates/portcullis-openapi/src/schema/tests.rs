//! What schemas become.

use super::*;

fn written(version: &str, components: &str, schema: &str, way: Way) -> String {
    let text = format!(r#"{{"openapi":"{version}","components":{{"schemas":{components}}}}}"#);
    let document = Document::parse(text.into()).expect("a document");
    let schema = Raw::trusted(schema.to_owned());
    Schemas::new(&document, way, 10_000).write_whole(&schema).expect("room").to_string()
}

fn of_3_0(schema: &str) -> String {
    written("3.0.3", "{}", schema, Way::Request)
}

#[test]
fn what_means_the_same_keeps_its_bytes() {
    let schema = r##"{"type":"object","properties":{"n":{"type":"number","multipleOf":0.10,"maximum":9007199254740993,"default":1.0},"s":{"const":{"$ref":"#/no/reference","nullable":true}}},"minProperties":1e0,"additionalProperties":false}"##;
    assert_eq!(written("3.1.0", "{}", schema, Way::Request), schema);
    assert_eq!(of_3_0(schema), schema);
}

#[test]
fn the_dialect_of_3_0_becomes_what_it_means() {
    for (before, after) in [
        (
            r#"{"type":"object","properties":{"a":{"type":"string","nullable":true}}}"#,
            r#"{"type":"object","properties":{"a":{"type":["string","null"]}}}"#,
        ),
        (
            r#"{"type":"object","properties":{"a":{"type":"string","nullable":true,"enum":["x"]}}}"#,
            r#"{"type":"object","properties":{"a":{"type":["string","null"],"enum":["x",null]}}}"#,
        ),
        (
            r#"{"type":"object","properties":{"a":{"nullable":true,"allOf":[{"type":"string"}]}}}"#,
            r#"{"type":"object","properties":{"a":{"anyOf":[{"allOf":[{"type":"string"}]},{"type":"null"}]}}}"#,
        ),
        (
            r#"{"type":"object","properties":{"a":{"minimum":0,"exclusiveMinimum":true,"maximum":5,"exclusiveMaximum":false}}}"#,
            r#"{"type":"object","properties":{"a":{"exclusiveMinimum":0,"maximum":5}}}"#,
        ),
        (
            r#"{"type":"object","example":{"a":1},"xml":{"name":"x"},"x-go-name":"A","discriminator":{"propertyName":"k"}}"#,
            r#"{"type":"object","examples":[{"a":1}]}"#,
        ),
    ] {
        assert_eq!(of_3_0(before), after, "{before}");
    }
    // In 3.1 it is no keyword of the language.
    let schema = r#"{"type":"object","nullable":true}"#;
    assert_eq!(written("3.1.0", "{}", schema, Way::Request), schema);
}

#[test]
fn references_lead_to_definitions_and_circles_survive() {
    let components = r##"{"Tree":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/components/schemas/Tree"}},"name":{"$ref":"#/components/schemas/a b"}}},"a b":{"type":"string","description":"d"}}"##;
    let schema = r##"{"$ref":"#/components/schemas/Tree"}"##;
    let expected = r##"{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/$defs/Tree"}},"name":{"$ref":"#/$defs/a_b"}},"$defs":{"a_b":{"type":"string","description":"d"},"Tree":{"type":"object","properties":{"kids":{"type":"array","items":{"$ref":"#/$defs/Tree"}},"name":{"$ref":"#/$defs/a_b"}}}}}"##;
    assert_eq!(written("3.1.0", components, schema, Way::Response), expected);
    // What stands beside a reference counts in 3.1 alone.
    let schema =
        r##"{"type":"object","properties":{"a":{"$ref":"#/components/schemas/a b","description":"mine"}}}"##;
    assert!(
        written("3.1.0", components, schema, Way::Request)
            .contains(r##"{"$ref":"#/$defs/a_b","description":"mine"}"##)
    );
    assert!(!written("3.0.0", components, schema, Way::Request).contains("mine"));
}

#[test]
fn what_is_elsewhere_is_not_fetched_and_lets_anything_be_there() {
    let schema = r##"{"type":"object","properties":{"a":{"$ref":"https://evil.example/a.json"},"b":{"$ref":"../../etc/passwd"},"c":{"$ref":"#/components/schemas/None"}}}"##;
    assert_eq!(of_3_0(schema), r#"{"type":"object","properties":{"a":{},"b":{},"c":{}}}"#);
}

#[test]
fn what_goes_only_the_other_way_is_not_required() {
    let components = r#"{"Id":{"type":"integer","readOnly":true}}"#;
    let schema = r##"{"type":"object","required":["id","name","secret"],"properties":{"id":{"$ref":"#/components/schemas/Id"},"name":{},"secret":{"writeOnly":true}}}"##;
    assert!(written("3.0.0", components, schema, Way::Request).contains(r#""required":["name","secret"]"#));
    assert!(written("3.0.0", components, schema, Way::Response).contains(r#""required":["id","name"]"#));
    let schema = r#"{"type":"object","required":["id"],"properties":{"id":{"readOnly":true}}}"#;
    assert!(!written("3.1.0", "{}", schema, Way::Request).contains("required"));
}

#[test]
fn what_is_an_object_is_known_and_a_large_one_is_too_large() {
    let text = r##"{"openapi":"3.0.0","components":{"schemas":{"A":{"allOf":[{"$ref":"#/components/schemas/B"},{}]},"B":{"properties":{"a":{}}},"L":{"allOf":[{"$ref":"#/components/schemas/L"}]},"N":{"type":"object","nullable":true}}}}"##;
    let document = Document::parse(text.into()).expect("a document");
    let is_object = |name: &str| {
        let schema = Raw::trusted(format!(r##"{{"$ref":"#/components/schemas/{name}"}}"##));
        Schemas::new(&document, Way::Response, 100).is_object(&schema)
    };
    assert!(is_object("A") && is_object("B"));
    assert!(!is_object("L") && !is_object("N") && !is_object("None"));
    let large = Raw::trusted(format!(r#"{{"type":"object","description":"{}"}}"#, "x".repeat(200)));
    assert_eq!(Schemas::new(&document, Way::Response, 100).write_whole(&large), Err(TooLarge));
}
