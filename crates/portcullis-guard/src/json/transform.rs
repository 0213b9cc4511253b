//! A plan carried out on a document or a text.
//!
//! First everything is found, then the changes are made to the bytes as they came. Where a value was replaced because of
//! its place or its surroundings, a second walk replaces it where it stands again: the text copy of structured content must
//! not say what the content no longer does. What comes out is checked once more; what is not JSON then does not pass.

use aho_corasick::{AhoCorasick, MatchKind};
use foldhash::{HashMap, HashMapExt};
use portcullis_mcp::json::{self, JsonError, Raw};

use super::edit::{Copied, Copies, Edit};
use super::walk::Walk;
use crate::engine::Engine;
use crate::{Action, Applied, Limit, Outcome, Plan, Pseudonyms, Report, Scan, Told};

/// Most values that are looked for again.
const COPIES: usize = 20_000;

impl Engine {
    /// What is in a document.
    pub fn scan_json(&self, document: &[u8]) -> Scan {
        let text = match self.checked(document) {
            Ok(text) => text,
            Err(limit) => return Scan { findings: Vec::new(), exceeded: Some(limit) },
        };
        let mut nobody = ();
        let mut walk = Walk::new(self, None, &mut nobody, None, text.len());
        walk.document(text);
        let findings = walk.report.applied.into_iter().map(|applied| applied.finding).collect();
        Scan { findings, exceeded: walk.work.exceeded }
    }

    /// Does with a document what the plan wants.
    pub fn transform_json(&self, document: &[u8], plan: &Plan, names: &mut dyn Pseudonyms) -> Outcome {
        match self.checked(document) {
            Ok(text) => self.transformed(text, plan, names, None),
            Err(limit) => refused(limit),
        }
    }

    /// Does with a value what the plan wants, also with what others have found in its texts. It was checked when it was read,
    /// and is not checked again.
    pub fn transform(
        &self,
        value: &Raw,
        plan: &Plan,
        names: &mut dyn Pseudonyms,
        told: Option<&Told>,
    ) -> Outcome {
        if value.as_bytes().len() > self.limits.bytes {
            return refused(Limit::Bytes(self.limits.bytes));
        }
        self.transformed(value.as_str(), plan, names, told)
    }

    fn transformed(
        &self,
        text: &str,
        plan: &Plan,
        names: &mut dyn Pseudonyms,
        told: Option<&Told>,
    ) -> Outcome {
        let mut walk = Walk::new(self, Some(plan), names, told, text.len());
        let mut edits = walk.document(text);
        let (mut report, mut hardest, mut exceeded) = (walk.report, walk.hardest, walk.work.exceeded);
        let replaced = walk.copied;
        if exceeded.is_none() && hardest < Action::Hold && !replaced.is_empty() {
            match copies(replaced) {
                Ok(copies) if stands_again(&copies, text, &edits) => {
                    let mut walk = Walk::new(self, Some(plan), names, told, text.len());
                    walk.copies = Some(&copies);
                    edits = walk.document(text);
                    (report, hardest, exceeded) = (walk.report, walk.hardest, walk.work.exceeded);
                }
                Ok(_) => {}
                Err(limit) => exceeded = Some(limit),
            }
        }
        report.exceeded = exceeded;
        self.outcome(text, edits, report, hardest, true)
    }

    /// Does with a text what the plan wants; one that is a JSON document is taken as such. Field rules have no
    /// meaning in other texts, and [`Action::Drop`] replaces.
    pub fn transform_text(&self, text: &str, plan: &Plan, names: &mut dyn Pseudonyms) -> Outcome {
        if text.trim_start().starts_with(['{', '[']) && self.checked(text.as_bytes()).is_ok() {
            return self.transform_json(text.as_bytes(), plan, names);
        }
        let scan = self.scan_text(text);
        let mut report = Report { exceeded: scan.exceeded, ..Report::default() };
        let mut edits: Vec<Edit> = Vec::new();
        let mut hardest = Action::Allow;
        for found in scan.findings {
            let action = plan.action(found.entity);
            hardest = hardest.max(action);
            let beside = edits.last().is_some_and(|edit| found.start < edit.end);
            let value = &text[found.start..found.end];
            if let Some(text) =
                super::replace::text(action, Some(found.entity), value, plan, names).filter(|_| !beside)
            {
                edits.push(Edit { start: found.start, end: found.end, text });
            }
            report.applied.push(Applied { finding: found, action });
        }
        self.outcome(text, edits, report, hardest, false)
    }

    /// The document as text, if it is one within the limits.
    pub(crate) fn checked<'d>(&self, document: &'d [u8]) -> Result<&'d str, Limit> {
        if document.len() > self.limits.bytes {
            return Err(Limit::Bytes(self.limits.bytes));
        }
        match json::verify(document, json::Limits { depth: self.limits.depth }) {
            Ok(()) => std::str::from_utf8(document).map_err(|_| Limit::NotJson),
            Err(JsonError::TooDeep(_)) => Err(Limit::Depth(self.limits.depth)),
            Err(_) => Err(Limit::NotJson),
        }
    }

    fn outcome(
        &self,
        text: &str,
        edits: Vec<Edit>,
        mut report: Report,
        hardest: Action,
        is_json: bool,
    ) -> Outcome {
        if report.exceeded.is_some() || hardest == Action::Block {
            return Outcome::Blocked { report };
        }
        if hardest == Action::Hold {
            return Outcome::Held { report };
        }
        if edits.is_empty() {
            return Outcome::Unchanged { report };
        }
        let bytes = apply(text, edits);
        let limits = json::Limits { depth: self.limits.depth };
        if is_json && json::verify(&bytes, limits).is_err() {
            report.exceeded = Some(Limit::NotJson);
            return Outcome::Blocked { report };
        }
        Outcome::Changed { bytes, report }
    }
}

fn refused(limit: Limit) -> Outcome {
    Outcome::Blocked { report: Report { exceeded: Some(limit), ..Report::default() } }
}

/// The values to look for again, each once.
fn copies(copied: Vec<Copied>) -> Result<Copies, Limit> {
    let mut values: HashMap<String, Copied> = HashMap::new();
    for copied in copied {
        match values.get_mut(&copied.value) {
            Some(known) if known.action >= copied.action => {}
            Some(known) => *known = copied,
            None => {
                values.insert(copied.value.clone(), copied);
            }
        }
    }
    let values: Vec<Copied> = values.into_values().collect();
    if values.len() > COPIES {
        return Err(Limit::Findings(COPIES));
    }
    let automaton = AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(values.iter().map(|copied| &copied.value))
        .map_err(|_| Limit::Findings(COPIES))?;
    Ok(Copies { automaton, values })
}

/// Whether a value may stand where nothing was changed. Values that can be written in several ways may always.
fn stands_again(copies: &Copies, text: &str, edits: &[Edit]) -> bool {
    let may_hide = |value: &str| {
        !value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') || value.contains(['"', '\\', '/'])
    };
    if memchr::memchr(b'\\', text.as_bytes()).is_some()
        && copies.values.iter().any(|copied| may_hide(&copied.value))
    {
        return true;
    }
    let mut places: Vec<(usize, usize)> = edits.iter().map(|edit| (edit.start, edit.end)).collect();
    places.sort_unstable();
    copies.automaton.find_iter(text).any(|found| {
        let next = places.partition_point(|(_, end)| *end <= found.start());
        places.get(next).is_none_or(|(start, _)| *start >= found.end())
    })
}

/// The text with its changes; of changes that overlap, the first covers both.
fn apply(text: &str, mut edits: Vec<Edit>) -> Vec<u8> {
    edits.sort_by_key(|edit| (edit.start, std::cmp::Reverse(edit.end)));
    let mut out = Vec::with_capacity(text.len() + edits.len() * 8);
    let mut at = 0;
    for edit in edits {
        if edit.start >= at {
            out.extend_from_slice(&text.as_bytes()[at..edit.start]);
            out.extend_from_slice(edit.text.as_bytes());
        }
        at = at.max(edit.end);
    }
    out.extend_from_slice(&text.as_bytes()[at..]);
    out
}

impl Engine {
    /// What is in a text; one that is a JSON document is walked as one.
    pub fn scan(&self, text: &str) -> Scan {
        if text.trim_start().starts_with(['{', '[']) && self.checked(text.as_bytes()).is_ok() {
            return self.scan_json(text.as_bytes());
        }
        self.scan_text(text)
    }
}
