//! `portcullis guard report`: how much of what somebody marked is found, and how much besides.
//!
//! A line is `{"text": "…", "spans": [{"entity": "EMAIL", "start": 3, "end": 19}, …]}`, offsets in bytes of the text; only
//! a finding with the same entity and the same span counts. A file that says with `entities` which it marks is not
//! held against findings of others.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use portcullis_guard::{Engine, Entity, EntitySet};
use serde::Deserialize;
use serde_json::json;

use crate::Usage;
use crate::stdout::print;

/// A text and what is in it.
#[derive(Deserialize)]
struct Marked {
    text: String,
    #[serde(default)]
    spans: Vec<Span>,
    /// Which entities were marked; all when it is not said.
    entities: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Span {
    entity: String,
    start: usize,
    end: usize,
}

/// How often.
#[derive(Default, Clone, Copy)]
struct Tally {
    right: usize,
    wrong: usize,
    missed: usize,
}

impl Tally {
    fn precision(self) -> f64 {
        ratio(self.right, self.right + self.wrong)
    }

    fn recall(self) -> f64 {
        ratio(self.right, self.right + self.missed)
    }

    fn f1(self) -> f64 {
        ratio(2 * self.right, 2 * self.right + self.wrong + self.missed)
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of findings")]
fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

pub(super) fn report(
    engine: &Engine,
    file: Option<&Path>,
    floor: Option<f64>,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let mut tallies: BTreeMap<Entity, Tally> = BTreeMap::new();
    let (mut texts, mut flagged) = (0usize, 0usize);
    for (index, line) in super::lines(file)?.enumerate() {
        let line = line.with_context(|| format!("line {}", index + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        let marked: Marked =
            serde_json::from_str(&line).map_err(|error| Usage(format!("line {}: {error}", index + 1)))?;
        texts += 1;
        flagged += usize::from(count(engine, &marked, index + 1, &mut tallies)?);
    }
    print(if as_json {
        as_value(&tallies, texts, flagged).to_string()
    } else {
        as_table(&tallies, texts, flagged)
    });
    let below = floor.is_some_and(|floor| tallies.values().any(|tally| tally.f1() < floor));
    Ok(if below { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Compares one text; says whether anything was found in it.
fn count(
    engine: &Engine,
    marked: &Marked,
    line: usize,
    tallies: &mut BTreeMap<Entity, Tally>,
) -> anyhow::Result<bool> {
    let known = |name: &String| {
        Entity::from_name(name).ok_or_else(|| Usage(format!("line {line}: there is no entity `{name}`")))
    };
    let judged: EntitySet = match &marked.entities {
        Some(names) => names.iter().map(known).collect::<Result<_, _>>()?,
        None => EntitySet::ALL,
    };
    let mut expected = HashSet::new();
    for span in &marked.spans {
        expected.insert((known(&span.entity)?, span.start, span.end));
    }
    let mut any = false;
    for found in engine.scan(&marked.text).findings.into_iter().filter(|found| judged.contains(found.entity))
    {
        any = true;
        let tally = tallies.entry(found.entity).or_default();
        if expected.remove(&(found.entity, found.start, found.end)) {
            tally.right += 1;
        } else {
            tally.wrong += 1;
        }
    }
    for (entity, ..) in expected {
        tallies.entry(entity).or_default().missed += 1;
    }
    Ok(any)
}

fn as_value(tallies: &BTreeMap<Entity, Tally>, texts: usize, flagged: usize) -> serde_json::Value {
    let entities: serde_json::Map<_, _> = tallies
        .iter()
        .map(|(entity, tally)| {
            let value = json!({
                "right": tally.right, "wrong": tally.wrong, "missed": tally.missed,
                "precision": tally.precision(), "recall": tally.recall(), "f1": tally.f1(),
            });
            (entity.name().to_owned(), value)
        })
        .collect();
    json!({ "texts": texts, "flagged": flagged, "entities": entities })
}

fn as_table(tallies: &BTreeMap<Entity, Tally>, texts: usize, flagged: usize) -> String {
    let mut lines = vec![format!(
        "{:<14} {:>6} {:>6} {:>6}  {:>9} {:>6} {:>6}",
        "entity", "right", "wrong", "missed", "precision", "recall", "F1"
    )];
    for (entity, tally) in tallies {
        lines.push(format!(
            "{:<14} {:>6} {:>6} {:>6}  {:>9.3} {:>6.3} {:>6.3}",
            entity.name(),
            tally.right,
            tally.wrong,
            tally.missed,
            tally.precision(),
            tally.recall(),
            tally.f1()
        ));
    }
    lines.push(format!("{flagged} of {texts} texts have findings"));
    lines.join("\n")
}
