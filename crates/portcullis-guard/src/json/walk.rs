//! One walk over a document: what is found where, and what a plan makes of it.
//!
//! Recursive, within the depth that the check allowed. Paths are written out only where something was found. A walk
//! without a plan only finds.

use std::borrow::Cow;

use foldhash::HashSet;
use portcullis_mcp::json::{self, Limits};

use super::children::Children;
use super::edit::{Copied, Copies, Edit};
use super::keys::Meant;
use super::replace;
use super::text::{Quoted, deeper, text_of, unescape};
use crate::context::Topics;
use crate::engine::{Engine, Field, Work, finding};
use crate::path::{Standing, Step, below, written};
use crate::recognise::Hit;
use crate::recognise::secret::is_ours;
use crate::text::class;
use crate::text::offsets::Offsets;
use crate::told::is_worth_asking;
use crate::{Action, Applied, Entity, Limit, Plan, Pseudonyms, Report, Told};

/// How short a text and a number at least have to be for anything to be found in them.
const TEXT: usize = 4;
const NUMBER: usize = 7;

/// What all walks of one document share.
pub(crate) struct Walk<'e> {
    pub(crate) engine: &'e Engine,
    pub(crate) plan: Option<&'e Plan>,
    pub(crate) names: &'e mut dyn Pseudonyms,
    pub(crate) told: Option<&'e Told>,
    /// The texts that there are, where only these are wanted.
    pub(crate) texts: Option<HashSet<String>>,
    pub(crate) copies: Option<&'e Copies>,
    pub(crate) work: Work,
    pub(crate) report: Report,
    pub(crate) copied: Vec<Copied>,
    /// The hardest that was wanted for anything.
    pub(crate) hardest: Action,
    /// Whether the plan takes anything out.
    may_drop: bool,
    /// Whether the plan has rules for places.
    is_ruled: bool,
}

/// One document: the outermost, or one in a string.
struct Document<'d, 'w, 'e> {
    walk: &'w mut Walk<'e>,
    text: &'d str,
    at: usize,
    steps: Vec<Step<'d>>,
    /// How many steps lead to each root that field rules may be meant from, besides the document's own.
    roots: Vec<usize>,
    /// The path of the string that this document is in.
    prefix: String,
    /// Levels that are left.
    depth: usize,
    /// Whether nothing matters of a text but what is found in it.
    only_finds: bool,
    /// Where the last value begins that was found to need a closer look.
    busy: usize,
    quote: Cow<'static, str>,
    edits: Vec<Edit>,
}

/// What holds for a value by where it stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    field: Field<'a>,
    /// Whether only what the plan names passes.
    narrowed: bool,
}

impl<'e> Walk<'e> {
    pub(crate) fn new(
        engine: &'e Engine,
        plan: Option<&'e Plan>,
        names: &'e mut dyn Pseudonyms,
        told: Option<&'e Told>,
        length: usize,
    ) -> Self {
        Self {
            engine,
            plan,
            names,
            told,
            texts: None,
            copies: None,
            work: engine.work(length),
            report: Report::default(),
            copied: Vec::new(),
            hardest: Action::Allow,
            may_drop: plan.is_some_and(Plan::may_drop),
            is_ruled: plan.is_some_and(|plan| plan.only.is_some() || !plan.fields.is_empty()),
        }
    }

    /// Walks a checked document; returns the changes to it.
    pub(crate) fn document(&mut self, text: &str) -> Vec<Edit> {
        let depth = self.engine.limits.depth;
        let narrowed = self.plan.is_some_and(|plan| plan.only.is_some() && plan.data.is_empty());
        self.inner(text, String::new(), depth, "\"".into(), narrowed, Field::NONE)
    }

    fn inner(
        &mut self,
        text: &str,
        prefix: String,
        depth: usize,
        quote: Cow<'static, str>,
        narrowed: bool,
        field: Field<'_>,
    ) -> Vec<Edit> {
        let is_asked = self.told.is_some() || self.texts.is_some() || self.copies.is_some();
        let mut document = Document {
            only_finds: !self.is_ruled && !is_asked,
            busy: 0,
            walk: self,
            text,
            at: 0,
            steps: Vec::with_capacity(8),
            roots: Vec::new(),
            prefix,
            depth,
            quote,
            edits: Vec::new(),
        };
        document.space();
        let start = document.at;
        if document.value(Place { field, narrowed }) {
            // The root cannot go; what it is replaced with says so.
            let end = document.at;
            document.edits.retain(|edit| edit.start < start);
            let text = document.quoted("[REDACTED]");
            document.edits.push(Edit { start, end, text });
        }
        document.edits
    }

    fn exceed(&mut self, limit: Limit) {
        self.work.exceeded.get_or_insert(limit);
    }
}

impl Document<'_, '_, '_> {
    fn peek(&self) -> u8 {
        class::at(self.text.as_bytes(), self.at)
    }

    fn space(&mut self) {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// Where the value at hand is; nowhere once as many places were noted as there may be findings.
    fn path(&self) -> String {
        let report = &self.walk.report;
        if report.applied.len().max(report.fields.len()) >= self.walk.engine.limits.findings {
            return String::new();
        }
        self.here()
    }

    fn here(&self) -> String {
        let here = written(&self.steps);
        if self.prefix.is_empty() { here } else { format!("{}#{here}", self.prefix) }
    }

    fn quoted(&self, text: &str) -> String {
        format!("{0}{text}{0}", self.quote)
    }

    /// Walks the value at hand; says whether it is to be taken out.
    fn value(&mut self, place: Place<'_>) -> bool {
        let plan = self.walk.plan;
        let Some(plan) = plan.filter(|_| self.walk.is_ruled) else { return self.plain(place, plan) };
        if plan.data.iter().any(|path| self.prefix.is_empty() && path.leads_to(&self.steps)) {
            self.roots.push(self.steps.len());
            let narrowed = plan.only.is_some();
            let dropped = self.ruled(plan, Place { narrowed, ..place });
            self.roots.pop();
            return dropped;
        }
        self.ruled(plan, place)
    }

    fn ruled(&mut self, plan: &Plan, mut place: Place<'_>) -> bool {
        if place.narrowed {
            let only = plan.only.as_deref().unwrap_or_default();
            let standings = || only.iter().flat_map(|path| self.standings(path));
            if standings().any(|standing| standing == Standing::Within) {
                place.narrowed = false;
            } else if !(standings().any(|standing| standing == Standing::Above)
                && matches!(self.peek(), b'{' | b'['))
            {
                self.skip();
                self.walk.report.fields.push((self.path(), Action::Drop));
                return true;
            }
        }
        let whole = plan
            .fields
            .iter()
            .rev()
            .find(|rule| rule.entities.is_none() && self.is_within(&rule.path))
            .map(|rule| rule.action);
        match whole {
            None | Some(Action::Allow) => self.plain(place, Some(plan)),
            Some(action) => self.whole(plan, action),
        }
    }

    fn is_within(&self, path: &crate::Path) -> bool {
        self.standings(path).any(|standing| standing == Standing::Within)
    }

    /// How the value at hand stands to a path, from each root.
    fn standings(&self, path: &crate::Path) -> impl Iterator<Item = Standing> {
        let roots = std::iter::once(0).chain(self.roots.iter().copied());
        roots.map(|root| path.standing(&self.steps[root..]))
    }

    /// A value that goes because of where it stands.
    fn whole(&mut self, plan: &Plan, action: Action) -> bool {
        let start = self.at;
        self.skip();
        let raw = &self.text[start..self.at];
        self.walk.hardest = self.walk.hardest.max(action);
        let value = match raw.as_bytes()[0] {
            b'"' => unescape(&raw[1..raw.len() - 1]).0,
            b'{' | b'[' => Cow::Borrowed(""),
            b'n' => return action == Action::Drop,
            _ => Cow::Borrowed(raw),
        };
        if is_ours(&value) && action != Action::Drop {
            return false;
        }
        self.walk.report.fields.push((self.path(), action));
        if value.len() >= 4 {
            self.walk.copied.push(Copied { value: value.clone().into_owned(), entity: None, action });
        }
        let action = if value.is_empty() { Action::Redact } else { action };
        if let Some(text) = replace::text(action, None, &value, plan, self.walk.names) {
            let text = self.quoted(&text);
            if text != raw {
                self.edits.push(Edit { start, end: self.at, text });
            }
        }
        action == Action::Drop
    }

    fn plain(&mut self, place: Place<'_>, plan: Option<&Plan>) -> bool {
        match self.peek() {
            b'"' => self.string(place, plan),
            b'{' => self.object(place),
            b'[' => self.array(place),
            b'-' | b'0'..=b'9' => self.number(place, plan),
            _ => {
                self.skip();
                false
            }
        }
    }

    /// Enters an array or object; one that is nested too deeply is passed over.
    fn enter(&mut self) -> bool {
        if self.steps.len() >= self.depth {
            self.walk.exceed(Limit::Depth(self.walk.engine.limits.depth));
            self.skip();
            return false;
        }
        self.at += 1;
        self.space();
        true
    }

    fn array(&mut self, place: Place<'_>) -> bool {
        if !self.enter() {
            return false;
        }
        let mut children = Children::new(self.walk.may_drop, &self.edits);
        while self.peek() != b']' {
            let start = self.at;
            let mut dropped = false;
            if !self.pass(place.field) {
                self.steps.push(Step::Index(children.count));
                dropped = self.value(place);
                self.steps.pop();
            }
            children.push(start, self.at, dropped);
            self.space();
            if self.peek() == b',' {
                self.at += 1;
                self.space();
            }
        }
        self.at += 1;
        children.take_out(&mut self.edits);
        false
    }

    fn object(&mut self, place: Place<'_>) -> bool {
        if !self.enter() {
            return false;
        }
        let mut children = Children::new(self.walk.may_drop, &self.edits);
        // `{"name": "API_TOKEN", "value": …}`: what the value is stands beside it.
        let mut label: Option<Cow<'_, str>> = None;
        while self.peek() != b'}' {
            let start = self.at;
            let quoted = self.take_short();
            let key = quoted.text();
            let engine = self.walk.engine;
            // What is kept has nothing in it to look at.
            let kept = engine.keys.kept(&key);
            let mut dropped = kept.is_none() && self.is_key_dropped(&quoted, start + 1, children.count);
            self.space();
            self.at += 1;
            self.space();
            let label_of_it = if matches!(&*key, "value" | "Value") { label.take() } else { None };
            let Meant { topics, announced } = match (&label_of_it, kept) {
                (None, Some(meant)) => meant,
                (None, None) => engine.keys.of(&engine.words, &key),
                (Some(label), _) => engine.keys.of(&engine.words, label),
            };
            let own =
                Topics::KINDS.or(Topics::NAME).or(Topics::ADDRESS).or(Topics::PASSWORD).or(Topics::SECRET);
            let topics = if topics.any(own) && !(topics.has(Topics::NAME)) {
                topics
            } else {
                topics.or(place.field.topics)
            };
            let announced = announced.or(place.field.announced_for(&key));
            let field = Field { key: &key, topics, announced };
            let from = self.at;
            if !self.pass(field) {
                self.steps.push(Step::Name(key.clone()));
                dropped |= self.value(Place { field, ..place });
                self.steps.pop();
            }
            if matches!(&*key, "name" | "key" | "Name" | "Key") {
                label = text_of(&self.text[from..self.at]);
            }
            children.push(start, self.at, dropped);
            self.space();
            if self.peek() == b',' {
                self.at += 1;
                self.space();
            }
        }
        self.at += 1;
        children.take_out(&mut self.edits);
        false
    }

    /// Looks at a key as at a text; one that is changed stays apart from all others of its object.
    fn is_key_dropped(&mut self, quoted: &Quoted<'_>, start: usize, index: usize) -> bool {
        let (key, offsets) = quoted.read();
        let bytes = key.as_bytes();
        let looks = bytes.len() >= 6
            && bytes
                .iter()
                .any(|byte| byte.is_ascii_digit() || *byte == b'@' || *byte >= 0x80 || *byte == b' ');
        if !looks {
            return false;
        }
        let hits = self.walk.engine.text(&key, Field::NONE, None, &mut self.walk.work);
        let from = self.edits.len();
        let dropped = self.hits(hits, &key, &offsets, start, "", self.walk.plan);
        if let Some(edit) = self.edits[from..].last_mut() {
            edit.text.push('#');
            edit.text.push_str(&index.to_string());
        }
        dropped
    }

    fn number(&mut self, place: Place<'_>, plan: Option<&Plan>) -> bool {
        let start = self.at;
        self.skip();
        let text = &self.text[start..self.at];
        if text.len() < NUMBER {
            return false;
        }
        let Some(number) = number::whole(text) else { return false };
        let hits = self.walk.engine.text(&number, place.field, None, &mut self.walk.work);
        if hits.is_empty() {
            return false;
        }
        let quote = self.quote.clone();
        // What replaces a number is a string, and all of it.
        let whole = hits.into_iter().next().map(|hit| Hit { start: 0, end: text.len(), ..hit });
        self.hits(whole.into_iter().collect(), text, &Offsets::default(), start, &quote, plan)
    }

    fn string(&mut self, place: Place<'_>, plan: Option<&Plan>) -> bool {
        let start = self.at + 1;
        let quoted = self.take_string();
        if quoted.inner.len() < TEXT {
            return false;
        }
        let (text, offsets) = quoted.read();
        if let Some(dropped) = self.nested(&text, &offsets, start, place) {
            return dropped;
        }
        if let Some(plan) = plan
            && plan.only.is_some()
            && plan.texts.iter().any(|path| self.prefix.is_empty() && path.leads_to(&self.steps))
            && !is_ours(&text)
        {
            self.walk.report.fields.push((self.path(), Action::Redact));
            self.edits.push(Edit { start, end: self.at - 1, text: "[REDACTED]".to_owned() });
            return false;
        }
        if let Some(texts) = &mut self.walk.texts {
            if is_worth_asking(&text) && !texts.contains(&*text) {
                texts.insert(text.into_owned());
            }
            return false;
        }
        let Walk { engine, told, work, .. } = &mut *self.walk;
        let hits = if self.busy + 1 == start {
            engine.found(&text, place.field, *told, work)
        } else {
            engine.text(&text, place.field, *told, work)
        };
        let mut dropped = !hits.is_empty() && self.hits(hits, &text, &offsets, start, "", plan);
        if self.walk.copies.is_some() {
            dropped |= self.copies(&text, &offsets, start, plan);
        }
        dropped
    }

    /// The document in a string, if there is one.
    fn nested(&mut self, text: &str, offsets: &Offsets, start: usize, place: Place<'_>) -> Option<bool> {
        if !pass::may_begin_document(*text.as_bytes().first()?) {
            return None;
        }
        let trimmed = text.trim_start();
        if !trimmed.starts_with(['{', '[']) || !trimmed.trim_end().ends_with(['}', ']']) {
            return None;
        }
        let limits = &self.walk.engine.limits;
        let ratio = limits.decoded;
        let depth = self.depth.saturating_sub(self.steps.len() + 1);
        match json::verify(text.as_bytes(), Limits { depth }) {
            Ok(()) => {}
            Err(json::JsonError::TooDeep(_)) => {
                let limit = Limit::Depth(limits.depth);
                self.walk.exceed(limit);
                return None;
            }
            Err(_) => return None,
        }
        if !offsets.is_empty() && !self.walk.work.may_decode(text.len(), ratio) {
            return None;
        }
        let narrowed = place.narrowed
            || self.walk.plan.is_some_and(|plan| {
                plan.only.is_some()
                    && self.prefix.is_empty()
                    && self.roots.is_empty()
                    && !plan.data.is_empty()
            });
        let from = self.walk.report.applied.len();
        let edits = self.walk.inner(
            text,
            below(self.here()),
            depth,
            deeper(&self.quote).into(),
            narrowed,
            place.field,
        );
        let source = |at: usize| start + offsets.start(at);
        let source_end = |at: usize| start + offsets.end(at);
        for applied in &mut self.walk.report.applied[from..] {
            applied.finding.start = source(applied.finding.start);
            applied.finding.end = source_end(applied.finding.end);
        }
        self.edits.extend(edits.into_iter().map(|edit| Edit {
            start: source(edit.start),
            end: source_end(edit.end),
            text: edit.text,
        }));
        Some(false)
    }

    /// Reports hits and does what the plan wants; `around` is put around what is written. Says whether the value goes.
    fn hits(
        &mut self,
        hits: Vec<Hit>,
        text: &str,
        offsets: &Offsets,
        start: usize,
        around: &str,
        plan: Option<&Plan>,
    ) -> bool {
        let mut dropped = false;
        let mut covered = 0;
        for hit in hits {
            if self.walk.report.applied.len() >= self.walk.engine.limits.findings {
                let limit = Limit::Findings(self.walk.engine.limits.findings);
                self.walk.exceed(limit);
                return dropped;
            }
            let action = plan.map_or(Action::Allow, |plan| self.action(plan, hit.entity));
            let place =
                Hit { start: start + offsets.start(hit.start), end: start + offsets.end(hit.end), ..hit };
            let found = Applied { finding: finding(place, self.path()), action };
            self.walk.report.applied.push(found);
            let Some(plan) = plan.filter(|_| action != Action::Allow) else { continue };
            self.walk.hardest = self.walk.hardest.max(action);
            dropped |= action == Action::Drop;
            let value = &text[hit.start..hit.end];
            if hit.is_by_context() && value.len() >= 5 {
                self.walk.copied.push(Copied { value: value.to_owned(), entity: Some(hit.entity), action });
            }
            // What lies beside another finding of the same place is already covered by it.
            if place.start < covered {
                continue;
            }
            covered = place.end;
            if let Some(text) = replace::text(action, Some(hit.entity), value, plan, self.walk.names) {
                self.edits.push(Edit {
                    start: place.start,
                    end: place.end,
                    text: format!("{around}{text}{around}"),
                });
            }
        }
        dropped
    }

    fn action(&self, plan: &Plan, entity: Entity) -> Action {
        let ruled = plan.fields.iter().rev().find(|rule| {
            rule.entities.is_none_or(|entities| entities.contains(entity)) && self.is_within(&rule.path)
        });
        ruled.map_or(plan.action(entity), |rule| rule.action)
    }

    /// Values that were replaced elsewhere.
    fn copies(&mut self, text: &str, offsets: &Offsets, start: usize, plan: Option<&Plan>) -> bool {
        let (Some(copies), Some(plan)) = (self.walk.copies, plan) else { return false };
        let bytes = text.as_bytes();
        let mut dropped = false;
        for found in copies.automaton.find_iter(text) {
            let inside = class::is_word(class::before(bytes, found.start()))
                && class::is_word(bytes[found.start()])
                || class::is_word(class::at(bytes, found.end())) && class::is_word(bytes[found.end() - 1]);
            let edit_start = start + offsets.start(found.start());
            let edit_end = start + offsets.end(found.end());
            if inside
                || self.edits.iter().rev().take(64).any(|edit| edit.start < edit_end && edit_start < edit.end)
            {
                continue;
            }
            let again = &copies.values[found.pattern().as_usize()];
            let ruled =
                again.entity.map_or(again.action, |entity| self.action(plan, entity).max(again.action));
            dropped |= ruled == Action::Drop && found.len() * 2 > text.len();
            if let Some(entity) = again.entity {
                let hit = Hit { entity, detail: "copy", start: edit_start, end: edit_end, score: 1.0 };
                self.walk.report.applied.push(Applied { finding: finding(hit, self.path()), action: ruled });
            }
            if let Some(text) = replace::text(ruled, again.entity, &again.value, plan, self.walk.names) {
                self.edits.push(Edit { start: edit_start, end: edit_end, text });
            }
        }
        dropped
    }
}

mod number;
mod pass;
