//! A pack for whoever has to show that an AI system is overseen and its logs are kept (EU AI Act, articles 12, 14, 19, 26, 72, 73).
//!
//! It is made from the log alone, for a span of time: which systems used the gateway and on what data, what people decided and
//! how fast, what went wrong, when something was stopped, and that events are kept for as long as they have to be. It is three
//! things that say the same: a report for people, the same as JSON, and a proof of the events that the report lists
//! ([`crate::bundle`]), which is checked without the log. The counts are of all events of the span; that none was left out is what
//! verifying the log itself shows, and the pack has the result of that.
//!
//! It supports an assessment. It is none, and says so.

mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis_model::{Entry, Journal, Unavailable};
use serde::Serialize;

use crate::event::{Event, Kind, Phase};
use crate::record::Record;
use crate::retention::{self, FLOOR, Hold};
use crate::time::rfc3339;
use crate::verify::Report;

/// What is written on it.
pub const FORMAT: &str = "portcullis-ai-act-pack/1";
const AT_ONCE: usize = 4096;
/// Events that are listed of a kind at the most; all are counted.
const LISTED: usize = 1000;

/// A pack.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Pack {
    /// [`FORMAT`].
    pub format: &'static str,
    /// What it is for, and what it is not.
    pub purpose: &'static str,
    /// The log.
    pub log: String,
    /// Not before this time.
    pub from: String,
    /// Before this time.
    pub to: String,
    /// How many events there are.
    pub events: u64,
    /// Those that are of no tagged system.
    pub untagged: u64,
    /// The systems, by name.
    pub systems: BTreeMap<String, System>,
    /// What people decided.
    pub oversight: Oversight,
    /// What went wrong.
    pub incidents: Listed,
    /// What was stopped, and went on.
    pub halts: Listed,
    /// The same, where it was stopped to see whether that works.
    pub halt_tests: Listed,
    /// Definitions that were held back.
    pub held_back: Listed,
    /// Changes of configuration, policies, servers and keys, by kind.
    pub changes: BTreeMap<&'static str, u64>,
    /// Who read the log, how often.
    pub reads: u64,
    /// How long events are kept.
    pub retention: Retention,
    /// What verifying the whole log found.
    pub verification: Option<Report>,
}

/// A system that used the gateway.
#[derive(Clone, Debug, Default, Serialize)]
pub struct System {
    /// What it is meant for.
    pub purpose: Option<String>,
    /// Its class of risk.
    pub risk: Option<String>,
    /// The model behind it.
    pub model: Option<String>,
    /// Who deploys it.
    pub deployer: Option<String>,
    /// Categories of data.
    pub data: BTreeSet<String>,
    /// The legal bases.
    pub legal_bases: BTreeSet<String>,
    /// When its first event ended, and its last.
    pub first: String,
    /// As `first`.
    pub last: String,
    /// How many events.
    pub events: u64,
    /// How many exchanges.
    pub exchanges: u64,
    /// How many were denied or refused.
    pub denied: u64,
    /// How many failed.
    pub failed: u64,
    /// How many persons.
    pub persons: usize,
    /// Its servers, with how many events of each.
    pub servers: BTreeMap<String, u64>,
    /// Its tools (`SERVER/NAME`), with how many events of each.
    pub tools: BTreeMap<String, u64>,
    /// What the guard found, by rule and action.
    pub findings: BTreeMap<String, u64>,
    #[serde(skip)]
    known: BTreeSet<String>,
}

/// What people decided, in numbers and one by one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Oversight {
    /// By decision.
    pub decisions: BTreeMap<String, u64>,
    /// How many people decided.
    pub people: usize,
    /// How long it took at the median and for nine of ten, in milliseconds.
    pub waited_ms: Option<(u64, u64)>,
    /// Each.
    #[serde(flatten)]
    pub each: Listed,
}

/// Events of one kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Listed {
    /// Each.
    pub listed: Vec<Line>,
    /// How many more there are.
    pub more: u64,
}

/// One event of a list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Line {
    /// Its number in the log.
    pub seq: u64,
    /// When it ended.
    pub time: String,
    /// What kind of event.
    pub kind: &'static str,
    /// Of which system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Whom and what it was about: `SERVER/NAME`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Who decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What they decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<u64>,
    /// What else it says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<String, String>,
}

/// How long events are kept, and what holds them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Retention {
    /// The least for tagged systems, in days.
    pub floor_days: u64,
    /// The first event that is there, and when it ended.
    pub oldest: Option<(u64, String)>,
    /// When events were removed, and before which number.
    pub removed: Vec<Line>,
    /// When a person was erased.
    pub erased: Vec<Line>,
    /// The legal holds that are on the log now.
    pub held: BTreeMap<String, Hold>,
}

/// Whether something was stopped in it, or goes on.
fn is_halt(event: &Event) -> bool {
    event.kind == Kind::Gateway && event.human.decision.is_some()
}

fn is_test(event: &Event) -> bool {
    event.detail.get("test").is_some_and(|test| test == "true")
}

fn is_held_back(event: &Event) -> bool {
    event.kind == Kind::Catalogue && event.detail.get("what").is_some_and(|what| what == "held back")
}

impl Listed {
    fn add(&mut self, line: Line) -> bool {
        let room = self.listed.len() < LISTED;
        if room {
            self.listed.push(line);
        } else {
            self.more += 1;
        }
        room
    }
}

impl Line {
    fn of(record: &Record) -> Self {
        let event = &record.event;
        let about: Vec<_> = [&event.server.id, &event.tool.name].into_iter().flatten().cloned().collect();
        Self {
            seq: record.chain.seq,
            time: rfc3339(event.time.end_us),
            kind: event.kind.as_str(),
            system: event.system.id.clone(),
            about: about.join("/"),
            by: event.human.approver.clone().or_else(|| event.who.person.clone()),
            decision: event.human.decision.clone(),
            waited_ms: event.human.decision.is_some().then_some(event.human.waited_ms),
            detail: event.detail.clone(),
        }
    }
}

/// Looks at the events of a span of time, from and before these microseconds since 1970. Returns the entries that the pack
/// lists, which [`crate::bundle::pack`] proves.
///
/// # Errors
/// The journal cannot be asked, or has what is no record.
pub fn collect(journal: &dyn Journal, since: i64, until: i64) -> Result<(Pack, Vec<Entry>), Unavailable> {
    let mut pack = Pack {
        format: FORMAT,
        purpose: "Supports an assessment under Regulation (EU) 2024/1689. It is no declaration of conformity.",
        from: rfc3339(since),
        to: rfc3339(until),
        ..Pack::default()
    };
    pack.retention.floor_days = FLOOR.as_secs() / Duration::from_hours(24).as_secs();
    pack.retention.held = retention::holds(journal)?;
    let (mut proved, mut waits, mut people) = (Vec::new(), Vec::new(), BTreeSet::new());
    let extent = journal.extent()?;
    let mut next = extent.first;
    while next < extent.next {
        let entries = journal.read(next, AT_ONCE)?;
        let Some(last) = entries.last() else { break };
        next = last.seq + 1;
        for entry in entries {
            let record = Record::parse(&entry.record)
                .map_err(|error| Unavailable(format!("event {} cannot be read: {error}", entry.seq)))?;
            pack.log.clone_from(&record.chain.log);
            if entry.seq == extent.first {
                pack.retention.oldest = Some((entry.seq, rfc3339(record.event.time.end_us)));
            }
            let at = record.event.time.end_us;
            if at >= since && at < until && pack.add(&record, &mut waits, &mut people) {
                proved.push(entry);
            }
        }
    }
    waits.sort_unstable();
    let place = |tenths: usize| waits.get((waits.len() * tenths / 10).min(waits.len().saturating_sub(1)));
    pack.oversight.waited_ms = place(5).zip(place(9)).map(|(half, most)| (*half, *most));
    pack.oversight.people = people.len();
    Ok((pack, proved))
}

impl Pack {
    /// Adds an event; whether it is one of those that are listed.
    fn add(&mut self, record: &Record, waits: &mut Vec<u64>, people: &mut BTreeSet<String>) -> bool {
        let event = &record.event;
        self.events += 1;
        match &event.system.id {
            Some(id) => self.systems.entry(id.clone()).or_default().add(event),
            None => self.untagged += 1,
        }
        match event.kind {
            Kind::Configuration | Kind::Policy | Kind::Catalogue | Kind::Key | Kind::Credential => {
                *self.changes.entry(event.kind.as_str()).or_default() += 1;
            }
            Kind::Audit => self.reads += 1,
            _ => {}
        }
        let line = Line::of(record);
        // Calls say as well what was decided about them, and what a user answers a server is no oversight: each yes and no has
        // an event of its own, and those alone are counted.
        if event.kind == Kind::Approval {
            let decision = event.human.decision.clone().unwrap_or_else(|| "unknown".to_owned());
            // What nobody decided in time took nobody any.
            if decision != "expired" {
                people.extend(line.by.iter().flat_map(|by| by.split(' ')).map(str::to_owned));
                waits.push(event.human.waited_ms);
            }
            *self.oversight.decisions.entry(decision).or_default() += 1;
            return self.oversight.each.add(line);
        }
        if is_halt(event) {
            return if is_test(event) { &mut self.halt_tests } else { &mut self.halts }.add(line);
        }
        if is_held_back(event) {
            return self.held_back.add(line);
        }
        match event.kind {
            Kind::Incident | Kind::Loss | Kind::Recovery => self.incidents.add(line),
            Kind::Truncation => {
                self.retention.removed.push(line);
                true
            }
            // What was about to be done is listed when it is done.
            Kind::Erasure if event.phase == Some(Phase::Intent) => false,
            Kind::Erasure => {
                self.retention.erased.push(line);
                true
            }
            Kind::Hold => true,
            _ => false,
        }
    }
}

impl System {
    fn add(&mut self, event: &Event) {
        let (system, at) = (&event.system, rfc3339(event.time.end_us));
        if self.events == 0 {
            self.first.clone_from(&at);
        }
        self.last = at;
        self.events += 1;
        self.purpose.clone_from(&system.purpose);
        self.risk.clone_from(&system.risk);
        self.model.clone_from(&system.model);
        self.deployer.clone_from(&system.deployer);
        self.data.extend(event.data.categories.iter().cloned());
        self.legal_bases.extend(event.data.legal_basis.clone());
        // What is only about to be done is counted when it is done.
        if event.phase == Some(Phase::Intent) {
            return;
        }
        self.exchanges += u64::from(matches!(event.kind, Kind::Exchange | Kind::Task | Kind::List));
        let denied = event.decision.verdict.as_deref().is_some_and(|verdict| verdict != "allow");
        self.denied += u64::from(denied);
        self.failed += u64::from(!denied && (event.result.error.is_some() || event.result.is_error));
        if let Some(person) = &event.who.person {
            self.known.insert(person.clone());
            self.persons = self.known.len();
        }
        if let Some(server) = &event.server.id {
            *self.servers.entry(server.clone()).or_default() += 1;
            if let Some(tool) = &event.tool.name {
                *self.tools.entry(format!("{server}/{tool}")).or_default() += 1;
            }
        }
        for finding in &event.guard.findings {
            *self.findings.entry(format!("{} {}", finding.rule, finding.action)).or_default() +=
                finding.count;
        }
    }
}
