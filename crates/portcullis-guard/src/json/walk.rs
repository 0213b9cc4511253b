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
use super::text::{Quoted, deeper, plain, text_of, unescape};
use crate::context::Topics;
use crate::engine::{Engine, Field, Work, finding};
use crate::path::{Standing, Step, written};
use crate::recognise::Hit;
use crate::recognise::secret::is_ours;
use crate::text::class;
use crate::text::offsets::Offsets;
use crate::told::is_worth_asking;
use crate::{Action, Applied, Entity, Limit, Plan, Pseudonyms, Report, Told};

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
        let mut document = Document {
            walk: self,
            text,
            at: 0,
            steps: Vec::new(),
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

impl<'d> Document<'d, '_, '_> {
    fn peek(&self) -> u8 {
        class::at(self.text.as_bytes(), self.at)
    }

    fn space(&mut self) {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn path(&self) -> String {
        let here = written(&self.steps);
        if self.prefix.is_empty() { here } else { format!("{}#{here}", self.prefix) }
    }

    fn quoted(&self, text: &str) -> String {
        format!("{0}{text}{0}", self.quote)
    }

    /// Walks the value at hand; says whether it is to be taken out.
    fn value(&mut self, place: Place<'_>) -> bool {
        let Some(plan) = self.walk.plan else { return self.plain(place, None) };
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

    /// Passes over a value.
    fn skip(&mut self) {
        let bytes = self.text.as_bytes();
        let mut depth = 0usize;
        loop {
            match self.peek() {
                b'"' => {
                    self.take_string();
                    if depth == 0 {
                        return;
                    }
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                    if depth == 0 {
                        return;
                    }
                }
                _ if depth == 0 => {
                    let rest = &bytes[self.at..];
                    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
                    self.at += rest.iter().position(ends).unwrap_or(rest.len());
                    return;
                }
                _ => self.at += 1,
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

    /// Passes over a string; returns what stands between the quotes.
    fn take_string(&mut self) -> Quoted<'d> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            // It was checked: it ends, and there are no control characters to look for.
            at += plain(&bytes[at..]);
            if bytes.get(at) != Some(&b'\\') {
                break;
            }
            escaped = true;
            at += 2;
        }
        self.at = at + 1;
        Quoted { inner: &self.text[start..at], escaped }
    }

    fn array(&mut self, place: Place<'_>) -> bool {
        if !self.enter() {
            return false;
        }
        let mut children = Children::new(self.walk.may_drop);
        while self.peek() != b']' {
            let start = self.at;
            self.steps.push(Step::Index(children.count));
            let dropped = self.value(place);
            self.steps.pop();
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
        let mut children = Children::new(self.walk.may_drop);
        // `{"name": "API_TOKEN", "value": …}`: what the value is stands beside it.
        let mut label: Option<Cow<'_, str>> = None;
        while self.peek() != b'}' {
            let start = self.at;
            let (key, offsets) = self.take_string().read();
            let engine = self.walk.engine;
            // What is kept has nothing in it to look at.
            let kept = engine.keys.kept(&key);
            let mut dropped =
                kept.is_none() && self.is_key_dropped(&key, &offsets, start + 1, children.count);
            self.space();
            self.at += 1;
            self.space();
            let label_of_it = label.take().filter(|_| matches!(&*key, "value" | "Value"));
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
            self.steps.push(Step::Name(key.clone()));
            let from = self.at;
            dropped |= self.value(Place { field, ..place });
            self.steps.pop();
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
    fn is_key_dropped(&mut self, key: &str, offsets: &Offsets, start: usize, index: usize) -> bool {
        let bytes = key.as_bytes();
        let looks = bytes.len() >= 6
            && bytes
                .iter()
                .any(|byte| byte.is_ascii_digit() || *byte == b'@' || *byte >= 0x80 || *byte == b' ');
        if !looks {
            return false;
        }
        let hits = self.walk.engine.text(key, Field::NONE, None, &mut self.walk.work);
        let from = self.edits.len();
        let dropped = self.hits(hits, key, offsets, start, "", self.walk.plan);
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
        if text.len() < 7 {
            return false;
        }
        // Whole numbers that went through a column of fractions end in `.0`; what is a fraction identifies nobody.
        let number = match text.split_once('.') {
            Some((number, fraction)) if fraction.bytes().all(|digit| digit == b'0') => number,
            Some(_) => return false,
            None => text,
        };
        let hits = self.walk.engine.text(number, place.field, None, &mut self.walk.work);
        let quote = self.quote.clone();
        // What replaces a number is a string, and all of it.
        let whole = hits.into_iter().next().map(|hit| Hit { start: 0, end: text.len(), ..hit });
        self.hits(whole.into_iter().collect(), text, &Offsets::default(), start, &quote, plan)
    }

    fn string(&mut self, place: Place<'_>, plan: Option<&Plan>) -> bool {
        let start = self.at + 1;
        let quoted = self.take_string();
        if quoted.inner.len() < 4 {
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
        let hits = self.walk.engine.text(&text, place.field, self.walk.told, &mut self.walk.work);
        let mut dropped = self.hits(hits, &text, &offsets, start, "", plan);
        if self.walk.copies.is_some() {
            dropped |= self.copies(&text, &offsets, start, plan);
        }
        dropped
    }

    /// The document in a string, if there is one.
    fn nested(&mut self, text: &str, offsets: &Offsets, start: usize, place: Place<'_>) -> Option<bool> {
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
        let edits =
            self.walk.inner(text, self.path(), depth, deeper(&self.quote).into(), narrowed, place.field);
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
