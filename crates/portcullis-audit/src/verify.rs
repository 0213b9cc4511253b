//! Is the log whole and unaltered, and could its writer have made another of it?
//!
//! The verifier reads every event, computes the tree from nothing, and holds it against every checkpoint: those that lie beside
//! the log, and those that somebody kept elsewhere. What lies beside the log was written by whoever may have altered it: a log
//! that agrees with itself proves that it was not altered by anybody else. It takes a key that came another way, witnesses,
//! or an older checkpoint to prove more; [`Demands`] says which, and the [`Report`] says what was covered by them.
//!
//! The event with which something is wrong is named as closely as it can be known: by the chain exactly, by the first
//! checkpoint that differs within what was written between two checkpoints.

mod report;
mod walk;

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_model::{Journal, Unavailable};

use crate::checkpoint::{Checkpoint, Opened};
use crate::handover::{self, Reign};
use crate::merkle::Hash;
use crate::note::VerifierKey;
use crate::retention;
use crate::timestamp::{self, Authorities, InvalidStamp};
pub use report::{Kind, Problem, Report};

/// What a log has to show.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// Keys that are trusted: of the log and of witnesses. Without one of the log, what the log itself names is believed.
    pub keys: Vec<VerifierKey>,
    /// How many different witnesses have to have signed one checkpoint.
    pub witnesses: usize,
    /// Checkpoints that were kept elsewhere: the log has to continue each of them.
    pub since: Vec<String>,
    /// Authorities whose time stamps count: with them, one has to be there.
    pub authorities: Option<Arc<Authorities>>,
}

/// Where the log's own key lies.
pub(crate) const KEY: &str = "key";

/// A checkpoint that the tree is held against.
struct Held {
    opened: Opened,
    /// It came from elsewhere.
    external: bool,
}

/// Verifies a log.
///
/// # Errors
/// The journal cannot be read. Whatever is wrong with what it says is in the report.
pub fn verify(journal: &dyn Journal, demands: &Demands) -> Result<Report, Unavailable> {
    let mut report = Report::default();
    let mut keys = demands.keys.clone();
    if keys.iter().all(VerifierKey::is_witness) {
        let own = journal.get(crate::log::STATE, KEY)?.and_then(|text| String::from_utf8(text).ok());
        match own.as_deref().map(VerifierKey::parse) {
            Some(Ok(key)) => {
                report.key_from_log = true;
                keys.push(key);
            }
            _ => report.add(Kind::Key, None, "the log names no key, and none was given".to_owned()),
        }
    }
    let (handovers, bad) = handover::read(journal)?;
    for text in bad {
        report.add(Kind::Key, None, text);
    }
    let reigns = handover::follow(&keys, &handovers);
    for handover in &handovers {
        if !reigns.iter().any(|(key, _, end)| *key == handover.old && *end == handover.size) {
            let text =
                format!("a key was handed over at {} events that was no key of the log then", handover.size);
            report.add(Kind::Key, Some((handover.size, handover.size)), text);
        }
    }
    keys.retain(VerifierKey::is_witness);
    keys.extend(reigns.iter().map(|(key, _, _)| key.clone()));
    report.handovers = handovers.len() as u64;
    let held = checkpoints(journal, demands, &keys, &mut report)?;
    out_of_reign(&held, &keys, &reigns, &mut report);
    let base = retention::base(journal)?.unwrap_or_default();
    let origin = keys.iter().find(|key| !key.is_witness()).map(|key| key.name().to_owned());
    let origin = origin.unwrap_or_default();
    let mut walk = walk::Walk::new(origin.clone(), base, &mut report);
    walk.sizes(held.keys().copied());
    let stamps = stamps(journal)?;
    walk.sizes(stamps.keys().copied());
    walk.journal(journal)?;
    let (end, roots) = walk.finish();
    judge(&held, end, &roots, &mut report);
    retention::check(journal, &keys, &mut report)?;
    witnessed(&held, &keys, &roots, demands, &mut report);
    stamped(&origin, &stamps, &roots, demands, &mut report);
    Ok(report)
}

/// Checkpoints by a key that did not count then.
fn out_of_reign(
    held: &BTreeMap<u64, Vec<Held>>,
    keys: &[VerifierKey],
    reigns: &[Reign],
    report: &mut Report,
) {
    for (size, held) in held.iter().flat_map(|(size, held)| held.iter().map(move |held| (*size, held))) {
        let key = &keys[held.opened.log];
        let counts = |(of, from, to): &Reign| of == key && size >= *from && size <= *to;
        if !reigns.iter().any(counts) {
            let text = format!("the checkpoint over {size} events is by a key that was not the log's then");
            report.add(Kind::Checkpoint, Some((size.saturating_sub(1), size)), text);
        }
    }
}

/// The time stamps that lie beside the log, by the sizes that they are of.
fn stamps(journal: &dyn Journal) -> Result<BTreeMap<u64, Vec<u8>>, Unavailable> {
    let all = journal.list(timestamp::KIND, "")?.into_iter();
    Ok(all.filter_map(|(name, token)| Some((name.parse().ok()?, token))).collect())
}

/// Up to where the log was stamped, and when. A stamp is of the tree as it is read, whatever lies beside it.
fn stamped(
    origin: &str,
    stamps: &BTreeMap<u64, Vec<u8>>,
    roots: &BTreeMap<u64, Hash>,
    demands: &Demands,
    report: &mut Report,
) {
    for (size, token) in stamps {
        // Of events that are not there any more, nobody can say what was stamped.
        let Some(root) = roots.get(size) else { continue };
        let checkpoint = Checkpoint { origin: origin.to_owned(), size: *size, root: *root };
        match timestamp::verify(&checkpoint, token, demands.authorities.as_deref()) {
            Ok(time) => report.stamped = Some((*size, time)),
            // Another authority's is no harm; that none of those that are trusted stamped it is told below.
            Err(InvalidStamp::Untrusted(_)) => {}
            Err(error) => {
                let text = format!("the time stamp over {size} events: {error}");
                report.add(Kind::TimeStamp, Some((report.first, *size)), text);
            }
        }
    }
    if demands.authorities.is_some() && report.stamped.is_none() {
        let text = "no checkpoint that fits has a time stamp by an authority that is trusted".to_owned();
        report.add(Kind::Unstamped, Some((report.first, report.next)), text);
    }
    report.stamped_by_anybody = demands.authorities.is_none() && report.stamped.is_some();
}

/// All checkpoints by their sizes, those that nobody trusted signed left out and told of.
fn checkpoints(
    journal: &dyn Journal,
    demands: &Demands,
    keys: &[VerifierKey],
    report: &mut Report,
) -> Result<BTreeMap<u64, Vec<Held>>, Unavailable> {
    let mut held: BTreeMap<u64, Vec<Held>> = BTreeMap::new();
    for (name, note) in journal.list(crate::log::CHECKPOINT, "")? {
        match Checkpoint::open(&String::from_utf8_lossy(&note), keys) {
            Ok(opened) => {
                if crate::log::checkpoint_name(opened.checkpoint.size) != name {
                    let text = format!("the checkpoint {name} is over {} events", opened.checkpoint.size);
                    let (size, named) =
                        (opened.checkpoint.size, name.parse().unwrap_or(opened.checkpoint.size));
                    report.add(Kind::Checkpoint, Some((size.min(named), size.max(named))), text);
                }
                held.entry(opened.checkpoint.size).or_default().push(Held { opened, external: false });
            }
            Err(error) => {
                let size = name.parse::<u64>().ok();
                let text = format!("the checkpoint {name} beside the log: {error}");
                report.add(Kind::Checkpoint, size.map(|size| (size.saturating_sub(1), size)), text);
            }
        }
    }
    for note in &demands.since {
        match Checkpoint::open(note, keys) {
            Ok(opened) => {
                held.entry(opened.checkpoint.size).or_default().push(Held { opened, external: true });
            }
            Err(error) => report.add(Kind::Checkpoint, None, format!("a checkpoint that was given: {error}")),
        }
    }
    Ok(held)
}

/// Holds the tree against every checkpoint.
fn judge(held: &BTreeMap<u64, Vec<Held>>, end: u64, roots: &BTreeMap<u64, Hash>, report: &mut Report) {
    let mut good = report.first;
    // The first from within that differs says where; those after it differ for the same reason.
    let mut differs = false;
    for (size, same_size) in held {
        if let Some(two) =
            same_size.iter().find(|held| held.opened.checkpoint.root != same_size[0].opened.checkpoint.root)
        {
            let text = format!(
                "two checkpoints over {size} events are signed and differ ({} of them from elsewhere): the log was forked",
                same_size.iter().filter(|held| held.external).count()
            );
            report.add(Kind::Fork, Some((good, two.opened.checkpoint.size)), text);
            differs = true;
            continue;
        }
        let checkpoint = &same_size[0].opened.checkpoint;
        if *size > end {
            let text = format!(
                "a checkpoint over {size} events is signed, and there are {end}: the log was cut or rolled back"
            );
            report.add(Kind::RolledBack, Some((end, *size)), text);
        } else if let Some(root) = roots.get(size) {
            if *root == checkpoint.root {
                good = *size;
                report.checkpoints += 1;
                report.covered = good;
            } else if !differs {
                differs = true;
                let text = format!("the events before {size} are not those that were signed");
                report.add(Kind::Altered, Some((good, *size)), text);
            }
        } else if *size < report.first {
            report.before_first += 1;
        } else {
            report.unchecked += 1;
        }
    }
}

/// Whether enough witnesses saw the log, and up to where.
fn witnessed(
    held: &BTreeMap<u64, Vec<Held>>,
    keys: &[VerifierKey],
    roots: &BTreeMap<u64, Hash>,
    demands: &Demands,
    report: &mut Report,
) {
    for (size, same_size) in held {
        let mut witnesses: Vec<usize> = Vec::new();
        for held in same_size.iter().filter(|held| roots.get(size) == Some(&held.opened.checkpoint.root)) {
            witnesses.extend(held.opened.witnesses.iter().map(|(key, _)| *key));
        }
        witnesses.sort_unstable();
        witnesses.dedup();
        if !witnesses.is_empty() && witnesses.len() >= demands.witnesses {
            report.witnessed = *size;
            report.witnesses = witnesses.iter().map(|key| keys[*key].name().to_owned()).collect();
        }
    }
    if demands.witnesses > 0 && report.witnesses.len() < demands.witnesses {
        let text = format!(
            "no checkpoint that fits is signed by {} of the witnesses that are trusted",
            demands.witnesses
        );
        report.add(Kind::Unwitnessed, Some((report.first, report.next)), text);
    }
}
