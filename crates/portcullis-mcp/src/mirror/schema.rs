//! The walk through a schema that finds the marks, and the one that takes them away.
//!
//! Both tell three things apart: subschemas (where `x-mcp-header` is a mark), maps from names to subschemas (where it
//! may be a property that happens to have that name), and data (`default`, `enum` and the like, where it means
//! nothing). Keywords that nobody knows count as subschemas, since `$ref` can point into them.

use std::collections::HashSet;

use super::{Mark, header_name};
use crate::json::{Kind, Member, Raw};

const MARK: &str = "x-mcp-header";

/// A schema whose marks break the rules, so that the tool is invalid for HTTP clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`x-mcp-header` at `{at}` of the input schema {violation}")]
pub struct InvalidMirror {
    /// Where the mark is: the keys from the schema's root, joined by `/`; empty for the root itself.
    pub at: String,
    /// The rule that it breaks.
    pub violation: Violation,
}

/// The rules for a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The mark is a non-empty string of token characters (RFC 9110 section 5.6.2).
    #[error("is not a header name")]
    Name,
    /// No two marks of a schema are the same header.
    #[error("repeats another one; names are unique regardless of case")]
    Duplicate,
    /// Only properties of `type` `string`, `integer` or `boolean` are marked.
    #[error("is on a property whose type is not string, integer or boolean")]
    Type,
    /// Only properties that `properties` alone lead to are marked.
    #[error("is not on a property that is reached through `properties` alone")]
    Place,
}

/// What the members of a schema's keyword are.
enum Holds {
    /// Names, each with a subschema.
    Named,
    /// One subschema, or an array of them.
    Schemas,
    /// No schema.
    Data,
}

fn holds(keyword: &str) -> Holds {
    match keyword {
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas"
        | "dependencies" => Holds::Named,
        "default" | "const" | "enum" | "examples" | "example" => Holds::Data,
        _ => Holds::Schemas,
    }
}

/// Finds the marks of `schema`, in its order.
pub(super) fn collect(schema: &Raw) -> Result<Vec<Mark>, InvalidMirror> {
    let mut walk = Walk::default();
    walk.schema(schema, true)?;
    Ok(walk.marks)
}

#[derive(Default)]
struct Walk {
    marks: Vec<Mark>,
    headers: HashSet<http::HeaderName>,
    /// The keys that lead to the schema at hand.
    at: Vec<String>,
    /// The keys that lead to its value in the arguments.
    path: Vec<String>,
}

/// More arguments than this are mirrored by no honest tool; each costs a look at every call.
const MOST_MARKS: usize = 64;

impl Walk {
    /// Visits a subschema, which is `plain` when nothing but `properties` is on the way to it.
    fn schema(&mut self, schema: &Raw, plain: bool) -> Result<(), InvalidMirror> {
        if let Some(given) = schema.find(MARK) {
            let mark = self.mark(schema, &given, plain).map_err(|violation| self.invalid(violation))?;
            self.marks.push(mark);
        }
        for member in schema.members() {
            let keyword = member.key();
            self.at.push(keyword.clone().into_owned());
            match holds(&keyword) {
                Holds::Data => {}
                Holds::Named => self.named(&member.value(), plain && keyword == "properties")?,
                Holds::Schemas => self.schemas(&member.value())?,
            }
            self.at.pop();
        }
        Ok(())
    }

    fn named(&mut self, map: &Raw, plain: bool) -> Result<(), InvalidMirror> {
        for member in map.members() {
            let key = member.key().into_owned();
            self.at.push(key.clone());
            if plain {
                self.path.push(key);
            }
            self.schema(&member.value(), plain)?;
            if plain {
                self.path.pop();
            }
            self.at.pop();
        }
        Ok(())
    }

    fn schemas(&mut self, value: &Raw) -> Result<(), InvalidMirror> {
        if value.kind() == Kind::Array {
            return value.elements().try_for_each(|element| self.schemas(&element));
        }
        self.schema(value, false)
    }

    fn mark(&mut self, schema: &Raw, given: &Raw, plain: bool) -> Result<Mark, Violation> {
        if !plain || self.path.is_empty() || self.marks.len() == MOST_MARKS {
            return Err(Violation::Place);
        }
        let given = given.string().ok_or(Violation::Name)?;
        let header = header_name(&given).ok_or(Violation::Name)?;
        let kind = schema.find_string("type").ok_or(Violation::Type)?;
        if !matches!(kind.as_str(), "string" | "integer" | "boolean") {
            return Err(Violation::Type);
        }
        if !self.headers.insert(header.clone()) {
            return Err(Violation::Duplicate);
        }
        Ok(Mark { header, given: given.into_owned(), path: self.path.clone() })
    }

    fn invalid(&self, violation: Violation) -> InvalidMirror {
        InvalidMirror { at: self.at.join("/"), violation }
    }
}

/// The schema without any mark, for a tool whose marks are bad but may be ignored: one that comes over stdio and is
/// offered over HTTP, where clients would drop it. All other bytes stay, but for white space in
/// arrays that hold a changed schema.
#[must_use]
pub fn strip_annotations(schema: &Raw) -> Raw {
    strip(schema).unwrap_or_else(|| schema.clone())
}

/// What becomes of one member.
enum Fate {
    Stays,
    Goes,
    Becomes(Raw),
}

impl From<Option<Raw>> for Fate {
    fn from(stripped: Option<Raw>) -> Self {
        stripped.map_or(Fate::Stays, Fate::Becomes)
    }
}

/// `None` when there is nothing to take away; so below.
fn strip(schema: &Raw) -> Option<Raw> {
    decide(schema, |member| {
        if member.key_is(MARK) {
            return Fate::Goes;
        }
        match holds(&member.key()) {
            Holds::Data => Fate::Stays,
            Holds::Named => decide(&member.value(), |named| strip(&named.value()).into()).into(),
            Holds::Schemas => strip_schemas(&member.value()).into(),
        }
    })
}

fn strip_schemas(value: &Raw) -> Option<Raw> {
    if value.kind() != Kind::Array {
        return strip(value);
    }
    let mut stripped =
        value.elements().map(|element| strip_schemas(&element)).collect::<Vec<_>>().into_iter();
    if stripped.as_slice().iter().all(Option::is_none) {
        return None;
    }
    Some(value.map_elements(|element| Some(stripped.next().flatten().unwrap_or(element))))
}

/// Rebuilds an object member by member. Not [`Raw::with`], which looks for each member among all changes: a schema can
/// have thousands of both.
fn decide(object: &Raw, fate: impl Fn(&Member<'_>) -> Fate) -> Option<Raw> {
    let text = object.as_bytes();
    let mut out = vec![b'{'];
    let (mut read, mut changed) = (1, false);
    for member in object.members() {
        let old = member.value_bytes();
        let start = old.as_ptr().addr() - text.as_ptr().addr();
        // Comma, key and colon, with the white space among them.
        let lead = &text[read..start];
        read = start + old.len();
        let fate = fate(&member);
        changed |= !matches!(fate, Fate::Stays);
        let value = match &fate {
            Fate::Goes => continue,
            Fate::Stays => old,
            Fate::Becomes(new) => new.as_bytes(),
        };
        let first = out.len() == 1;
        out.extend_from_slice(if first { without_comma(lead) } else { lead });
        out.extend_from_slice(value);
    }
    changed.then(|| {
        out.extend_from_slice(&text[read..]);
        Raw::trusted(out)
    })
}

fn without_comma(lead: &[u8]) -> &[u8] {
    lead.trim_ascii_start().strip_prefix(b",").unwrap_or(lead)
}
