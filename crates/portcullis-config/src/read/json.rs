//! JSON, with the comments and trailing commas that editors put into their files.

use jsonc_parser::ast::{ObjectPropName, Value as Json};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::{DEPTH, Lines, Malformed};
use crate::node::{Entry, Node, Value};

const OPTIONS: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

pub(super) fn read(text: &str) -> Result<Node, Malformed> {
    let lines = Lines::new(text);
    let parsed = parse_to_ast(text, &CollectOptions::default(), &OPTIONS).map_err(|error| {
        let at = lines.mark(error.range().start);
        Malformed { at, message: format!("not valid JSON: {}", error.kind()) }
    })?;
    match parsed.value {
        Some(value) => convert(value, &lines, 0),
        None => Ok(Node { at: lines.mark(0), value: Value::Null }),
    }
}

fn convert(json: Json<'_>, lines: &Lines<'_>, depth: usize) -> Result<Node, Malformed> {
    let at = lines.mark(json.range().start);
    if depth > DEPTH {
        return Err(Malformed { at, message: format!("nested deeper than {DEPTH} levels") });
    }
    let value = match json {
        Json::StringLit(literal) => return Ok(Node::text(at, literal.value)),
        Json::NumberLit(literal) => return Ok(Node::scalar(at, literal.value, false)),
        Json::BooleanLit(literal) => return Ok(Node::scalar(at, literal.value.to_string(), false)),
        Json::NullKeyword(_) => Value::Null,
        Json::Array(array) => Value::List(
            array
                .elements
                .into_iter()
                .map(|item| convert(item, lines, depth + 1))
                .collect::<Result<_, _>>()?,
        ),
        Json::Object(object) => {
            let mut entries = Vec::with_capacity(object.properties.len());
            for property in object.properties {
                let at = lines.mark(property.range.start);
                let key = match property.name {
                    ObjectPropName::String(name) => name.value.into_owned(),
                    ObjectPropName::Word(name) => name.value.to_owned(),
                };
                entries.push(Entry { at, key, node: convert(property.value, lines, depth + 1)? });
            }
            Value::Map(entries)
        }
    };
    Ok(Node { at, value })
}
