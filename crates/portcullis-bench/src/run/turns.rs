//! The same calls over several ways in turns, round by round, so that whatever else the machine does hits all of them alike.

use anyhow::Context as _;

use super::matrix::CONNECTIONS;
use super::sample::{Sample, median, sample};
use super::scale::Scale;
use super::service;
use crate::client::Endpoint;
use crate::load::{Pace, Plan};
use crate::wire::Era;

/// One of the ways.
#[derive(Debug)]
pub(crate) struct Contender {
    /// Where it begins.
    pub(crate) endpoint: Endpoint,
    /// The process whose cost counts.
    pub(crate) pid: Option<u32>,
    /// The tool that is called.
    pub(crate) tool: &'static str,
}

impl Contender {
    /// A way on which the usual tool is called.
    pub(crate) fn new(endpoint: Endpoint, pid: Option<u32>) -> Self {
        Self { endpoint, pid, tool: "tool_01" }
    }
}

/// What a run found, by way, round by round.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// In the order of the contenders.
    pub(crate) samples: Vec<Vec<Sample>>,
    /// Wrong answers, and the first of them.
    pub(crate) wrong: Option<(u64, String)>,
}

impl Turns {
    /// The median over the rounds of one way's throughput as a share of another's in the same round.
    pub(crate) fn share(&self, way: usize, of: usize) -> Option<f64> {
        let pairs = self.samples.get(way)?.iter().zip(self.samples.get(of)?);
        median(pairs.map(|(way, of)| way.per_second / of.per_second))
    }
}

/// Takes them through all rounds of a closed loop, each with results of so many bytes.
pub(crate) fn take(
    what: &'static str,
    scale: &Scale,
    contenders: &[Contender],
    bytes: usize,
) -> anyhow::Result<Turns> {
    for contender in contenders {
        service::await_first_answer(&contender.endpoint, Era::Modern)?;
    }
    let mut turns = Turns { samples: contenders.iter().map(|_| Vec::new()).collect(), wrong: None };
    for round in 0..scale.rounds {
        eprintln!("round {} of {}: {what}", round + 1, scale.rounds);
        for turn in 0..contenders.len() {
            let on = (turn + round) % contenders.len();
            let Contender { endpoint, pid, tool } = &contenders[on];
            let plan = Plan {
                endpoint: endpoint.clone(),
                era: Era::Modern,
                connections: CONNECTIONS[1],
                pace: Pace::Closed,
                warmup: scale.warmup,
                measured: scale.measured,
                tool: (*tool).to_owned(),
                asks: false,
                bytes,
            };
            let (sample, outcome) = sample(&plan, *pid).context(what)?;
            if outcome.wrong > 0 {
                turns.wrong = turns.wrong.or(Some((outcome.wrong, outcome.first_wrong.unwrap_or_default())));
            }
            turns.samples[on].push(sample);
        }
    }
    Ok(turns)
}
