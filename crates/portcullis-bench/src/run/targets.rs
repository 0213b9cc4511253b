//! The project's performance targets, held against what was measured.

use super::Found;
use super::elicitation::{Elicitations, PAIRS, Pair};
use super::evidence::MODES;
use super::layers::{GUARDED_BYTES, POLICIES};
use super::listing::{Lists, SERVERS, TOOLS};
use super::matrix::{CONNECTIONS, Cell, Matrix, Way};
use super::memory::Memory;
use super::path;
use super::scale::{Bounds, Scale};
use crate::wire::Era;

/// One target and how it came out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// What is promised.
    pub(crate) what: String,
    /// The bound, as text.
    pub(crate) bound: String,
    /// The figure, as text; `None` when it was not measured.
    pub(crate) figure: Option<String>,
    /// Whether the figure is within the bound.
    pub(crate) met: bool,
}

impl Verdict {
    /// PASS, MISS or "not measured".
    pub(crate) fn word(&self) -> &'static str {
        match (&self.figure, self.met) {
            (None, _) => "not measured",
            (Some(_), true) => "PASS",
            (Some(_), false) => "MISS",
        }
    }
}

/// All targets in the report's order.
pub(crate) fn judge(found: &Found, scale: &Scale) -> Vec<Verdict> {
    let Found { matrix, elicitations, layers, guard, evidence, path, memory, lists } = found;
    let (bounds, memory) = (&scale.bounds, memory.as_ref());
    let mut verdicts = Vec::new();
    for era in [Era::Modern, Era::Legacy] {
        verdicts.push(throughput(matrix, era, bounds));
        for open in [false, true] {
            verdicts.push(tail(matrix, era, open, bounds));
        }
    }
    let what = format!("throughput with a token and {POLICIES} policies as a share of that without");
    verdicts.push(share(what, layers.share(1, 0), bounds.layers));
    let what =
        format!("throughput with the guard as a share of that without, results of {GUARDED_BYTES} bytes");
    verdicts.push(share(what, guard.share(1, 0), bounds.layers));
    verdicts.extend([1, 2].map(|mode| {
        let what = format!("throughput with evidence in `{}` as a share of that without", MODES[mode]);
        share(what, evidence.share(mode, 0), bounds.evidence[mode - 1])
    }));
    let what = "throughput with everything on as a share of nginx's".to_owned();
    verdicts.push(share(what, path.share(path::STEPS.len() - 1, path::NGINX), bounds.path));
    verdicts.extend(PAIRS.map(|pair| answers(elicitations, pair)));
    verdicts.push(bytes(
        "resident memory, idle",
        memory.map(|memory| memory.idle),
        bounds.idle_bytes,
        1e6,
        "MB",
    ));
    let what = format!("resident memory for each idle legacy session, of {}", scale.sessions);
    verdicts.push(bytes(&what, memory.map(Memory::per_session), bounds.session_bytes, 1e3, "KB"));
    for guarded in [false, true] {
        verdicts.extend([Era::Modern, Era::Legacy].map(|era| list(lists, (era, guarded), bounds)));
    }
    verdicts
}

/// Whether the run holds: the quick run unless a measured target is missed, a strict run only when every
/// target was measured and met, any other run always.
pub(crate) fn held(verdicts: &[Verdict], quick: bool, strict: bool) -> bool {
    let missed = verdicts.iter().any(|verdict| verdict.figure.is_some() && !verdict.met);
    let unmeasured = verdicts.iter().any(|verdict| verdict.figure.is_none());
    !(missed && (quick || strict) || unmeasured && strict)
}

fn judged(era: Era, open: bool) -> Cell {
    Cell { era, open, connections: CONNECTIONS[1] }
}

fn throughput(matrix: &Matrix, era: Era, bounds: &Bounds) -> Verdict {
    let cell = judged(era, false);
    let what = format!("throughput as a share of nginx's, {cell}");
    share(what, matrix.share_of_nginx(cell, Way::Portcullis), bounds.throughput)
}

fn tail(matrix: &Matrix, era: Era, open: bool, bounds: &Bounds) -> Verdict {
    let cell = judged(era, open);
    let ratio = matrix.p99_to_nginx(cell, Way::Portcullis);
    let floor_ms = bounds.p99_floor.as_secs_f64() * 1e3;
    let fine = matrix.p99_ms(cell, Way::Portcullis).is_some_and(|ms| ms <= floor_ms);
    let or_floor = if floor_ms > 0.0 { format!(", or {floor_ms} ms") } else { String::new() };
    Verdict {
        what: format!("p99 as a multiple of nginx's, {cell}"),
        bound: format!("at most {}{or_floor}", bounds.p99),
        figure: ratio.map(|ratio| format!("{ratio:.2}")),
        met: fine || ratio.is_some_and(|ratio| ratio <= bounds.p99),
    }
}

/// A share of a throughput.
fn share(what: String, share: Option<f64>, bound: f64) -> Verdict {
    Verdict {
        what,
        bound: format!("at least {bound}"),
        figure: share.map(|share| format!("{share:.2}")),
        met: share.is_some_and(|share| share >= bound),
    }
}

/// Every call that asks has to be answered, with what was elicited.
fn answers(elicitations: &Elicitations, pair: Pair) -> Verdict {
    let tally = elicitations.tallies.get(&pair);
    Verdict {
        what: format!("calls that ask, {pair}: answered with the elicited value"),
        bound: "all".to_owned(),
        figure: tally.map(|tally| {
            let right = tally.answered.saturating_sub(tally.wrong);
            format!("{right}, {} wrong, {} lost", tally.wrong, tally.lost)
        }),
        met: tally.is_some_and(|tally| tally.answered > 0 && tally.wrong == 0 && tally.lost == 0),
    }
}

fn bytes(what: &str, figure: Option<u64>, bound: u64, unit: f64, name: &str) -> Verdict {
    #[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
    let scaled = |bytes: u64| bytes as f64 / unit;
    Verdict {
        what: what.to_owned(),
        bound: format!("under {} {name}", scaled(bound)),
        figure: figure.map(|bytes| format!("{:.2} {name}", scaled(bytes))),
        met: figure.is_some_and(|bytes| bytes < bound),
    }
}

fn list(lists: &[Lists], (era, guarded): (Era, bool), bounds: &Bounds) -> Verdict {
    let found = lists.iter().find(|lists| (lists.era, lists.guarded) == (era, guarded));
    let median = found.map(|lists| lists.times.quantile(0.5));
    let who = if guarded { format!(", half of them shown by {POLICIES} policies") } else { String::new() };
    Verdict {
        what: format!("aggregate tools/list, {SERVERS} servers, {TOOLS} tools{who}, warm, median, {era} era"),
        bound: format!("under {:?}", bounds.list),
        figure: median.map(|median| format!("{:.2} ms", median.as_secs_f64() * 1e3)),
        met: median.is_some_and(|median| median < bounds.list),
    }
}

#[cfg(test)]
mod tests;
