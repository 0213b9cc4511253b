//! YAML 1.2, from parser events.
//!
//! Anchors and aliases work, under a bound on the size of the result; merge keys (`<<`), tags other than `!!str`
//! and several documents in one file do not.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::{DEPTH, Malformed};
use crate::node::{Entry, Mark, Node, Value};

/// Most values that a file may come to once its aliases are filled in.
const SIZE: usize = 100_000;

pub(super) fn read(text: &str) -> Result<Node, Malformed> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Malformed {
            at: mark(error.marker()),
            message: format!("not valid YAML: {}", error.info()),
        })?;
        builder.take(event, mark(&span.start))?;
    }
    Ok(builder.root.unwrap_or(Node { at: Mark { line: 1, column: 1 }, value: Value::Null }))
}

fn mark(marker: &Marker) -> Mark {
    Mark { line: marker.line().max(1), column: marker.col() + 1 }
}

/// A list or mapping whose end has not been seen.
struct Open {
    at: Mark,
    anchor: usize,
    value: Value,
    /// The key that waits for its value, in a mapping.
    key: Option<(Mark, String)>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, usize)>,
    size: usize,
    root: Option<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Mark) -> Result<(), Malformed> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text_tag = refuse_tag(tag.as_deref(), at)?;
                let quoted = text_tag || style != ScalarStyle::Plain;
                let null = !quoted && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                // A key is text whatever it looks like.
                let is_key = self.open.last().is_some_and(|open| open.key.is_none() && is_map(open));
                let node = if null && !is_key {
                    Node { at, value: Value::Null }
                } else {
                    Node::scalar(at, text, quoted)
                };
                self.close(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.start(at, anchor, tag.as_deref(), Value::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.start(at, anchor, tag.as_deref(), Value::Map(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.close(Node { at: open.at, value: open.value }, open.anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(refused(at, "an alias inside the value that it stands for"));
                };
                self.grow(size, at)?;
                self.close(node, 0)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(refused(at, "a second document in one file"))
            }
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => Ok(()),
        }
    }

    fn start(&mut self, at: Mark, anchor: usize, tag: Option<&Tag>, value: Value) -> Result<(), Malformed> {
        refuse_tag(tag, at)?;
        if self.open.len() > DEPTH {
            return Err(Malformed { at, message: format!("nested deeper than {DEPTH} levels") });
        }
        self.open.push(Open { at, anchor, value, key: None });
        Ok(())
    }

    fn close(&mut self, node: Node, anchor: usize) -> Result<(), Malformed> {
        self.grow(1, node.at)?;
        if anchor > 0 {
            let size = count(&node);
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.value, open.key.take()) {
            (Value::Map(entries), Some((at, key))) => entries.push(Entry { at, key, node }),
            (Value::Map(_), None) => match node.value {
                Value::Scalar(scalar) => open.key = Some((node.at, scalar.text)),
                _ => return Err(refused(node.at, "a key that is not plain text")),
            },
            (Value::List(items), _) => items.push(node),
            (Value::Null | Value::Scalar(_), _) => {}
        }
        Ok(())
    }

    fn grow(&mut self, by: usize, at: Mark) -> Result<(), Malformed> {
        self.size = self.size.saturating_add(by);
        if self.size > SIZE {
            return Err(Malformed { at, message: format!("more than {SIZE} values; aliases count in full") });
        }
        Ok(())
    }
}

fn is_map(open: &Open) -> bool {
    matches!(open.value, Value::Map(_))
}

fn count(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|entry| count(&entry.node)).sum::<usize>(),
        Value::Null | Value::Scalar(_) => 1,
    }
}

/// Whether the tag says `!!str`, which is the only one that means something here.
fn refuse_tag(tag: Option<&Tag>, at: Mark) -> Result<bool, Malformed> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(true),
        Some(tag) => Err(refused(at, &format!("the tag `{tag}`"))),
    }
}

fn refused(at: Mark, what: &str) -> Malformed {
    Malformed { at, message: format!("{what} is not supported in a configuration") }
}
