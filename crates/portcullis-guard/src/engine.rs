//! The engine: settings made into automata, and texts looked at through all their layers.
//!
//! A text is swept as it reads: without invisible characters, look-alikes folded. Then once more where escapes were
//! decoded, and each run of base64 or hexadecimal by itself, two levels deep. What is found in any layer is a place in the
//! text that was handed in. Work is bounded by the length of the input, never by a clock.

use crate::context::{Topics, Words};
use crate::json::keys::Keys;
use crate::recognise::assigned::{self, Announced};
use crate::recognise::names::Names;
use crate::recognise::{Hit, Subject, hidden, person};
use crate::sweep::Sweep;
use crate::text::{class, decode, fold};
use crate::{Entity, EntitySet, Finding, KnownValues, Limit, Limits, Scan, Settings, SettingsError, Told};

/// How many layers of encoding are taken off.
const LAYERS: usize = 3;
/// How many spaces and quotes may stand between an escape and what it announces.
const BESIDE: usize = 16;

/// Finds and changes. Made once for a configuration and shared by all calls.
pub struct Engine {
    pub(crate) words: Words,
    pub(crate) keys: Keys,
    names: Names,
    sweep: Sweep,
    entities: EntitySet,
    threshold: f32,
    allow: Vec<String>,
    known: KnownValues,
    pub(crate) limits: Limits,
}

/// What is left of the work that one document may cost.
pub(crate) struct Work {
    decoded: usize,
    pub(crate) exceeded: Option<Limit>,
}

/// What the key says under which a text stands.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) key: &'a str,
    pub(crate) topics: Topics,
    pub(crate) announced: Announced,
}

impl Field<'_> {
    pub(crate) const NONE: Field<'static> =
        Field { key: "", topics: Topics::NONE, announced: Announced::Nothing };

    /// What this announces for a member of it: `{"api_key": {"value": …}}`.
    pub(crate) fn announced_for(&self, key: &str) -> Announced {
        if matches!(key, "value" | "Value" | "default") { self.announced } else { Announced::Nothing }
    }
}

impl Engine {
    /// An engine with these settings.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        if !(0.0..=1.0).contains(&settings.threshold) {
            return Err(SettingsError::Threshold);
        }
        if !(1..=256).contains(&settings.limits.depth) {
            return Err(SettingsError::Depth);
        }
        Ok(Self {
            words: Words::new(),
            keys: Keys::new(),
            names: Names::new(),
            sweep: Sweep::new(settings.entities),
            entities: settings.entities,
            threshold: settings.threshold,
            allow: settings.allow.iter().map(|value| value.to_lowercase()).collect(),
            known: settings.known.clone(),
            limits: settings.limits,
        })
    }

    /// What is in a text.
    pub fn scan_text(&self, text: &str) -> Scan {
        if text.len() > self.limits.bytes {
            return Scan { findings: Vec::new(), exceeded: Some(Limit::Bytes(self.limits.bytes)) };
        }
        let mut work = self.work(text.len());
        let hits = self.text(text, Field::NONE, None, &mut work);
        let findings = hits.into_iter().map(|hit| finding(hit, String::new())).collect();
        Scan { findings, exceeded: work.exceeded }
    }

    pub(crate) fn work(&self, length: usize) -> Work {
        Work { decoded: length.saturating_mul(self.limits.decoded).saturating_add(4096), exceeded: None }
    }

    /// What is in a text, all layers, with what others have found; in order, without overlaps.
    #[inline]
    pub(crate) fn text(
        &self,
        text: &str,
        field: Field<'_>,
        told: Option<&Told>,
        work: &mut Work,
    ) -> Vec<Hit> {
        if told.is_none() && self.is_idle(text.as_bytes(), field) {
            return Vec::new();
        }
        self.found(text, field, told, work)
    }

    /// The same for what is not idle.
    pub(crate) fn found(
        &self,
        text: &str,
        field: Field<'_>,
        told: Option<&Told>,
        work: &mut Work,
    ) -> Vec<Hit> {
        let mut hits = self.layers(text, field, 0, work);
        hits.retain(|hit| hit.score >= self.threshold);
        match told.map(|told| told.in_text(text)) {
            None => {}
            Some(Ok(others)) => hits.extend(others.filter(|hit| self.entities.contains(hit.entity))),
            Some(Err(limit)) => {
                work.exceeded.get_or_insert(limit);
            }
        }
        hits.retain(|hit| !self.is_allowed(&text[hit.start..hit.end]));
        resolve(hits)
    }

    /// Whether nothing is to be found in a short text, by its key neither: most values are such.
    pub(crate) fn is_idle(&self, text: &[u8], field: Field<'_>) -> bool {
        field.announced == Announced::Nothing
            && !(field.topics.any(Topics::NAME.or(Topics::ADDRESS)) && self.entities.meets(EntitySet::NAMES))
            && self.sweep.is_idle(text)
            && (self.known.is_empty() || !self.known.is_in(text))
    }

    fn is_allowed(&self, value: &str) -> bool {
        !self.allow.is_empty() && self.allow.contains(&value.to_lowercase())
    }

    fn subject<'a>(&'a self, text: &'a str, field: Field<'_>) -> Subject<'a> {
        Subject::new(text, &self.words, &self.names, self.entities, field.topics)
    }

    fn layers(&self, text: &str, field: Field<'_>, layer: usize, work: &mut Work) -> Vec<Hit> {
        let mut hits = Vec::new();
        let folded = if class::next_odd(text.as_bytes(), 0).is_none() {
            None
        } else {
            if self.entities.contains(Entity::HiddenText) {
                let mut subject = self.subject(text, field);
                hidden::look(&mut subject);
                hits = subject.hits;
            }
            fold::fold(text)
        };
        let mut runs = Vec::new();
        match folded {
            Some((folded, offsets)) => {
                let found = self.sweep_one(&folded, field, &mut runs);
                hits.extend(found.into_iter().map(|hit| moved(hit, &offsets)));
                self.encoded(&folded, field, layer, runs, work, |hit| hits.push(moved(hit, &offsets)));
            }
            None => {
                hits.append(&mut self.sweep_one(text, field, &mut runs));
                self.encoded(text, field, layer, runs, work, |hit| hits.push(hit));
            }
        }
        hits
    }

    fn sweep_one(&self, text: &str, field: Field<'_>, runs: &mut Vec<(usize, usize)>) -> Vec<Hit> {
        let mut subject = self.subject(text, field);
        if field.announced != Announced::Nothing {
            assigned::member(&mut subject, field.announced);
        }
        if field.topics.any(Topics::NAME.or(Topics::ADDRESS)) && self.entities.meets(EntitySet::NAMES) {
            person::member(&mut subject, field.key);
        }
        self.sweep.look(&mut subject, runs);
        if !self.known.is_empty() {
            self.known.find(text.as_bytes(), |start, end| {
                subject.hits.push(Hit { entity: Entity::Secret, detail: "known", start, end, score: 1.0 });
            });
        }
        subject.hits
    }

    /// What shows when escapes and runs of `text` are decoded.
    fn encoded(
        &self,
        text: &str,
        field: Field<'_>,
        layer: usize,
        runs: Vec<(usize, usize)>,
        work: &mut Work,
        mut found: impl FnMut(Hit),
    ) {
        if layer >= LAYERS {
            return;
        }
        if let Some((decoded, offsets)) = decode::in_place(text)
            && work.may_decode(decoded.len(), self.limits.decoded)
        {
            for hit in self.layers(&decoded, field, layer + 1, work) {
                // `password%3Dhunter22`: what stands beside it may be what tells.
                let between = decoded.as_bytes()[..hit.start].iter().rev().take(BESIDE);
                let between = between.take_while(|byte| matches!(byte, b' ' | b'"' | b'\'')).count();
                let is_new = offsets.touches((hit.start - between).saturating_sub(1), hit.end + 1);
                if is_new || hit.entity == Entity::HiddenText {
                    found(moved(hit, &offsets));
                }
            }
        }
        for (start, end) in runs {
            let Some(decoded) = decode::run(&text.as_bytes()[start..end]) else { continue };
            if !work.may_decode(decoded.len(), self.limits.decoded) {
                return;
            }
            // In a few bytes an escape of something invisible is there by chance: one digest in millions is such a text.
            let by_chance = |hit: &Hit| hit.entity == Entity::HiddenText && decoded.len() < decode::TELLING;
            for hit in self.layers(&decoded, field, layer + 1, work) {
                if hit.score >= self.threshold && !by_chance(&hit) {
                    found(Hit { start, end, ..hit });
                }
            }
        }
    }
}

impl Work {
    /// Whether so many more bytes may be decoded.
    pub(crate) fn may_decode(&mut self, length: usize, limit: usize) -> bool {
        match self.decoded.checked_sub(length) {
            Some(left) => {
                self.decoded = left;
                true
            }
            None => {
                self.exceeded.get_or_insert(Limit::Decoded(limit));
                false
            }
        }
    }
}

fn moved(hit: Hit, offsets: &crate::text::offsets::Offsets) -> Hit {
    Hit { start: offsets.start(hit.start), end: offsets.end(hit.end), ..hit }
}

pub(crate) fn finding(hit: Hit, path: String) -> Finding {
    Finding { entity: hit.entity, detail: hit.detail, start: hit.start, end: hit.end, score: hit.score, path }
}

/// Of findings that overlap, the surer one; of two equally sure ones, the longer. What is hidden and what gives orders is
/// beside what the text says, and overlaps nothing but its own kind.
fn resolve(mut hits: Vec<Hit>) -> Vec<Hit> {
    if hits.len() < 2 {
        return hits;
    }
    let plane = |hit: &Hit| match hit.entity {
        Entity::HiddenText => 2,
        Entity::Injection => 1,
        _ => 0,
    };
    hits.sort_by(|a, b| (plane(a), a.start, b.end).cmp(&(plane(b), b.start, a.end)));
    let mut kept: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits {
        match kept.last_mut() {
            Some(last) if plane(last) == plane(&hit) && hit.start < last.end => {
                if (hit.score, hit.end - hit.start) > (last.score, last.end - last.start) {
                    *last = hit;
                }
            }
            _ => kept.push(hit),
        }
    }
    kept.sort_by_key(|hit| hit.start);
    kept
}
