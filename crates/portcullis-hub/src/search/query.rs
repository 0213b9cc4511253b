//! From words to the tools that have them, the best first.

use std::collections::{BTreeMap, HashMap, HashSet};

use strsim::osa_distance;

use super::part::Part;
use super::words::words;

/// How fast the second of the same word counts less than the first (BM25's k1).
const SATURATION: f32 = 1.2;
/// What a name is worth all of whose words were asked for, in halves of its score.
const WHOLE_NAME: f32 = 0.5;
/// What a word is worth that only begins like what was asked for, and one that is only spelled like it.
const BEGINS: f32 = 0.7;
const RESEMBLES: f32 = 0.5;
/// How many words of a question are looked at, and for how many of them spellings are tried: that reads every term.
const MOST_WORDS: usize = 64;
const MOST_GUESSED: usize = 8;
/// For how many terms a word may stand that nothing has.
const MOST_MEANT: usize = 6;

/// One list, and which of its tools the searcher may see; all, where that is `None`.
#[derive(Clone, Copy)]
pub struct Searched<'a> {
    /// The list's words.
    pub part: &'a Part,
    /// For each tool, whether it is there for the searcher. What is missing is not.
    pub shown: Option<&'a [bool]>,
}

/// A tool that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Which of the lists has it.
    pub part: usize,
    /// Its place there.
    pub item: usize,
    /// How well it fits; compares with scores of the same search only.
    pub score: f32,
}

/// Finds at most `most` tools for a question in plain words, the best first; equals in the order of the lists.
pub fn search(parts: &[Searched<'_>], question: &str, most: usize) -> Vec<Hit> {
    let asked = asked(question);
    let all: usize = parts.iter().map(Searched::count).sum();
    let mut scores: HashMap<(usize, u32), f32> = HashMap::new();
    let mut matched: HashSet<&str> = HashSet::new();
    let mut guessed = 0;
    for word in &asked {
        let mut found = have(parts, word);
        if found.is_empty() && guessed < MOST_GUESSED {
            guessed += 1;
            for (term, worth) in meant(parts, word) {
                for (place, weight) in have(parts, term) {
                    let known: &mut f32 = found.entry(place).or_default();
                    *known = known.max(weight * worth);
                }
                matched.insert(term);
            }
        }
        matched.insert(word);
        let rarity = rarity(all, found.len());
        for (place, weight) in found {
            *scores.entry(place).or_default() += rarity * weight * (SATURATION + 1.0) / (weight + SATURATION);
        }
    }
    let mut hits: Vec<Hit> = scores
        .into_iter()
        .map(|((part, item), score)| {
            let score = score * (1.0 + WHOLE_NAME * asked_of_name(parts[part].part, item, &matched));
            Hit { part, item: item as usize, score }
        })
        .collect();
    hits.sort_unstable_by(|one, two| {
        two.score.total_cmp(&one.score).then((one.part, one.item).cmp(&(two.part, two.item)))
    });
    hits.truncate(most);
    hits
}

/// The words of a question, each once, in order.
fn asked(question: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut asked = words(question);
    asked.retain(|word| seen.insert(word.clone()));
    asked.truncate(MOST_WORDS);
    asked
}

impl Searched<'_> {
    fn shows(&self, item: u32) -> bool {
        self.shown.is_none_or(|shown| shown.get(item as usize).copied().unwrap_or(false))
    }

    fn count(&self) -> usize {
        self.shown.map_or(self.part.len(), |shown| shown.iter().filter(|shown| **shown).count())
    }
}

/// The tools that have a term, of those that are shown.
fn have(parts: &[Searched<'_>], term: &str) -> HashMap<(usize, u32), f32> {
    let parts = parts.iter().enumerate();
    parts
        .flat_map(|(number, searched)| {
            let with = searched.part.with(term).iter().filter(|(item, _)| searched.shows(*item));
            with.map(move |(item, weight)| ((number, *item), *weight))
        })
        .collect()
}

/// BM25's idf: what few tools have says more.
#[allow(clippy::cast_precision_loss, reason = "of 16 million tools a few more or less make no difference")]
fn rarity(all: usize, with: usize) -> f32 {
    let (all, with) = (all as f32, with as f32);
    ((all - with + 0.5) / (with + 0.5)).ln_1p()
}

/// What somebody may have meant by a word that nothing has, with what it is worth: what begins with it, or else what is
/// spelled almost like it.
fn meant<'a>(parts: &[Searched<'a>], word: &str) -> Vec<(&'a str, f32)> {
    let mut terms: BTreeMap<&'a str, usize> = BTreeMap::new();
    if word.len() >= 3 {
        for searched in parts {
            let part = searched.part;
            let from = part.terms().partition_point(|term| **term < *word);
            let beginning = part.terms()[from..].iter().take_while(|term| term.starts_with(word));
            let beginning = beginning.filter(|term| is_shown(searched, term));
            terms.extend(beginning.map(|term| (&**term, term.len() - word.len())));
        }
    }
    let worth = if terms.is_empty() { RESEMBLES } else { BEGINS };
    if terms.is_empty() {
        terms = alike(parts, word);
    }
    let mut terms: Vec<_> = terms.into_iter().collect();
    terms.sort_by_key(|(_, distance)| *distance);
    terms.truncate(MOST_MEANT);
    terms.into_iter().map(|(term, _)| (term, worth)).collect()
}

/// The terms that are one letter off, or two in long words. Short words are too much like each other.
fn alike<'a>(parts: &[Searched<'a>], word: &str) -> BTreeMap<&'a str, usize> {
    let length = word.chars().count();
    let most = match length {
        0..=3 => return BTreeMap::new(),
        4..=7 => 1,
        _ => 2,
    };
    let mut found = BTreeMap::new();
    for searched in parts {
        for term in searched.part.terms() {
            if term.len().abs_diff(word.len()) > most * 4 || term.chars().count().abs_diff(length) > most {
                continue;
            }
            let distance = osa_distance(term, word);
            if distance <= most && is_shown(searched, term) {
                found.insert(&**term, distance);
            }
        }
    }
    found
}

fn is_shown(searched: &Searched<'_>, term: &str) -> bool {
    searched.part.with(term).iter().any(|(item, _)| searched.shows(*item))
}

/// Which part of a name's words was asked for, from 0 to 1.
#[allow(clippy::cast_precision_loss, reason = "names have few words")]
fn asked_of_name(part: &Part, item: u32, matched: &HashSet<&str>) -> f32 {
    let name = part.name(item);
    let all = name.len().max(1) as f32;
    name.filter(|word| matched.contains(word)).count() as f32 / all
}
