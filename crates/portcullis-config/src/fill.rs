//! `${NAME}` in a value becomes the environment variable of that name.
//!
//! `${NAME}`, `${NAME:-default}` (also for an empty variable) and the editors' `${env:NAME}` are filled in;
//! `$${` stands for `${` itself. Keys are not touched, and what was filled in is not looked at again.

use crate::Environment;
use crate::node::{Node, Path, Value};
use crate::report::Report;

/// Fills in every scalar at and below `node`. A value that cannot be filled in becomes absent.
pub(crate) fn fill(node: &mut Node, path: &Path, env: &dyn Environment, report: &mut Report) {
    match &mut node.value {
        Value::Null => {}
        Value::Scalar(scalar) => {
            if !scalar.text.contains("${") {
                return;
            }
            match filled(&scalar.text, env) {
                Ok((text, names)) => {
                    // What comes from the environment is text everywhere: let the place decide what it means.
                    scalar.quoted &= names.is_empty();
                    (scalar.text, scalar.filled) = (text, names);
                }
                Err(message) => {
                    report.error(node.at, path, message, None);
                    node.value = Value::Null;
                }
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                fill(item, &path.index(index), env, report);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                fill(&mut entry.node, &path.key(&entry.key), env, report);
            }
        }
    }
}

/// The text with its variables filled in, and their names.
fn filled(text: &str, env: &dyn Environment) -> Result<(String, Vec<String>), String> {
    let (mut out, mut names, mut rest) = (String::with_capacity(text.len()), Vec::new(), text);
    while let Some(start) = rest.find("${") {
        let (before, found) = rest.split_at(start);
        let inside = &found[2..];
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = inside;
            continue;
        }
        out.push_str(before);
        let (expression, after) = inside
            .split_once('}')
            .ok_or("`${` is never closed; write `$${` for the characters themselves")?;
        let (name, value) = variable(expression, env)?;
        out.push_str(&value);
        names.push(name);
        rest = after;
    }
    out.push_str(rest);
    Ok((out, names))
}

fn variable(expression: &str, env: &dyn Environment) -> Result<(String, String), String> {
    if let Some(input) = expression.strip_prefix("input:") {
        let name: String = input.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let name = name.to_ascii_uppercase();
        return Err(format!(
            "`${{{expression}}}` is a question that an editor asks; set the environment variable {name} and write \
             `${{{name}}}` instead"
        ));
    }
    let plain = expression.strip_prefix("env:").unwrap_or(expression);
    let (name, default) = match plain.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (plain, None),
    };
    if !is_variable_name(name) {
        return Err(format!(
            "`${{{expression}}}` is not an environment variable; expected `${{NAME}}` or `${{NAME:-default}}` \
             (write the value out, or `$${{` for the characters themselves)"
        ));
    }
    match (env.var(name), default) {
        (Some(value), None) => Ok((name.to_owned(), value)),
        (Some(value), Some(_)) if !value.is_empty() => Ok((name.to_owned(), value)),
        (_, Some(default)) => Ok((name.to_owned(), default.to_owned())),
        (None, None) => {
            Err(format!("the environment variable {name} is not set; set it or write `${{{name}:-default}}`"))
        }
    }
}

/// Whether `name` is letters, digits and `_`, not starting with a digit.
pub(crate) fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
