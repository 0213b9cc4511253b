//! What is known of the words of one server's tools.

use std::collections::HashMap;

use super::words::words;

/// One tool, as it is searched. What is in none of these is not found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its title, if it has one.
    pub title: &'a str,
    /// What it says of itself.
    pub description: &'a str,
    /// The names of its arguments.
    pub arguments: &'a str,
    /// What is said of its arguments, and the values that they may have.
    pub details: &'a str,
    /// The names of its server.
    pub server: &'a str,
}

/// How much a word counts in a field, how much the field's length takes from that, and how many words such a field
/// usually has. Usual lengths are constants, for what is measured would tell of tools that the searcher may not see.
struct Field {
    weight: f32,
    slope: f32,
    usual: f32,
}

const NAME: Field = Field { weight: 3.0, slope: 0.3, usual: 3.0 };
const TITLE: Field = Field { weight: 1.5, slope: 0.3, usual: 3.0 };
const DESCRIPTION: Field = Field { weight: 1.0, slope: 0.7, usual: 20.0 };
const ARGUMENTS: Field = Field { weight: 0.7, slope: 0.7, usual: 6.0 };
const DETAILS: Field = Field { weight: 0.4, slope: 0.7, usual: 30.0 };
const SERVER: Field = Field { weight: 1.0, slope: 0.3, usual: 3.0 };

/// The words of one server's tools. Immutable; a list that changes gets another.
#[derive(Debug, Default)]
pub struct Part {
    /// In order.
    terms: Vec<Box<str>>,
    /// For each term, which tools have it, and with what weight.
    postings: Vec<Vec<(u32, f32)>>,
    /// For each tool, the terms of its name.
    names: Vec<Vec<u32>>,
}

impl Part {
    /// Reads a server's tools. Those past 4 billion are left out.
    pub fn new<'a>(entries: impl IntoIterator<Item = Entry<'a>>) -> Self {
        let mut found: HashMap<String, Vec<(u32, f32)>> = HashMap::new();
        let mut names = Vec::new();
        for (item, entry) in (0_u32..).zip(entries) {
            let mut weights: HashMap<String, f32> = HashMap::new();
            let fields = [
                (entry.name, NAME),
                (entry.title, TITLE),
                (entry.description, DESCRIPTION),
                (entry.arguments, ARGUMENTS),
                (entry.details, DETAILS),
                (entry.server, SERVER),
            ];
            for (text, field) in fields {
                weigh(text, &field, &mut weights);
            }
            for (term, weight) in weights {
                found.entry(term).or_default().push((item, weight));
            }
            names.push(words(entry.name));
        }
        let mut sorted: Vec<_> = found.into_iter().collect();
        sorted.sort_unstable_by(|one, two| one.0.cmp(&two.0));
        let mut part = Self::default();
        for (term, postings) in sorted {
            part.terms.push(term.into());
            part.postings.push(postings);
        }
        part.names =
            names.iter().map(|name| name.iter().filter_map(|word| part.number(word)).collect()).collect();
        part
    }

    /// How many tools it has.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn number(&self, term: &str) -> Option<u32> {
        let at = self.terms.binary_search_by(|known| (**known).cmp(term)).ok()?;
        u32::try_from(at).ok()
    }

    /// The tools that have a term.
    pub(super) fn with(&self, term: &str) -> &[(u32, f32)] {
        let at = self.terms.binary_search_by(|known| (**known).cmp(term));
        at.map_or(&[], |at| &self.postings[at])
    }

    /// All terms.
    pub(super) fn terms(&self) -> &[Box<str>] {
        &self.terms
    }

    /// The terms of a tool's name.
    pub(super) fn name(&self, item: u32) -> impl ExactSizeIterator<Item = &str> {
        self.names[item as usize].iter().map(|term| &*self.terms[*term as usize])
    }
}

/// Adds what a field's words weigh.
#[allow(clippy::cast_precision_loss, reason = "a text of 16 million words is as long as one of a few more")]
fn weigh(text: &str, field: &Field, weights: &mut HashMap<String, f32>) {
    let words = words(text);
    let share = field.weight / (1.0 - field.slope + field.slope * words.len() as f32 / field.usual);
    for word in words {
        *weights.entry(word).or_default() += share;
    }
}
