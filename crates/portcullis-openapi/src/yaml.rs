//! YAML as JSON text, from parser events.
//!
//! OpenAPI asks for the part of YAML that JSON has: keys are text, scalars are those of YAML's JSON schema, so a number
//! keeps its digits and `no` is a word. Aliases are written out, under a bound on the whole. Merge keys, tags and a second
//! document are refused: nobody could say what they mean.

use std::collections::HashMap;
use std::ops::Range;

use portcullis_mcp::json::write_string;
use saphyr_parser::{Event, Parser, ScalarStyle};

/// Why a text is not acceptable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {why}")]
pub(crate) struct NotYaml {
    line: usize,
    why: String,
}

/// A list or mapping that is still open.
struct Open {
    anchor: usize,
    /// Where it starts in what is written.
    start: usize,
    is_map: bool,
    /// In a mapping, the next node is a value.
    has_key: bool,
    is_empty: bool,
}

/// Writes a YAML document as JSON of at most `most` bytes, nested at most `depth` deep.
pub(crate) fn to_json(text: &str, most: usize, depth: usize) -> Result<Vec<u8>, NotYaml> {
    let mut writer =
        Writer { out: Vec::with_capacity(text.len()), open: Vec::new(), anchors: HashMap::new() };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| NotYaml {
            line: error.marker().line(),
            why: format!("not valid YAML: {}", error.info()),
        })?;
        let step = match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 { Err("a second document in one file".to_owned()) } else { Ok(()) }
            }
            event if writer.open.len() > depth => {
                drop(event);
                Err(format!("nested deeper than {depth} levels"))
            }
            event => writer.take(event),
        };
        let fits = writer.out.len() <= most;
        let step = step
            .and_then(|()| if fits { Ok(()) } else { Err(format!("it comes to more than {most} bytes")) });
        step.map_err(|why| NotYaml { line: span.start.line(), why })?;
    }
    if writer.out.is_empty() {
        writer.out.extend_from_slice(b"null");
    }
    Ok(writer.out)
}

struct Writer {
    out: Vec<u8>,
    open: Vec<Open>,
    /// Where what an anchor names was written.
    anchors: HashMap<usize, Range<usize>>,
}

impl Writer {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = match tag {
                    None => style != ScalarStyle::Plain,
                    Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => true,
                    Some(tag) => return Err(format!("the tag `{tag}` is nothing that JSON has")),
                };
                let is_key = self.before();
                if is_key && !is_text && text == "<<" {
                    return Err(
                        "a merge key (`<<`), which OpenAPI does not have; write the members out".to_owned()
                    );
                }
                let start = self.out.len();
                let value = if is_key || is_text { None } else { plain(&text) };
                match value {
                    Some(value) => self.out.extend_from_slice(value.as_bytes()),
                    None => write_string(&mut self.out, &text),
                }
                self.note(anchor, start);
                self.after(is_key);
                Ok(())
            }
            Event::SequenceStart(anchor, tag) => self.begin(anchor, tag.is_some(), false),
            Event::MappingStart(anchor, tag) => self.begin(anchor, tag.is_some(), true),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.out.push(if open.is_map { b'}' } else { b']' });
                    self.note(open.anchor, open.start);
                    self.after(false);
                }
                Ok(())
            }
            Event::Alias(anchor) => {
                let Some(range) = self.anchors.get(&anchor).cloned() else {
                    return Err("an alias inside the value that it stands for".to_owned());
                };
                let is_key = self.before();
                if is_key && self.out[range.start] != b'"' {
                    return Err("a key that is no text".to_owned());
                }
                self.out.extend_from_within(range);
                self.after(is_key);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, anchor: usize, has_tag: bool, is_map: bool) -> Result<(), String> {
        if has_tag {
            return Err("a tag on a list or mapping, which JSON has not".to_owned());
        }
        if self.before() {
            return Err("a key that is no text".to_owned());
        }
        let start = self.out.len();
        self.out.push(if is_map { b'{' } else { b'[' });
        self.open.push(Open { anchor, start, is_map, has_key: false, is_empty: true });
        Ok(())
    }

    /// Writes what stands before a node; whether it is a key.
    fn before(&mut self) -> bool {
        let Some(open) = self.open.last_mut() else { return false };
        let is_key = open.is_map && !open.has_key;
        if !open.is_empty && (is_key || !open.is_map) {
            self.out.push(b',');
        }
        open.is_empty = false;
        is_key
    }

    fn after(&mut self, is_key: bool) {
        let Some(open) = self.open.last_mut() else { return };
        if is_key {
            self.out.push(b':');
        }
        open.has_key = is_key;
    }

    fn note(&mut self, anchor: usize, start: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, start..self.out.len());
        }
    }
}

/// A plain scalar that is no text: as JSON writes it.
fn plain(text: &str) -> Option<String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some("null".to_owned()),
        "true" | "True" | "TRUE" => return Some("true".to_owned()),
        "false" | "False" | "FALSE" => return Some("false".to_owned()),
        _ => {}
    }
    // Most words are none, and whoever starts like a number is looked at more closely.
    if !text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        return None;
    }
    let limits = portcullis_mcp::json::Limits { depth: 0 };
    let is_number = portcullis_mcp::json::verify(text.as_bytes(), limits).is_ok();
    is_number.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn json(text: &str) -> Result<String, String> {
        let json = to_json(text, 10_000, 20).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(json).expect("text"))
    }

    #[test]
    fn scalars_are_those_of_json_and_numbers_keep_their_digits() {
        let text = "a: 1.10\nb: 9007199254740993\nc: 1.2.3\nd: no\ne: '5'\nf: ~\ng: true\n200: {x: [a, -1e3, 0x1f]}\nh: |\n  two\n  lines\n";
        let expected = r#"{"a":1.10,"b":9007199254740993,"c":"1.2.3","d":"no","e":"5","f":null,"g":true,"200":{"x":["a",-1e3,"0x1f"]},"h":"two\nlines\n"}"#;
        assert_eq!(json(text), Ok(expected.to_owned()));
        assert_eq!(json(""), Ok("null".to_owned()));
        assert_eq!(json("a: !!str 5\nb: []\nc: {}"), Ok(r#"{"a":"5","b":[],"c":{}}"#.to_owned()));
    }

    #[test]
    fn aliases_are_written_out_and_bounded() {
        assert_eq!(
            json("a: &x {b: [1]}\nc: *x\nd: [*x, *x]"),
            Ok(r#"{"a":{"b":[1]},"c":{"b":[1]},"d":[{"b":[1]},{"b":[1]}]}"#.to_owned())
        );
        let mut laughs = "a0: &a0 lol\n".to_owned();
        for level in 1..30 {
            let before = level - 1;
            let _ = writeln!(laughs, "a{level}: &a{level} [*a{before}, *a{before}, *a{before}]");
        }
        assert!(json(&laughs).expect_err("too much").contains("more than 10000 bytes"));
        assert!(json("a: &a [*a]").expect_err("endless").contains("alias"));
    }

    #[test]
    fn what_json_has_not_is_refused() {
        for text in [
            "<<: {a: 1}",
            "a: !!binary x",
            "? [a]\n: b",
            "a: 1\n---\nb: 2",
            "a: [",
            "!x {a: 1}",
            &"[".repeat(40),
        ] {
            assert!(json(text).is_err(), "{text}");
        }
    }
}
