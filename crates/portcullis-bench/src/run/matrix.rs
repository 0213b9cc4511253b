//! Both eras × closed and open loop × one and 32 connections × every way to the upstream.
//!
//! The ways take turns within each round, each round beginning with another one, so that whatever else the
//! machine does hits all alike. Ratios of throughput are taken round by round and only then their median. The p99 is that
//! of all rounds together: a stall that is in one round of ten is in it, and one round alone decides nothing.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context as _;

use super::proc::usage;
use super::sample::{Sample, median, sample};
use super::scale::Scale;
use crate::client::Endpoint;
use crate::echo::TEXT_BYTES;
use crate::load::{Latencies, Outcome, Pace, Plan};
use crate::wire::Era;

/// Connections of the two columns; the targets are judged at the second.
pub(crate) const CONNECTIONS: [usize; 2] = [1, 32];

/// The open loop's rate as a share of what nginx does in a closed loop with as many connections: well below
/// saturation, so that latency is the server's and not the queue's.
const OPEN_SHARE: f64 = 0.5;

/// A way from the generator to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// No hop between.
    Direct,
    /// Through nginx.
    Nginx,
    /// Through the gateway.
    Portcullis,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Portcullis => "portcullis",
        })
    }
}

/// A way with its addresses and the process whose cost counts.
#[derive(Debug)]
pub(crate) struct Target {
    way: Way,
    modern: Endpoint,
    legacy: Endpoint,
    pid: Option<u32>,
}

impl Target {
    /// A way that starts at `modern` or `legacy`; the hop's process is `pid`.
    pub(crate) fn new(way: Way, modern: &Endpoint, legacy: &Endpoint, pid: Option<u32>) -> Self {
        Self { way, modern: modern.clone(), legacy: legacy.clone(), pid }
    }

    /// Where a client of that era connects.
    pub(crate) fn endpoint(&self, era: Era) -> &Endpoint {
        match era {
            Era::Modern => &self.modern,
            Era::Legacy => &self.legacy,
        }
    }
}

/// One setting of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    /// Wire form.
    pub(crate) era: Era,
    /// Open loop, else closed.
    pub(crate) open: bool,
    /// Connections.
    pub(crate) connections: usize,
}

/// All samples of a run.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    /// One sample per round.
    pub(crate) samples: BTreeMap<(Cell, Way), Vec<Sample>>,
    /// The latencies of all rounds together: what is rare is in them, even if it is in few rounds.
    pub(crate) latencies: BTreeMap<(Cell, Way), Latencies>,
    /// Resident bytes after all load, for ways that have a process.
    pub(crate) resident: BTreeMap<Way, u64>,
    wrong: u64,
    first_wrong: Option<String>,
}

impl Matrix {
    /// Count of wrong answers and the first of them, if there were any.
    pub(crate) fn wrong(&self) -> Option<(u64, &str)> {
        (self.wrong > 0).then(|| (self.wrong, self.first_wrong.as_deref().unwrap_or_default()))
    }

    /// Median over the rounds of what `figure` picks; `None` when not measured.
    pub(crate) fn median(&self, cell: Cell, way: Way, figure: fn(&Sample) -> f64) -> Option<f64> {
        median(self.samples.get(&(cell, way))?.iter().map(figure))
    }

    /// Median over the rounds of a way's throughput as a share of nginx's in the same round.
    pub(crate) fn share_of_nginx(&self, cell: Cell, way: Way) -> Option<f64> {
        let (ours, theirs) = (self.samples.get(&(cell, way))?, self.samples.get(&(cell, Way::Nginx))?);
        median(ours.iter().zip(theirs).map(|(ours, theirs)| ours.per_second / theirs.per_second))
    }

    /// The 99th percentile of all rounds together, in milliseconds.
    pub(crate) fn p99_ms(&self, cell: Cell, way: Way) -> Option<f64> {
        Some(self.latencies.get(&(cell, way))?.quantile(0.99).as_secs_f64() * 1e3)
    }

    /// The same as a multiple of nginx's.
    pub(crate) fn p99_to_nginx(&self, cell: Cell, way: Way) -> Option<f64> {
        Some(self.p99_ms(cell, way)? / self.p99_ms(cell, Way::Nginx)?)
    }

    fn add(&mut self, cell: Cell, way: Way, sample: Sample, outcome: Outcome) {
        self.samples.entry((cell, way)).or_default().push(sample);
        self.latencies.entry((cell, way)).or_default().merge(&outcome.latencies);
        self.wrong += outcome.wrong;
        let note = |first| format!("{way}, {} era, {} connections: {first}", cell.era, cell.connections);
        self.first_wrong = self.first_wrong.take().or(outcome.first_wrong.map(note));
    }
}

/// Takes all targets through all cells.
pub(crate) fn measure(targets: &[Target], scale: &Scale) -> anyhow::Result<Matrix> {
    let mut matrix = Matrix::default();
    for open in [false, true] {
        for round in 0..scale.rounds {
            for cell in cells(open) {
                eprintln!("round {} of {}: {cell}", round + 1, scale.rounds);
                let pace = if open { Pace::Open(rate(&matrix, cell)) } else { Pace::Closed };
                for turn in 0..targets.len() {
                    let target = &targets[(turn + round) % targets.len()];
                    let (sample, outcome) = sample(&plan(target, cell, pace, scale), target.pid)
                        .with_context(|| format!("{}, {cell}", target.way))?;
                    matrix.add(cell, target.way, sample, outcome);
                }
            }
        }
    }
    for target in targets {
        if let Some(pid) = target.pid {
            matrix.resident.insert(target.way, usage(pid).resident);
        }
    }
    Ok(matrix)
}

/// All cells of one kind of loop, in the order of the report.
pub(crate) fn cells(open: bool) -> impl Iterator<Item = Cell> {
    [Era::Modern, Era::Legacy]
        .into_iter()
        .flat_map(move |era| CONNECTIONS.map(|connections| Cell { era, open, connections }))
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = if self.open { "open" } else { "closed" };
        write!(f, "{} era, {pace} loop, {} connections", self.era, self.connections)
    }
}

/// The open loop's rate for all ways, from what the closed loop found.
fn rate(matrix: &Matrix, cell: Cell) -> f64 {
    let closed = Cell { open: false, ..cell };
    let found = |way| matrix.median(closed, way, |sample| sample.per_second);
    let capacity = found(Way::Nginx).or_else(|| found(Way::Direct)).unwrap_or_default();
    // Round figures read better; at least one hundred calls, so that a p99 exists.
    (capacity * OPEN_SHARE / 100.0).floor().max(1.0) * 100.0
}

fn plan(target: &Target, cell: Cell, pace: Pace, scale: &Scale) -> Plan {
    Plan {
        endpoint: target.endpoint(cell.era).clone(),
        era: cell.era,
        connections: cell.connections,
        pace,
        warmup: scale.warmup,
        measured: scale.measured,
        tool: "tool_01".to_owned(),
        asks: false,
        bytes: TEXT_BYTES,
    }
}

#[cfg(test)]
mod tests;
