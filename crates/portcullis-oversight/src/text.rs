//! Definitions as people read them: one line for each member, and what differs between two.

use std::fmt::Write as _;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::hidden::visible;

/// Longest line that is shown whole; longer texts are broken where they say so, and at this length.
const LINE: usize = 160;

/// What differs between two canonical texts, line by line, with `-` and `+` before what is gone and new. Characters that
/// cannot be seen are written out. Lines that are the same are left out but for one on each side.
pub fn difference(old: Option<&str>, new: &str) -> String {
    let new = lines(new);
    let Some(old) = old.map(lines) else {
        return new.lines().fold(String::new(), |out, line| out + "+ " + line + "\n");
    };
    let diff = TextDiff::from_lines(&old, &new);
    let mut out = String::new();
    for (index, group) in diff.grouped_ops(1).iter().enumerate() {
        if index > 0 {
            out.push_str("  …\n");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let _ = writeln!(out, "{sign} {}", change.value().trim_end_matches('\n'));
        }
    }
    out
}

/// One line for each value, under its path.
fn lines(text: &str) -> String {
    let mut out = String::new();
    match serde_json::from_str(text) {
        Ok(value) => flatten(&mut out, "", &value),
        // It was too long to be kept whole.
        Err(_) => write(&mut out, "", text),
    }
    out
}

fn flatten(out: &mut String, path: &str, value: &Value) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                let key = visible(key);
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(out, &path, value);
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            for (index, value) in elements.iter().enumerate() {
                flatten(out, &format!("{path}[{index}]"), value);
            }
        }
        Value::String(text) => write(out, path, text),
        other => write(out, path, &other.to_string()),
    }
}

fn write(out: &mut String, path: &str, text: &str) {
    let shown = visible(text);
    let mut first = true;
    for line in shown.split('\n') {
        let chars: Vec<char> = line.chars().collect();
        for chunk in chars.chunks(LINE).map(String::from_iter).chain(chars.is_empty().then(String::new)) {
            let lead = if first { format!("{path}: ") } else { format!("{path}… ") };
            first = false;
            let _ = writeln!(out, "{lead}{chunk}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_readable() {
        let old = r#"{"description":"Adds.\nTwo numbers.","inputSchema":{"required":["a","b"],"type":"object"},"name":"add"}"#;
        let new = "{\"description\":\"Adds.\\nTwo num\u{200b}bers.\",\"inputSchema\":{\"required\":[\"a\"],\"type\":\"object\"},\"name\":\"add\"}";
        let expected = [
            "  description: Adds.",
            "- description… Two numbers.",
            "+ description… Two num<U+200B>bers.",
            "  inputSchema.required[0]: a",
            "- inputSchema.required[1]: b",
            "  inputSchema.type: object",
        ];
        assert_eq!(difference(Some(old), new).lines().collect::<Vec<_>>(), expected);
        assert_eq!(difference(None, r#"{"name":"add"}"#), "+ name: add\n");
        assert_eq!(difference(Some(old), old), "");
        let long = format!("{{\"name\":\"{}\"}}", "x".repeat(400));
        assert_eq!(difference(None, &long).lines().count(), 3);
    }
}
