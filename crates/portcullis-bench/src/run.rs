//! `portcullis-bench run`: the whole comparison, from starting the servers to judging the targets.
//!
//! The direct way, nginx as a plain reverse proxy and the gateway are measured in one run and in turns, round
//! by round, because figures from a shared machine only mean something beside each other. What is judged are
//! ratios where a ratio is promised and absolute figures where those are.

mod elicitation;
mod evidence;
mod gateway;
mod layers;
mod listing;
mod machine;
mod matrix;
mod memory;
mod nginx;
mod proc;
mod report;
mod sample;
mod scale;
mod service;
mod targets;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use self::elicitation::Elicitations;
use self::evidence::Evidence;
use self::gateway::Gateway;
use self::layers::Layers;
use self::listing::Lists;
use self::machine::Machine;
use self::matrix::{Matrix, Target, Way};
use self::memory::Memory;
use self::scale::Scale;
use self::service::Service;
use crate::client::Endpoint;
use crate::wire::Era;

/// What to compare and how thoroughly.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The gateway's executable; without it only the direct way and nginx are measured.
    #[arg(long, value_name = "FILE")]
    gateway: Option<PathBuf>,
    /// nginx's executable; without it there is nothing to compare throughput and p99 with.
    #[arg(long, value_name = "FILE")]
    nginx: Option<PathBuf>,
    /// The short form: under 90 seconds, with loose floors that catch a collapse.
    #[arg(long)]
    quick: bool,
    /// Rounds over all cells; the medians count.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Also write the report to this Markdown file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 1 when a target is missed or was not measured.
    #[arg(long)]
    strict: bool,
}

/// Measures, prints, writes; `false` when the run counts as failed.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let mut scale = if options.quick { Scale::quick() } else { Scale::full() };
    if let Some(rounds) = options.rounds {
        scale = scale.with_rounds(rounds.max(1));
    }
    let scratch = tempfile::Builder::new().prefix("portcullis-bench-").tempdir()?;
    let machine = Machine::read(options.nginx.as_deref(), options.gateway.as_deref());

    let upstream = start_upstream(&[])?;
    let matrix = measure_matrix(options, &scale, scratch.path(), &upstream.endpoint)?;
    let mut found = Found { matrix, ..Found::default() };
    if let Some(program) = &options.gateway {
        let asking = start_upstream(&["--asks"])?;
        found.elicitations = elicitation::measure(program, scratch.path(), &asking, &scale)?;
        found.layers = layers::measure(program, scratch.path(), &upstream.endpoint, &scale)?;
        found.guard = layers::measure_guard(program, scratch.path(), &upstream.endpoint, &scale)?;
        found.evidence = evidence::measure(program, scratch.path(), &upstream.endpoint, &scale)?;
        found.memory = Some(memory::measure(program, scratch.path(), &upstream.endpoint, &scale)?);
        let many = start_upstream(&["--serve-many", &listing::SERVERS.to_string()])?;
        found.lists = listing::measure(program, scratch.path(), &many.endpoint, &scale)?;
    }

    let verdicts = targets::judge(&found, &scale);
    let report = report::render(&machine, &scale, &found, &verdicts);
    println!("{report}");
    if let Some(file) = &options.out {
        std::fs::write(file, &report).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let (matrix, elicitations) = (found.matrix.wrong(), found.elicitations.wrong());
    let layers = [&found.layers.wrong, &found.guard.wrong, &found.evidence.wrong];
    let [layers, guard, evidence] =
        layers.map(|wrong| wrong.as_ref().map(|(count, first)| (*count, first.as_str())));
    let wrong = [matrix, elicitations, layers, guard, evidence];
    for (count, first) in wrong.iter().flatten() {
        eprintln!("portcullis-bench: {count} wrong answers, first: {first}");
    }
    let held = targets::held(&verdicts, options.quick, options.strict);
    Ok(wrong == [None; 5] && held)
}

/// All that a run found.
#[derive(Debug, Default)]
struct Found {
    matrix: Matrix,
    elicitations: Elicitations,
    layers: Layers,
    guard: Layers,
    evidence: Evidence,
    /// `None` without a gateway.
    memory: Option<Memory>,
    lists: Vec<Lists>,
}

/// Starts nginx and the gateway beside the upstream and takes them through the matrix.
fn measure_matrix(
    options: &Options,
    scale: &Scale,
    scratch: &Path,
    upstream: &Endpoint,
) -> anyhow::Result<Matrix> {
    let nginx =
        options.nginx.as_deref().map(|program| nginx::start(program, scratch, upstream)).transpose()?;
    let gateway = options
        .gateway
        .as_deref()
        .map(|program| Gateway::start(program, scratch, &gateway::either_era(upstream)))
        .transpose()?;
    let mut targets = vec![Target::new(Way::Direct, upstream, upstream, None)];
    if let Some(nginx) = &nginx {
        targets.push(Target::new(Way::Nginx, &nginx.endpoint, &nginx.endpoint, Some(nginx.pid())));
    }
    if let Some(gateway) = &gateway {
        let (modern, legacy) = (gateway.server("up"), gateway.server("old"));
        targets.push(Target::new(Way::Portcullis, &modern, &legacy, Some(gateway.pid())));
    }
    for target in &targets {
        for era in [Era::Modern, Era::Legacy] {
            service::await_first_answer(target.endpoint(era), era)?;
        }
    }
    matrix::measure(&targets, scale)
}

/// Starts this program as the upstream, with these options.
fn start_upstream(options: &[&str]) -> anyhow::Result<Service> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program again")?);
    command.arg("upstream").args(options);
    Service::start("the upstream", command, None, Duration::from_secs(10))
}
