//! Pseudonyms made into the values that they stand for, on the way to who may have them.
//!
//! Only whole pseudonyms as `replace` writes them, in strings and documents in strings; one that does not open stays as it
//! is, since a model may write anything. The value is written as JSON wants it at its depth.

use portcullis_mcp::json::write_string;

use super::replace::is_name;
use crate::engine::Engine;
use crate::{Action, Applied, Entity, Finding};
use crate::{EntitySet, Outcome, Pseudonyms, Report};

/// The longest name of an entity, and the longest pseudonym.
const LONGEST: usize = 13 + 512 + 3;

impl Engine {
    /// Puts the values back that pseudonyms of these entities stand for.
    pub fn restore_json(&self, document: &[u8], entities: EntitySet, names: &mut dyn Pseudonyms) -> Outcome {
        let text = match self.checked(document) {
            Ok(text) => text,
            Err(limit) => {
                return Outcome::Blocked { report: Report { exceeded: Some(limit), ..Report::default() } };
            }
        };
        let mut report = Report::default();
        let mut out = Vec::new();
        let mut depth = Depth::default();
        let mut copied = 0;
        let mut at = 0;
        while let Some(found) = memchr::memchr(b'~', &text.as_bytes()[at..]) {
            let start = at + found;
            at = start + 1;
            let Some((entity, name, end)) = pseudonym(text, start) else { continue };
            let Some(value) = entities.contains(entity).then(|| names.open(entity, name)).flatten() else {
                continue;
            };
            out.extend_from_slice(&text.as_bytes()[copied..start]);
            out.extend_from_slice(written(&value, depth.at(text, start)).as_bytes());
            (copied, at) = (end, end);
            let finding =
                Finding { entity, detail: "pseudonym", start, end, score: 1.0, path: String::new() };
            report.applied.push(Applied { finding, action: Action::Pseudonym });
        }
        if report.applied.is_empty() {
            return Outcome::Unchanged { report };
        }
        out.extend_from_slice(&text.as_bytes()[copied..]);
        if self.checked(&out).is_err() {
            report.exceeded = Some(crate::Limit::NotJson);
            return Outcome::Blocked { report };
        }
        Outcome::Changed { bytes: out, report }
    }
}

/// The pseudonym that begins at the `~` at `start`: entity, sealed name, end.
fn pseudonym(text: &str, start: usize) -> Option<(Entity, &str, usize)> {
    let reach = text.floor_char_boundary(text.len().min(start + 1 + LONGEST));
    let rest = &text[start + 1..reach];
    let inner = &rest[..rest.find('~')?];
    let (entity, name) = inner.split_once('.')?;
    let entity = Entity::from_name(entity)?;
    is_name(name).then_some((entity, name, start + 1 + inner.len() + 1))
}

/// How many strings a place is in, counted from the last place on: the backslashes before a quote tell.
#[derive(Default)]
struct Depth {
    at: usize,
    slashes: usize,
    /// The backslashes before the quote of each string that is open.
    open: Vec<usize>,
}

impl Depth {
    fn at(&mut self, text: &str, at: usize) -> usize {
        for byte in &text.as_bytes()[self.at..at] {
            match byte {
                b'\\' => self.slashes += 1,
                b'"' => {
                    match self.open.iter().position(|known| *known == self.slashes) {
                        Some(place) => self.open.truncate(place),
                        None => self.open.push(self.slashes),
                    }
                    self.slashes = 0;
                }
                _ => self.slashes = 0,
            }
        }
        self.at = at;
        self.open.len().max(1)
    }
}

/// `value` as it is written inside so many strings.
fn written(value: &str, depth: usize) -> String {
    (0..depth.min(8)).fold(value.to_owned(), |text, _| {
        let mut out = Vec::new();
        write_string(&mut out, &text);
        String::from_utf8_lossy(&out[1..out.len() - 1]).into_owned()
    })
}
