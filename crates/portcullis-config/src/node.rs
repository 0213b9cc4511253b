//! One tree for every format, which remembers where each value stands.
//!
//! Scalars keep the text as it was written and whether it was quoted. What a bare `8080` or `no` *is* follows from
//! what the schema expects at its place, not from guesses of the format: so YAML's `no` never turns into `false`
//! in a list of country codes, and `1.10` stays `1.10`.

/// A place in a text: line and column in characters, both from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Mark,
    pub(crate) value: Value,
}

/// What a value is before anybody asks what it means.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Present without content; treated as absent.
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A single value as written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Text for certain, never a number or a truth value.
    pub(crate) quoted: bool,
    /// The environment variables that went into `text`.
    pub(crate) filled: Vec<String>,
}

/// A key and its value; `at` is the place of the key.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Mark,
    pub(crate) key: String,
    pub(crate) node: Node,
}

impl Node {
    /// A scalar in quotes, made up by a translation.
    pub(crate) fn text(at: Mark, text: impl Into<String>) -> Self {
        Self::scalar(at, text, true)
    }

    /// A scalar as written.
    pub(crate) fn scalar(at: Mark, text: impl Into<String>, quoted: bool) -> Self {
        Self { at, value: Value::Scalar(Scalar { text: text.into(), quoted, filled: Vec::new() }) }
    }

    /// The text of a scalar.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The value under `key` of a mapping.
    pub(crate) fn child(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The deepest node on the way along `path`, with the place to point at: that of the key where there is one.
    pub(crate) fn locate(&self, path: &Path) -> (Mark, Option<&Node>) {
        let (mut at, mut node) = (self.at, self);
        for segment in &path.0 {
            let next = match (&node.value, segment) {
                (Value::Map(_), Segment::Key(key)) => node.child(key).map(|entry| (entry.at, &entry.node)),
                (Value::List(items), Segment::Index(index)) => items.get(*index).map(|item| (item.at, item)),
                _ => None,
            };
            match next {
                Some(next) => (at, node) = next,
                None => return (at, None),
            }
        }
        (at, Some(node))
    }
}

/// The way from the root of a tree to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) Vec<Segment>);

/// One step of a [`Path`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Key(String),
    Index(usize),
}

impl Path {
    /// The path to a key of the root.
    pub(crate) fn top(key: &str) -> Self {
        Self::default().key(key)
    }

    /// The path to `key` below this one.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.then(Segment::Key(key.to_owned()))
    }

    /// The path to the item `index` below this one.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.then(Segment::Index(index))
    }

    fn then(&self, segment: Segment) -> Self {
        Self(self.0.iter().cloned().chain([segment]).collect())
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if position == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
