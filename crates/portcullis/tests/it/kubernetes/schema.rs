//! What is sent to an API server, held against the schema of Kubernetes itself (`tests/kubernetes/schema.py` has made it).

use std::sync::OnceLock;

use serde_json::{Value, json};

const SCHEMA: &str = include_str!("schema.json");

/// Whether an object is one of Kubernetes, with no member that nobody knows.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(object: &Value) -> Result<(), String> {
    static SCHEMAS: OnceLock<Value> = OnceLock::new();
    let schemas = SCHEMAS.get_or_init(|| serde_json::from_str(SCHEMA).unwrap());
    let kind = object["kind"].as_str().ok_or("it has no kind")?;
    let schema = json!({"$ref": format!("#/$defs/V1{kind}"), "$defs": schemas["$defs"]});
    let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
    validator.validate(object).map_err(|error| format!("{}: {error}", error.instance_path()))
}

#[test]
fn what_kubernetes_does_not_know_is_wrong() {
    let object = |spec: Value| json!({"apiVersion": "v1", "kind": "Service", "spec": spec});
    assert_eq!(check(&object(json!({"type": "ClusterIP"}))), Ok(()));
    for wrong in [json!({"kind": "x"}), json!({"type": 1}), json!({"ports": [{"protocol": "TCP"}]})] {
        check(&object(wrong)).unwrap_err();
    }
}
