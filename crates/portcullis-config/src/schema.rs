//! The JSON Schema of the configuration file, made from the raw structs.

use schemars::JsonSchema;
use serde_json::Value;

use crate::raw;

/// The JSON Schema (draft 2020-12) of the configuration file, for editors and for the reference page.
///
/// It is also what a file is held against. `${NAME}` may stand wherever the schema says a number or a truth
/// value; an editor will mark that, the gateway will not.
pub fn schema() -> Value {
    of::<raw::File>()
}

/// The JSON Schema of a file.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    tidy(&mut schema, false);
    schema
}

/// Leaves out what the derive adds and a reader does not need: `null` beside optional types (absent and null mean
/// the same), machine formats of numbers, and defaults that only say "empty".
fn tidy(value: &mut Value, in_map: bool) {
    match value {
        Value::Object(object) => {
            if !in_map {
                object.retain(|key, value| match key.as_str() {
                    "format" => false,
                    "default" => !value.is_null() && !value.is_object() && !value.is_array(),
                    _ => true,
                });
                if let Some(Value::Array(types)) = object.get_mut("type") {
                    types.retain(|kind| kind != "null");
                    if let [only] = types.as_slice() {
                        let only = only.clone();
                        object.insert("type".to_owned(), only);
                    }
                }
                unwrap_optional(object);
            }
            for (key, child) in object.iter_mut() {
                tidy(child, !in_map && matches!(key.as_str(), "properties" | "$defs"));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| tidy(item, false)),
        _ => {}
    }
}

/// `anyOf: [X, null]` is X.
fn unwrap_optional(object: &mut serde_json::Map<String, Value>) {
    let Some(Value::Array(choices)) = object.get("anyOf") else { return };
    let choices: Vec<Value> = choices.iter().filter(|choice| choice["type"] != "null").cloned().collect();
    if let [Value::Object(only)] = choices.as_slice() {
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}
