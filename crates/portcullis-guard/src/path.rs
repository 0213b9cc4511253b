//! Places in a document, written as a part of JSONPath: `$.records[*].email`, `$..iban`, `$.rows[0]`, `$['odd name']`.
//!
//! Names, indices, `*` and descent are all there is: no filters, no scripts, no unions. A path is matched against the
//! steps that lead to a value, so that a document is walked once for any number of paths.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use crate::context::{ceil, floor};

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    parts: Vec<Part>,
    /// How many steps it has, unless it descends.
    steps: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Name(String),
    Index(usize),
    /// Any member or element.
    Any,
    /// Any number of steps, also none.
    Descent,
}

/// Why a path cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no path at byte {at}: {why}")]
pub struct PathError {
    at: usize,
    why: &'static str,
}

/// One step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    Name(Cow<'a, str>),
    Index(usize),
}

/// How a place stands to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The path leads here, or to something that this is inside of.
    Within,
    /// The path may lead to something inside.
    Above,
    /// Neither.
    Apart,
}

impl Path {
    /// Reads a path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let wrong = |rest: &str, why| PathError { at: text.len() - rest.len(), why };
        let mut rest = text.strip_prefix('$').ok_or(PathError { at: 0, why: "a path begins with `$`" })?;
        let mut parts = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("..") {
                parts.push(Part::Descent);
                rest = after;
                if rest.starts_with('[') {
                    continue;
                }
                rest = name(rest, &mut parts).ok_or_else(|| wrong(rest, "a name is missing"))?;
            } else if let Some(after) = rest.strip_prefix('.') {
                rest = name(after, &mut parts).ok_or_else(|| wrong(after, "a name is missing"))?;
            } else if let Some(after) = rest.strip_prefix('[') {
                rest = bracket(after, &mut parts)
                    .ok_or_else(|| wrong(after, "`[*]`, `[0]` or `['name']` is meant"))?;
            } else {
                return Err(wrong(rest, "`.` or `[` is meant"));
            }
        }
        let steps = (!parts.contains(&Part::Descent)).then_some(parts.len());
        Ok(Self { parts, steps })
    }

    pub(crate) fn standing(&self, steps: &[Step<'_>]) -> Standing {
        standing(&self.parts, steps)
    }

    /// Whether the path leads exactly here.
    pub(crate) fn leads_to(&self, steps: &[Step<'_>]) -> bool {
        self.steps.is_none_or(|count| count == steps.len()) && leads(&self.parts, steps)
    }
}

fn name<'a>(text: &'a str, parts: &mut Vec<Part>) -> Option<&'a str> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    parts.push(match name {
        "" => return None,
        "*" => Part::Any,
        name => Part::Name(name.to_owned()),
    });
    Some(rest)
}

fn bracket<'a>(text: &'a str, parts: &mut Vec<Part>) -> Option<&'a str> {
    if let Some(quoted) = text.strip_prefix('\'') {
        let (name, rest) = quoted.split_once("']")?;
        parts.push(Part::Name(name.to_owned()));
        return Some(rest);
    }
    let (inner, rest) = text.split_once(']')?;
    parts.push(if inner == "*" { Part::Any } else { Part::Index(inner.parse().ok()?) });
    Some(rest)
}

fn fits(part: &Part, step: &Step<'_>) -> bool {
    match (part, step) {
        (Part::Name(name), Step::Name(other)) => name.as_str() == other,
        (Part::Index(index), Step::Index(other)) => index == other,
        (Part::Any, _) => true,
        _ => false,
    }
}

fn standing(parts: &[Part], steps: &[Step<'_>]) -> Standing {
    match (parts, steps) {
        ([], _) => Standing::Within,
        (_, []) => Standing::Above,
        ([Part::Descent, after @ ..], [_, below @ ..]) => {
            if standing(after, steps) == Standing::Within || standing(parts, below) == Standing::Within {
                Standing::Within
            } else {
                Standing::Above
            }
        }
        ([part, after @ ..], [step, below @ ..]) if fits(part, step) => standing(after, below),
        _ => Standing::Apart,
    }
}

fn leads(parts: &[Part], steps: &[Step<'_>]) -> bool {
    match (parts, steps) {
        ([], []) => true,
        ([Part::Descent, after @ ..], _) => {
            leads(after, steps) || matches!(steps, [_, below @ ..] if leads(parts, below))
        }
        ([part, after @ ..], [step, below @ ..]) => fits(part, step) && leads(after, below),
        _ => false,
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        let mut descended = false;
        for part in &self.parts {
            match part {
                Part::Name(name) if is_odd(name) => write!(f, "['{name}']")?,
                Part::Name(name) if descended => write!(f, "{name}")?,
                Part::Name(name) => write!(f, ".{name}")?,
                Part::Index(index) => write!(f, "[{index}]")?,
                Part::Any => f.write_str("[*]")?,
                Part::Descent => f.write_str("..")?,
            }
            descended = matches!(part, Part::Descent);
        }
        Ok(())
    }
}

/// How much of a name, of the first steps and of the last ones is written out: a path is kept with every finding, and a
/// document may hold many below one long name.
const NAME: usize = 64;
const ENDS: usize = 64;

/// Steps as a path, for people; what is long is left out in the middle.
pub(crate) fn written(steps: &[Step<'_>]) -> String {
    let mut out = String::with_capacity(1 + steps.len().min(8) * 12);
    out.push('$');
    let mut first = 0;
    while first < steps.len() && out.len() <= ENDS {
        write(&mut out, &steps[first]);
        first += 1;
    }
    let (mut last, mut length) = (steps.len(), 0);
    while last > first && length <= ENDS {
        last -= 1;
        length += match &steps[last] {
            Step::Name(name) => 1 + name.len().min(NAME),
            Step::Index(_) => 3,
        };
    }
    if first < last {
        out.push('…');
    }
    steps[last..].iter().for_each(|step| write(&mut out, step));
    out
}

/// The path of a document that stands in a string, from what leads to the string.
pub(crate) fn below(prefix: String) -> String {
    if prefix.len() <= 4 * ENDS {
        return prefix;
    }
    let (head, tail) = (floor(&prefix, ENDS), ceil(&prefix, prefix.len() - ENDS));
    format!("{}…{}", &prefix[..head], &prefix[tail..])
}

fn write(out: &mut String, step: &Step<'_>) {
    // Writing to a string does not fail.
    let _ = match step {
        Step::Name(name) => {
            let end = floor(name, NAME);
            let (name, more) = (&name[..end], if end < name.len() { "…" } else { "" });
            if is_odd(name) { write!(out, "['{name}{more}']") } else { write!(out, ".{name}{more}") }
        }
        Step::Index(index) => write!(out, "[{index}]"),
    };
}

/// Whether a name has what the parts of a path are told by.
fn is_odd(name: &str) -> bool {
    name.contains(['.', '[', '\''])
}
