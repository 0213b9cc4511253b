//! What an elicitation costs: clients of both eras × servers of both eras × one and 32 connections.
//!
//! A tool asks its client for one value in the middle of the call and is answered at once, so that no user's time is in
//! the figures. Client and server are also measured without the gateway where they can speak at all, in one era. The
//! ways take turns as in `matrix.rs`. Answers are held to account here: each has to contain what was elicited.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::Context as _;

use super::gateway::{self, Gateway};
use super::matrix::{CONNECTIONS, Way};
use super::sample::{Sample, median, sample};
use super::scale::Scale;
use super::service::{Service, await_first_answer};
use crate::client::Endpoint;
use crate::echo::TEXT_BYTES;
use crate::load::{Outcome, Pace, Plan};
use crate::wire::Era;

/// Who asks whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    /// Era of the client.
    pub(crate) client: Era,
    /// Era of the server.
    pub(crate) server: Era,
}

/// All of them, in the report's order.
pub(crate) const PAIRS: [Pair; 4] = [
    Pair { client: Era::Modern, server: Era::Modern },
    Pair { client: Era::Modern, server: Era::Legacy },
    Pair { client: Era::Legacy, server: Era::Modern },
    Pair { client: Era::Legacy, server: Era::Legacy },
];

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} client, {} server", self.client, self.server)
    }
}

/// A pair, over so many connections.
type Cell = (Pair, usize);

/// What became of all calls of a pair that went through the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Answered, rightly or not.
    pub(crate) answered: u64,
    /// Answered wrongly, or broken off.
    pub(crate) wrong: u64,
    /// Never answered.
    pub(crate) lost: u64,
}

/// All that was found.
#[derive(Debug, Default)]
pub(crate) struct Elicitations {
    /// One sample per round.
    pub(crate) samples: BTreeMap<(Cell, Way), Vec<Sample>>,
    /// The calls through the gateway.
    pub(crate) tallies: BTreeMap<Pair, Tally>,
    wrong: u64,
    first_wrong: Option<String>,
}

impl Elicitations {
    /// Count of wrong answers and the first of them, if there were any.
    pub(crate) fn wrong(&self) -> Option<(u64, &str)> {
        (self.wrong > 0).then(|| (self.wrong, self.first_wrong.as_deref().unwrap_or_default()))
    }

    /// Median over the rounds of what `figure` picks; `None` when not measured.
    pub(crate) fn median(&self, cell: Cell, way: Way, figure: fn(&Sample) -> Option<f64>) -> Option<f64> {
        median(self.samples.get(&(cell, way))?.iter().filter_map(figure))
    }

    fn add(&mut self, cell: Cell, way: Way, sample: Sample, outcome: Outcome) {
        self.samples.entry((cell, way)).or_default().push(sample);
        if way == Way::Portcullis {
            let tally = self.tallies.entry(cell.0).or_default();
            tally.answered += outcome.answered;
            tally.wrong += outcome.wrong;
            tally.lost += outcome.unfinished;
        }
        self.wrong += outcome.wrong;
        let note = |first| format!("elicitation, {way}, {}, {} connections: {first}", cell.0, cell.1);
        self.first_wrong = self.first_wrong.take().or(outcome.first_wrong.map(note));
    }
}

/// Starts the gateway in front of `upstream`, which must have the tool that asks, and takes it through all cells.
pub(crate) fn measure(
    program: &Path,
    scratch: &Path,
    upstream: &Service,
    scale: &Scale,
) -> anyhow::Result<Elicitations> {
    let direct = &upstream.endpoint;
    let gateway = Gateway::start(program, scratch, &gateway::pinned(direct))?;
    for era in [Era::Modern, Era::Legacy] {
        await_first_answer(&gateway.server(&era.to_string()), era)?;
    }
    let mut found = Elicitations::default();
    for round in 0..scale.elicitations {
        for (pair, connections) in cells() {
            eprintln!(
                "elicitation, round {} of {}: {pair}, {connections} connections",
                round + 1,
                scale.elicitations
            );
            let mut ways =
                vec![(Way::Portcullis, gateway.server(&pair.server.to_string()), Some(gateway.pid()))];
            if pair.client == pair.server {
                ways.push((Way::Direct, direct.clone(), None));
            }
            for turn in 0..ways.len() {
                let (way, endpoint, pid) = &ways[(turn + round) % ways.len()];
                let taken = sample(&plan(endpoint, pair.client, connections, scale), *pid);
                let (sample, outcome) = taken.with_context(|| format!("elicitation, {way}, {pair}"))?;
                found.add((pair, connections), *way, sample, outcome);
            }
        }
    }
    Ok(found)
}

/// All cells in the report's order.
pub(crate) fn cells() -> impl Iterator<Item = Cell> {
    PAIRS.into_iter().flat_map(|pair| CONNECTIONS.map(|connections| (pair, connections)))
}

fn plan(endpoint: &Endpoint, client: Era, connections: usize, scale: &Scale) -> Plan {
    Plan {
        endpoint: endpoint.clone(),
        era: client,
        connections,
        pace: Pace::Closed,
        warmup: scale.warmup,
        measured: scale.measured,
        tool: "ask".to_owned(),
        asks: true,
        bytes: TEXT_BYTES,
    }
}
