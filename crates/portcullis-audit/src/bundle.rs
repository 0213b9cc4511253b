//! A slice of a log in one file, which somebody can check who has nothing else.
//!
//! The file is text: first a report for people, then the proof as JSON Lines: a head with the checkpoint, and for each event its
//! record and its path to the root. The report is made from the records, and checking makes it again: a report that says
//! something else than the proof is found. What the file cannot prove is that nothing was left out between its events,
//! unless they are all of a range; the report says which numbers it has.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use portcullis_model::{Entry, Journal};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::handover::{self, Handover};
use crate::log;
use crate::merkle::{self, Hash, Missing};
use crate::note::VerifierKey;
use crate::record::Record;
use crate::time::rfc3339;
use crate::timestamp::{self, InvalidStamp};
use crate::verify::{Demands, Kind, Report};

const FORMAT: &str = "portcullis-audit-proof/1";
const BEGIN: &str = "-----BEGIN PORTCULLIS PROOF-----\n";
const END: &str = "-----END PORTCULLIS PROOF-----\n";

#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    checkpoint: String,
    /// A time stamp of the checkpoint, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    /// How the log came to the key that signed the checkpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    handovers: Vec<String>,
    /// Not to be trusted: whoever checks has them from elsewhere.
    keys: Vec<String>,
    events: usize,
}

#[derive(Serialize, Deserialize)]
struct Proved {
    seq: u64,
    record: String,
    path: Vec<String>,
}

/// A slice that cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum Unproved {
    /// There is no checkpoint, or none that is over all of it.
    #[error(
        "no checkpoint is over event {0} yet: one is signed every ten seconds, or as `audit.checkpoint_interval` says, and when the \
         gateway stops"
    )]
    NoCheckpoint(u64),
    /// There is nothing in it.
    #[error("no event was found")]
    Nothing,
    /// What it takes was removed.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The journal cannot be asked.
    #[error(transparent)]
    Unavailable(#[from] portcullis_model::Unavailable),
    /// What the journal has is not what was signed; it is not packed.
    #[error("event {0} is not what was signed; see `portcullis audit verify`")]
    Altered(u64),
}

/// Packs events, in the order of their numbers. Of the checkpoints that are over all of them, the one is taken that most others hold:
/// those with a time stamp before those without, then by how many signed, then the newest.
///
/// # Errors
/// It cannot be proved.
pub fn pack(journal: &dyn Journal, entries: &[Entry]) -> Result<String, Unproved> {
    let last = entries.iter().map(|entry| entry.seq).max().ok_or(Unproved::Nothing)?;
    let (note, checkpoint, stamp) = best_checkpoint(journal, last)?.ok_or(Unproved::NoCheckpoint(last))?;
    let tree = log::tree(journal, checkpoint.size)?;
    let mut leaves = log::leaves(journal);
    let mut proved = Vec::with_capacity(entries.len());
    for entry in entries {
        let path = tree.inclusion(entry.seq, checkpoint.size, &mut leaves)?;
        let leaf = merkle::leaf(&entry.record);
        merkle::verify_inclusion(entry.seq, &leaf, checkpoint.size, &checkpoint.root, &path)
            .map_err(|_| Unproved::Altered(entry.seq))?;
        let record = String::from_utf8(entry.record.clone()).map_err(|_| Unproved::Altered(entry.seq))?;
        proved.push(Proved {
            seq: entry.seq,
            record,
            path: path.iter().map(|hash| BASE64.encode(hash)).collect(),
        });
    }
    let key = journal.get(log::STATE, crate::verify::KEY)?;
    let keys = key.and_then(|key| String::from_utf8(key).ok()).into_iter().collect();
    let timestamp = stamp.map(|stamp| BASE64.encode(stamp));
    let handovers = journal.list(handover::KIND, "")?.into_iter();
    let handovers = handovers.map(|(_, note)| String::from_utf8_lossy(&note).into_owned()).collect();
    let head = Head {
        format: FORMAT.to_owned(),
        checkpoint: note,
        timestamp,
        handovers,
        keys,
        events: proved.len(),
    };
    let line = |value: serde_json::Result<String>| value.expect("texts and numbers are JSON");
    let mut file = describe(&checkpoint, &proved);
    file.push_str(BEGIN);
    let _ = writeln!(file, "{}", line(serde_json::to_string(&head)));
    for event in &proved {
        let _ = writeln!(file, "{}", line(serde_json::to_string(event)));
    }
    file.push_str(END);
    Ok(file)
}

/// A checkpoint with its note and, where it has one, its time stamp.
type Anchored = (String, Checkpoint, Option<Vec<u8>>);

/// The checkpoint after an event that is held best.
fn best_checkpoint(
    journal: &dyn Journal,
    last: u64,
) -> Result<Option<Anchored>, portcullis_model::Unavailable> {
    let mut stamps: BTreeMap<String, Vec<u8>> = journal.list(timestamp::KIND, "")?.into_iter().collect();
    let mut best = None;
    for (name, note) in journal.list(log::CHECKPOINT, "")? {
        let note = String::from_utf8_lossy(&note).into_owned();
        let Ok(checkpoint) = Checkpoint::parse_unverified(&note) else { continue };
        if checkpoint.size <= last {
            continue;
        }
        let held = (stamps.contains_key(&name), note.matches("\n— ").count());
        if best.as_ref().is_none_or(|(before, _, _, _)| held >= *before) {
            best = Some((held, name, note, checkpoint));
        }
    }
    Ok(best.map(|(_, name, note, checkpoint)| (note, checkpoint, stamps.remove(&name))))
}

/// Whether a file is one of these.
#[must_use]
pub fn is_bundle(file: &str) -> bool {
    file.contains(BEGIN)
}

/// Checks a file.
#[must_use]
pub fn verify(file: &str, demands: &Demands) -> Report {
    let mut report = Report::default();
    match read(file) {
        Ok((head, proved)) => check(file, &head, &proved, demands, &mut report),
        Err(why) => report.add(Kind::Unreadable, None, format!("the file is not whole: {why}")),
    }
    report
}

fn read(file: &str) -> Result<(Head, Vec<Proved>), String> {
    let (_, proof) = file.split_once(BEGIN).ok_or("there is no proof in it")?;
    let proof = proof.strip_suffix(END).ok_or("its end is missing")?;
    let mut lines = proof.lines();
    let head: Head =
        serde_json::from_str(lines.next().unwrap_or_default()).map_err(|error| error.to_string())?;
    if head.format != FORMAT {
        return Err(format!("its format is {}, and {FORMAT} is known", head.format));
    }
    let proved: Vec<Proved> =
        lines.map(serde_json::from_str).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if proved.len() == head.events {
        Ok((head, proved))
    } else {
        Err("it has more or fewer events than it says".to_owned())
    }
}

fn check(file: &str, head: &Head, proved: &[Proved], demands: &Demands, report: &mut Report) {
    let mut keys = demands.keys.clone();
    if keys.iter().all(VerifierKey::is_witness) {
        report.key_from_log = true;
        keys.extend(head.keys.iter().filter_map(|key| VerifierKey::parse(key).ok()));
    }
    let handovers: Vec<_> = head.handovers.iter().filter_map(|note| Handover::open(note).ok()).collect();
    for (key, _, _) in handover::follow(&keys, &handovers) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let opened = match Checkpoint::open(&head.checkpoint, &keys) {
        Ok(opened) => opened,
        Err(error) => return report.add(Kind::Checkpoint, None, format!("its checkpoint: {error}")),
    };
    let checkpoint = &opened.checkpoint;
    report.origin.clone_from(&checkpoint.origin);
    (report.first, report.next) =
        (proved.first().map_or(0, |it| it.seq), proved.last().map_or(0, |it| it.seq + 1));
    report.proved = Some(proved.len() as u64);
    (report.checkpoints, report.covered) = (1, checkpoint.size);
    for event in proved {
        if let Err(why) = check_event(event, checkpoint) {
            report.add(
                Kind::Altered,
                Some((event.seq, event.seq + 1)),
                format!("event {}: {why}", event.seq),
            );
        }
    }
    if proved.windows(2).any(|two| two[0].seq >= two[1].seq) {
        report.add(Kind::Misplaced, None, "its events are not in order".to_owned());
    }
    if file.split_once(BEGIN).is_none_or(|(text, _)| text != describe(checkpoint, proved)) {
        report.add(Kind::Altered, None, "the report above the proof is not what the proof says".to_owned());
    }
    report.witnesses = opened.witnesses.iter().map(|(key, _)| keys[*key].name().to_owned()).collect();
    if report.witnesses.len() < demands.witnesses {
        let text = format!(
            "its checkpoint is not signed by {} of the witnesses that are trusted",
            demands.witnesses
        );
        report.add(Kind::Unwitnessed, None, text);
    } else if !report.witnesses.is_empty() {
        report.witnessed = checkpoint.size;
    }
    check_stamp(head, checkpoint, demands, report);
    for note in &demands.since {
        let kept = Checkpoint::verify(note, &keys);
        if kept.is_ok_and(|kept| kept.size == checkpoint.size && kept.root != checkpoint.root) {
            let text = format!(
                "another checkpoint over {} events is signed, too: the log was forked",
                checkpoint.size
            );
            report.add(Kind::Fork, None, text);
        }
    }
}

fn check_stamp(head: &Head, checkpoint: &Checkpoint, demands: &Demands, report: &mut Report) {
    if let Some(stamp) = &head.timestamp {
        let token = BASE64.decode(stamp).unwrap_or_default();
        match timestamp::verify(checkpoint, &token, demands.authorities.as_deref()) {
            Ok(time) => report.stamped = Some((checkpoint.size, time)),
            Err(InvalidStamp::Untrusted(_)) => {}
            Err(error) => report.add(Kind::TimeStamp, None, format!("its time stamp: {error}")),
        }
    }
    if demands.authorities.is_some() && report.stamped.is_none() {
        let text = "its checkpoint has no time stamp by an authority that is trusted".to_owned();
        report.add(Kind::Unstamped, None, text);
    }
    report.stamped_by_anybody = demands.authorities.is_none() && report.stamped.is_some();
}

fn check_event(event: &Proved, checkpoint: &Checkpoint) -> Result<(), String> {
    let record = Record::parse(event.record.as_bytes()).map_err(|error| error.to_string())?;
    if record.chain.seq != event.seq || record.chain.log != checkpoint.origin {
        return Err("its record is that of another event".to_owned());
    }
    let hash = |text: &String| BASE64.decode(text).ok().and_then(|hash| Hash::try_from(hash).ok());
    let path = event.path.iter().map(hash).collect::<Option<Vec<_>>>().ok_or("its path is none")?;
    let leaf = merkle::leaf(event.record.as_bytes());
    merkle::verify_inclusion(event.seq, &leaf, checkpoint.size, &checkpoint.root, &path)
        .map_err(|error| format!("its proof does not hold: {error}"))
}

/// What the proof says, for people.
fn describe(checkpoint: &Checkpoint, proved: &[Proved]) -> String {
    let mut text = format!("Events of the evidence log {}\n\n", checkpoint.origin);
    let _ = writeln!(text, "{} events, numbers {}.", proved.len(), ranges(proved));
    let _ =
        writeln!(text, "The log had {} events when the checkpoint was signed; its root is", checkpoint.size);
    let _ = writeln!(text, "{}.", BASE64.encode(checkpoint.root));
    text.push_str("Check this file with: portcullis audit verify FILE --trusted-key KEY\n\n");
    for event in proved {
        let _ = match Record::parse(event.record.as_bytes()) {
            Ok(record) => writeln!(text, "{}", line(&record)),
            Err(_) => writeln!(text, "#{} cannot be read", event.seq),
        };
    }
    text.push('\n');
    text
}

/// An event in one line.
#[must_use]
pub fn line(record: &Record) -> String {
    let event = &record.event;
    let mut line = format!("#{} {} {}", record.chain.seq, rfc3339(event.time.end_us), event.kind.as_str());
    let method = event.request.method.as_deref();
    let at = [&event.server.id, &event.tool.name]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("/");
    let detail =
        event.detail.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
    let words = [
        method,
        Some(&*at),
        event.who.person.as_deref(),
        event.decision.verdict.as_deref(),
        event.result.status.as_deref(),
        event.result.error.as_deref(),
        Some(&*detail),
    ];
    for word in words.into_iter().flatten().filter(|word| !word.is_empty()) {
        line.push(' ');
        // What callers chose does not begin a line of its own.
        line.extend(word.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    line
}

/// Numbers that follow each other, together.
fn ranges(proved: &[Proved]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for seq in proved.iter().map(|event| event.seq) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == seq => *last = seq,
            _ => ranges.push((seq, seq)),
        }
    }
    let range = |(from, to): &(u64, u64)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    ranges.iter().map(range).collect::<Vec<_>>().join(", ")
}
