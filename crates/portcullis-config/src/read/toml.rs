//! TOML. Its parser recovers, so several mistakes of form can be told at once.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{DEPTH, Lines, Malformed};
use crate::node::{Entry, Mark, Node, Value};

pub(super) fn read(text: &str) -> Result<Node, Vec<Malformed>> {
    let lines = Lines::new(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let malformed = |error: toml::de::Error| Malformed {
            at: error.span().map_or(Mark::default(), |span| lines.mark(span.start)),
            message: format!("not valid TOML: {}", error.message()),
        };
        return Err(errors.into_iter().map(malformed).collect());
    }
    let at = Mark { line: 1, column: 1 };
    let value = table(root.into_inner(), &lines, 0).map_err(|malformed| vec![malformed])?;
    Ok(Node { at, value })
}

fn table(table: DeTable<'_>, lines: &Lines<'_>, depth: usize) -> Result<Value, Malformed> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let at = lines.mark(key.span().start);
        entries.push(Entry {
            at,
            key: key.into_inner().into_owned(),
            node: convert(value, lines, depth + 1)?,
        });
    }
    Ok(Value::Map(entries))
}

fn convert(toml: Spanned<DeValue<'_>>, lines: &Lines<'_>, depth: usize) -> Result<Node, Malformed> {
    let at = lines.mark(toml.span().start);
    if depth > DEPTH {
        return Err(Malformed { at, message: format!("nested deeper than {DEPTH} levels") });
    }
    let value = match toml.into_inner() {
        DeValue::String(text) => return Ok(Node::text(at, text)),
        DeValue::Integer(integer) => {
            let decimal = i64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| Malformed {
                at,
                message: "not valid TOML: an integer has at most 64 bits".to_owned(),
            })?;
            return Ok(Node::scalar(at, decimal.to_string(), false));
        }
        DeValue::Float(float) => return Ok(Node::scalar(at, float.as_str(), false)),
        DeValue::Boolean(truth) => return Ok(Node::scalar(at, truth.to_string(), false)),
        DeValue::Datetime(time) => return Ok(Node::scalar(at, time.to_string(), false)),
        DeValue::Array(items) => Value::List(
            items.into_iter().map(|item| convert(item, lines, depth + 1)).collect::<Result<_, _>>()?,
        ),
        DeValue::Table(inner) => table(inner, lines, depth)?,
    };
    Ok(Node { at, value })
}
