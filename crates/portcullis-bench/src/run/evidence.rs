//! What evidence costs: the same calls through gateways that keep none, that keep it in `normal`, and in `strict`.
//!
//! They run beside each other and take turns. Their logs are in the folder of the run, and so on its disk; the tool that is
//! called does not say that it only reads, so in `strict` each call waits for the disk twice: before it is made and before it is
//! answered.

use std::path::Path;

use anyhow::Context as _;

use super::gateway::{self, Gateway};
use super::matrix::CONNECTIONS;
use super::sample::{Sample, median, sample};
use super::scale::Scale;
use super::service;
use crate::client::Endpoint;
use crate::echo::TEXT_BYTES;
use crate::load::{Pace, Plan};
use crate::wire::Era;

/// The ways in which evidence is kept.
pub(crate) const MODES: [&str; 3] = ["off", "normal", "strict"];

/// What a run found, by mode, round by round.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// In the order of [`MODES`].
    pub(crate) samples: [Vec<Sample>; 3],
    /// Wrong answers, and the first of them.
    pub(crate) wrong: Option<(u64, String)>,
}

impl Evidence {
    /// The median over the rounds of the throughput in a mode as a share of that without evidence.
    pub(crate) fn ratio(&self, mode: usize) -> Option<f64> {
        let pairs = self.samples[mode].iter().zip(&self.samples[0]);
        median(pairs.map(|(with, without)| with.per_second / without.per_second))
    }
}

/// Measures all three.
pub(crate) fn measure(
    program: &Path,
    scratch: &Path,
    upstream: &Endpoint,
    scale: &Scale,
) -> anyhow::Result<Evidence> {
    let servers = gateway::either_era(upstream);
    let gateways: Vec<Gateway> = MODES
        .iter()
        .map(|mode| {
            let folder = scratch.join(format!("evidence-{mode}"));
            std::fs::create_dir(&folder)?;
            Gateway::start(program, &folder, &format!("{servers}audit: {{ mode: \"{mode}\" }}\n"))
        })
        .collect::<anyhow::Result<_>>()?;
    for gateway in &gateways {
        service::await_first_answer(&gateway.server("up"), Era::Modern)?;
    }
    let mut found = Evidence::default();
    for round in 0..scale.rounds {
        eprintln!("round {} of {}: evidence", round + 1, scale.rounds);
        for turn in 0..MODES.len() {
            let mode = (turn + round) % MODES.len();
            let plan = Plan {
                endpoint: gateways[mode].server("up"),
                era: Era::Modern,
                connections: CONNECTIONS[1],
                pace: Pace::Closed,
                warmup: scale.warmup,
                measured: scale.measured,
                tool: "tool_01".to_owned(),
                bytes: TEXT_BYTES,
                asks: false,
            };
            let (sample, outcome) = sample(&plan, Some(gateways[mode].pid())).context("evidence")?;
            if outcome.wrong > 0 {
                found.wrong = found.wrong.or(Some((outcome.wrong, outcome.first_wrong.unwrap_or_default())));
            }
            found.samples[mode].push(sample);
        }
    }
    Ok(found)
}
