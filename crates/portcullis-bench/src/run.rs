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
mod path;
mod proc;
mod report;
mod sample;
mod scale;
mod service;
mod targets;
mod turns;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use self::elicitation::Elicitations;
use self::gateway::Gateway;
use self::listing::Lists;
use self::machine::Machine;
use self::matrix::{Matrix, Target, Way};
use self::memory::Memory;
use self::scale::Scale;
use self::service::Service;
use self::turns::Turns;
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
    /// Measure only these parts.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,…")]
    only: Vec<Part>,
    /// Also write the report to this Markdown file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 1 when a target is missed or was not measured.
    #[arg(long)]
    strict: bool,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Directly, nginx and the gateway; both eras, open and closed loop.
    Matrix,
    /// Calls that ask.
    Elicitation,
    /// Identity and policy.
    Layers,
    /// The guard.
    Guard,
    /// Evidence.
    Evidence,
    /// Everything, step by step.
    Path,
    /// Resident memory.
    Memory,
    /// Aggregate lists.
    Lists,
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
    let found = measure(options, &scale, scratch.path(), &upstream.endpoint)?;

    let verdicts = targets::judge(&found, &scale);
    let report = report::render(&machine, &scale, &found, &verdicts);
    println!("{report}");
    if let Some(file) = &options.out {
        std::fs::write(file, &report).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let layers = [&found.layers, &found.guard, &found.evidence, &found.path]
        .map(|turns| turns.wrong.as_ref().map(|(count, first)| (*count, first.as_str())));
    let wrong = [found.matrix.wrong(), found.elicitations.wrong()].into_iter().chain(layers).flatten();
    let mut right = true;
    for (count, first) in wrong {
        eprintln!("portcullis-bench: {count} wrong answers, first: {first}");
        right = false;
    }
    Ok(right && targets::held(&verdicts, options.quick, options.strict))
}

/// Measures what is asked for.
fn measure(options: &Options, scale: &Scale, scratch: &Path, upstream: &Endpoint) -> anyhow::Result<Found> {
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let nginx =
        options.nginx.as_deref().map(|program| nginx::start(program, scratch, upstream)).transpose()?;
    let mut found = Found::default();
    if wanted(Part::Matrix) {
        found.matrix = measure_matrix(options, scale, scratch, upstream, nginx.as_ref())?;
    }
    let Some(program) = &options.gateway else { return Ok(found) };
    if wanted(Part::Elicitation) {
        let asking = start_upstream(&["--asks"])?;
        found.elicitations = elicitation::measure(program, scratch, &asking, scale)?;
    }
    if wanted(Part::Layers) {
        found.layers = layers::measure(program, scratch, upstream, scale)?;
    }
    if wanted(Part::Guard) {
        found.guard = layers::measure_guard(program, scratch, upstream, scale)?;
    }
    if wanted(Part::Evidence) {
        found.evidence = evidence::measure(program, scratch, upstream, scale)?;
    }
    if let Some(nginx) = nginx.as_ref().filter(|_| wanted(Part::Path)) {
        found.path = path::measure(program, scratch, upstream, nginx, scale)?;
    }
    if wanted(Part::Memory) {
        found.memory = Some(memory::measure(program, scratch, upstream, scale)?);
    }
    if wanted(Part::Lists) {
        let many = start_upstream(&["--serve-many", &listing::SERVERS.to_string()])?;
        found.lists = listing::measure(program, scratch, &many.endpoint, scale)?;
    }
    Ok(found)
}

/// All that a run found.
#[derive(Debug, Default)]
struct Found {
    matrix: Matrix,
    elicitations: Elicitations,
    layers: Turns,
    guard: Turns,
    evidence: Turns,
    path: Turns,
    /// `None` without a gateway.
    memory: Option<Memory>,
    lists: Vec<Lists>,
}

/// Starts the gateway beside the upstream and nginx and takes them through the matrix.
fn measure_matrix(
    options: &Options,
    scale: &Scale,
    scratch: &Path,
    upstream: &Endpoint,
    nginx: Option<&Service>,
) -> anyhow::Result<Matrix> {
    let gateway = options
        .gateway
        .as_deref()
        .map(|program| Gateway::start(program, scratch, &gateway::either_era(upstream)))
        .transpose()?;
    let mut targets = vec![Target::new(Way::Direct, upstream, upstream, None)];
    if let Some(nginx) = nginx {
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
