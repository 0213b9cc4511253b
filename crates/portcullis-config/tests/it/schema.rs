//! The published schema is that of this code.

use std::path::Path;

#[test]
fn the_published_schema_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/config.schema.json");
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    let made = format!("{:#}\n", portcullis_config::schema());
    assert!(published == made, "docs/reference/config.schema.json is stale; refresh it with `make generate`");
}

#[test]
fn the_published_reference_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/configuration.md");
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    let made = portcullis_config::reference();
    assert!(published == made, "docs/reference/configuration.md is stale; refresh it with `make generate`");
}

#[test]
fn every_key_is_documented() {
    fn walk(name: &str, schema: &serde_json::Value) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            if key != "kind" {
                assert!(property["description"].is_string(), "{name}.{key} has no description");
            }
        }
    }
    let schema = portcullis_config::schema();
    walk("", &schema);
    for (name, definition) in schema["$defs"].as_object().expect("there are definitions") {
        walk(name, definition);
    }
}
